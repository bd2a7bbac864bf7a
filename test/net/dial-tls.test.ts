// TLS on connections of ours: whom they accept, what they show, and that nothing is told before the handshake is through.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createTcpServer, type Socket } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CloseReason, Total } from '../../src/net/wire.ts'
import { Authority } from './certificates.ts'
import { type Asker, type Dialing, withDialing } from './dial-rig.ts'
import { rounds } from './native-rig.ts'

const authority = new Authority()
const stranger = new Authority('Somebody Else')
const { certfile, keyfile } = authority.issue('server', '/CN=broker.example', ['DNS:broker.example', 'IP:127.0.0.1'])
const client = authority.issue('client', '/CN=bridge-1')
const text = (file: string): string => readFileSync(file, 'utf8')
const trusted = text(authority.certificate)
const HOST = '127.0.0.1'
const PINGREQ = Buffer.from([0xc0, 0])
const PINGRESP = Buffer.from([0xd0, 0])

/** A TLS server that answers whatever it is sent with PINGRESP, for as long as `use` takes. */
async function withServer(
  options: TlsOptions,
  use: (port: number, peers: TLSSocket[]) => Promise<void>,
): Promise<void> {
  const peers: TLSSocket[] = []
  const sockets: { destroy(): void }[] = []
  const server: Server = createServer({ cert: text(certfile), key: text(keyfile), ...options }, (socket) => {
    peers.push(socket)
    socket.on('error', () => {}).on('data', () => socket.write(PINGRESP))
  })
  server.on('tlsClientError', () => {}).on('connection', (socket) => sockets.push(socket))
  server.listen(0, HOST)
  await once(server, 'listening')
  try {
    await use((server.address() as { port: number }).port, peers)
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  }
}

const greets = (asker: Asker): void => {
  asker.onConnected = (connection) => connection.send(PINGREQ)
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(
    `${version}: connected is told after the handshake; what is sent then arrives, and so does the answer`,
    withDialing(async (dialing) => {
      const tls = dialing.reactor.secureCaller({ authorities: trusted, protocols: ['mqtt'] })
      const limits = { minVersion: version, maxVersion: version, ALPNProtocols: ['mqtt'] }
      await withServer(limits, async (port, peers) => {
        const asker = dialing.dial({ host: HOST, port, tls, serverName: 'broker.example' }, greets)
        await dialing.until(() => asker.told.includes('packet 208'))
        assert.equal(asker.told, ['connected', 'packet 208'])
        assert.match(asker.connection!.identity.cipher!, new RegExp(`^${version} `))
        assert.is(asker.connection!.remoteAddress, `${HOST}:${port}`)
        assert.is(peers[0]!.alpnProtocol, 'mqtt')
        assert.is((peers[0] as TLSSocket & { servername: string }).servername, 'broker.example')
        peers[0]!.end()
        await dialing.until(() => asker.told.includes('ended'))
        asker.connection!.finish()
        await dialing.until(() => asker.told.includes(`closed ${CloseReason.Finished}`))
      })
    }),
  )
}

test(
  'the name is that of the host unless another is given; an address is looked for among the addresses',
  withDialing(
    async (dialing) => {
      const tls = dialing.reactor.secureCaller({ authorities: trusted })
      await withServer({}, async (port) => {
        const good = [
          dialing.dial({ host: 'broker.example', port, tls }, greets),
          dialing.dial({ host: HOST, port, tls }, greets),
        ]
        await dialing.until(() => good.every((asker) => asker.told.includes('packet 208')))
        const bad = [
          dialing.dial({ host: 'other.example', port, tls }, greets),
          dialing.dial({ host: HOST, port, tls, serverName: '127.0.0.9' }, greets),
        ]
        await dialing.until(() => bad.every((asker) => asker.told.length === 2))
        for (const asker of bad) {
          assert.equal(asker.told, ['handshake EPROTO', 'given up EPROTO'])
          assert.match(asker.failures[0]!.detail!, /^TLS: server certificate: (hostname|IP address) mismatch$/)
        }
      })
    },
    { lookup: async () => [HOST] },
  ),
)

test(
  'a certificate nobody we trust has signed is refused',
  withDialing(async (dialing) => {
    const tls = dialing.reactor.secureCaller({ authorities: text(stranger.certificate) })
    await withServer({}, async (port, peers) => {
      const asker = dialing.dial({ host: HOST, port, tls }, greets)
      await dialing.until(() => asker.told.length === 2)
      assert.match(asker.failures[0]!.detail!, /^TLS: server certificate: /)
      assert.is(dialing.dialer.counters.connected, 0)
      assert.ok(peers.every((peer) => peer.bytesRead === 0))
    })
  }),
)

test(
  'a certificate of ours is shown to who asks for one',
  withDialing(async (dialing) => {
    const pair = [text(client.certfile), text(client.keyfile)]
    const tls = dialing.reactor.secureCaller({ authorities: trusted, certificates: pair })
    const mutual = { requestCert: true, rejectUnauthorized: true, ca: trusted }
    await withServer(mutual, async (port, peers) => {
      const asker = dialing.dial({ host: HOST, port, tls }, greets)
      await dialing.until(() => asker.told.includes('packet 208'))
      assert.is(peers[0]!.getPeerCertificate().subject.CN, 'bridge-1')
      // Without one, TLS 1.2 never stands; TLS 1.3 stands for a moment, for only then the server says no.
      const nameless = dialing.reactor.secureCaller({ authorities: trusted })
      const refused = dialing.dial({ host: HOST, port, tls: nameless })
      await dialing.until(() => refused.told.includes('ended') || refused.failures.length > 0)
      assert.ok(!refused.told.includes('packet 208'))
    })
  }),
)

