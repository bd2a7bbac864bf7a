// Who gets a message. Owns the subscription trie and the topics the reactor named; finds a topic's route, keeps it
// exact, and hands each publication to the sessions behind it. Knows no sockets and no acknowledgements.
import { matches, parseSharedFilter } from '../../mqtt/topic.ts'
import type { BrokerContext } from '../context.ts'
import type { Publication } from '../publication.ts'
import type { Session } from '../sessions/session.ts'
import { type GroupSource, Recipients } from './recipients.ts'
import { Route } from './route.ts'
import { deliverToSharedGroups, SharedGroup, SharedSubscription } from './shared-subscriptions.ts'
import { Subscription, type SubscriptionOptions, type Target } from './subscription.ts'
import { Topic } from './topic.ts'
import { type FilterNode, TopicTrie } from './topic-trie.ts'

export class Router {
  readonly trie = new TopicTrie<Recipients>()
  subscriptionCount = 0
  /** Changes with every subscription that comes or goes. */
  #memberships = 0
  sharedSubscriptionCount = 0
  readonly #topics: (Topic | undefined)[] = []
  readonly #groups: GroupSource
  readonly #context: () => BrokerContext
  readonly #maxLevels: number
  readonly #list3 = new RecipientList()
  readonly #list5 = new RecipientList()
  readonly #matched: FilterNode<Recipients>[] = []

  /** `context` is asked for late: the router is one of its parts. */
  constructor(groups: GroupSource, maxLevels: number, context: () => BrokerContext) {
    this.#context = context
    this.#groups = groups
    this.#maxLevels = maxLevels
  }

  /** The reactor gave a Topic Name an id. */
  nameTopic(id: number, topic: Topic): void {
    this.#topics[id] = topic
  }

  forgetTopic(id: number): void {
    this.#topics[id] = undefined
  }

  topicById(id: number): Topic | undefined {
    return this.#topics[id]
  }

  /** A topic by name, remembered nowhere: for names without an id. */
  topic(name: string): Topic {
    return Topic.of(name, this.#maxLevels)
  }

  /** A new subscription of a session; `$share/…` joins that group. */
  subscribe(session: Session, filter: string, options: SubscriptionOptions): Subscription | SharedSubscription {
    this.subscriptionCount++
    this.#membershipsChanged()
    const shared = parseSharedFilter(filter)
    if (shared !== undefined) return this.#subscribeShared(session, shared.group, shared.filter, options)
    const recipients = this.#recipientsOf(filter)
    const subscription = new Subscription(session, recipients, options)
    recipients.join(subscription)
    return subscription
  }

  /** Replaces the options of a subscription. */
  resubscribe(subscription: Subscription | SharedSubscription, options: SubscriptionOptions): void {
    subscription.apply(options)
    if (subscription instanceof Subscription) subscription.recipients.changed(subscription)
  }

  unsubscribe(subscription: Subscription | SharedSubscription): void {
    this.subscriptionCount--
    this.#membershipsChanged()
    if (subscription instanceof Subscription) {
      subscription.recipients.leave(subscription)
      this.#dropIfEmpty(subscription.recipients)
      return
    }
    this.sharedSubscriptionCount--
    const { group } = subscription
    group.leave(subscription)
    if (group.size > 0) return
    const { recipients } = group
    recipients.shared!.delete(group.name)
    if (recipients.shared!.size === 0) recipients.shared = undefined
    this.#dropIfEmpty(recipients)
  }

  /** The group of that name, `$share/ShareName/filter`, if it has members. */
  sharedGroup(name: string): SharedGroup | undefined {
    const shared = parseSharedFilter(name)
    return shared && this.trie.get(shared.filter)?.value?.shared?.get(shared.group)
  }

  #subscribeShared(session: Session, name: string, filter: string, options: SubscriptionOptions): SharedSubscription {
    this.sharedSubscriptionCount++
    const recipients = this.#recipientsOf(filter)
    recipients.shared ??= new Map()
    let group = recipients.shared.get(name)
    if (group === undefined) {
      group = new SharedGroup(this.#context(), name, recipients)
      recipients.shared.set(name, group)
    }
    const member = new SharedSubscription(session, group, options)
    group.join(member)
    return member
  }

  #recipientsOf(filter: string): Recipients {
    const node = this.trie.insert(filter)
    node.value ??= new Recipients(filter, this.#groups)
    return node.value
  }

  #dropIfEmpty(recipients: Recipients): void {
    if (!recipients.isEmpty) return
    const node = this.trie.get(recipients.filter)
    if (node === undefined) return
    node.value = undefined
    this.trie.remove(node)
  }

