// The list native code keeps, read from the commands, is at every step the list TypeScript believes in.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Connection } from '../../src/net/connection.ts'
import { FakeReactor } from '../broker/fake-reactor.ts'

interface Member {
  groupPosition: number
  readonly connection: Connection
}

test('any sequence of adding, removing and disposing leaves both lists alike', () => {
  void fc.assert(
    fc.property(fc.array(fc.nat({ max: 1000 }), { maxLength: 200, size: 'max' }), (steps) => {
      const reactor = new FakeReactor(32, 32)
      const members: Member[] = Array.from({ length: 10 }, () => ({
        groupPosition: -1,
        connection: reactor.connection(),
      }))
      let group = reactor.groupOf<Member>((member) => member.connection)
      for (const each of steps) {
        const member = members[each % members.length]!
        if (each > 980) {
          group.dispose()
          group = reactor.groupOf<Member>((other) => other.connection)
        } else if (member.groupPosition < 0) group.add(member)
        else group.remove(member)
        reactor.outbox.execute()
        const native = reactor.groups.get(group.id) ?? []
        assert.equal(
          native.map(({ slot }) => slot),
          group.members.map(({ connection }) => connection.slot),
        )
        assert.is(group.size, native.length)
        members.forEach((one) => {
          assert.is(group.members.indexOf(one), one.groupPosition)
        })
      }
    }),
    { numRuns: 300 },
  )
})

test('a group’s id is used again when it was given back', () => {
  const reactor = new FakeReactor()
  const first = reactor.groupOf<Member>((member) => member.connection)
  first.add({ groupPosition: -1, connection: reactor.connection() })
  first.dispose()
  assert.is(reactor.groupOf<Member>((member) => member.connection).id, first.id)
})

test.run()
