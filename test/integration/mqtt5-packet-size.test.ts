// Maximum Packet Size in both directions: nothing larger is ever sent to a client that set one, whatever way the message
// takes to it, and everything that fits is sent.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, listen } from '../support/embedded.ts'
import { Client5, options, p, publish5, subscribe5 } from '../support/packets5.ts'
import { closeClients } from '../support/raw-client.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const limited = (size: number, clientId = 'small', also: Uint8Array[] = []) => ({
  clientId,
  properties: [p.maximumPacketSize(size), ...also],
})

/** A payload that makes a PUBLISH of exactly `size` bytes (< 129) to topic `t` without properties. */
const filling = (size: number, qos: number) => 'x'.repeat(size - 2 - 3 - (qos > 0 ? 2 : 0) - 1)

for (const published of [0, 1, 2] as const) {
  for (const granted of [0, 1, 2] as const) {
    const qos = Math.min(published, granted)
    test(`[MQTT-3.1.2-24] QoS ${published} to a subscription of QoS ${granted}: what just fits arrives, one byte more does not`, async () => {
      const broker = await listen()
      const publisher = await Client5.connect(broker, { clientId: 'p' })
      const receiver = await Client5.connect(broker, limited(60))
      await receiver.subscribe([], ['t', granted])
      for (let round = 0; round < 3; round++) {
        await publisher.publish({ topic: 't', payload: `${filling(60, qos)}x`, qos: published })
        await publisher.publish({ topic: 't', payload: filling(60, qos), qos: published })
        assert.is((await receiver.receive({ qos })).size, 60)
      }
      await receiver.expectNothing()
      const { droppedTooLarge, droppedOutputFull } = broker.broker.counters
      assert.equal([droppedTooLarge, droppedOutputFull], [3, 0])
    })
  }
}

for (const [name, payload] of [
  ['with an alias set', 'first'],
  ['with an alias that stands for the topic', 'second'],
] as const) {
  test(`what fits without a topic alias arrives, though it would not fit ${name}`, async () => {
    const broker = await listen()
    const publisher = await Client5.connect(broker, { clientId: 'p' })
    const receiver = await Client5.connect(broker, limited(60, 'small', [p.topicAliasMaximum(5)]))
    await receiver.subscribe([], ['t', 1])
    // The broker gives an alias to a topic it sees often.
    for (let n = 0; n < 4 && payload === 'second'; n++) {
      await publisher.publish({ topic: 't', payload: 'short', qos: 1 })
      await receiver.receive({ text: 'short' })
    }
    for (const qos of [0, 1] as const) {
      for (let round = 0; round < 4; round++) {
        await publisher.publish({ topic: 't', payload: filling(60, qos), qos })
        assert.is((await receiver.receive({ qos })).text, filling(60, qos))
      }
    }
    await receiver.expectNothing()
  })
}

test('[MQTT-3.1.2-24] of four receivers and more only the one with a small limit goes without, and it keeps its window', async () => {
  const broker = await listen()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const small = await Client5.connect(broker, limited(60))
  await small.subscribe([], ['t', 1])
  const others = []
  for (let n = 0; n < 5; n++) {
    const other = await Client5.connect(broker, { clientId: `o${n}` })
    await other.subscribe([], ['t', 1])
    others.push(other)
  }
  for (const qos of [0, 1] as const) {
    // More of them than the window holds, so that a lost place in it would be seen.
    for (let n = 0; n < 300; n++) publisher.raw.send(publish5({ topic: 't', payload: 'y'.repeat(61), qos, id: 1 + n }))
    publisher.raw.send(publish5({ topic: 't', payload: 'fits', qos, id: 400 }))
    for (const other of others) {
      for (let n = 0; n < 300; n++) await other.receive({ text: 'y'.repeat(61), qos })
      await other.receive({ text: 'fits', qos })
    }
    await small.receive({ text: 'fits', qos })
    await small.expectNothing()
    if (qos === 1) for (let n = 0; n < 301; n++) await publisher.answer('PUBACK')
  }
})

for (const slowReaderPolicy of ['disconnect', 'drop_oldest', 'drop_newest'] as const) {
  for (const receivers of [1, 6]) {
    const who = receivers === 1 ? 'one receiver' : 'many receivers'
    test(`[MQTT-3.1.2-25] too large is not too slow: ${slowReaderPolicy} leaves alone who takes small packets only (${who})`, async () => {
      const broker = await listen({ slowReaderPolicy })
      const publisher = await Client5.connect(broker, { clientId: 'p' })
      const small = []
      for (let n = 0; n < receivers; n++) {
        const receiver = await Client5.connect(broker, limited(60, `small${n}`))
        await receiver.subscribe([], ['t', 0])
        small.push(receiver)
      }
      for (let n = 0; n < 20; n++) await publisher.publish({ topic: 't', payload: 'y'.repeat(61) })
      await publisher.publish({ topic: 't', payload: 'fits' })
      for (const receiver of small) {
        await receiver.receive({ text: 'fits' })
        await receiver.expectNothing()
      }
      const { droppedTooLarge, droppedOutputFull, slowReadersDisconnected } = broker.broker.counters
      assert.equal([droppedTooLarge, droppedOutputFull, slowReadersDisconnected], [20 * receivers, 0, 0])
      const { tooLarge, outputFull } = broker.broker.droppedFor('small0')
      assert.equal([tooLarge, outputFull], [20, 0])
    })
  }
}

