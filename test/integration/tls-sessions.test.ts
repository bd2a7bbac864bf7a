// TLS as openssl s_client and Node's own client see it: names and certificates (SNI), ALPN, versions and ciphers, sessions that
// are resumed by tickets, renewed certificates. Certificates are made here.
import { copyFileSync, existsSync, writeFileSync } from 'node:fs'
import { connect as connectTls } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteClient, closeByteClients } from '../net/byte-client.ts'
import { Authority } from '../net/certificates.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { closePeers, PeerProcess } from '../support/peers.ts'

const lines: string[] = []
/** Why connections could not be set up, as docs/listeners.md has them. */
const reasons: string[] = []
const told = (fields: object, message: string) => {
  lines.push(message)
  if (message === 'a connection could not be set up') reasons.push(String((fields as { reason: string }).reason))
}
const log = { debugging: false, debug: told, info: told, warn: told, error: told }

const authority = new Authority()
const server = authority.issue('server', '/CN=broker', ['DNS:localhost', 'IP:127.0.0.1'])
const other = authority.issue('other', '/CN=other', ['DNS:*.other.example'])
const device = authority.issue('device', '/O=Acme/OU=Sensors/CN=device-7')
const crlfile = authority.revocationList(authority.issue('revoked', '/CN=device-8').certfile)

const host = '127.0.0.1'
const ca = authority.text(authority.certificate)
const { broker } = await listen({ log })
const certificates = { certfile: [server.certfile, other.certfile], keyfile: [server.keyfile, other.keyfile] }
const cafile = authority.certificate
const chacha = { tlsVersion: 'tlsv1.3' as const, ciphersTls13: 'TLS_CHACHA20_POLY1305_SHA256' }
const doors = {
  tls: (await broker.listen({ port: 0, ...certificates, protocol: 'any' })).port,
  strict: (await broker.listen({ port: 0, ...certificates, ...chacha })).port,
  old: (await broker.listen({ port: 0, ...certificates, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })).port,
}

test.after.each(() => {
  closeByteClients()
  closePeers()
})
test.after(closeBrokers)

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
  assert.ok(reasons.includes('TLS handshake: no shared cipher'), reasons.join())
  assert.match(await sClient(doors.tls, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'), /alert protocol version/)
})

test('openssl s_client -servername: the certificate of that name, and the first one for any other', async () => {
  const shown = async (name: string): Promise<string> =>
    /subject=CN = (\S+)/.exec(await sClient(doors.tls, '-servername', name))![1]!
  assert.is(await shown('localhost'), 'broker')
  assert.is(await shown('a.other.example'), 'other')
  assert.is(await shown('unknown.example'), 'broker')
})

for (const version of ['-tls1_2', '-tls1_3']) {
  test(`openssl s_client ${version}: a session is saved, and resumed in the next connection`, async () => {
    const file = authority.path(`session${version}`)
    // It reads CONNACK, so that it has what came with it: the tickets of TLS 1.3.
    const peer = new PeerProcess('openssl', [
      ...['s_client', '-quiet', '-no_ign_eof', '-connect', `${host}:${doors.tls}`, version, '-sess_out', file],
    ])
    peer.write(packets.connect({ clientId: `saved${version}` }).toString('latin1'))
    while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 10))
    peer.endInput()
    await peer.exit()
    assert.match(await sClient(doors.tls, version), /^New, TLSv1/m)
    assert.match(await sClient(doors.tls, version, '-sess_in', file), /^Reused, TLSv1/m)
  })
}

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
  const live = await ByteClient.dial({ host, port }, { ca, servername: 'localhost' })
  live.send(packets.connect({ clientId: 'live' }))
  assert.equal(await live.take(4), Buffer.from([0x20, 2, 0, 0]))
  const { ticket } = await session(port)
  use(other)
  broker.reloadCertificates()
  assert.is(await subjectFor(port, 'localhost'), 'other')
  live.send(packets.pingreq())
  assert.equal(await live.take(2), Buffer.from([0xd0, 0]))
  assert.ok((await session(port, ticket)).reused)
  writeFileSync(own.keyfile[0]!, 'no key')
  broker.reloadCertificates()
  assert.match(lines.at(-1)!, /private key cannot be read.* The running certificates stay\.$/)
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

test.run()
