// Shared Subscriptions (`$share/ShareName/filter`): of all members of a group one gets each message [MQTT-4.8.2-1], chosen
// in turn among those that can take it now. What nobody can take waits in the group's own queue, once, not once a member;
// what a member did not acknowledge before its connection ended comes back to the group [MQTT-4.8.2-4].
import type { QoS } from '../../mqtt/qos.ts'
import type { BrokerContext } from '../context.ts'
import { GROUP_MARK } from '../journal/journal.ts'
import { Message } from '../message.ts'
import type { Publication } from '../publication.ts'
import { GroupQueue } from '../sessions/group-queue.ts'
import type { Session } from '../sessions/session.ts'
import type { Recipients } from './recipients.ts'
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
  #queue: GroupQueue | undefined
  /** A member's session is stored, so what waits here is too. */
  #isStored = false
  /** When `dropExpired` last looked. */
  #sweptAt = 0
  /** What is next could not be read from the store. */
  #isStuck = false

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
    return this.#isStored ? this.recordName : undefined
  }

  get recordName(): string {
    return GROUP_MARK + this.filter
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

  /** A journal remembers it: its queue is filled with what waits here and is recorded already. */
  restored(fill: (queue: GroupQueue) => void): void {
    this.#isStored = true
    const queue = new GroupQueue(this.#context, this)
    fill(queue)
    if (queue.size > 0) this.#queue = queue
  }

  /** From now on what waits here outlives the process. */
  #store(): void {
    if (this.#context.journal.isVolatile) return
    this.#isStored = true
    this.#context.journal.groupOpened(this.filter)
    for (const message of this.#returned) this.#context.journal.groupQueued(this.filter, message)
    for (const delivery of this.#queue?.inMemory() ?? [])
      this.#context.journal.groupQueued(this.filter, delivery.message, delivery)
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
    this.#queue ??= new GroupQueue(this.#context, this)
    this.#queue.add(publication, qos, publication.retain, undefined)
    if (this.#queue.size === 0) this.#queue = undefined
    else this.#callOnline()
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
    this.#queue.dropExpired(now)
    if (this.#queue.size === 0) this.#queue = undefined
    if (!this.#isStuck) return
    this.#isStuck = false
    this.drain()
  }

  /** What is next cannot be read now: the next member who has room asks again, or the next sweep if nobody does. */
  stuck(): void {
    this.#isStuck = true
    this.#callOnline()
  }

  /** Gives members what waits, as long as one can take it; what is on disk when it has been read. */
  drain(): void {
    while (this.backlog > 0) {
      const next = this.#returned[0] ?? this.#queue!.peek()?.message
      const member = next === undefined ? undefined : this.#choose(next.qos, next)
      if (next === undefined || member === undefined) {
        this.#callOnline()
        break
      }
      if (this.#returned.length > 0) this.#returned.shift()
      else this.#queue!.take()
      // The member's record comes first: between the two the message must not be nobody's.
      next.hold()
      member.session.deliverShared(next, member)
      if (this.#isStored) this.#context.journal.groupTaken(this.filter, next)
      next.release()
    }
    if (this.#queue?.size === 0) this.#queue = undefined
    else if (this.#members.some(({ session }) => session.connection !== undefined)) this.#queue?.readAhead()
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

  /** QoS 0 that no member could take: absent members miss nothing they were owed, congested ones do. */
  #countFull(): void {
    if (!this.#members.some(({ session }) => session.connection !== undefined)) return
    this.#context.counters.droppedGroupFull++
    this.#context.dropped(this.filter, 'output of every member of the shared subscription full')
  }

  #end(): void {
    if (this.#isStored) {
      this.#context.journal.groupRemoved(this.filter, this.#returned)
      this.#queue?.forgetRecords()
    }
    this.#isStored = false
    for (const message of this.#returned) message.release()
    this.#returned = []
    this.#queue?.end()
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
