// The environment: MARTLET_<KEY>, such as MARTLET_MAX_QUEUED_MESSAGES=5000, for every setting of the whole broker.
// Listeners are not there: they are a list. A name that means nothing is told, not refused, because Kubernetes
// invents MARTLET_PORT and its kind for a service called martlet.

import { ConfigError } from './config-error.ts'
import type { Source } from './configuration.ts'
import { suggestion } from './names.ts'
import { type SettingKey, settings } from './schema.ts'
import { isSettingKey, SourceBuilder } from './source-builder.ts'

const PREFIX = 'MARTLET_'
/** Not settings: test switches, the addon loader's override, what Kubernetes sets, our own daemon's mark. */
const NOT_SETTINGS = /^MARTLET_(?:SIZES|LONG|LONG_DIVISOR|TEST_\w+|PREBUILD|DAEMON|SERVICE_\w+|PORT(?:_\w+)?)$/

/** `max_queued_bytes` → `MARTLET_MAX_QUEUED_BYTES`. */
export function environmentName(key: string): string {
  return PREFIX + key.toUpperCase()
}

/** Throws ConfigError for a value that is not one; its `file` is then `environment`. */
export function readEnvironment(environment: Readonly<Record<string, string | undefined>>): Source {
  const builder = new SourceBuilder('plain')
  const place = { file: 'environment' }
  const set = (name: string, key: SettingKey, raw: string): void => {
    try {
      builder.set(key, raw, place)
    } catch (error) {
      throw error instanceof ConfigError ? error.as(name) : error // by the name it was written with
    }
  }
  const location = environment.MOSQUITTO_PERSISTENCE_LOCATION
  if (location !== undefined) set('MOSQUITTO_PERSISTENCE_LOCATION', 'persistence_location', location)
  for (const key of Object.keys(settings)) {
    const raw = environment[environmentName(key)]
    if (raw !== undefined && isSettingKey(key)) set(environmentName(key), key, raw)
  }
  for (const name of Object.keys(environment)) {
    if (!name.startsWith(PREFIX) || NOT_SETTINGS.test(name)) continue
    const key = name.slice(PREFIX.length).toLowerCase()
    if (isSettingKey(key)) continue
    const near = suggestion(key, Object.keys(settings), environmentName)
    builder.notice(place, `${name} is no setting and is ignored${near === undefined ? '' : `. ${near}`}`)
  }
  return builder.finish()
}
