// A connected client: one Network Connection, at most one Session. Answers in order, watches keep alive, says what went wrong
// with a packet and ends the connection the way the specification says. The only caller of handlers; how packets come to it
// is client-intake.ts.
import type { AcknowledgementType } from '../../mqtt/acknowledgement.ts'
import { writeConnack } from '../../mqtt/connack.ts'
import { writeDisconnect } from '../../mqtt/disconnect.ts'
import { MqttError } from '../../mqtt/mqtt-error.ts'
import { PacketType, packetName } from '../../mqtt/packet-type.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Connection, ConnectionReceiver } from '../../net/connection.ts'
import type { WheelEntry } from '../../timers/deadline-wheel.ts'
import type { BrokerContext } from '../context.ts'
import type { Deadline } from '../deadlines.ts'
import { dispatch } from '../handlers/dispatch.ts'
import type { ClientIdentity } from '../hooks.ts'
import type { StoredMessage } from '../journal/journal-batch.ts'
import type { JournalWaiter } from '../journal/journal-commits.ts'
import type { SlowReaderPolicy } from '../overload/settings.ts'
import type { Topic } from '../routing/topic.ts'
import type { Session } from '../sessions/session.ts'
import type { Will } from '../wills.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { ClientIntake, type Ending } from './client-intake.ts'
import type { EnhancedAuthentication } from './enhanced-authentication.ts'

export class Client extends ClientIntake implements ConnectionReceiver, Deadline, JournalWaiter {
  session: Session | undefined
  version: 3 | 4 | 5 = 4
  clientId = ''
  username: string | undefined
  /** Milliseconds; 0 = none. */
  keepAlive = 0
  will: Will | undefined
  /** Topic aliases the client set on this connection [MQTT-3.3.2-8]. */
  aliases: Map<number, Topic> | undefined
  /** Largest packet it takes. */
  maximumPacketSize = 0xffffffff
  /** The exchange of a client that named an Authentication Method. */
  authentication: EnhancedAuthentication | undefined
  /** It wants Reason Strings and User Properties with errors [MQTT-3.1.2-29]. */
  problemInformation = true
  /** What its CONNECT waits for need not go on. */
  onClosed: (() => void) | undefined
  wheelNext: WheelEntry | undefined
  wheelPrevious: WheelEntry | undefined
  dueAt = 0
  #held: Acknowledgements | undefined
  #isTooSlow = false

  constructor(context: BrokerContext, connection: Connection) {
    super(context, connection)
    context.timers.set(this, context.clock.now() + context.settings.connectTimeout)
  }

  get remoteAddress(): string {
    return this.connection.remoteAddress
  }

  get identity(): ClientIdentity {
    const { clientId, username, version } = this
    return { clientId, username, remoteAddress: this.connection.remoteAddress, protocolVersion: version }
  }

  // ── called by the connection ─────────────────────────────────────────────────────────────────────────────────────

  handleDrained(): void {
    this.session?.pump()
  }

  handleOverflowed(frames: number, tooLarge: number): void {
    if (tooLarge > 0) this.session?.countTooLarge(tooLarge)
    if (frames === 0) return
    this.context.counters.droppedOutputFull += frames
    this.session?.countDropped('outputFull', frames)
    this.context.throttled.warn(
      `overflow:${this.clientId}`,
      this.context.clock.now(),
      { client: this.clientId, address: this.connection.remoteAddress, dropped: frames },
      'messages left out: the client reads too slowly',
    )
    if (this.#slowReaderPolicy === 'drop_oldest') this.session?.fallBehind()
    else this.tooSlow()
  }

  handleOversized(first: number, announced: number): void {
    this.context.counters.oversizedPackets++
    this.context.journal.begin()
    const reason = `${packetName(first >>> 4)} of ${announced} bytes is over the limit`
    this.warn('oversized', reason)
    this.end({ reason, reasonCode: ReasonCode.PacketTooLarge })
  }

  handleMalformedLength(first: number): void {
    this.context.journal.begin()
    const reason = `${packetName(first >>> 4)} with a Remaining Length of more than four bytes`
    this.fail(new MqttError(ReasonCode.MalformedPacket, reason, 'MQTT-2.2.3'))
  }

  handleClosed(reason: number, errno: number): void {
    if (this.state !== 'ending')
      this.#leave({ reason: errno === 0 ? `connection closed (${reason})` : `connection lost (errno ${errno})` })
    this.state = 'closed'
    this.context.timers.cancel(this)
    this.onClosed?.()
    this.context.journal.forget(this)
    this.dropIntake()
    this.context.counters.connectionClosed()
  }

  // ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  handleDeadline(now: number): number | undefined {
    switch (this.state) {
      case 'awaiting-connect':
      case 'connecting':
        this.context.counters.connectTimeouts++
        this.warn('connect-timeout', 'no CONNECT in time')
        this.state = 'ending'
        this.connection.close()
        return undefined
      case 'ending':
        this.connection.close()
        return undefined
      case 'connected':
        return this.#checkAlive(now)
      default:
        return undefined
    }
  }

