// Which broker the integration tests judge, and how large they are. Owns the test environment variables:
// MARTLET_TEST_TARGET (martlet, mosquitto), MARTLET_SIZES (default, tiny), MARTLET_LONG, MARTLET_LONG_DIVISOR.
// Knows no broker process and no socket.
import { fileURLToPath } from 'node:url'
import type { test } from 'uvu'

export type Target = 'martlet' | 'mosquitto'

/** The repository's root; this file runs from `dist/test/support/`. */
export const repositoryRoot = fileURLToPath(new URL('../../../', import.meta.url))

export const target: Target = process.env.MARTLET_TEST_TARGET === 'mosquitto' ? 'mosquitto' : 'martlet'

/** Whether the reactor runs with the smallest buffers it accepts, so that every overflow and split happens. */
export const tinySizes = process.env.MARTLET_SIZES === 'tiny'

/** `usual`, or `tiny` when the broker reads 64 bytes at a time and a large test would only take longer. */
export const sized = (usual: number, tiny: number): number => (tinySizes ? tiny : usual)

/** A size of a long test, divided by MARTLET_LONG_DIVISOR (at least 1). */
export const longSize = (full: number): number =>
  Math.max(1, Math.round(full / Number(process.env.MARTLET_LONG_DIVISOR ?? 1)))

export const longTests = process.env.MARTLET_LONG === '1'

/** Whether the addon is the sanitizer build, whose runtime keeps what was freed: how much memory there is then says nothing. */
export const sanitized = process.env.MARTLET_PREBUILD !== undefined

/** Registers one test. */
export type Case = (name: string, run: () => Promise<void> | void) => void

/** For what Martlet promises and Mosquitto does not do: skipped there, with the reason on standard output. */
export const unlessMosquitto = (uvu: typeof test, reason: string): Case =>
  target === 'mosquitto' ? skipped(uvu, `Mosquitto: ${reason}`) : uvu

/** `test.skip` that says why. */
export const skipped =
  (uvu: typeof test, reason: string): Case =>
  (name) => {
    console.log(`skipped: ${name}\n         because: ${reason}`)
    uvu.skip(name)
  }
