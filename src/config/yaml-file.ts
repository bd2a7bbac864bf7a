// martlet.yaml: a mapping of settings, and `listeners`, a list of mappings. Every complaint names the line.

import { readFileSync } from 'node:fs'
import { isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, type YAMLMap } from 'yaml'
import { ConfigError, type Place } from './config-error.ts'
import type { Source } from './configuration.ts'
import { unsupported } from './mosquitto-keys.ts'
import { suggestion } from './names.ts'
import { listenerSettings, settings } from './schema.ts'
import { isListenerSettingKey, isSettingKey, SourceBuilder } from './source-builder.ts'

/** Reads a YAML file. Throws ConfigError when it cannot be read or used. */
export function readYamlFile(file: string): Source {
  return parseYaml(readConfigurationFile(file), file)
}

/** The text of a configuration file. Throws ConfigError. */
export function readConfigurationFile(file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (error) {
    const problem =
      error instanceof TypeError ? 'it is not valid UTF-8' : `it cannot be read (${(error as Error).message})`
    throw new ConfigError({ place: { file }, problem })
  }
}

export function parseYaml(text: string, file: string): Source {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, schema: 'core' })
  const fault = document.errors[0] ?? document.warnings[0]
  if (fault !== undefined) {
    const place = { file, line: lines.linePos(fault.pos[0]).line }
    if (fault.code === 'DUPLICATE_KEY') {
      const key = /^[\w-]*/.exec(text.slice(fault.pos[0]))![0]
      throw new ConfigError({ place, key, problem: 'it is there already, further up' })
    }
    const problem =
      fault.code === 'MULTIPLE_DOCS' ? 'a file with one document, without `---`, is wanted' : fault.message
    throw new ConfigError({ place, problem: problem.replace(/\.$/, '') })
  }
  const placeOf = (node: unknown): Place => {
    const offset = (node as Node | null)?.range?.[0]
    return { file, line: offset === undefined ? 1 : lines.linePos(offset).line }
  }
  const builder = new SourceBuilder('plain')
  if (document.contents === null) return builder.finish()
  const top = mapOf(document.contents, placeOf(document.contents), 'settings, one `key: value` a line, are wanted')
  for (const { key, value, place } of entriesOf(top, placeOf)) {
    if (key === 'listeners') readListeners(value, place, placeOf, builder)
    else if (isSettingKey(key)) builder.set(key, plain(value), place)
    else unknownKey(key, place, ['listeners', ...Object.keys(settings)], isListenerSettingKey(key) ? OF_A_LISTENER : '')
  }
  return builder.finish()
}

function readListeners(value: unknown, place: Place, placeOf: (node: unknown) => Place, builder: SourceBuilder): void {
  if (!isSeq(value))
    throw new ConfigError({ place, key: 'listeners', problem: 'a list is wanted, such as `- port: 1883`' })
  builder.beginListeners()
  for (const item of value.items) {
    const listener = mapOf(item, placeOf(item), 'a listener with a port is wanted, such as `- port: 1883`')
    const draft = builder.addListener()
    for (const { key, value, place } of entriesOf(listener, placeOf)) {
      if (!isListenerSettingKey(key)) {
        unknownKey(key, place, Object.keys(listenerSettings), isSettingKey(key) ? OF_THE_BROKER : '')
      }
      builder.setListener(draft, key, plain(value), place)
    }
  }
}

function entriesOf(map: YAMLMap, placeOf: (node: unknown) => Place): { key: string; value: unknown; place: Place }[] {
  return map.items.map(({ key, value }: Pair) => ({ key: String(plain(key)), value, place: placeOf(key) }))
}

function mapOf(node: unknown, place: Place, problem: string): YAMLMap {
  if (isMap(node)) return node
  throw new ConfigError({ place, problem })
}

function plain(node: unknown): unknown {
  if (isScalar(node)) return node.value
  if (isSeq(node)) return node.items.map(plain)
  return isMap(node) ? node.toJSON() : node
}

const OF_A_LISTENER = 'It is a setting of a listener: put it under `listeners:`, behind a `- port: 1883`.'
const OF_THE_BROKER = 'It holds for all listeners: put it at the beginning of a line, outside of `listeners:`.'

/** `misplaced`: what to say of a key that belongs elsewhere; empty if it belongs nowhere. */
function unknownKey(key: string, place: Place, keys: readonly string[], misplaced: string): never {
  if (misplaced !== '') throw new ConfigError({ place, key, problem: 'it cannot stand here', advice: misplaced })
  const theirs = unsupported(key)
  if (theirs !== undefined) {
    const advice = theirs.advice ?? `Remove the line: ${theirs.ignored}.`
    throw new ConfigError({ place, key, problem: 'a setting of Mosquitto', advice })
  }
  throw new ConfigError({ place, key, problem: 'there is no such setting', advice: suggestion(key, keys) })
}
