// TLS: real clients (the mqtt package, mosquitto_pub and mosquitto_sub, openssl s_client), client certificates, names,
// keys, tickets, renewal. Certificates are made here.
import { copyFileSync, writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteClient, clientFrame, closeByteClients, upgrade } from '../net/byte-client.ts'
import { Authority } from '../net/certificates.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { closePeers, mosquittoPub, PeerProcess, withPeer } from '../support/peers.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot, sized } from '../support/target.ts'

const lines: { message: string; fields: Record<string, unknown> }[] = []
const told = (fields: object, message: string) => lines.push({ message, fields: fields as Record<string, unknown> })
const log = { debugging: false, debug: told, info: told, warn: told, error: told }

const authority = new Authority()
const server = authority.issue('server', '/CN=broker', ['DNS:localhost', 'IP:127.0.0.1'])
const other = authority.issue('other', '/CN=other', ['DNS:*.other.example'])
const device = authority.issue('device', '/O=Acme/OU=Sensors/CN=device-7')
const revoked = authority.issue('revoked', '/CN=device-8')
const crlfile = authority.revocationList(revoked.certfile)
const stranger = new Authority('Nobody').issue('stranger', '/CN=device-7')
const pskFile = authority.path('psk')
writeFileSync(pskFile, '# keys\n\nsensor-1:00112233445566778899aabbccddeeff\nother:ff\n')

const host = '127.0.0.1'
const ca = authority.text(authority.certificate)
const { broker, port: plainPort } = await listen({ log })
const certificates = { certfile: [server.certfile, other.certfile], keyfile: [server.keyfile, other.keyfile] }
const cafile = authority.certificate
const doors = {
  tls: (await broker.listen({ port: 0, ...certificates, protocol: 'any' })).port,
  mutual: (await broker.listen({ port: 0, ...certificates, cafile, crlfile, requireCertificate: true })).port,
  optional: (await broker.listen({ port: 0, ...certificates, cafile })).port,
  psk: (await broker.listen({ port: 0, pskFile, pskHint: 'martlet' })).port,
  strict: (
    await broker.listen({
      port: 0,
      ...certificates,
      tlsVersion: 'tlsv1.3',
      ciphersTls13: 'TLS_CHACHA20_POLY1305_SHA256',
    })
  ).port,
  old: (await broker.listen({ port: 0, ...certificates, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })).port,
  proxied: (await broker.listen({ port: 0, ...certificates, protocol: 'any', proxyProtocol: true })).port,
}

const clients = new Set<MqttClient>()
test.after.each(() => {
  closeByteClients()
  closeClients()
  closePeers()
  for (const client of clients) client.end(true)
  clients.clear()
})
test.after(closeBrokers)

const connack = Buffer.from([0x20, 2, 0, 0])
const reasons = (): string[] =>
  lines
    .filter(({ message }) => message === 'a connection could not be set up')
    .map(({ fields }) => String(fields.reason))

const connect = async (url: string, options: IClientOptions = {}): Promise<MqttClient> => {
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, ca, ...options })
  clients.add(client)
  return client
}
const echo = async (client: MqttClient, text: string): Promise<void> => {
  await client.subscribeAsync(`echo/${text}`, { qos: 1 })
  const received = new Promise((resolve) => client.once('message', (_, payload) => resolve(payload.toString())))
  await client.publishAsync(`echo/${text}`, text, { qos: 2 })
  assert.is(await received, text)
}
/** Connects, which must fail. */
const refused = async (port: number, options: IClientOptions = {}): Promise<void> => {
  const client = mqtt.connect(`mqtts://${host}:${port}`, { reconnectPeriod: 0, ca, ...options })
  clients.add(client)
  client.on('error', () => {})
  await new Promise<void>((resolve) => client.once('close', () => resolve()))
  assert.not.ok(client.connected)
}
/** The same reason is logged once in a while only, so each is waited for once. */
const reason = async (pattern: RegExp): Promise<void> => {
  while (!reasons().some((text) => pattern.test(text))) await new Promise(setImmediate)
}

