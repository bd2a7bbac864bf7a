// TLS: real clients (the mqtt package, mosquitto_pub and mosquitto_sub), client certificates, keys, handshakes, closing, layers.
// What openssl s_client negotiates, and tickets, are in tls-sessions.test.ts. Certificates are made here.
import { writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteClient, clientFrame, closeByteClients, upgrade } from '../net/byte-client.ts'
import { Authority } from '../net/certificates.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { closePeers, messagesOf, mosquittoPub, mosquittoSub, PeerProcess, withPeer } from '../support/peers.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { sized } from '../support/target.ts'

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

mosquitto('mosquitto_pub and mosquitto_sub --cert --key where a certificate is required', async () => {
  const where = { host: 'localhost', port: doors.mutual }
  const own = [...tlsArguments, '--cert', device.certfile, '--key', device.keyfile]
  const subscriber = await mosquittoSub(where, [...own, '-t', 'm', '-q', '1'])
  await mosquittoPub(where, [...own, '-t', 'm', '-m', 'shown', '-q', '1'])
  assert.equal(await messagesOf(subscriber, 1), ['m 1 0 shown'])
})

for (const version of ['tlsv1.2', 'tlsv1.3']) {
  mosquitto(
    `mosquitto_pub and mosquitto_sub --psk, ${version}; a wrong key and an unknown identity are refused`,
    async () => {
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
      const right = words('sensor-1', '00112233445566778899aabbccddeeff')
      const subscriber = await mosquittoSub(where, right.slice(0, right.indexOf('-m')))
      await mosquittoPub(where, right)
      assert.equal(await messagesOf(subscriber, 1), ['m 0 0 x'])
      for (const [identity, key] of [
        ['sensor-1', 'aa'],
        ['nobody', 'aa'],
      ]) {
        const error = await mosquittoPub(where, words(identity!, key!)).catch((e: Error) => e)
        assert.instance(error, Error)
      }
    },
  )
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

test.run()
