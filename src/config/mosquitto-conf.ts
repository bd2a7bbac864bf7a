// mosquitto.conf, read by Mosquitto's own rules, odd ones included: key and value are parted by spaces only, `#` is a
// comment only as the first byte of a line, integers are strtol base 0, a text twice is an error.
// Martlet's own settings may stand in it too. Listener lines belong to the last `listener` of the same file.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError, type Place } from './config-error.ts'
import type { Source } from './configuration.ts'
import {
  aliases,
  lastOneWins,
  listenerAliases,
  perListenerThere,
  unsupported,
  unsupportedKeys,
} from './mosquitto-keys.ts'
import { suggestion } from './names.ts'
import { type ListenerSettingKey, listenerSettings, type SettingKey, settings } from './schema.ts'
import { isSettingKey, type ListenerDraft, SourceBuilder } from './source-builder.ts'
import { readConfigurationFile } from './yaml-file.ts'

/** Reads mosquitto.conf and what it includes. Throws ConfigError naming file and line. */
export function readMosquittoConf(file: string): Source {
  const reader = new MosquittoConf()
  reader.readFile(file, 0)
  return reader.finish()
}

/** The same from a text; `include_dir` still reads the disk. */
export function parseMosquittoConf(text: string, file: string): Source {
  const reader = new MosquittoConf()
  reader.readText(text, file, 0)
  return reader.finish()
}

interface Line {
  readonly key: string
  /** The rest of the line, blanks trimmed. */
  readonly rest: string
  readonly place: Place
  /** 0 for the main file, 1 for an included one. */
  readonly level: number
}

/** From most to least talkative: the first that is named sets the level. */
const LOG_TYPES: readonly (readonly [level: string, types: readonly string[]])[] = [
  ['debug', ['all', 'debug', 'internal']],
  ['info', ['information', 'notice']],
  ['warn', ['warning']],
  ['error', ['error']],
  ['silent', ['none']],
]
const OTHER_LOG_TYPES = ['subscribe', 'unsubscribe', 'websockets']
/** `4 MiB`: Martlet's extension, one value of two words. */
const WITH_UNIT = /^\d+(?:\.\d+)? *(?:B|[KMG]iB|ms|min|[shdwmy])$/
/** Everything but the words of `listener` itself. */
const LISTENER_KEYS: ReadonlySet<string> = new Set(
  Object.keys(listenerSettings).filter((key) => key !== 'port' && key !== 'host' && key !== 'socket_path'),
)

const COMMENT = 'a comment begins with # as the first character of its line, as in Mosquitto'

class MosquittoConf {
  readonly #builder = new SourceBuilder('mosquitto')
  readonly #logTypes = new Set<string>()
  /** Made by listener options, `port` and `bind_address` before any `listener`. */
  #defaultListener: ListenerDraft | undefined
  /** `psk_file` is a setting of the whole broker there: the last one serves every listener that has a `psk_hint`. */
  #pskFile: { readonly path: string; readonly place: Place } | undefined
  /** The listener that the lines of the current file speak of. */
  #current: ListenerDraft | undefined

  readFile(file: string, level: number): void {
    this.readText(readConfigurationFile(file), file, level)
  }

  readText(text: string, file: string, level: number): void {
    const outer = this.#current
    this.#current = undefined
    text.split('\n').forEach((raw, index) => {
      const line = lineOf(raw.replace(/\r+$/, ''), { file, line: index + 1 }, level)
      if (line !== undefined) this.#apply(line)
    })
    this.#current = outer
  }

