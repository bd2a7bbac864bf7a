// Store, then acknowledge, over real sockets: no answer that promises something leaves before the store has it, answers
// keep the order of the packets, and who is promised nothing waits for nobody. The store commits when the test says so.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createBroker, type Martlet } from '../../../src/index.ts'
import { SlowStore } from '../../support/slow-store.ts'
import {
  acknowledgementPacket,
  type ConnectOptions,
  connectPacket,
  DISCONNECT,
  PINGREQ,
  publishPacket,
  RawClient,
  subscribePacket,
  unsubscribePacket,
} from '../raw-client.ts'
import { LogMemory } from '../rig.ts'

interface Setup {
  readonly broker: Martlet
  readonly store: SlowStore
  readonly log: LogMemory
  readonly port: number
  open(version?: 4 | 5): Promise<RawClient>
  /** A client whose CONNACK has come; the store commits by itself meanwhile. */
  connected(options: ConnectOptions, ...packets: readonly Uint8Array[]): Promise<RawClient>
}

async function withBroker(run: (setup: Setup) => Promise<void>): Promise<void> {
  const store = new SlowStore()
  const log = new LogMemory()
  const broker = createBroker({ store, log, sysInterval: 0, maxConnections: 64 })
  const { port } = await broker.listen({ port: 0 })
  const clients: RawClient[] = []
  const open = async (version: 4 | 5 = 4) => {
    const client = await RawClient.open(port, version)
    clients.push(client)
    return client
  }
  const connected = async (options: ConnectOptions, ...packets: readonly Uint8Array[]) => {
    store.automatic = true
    store.release(Infinity)
    const client = await open(options.version)
    client.send(connectPacket(options), ...packets)
    for (let n = 0; n <= packets.length; n++) await client.next()
    store.automatic = false
    return client
  }
  try {
    await run({ broker, store, log, port, open, connected })
  } finally {
    for (const client of clients) client.close()
    store.automatic = true
    store.release(Infinity)
    await broker.close()
  }
}

/** Nothing can have come to `client` that was written before another client's round trip. */
async function assertSilent(setup: Setup, client: RawClient): Promise<void> {
  const other = await setup.open()
  other.send(connectPacket({ clientId: `other-${Math.random()}` }), PINGREQ)
  assert.equal(await other.words(2), ['connack', 'pingresp'])
  other.close()
  assert.equal(client.received, [])
}

const persistent = { clientId: 'p', clean: false } as const

test('the CONNACK of a persistent session waits for the store', () =>
  withBroker(async (setup) => {
    const { store, open } = setup
    const client = await open()
    client.send(connectPacket(persistent))
    await store.commitsWaiting()
    await assertSilent(setup, client)
    store.release()
    assert.is(await client.word(), 'connack')
    assert.equal(
      store.stored.map(({ type }) => type),
      ['session-opened'],
    )
  }))

test('a client with a clean session is answered at once, whatever waits', () =>
  withBroker(async ({ store, open }) => {
    const waiting = await open()
    waiting.send(connectPacket(persistent))
    await store.commitsWaiting()
    const client = await open()
    client.send(
      connectPacket({ clientId: 'clean' }),
      subscribePacket(1, 'a', 2),
      publishPacket('a', 'x', { qos: 2, id: 9 }),
    )
    assert.equal(await client.words(4), ['connack', 'suback 1', 'publish x', 'pubrec 9'])
    client.send(acknowledgementPacket('pubrel', 9), unsubscribePacket(2, 'a'), PINGREQ)
    assert.equal(await client.words(3), ['pubcomp 9', 'unsuback 2', 'pingresp'])
    assert.is(store.waiting, 1)
  }))

const waits: [name: string, before: Uint8Array[], packet: Uint8Array, answer: string][] = [
  ['SUBACK', [], subscribePacket(1, 'a', 1), 'suback 1'],
  ['UNSUBACK', [subscribePacket(1, 'a')], unsubscribePacket(2, 'a'), 'unsuback 2'],
  ['PUBREC', [], publishPacket('b', 'x', { qos: 2, id: 3 }), 'pubrec 3'],
  [
    'PUBACK of a message that a persistent session gets',
    [subscribePacket(1, 'a', 1)],
    publishPacket('a', 'x', { qos: 1, id: 3 }),
    'puback 3',
  ],
  ['PUBACK of a retained message', [], publishPacket('b', 'x', { qos: 1, id: 3, retain: true }), 'puback 3'],
  ['PUBCOMP', [publishPacket('b', 'x', { qos: 2, id: 3 })], acknowledgementPacket('pubrel', 3), 'pubcomp 3'],
]

for (const [name, before, packet, answer] of waits) {
  test(`${name} to a persistent session does not leave before its batch is stored`, () =>
    withBroker(async (setup) => {
      const { store, connected } = setup
      const client = await connected(persistent, ...before)
      client.send(packet)
      await store.commitsWaiting()
      await assertSilentButPublish(setup, client)
      store.release()
      const words = [await client.word()]
      if (words[0] === 'publish x') words[0] = await client.word()
      assert.equal(words, [answer])
    }))
}

