// The three qualities of service within one connection: golden bytes of each exchange, in both directions, the two
// spaces of packet identifiers, the in-flight window and the order of what is delivered.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { puback, pubcomp, publish, pubrec, pubrel } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { unlessMosquitto } from '../support/target.ts'

const broker = await startBroker({ settings: { max_inflight_messages: 20 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

const connect = (clientId: string) => RawClient.connect(broker, { clientId })

test('[MQTT-4.3.1-1] QoS 0 is delivered once, without a packet id and without DUP', async () => {
  const client = await connect('c')
  await client.subscribe(['q', 2])
  client.send('30 04 00 01 71 78')
  await client.expect('30 04 00 01 71 78')
  await client.expectNothing()
})

test('[MQTT-4.3.2-2] a PUBLISH of QoS 1 is answered with PUBACK and its packet id', async () => {
  const client = await connect('c')
  client.send('32 06 00 01 71 ab cd 78')
  await client.expect('40 02 ab cd')
})

test('[MQTT-4.3.3-2] QoS 2 inbound: PUBREC, then PUBCOMP, with the packet id of the PUBLISH', async () => {
  const client = await connect('c')
  client.send('34 06 00 01 71 ff ff 78')
  await client.expect('50 02 ff ff')
  client.send('62 02 ff ff')
  await client.expect('70 02 ff ff')
  await client.expectNothing()
})

test('[MQTT-4.3.2-1] QoS 1 outbound: a PUBLISH with an unused packet id and DUP 0, until PUBACK', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['q', 1])
  await publisher.publish({ topic: 'q', payload: 'x', qos: 1 })
  const { id } = await subscriber.expectPublish({ topic: 'q', text: 'x', qos: 1, dup: false })
  assert.ok(id > 0)
  subscriber.send(puback(id))
  await subscriber.expectNothing()
})

test('[MQTT-4.3.3-1] QoS 2 outbound: PUBLISH, PUBREC, PUBREL with flags 2, PUBCOMP', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['q', 2])
  await publisher.publish({ topic: 'q', payload: 'x', qos: 2 })
  const { id } = await subscriber.expectPublish({ qos: 2, dup: false })
  const digits = id.toString(16).padStart(4, '0')
  subscriber.send(pubrec(id))
  await subscriber.expect(`62 02 ${digits}`)
  subscriber.send(pubrec(id))
  await subscriber.expect(`62 02 ${digits}`)
  subscriber.send(pubcomp(id))
  await subscriber.expectNothing()
})

const early = unlessMosquitto(test, 'it routes QoS 2 at PUBREL')
early('[MQTT-4.3.3-2] a second PUBLISH with a known QoS 2 id is acknowledged, not routed', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['q', 0])
  const message = { topic: 'q', payload: 'once', qos: 2, id: 7 } as const
  publisher.send(publish(message), publish({ ...message, dup: true }))
  await publisher.expect('50 02 00 07 50 02 00 07')
  publisher.send(pubrel(7))
  await publisher.expect('70 02 00 07')
  await subscriber.expectPublish({ text: 'once' })
  await subscriber.expectNothing()
})

test('[MQTT-4.3.3-2] a repeated QoS 2 PUBLISH reaches subscribers once, and the id is free after PUBREL', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['q', 0])
  for (const payload of ['first', 'second']) {
    const message = { topic: 'q', payload, qos: 2, id: 7 } as const
    publisher.send(publish(message), publish({ ...message, dup: true }))
    await publisher.expect('50 02 00 07 50 02 00 07')
    publisher.send(pubrel(7), pubrel(7))
    await publisher.expect('70 02 00 07 70 02 00 07')
    await subscriber.expectPublish({ text: payload })
    await subscriber.expectNothing()
  }
})

test('[MQTT-4.3.2-2] a repeated QoS 1 PUBLISH with DUP is a message of its own, delivered with DUP 0', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['q', 1])
  publisher.send(publish({ topic: 'q', payload: 'x', qos: 1, id: 3, dup: true }))
  await publisher.expect('40 02 00 03')
  await subscriber.expectPublish({ text: 'x', dup: false })
})

test('[MQTT-2.3.1-4] the ids a client gives out and those the broker gives out are two spaces', async () => {
  const [client, publisher] = [await connect('c'), await connect('p')]
  await client.subscribe(['down', 2])
  await publisher.publish({ topic: 'down', payload: 'd', qos: 2 })
  const { id } = await client.expectPublish({ topic: 'down', qos: 2 })
  // The same number upwards while it is in flight downwards, in every state.
  client.send(publish({ topic: 'up', payload: 'u', qos: 2, id }))
  assert.is((await client.expectPacket('PUBREC')).body.readUInt16BE(), id)
  client.send(pubrec(id))
  assert.is((await client.expectPacket('PUBREL')).body.readUInt16BE(), id)
  client.send(pubrel(id))
  assert.is((await client.expectPacket('PUBCOMP')).body.readUInt16BE(), id)
  client.send(pubcomp(id))
  await client.expectNothing()
})

