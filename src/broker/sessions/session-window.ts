// The sending side of a session: the window of messages in flight on its connection, what a resumed one still has to send
// again, and the packets themselves (properties, topic aliases, sizes). Gives references on messages back as their
// identifiers become free. What waits, and what is decided for each message, is session.ts.
import type { QoS } from '../../mqtt/qos.ts'
import { variableByteIntegerSize } from '../../mqtt/variable-byte-integer.ts'
import type { Connection } from '../../net/connection.ts'
import { OutboundInflight } from '../../qos/outbound-inflight.ts'
import type { BrokerContext } from '../context.ts'
import { fitsOutbox, frameWithProperties } from '../large-properties.ts'
import { Delivery, type Message } from '../message.ts'
import { NO_BYTES, type Publication, propertyBlock, secondsLeft } from '../publication.ts'
import type { SharedSubscription } from '../routing/shared-subscriptions.ts'
import type { Target } from '../routing/subscription.ts'
import { DroppedMessages, type DropReason } from './dropped-messages.ts'
import type { SessionQueue } from './session-queue.ts'
import { UnstoredMessages } from './unstored-messages.ts'

const PUBREL = 0x62
/** A PUBREC that ends the exchange. */
const REFUSED = 0x80
/** A Topic Alias property, and one byte for a Property Length it makes longer. */
const ALIAS_BYTES = 4
/** No Maximum Packet Size. */
const UNLIMITED = 0xffffffff

export class SessionWindow {
  // In the order of use per message: the first ones share a cache line, and a session that only receives touches no more.
  /** Present while the client is connected. */
  connection: Connection | undefined
  version: 3 | 4 | 5
  /** What waits. */
  queue: SessionQueue | undefined
  /** Packet identifiers a resumed session still has to send again, in order. */
  protected resend: Set<number> | undefined
  /** Sent or being resent on this connection and not acknowledged: what counts against receiveMaximum. */
  protected outstanding = 0
  /** In-flight messages the client takes at a time: our window, or its Receive Maximum if that is smaller. */
  receiveMaximum: number
  inflight: OutboundInflight<Delivery> | undefined
  protected readonly context: BrokerContext
  /** Seconds it outlives its connection; 0 = not at all, Infinity = for ever. */
  expiryInterval = 0
  readonly clientId: string
  /** The store knows it: every change is recorded. */
  isStored = false
  /** The ticket that has every PUBREC of the client: no PUBREL may be seen before it is stored. */
  protected receivedTicket = 0
  /** QoS 2 messages sent as soon as their identifiers are stored. */
  #unstored: UnstoredMessages | undefined
  /** Largest packet the client takes [MQTT-3.1.2-24]. */
  maximumPacketSize = UNLIMITED
  /** Topic aliases it takes on this connection. */
  topicAliasMaximum = 0
  /** What never reached it; undefined while that is nothing. */
  dropped: DroppedMessages | undefined
  /** Those the broker has set on it. */
  #aliases: Map<string, number> | undefined

  constructor(context: BrokerContext, clientId: string, version: 3 | 4 | 5) {
    this.context = context
    this.clientId = clientId
    this.version = version
    this.receiveMaximum = context.settings.maxInflightMessages
  }

  /** Whether it survives its connection: only then are messages in flight kept. */
  get isPersistent(): boolean {
    return this.expiryInterval > 0
  }

  /** The client said how large its packets may be. */
  get limitsPackets(): boolean {
    return this.maximumPacketSize !== UNLIMITED
  }

  /** Whether its output is full. */
  get isCongested(): boolean {
    const { connection } = this
    return connection === undefined || this.context.queuedBytes(connection) >= this.context.settings.outputHighWater
  }

  /** Whether a QoS 1 or 2 message handed over now would be sent now. */
  get hasFreeWindow(): boolean {
    return this.connection !== undefined && this.maySend(this.connection)
  }

  /** Whether the publication, as it would be sent with `qos`, is within its Maximum Packet Size [MQTT-3.1.2-24]. */
  takes(publication: Publication, qos: QoS, ids: readonly number[] | undefined, more = 0): boolean {
    return this.maximumPacketSize === UNLIMITED || publication.packetSize5(qos, ids, more) <= this.maximumPacketSize
  }

