// A recipient list that native code keeps, edited in place: TypeScript owns the order, native code a copy of it.
// Members remember their own position, so joining and leaving are one or two commands, whatever the size.
import type { Connection } from './connection.ts'
import type { Outbox } from './outbox.ts'
import { Command } from './wire.ts'

/** Something that stands in at most one group and remembers where. */
export interface GroupMember {
  groupPosition: number
}

export class RecipientGroup<M extends GroupMember> {
  readonly id: number
  readonly members: M[] = []
  readonly #outbox: Outbox
  readonly #connectionOf: (member: M) => Connection
  readonly #free: (id: number) => void

  constructor(outbox: Outbox, id: number, connectionOf: (member: M) => Connection, free: (id: number) => void) {
    this.#outbox = outbox
    this.id = id
    this.#connectionOf = connectionOf
    this.#free = free
  }

  get size(): number {
    return this.members.length
  }

  add(member: M): void {
    member.groupPosition = this.members.length
    this.members.push(member)
    this.#outbox.groupPut(this.id, member.groupPosition, this.#connectionOf(member))
  }

  remove(member: M): void {
    const last = this.members.pop()!
    if (last !== member) {
      last.groupPosition = member.groupPosition
      this.members[member.groupPosition] = last
      this.#outbox.groupPut(this.id, member.groupPosition, this.#connectionOf(last))
    }
    member.groupPosition = -1
    this.#outbox.command3(Command.GroupSize, this.id, this.members.length)
  }

  /** Gives the list back; the group is not to be used again. */
  dispose(): void {
    for (const member of this.members) member.groupPosition = -1
    this.members.length = 0
    this.#outbox.command3(Command.GroupSize, this.id, 0)
    this.#free(this.id)
  }
}
