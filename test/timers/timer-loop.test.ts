// The loop with a clock of its own (driven by `tick`), and once with the real timer.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ManualClock, systemClock } from '../../src/timers/clock.ts'
import type { WheelEntry } from '../../src/timers/deadline-wheel.ts'
import { TimerLoop } from '../../src/timers/timer-loop.ts'

function deadline(): WheelEntry {
  return { wheelNext: undefined, wheelPrevious: undefined, dueAt: 0 }
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
}

test('the timer is armed while a deadline is set, and only then', () => {
  const before = timers()
  const clock = new ManualClock()
  const loop = new TimerLoop(clock, () => undefined)
  assert.is(timers(), before)
  loop.set(deadline(), 60_000)
  loop.set(deadline(), 30_000)
  assert.is(timers(), before + 1)
  clock.advance(60_000)
  loop.tick()
  assert.is(loop.size, 0)
  assert.is(timers(), before)
  loop.close()
})

test('a tick tells what is due and no more than the limit', () => {
  const clock = new ManualClock()
  let told = 0
  const loop = new TimerLoop(clock, () => void told++, { limit: 3 })
  for (let turn = 0; turn < 5; turn++) loop.set(deadline(), 1000)
  loop.tick()
  assert.is(told, 0)
  clock.advance(1000)
  loop.tick()
  assert.is(told, 3)
  loop.tick()
  assert.is(told, 5)
  loop.close()
})

test('after close nothing is told, set or armed, and closing twice is no fault', () => {
  const before = timers()
  const clock = new ManualClock()
  let told = 0
  const loop = new TimerLoop(clock, () => void told++)
  loop.set(deadline(), 1000)
  loop.close()
  loop.close()
  loop.set(deadline(), 500)
  clock.advance(5000)
  loop.tick()
  assert.is(told, 0)
  assert.is(timers(), before)
})

test('an owner may close the loop while it is told', () => {
  const before = timers()
  const clock = new ManualClock()
  const loop: TimerLoop<WheelEntry> = new TimerLoop(clock, () => {
    loop.close()
    return 9000
  })
  loop.set(deadline(), 1000)
  clock.advance(1000)
  loop.tick()
  assert.is(timers(), before)
})

test('an owner that throws does not stop the loop', () => {
  const clock = new ManualClock()
  let told = 0
  const loop = new TimerLoop(clock, () => {
    if (told++ === 0) throw new Error('thrown')
    return undefined
  })
  loop.set(deadline(), 1000)
  loop.set(deadline(), 2000)
  clock.advance(1000)
  assert.throws(() => loop.tick(), /thrown/)
  clock.advance(1000)
  loop.tick()
  assert.is(loop.size, 0)
  assert.is(told, 2)
  loop.close()
})

test('the real timer tells a deadline, not before its time, and an earlier one set later first', async () => {
  const start = systemClock.now()
  const told: number[] = []
  await new Promise<void>((resolve) => {
    const loop = new TimerLoop<WheelEntry>(
      systemClock,
      (entry, now) => {
        assert.ok(now >= entry.dueAt)
        told.push(entry.dueAt - start)
        if (loop.size > 0) return undefined
        loop.close()
        resolve()
        return undefined
      },
      { resolution: 1 },
    )
    loop.set(deadline(), start + 20)
    loop.set(deadline(), start + 5)
  })
  assert.equal(told, [start + 5 - start, start + 20 - start])
})

test('a loop that does not keep the process alive arms timers that do not either', () => {
  const loop = new TimerLoop(new ManualClock(), () => undefined)
  loop.ref(false)
  const before = timers()
  loop.set(deadline(), 60_000)
  // An unref'd timer is not among the active resources.
  assert.is(timers(), before)
  loop.ref(true)
  assert.is(timers(), before + 1)
  loop.close()
})

test.run()
