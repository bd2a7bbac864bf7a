// What records mean, told as simply as possible: arrays and plain search. The store's own folding must agree with it.

import type { JournalRecord, MessageStored } from '../../src/store/durable-store.ts'

interface Entry {
  message: unknown
  qos: number
  retain: boolean
  subscriptionIdentifiers: readonly number[]
}

interface Session {
  opened: unknown
  left: unknown
  subscriptions: Record<string, unknown>
  queue: (Entry & { number: number })[]
  inflight: { packetId: number; entry: Entry | 'received'; group?: string | undefined }[]
  inbound: number[]
}

export class Model {
  readonly #messages = new Map<number, MessageStored>()
  readonly #sessions: Record<string, Session> = {}
  readonly #retained: Record<string, unknown> = {}
  readonly #wills: Record<string, unknown> = {}

  constructor(records: Iterable<JournalRecord>) {
    for (const record of records) this.#apply(record)
  }

  /** Sessions, retained messages and wills, with the messages themselves where records have numbers. */
  state(): unknown {
    return { sessions: this.#sessions, retained: this.#retained, wills: this.#wills }
  }

  #apply(record: JournalRecord): void {
    if (record.type === 'message-stored') this.#messages.set(record.message, record)
    else if (record.type === 'retained-set') this.#retained[record.topicName] = this.#messages.get(record.message)
    else if (record.type === 'retained-removed') delete this.#retained[record.topicName]
    else if (record.type === 'will-set') this.#wills[record.clientId] = record
    else if (record.type === 'will-removed') delete this.#wills[record.clientId]
    else if (record.type === 'session-opened') {
      this.#sessions[record.clientId] ??= {
        opened: record,
        left: undefined,
        subscriptions: {},
        queue: [],
        inflight: [],
        inbound: [],
      }
      Object.assign(this.#sessions[record.clientId]!, { opened: record, left: undefined })
    } else if (this.#sessions[record.clientId] !== undefined) this.#applyTo(this.#sessions[record.clientId]!, record)
  }

  #applyTo(session: Session, record: JournalRecord & { clientId: string }): void {
    if (record.type === 'session-left') session.left = record
    else if (record.type === 'session-removed') delete this.#sessions[record.clientId]
    else if (record.type === 'subscription-set') session.subscriptions[record.topicFilter] = record
    else if (record.type === 'subscription-removed') delete session.subscriptions[record.topicFilter]
    else if (record.type === 'message-queued') session.queue.push({ number: record.message, ...this.#entry(record) })
    else if (record.type === 'message-dropped') take(session.queue, ({ number }) => number === record.message)
    else if (record.type === 'message-sent') {
      const { packetId } = record
      take(session.queue, ({ number }) => number === record.message)
      take(session.inflight, (entry) => entry.packetId === packetId)
      session.inflight.push({ packetId, entry: this.#entry(record), group: record.group })
    } else if (record.type === 'message-received') {
      const found = session.inflight.find(({ packetId }) => packetId === record.packetId)
      if (found === undefined) session.inflight.push({ packetId: record.packetId, entry: 'received', group: undefined })
      else Object.assign(found, { entry: 'received', group: undefined })
    } else if (record.type === 'message-acknowledged')
      take(session.inflight, ({ packetId }) => packetId === record.packetId)
    else if (record.type === 'inbound-added') {
      if (!session.inbound.includes(record.packetId)) session.inbound.push(record.packetId)
    } else if (record.type === 'inbound-released') take(session.inbound, (packetId) => packetId === record.packetId)
  }

  #entry(record: Entry & { message: number }): Entry {
    const { message, qos, retain, subscriptionIdentifiers } = record
    return { message: this.#messages.get(message), qos, retain, subscriptionIdentifiers }
  }
}

function take<T>(list: T[], matches: (item: T) => boolean): void {
  const index = list.findIndex(matches)
  if (index >= 0) list.splice(index, 1)
}
