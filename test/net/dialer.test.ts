// Connections of ours with real sockets: every way they begin, fail, end and begin again. The clock is the test's: nobody
// waits. Each test also shows that no descriptor is left behind.
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CloseReason, Total } from '../../src/net/wire.ts'
import { type Asker, withDialing } from './dial-rig.ts'
import { rounds } from './native-rig.ts'

const HOST = '127.0.0.1'
const PINGREQ = Buffer.from([0xc0, 0])
const PINGRESP = Buffer.from([0xd0, 0])

test(
  'a connection of ours is as any other: it sends, receives, and says where it goes',
  withDialing(async (dialing) => {
    const port = await dialing.serve((socket) => socket.once('data', () => socket.end(PINGRESP)))
    const asker = dialing.dial({ host: HOST, port })
    asker.onConnected = (connection) => {
      assert.is(connection.direction, 'outgoing')
      assert.is(connection.remoteAddress, `${HOST}:${port}`)
      connection.send(PINGREQ)
    }
    assert.is(asker.dial.state, 'resolving')
    await dialing.until(() => asker.told.includes('ended'))
    assert.is(asker.dial.connection, asker.connection)
    asker.connection?.finish()
    await dialing.until(() => asker.told.includes('given up'))
    assert.equal(asker.told, ['connected', 'packet 208', 'ended', `closed ${CloseReason.Finished}`, 'given up'])
    assert.is(dialing.reactor.memory.totals[Total.Connected], 1)
    assert.is(dialing.dialer.size, 0)
    assert.equal(dialing.lines, ['connected'])
  }),
)

test(
  'after the peer has finished sending, what we send still arrives: half close',
  withDialing(async (dialing) => {
    const received: Buffer[] = []
    let peer: Socket | undefined
    const port = await dialing.serve((socket) => {
      peer = socket
      socket.end() // its FIN comes before our first byte
      socket.on('data', (bytes) => received.push(bytes))
    })
    const asker = dialing.dial({ host: HOST, port })
    await dialing.until(() => asker.told.includes('ended'))
    asker.connection?.send(Buffer.alloc(300_000, 'x'))
    asker.connection?.finish()
    await once(peer!, 'end')
    assert.is(Buffer.concat(received).length, 300_000)
    await dialing.until(() => asker.told.includes(`closed ${CloseReason.Finished}`))
  }),
)

test(
  'a Unix socket, by path and by abstract name',
  withDialing(async (dialing) => {
    const folder = mkdtempSync(join(tmpdir(), 'martlet-dial-'))
    try {
      // Node fills an abstract name up with zeroes: only one of full length is the same for both.
      const abstract = `martlet-dial-${process.pid}-`.padEnd(107, 'x')
      for (const [name, path] of [
        [join(folder, 'a.sock'), join(folder, 'a.sock')],
        [`@${abstract}`, `\0${abstract}`],
      ] as const) {
        await dialing.serve((socket) => socket.write(PINGRESP), { path })
        const asker = dialing.dial({ socketPath: name })
        await dialing.until(() => asker.told.includes('packet 208'))
        assert.match(asker.connection!.remoteAddress, new RegExp(`^unix:pid=${process.pid},uid=`))
        asker.dial.close()
      }
      const nobody = dialing.dial({ socketPath: join(folder, 'none') })
      await dialing.until(() => nobody.told.includes('given up ENOENT'))
      const long = dialing.dial({ socketPath: `/${'x'.repeat(200)}` })
      await dialing.until(() => long.told.includes('given up ENAMETOOLONG'))
    } finally {
      rmSync(folder, { recursive: true })
    }
  }),
)

test(
  'IPv6, where there is any',
  withDialing(async (dialing) => {
    const server = createServer((socket) => socket.on('error', () => {})).listen(0, '::1')
    const there = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!there) return
    const { port } = server.address() as { port: number }
    const asker = dialing.dial({ host: '::1', port })
    await dialing.until(() => asker.told.includes('connected'))
    assert.is(asker.connection!.remoteAddress, `[::1]:${port}`)
    asker.dial.close()
    server.close()
    await once(server, 'close')
  }),
)

test(
  'nobody listens: ECONNREFUSED, counted and logged; without retry it is given up',
  withDialing(async (dialing) => {
    const port = await dialing.freePort()
    const asker = dialing.dial({ host: HOST, port })
    await dialing.until(() => asker.told.length === 2)
    assert.equal(asker.told, ['system ECONNREFUSED', 'given up ECONNREFUSED'])
    assert.equal(asker.failures, [{ address: `${HOST} ${port}`, reason: 'system', code: 'ECONNREFUSED' }])
    const { attempts, connected, failures, timeouts } = dialing.dialer.counters
    assert.equal([attempts, connected, failures, timeouts], [1, 0, 1, 0])
    assert.equal(dialing.lines, ['could not connect ECONNREFUSED'])
    assert.is(asker.dial.state, 'closed')
  }),
)