  finish(): Source {
    const type = LOG_TYPES.find(([, types]) => types.some((name) => this.#logTypes.has(name)))
    if (type !== undefined) this.#builder.set('log_level', type[0], { file: 'log_type' })
    if (this.#pskFile !== undefined) this.#sharePskFile(this.#pskFile)
    return this.#builder.finish()
  }

  #sharePskFile({ path, place }: { readonly path: string; readonly place: Place }): void {
    const hinted = this.#builder.listeners.filter((draft) => draft.has('psk_hint'))
    for (const draft of hinted) if (!draft.has('psk_file')) this.#builder.setListener(draft, 'psk_file', path, place)
    if (hinted.length > 0 || this.#builder.listeners.some((draft) => draft.has('psk_file'))) return
    this.#builder.notice(place, 'psk_file is used by listeners with a psk_hint, and there is none')
  }

  #apply(line: Line): void {
    const { key, place } = line
    // A tab is part of the key: the complaint is then about the key, below.
    if (line.rest === '' && !key.includes('\t')) throw new ConfigError({ place, key, problem: 'a value is wanted' })
    const setting = Object.hasOwn(aliases, key) ? aliases[key] : key
    if (key === 'include_dir') this.#include(line)
    else if (key === 'listener') this.#listener(line)
    else if (key === 'port' || key === 'bind_address') this.#deprecatedListener(line)
    else if (Object.hasOwn(listenerAliases, key)) this.#listenerOption(line, listenerAliases[key]!)
    else if (LISTENER_KEYS.has(key)) this.#listenerOption(line, key as ListenerSettingKey)
    else if (key === 'log_type') this.#logType(line)
    else if (key === 'log_dest') this.#logDestination(line)
    else if (setting !== undefined && isSettingKey(setting)) this.#set(line, setting)
    else this.#unsupported(line)
  }

  #set(line: Line, key: SettingKey): void {
    const { place } = line
    const setting = settings[key]
    const isText = setting.type === 'text' || setting.type === 'path'
    if (isText && this.#builder.has(key) && !lastOneWins.has(key)) {
      throw new ConfigError({ place, key: line.key, value: line.rest, problem: 'it is there already: duplicate value' })
    }
    if (perListenerThere.has(key) && this.#current !== undefined) {
      this.#builder.notice(place, `${line.key} holds for all listeners here`)
    }
    const value = isText || WITH_UNIT.test(line.rest) ? line.rest : this.#word(line)
    // "No limit", as Mosquitto has it by default: our own default limit then stays.
    if (value === '-1' && line.key.startsWith('global_max_')) return
    this.#builder.set(key, value, place)
  }

  #listener(line: Line): void {
    const { place, rest } = line
    const [port = '', host] = rest.split(/ +/)
    if (port === '0' && host === undefined) {
      throw new ConfigError({
        place,
        key: 'listener',
        value: rest,
        problem: 'a port from 1 to 65535, or 0 and the path of a Unix socket are wanted',
      })
    }
    if (host?.startsWith('#')) throw new ConfigError({ place, key: 'listener', value: rest, problem: COMMENT })
    this.#current = this.#builder.addListener()
    if (port === '0') {
      this.#builder.setListener(this.#current, 'socket_path', rest.slice(1).trim(), place)
      return
    }
    this.#builder.setListener(this.#current, 'port', port, place)
    if (host !== undefined) this.#builder.setListener(this.#current, 'host', host, place)
  }

