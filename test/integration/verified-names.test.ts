// use_identity_as_username and use_subject_as_username: user names that certificates, pre-shared keys and PROXY headers
// prove; what CONNECT says does not count then. What the broker makes of a client is read from its log and its hooks.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AuthenticateRequest } from '../../src/broker/hooks.ts'
import { ByteClient, closeByteClients } from '../net/byte-client.ts'
import { Authority } from '../net/certificates.ts'
import { type BrokerUnderTest, freePort, startBroker } from '../support/broker-process.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { connect5, p } from '../support/packets5.ts'
import { closePeers, mosquittoPub, PeerProcess, withPeer } from '../support/peers.ts'
import { repositoryRoot, skipped } from '../support/target.ts'

const authority = new Authority()
const server = authority.issue('server', '/CN=broker', ['DNS:localhost', 'IP:127.0.0.1'])
const device = authority.issue('device', '/C=AT/O=Acme, Inc./OU=Sensors/CN=device-7')
const nameless = authority.issue('nameless', '/C=AT/O=Acme')
const twoNames = authority.issue('two-names', '/CN=first/CN=second')
const pskFile = authority.path('psk')
const key = '00112233445566778899aabbccddeeff'
writeFileSync(pskFile, `sensor-1:${key}\n`)

const host = '127.0.0.1'
const ca = authority.text(authority.certificate)
const own = (one: { certfile: string; keyfile: string }) => ({
  cert: authority.text(one.certfile),
  key: authority.text(one.keyfile),
})
const tls = { certfile: [server.certfile], keyfile: [server.keyfile], cafile: authority.certificate }

const connected: Record<string, unknown>[] = []
const told = (fields: object, message: string): void => {
  if (message === 'client connected') connected.push(fields as Record<string, unknown>)
}
const quiet = (): void => {}
const log = { debugging: false, debug: quiet, info: told, warn: quiet, error: quiet }
// Nobody without a name that was proved gets in.
const { broker } = await listen({ log, allowAnonymous: false })
const door = async (options: object): Promise<number> => (await broker.listen({ port: 0, ...options })).port
const doors = {
  identity: await door({ ...tls, useIdentityAsUsername: true }),
  required: await door({ ...tls, requireCertificate: true, useIdentityAsUsername: true }),
  subject: await door({ ...tls, useSubjectAsUsername: true }),
  both: await door({ ...tls, useSubjectAsUsername: true, useIdentityAsUsername: true }),
  psk: await door({ pskFile, useIdentityAsUsername: true }),
  either: await door({ ...tls, pskFile, useIdentityAsUsername: true }),
  proxied: await door({ proxyProtocol: true, useIdentityAsUsername: true }),
  proxiedTls: await door({ ...tls, proxyProtocol: true, useIdentityAsUsername: true }),
}

test.after.each(() => {
  closeByteClients()
  closePeers()
})
test.after(closeBrokers)

const accepted = Buffer.from([0x20, 2, 0, 0])
const badUserName = Buffer.from([0x20, 2, 0, 4])
let count = 0

interface Dial {
  certificate?: { certfile: string; keyfile: string }
  header?: Buffer
  userName?: string
  password?: string
}

/** Connects with MQTT 3.1.1; the CONNACK, and the user name the broker then knows. */
async function dial(port: number, { certificate, header, ...who }: Dial = {}): Promise<[Buffer, unknown]> {
  const clientId = `c${++count}`
  const connect = packets.connect({ clientId, ...who })
  const secrets = { ca, servername: 'localhost', ...(certificate === undefined ? {} : own(certificate)) }
  const client = await ByteClient.dial({ host, port }, header === undefined ? secrets : undefined)
  client.send(...(header === undefined ? [] : [header]), connect)
  const connack = await client.take(4)
  return [connack, connected.find((fields) => fields.client === clientId)?.username]
}

