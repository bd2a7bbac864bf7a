// A backend may forget what it took: a Redis without persistence is empty after its own restart, one with snapshots goes back in
// time. The mark of the newest batch tells. As long as the broker runs it knows all the backend should hold, so it
// says it all again, and nothing was lost. Also finds out that another broker writes to the same backend.

import { StoreError } from '../store-error.ts'
import type { Backend } from './backend.ts'
import { retainedPacket } from './backend-packets.ts'
import type { BackendWriter } from './backend-writer.ts'
import {
  COMMIT,
  type CommitMark,
  clientIdOf,
  markOf,
  PAGES,
  publishedTopic,
  SESSIONS,
  storedTopic,
} from './bookkeeping.ts'
import { Plan } from './plan.ts'
import type { Planner } from './planner.ts'
import { StoredSession } from './sessions.ts'

export class Restatement {
  readonly #backend: Backend
  readonly #writer: BackendWriter
  readonly #planner: Planner

  constructor(backend: Backend, writer: BackendWriter, planner: Planner) {
    this.#backend = backend
    this.#writer = writer
    this.#planner = planner
  }

  /**
   * Whether the backend is as the newest batch left it, or as `plan`, which may have been under way, would.
   * @throws StoreError `locked` when another broker has written to it.
   */
  async isAsLeft(plan: Plan): Promise<boolean> {
    const expected = this.#planner.newestMark
    if (expected === undefined) return true
    for await (const packet of this.#backend.createRetainedStream(COMMIT)) {
      const { owner, batch } = markOf<CommitMark>(packet)
      if (owner === expected.owner && batch === expected.batch) return true
      if (owner === plan.mark?.owner) return batch === plan.mark.batch
      // Of the process before this one: older than what we found at the start it may be, newer it may not.
      const isOlder = owner === this.#planner.previousOwner && (owner !== expected.owner || batch < expected.batch)
      if (!isOlder) throw new StoreError('locked', 'the backend: another broker writes to it')
    }
    return false
  }

  /** Says again all there is. What goes wrong on the way is begun anew. */
  async run(progress: () => void): Promise<void> {
    const { sessions, wills, retained } = this.#planner
    for (const session of sessions.values()) session.lose()
    await this.#removeUnknown()
    const plan = new Plan(0)
    for (const session of sessions.values()) this.#session(session, plan)
    for (const will of wills.values()) plan.changes.add(will.clientId, () => this.#writer.setWill(will))
    for (const [topicName, number] of retained) {
      const message = this.#planner.messageOf(number)!
      const topic = storedTopic(topicName)
      plan.changes.add(`\0retained ${topicName}`, () => this.#writer.retain(retainedPacket(message, topic)))
    }
    plan.commit.add('commit', () => this.#writer.mark(COMMIT, this.#planner.newestMark))
    await plan.run(progress)
  }

  #session(session: StoredSession, plan: Plan): void {
    const { clientId, ids, subscriptions } = session
    const writer = this.#writer
    plan.changes.add(clientId, () => writer.prepare(session))
    for (const record of subscriptions.values()) plan.changes.add(clientId, () => writer.subscribe(session, record))
    for (const entry of session.live()) {
      plan.changes.add(clientId, () => writer.enqueue(session, entry))
      plan.changes.add(clientId, () => writer.tell(session, entry))
    }
    for (const id of ids.inbound)
      plan.changes.add(clientId, () => writer.addInbound(session, id, session.inboundTags.get(id) ?? 0))
    plan.pages.add(clientId, () => writer.writeInbound(session))
    plan.pages.add(clientId, () => writer.writeReleased(session))
  }

  /** What was there and had gone when the backend went back in time. */
  async #removeUnknown(): Promise<void> {
    const { sessions, retained, wills } = this.#planner
    const ended: StoredSession[] = []
    for await (const { topic } of this.#backend.createRetainedStream(SESSIONS)) {
      const clientId = clientIdOf(topic, 2)
      if (!sessions.has(clientId)) ended.push(new StoredSession(clientId, { version: 4, expiry: null, left: null }))
    }
    const topics: string[] = []
    for await (const { topic } of this.#backend.createRetainedStream(PAGES)) topics.push(topic)
    for await (const { topic } of this.#backend.createRetainedStream('#')) {
      const topicName = publishedTopic(topic)
      if (topicName !== undefined && !retained.has(topicName)) topics.push(topic)
    }
    const gone: string[] = []
    for await (const { clientId } of this.#backend.streamWill({}))
      if (clientId !== undefined && !wills.has(clientId)) gone.push(clientId)
    for (const session of ended) await this.#writer.endSession(session)
    for (const topic of topics) await this.#writer.mark(topic, undefined)
    for (const clientId of gone) await this.#writer.removeWill(clientId)
  }
}
