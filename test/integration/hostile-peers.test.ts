// Peers that do not read, do not stop, or come in storms: everybody else is served as if they were not there.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { connect, puback, publish, subscribe } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { sized, target, unlessMosquitto } from '../support/target.ts'
import { descriptorsOf, until } from '../support/until.ts'

const broker = await startBroker({ settings: { max_queued_messages: 1000 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

/** Floods a peer that does not read until no buffer of the kernel takes any more, and the broker has to hold the rest or drop it. */
const fill = async (deaf: RawClient, publisher: RawClient) => {
  await deaf.subscribe(['flood', 0])
  deaf.pause()
  const clogging = publish({ topic: 'flood', payload: Buffer.alloc(100_000) })
  for (let n = 0; n < 120; n++) publisher.send(clogging)
  await publisher.settled()
  if (target === 'martlet') await broker.waitForLog(/messages left out.*client=deaf/)
}

test('a peer that never reads costs 1,000 others nothing', async () => {
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  const deaf = await RawClient.connect(broker, { clientId: 'deaf' })
  await deaf.subscribe(['news', 0])
  await fill(deaf, publisher)
  const others = await Promise.all(
    Array.from({ length: 1000 }, (_, n) =>
      RawClient.dial(broker, connect({ clientId: `other-${n}` }), subscribe(1, ['news', n % 10 ? 0 : 1])),
    ),
  )
  for (const other of others) await other.expect('20 02 00 00 90 03 00 01 ..')
  const payload = 'x'.repeat(sized(2000, 200))
  const rounds = 5
  for (let round = 0; round < rounds; round++) {
    publisher.send(publish({ topic: 'news', payload: `${round} ${payload}`, qos: 1, id: round + 1 }))
    for (const other of others) {
      const { text, qos, id } = await other.expectPublish()
      if (!text.startsWith(`${round} `)) assert.unreachable(`${text.slice(0, 9)} instead of ${round}`)
      if (qos === 1) other.send(puback(id))
    }
    await publisher.expectPacket('PUBACK')
  }
  for (const other of others) await other.expectNothing()
  await publisher.expectNothing()
})

test('a persistent peer that never reads keeps its first messages in order and costs others nothing', async () => {
  const deaf = await RawClient.connect(broker, { clientId: 'deaf-stored', clean: false })
  await deaf.subscribe(['stored', 1])
  deaf.pause()
  const other = await RawClient.connect(broker, { clientId: 'other' })
  await other.subscribe(['stored', 1])
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  const payload = 'x'.repeat(1000)
  for (let n = 0; n < 800; n++) {
    publisher.send(publish({ topic: 'stored', payload: `${n} ${payload}`, qos: 1, id: n + 1 }))
    const { id, text } = await other.expectPublish()
    assert.ok(text.startsWith(`${n} `))
    other.send(puback(id))
  }
  for (let n = 0; n < 800; n++) await publisher.expectPacket('PUBACK')
  deaf.resume()
  const received = await deaf.receive(800)
  assert.ok(received.every(({ text }, n) => text.startsWith(`${n} `)))
  await deaf.disconnect()
  await (await RawClient.connect(broker, { clientId: 'deaf-stored' })).disconnect()
})

for (const qos of [0, 1] as const) {
  test(`two clients that publish to each other with QoS ${qos} without reading for a while do not block each other`, async () => {
    const [one, two] = await Promise.all(
      ['one', 'two'].map(async (clientId) => {
        const client = await RawClient.connect(broker, { clientId })
        await client.subscribe([`to/${clientId}`, qos])
        return client
      }),
    )
    one!.pause()
    two!.pause()
    const payload = Buffer.alloc(sized(10_000, 1000))
    const total = 500
    const flood = (client: RawClient, topic: string) => {
      for (let n = 0; n < total; n++) client.send(publish({ topic, payload, qos, id: n + 1 }))
      return client.sendAll('c0 00')
    }
    const sent = [flood(one!, 'to/two'), flood(two!, 'to/one')]
    // For QoS 0 a broker may have left messages out, so that what is complete are the acknowledgements and the pings.
    if (qos === 0) await Promise.all(sent)
    one!.resume()
    two!.resume()
    await Promise.all(sent)
    for (const client of [one!, two!]) {
      const counts = { publish: 0, puback: 0, pingresp: 0 }
      while (counts.pingresp === 0 || (qos === 1 && counts.publish + counts.puback < 2 * total)) {
        const packet = await client.nextPacket()
        if (packet.type === 3) counts.publish++
        if (packet.type === 4) counts.puback++
        if (packet.type === 13) counts.pingresp++
        client.acknowledge(packet)
      }
      if (qos === 1) assert.equal(counts, { publish: total, puback: total, pingresp: 1 })
    }
  })
}

test('a publisher that floods without reading its acknowledgements does not stop a pair next to it', async () => {
  const flooder = await RawClient.connect(broker, { clientId: 'flooder' })
  flooder.pause()
  const message = publish({ topic: 'flood', payload: 'x', qos: 1, id: 1 })
  flooder.send(Buffer.concat(Array.from({ length: 200_000 }, () => message)))
  const [subscriber, publisher] = [
    await RawClient.connect(broker, { clientId: 'subscriber' }),
    await RawClient.connect(broker, { clientId: 'publisher' }),
  ]
  await subscriber.subscribe(['beside', 1])
  for (let n = 0; n < 50; n++) {
    await publisher.publish({ topic: 'beside', payload: `${n}`, qos: 1 })
    const { id } = await subscriber.expectPublish({ text: `${n}` })
    subscriber.send(puback(id))
  }
})

test('a peer that announces a large packet and sends it a byte at a time does not stop others', async () => {
  const slow = await RawClient.connect(broker, { clientId: 'slow' })
  slow.send('30 80 80 40 00 01 61') // A body of 1 MiB.
  const other = await RawClient.connect(broker, { clientId: 'other' })
  await other.subscribe(['a', 0])
  for (let n = 0; n < 20; n++) {
    slow.send('61')
    await other.publish({ topic: 'nobody', payload: 'x', qos: 1 })
  }
  await other.expectNothing()
})

test('a storm of 500 connections is accepted, each served', async () => {
  const clients = await Promise.all(
    Array.from({ length: 500 }, (_, n) => RawClient.dial(broker, connect({ clientId: `storm-${n}` }))),
  )
  for (const client of clients) await client.expect('20 02 00 00')
  for (const client of clients) client.send(subscribe(1, ['storm', 0]))
  for (const client of clients) await client.expect('90 03 00 01 00')
  clients[0]!.send(publish({ topic: 'storm', payload: 'all' }))
  for (const client of clients) await client.expectPublish({ text: 'all' })
})

const descriptors = () => descriptorsOf(broker.pid)

test('descriptors come back after 2,000 connections that end in every way', async () => {
  const ends: ((client: RawClient) => void)[] = [
    (client) => client.end(),
    (client) => client.reset(),
    (client) => client.send('e0 00'),
    (client) => client.send('36 00'),
    (client) => client.send('ff'),
    (client) => client.destroy(),
  ]
  const before = descriptors()
  for (let round = 0; round < 20; round++) {
    const clients = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        n % 3 ? RawClient.connect(broker, { clientId: `r${n}` }) : RawClient.dial(broker),
      ),
    )
    clients.forEach((client, n) => {
      ends[n % ends.length]!(client)
      if (n % ends.length === 2 || n % ends.length === 3 || n % ends.length === 4) client.end()
    })
  }
  closeClients()
  const last = await RawClient.connect(broker, { clientId: 'last' })
  await last.settled()
  await until('descriptors come back', () => descriptors() <= before + 2)
})

const limited = unlessMosquitto(test, 'it has no output limit in bytes')
limited(
  'a peer over its output limit misses QoS 0 messages, and gets every one it was sent whole and in order',
  async () => {
    const small = await startBroker({
      settings: { output_limit: 262_144, output_high_water: 65_536, output_low_water: 16_384 },
    })
    const deaf = await RawClient.connect(small, { clientId: 'deaf' })
    await deaf.subscribe(['flood', 0], ['end', 1])
    deaf.pause()
    const publisher = await RawClient.connect(small, { clientId: 'publisher' })
    const count = 20_000
    const payload = 'x'.repeat(1000)
    for (let n = 0; n < count; n++) publisher.send(publish({ topic: 'flood', payload: `${n} ${payload}` }))
    await publisher.publish({ topic: 'end', payload: 'end', qos: 1 })
    deaf.resume()
    let [received, previous] = [0, -1]
    for (;;) {
      const { topic, text } = await deaf.expectPublish()
      if (topic === 'end') break
      const n = Number.parseInt(text, 10)
      assert.ok(n > previous && text.length > 1000)
      ;[received, previous] = [received + 1, n]
    }
    assert.ok(received < count, 'nothing was left out: more than the limit was queued')
    deaf.destroy()
    publisher.destroy()
    await small.stopCleanly()
  },
)

test.run()
