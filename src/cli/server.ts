// The door to src/server/: what the command needs of a running server. Loaded when it is needed, so that --help, --version
// and --test-config work (and are fast) without the native addon.

import type { Configuration } from '../config/configuration.ts'
import type { Logger } from '../telemetry/log.ts'

export interface RunningServer {
  /** Every socket, for the banner. */
  readonly everyAddress: readonly { readonly host: string; readonly port: number }[]
  /** Finishes every client and closes every handle. */
  close(): Promise<void>
  /** SIGHUP: takes over the settings that are `reloadable`. */
  reload?(configuration: Configuration): void
}

export type StartServer = (configuration: Configuration, log: Logger) => Promise<RunningServer>

export const startServer: StartServer = async (configuration, log) => {
  const server = await import('../server/server.ts')
  return await server.startServer(configuration, log)
}
