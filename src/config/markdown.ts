// docs/configuration.md, made from the table. `npm run docs` writes it; a test fails when it is stale.

import { environmentName } from './environment.ts'
import { aliases, bridging, unsupportedKeys } from './mosquitto-keys.ts'
import { listenerSettings, settingGroups } from './schema.ts'
import type { Setting } from './setting.ts'

const INTRODUCTION = `# Configuration

<!-- Made by \`npm run docs\` from src/config/schema.ts. Change it there. -->

Martlet runs without configuration: it then listens on 127.0.0.1 and ::1, port 1883, for clients of this machine only,
and lets them in without a user name (*local only mode*). \`-p PORT\` (repeatable) changes the port of this mode.
As soon as a listener is configured nothing else listens, and anonymous clients need \`allow_anonymous: true\`.

| source | how | |
|---|---|---|
| file | \`--config martlet.yaml\` | \`key: value\` |
| Mosquitto's file | \`-c mosquitto.conf\` | \`key value\`, Mosquitto's syntax; instead of \`--config\` |
| environment | \`MARTLET_<KEY>\`, such as \`MARTLET_MAX_QUEUED_MESSAGES=5000\` | wins over files |
| arguments | \`-p\`, \`-v\`, \`-q\` | win over all |
| API | \`createBroker({ maxQueuedMessages: 5000 })\` | keys in camelCase |

Values: sizes are bytes or have a unit (\`512KiB\`, \`4MiB\`, \`1GiB\`); times are seconds or have one (\`500ms\`, \`10s\`, \`5min\`,
\`2h\`, \`14d\`, \`2w\`, \`6m\`, \`1y\`; as in Mosquitto \`m\` is a month of 30 days). Whatever cannot be used is an error: one
line with file, line, key, value and what would be right, and exit code 3. \`martlet --test-config -c FILE\` checks a file
and starts nothing.

\`\`\`yaml
# martlet.yaml
listeners:
  - port: 1883
  - port: 1884
    host: 127.0.0.1
allow_anonymous: true
max_queued_messages: 5000
persistent_client_expiration: 7d
\`\`\`
`

export function configurationMarkdown(): string {
  const sections = Object.entries(settingGroups).map(([title, table]) => section(title, table, true))
  const listeners = section('Listeners', listenerSettings, false, LISTENERS)
  return [INTRODUCTION, listeners, ...sections, mosquittoSection()].join('\n')
}

const LISTENERS = `Each entry of \`listeners\` in YAML, or \`listener PORT [HOST]\` in mosquitto.conf and the lines after it.
`

function section(
  title: string,
  table: Readonly<Record<string, Setting<unknown>>>,
  inEnvironment: boolean,
  text = '',
): string {
  const entries = Object.entries(table).map(([key, setting]) => entry(key, setting, inEnvironment))
  return [`## ${title}\n`, ...(text === '' ? [] : [text]), ...entries].join('\n')
}

function entry(key: string, setting: Setting<unknown>, inEnvironment: boolean): string {
  const facts = [
    setting.type,
    `default: ${defaultOf(setting)}`,
    ...(setting.range === undefined ? [] : [`${setting.range[0]} to ${setting.range[1]}`]),
    ...(inEnvironment ? [`\`${environmentName(key)}\``] : []),
    ...(setting.reloadable === true ? ['SIGHUP applies it'] : []),
  ]
  const mosquitto =
    setting.mosquitto === undefined
      ? '*Martlet’s own.*'
      : setting.mosquitto === true
        ? '*As in Mosquitto.*'
        : `*${setting.mosquitto}*`
  return `### ${key}\n\n${facts.join(' · ')}\n\n${setting.doc} ${mosquitto}\n`
}

function defaultOf({ default: value, computed, type }: Setting<unknown>): string {
  if (computed !== undefined) return computed
  if (Array.isArray(value)) return value.map((item) => `\`${item}\``).join(', ')
  if (typeof value === 'object') return 'none'
  if (typeof value === 'string') return value === '' ? 'none' : `\`${value}\``
  if (typeof value !== 'number') return `\`${value}\``
  if (type === 'bytes') return bytesText(value)
  if (type === 'seconds' && value >= 86400 && value % 86400 === 0) return `\`${value / 86400}d\``
  return value === 2 ** 31 - 1 ? 'no limit' : `\`${value}\``
}

function bytesText(value: number): string {
  for (const [unit, size] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ] as const) {
    if (value >= size && value % size === 0) return `\`${value / size}${unit}\``
  }
  return `\`${value}\``
}

function mosquittoSection(): string {
  const names = Object.keys(unsupportedKeys)
  const refused = names.filter(
    (name) => unsupportedKeys[name]?.advice !== undefined && unsupportedKeys[name] !== bridging,
  )
  const ignored = names.filter((name) => unsupportedKeys[name]?.advice === undefined)
  const words = (keys: readonly string[]): string =>
    [...keys]
      .sort()
      .map((key) => `\`${key}\``)
      .join(', ')
  return `## mosquitto.conf

The syntax is Mosquitto's: key and value parted by spaces (not tabs), \`#\` is a comment only as the first byte of a line,
integers may be \`0x1f\` or octal, booleans are \`true\`, \`false\`, \`1\` or \`0\`, a text given twice is an error, \`include_dir\`
reads \`*.conf\` of a folder from the main file only. Settings of Martlet's own may be added. Complaints end with
\`Error found at FILE:LINE.\`

Other names: ${Object.entries(aliases)
    .map(([from, to]) => `\`${from}\` is ${to}`)
    .join(', ')}; \`log_type\` sets log_level.

Ignored with a warning: ${words(ignored)}.

Not supported yet, and an error, because something would be missing that the file asks for: ${words(refused)},
\`plugin_opt_…\`, \`auth_opt_…\`, and bridges (\`connection\` and every line of one).
`
}
