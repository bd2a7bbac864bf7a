// A configuration: every setting with its value, in camelCase, ready to use. Sources are merged here, in order, and what
// only the whole can tell (local only mode, limits that must agree) is decided here. Reading files is not.

import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { ConfigError, type Place } from './config-error.ts'
import { camelCase, suggestion } from './names.ts'
import { type ListenerSettingKey, listenerSettings, type SettingKey, settings } from './schema.ts'
import type { Setting } from './setting.ts'

type CamelCase<S extends string> = S extends `${infer Word}_${infer Rest}` ? `${Word}${Capitalize<CamelCase<Rest>>}` : S
type Values<Table> = {
  readonly [K in keyof Table & string as CamelCase<K>]: Table[K] extends Setting<infer T> ? T : never
}

/** The values of every setting of `schema.ts`. Times are seconds (fractions allowed), sizes are bytes. */
export type GlobalConfiguration = Values<typeof settings>

/** One listener: the settings of `schema-listener.ts`. */
export type ListenerConfiguration = Values<typeof listenerSettings> & {
  /** A listener of local only mode: when its address family does not exist on the machine, go on without it. */
  readonly optional: boolean
  /** Where each of its values was written. */
  readonly places: ReadonlyMap<ListenerSettingKey, Place>
}

export type Configuration = GlobalConfiguration & {
  readonly listeners: readonly ListenerConfiguration[]
  /** No listener was configured: 127.0.0.1 and ::1 only, anonymous clients allowed. */
  readonly localOnly: boolean
  /** Where each value was written, for complaints that come later; what nobody wrote is not there. */
  readonly places: ReadonlyMap<SettingKey, Place>
}

/** A configuration as an embedding program writes it: what is left out has its default. */
export type ConfigurationOptions = Partial<GlobalConfiguration> & {
  readonly listeners?: readonly Partial<Values<typeof listenerSettings>>[]
}

/** What one file, the environment, the arguments or a program said. Values are already read and in range. */
export interface Source {
  /** snake_case keys of `settings`. */
  readonly values: ReadonlyMap<SettingKey, unknown>
  readonly places: ReadonlyMap<SettingKey, Place>
  /** Absent: this source says nothing about listeners. */
  readonly listeners?: readonly ReadonlyMap<ListenerSettingKey, unknown>[]
  /** For each of `listeners`, where its values were written. */
  readonly listenerPlaces?: readonly ReadonlyMap<ListenerSettingKey, Place>[]
  /** Ports for local only mode (`-p`); without effect once a source has listeners, as in Mosquitto. */
  readonly localPorts?: readonly number[]
  /** What the operator should know: an ignored key, a converted value. */
  readonly notices: readonly string[]
}

const DEFAULT_PORT = 1883
const RESERVED_DESCRIPTORS = 64 // listeners, log files, the store, epoll, timers, Node's own
const MOST_CONNECTIONS = 100_000
const LEAST_BYTES_TOTAL = 64 * 1024
const MOST_BYTES_TOTAL = 1024 ** 3

/**
 * Merges sources, later ones win (defaults < file < environment < arguments).
 * Throws ConfigError when settings contradict each other.
 */
export function resolveConfiguration(sources: readonly Source[] = []): Configuration {
  const values: Record<string, unknown> = {}
  for (const [key, setting] of Object.entries(settings)) values[key] = setting.default
  for (const source of sources) for (const [key, value] of source.values) values[key] = value

  const configured = sources.findLast((source) => source.listeners !== undefined)
  const localOnly = configured === undefined
  values.allow_anonymous ??= localOnly
  values.max_connections ??= defaultMaxConnections()
  values.max_queued_bytes_total ??= defaultBytesTotal()
  values.max_output_bytes_total ??= defaultBytesTotal()

  followOutputLimit(values, (key) => sources.some((source) => source.values.has(key)))

  const listeners = localOnly
    ? localListeners(sources)
    : configured.listeners!.map((given, at) => listenerOf(given, configured.listenerPlaces?.[at]))
  const places = new Map(sources.flatMap((source) => [...source.places]))
  const configuration = { ...camelCased(values), listeners, localOnly, places } as unknown as Configuration
  checkAgreement(configuration, (key) => places.get(key))
  checkAddresses(listeners)
  return configuration
}

/** A source from values that a program passes, checked like those of a file. Throws ConfigError. */
export function optionsSource(options: ConfigurationOptions): Source {
  const { listeners, ...rest } = options
  const values = readOptions(settings, rest, 'createBroker') as Map<SettingKey, unknown>
  const source: Source = { values, places: new Map(), notices: [] }
  if (listeners === undefined) return source
  return {
    ...source,
    listeners: listeners.map((one) => readOptions(listenerSettings, one, 'listen') as Map<ListenerSettingKey, unknown>),
  }
}

/** The hard limit of file descriptors of this process; Infinity when it is unlimited or cannot be read. */
export function hardDescriptorLimit(limits: string = readLimits()): number {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1]
  return hard === undefined || hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard)
}

/** Descriptors less those the broker needs itself: 64, or a quarter where there are few. */
export function defaultMaxConnections(hardLimit: number = hardDescriptorLimit()): number {
  const reserved = Math.min(RESERVED_DESCRIPTORS, Math.ceil(hardLimit / 4))
  return Math.max(1, Math.min(hardLimit - reserved, MOST_CONNECTIONS))
}

