// What the kernel holds for our sockets: read from the sockets themselves, those of a broker with its defaults in this very
// process, by a child that inherits them. Node has no getsockopt; Python, which the addon's compilation needs anyway, has.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createBroker } from '../../src/index.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

test.after.each(closeClients)

/** Columns of a row of /proc/net/tcp. */
const [LOCAL, REMOTE, INODE] = [1, 2, 9]

/** The descriptor in this process of the socket between two ports of this machine; remote port 0: the one that listens. */
function descriptorOf(table: 'tcp' | 'tcp6', local: number, remote: number): number {
  const end = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const row = readFileSync(`/proc/self/net/${table}`, 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find((columns) => columns[LOCAL]?.endsWith(end(local)) && columns[REMOTE]?.endsWith(end(remote)))
  const link = `socket:[${row?.[INODE]}]`
  return readdirSync('/proc/self/fd')
    .map(Number)
    .find((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === link
      } catch {
        return false // the descriptor of the listing itself
      }
    })!
}

// Of a socket that listens, TCP_INFO has the length of its queue where others have what was acknowledged selectively.
const program = `
import json, socket, struct
def options(fd):
    s = socket.socket(fileno=fd)
    tcp = lambda name: s.getsockopt(socket.IPPROTO_TCP, name)
    info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return {
        'nodelay': tcp(socket.TCP_NODELAY) != 0,
        'keepalive': s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0,
        'userTimeout': tcp(socket.TCP_USER_TIMEOUT),
        'backlog': struct.unpack_from('I', info, 28)[0],
    }
print(json.dumps([options(fd) for fd in range(3, 3 + COUNT)]))
`

interface Options {
  nodelay: boolean
  keepalive: boolean
  /** ms */
  userTimeout: number
  /** Of a socket that listens. */
  backlog: number
}

/** Asks the kernel what these descriptors of ours are set to. */
function optionsOf(...descriptors: number[]): Options[] {
  const words = ['-c', program.replace('COUNT', `${descriptors.length}`)]
  const { stdout, stderr, error } = spawnSync('python3', words, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
  })
  if (error !== undefined || stderr !== '') throw new Error(`python3: ${error?.message ?? stderr}`)
  return JSON.parse(stdout)
}

for (const [host, table, writeTimeout] of [
  ['127.0.0.1', 'tcp', 60],
  ['::1', 'tcp6', 7],
] as const) {
  test(`at ${host}: TCP_NODELAY, SO_KEEPALIVE, TCP_USER_TIMEOUT as write_timeout (${writeTimeout} s), backlog as somaxconn`, async () => {
    // The defaults, where they are what is to be shown.
    const broker = createBroker(writeTimeout === 60 ? {} : { writeTimeout })
    try {
      const { port } = await broker.listen({ host, port: 0 })
      const client = await RawClient.connect({ host, port }, { clientId: 'c' })
      const [listening, accepted] = optionsOf(descriptorOf(table, port, 0), descriptorOf(table, port, client.localPort))
      assert.is(listening!.backlog, Number(readFileSync('/proc/sys/net/core/somaxconn', 'latin1')))
      const { nodelay, keepalive, userTimeout } = accepted!
      assert.equal(
        { nodelay, keepalive, userTimeout },
        { nodelay: true, keepalive: true, userTimeout: writeTimeout * 1000 },
      )
      client.destroy()
    } finally {
      await broker.close()
    }
  })
}

test.run()
