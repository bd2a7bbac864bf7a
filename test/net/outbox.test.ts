// Commands into shared memory: whatever the size of the outbox, the same commands are carried out in the same order with
// the same bytes; what can never fit is an error and leaves the outbox as it was.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NativeReactor } from '../../native/index.js'
import { Outbox } from '../../src/net/outbox.ts'
import { FakeReactor } from '../broker/fake-reactor.ts'

const bytes = fc.uint8Array({ minLength: 1, maxLength: 80 })
const middle = fc.uint8Array({ maxLength: 30 })
type Step =
  | { do: 'send'; to: number; bytes: Uint8Array }
  | { do: 'short'; to: number; word: number; length: number }
  | { do: 'kept'; to: number; first: number; packetId: number; middle: Uint8Array }
  | { do: 'list'; count: number; middle: Uint8Array }
  | { do: 'execute' }

const NO_MIDDLE = new Uint8Array(0)
const to = fc.nat({ max: 3 })
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('send' as const), to, bytes }),
  fc.record({ do: fc.constant('short' as const), to, word: fc.integer(), length: fc.integer({ min: 1, max: 4 }) }),
  fc.record({
    do: fc.constant('kept' as const),
    to,
    first: fc.constantFrom(0x30, 0x32, 0x3d),
    packetId: fc.nat({ max: 65535 }),
    middle,
  }),
  fc.record({ do: fc.constant('list' as const), count: fc.integer({ min: 1, max: 40 }), middle }),
  fc.record({ do: fc.constant('execute' as const) }),
)

/** What each connection gets, in order, PUBLISH packets and raw bytes apart. */
function outcome(words: number, size: number, steps: readonly Step[]): unknown {
  const reactor = new FakeReactor(words, size)
  const connections = Array.from({ length: 4 }, () => reactor.connection())
  const handle = reactor.kept.keepBytes(Buffer.from('\0\x01tpayload'), 3)
  reactor.inboxBytes.set(Buffer.from('\0\x01t\0\x01inbox'), 8)
  reactor.outbox.inTurn = true
  const { outbox } = reactor
  for (const each of steps) {
    if (each.do === 'send') outbox.send(connections[each.to]!, each.bytes)
    else if (each.do === 'short') outbox.sendShort(connections[each.to]!, each.word, each.length)
    else if (each.do === 'execute') outbox.execute()
    else if (each.do === 'kept') {
      outbox.forwardKept(connections[each.to]!, each.first, each.packetId, handle, each.middle)
    } else {
      const list = new Int32Array(each.count * 3)
      for (let n = 0; n < each.count; n++) {
        const { slot, generation } = connections[n % 4]!
        list.set([slot, generation, n + 1], n * 3)
      }
      outbox.forwardList(0x32, 8, 10, 13, each.middle, list, each.count)
    }
  }
  outbox.execute()
  const raw = connections.map(({ slot }) =>
    reactor.sent.filter((each) => each.slot === slot).flatMap((each) => [...each.bytes]),
  )
  return { raw, written: reactor.written }
}

test('any sequence of commands has the same outcome in a tiny outbox as in one where all fits', () => {
  void fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.integer({ min: 16, max: 64 }),
      fc.integer({ min: 30, max: 128 }),
      (steps, words, size) => {
        assert.equal(outcome(words, size, steps), outcome(65536, 65536, steps))
      },
    ),
    { numRuns: 400 },
  )
})

test('what never fits is an error, and what was commanded before it is not lost', () => {
  const reactor = new FakeReactor(16, 32)
  const to = reactor.connection()
  reactor.outbox.sendShort(to, 0xd0, 2)
  const handle = reactor.kept.keepBytes(Buffer.from('\0\x01tx'), 3)
  reactor.outbox.sendShort(to, 0xd0, 2)
  assert.throws(() => reactor.outbox.forwardKept(to, 0x30, 0, handle, new Uint8Array(33)), RangeError)
  reactor.outbox.sendShort(to, 0xd0, 2)
  assert.is(reactor.take().sent.length, 3)
})

test('the inbox can be named only in its turn', () => {
  const reactor = new FakeReactor()
  const to = reactor.connection()
  const { outbox } = reactor
  const outside = [
    () => outbox.forward(to, 0x30, 0, 0, 4, 3, NO_MIDDLE),
    () => outbox.multicast(0, 0x30, 0, 4, 3, NO_MIDDLE, -1),
    () => outbox.forwardList(0x32, 0, 4, 3, NO_MIDDLE, new Int32Array(3), 1),
    () => outbox.keep(1, 0, 4, 3),
  ]
  for (const each of outside) assert.throws(each, 'only in the turn')
  assert.is(outbox.words[0], 1)
})

test('nothing is carried out when there is nothing, and bytes begin anew after each time', () => {
  let executed = 0
  const outbox = new Outbox(new Int32Array(64), new Uint8Array(64))
  outbox.attach({
    execute: () => {
      executed++
      outbox.words[0] = 1
    },
  } as unknown as NativeReactor)
  outbox.execute()
  assert.is(executed, 0)
  for (let n = 0; n < 10; n++) {
    outbox.send({ slot: 1, generation: 1 }, new Uint8Array(50))
    assert.is(outbox.words[4], 0)
  }
  assert.is(executed, 9)
})

test.run()
