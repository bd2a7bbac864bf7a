// From arguments to a configuration: which sources there are, and which wins. Used at the start and at SIGHUP.

import { type Configuration, resolveConfiguration, type Source } from '../config/configuration.ts'
import { readEnvironment } from '../config/environment.ts'
import { readMosquittoConf } from '../config/mosquitto-conf.ts'
import { readYamlFile } from '../config/yaml-file.ts'
import type { ServeOptions } from './arguments.ts'

export interface LoadedConfiguration {
  readonly configuration: Configuration
  /** What the operator should know, a line each. */
  readonly notices: readonly string[]
}

/** Reads file and environment anew. Throws ConfigError. */
export function loadConfiguration(
  options: ServeOptions,
  environment: Readonly<Record<string, string | undefined>>,
): LoadedConfiguration {
  const sources = [...fileSources(options), readEnvironment(environment), argumentsSource(options)]
  const configuration = resolveConfiguration(sources)
  const notices = sources.flatMap((source) => source.notices)
  if (options.port.length > 0 && !configuration.localOnly) {
    notices.push('-p has no effect: the configuration has listeners')
  }
  if (!configuration.localOnly) notices.push(...shutOut(configuration))
  return { configuration, notices }
}

/** What leaves a door open that nobody can pass: the log should say so before the first client wonders. */
function shutOut({ listeners, allowAnonymous }: Configuration): string[] {
  if (listeners.length === 0) return ['listeners is empty: nobody can connect']
  if (allowAnonymous || listeners.some((one) => one.useIdentityAsUsername || one.useSubjectAsUsername)) return []
  return ['nobody can connect: allow_anonymous is false, and no listener takes user names from certificates or keys']
}

function fileSources({ configFile, config }: ServeOptions): Source[] {
  if (configFile !== undefined) return [readMosquittoConf(configFile)]
  return config === undefined ? [] : [readYamlFile(config)]
}

function argumentsSource({ port, verbose, quiet }: ServeOptions): Source {
  const level = quiet ? 'silent' : verbose ? 'debug' : undefined
  return {
    values: level === undefined ? new Map() : new Map([['log_level', level]]),
    places: new Map([['log_level', { file: 'arguments' }]]),
    localPorts: port,
    notices: [],
  }
}
