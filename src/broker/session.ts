// Session State [MQTT-4.1.0-1]: subscriptions, messages on their way to the client, identifiers of QoS 2 messages on
// their way from it. Outlives its client when its expiry says so. Decides for each message: send now, queue, or drop.
// Holds references on the messages it keeps; `end()` gives all of them back. Idle sessions own no tables.
import type { QoS } from '../mqtt/qos.ts'
import type { Connection } from '../net/connection.ts'
import { NO_MIDDLE } from '../net/outbox.ts'
import { InboundQos2 } from '../qos/inbound-qos2.ts'
import { MessageQueue } from '../qos/message-queue.ts'
import { type Acknowledged, OutboundInflight, UNKNOWN_ID, WRONG_STATE } from '../qos/outbound-inflight.ts'
import type { BrokerContext } from './context.ts'
import { Delivery } from './message.ts'
import { type Publication, propertyBlock, secondsLeft } from './publication.ts'
import type { RetainedReplay } from './retained-replay.ts'
import type { SharedSubscription } from './shared-subscriptions.ts'
import { Subscription, type SubscriptionOptions, type Target } from './subscription.ts'

const PUBREL = 0x62

export interface SessionOwner {
  /** A connection from `byAddress` has the same Client Identifier. */
  takenOver(byAddress: string): void
}

export class Session {
  readonly clientId: string
  version: 3 | 4 | 5
  /** Seconds it outlives its connection; 0 = not at all, Infinity = for ever. */
  expiryInterval = 0
  /** Present while the client is connected. */
  connection: Connection | undefined
  /** Its client, while connected. */
  owner: SessionOwner | undefined
  /** A bridge by its protocol level: gets nothing back that it sent, and sees RETAIN as published. */
  isBridge = false
  /** By Topic Filter as subscribed, `$share/…` included. */
  subscriptions: Map<string, Subscription | SharedSubscription> | undefined
  inbound: InboundQos2 | undefined
  inflight: OutboundInflight<Delivery> | undefined
  queue: MessageQueue<Delivery> | undefined
  replays: RetainedReplay[] | undefined
  /** In-flight messages the client takes at a time: our window, or its Receive Maximum if that is smaller. */
  receiveMaximum: number
  /** Largest packet the client takes. */
  maximumPacketSize = 0xffffffff
  readonly #context: BrokerContext
  /** Sent or being resent on this connection and not acknowledged: what counts against receiveMaximum. */
  #outstanding = 0
  /** What a resumed session still has to send again, in order. */
  #resend: { packetId: number; state: 'published' | 'released'; delivery: Delivery | undefined }[] | undefined

  constructor(context: BrokerContext, clientId: string, version: 3 | 4 | 5) {
    this.#context = context
    this.clientId = clientId
    this.version = version
    this.receiveMaximum = context.settings.maxInflightMessages
  }

  /** Whether it survives its connection: only then are messages in flight kept and changes recorded. */
  get isPersistent(): boolean {
    return this.expiryInterval > 0
  }

