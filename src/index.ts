// The public interface for programs that embed the broker: `import { createBroker } from 'martlet'`.
import type { Hooks } from './broker/hooks.ts'
import { ConfigError } from './config/config-error.ts'
import { type ConfigurationOptions, optionsSource, resolveConfiguration } from './config/configuration.ts'
import { Martlet } from './server/martlet.ts'
import type { DurableStore } from './store/durable-store.ts'
import { type Logger, silentLogger } from './telemetry/log.ts'
import type { Clock } from './timers/clock.ts'

export type { BrokerEventMap, PublishedMessage } from './broker/events.ts'
export type {
  AuthenticateRequest,
  AuthenticationExchange,
  AuthenticationRequest,
  AuthenticationStep,
  ClientIdentity,
  Hooks,
  PublishRequest,
  SubscribeRequest,
  Verdict,
} from './broker/hooks.ts'
export type { OutgoingMessage } from './broker/own-publications.ts'
export type { ConfigurationOptions } from './config/configuration.ts'
export type { Properties, UserProperty } from './mqtt/properties.ts'
export { ReasonCode } from './mqtt/reason-code.ts'
export type { PeerIdentity } from './net/connection.ts'
export type { ListeningAddress, ListenOptions, Martlet } from './server/martlet.ts'
export type { DurableStore } from './store/durable-store.ts'
export type { JournalRecord } from './store/journal-record.ts'
export {
  type Durability,
  JournalStore,
  type JournalStoreOptions,
  type RecoveryProgress,
  type StoreEvent,
  type StoreMetrics,
} from './store/journal-store.ts'
export { StoreError } from './store/store-error.ts'
export type { Logger } from './telemetry/log.ts'

export { ConfigError }

/** Settings as in docs/configuration.md, in camelCase, and what only a program can give. */
export type CreateBrokerOptions = Omit<ConfigurationOptions, 'listeners'> &
  Hooks & {
    /** Default: says nothing. */
    readonly log?: Logger
    /** Default: what `persistence` says. Opened and closed by the broker. */
    readonly store?: DurableStore
    /** For tests that drive time. */
    readonly clock?: Clock
  }

/**
 * Makes a broker that listens nowhere yet: `await broker.listen({ port: 0 })`. Anonymous clients are allowed unless
 * `allowAnonymous` is false or `authenticate` says otherwise. Throws a ConfigError for a setting out of range.
 */
export function createBroker(options: CreateBrokerOptions = {}): Martlet {
  checkParts(options)
  const { log = silentLogger, store, clock, ...rest } = options
  const { authenticate, beginAuthentication, authorizePublish, authorizeSubscribe, ...settings } = rest
  const configuration = resolveConfiguration([optionsSource(settings)])
  const hooks: Hooks = {
    ...(authenticate === undefined ? {} : { authenticate }),
    ...(beginAuthentication === undefined ? {} : { beginAuthentication }),
    ...(authorizePublish === undefined ? {} : { authorizePublish }),
    ...(authorizeSubscribe === undefined ? {} : { authorizeSubscribe }),
  }
  return new Martlet({
    configuration,
    log,
    hooks,
    ...(store === undefined ? {} : { store }),
    ...(clock === undefined ? {} : { clock }),
  })
}

const HOOKS = ['authenticate', 'beginAuthentication', 'authorizePublish', 'authorizeSubscribe']
const LOG_METHODS = ['debug', 'info', 'warn', 'error']
const STORE_METHODS = ['open', 'recover', 'commit', 'close']

/** What a program without types may get wrong, and would hear of when the first client comes. */
function checkParts(options: object): void {
  if (typeof options !== 'object' || options === null)
    throw new TypeError('createBroker: an object of options is wanted')
  const given: Record<string, unknown> = { ...options }
  if (given.listeners !== undefined) {
    const advice = 'Open them with broker.listen({ port, host, … }), one call each.'
    throw new ConfigError({ key: 'listeners', problem: 'a program opens its listeners itself', advice })
  }
  for (const key of HOOKS) {
    if (given[key] === undefined || typeof given[key] === 'function') continue
    throw new ConfigError({ key, value: given[key], problem: 'a function is wanted' })
  }
  requireMethods(given, 'log', LOG_METHODS)
  requireMethods(given, 'store', STORE_METHODS)
  requireMethods(given, 'clock', ['now'])
}

function requireMethods(given: Readonly<Record<string, unknown>>, key: string, names: readonly string[]): void {
  const part = given[key] as Record<string, unknown> | null | undefined
  if (part === undefined) return
  if (part !== null && names.every((name) => typeof part[name] === 'function')) return
  throw new ConfigError({ key, problem: `an object with ${names.join(', ')} is wanted` })
}
