// Session State [MQTT-4.1.0-1]: subscriptions, messages on their way to the client, identifiers of QoS 2 messages on
// their way from it. Outlives its client when its expiry says so. Decides for each message: send now, queue, or drop.
// Holds references on the messages it keeps; `end()` gives all of them back. Idle sessions own no tables.
import type { QoS } from '../mqtt/qos.ts'
import { variableByteIntegerSize } from '../mqtt/variable-byte-integer.ts'
import type { Connection } from '../net/connection.ts'
import { InboundQos2 } from '../qos/inbound-qos2.ts'
import { MessageQueue } from '../qos/message-queue.ts'
import { type Acknowledged, OutboundInflight, UNKNOWN_ID, WRONG_STATE } from '../qos/outbound-inflight.ts'
import type { BrokerContext } from './context.ts'
import { fitsOutbox, frameWithProperties } from './large-properties.ts'
import { Delivery, type Message } from './message.ts'
import type { SlowReaderPolicy } from './overload/settings.ts'
import { NO_BYTES, type Publication, propertyBlock, secondsLeft } from './publication.ts'
import type { RetainedReplay } from './retained-replay.ts'
import { type SharedGroup, SharedSubscription } from './shared-subscriptions.ts'
import { Subscription, type SubscriptionOptions, type Target } from './subscription.ts'
import { UnstoredMessages } from './unstored-messages.ts'

const PUBREL = 0x62
/** A PUBREC that ends the exchange. */
const REFUSED = 0x80
/** A Topic Alias property, and one byte for a Property Length it makes longer. */
const ALIAS_BYTES = 4
/** No Maximum Packet Size. */
const UNLIMITED = 0xffffffff
/** Steps of a retained walk that may find nothing before others have their turn. */
const REPLAY_SLICE = 256

export interface SessionOwner {
  readonly remoteAddress: string
  /** A connection from `byAddress` has the same Client Identifier. */
  takenOver(byAddress: string): void
  /** Its queue or its output is full. */
  tooSlow(): void
}

export class Session {
  // In the order of use per message: the first ones share a cache line, and a session that only receives touches no more.
  /** Present while the client is connected. */
  connection: Connection | undefined
  version: 3 | 4 | 5
  queue: MessageQueue<Delivery> | undefined
  /** Packet identifiers a resumed session still has to send again, in order. */
  #resend: Set<number> | undefined
  /** Sent or being resent on this connection and not acknowledged: what counts against receiveMaximum. */
  #outstanding = 0
  /** In-flight messages the client takes at a time: our window, or its Receive Maximum if that is smaller. */
  receiveMaximum: number
  inflight: OutboundInflight<Delivery> | undefined
  readonly #context: BrokerContext
  /** Seconds it outlives its connection; 0 = not at all, Infinity = for ever. */
  expiryInterval = 0
  readonly clientId: string
  /** The store knows it: every change is recorded. */
  isStored = false
  /** QoS 2 messages sent as soon as their identifiers are stored. */
  #unstored: UnstoredMessages | undefined
  /** Its client, while connected. */
  owner: SessionOwner | undefined
  /** A bridge by its protocol level: gets nothing back that it sent, and sees RETAIN as published. */
  isBridge = false
  /** By Topic Filter as subscribed, `$share/…` included. */
  subscriptions: Map<string, Subscription | SharedSubscription> | undefined
  /** A shared group it is a member of has messages waiting. */
  hasSharedBacklog = false
  /** Its output was full and the newest counts: what it cannot take now waits in its queue, QoS 0 too. */
  isBehind = false
  /** Of the listener its client came through last; of the broker before the first. */
  slowReaderPolicy: SlowReaderPolicy
  inbound: InboundQos2 | undefined
  replays: RetainedReplay[] | undefined
  /** Largest packet the client takes [MQTT-3.1.2-24]. */
  maximumPacketSize = UNLIMITED
  /** Topic aliases it takes on this connection. */
  topicAliasMaximum = 0
  /** Those the broker has set on it. */
  #aliases: Map<string, number> | undefined
  #isPumpDue = false

  constructor(context: BrokerContext, clientId: string, version: 3 | 4 | 5) {
    this.#context = context
    this.clientId = clientId
    this.version = version
    this.receiveMaximum = context.settings.maxInflightMessages
    this.slowReaderPolicy = context.overload.settings.slowReaderPolicy
  }

