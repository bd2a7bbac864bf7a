// Packets and segments have nothing to do with each other: many packets in one write, one packet in many, and packets
// larger than any buffer. Nothing may be lost, doubled or reordered.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { connect, frame, hex, pingreq, puback, publish, pubrel, string, subscribe, uint16 } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { sized } from '../support/target.ts'

const broker = await startBroker({ settings: { max_packet_size: 4_000_000 }, findsLeaks: true })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

const conversation = Buffer.concat([
  connect({ clientId: 'framing' }),
  subscribe(1, ['f/+', 1]),
  publish({ topic: 'f/0', payload: 'zero' }),
  publish({ topic: 'other', payload: 'one', qos: 1, id: 2 }),
  publish({ topic: 'other', payload: 'two', qos: 2, id: 3 }),
  pubrel(3),
  pingreq(),
])
const answers = [
  '20 02 00 00',
  '90 03 00 01 01',
  '30 09 00 03 66 2f 30 7a 65 72 6f',
  '40 02 00 02',
  '50 02 00 03',
  '70 02 00 03',
  'd0 00',
].join('')

test('a whole conversation in one segment is answered packet by packet', async () => {
  const client = await RawClient.dial(broker, conversation)
  await client.expect(answers)
})

test('a whole conversation a byte at a time is answered the same', async () => {
  const client = await RawClient.dial(broker)
  for (const byte of conversation) {
    await client.sendAll(Buffer.from([byte]))
    // A turn of the event loop is what makes a write a segment of its own.
    await new Promise(setImmediate)
  }
  await client.expect(answers)
})

for (const size of [2, 3, 5, 7, 63, 64, 65]) {
  test(`a conversation in pieces of ${size} bytes is answered the same`, async () => {
    const client = await RawClient.dial(broker)
    for (let start = 0; start < conversation.length; start += size) {
      await client.sendAll(conversation.subarray(start, start + size))
      await new Promise(setImmediate)
    }
    await client.expect(answers)
  })
}

for (const qos of [0, 1] as const) {
  test(`10,000 packets of QoS ${qos} in one write all arrive, in order`, async () => {
    const subscriber = await RawClient.connect(broker, { clientId: 'subscriber' })
    await subscriber.subscribe(['burst', qos])
    const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
    // QoS 1 in portions of the queue limit: the newest of a larger burst may be dropped.
    const portion = qos === 0 ? 10_000 : 500
    for (let start = 0; start < 10_000; start += portion) {
      const packets = Array.from({ length: portion }, (_, n) =>
        publish({ topic: 'burst', payload: `${start + n}`, qos, id: n + 1 }),
      )
      publisher.send(...packets)
      for (let n = 0; n < portion; n++) {
        const { text, id } = await subscriber.expectPublish()
        if (text !== `${start + n}`) assert.is(text, `${start + n}`)
        if (qos === 1) subscriber.send(puback(id))
      }
      if (qos === 1) for (let n = 0; n < portion; n++) await publisher.expectPacket('PUBACK')
    }
    await publisher.expectNothing()
    await subscriber.expectNothing()
  })
}

test('10,000 PINGREQ in one write get 10,000 PINGRESP', async () => {
  const client = await RawClient.connect(broker, { clientId: 'pings' })
  client.send(Buffer.concat(Array.from({ length: 10_000 }, pingreq)))
  await client.expect('d0 00'.repeat(10_000))
})

test('10,000 QoS 1 packets in one write of a publisher that does not read are all acknowledged when it does', async () => {
  const client = await RawClient.connect(broker, { clientId: 'publisher' })
  client.pause()
  client.send(
    ...Array.from({ length: 10_000 }, (_, n) => publish({ topic: 'nobody', payload: 'x', qos: 1, id: n + 1 })),
  )
  client.resume()
  for (let n = 0; n < 10_000; n++) assert.is((await client.expectPacket('PUBACK')).body.readUInt16BE(), n + 1)
})

