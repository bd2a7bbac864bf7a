// V8's heap, as the memory guard sees it. The only place that asks V8 for a collection, see memory-guard.ts for when.
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export interface Heap {
  /** Bytes the old generation may grow to before V8 ends the process. */
  readonly limit: number
  /** Bytes in use, what is garbage included. */
  used(): number
  /** Collects what is garbage, now. */
  collect(): void
}

/** V8's figure includes three semi-spaces of 16 MiB for the young; what ends the process is the limit of the old. */
const YOUNG = 3 * 16 * 1024 * 1024

let collect: (() => void) | undefined

/** This process's heap; shared with the program that embeds the broker. */
export const v8Heap: Heap = {
  limit: oldLimit(getHeapStatistics().heap_size_limit),
  used: () => getHeapStatistics().used_heap_size,
  collect() {
    if (collect === undefined) {
      setFlagsFromString('--expose-gc')
      collect = runInNewContext('gc') as () => void
    }
    collect()
  },
}

function oldLimit(limit: number): number {
  return Math.max(limit - YOUNG, limit / 2)
}