  /** Whether it survives its connection: only then are messages in flight kept. */
  get isPersistent(): boolean {
    return this.expiryInterval > 0
  }

  /** Hands over one publication. Never throws: a full queue drops the message and counts it. */
  deliver(publication: Publication, target: Target): void {
    const own = publication.publisher === this
    if (own && target.noLocal) return // [MQTT-3.8.3-3]
    this.#deliver(publication, own ? (target.own ?? target) : target)
  }

  #deliver(publication: Publication, target: Target): void {
    const qos = Math.min(target.qos, publication.qos) as QoS // [MQTT-3.8.4-8]
    const retain = target.retainAsPublished && publication.retain // [MQTT-3.3.1-12], [MQTT-3.3.1-9]
    const { connection } = this
    if (qos === 0) {
      if (connection !== undefined && !(this.isBehind && this.#isFull(connection))) {
        this.#send(connection, publication, retain ? 0x31 : 0x30, 0, target.subscriptionIds)
      } else if (connection !== undefined || this.#context.settings.queueQos0Messages) {
        this.#enqueue(publication, 0, retain, target.subscriptionIds)
      }
      return
    }
    if (connection !== undefined && this.#maySend(connection)) {
      if (!this.takes(publication, qos, target.subscriptionIds)) {
        this.#countTooLarge()
        return
      }
      const packetId = this.#take(publication, qos, retain, target)
      if (this.#mustBeStored(qos)) {
        this.#sendWhenStored(packetId, this.inflight!.message(packetId)!)
        return
      }
      const first = 0x30 | (qos << 1) | (retain ? 1 : 0)
      this.#send(connection, publication, first, packetId, target.subscriptionIds)
      return
    }
    this.#enqueue(publication, qos, retain, target.subscriptionIds)
  }

