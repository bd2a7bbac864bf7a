// The client's identifiers against a Set, small (sorted array) and large (bitmap).

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { InboundQos2 } from '../../src/qos/inbound-qos2.ts'

test('[MQTT-4.3.3-10] an identifier is new once, known until released, then new again', () => {
  const inbound = new InboundQos2()
  assert.is(inbound.add(7), true)
  assert.is(inbound.add(7), false)
  assert.is(inbound.has(7), true)
  assert.is(inbound.release(7), true)
  assert.is(inbound.release(7), false)
  assert.is(inbound.add(7), true)
})

test('all 65535 identifiers fit, and are told in ascending order', () => {
  const inbound = new InboundQos2()
  for (let id = 0xffff; id >= 1; id--) assert.ok(inbound.add(id))
  assert.is(inbound.count, 0xffff)
  const all = [...inbound]
  assert.is(all.length, 0xffff)
  assert.is(all[0], 1)
  assert.is(all.at(-1), 0xffff)
  for (let id = 1; id <= 0xffff; id++) assert.ok(inbound.release(id))
  assert.is(inbound.count, 0)
  assert.equal([...inbound], [])
})

test('the limit is reached with the last allowed identifier; a known one stays welcome', () => {
  const inbound = new InboundQos2(2)
  inbound.add(1)
  assert.is(inbound.full, false)
  inbound.add(2)
  assert.is(inbound.full, true)
  assert.is(inbound.add(2), false)
  assert.throws(() => inbound.add(3), /more than 2/)
  assert.equal([...inbound], [1, 2])
  inbound.release(1)
  assert.is(inbound.add(3), true)
})

test('identifiers that begin again at 1 find their place before the old ones', () => {
  const inbound = new InboundQos2()
  const ids = [65530, 65531, 65532, 65533, 65534, 65535, 1, 2, 3]
  for (const id of ids) inbound.add(id)
  inbound.release(65530)
  for (const id of ids.slice(1)) assert.ok(inbound.has(id))
  assert.equal([...inbound], [1, 2, 3, 65531, 65532, 65533, 65534, 65535])
})

test('any sequence of adding and releasing agrees with a Set, whatever the size', () => {
  const action = fc.tuple(fc.constantFrom('add', 'add', 'release', 'oldest', 'burst', 'clear'), fc.nat({ max: 0xffff }))
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 300, size: 'max' }),
      fc.constantFrom(40, 3000, 0xffff),
      (actions, range) => {
        const inbound = new InboundQos2()
        const model = new Set<number>()
        const add = (id: number) => {
          assert.is(inbound.add(id), !model.has(id))
          model.add(id)
        }
        for (const [kind, number] of actions) {
          const id = 1 + (number % range)
          if (kind === 'add') add(id)
          else if (kind === 'release') assert.is(inbound.release(id), model.delete(id))
          else if (kind === 'oldest') {
            const oldest = [...model].sort((a, b) => a - b)[0]
            if (oldest !== undefined) assert.is(inbound.release(oldest), model.delete(oldest))
          } else if (kind === 'burst' && number % 8 === 0) for (let i = 0; i < 600; i++) add(1 + ((number + i) % range))
          else if (kind === 'clear' && number % 32 === 0) {
            inbound.clear()
            model.clear()
          }
          assert.is(inbound.count, model.size)
        }
        assert.equal(
          [...inbound],
          [...model].sort((a, b) => a - b),
        )
      },
    ),
    { numRuns: 100 },
  )
})

test.run()
