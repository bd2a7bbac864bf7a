// What comes from one client, in its order: a packet is counted against the client's rate, waits behind one that waits for a
// promise, is read out of its kept frame if it is large, and then goes to its handler inside the one try/catch there is.
// Owns whether the client is read at all. What the packets mean and how the client ends is client.ts.
import { PacketType } from '../../mqtt/packet-type.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Connection } from '../../net/connection.ts'
import type { BrokerContext } from '../context.ts'
import { addressKey } from '../overload/address-key.ts'
import type { Meter } from '../overload/rate-limits.ts'
import { Alarm } from '../overload/wait.ts'
import { Parking } from './parking.ts'

export type ClientState =
  | 'awaiting-connect'
  /** CONNECT is with the authenticator. */
  | 'connecting'
  | 'connected'
  /** We are done with it: output is flushed, then FIN. */
  | 'ending'
  | 'closed'

/** How a client's connection came to its end. */
export interface Ending {
  /** For the log and the event: `disconnected`, `keep alive timeout`, … */
  readonly reason: string
  /** A reason code for the client, if MQTT 5 lets us say one. */
  readonly reasonCode?: ReasonCode
  /** The will is not published: the client said DISCONNECT. */
  readonly discardWill?: boolean
}

/** One Control Packet's bytes, wherever they are. */
export interface PacketBytes {
  readonly first: number
  readonly topicId: number
  readonly bytes: Uint8Array
  readonly offset: number
  readonly length: number
  /** The bytes stand in the inbox of this turn. */
  readonly inInbox: boolean
  /** The frame that holds the whole body, 0 if there is none; `bytes` is then a copy of its beginning. */
  readonly kept: number
}

/** How much of a kept PUBLISH is read at first: a usual topic, the packet identifier and a generous property block. */
const KEPT_HEAD = 1024

export abstract class ClientIntake {
  readonly connection: Connection
  readonly context: BrokerContext
  /** Client alone moves it on. */
  state: ClientState = 'awaiting-connect'
  /** When reading went on after it had been paused for our own sake: keep alive counts from there. */
  protected resumedAt = 0
  #parking: Parking | undefined
  /** What it sends is measured; undefined unless a rate is limited. */
  #meter: Meter | undefined
  /** Set while it is not read because it sent too much. */
  #slowed: Alarm | undefined
  #endedByPeer = false
  /** The frame in which the packet being handled arrived, until somebody takes it over; 0 if there is none. */
  #frame = 0

  constructor(context: BrokerContext, connection: Connection) {
    this.context = context
    this.connection = connection
  }

  /** Gives a packet to its handler, which returns a promise if it has to wait. */
  protected abstract dispatch(
    first: number,
    topicId: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    inInbox: boolean,
    kept: number,
  ): Promise<void> | undefined
  /** The peer's fault or ours: ends the connection. */
  abstract fail(error: unknown): void
  abstract end(ending: Ending): void
  protected abstract warn(key: string, reason: string): void

  /** Its rate is limited: each of its packets must be seen. */
  get isMeasured(): boolean {
    return this.#meter !== undefined
  }

  /** Not waiting for a hook or the store, and not slowed down: its silence is its own. */
  protected get isRead(): boolean {
    return this.#parking === undefined && this.#slowed === undefined
  }

  handlePacket(first: number, topicId: number, offset: number, length: number, kept: number): void {
    if (this.state === 'ending' || this.state === 'closed') {
      if (kept !== 0) this.context.kept.release(kept)
      return
    }
    if (this.#meter !== undefined && !this.#isWithinRate(this.#meter, first, length)) {
      if (kept !== 0) this.context.kept.release(kept)
      return
    }
    if (this.#parking !== undefined) {
      this.#parking.add(first, kept, this.context.wire.inboxBytes, offset, length)
      return
    }
    if (kept !== 0) {
      this.#handle(this.#keptPacket(first, length, kept))
      return
    }
    const { context } = this
    context.counters.messagesReceived++
    context.journal.begin()
    try {
      const waiting = this.dispatch(first, topicId, context.wire.inboxBytes, offset, length, true, 0)
      if (waiting !== undefined) this.#park(waiting)
    } catch (error) {
      this.fail(error)
    }
  }