for (const minVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`the mqtt package over mqtts:// and wss:// on one port, ${minVersion}`, async () => {
    const options = { minVersion, maxVersion: minVersion } as IClientOptions
    await echo(await connect(`mqtts://localhost:${doors.tls}`, options), `tls-${minVersion}`)
    const wsOptions = { ca, ...options }
    await echo(await connect(`wss://localhost:${doors.tls}/mqtt`, { ...options, wsOptions }), `wss-${minVersion}`)
  })
}

const mosquitto = withPeer(test, 'mosquitto_pub')
const tlsArguments = ['--cafile', authority.certificate]
mosquitto('mosquitto_pub and mosquitto_sub --cafile', async () => {
  const where = { host: 'localhost', port: doors.tls }
  const words = ['-h', where.host, '-p', `${where.port}`, ...tlsArguments, '-t', 'm', '-d', '-F', '= %t %p']
  const subscriber = new PeerProcess('mosquitto_sub', words)
  await subscriber.waitForLines(/^Subscribed/)
  await mosquittoPub(where, [...tlsArguments, '-t', 'm', '-m', 'over TLS', '-q', '2'])
  assert.equal(await subscriber.waitForLines(/^= /), ['= m over TLS'])
})

mosquitto('mosquitto_pub --cert --key where a certificate is required', async () => {
  const where = { host: 'localhost', port: doors.mutual }
  const own = ['--cert', device.certfile, '--key', device.keyfile]
  await mosquittoPub(where, [...tlsArguments, ...own, '-t', 'm', '-m', 'x', '-q', '1'])
})

for (const version of ['tlsv1.2', 'tlsv1.3']) {
  mosquitto(`mosquitto_pub --psk, ${version}; a wrong key and an unknown identity are refused`, async () => {
    const where = { host, port: doors.psk }
    const words = (identity: string, key: string) => [
      '--psk-identity',
      identity,
      '--psk',
      key,
      '--tls-version',
      version,
      '-t',
      'm',
      '-m',
      'x',
      '-q',
      '1',
    ]
    await mosquittoPub(where, words('sensor-1', '00112233445566778899aabbccddeeff'))
    for (const [identity, key] of [
      ['sensor-1', 'aa'],
      ['nobody', 'aa'],
    ]) {
      const error = await mosquittoPub(where, words(identity!, key!)).catch((e: Error) => e)
      assert.instance(error, Error)
    }
  })
}

test('a required certificate: none, a stranger’s and a revoked one are refused, and the log says why', async () => {
  const own = (one: { certfile: string; keyfile: string }) => ({
    cert: authority.text(one.certfile),
    key: authority.text(one.keyfile),
  })
  await echo(await connect(`mqtts://localhost:${doors.mutual}`, own(device)), 'mutual')
  await refused(doors.mutual)
  await reason(/peer did not return a certificate/)
  await refused(doors.mutual, own(stranger))
  await reason(/client certificate: unable to get local issuer/)
  await refused(doors.mutual, own(revoked))
  await reason(/client certificate: certificate revoked/)
})

test('an optional certificate: none is fine, a bad one is not', async () => {
  await echo(await connect(`mqtts://localhost:${doors.optional}`), 'optional')
  const bad = { cert: authority.text(stranger.certfile), key: authority.text(stranger.keyfile) }
  await refused(doors.optional, bad)
  await reason(/client certificate/)
})

const subjectFor = (port: number, servername: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connectTls({ host, port, servername, ca, checkServerIdentity: () => undefined }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.on('error', reject)
  })

test('the certificate is chosen by the name the client asks for, wildcards included; else it is the first', async () => {
  assert.is(await subjectFor(doors.tls, 'localhost'), 'broker')
  assert.is(await subjectFor(doors.tls, 'a.other.example'), 'other')
  assert.is(await subjectFor(doors.tls, 'unknown.example'), 'broker')
})

