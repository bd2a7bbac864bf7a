// The PROXY header, versions 1 and 2: raw bytes, and haproxy in front.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteClient, clientFrame, closeByteClients, upgrade } from '../net/byte-client.ts'
import { freePort } from '../support/broker-process.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { closePeers, PeerProcess } from '../support/peers.ts'
import { skipped } from '../support/target.ts'

const lines: { message: string; fields: Record<string, unknown> }[] = []
const told = (fields: object, message: string) => lines.push({ message, fields: fields as Record<string, unknown> })
const log = { debugging: false, debug: told, info: told, warn: told, error: told }

const host = '127.0.0.1'
const { broker, port: plainPort } = await listen({ log })
const { port } = await broker.listen({ port: 0, proxyProtocol: true })
const both = (await broker.listen({ port: 0, proxyProtocol: true, protocol: 'any', trustedProxies: ['10.0.0.0/8'] }))
  .port

test.after.each(() => {
  closeByteClients()
  closePeers()
})
test.after(closeBrokers)

let count = 0
const addressAfter = async (header: Buffer | string, at = port): Promise<unknown> => {
  const clientId = `client-${++count}`
  const client = await ByteClient.dial({ host, port: at })
  client.send(header, packets.connect({ clientId }))
  assert.equal(await client.take(4), Buffer.from([0x20, 2, 0, 0]))
  return lines.find(({ fields }) => fields.client === clientId)!.fields.address
}
const refused = async (...bytes: (Buffer | string)[]): Promise<string> => {
  const before = lines.length
  const client = await ByteClient.dial({ host, port })
  client.send(...bytes)
  assert.is((await client.rest()).length, 0)
  const line = lines.slice(before).find(({ message }) => message === 'a connection could not be set up')
  return String(line?.fields.reason)
}

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])
const block = (command: number, family: number, ...body: Buffer[]): Buffer => {
  const rest = Buffer.concat(body)
  return Buffer.concat([signature, Buffer.from([0x20 | command, family]), uint16(rest.length), rest])
}
const tlv = (type: number, value: Buffer | string): Buffer =>
  Buffer.concat([Buffer.from([type]), uint16(value.length), Buffer.from(value as string)])
const ipv4 = Buffer.concat([Buffer.from([203, 0, 113, 9, 192, 0, 2, 1]), uint16(4711), uint16(1883)])
const ipv6 = Buffer.concat([
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
  uint16(4711),
  uint16(1883),
])

test('version 1 names the client, IPv4 and IPv6', async () => {
  assert.is(await addressAfter('PROXY TCP4 203.0.113.9 192.0.2.1 4711 1883\r\n'), '203.0.113.9:4711')
  assert.is(await addressAfter('PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n'), '1.1.1.1:1')
  assert.is(await addressAfter('PROXY TCP6 2001:db8::1 2001:db8::2 4711 1883\r\n'), '[2001:db8::1]:4711')
  assert.is(await addressAfter('PROXY TCP6 :: :: 1 1\r\n'), '[::]:1')
})

test('version 1 UNKNOWN leaves the address as it is', async () => {
  assert.match(String(await addressAfter('PROXY UNKNOWN\r\n')), /^127\.0\.0\.1:/)
  assert.match(String(await addressAfter('PROXY UNKNOWN anything at all\r\n')), /^127\.0\.0\.1:/)
})

test('version 2 names the client, IPv4 and IPv6; LOCAL and UNSPEC leave the address as it is', async () => {
  assert.is(await addressAfter(block(1, 0x11, ipv4)), '203.0.113.9:4711')
  assert.is(await addressAfter(block(1, 0x21, ipv6)), '[2001:db8::1]:4711')
  assert.match(String(await addressAfter(block(0, 0))), /^127\.0\.0\.1:/)
  assert.match(String(await addressAfter(block(0, 0x11, ipv4))), /^127\.0\.0\.1:/)
  assert.match(String(await addressAfter(block(1, 0))), /^127\.0\.0\.1:/)
})

test('unknown TLVs are skipped, and those of TLS read', async () => {
  const ssl = (verify: number): Buffer =>
    tlv(0x20, Buffer.concat([Buffer.from([7, 0, 0, 0, verify]), tlv(0x21, 'TLSv1.3'), tlv(0x22, 'device-7')]))
  assert.is(
    await addressAfter(block(1, 0x11, ipv4, tlv(0xee, 'x'), ssl(0), tlv(0x02, 'broker.example'))),
    '203.0.113.9:4711',
  )
  assert.is(await addressAfter(block(1, 0x11, ipv4, ssl(1), tlv(0x04, Buffer.alloc(500)))), '203.0.113.9:4711')
})

test('a header byte by byte is understood, and not one byte more is taken', async () => {
  for (const header of [
    Buffer.from('PROXY TCP4 203.0.113.9 192.0.2.1 4711 1883\r\n'),
    block(1, 0x11, ipv4, tlv(4, 'abc')),
  ]) {
    const client = await ByteClient.dial({ host, port })
    for (const byte of Buffer.concat([header, packets.connect({ clientId: `slow-${++count}` })])) {
      client.send(Buffer.from([byte]))
      await new Promise(setImmediate)
    }
    assert.equal(await client.take(4), Buffer.from([0x20, 2, 0, 0]))
  }
})

