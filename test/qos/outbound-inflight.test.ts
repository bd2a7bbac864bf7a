// The window against a Map, and each promise of the acknowledgement methods by name.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type InflightState, OutboundInflight, UNKNOWN_ID, WRONG_STATE } from '../../src/qos/outbound-inflight.ts'

interface Entry {
  qos: 1 | 2
  state: InflightState
  message: string | undefined
}

function order(inflight: OutboundInflight<string>): number[] {
  return [...inflight.unacknowledged()].map((entry) => entry.packetId)
}

test('[MQTT-2.3.1-1] packet identifiers are 1 to 65535, and 0 is never given out when they begin again', () => {
  const inflight = new OutboundInflight<string>()
  const seen = new Set<number>()
  for (let turn = 0; turn < 0xffff; turn++) {
    const id = inflight.take(1, undefined)
    assert.is(inflight.puback(id), undefined)
    seen.add(id)
  }
  assert.is(seen.size, 0xffff)
  assert.is(Math.min(...seen), 1)
  assert.is(Math.max(...seen), 0xffff)
  assert.is(inflight.take(1, undefined), 1)
})

test('[MQTT-2.3.1-4] all 65535 identifiers can be in use at once, the next request gets 0, a freed one is found again', () => {
  const inflight = new OutboundInflight<string>()
  const seen = new Set<number>()
  for (let turn = 0; turn < 0xffff; turn++) seen.add(inflight.take(2, `m${turn}`))
  assert.is(seen.size, 0xffff)
  assert.is(inflight.count, 0xffff)
  assert.is(inflight.take(1, 'one too many'), 0)
  assert.is(inflight.message(4711), 'm4710')
  assert.is(inflight.pubrec(4711), 'm4710')
  assert.is(inflight.pubcomp(4711), undefined)
  assert.is(inflight.take(1, 'fits'), 4711)
})

test('an identifier still in use is passed over when the others have gone round', () => {
  const inflight = new OutboundInflight<string>()
  const stuck = inflight.take(1, 'stuck')
  for (let turn = 0; turn < 2 * 0xffff; turn++) {
    const id = inflight.take(1, undefined)
    assert.is.not(id, stuck)
    inflight.puback(id)
  }
  assert.is(inflight.message(stuck), 'stuck')
})

test('[MQTT-4.3.2-1] PUBACK frees the identifier and hands the message over, once', () => {
  const inflight = new OutboundInflight<string>()
  const id = inflight.take(1, 'message')
  assert.is(inflight.puback(id), 'message')
  assert.is(inflight.has(id), false)
  assert.is(inflight.puback(id), UNKNOWN_ID)
  assert.is(inflight.count, 0)
})

test('a known identifier without a kept message is told from an unknown one', () => {
  const inflight = new OutboundInflight<string>()
  const id = inflight.take(1, undefined)
  assert.is(inflight.puback(id + 1), UNKNOWN_ID)
  assert.is(inflight.puback(id), undefined)
})

test('identifier 0 and numbers that are no identifiers are unknown, in an empty window too', () => {
  const inflight = new OutboundInflight<string>()
  for (const id of [0, 65536, -1, 16, 8]) {
    assert.is(inflight.puback(id), UNKNOWN_ID)
    assert.is(inflight.has(id), false)
  }
  inflight.take(1, undefined)
  for (const id of [0, 65536, 65537, -1, 9, 17]) assert.is(inflight.puback(id), UNKNOWN_ID)
})

test('[MQTT-4.3.3-1] PUBREC hands the message over and keeps the identifier until PUBCOMP', () => {
  const inflight = new OutboundInflight<string>()
  const id = inflight.take(2, 'message')
  assert.is(inflight.state(id), 'published')
  assert.is(inflight.pubrec(id), 'message')
  assert.is(inflight.state(id), 'released')
  assert.is(inflight.qos(id), 2)
  assert.is(inflight.count, 1)
  assert.is(inflight.pubcomp(id), undefined)
  assert.is(inflight.state(id), undefined)
  assert.is(inflight.pubcomp(id), UNKNOWN_ID)
})

