// The native side of the contract (native/index.d.ts) in TypeScript, for tests close to the code: carries out the words of
// the outbox and remembers what each connection would have been sent. As strict as native code: a handle that is not
// held, a position behind a group's end, an inbox named outside its turn are errors. No socket, no loop.

import type { NativeReactor } from '../../native/index.js'
import type { BrokerReactor } from '../../src/broker/broker.ts'
import type { Subscription } from '../../src/broker/routing/subscription.ts'
import { Connection, type ConnectionReceiver } from '../../src/net/connection.ts'
import { KeptFrames } from '../../src/net/kept-frames.ts'
import { Outbox } from '../../src/net/outbox.ts'
import type { Traffic } from '../../src/net/reactor.ts'
import { type GroupMember, RecipientGroup } from '../../src/net/recipient-group.ts'
import { Command } from '../../src/net/wire.ts'

/** A PUBLISH as one connection gets it. */
export interface Written {
  readonly slot: number
  /** The command it came by. */
  readonly by: 'forward' | 'forwardKept' | 'multicast' | 'multicastKept' | 'forwardList'
  readonly first: number
  readonly packetId: number
  readonly topic: string
  readonly payload: string
  readonly middle: readonly number[]
  /** Written with an empty topic, for an alias in `middle` stands for it. */
  readonly withoutTopic: boolean
}

/** Bytes a connection gets that are no PUBLISH. */
export interface Sent {
  readonly slot: number
  readonly bytes: readonly number[]
}

interface Frame {
  readonly bytes: Uint8Array
  tail: number
}

const SLOTS = 4096

export class FakeReactor implements BrokerReactor {
  readonly inboxBytes = new Uint8Array(1 << 20)
  readonly outbox: Outbox
  readonly kept: KeptFrames
  readonly queuedBytes = 0
  readonly keptBytes = 0
  readonly bytesMoved = 0
  trim(): void {}
  readonly memory = {
    lastRead: new Float64Array(SLOTS),
    lastWrite: new Float64Array(SLOTS),
    queued: new Uint32Array(SLOTS),
    decisions: new Int32Array(1).fill(1),
  }
  /** PUBLISH packets written since `take`. */
  readonly written: Written[] = []
  /** Everything else sent since `take`, PUBLISH packets left out. */
  readonly sent: Sent[] = []
  /** Commands about connections: [command, slot]. */
  readonly commands: [command: number, slot: number][] = []
  /** Decisions the broker let stand. */
  readonly shortcuts: { topicId: number; from: number; to: number; versions: number; decision: number }[] = []
  readonly frames = new Map<number, Frame>()
  readonly groups = new Map<number, { slot: number; generation: number }[]>()
  /** Lets the `queued` column grow by what is written, as native code does before it flushes. */
  countsOutput = false
  readonly #freeGroups: number[] = []
  #nextGroup = 0
  #nextSlot = 0
  #nextNative = -1

  constructor(words = 4096, bytes = 4096) {
    this.outbox = new Outbox(new Int32Array(words), new Uint8Array(bytes))
    this.kept = new KeptFrames(this.outbox)
    const native = {
      execute: () => this.#execute(),
      keepBytes: (handle: number, from: Uint8Array, headLength: number) => this.#keepBytes(handle, from, headLength),
      readKept: (handle: number, offset: number, target: Uint8Array) => this.#readKept(handle, offset, target),
    } as unknown as NativeReactor
    this.outbox.attach(native)
    this.kept.attach(native)
  }

  connection(): Connection {
    const slot = this.#nextSlot++
    return new Connection(this.outbox, slot, slot + 1000, 0, `127.0.0.1:${10000 + slot}`)
  }

  newGroup(connectionOf: (member: Subscription) => Connection): RecipientGroup<Subscription> {
    return this.groupOf(connectionOf)
  }

