// Waiting for what no event tells: the state of another process, a counter. Asserts that it comes, never how soon.
import { readdirSync, readFileSync } from 'node:fs'

const pause = () => new Promise((resolve) => setTimeout(resolve, 5))

/** Looks again and again until this holds; fails after so many seconds, saying what it waited for. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, deadline = 15): Promise<void> {
  for (const end = performance.now() + deadline * 1000; !(await holds()); await pause()) {
    if (performance.now() > end) throw new Error(`not within ${deadline} s: ${what}`)
  }
}

/** How many descriptors a process has open. */
export const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** Processor time a process has used, in user space and in the kernel. */
export function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/**
 * Waits until a process has been asleep whenever it was looked at, 30 times on end: one that spins is running, or waiting
 * for a processor, nearly always. However busy the machine is, that tells the two apart, which processor time does not.
 */
export async function untilAsleep(pid: number): Promise<void> {
  let times = 0
  await until(`process ${pid} sleeps`, () => {
    const state = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '')[0]
    times = state === 'S' ? times + 1 : 0
    return times === 30
  })
}
