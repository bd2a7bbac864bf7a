// The environment: MARTLET_<KEY>, such as MARTLET_MAX_QUEUED_MESSAGES=5000, for every setting of the whole broker.
// Listeners are not there: they are a list. A name that means nothing is told, not refused, because Kubernetes
// invents MARTLET_PORT and its kind for a service called martlet.

import type { Source } from './configuration.ts'
import { settings } from './schema.ts'
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
  const location = environment.MOSQUITTO_PERSISTENCE_LOCATION
  if (location !== undefined) builder.set('persistence_location', location, place)
  for (const key of Object.keys(settings)) {
    const raw = environment[environmentName(key)]
    if (raw !== undefined && isSettingKey(key)) builder.set(key, raw, place)
  }
  for (const name of Object.keys(environment)) {
    if (!name.startsWith(PREFIX) || NOT_SETTINGS.test(name)) continue
    if (!isSettingKey(name.slice(PREFIX.length).toLowerCase()))
      builder.notice(place, `${name} is no setting and is ignored`)
  }
  return builder.finish()
}
