// A backend whose code goes wrong where nobody listens, as a database client does when its connection breaks.
import { createRequire } from 'node:module'

type Methods = Record<string, (...args: unknown[]) => unknown>

export default function stray(): unknown {
  const memory = (createRequire(import.meta.url)('aedes-persistence') as () => Methods)()
  const add = memory.addSubscriptions!.bind(memory)
  memory.addSubscriptions = (...args) => {
    void Promise.reject(new Error('a promise nobody holds'))
    setImmediate(() => {
      throw new Error('an error nobody catches')
    })
    console.error('a word to whom it may concern')
    return add(...args)
  }
  return memory
}
