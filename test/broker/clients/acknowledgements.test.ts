// The answers of one client that wait for the store, by themselves: what an action does while they are let go must not
// disturb the walk over the rest.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Acknowledgements } from '../../../src/broker/clients/acknowledgements.ts'
import type { Client } from '../../../src/broker/clients/client.ts'
import type { EarlyRelease, StoredMessage } from '../../../src/broker/journal/journal-batch.ts'
import { PacketType } from '../../../src/mqtt/packet-type.ts'

class Held {
  readonly written: number[] = []
  readonly journal = { openTicket: 1, mustWait: true, wait: () => {}, forget: () => {} }
  readonly acknowledgements: Acknowledgements
  /** What handleStored found: nothing is held any more. */
  isOver = false

  constructor() {
    const client = {
      context: { journal: this.journal },
      writeAcknowledgement: (_: number, packetId: number) => this.written.push(packetId),
      handleStored: (ticket: number) => this.release(ticket),
    }
    this.acknowledgements = new Acknowledgements(client as unknown as Client)
  }

  add(packetId: number, message?: StoredMessage): void {
    this.acknowledgements.add(PacketType.Puback, packetId, 0, message)
  }

  release(ticket: number): void {
    this.isOver = this.acknowledgements.release(ticket)
  }
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1)

test('an action that makes an answer behind it unnecessary to wait for: each answer leaves once, in order', () => {
  const held = new Held()
  const message: { waiting: EarlyRelease | undefined } = { waiting: undefined }
  for (let id = 1; id <= 100; id++) held.add(id)
  held.acknowledgements.addAction(() => message.waiting!.releaseEarly(), true)
  held.journal.openTicket = 2
  held.add(101, message as StoredMessage)
  held.add(102)
  held.release(1)
  assert.equal(held.written, upTo(101))
  assert.is(held.acknowledgements.unansweredPublishes, 1)
  assert.is(held.isOver, false)
  held.release(2)
  assert.equal(held.written, upTo(102))
  assert.is(held.isOver, true)
})

test('what is added while the last answers leave is held, too', () => {
  const held = new Held()
  for (let id = 1; id <= 70; id++) held.add(id)
  held.acknowledgements.addAction(() => {
    held.journal.openTicket = 2
    held.add(71)
  }, true)
  held.release(1)
  assert.equal(held.written, upTo(70))
  held.release(2)
  assert.equal(held.written, upTo(71))
})

test.run()
