import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ping } from '../../src/cli/commands/ping.ts'

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

test('nobody there does not serve, and a wrong flag is exit code 3', async () => {
  assert.is(await ping.run(['-p', '1', '--timeout', '1']), 1)
  assert.is(await ping.run(['--frobnicate']), 3)
})

test.run()