  /** Over its Maximum Packet Size: dropped as if it had been sent [MQTT-3.1.2-25]. */
  countTooLarge(count = 1): void {
    this.context.counters.droppedTooLarge += count
    this.countDropped('tooLarge', count)
    this.context.dropped(this.clientId, 'larger than its Maximum Packet Size')
  }

  /** Messages for it were dropped. The counters of the whole broker are the caller's. */
  countDropped(reason: DropReason, count = 1): void {
    this.dropped ??= new DroppedMessages()
    this.dropped[reason] += count
  }

  /** A new connection: its window is empty, and everything unacknowledged is to be sent again [MQTT-4.4.0-1]. */
  protected openWindow(connection: Connection, receiveMaximum: number): void {
    this.connection = connection
    this.receiveMaximum = receiveMaximum
    this.outstanding = 0
    this.resend = undefined
    this.#aliases = undefined
    if (this.inflight === undefined || this.inflight.count === 0) return
    this.resend = new Set()
    for (const { packetId } of this.inflight.unacknowledged()) this.resend.add(packetId)
  }

  /** The connection is gone. */
  protected closeWindow(): void {
    this.connection = undefined
    this.resend = undefined
    this.#unstored?.clear()
    this.#unstored = undefined
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
      if (inflight.sentAt(packetId) > before || this.resend?.has(packetId) === true) continue
      if (this.#unstored?.has(packetId) === true) continue
      inflight.sentAgain(packetId, this.context.clock.now())
      const delivery = inflight.message(packetId)
      if (inflight.state(packetId) === 'released') this.#sendPubrel(connection, packetId)
      else if (delivery !== undefined) this.#write(connection, delivery, packetId, true)
    }
  }

  protected send(
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

  protected maySend(connection: Connection): boolean {
    return (
      this.outstanding < this.receiveMaximum &&
      this.queue === undefined &&
      this.resend === undefined &&
      this.context.queuedBytes(connection) < this.context.settings.outputHighWater
    )
  }

  protected take(publication: Publication, qos: QoS, retain: boolean, target: Target | undefined): number {
    this.inflight ??= new OutboundInflight<Delivery>()
    const { settings, clock, journal } = this.context
    const group = target?.group
    // What ends with its connection can never be sent again and keeps nothing, unless retry is on or a group wants it back.
    const keeps = this.isStored || this.expiryInterval > 0 || settings.retryInterval > 0 || group !== undefined
    const delivery = keeps
      ? new Delivery(publication.keep().hold(), qos, retain, target?.subscriptionIds, group)
      : undefined
    this.outstanding++
    const packetId = this.inflight.take(qos as 1 | 2, delivery, settings.retryInterval > 0 ? clock.now() : undefined)
    if (this.isStored) journal.sent(this.clientId, packetId, delivery!)
    return packetId
  }

  /** A QoS 2 identifier that the store does not know yet must not be seen: after a crash it would be given out again. */
  protected mustBeStored(qos: QoS): boolean {
    return qos === 2 && this.isStored
  }

  /** Sends it, now in flight, when the store knows of it; returns the bytes it will take. */
  protected sendWhenStored(packetId: number, delivery: Delivery): number {
    this.#unstored ??= new UnstoredMessages(this.context.journal, (stored) => this.#sendStored(stored))
    this.#unstored.add(packetId)
    return packetSize(delivery, this.#middle(delivery))
  }

  #sendStored(packetId: number): void {
    const { connection, inflight } = this
    const delivery = inflight?.message(packetId)
    if (connection !== undefined && delivery !== undefined) this.#write(connection, delivery, packetId, false)
  }

  /** An identifier is free again. One still to be resent did not count against the window of this connection. */
  protected freed(packetId: number, delivery: Delivery | undefined): void {
    if (this.isStored) this.context.journal.acknowledged(this.clientId, packetId, delivery)
    delivery?.message.release()
    if (this.resend?.delete(packetId) !== true) this.outstanding--
    else if (this.resend.size === 0) this.resend = undefined
  }

  /** What stands in flight is looked at when its turn comes: an early acknowledgement may have changed it. */
  protected pumpResend(connection: Connection, room: number): number {
    const { inflight } = this
    let left = room
    for (const packetId of this.resend ?? []) {
      if (left <= 0 || this.outstanding >= this.receiveMaximum) return left
      const delivery = inflight!.message(packetId)
      if (inflight!.state(packetId) === 'released') {
        left -= this.#sendPubrel(connection, packetId)
      } else if (delivery !== undefined && this.#fits(delivery)) {
        left -= this.#write(connection, delivery, packetId, true)
      } else {
        this.freed(packetId, this.#discard(packetId))
        continue
      }
      this.resend?.delete(packetId)
      this.outstanding++
      if (this.context.settings.retryInterval > 0) inflight!.sentAgain(packetId, this.context.clock.now())
    }
    this.resend = undefined
    return left
  }

  /** Takes a message the client cannot be sent out of flight, as if it had been sent and acknowledged [MQTT-3.1.2-25]. */
  #discard(packetId: number): Delivery | undefined {
    const inflight = this.inflight!
    const outcome = inflight.qos(packetId) === 1 ? inflight.puback(packetId) : inflight.pubrec(packetId, REFUSED)
    return outcome instanceof Delivery ? outcome : undefined
  }

  /** Sends a delivery that was waiting; returns its bytes. The delivery's reference is kept or given back here. */
  protected sendDelivery(connection: Connection, delivery: Delivery): number {
    const { message, qos } = delivery
    if (!this.#isDeliverable(delivery)) {
      if (this.isStored && delivery.recordedIn !== 0) this.context.journal.queuedDropped(this.clientId, delivery)
      message.release()
      return 0
    }
    let packetId = 0
    if (qos > 0) {
      this.inflight ??= new OutboundInflight<Delivery>()
      packetId = this.inflight.take(qos as 1 | 2, delivery, this.context.clock.now())
      this.outstanding++
      if (this.isStored) this.context.journal.sent(this.clientId, packetId, delivery)
      if (this.mustBeStored(qos)) return this.sendWhenStored(packetId, delivery)
    }
    const bytes = this.#write(connection, delivery, packetId, false)
    if (qos === 0) message.release()
    return bytes
  }

  /** Not expired while it waited [MQTT-3.3.2-5], and not larger than the client takes [MQTT-3.1.2-25]. */
  #isDeliverable(delivery: Delivery): boolean {
    const { counters, clock } = this.context
    if (delivery.message.expiresAt <= clock.now()) {
      counters.droppedExpired++
      this.countDropped('expired')
      return false
    }
    return this.#fits(delivery)
  }