test('a repeated PUBREC is no fault: the identifier stays released and PUBREL is due again', () => {
  const inflight = new OutboundInflight<string>()
  const id = inflight.take(2, 'message')
  inflight.pubrec(id)
  assert.is(inflight.pubrec(id), undefined)
  assert.is(inflight.state(id), 'released')
})

test('[MQTT-4.3.3-4] a PUBREC with a reason code of 0x80 or more frees the identifier, a lower one does not', () => {
  const inflight = new OutboundInflight<string>()
  const refused = inflight.take(2, 'refused')
  const unheard = inflight.take(2, 'no matching subscribers')
  assert.is(inflight.pubrec(refused, 0x97), 'refused')
  assert.is(inflight.has(refused), false)
  assert.is(inflight.pubrec(unheard, 0x10), 'no matching subscribers')
  assert.is(inflight.state(unheard), 'released')
})

test('an acknowledgement of the wrong kind changes nothing', () => {
  const inflight = new OutboundInflight<string>()
  const once = inflight.take(1, 'QoS 1')
  const twice = inflight.take(2, 'QoS 2')
  assert.is(inflight.pubrec(once), WRONG_STATE)
  assert.is(inflight.pubcomp(once), WRONG_STATE)
  assert.is(inflight.puback(twice), WRONG_STATE)
  assert.is(inflight.pubcomp(twice), WRONG_STATE)
  inflight.pubrec(twice)
  assert.is(inflight.puback(twice), WRONG_STATE)
  assert.equal(order(inflight), [once, twice])
  assert.is(inflight.message(once), 'QoS 1')
})

test('[MQTT-4.6.0-1] what is not acknowledged is told in the original order, released ones in their place', () => {
  const inflight = new OutboundInflight<string>()
  const ids = ['a', 'b', 'c', 'd', 'e'].map((message) => inflight.take(2, message))
  inflight.pubrec(ids[1])
  inflight.pubrec(ids[3])
  inflight.pubcomp(ids[3])
  inflight.take(1, 'f')
  assert.equal(
    [...inflight.unacknowledged()].map(({ state, message }) => [state, message]),
    [
      ['published', 'a'],
      ['released', undefined],
      ['published', 'c'],
      ['published', 'e'],
      ['published', 'f'],
    ],
  )
})

test('the entry just told may be acknowledged before the walk goes on', () => {
  const inflight = new OutboundInflight<string>()
  const ids = Array.from({ length: 300 }, () => inflight.take(1, 'message'))
  const told: number[] = []
  for (const { packetId } of inflight.unacknowledged()) {
    told.push(packetId)
    inflight.puback(packetId)
  }
  assert.equal(told, ids)
  assert.is(inflight.count, 0)
})

test('a window put back from a journal continues after the last identifier, in its order', () => {
  const inflight = new OutboundInflight<string>()
  const ids = [65534, 65535, 3, 40]
  assert.ok(inflight.restore(65534, 1, 'published', 'a'))
  assert.ok(inflight.restore(65535, 2, 'released', undefined))
  assert.ok(inflight.restore(3, 2, 'published', 'b'))
  assert.ok(inflight.restore(40, 1, 'published', undefined))
  assert.equal(order(inflight), ids)
  assert.is(inflight.state(65535), 'released')
  assert.is(inflight.message(3), 'b')
  assert.is(inflight.take(1, undefined), 41)
})

test('restoring what cannot be is refused', () => {
  const inflight = new OutboundInflight<string>()
  inflight.restore(5, 1, 'published', 'first')
  for (const id of [5, 0, -1, 65536, Number.NaN]) assert.is(inflight.restore(id, 1, 'published', 'second'), false)
  assert.is(inflight.message(5), 'first')
  assert.is(inflight.count, 1)
})

test('identifiers that share their low bits are restored side by side', () => {
  const inflight = new OutboundInflight<string>()
  for (const id of [8, 16, 1024, 65528]) assert.ok(inflight.restore(id, 1, 'published', `m${id}`))
  for (const id of [8, 16, 1024, 65528]) assert.is(inflight.puback(id), `m${id}`)
})

