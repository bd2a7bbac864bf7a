import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ping } from '../../src/cli/commands/ping.ts'
import { Authority } from '../net/certificates.ts'

const CONNACK = Uint8Array.of(0x20, 2, 0, 0)

/** The exit code of `ping` against a server that does `handle` with each connection. */
const pinged = async (handle: (socket: Socket) => void): Promise<number> => {
  const server = createServer((socket) => handle(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const code = await ping.run(['-p', String(port)])
  server.close()
  return code
}

test('a CONNACK means it serves, a refusing one too', async () => {
  assert.is(await pinged((socket) => socket.once('data', () => socket.write(Uint8Array.of(0x20, 2, 0, 0)))), 0)
  assert.is(await pinged((socket) => socket.once('data', () => socket.write(Uint8Array.of(0x20, 2, 0, 5)))), 0)
})

test('a server that closes or speaks something else does not serve', async () => {
  assert.is(await pinged((socket) => socket.end()), 1)
  assert.is(await pinged((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n')), 1)
})

test('its Unix socket, instead of a port', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'martlet-ping-'))
  const path = join(folder, 'mqtt.sock')
  const server = createServer((socket) => socket.once('data', () => socket.end(CONNACK))).listen(path)
  await once(server, 'listening')
  assert.is(await ping.run(['--unix', path]), 0)
  server.close()
  assert.is(await ping.run(['--unix', join(folder, 'nobody')]), 1)
  rmSync(folder, { recursive: true })
})

test('with --cafile it speaks TLS, and believes only a certificate of that name', async () => {
  const authority = new Authority()
  const { certfile, keyfile } = authority.issue('server', '/CN=broker.example', ['DNS:broker.example', 'IP:127.0.0.1'])
  const server = createTlsServer({ cert: readFileSync(certfile), key: readFileSync(keyfile) }, (socket) =>
    socket.on('error', () => {}).once('data', () => socket.end(CONNACK)),
  )
  server.on('tlsClientError', () => {}).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = String((server.address() as { port: number }).port)
  const cafile = authority.certificate
  assert.is(await ping.run(['-p', port, '--cafile', cafile]), 0)
  assert.is(await ping.run(['-p', port, '--cafile', cafile, '--servername', 'broker.example']), 0)
  assert.is(await ping.run(['-p', port, '--cafile', cafile, '--servername', 'other.example']), 1)
  assert.is(await ping.run(['-p', port, '--cafile', keyfile]), 3)
  assert.is(await ping.run(['-p', port, '--cafile', '/nowhere.pem']), 3)
  server.close()
})

test('with --wait it asks until the broker serves: first it is not there, then it is not ready', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (++visits === 1) socket.resetAndDestroy()
    else socket.once('data', () => socket.end(CONNACK))
  })
  let visits = 0
  // Not a port the system gives out: it has to be ours still when the broker comes.
  const port = 10_000 + Math.floor(Math.random() * 20_000)
  const pinged = ping.run(['-p', String(port), '--wait', '60'])
  // It has been refused at least once before anybody listens.
  for (let n = 0; n < 20; n++) await new Promise(setImmediate)
  server.listen(port, '127.0.0.1')
  assert.is(await pinged, 0)
  assert.is(visits, 2)
  server.close()
})

test('a peer that never answers: exit code 1 after the timeout, with --wait when that is over', async () => {
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  assert.is(await ping.run(['-p', String(port), '--timeout', '0.05']), 1)
  assert.is(await ping.run(['-p', String(port), '--timeout', '0.02', '--wait', '0.1']), 1)
  server.close()
})

test('nobody there does not serve, and a wrong flag is exit code 3', async () => {
  assert.is(await ping.run(['-p', '1', '--timeout', '1']), 1)
  assert.is(await ping.run(['--frobnicate']), 3)
  assert.is(await ping.run(['--timeout', 'soon']), 3)
  assert.is(await ping.run(['--wait', '0']), 3)
})

test.run()
