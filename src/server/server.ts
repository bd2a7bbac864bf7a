// The standalone broker: what the `martlet` command starts. Raises the descriptor limit, opens the configured listeners.
import { setFlagsFromString } from 'node:v8'
import type { Configuration } from '../config/configuration.ts'
import { loadAddon } from '../net/reactor.ts'
import type { Logger } from '../telemetry/log.ts'
import { type ListeningAddress, listenAll, Martlet } from './martlet.ts'
import { ServiceNotifier } from './systemd.ts'

export interface Server {
  /** One for each listener. */
  readonly addresses: readonly ListeningAddress[]
  /** Each socket by itself, for the banner. */
  readonly everyAddress: readonly ListeningAddress[]
  /** [soft, hard] RLIMIT_NOFILE, soft already raised to hard. */
  readonly descriptorLimit: readonly [soft: number, hard: number]
  close(): Promise<void>
  /** SIGHUP. */
  reload(configuration: Configuration): void
}

/** Starts the broker. Rejects with the system's error when a listener cannot be opened; nothing stays open then. */
export async function startServer(configuration: Configuration, log: Logger): Promise<Server> {
  const descriptorLimit = loadAddon().raiseDescriptorLimit()
  const martlet = new Martlet({ configuration, log })
  martlet.ref(true)
  try {
    // What a replay makes stays, so a small young generation (bin/martlet.js) is copied thousands of times for nothing:
    // a million messages queued and retained took 36 s of CPU with it, 21 s without.
    setFlagsFromString('--semi-space-growth-factor=2')
    await martlet.open()
    setFlagsFromString('--semi-space-growth-factor=1')
    await listenAll(martlet, configuration.listeners, log)
  } catch (error) {
    await martlet.close()
    throw error
  }
  const service = new ServiceNotifier()
  service.ready()
  const close = (): Promise<void> => {
    service.stopping()
    return martlet.close()
  }
  const { addresses, everyAddress } = martlet
  return { addresses, everyAddress, descriptorLimit, close, reload: () => martlet.reloadCertificates() }
}