  /**
   * The packet identifier under which a plain publication may be written right now, already in flight; 0 when it has to
   * take the way of `deliver`.
   */
  takePacketId(publication: Publication): number {
    const { connection } = this
    if (connection === undefined || !this.#maySend(connection) || this.maximumPacketSize !== UNLIMITED) return 0
    if (this.#mustBeStored(publication.qos)) return 0
    return this.#take(publication, publication.qos, false, undefined)
  }

  /** PUBACK: frees the identifier. Returns false when no QoS 1 message is in flight under it. */
  acknowledged(packetId: number): boolean {
    return this.#completed(packetId, this.inflight === undefined ? UNKNOWN_ID : this.inflight.puback(packetId))
  }

  /** PUBREC: the message is delivered, its identifier waits for PUBCOMP; a refusal frees it [MQTT-4.9.0-2]. */
  received(packetId: number, reasonCode: number): boolean {
    const outcome = this.inflight === undefined ? UNKNOWN_ID : this.inflight.pubrec(packetId, reasonCode)
    if (reasonCode >= 0x80) return this.#completed(packetId, outcome)
    if (outcome === UNKNOWN_ID || outcome === WRONG_STATE) return false
    if (outcome === undefined) return true
    if (this.isStored) this.#context.journal.received(this.clientId, packetId, outcome)
    outcome.message.release()
    return true
  }

  /** PUBCOMP: frees the identifier of a message the client has released. */
  completed(packetId: number): boolean {
    return this.#completed(packetId, this.inflight === undefined ? UNKNOWN_ID : this.inflight.pubcomp(packetId))
  }

  /** Sends what waits, as far as window and socket allow: first what is to be resent, then retained, then the queue. */
  pump(): void {
    const { connection } = this
    if (connection === undefined) return
    let room = this.#context.settings.outputHighWater - this.#context.queuedBytes(connection)
    if (room <= 0) return // full, so the reactor owes `drained`
    room = this.#pumpResend(connection, room)
    if (this.#resend === undefined) {
      room = this.#pumpReplays(connection, room)
      room = this.#pumpQueue(connection, room)
    }
    if (room <= 0) this.#pumpSoon()
    else if (this.hasSharedBacklog && this.hasFreeWindow) this.#serveGroups()
  }

  /**
   * What was written counts as waiting here, but the socket may take it all at once, and then nobody owes `drained`: looked
   * at again when the commands have been carried out.
   */
  #pumpSoon(): void {
    if (this.#isPumpDue) return
    this.#isPumpDue = true
    setImmediate(() => {
      this.#isPumpDue = false
      this.pump()
    })
  }

  /** Gives back what has expired in its queue and in those of its groups. */
  dropExpired(now: number): void {
    const { queue } = this
    if (this.#context.router.sharedSubscriptionCount > 0) for (const group of this.#groups()) group.dropExpired(now)
    if (queue === undefined) return
    queue.remove((delivery) => {
      if (delivery.message.expiresAt > now) return false
      this.#unqueued(delivery)
      this.#context.counters.droppedExpired++
      if (this.isStored) this.#context.journal.queuedDropped(this.clientId, delivery)
      delivery.message.release()
      return true
    })
    if (queue.size === 0) this.queue = undefined
  }

  /** A client takes the session over: everything unacknowledged is sent again, in order, with DUP [MQTT-4.4.0-1]. */
  attach(connection: Connection, receiveMaximum: number): void {
    this.connection = connection
    this.receiveMaximum = receiveMaximum
    this.#outstanding = 0
    this.#resend = undefined
    this.#aliases = undefined
    this.#eachSubscription((subscription) => subscription.recipients.online(subscription))
    this.hasSharedBacklog = this.#groups().some((group) => group.backlog > 0)
    if (this.inflight !== undefined && this.inflight.count > 0) {
      this.#resend = new Set()
      for (const { packetId } of this.inflight.unacknowledged()) this.#resend.add(packetId)
    }
  }

  /** Its output is full, and the policy is to keep the newest: QoS 0 messages go through the queue from now on. */
  fallBehind(): void {
    if (this.isBehind || this.connection === undefined) return
    this.isBehind = true
    this.#eachSubscription((subscription) => subscription.recipients.changed(subscription))
  }

  /** Its connection is gone. Must come before `version` changes: the recipients' lists go by it. */
  detach(): void {
    if (this.connection === undefined) return
    this.#eachSubscription((subscription) => subscription.recipients.offline(subscription))
    this.connection = undefined
    this.#resend = undefined
    this.#unstored?.clear()
    this.#unstored = undefined
    this.replays = undefined
    this.hasSharedBacklog = false
    if (this.isBehind) this.#catchUp()
    this.#returnShared()
  }

  /**
   * QoS 1 messages of shared groups that were not acknowledged go back to their group [MQTT-4.8.2-4]; QoS 2 stays with the
   * session, and dies with it [MQTT-4.8.2-5].
   */
  #returnShared(): void {
    const { inflight } = this
    if (inflight === undefined) return
    const groups = new Set<SharedGroup>()
    for (const { packetId, qos, message: delivery } of inflight.unacknowledged()) {
      if (qos !== 1 || delivery?.group === undefined) continue
      inflight.puback(packetId)
      delivery.group.takeBack(delivery.message)
      if (this.isStored) this.#context.journal.acknowledged(this.clientId, packetId, delivery)
      groups.add(delivery.group)
    }
    for (const group of groups) group.drain()
  }

  /** QoS 0 messages waited for the connection only, unless they are to be kept for absent clients. */
  #catchUp(): void {
    this.isBehind = false
    const { queue } = this
    if (queue === undefined || this.#context.settings.queueQos0Messages) return
    queue.remove((delivery) => {
      if (delivery.qos > 0) return false
      this.#unqueued(delivery)
      this.#context.counters.droppedSessionEnded++
      delivery.message.release()
      return true
    })
    if (queue.size === 0) this.queue = undefined
  }

  /** Everything it holds is given back; the object is dead. */
  end(): void {
    this.detach()
    this.replays = undefined
    if (this.subscriptions !== undefined) {
      for (const each of this.subscriptions.values()) this.#context.router.unsubscribe(each)
      this.subscriptions = undefined
    }
    if (this.inflight !== undefined) {
      for (const { message } of this.inflight.unacknowledged()) message?.message.release()
      this.inflight = undefined
    }
    for (let next = this.queue?.shift(); next !== undefined; next = this.queue?.shift()) {
      this.#unqueued(next)
      this.#context.counters.droppedSessionEnded++
      next.message.release()
    }
    this.queue = undefined
    this.inbound = undefined
  }

  /** The store forgets it, and with it all that its records said. */
  forgetRecords(): void {
    this.isStored = false
    const { journal } = this.#context
    if (this.inflight !== undefined) {
      for (const { message } of this.inflight.unacknowledged()) if (message !== undefined) journal.forgotten(message)
    }
    if (this.queue !== undefined) for (const delivery of this.queue) journal.forgotten(delivery)
  }

  /** Whether one more subscription to this filter is within the limit. */
  hasRoomFor(filter: string): boolean {
    const { subscriptions } = this
    return (
      subscriptions === undefined ||
      subscriptions.size < this.#context.settings.maxSubscriptionsPerClient ||
      subscriptions.has(filter)
    )
  }

  /** Makes a subscription or replaces its options [MQTT-3.8.4-3]; returns whether it is new. */
  subscribe(filter: string, options: SubscriptionOptions, retainHandling: 0 | 1 | 2): boolean {
    this.subscriptions ??= new Map()
    const known = this.subscriptions.get(filter)
    if (known === undefined) this.subscriptions.set(filter, this.#context.router.subscribe(this, filter, options))
    else this.#context.router.resubscribe(known, options)
    if (this.isStored) this.#context.journal.subscribed(this.clientId, filter, options, retainHandling)
    return known === undefined
  }

  /** Ends a subscription [MQTT-3.10.4-2]; returns whether there was one. */
  unsubscribe(filter: string): boolean {
    const known = this.subscriptions?.get(filter)
    if (known === undefined) return false
    this.subscriptions!.delete(filter)
    if (this.subscriptions!.size === 0) this.subscriptions = undefined
    this.#context.router.unsubscribe(known)
    if (this.isStored) this.#context.journal.unsubscribed(this.clientId, filter)
    return true
  }

  /** Hands over a message that waited in a shared group, which gives its reference away. */
  deliverShared(message: Message, member: SharedSubscription): void {
    this.#sendDelivery(this.connection!, sharedDelivery(message, member))
  }

  /** Whether a message that waits in a shared group is within its Maximum Packet Size. */
  takesShared(message: Message, member: SharedSubscription): boolean {
    return this.maximumPacketSize === UNLIMITED || this.#isWithinLimit(sharedDelivery(message, member))
  }

  /** Whether its output is full. */
  get isCongested(): boolean {
    const { connection } = this
    return connection === undefined || this.#context.queuedBytes(connection) >= this.#context.settings.outputHighWater
  }

  /** Whether a QoS 1 or 2 message handed over now would be sent now. */
  get hasFreeWindow(): boolean {
    return this.connection !== undefined && this.#maySend(this.connection)
  }

  /** Retained messages for a new subscription, sent as the socket takes them. */
  startReplay(replay: RetainedReplay): void {
    this.replays ??= []
    this.replays.push(replay)
    this.pump()
  }

  inboundQos2(): InboundQos2 {
    this.inbound ??= new InboundQos2(65535)
    return this.inbound
  }

  /**
   * Sends again, with DUP, what a connected 3.x client has not acknowledged since `before` [MQTT-4.4.0-1 forbids it to
   * MQTT 5]. Looks at the oldest first and at no more than `limit`.
   */
  retry(before: number, limit: number): void {
    const { connection, inflight } = this
    if (connection === undefined || inflight === undefined || this.version === 5) return
    let looked = 0
    for (let packetId = inflight.oldest; packetId !== 0 && looked < limit; packetId = inflight.after(packetId)) {
      looked++
      if (inflight.sentAt(packetId) > before || this.#resend?.has(packetId) === true) continue
      if (this.#unstored?.has(packetId) === true) continue
      inflight.sentAgain(packetId, this.#context.clock.now())
      const delivery = inflight.message(packetId)
      if (inflight.state(packetId) === 'released') this.#sendPubrel(connection, packetId)
      else if (delivery !== undefined) this.#write(connection, delivery, packetId, true)
    }
  }

  #send(
    connection: Connection,
    publication: Publication,
    first: number,
    packetId: number,
    ids: readonly number[] | undefined,
  ): void {
    const alias = this.topicAliasMaximum === 0 ? 0 : this.#aliasFor(publication, first, ids)
    if (alias === 0) {
      publication.writeTo(connection, this.version, first, packetId, ids)
      return
    }
    const { name } = publication.topic
    const knows = this.#aliases?.has(name) === true
    if (!knows) {
      this.#aliases ??= new Map()
      this.#aliases.set(name, alias)
    }
    publication.writeAliased(connection, first, packetId, ids, alias, knows)
  }

  /** The Topic Alias the publication is sent with: the one the client knows, or a new one; 0 for none. */
  #aliasFor(publication: Publication, first: number, ids: readonly number[] | undefined): number {
    const { name, isFrequent } = publication.topic
    if (!isFrequent) return 0
    const known = this.#aliases?.get(name)
    const used = this.#aliases?.size ?? 0
    if (known === undefined && used >= this.topicAliasMaximum) return 0
    // An alias costs its three bytes and perhaps one of Property Length: what fits without it must arrive, and a packet
    // that sets one must not be left out, or the client would never learn of it.
    const more = known === undefined ? ALIAS_BYTES : ALIAS_BYTES - publication.topicLength
    if (!this.takes(publication, ((first >> 1) & 3) as QoS, ids, more)) return 0
    return known ?? used + 1
  }

  /** Whether the publication, as it would be sent with `qos`, is within its Maximum Packet Size [MQTT-3.1.2-24]. */
  takes(publication: Publication, qos: QoS, ids: readonly number[] | undefined, more = 0): boolean {
    return this.maximumPacketSize === UNLIMITED || publication.packetSize5(qos, ids, more) <= this.maximumPacketSize
  }

  /** Over its Maximum Packet Size: dropped as if it had been sent [MQTT-3.1.2-25]. */
  #countTooLarge(): void {
    this.#context.counters.droppedTooLarge++
    this.#context.dropped(this.clientId, 'larger than its Maximum Packet Size')
  }

  #eachSubscription(visit: (subscription: Subscription) => void): void {
    if (this.subscriptions === undefined) return
    for (const each of this.subscriptions.values()) if (each instanceof Subscription) visit(each)
  }

  #maySend(connection: Connection): boolean {
    return (
      this.#outstanding < this.receiveMaximum &&
      this.queue === undefined &&
      this.#resend === undefined &&
      this.#context.queuedBytes(connection) < this.#context.settings.outputHighWater
    )
  }

  #take(publication: Publication, qos: QoS, retain: boolean, target: Target | undefined): number {
    this.inflight ??= new OutboundInflight<Delivery>()
    const { settings, clock, journal } = this.#context
    const group = target?.group
    // What ends with its connection can never be sent again and keeps nothing, unless retry is on or a group wants it back.
    const keeps = this.expiryInterval > 0 || settings.retryInterval > 0 || group !== undefined
    const delivery = keeps
      ? new Delivery(publication.keep().hold(), qos, retain, target?.subscriptionIds, group)
      : undefined
    this.#outstanding++
    const packetId = this.inflight.take(qos as 1 | 2, delivery, settings.retryInterval > 0 ? clock.now() : undefined)
    if (this.isStored) journal.sent(this.clientId, packetId, delivery!)
    return packetId
  }

