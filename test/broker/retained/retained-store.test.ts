// What is retained, within which limits, and that every message's frame is given back when it is replaced or removed.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Rig, type RigOptions } from '../rig.ts'

function retain(rig: Rig, topic: string, payload: string, expiry?: number): void {
  rig.reactor.turn(() => {
    const publication = rig.inbox(topic, payload, { retain: true, ...(expiry === undefined ? {} : { expiry }) })
    rig.context.retained.apply(publication)
    publication.drop()
  })
}

const rigOf = (settings: NonNullable<RigOptions['settings']> = {}) => new Rig({ settings })

test('[MQTT-3.3.1-5] a new message replaces the topic’s, [MQTT-3.3.1-6] an empty one removes it', () => {
  const rig = rigOf()
  retain(rig, 'a', 'one')
  retain(rig, 'a', 'two')
  assert.is(rig.context.retained.get('a')?.payload().toString(), 'two')
  assert.is(rig.reactor.frames.size, 1)
  retain(rig, 'a', '')
  retain(rig, 'a', '')
  assert.is(rig.context.retained.get('a'), undefined)
  assert.is(rig.reactor.frames.size, 0)
  assert.equal([rig.counters.retained, rig.counters.retainedBytes], [0, 0])
})

test('max_retained_messages: one more topic is not kept, a known one still is', () => {
  const rig = rigOf({ maxRetainedMessages: 2 })
  for (const topic of ['a', 'b', 'c', 'a']) retain(rig, topic, `new ${topic}`)
  assert.is(rig.context.retained.get('c'), undefined)
  assert.is(rig.counters.droppedRetained, 1)
  assert.is(rig.counters.retained, 2)
  assert.is(rig.log.at('warn').length, 1)
  assert.is(rig.reactor.frames.size, 2)
})

test('max_retained_bytes counts topic and payload, and what is replaced makes room', () => {
  const rig = rigOf({ maxRetainedBytes: 100 })
  retain(rig, 'a', 'x'.repeat(97))
  assert.is(rig.counters.retainedBytes, 100)
  retain(rig, 'b', '')
  retain(rig, 'b', 'x')
  assert.is(rig.context.retained.get('b'), undefined)
  retain(rig, 'a', 'y'.repeat(97))
  assert.is(rig.context.retained.get('a')?.payload().toString()[0], 'y')
  assert.is(rig.counters.droppedRetained, 1)
})

test('[MQTT-3.3.1-5] a new message that cannot be kept leaves none: nobody is told what is not so any more', () => {
  const rig = rigOf({ maxRetainedBytes: 100 })
  retain(rig, 'door', 'closed')
  retain(rig, 'other', 'x'.repeat(80))
  retain(rig, 'door', 'open, since noon')
  assert.is(rig.context.retained.get('door'), undefined)
  assert.is(rig.counters.droppedRetained, 1)
  assert.equal([rig.counters.retained, rig.counters.retainedBytes], [1, 87])
  assert.is(rig.reactor.frames.size, 1)
})

test('[MQTT-3.3.2-5] an expired message is removed when it is found, unless another took its place', () => {
  const rig = rigOf()
  retain(rig, 'a', 'old', 10)
  const old = rig.context.retained.get('a')!
  rig.context.retained.expire(old)
  assert.is(rig.context.retained.get('a'), undefined)
  retain(rig, 'a', 'new')
  rig.context.retained.expire(old)
  assert.is(rig.context.retained.get('a')?.payload().toString(), 'new')
  assert.is(rig.counters.droppedExpired, 1)
})

test('any sequence of retained messages agrees with a map, within the limits, and leaks no frame', () => {
  const message = fc.tuple(fc.constantFrom('a', 'b', 'a/b', 'c/d/e', 'x'), fc.integer({ min: 0, max: 40 }))
  void fc.assert(
    fc.property(
      fc.array(message, { maxLength: 80, size: 'max' }),
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 0, max: 150 }),
      (messages, maxRetainedMessages, maxRetainedBytes) => {
        const rig = rigOf({ maxRetainedMessages, maxRetainedBytes })
        const model = new Map<string, string>()
        const sizeOf = (topic: string, payload: string) => 2 + topic.length + payload.length
        let dropped = 0
        messages.forEach(([topic, length], n) => {
          const payload = `${n % 10}`.repeat(length)
          retain(rig, topic, payload)
          if (length === 0) {
            model.delete(topic)
            return
          }
          const others = [...model].filter(([each]) => each !== topic)
          const bytes = others.reduce((sum, [each, held]) => sum + sizeOf(each, held), sizeOf(topic, payload))
          const fits = (model.has(topic) || model.size < maxRetainedMessages) && bytes <= maxRetainedBytes
          if (fits) model.set(topic, payload)
          else {
            model.delete(topic)
            dropped++
          }
        })
        for (const topic of ['a', 'b', 'a/b', 'c/d/e', 'x']) {
          assert.is(rig.context.retained.get(topic)?.payload().toString(), model.get(topic))
        }
        const bytes = [...model].reduce((sum, [topic, payload]) => sum + sizeOf(topic, payload), 0)
        const { counters, reactor } = rig
        assert.equal(
          [counters.retained, counters.retainedBytes, counters.droppedRetained],
          [model.size, bytes, dropped],
        )
        assert.is(reactor.frames.size, model.size)
      },
    ),
    { numRuns: 300 },
  )
})

test.run()
