import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { textLine } from '../../src/telemetry/text-line.ts'

const time = new Date(Date.UTC(2026, 10, 22, 10, 0, 0, 5))

test('a line has time, level, message and fields', () => {
  const line = textLine(time, 'warn', 'client refused', {
    client: 'c1',
    reason: 'not authorized',
    code: 5,
    will: undefined,
  })
  assert.is(line, '2026-11-22T10:00:00.005Z WARN  client refused  client=c1 reason="not authorized" code=5\n')
})

test('without fields and without time only the message is left', () => {
  assert.is(textLine(undefined, 'info', 'closing', {}), 'INFO  closing\n')
})

test('what a client chose can neither forge a line nor move the cursor', () => {
  const line = textLine(undefined, 'info', 'connected', { client: 'a\n2026 ERROR forged\u001b[2J "quoted" \u202e' })
  assert.is(line.split('\n').length, 2)
  assert.not.ok(line.includes('\u001b') || line.includes('\u202e'))
  assert.match(line, /\\"quoted\\"/)
})

test('long values are cut', () => {
  assert.ok(textLine(undefined, 'info', 'm', { topic: 'x'.repeat(100_000) }).length < 600)
})

test('an error brings its message and its stack', () => {
  const line = textLine(undefined, 'error', 'internal error', { err: new TypeError('x is not a function') })
  assert.match(line, /^ERROR internal error {2}err="x is not a function"\n {4}at /)
})

test('values that JSON refuses do not throw', () => {
  const circle: Record<string, unknown> = {}
  circle.self = circle
  assert.match(textLine(undefined, 'info', 'm', { circle, big: { n: 1n } }), /circular.*big=/)
})

test.run()
