// One setting: its type, default, limits, documentation, and how a written value becomes a value.
// Knows no file format: mosquitto.conf, YAML, the environment and the API all come through `read`.

/** How numbers are written: Mosquitto reads integers with strtol base 0 (0x1f, 010 = 8), everything else is decimal. */
export type Dialect = 'mosquitto' | 'plain'

/** A value, or what would have been right: `an integer from 0 to 65535`. */
export type Reading<T> = { readonly value: T } | { readonly wanted: string }

export interface SettingFacts<T> {
  /** Left out where it depends on something else. */
  readonly default?: T
  /** For the documentation, instead of the default: what it depends on, or what an empty one means. */
  readonly computed?: string
  /** Whether SIGHUP applies a new value to the running broker. */
  readonly reloadable?: boolean
  /** One to three sentences for docs/configuration.md. */
  readonly doc: string
  /** `true`: Mosquitto has this key with this meaning. Text: it has it, and this is what differs. Absent: Martlet's own. */
  readonly mosquitto?: true | string
}

export interface NumberFacts extends SettingFacts<number> {
  /** Lowest and highest legal value, both included. */
  readonly range: readonly [number, number]
  /** Says what the number 0 is turned into: Mosquitto writes "no limit" as 0. */
  readonly zero?: number
}

export interface Setting<T> extends SettingFacts<T> {
  /** For the documentation: `boolean`, `integer`, `bytes`, `seconds`, `text`, `path`, `list`, `a | b`. */
  readonly type: string
  readonly range?: readonly [number, number]
  /** Several lines of a file add up instead of overwriting each other. */
  readonly repeatable: boolean
  /** Makes a value of what was written: text from files and the environment, any type from YAML and the API. */
  read(raw: unknown, dialect: Dialect): Reading<T>
}

export function boolean(facts: SettingFacts<boolean>): Setting<boolean> {
  return {
    ...facts,
    type: 'boolean',
    repeatable: false,
    read(raw) {
      if (raw === true || raw === 'true' || raw === '1') return { value: true }
      if (raw === false || raw === 'false' || raw === '0') return { value: false }
      return { wanted: 'true or false' }
    },
  }
}

export function integer(facts: NumberFacts): Setting<number> {
  const wanted = `an integer from ${facts.range[0]} to ${facts.range[1]}`
  return number('integer', facts, wanted, (text, dialect) => integerOf(text, dialect))
}

const BYTES: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** A number of bytes: `65536`, `64KiB`, `1 GiB`. */
export function bytes(facts: NumberFacts): Setting<number> {
  const wanted = `bytes from ${facts.range[0]} to ${facts.range[1]}, such as 65536, 512KiB or 4MiB`
  return number('bytes', facts, wanted, (text, dialect) => withUnit(text, BYTES, dialect))
}

const DAY = 86400
// m is a month and y 365 days, as Mosquitto counts in persistent_client_expiration.
const SECONDS: Record<string, number> = {
  ms: 0.001,
  s: 1,
  min: 60,
  h: 3600,
  d: DAY,
  w: 7 * DAY,
  m: 30 * DAY,
  y: 365 * DAY,
}

/** A length of time, kept in seconds (fractions allowed): `10`, `500ms`, `5min`, `2h`, `14d`. */
export function seconds(facts: NumberFacts): Setting<number> {
  const wanted = `seconds from ${facts.range[0]} to ${facts.range[1]}, such as 10, 500ms, 5min, 2h or 14d (m is a month)`
  return number('seconds', facts, wanted, (text, dialect) => withUnit(text, SECONDS, dialect))
}

export function text(facts: SettingFacts<string> & { readonly maxLength?: number }): Setting<string> {
  return stringly('text', facts, facts.maxLength ?? 65535)
}

/** Permissions of a file in octal, `0660`; a text, because a number would have lost its leading 0. Empty: none. */
export function fileMode(facts: SettingFacts<string>): Setting<string> {
  return {
    ...facts,
    type: 'text',
    repeatable: false,
    read(raw) {
      const legal = typeof raw === 'string' && /^[0-7]{0,4}$/.test(raw)
      return legal ? { value: raw } : { wanted: "an octal mode in quotes, such as '0660'," }
    },
  }
}

/** A file or folder; a relative one is relative to the working directory, as Mosquitto has it. */
export function path(facts: SettingFacts<string>): Setting<string> {
  return stringly('path', facts, 4096)
}

export function choice<const C extends string>(choices: readonly C[], facts: SettingFacts<C>): Setting<C> {
  return {
    ...facts,
    type: choices.join(' | '),
    repeatable: false,
    read(raw) {
      const found = choices.find((candidate) => candidate === raw)
      return found === undefined ? { wanted: `one of ${choices.join(', ')}` } : { value: found }
    },
  }
}

