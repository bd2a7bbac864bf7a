// Runs the broker as a process: configuration, log, privileges, pid file, signals, exit code.
// Owns the log and the pid file; src/server/ owns everything that serves.

import { unlinkSync, writeFileSync } from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import { type Configuration, hardDescriptorLimit } from '../config/configuration.ts'
import { changesBetween, reloaded } from '../config/reload.ts'
import type { SettingKey } from '../config/schema.ts'
import { loadAddon } from '../net/reactor.ts'
import { checkListener } from '../server/listener-rules.ts'
import { backendFile } from '../server/open-store.ts'
import { openLog, type RootLogger } from '../telemetry/log.ts'
import type { ServeOptions } from './arguments.ts'
import { banner } from './banner.ts'
import { tellParent } from './daemon.ts'
import { ExitCode } from './exit-code.ts'
import { type LoadedConfiguration, loadConfiguration } from './load-configuration.ts'
import { becomeUser } from './privileges.ts'
import { type RunningServer, type StartServer, startServer } from './server.ts'
import { startFailure } from './start-failure.ts'

/** After this long (ms) the process ends, whatever is still open: SIGTERM promises 5 s. */
const CLOSE_DEADLINE = 4800
/** What may still run when everything is closed (ms): more is a leak, told and cut off. */
const QUIET_EXIT = 200

/** Serves until a signal says stop. Resolves to the exit code. Tests pass a server of their own. */
export async function serve(options: ServeOptions, version: string, start: StartServer = startServer): Promise<number> {
  let loaded: LoadedConfiguration | undefined
  let log: RootLogger | undefined
  try {
    loaded = loadConfiguration(options, process.env)
    log = openConfiguredLog(loaded.configuration)
    return await new Service(options, loaded, log).run(version, start)
  } catch (error) {
    const { text, exitCode } = startFailure(located(error, loaded), loaded?.configuration.listeners ?? [])
    process.stderr.write(`${text}\n`)
    // Where the log is a file, the reason must stand there too.
    if (loaded?.configuration.logDest.some((name) => name.startsWith('file ')))
      log?.error({}, text.replaceAll('\n', ' '))
    await log?.close()
    tellParent({ failed: text, exitCode })
    return exitCode
  }
}

/** `--test-config`. */
export function testConfiguration(options: ServeOptions): ExitCode {
  if (options.configFile === undefined && options.config === undefined) {
    process.stderr.write('Error: --test-config needs a configuration file (-c FILE or --config FILE).\n')
    return ExitCode.Invalid
  }
  try {
    const { configuration, notices } = loadConfiguration(options, process.env)
    for (const listener of configuration.listeners) checkListener(listener)
    backendFile(configuration)
    for (const notice of notices) process.stderr.write(`Warning: ${notice}\n`)
    process.stdout.write('Configuration file is OK.\n')
    return ExitCode.Fine
  } catch (error) {
    const { text, exitCode } = startFailure(error, [])
    process.stderr.write(`${text}\n`)
    return exitCode
  }
}

function openConfiguredLog(configuration: Configuration): RootLogger {
  try {
    return openLog({
      level: configuration.logLevel,
      format: configuration.logFormat,
      destinations: configuration.logDest,
      timestamp: configuration.logTimestamp,
    })
  } catch (error) {
    const { path, message } = error as NodeJS.ErrnoException
    const problem = `the log file cannot be opened (${message})`
    throw new ConfigError({ key: 'log_dest', value: `file ${path}`, problem })
  }
}

/** A complaint about a setting, with the place where it was written. */
function located(error: unknown, loaded: LoadedConfiguration | undefined): unknown {
  return error instanceof ConfigError ? error.at(loaded?.configuration.places.get(error.key as SettingKey)) : error
}

class Service {
  readonly #options: ServeOptions
  readonly #log: RootLogger
  readonly #notices: readonly string[]
  /** What runs, whatever the file says by now. */
  #configuration: Configuration
  /** Undefined until it serves. */
  #server: RunningServer | undefined
  #closing = false

  constructor(options: ServeOptions, loaded: LoadedConfiguration, log: RootLogger) {
    this.#options = options
    this.#configuration = loaded.configuration
    this.#notices = loaded.notices
    this.#log = log
  }