/** A delivery may go out at once: it promises nothing. */
async function assertSilentButPublish(setup: Setup, client: RawClient): Promise<void> {
  if (client.received[0]?.cmd === 'publish') client.received.shift()
  const other = await setup.open()
  other.send(connectPacket({ clientId: 'silent-probe' }), PINGREQ)
  assert.equal(await other.words(2), ['connack', 'pingresp'])
  other.close()
  assert.equal(
    client.received.filter(({ cmd }) => cmd !== 'publish'),
    [],
  )
}

test('a PUBACK waits for the store when another client’s session keeps the message', () =>
  withBroker(async (setup) => {
    const { store, connected } = setup
    const absent = await connected(persistent, subscribePacket(1, 'a', 1))
    store.automatic = true
    absent.send(DISCONNECT)
    await absent.untilEnd()
    store.automatic = false
    const publisher = await setup.open()
    publisher.send(connectPacket({ clientId: 'publisher' }))
    await publisher.next()
    publisher.send(publishPacket('a', 'x', { qos: 1, id: 1 }))
    await store.commitsWaiting()
    await assertSilent(setup, publisher)
    store.release(Infinity)
    assert.is(await publisher.word(), 'puback 1')
    assert.ok(store.stored.some(({ type }) => type === 'message-queued'))
  }))

test('[MQTT-4.6.0-2] answers to one client keep the order of its packets; one that need not wait stands behind one that must', () =>
  withBroker(async (setup) => {
    const { store, connected } = setup
    const client = await connected(persistent)
    client.send(
      publishPacket('nobody', '1', { qos: 1, id: 1 }),
      publishPacket('b', '2', { qos: 2, id: 2 }),
      publishPacket('nobody', '3', { qos: 1, id: 3 }),
      subscribePacket(4, 'x'),
      publishPacket('nobody', '5', { qos: 1, id: 5 }),
    )
    await store.commitsWaiting()
    assert.is(await client.word(), 'puback 1')
    await assertSilent(setup, client)
    store.automatic = true
    store.release(Infinity)
    assert.equal(await client.words(4), ['pubrec 2', 'puback 3', 'suback 4', 'puback 5'])
  }))

test('what comes while a commit is under way is stored with the next, and answered with that', () =>
  withBroker(async (setup) => {
    const { store, connected } = setup
    const client = await connected(persistent)
    client.send(subscribePacket(1, 'a'))
    await store.commitsWaiting()
    client.send(subscribePacket(2, 'b'), subscribePacket(3, 'c'))
    await assertSilent(setup, client)
    assert.is(store.waiting, 1)
    store.release()
    assert.is(await client.word(), 'suback 1')
    await store.commitsWaiting()
    assert.is(store.batches.at(-1)?.length, 2)
    await assertSilent(setup, client)
    store.release()
    assert.equal(await client.words(2), ['suback 2', 'suback 3'])
  }))

test('a batch that failed is acknowledged when the store has it after all, and not before', () =>
  withBroker(async (setup) => {
    const { store, log, connected } = setup
    const client = await connected(persistent)
    const other = await connected({ clientId: 'q', clean: false })
    client.send(subscribePacket(1, 'a'))
    await store.commitsWaiting()
    other.send(subscribePacket(2, 'b'))
    await assertSilent(setup, client)
    store.fail()
    // It is asked again and again, with an empty batch behind the one it refused.
    await store.commitsWaiting()
    await assertSilent(setup, client)
    assert.equal(client.received, [])
    store.automatic = true
    store.release(Infinity)
    assert.is(await client.word(), 'suback 1')
    assert.is(await other.word(), 'suback 2')
    assert.match(log.at('warn')[0]!.message, 'the store failed')
  }))

test('what was collected while a commit failed is committed all the same', () =>
  withBroker(async (setup) => {
    const { store, connected } = setup
    const one = await connected(persistent)
    const two = await connected({ clientId: 'q', clean: false })
    one.send(subscribePacket(1, 'a'))
    await store.commitsWaiting()
    two.send(subscribePacket(2, 'b'))
    await assertSilent(setup, two)
    store.fail()
    await store.commitsWaiting()
    store.automatic = true
    store.release(Infinity)
    assert.is(await two.word(), 'suback 2')
  }))

test('a client that is gone when the store answers costs nobody anything', () =>
  withBroker(async (setup) => {
    const { store, broker, connected } = setup
    const client = await connected(persistent)
    client.send(subscribePacket(1, 'a'))
    await store.commitsWaiting()
    const gone = new Promise<void>((resolve) => broker.on('clientDisconnected', () => resolve()))
    client.socket.resetAndDestroy()
    await gone
    store.automatic = true
    store.release(Infinity)
    const again = await setup.open()
    again.send(connectPacket(persistent))
    const connack = await again.next()
    assert.is(connack.cmd === 'connack' && connack.sessionPresent, true)
  }))