const pairs = 10
const size = sized(1_048_576, 100_000)
for (const qos of [0, 1] as const) {
  test(`${pairs} pairs exchange ${size} bytes of QoS ${qos} at the same time, and nothing is lost`, async () => {
    const exchange = async (pair: number) => {
      const subscriber = await RawClient.connect(broker, { clientId: `large-subscriber-${pair}` })
      await subscriber.subscribe([`large/${pair}`, qos])
      const publisher = await RawClient.connect(broker, { clientId: `large-publisher-${pair}` })
      for (let round = 0; round < 3; round++) {
        const payload = Buffer.alloc(size, `${pair}.${round}|`)
        publisher.send(publish({ topic: `large/${pair}`, payload, qos, id: round + 1 }))
        const received = await subscriber.expectPublish({ topic: `large/${pair}`, qos })
        assert.ok(received.payload.equals(payload), `pair ${pair}, round ${round}: the payload is another`)
        if (qos === 1) subscriber.send(puback(received.id))
      }
      if (qos === 1) await publisher.expect('40 02 00 01 40 02 00 02 40 02 00 03')
    }
    await Promise.all(Array.from({ length: pairs }, (_, pair) => exchange(pair)))
  })
}

test('payloads around every size of a Remaining Length and of a buffer arrive unchanged', async () => {
  const client = await RawClient.connect(broker, { clientId: 'sizes' })
  await client.subscribe(['z', 0])
  const edges = [
    0, 1, 59, 60, 61, 64, 122, 123, 124, 125, 126, 127, 128, 1019, 1020, 1024, 4090, 4096, 16_378, 16_379, 16_380,
  ]
  for (const length of [
    ...edges,
    16_384,
    65_531,
    65_536,
    131_072,
    sized(2_097_148, 200_000),
    sized(2_097_152, 200_001),
  ]) {
    const payload = Buffer.alloc(length, `${length} `)
    client.send(publish({ topic: 'z', payload }), pingreq())
    assert.ok((await client.expectPublish({ topic: 'z' })).payload.equals(payload), `${length} bytes`)
    await client.expect('d0 00')
  }
})

test('a large message is delivered to many, and small ones behind it stay behind it', async () => {
  const subscribers = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      const subscriber = await RawClient.connect(broker, { clientId: `many-${n}` })
      await subscriber.subscribe(['fan', n % 2 ? 1 : 0])
      return subscriber
    }),
  )
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  const large = Buffer.alloc(sized(500_000, 50_000), 'large')
  for (let round = 0; round < 3; round++) {
    publisher.send(
      publish({ topic: 'fan', payload: large, qos: 1, id: 1 }),
      publish({ topic: 'fan', payload: 'small' }),
    )
  }
  for (const subscriber of subscribers) {
    for (let round = 0; round < 3; round++) {
      const first = await subscriber.expectPublish()
      assert.ok(first.payload.equals(large))
      if (first.qos) subscriber.send(puback(first.id))
      await subscriber.expectPublish({ text: 'small' })
    }
  }
})

test('a Remaining Length in more bytes than it needs is read as the same length, or closes the connection', async () => {
  const client = await RawClient.connect(broker, { clientId: 'padded' })
  client.send('c0 80 00')
  if ((await client.nextByte()) !== undefined) await client.expect('d0 00')
})

test('packets behind a large one that arrives slowly are handled after it', async () => {
  const client = await RawClient.connect(broker, { clientId: 'slow' })
  await client.subscribe(['slow', 0])
  const large = frame(0x32, string('slow'), uint16(9), Buffer.alloc(30_000, 'x'))
  for (let start = 0; start < large.length; start += 3000) {
    await client.sendAll(large.subarray(start, start + 3000))
    await new Promise(setImmediate)
  }
  client.send(hex('c0 00'))
  const types = [await client.nextPacket(), await client.nextPacket(), await client.nextPacket()].map(
    ({ type }) => type,
  )
  assert.equal(types.slice(0, 2).sort(), [3, 4])
  assert.is(types[2], 13)
})

test.run()
