import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ManualClock, systemClock } from '../../src/timers/clock.ts'

test('the monotonic time is that of CLOCK_MONOTONIC, and never runs backwards', () => {
  const before = Number(process.hrtime.bigint()) / 1e6
  const now = systemClock.now()
  const after = Number(process.hrtime.bigint()) / 1e6
  // The two bases are compared once, at start: a scheduling pause between the two readings is the error.
  assert.ok(now > before - 1000 && now < after + 1000)
  let last = now
  for (let turn = 0; turn < 1000; turn++) {
    const next = systemClock.now()
    assert.ok(next >= last)
    last = next
  }
})

test('the wall time is that of Date', () => {
  const before = Date.now()
  const wall = systemClock.wall()
  assert.ok(wall >= before && wall <= Date.now())
})

test('a manual clock stands still until told, and only its wall time can be set', () => {
  const clock = new ManualClock(5, 1000)
  assert.equal([clock.now(), clock.wall()], [5, 1000])
  clock.advance(2.5)
  assert.equal([clock.now(), clock.wall()], [7.5, 1002.5])
  clock.setWall(0)
  assert.equal([clock.now(), clock.wall()], [7.5, 0])
  assert.throws(() => clock.advance(-1), /backwards/)
})

test.run()
