// The public interface for programs that embed the broker: `import { createBroker } from 'martlet'`.
import type { Hooks } from './broker/hooks.ts'
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
export { ConfigError } from './config/config-error.ts'
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

/** Settings as in docs/configuration.md, in camelCase, and what only a program can give. */
export type CreateBrokerOptions = ConfigurationOptions &
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
