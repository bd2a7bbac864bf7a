// Shared Subscriptions (`$share/ShareName/filter`): of all members of a group one gets each message [MQTT-4.8.2-1], chosen
// in turn among those that can take it now. What nobody can take waits in the group's own queue, once, not once a member;
// what a member did not acknowledge before its connection ended comes back to the group [MQTT-4.8.2-4].
import type { QoS } from '../mqtt/qos.ts'
import { MessageQueue } from '../qos/message-queue.ts'
import type { BrokerContext } from './context.ts'
import { GROUP_MARK } from './journal.ts'
import { Message } from './message.ts'
import type { Publication } from './publication.ts'
import type { Recipients } from './recipients.ts'
import type { Session } from './session.ts'
import type { SubscriptionOptions, Target } from './subscription.ts'

/** One session's membership in a group. */
export class SharedSubscription implements Target {
  readonly session: Session
  readonly group: SharedGroup
  qos: QoS = 0
  retainAsPublished = false
  subscriptionIds: readonly number[] | undefined
  /** Not allowed in shared subscriptions [MQTT-3.8.3-4]. */
  readonly noLocal = false
  readonly isPlain = false

  constructor(session: Session, group: SharedGroup, options: SubscriptionOptions) {
    this.session = session
    this.group = group
    this.apply(options)
  }

  apply(options: SubscriptionOptions): void {
    this.qos = options.qos
    this.retainAsPublished = options.retainAsPublished
    this.subscriptionIds = options.subscriptionId === 0 ? undefined : [options.subscriptionId]
  }
}

export class SharedGroup {
  readonly name: string
  readonly recipients: Recipients
  readonly #context: BrokerContext
  readonly #members: SharedSubscription[] = []
  #next = 0
  /** What came back from members that are gone, in its order; before the queue. */
  #returned: Message[] = []
  #queue: MessageQueue<Message> | undefined
  /** A member's session is stored, so what waits here is too. */
  #isStored = false
  /** When `dropExpired` last looked. */
  #sweptAt = 0

  constructor(context: BrokerContext, name: string, recipients: Recipients) {
    this.#context = context
    this.name = name
    this.recipients = recipients
  }

  get size(): number {
    return this.#members.length
  }

  /** What waits here outlives the process. */
  get isStored(): boolean {
    return this.#isStored
  }

  /** Messages that wait for a member. */
  get backlog(): number {
    return this.#returned.length + (this.#queue?.size ?? 0)
  }

  /** How records name it beside the sessions; undefined while it is in none. */
  get storedName(): string | undefined {
    return this.#isStored ? GROUP_MARK + this.filter : undefined
  }

  /** As its members subscribe it: `$share/ShareName/filter`. */
  get filter(): string {
    return `$share/${this.name}/${this.recipients.filter}`
  }

