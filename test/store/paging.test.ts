// Messages read from disk by their number, wherever they have moved to.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { JournalStore } from '../../src/store/journal-store.ts'
import { freshDirectory, opened, publication, session } from './support.ts'

const COUNT = 2000
const numbers = Array.from({ length: COUNT }, (_, index) => index + 1)

function payload(message: number): Uint8Array {
  return new Uint8Array(300).fill(message)
}

async function filled(directory: string, segmentBytes: number): Promise<JournalStore> {
  const store = await opened(new JournalStore({ directory, segmentBytes }))
  await store.commit([session()])
  for (let message = 1; message <= COUNT; message += 10) {
    const batch = numbers.slice(message - 1, message + 9).flatMap((number) => publication(number, 'c', payload(number)))
    await store.commit(batch)
  }
  return store
}

async function allThere(store: JournalStore): Promise<void> {
  for (const wanted of [numbers.slice(0, 100), numbers.slice(990, 1010), [COUNT], [1500, 3, 700]]) {
    const messages = await store.readMessages(wanted)
    assert.equal(
      messages.map((message) => message?.message),
      wanted,
    )
    for (const message of messages) assert.equal(message?.payload, payload(message!.message))
  }
}

test('a message is found in the open segment, in closed ones, in a checkpoint, and after a restart', async () => {
  const directory = freshDirectory()
  let store = await filled(directory, 1 << 30)
  await allThere(store)
  await store.close()
  store = await opened(new JournalStore({ directory, segmentBytes: 100_000 }))
  await allThere(store)
  await store.close()
})

test('a message is found while and after compaction moves it', async () => {
  const directory = freshDirectory()
  let store = await filled(directory, 100_000)
  for (let round = 0; round < 20; round++) await allThere(store)
  await store.compacted()
  assert.ok(store.metrics.compactions > 0)
  await allThere(store)
  await store.close()
  store = await opened(new JournalStore({ directory }))
  await allThere(store)
  await store.close()
})

test('a message that is not there is undefined', async () => {
  const store = await filled(freshDirectory(), 1 << 30)
  assert.equal(await store.readMessages([COUNT + 1, 10 ** 12]), [undefined, undefined])
  await store.close()
})

test.run()
