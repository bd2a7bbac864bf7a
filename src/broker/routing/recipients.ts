// Everyone who subscribed to one Topic Filter. Owns three views of them: all members (QoS 1 and 2 look at each), native
// groups per plain variant (QoS 0 costs one command, whatever their number), and those who must be written to singly.
import type { Connection } from '../../net/connection.ts'
import type { RecipientGroup } from '../../net/recipient-group.ts'
import type { Publication } from '../publication.ts'
import type { SharedGroup } from './shared-subscriptions.ts'
import type { Subscription } from './subscription.ts'

/** From this many plain online members on, a native group pays. */
const GROUP_FROM = 4

export interface GroupSource {
  newGroup(connectionOf: (member: Subscription) => Connection): RecipientGroup<Subscription>
  revokeShortcuts(): void
}

export class Recipients {
  readonly filter: string
  readonly members: Subscription[] = []
  /** Shared subscriptions to the same filter, by ShareName. */
  shared: Map<string, SharedGroup> | undefined
  /** Changes with every join, leave and change of options: routes that merged this list compare it. */
  version = 0
  #singles: Subscription[] = []
  #group3: RecipientGroup<Subscription> | undefined
  #group5: RecipientGroup<Subscription> | undefined
  readonly #groups: GroupSource

  constructor(filter: string, groups: GroupSource) {
    this.filter = filter
    this.#groups = groups
  }

  get isEmpty(): boolean {
    return this.members.length === 0 && this.shared === undefined
  }

  join(subscription: Subscription): void {
    this.version++
    subscription.position = this.members.length
    this.members.push(subscription)
    if (subscription.session.connection !== undefined) this.online(subscription)
  }

  leave(subscription: Subscription): void {
    this.version++
    this.offline(subscription)
    const last = this.members.pop()!
    if (last !== subscription) {
      last.position = subscription.position
      this.members[last.position] = last
    }
    subscription.position = -1
  }

  /** The subscription's options changed: it may belong to another list now. */
  changed(subscription: Subscription): void {
    this.version++
    if (subscription.place === 'none') return
    this.offline(subscription)
    this.online(subscription)
  }

  /** Its session has a connection from now on. */
  online(subscription: Subscription): void {
    this.#groups.revokeShortcuts()
    const { session } = subscription
    const connection = session.connection!
    subscription.slot = connection.slot
    subscription.generation = connection.generation
    subscription.version = session.version
    subscription.isDirect = subscription.mayBypassSession && session.topicAliasMaximum === 0
    if (subscription.mayBypassSession) {
      const group = subscription.session.version === 5 ? this.#group5 : this.#group3
      if (group !== undefined) {
        subscription.place = 'group'
        group.add(subscription)
        return
      }
    }
    subscription.place = 'single'
    subscription.groupPosition = this.#singles.length
    this.#singles.push(subscription)
    if (subscription.mayBypassSession && this.#singles.length >= GROUP_FROM)
      this.#promote(subscription.session.version === 5)
  }

  /** Its session's connection is gone, or it leaves. */
  offline(subscription: Subscription): void {
    this.#groups.revokeShortcuts()
    subscription.isDirect = false
    if (subscription.place === 'group') {
      const is5 = subscription.session.version === 5
      const group = (is5 ? this.#group5 : this.#group3)!
      group.remove(subscription)
      if (group.size === 0) {
        group.dispose()
        if (is5) this.#group5 = undefined
        else this.#group3 = undefined
      }
    } else if (subscription.place === 'single') {
      const last = this.#singles.pop()!
      if (last !== subscription) {
        last.groupPosition = subscription.groupPosition
        this.#singles[last.groupPosition] = last
      }
      subscription.groupPosition = -1
    }
    subscription.place = 'none'
  }

  /** Writes a QoS 0 publication to everyone online, and has absent members queue it if they are to. */
  deliverQos0(publication: Publication, alsoAbsent: boolean): void {
    const singles = this.#singles
    for (let i = 0; i < singles.length; i++) singles[i]!.deliver(publication)
    if (this.#group3 !== undefined) publication.writeToGroup(this.#group3.id, 3, -1)
    if (this.#group5 !== undefined) publication.writeToGroup(this.#group5.id, 5, -1)
    if (!alsoAbsent || this.members.length === singles.length + this.#grouped) return
    for (const member of this.members) if (member.place === 'none') member.session.deliver(publication, member)
  }

  get #grouped(): number {
    return (this.#group3?.size ?? 0) + (this.#group5?.size ?? 0)
  }

  /** Moves the plain members of one version from singles to a group of their own, when there are enough. */
  #promote(is5: boolean): void {
    const belongs = (member: Subscription) => member.mayBypassSession && (member.session.version === 5) === is5
    const movers = this.#singles.filter(belongs)
    if (movers.length < GROUP_FROM) return
    const group = this.#groups.newGroup((member) => member.session.connection!)
    this.#singles = this.#singles.filter((member) => !belongs(member))
    this.#singles.forEach((member, position) => {
      member.groupPosition = position
    })
    for (const member of movers) {
      member.place = 'group'
      group.add(member)
    }
    if (is5) this.#group5 = group
    else this.#group3 = group
  }
}
