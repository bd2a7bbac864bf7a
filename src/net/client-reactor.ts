// A reactor that listens nowhere, for programs that only make connections: `martlet ping`, bridges on their own, benchmarks.
// Small by default; whoever moves much gives it more.
import { Reactor, type ReactorReceiver, type ReactorSettings } from './reactor.ts'

export type ClientReactorSettings = Partial<ReactorSettings>

const MIB = 1 << 20

const SMALL: ReactorSettings = {
  maxConnections: 16,
  inboxRecords: 1024,
  inboxSize: 256 * 1024,
  outboxWords: 4096,
  outboxSize: 64 * 1024,
  readSize: 64 * 1024,
  topicIds: 64,
  maxTurns: 4,
  acceptBudget: 1,
  unadmittedPacketLimit: 512 * 1024,
  partialBudget: 16 * MIB,
  highWater: MIB,
  lowWater: MIB / 4,
  flushAfter: 4 * MIB,
  userTimeout: 60_000,
  handshakeBudget: 8,
  poison: process.env.MARTLET_POISON === '1',
}

export interface ClientReactorOptions {
  readonly settings?: ClientReactorSettings
  /** Our own bug: an exception that a receiver threw. Default: it is thrown, and ends the process. */
  readonly handleBug?: (error: unknown) => void
  /** A Topic Name has this id from the next packet on; only connections that were admitted have any. */
  readonly handleTopic?: ReactorReceiver['handleTopic']
  readonly handleForgotten?: ReactorReceiver['handleForgotten']
}

/** The caller closes it. */
export function openClientReactor(options: ClientReactorOptions = {}): Reactor {
  const nothing = (): void => {}
  return new Reactor(
    { ...SMALL, ...options.settings },
    {
      handleOpened() {
        throw new Error('nobody listens here')
      },
      handleTopic: options.handleTopic ?? nothing,
      handleForgotten: options.handleForgotten ?? nothing,
      handleAcceptPaused: nothing,
      handleRefused: nothing,
      handleBug:
        options.handleBug ??
        ((error) => {
          throw error
        }),
    },
  )
}
