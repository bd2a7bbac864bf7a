// A backend that computes for `ms` of solid time in every call that adds a message: for `persistence: aedes:PATH`.
import { createRequire } from 'node:module'

type Methods = Record<string, (...args: unknown[]) => unknown>

export default function busy({ ms }: { ms: number }): unknown {
  const memory = (createRequire(import.meta.url)('aedes-persistence') as () => Methods)()
  const enqueue = memory.outgoingEnqueueCombi!.bind(memory)
  memory.outgoingEnqueueCombi = (...args) => {
    const until = performance.now() + ms
    while (performance.now() < until);
    return enqueue(...args)
  }
  return memory
}
