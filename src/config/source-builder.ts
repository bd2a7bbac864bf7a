// Collects what one source says: reads each value through its setting, keeps the place, and turns what does not fit into
// a ConfigError. The file formats know only their syntax.

import { ConfigError, type Place } from './config-error.ts'
import type { Source } from './configuration.ts'
import { type ListenerSettingKey, listenerSettings, type SettingKey, settings } from './schema.ts'
import type { Dialect, Setting } from './setting.ts'

export type ListenerDraft = Map<ListenerSettingKey, unknown>
type ListenerPlaces = ReadonlyMap<ListenerSettingKey, Place>

export class SourceBuilder {
  readonly #dialect: Dialect
  readonly #values = new Map<SettingKey, unknown>()
  readonly #places = new Map<SettingKey, Place>()
  readonly #notices: string[] = []
  readonly #listenerPlaces = new Map<ListenerDraft, Map<ListenerSettingKey, Place>>()
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
    const places = this.#listenerPlaces.get(draft) ?? new Map<ListenerSettingKey, Place>()
    this.#listenerPlaces.set(draft, places.set(key, place))
  }

  notice(place: Place, text: string): void {
    const where = place.line === undefined ? place.file : `${place.file}:${place.line}`
    this.#notices.push(`${where}: ${text}`)
  }

  finish(): Source {
    const source = { values: this.#values, places: this.#places, notices: this.#notices }
    if (this.#listeners === undefined) return source
    const listenerPlaces = this.#listeners.map((draft): ListenerPlaces => this.#listenerPlaces.get(draft) ?? new Map())
    return { ...source, listeners: this.#listeners, listenerPlaces }
  }
}

export function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(settings, key)
}

export function isListenerSettingKey(key: string): key is ListenerSettingKey {
  return Object.hasOwn(listenerSettings, key)
}

function read(setting: Setting<unknown>, key: string, raw: unknown, dialect: Dialect, place: Place): unknown {
  const reading = setting.read(raw, dialect)
  if ('value' in reading) return reading.value
  throw new ConfigError({ place, key, value: raw, problem: `${reading.wanted} is wanted` })
}