  /** The peer's FIN. What it sent before is handled first, also when that has to wait. */
  handleEnded(): void {
    this.#endedByPeer = true
    this.context.journal.begin()
    if (this.#parking === undefined) this.#peerEnded()
  }

  /** The frame in which the packet being handled arrived is the caller's from now on; else it is given back. */
  takeFrame(): number {
    const frame = this.#frame
    this.#frame = 0
    return frame
  }

  /** It is connected: from now on its rate is limited, if rates are. */
  protected beginIntake(now: number): void {
    this.resumedAt = now
    this.#meter = this.context.overload.rates.meter(addressKey(this.connection.remoteAddress), now)
  }

  /** It is ending: what it is owed must not keep it from being read to its FIN. */
  protected stopSlowing(): void {
    if (this.#slowed !== undefined) this.#readAgain()
  }

  /** Its connection is gone: what waited is given back. */
  protected dropIntake(): void {
    if (this.#slowed !== undefined) this.context.timers.cancel(this.#slowed)
    this.#parking?.drop(this.context.kept)
  }

  #peerEnded(): void {
    this.end({ reason: 'connection closed by client' })
  }

  #handle(packet: PacketBytes): void {
    this.context.counters.messagesReceived++
    this.context.journal.begin()
    try {
      const { first, topicId, bytes, offset, length, inInbox, kept } = packet
      this.#frame = kept
      const waiting = this.dispatch(first, topicId, bytes, offset, length, inInbox, kept)
      if (waiting !== undefined) this.#park(waiting)
    } catch (error) {
      this.fail(error)
    }
    if (this.#frame !== 0) this.context.kept.release(this.takeFrame())
  }

  #keptPacket(first: number, length: number, kept: number): PacketBytes {
    // Only the handler of PUBLISH takes the frame over, and it is asked only while connected.
    const isPublish = first >>> 4 === PacketType.Publish && this.state === 'connected'
    // Not a byte more than is needed: garbage outside V8's heap is collected late, and a collection forced by it is dear.
    let bytes = this.#readKept(kept, isPublish ? Math.min(length, KEPT_HEAD) : length)
    const topicEnd = 2 + ((bytes[0]! << 8) | bytes[1]!)
    if (isPublish && topicEnd + KEPT_HEAD / 2 > bytes.length && bytes.length < length) {
      bytes = this.#readKept(kept, Math.min(length, topicEnd + KEPT_HEAD))
    }
    if (!isPublish) this.context.kept.release(kept)
    return { first, topicId: 0, bytes, offset: 0, length, inInbox: false, kept: isPublish ? kept : 0 }
  }

  #readKept(kept: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size)
    this.context.kept.read(kept, 0, bytes)
    return bytes
  }

  /** The handler waits for a promise: this client stands still until it settles, nobody else does. */
  #park(waiting: Promise<void>): void {
    const parking = new Parking()
    this.#parking = parking
    this.connection.pause()
    void waiting.catch((error: unknown) => this.fail(error)).then(() => this.#unpark(parking))
  }

  #unpark(parking: Parking): void {
    this.#parking = undefined
    for (let next = parking.shift(); next !== undefined; next = parking.shift()) {
      if (this.state === 'ending' || this.state === 'closed') {
        if (next.kept !== 0) this.context.kept.release(next.kept)
        continue
      }
      if (next.kept !== 0) this.#handle(this.#keptPacket(next.first, next.length, next.kept))
      else this.#handle({ ...next, topicId: 0, inInbox: false })
      const again = this.#parking as Parking | undefined
      if (again !== undefined) {
        again.takeOver(parking)
        return
      }
    }
    this.resumedAt = this.context.clock.now()
    if (this.state === 'closed') return
    if (this.#slowed === undefined) this.connection.resume()
    if (this.#endedByPeer) this.#peerEnded()
  }

  /** Counts a packet. One over the rate is handled all the same, but then nothing is read for a while; false: it is ended. */
  #isWithinRate(meter: Meter, first: number, length: number): boolean {
    const { clock, counters, overload, timers } = this.context
    const now = clock.now()
    const wait = meter.count(first >>> 4, length, now)
    if (wait === 0) return true
    if (overload.settings.rateLimitAction === 'disconnect') {
      counters.clientsOverRate++
      this.warn('over-rate', 'sends too much')
      this.context.journal.begin()
      this.end({ reason: 'sends too much', reasonCode: ReasonCode.MessageRateTooHigh })
      return false
    }
    if (this.#slowed === undefined) {
      counters.clientsSlowed++
      this.warn('slowed', 'sends too much: it is read more slowly')
      this.#slowed = new Alarm(() => this.#readAgain())
      this.connection.pause()
    }
    timers.set(this.#slowed, now + wait)
    return true
  }

  #readAgain(): void {
    this.context.timers.cancel(this.#slowed!)
    this.#slowed = undefined
    this.resumedAt = this.context.clock.now()
    if (this.#parking === undefined) this.connection.resume()
  }
}
