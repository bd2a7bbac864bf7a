// Long: very many connections of ours, in every way they can end, from one reactor: no descriptor, no slot and no memory
// is left behind, and the counters add up. Sizes are divided by MARTLET_LONG_DIVISOR.
import { readdirSync } from 'node:fs'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { openClientReactor } from '../../src/net/client-reactor.ts'
import { Dialer } from '../../src/net/dialer.ts'
import { Total } from '../../src/net/wire.ts'
import { Asker } from '../net/dial-rig.ts'
import { startBroker } from '../support/broker-process.ts'
import { connect } from '../support/packets.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')

const HOST = '127.0.0.1'
const BATCH = 400
const silent = { debugging: false, debug() {}, info() {}, warn() {}, error() {} }
const descriptors = (): number => readdirSync('/proc/self/fd').length

const kindOf = (n: number): number => (n % 100 === 99 ? 4 : n % 4)

test('100,000 dials: served, refused, taken back, met by themselves; nothing is left of them', async () => {
  const total = longSize(100_000)
  const broker = await startBroker({ settings: { connection_messages: false } }) // its lines are kept in our memory
  const reactor = openClientReactor({ settings: { maxConnections: 2 * BATCH } })
  const dialer = new Dialer({ reactor, log: silent })
  let cancelled = 0
  let wake: () => void = () => {}

  // Of four dials one is served, one reset, one refused, one taken back; of a hundred one reaches itself. All end by a
  // reset or before they stood: no TIME_WAIT, or the ports of this machine would be used up.
  const dial = (n: number): Asker => {
    const asker = new Asker(() => wake())
    const kind = kindOf(n)
    const port = kind === 2 ? 1 : kind === 4 ? 20_000 + (n % 10_000) : broker.port
    const itself = kind === 4 ? { localHost: HOST, localPort: port } : {}
    asker.onConnected = (connection) => {
      if (kind === 0) connection.send(connect({ clientId: `dial-${n % 1000}` }))
      else connection.close(true)
    }
    asker.onTold = (what) => {
      if (what.startsWith('packet')) asker.connection?.close(true)
    }
    asker.dial = dialer.dial({ host: HOST, port, ...itself }, asker)
    if (kind === 3) {
      queueMicrotask(() =>
        queueMicrotask(() => {
          if (asker.dial.state === 'connecting') cancelled++
          asker.dial.close()
        }),
      )
    }
    return asker
  }

  const expected = (kind: number): number =>
    Array.from({ length: total }, (_, n) => n).filter((n) => kindOf(n) === kind).length
  const before = descriptors()
  let start = 0
  for (let from = 0; from < total; from += BATCH) {
    const askers: Asker[] = []
    for (let n = from; n < Math.min(from + BATCH, total); n++) askers.push(dial(n))
    while (askers.some((asker) => asker.dial.state !== 'closed')) {
      await new Promise<void>((settle) => {
        wake = settle
      })
    }
    while (reactor.memory.totals[Total.Connections] !== 0) await new Promise(setImmediate)
    if (from <= total / 4) start = process.memoryUsage.rss()
  }
  const grown = process.memoryUsage.rss() - start
  const { attempts, connected, failures, selfConnections } = dialer.counters
  console.log(`${JSON.stringify(dialer.counters)}, ${cancelled} taken back, memory grew by ${grown >> 20} MiB`)
  assert.is(attempts, connected + failures + cancelled)
  assert.is(selfConnections, expected(4))
  assert.is(failures, expected(2) + expected(4))
  assert.is(reactor.memory.totals[Total.Connected], connected)
  assert.is(dialer.size, 0)
  assert.ok(descriptors() <= before, `${before} descriptors before, ${descriptors()} after`)
  // What V8 holds between two collections.
  assert.ok(grown < 32 * 1024 * 1024 + 100 * total, `${grown} bytes`)
  dialer.close()
  reactor.close()
  await broker.stopCleanly()
})

uvu.run()