test('[MQTT-4.6.0-2] acknowledgements leave in the order of their PUBLISH packets', async () => {
  const publisher = await connect('p')
  const ids = [9, 3, 500, 1, 65_535, 2]
  publisher.send(...ids.map((id) => publish({ topic: 'q', payload: `${id}`, qos: id % 2 ? 1 : 2, id })))
  for (const id of ids) {
    const packet = await publisher.expectPacket(id % 2 ? 'PUBACK' : 'PUBREC')
    assert.is(packet.body.readUInt16BE(), id)
  }
})

test('[MQTT-4.6.0-6] messages of one topic and QoS arrive in the order they were published', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['order/+', 2])
  for (const qos of [0, 1, 2] as const) {
    for (let n = 0; n < 200; n++) await publisher.publish({ topic: `order/${qos}`, payload: `${n}`, qos })
    const received = await subscriber.receive(200)
    assert.ok(received.every((message, n) => message.text === `${n}` && message.qos === qos))
  }
})

const window = unlessMosquitto(test, 'after an acknowledgement it lets one message too many out')
for (const qos of [1, 2] as const) {
  window(
    `no more than max_inflight_messages of QoS ${qos} are unacknowledged, the rest follows as they are`,
    async () => {
      const [subscriber, publisher] = [await connect('s'), await connect('p')]
      await subscriber.subscribe(['w', qos])
      for (let n = 0; n < 50; n++) await publisher.publish({ topic: 'w', payload: `${n}`, qos })
      const ids: number[] = []
      for (let n = 0; n < 20; n++) ids.push((await subscriber.expectPublish({ text: `${n}`, qos })).id)
      await subscriber.expectNothing()
      assert.is(new Set(ids).size, 20)
      for (let n = 20; n < 50; n++) {
        const id = ids.shift()!
        subscriber.send(qos === 1 ? puback(id) : pubrec(id))
        if (qos === 2) {
          await subscriber.expectPacket('PUBREL')
          await subscriber.expectNothing() // A PUBREL still occupies the window [MQTT-4.3.3-1].
          subscriber.send(pubcomp(id))
        }
        ids.push((await subscriber.expectPublish({ text: `${n}`, qos })).id)
        await subscriber.expectNothing()
      }
    },
  )
}

test('a full window of QoS 1 does not hold up QoS 0 for ever: both arrive complete', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['one', 1], ['zero', 0])
  for (let n = 0; n < 30; n++) {
    await publisher.publish({ topic: 'one', payload: `${n}`, qos: 1 })
    await publisher.publish({ topic: 'zero', payload: `${n}` })
  }
  const counts = { one: 0, zero: 0 }
  while (counts.one + counts.zero < 60) {
    const { topic, id, text } = await subscriber.expectPublish()
    assert.is(text, `${counts[topic as 'one' | 'zero']++}`)
    if (id > 0) subscriber.send(puback(id))
  }
})

window('acknowledgements out of order free their own id only', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['w', 1])
  for (let n = 0; n < 25; n++) await publisher.publish({ topic: 'w', payload: `${n}`, qos: 1 })
  const ids: number[] = []
  for (let n = 0; n < 20; n++) ids.push((await subscriber.expectPublish({ text: `${n}` })).id)
  subscriber.send(...ids.slice(10, 13).reverse().map(puback))
  for (const text of ['20', '21', '22']) await subscriber.expectPublish({ text, dup: false })
  await subscriber.expectNothing()
})

const wraps = unlessMosquitto(test, 'it gives an id in flight to a second message')
wraps('packet ids go on past 65,535 without a collision', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['wrap', 1])
  await publisher.publish({ topic: 'wrap', payload: 'held', qos: 1 })
  const held = await subscriber.expectPublish({ text: 'held' })
  const batch = 500
  for (let sent = 0; sent < 66_000; sent += batch) {
    const packets = Array.from({ length: batch }, (_, n) =>
      publish({ topic: 'wrap', payload: `${sent + n}`, qos: 1, id: n + 1 }),
    )
    publisher.send(...packets)
    for (let n = 0; n < batch; n++) {
      const { id, text } = await subscriber.expectPublish()
      if (text !== `${sent + n}` || id === held.id || id === 0)
        throw new Error(`message ${sent + n}: ${text}, id ${id}`)
      subscriber.send(puback(id))
    }
    for (let n = 0; n < batch; n++) await publisher.expectPacket('PUBACK')
  }
})

test.run()
