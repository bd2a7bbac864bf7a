// The public API: brokers inside a program. Life and death of a broker, events, publishing as the broker, several brokers
// in one process. Worker threads and processes are in embedding-ends.test.ts, the hooks in hooks.test.ts.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Router } from '../../src/broker/routing/router.ts'
import { ConfigError, type CreateBrokerOptions, createBroker } from '../../src/index.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import { publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

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

test('options that are none are refused at once, with the key, not when the first client comes', async () => {
  const refusal = (options: object): string => {
    try {
      createBroker(options as never)
    } catch (error) {
      assert.instance(error, ConfigError)
      return (error as Error).message
    }
    return assert.unreachable('it was accepted') as never
  }
  assert.match(refusal({ max_queued_messages: 1 }), /max_queued_messages: .* Did you mean maxQueuedMessages\?/)
  assert.match(refusal({ listeners: [{ port: 1 }] }), /listeners: .*broker\.listen/)
  assert.match(refusal({ port: 1883 }), /port: there is no such option\. It is a listener's: broker\.listen/)
  assert.match(refusal({ authenticate: true }), /authenticate = true: a function is wanted/)
  assert.match(refusal({ log: console.log }), /log: an object with debug, info, warn, error is wanted/)
  assert.match(refusal({ store: {} }), /store: an object with open, recover, commit, close is wanted/)
})

test('a listener with a wrong name or value is refused, not opened without it', async () => {
  const { broker } = await listen()
  const refused = async (options: object, pattern: RegExp): Promise<void> => {
    const error = await broker.listen(options as never).catch((reason: unknown) => reason)
    assert.instance(error, ConfigError)
    assert.match((error as Error).message, pattern)
  }
  await refused({ port: 0, certFile: ['x'] }, /certFile: there is no such option\. Did you mean certfile\?/)
  await refused({ port: '1883x' }, /port = '1883x': an integer from 0/)
  await refused({ port: 0, protocol: 'mqtts' }, /protocol = 'mqtts': one of mqtt/)
  await refused(undefined as never, /listen: an object of options is wanted/)
  assert.is(broker.addresses.length, 1)
})

test('a message that is none is a TypeError that names what is wanted', async () => {
  const { broker } = await listen()
  const wrong = (message: object, pattern: RegExp): void =>
    assert.throws(
      () => broker.publish(message as never),
      (error: Error) => error instanceof TypeError && pattern.test(error.message),
    )
  wrong({ payload: 'x' }, /topic: a string/)
  wrong({ topic: 'a' }, /payload: a string or a Uint8Array/)
  wrong({ topic: 'a', payload: 5 }, /payload/)
  wrong({ topic: 'a', payload: { json: true } }, /payload/)
  wrong({ topic: 'a', payload: 'x', qos: 3 }, /qos: 0, 1 or 2/)
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

test('a bug of our own in the handling of one packet closes that client alone, publishes its will, and is counted', async () => {
  const { broker, ...address } = await listen()
  const other = await RawClient.connect(address, { clientId: 'other' })
  await other.subscribe(['#', 0])
  const will = { topic: 'will', payload: 'gone' }
  const unlucky = await RawClient.connect(address, { clientId: 'unlucky', will })
  const { publish: healthy } = Router.prototype
  Router.prototype.publish = function (publication) {
    if (publication.topic.name === 'bug') throw new TypeError('a bug of our own')
    return healthy.call(this, publication)
  }
  try {
    unlucky.send(publish({ topic: 'before', payload: '1' }), publish({ topic: 'bug', payload: '2', qos: 1, id: 1 }))
    unlucky.send(publish({ topic: 'behind', payload: '3' }))
    await unlucky.expectClosed()
    await other.expectPublish({ topic: 'before' })
    await other.expectPublish({ topic: 'will', text: 'gone' })
    await other.expectNothing()
  } finally {
    Router.prototype.publish = healthy
  }
  assert.equal([broker.counters.internalErrors, broker.counters.clientsConnected], [1, 1])
  await (await RawClient.connect(address, { clientId: 'unlucky' })).publish({ topic: 'bug', payload: 'fixed', qos: 1 })
  await other.expectPublish({ topic: 'bug', text: 'fixed' })
})

test('events are typed: a name or a listener that is wrong does not compile', async () => {
  const broker = createBroker()
  broker.on('published', ({ payload, qos }) => [payload.subarray(0, qos)])
  // @ts-expect-error there is no such event
  broker.on('publish', () => {})
  // @ts-expect-error a filter is a string
  broker.on('subscribed', (_client, filter: number) => filter)
  await broker.close()
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

test('an event listener that throws or rejects does not stop the broker, and is logged', async () => {
  const told: string[] = []
  const say = (fields: Readonly<Record<string, unknown>>): void =>
    void told.push((fields.err as Error | undefined)?.message ?? '')
  const { broker, ...address } = await listen({
    log: { debugging: false, debug() {}, info() {}, warn: say, error: say },
  })
  broker.on('published', () => {
    throw new Error('a mistake of the embedding program')
  })
  broker.on('clientConnected', async () => {
    throw new Error('an asynchronous one')
  })
  const faulty = await RawClient.connect(address, { clientId: 'faulty' })
  faulty.send(publish({ topic: 'x', payload: 'x' }))
  const other = await RawClient.connect(address, { clientId: 'other' })
  await other.settled()
  assert.ok(
    told.includes('a mistake of the embedding program') && told.includes('an asynchronous one'),
    told.join(', '),
  )
})

for (const [kept, given] of [
  [3, { maxQueuedMessages: 3 }],
  [1000, {}],
] as const) {
  test(`limits are options: a queue of ${kept} (1,000 when nothing is said) keeps the oldest ${kept}, in order; the newest is dropped and counted`, async () => {
    const options: CreateBrokerOptions = { ...given, maxInflightMessages: 1 }
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
