// What every part of one broker shares. One object per broker, made by broker.ts, so that a session needs one field for
// all of it. Nothing global: two brokers in a process have two of these.
import type { Connection } from '../net/connection.ts'
import type { KeptFrames } from '../net/kept-frames.ts'
import type { Outbox } from '../net/outbox.ts'
import type { QueueLimits } from '../qos/message-queue.ts'
import type { Counters } from '../telemetry/counters.ts'
import type { Logger } from '../telemetry/log.ts'
import type { ThrottledLog } from '../telemetry/throttled-log.ts'
import type { Clock } from '../timers/clock.ts'
import type { Timers } from './deadlines.ts'
import type { BrokerEvents } from './events.ts'
import type { Hooks } from './hooks.ts'
import type { Journal } from './journal/journal.ts'
import type { ListenerTable } from './listener-rules.ts'
import type { Overload } from './overload/overload.ts'
import type { Publication } from './publication.ts'
import type { RetainedStore } from './retained/retained-store.ts'
import type { Router } from './routing/router.ts'
import type { Shortcuts } from './routing/shortcuts.ts'
import type { Pager } from './sessions/pager.ts'
import type { SessionRegistry } from './sessions/session-registry.ts'
import type { BrokerSettings } from './settings.ts'
import type { Wills } from './wills.ts'

/** The part of the reactor the broker stands on: shared memory and what keeps frames. */
export interface Wire {
  readonly inboxBytes: Uint8Array
  readonly outbox: Outbox
  readonly kept: KeptFrames
  /** Columns by slot, see native/index.d.ts. */
  readonly memory: {
    readonly lastRead: Float64Array
    readonly lastWrite: Float64Array
    readonly queued: Uint32Array
    readonly decisions: Int32Array
  }
}

export interface BrokerContext {
  readonly settings: BrokerSettings
  readonly queueLimits: QueueLimits
  readonly clock: Clock
  readonly log: Logger
  readonly throttled: ThrottledLog
  readonly counters: Counters
  readonly wire: Wire
  readonly outbox: Outbox
  readonly kept: KeptFrames
  readonly timers: Timers
  readonly hooks: Hooks
  readonly events: BrokerEvents
  readonly journal: Journal
  readonly listeners: ListenerTable
  readonly pager: Pager
  readonly overload: Overload
  readonly router: Router
  readonly shortcuts: Shortcuts
  readonly retained: RetainedStore
  readonly sessions: SessionRegistry
  readonly wills: Wills
  /** The one publication all PUBLISH packets of a turn go through. */
  readonly publication: Publication
  /** Shows a publication to the embedding program, if it listens. */
  tap(publication: Publication, clientId: string | undefined): void
  /** Bytes waiting for output on a connection, as of the last command carried out. */
  queuedBytes(connection: Connection): number
  /** Logs, throttled per session, that a message for it was dropped. The counter is the caller's. */
  dropped(clientId: string, why: string): void
}
