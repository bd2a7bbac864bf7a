import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type LogFields, silentLogger } from '../../src/telemetry/log.ts'
import { ThrottledLog } from '../../src/telemetry/throttled-log.ts'

const recorded = (options = {}) => {
  const lines: [string, LogFields][] = []
  const log = new ThrottledLog({ ...silentLogger, warn: (fields, message) => lines.push([message, fields]) }, options)
  return { log, lines }
}

test('the first warning of a key is said at once', () => {
  const { log, lines } = recorded()
  log.warn('malformed', 0, { client: 'a' }, 'malformed packet')
  assert.equal(lines, [['malformed packet', { client: 'a' }]])
})

test('within the interval warnings are counted, and the next line says how many it stands for', () => {
  const { log, lines } = recorded({ interval: 1000 })
  for (let now = 0; now <= 1000; now += 250) log.warn('k', now, { now }, 'm')
  assert.equal(lines, [
    ['m', { now: 0 }],
    ['m', { now: 1000, repeated: 3 }],
  ])
})

test('keys do not throttle each other', () => {
  const { log, lines } = recorded()
  log.warn('a', 0, {}, 'a')
  log.warn('b', 0, {}, 'b')
  assert.is(lines.length, 2)
})

test('flush says what was kept back once it is due, and forgets quiet keys', () => {
  const { log, lines } = recorded({ interval: 1000 })
  log.warn('k', 0, { n: 1 }, 'm')
  log.warn('k', 10, { n: 2 }, 'm')
  log.flush(999)
  assert.is(lines.length, 1)
  log.flush(1000)
  assert.equal(lines[1], ['m', { n: 2, repeated: 1 }])
  log.flush(2000)
  assert.is(log.size, 0)
})

test('a flood of keys is bounded: those beyond share one', () => {
  const { log, lines } = recorded({ maxKeys: 4, interval: 1000 })
  for (let i = 0; i < 1000; i++) log.warn(`client ${i}`, i / 1000, {}, 'm')
  assert.ok(log.size <= 5)
  assert.ok(lines.length <= 5)
})

test('old keys make room for new ones, and what they kept back is not lost', () => {
  const { log, lines } = recorded({ maxKeys: 2, interval: 1000 })
  log.warn('a', 0, {}, 'a')
  log.warn('a', 1, {}, 'a')
  log.warn('b', 2, {}, 'b')
  log.warn('c', 1000, {}, 'c')
  assert.equal(
    lines.map(([message, fields]) => [message, fields.repeated]),
    [
      ['a', undefined],
      ['b', undefined],
      ['a', 1],
      ['c', undefined],
    ],
  )
})

test('closing says what was kept back', () => {
  const { log, lines } = recorded()
  log.warn('k', 0, {}, 'm')
  log.warn('k', 0, {}, 'm')
  log.close()
  assert.is(lines[1]?.[1].repeated, 1)
})

test.run()
