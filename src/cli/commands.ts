// The subcommands of `martlet`. A new one is a file in commands/ and a line here.

import { conformance } from './commands/conformance.ts'
import { ping } from './commands/ping.ts'
import { store } from './commands/store.ts'

export interface Command {
  readonly name: string
  /** One line for `martlet --help`. */
  readonly summary: string
  /** Gets the words after its name; returns the exit code. */
  run(args: readonly string[]): Promise<number>
}

export const commands: readonly Command[] = [conformance, ping, store]