  /** The next time to look: keep alive, or whether output still makes progress. */
  nextDeadline(now: number): number {
    const { lastRead } = this.context.wire.memory
    const write = now + this.context.settings.writeTimeout
    if (this.keepAlive === 0) return write
    const silentSince = Math.max(lastRead[this.connection.slot]!, this.resumedAt)
    return Math.min(write, silentSince + this.keepAlive * 1.5) // [MQTT-3.1.2-22]
  }

  #checkAlive(now: number): number | undefined {
    const { memory } = this.context.wire
    const { slot } = this.connection
    const { writeTimeout } = this.context.settings
    if (memory.queued[slot]! > 0 && memory.lastWrite[slot]! + writeTimeout <= now) {
      this.context.counters.writeTimeouts++
      this.warn('write-timeout', 'output makes no progress')
      this.cutOff('write timeout')
      return undefined
    }
    const { isRead } = this
    if (this.keepAlive > 0 && isRead) {
      const silentSince = Math.max(memory.lastRead[slot]!, this.resumedAt)
      if (silentSince + this.keepAlive * 1.5 <= now) {
        this.context.counters.keepAliveTimeouts++
        const silent = Math.round(now - silentSince)
        this.context.log.info(
          { client: this.clientId, address: this.connection.remoteAddress, silent, keepAlive: this.keepAlive },
          'keep alive timeout',
        )
        this.end({ reason: 'keep alive timeout', reasonCode: ReasonCode.KeepAliveTimeout })
        return undefined
      }
    }
    return !isRead && this.keepAlive > 0 ? now + this.keepAlive : this.nextDeadline(now)
  }

  // ── called by handlers ───────────────────────────────────────────────────────────────────────────────────────────

  /** CONNECT was accepted. */
  connected(session: Session): void {
    this.session = session
    session.owner = this
    session.inbound?.resume()
    this.state = 'connected'
    const now = this.context.clock.now()
    this.beginIntake(now)
    this.context.timers.set(this, this.nextDeadline(now))
  }

  /** CONNECT is being decided; `delay`: how many milliseconds longer that may take than connect_timeout, for our own sake. */
  connecting(delay = 0): void {
    this.state = 'connecting'
    const { clock, settings, timers } = this.context
    if (delay > 0) timers.set(this, clock.now() + settings.connectTimeout + delay)
  }

  /** Answers a PUBLISH or one of its acknowledgements; waits for the store if it must, never overtakes an earlier answer. */
  acknowledge(type: AcknowledgementType, packetId: number, reasonCode: number, message?: StoredMessage): void {
    if (this.#held === undefined && !this.context.journal.mustWait)
      this.writeAcknowledgement(type, packetId, reasonCode)
    else this.#hold().add(type, packetId, reasonCode, message)
  }

  /** Does something that answers a packet (CONNACK, SUBACK, UNSUBACK), under the same rule. */
  whenStored(action: () => void): void {
    if (this.#held === undefined && !this.context.journal.mustWait) action()
    else this.#hold().addAction(action, true)
  }

  /** Does something that stands behind all answers (the FIN) and needs nothing stored itself. */
  afterAnswers(action: () => void): void {
    if (this.#held === undefined) action()
    else this.#held.addAction(action, false)
  }

  /** QoS 1 messages of the client whose PUBACK waits for the store. */
  get unansweredPublishes(): number {
    return this.#held?.unansweredPublishes ?? 0
  }

  handleStored(ticket: number): void {
    try {
      const held = this.#held
      // Within an action of its own it may have been over before, and another one begun.
      if (held?.release(ticket) !== true || this.#held !== held) return
      this.#held = undefined
      this.context.journal.forget(this)
    } catch (error) {
      this.fail(error)
      this.handleStored(ticket) // what stood behind it, the end of the connection included
    }
  }

  writeAcknowledgement(type: number, packetId: number, reasonCode: number): void {
    this.context.counters.messagesSent++
    const flags = type === PacketType.Pubrel ? 2 : 0
    if (this.version === 5 && reasonCode !== 0) {
      this.connection.send(new Uint8Array([(type << 4) | flags, 3, packetId >> 8, packetId & 255, reasonCode]))
      return
    }
    const word = (type << 4) | flags | 0x0200 | ((packetId >> 8) << 16) | ((packetId & 255) << 24)
    if (!this.connection.closed) this.context.outbox.sendShort(this.connection, word, 4)
  }

  /** The peer's fault or ours; picks the answer the specification names and ends the connection. */
  fail(error: unknown): void {
    if (error instanceof MqttError) {
      const { counters } = this.context
      if (error.reasonCode === ReasonCode.MalformedPacket) counters.malformedPackets++
      else counters.protocolErrors++
      // Kinds of fault, not their numbers: an alias counted up is one kind.
      this.warn(error.message.replace(/\d+/g, '#'), error.message)
      this.end({ reason: error.message, reasonCode: error.reasonCode as ReasonCode })
      return
    }
    this.context.counters.internalErrors++
    this.context.log.error(
      { client: this.clientId, address: this.connection.remoteAddress, err: error },
      'internal error: the client is disconnected',
    )
    this.end({ reason: 'internal error', reasonCode: ReasonCode.UnspecifiedError })
  }

  /** A newer connection has this Client Identifier [MQTT-3.1.4-2]. */
  takenOver(byAddress: string): void {
    this.context.counters.takeovers++
    this.context.log.info(
      { client: this.clientId, address: this.connection.remoteAddress, by: byAddress },
      'session taken over',
    )
    this.end({ reason: 'session taken over', reasonCode: ReasonCode.SessionTakenOver })
  }

  /** It takes too little of what is sent to it. Ended after this turn, for others are being sent to in it. */
  tooSlow(): void {
    if (this.#isTooSlow || this.#slowReaderPolicy !== 'disconnect') return
    this.#isTooSlow = true
    setImmediate(() => {
      if (this.state !== 'connected') return
      this.context.counters.slowReadersDisconnected++
      this.warn('slow-reader', 'reads too slowly')
      this.context.journal.begin()
      this.end({ reason: 'reads too slowly', reasonCode: ReasonCode.QuotaExceeded })
    })
  }

  queueUnreadable(): void {
    this.context.journal.begin()
    this.end({ reason: 'its queued messages cannot be read', reasonCode: ReasonCode.UnspecifiedError })
  }

  /** Ends the connection at once: it takes nothing, so there is nothing to say to it. */
  cutOff(reason: string): void {
    if (this.state === 'closed') return
    if (this.state !== 'ending') this.#leave({ reason })
    this.state = 'ending'
    this.connection.close()
  }

  /**
   * The broker is closing: the will is published while everyone is still there to see it, unless it has a delay that the
   * store will remember.
   */
  sendWillNow(): void {
    const { will, session } = this
    if (will === undefined || session === undefined) return
    if (will.delay > 0 && session.isPersistent && !this.context.journal.isVolatile) return
    this.will = undefined
    this.context.wills.connectionLost(this.clientId, will, 0)
  }

  /** Ends the connection from our side: says why where the protocol can, flushes, FIN, and waits for the peer's. */
  end(ending: Ending): void {
    if (this.state === 'ending' || this.state === 'closed') return
    const wasConnected = this.state === 'connected'
    this.#leave(ending)
    this.state = 'ending'
    this.stopSlowing()
    this.context.timers.set(this, this.context.clock.now() + this.context.settings.lingerTimeout)
    const { reasonCode, reason } = ending
    // It is read until they have left, and what it sends goes nowhere: the reactor must not pass it on unasked.
    if (this.#held !== undefined) this.context.router.revokeShortcuts()
    // Answers to what came before the end are still owed, the last word comes after them.
    this.afterAnswers(() => {
      if (reasonCode !== undefined && this.version === 5) this.#sayWhy(wasConnected, reasonCode, reason)
      this.connection.finish()
    })
  }

  /**
   * Sends bytes now; only for what answers nothing that waits for the store. No bytes: the answer is larger than the client
   * takes, and one that waits for it in vain is ended instead [MQTT-3.1.2-24].
   */
  send(bytes: Uint8Array): void {
    if (bytes.length === 0) {
      this.end({ reason: 'an answer is larger than its Maximum Packet Size', reasonCode: ReasonCode.PacketTooLarge })
      return
    }
    this.context.counters.messagesSent++
    this.connection.send(bytes)
  }

  // ── inner workings ───────────────────────────────────────────────────────────────────────────────────────────────

  /** The client is gone, whatever happens to its connection: session, will, counters, event. Once. */
  #leave(ending: Ending): void {
    const { session, context, will } = this
    if (this.state !== 'connected' || session === undefined) return
    const wasTold = session.connection !== undefined // that it is there: with CONNACK
    context.counters.clientDisconnected()
    if (context.settings.connectionMessages) {
      context.log.info(
        { client: this.clientId, address: this.connection.remoteAddress, reason: ending.reason },
        'client disconnected',
      )
    }
    this.session = undefined
    session.owner = undefined
    this.will = undefined
    if (will !== undefined && ending.discardWill === true) context.wills.discard(this.clientId)
    else if (will !== undefined) context.wills.connectionLost(this.clientId, will, session.expiryInterval)
    context.sessions.left(session)
    if (wasTold) context.events.tell('clientDisconnected', this.identity, ending.reason)
  }

  get #slowReaderPolicy(): SlowReaderPolicy {
    return this.context.listeners.of(this.connection).slowReaderPolicy
  }

  #hold(): Acknowledgements {
    this.#held ??= new Acknowledgements(this)
    return this.#held
  }

  /** MQTT 5: why we end it, as DISCONNECT or as the CONNACK that refuses [MQTT-4.13.1-1]. */
  #sayWhy(wasConnected: boolean, reasonCode: ReasonCode, reason: string): void {
    const { serverReference } = this.context.settings
    const properties = {
      ...(this.problemInformation ? { reasonString: reason } : {}),
      ...(reasonCode === ReasonCode.UseAnotherServer ? { serverReference } : {}), // [MQTT-3.14.2-2]
    }
    const scratch = new Uint8Array(reason.length * 3 + serverReference.length * 3 + 64)
    const end = wasConnected
      ? writeDisconnect(scratch, 0, { reasonCode, properties }, 5, this.maximumPacketSize)
      : writeConnack(scratch, 0, { sessionPresent: false, reasonCode, properties }, 5, this.maximumPacketSize)
    this.send(scratch.subarray(0, end))
  }

  protected dispatch(
    first: number,
    topicId: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    inInbox: boolean,
    kept: number,
  ): Promise<void> | undefined {
    return dispatch(this, first, topicId, bytes, offset, length, inInbox, kept)
  }

  protected warn(key: string, reason: string): void {
    const { clientId: client, connection } = this
    this.context.throttled.warn(
      `${key}:${connection.remoteAddress.replace(/:\d+$/, '')}`,
      this.context.clock.now(),
      { client, address: connection.remoteAddress, reason },
      'client at fault',
    )
  }
}
