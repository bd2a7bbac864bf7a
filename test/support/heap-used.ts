// Bytes in V8's heap that something still refers to. Needs no flag on the command line.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

export function heapUsed(): number {
  collect()
  return process.memoryUsage().heapUsed
}
