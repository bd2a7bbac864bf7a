import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { storeContract } from './contract.ts'

storeContract('MemoryStore', () => {
  const store = new MemoryStore()
  return { store, next: () => store }
})

test('the memory store says that nobody needs to wait for it', () => {
  assert.is(new MemoryStore().volatile, true)
})

test.run()
