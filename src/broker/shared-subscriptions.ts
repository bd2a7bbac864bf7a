// Shared Subscriptions (`$share/ShareName/filter`): of all members of a group one gets each message. Members are chosen
// in turn among those that can take it now: online, with a free place in their window; then online ones; then absent
// ones that keep a session [MQTT-4.8.2-1].

import type { QoS } from '../mqtt/qos.ts'
import type { Publication } from './publication.ts'
import type { Recipients } from './recipients.ts'
import type { Session } from './session.ts'
import type { SubscriptionOptions, Target } from './subscription.ts'

/** One session's membership in a group. */
export class SharedSubscription implements Target {
  readonly session: Session
  readonly group: SharedGroup
  qos: QoS
  retainAsPublished: boolean
  subscriptionIds: readonly number[] | undefined
  /** Not allowed in shared subscriptions [MQTT-3.8.3-4]. */
  readonly noLocal = false

  constructor(session: Session, group: SharedGroup, options: SubscriptionOptions) {
    this.session = session
    this.group = group
    this.qos = options.qos
    this.retainAsPublished = options.retainAsPublished
    this.subscriptionIds = options.subscriptionId === 0 ? undefined : [options.subscriptionId]
  }

  apply(options: SubscriptionOptions): void {
    this.qos = options.qos
    this.retainAsPublished = options.retainAsPublished
    this.subscriptionIds = options.subscriptionId === 0 ? undefined : [options.subscriptionId]
  }
}

export class SharedGroup {
  readonly name: string
  readonly recipients: Recipients
  readonly #members: SharedSubscription[] = []
  #next = 0

  constructor(name: string, recipients: Recipients) {
    this.name = name
    this.recipients = recipients
  }

  get size(): number {
    return this.#members.length
  }

  join(member: SharedSubscription): void {
    this.#members.push(member)
  }

  leave(member: SharedSubscription): void {
    const at = this.#members.indexOf(member)
    if (at >= 0) this.#members.splice(at, 1)
  }

  /** Hands the publication to one member; nobody online and nobody to keep it for: it is lost to this group. */
  deliver(publication: Publication): void {
    const member = this.#choose(publication.qos)
    member?.session.deliver(publication, member)
  }

  #choose(qos: QoS): SharedSubscription | undefined {
    const { length } = this.#members
    let online: SharedSubscription | undefined
    let absent: SharedSubscription | undefined
    for (let step = 0; step < length; step++) {
      const member = this.#members[(this.#next + step) % length]!
      if (member.session.connection === undefined) {
        absent ??= member
        continue
      }
      if (qos === 0 || member.session.hasFreeWindow) {
        this.#next = (this.#next + step + 1) % length
        return member
      }
      online ??= member
    }
    return online ?? absent
  }
}

export function deliverToSharedGroups(groups: Map<string, SharedGroup>, publication: Publication): void {
  for (const group of groups.values()) group.deliver(publication)
}