  /** A QoS 2 identifier that the store does not know yet must not be seen: after a crash it would be given out again. */
  #mustBeStored(qos: QoS): boolean {
    return qos === 2 && this.isStored
  }

  /** Sends it, now in flight, when the store knows of it; returns the bytes it will take. */
  #sendWhenStored(packetId: number, delivery: Delivery): number {
    this.#unstored ??= new UnstoredMessages(this.#context.journal, (stored) => this.#sendStored(stored))
    this.#unstored.add(packetId)
    return packetSize(delivery, this.#middle(delivery))
  }

  #sendStored(packetId: number): void {
    const { connection, inflight } = this
    const delivery = inflight?.message(packetId)
    if (connection !== undefined && delivery !== undefined) this.#write(connection, delivery, packetId, false)
  }

  #completed(packetId: number, outcome: Acknowledged<Delivery>): boolean {
    if (outcome === UNKNOWN_ID || outcome === WRONG_STATE) return false
    this.#freed(packetId, outcome)
    if (this.queue !== undefined || this.replays !== undefined || this.#resend !== undefined || this.hasSharedBacklog) {
      this.pump()
    }
    return true
  }

  /** An identifier is free again. One still to be resent did not count against the window of this connection. */
  #freed(packetId: number, delivery: Delivery | undefined): void {
    if (this.isStored) this.#context.journal.acknowledged(this.clientId, packetId, delivery)
    delivery?.message.release()
    if (this.#resend?.delete(packetId) !== true) this.#outstanding--
    else if (this.#resend.size === 0) this.#resend = undefined
  }

  #enqueue(publication: Publication, qos: QoS, retain: boolean, ids: readonly number[] | undefined): void {
    const { counters } = this.#context
    this.queue ??= new MessageQueue<Delivery>(this.#context.queueLimits)
    const size = 2 + publication.topicLength + publication.payloadLength
    if (!this.#hasRoom(this.queue, size)) {
      if (this.queue.size === 0) this.queue = undefined
      return
    }
    const delivery = new Delivery(publication.keep().hold(), qos, retain, ids)
    this.queue.push(delivery, size)
    counters.messagesQueued++
    counters.bytesQueued += size
    if (this.isStored) this.#context.journal.queued(this.clientId, delivery)
  }

  /** Whether the queue takes `size` bytes more; makes room if the policy is to drop the oldest, counts what is dropped. */
  #hasRoom(queue: MessageQueue<Delivery>, size: number): boolean {
    const { overload } = this.#context
    if (!overload.memory.takesMessage(size, queue.bytes)) {
      this.#context.dropped(this.clientId, 'memory')
      return false
    }
    const dropsOldest = this.slowReaderPolicy === 'drop_oldest'
    const fits = queue.makeRoom(size, dropsOldest ? (victim) => this.#droppedFull(victim) : undefined)
    if (fits) return true
    this.#droppedFull(undefined) // the newest: what was accepted first is delivered first
    this.owner?.tooSlow()
    return false
  }

  /** The queue was full: the oldest message has been taken out of it, or (undefined) the newest never got in. */
  #droppedFull(oldest: Delivery | undefined): void {
    this.#context.counters.droppedQueueFull++
    this.#context.dropped(this.clientId, 'queue full')
    if (oldest === undefined) return
    this.#unqueued(oldest)
    if (this.isStored) this.#context.journal.queuedDropped(this.clientId, oldest)
    oldest.message.release()
  }

  #isFull(connection: Connection): boolean {
    const { settings } = this.#context
    return this.queue !== undefined || this.#context.queuedBytes(connection) >= settings.outputHighWater
  }

  #unqueued(delivery: Delivery): void {
    this.#context.counters.messagesQueued--
    this.#context.counters.bytesQueued -= delivery.message.size
  }

  #pumpQueue(connection: Connection, room: number): number {
    const { queue } = this
    if (queue === undefined) return room
    let left = room
    while (left > 0 && queue.size > 0 && this.#outstanding < this.receiveMaximum) {
      const delivery = queue.shift()!
      this.#unqueued(delivery)
      left -= this.#sendDelivery(connection, delivery)
    }
    if (queue.size === 0) this.queue = undefined
    return left
  }

  /** Lets the groups it is a member of hand out what waits: to this session, or to whoever is next. */
  #serveGroups(): void {
    this.hasSharedBacklog = false
    for (const group of this.#groups()) group.drain()
  }

  #groups(): SharedGroup[] {
    if (this.subscriptions === undefined) return []
    return [...this.subscriptions.values()].flatMap((each) => (each instanceof SharedSubscription ? [each.group] : []))
  }

  /** Retained messages, as many as fit now. A walk that finds little is cut into slices, so that others have their turn. */
  #pumpReplays(connection: Connection, room: number): number {
    let left = room
    let fruitless = 0
    while (this.replays !== undefined && left > 0 && this.#outstanding < this.receiveMaximum) {
      const replay = this.replays[0]!
      const delivery = replay.next()
      if (delivery !== undefined) {
        left -= this.#sendDelivery(connection, delivery)
      } else if (replay.done) {
        this.replays.shift()
        if (this.replays.length === 0) this.replays = undefined
      } else if (++fruitless === REPLAY_SLICE) {
        this.#pumpSoon()
        break
      }
    }
    return left
  }

  /** What stands in flight is looked at when its turn comes: an early acknowledgement may have changed it. */
  #pumpResend(connection: Connection, room: number): number {
    const { inflight } = this
    let left = room
    for (const packetId of this.#resend ?? []) {
      if (left <= 0 || this.#outstanding >= this.receiveMaximum) return left
      const delivery = inflight!.message(packetId)
      if (inflight!.state(packetId) === 'released') {
        this.#sendPubrel(connection, packetId)
        left -= 4
      } else if (delivery !== undefined && this.#fits(delivery)) {
        left -= this.#write(connection, delivery, packetId, true)
      } else {
        this.#freed(packetId, this.#discard(packetId))
        continue
      }
      this.#resend?.delete(packetId)
      this.#outstanding++
      if (this.#context.settings.retryInterval > 0) inflight!.sentAgain(packetId, this.#context.clock.now())
    }
    this.#resend = undefined
    return left
  }

  /** Takes a message the client cannot be sent out of flight, as if it had been sent and acknowledged [MQTT-3.1.2-25]. */
  #discard(packetId: number): Delivery | undefined {
    const inflight = this.inflight!
    const outcome = inflight.qos(packetId) === 1 ? inflight.puback(packetId) : inflight.pubrec(packetId, REFUSED)
    return outcome instanceof Delivery ? outcome : undefined
  }

  /** Sends a delivery that was waiting; returns its bytes. The delivery's reference is kept or given back here. */
  #sendDelivery(connection: Connection, delivery: Delivery): number {
    const { message, qos } = delivery
    if (!this.#isDeliverable(delivery)) {
      if (this.isStored && delivery.recordedIn !== 0) this.#context.journal.queuedDropped(this.clientId, delivery)
      message.release()
      return 0
    }
    let packetId = 0
    if (qos > 0) {
      this.inflight ??= new OutboundInflight<Delivery>()
      packetId = this.inflight.take(qos as 1 | 2, delivery, this.#context.clock.now())
      this.#outstanding++
      if (this.isStored) this.#context.journal.sent(this.clientId, packetId, delivery)
      if (this.#mustBeStored(qos)) return this.#sendWhenStored(packetId, delivery)
    }
    const bytes = this.#write(connection, delivery, packetId, false)
    if (qos === 0) message.release()
    return bytes
  }

  /** Not expired while it waited [MQTT-3.3.2-5], and not larger than the client takes [MQTT-3.1.2-25]. */
  #isDeliverable(delivery: Delivery): boolean {
    const { counters, clock } = this.#context
    if (delivery.message.expiresAt <= clock.now()) {
      counters.droppedExpired++
      return false
    }
    return this.#fits(delivery)
  }

  #fits(delivery: Delivery): boolean {
    if (this.#isWithinLimit(delivery)) return true
    this.#countTooLarge()
    return false
  }

  #isWithinLimit(delivery: Delivery): boolean {
    if (this.maximumPacketSize === UNLIMITED) return true
    return packetSize(delivery, this.#middle(delivery)) <= this.maximumPacketSize
  }

  #middle(delivery: Delivery): Uint8Array {
    if (this.version !== 5) return NO_BYTES
    const { message, subscriptionIds } = delivery
    return propertyBlock(message.properties, secondsLeft(message.expiresAt, this.#context.clock.now()), subscriptionIds)
  }

  #write(connection: Connection, delivery: Delivery, packetId: number, dup: boolean): number {
    const { message, qos, retain } = delivery
    const { outbox, kept } = this.#context
    const middle = this.#middle(delivery)
    const first = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0) // DUP [MQTT-3.3.1-1]
    if (fitsOutbox(outbox, middle)) {
      outbox.forwardKept(connection, first, packetId, message.handle, middle)
    } else {
      const handle = frameWithProperties(kept, message, middle)
      outbox.forwardKept(connection, first, packetId, handle, NO_BYTES)
      kept.release(handle)
    }
    return packetSize(delivery, middle)
  }

  #sendPubrel(connection: Connection, packetId: number): void {
    this.#context.outbox.sendShort(connection, PUBREL | 0x0200 | ((packetId >> 8) << 16) | ((packetId & 255) << 24), 4)
  }
}

function sharedDelivery(message: Message, member: SharedSubscription): Delivery {
  const qos = Math.min(member.qos, message.qos) as QoS
  return new Delivery(message, qos, member.retainAsPublished && message.retain, member.subscriptionIds, member.group)
}

function packetSize(delivery: Delivery, middle: Uint8Array): number {
  const remaining = delivery.message.size + (delivery.qos === 0 ? 0 : 2) + middle.length
  return 1 + variableByteIntegerSize(remaining) + remaining
}
