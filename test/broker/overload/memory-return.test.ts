// When memory goes back to the system: after a burst, in quiet, and not over and over.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryReturn } from '../../../src/broker/overload/memory-return.ts'
import { Counters } from '../../../src/telemetry/counters.ts'
import { LogMemory } from '../rig.ts'

const MiB = 1024 * 1024

/** A process whose memory grows by what `second` says and falls back to `held` when trimmed. */
class Process {
  resident = 80 * MiB
  held = 80 * MiB
  trims = 0
  asked = 0
  readonly counters = new Counters()
  readonly log = new LogMemory()
  #now = 0
  #moved = 0
  readonly #return = new MemoryReturn({
    log: this.log,
    counters: this.counters,
    trim: () => {
      this.trims++
      this.resident = this.held
    },
    resident: () => {
      this.asked++
      return this.resident
    },
  })

  /** Seconds in which so many bytes are moved and memory grows by so many. */
  seconds(count: number, moved: number, grows = 0): void {
    for (let n = 0; n < count; n++) {
      this.#now += 1000
      this.#moved += moved
      this.resident += grows
      this.#return.look(this.#now, this.#moved)
    }
  }
}

test('memory that a burst left behind is given back when it is over, once, and counted', () => {
  const process = new Process()
  process.seconds(1, 0)
  process.seconds(10, 100 * MiB, 10 * MiB)
  assert.is(process.trims, 0)
  process.seconds(1, 0)
  assert.is(process.trims, 0)
  process.seconds(60, 0)
  assert.is(process.trims, 1)
  assert.is(process.counters.memoryReturned, 100 * MiB)
  assert.is(process.log.at('debug').length, 1)
})

test('a broker that is always busy is not interrupted; a trickle after a burst is quiet enough', () => {
  const process = new Process()
  process.seconds(100, 100 * MiB, 1 * MiB)
  assert.is(process.trims, 0)
  process.seconds(3, 10 * MiB)
  assert.is(process.trims, 1)
})

test('memory that is in use stays, and is not asked for again and again', () => {
  const process = new Process()
  process.seconds(5, 50 * MiB, 20 * MiB)
  process.held = process.resident
  process.seconds(600, 1000)
  assert.is(process.trims, 1)
  assert.is(process.counters.memoryReturned, 0)
})

test('waves of traffic: at most one trim in four seconds', () => {
  const process = new Process()
  for (let wave = 0; wave < 33; wave++) {
    process.seconds(1, 100 * MiB, 50 * MiB)
    process.seconds(2, 0)
  }
  assert.ok(process.trims > 10 && process.trims <= 25, `${process.trims} trims in 100 s`)
})

test('a broker that does nothing does not even look', () => {
  const process = new Process()
  process.seconds(5, 0)
  const { asked } = process
  process.seconds(100, 0)
  assert.is(process.asked, asked)
})

test.run()