/** A list of texts: a YAML list, several lines in mosquitto.conf, one per comma in the environment. */
export function list(
  facts: SettingFacts<readonly string[]> & { accepts(item: string): boolean; readonly wanted: string },
): Setting<readonly string[]> {
  return {
    ...facts,
    type: 'list',
    repeatable: true,
    read(raw) {
      const items = typeof raw === 'string' ? raw.split(',').map((item) => item.trim()) : raw
      const legal =
        Array.isArray(items) &&
        (items.length > 0 || facts.default?.length === 0) &&
        items.every((item) => isText(item) && facts.accepts(item))
      return legal ? { value: items } : { wanted: facts.wanted }
    },
  }
}

/** What keeps sessions: `true` for Martlet's own store, `false` for none, or a package of somebody else's. */
export type Persistence = boolean | `aedes:${string}`

/** A path, or a name as npm allows it, scoped or not. */
const PACKAGE = /^aedes:(?:\.{0,2}\/.+|(?:@[\w.~-]+\/)?[\w~-][\w.~-]*(?:\/[\w./~-]+)?)$/

export function persistenceChoice(facts: SettingFacts<Persistence>): Setting<Persistence> {
  const plain = boolean({ default: false, doc: '' })
  return {
    ...facts,
    type: 'boolean | aedes:PACKAGE',
    repeatable: false,
    read(raw, dialect) {
      if (isText(raw) && PACKAGE.test(raw)) return { value: raw as Persistence }
      const reading = plain.read(raw, dialect)
      return 'value' in reading
        ? reading
        : { wanted: 'true, false or aedes:PACKAGE, such as aedes:aedes-persistence-redis,' }
    },
  }
}

/** Names with values of any kind: a YAML mapping, or JSON where only text can be written. */
export function map(
  facts: SettingFacts<Readonly<Record<string, unknown>>>,
): Setting<Readonly<Record<string, unknown>>> {
  return {
    ...facts,
    type: 'mapping',
    repeatable: false,
    read(raw) {
      const value = typeof raw === 'string' ? parsed(raw) : raw
      const legal = typeof value === 'object' && value !== null && !Array.isArray(value)
      return legal
        ? { value: value as Record<string, unknown> }
        : { wanted: 'a mapping, such as {"host": "127.0.0.1"},' }
    },
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // not JSON: `read` says what is wanted
  }
}

type NumberOf = (text: string, dialect: Dialect) => number

function number(type: string, facts: NumberFacts, wanted: string, numberOf: NumberOf): Setting<number> {
  const [lowest, highest] = facts.range
  const wantedOrZero = facts.zero !== undefined && lowest > 0 ? `0 or ${wanted}` : wanted
  return {
    ...facts,
    type,
    repeatable: false,
    read(raw, dialect) {
      let value = typeof raw === 'string' ? numberOf(raw.trim(), dialect) : raw
      if (value === 0 && facts.zero !== undefined) value = facts.zero
      if (typeof value !== 'number' || !(value >= lowest && value <= highest)) return { wanted: wantedOrZero }
      if (type !== 'seconds' && !Number.isInteger(value)) return { wanted: wantedOrZero }
      return { value }
    },
  }
}

function stringly(type: string, facts: SettingFacts<string>, maxLength: number): Setting<string> {
  return {
    ...facts,
    type,
    repeatable: false,
    read(raw) {
      const legal = isText(raw) && Buffer.byteLength(raw) <= maxLength
      return legal ? { value: raw } : { wanted: `text of at most ${maxLength} bytes` }
    },
  }
}

// U+0000 ends a C string: a path or a name with one in it means two things to two readers.
function isText(raw: unknown): raw is string {
  return typeof raw === 'string' && !raw.includes('\0')
}

function withUnit(text: string, units: Record<string, number>, dialect: Dialect): number {
  const parts = /^(\d+(?:\.\d+)?)\s*([A-Za-z]+)$/.exec(text)
  if (parts === null) return Object.hasOwn(units, 's') ? decimalOf(text, dialect) : integerOf(text, dialect)
  const unit = Object.hasOwn(units, parts[2]!) ? units[parts[2]!]! : Number.NaN
  return Number(parts[1]) * unit
}

function decimalOf(text: string, dialect: Dialect): number {
  return dialect === 'plain' && /^\d+\.\d+$/.test(text) ? Number(text) : integerOf(text, dialect)
}

/** strtol base 0 in Mosquitto's dialect, but without its silence about what follows the digits. */
function integerOf(text: string, dialect: Dialect): number {
  if (dialect === 'mosquitto') {
    if (/^[+-]?0[xX][0-9a-fA-F]+$/.test(text)) return signed(text, 16)
    if (/^[+-]?0\d+$/.test(text)) return /[89]/.test(text) ? Number.NaN : signed(text, 8)
  }
  return /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN
}

function signed(text: string, base: number): number {
  return Number.parseInt(text, base)
}
