// The guards one by one, with time that stands still.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { addressKey } from '../../../src/broker/overload/address-key.ts'
import { FloodWatch } from '../../../src/broker/overload/flood-watch.ts'
import { LoginGuard } from '../../../src/broker/overload/login-guard.ts'
import { MemoryGuard } from '../../../src/broker/overload/memory-guard.ts'
import { TakeoverGuard } from '../../../src/broker/overload/takeover-guard.ts'
import { Counters } from '../../../src/telemetry/counters.ts'
import { ThrottledLog } from '../../../src/telemetry/throttled-log.ts'
import { ManualClock } from '../../../src/timers/clock.ts'
import { LogMemory, OVERLOAD_SETTINGS } from '../rig.ts'

test('an IPv4 address counts by itself, an IPv6 address by its first 64 bits', () => {
  const keys: readonly [address: string, key: string][] = [
    ['127.0.0.1:1234', '127.0.0.1'],
    ['[::1]:1234', '0:0:0:0::/64'],
    ['[2001:db8:1:2:3:4:5:6]:1', '2001:db8:1:2::/64'],
    ['[2001:DB8:1:2::9]:1', '2001:db8:1:2::/64'],
    ['[2001:0db8::1:2:3:4:5]:1', '2001:db8:0:1::/64'],
    ['[fe80::1%eth0]:1', 'fe80:0:0:0::/64'],
    ['[::ffff:10.0.0.1]:1', '10.0.0.1'],
    ['', ''],
    ['unix', 'unix'],
  ]
  for (const [address, key] of keys) assert.is(addressKey(address), key, address)
})

test('a flood is so many within a second, and told of once in it', () => {
  const watch = new FloodWatch(3)
  const counted = (now: number, times: number): number =>
    Array.from({ length: times }, () => watch.counts(now)).filter(Boolean).length
  assert.is(counted(0, 2), 0)
  assert.is(counted(1000, 2), 0, 'a second later it begins anew')
  assert.is(counted(1999, 100), 1)
  assert.is(counted(2000, 2), 0)
  assert.is(counted(2500, 1), 1)
})

const logins = () => new LoginGuard(OVERLOAD_SETTINGS)