/** 1 GiB, at most half of what there is: of the machine's memory, or of the control group's if that is less. */
export function defaultBytesTotal(memory: number = availableMemory()): number {
  return Math.max(LEAST_BYTES_TOTAL, Math.min(MOST_BYTES_TOTAL, Math.floor(memory / 2)))
}

function availableMemory(): number {
  const constrained = process.constrainedMemory() ?? 0
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem()
}

/** What a program passes to `listen`, wrong names included. Throws ConfigError. */
export function checkListenOptions(options: object): void {
  readOptions(listenerSettings, options, 'listen')
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return '' // no /proc: a sandbox. The cap of 100,000 holds, and accept() will tell when descriptors run out.
  }
}

function localListeners(sources: readonly Source[]): ListenerConfiguration[] {
  const ports = sources.flatMap((source) => source.localPorts ?? [])
  return (ports.length > 0 ? ports : [DEFAULT_PORT]).flatMap((port) => [
    listenerOf(
      new Map<ListenerSettingKey, unknown>([
        ['port', port],
        ['host', '127.0.0.1'],
      ]),
    ),
    {
      ...listenerOf(
        new Map<ListenerSettingKey, unknown>([
          ['port', port],
          ['host', '::1'],
        ]),
      ),
      optional: true,
    },
  ])
}

function listenerOf(
  given: ReadonlyMap<ListenerSettingKey, unknown>,
  places: ReadonlyMap<ListenerSettingKey, Place> = new Map(),
): ListenerConfiguration {
  const values: Record<string, unknown> = {}
  for (const [key, setting] of Object.entries(listenerSettings)) {
    values[key] = given.get(key as ListenerSettingKey) ?? setting.default
  }
  return { ...camelCased(values), optional: false, places } as unknown as ListenerConfiguration
}

function camelCased(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [camelCase(key), value]))
}

function readOptions(
  table: Record<string, Setting<unknown>>,
  options: object,
  whose: 'createBroker' | 'listen',
): Map<string, unknown> {
  if (typeof options !== 'object' || options === null) {
    throw new ConfigError({ key: whose, value: options, problem: 'an object of options is wanted' })
  }
  const keys = new Map(Object.keys(table).map((key) => [camelCase(key), key]))
  const values = new Map<string, unknown>()
  for (const [name, raw] of Object.entries(options)) {
    if (raw === undefined) continue
    const key = keys.get(name)
    if (key === undefined) {
      const isListeners =
        whose === 'createBroker' && Object.keys(listenerSettings).some((one) => camelCase(one) === name)
      const advice = isListeners
        ? `It is a listener's: broker.listen({ ${name}: … }).`
        : suggestion(name, Object.keys(table), camelCase)
      throw new ConfigError({ key: name, problem: 'there is no such option', advice })
    }
    const reading = table[key]!.read(raw, 'plain')
    if ('wanted' in reading) throw new ConfigError({ key: name, value: raw, problem: `${reading.wanted} is wanted` })
    values.set(key, reading.value)
  }
  return values
}

/** Water marks nobody set follow the limits that somebody did. */
function followOutputLimit(values: Record<string, unknown>, isSet: (key: SettingKey) => boolean): void {
  const follow = (key: SettingKey, most: number): void => {
    if (!isSet(key)) values[key] = Math.min(values[key] as number, Math.floor(most))
  }
  follow('output_high_water', values.output_limit as number)
  follow('output_low_water', (values.output_high_water as number) / 4)
}

function checkAgreement(configuration: Configuration, placeOf: (key: SettingKey) => Place | undefined): void {
  const ordered: [SettingKey, number, SettingKey, number][] = [
    ['output_low_water', configuration.outputLowWater, 'output_high_water', configuration.outputHighWater],
    ['output_high_water', configuration.outputHighWater, 'output_limit', configuration.outputLimit],
    ['read_size', configuration.readSize, 'inbox_size', configuration.inboxSize],
  ]
  for (const [smaller, value, larger, limit] of ordered) {
    const fine = smaller === 'output_low_water' ? value < limit : value <= limit
    if (fine) continue
    const place = placeOf(smaller) ?? placeOf(larger)
    throw new ConfigError({ place, key: smaller, value, problem: `it must not exceed ${larger}, which is ${limit}` })
  }
  if (typeof configuration.persistence === 'boolean' && Object.keys(configuration.persistenceOptions).length > 0) {
    const advice = 'They are for persistence: aedes:PACKAGE.'
    const place = placeOf('persistence_options')
    throw new ConfigError({ place, key: 'persistence_options', problem: 'no package gets these options', advice })
  }
}

/** Two listeners on one address would both be told "in use", by the system and without saying by whom. */
function checkAddresses(listeners: readonly ListenerConfiguration[]): void {
  const seen = new Map<string, ListenerConfiguration>()
  for (const listener of listeners) {
    const { host, port, socketPath, socketActivation, socketDomain, bindInterface, places } = listener
    if (socketActivation !== '' || (socketPath === '' && port === 0)) continue
    const address = socketPath === '' ? JSON.stringify([host, port, socketDomain, bindInterface]) : socketPath
    const other = seen.get(address)
    seen.set(address, listener)
    if (other === undefined) continue
    const key = socketPath === '' ? 'port' : 'socket_path'
    const line = other.places.get(key)?.line
    const where = line === undefined ? '' : `, in line ${line}`
    const problem = `there is a listener on this address already${where}`
    throw new ConfigError({ place: places.get(key), key, value: socketPath === '' ? port : socketPath, problem })
  }
}

/** The configuration of `martlet` without file, environment and arguments. */
export const defaults: Configuration = resolveConfiguration()