test('clear forgets everything, and the next identifier is a new one', () => {
  const inflight = new OutboundInflight<string>()
  for (let turn = 0; turn < 10; turn++) inflight.take(1, 'message', 5)
  inflight.clear()
  assert.is(inflight.count, 0)
  assert.equal(order(inflight), [])
  assert.is(inflight.has(3), false)
  const id = inflight.take(1, undefined)
  assert.is(id, 11)
  assert.is(inflight.message(id), undefined)
  assert.is(inflight.sentAt(id), -Infinity)
})

test('the sending time moves with its identifier and is not inherited by the next user of the slot', () => {
  const inflight = new OutboundInflight<string>()
  const ids = Array.from({ length: 40 }, (_, turn) => inflight.take(1, undefined, turn))
  assert.equal(
    ids.map((id) => inflight.sentAt(id)),
    ids.map((_, turn) => turn),
  )
  inflight.sentAgain(ids[7], 99)
  assert.is(inflight.sentAt(ids[7]), 99)
  for (const id of ids) inflight.puback(id)
  const later = Array.from({ length: 0x100 }, () => inflight.take(1, undefined))
  for (const id of later) assert.is(inflight.sentAt(id), -Infinity)
})

test('any sequence of sending and acknowledging agrees with a Map', () => {
  const action = fc.record({
    kind: fc.constantFrom('take', 'take', 'take', 'puback', 'pubrec', 'refuse', 'pubcomp', 'restore', 'clear'),
    qos: fc.constantFrom<1 | 2>(1, 2),
    pick: fc.nat(),
    kept: fc.boolean(),
  })
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 400, size: 'max' }),
      fc.integer({ min: 0, max: 70_000 }),
      (actions, skip) => {
        const inflight = new OutboundInflight<string>()
        const model = new Map<number, Entry>()
        for (let turn = 0; turn < skip % 0xffff; turn++) inflight.puback(inflight.take(1, undefined))
        actions.forEach(({ kind, qos, pick, kept }, turn) => {
          const ids = [...model.keys()]
          const id = ids.length > 0 && pick % 8 !== 0 ? ids[pick % ids.length] : pick & 0xffff
          const entry = model.get(id)
          const message = kept ? `m${turn}` : undefined
          if (kind === 'take') {
            const taken = inflight.take(qos, message)
            assert.ok(taken >= 1 && taken <= 0xffff && !model.has(taken))
            model.set(taken, { qos, state: 'published', message })
          } else if (kind === 'restore') {
            const state = qos === 2 && kept ? 'released' : 'published'
            const held = state === 'released' ? undefined : message
            assert.is(inflight.restore(id, qos, state, held), id !== 0 && entry === undefined)
            if (id !== 0 && entry === undefined) model.set(id, { qos, state, message: held })
          } else if (kind === 'clear') {
            if (pick % 16 !== 0) return
            inflight.clear()
            model.clear()
          } else acknowledge(inflight, model, kind, id)
        })
        assert.is(inflight.count, model.size)
        assert.equal(
          [...inflight.unacknowledged()],
          [...model].map(([packetId, entry]) => ({ packetId, ...entry })),
        )
      },
    ),
    { numRuns: 300 },
  )
})

function acknowledge(inflight: OutboundInflight<string>, model: Map<number, Entry>, kind: string, id: number): void {
  const entry = model.get(id)
  const expect = (actual: unknown, fits: boolean, frees: boolean): void => {
    assert.is(actual, entry === undefined ? UNKNOWN_ID : fits ? entry.message : WRONG_STATE)
    if (entry === undefined || !fits) return
    if (frees) model.delete(id)
    else model.set(id, { qos: 2, state: 'released', message: undefined })
  }
  if (kind === 'puback') expect(inflight.puback(id), entry?.qos === 1, true)
  else if (kind === 'pubrec') expect(inflight.pubrec(id), entry?.qos === 2, false)
  else if (kind === 'refuse') expect(inflight.pubrec(id, 0x80), entry?.qos === 2, true)
  else expect(inflight.pubcomp(id), entry?.state === 'released', true)
}

test.run()