  #fits(delivery: Delivery): boolean {
    if (this.isWithinLimit(delivery)) return true
    this.countTooLarge()
    return false
  }

  protected isWithinLimit(delivery: Delivery): boolean {
    if (this.maximumPacketSize === UNLIMITED) return true
    return packetSize(delivery, this.#middle(delivery)) <= this.maximumPacketSize
  }

  #middle(delivery: Delivery): Uint8Array {
    if (this.version !== 5) return NO_BYTES
    const { message, subscriptionIds } = delivery
    return propertyBlock(message.properties, secondsLeft(message.expiresAt, this.context.clock.now()), subscriptionIds)
  }

  #write(connection: Connection, delivery: Delivery, packetId: number, dup: boolean): number {
    const { message, qos, retain } = delivery
    const { outbox, kept } = this.context
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

  /**
   * Sends PUBREL again, unless the answer to its PUBREC still waits for the store. Were it sent then, and the record lost in a
   * crash, the message would be sent again to a client that has forgotten the identifier, and takes it for a new one.
   */
  #sendPubrel(connection: Connection, packetId: number): number {
    if (this.isStored && this.receivedTicket > this.context.journal.storedTicket) return 0
    this.context.outbox.sendShort(connection, PUBREL | 0x0200 | ((packetId >> 8) << 16) | ((packetId & 255) << 24), 4)
    return 4
  }
}

/** A message of a shared group as the member gets it. */
export function sharedDelivery(message: Message, member: SharedSubscription): Delivery {
  const qos = Math.min(member.qos, message.qos) as QoS
  return new Delivery(message, qos, member.retainAsPublished && message.retain, member.subscriptionIds, member.group)
}

function packetSize(delivery: Delivery, middle: Uint8Array): number {
  const remaining = delivery.message.size + (delivery.qos === 0 ? 0 : 2) + middle.length
  return 1 + variableByteIntegerSize(remaining) + remaining
}
