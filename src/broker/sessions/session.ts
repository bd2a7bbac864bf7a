// Session State [MQTT-4.1.0-1]: subscriptions, messages on their way to the client, identifiers of QoS 2 messages on
// their way from it. Outlives its client when its expiry says so. Decides for each message: send now, queue, or drop.
// Holds references on the messages it keeps; `end()` gives all of them back. Idle sessions own no tables.
import type { QoS } from '../../mqtt/qos.ts'
import type { Connection } from '../../net/connection.ts'
import { InboundQos2 } from '../../qos/inbound-qos2.ts'
import { type Acknowledged, UNKNOWN_ID, WRONG_STATE } from '../../qos/outbound-inflight.ts'
import type { Delivery, Message } from '../message.ts'
import type { Publication } from '../publication.ts'
import type { RetainedReplay } from '../retained/retained-replay.ts'
import { type SharedGroup, SharedSubscription } from '../routing/shared-subscriptions.ts'
import { Subscription, type SubscriptionOptions, type Target } from '../routing/subscription.ts'
import { SessionQueue } from './session-queue.ts'
import { SessionWindow, sharedDelivery } from './session-window.ts'

/** Steps of a retained walk that may find nothing before others have their turn. */
const REPLAY_SLICE = 256

export interface SessionOwner {
  readonly remoteAddress: string
  /** A connection from `byAddress` has the same Client Identifier. */
  takenOver(byAddress: string): void
  /** Its queue or its output is full. */
  tooSlow(): void
  /** What waits for it cannot be read from the store. */
  queueUnreadable(): void
}