test('[MQTT-3.2.0-1] a client that is taken over before its CONNACK could leave gets it before its DISCONNECT', () =>
  withBroker(async (setup) => {
    const { store, open, broker } = setup
    const told: string[] = []
    broker.on('clientConnected', ({ clientId }) => told.push(`connected ${clientId}`))
    broker.on('clientDisconnected', ({ clientId }) => told.push(`disconnected ${clientId}`))
    const ofClient = () => told.filter((line) => line.endsWith(' p'))
    const first = await open(5)
    first.send(connectPacket({ clientId: 'p', version: 5, expiry: 100, clean: false }))
    await store.commitsWaiting()
    const second = await open(5)
    second.send(connectPacket({ clientId: 'p', version: 5, expiry: 100, clean: false }))
    await assertSilent(setup, second)
    store.automatic = true
    store.release(Infinity)
    assert.equal(await first.untilEnd(), ['connack', 'disconnect'])
    assert.is(await second.word(), 'connack')
    assert.equal(ofClient(), ['connected p'], 'who never got its CONNACK in time was never there')
  }))

test('CONNECT, SUBSCRIBE, PUBLISH and FIN in one segment: everything is answered when stored, then FIN', () =>
  withBroker(async (setup) => {
    const { store, open } = setup
    const client = await open()
    client.sendAndEnd(connectPacket(persistent), subscribePacket(1, 'a'), publishPacket('b', 'x', { qos: 2, id: 2 }))
    await store.commitsWaiting()
    await assertSilent(setup, client)
    store.automatic = true
    store.release(Infinity)
    assert.equal(await client.untilEnd(), ['connack', 'suback 1', 'pubrec 2'])
  }))

test('the end of a clean client waits for no commit that was over before', () =>
  withBroker(async (setup) => {
    const { store, connected } = setup
    const clean = await connected({ clientId: 'clean', version: 5 })
    const keeper = await connected(persistent)
    store.automatic = true
    keeper.send(subscribePacket(1, 'a'))
    await keeper.next()
    store.automatic = false
    // A Remaining Length of five bytes: no packet is handled, the end comes from the reactor.
    clean.send(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 1]))
    assert.equal(await clean.untilEnd(), ['disconnect'])
  }))

test('close waits for the store, and tells clean clients at once', () =>
  withBroker(async (setup) => {
    const { store, broker, connected } = setup
    const clean = await connected({ clientId: 'clean', version: 5 })
    const keeper = await connected({ clientId: 'p', version: 5, expiry: 100, clean: false })
    keeper.send(subscribePacket(1, 'a', 0, 5))
    await store.commitsWaiting()
    let closed = false
    clean.socket.on('end', () => clean.socket.end())
    keeper.socket.on('end', () => keeper.socket.end())
    const closing = broker.close().then(() => {
      closed = true
    })
    assert.equal(await clean.untilEnd(), ['disconnect'])
    assert.is(closed, false)
    assert.equal(keeper.received, [])
    store.automatic = true
    store.release(Infinity)
    assert.equal(await keeper.untilEnd(), ['suback 1', 'disconnect'])
    await closing
    assert.ok(store.stored.some(({ type }) => type === 'session-left'))
  }))

test('[MQTT-3.2.0-1] a PINGREQ sent right behind CONNECT is answered behind CONNACK, not before it', () =>
  withBroker(async (setup) => {
    const { store, open } = setup
    const client = await open()
    client.send(connectPacket(persistent), PINGREQ)
    await store.commitsWaiting()
    await assertSilent(setup, client)
    store.release()
    assert.equal(await client.words(2), ['connack', 'pingresp'])
  }))

test('what a client sends after it was taken over goes nowhere, while its answers wait and although it had a shortcut', () =>
  withBroker(async (setup) => {
    const { store, broker, connected } = setup
    await connected(persistent, subscribePacket(1, 'a', 1))
    const subscriber = await connected({ clientId: 'subscriber' }, subscribePacket(1, 't'))
    const publisher = await connected({ clientId: 'publisher' })
    for (let n = 0; n < 20; n++) {
      publisher.send(publishPacket('t', `${n}`), PINGREQ)
      assert.is(await publisher.word(), 'pingresp')
      assert.is(await subscriber.word(), `publish ${n}`)
    }
    assert.ok(broker.counters.shortcuts > 0, 'no shortcut was taken')
    publisher.send(publishPacket('a', 'kept', { qos: 1, id: 1 }))
    await store.commitsWaiting()
    const gone = new Promise<void>((resolve) => broker.on('clientDisconnected', () => resolve()))
    const second = await setup.open()
    second.send(connectPacket({ clientId: 'publisher' }))
    await gone
    publisher.send(publishPacket('t', 'too late'))
    // It is read: the broker has taken the bytes when a later round trip of the same turn is over.
    while (broker.counters.bytesReceived < publisher.socket.bytesWritten) await assertSilent(setup, subscriber)
    await assertSilent(setup, subscriber)
    store.automatic = true
    store.release(Infinity)
    assert.is(await publisher.word(), 'puback 1')
  }))

test.run()