  async run(version: string, start: StartServer): Promise<number> {
    const { user, pidFile, localOnly } = this.#configuration
    for (const notice of this.#notices) this.#log.warn({}, notice)
    if (user !== '') becomeUser(user)
    process.on('uncaughtException', (err) => this.#crash(err))
    // Before all that takes time: reading a large store back may take long enough to be stopped, and the first process of a
    // container, which has no handler of its own, would not hear the signal at all.
    const stopped = this.#signals()
    const server = await start(this.#configuration, this.#log)
    this.#server = server
    if (pidFile !== '') await this.#writePidFile(pidFile, server)
    const { everyAddress: addresses } = server
    const descriptors = hardDescriptorLimit()
    this.#log.info({}, banner({ version, addresses, pid: process.pid, descriptors, localOnly }))
    tellParent({ ready: true })
    await stopped
    if (pidFile !== '') removePidFile(pidFile)
    await this.#log.close()
    endQuietly()
    return ExitCode.Fine
  }

  /** Resolves when a signal has closed the server. */
  #signals(): Promise<void> {
    process.on('SIGHUP', () => this.#reload())
    // Node would open its debugger at SIGUSR1, and SIGUSR2 would end the process. Mosquitto's meaning has no equal here.
    for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) {
      process.on(signal, () => this.#log.info({ signal }, 'signal ignored'))
    }
    return new Promise((settle) => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        process.on(signal, () => {
          // What was read back so far is on disk as it was: there is nothing to finish.
          if (this.#server === undefined) return this.#exitNow(`${signal} during the start: ending at once`)
          if (this.#closing) return this.#exitNow('a second signal: ending at once')
          this.#closing = true
          this.#log.info({ signal }, 'closing')
          const deadline = setTimeout(() => this.#exitNow('closing took too long: ending at once'), CLOSE_DEADLINE)
          this.#server
            .close()
            .catch((err: unknown) => this.#log.error({ err }, 'closing failed'))
            .finally(() => {
              clearTimeout(deadline)
              settle()
            })
        })
      }
    })
  }

  /** A new configuration that cannot be used leaves the running one in force (Mosquitto ends the broker instead). */
  #reload(): void {
    const server = this.#server
    if (server === undefined) {
      this.#log.info({ signal: 'SIGHUP' }, 'signal ignored during the start')
      return
    }
    this.#log.reopen()
    try {
      const { configuration, notices } = loadConfiguration(this.#options, process.env)
      for (const notice of notices) this.#log.warn({}, notice)
      const { applied, restart } = changesBetween(this.#configuration, configuration)
      this.#log.setLevel(configuration.logLevel)
      if (applied.length > 0) server.reload?.(configuration)
      this.#configuration = reloaded(this.#configuration, configuration)
      this.#log.info({ applied }, 'configuration read again')
      if (restart.length > 0) this.#log.warn({ settings: restart }, 'these settings have changed and need a restart')
    } catch (error) {
      this.#log.error({}, `${startFailure(error, []).text.replaceAll('\n', ' ')} The running configuration stays.`)
    }
  }

  async #writePidFile(file: string, server: RunningServer): Promise<void> {
    try {
      writeFileSync(file, `${process.pid}\n`)
    } catch (error) {
      await server.close()
      const problem = `it cannot be written (${(error as Error).message})`
      throw new ConfigError({ key: 'pid_file', value: file, problem })
    }
  }

  #exitNow(why: string): void {
    this.#log.warn({}, why)
    if (this.#configuration.pidFile !== '') removePidFile(this.#configuration.pidFile)
    void this.#log.close().finally(() => endProcess(ExitCode.Fine))
  }

  #crash(err: Error): void {
    this.#log.error({ err }, 'internal error: uncaught exception')
    void this.#log.close().finally(() => process.exit(ExitCode.Failed))
  }
}

function removePidFile(file: string): void {
  try {
    unlinkSync(file)
  } catch {
    // Somebody removed it, or the folder is no longer ours to write in: nothing is lost.
  }
}

/** Everything is closed, so the process ends by itself. If a handle was forgotten, say which kind, and end all the same. */
function endQuietly(): void {
  setTimeout(() => {
    process.stderr.write(`Warning: still open at the end: ${process.getActiveResourcesInfo().join(', ')}\n`)
    endProcess(ExitCode.Fine)
  }, QUIET_EXIT).unref()
}

/** Not by `process.exit`: a write or sync that hangs on a device would keep the process for as long as it hangs. */
function endProcess(code: ExitCode): never {
  return loadAddon().endProcess(code)
}
