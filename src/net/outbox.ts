// The commands TypeScript leaves for the reactor (native/index.d.ts, OUTBOX COMMANDS), written straight into shared
// memory. Owns no state of its own but the byte cursor: words[0] is the truth, native code resets it when it has
// carried the commands out. When a command does not fit, what is there is carried out first.
import type { NativeReactor } from '../../native/index.js'
import { Command } from './wire.ts'

/** What a command needs of a connection. */
export interface Destination {
  readonly slot: number
  readonly generation: number
}

/** What a Topic Alias in the middle does: nothing is there, it is set by this packet, or it stands for the topic. */
export type AliasUse = 'none' | 'sets' | 'stands for the topic'

const NEVER_LEFT_OUT = 1 << 30
const WITHOUT_TOPIC = 1 << 31

export class Outbox {
  readonly words: Int32Array
  readonly bytes: Uint8Array
  /** True while the inbox of the current turn may be named. */
  inTurn = false
  #native: NativeReactor | undefined
  #bytesUsed = 0
  readonly #wordLimit: number

  constructor(words: Int32Array, bytes: Uint8Array) {
    this.words = words
    this.bytes = bytes
    this.#wordLimit = words.length
    words[0] = 1
  }

  attach(native: NativeReactor): void {
    this.#native = native
  }

  /** Carries out what is written, without flushing. */
  execute(): void {
    if (this.words[0]! > 1) this.#native!.execute()
    this.#bytesUsed = 0
  }

  /** Sends raw bytes, cut into pieces where they exceed the outbox. */
  send(to: Destination, bytes: Uint8Array): void {
    let from = 0
    while (from < bytes.length) {
      const piece = Math.min(bytes.length - from, this.bytes.length)
      const at = this.#room(5, piece)
      const offset = this.#bytesUsed
      this.bytes.set(from === 0 && piece === bytes.length ? bytes : bytes.subarray(from, from + piece), offset)
      this.#bytesUsed = offset + piece
      const w = this.words
      w[at] = Command.Send
      w[at + 1] = to.slot
      w[at + 2] = to.generation
      w[at + 3] = offset
      w[at + 4] = piece
      w[0] = at + 5
      from += piece
    }
  }

  /** Sends 1 to 4 bytes, the first in the lowest eight bits of `word`. */
  sendShort(to: Destination, word: number, length: number): void {
    const at = this.#room(4, 0)
    const w = this.words
    w[at] = Command.SendShort | (length << 8)
    w[at + 1] = to.slot
    w[at + 2] = to.generation
    w[at + 3] = word
    w[0] = at + 4
  }

  /**
   * A PUBLISH of this turn's inbox to one connection. Offsets are the inbox's, `middle` stands before the tail.
   */
  forward(
    to: Destination,
    first: number,
    packetId: number,
    bodyOffset: number,
    bodyLength: number,
    tailOffset: number,
    middle: Uint8Array,
    alias: AliasUse = 'none',
  ): void {
    this.#mustBeInTurn()
    const at = this.#room(8, middle.length)
    const w = this.words
    w[at] = Command.Forward | (first << 8) | (packetId << 16)
    w[at + 1] = to.slot
    w[at + 2] = to.generation
    w[at + 3] = bodyOffset
    w[at + 4] = bodyLength
    w[at + 5] = tailOffset
    w[at + 6] = middle.length === 0 ? 0 : this.#putMiddle(middle)
    w[at + 7] = alias === 'none' ? middle.length : withAlias(middle.length, alias)
    w[0] = at + 8
  }

  /** A PUBLISH made of a kept frame to one connection; `alias` as for `forward`. */
  forwardKept(
    to: Destination,
    first: number,
    packetId: number,
    handle: number,
    middle: Uint8Array,
    alias: AliasUse = 'none',
  ): void {
    const at = this.#room(6, middle.length)
    const w = this.words
    w[at] = Command.ForwardKept | (first << 8) | (packetId << 16)
    w[at + 1] = to.slot
    w[at + 2] = to.generation
    w[at + 3] = handle
    w[at + 4] = middle.length === 0 ? 0 : this.#putMiddle(middle)
    w[at + 5] = alias === 'none' ? middle.length : withAlias(middle.length, alias)
    w[0] = at + 6
  }

  /** A QoS 0 PUBLISH of this turn's inbox to every member of a group but `exceptSlot` (-1: nobody). */
  multicast(
    group: number,
    first: number,
    bodyOffset: number,
    bodyLength: number,
    tailOffset: number,
    middle: Uint8Array,
    exceptSlot: number,
  ): void {
    this.#mustBeInTurn()
    const at = this.#room(8, middle.length)
    const w = this.words
    w[at] = Command.Multicast | (first << 8)
    w[at + 1] = group
    w[at + 2] = bodyOffset
    w[at + 3] = bodyLength
    w[at + 4] = tailOffset
    w[at + 5] = middle.length === 0 ? 0 : this.#putMiddle(middle)
    w[at + 6] = middle.length
    w[at + 7] = exceptSlot
    w[0] = at + 8
  }