test('the common name is the user name, whatever CONNECT says; allow_anonymous is not asked', async () => {
  assert.equal(await dial(doors.identity, { certificate: device }), [accepted, 'device-7'])
  const other = { certificate: device, userName: 'root', password: 'guess' }
  assert.equal(await dial(doors.identity, other), [accepted, 'device-7'])
  assert.equal(await dial(doors.required, other), [accepted, 'device-7'])
})

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a resumed session has the name of the certificate it began with, ${version}; at no other listener`, async () => {
    const secrets = { ca, servername: 'localhost', minVersion: version, maxVersion: version }
    const visit = async (port: number, more: object): Promise<{ socket: TLSSocket; answer: Buffer; id: string }> => {
      const client = await ByteClient.dial({ host, port }, { ...secrets, ...more })
      const socket = client.socket as TLSSocket
      const id = `r${++count}`
      client.send(packets.connect({ clientId: id }))
      const answer = await client.take(4) // the ticket came before it
      return { socket, answer, id }
    }
    const session = (await visit(doors.identity, own(device))).socket.getSession()!
    // Without its certificate: all it has is the ticket.
    const again = await visit(doors.identity, { session })
    assert.ok(again.socket.isSessionReused())
    assert.equal(again.answer, accepted)
    assert.is(connected.find((fields) => fields.client === again.id)?.username, 'device-7')
    const elsewhere = await visit(doors.both, { session })
    assert.not.ok(elsewhere.socket.isSessionReused())
    assert.equal(elsewhere.answer, badUserName)
  })
}

test('of two common names the first one counts, as in Mosquitto', async () => {
  assert.equal(await dial(doors.identity, { certificate: twoNames }), [accepted, 'first'])
})

test('the subject as RFC 2253 has it is the user name', async () => {
  const subject = 'CN=device-7,OU=Sensors,O=Acme\\, Inc.,C=AT'
  assert.equal(await dial(doors.subject, { certificate: device, userName: 'root' }), [accepted, subject])
  assert.equal(await dial(doors.subject, { certificate: nameless }), [accepted, 'O=Acme,C=AT'])
})

test('with both settings the identity wins, as in Mosquitto', async () => {
  assert.equal(await dial(doors.both, { certificate: device }), [accepted, 'device-7'])
})

test('without certificate or without common name: bad user name (4), also with a user name in CONNECT', async () => {
  for (const one of [{}, { userName: 'root', password: 'guess' }, { certificate: nameless, userName: 'root' }]) {
    assert.equal(await dial(doors.identity, one), [badUserName, undefined])
  }
  assert.equal(await dial(doors.subject), [badUserName, undefined])
})

test('MQTT 5 hears Bad User Name or Password (0x86)', async () => {
  const client = await ByteClient.dial({ host, port: doors.identity }, { ca, servername: 'localhost' })
  client.send(connect5({ clientId: 'five' }))
  assert.equal(
    [...(await client.take(4))].filter((_, at) => at !== 1),
    [0x20, 0, 0x86],
  )
})

test('without the settings a certificate changes no user name', async () => {
  const { broker: open } = await listen({ log })
  const { port } = await open.listen({ port: 0, ...tls })
  assert.equal(await dial(port, { certificate: device, userName: 'from-connect' }), [accepted, 'from-connect'])
  assert.equal(await dial(port, { certificate: device }), [accepted, undefined])
  closeByteClients()
  await open.close()
})

const nameOf = (topic: string): string => `verified/${topic}`

withPeer(test, 'mosquitto_pub')('mosquitto_pub --psk: the identity is the user name', async () => {
  for (const [port, version] of [
    [doors.psk, 'tlsv1.2'],
    [doors.psk, 'tlsv1.3'],
    [doors.either, 'tlsv1.3'],
  ] as const) {
    const id = `psk-${++count}`
    const secrets = ['--psk-identity', 'sensor-1', '--psk', key, '--tls-version', version]
    const message = ['-i', id, '-u', 'root', '-P', 'guess', '-t', nameOf(id), '-m', 'x', '-q', '1']
    await mosquittoPub({ host, port }, [...secrets, ...message])
    assert.is(connected.find((fields) => fields.client === id)?.username, 'sensor-1')
  }
})

test('where keys and certificates are both taken, a certificate tells the name, and nothing tells none', async () => {
  assert.equal(await dial(doors.either, { certificate: device }), [accepted, 'device-7'])
  assert.equal(await dial(doors.either, {}), [badUserName, undefined])
})

/** A PROXY header, version 2, of a proxy that has (or has not) verified a client certificate. */
function proxyHeader(name: string | undefined, verify = 0): Buffer {
  const tlv = (type: number, value: Buffer): Buffer => Buffer.concat([Buffer.from([type, 0, value.length]), value])
  const told = [tlv(0x21, Buffer.from('TLSv1.3')), ...(name === undefined ? [] : [tlv(0x22, Buffer.from(name))])]
  const ssl = tlv(0x20, Buffer.concat([Buffer.from([7, 0, 0, 0, verify]), ...told]))
  const body = Buffer.concat([Buffer.from('cb007109c00002011267075b', 'hex'), ssl])
  return Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a2111', 'hex'), Buffer.from([0, body.length]), body])
}

test('PROXY version 2: the name on the certificate that the proxy has verified', async () => {
  const userName = 'root'
  assert.equal(await dial(doors.proxied, { header: proxyHeader('device-9'), userName }), [accepted, 'device-9'])
  for (const header of [
    proxyHeader(undefined),
    proxyHeader('device-9', 1),
    Buffer.from('PROXY TCP4 203.0.113.9 192.0.2.1 4711 1883\r\n'),
  ]) {
    assert.equal(await dial(doors.proxied, { header, userName }), [badUserName, undefined])
  }
})

const haproxy = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find((file) => spawnSync(file, ['-v']).status === 0)
const withHaproxy = haproxy !== undefined || process.env.CI ? test : skipped(test, 'haproxy is not installed')

withHaproxy('haproxy ends TLS and tells the name it has verified: send-proxy-v2-ssl-cn', async () => {
  assert.ok(haproxy, 'haproxy is not installed, and CI is set')
  const front = await freePort()
  const pem = authority.path('haproxy.pem')
  writeFileSync(pem, authority.text(server.certfile) + authority.text(server.keyfile))
  const file = authority.path('haproxy.cfg')
  const configuration = `defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen mqtt
  bind ${host}:${front} ssl crt ${pem} ca-file ${authority.certificate} verify optional
  server broker ${host}:${doors.proxied} send-proxy-v2-ssl-cn