  join(member: SharedSubscription): void {
    this.#members.push(member)
    if (member.session.isStored && !this.#isStored) this.#store()
    this.drain()
  }

  /** A journal remembers it: what waits here is stored already. */
  restored(): void {
    this.#isStored = true
  }

  /** Puts back a message that a journal remembers; it is recorded already. The group takes over the reference. */
  restore(message: Message): void {
    this.#queue ??= new MessageQueue<Message>(this.#context.queueLimits)
    if (!this.#queue.push(message, message.size)) {
      this.#returned.push(message) // what came back to the group was over its limit before, too
      return
    }
    this.#context.counters.messagesQueued++
    this.#context.counters.bytesQueued += message.size
  }

  /** From now on what waits here outlives the process. */
  #store(): void {
    if (this.#context.journal.isVolatile) return
    this.#isStored = true
    this.#context.journal.groupOpened(this.filter)
    for (const message of this.#returned) this.#context.journal.groupQueued(this.filter, message)
    for (const message of this.#queue ?? []) this.#context.journal.groupQueued(this.filter, message)
  }

  /** A member leaves; with the last one goes what waited for the group. */
  leave(member: SharedSubscription): void {
    const at = this.#members.indexOf(member)
    if (at >= 0) this.#members.splice(at, 1)
    if (this.#members.length === 0) this.#end()
  }

  /** Hands the publication to one member, or keeps it until one can take it. QoS 0 waits for nobody. */
  deliver(publication: Publication): void {
    const { qos } = publication
    const member = this.backlog > 0 && qos > 0 ? undefined : this.#choose(qos, publication)
    if (member !== undefined) {
      member.session.deliver(publication, member)
      return
    }
    if (qos === 0) {
      this.#countFull()
      return
    }
    this.#queue ??= new MessageQueue<Message>(this.#context.queueLimits)
    const { counters } = this.#context
    const size = 2 + publication.topicLength + publication.payloadLength
    if (!this.#hasRoom(this.#queue, size)) {
      if (this.#queue.size === 0) this.#queue = undefined
      return
    }
    const message = publication.keep().hold()
    this.#queue.push(message, size)
    if (this.#isStored) this.#context.journal.groupQueued(this.filter, message)
    counters.messagesQueued++
    counters.bytesQueued += size
    this.#callOnline()
  }

  /** Takes back what a member that is gone had not acknowledged. The group takes over the reference. */
  takeBack(message: Message): void {
    if (this.#members.length === 0) {
      message.release()
      return
    }
    this.#returned.push(message)
    if (this.#isStored) this.#context.journal.groupQueued(this.filter, message)
    this.#callOnline()
  }

  /** Gives back what has expired while it waited. Asked once a member, done once. */
  dropExpired(now: number): void {
    if (this.#queue === undefined || this.#sweptAt === now) return
    this.#sweptAt = now
    this.#queue.remove((message) => {
      if (message.expiresAt > now) return false
      this.#unqueued(message)
      this.#context.counters.droppedExpired++
      if (this.#isStored) this.#context.journal.groupTaken(this.filter, message)
      message.release()
      return true
    })
  }

  /** Gives members what waits, as long as one can take it. */
  drain(): void {
    while (this.backlog > 0) {
      const next = this.#returned[0] ?? this.#queue!.peek()!
      const member = this.#choose(next.qos, next)
      if (member === undefined) {
        this.#callOnline()
        return
      }
      if (this.#returned.length > 0) {
        this.#returned.shift()
      } else {
        this.#queue!.shift()
        this.#unqueued(next)
      }
      // The member's record comes first: between the two the message must not be nobody's.
      next.hold()
      member.session.deliverShared(next, member)
      if (this.#isStored) this.#context.journal.groupTaken(this.filter, next)
      next.release()
    }
    this.#queue = undefined
  }

  /**
   * The next member in turn that is online, has a free place in its window (QoS 0 needs none) and takes packets of this
   * size. What nobody here takes goes to one who does not, and ends there [MQTT-3.1.2-25]: waiting would block the rest.
   */
  #choose(qos: QoS, content: Publication | Message): SharedSubscription | undefined {
    const { length } = this.#members
    let tooSmall: SharedSubscription | undefined
    let mustWait = false
    for (let step = 0; step < length; step++) {
      const member = this.#members[(this.#next + step) % length]!
      const { session } = member
      if (session.connection === undefined) continue
      const isFree = qos === 0 || member.qos === 0 ? !session.isCongested : session.hasFreeWindow
      if (!takes(member, content)) {
        if (isFree) tooSmall ??= member
      } else if (!isFree) {
        mustWait = true
      } else {
        this.#next = (this.#next + step + 1) % length
        return member
      }
    }
    return mustWait ? undefined : tooSmall
  }

  /** Something waits: members look here when they have room again. */
  #callOnline(): void {
    for (const { session } of this.#members) session.hasSharedBacklog = true
  }

  /** As in a session: whether the queue takes `size` bytes more, with room made if the oldest are to be dropped. */
  #hasRoom(queue: MessageQueue<Message>, size: number): boolean {
    const { overload } = this.#context
    if (!overload.memory.takesMessage(size, queue.bytes)) {
      this.#dropped('memory')
      return false
    }
    const dropsOldest = overload.settings.slowReaderPolicy === 'drop_oldest'
    const dropOldest = (victim: Message): void => {
      this.#context.counters.droppedQueueFull++
      this.#dropped('queue of the shared subscription full')
      this.#unqueued(victim)
      if (this.#isStored) this.#context.journal.groupTaken(this.filter, victim)
      victim.release()
    }
    if (queue.makeRoom(size, dropsOldest ? dropOldest : undefined)) return true
    this.#context.counters.droppedQueueFull++
    this.#dropped('queue of the shared subscription full')
    return false
  }

  /** QoS 0 that no member could take: absent members miss nothing they were owed, congested ones do. */
  #countFull(): void {
    if (!this.#members.some(({ session }) => session.connection !== undefined)) return
    this.#context.counters.droppedGroupFull++
    this.#dropped('output of every member of the shared subscription full')
  }

  #dropped(why: string): void {
    this.#context.dropped(this.filter, why)
  }

  #unqueued(message: Message): void {
    this.#context.counters.messagesQueued--
    this.#context.counters.bytesQueued -= message.size
  }

  #end(): void {
    if (this.#isStored) {
      this.#context.journal.groupRemoved(this.filter, [...this.#returned, ...(this.#queue ?? [])])
    }
    this.#isStored = false
    for (const message of this.#returned) message.release()
    this.#returned = []
    for (let next = this.#queue?.shift(); next !== undefined; next = this.#queue?.shift()) {
      this.#unqueued(next)
      this.#context.counters.droppedSessionEnded++
      next.release()
    }
    this.#queue = undefined
  }
}

function takes(member: SharedSubscription, content: Publication | Message): boolean {
  const { session } = member
  if (content instanceof Message) return session.takesShared(content, member)
  return session.takes(content, Math.min(member.qos, content.qos) as QoS, member.subscriptionIds)
}

export function deliverToSharedGroups(groups: Map<string, SharedGroup>, publication: Publication): void {
  for (const group of groups.values()) group.deliver(publication)
}
