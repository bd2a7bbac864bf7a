// One session's subscription to one Topic Filter, and where it stands in that filter's recipient lists.
import type { QoS } from '../../mqtt/qos.ts'
import type { GroupMember } from '../../net/recipient-group.ts'
import type { Publication } from '../publication.ts'
import type { Session } from '../sessions/session.ts'
import type { Recipients } from './recipients.ts'
import type { SharedGroup } from './shared-subscriptions.ts'

export interface SubscriptionOptions {
  qos: QoS
  noLocal: boolean
  retainAsPublished: boolean
  subscriptionId: number
}

/** Whom a message goes to and how: a subscription, or several overlapping ones of one session merged. */
export interface Target {
  readonly session: Session
  readonly qos: QoS
  readonly noLocal: boolean
  /** Takes its place for what the session itself publishes, where No Local and other subscriptions overlap. */
  readonly own?: Target | undefined
  readonly retainAsPublished: boolean
  readonly subscriptionIds: readonly number[] | undefined
  /** Receives exactly the bytes its protocol version's plain variant has. */
  readonly isPlain: boolean
  /** The shared group it is a membership of. */
  readonly group: SharedGroup | undefined
}

export class Subscription implements Target, GroupMember {
  readonly session: Session
  readonly recipients: Recipients
  qos: QoS = 0
  noLocal = false
  retainAsPublished = false
  subscriptionIds: readonly number[] | undefined
  readonly group = undefined
  /** Position among all members of its filter. */
  position = -1
  /** Position in the native group or in the list of single recipients. */
  groupPosition = -1
  /**
   * Online, plain, and without aliases to think of: a QoS 0 message is written to `slot` and `generation` and looks at nothing
   * else. Set by the recipients when the session comes and goes.
   */
  isDirect = false
  slot = 0
  generation = 0
  version: 3 | 4 | 5 = 4
  /** Which of those two it is in; 'none' while the session is offline. */
  place: 'none' | 'single' | 'group' = 'none'

  constructor(session: Session, recipients: Recipients, options: SubscriptionOptions) {
    this.session = session
    this.recipients = recipients
    this.apply(options)
  }

  /** A new SUBSCRIBE with the same Topic Filter replaces the options [MQTT-3.8.4-3]. */
  apply(options: SubscriptionOptions): void {
    this.qos = options.qos
    this.noLocal = options.noLocal
    this.retainAsPublished = options.retainAsPublished
    this.subscriptionIds = options.subscriptionId === 0 ? undefined : [options.subscriptionId]
  }

  /** Then it may stand in a native group. */
  get isPlain(): boolean {
    return !this.noLocal && !this.retainAsPublished && this.subscriptionIds === undefined
  }

  /** QoS 0 may be written to it without a look at its session: alone, or in a native group. */
  get mayBypassSession(): boolean {
    return this.isPlain && !this.session.isBehind
  }

  /** Hands over a publication; the plain QoS 0 case touches neither session nor connection. */
  deliver(publication: Publication): void {
    if (publication.qos === 0 && this.isDirect) publication.writeTo(this, this.version, 0x30, 0, undefined)
    else this.session.deliver(publication, this)
  }
}
