// The public API: brokers inside a program. Life and death of a broker, events, publishing as the broker, several brokers
// in one process and one in a worker thread. The hooks are in hooks.test.ts.

import { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ConfigError, type CreateBrokerOptions, createBroker } from '../../src/index.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import { publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot } from '../support/target.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

/** What keeps this process alive, without the pipes and timers that were there before. */
const resources = () =>
  process
    .getActiveResourcesInfo()
    .filter((name) => !/Pipe|TTY|Timeout|Immediate/.test(name))
    .sort()

test('a broker on port 0 serves clients, and tells the port', async () => {
  const { broker, host, port } = await listen()
  assert.ok(port > 0)
  assert.equal(broker.addresses, [{ host, port }])
  const [subscriber, publisher] = [
    await RawClient.connect({ host, port }, { clientId: 's' }),
    await RawClient.connect({ host, port }, { clientId: 'p' }),
  ]
  await subscriber.subscribe(['x', 1])
  await publisher.publish({ topic: 'x', payload: 'y', qos: 1 })
  await subscriber.expectPublish({ topic: 'x', text: 'y', qos: 1 })
})

test('close() ends every connection and leaves no handle open', async () => {
  const before = resources()
  const { broker, ...address } = await listen()
  const clients = []
  for (let n = 0; n < 20; n++) {
    const client = await RawClient.connect(address, { clientId: `${n}` })
    await client.subscribe(['x', 1])
    clients.push(client)
  }
  const silent = await RawClient.dial(address)
  const closed = broker.close()
  for (const client of [...clients, silent]) await client.expectClosed()
  await closed
  closeClients()
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  assert.equal(resources(), before)
})

test('close() of a broker that never listened, twice, and while it closes, is done once', async () => {
  const before = resources()
  const idle = createBroker()
  await idle.close()
  const { broker } = await listen()
  await Promise.all([broker.close(), broker.close()])
  await broker.close()
  assert.equal(resources(), before)
  await broker.listen({ port: 0 }).then(
    () => assert.unreachable('a closed broker listens'),
    () => {},
  )
})

test('close() takes no client that never reads for an excuse', async () => {
  const { broker, ...address } = await listen({ lingerTimeout: 0.2 })
  const deaf = await RawClient.connect(address, { clientId: 'deaf' })
  await deaf.subscribe(['flood', 0])
  deaf.pause()
  for (let n = 0; n < 200; n++) broker.publish({ topic: 'flood', payload: Buffer.alloc(50_000) })
  await broker.close()
})

test('a port in use rejects with EADDRINUSE, and with the one address that is taken', async () => {
  const { port } = await listen()
  const second = createBroker()
  const error = await second.listen({ port }).then(
    () => undefined,
    (reason: NodeJS.ErrnoException & { address?: string; port?: number }) => reason,
  )
  assert.equal([error?.code, error?.address, error?.port], ['EADDRINUSE', '127.0.0.1', port])
  await second.close()
})

test('a setting out of range throws a ConfigError that names it', () => {
  try {
    createBroker({ maxInflightMessages: -1 })
    assert.unreachable('it was accepted')
  } catch (error) {
    assert.instance(error, ConfigError)
    assert.match((error as Error).message, /max_?inflight_?messages/i)
  }
})

test('two brokers in one process know nothing of each other', async () => {
  const [one, two] = [await listen(), await listen()]
  const subscribers = []
  for (const address of [one, two]) {
    const subscriber = await RawClient.connect(address, { clientId: 'same-id' })
    await subscriber.subscribe(['shared/name', 1])
    subscribers.push(subscriber)
  }
  const publisher = await RawClient.connect(one, { clientId: 'publisher' })
  await publisher.publish({ topic: 'shared/name', payload: 'one', qos: 1, retain: true })
  await subscribers[0]!.expectPublish({ text: 'one' })
  await subscribers[1]!.expectNothing()
  const closed = one.broker.close()
  await subscribers[0]!.expectClosed()
  publisher.destroy()
  await closed
  await subscribers[1]!.expectNothing()
  two.broker.publish({ topic: 'shared/name', payload: 'two' })
  await subscribers[1]!.expectPublish({ text: 'two' })
})

test('twenty brokers one after the other leave nothing behind', async () => {
  const before = resources()
  for (let n = 0; n < 20; n++) {
    const { broker, ...address } = await listen({ maxConnections: 100 })
    const client = await RawClient.connect(address, { clientId: `${n}` })
    client.send(publish({ topic: 'x', payload: 'x', qos: 1, id: 1 }))
    await client.expect('40 02 00 01')
    const closed = broker.close()
    await client.expectClosed()
    await closed
  }
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  assert.equal(resources(), before)
})

const program = `
  import { parentPort } from 'node:worker_threads'
  const { createBroker } = await import(${JSON.stringify(`file://${repositoryRoot}dist/src/index.js`)})
  const broker = createBroker({ maxConnections: 1000, lingerTimeout: 0.2 })
  const { port } = await broker.listen({ port: 0 })
  parentPort.on('message', async () => { await broker.close(); parentPort.postMessage('closed'); parentPort.close() })
  parentPort.postMessage(port)
`
const startWorker = () => new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`))
const nextMessage = (worker: Worker): Promise<unknown> =>
  new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })

