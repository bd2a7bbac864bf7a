// What the layers learned about a peer is with its connection before its first packet.
import { writeFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Connection } from '../../src/net/connection.ts'
import { Reactor } from '../../src/net/reactor.ts'
import { tlsOptions } from '../../src/server/tls-files.ts'
import * as packets from '../support/packets.ts'
import { PeerProcess, withPeer } from '../support/peers.ts'
import { ByteClient, clientFrame, closeByteClients, upgrade } from './byte-client.ts'
import { Authority } from './certificates.ts'

const connections: Connection[] = []
let wake = (): void => {}
const reactor = new Reactor(
  {
    maxConnections: 16,
    inboxRecords: 64,
    inboxSize: 4096,
    outboxWords: 256,
    outboxSize: 256,
    readSize: 64,
    topicIds: 8,
    maxTurns: 4,
    acceptBudget: 4,
    unadmittedPacketLimit: 65536,
    partialBudget: 1 << 20,
    highWater: 65536,
    lowWater: 1024,
    flushAfter: 65536,
    userTimeout: 0,
    handshakeBudget: 1,
    poison: true,
  },
  {
    handleOpened: (connection) => ({
      handlePacket: () => {
        connections.push(connection)
        wake()
      },
      handleEnded: () => connection.finish(),
      handleDrained: () => {},
      handleOverflowed: () => {},
      handleOversized: () => {},
      handleMalformedLength: () => {},
      handleClosed: () => {},
    }),
    handleTopic: () => {},
    handleForgotten: () => {},
    handleAcceptPaused: () => {},
    handleRefused: () => {},
    handleBug: (error) => {
      throw error
    },
  },
)
const authority = new Authority()
const { certfile, keyfile } = authority.issue('server', '/CN=broker', ['DNS:localhost'])
const device = authority.issue('device', '/C=AT/O=Acme, Inc./CN=device-7')
const pskFile = authority.path('psk')
writeFileSync(pskFile, 'sensor-1:00112233445566778899aabbccddeeff\n')
const files = { certfile: [certfile], keyfile: [keyfile], cafile: authority.certificate, pskFile }
const tls = reactor.secure(tlsOptions(files)!)
const host = '127.0.0.1'
const door = (options: object): number =>
  reactor.listen({ host, port: 0, backlog: 0, ipv6Only: true, reusePort: false, ...options }).port

test.after.each(closeByteClients)
test.after(() => reactor.close())

const firstPacket = async (): Promise<Connection> => {
  if (connections.length === 0)
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  return connections.shift()!
}

test('of a plain connection nothing is known', async () => {
  const client = await ByteClient.dial({ host, port: door({}) })
  client.send(packets.pingreq())
  const { identity, remoteAddress } = await firstPacket()
  assert.equal(identity, {})
  assert.is(remoteAddress, `127.0.0.1:${client.socket.localPort}`)
})

test('of a TLS client: its certificate’s common name and subject, cipher, server name', async () => {
  const own = { cert: authority.text(device.certfile), key: authority.text(device.keyfile) }
  const ca = authority.text(authority.certificate)
  const client = await ByteClient.dial({ host, port: door({ tls }) }, { ca, servername: 'localhost', ...own })
  client.send(packets.pingreq())
  assert.equal((await firstPacket()).identity, {
    cipher: 'TLSv1.3 TLS_AES_128_GCM_SHA256',
    serverName: 'localhost',
    commonName: 'device-7',
    subject: 'CN=device-7,O=Acme\\, Inc.,C=AT',
  })
})

test('without a client certificate there is no name', async () => {
  const ca = authority.text(authority.certificate)
  const client = await ByteClient.dial({ host, port: door({ tls, protocol: 'any' }) }, { ca, servername: 'localhost' })
  await upgrade(client)
  client.send(clientFrame(packets.pingreq()))
  const { identity } = await firstPacket()
  assert.equal([identity.commonName, identity.protocol], [undefined, 'WebSocket mqtt'])
})

for (const version of ['tlsv1.2', 'tlsv1.3'])
  withPeer(test, 'mosquitto_pub')(`of a PSK client: its identity, ${version}`, async () => {
    const key = ['--psk-identity', 'sensor-1', '--psk', '00112233445566778899aabbccddeeff', '--tls-version', version]
    const peer = new PeerProcess('mosquitto_pub', ['-h', host, '-p', `${door({ tls })}`, ...key, '-t', 't', '-m', 'm'])
    const connection = await firstPacket()
    assert.is(connection.identity.pskIdentity, 'sensor-1')
    connection.close()
    peer.kill9()
  })

test('of a client behind a proxy: its address, and the name on the certificate the proxy has verified', async () => {
  const tlv = (type: number, value: Buffer): Buffer => Buffer.concat([Buffer.from([type, 0, value.length]), value])
  const ssl = (verify: number): Buffer =>
    tlv(0x20, Buffer.concat([Buffer.from([7, 0, 0, 0, verify]), tlv(0x22, Buffer.from('device-7'))]))
  const header = (rest: Buffer): Buffer => {
    const addresses = Buffer.from('cb007109c000020112670 75b'.replace(' ', ''), 'hex')
    const body = Buffer.concat([addresses, rest])
    return Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a2111', 'hex'), Buffer.from([0, body.length]), body])
  }
  const port = door({ proxyProtocol: true })
  for (const [verify, name] of [
    [0, 'device-7'],
    [1, undefined],
  ] as const) {
    const client = await ByteClient.dial({ host, port })
    client.send(header(ssl(verify)), packets.pingreq())
    const { identity, remoteAddress } = await firstPacket()
    assert.is(remoteAddress, '203.0.113.9:4711')
    assert.is(identity.commonName, name)
  }
})

test.run()
