// A store on an aedes-persistence backend, without a broker: what was committed is read back, half a batch never is, and a
// backend that fails or hangs refuses and comes back. With aedes-persistence itself, and with our own store offered as one.

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AedesPersistence } from '../../src/store/aedes/index.ts'
import { AedesStore } from '../../src/store/aedes-backend/aedes-store.ts'
import { asBackend, type Backend, BackendProblem } from '../../src/store/aedes-backend/backend.ts'
import type { JournalRecord, MessageStored } from '../../src/store/durable-store.ts'
import { StoreError } from '../../src/store/store-error.ts'
import { checkHistories, intercepted, memoryBackend, passOn } from './backend-ground.ts'
import { freshDirectory, opened, publication } from './support.ts'

const CLIENTS = ['a', 'b', 'c'] as const

function session(clientId: string): JournalRecord {
  return { type: 'session-opened', clientId, protocolVersion: 4, expiryInterval: Infinity }
}

/** A QoS 2 publication of `a` to all, retained, as one batch. */
function publicationToAll(message: number): JournalRecord[] {
  const [stored] = publication(message) as [MessageStored]
  const to = { message, qos: 2, retain: false, subscriptionIdentifiers: [] } as const
  return [
    stored,
    ...CLIENTS.map((clientId): JournalRecord => ({ type: 'message-queued', clientId, ...to })),
    { type: 'retained-set', topicName: stored.topicName, message },
    { type: 'inbound-added', clientId: 'a', packetId: message },
  ]
}

test('whatever was committed, and wherever the broker was started again, aedes-persistence gives it back', async () => {
  await checkHistories(async () => {
    const backend = memoryBackend()
    return () => backend
  }, 100)
})

test('whatever was committed, our own store gives it back through the interface of another', async () => {
  await checkHistories(async () => {
    const directory = freshDirectory()
    return () => new AedesPersistence({ directory, durability: 'os' }) as unknown as Backend
  }, 10)
})

test('of a batch that a crash cut anywhere there is nothing, or all of it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 60 }), async (calls) => {
      const memory = memoryBackend()
      let left = Infinity
      const dying = intercepted(memory, (backend, method, args) =>
        left-- > 0 ? passOn(backend, method, args) : new Promise(() => {}),
      )
      const store = await opened(new AedesStore({ backend: dying, patience: 6 }))
      await store.commit(CLIENTS.map(session))
      left = calls
      const committed = new Set<number>()
      for (const message of [1, 2, 3, 4]) {
        await store.commit(publicationToAll(message)).then(
          () => committed.add(message),
          () => {},
        )
      }
      const { recovered } = await opened(new AedesStore({ backend: memory }))
      const known = new Map(recovered.flatMap((one) => (one.type === 'message-stored' ? [[one.message, one]] : [])))
      const queued = (clientId: string): string[] =>
        recovered.flatMap((one) =>
          one.type === 'message-queued' && one.clientId === clientId ? [known.get(one.message)!.topicName] : [],
        )
      const inbound = recovered.flatMap((one) => (one.type === 'inbound-added' ? [`t/${one.packetId}`] : []))
      for (const clientId of CLIENTS) assert.equal(queued(clientId), inbound)
      for (const message of committed) assert.ok(inbound.includes(`t/${message}`))
      await store.close()
    }),
    { numRuns: 50 },
  )
})

test('while the backend fails commits are refused; then everything is stored, before anything newer', async () => {
  const memory = memoryBackend()
  let broken = false
  const backend = intercepted(memory, (target, method, args) => {
    if (broken) return Promise.reject(new Error('connection lost'))
    return passOn(target, method, args)
  })
  const store = await opened(new AedesStore({ backend }))
  await store.commit(CLIENTS.map(session))
  broken = true
  const refusal = await store.commit(publicationToAll(1)).catch((error: unknown) => error)
  assert.instance(refusal, StoreError)
  assert.is((refusal as StoreError).reason, 'device')
  assert.match((refusal as StoreError).message, 'connection lost')
  assert.ok(store.refusal)
  assert.instance(await store.commit([]).catch((error: unknown) => error), StoreError)
  broken = false
  await store.commit([])
  assert.is(store.refusal, undefined)
  await store.commit(publicationToAll(2))
  await store.close()
  const { recovered } = await opened(new AedesStore({ backend: memory }))
  const ids = recovered.flatMap((one) => (one.type === 'inbound-added' ? [one.packetId] : []))
  assert.equal(ids, [1, 2])
  assert.is(recovered.filter(({ type }) => type === 'message-queued').length, 6)
})

