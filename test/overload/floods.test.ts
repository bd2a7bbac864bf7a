// Too much of everything: topics, subscriptions, retained messages, levels, bytes that wait. What is limited is refused,
// what is not costs memory only while it is there, and a hundred clients that do nothing wrong lose nothing.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { heapUsed } from '../support/heap-used.ts'
import { connect, publish, subscribe, Type } from '../support/packets.ts'
import { connect5, publish5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { until } from '../support/until.ts'
import { underAttack, WellBehaved, warnings } from './well-behaved.ts'

test.after.each(closeClients)

const range = (count: number) => Array.from({ length: count }, (_, n) => n)
const MiB = 1024 * 1024

test('a publisher at full speed does not harm a subscriber with a small window, nor anybody else', async () => {
  await underAttack({ maxInflightMessages: 20, maxQueuedMessages: 1000 }, async (target) => {
    const subscriber = await RawClient.connect(target, { clientId: 'narrow' })
    await subscriber.subscribe(['fast', 1])
    const publisher = await RawClient.connect(target, { clientId: 'fast' })
    const count = 3000
    const payload = Buffer.alloc(1000)
    for (let n = 1; n <= count; n++) {
      publisher.send(publish({ topic: 'fast', payload, qos: 1, id: ((n - 1) % 65_535) + 1 }))
      if (n % 1000 === 0) for (let answers = 0; answers < 1000; answers++) await publisher.expectPacket('PUBACK')
    }
    const { counters } = target.broker
    const received = (await subscriber.receiveAll()).length
    assert.is(received + counters.droppedQueueFull, count)
    assert.is(counters.messagesQueued, 0)
  })
})

const topics = 20_000
test(`${topics} distinct topics leave no memory behind`, async () => {
  await underAttack({}, async (target) => {
    const publisher = await RawClient.connect(target, { clientId: 'unique' })
    const subscriber = await RawClient.connect(target, { clientId: 'sees-some' })
    await subscriber.subscribe(['u/+/7', 0])
    let sent = 0
    const flood = async (count: number) => {
      for (const end = sent + count; sent < end; ) {
        const batch = range(Math.min(5000, end - sent)).map((n) =>
          publish({ topic: `u/${sent + n}/${sent % 10}`, payload: 'x' }),
        )
        sent += batch.length
        publisher.send(...batch)
        await publisher.settled()
      }
      await subscriber.receiveAll()
    }
    await flood(topics / 2)
    const before = heapUsed()
    await flood(topics / 2)
    const growth = heapUsed() - before
    assert.ok(growth < 4 * MiB, `${growth} bytes more`)
  })
})

const subscriptions = 5000
test(`${subscriptions} subscriptions of one client, and it goes`, async () => {
  await underAttack({ maxSubscriptionsPerClient: subscriptions }, async (target) => {
    const hog = await RawClient.connect(target, { clientId: 'hog' })
    for (let from = 0; from < subscriptions; from += 500) {
      hog.send(subscribe(1, ...range(500).map((n): [string, number] => [`hog/${from + n}/+`, 0])))
      await hog.expectPacket('SUBACK')
    }
    hog.send(subscribe(1, ['hog/one/more', 0]))
    await hog.expect('90 03 00 01 80')
    assert.is(target.broker.counters.subscriptionsRefused, 1)
    assert.ok(warnings(target.log, 'subscription refused').length > 0)
    const other = await RawClient.connect(target, { clientId: 'other' })
    other.send(publish({ topic: `hog/${subscriptions - 1}/x`, payload: 'found' }))
    await hog.expectPublish({ text: 'found' })
    await hog.disconnect()
    await other.publish({ topic: 'hog/1/x', payload: 'x', qos: 1 })
    await until('its subscriptions are gone', () => target.broker.counters.clientsConnected === 101)
  })
})

const retained = 4000
test(`${retained} retained messages for one subscriber to #, who reads slowly`, async () => {
  await underAttack({ maxRetainedMessages: retained, sysInterval: 0 }, async (target) => {
    const publisher = await RawClient.connect(target, { clientId: 'retains' })
    for (let from = 0; from <= retained; from += 1000) {
      publisher.send(...range(1000).map((n) => publish({ topic: `r/${from + n}`, payload: 'kept', retain: true })))
      await publisher.settled()
    }
    const { counters } = target.broker
    assert.ok(counters.droppedRetained > 0)
    assert.ok(warnings(target.log, 'retained message not kept').length > 0)
    const greedy = await RawClient.connect(target, { clientId: 'greedy' })
    greedy.send(subscribe(1, ['r/#', 1]))
    await greedy.expectPacket('SUBACK')
    assert.is((await greedy.receiveAll()).length, Math.min(retained, counters.retained))
    await greedy.disconnect()
  })
})

test('the deepest and the longest topics are routed, deeper ones refused', async () => {
  await underAttack({}, async (target) => {
    const client = await RawClient.connect(target, { clientId: 'deep' })
    const deep = (levels: number) => Array(levels).fill('d').join('/')
    const long = `long/${'x'.repeat(65_530)}`
    await client.subscribe([deep(128), 0], [`${deep(127)}/#`, 0], ['long/+', 0])
    for (let n = 0; n < 20; n++) {
      for (const topic of [deep(128), long]) {
        client.send(publish({ topic, payload: 'x' }))
        await client.expectPublish({ topic })
      }
    }
    client.send(subscribe(9, [deep(129), 0]))
    await client.expect('90 03 00 09 80')
    client.send(publish({ topic: '/'.repeat(65_000), payload: 'x' }))
    await client.expectClosed()
  })
})

test('all queues together are full: publishers and new sessions hear 0x97, who comes for its messages is let in', async () => {
  await underAttack({ maxQueuedBytesTotal: 256 * 1024 }, async (target) => {
    const { counters } = target.broker
    for (const n of range(6)) {
      const absent = await RawClient.connect(target, { clientId: `absent-${n}`, clean: false })
      await absent.subscribe(['backlog', 1])
      await absent.disconnect()
    }
    const publisher = await RawClient.dial(target, connect5({ clientId: 'p5' }))
    await publisher.expectPacket('CONNACK')
    const codes: (number | undefined)[] = []
    for (let n = 1; n <= 100; n++) {
      publisher.send(publish5({ topic: 'backlog', payload: Buffer.alloc(1000), qos: 1, id: n }))
      codes.push((await publisher.expectPacket('PUBACK')).body[2])
    }
    assert.is(codes[0], undefined)
    assert.is(codes.at(-1), 0x97)
    assert.ok(counters.publishesRefused > 0 && counters.droppedMemory > 0)
    assert.ok(counters.bytesQueued <= 256 * 1024)
    assert.ok(warnings(target.log, 'all queues together are full').length > 0)
    const stranger = await RawClient.dial(target, connect({ clientId: 'new', clean: false }))
    await stranger.expect('20 02 00 03')
    const guest = await RawClient.connect(target, { clientId: 'guest' })
    await guest.expectNothing()
    const back = await RawClient.connect(target, { clientId: 'absent-0', clean: false })
    assert.ok((await back.receiveAll()).length > 0)
    assert.ok(await RawClient.connect(target, { clientId: 'new', clean: false }))
  })
})

test('V8’s heap is 80 % full: what is new is refused, who is connected stays, and when there is room all is well again', async () => {
  const broker = await startBroker({ heapLimit: 48, settings: { takeover_delay: 0 } })
  const good = await WellBehaved.start(broker)
  const hogs: RawClient[] = []
  let refused = 0
  for (let n = 0; refused === 0 && n < 10; n++) {
    const hog = await RawClient.connect(broker, { clientId: `hog-${n}` })
    hogs.push(hog)
    for (let from = 0; refused === 0 && from < 100_000; from += 1000) {
      hog.send(subscribe(1, ...range(1000).map((at): [string, number] => [`hog/${n}/${from + at}/and/more/levels`, 0])))
      const { body } = await hog.expectPacket('SUBACK')
      refused = body.subarray(2).filter((code) => code === 0x80).length
    }
  }
  assert.ok(refused > 0, 'nothing was refused')
  await broker.waitForLog(/memory is short/)
  const stranger = await RawClient.dial(broker, connect({ clientId: 'stranger' }))
  await stranger.expect('20 02 00 03')
  const stranger5 = await RawClient.dial(broker, connect5({ clientId: 'stranger' }))
  const connack = await stranger5.nextPacket()
  assert.equal([connack.type, connack.body[1]], [Type.CONNACK, 0x97])
  for (const hog of hogs) await hog.disconnect()
  await broker.waitForLog(/memory is available again/)
  await (await RawClient.connect(broker, { clientId: 'stranger' })).disconnect()
  await good.finish()
  closeClients()
  await broker.stopCleanly()
})

test.run()