test(
  'a thousand refusals are one line of the log, and a count',
  withDialing(async (dialing) => {
    const port = await dialing.freePort()
    const asker = dialing.dial({ host: HOST, port, retry: { min: 1, max: 1, rounds: 20 } })
    for (let n = 1; n < 20; n++) {
      await dialing.until(() => asker.count('waiting') === n)
      dialing.pass(20)
    }
    await dialing.until(() => asker.told.includes('given up ECONNREFUSED'))
    assert.is(dialing.dialer.counters.failures, 20)
    assert.is(dialing.lines.length, 1)
  }),
)

/** A listener that never accepts, its queue full: whoever comes next hears nothing at all. */
async function blackHole(): Promise<{ port: number; close: () => Promise<void> }> {
  const worker = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
     const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port)
       Atomics.wait(workerData, 0, 0) // from now on nothing is accepted
       process.exit()
     })`,
    { eval: true, workerData: new Int32Array(new SharedArrayBuffer(4)) },
  )
  const [port] = (await once(worker, 'message')) as [number]
  return { port, close: async () => void (await worker.terminate()) }
}

test(
  'a peer that never answers is left after the connect timeout, not before',
  withDialing(async (dialing) => {
    const hole = await blackHole()
    try {
      // The queue takes backlog + 1, and the kernel counts as it likes: dial until somebody is not answered.
      const askers: Asker[] = []
      for (let n = 0; n < 8; n++) askers.push(dialing.dial({ host: HOST, port: hole.port, connectTimeout: 5000 }))
      await dialing.until(() => askers.filter((asker) => asker.told.includes('connected')).length >= 2)
      await rounds(20)
      const waiting = askers.filter((asker) => asker.dial.state === 'connecting')
      assert.ok(waiting.length > 0, 'all of them were connected')
      dialing.pass(4900)
      assert.ok(waiting.every((asker) => asker.told.length === 0))
      dialing.pass(200)
      for (const asker of waiting) assert.equal(asker.told, ['timeout ETIMEDOUT', 'given up ETIMEDOUT'])
      assert.is(dialing.dialer.counters.timeouts, waiting.length)
    } finally {
      await hole.close()
    }
  }),
)

test(
  'a connection that reached itself is dropped, said so, and its port is free at once',
  withDialing(async (dialing) => {
    const port = await dialing.freePort()
    const asker = dialing.dial({ host: HOST, port, localHost: HOST, localPort: port })
    await dialing.until(() => asker.told.length === 2)
    assert.equal(asker.told, ['itself ELOOP', 'given up ELOOP'])
    assert.is(dialing.dialer.counters.selfConnections, 1)
    assert.equal(dialing.lines, ['a connection reached itself: nobody listens there ELOOP'])
    assert.is(dialing.reactor.memory.totals[Total.Connected], 0)
    // No TIME_WAIT: who should listen there can, whatever options its socket has.
    const end = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
    assert.not.ok(readFileSync('/proc/net/tcp', 'utf8').includes(`${end} ${end}`))
    assert.is(await dialing.serve(() => {}, { port }), port)
  }),
)

test(
  'a peer that accepts and resets: it stood and is closed, or never stood; then it is dialed again',
  withDialing(async (dialing) => {
    const port = await dialing.serve((socket) => socket.resetAndDestroy())
    const asker = dialing.dial({ host: HOST, port, retry: { min: 100, max: 400 } })
    for (let n = 1; n <= 5; n++) {
      await dialing.until(() => asker.count('waiting') === n)
      dialing.pass(400)
    }
    // A connection that does not last makes no wait short again.
    assert.equal(asker.waits.slice(0, 5), [100, 200, 400, 400, 400])
    const ends = asker.told.filter((one) => one !== 'waiting' && one !== 'connected')
    assert.ok(ends.every((end) => end === 'system ECONNRESET' || end === `closed ${CloseReason.SocketError} 104`))
  }),
)

test(
  'a lost connection is made again, after waits that grow until one lasts',
  withDialing(async (dialing) => {
    const sockets: Socket[] = []
    const port = await dialing.serve((socket) => sockets.push(socket))
    const retry = { min: 100, max: 1000, steadyAfter: 5000 }
    const asker = dialing.dial({ host: HOST, port, retry }, (it) => {
      it.onConnected = (connection) => connection.send(PINGREQ)
    })
    const lose = async (n: number): Promise<void> => {
      await dialing.until(() => asker.count('connected') === n && sockets.length === n)
      sockets[n - 1]!.resetAndDestroy()
      await dialing.until(() => asker.count('waiting') === n)
    }
    for (let n = 1; n <= 3; n++) {
      await lose(n)
      dialing.pass(asker.waits.at(-1)! - 20)
      await rounds()
      assert.is(asker.dial.state, 'waiting')
      dialing.pass(40)
    }
    await dialing.until(() => asker.count('connected') === 4)
    dialing.pass(5000)
    await lose(4)
    assert.equal(asker.waits, [100, 200, 400, 100])
  }),
)

test(
  'the addresses of a name are tried in order, anew in each round',
  withDialing(
    async (dialing) => {
      const port = await dialing.serve(() => {})
      const asker = dialing.dial({ host: 'broker.example', port })
      await dialing.until(() => asker.told.includes('connected'))
      assert.equal(
        asker.failures.map(({ address, code }) => `${address} ${code}`),
        [`127.0.0.2 ${port} ECONNREFUSED`, `127.0.0.3 ${port} ECONNREFUSED`],
      )
      assert.is(asker.connection!.remoteAddress, `${HOST}:${port}`)
      assert.is(dialing.dialer.counters.attempts, 3)
    },
    { lookup: async () => ['127.0.0.2', '127.0.0.3', HOST, '127.0.0.4'] },
  ),
)

test(
  'the system resolves localhost; a name that cannot be is a failed look-up',
  withDialing(async (dialing) => {
    const port = await dialing.serve(() => {})
    const there = dialing.dial({ host: 'localhost', port })
    await dialing.until(() => there.told.includes('connected'))
    const nowhere = dialing.dial({ host: 'x'.repeat(300), port })
    await dialing.until(() => nowhere.told.length === 2)
    assert.is(nowhere.failures[0]!.reason, 'lookup')
    assert.is(dialing.dialer.counters.lookupFailures, 1)
  }),
)

let answer: (addresses: string[]) => void = () => {}
let lookups = 0
test(
  'a look-up that does not end is left after the timeout, and no second one is begun meanwhile',
  withDialing(
    async (dialing) => {
      const port = await dialing.serve(() => {})
      const retry = { min: 50, max: 50 }
      const askers = [1, 2, 3].map(() => dialing.dial({ host: 'slow.example', port, connectTimeout: 1000, retry }))
      await rounds()
      dialing.pass(1000)
      for (const asker of askers) assert.equal(asker.told, ['timeout ETIMEDOUT', 'waiting'])
      dialing.pass(60)
      assert.ok(askers.every((asker) => asker.dial.state === 'resolving'))
      assert.is(lookups, 1)
      answer([HOST])
      await dialing.until(() => askers.every((asker) => asker.told.includes('connected')))
      assert.is(lookups, 1)
    },
    {
      lookup: () => {
        lookups++
        return new Promise((settle) => {
          answer = settle
        })
      },
    },
  ),
)

/** The least the reactor accepts: everything is told in many turns. */
const TINY = { inboxRecords: 64, inboxSize: 4096, outboxWords: 256, outboxSize: 256, readSize: 64 }

for (const [name, sizes] of [
  ['usual', {}],
  ['tiny', TINY],
] as const) {
  test(
    `two thousand dials at once: all stand, each is answered, and a close ends them all (${name} sizes)`,
    withDialing(
      async (dialing) => {
        const port = await dialing.serve((socket) => socket.on('data', () => socket.write(PINGRESP)))
        const told: Record<string, number> = {}
        const askers = Array.from({ length: 2000 }, () =>
          dialing.dial({ host: HOST, port }, (asker) => {
            asker.onConnected = (connection) => connection.send(PINGREQ)
            asker.onTold = (what) => {
              told[what] = (told[what] ?? 0) + 1
            }
          }),
        )
        await dialing.until(() => told['packet 208'] === 2000)
        assert.is(dialing.dialer.counters.connected, 2000)
        assert.is(dialing.reactor.memory.totals[Total.Connected], 2000)
        dialing.dialer.close()
        await dialing.until(() => told[`closed ${CloseReason.Command}`] === 2000)
        assert.ok(askers.every((asker) => asker.told.length === 3))
      },
      {},
      { maxConnections: 2000, ...sizes },
    ),
  )
}

test(
  'no free slot: an error like any other, and the next round finds one',
  withDialing(
    async (dialing) => {
      const port = await dialing.serve(() => {})
      const first = dialing.dial({ host: HOST, port })
      const second = dialing.dial({ host: HOST, port, retry: { min: 100, max: 100 } })
      await dialing.until(() => first.told.includes('connected') && second.told.includes('waiting'))
      assert.is(second.failures[0]!.code, 'ENOBUFS')
      first.dial.close()
      await dialing.until(() => first.told.includes(`closed ${CloseReason.Command}`))
      await rounds() // its slot is free when the turn that told so is over
      dialing.pass(110)
      await dialing.until(() => second.told.includes('connected'))
    },
    {},
    { maxConnections: 1 },
  ),
)

test.run()
