// What systemd and the broker tell each other: sockets that were opened for us (LISTEN_FDS), and how we are (NOTIFY_SOCKET).
// Without systemd nothing of this does anything.
import { loadAddon } from '../net/reactor.ts'

type Environment = Readonly<Record<string, string | undefined>>

const FIRST_DESCRIPTOR = 3

/** The descriptors that systemd passed under this name (FileDescriptorName); none when they are not meant for us. */
export function activatedDescriptors(
  name: string,
  environment: Environment = process.env,
  pid: number = process.pid,
): number[] {
  if (Number(environment.LISTEN_PID) !== pid) return []
  const count = Number(environment.LISTEN_FDS)
  const names = (environment.LISTEN_FDNAMES ?? '').split(':')
  const descriptors = Array.from({ length: Number.isInteger(count) ? count : 0 }, (_, index) => index)
  return descriptors.filter((index) => (names[index] || 'unknown') === name).map((index) => index + FIRST_DESCRIPTOR)
}

/** Tells systemd how the service is, and that it lives: `READY=1`, `STOPPING=1`, `WATCHDOG=1` at half its deadline. */
export class ServiceNotifier {
  readonly #socket: string | undefined
  readonly #watchdog: number
  #timer: NodeJS.Timeout | undefined

  constructor(environment: Environment = process.env, pid: number = process.pid) {
    this.#socket = environment.NOTIFY_SOCKET
    const ours = environment.WATCHDOG_PID === undefined || Number(environment.WATCHDOG_PID) === pid
    this.#watchdog = ours ? Number(environment.WATCHDOG_USEC ?? 0) / 1000 : 0
  }

  ready(): void {
    this.#tell('READY=1')
    if (!(this.#watchdog > 0) || this.#socket === undefined) return
    this.#timer = setInterval(() => this.#tell('WATCHDOG=1'), this.#watchdog / 2)
    this.#timer.unref()
  }

  stopping(): void {
    clearInterval(this.#timer)
    this.#tell('STOPPING=1')
  }

  // A notification that is lost is no reason to stop serving: systemd has its own deadlines for it.
  #tell(text: string): void {
    if (this.#socket !== undefined) loadAddon().sendDatagram(this.#socket, text)
  }
}
