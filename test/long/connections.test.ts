// Long: very many connections. Leaks of descriptors and memory, accept storms, SIGTERM with all of them connected, and a
// peer that never reads beside a thousand others. Sizes are divided by MARTLET_LONG_DIVISOR.
import { readdirSync, readFileSync } from 'node:fs'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import { connect, puback, publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, sanitized, skipped } from '../support/target.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
uvu.after.each(closeClients)

const descriptors = ({ pid }: BrokerUnderTest) => readdirSync(`/proc/${pid}/fd`).length
/** Resident memory in bytes. */
const resident = ({ pid }: BrokerUnderTest) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024

/** Bytes that come and go with V8’s collections (1 MiB was seen); more is a leak: of 80 bytes a connection in the full size. */
const MOST_GROWTH = 4 * 1024 * 1024

const inBatches = async (total: number, size: number, batch: (from: number, to: number) => Promise<void>) => {
  for (let from = 0; from < total; from += size) await batch(from, Math.min(total, from + size))
}
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n)

test('100,000 connections in and out leave neither descriptors nor memory behind', async () => {
  const total = longSize(100_000)
  // A young generation and an old one that are soon full: what RSS shows then is what is held, not what waits to be collected.
  const broker = await startBroker({ heapLimit: 96 })
  const before = descriptors(broker)
  const ids = Math.ceil(total / 20)
  const come = async (from: number, to: number) => {
    const clients = await Promise.all(
      range(from, to).map((n) => RawClient.dial(broker, connect({ clientId: `c${n % ids}`, clean: n % 4 !== 0 }))),
    )
    for (const client of clients) await client.nextByte()
    clients.forEach((client, n) => {
      if (n % 3 === 0) client.reset()
      else if (n % 3 === 1) client.end('e0 00')
      else client.destroy()
    })
    await Promise.all(clients.filter((_, n) => n % 3 === 1).map((client) => client.readToEnd()))
  }
  // The first half pays for what grows once: the heap, the tables, the sessions that stay.
  const half = Math.ceil(total / 2)
  await inBatches(half, 200, come)
  const start = resident(broker)
  await inBatches(total - half, 200, (from, to) => come(from + half, to + half))
  const growth = resident(broker) - start
  console.log(`resident memory: ${growth} bytes more after another ${total - half} connections`)
  const last = await RawClient.connect(broker, { clientId: 'last' })
  for (let tries = 0; tries < 500 && descriptors(broker) > before + 1; tries++) await last.settled()
  assert.ok(descriptors(broker) <= before + 1, `${before} descriptors before, ${descriptors(broker)} after`)
  if (!sanitized) assert.ok(growth < MOST_GROWTH, `${growth} bytes more after ${total - half} connections`)
  last.destroy()
  await broker.stopCleanly()
})

test('a storm of 10,000 connections is accepted, each served, and a pair that was there goes on meanwhile', async () => {
  const total = longSize(10_000)
  const broker = await startBroker()
  const [one, other] = [
    await RawClient.connect(broker, { clientId: 'one' }),
    await RawClient.connect(broker, { clientId: 'other' }),
  ]
  await other.subscribe(['meanwhile', 1])
  const clients: RawClient[] = []
  const storm = Promise.all(
    range(0, total).map(async (n) => {
      const client = await RawClient.dial(broker, connect({ clientId: `storm-${n}` }))
      await client.expect('20 02 00 00')
      clients.push(client)
    }),
  )
  let exchanged = 0
  while (clients.length < total) {
    await one.publish({ topic: 'meanwhile', payload: `${exchanged}`, qos: 1 })
    other.send(puback((await other.expectPublish({ text: `${exchanged++}` })).id))
  }
  await storm
  console.log(`${exchanged} messages of the pair while ${total} connected`)
  await inBatches(total, 500, async (from, to) => {
    await Promise.all(clients.slice(from, to).map((client) => client.subscribe(['storm', 0])))
  })
  clients[0]!.send(publish({ topic: 'storm', payload: 'everybody' }))
  for (const client of clients) await client.expectPublish({ text: 'everybody' })
  closeClients()
  await broker.stopCleanly()
})

test('SIGTERM ends the broker with code 0 in time, with 10,000 clients connected and one that never reads', async () => {
  const total = longSize(10_000)
  const broker = await startBroker()
  const deaf = await RawClient.connect(broker, { clientId: 'deaf' })
  await deaf.subscribe(['flood', 0], ['flood', 1])
  deaf.pause()
  const clients: RawClient[] = []
  await inBatches(total, 500, async (from, to) => {
    const batch = range(from, to).map((n) =>
      RawClient.connect(broker, { clientId: `${n}`, clean: n % 2 === 0, will: { topic: `will/${n}`, payload: 'x' } }),
    )
    clients.push(...(await Promise.all(batch)))
  })
  for (let n = 0; n < 100; n++) {
    await clients[0]!.publish({ topic: 'flood', payload: Buffer.alloc(100_000), qos: 1 })
  }
  const closed = Promise.all(clients.map((client) => client.expectClosed()))
  const start = performance.now()
  await broker.stopCleanly() // its own deadline is 4.8 s, and it says when that was needed
  console.log(`SIGTERM to the end: ${((performance.now() - start) / 1000).toFixed(1)} s`)
  await closed
})

test('1,000 clients are not harmed by a peer that never reads', async () => {
  const total = longSize(1000)
  const broker = await startBroker()
  const clients: RawClient[] = []
  await inBatches(total, 200, async (from, to) => {
    clients.push(...(await Promise.all(range(from, to).map((n) => RawClient.connect(broker, { clientId: `${n}` })))))
  })
  const deaf = await RawClient.connect(broker, { clientId: 'deaf' })
  await deaf.subscribe(['news', 0])
  deaf.pause()
  await Promise.all(clients.map((client) => client.subscribe(['news', 0])))
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  const payload = Buffer.alloc(10_000)
  for (let round = 0; round < 10; round++) {
    for (let n = 0; n < 10; n++) publisher.send(publish({ topic: 'news', payload }))
    await Promise.all(
      clients.map(async (client) => {
        for (let n = 0; n < 10; n++) await client.expectPublish({ topic: 'news' })
      }),
    )
  }
  for (const client of clients) await client.expectNothing()
  console.log(`resident memory: ${Math.round(resident(broker) / 1024 / 1024)} MiB`)
  closeClients()
  await broker.stopCleanly()
})

uvu.run()