  multicastKept(group: number, first: number, handle: number, middle: Uint8Array, exceptSlot: number): void {
    const at = this.#room(6, middle.length)
    const w = this.words
    w[at] = Command.MulticastKept | (first << 8)
    w[at + 1] = group
    w[at + 2] = handle
    w[at + 3] = middle.length === 0 ? 0 : this.#putMiddle(middle)
    w[at + 4] = middle.length
    w[at + 5] = exceptSlot
    w[0] = at + 6
  }

  /**
   * A PUBLISH of this turn's inbox to `count` connections, each with its own packet identifier. `recipients` holds
   * (slot, generation, packet identifier) for each.
   */
  forwardList(
    first: number,
    bodyOffset: number,
    bodyLength: number,
    tailOffset: number,
    middle: Uint8Array,
    recipients: Int32Array,
    count: number,
  ): void {
    this.#mustBeInTurn()
    let from = 0
    while (from < count) {
      const most = Math.floor((this.#wordLimit - 8) / 3)
      const part = Math.min(count - from, most)
      const at = this.#room(7 + part * 3, middle.length)
      const w = this.words
      w[at] = Command.ForwardList | (first << 8)
      w[at + 1] = part
      w[at + 2] = bodyOffset
      w[at + 3] = bodyLength
      w[at + 4] = tailOffset
      w[at + 5] = middle.length === 0 ? 0 : this.#putMiddle(middle)
      w[at + 6] = middle.length
      w.set(recipients.subarray(from * 3, (from + part) * 3), at + 7)
      w[0] = at + 7 + part * 3
      from += part
    }
  }

  keep(handle: number, bodyOffset: number, bodyLength: number, tailOffset: number): void {
    this.#mustBeInTurn()
    const at = this.#room(5, 0)
    const w = this.words
    w[at] = Command.Keep
    w[at + 1] = handle
    w[at + 2] = bodyOffset
    w[at + 3] = bodyLength
    w[at + 4] = tailOffset
    w[0] = at + 5
  }

  /**
   * What `from` publishes to the topic goes to `to` without being told, while `decision` is the present one. `versions`:
   * 1 when `from` speaks MQTT 5, plus 2 when `to` does.
   */
  shortcut(topicId: number, from: Destination, to: Destination, versions: number, decision: number): void {
    const at = this.#room(8, 0)
    const w = this.words
    w[at] = Command.Shortcut
    w[at + 1] = topicId
    w[at + 2] = from.slot
    w[at + 3] = from.generation
    w[at + 4] = to.slot
    w[at + 5] = to.generation
    w[at + 6] = versions
    w[at + 7] = decision
    w[0] = at + 8
  }

  /** Two-word and three-word commands that name no connection: shape, release, groupSize, listenerResume. */
  command2(command: number, a: number): void {
    const at = this.#room(2, 0)
    const w = this.words
    w[at] = command
    w[at + 1] = a
    w[0] = at + 2
  }

  command3(command: number, a: number, b: number): void {
    const at = this.#room(3, 0)
    const w = this.words
    w[at] = command
    w[at + 1] = a
    w[at + 2] = b
    w[0] = at + 3
  }

  groupPut(group: number, position: number, member: Destination): void {
    const at = this.#room(5, 0)
    const w = this.words
    w[at] = Command.GroupPut
    w[at + 1] = group
    w[at + 2] = position
    w[at + 3] = member.slot
    w[at + 4] = member.generation
    w[0] = at + 5
  }

  admit(to: Destination, maxPacketIn: number, maxPacketOut: number, outputLimit: number): void {
    const at = this.#room(6, 0)
    const w = this.words
    w[at] = Command.Admit
    w[at + 1] = to.slot
    w[at + 2] = to.generation
    w[at + 3] = maxPacketIn
    w[at + 4] = maxPacketOut
    w[at + 5] = outputLimit
    w[0] = at + 6
  }

  close(to: Destination, reset: boolean): void {
    const at = this.#room(4, 0)
    const w = this.words
    w[at] = Command.Close
    w[at + 1] = to.slot
    w[at + 2] = to.generation
    w[at + 3] = reset ? 1 : 0
    w[0] = at + 4
  }

  /** Words for one command and room for its bytes; carries out what is there when either runs out. */
  #room(words: number, bytes: number): number {
    const at = this.words[0]!
    if (at === 1) this.#bytesUsed = 0
    if (at + words <= this.#wordLimit && this.#bytesUsed + bytes <= this.bytes.length) return at
    if (words >= this.#wordLimit || bytes > this.bytes.length) {
      throw new RangeError(`a command of ${words} words and ${bytes} bytes does not fit the outbox`)
    }
    this.execute()
    return 1
  }

  #putMiddle(middle: Uint8Array): number {
    const offset = this.#bytesUsed
    this.bytes.set(middle, offset)
    this.#bytesUsed = offset + middle.length
    return offset
  }

  #mustBeInTurn(): void {
    if (!this.inTurn) throw new Error('the inbox may be named only in the turn that filled it')
  }
}

/** Flags in the upper bits of a middle's length, see native/index.d.ts. */
function withAlias(length: number, alias: AliasUse): number {
  return length | (alias === 'sets' ? NEVER_LEFT_OUT : WITHOUT_TOPIC)
}