test(
  'a shared key instead of certificates; a wrong one never stands',
  withDialing(async (dialing) => {
    const keys = { psk: ['bridge', 'c0ffee'] }
    const server = createServer({
      pskCallback: (_socket, identity) => (identity === 'bridge' ? Buffer.from('c0ffee', 'hex') : null),
      ciphers: 'PSK-AES128-GCM-SHA256:DHE-PSK-AES128-GCM-SHA256:ECDHE-PSK-CHACHA20-POLY1305',
      maxVersion: 'TLSv1.2',
    } as TlsOptions)
    server.on('secureConnection', (socket) => socket.on('error', () => {}).write(PINGRESP))
    server.on('tlsClientError', () => {}).listen(0, HOST)
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const ciphers = 'PSK-AES128-GCM-SHA256'
    const good = dialing.dial({ host: HOST, port, tls: dialing.reactor.secureCaller({ ...keys, ciphers }) })
    await dialing.until(() => good.told.includes('packet 208'))
    const wrong = dialing.reactor.secureCaller({ psk: ['bridge', 'c0ffef'], ciphers })
    const bad = dialing.dial({ host: HOST, port, tls: wrong })
    await dialing.until(() => bad.told.length === 2)
    assert.is(bad.told.includes('connected'), false)
    good.dial.close()
    server.close()
    await once(server, 'close')
  }),
)

/** A TCP server that does `handle` with each connection. */
async function withTcp(handle: (socket: Socket) => void, use: (port: number) => Promise<void>) {
  const server = createTcpServer((socket) => handle(socket.on('error', () => {}))).listen(0, HOST)
  const sockets: { destroy(): void }[] = []
  server.on('connection', (socket) => sockets.push(socket))
  await once(server, 'listening')
  try {
    await use((server.address() as { port: number }).port)
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  }
}

const callTo = (dialing: Dialing, port: number): Asker =>
  dialing.dial({ host: HOST, port, tls: dialing.reactor.secureCaller({ authorities: trusted }), connectTimeout: 3000 })

test(
  'a peer that speaks no TLS, hangs up or resets in the handshake: the connection never stood',
  withDialing(async (dialing) => {
    const answers: ((socket: Socket) => void)[] = [
      (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
      (socket) => socket.end(),
      (socket) => socket.resetAndDestroy(),
    ]
    for (const handle of answers) {
      await withTcp(
        (socket) => socket.once('data', () => handle(socket)),
        async (port) => {
          const asker = callTo(dialing, port)
          await dialing.until(() => asker.told.length === 2)
          assert.ok(['EPROTO', 'ECONNRESET'].includes(asker.failures[0]!.code), asker.told.join())
        },
      )
    }
    assert.is(dialing.dialer.counters.connected, 0)
  }),
)

test(
  'a peer that says nothing in the handshake is left after the connect timeout; nothing spins meanwhile',
  withDialing(async (dialing) => {
    let hears: () => void = () => {}
    const clientHello = new Promise<void>((settle) => {
      hears = settle
    })
    await withTcp(
      (socket) => socket.once('data', hears),
      async (port) => {
        const asker = callTo(dialing, port)
        await clientHello
        const turns = dialing.reactor.memory.totals[Total.Turns]
        await rounds(20)
        assert.is(dialing.reactor.memory.totals[Total.Turns], turns)
        assert.is(asker.dial.state, 'connecting')
        dialing.pass(3100)
        assert.equal(asker.told, ['timeout ETIMEDOUT', 'given up ETIMEDOUT'])
      },
    )
  }),
)

test(
  'what cannot be used is said when the caller is made, and no name is no verification',
  withDialing(async (dialing) => {
    const { reactor } = dialing
    assert.throws(() => reactor.secureCaller({}), /authorities are wanted/)
    assert.throws(() => reactor.secureCaller({ authorities: 'nothing' }), /no certificate is in the file/)
    const two = [text(client.certfile), text(client.keyfile), text(certfile), text(keyfile)]
    assert.throws(() => reactor.secureCaller({ authorities: trusted, certificates: two }), /one certificate/)
    assert.throws(() => reactor.secureCaller({ authorities: trusted, certificates: [two[0]!, two[3]!] }), /private key/)
    assert.throws(() => reactor.secureCaller({ authorities: trusted, protocols: [''] }), /1 to 255/)
    const tls = reactor.secureCaller({ authorities: trusted })
    const nobody = {
      handleConnected: () => assert.unreachable(),
      handleConnectFailed: () => assert.unreachable(),
      handleDisconnected: () => assert.unreachable(),
    }
    assert.throws(() => reactor.connect({ host: HOST, port: 1, tls }, nobody as never), /serverName is wanted/)
    const unknown = { host: HOST, port: 1, tls: 99, serverName: 'a' }
    assert.throws(() => reactor.connect(unknown, nobody as never), /no such caller/)
  }),
)

test.run()