test('without a header the connection is closed, and the log says why', async () => {
  assert.match(await refused(packets.connect({ clientId: 'direct' })), /no header came first/)
})

const malformed: [string, string | Buffer][] = [
  ['ports out of range', 'PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n'],
  ['a family that is not the addresses’', 'PROXY TCP4 ::1 ::1 1 1\r\n'],
  ['a missing word', 'PROXY TCP4 1.2.3.4 1.2.3.4 1111111\r\n'],
  ['two blanks', 'PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n'],
  ['an unknown family', 'PROXY SCTP 1.2.3.4 1.2.3.4 1 1\r\n'],
  ['a line of 108 bytes', `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`],
  ['version 3', Buffer.concat([signature, Buffer.from([0x31, 0x11, 0, 12]), ipv4])],
  ['an unknown command', block(2, 0x11, ipv4)],
  ['addresses that are cut off', block(1, 0x11, ipv4.subarray(0, 8))],
  ['5,000 bytes', block(1, 0x11, ipv4, Buffer.alloc(5000))],
]
for (const [what, bytes] of malformed) {
  test(`a header with ${what} closes the connection`, async () => {
    assert.match(await refused(bytes), /^PROXY: |undefined/)
  })
}

test('a header in front of a listener without proxy_protocol is no MQTT', async () => {
  const client = await ByteClient.dial({ host, port: plainPort })
  client.send(
    'PROXY TCP4 203.0.113.9 192.0.2.1 4711 1883\r\n',
    ...Array.from({ length: 9 }, () => packets.connect({ clientId: 'spoofed' })),
  )
  assert.is((await client.rest()).length, 0)
  assert.not.ok(lines.some(({ fields }) => fields.client === 'spoofed'))
})

test('behind the header WebSocket works, and X-Forwarded-For is judged by the address in it', async () => {
  const through = async (source: string, clientId: string): Promise<unknown> => {
    const client = await ByteClient.dial({ host, port: both })
    client.send(`PROXY TCP4 ${source} 192.0.2.1 4711 1883\r\n`)
    assert.match(await upgrade(client, { headers: ['X-Forwarded-For: 203.0.113.77'] }), / 101 /)
    client.send(clientFrame(packets.connect({ clientId })))
    await client.frame()
    return lines.find(({ fields }) => fields.client === clientId)!.fields.address
  }
  assert.is(await through('10.1.2.3', 'inside'), '203.0.113.77:0')
  assert.is(await through('203.0.113.9', 'outside'), '203.0.113.9:4711')
  assert.is(await addressAfter('PROXY TCP4 203.0.113.9 192.0.2.1 4711 1883\r\n', both), '203.0.113.9:4711')
})

const haproxy = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find((file) => spawnSync(file, ['-v']).status === 0)
const withHaproxy =
  haproxy !== undefined || process.env.CI ? test : skipped(test, 'haproxy is not installed (apt-get install haproxy)')
for (const [version, word] of [
  [1, 'send-proxy'],
  [2, 'send-proxy-v2'],
] as const) {
  withHaproxy(`haproxy in front, PROXY version ${version}: the client’s address is in the log`, async () => {
    assert.ok(haproxy, 'haproxy is not installed, and CI is set')
    const folder = mkdtempSync(join(tmpdir(), 'martlet-haproxy-'))
    const frontPort = await freePort()
    const file = join(folder, 'haproxy.cfg')
    writeFileSync(
      file,
      `defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen mqtt
  bind 127.0.0.1:${frontPort}
  server broker 127.0.0.1:${port} ${word}
`,
    )
    const proxy = new PeerProcess(haproxy!, ['-f', file, '-V'])
    let client: ByteClient | undefined
    while (client === undefined) client = await ByteClient.dial({ host, port: frontPort }).catch(() => undefined)
    const clientId = `haproxy-${version}`
    client.send(packets.connect({ clientId }))
    assert.equal(await client.take(4), Buffer.from([0x20, 2, 0, 0]))
    const own = client.socket.localPort
    assert.is(lines.find(({ fields }) => fields.client === clientId)!.fields.address, `127.0.0.1:${own}`)
    proxy.kill9()
    rmSync(folder, { recursive: true, force: true })
  })
}

test('connections that could not be set up are all in the log: what repeats is counted, and said at the end', async () => {
  const { broker } = await listen({ log })
  const { port } = await broker.listen({ port: 0, proxyProtocol: true })
  const before = lines.length
  for (let n = 0; n < 3; n++) {
    const client = await ByteClient.dial({ host, port })
    client.send(packets.connect({ clientId: 'direct' }))
    assert.is((await client.rest()).length, 0)
  }
  await broker.close()
  const failures = lines.slice(before).filter(({ message }) => message === 'a connection could not be set up')
  assert.equal(
    failures.map(({ fields }) => fields.repeated ?? 1),
    [1, 2],
  )
})

test.run()
