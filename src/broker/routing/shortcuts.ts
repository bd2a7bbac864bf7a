// Decisions that stand: when the same client keeps publishing plain QoS 0 messages to a topic with one plain receiver, the
// reactor is told so, and what follows costs no JavaScript until something changes. Owns when that is; the reactor owns the
// table (native/index.d.ts, SHORTCUT), and whoever changes what a decision rests on calls `revokeShortcuts`.
import type { PublishView } from '../../mqtt/publish.ts'
import type { Outbox } from '../../net/outbox.ts'
import type { Client } from '../clients/client.ts'
import type { Topic } from './topic.ts'

/** Bytes of payload from which the reactor hands a PUBLISH over in any case. */
const LONGEST = 1022

export class Shortcuts {
  readonly #outbox: Outbox
  /** The present decision's number, see native/index.d.ts. */
  readonly #decisions: Int32Array

  /** Messages in a row from one client; 0: never. */
  readonly #after: number

  constructor(outbox: Outbox, decisions: Int32Array, after: number) {
    this.#after = after === 0 ? Number.POSITIVE_INFINITY : after
    this.#outbox = outbox
    this.#decisions = decisions
  }

  /**
   * A QoS 0 PUBLISH without RETAIN came through the broker the long way, `view` is how it read: must the next one? Called
   * after it was routed. What is asked here is all that a decision rests on, so each of it must revoke when it changes: the
   * subscriptions and their connections (Router, Recipients), a listener to all messages (Broker), the client's own end while it
   * is still read (Client). A client's rate limit and the authorizer are there from the beginning or never.
   */
  consider(client: Client, topic: Topic, topicId: number, view: PublishView): void {
    const { connection, context } = client
    if (topic.publishedBy !== connection.slot) {
      topic.publishedBy = connection.slot
      topic.steady = 0
      return
    }
    // One that many publish to shall not change hands with each message.
    if (++topic.steady < this.#after) return
    const to = context.router.onlyReceiver(topic)
    if (to === undefined || !to.isDirect || to.slot === connection.slot) return
    if (view.payloadLength > LONGEST || (client.version === 5 && view.propertiesLength > 0)) return
    if (client.isMeasured || context.events.hasPublishedListener || context.hooks.authorizePublish !== undefined) return
    const versions = (client.version === 5 ? 1 : 0) | (to.version === 5 ? 2 : 0)
    this.#outbox.shortcut(topicId, connection, to, versions, this.#decisions[0]!)
  }
}