const sClient = async (port: number, ...args: string[]): Promise<string> => {
  const peer = new PeerProcess('openssl', [
    's_client',
    '-connect',
    `${host}:${port}`,
    '-CAfile',
    authority.certificate,
    ...args,
  ])
  peer.endInput()
  await peer.exit()
  return peer.lines.join('\n')
}

test('openssl s_client: ALPN mqtt, http/1.1, and none', async () => {
  assert.match(await sClient(doors.tls, '-alpn', 'h2,mqtt'), /ALPN protocol: mqtt/)
  assert.match(await sClient(doors.tls, '-alpn', 'h2,http/1.1'), /ALPN protocol: http\/1\.1/)
  assert.match(await sClient(doors.tls, '-alpn', 'smtp'), /No ALPN negotiated/)
})

test('openssl s_client: versions and ciphers are those configured', async () => {
  assert.match(await sClient(doors.strict), /TLSv1\.3, Cipher is TLS_CHACHA20_POLY1305_SHA256/)
  assert.match(await sClient(doors.strict, '-tls1_2'), /alert protocol version/)
  assert.match(await sClient(doors.old, '-tls1_2'), /Cipher is ECDHE-ECDSA-AES128-GCM-SHA256/)
  assert.match(
    await sClient(doors.old, '-tls1_2', '-cipher', 'ECDHE-ECDSA-AES256-GCM-SHA384'),
    /alert handshake failure/,
  )
  assert.match(await sClient(doors.tls, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'), /alert protocol version/)
})

/** A whole MQTT connection; whether it resumed an earlier session, and the ticket it leaves with. */
const session = (
  port: number,
  ticket?: Buffer,
  version = 'TLSv1.3',
  extra = {},
): Promise<{ reused: boolean; ticket: Buffer }> =>
  new Promise((resolve, reject) => {
    let kept: Buffer | undefined
    const options = { host, port, servername: 'localhost', ca, minVersion: version, maxVersion: version, ...extra }
    const socket = connectTls({ ...options, ...(ticket === undefined ? {} : { session: ticket }) } as never, () => {
      const reused = socket.isSessionReused()
      socket.write(packets.connect({ clientId: 'session' }))
      socket.once('data', () => {
        resolve({ reused, ticket: kept ?? socket.getSession()! })
        socket.destroy()
      })
    })
    socket.on('session', (one) => {
      kept = one
    })
    socket.on('error', reject)
  })

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(`a session is resumed by its ticket, ${version}; also with another certificate of the door`, async () => {
    const first = await session(doors.tls, undefined, version)
    assert.not.ok(first.reused)
    assert.ok((await session(doors.tls, first.ticket, version)).reused)
  })
}

test('a renewed certificate serves new connections; live ones and tickets stay; a broken one changes nothing', async () => {
  const own = { certfile: [authority.path('live.pem')], keyfile: [authority.path('live.key')] }
  const use = (one: { certfile: string; keyfile: string }) => {
    copyFileSync(one.certfile, own.certfile[0]!)
    copyFileSync(one.keyfile, own.keyfile[0]!)
  }
  use(server)
  const { port } = await broker.listen({ port: 0, ...own })
  const live = await connect(`mqtts://localhost:${port}`)
  const { ticket } = await session(port)
  use(other)
  broker.reloadCertificates()
  assert.is(await subjectFor(port, 'localhost'), 'other')
  await echo(live, 'still-here')
  assert.ok((await session(port, ticket)).reused)
  writeFileSync(own.keyfile[0]!, 'no key')
  broker.reloadCertificates()
  assert.match(lines.at(-1)!.message, /private key cannot be read.* The running certificates stay\.$/)
  assert.is(await subjectFor(port, 'localhost'), 'other')
})

test('after a reload a revoked client cannot come back by its ticket', async () => {
  const list = authority.path('live-crl.pem')
  copyFileSync(crlfile, list)
  const { port } = await broker.listen({ port: 0, ...certificates, cafile, crlfile: list, requireCertificate: true })
  const own = { cert: authority.text(device.certfile), key: authority.text(device.keyfile) }
  const { ticket } = await session(port, undefined, 'TLSv1.3', own)
  assert.ok((await session(port, ticket, 'TLSv1.3', own)).reused)
  const { ticket: next } = await session(port, undefined, 'TLSv1.3', own)
  copyFileSync(authority.revocationList(device.certfile), list)
  broker.reloadCertificates()
  assert.instance(await session(port, next, 'TLSv1.3', own).catch((error: Error) => error), Error)
})

test('what cannot be used is an error that names it', async () => {
  const problem = async (options: object): Promise<string> =>
    await broker.listen({ port: 0, ...options }).then(
      () => 'none',
      (error: Error) => `${error.name}: ${error.message}`,
    )
  const { certfile, keyfile } = server
  assert.match(
    await problem({ certfile: ['/no/such.pem'], keyfile: [keyfile] }),
    /^ConfigError: certfile = '\/no\/such\.pem'/,
  )
  assert.match(await problem({ certfile: [certfile] }), /keyfile: 1 certificates and 0 keys/)
  assert.match(await problem({ certfile: [certfile], keyfile: [other.keyfile] }), /does not belong to the certificate/)
  assert.match(await problem({ certfile: [pskFile], keyfile: [keyfile] }), /certificate cannot be read/)
  assert.match(
    await problem({ certfile: [certfile], keyfile: [keyfile], cafile: pskFile }),
    /no certificate is in the file/,
  )
  assert.match(await problem({ certfile: [certfile], keyfile: [keyfile], ciphers: 'NONSENSE' }), /none of the ciphers/)
  assert.match(
    await problem({ certfile: [certfile], keyfile: [keyfile], requireCertificate: true }),
    /cafile or capath is wanted/,
  )
  for (const idle of [{ keyfile: [keyfile] }, { pskHint: 'h' }, { crlfile }, { keyPassphraseFile: keyfile }]) {
    assert.match(await problem(idle), /it makes no TLS listener/)
  }
  writeFileSync(authority.path('bad-psk'), 'ok:00\nbad:0g\n')
  assert.match(await problem({ pskFile: authority.path('bad-psk') }), /bad-psk:2: psk_file: identity:key is wanted/)
})

test('plain MQTT and HTTP on a TLS port are closed, and the log says what came', async () => {
  for (const [bytes, wanted] of [
    [packets.connect({ clientId: 'plain' }), /TLS handshake: (?:wrong version number|packet length too long)/],
    ['GET / HTTP/1.1\r\n\r\n', /TLS handshake: http request/],
  ] as const) {
    const client = await ByteClient.dial({ host, port: doors.tls })
    client.send(bytes as never)
    await client.rest()
    await reason(wanted)
  }
})

test('a handshake byte by byte, and one that ends in its middle', async () => {
  const path = await new Promise<ByteClient>((resolve) => {
    const raw = connectPlain({ host, port: doors.tls, noDelay: true }, () => {
      const write = raw.write.bind(raw)
      raw.write = ((bytes: Buffer, ...rest: never[]) => {
        for (const byte of Buffer.from(bytes)) write(Buffer.from([byte]))
        const done = rest.findLast((one) => typeof one === 'function') as (() => void) | undefined
        if (done !== undefined) setImmediate(done)
        return true
      }) as never
      resolve(ByteClient.dial({ host, port: 0 }, { socket: raw, ca, servername: 'localhost' }))
    })
  })
  path.send(packets.connect({ clientId: 'slow-tls' }))
  assert.equal(await path.take(4), connack)
  const half = await ByteClient.dial({ host, port: doors.tls })
  half.send(Buffer.from('16030100', 'hex'))
  half.end()
  await half.rest()
  await reason(/went away during the handshake/)
})

test('the closing: answers, then close_notify, then FIN; and a FIN without close_notify ends the stream too', async () => {
  const client = await ByteClient.dial({ host, port: doors.tls }, { ca, servername: 'localhost' })
  client.send(
    packets.connect({ clientId: 'closing' }),
    packets.publish({ topic: 't', payload: 'x', qos: 1, id: 3 }),
    packets.disconnect(),
  )
  assert.equal(await client.rest(), Buffer.concat([connack, packets.puback(3)]))
  const abrupt = await ByteClient.dial({ host, port: doors.tls }, { ca, servername: 'localhost' })
  abrupt.send(packets.connect({ clientId: 'abrupt' }))
  await abrupt.take(4)
  abrupt.end()
  await abrupt.rest()
  while (!lines.some(({ message, fields }) => message === 'client disconnected' && fields.client === 'abrupt'))
    await new Promise(setImmediate)
})

test('large messages pass in both directions, to readers fast and slow', async () => {
  const size = sized(1_500_000, 50_000)
  const subscriber = await connect(`mqtts://localhost:${doors.tls}`)
  await subscriber.subscribeAsync('large', { qos: 1 })
  const all = new Promise<number>((resolve) => {
    let count = 0
    subscriber.on('message', (_, payload) => {
      assert.is(payload.length, size)
      assert.ok(payload.every((byte, index) => byte === index % 251))
      if (++count === 4) resolve(count)
    })
  })
  const publisher = await connect(`mqtts://localhost:${doors.tls}`)
  const payload = Buffer.from(Array.from({ length: size }, (_, index) => index % 251))
  await Promise.all([1, 2, 3, 4].map(() => publisher.publishAsync('large', payload, { qos: 1 })))
  assert.is(await all, 4)
})

test('10,000 small messages over TLS arrive complete and in order', async () => {
  const count = sized(10_000, 500)
  const client = await connect(`mqtts://localhost:${doors.tls}`)
  await client.subscribeAsync('flood', { qos: 0 })
  let next = 0
  const all = new Promise<void>((resolve, reject) => {
    client.on('message', (_, payload) => {
      if (payload.readUInt32BE() !== next++) reject(new Error(`message ${next - 1} is missing`))
      if (next === count) resolve()
    })
  })
  const publisher = await RawClient.connect({ host, port: plainPort }, { clientId: 'publisher' })
  for (let n = 0; n < count; n++) {
    const payload = Buffer.alloc(40)
    payload.writeUInt32BE(n)
    await publisher.sendAll(packets.publish({ topic: 'flood', payload }))
  }
  await all
})

test('200 handshakes at once are taken in turns, and all of them succeed', async () => {
  const ids = Array.from({ length: sized(200, 40) }, (_, index) => `storm-${index}`)
  await Promise.all(
    ids.map(async (clientId) => {
      const client = await ByteClient.dial({ host, port: doors.tls }, { ca, servername: 'localhost' })
      client.send(packets.connect({ clientId }))
      assert.equal(await client.take(4), connack)
    }),
  )
})

test('a PROXY header, then TLS, then a WebSocket', async () => {
  const raw = connectPlain({ host, port: doors.proxied })
  raw.write('PROXY TCP4 203.0.113.9 192.0.2.1 4711 8883\r\n')
  const client = await ByteClient.dial({ host, port: 0 }, { socket: raw, ca, servername: 'localhost' })
  assert.match(await upgrade(client), / 101 /)
  client.send(clientFrame(packets.connect({ clientId: 'all-layers' })))
  assert.equal((await client.frame()).payload, connack)
  assert.is(lines.find(({ fields }) => fields.client === 'all-layers')!.fields.address, '203.0.113.9:4711')
})

withPeer(test, 'libssl.so.3')('who sends KeyUpdates as fast as can be keeps the broker from nobody else', async () => {
  const script = join(repositoryRoot, 'test', 'support', 'key-updates.py')
  const flood = new PeerProcess('/usr/bin/python3', [script, host, String(doors.tls)])
  await flood.waitForLines(/connected/)
  // Each CONNECT and PINGREQ is answered in between: OpenSSL, once it reads, would go on until there is nothing left.
  for (let n = 0; n < 3; n++) {
    const client = await RawClient.connect({ host, port: plainPort }, { clientId: `beside-${n}` })
    await client.settled()
    client.destroy()
  }
  flood.kill9()
})

test.run()