  /** Hands a publication to every session with a matching subscription. Returns whether there was any. */
  publish(publication: Publication): boolean {
    const { topic } = publication
    if (topic.singleAt === this.#memberships) {
      topic.single!.deliver(publication)
      return true
    }
    const route = this.#route(topic)
    const lists = route.recipients
    if (lists.length === 0) return false
    if (lists.length === 1) this.#noteSingle(topic, lists[0]!)
    const overlap = lists.length === 1 ? undefined : route.overlap()
    if (overlap !== undefined) {
      this.#deliverTo(overlap, publication)
    } else {
      for (const list of lists) {
        if (publication.qos === 0) list.deliverQos0(publication, this.#context().settings.queueQos0Messages)
        else this.#deliverTo(list.members, publication)
      }
    }
    for (const list of lists) if (list.shared !== undefined) deliverToSharedGroups(list.shared, publication)
    return true
  }

  /** Whether a message of QoS 1 or 2 to this topic would be stored for a session. */
  reachesStored(topic: Topic): boolean {
    return this.#route(topic).recipients.some(
      (list) =>
        list.members.some(({ session, qos }) => session.isStored && qos > 0) ||
        [...(list.shared?.values() ?? [])].some((group) => group.isStored),
    )
  }

  /** QoS 1 and 2, and merged overlaps: each target by itself, those alike written as one list a version. */
  #deliverTo(targets: readonly Target[], publication: Publication): void {
    const { qos } = publication
    const listable = publication.isListable && qos > 0 && targets.length >= 4
    const list3 = this.#list3
    const list5 = this.#list5
    list3.count = 0
    list5.count = 0
    for (let i = 0; i < targets.length; i++) {
      const target = targets[i]!
      const { session } = target
      if (listable && target.qos >= qos && target.isPlain) {
        const packetId = session.takePacketId(publication)
        if (packetId !== 0) {
          ;(session.version === 5 ? list5 : list3).add(session.connection!, packetId)
          continue
        }
      }
      session.deliver(publication, target)
    }
    const first = 0x30 | (qos << 1)
    if (list3.count > 0) publication.writeToList(3, first, list3.words, list3.count)
    if (list5.count > 0) publication.writeToList(5, first, list5.words, list5.count)
  }

  /** The one subscription that gets what is published to the topic, if that was so at its last message and still is. */
  onlyReceiver(topic: Topic): Subscription | undefined {
    return topic.singleAt === this.#memberships ? topic.single : undefined
  }

  /** From now on the reactor asks again what becomes of each message. */
  revokeShortcuts(): void {
    this.#groups.revokeShortcuts()
  }

  #membershipsChanged(): void {
    this.#memberships++
    this.revokeShortcuts()
  }

  #noteSingle(topic: Topic, list: Recipients): void {
    if (list.members.length !== 1 || list.shared !== undefined) return
    topic.single = list.members[0]
    topic.singleAt = this.#memberships
  }

  #route(topic: Topic): Route {
    const known = topic.route
    return known !== undefined && known.checkedAt === this.trie.changes ? known : this.#freshRoute(topic)
  }

  /** Apart from the above, because its closure would make V8 allocate a context for every message. */
  #freshRoute(topic: Topic): Route {
    const { trie } = this
    const known = topic.route
    if (known !== undefined) {
      let affected = false
      const complete = trie.changedSince(known.checkedAt, (filter) => {
        affected ||= matches(filter, topic.name)
      })
      if (complete && !affected) {
        known.checkedAt = trie.changes
        return known
      }
    }
    const matched = this.#matched
    matched.length = 0
    trie.match(topic.name, matched)
    const route = new Route(
      matched.map((node) => node.value!),
      trie.changes,
    )
    topic.route = route
    return route
  }
}

/** (slot, generation, packet identifier) of each receiver of one variant of a message, written as one command. */
class RecipientList {
  words = new Int32Array(3 * 64)
  count = 0

  add(to: { readonly slot: number; readonly generation: number }, packetId: number): void {
    const at = this.count * 3
    if (at === this.words.length) this.#grow()
    this.words[at] = to.slot
    this.words[at + 1] = to.generation
    this.words[at + 2] = packetId
    this.count++
  }

  #grow(): void {
    const larger = new Int32Array(this.words.length * 2)
    larger.set(this.words)
    this.words = larger
  }
}
