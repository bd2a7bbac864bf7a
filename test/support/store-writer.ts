// A process that commits numbered messages to a store until it is done, killed or told to stop (its input ends), and says on
// its output what became of each commit: `+ n` stored, `- n reason` refused, and `event …`. Acknowledged is what the
// reader of the output has seen. With a root/acks file the acknowledgements also stand in the log of calls, between the
// calls they came after.
//
//   node store-writer.js DIRECTORY COUNT [key=value …]     keys: segmentBytes durability acks width

import { openSync, writeSync } from 'node:fs'
import type { Durability } from '../../src/store/journal-store.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import type { StoreError } from '../../src/store/store-error.ts'

const [directory = '', count = '0', ...words] = process.argv.slice(2)
const options = Object.fromEntries(words.map((word) => word.split('=') as [string, string]))
const acks = options.acks === undefined ? undefined : openSync(options.acks, 'a')
/** Commits under way at a time. */
const width = Number(options.width ?? 3)

/** At once, also while the reader is behind and the pipe is full: what was said counts as seen. */
function say(line: string): void {
  const bytes = Buffer.from(`${line}\n`)
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(1, bytes, done)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}

const store = new JournalStore({
  directory,
  durability: (options.durability ?? 'fsync') as Durability,
  segmentBytes: Number(options.segmentBytes ?? 32 << 20),
  onEvent: ({ kind, text }) => say(`event ${kind} ${text}`),
})

let stopped = false
process.stdin.on('end', () => {
  stopped = true
})
process.stdin.resume()

await store.open()
for await (const _ of store.recover());
const first = store.newestMessage + 1
if (first === 1)
  await store.commit([{ type: 'session-opened', clientId: 'c', protocolVersion: 5, expiryInterval: Infinity }])

async function commitOne(message: number): Promise<void> {
  const payload = new Uint8Array(message % 97).fill(message)
  const properties = new Uint8Array(0)
  const [topicName, at, expiresAt] = ['t', 1_790_000_000_000, Infinity]
  try {
    await store.commit([
      { type: 'message-stored', message, topicName, payload, qos: 1, at, expiresAt, properties },
      { type: 'message-queued', clientId: 'c', message, qos: 1, retain: false, subscriptionIdentifiers: [] },
    ])
    if (acks !== undefined) writeSync(acks, `${message}\n`)
    say(`+ ${message}`)
  } catch (error) {
    say(`- ${message} ${(error as StoreError).reason}`)
    // Refusals come at once; without a pause this would be a busy loop.
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

let message = first
const end = first + Number(count)
while (!stopped && message < end) {
  const commits = []
  for (let index = 0; index < width && message < end; index++) commits.push(commitOne(message++))
  await Promise.all(commits)
}
await store.compacted()
await store.close()
say('closed')
process.exit(0)