  groupOf<M extends GroupMember>(connectionOf: (member: M) => Connection): RecipientGroup<M> {
    const id = this.#freeGroups.pop() ?? this.#nextGroup++
    return new RecipientGroup<M>(this.outbox, id, connectionOf, (freed) => this.#freeGroups.push(freed))
  }

  resumeListener(): void {}

  receivers(): ConnectionReceiver[] {
    return []
  }

  /** A turn: the inbox may be named inside, what was commanded is carried out at its end, then the inbox is overwritten. */
  turn<T>(action: () => T): T {
    this.outbox.inTurn = true
    try {
      return action()
    } finally {
      this.outbox.execute()
      this.outbox.inTurn = false
      this.inboxBytes.fill(0xa5)
    }
  }

  /** A packet larger than the inbox arrived: its body as a frame of native code's own. */
  arriveKept(body: Uint8Array): number {
    const handle = this.#nextNative--
    this.frames.set(handle, { bytes: new Uint8Array(body), tail: body.length })
    return handle
  }

  traffic(): Traffic {
    return {
      bytesReceived: 0,
      bytesSent: 0,
      publishSent: 0,
      publishBytesSent: 0,
      shortcuts: 0,
      shortcutBytes: 0,
    }
  }

  revokeShortcuts(): void {
    this.memory.decisions[0]!++
  }

  /** What was written and sent since the last call, and forgets it. */
  take(): { written: Written[]; sent: Sent[] } {
    this.outbox.execute()
    return { written: this.written.splice(0), sent: this.sent.splice(0) }
  }

  #keepBytes(handle: number, from: Uint8Array, headLength: number): void {
    this.outbox.execute()
    this.#hold(handle, { bytes: new Uint8Array(from), tail: headLength })
  }

