// Ground for store tests: directories that go away with the process, and records to fill them with.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DurableStore, JournalRecord } from '../../src/store/durable-store.ts'
import { JournalStore, type JournalStoreOptions } from '../../src/store/journal-store.ts'

const ground = mkdtempSync(join(tmpdir(), 'martlet-store-'))
process.on('exit', () => rmSync(ground, { recursive: true, force: true }))

let directories = 0

/** A directory that does not exist yet; removed when the process ends. */
export function freshDirectory(): string {
  return join(ground, String(directories++))
}

export async function allOf(records: AsyncIterable<JournalRecord>): Promise<JournalRecord[]> {
  const all: JournalRecord[] = []
  for await (const record of records) all.push(record)
  return all
}

/** Opens, recovers and closes; returns what was there. */
export async function readBack(
  directory: string,
  options: Partial<JournalStoreOptions> = {},
): Promise<JournalRecord[]> {
  const store = await opened(new JournalStore({ directory, ...options }))
  await store.close()
  return store.recovered
}

/** Opens and recovers; the store comes back with what it recovered. */
export async function opened<S extends DurableStore>(store: S): Promise<S & { recovered: JournalRecord[] }> {
  await store.open()
  return Object.assign(store, { recovered: await allOf(store.recover()) })
}

/** A message and its place in the queue of `clientId`, as one commit. */
export function publication(message: number, clientId = 'c', payload = new Uint8Array(0)): JournalRecord[] {
  return [
    {
      type: 'message-stored',
      message,
      topicName: `t/${message}`,
      payload,
      qos: 1,
      at: 1_790_000_000_000 + message,
      expiresAt: Infinity,
      properties: new Uint8Array(0),
    },
    { type: 'message-queued', clientId, message, qos: 1, retain: false, subscriptionIdentifiers: [] },
  ]
}

export function session(clientId = 'c'): JournalRecord {
  return { type: 'session-opened', clientId, protocolVersion: 5, expiryInterval: Infinity }
}
