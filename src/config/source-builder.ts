// Collects what one source says: reads each value through its setting, keeps the place, and turns what does not fit into
// a ConfigError. The file formats know only their syntax.

import { ConfigError, type Place } from './config-error.ts'
import type { Source } from './configuration.ts'
import { type ListenerSettingKey, listenerSettings, type SettingKey, settings } from './schema.ts'
import type { Dialect, Setting } from './setting.ts'

export type ListenerDraft = Map<ListenerSettingKey, unknown>

export class SourceBuilder {
  readonly #dialect: Dialect
  readonly #values = new Map<SettingKey, unknown>()
  readonly #places = new Map<SettingKey, Place>()
  readonly #notices: string[] = []
  #listeners: ListenerDraft[] | undefined

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  /** Sets a value of the whole broker. Throws ConfigError when `raw` is not one. */
  set(key: SettingKey, raw: unknown, place: Place): void {
    this.#values.set(key, read(settings[key], key, raw, this.#dialect, place))
    this.#places.set(key, place)
  }

  has(key: SettingKey): boolean {
    return this.#values.has(key)
  }

  get(key: SettingKey): unknown {
    return this.#values.get(key)
  }

  /** From here on this source speaks about listeners: without one, it has none. */
  beginListeners(): void {
    this.#listeners ??= []
  }

  get listeners(): readonly ListenerDraft[] {
    return this.#listeners ?? []
  }

  /** A listener more; fill it with `setListener`. */
  addListener(): ListenerDraft {
    const draft: ListenerDraft = new Map()
    this.#listeners = [...(this.#listeners ?? []), draft]
    return draft
  }

  setListener(draft: ListenerDraft, key: ListenerSettingKey, raw: unknown, place: Place): void {
    draft.set(key, read(listenerSettings[key], key, raw, this.#dialect, place))
  }

  notice(place: Place, text: string): void {
    const where = place.line === undefined ? place.file : `${place.file}:${place.line}`
    this.#notices.push(`${where}: ${text}`)
  }

  finish(): Source {
    const source = { values: this.#values, places: this.#places, notices: this.#notices }
    return this.#listeners === undefined ? source : { ...source, listeners: this.#listeners }
  }
}

export function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(settings, key)
}

export function isListenerSettingKey(key: string): key is ListenerSettingKey {
  return Object.hasOwn(listenerSettings, key)
}

/** `Did you mean …?` for a key that is nearly one of `keys`; undefined when none is near. */
export function suggestion(key: string, keys: readonly string[]): string | undefined {
  const nearest = keys
    .map((candidate) => ({ candidate, distance: editDistance(key.slice(0, 64), candidate) }))
    .sort((a, b) => a.distance - b.distance)[0]
  return nearest !== undefined && nearest.distance <= 3 ? `Did you mean ${nearest.candidate}?` : undefined
}

function read(setting: Setting<unknown>, key: string, raw: unknown, dialect: Dialect, place: Place): unknown {
  const reading = setting.read(raw, dialect)
  if ('value' in reading) return reading.value
  throw new ConfigError({ place, key, value: raw, problem: `${reading.wanted} is wanted` })
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(previous[j]! + 1, row[j - 1]! + 1, substituted))
    }
    previous = row
  }
  return previous[b.length]!
}
