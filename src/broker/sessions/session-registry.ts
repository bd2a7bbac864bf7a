// All sessions by Client Identifier, connected or not. Decides what a CONNECT finds: a live client to take over, a
// session to resume, or nothing. Ends sessions when their time is over, and the oldest absent ones above the limit.
import { randomUUID } from 'node:crypto'
import type { WheelEntry } from '../../timers/deadline-wheel.ts'
import type { BrokerContext } from '../context.ts'
import type { Deadline } from '../deadlines.ts'
import { Session } from './session.ts'

/** An absent client's session, waiting for its client or its end. */
class Absence implements Deadline {
  wheelNext: WheelEntry | undefined
  wheelPrevious: WheelEntry | undefined
  dueAt = 0
  readonly session: Session
  readonly #registry: SessionRegistry

  constructor(registry: SessionRegistry, session: Session) {
    this.#registry = registry
    this.session = session
  }

  handleDeadline(): undefined {
    this.#registry.expire(this.session)
  }
}

export class SessionRegistry {
  readonly #context: BrokerContext
  readonly #sessions = new Map<string, Session>()
  /** In the order their clients left. */
  readonly #absent = new Map<Session, Absence>()

  constructor(context: BrokerContext) {
    this.#context = context
  }

  get size(): number {
    return this.#sessions.size
  }

  get absentCount(): number {
    return this.#absent.size
  }

  get(clientId: string): Session | undefined {
    return this.#sessions.get(clientId)
  }

  /** A Client Identifier nobody has [MQTT-3.1.3-7]. */
  newClientId(prefix: string): string {
    for (;;) {
      const id = prefix + randomUUID()
      if (!this.#sessions.has(id)) return id
    }
  }

  [Symbol.iterator](): IterableIterator<Session> {
    return this.#sessions.values()
  }

  /** The session a CONNECT gets: the present one, or a new one in its place [MQTT-3.1.2-4], [MQTT-3.1.2-5]. */
  open(clientId: string, version: 3 | 4 | 5, cleanStart: boolean): { session: Session; present: boolean } {
    const known = this.#sessions.get(clientId)
    if (known !== undefined) {
      this.#return(known)
      if (!cleanStart) {
        known.version = version
        return { session: known, present: true }
      }
      this.remove(known)
    }
    if (this.#sessions.size >= this.#context.settings.maxSessions) this.#removeLongestAbsent()
    this.#context.overload.memory.grew()
    const session = new Session(this.#context, clientId, version)
    this.#sessions.set(clientId, session)
    this.#context.counters.sessions = this.#sessions.size
    return { session, present: false }
  }

  /** Whether one more session fits: there is room, or an absent one can make some. */
  hasRoomFor(clientId: string): boolean {
    return (
      this.#sessions.size < this.#context.settings.maxSessions || this.#sessions.has(clientId) || this.#absent.size > 0
    )
  }

  /** The session's client is gone: it waits, or it ends with its connection. */
  left(session: Session): void {
    session.detach()
    if (!session.isPersistent) {
      this.remove(session)
      return
    }
    this.#context.journal.sessionLeft(session)
    this.#await(session, this.#context.clock.now() + session.expiryInterval * 1000)
  }

  /**
   * Puts back a session that a journal remembers, complete and without a client. It ends at `expiresAt` (ms of the clock,
   * maybe past already; Infinity: never). Call in the order in which their clients left.
   */
  restore(session: Session, expiresAt: number): void {
    if (this.#sessions.size >= this.#context.settings.maxSessions) this.#removeLongestAbsent()
    this.#sessions.set(session.clientId, session)
    this.#context.counters.sessions = this.#sessions.size
    this.#await(session, expiresAt)
  }

  /**
   * What the client's CONNECT says of the session's life. From here on its changes are recorded; one that will end with
   * its connection is forgotten by the store at once, for it would not be there after a crash either; unless part of its
   * queue is there only, then when it ends.
   */
  keep(session: Session, expiryInterval: number): void {
    const { journal } = this.#context
    session.expiryInterval = expiryInterval
    if (!session.isPersistent && session.queue?.hasPages !== true) this.#forget(session)
    else if (!journal.isVolatile) {
      session.isStored = true
      journal.sessionOpened(session)
    }
  }

  #await(session: Session, until: number): void {
    const absence = new Absence(this, session)
    this.#absent.set(session, absence)
    if (until !== Number.POSITIVE_INFINITY) this.#context.timers.set(absence, until)
  }

  #forget(session: Session): void {
    if (!session.isStored) return
    session.forgetRecords()
    this.#context.journal.sessionRemoved(session.clientId)
  }

  /** The session ends: everything it holds is given back, a delayed will is sent [MQTT-3.1.2-8]. */
  remove(session: Session): void {
    if (this.#sessions.get(session.clientId) !== session) return
    this.#return(session)
    this.#sessions.delete(session.clientId)
    this.#context.counters.sessions = this.#sessions.size
    // Without a connection first: what its shared groups take back is theirs before the session's records go.
    session.detach()
    this.#forget(session)
    this.#tellDropped(session)
    session.end()
    this.#context.wills.publishDelayed(session.clientId)
  }

  /** A session that lost messages says so when it ends: by then it is known how many, and why. */
  #tellDropped({ clientId, dropped, queue }: Session): void {
    const unsent = queue?.size ?? 0
    if (dropped === undefined && unsent === 0) return
    const fields = { client: clientId, ...dropped?.occurred(), ...(unsent > 0 ? { unsent } : {}) }
    const { throttled, clock } = this.#context
    throttled.warn(`ended:${clientId}`, clock.now(), fields, 'a session ended that messages were dropped for')
  }

  expire(session: Session): void {
    this.#context.counters.sessionsExpired++
    this.#context.events.tell('sessionExpired', session.clientId)
    this.remove(session)
  }

  #return(session: Session): void {
    const absence = this.#absent.get(session)
    if (absence === undefined) return
    this.#absent.delete(session)
    this.#context.timers.cancel(absence)
  }

  #removeLongestAbsent(): void {
    const [oldest] = this.#absent.keys()
    if (oldest === undefined) return
    this.#context.throttled.warn(
      'sessions-full',
      this.#context.clock.now(),
      { client: oldest.clientId, sessions: this.#sessions.size },
      'session removed: max_sessions reached, its client has been away longest',
    )
    this.remove(oldest)
  }
}