test('five failed logins are free, each one more is answered later, up to the limit', () => {
  const guard = logins()
  const delays = Array.from({ length: 12 }, () => guard.failed('a', 0))
  assert.equal(delays, [0, 0, 0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  assert.is(guard.failed('b', 0), 0, 'another address is not meant')
})

test('a failure is forgiven every ten seconds', () => {
  const guard = logins()
  for (let n = 0; n < 8; n++) guard.failed('a', 0)
  assert.is(guard.failed('a', 9_999), 8000)
  assert.is(guard.failed('a', 40_000), 1000)
  assert.is(guard.failed('a', 1_000_000), 0)
})

test('an address with 64 refusals held back is not listened to until one is answered', () => {
  const guard = logins()
  for (let n = 0; n < 5 + 63; n++) guard.failed('a', 0)
  assert.ok(guard.admits('a'))
  guard.failed('a', 0)
  assert.not(guard.admits('a'))
  assert.ok(guard.admits('b'))
  guard.release('a')
  assert.ok(guard.admits('a'))
})

test('a million addresses that fail are not remembered', () => {
  const guard = logins()
  for (let n = 0; n < 100_000; n++) guard.failed(`a${n}`, 0)
  assert.ok(guard.addresses <= 16_384)
})

function takeovers() {
  const [log, counters] = [new LogMemory(), new Counters()]
  return { log, counters, guard: new TakeoverGuard(OVERLOAD_SETTINGS, counters, new ThrottledLog(log)) }
}

test('five takeovers in ten seconds are a fight: one warning with both addresses, and the newcomers wait longer and longer', () => {
  const { guard, log, counters } = takeovers()
  for (let n = 0; n < 5; n++) {
    assert.is(guard.delay('id', 'one:1', 'two:2', n * 1000), 0)
    guard.happened('id', n * 1000)
  }
  const delays: number[] = []
  let now = 5000
  for (let n = 0; n < 7; n++) {
    const delay = guard.delay('id', 'one:1', 'two:2', now)
    delays.push(delay)
    now += delay
    guard.happened('id', now)
  }
  assert.equal(delays, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  assert.is(counters.takeoversDelayed, 7)
  assert.is(log.lines.length, 1)
  assert.equal(log.lines[0]!.fields, { client: 'id', address: 'two:2', other: 'one:1', takeovers: 5 })
  assert.is(guard.delay('other', 'one:1', 'two:2', now), 0)
})

test('a fight is over after a time of quiet', () => {
  const { guard } = takeovers()
  for (let n = 0; n < 5; n++) guard.happened('id', n)
  assert.is(guard.delay('id', 'a', 'b', 1000), 1000)
  assert.is(guard.delay('id', 'a', 'b', 61_000), 1000)
  assert.is(guard.delay('id', 'a', 'b', 122_000), 0)
})

test('takeovers far apart are no fight', () => {
  const { guard, log } = takeovers()
  for (let n = 0; n < 100; n++) {
    assert.is(guard.delay('id', 'a', 'b', n * 2600), 0)
    guard.happened('id', n * 2600)
  }
  assert.is(log.lines.length, 0)
})

test('one newcomer waits at a time, a newer one takes its place', () => {
  const { guard } = takeovers()
  const ended: string[] = []
  const contender = (name: string) => ({ superseded: () => ended.push(name) })
  const [a, b] = [contender('a'), contender('b')]
  guard.wait('id', a)
  guard.wait('id', b)
  guard.stopWaiting('id', a)
  guard.wait('id', contender('c'))
  assert.equal(ended, ['a', 'b'])
})

test('a million client ids taken over are not remembered', () => {
  const { guard } = takeovers()
  for (let n = 0; n < 100_000; n++) guard.happened(`${n}`, 0)
  assert.ok(guard.contests <= 16_384)
})

function memory(kept = () => 0) {
  const [log, counters, clock] = [new LogMemory(), new Counters(), new ManualClock(100_000)]
  const heap = {
    limit: 1000,
    live: 0,
    garbage: 0,
    collections: 0,
    used: () => heap.live + heap.garbage,
    collect() {
      heap.collections++
      heap.garbage = 0
    },
  }
  const settings = { ...OVERLOAD_SETTINGS, maxQueuedBytesTotal: 1_000_000 }
  const parts = { settings, counters, throttled: new ThrottledLog(log), clock, heap, keptBytes: kept }
  return { guard: new MemoryGuard(parts), heap, counters, log, clock }
}

test('80 % of the heap limit are short, 72 % are enough again', () => {
  const { guard, heap, counters, log, clock } = memory()
  heap.live = 800
  guard.look(clock.now())
  assert.not(guard.isHeapShort)
  heap.live = 801
  for (let n = 0; n < 512; n++) guard.grew()
  assert.ok(guard.isHeapShort)
  assert.not(guard.takesMessage(1, 0))
  heap.live = 730
  guard.look(clock.now())
  assert.ok(guard.isHeapShort)
  heap.live = 720
  guard.look(clock.now())
  assert.not(guard.isHeapShort)
  assert.ok(guard.takesMessage(1, 0))
  assert.is(counters.memoryShortages, 1)
  assert.is(counters.droppedMemory, 1)
  assert.is(log.lines.length, 2)
})

test('garbage is no shortage: it is collected, at most every ten seconds', () => {
  const { guard, heap, clock } = memory()
  heap.live = 300
  for (let n = 0; n < 10; n++) {
    heap.garbage = 550
    guard.look(clock.now())
    assert.not(guard.isHeapShort)
  }
  assert.is(heap.collections, 1)
  clock.advance(10_000)
  guard.look(clock.now())
  assert.is(heap.collections, 2)
  heap.garbage = 650 // More than even garbage may be, and no collection is due.
  guard.look(clock.now())
  assert.ok(guard.isHeapShort)
})

test('all queues together have a limit, and its last quarter is for small ones', () => {
  const { guard, counters } = memory()
  counters.bytesQueued = 750_000
  assert.not(guard.takesMessage(1, 70_000))
  assert.ok(guard.takesMessage(1, 60_000))
  counters.bytesQueued = 1_000_000
  assert.not(guard.takesMessage(1, 0))
  assert.ok(guard.areQueuesFull)
  assert.is(counters.droppedMemory, 2)
})

test('what is in flight counts as well, what is retained does not', () => {
  const { guard, counters } = memory(() => 1_500_000)
  counters.retainedBytes = 600_000
  assert.ok(guard.takesMessage(1, 0))
  counters.retainedBytes = 500_000
  assert.not(guard.takesMessage(1, 0))
})

test.run()
