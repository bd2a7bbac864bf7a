// The store a configuration asks for: the journal in its folder, somebody else's backend, or none. What the store has to tell
// becomes log lines.
import { dirname, resolve } from 'node:path'
import { ConfigError } from '../config/config-error.ts'
import type { Configuration } from '../config/configuration.ts'
import { BackendProblem } from '../store/aedes-backend/backend.ts'
import { resolveBackend } from '../store/aedes-backend/load-backend.ts'
import { ThreadedStore } from '../store/aedes-backend/threaded-store.ts'
import type { DurableStore } from '../store/durable-store.ts'
import { JournalStore, type RecoveryProgress } from '../store/journal-store.ts'
import { MemoryStore } from '../store/memory-store.ts'
import type { Logger } from '../telemetry/log.ts'
import { ThrottledLog } from '../telemetry/throttled-log.ts'

/** How much more than one waiting batch the store may hold: what it refused stays with it until it works again. */
const STORE_ROOM = 8
/** The interface lets a queue be read so far and no further, unless it is told otherwise (Redis: 1,000 messages). */
const WHOLE_QUEUE = 2 ** 31 - 2
/** What a system call says when a folder is no folder, or none that this process may write to. */
const FOLDER_PROBLEMS: ReadonlySet<string> = new Set([
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOENT',
  'ENOTDIR',
  'EEXIST',
  'ELOOP',
])
/** What qlobber, which most backends match topics with, can take. */
const BACKEND_TOPIC_LEVELS = 100

/**
 * Makes the store, not yet open.
 * @throws ConfigError when the package it should be kept by is not there.
 */
export function storeOf(configuration: Configuration, log: Logger): DurableStore {
  const { persistence, persistenceLocation: directory, durability, maxUnstoredBytes } = configuration
  if (typeof persistence === 'string') return backendStore(configuration, log)
  if (!persistence) return new MemoryStore()
  return new JournalStore({
    directory,
    durability: durability as 'fsync' | 'os' | 'none',
    maxWaitingBytes: maxUnstoredBytes * STORE_ROOM,
    segmentBytes: configuration.storeSegmentSize,
    minFreeBytes: configuration.storeMinFree,
    onEvent: ({ kind, level, text, error }) =>
      log[level]({ store: kind, directory, ...(error === undefined ? {} : { err: error }) }, text),
    onProgress: progressLog(directory, log),
  })
}

/** Whether a backend of somebody else's has the sessions: then none of MQTT 5 outlives its connection. */
export function hasForeignStore({ persistence }: Configuration): boolean {
  return typeof persistence === 'string'
}

/** What `max_topic_levels` comes to with this store. */
export function storableTopicLevels(configuration: Configuration): number {
  const { maxTopicLevels } = configuration
  return hasForeignStore(configuration) ? Math.min(maxTopicLevels, BACKEND_TOPIC_LEVELS) : maxTopicLevels
}

/** Says once what a backend cannot hold. */
export function warnOfForeignStore(configuration: Configuration, log: Logger): void {
  if (!hasForeignStore(configuration)) return
  const { persistence } = configuration
  log.warn(
    { persistence, maxTopicLevels: storableTopicLevels(configuration) },
    'an aedes-persistence backend keeps what MQTT 3.1.1 has: sessions of MQTT 5 clients end with their connection, and of MQTT 5 properties it keeps what docs/store.md says',
  )
}

/** The failure of a store to open, with the place in the configuration that is to blame, if one is. */
export function storeFailure(error: unknown, configuration: Configuration): unknown {
  const { persistence, persistenceLocation, places } = configuration
  if (!(error instanceof BackendProblem)) {
    if (persistence !== true || !FOLDER_PROBLEMS.has((error as NodeJS.ErrnoException).code ?? '')) return error
    const absolute = resolve(persistenceLocation)
    return new ConfigError({
      place: places.get('persistence_location') ?? places.get('persistence'),
      key: 'persistence_location',
      value: persistenceLocation,
      // What Node adds are its own calls and file names.
      problem: `the broker cannot keep its files there (${(error as Error).message.split(',', 1)[0]})`,
      advice: absolute === persistenceLocation ? undefined : `The folder is ${absolute}.`,
    })
  }
  const { message: problem, advice } = error
  return new ConfigError({ place: places.get('persistence'), key: 'persistence', value: persistence, problem, advice })
}

/** @throws ConfigError when the configuration names a package that is not there. */
export function backendFile(configuration: Configuration): string | undefined {
  const { persistence, places } = configuration
  if (typeof persistence !== 'string') return undefined
  const place = places.get('persistence')
  const written = place?.line === undefined ? [] : [dirname(resolve(place.file))]
  try {
    return resolveBackend(persistence.slice('aedes:'.length), [...new Set([...written, process.cwd()])])
  } catch (error) {
    throw storeFailure(error, configuration)
  }
}

function backendStore(configuration: Configuration, log: Logger): DurableStore {
  const { persistence, persistenceOptions, maxUnstoredBytes } = configuration
  const throttled = new ThrottledLog(log)
  return new ThreadedStore({
    file: backendFile(configuration)!,
    options: { maxSessionDelivery: WHOLE_QUEUE, ...persistenceOptions },
    maxWaitingBytes: maxUnstoredBytes * STORE_ROOM,
    onStray: (text) =>
      throttled.warn(`stray:${text.slice(0, 40)}`, performance.now(), { persistence, text }, 'the backend says'),
  })
}

/** A line for every tenth, and at least one a second: an operator who waits sees that something happens, and how far it is. */
function progressLog(directory: string, log: Logger): (progress: RecoveryProgress) => void {
  let toldPercent = 0
  let toldAt = performance.now()
  return ({ bytes, totalBytes, records }) => {
    const percent = Math.floor((bytes / totalBytes) * 100)
    const now = performance.now()
    if (percent < toldPercent + 10 && percent < 100 && now < toldAt + 1000) return
    toldPercent = percent
    toldAt = now
    log.info({ directory, percent, records }, 'recovering')
  }
}
