// Handles of kept frames: one is given out again only behind the command that released it, and the count is exact.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FakeReactor } from '../broker/fake-reactor.ts'

test('any sequence of keeping and releasing never gives out a handle that is held', () => {
  void fc.assert(
    fc.property(fc.array(fc.nat({ max: 100 }), { maxLength: 200, size: 'max' }), (steps) => {
      // The fake reactor throws for a handle kept twice or released twice.
      const reactor = new FakeReactor(64, 64)
      const held: number[] = []
      reactor.turn(() => {
        reactor.inboxBytes.set(Buffer.from('\0\x01tx'), 0)
        for (const each of steps) {
          if (each % 2 === 0) {
            held.push(each % 4 === 0 ? reactor.kept.keep(0, 4, 3) : reactor.kept.keepBytes(Buffer.from('\0\x01tx'), 3))
          } else if (held.length > 0) {
            reactor.kept.release(held.splice(each % held.length, 1)[0]!)
          }
          assert.is(reactor.kept.held, held.length)
          assert.is(new Set(held).size, held.length)
        }
      })
      assert.equal([...reactor.frames.keys()].sort(), [...held].sort())
    }),
    { numRuns: 200 },
  )
})

test('a frame that arrived kept is released, but neither counted nor given out', () => {
  const reactor = new FakeReactor()
  const handle = reactor.arriveKept(Buffer.from('\0\x01tpayload'))
  reactor.kept.shape(handle, 3)
  const target = new Uint8Array(4)
  assert.is(reactor.kept.read(handle, 3, target), 4)
  assert.is(Buffer.from(target).toString(), 'payl')
  assert.is(reactor.kept.read(handle, 8, target), 2)
  reactor.kept.release(handle)
  reactor.take()
  assert.is(reactor.frames.size, 0)
  assert.is(reactor.kept.held, 0)
  assert.ok(reactor.kept.keepBytes(Buffer.from('\0\x01tx'), 3) > 0)
})

test.run()