test('a backend that does not answer is refused after a while, and what it answers later counts', async () => {
  const answers: (() => void)[] = []
  let isSlow = false
  const backend = intercepted(memoryBackend(), (target, method, args) => {
    if (!isSlow || /stream/i.test(method)) return passOn(target, method, args)
    return new Promise<void>((resolve) => answers.push(resolve)).then(() => passOn(target, method, args))
  })
  const store = await opened(new AedesStore({ backend, patience: 30 }))
  isSlow = true
  const refusal = await store.commit([session('a')]).catch((error: unknown) => error)
  assert.match((refusal as StoreError).message, /no answer/)
  const later = store.commit([])
  isSlow = false
  for (const answer of answers) answer()
  await later
  assert.is(store.refusal, undefined)
  await store.close()
})

test('more than a failing backend may leave waiting is refused as a backlog', async () => {
  let broken = false
  const backend = intercepted(memoryBackend(), (target, method, args) =>
    broken ? Promise.reject(new Error('away')) : passOn(target, method, args),
  )
  const store = await opened(new AedesStore({ backend, maxWaitingBytes: 1000 }))
  await store.commit([session('c')])
  broken = true
  const reasons: string[] = []
  for (let message = 1; message <= 5; message++) {
    const refusal = await store.commit(publication(message, 'c', Buffer.alloc(400))).catch((error: unknown) => error)
    reasons.push((refusal as StoreError).reason)
  }
  assert.equal(reasons, ['device', 'device', 'backlog', 'backlog', 'backlog'])
  broken = false
  await store.close()
})

test('a client that publishes to $martlet/… does not write in our books', async () => {
  const backend = memoryBackend()
  const store = await opened(new AedesStore({ backend }))
  const [stored] = publication(1, 'c', Buffer.from('{}')) as [MessageStored]
  for (const [at, topicName] of ['$martlet/session/evil', '$martlet/commit'].entries()) {
    const message = at + 1
    await store.commit([
      { ...stored, message, topicName },
      { type: 'retained-set', topicName, message },
    ])
  }
  await store.close()
  const { recovered } = await opened(new AedesStore({ backend }))
  const topics = recovered.flatMap((record) => (record.type === 'retained-set' ? [record.topicName] : []))
  assert.equal(topics, ['$martlet/session/evil', '$martlet/commit'])
  assert.is(
    recovered.some(({ type }) => type === 'session-opened'),
    false,
  )
})

test('properties and expiry of retained messages and wills are kept, in mqtt-packet’s form', async () => {
  const backend = memoryBackend()
  const store = await opened(new AedesStore({ backend }))
  // Payload Format Indicator 1, Content Type "x", Correlation Data, two User Properties of one name.
  const properties = Buffer.from('01010300017809000200ff26000161000131260001610001' + '32', 'hex')
  const [stored] = publication(1, 'c', Buffer.from('p')) as [MessageStored]
  const expiresAt = 1_790_000_000_000
  const will = {
    type: 'will-set',
    clientId: 'w',
    topicName: 'gone',
    payload: Buffer.from('!'),
    qos: 1,
    retain: true,
  } as const
  await store.commit([
    { ...stored, properties, expiresAt },
    { type: 'retained-set', topicName: stored.topicName, message: 1 },
    { ...will, username: undefined, delayInterval: 0, expiryInterval: 60, properties, at: undefined },
  ])
  await store.close()
  const { recovered } = await opened(new AedesStore({ backend }))
  const message = recovered.find((record) => record.type === 'message-stored')!
  assert.is(message.expiresAt, expiresAt)
  assert.equal(Buffer.from(message.properties), properties)
  const again = recovered.find((record) => record.type === 'will-set')!
  assert.equal(Buffer.from(again.properties), properties)
  assert.is(again.expiryInterval, 60)
})

test('what has not the methods of version 11 is named as that', () => {
  const problem = (made: unknown): BackendProblem => {
    try {
      asBackend(made)
    } catch (error) {
      if (error instanceof BackendProblem) return error
    }
    throw new Error('it passed')
  }
  assert.match(problem(undefined).message, /no aedes-persistence 11 backend/)
  assert.match(problem({ setup() {}, storeRetained() {} }).message, /createRetainedStream, .* and \d+ more missing/)
})

test.run()
