// Exit codes, the ones scripts around Mosquitto expect.

export const ExitCode = {
  Fine: 0,
  /** Could not start or go on: port in use, no permission, a bug. */
  Failed: 1,
  /** Wrong arguments or configuration. */
  Invalid: 3,
} as const

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
