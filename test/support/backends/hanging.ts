// A backend that stops answering: once a message for an absent session is added, no call ever resolves; with `spin` it does
// not even return.
import { createRequire } from 'node:module'

type Methods = Record<string, (...args: unknown[]) => unknown>

export default function hanging({ spin = false }: { spin?: boolean }): unknown {
  const memory = (createRequire(import.meta.url)('aedes-persistence') as () => Methods)()
  let isHanging = false
  return new Proxy(memory, {
    get(target, name) {
      const method = Reflect.get(target, name) as unknown
      if (typeof method !== 'function') return method
      return (...args: unknown[]): unknown => {
        if (name === 'outgoingEnqueueCombi') isHanging = true
        if (!isHanging) return method.apply(target, args)
        while (spin);
        return new Promise(() => {})
      }
    },
  })
}