  /** Hands over one publication. Never throws: a full queue drops the message and counts it. */
  deliver(publication: Publication, target: Target): void {
    if (target.noLocal && publication.publisher === this) return // [MQTT-3.8.3-3]
    const qos = Math.min(target.qos, publication.qos) as QoS // [MQTT-3.8.4-8]
    const retain = target.retainAsPublished && publication.retain // [MQTT-3.3.1-12], [MQTT-3.3.1-9]
    const { connection } = this
    if (qos === 0) {
      if (connection !== undefined) {
        publication.writeTo(connection, this.version, retain ? 0x31 : 0x30, 0, target.subscriptionIds)
      } else if (this.#context.settings.queueQos0Messages) {
        this.#enqueue(publication, 0, retain, target.subscriptionIds)
      }
      return
    }
    if (connection !== undefined && this.#maySend(connection)) {
      const packetId = this.#take(publication, qos, retain, target.subscriptionIds)
      const first = 0x30 | (qos << 1) | (retain ? 1 : 0)
      publication.writeTo(connection, this.version, first, packetId, target.subscriptionIds)
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
    if (connection === undefined || !this.#maySend(connection)) return 0
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
    if (outcome !== undefined) outcome.message.release()
    if (this.isPersistent) this.#context.journal.released(this.clientId, packetId)
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
    room = this.#pumpResend(connection, room)
    if (this.#resend !== undefined) return
    while (this.replays !== undefined && room > 0 && this.#outstanding < this.receiveMaximum) {
      const delivery = this.replays[0]!.next()
      if (delivery === undefined) {
        this.replays.shift()
        if (this.replays.length === 0) this.replays = undefined
        continue
      }
      room -= this.#sendDelivery(connection, delivery)
    }
    const { queue } = this
    if (queue === undefined) return
    while (room > 0 && queue.size > 0 && this.#outstanding < this.receiveMaximum) {
      const delivery = queue.shift()!
      this.#unqueued(delivery)
      room -= this.#sendDelivery(connection, delivery)
    }
    if (queue.size === 0) this.queue = undefined
  }

  /** A client takes the session over: everything unacknowledged is sent again, in order, with DUP [MQTT-4.4.0-1]. */
  attach(connection: Connection, receiveMaximum: number): void {
    this.connection = connection
    this.receiveMaximum = receiveMaximum
    this.#outstanding = 0
    this.#resend = undefined
    this.#eachSubscription((subscription) => subscription.recipients.online(subscription))
    if (this.inflight !== undefined && this.inflight.count > 0) {
      this.#resend = []
      for (const { packetId, state, message } of this.inflight.unacknowledged()) {
        this.#resend.push({ packetId, state, delivery: message })
      }
    }
  }

  /** Its connection is gone. Must come before `version` changes: the recipients' lists go by it. */
  detach(): void {
    if (this.connection === undefined) return
    this.#eachSubscription((subscription) => subscription.recipients.offline(subscription))
    this.connection = undefined
    this.#resend = undefined
    this.replays = undefined
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
    if (this.isPersistent) this.#context.journal.subscribed(this.clientId, filter, options, retainHandling)
    return known === undefined
  }

  /** Ends a subscription [MQTT-3.10.4-2]; returns whether there was one. */
  unsubscribe(filter: string): boolean {
    const known = this.subscriptions?.get(filter)
    if (known === undefined) return false
    this.subscriptions!.delete(filter)
    if (this.subscriptions!.size === 0) this.subscriptions = undefined
    this.#context.router.unsubscribe(known)
    if (this.isPersistent) this.#context.journal.unsubscribed(this.clientId, filter)
    return true
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
      if (inflight.sentAt(packetId) > before) continue
      inflight.sentAgain(packetId, this.#context.clock.now())
      const delivery = inflight.message(packetId)
      if (inflight.state(packetId) === 'released') this.#sendPubrel(connection, packetId)
      else if (delivery !== undefined) this.#write(connection, delivery, packetId, true)
    }
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

  #take(publication: Publication, qos: QoS, retain: boolean, ids: readonly number[] | undefined): number {
    this.inflight ??= new OutboundInflight<Delivery>()
    // What ends with its connection can never be resent, so it keeps nothing, unless retry is on.
    const keeps = this.expiryInterval > 0 || this.#context.settings.retryInterval > 0
    const delivery = keeps ? new Delivery(publication.keep().hold(), qos, retain, ids) : undefined
    const now = this.#context.settings.retryInterval > 0 ? this.#context.clock.now() : undefined
    this.#outstanding++
    const packetId = this.inflight.take(qos as 1 | 2, delivery, now)
    if (this.isPersistent) this.#context.journal.sent(this.clientId, packetId, delivery!)
    return packetId
  }

  #completed(packetId: number, outcome: Acknowledged<Delivery>): boolean {
    if (outcome === UNKNOWN_ID || outcome === WRONG_STATE) return false
    if (outcome !== undefined) outcome.message.release()
    if (this.isPersistent) this.#context.journal.acknowledged(this.clientId, packetId)
    this.#outstanding--
    if (this.queue !== undefined || this.replays !== undefined || this.#resend !== undefined) this.pump()
    return true
  }

  #enqueue(publication: Publication, qos: QoS, retain: boolean, ids: readonly number[] | undefined): void {
    const { counters } = this.#context
    this.queue ??= new MessageQueue<Delivery>(this.#context.queueLimits)
    const size = 2 + publication.topicLength + publication.payloadLength
    const { count, bytes } = this.#context.queueLimits
    if (this.queue.size >= count || this.queue.bytes + size > bytes) {
      counters.droppedQueueFull++ // the newest is dropped: what was accepted first is delivered first
      this.#context.dropped(this.clientId, 'queue full')
      return
    }
    const delivery = new Delivery(publication.keep().hold(), qos, retain, ids)
    this.queue.push(delivery, size)
    counters.messagesQueued++
    counters.bytesQueued += size
    if (this.isPersistent) this.#context.journal.queued(this.clientId, delivery)
  }

  #unqueued(delivery: Delivery): void {
    this.#context.counters.messagesQueued--
    this.#context.counters.bytesQueued -= delivery.message.size
  }

  #pumpResend(connection: Connection, room: number): number {
    const pending = this.#resend
    if (pending === undefined) return room
    let done = 0
    while (done < pending.length && room > 0 && this.#outstanding < this.receiveMaximum) {
      const { packetId, state, delivery } = pending[done]!
      done++
      if (!this.inflight!.has(packetId)) continue
      this.#outstanding++
      if (state === 'released') {
        this.#sendPubrel(connection, packetId)
        room -= 4
      } else if (delivery !== undefined) {
        room -= this.#write(connection, delivery, packetId, true)
      }
    }
    this.#resend = done === pending.length ? undefined : pending.slice(done)
    return room
  }

  /** Sends a delivery that was waiting; returns its bytes. The delivery's reference is kept or given back here. */
  #sendDelivery(connection: Connection, delivery: Delivery): number {
    const { message, qos } = delivery
    if (message.expiresAt <= this.#context.clock.now()) {
      this.#context.counters.droppedExpired++ // [MQTT-3.3.2-5]
      if (this.isPersistent) this.#context.journal.queuedDropped(this.clientId, delivery)
      message.release()
      return 0
    }
    let packetId = 0
    if (qos > 0) {
      this.inflight ??= new OutboundInflight<Delivery>()
      packetId = this.inflight.take(qos as 1 | 2, delivery, this.#context.clock.now())
      this.#outstanding++
      if (this.isPersistent) this.#context.journal.sent(this.clientId, packetId, delivery)
    }
    const bytes = this.#write(connection, delivery, packetId, false)
    if (qos === 0) message.release()
    return bytes
  }

  #write(connection: Connection, delivery: Delivery, packetId: number, dup: boolean): number {
    const { message, qos, retain, subscriptionIds } = delivery
    const middle =
      this.version === 5
        ? propertyBlock(message.properties, secondsLeft(message.expiresAt, this.#context.clock.now()), subscriptionIds)
        : NO_MIDDLE
    const first = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0) // DUP [MQTT-3.3.1-1]
    this.#context.outbox.forwardKept(connection, first, packetId, message.handle, middle)
    return message.size + middle.length + 7
  }

  #sendPubrel(connection: Connection, packetId: number): void {
    this.#context.outbox.sendShort(connection, PUBREL | 0x0200 | ((packetId >> 8) << 16) | ((packetId & 255) << 24), 4)
  }
}
