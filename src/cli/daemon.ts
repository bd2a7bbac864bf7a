// `--daemon`: Node cannot fork, so the command starts itself again, detached, and waits until the child says that it
// serves or why it does not. Only then does it end, with the child's exit code.

import { fork } from 'node:child_process'
import { ExitCode } from './exit-code.ts'

/** What the daemon tells its parent, once. */
type DaemonMessage = { readonly ready: true } | { readonly failed: string; readonly exitCode: number }

/** Starts the daemon with the same arguments. Resolves to the exit code of this process. */
export function daemonize(args: readonly string[]): Promise<number> {
  return new Promise((settle) => {
    const child = fork(process.argv[1]!, args, {
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { ...process.env, MARTLET_DAEMON: '1' },
    })
    child.once('message', (message: DaemonMessage) => {
      child.disconnect()
      child.unref()
      if ('ready' in message) return settle(ExitCode.Fine)
      process.stderr.write(`${message.failed}\n`)
      settle(message.exitCode)
    })
    child.once('error', (error) => {
      process.stderr.write(`Error: the daemon did not start: ${error.message}\n`)
      settle(ExitCode.Failed)
    })
    // It ended without a word: stopped during the start, at best.
    child.once('exit', (code) => settle(code === ExitCode.Fine || code === null ? ExitCode.Failed : code))
  })
}

/** In the daemon: tells the parent, which then ends. Without a parent it does nothing. */
export function tellParent(message: DaemonMessage): void {
  if (process.env.MARTLET_DAEMON === undefined || process.send === undefined) return
  process.send(message, undefined, undefined, () => {
    if (process.connected) process.disconnect()
  })
}