export class Session extends SessionWindow {
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
  slowReaderPolicy = this.context.overload.settings.slowReaderPolicy
  inbound: InboundQos2 | undefined
  replays: RetainedReplay[] | undefined
  #isPumpDue = false

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
        this.send(connection, publication, retain ? 0x31 : 0x30, 0, target.subscriptionIds)
      } else if (connection !== undefined || this.context.settings.queueQos0Messages) {
        this.#enqueue(publication, 0, retain, target.subscriptionIds)
      }
      return
    }
    if (connection !== undefined && this.maySend(connection)) {
      if (!this.takes(publication, qos, target.subscriptionIds)) {
        this.countTooLarge()
        return
      }
      const packetId = this.take(publication, qos, retain, target)
      if (this.mustBeStored(qos)) {
        this.sendWhenStored(packetId, this.inflight!.message(packetId)!)
        return
      }
      const first = 0x30 | (qos << 1) | (retain ? 1 : 0)
      this.send(connection, publication, first, packetId, target.subscriptionIds)
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
    if (connection === undefined || !this.maySend(connection) || this.limitsPackets) return 0
    if (this.mustBeStored(publication.qos)) return 0
    return this.take(publication, publication.qos, false, undefined)
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
    if (this.isStored) {
      this.context.journal.received(this.clientId, packetId, outcome)
      this.receivedTicket = this.context.journal.openTicket
    }
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
    let room = this.context.settings.outputHighWater - this.context.queuedBytes(connection)
    if (room <= 0) return // full, so the reactor owes `drained`
    room = this.pumpResend(connection, room)
    if (this.resend === undefined) {
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
    if (this.context.router.sharedSubscriptionCount > 0) for (const group of this.#groups()) group.dropExpired(now)
    if (queue === undefined) return
    queue.dropExpired(now)
    if (queue.size === 0) this.queue = undefined
  }

  /** A client takes the session over: everything unacknowledged is sent again, in order, with DUP [MQTT-4.4.0-1]. */
  attach(connection: Connection, receiveMaximum: number): void {
    this.openWindow(connection, receiveMaximum)
    this.#eachSubscription((subscription) => subscription.recipients.online(subscription))
    this.hasSharedBacklog = this.#groups().some((group) => group.backlog > 0)
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
    this.closeWindow()
    this.replays = undefined
    this.hasSharedBacklog = false
    if (this.isBehind) this.#catchUp()
    this.#returnShared()
  }

  /**
   * QoS 1 messages of shared groups that were not acknowledged go back to their group [MQTT-4.8.2-4], if it still has members;
   * QoS 2 stays with the session, and dies with it [MQTT-4.8.2-5].
   */
  #returnShared(): void {
    const { inflight } = this
    if (inflight === undefined) return
    const groups = new Set<SharedGroup>()
    for (const { packetId, qos, message: delivery } of inflight.unacknowledged()) {
      if (qos !== 1 || delivery?.group === undefined) continue
      const group = this.context.router.sharedGroup(delivery.group.filter) // it may have ended and begun again
      if (group === undefined) continue
      inflight.puback(packetId)
      group.takeBack(delivery.message)
      if (this.isStored) this.context.journal.acknowledged(this.clientId, packetId, delivery)
      groups.add(group)
    }
    for (const group of groups) group.drain()
  }

  /** QoS 0 messages waited for the connection only, unless they are to be kept for absent clients. */
  #catchUp(): void {
    this.isBehind = false
    const { queue } = this
    if (queue === undefined || this.context.settings.queueQos0Messages) return
    queue.dropQos0()
    if (queue.size === 0) this.queue = undefined
  }

  /** Everything it holds is given back; the object is dead. */
  end(): void {
    this.detach()
    this.replays = undefined
    if (this.subscriptions !== undefined) {
      for (const each of this.subscriptions.values()) this.context.router.unsubscribe(each)
      this.subscriptions = undefined
    }
    if (this.inflight !== undefined) {
      for (const { message } of this.inflight.unacknowledged()) message?.message.release()
      this.inflight = undefined
    }
    this.queue?.end()
    this.queue = undefined
    this.inbound = undefined
  }

  /** The store forgets it, and with it all that its records said. */
  forgetRecords(): void {
    this.isStored = false
    const { journal } = this.context
    if (this.inflight !== undefined) {
      for (const { message } of this.inflight.unacknowledged()) if (message !== undefined) journal.forgotten(message)
    }
    this.queue?.forgetRecords()
  }

  /** Whether one more subscription to this filter is within the limit. */
  hasRoomFor(filter: string): boolean {
    const { subscriptions } = this
    return (
      subscriptions === undefined ||
      subscriptions.size < this.context.settings.maxSubscriptionsPerClient ||
      subscriptions.has(filter)
    )
  }

  /** Makes a subscription or replaces its options [MQTT-3.8.4-3]; returns whether it is new. */
  subscribe(filter: string, options: SubscriptionOptions, retainHandling: 0 | 1 | 2): boolean {
    this.subscriptions ??= new Map()
    const known = this.subscriptions.get(filter)
    if (known === undefined) this.subscriptions.set(filter, this.context.router.subscribe(this, filter, options))
    else this.context.router.resubscribe(known, options)
    if (this.isStored) this.context.journal.subscribed(this.clientId, filter, options, retainHandling)
    return known === undefined
  }

  /** Ends a subscription [MQTT-3.10.4-2]; returns whether there was one. */
  unsubscribe(filter: string): boolean {
    const known = this.subscriptions?.get(filter)
    if (known === undefined) return false
    this.subscriptions!.delete(filter)
    if (this.subscriptions!.size === 0) this.subscriptions = undefined
    this.#endReplays(filter)
    this.context.router.unsubscribe(known)
    if (this.isStored) this.context.journal.unsubscribed(this.clientId, filter)
    return true
  }

  /** Hands over a message that waited in a shared group, which gives its reference away. */
  deliverShared(message: Message, member: SharedSubscription): void {
    this.sendDelivery(this.connection!, sharedDelivery(message, member))
  }

  /** Whether a message that waits in a shared group is within its Maximum Packet Size. */
  takesShared(message: Message, member: SharedSubscription): boolean {
    return !this.limitsPackets || this.isWithinLimit(sharedDelivery(message, member))
  }

  /** Retained messages for a new subscription, sent as the socket takes them. */
  startReplay(replay: RetainedReplay): void {
    this.replays ??= []
    this.replays.push(replay)
    this.pump()
  }

  /** What its walk has not come to yet is a new message, and no new one is added from now on [MQTT-3.10.4-2]. */
  #endReplays(filter: string): void {
    const { replays } = this
    if (replays === undefined) return
    const others = replays.filter((replay) => replay.filter !== filter)
    this.replays = others.length === 0 ? undefined : others
  }

  inboundQos2(): InboundQos2 {
    this.inbound ??= new InboundQos2(65535)
    return this.inbound
  }

  #eachSubscription(visit: (subscription: Subscription) => void): void {
    if (this.subscriptions === undefined) return
    for (const each of this.subscriptions.values()) if (each instanceof Subscription) visit(each)
  }

  #completed(packetId: number, outcome: Acknowledged<Delivery>): boolean {
    if (outcome === UNKNOWN_ID || outcome === WRONG_STATE) return false
    this.freed(packetId, outcome)
    if (this.queue !== undefined || this.replays !== undefined || this.resend !== undefined || this.hasSharedBacklog) {
      this.pump()
    }
    return true
  }

  #enqueue(publication: Publication, qos: QoS, retain: boolean, ids: readonly number[] | undefined): void {
    this.queue ??= new SessionQueue(this.context, this)
    this.queue.add(publication, qos, retain, ids)
    if (this.queue.size === 0) this.queue = undefined
  }

  #isFull(connection: Connection): boolean {
    const { settings } = this.context
    return this.queue !== undefined || this.context.queuedBytes(connection) >= settings.outputHighWater
  }

  #pumpQueue(connection: Connection, room: number): number {
    const { queue } = this
    if (queue === undefined) return room
    let left = room
    while (left > 0 && this.outstanding < this.receiveMaximum) {
      const delivery = queue.take()
      if (delivery === undefined) break
      left -= this.sendDelivery(connection, delivery)
    }
    if (queue.size === 0) this.queue = undefined
    else queue.readAhead()
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
    while (this.replays !== undefined && left > 0 && this.outstanding < this.receiveMaximum) {
      const replay = this.replays[0]!
      const delivery = replay.next()
      if (delivery !== undefined) {
        left -= this.sendDelivery(connection, delivery)
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
}
