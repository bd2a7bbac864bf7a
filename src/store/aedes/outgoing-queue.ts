// The packets on their way to one client, in order, found by their identity and by their Packet Identifier at no cost that
// grows with the queue.

import type { AedesPacket } from './aedes-packet.ts'

export interface Outgoing {
  packet: AedesPacket
  /** Its number in the journal. */
  readonly message: number
  /** Another packet stands in its place: what was queued first is gone. */
  replaced: boolean
  /** The identifier it was last given; undefined while it waits. */
  messageId: number | undefined
}

export class OutgoingQueue {
  readonly #entries = new Map<number, Outgoing>()
  readonly #byIdentity = new Map<string, Set<Outgoing>>()
  /** Aedes may give an identifier twice; the older entry answers to it. */
  readonly #byMessageId = new Map<number, Set<Outgoing>>()

  get size(): number {
    return this.#entries.size
  }

  /** The packets, oldest first. */
  *packets(): Generator<AedesPacket, void> {
    for (const { packet } of this.#entries.values()) yield packet
  }

  /** Appends; numbers ascend. */
  add(message: number, packet: AedesPacket): Outgoing {
    const entry: Outgoing = { packet, message, replaced: false, messageId: undefined }
    this.#entries.set(message, entry)
    addTo(this.#byIdentity, identityOf(packet), entry)
    return entry
  }

  /** The oldest entry of the same message. */
  findSame(packet: AedesPacket): Outgoing | undefined {
    return this.#byIdentity.get(identityOf(packet))?.values().next().value
  }

  findMessageId(messageId: number | undefined): Outgoing | undefined {
    return messageId === undefined ? undefined : this.#byMessageId.get(messageId)?.values().next().value
  }

  findMessage(message: number): Outgoing | undefined {
    return this.#entries.get(message)
  }

  setMessageId(entry: Outgoing, messageId: number | undefined): void {
    if (entry.messageId !== undefined) removeFrom(this.#byMessageId, entry.messageId, entry)
    entry.messageId = messageId
    entry.packet.messageId = messageId
    if (messageId !== undefined) addTo(this.#byMessageId, messageId, entry)
  }

  /** Another packet in the same place, under the same identifier: PUBREL after PUBLISH. */
  replace(entry: Outgoing, packet: AedesPacket): void {
    removeFrom(this.#byIdentity, identityOf(entry.packet), entry)
    entry.packet = packet
    entry.replaced = true
    addTo(this.#byIdentity, identityOf(packet), entry)
  }

  remove(entry: Outgoing): void {
    this.#entries.delete(entry.message)
    removeFrom(this.#byIdentity, identityOf(entry.packet), entry)
    if (entry.messageId !== undefined) removeFrom(this.#byMessageId, entry.messageId, entry)
  }
}

function identityOf({ brokerId, brokerCounter }: AedesPacket): string {
  return `${brokerCounter}@${brokerId}`
}

function addTo<K>(index: Map<K, Set<Outgoing>>, key: K, entry: Outgoing): void {
  const entries = index.get(key)
  if (entries === undefined) index.set(key, new Set([entry]))
  else entries.add(entry)
}

function removeFrom<K>(index: Map<K, Set<Outgoing>>, key: K, entry: Outgoing): void {
  const entries = index.get(key)
  entries?.delete(entry)
  if (entries?.size === 0) index.delete(key)
}
