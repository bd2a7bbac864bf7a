// aedes-persistence's own suite, all of its 50 tests, on our store. It is written for node:test: the adapter gives it the
// assertions of Node and counts what it planned.

import assert from 'node:assert'
import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import { test } from 'uvu'
import { AedesPersistence } from '../../src/store/aedes/index.ts'
import { freshDirectory } from './support.ts'

interface Context {
  plan(count: number): void
  diagnostic(text: string): void
  readonly assert: object
}

type Suite = (options: {
  test(name: string, body: (t: Context) => Promise<void>): void
  persistence(): unknown
  testAsync: boolean
  buildEmitter(): object
}) => void

const suite = createRequire(import.meta.url)('aedes-persistence/abstract') as Suite

let tests = 0
suite({
  testAsync: true,
  persistence: () => new AedesPersistence({ directory: freshDirectory() }),
  buildEmitter: () => new EventEmitter(),
  test(name, body) {
    tests++
    test(name, async () => {
      let planned: number | undefined
      let made = 0
      const counting = new Proxy(assert, {
        get(target, property) {
          const assertion: unknown = Reflect.get(target, property)
          if (typeof assertion !== 'function') return assertion
          return (...args: unknown[]) => {
            made++
            // Loosely, as node:test does: the suite compares packets with clones that have lost their classes.
            return assertion.apply(target, args)
          }
        },
      })
      await body({
        plan(count) {
          planned = count
        },
        diagnostic() {},
        assert: counting,
      })
      if (planned !== undefined) assert.equal(made, planned, 'as many assertions as planned')
    })
  },
})

test('the suite is the one of 50 tests', () => {
  assert.equal(tests, 50)
})

test.run()
