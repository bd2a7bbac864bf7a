// Long: too much of everything, by the million: retained messages, subscriptions, topics and their levels. The broker is in a
// process of its own, beside a hundred well-behaved clients in another. What they lose fails the test; how long their messages
// took is printed. Sizes are divided by MARTLET_LONG_DIVISOR.
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { besiege, gone, range, told } from '../overload/siege.ts'
import { publish, subscribe } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
uvu.after.each(closeClients)

const retained = longSize(1_000_000)
test(`${retained} retained messages and a subscriber to #`, async () => {
  const settings = { maxRetainedMessages: retained, sysInterval: 0 }
  await besiege(`${retained} retained messages`, { settings }, async (target) => {
    const publisher = await RawClient.connect(target.address(), { clientId: 'retains' })
    const before = target.resident
    for (let from = 0; from <= retained; from += 1000) {
      publisher.send(...range(1000).map((n) => publish({ topic: `r/${from + n}`, payload: 'kept', retain: true })))
      await publisher.settled()
    }
    console.log(`${(((target.resident - before) * 1024 * 1024) / retained).toFixed(0)} bytes of memory each`)
    const { counters } = await target.state()
    assert.is(counters.retained, retained)
    assert.ok(counters.droppedRetained > 0)
    await told(target, 'retained message not kept')
    const greedy = await RawClient.connect(target.address(), { clientId: 'greedy' })
    greedy.send(subscribe(1, ['r/#', 1]))
    await greedy.expectPacket('SUBACK')
    for (let received = 0; received < retained; ) {
      if (greedy.acknowledge(await greedy.nextPacket(`message ${received}`))) received++
    }
    await greedy.expectNothing()
    await greedy.disconnect()
  })
})

const subscriptions = longSize(100_000)
test(`${subscriptions} subscriptions of one client, and it goes`, async () => {
  const settings = { maxSubscriptionsPerClient: subscriptions }
  await besiege(`${subscriptions} subscriptions`, { settings }, async (target) => {
    const hog = await RawClient.connect(target.address(), { clientId: 'hog' })
    for (let from = 0; from < subscriptions; from += 500) {
      const count = Math.min(500, subscriptions - from)
      hog.send(subscribe(1, ...range(count).map((n): [string, number] => [`hog/${from + n}/+`, 0])))
      await hog.expectPacket('SUBACK')
    }
    hog.send(subscribe(1, ['hog/one/more', 0]))
    await hog.expect('90 03 00 01 80')
    assert.is((await target.state()).counters.subscriptionsRefused, 1)
    await told(target, 'subscription refused')
    const other = await RawClient.connect(target.address(), { clientId: 'other' })
    other.send(publish({ topic: `hog/${subscriptions - 1}/x`, payload: 'found' }))
    await hog.expectPublish({ text: 'found' })
    await hog.disconnect()
    await other.publish({ topic: 'hog/1/x', payload: 'x', qos: 1 })
    await other.disconnect()
    await gone(target)
  })
})

const fast = longSize(1_000_000)
test(`a publisher at full speed, ${fast} messages, against a small window`, async () => {
  const settings = { maxInflightMessages: 20, maxQueuedMessages: 1000 }
  await besiege(`${fast} messages`, { settings }, async (target) => {
    const subscriber = await RawClient.connect(target.address(), { clientId: 'narrow' })
    await subscriber.subscribe(['fast', 1])
    const publisher = await RawClient.connect(target.address(), { clientId: 'fast' })
    const payload = Buffer.alloc(100)
    for (let n = 1; n <= fast; n++) {
      publisher.send(publish({ topic: 'fast', payload, qos: 1, id: ((n - 1) % 65_535) + 1 }))
      if (n % 1000 === 0) for (let answers = 0; answers < 1000; answers++) await publisher.expectPacket('PUBACK')
    }
    for (let answers = 0; answers < fast % 1000; answers++) await publisher.expectPacket('PUBACK')
    const received = (await subscriber.receiveAll()).length
    const { counters } = await target.state()
    assert.is(received + counters.droppedQueueFull, fast)
    assert.is(counters.messagesQueued, 0)
    await told(target, 'queue full')
  })
})

const topics = longSize(10_000_000)
test(`${topics} distinct topics leave resident memory flat`, async () => {
  await besiege(`${topics} topics`, {}, async (target) => {
    const publisher = await RawClient.connect(target.address(), { clientId: 'unique' })
    const subscriber = await RawClient.connect(target.address(), { clientId: 'sees-some' })
    await subscriber.subscribe(['unique/+/0', 0])
    let sent = 0
    let seen = 0
    const flood = async (count: number): Promise<void> => {
      for (const end = sent + count; sent < end; sent += 5000) {
        publisher.send(...range(5000).map((n) => publish({ topic: `unique/${sent + n}/${n % 1000}`, payload: 'x' })))
        await publisher.settled()
        seen += (await subscriber.receiveAll()).length
      }
    }
    await flood(topics / 2)
    const before = target.resident
    await flood(topics / 2)
    const growth = target.resident - before
    console.log(`resident memory: ${growth.toFixed(1)} MiB more for the second half`)
    assert.ok(growth < 32, `${growth} MiB more`)
    assert.is(seen, sent / 1000)
    assert.ok((await target.state()).counters.topicsUnknown >= sent)
    await told(target, 'very many new topics')
    await publisher.disconnect()
    await subscriber.disconnect()
    await gone(target)
  })
})

const deepOnes = longSize(100_000)
const longOnes = longSize(10_000)
test(`${deepOnes} topics of 128 levels, ${longOnes} of 65,535 bytes, and some beyond`, async () => {
  await besiege(`${deepOnes} deep and ${longOnes} long topics`, {}, async (target) => {
    const publisher = await RawClient.connect(target.address(), { clientId: 'deep' })
    const subscriber = await RawClient.connect(target.address(), { clientId: 'hears' })
    const stem = Array(126).fill('d').join('/')
    // As deep as they may be, and each with a + at another depth.
    const pluses = range(126).map((at) => Array.from({ length: 128 }, (_, n) => (n === at ? '+' : 'd')).join('/'))
    subscriber.send(subscribe(1, ...pluses.map((filter): [string, number] => [filter, 0])))
    await subscriber.expectPacket('SUBACK')
    await subscriber.subscribe([`${stem}/#`, 0], ['long/+', 0])
    const before = target.resident
    for (const [count, topic] of [
      [deepOnes, (n: number) => `${stem}/${n}/x`],
      [longOnes, (n: number) => `long/${`${n}`.padStart(65_530, '.')}`],
    ] as const) {
      for (let from = 0; from < count; from += 50) {
        const batch = range(Math.min(50, count - from)).map((n) => topic(from + n))
        publisher.send(...batch.map((name) => publish({ topic: name, payload: 'x' })))
        for (const name of batch) await subscriber.expectPublish({ topic: name })
      }
    }
    const growth = target.resident - before
    console.log(`resident memory: ${growth.toFixed(1)} MiB more`)
    assert.ok(growth < 64, `${growth} MiB more`)
    publisher.send(subscribe(9, [`${stem}/d/d/d`, 0]))
    await publisher.expect('90 03 00 09 80')
    publisher.send(publish({ topic: '/'.repeat(65_000), payload: 'x' }))
    await publisher.expectClosed()
    const { counters } = await target.state()
    assert.is(counters.malformedPackets + counters.protocolErrors, 1)
    await told(target, 'client at fault')
    await subscriber.disconnect()
    await gone(target)
  })
})

uvu.run()