  #deprecatedListener(line: Line): void {
    const key = line.key === 'port' ? 'port' : 'host'
    const draft = this.#ofDefaultListener()
    if (key === 'port' && line.rest === '0') {
      throw new ConfigError({ place: line.place, key, value: 0, problem: 'a port from 1 to 65535 is wanted' })
    }
    this.#builder.setListener(draft, key, this.#word(line), line.place)
    this.#builder.notice(line.place, `${line.key} is deprecated: write \`listener PORT [HOST]\``)
  }

  #listenerOption(line: Line, key: ListenerSettingKey): void {
    if (key === 'psk_file') {
      this.#pskFile = { path: line.rest, place: line.place }
      if (this.#current === undefined) return
    }
    if (this.#current === undefined && this.#defaultListener === undefined) {
      this.#builder.notice(line.place, `${key} before any listener: there is now a listener on port 1883`)
    }
    const draft = this.#current ?? this.#ofDefaultListener()
    const setting = listenerSettings[key]
    if (setting.repeatable) {
      const items = [...((draft.get(key) as readonly string[] | undefined) ?? []), line.rest]
      this.#builder.setListener(draft, key, items, line.place)
      return
    }
    const isText = setting.type === 'text' || setting.type === 'path'
    if (isText && draft.has(key)) {
      throw new ConfigError({
        place: line.place,
        key,
        value: line.rest,
        problem: 'it is there already: duplicate value',
      })
    }
    const value = isText ? line.rest : this.#word(line)
    if (key === 'max_connections' && value === '-1') return
    if (line.key === 'enable_proxy_protocol' && value === '2') {
      this.#builder.setListener(draft, key, true, line.place) // both versions are understood
      return
    }
    this.#builder.setListener(draft, key, value, line.place)
  }

  #ofDefaultListener(): ListenerDraft {
    this.#defaultListener ??= this.#builder.addListener()
    return this.#defaultListener
  }

  #logType(line: Line): void {
    const word = this.#word(line)
    if (OTHER_LOG_TYPES.includes(word)) {
      this.#builder.notice(line.place, `log_type ${word} has no lines of its own here and is ignored`)
      return
    }
    if (!LOG_TYPES.some(([, types]) => types.includes(word))) {
      const known = [...LOG_TYPES.flatMap(([, types]) => types), ...OTHER_LOG_TYPES].join(', ')
      throw new ConfigError({ place: line.place, key: 'log_type', value: word, problem: `one of ${known} is wanted` })
    }
    this.#logTypes.add(word)
  }

  #logDestination(line: Line): void {
    const destinations = (this.#builder.get('log_dest') ?? []) as readonly string[]
    let destination = line.rest.startsWith('file ') ? line.rest : this.#word(line)
    if (destination === 'syslog') {
      this.#builder.notice(line.place, 'log_dest syslog is not supported yet; the log goes to stderr')
      destination = 'stderr'
    }
    this.#builder.set('log_dest', [...new Set([...destinations, destination])], line.place)
  }

  #include(line: Line): void {
    const { place, rest, level } = line
    if (level > 0) {
      throw new ConfigError({ place, key: 'include_dir', value: rest, problem: 'an included file cannot include' })
    }
    let names: string[]
    try {
      names = readdirSync(rest)
    } catch (error) {
      const problem = `it cannot be read (${(error as Error).message})`
      throw new ConfigError({ place, key: 'include_dir', value: rest, problem })
    }
    for (const name of names.filter((name) => name.endsWith('.conf')).sort(byMosquittosOrder)) {
      this.readFile(join(rest, name), level + 1)
    }
  }

  #unsupported(line: Line): void {
    const { key, rest, place } = line
    if (key.startsWith('#')) throw new ConfigError({ place, key, problem: COMMENT })
    const rule = unsupported(key)
    if (rule === undefined) {
      const keys = [...Object.keys(settings), ...Object.keys(aliases), ...Object.keys(unsupportedKeys), 'listener']
      const advice = key.includes('\t') ? 'Part key and value by spaces, not by a tab.' : suggestion(key, keys)
      throw new ConfigError({ place, key, problem: 'there is no such setting, in Mosquitto either', advice })
    }
    if (rule.fine?.includes(rest)) return
    if (rule.advice !== undefined) {
      throw new ConfigError({ place, key, value: rest, problem: 'a setting of Mosquitto', advice: rule.advice })
    }
    this.#builder.notice(place, `${key} is ignored: ${rule.ignored}`)
  }

  /** The first word of the value, all that Mosquitto looks at for numbers and booleans. */
  #word(line: Line): string {
    const [word = '', ...more] = line.rest.split(/ +/)
    if (more.length > 0) this.#builder.notice(line.place, `${line.key}: what follows '${word}' is ignored`)
    return word
  }
}

function lineOf(text: string, place: Place, level: number): Line | undefined {
  if (text.startsWith('#')) return undefined
  const parts = /^ *([^ ]+)(.*)$/.exec(text)
  return parts === null ? undefined : { key: parts[1]!, rest: parts[2]!.trim(), place, level }
}

/** Letters without their case first; of two names that differ in case only, the upper one first. */
function byMosquittosOrder(a: string, b: string): number {
  const [lowerA, lowerB] = [a.toLowerCase(), b.toLowerCase()]
  if (lowerA !== lowerB) return lowerA < lowerB ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}