test('a broker in a worker thread serves clients beside one in the main thread, and ends with its thread', async () => {
  const main = await listen()
  const worker = startWorker()
  const address = { host: '127.0.0.1', port: (await nextMessage(worker)) as number }
  for (const where of [main, address]) {
    const client = await RawClient.connect(where, { clientId: 'same' })
    await client.subscribe(['w', 0])
    client.send(publish({ topic: 'w', payload: 'w' }))
    await client.expectPublish({ text: 'w' })
  }
  // Listened for early: 'exit' may be emitted in the same tick as the last message.
  const exit = new Promise((resolve) => worker.once('exit', resolve))
  worker.postMessage('close')
  assert.is(await nextMessage(worker), 'closed')
  assert.is(await exit, 0)
})

test('terminating a worker thread with connected clients does not end the process', async () => {
  const worker = startWorker()
  const address = { host: '127.0.0.1', port: (await nextMessage(worker)) as number }
  const client = await RawClient.connect(address, { clientId: 'orphan' })
  await client.subscribe(['w', 0])
  await worker.terminate()
  await client.expectClosed()
})

test('events tell who comes, subscribes, publishes and goes', async () => {
  const { broker, ...address } = await listen()
  const told: string[] = []
  broker.on('clientConnected', ({ clientId, remoteAddress }, present) => {
    told.push(`connected ${clientId} ${/^127\.0\.0\.1:\d+$/.test(remoteAddress)} ${present}`)
  })
  broker.on('subscribed', ({ clientId }, filter, qos) => told.push(`subscribed ${clientId} ${filter} ${qos}`))
  broker.on('unsubscribed', ({ clientId }, filter) => told.push(`unsubscribed ${clientId} ${filter}`))
  broker.on('published', ({ topic, payload, qos, clientId }) =>
    told.push(`published ${clientId} ${topic} ${payload} ${qos}`),
  )
  const gone = new Promise<void>((resolve) => {
    broker.on('clientDisconnected', ({ clientId }) => {
      told.push(`disconnected ${clientId}`)
      resolve()
    })
  })
  const client = await RawClient.connect(address, { clientId: 'c' })
  await client.subscribe(['a/+', 2])
  await client.unsubscribe('a/+')
  await client.publish({ topic: 'a/b', payload: 'p', qos: 1 })
  await client.disconnect()
  await gone
  assert.equal(told, [
    'connected c true false',
    'subscribed c a/+ 2',
    'unsubscribed c a/+',
    'published c a/b p 1',
    'disconnected c',
  ])
})

test('publish() reaches subscribers outside of any turn, retains, and says whether anybody listened', async () => {
  const { broker, ...address } = await listen()
  assert.not(broker.publish({ topic: 'from/inside', payload: 'kept', retain: true, qos: 1 }))
  const client = await RawClient.connect(address, { clientId: 'c' })
  await client.subscribe(['from/#', 1])
  await client.expectPublish({ text: 'kept', retain: true, qos: 1 })
  assert.ok(broker.publish({ topic: 'from/inside', payload: Buffer.from('live') }))
  await client.expectPublish({ text: 'live', retain: false, qos: 0 })
  for (const topic of ['', 'a/#', 'a/+/b', 'a\0']) {
    assert.throws(
      () => broker.publish({ topic, payload: 'x' }),
      (error: Error) => error instanceof TypeError,
    )
  }
  for (let n = 0; n < 1000; n++) broker.publish({ topic: 'from/many', payload: `${n}` })
  for (let n = 0; n < 1000; n++) await client.expectPublish({ text: `${n}` })
})

test('an event listener that throws does not stop the broker', async () => {
  const { broker, ...address } = await listen()
  broker.on('published', () => {
    throw new Error('a mistake of the embedding program')
  })
  const faulty = await RawClient.connect(address, { clientId: 'faulty' })
  faulty.send(publish({ topic: 'x', payload: 'x' }))
  const other = await RawClient.connect(address, { clientId: 'other' })
  await other.settled()
})

for (const kept of [3, 1000]) {
  test(`limits are options: a queue of ${kept} keeps the oldest ${kept}, in order; the newest is dropped and counted`, async () => {
    const options: CreateBrokerOptions = { maxQueuedMessages: kept, maxInflightMessages: 1 }
    const { broker, ...address } = await listen(options)
    const away = await RawClient.connect(address, { clientId: 'away', clean: false })
    await away.subscribe(['q', 2])
    await away.disconnect()
    for (let n = 0; n < kept + 100; n++) broker.publish({ topic: 'q', payload: `${n}`, qos: n % 2 ? 1 : 2 })
    assert.equal(
      { ...broker.droppedFor('away') },
      { queueFull: 100, outputFull: 0, tooLarge: 0, expired: 0, memory: 0 },
    )
    const back = await RawClient.connect(address, { clientId: 'away', clean: false })
    const received = (await back.receiveAll()).map(({ text }) => Number(text))
    assert.equal(received, [...Array(kept).keys()])
  })
}

test('`await using` closes the broker', async () => {
  const before = resources()
  const { broker, ...address } = await listen()
  const client = await RawClient.connect(address, { clientId: 'c' })
  const closed = broker[Symbol.asyncDispose]()
  await client.expectClosed()
  await closed
  closeClients()
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  assert.equal(resources(), before)
})

test.run()