  #readKept(handle: number, offset: number, target: Uint8Array): number {
    this.outbox.execute()
    const piece = this.#frame(handle).bytes.subarray(offset, offset + target.length)
    target.set(piece)
    return piece.length
  }

  #hold(handle: number, frame: Frame): void {
    if (this.frames.has(handle)) throw new Error(`keep: handle ${handle} is held already`)
    this.frames.set(handle, frame)
  }

  #frame(handle: number): Frame {
    const frame = this.frames.get(handle)
    if (frame === undefined) throw new Error(`no such handle: ${handle}`)
    return frame
  }

  #execute(): void {
    const { words } = this.outbox
    const end = words[0]!
    words[0] = 1
    for (let at = 1; at < end; ) at += this.#carryOut(words[at]!, words.subarray(at + 1, end))
  }

  /** Carries out one command; returns its length in words. */
  #carryOut(word: number, w: Int32Array): number {
    const first = (word >>> 8) & 0xff
    const packetId = word >>> 16
    switch (word & 0xff) {
      case Command.Send:
        this.#send(w[0]!, w[1]!, [...this.outbox.bytes.subarray(w[2]!, w[2]! + w[3]!)])
        return 5
      case Command.SendShort:
        this.#send(
          w[0]!,
          w[1]!,
          [0, 8, 16, 24].slice(0, first).map((shift) => (w[2]! >>> shift) & 255),
        )
        return 4
      case Command.Forward:
        this.#write('forward', w[0]!, w[1]!, first, packetId, this.#inboxFrame(w[2]!, w[3]!, w[4]!), w[5]!, w[6]!)
        return 8
      case Command.ForwardKept:
        this.#write('forwardKept', w[0]!, w[1]!, first, packetId, this.#frame(w[2]!), w[3]!, w[4]!)
        return 6
      case Command.Multicast: {
        const frame = this.#inboxFrame(w[1]!, w[2]!, w[3]!)
        this.#multicast('multicast', w[0]!, first, frame, w[4]!, w[5]!, w[6]!)
        return 8
      }
      case Command.MulticastKept:
        this.#multicast('multicastKept', w[0]!, first, this.#frame(w[1]!), w[2]!, w[3]!, w[4]!)
        return 6
      case Command.ForwardList: {
        const frame = this.#inboxFrame(w[1]!, w[2]!, w[3]!)
        for (let n = 0; n < w[0]!; n++) {
          const at = 6 + n * 3
          this.#write('forwardList', w[at]!, w[at + 1]!, first, w[at + 2]!, frame, w[4]!, w[5]!)
        }
        return 7 + w[0]! * 3
      }
      case Command.Keep: {
        const { bytes, tail } = this.#inboxFrame(w[1]!, w[2]!, w[3]!)
        const topicEnd = 2 + ((bytes[0]! << 8) | bytes[1]!)
        const kept = Buffer.concat([bytes.subarray(0, topicEnd), bytes.subarray(tail)])
        this.#hold(w[0]!, { bytes: kept, tail: topicEnd })
        return 5
      }
      case Command.Shape:
        this.#frame(w[0]!).tail = w[1]!
        return 3
      case Command.Release:
        if (!this.frames.delete(w[0]!)) throw new Error(`release: no such handle ${w[0]}`)
        return 2
      case Command.GroupPut:
        this.#groupPut(w[0]!, w[1]!, { slot: w[2]!, generation: w[3]! })
        return 5
      case Command.GroupSize:
        this.#groupSize(w[0]!, w[1]!)
        return 3
      case Command.Admit:
        return 6
      case Command.Close:
        this.commands.push([Command.Close, w[0]!])
        return 4
      case Command.ListenerResume:
        return 2
      case Command.Shortcut:
        this.shortcuts.push({ topicId: w[0]!, from: w[1]!, to: w[3]!, versions: w[5]!, decision: w[6]! })
        return 8
      case Command.Finish:
      case Command.Pause:
      case Command.Resume:
        this.commands.push([word & 0xff, w[0]!])
        return 3
      default:
        throw new Error(`unknown command ${word & 0xff}`)
    }
  }

  #inboxFrame(offset: number, length: number, tailOffset: number): Frame {
    if (!this.outbox.inTurn) throw new Error('the inbox was named outside its turn')
    return { bytes: this.inboxBytes.subarray(offset, offset + length), tail: tailOffset - offset }
  }

  #send(slot: number, generation: number, bytes: number[]): void {
    if (generation === slot + 1000) this.sent.push({ slot, bytes })
  }

  #write(
    by: Written['by'],
    slot: number,
    generation: number,
    first: number,
    packetId: number,
    frame: Frame,
    middleOffset: number,
    middleWord: number,
  ): void {
    if (generation !== slot + 1000) throw new Error(`a PUBLISH for a connection that never was: ${slot}`)
    const { bytes, tail } = frame
    const topicLength = (bytes[0]! << 8) | bytes[1]!
    const topic = Buffer.from(bytes.subarray(2, 2 + topicLength)).toString()
    const payload = Buffer.from(bytes.subarray(tail)).toString('latin1')
    const middleLength = middleWord & 0x3fffffff
    const middle = [...this.outbox.bytes.subarray(middleOffset, middleOffset + middleLength)]
    this.written.push({ slot, by, first, packetId, topic, payload, middle, withoutTopic: middleWord < 0 })
    if (this.countsOutput) this.memory.queued[slot]! += 4 + topicLength + payload.length + middleLength
  }

  #multicast(
    by: Written['by'],
    group: number,
    first: number,
    frame: Frame,
    middleOffset: number,
    middleLength: number,
    exceptSlot: number,
  ): void {
    const members = this.groups.get(group)
    if (members === undefined) throw new Error(`no such group: ${group}`)
    for (const { slot, generation } of members) {
      if (slot !== exceptSlot) this.#write(by, slot, generation, first, 0, frame, middleOffset, middleLength)
    }
  }

  #groupPut(group: number, position: number, member: { slot: number; generation: number }): void {
    const members = this.groups.get(group) ?? []
    if (position > members.length) throw new Error(`groupPut at ${position} of ${members.length}`)
    members[position] = member
    this.groups.set(group, members)
  }

  #groupSize(group: number, size: number): void {
    const members = this.groups.get(group)
    if (size === 0) {
      this.groups.delete(group)
      return
    }
    if (members === undefined || size > members.length) throw new Error(`groupSize ${size} of group ${group}`)
    members.length = size
  }
}