`
  writeFileSync(file, configuration)
  const proxy = new PeerProcess(haproxy!, ['-f', file])
  const listens = (): Promise<boolean> =>
    ByteClient.dial({ host, port: front }).then(
      () => true,
      () => false,
    )
  while (!(await listens())) await new Promise(setImmediate)
  assert.equal(await dial(front, { certificate: device, userName: 'root' }), [accepted, 'device-7'])
  assert.equal(await dial(front, { userName: 'root' }), [badUserName, undefined])
  proxy.kill9()
})

test('a listener with TLS of its own behind a proxy: what the proxy says of a certificate is no name', async () => {
  const raw = await ByteClient.dial({ host, port: doors.proxiedTls })
  raw.send(proxyHeader('device-9'))
  raw.socket.removeAllListeners('data')
  const client = await ByteClient.dial({ host, port: 0 }, { socket: raw.socket, ca, servername: 'localhost' })
  client.send(packets.connect({ clientId: 'behind' }))
  assert.equal(await client.take(4), badUserName)
})

test('the hook is asked with the proved name, without a password, and may refuse', async () => {
  const asked: AuthenticateRequest[] = []
  const { broker: strict } = await listen({
    log,
    authenticate: (request) => {
      asked.push(request)
      return request.verified
        ? request.username === 'device-7'
        : Buffer.from(request.password ?? '').toString() === 'right'
    },
  })
  const { port } = await strict.listen({ port: 0, ...tls, useIdentityAsUsername: true })
  const { port: usual } = await strict.listen({ port: 0, ...tls })
  assert.equal((await dial(port, { certificate: device, userName: 'u', password: 'p' }))[0], accepted)
  assert.equal((await dial(port, { certificate: twoNames }))[0], Buffer.from([0x20, 2, 0, 5]))
  assert.equal((await dial(port))[0], badUserName)
  assert.equal((await dial(usual, { certificate: device, userName: 'u', password: 'right' }))[0], accepted)
  const facts = asked.map(({ username, password, verified, peer }) => [
    username,
    password === undefined ? undefined : Buffer.from(password).toString(),
    verified,
    peer.commonName,
  ])
  assert.equal(facts, [
    ['device-7', undefined, true, 'device-7'],
    ['first', undefined, true, 'first'],
    ['u', 'right', false, 'device-7'],
  ])
  closeByteClients()
  await strict.close()
})

test('enhanced authentication is told the proved name', async () => {
  const names: (string | undefined)[] = []
  const { broker: strict } = await listen({
    beginAuthentication: ({ username }) => {
      names.push(username)
      return { step: () => ({ outcome: 'success' }) }
    },
  })
  const { port } = await strict.listen({ port: 0, ...tls, useIdentityAsUsername: true })
  const client = await ByteClient.dial({ host, port }, { ca, servername: 'localhost', ...own(device) })
  client.send(connect5({ clientId: 'scram', properties: [p.authMethod('X')] }))
  assert.is((await client.take(4))[3], 0)
  assert.equal(names, ['device-7'])
  closeByteClients()
  await strict.close()
})

test('a listener that could tell no names is a configuration error', async () => {
  const problem = (options: object): Promise<string> =>
    door(options).then(
      () => 'none',
      (error: Error) => error.message,
    )
  const { cafile: _, ...unasked } = tls
  const identity = { useIdentityAsUsername: true }
  const subject = { useSubjectAsUsername: true }
  for (const options of [identity, { ...unasked, ...identity }, { ...unasked, proxyProtocol: true, ...identity }]) {
    assert.match(await problem(options), /^use_identity_as_username = true: nothing tells whom/)
  }
  for (const options of [subject, { pskFile, ...subject }, { proxyProtocol: true, ...subject }]) {
    assert.match(await problem(options), /^use_subject_as_username = true: nobody is asked for a certificate/)
  }
})

const started: BrokerUnderTest[] = []
test.after.each(async () => {
  for (const one of started.splice(0)) await one.stopCleanly()
})

/** What a broker with this configuration file logs of the device. */
async function lineWith(file: { name: 'martlet.yaml' | 'mosquitto.conf'; text: string }): Promise<string> {
  const one = await startBroker({ file })
  started.push(one)
  const client = await ByteClient.dial({ host, port: one.port }, { ca, servername: 'localhost', ...own(device) })
  client.send(packets.connect({ clientId: 'dev', userName: 'root', password: 'guess' }))
  assert.equal(await client.take(4), accepted)
  const line = await one.waitForLog(/client connected/)
  client.destroy()
  return line
}

test('martlet.yaml: use_identity_as_username', async () => {
  const certificate = { certfile: tls.certfile, keyfile: tls.keyfile, cafile: tls.cafile }
  const listener = { port: 0, host, ...certificate, use_identity_as_username: true }
  const text = `allow_anonymous: false\nlisteners: [${JSON.stringify(listener)}]\n`
  assert.match(await lineWith({ name: 'martlet.yaml', text }), /username=device-7/)
})

test('mosquitto.conf: use_subject_as_username', async () => {
  const text = [
    'allow_anonymous false',
    `listener ${await freePort()} ${host}`,
    `certfile ${server.certfile}`,
    `keyfile ${server.keyfile}`,
    `cafile ${authority.certificate}`,
    'require_certificate true',
    'use_subject_as_username true',
  ].join('\n')
  assert.match(await lineWith({ name: 'mosquitto.conf', text }), /username="CN=device-7,OU=Sensors,O=Acme/)
})

withPeer(test, 'mosquitto_pub')(
  'mosquitto.conf: a psk_file in front of the listeners, a psk_hint behind one',
  async () => {
    const text = `psk_file ${pskFile}\nlistener ${await freePort()} ${host}\npsk_hint h\nuse_identity_as_username true\n`
    const one = await startBroker({ file: { name: 'mosquitto.conf', text } })
    started.push(one)
    const secrets = ['--psk-identity', 'sensor-1', '--psk', key]
    await mosquittoPub({ host, port: one.port }, [...secrets, '-t', 't', '-m', 'x', '-q', '1'])
    await one.waitForLog(/client connected.*username=sensor-1/)
    const plain = await ByteClient.dial({ host, port: one.port })
    plain.send(packets.connect({ clientId: 'plain' }))
    assert.not.equal([...(await plain.rest()).subarray(0, 1)], [0x20])
  },
)

test('--test-config finds a listener that could tell no names', async () => {
  const file = authority.path('no-names.conf')
  writeFileSync(file, 'listener 1883\nuse_identity_as_username true\n')
  const words = [join(repositoryRoot, 'bin/martlet.js'), '--test-config', '-c', file]
  const check = new PeerProcess(process.execPath, words, process.env)
  assert.is(await check.exit(), 3)
  assert.match(check.lines.join('\n'), /Error: .*:\d+: use_identity_as_username = true: nothing tells whom/)
})

test.run()
