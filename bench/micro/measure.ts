// Times a piece of code within this process, and weighs what it holds. Prints one line for each.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { median } from '../statistics.ts'

const rounds = 7

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/**
 * Prints the median time of one call in nanoseconds. `body` gets how many calls to make and returns something that
 * depends on them, so that the compiler cannot leave them out.
 */
export function time(name: string, calls: number, body: (calls: number) => number): void {
  let kept = body(calls) // warm-up
  const samples: number[] = []
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint()
    kept += body(calls)
    samples.push(Number(process.hrtime.bigint() - start) / calls)
  }
  if (Number.isNaN(kept)) throw new Error(`${name}: the body must return a number`)
  print(name, median(samples)!, 'ns')
}

/** Prints the bytes of heap and of array buffers each of `count` things takes, and returns what `make` made. */
export function weigh<T>(name: string, count: number, make: () => T): T {
  const before = held()
  const made = make()
  print(name, (held() - before) / count, 'bytes')
  return made
}

function held(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function print(name: string, value: number, unit: string): void {
  console.log(`${name.padEnd(66)} ${value.toFixed(1).padStart(9)} ${unit}`)
}
