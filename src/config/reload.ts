// What SIGHUP can and cannot change: compares the running configuration with a newly read one.

import type { Configuration } from './configuration.ts'
import { camelCase } from './names.ts'
import { settings } from './schema.ts'

export interface Changes {
  /** Keys whose new value is applied. */
  readonly applied: readonly string[]
  /** Keys that changed but need a restart; `listeners` may be among them. */
  readonly restart: readonly string[]
}

export function changesBetween(current: Configuration, next: Configuration): Changes {
  const applied: string[] = []
  const restart: string[] = []
  for (const [key, setting] of Object.entries(settings)) {
    const name = camelCase(key) as keyof Configuration
    if (same(current[name], next[name])) continue
    const target = setting.reloadable === true ? applied : restart
    target.push(key)
  }
  if (!same(current.listeners, next.listeners)) restart.push('listeners')
  // Their contents may have changed: that is what SIGHUP is sent for after a renewal.
  if (current.listeners.some(({ certfile, pskFile }) => certfile.length > 0 || pskFile !== '')) {
    applied.push('certificates')
  }
  return { applied, restart }
}

/** What runs after a reload: the reloadable settings of `next`, everything else as it was. */
export function reloaded(current: Configuration, next: Configuration): Configuration {
  const names = Object.entries(settings).flatMap(([key, { reloadable }]) =>
    reloadable === true ? [camelCase(key)] : [],
  )
  const fresh = Object.entries(next).filter(([name]) => names.includes(name))
  return { ...current, ...Object.fromEntries(fresh) }
}

/** Values are plain: numbers, texts, booleans and lists of those. */
function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
