// Runs the broker as a process: configuration, log, privileges, pid file, signals, exit code.
// Owns the log and the pid file; src/server/ owns everything that serves.

import { unlinkSync, writeFileSync } from 'node:fs'
import { type Configuration, hardDescriptorLimit } from '../config/configuration.ts'
import { changesBetween } from '../config/reload.ts'
import { loadAddon } from '../net/reactor.ts'
import { listenerRules } from '../server/listener-rules.ts'
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
const ENDING = ['SIGTERM', 'SIGINT'] as const
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
    const { text, exitCode } = startFailure(error, loaded?.configuration.listeners ?? [])
    process.stderr.write(`${text}\n`)
    // Where the log is a file, the reason must stand there too.
    if (loaded?.configuration.logDest.some((name) => name.startsWith('file '))) log?.error({}, text)
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
    for (const listener of configuration.listeners) listenerRules(listener)
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
  return openLog({
    level: configuration.logLevel,
    format: configuration.logFormat,
    destinations: configuration.logDest,
    timestamp: configuration.logTimestamp,
  })
}

class Service {
  readonly #options: ServeOptions
  readonly #log: RootLogger
  readonly #notices: readonly string[]
  #configuration: Configuration
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
    const server = await this.#started(start)
    // Before anybody can learn that we are there: who reads the banner or the pid file may send a signal at once.
    const stopped = this.#signals(server)
    if (pidFile !== '') writeFileSync(pidFile, `${process.pid}\n`)
    const { addresses } = server
    const descriptors = hardDescriptorLimit()
    this.#log.info({}, banner({ version, addresses, pid: process.pid, descriptors, localOnly }))
    tellParent({ ready: true })
    await stopped
    if (pidFile !== '') removePidFile(pidFile)
    await this.#log.close()
    endQuietly()
    return ExitCode.Fine
  }

  /** A store of some size takes its time to be read: a signal need not wait for that, there is nothing to close yet. */
  async #started(start: StartServer): Promise<RunningServer> {
    const end = (signal: NodeJS.Signals): void => this.#exitNow(`${signal} before it had started: ending at once`)
    for (const signal of ENDING) process.once(signal, end)
    try {
      return await start(this.#configuration, this.#log)
    } finally {
      for (const signal of ENDING) process.off(signal, end)
    }
  }

  /** Resolves when a signal has closed the server. */
  #signals(server: RunningServer): Promise<void> {
    process.on('SIGHUP', () => this.#reload(server))
    // Node would open its debugger at SIGUSR1, and SIGUSR2 would end the process. Mosquitto's meaning has no equal here.
    for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) {
      process.on(signal, () => this.#log.info({ signal }, 'signal ignored'))
    }
    return new Promise((settle) => {
      for (const signal of ENDING) {
        process.on(signal, () => {
          if (this.#closing) return this.#exitNow('a second signal: ending at once')
          this.#closing = true
          this.#log.info({ signal }, 'closing')
          const deadline = setTimeout(() => this.#exitNow('closing took too long: ending at once'), CLOSE_DEADLINE)
          server
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
  #reload(server: RunningServer): void {
    this.#log.reopen()
    try {
      const { configuration, notices } = loadConfiguration(this.#options, process.env)
      for (const notice of notices) this.#log.warn({}, notice)
      const { applied, restart } = changesBetween(this.#configuration, configuration)
      this.#log.setLevel(configuration.logLevel)
      if (applied.length > 0) server.reload?.(configuration)
      this.#configuration = configuration
      this.#log.info({ applied }, 'configuration read again')
      if (restart.length > 0) this.#log.warn({ settings: restart }, 'these settings have changed and need a restart')
    } catch (error) {
      this.#log.error({}, `${startFailure(error, []).text.replaceAll('\n', ' ')} The running configuration stays.`)
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