test('a queued and a retained message larger than the client takes now are left out, the rest is sent', async () => {
  const broker = await listen()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const away = await Client5.connect(broker, { clientId: 'away', properties: [p.sessionExpiry(100)] })
  await away.subscribe([], ['q', 1])
  await away.leave()
  for (const payload of ['y'.repeat(100), 'fits']) {
    await publisher.publish({ topic: 'q', payload, qos: 1 })
    await publisher.publish({ topic: `r/${payload.length}`, payload, qos: 1, retain: true })
  }
  const back = await Client5.connect(broker, {
    ...limited(60, 'away', [p.sessionExpiry(100)]),
    clean: false,
  })
  await back.receive({ topic: 'q', text: 'fits', qos: 1 })
  await back.subscribe([], ['r/#', 1])
  await back.receive({ topic: 'r/4', text: 'fits', qos: 1, retain: true })
  await back.expectNothing()
  assert.is(broker.broker.counters.droppedTooLarge, 2)
})

test('a message in flight that became too large for the resumed client is dropped as if acknowledged', async () => {
  const broker = await listen()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const session = [p.sessionExpiry(100)]
  const first = await Client5.connect(broker, { clientId: 'c', properties: session })
  await first.subscribe([], ['t', 2])
  for (const qos of [1, 2] as const) await publisher.publish({ topic: 't', payload: 'y'.repeat(100), qos })
  await publisher.publish({ topic: 't', payload: 'fits', qos: 2 })
  await first.messages(3)
  await first.lose()
  const second = await Client5.connect(broker, { ...limited(60, 'c', session), clean: false })
  await second.receive({ text: 'fits', dup: true })
  await publisher.publish({ topic: 't', payload: 'next', qos: 1 })
  await second.receive({ text: 'next' })
})

test('a shared message too large for one member goes to one that takes it', async () => {
  const broker = await listen()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const small = await Client5.connect(broker, limited(60))
  const large = await Client5.connect(broker, { clientId: 'large' })
  for (const member of [small, large]) await member.subscribe([], ['$share/g/t', 1])
  for (const qos of [0, 1] as const) {
    for (let n = 0; n < 6; n++) await publisher.publish({ topic: 't', payload: 'y'.repeat(100), qos })
    for (let n = 0; n < 6; n++) await large.receive({ text: 'y'.repeat(100) })
    await small.expectNothing()
    await large.expectNothing()
  }
})

test('properties that are too much for the client: a reason string is left out before the answer is', async () => {
  const broker = await listen({ maxTopicAlias: 0 })
  const roomy = await Client5.connect(broker, { clientId: 'roomy' })
  roomy.raw.send(publish5({ topic: 't', payload: '', properties: [p.topicAlias(1)] }))
  assert.ok((await roomy.disconnected(0x94)).properties.some((text) => text.startsWith('reasonString ')))
  const tight = await Client5.dial(broker, limited(40, 't'))
  tight.raw.send(publish5({ topic: 't', payload: '', properties: [p.topicAlias(1)] }))
  assert.equal((await tight.disconnected(0x94)).properties, [])
})

test('large packets whose topics and properties are of every length arrive whole', async () => {
  const broker = await listen()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const receiver = await Client5.connect(broker, { clientId: 'r' })
  await receiver.subscribe([], ['+', 2])
  // Around what is read of a packet too large for the inbox at first.
  for (const topicLength of [1, 480, 505, 510, 512, 514, 1015, 1020, 1022, 1024, 1026, 60_000]) {
    for (const propertyLength of [0, 400, 500, 1000, 60_000]) {
      const topic = 't'.repeat(topicLength)
      const properties = propertyLength === 0 ? [] : [p.correlationData('c'.repeat(propertyLength))]
      const payload = Buffer.alloc(140_000, `${topicLength} ${propertyLength} `)
      await publisher.publish({ topic, payload, qos: 1, properties })
      const received = await receiver.receive({ topic, qos: 1 })
      assert.ok(received.text === payload.toString(), `${topicLength}, ${propertyLength}`)
      assert.equal(received.properties, propertyLength === 0 ? [] : [`correlationData ${'c'.repeat(propertyLength)}`])
    }
  }
})

test('a packet over our own Maximum Packet Size is answered with 0x95 before it is whole', async () => {
  const broker = await listen({ maxPacketSize: 1000 })
  const client = await Client5.connect(broker, { clientId: 'c' })
  assert.ok(client.properties.includes('maximumPacketSize 1000'), client.properties.join())
  client.raw.send(publish5({ topic: 't', payload: 'x'.repeat(1000 - 3 - 3 - 1) }))
  await client.settled()
  client.raw.send(publish5({ topic: 't', payload: 'x'.repeat(1000 - 3 - 3) }).subarray(0, 10))
  await client.disconnected(0x95)
})

test('SUBACK and UNSUBACK for a client with a tiny limit: no answer rather than one that is too large', async () => {
  const broker = await listen()
  const client = await Client5.connect(broker, limited(40))
  const filters = Array.from({ length: 60 }, (_, n): [string, number] => [`f/${n}`, options(0)])
  client.raw.send(subscribe5(1, [], ...filters))
  await client.disconnected(0x95)
})

test.run()
