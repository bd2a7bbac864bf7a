// How connections end (the four close states): what a peer sent before its FIN is handled and answered, what the broker
// says last is not cut off by a RST, and resets at every point hurt nobody else.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import {
  connect,
  disconnect,
  frame,
  pingreq,
  publish,
  pubrel,
  rawConnect,
  string,
  subscribe,
} from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { sized, unlessMosquitto } from '../support/target.ts'

const broker = await startBroker({ findsLeaks: true })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

const halfClose = unlessMosquitto(test, 'it takes FIN for the end of both directions')
const refusal = unlessMosquitto(test, 'it closes with unread bytes, so that the kernel sends RST')

halfClose('PUBLISH and FIN: the message is routed, PUBACK comes back, then FIN', async () => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['closing', 0])
  const client = await RawClient.connect(broker, { clientId: 'one-shot' })
  client.end(publish({ topic: 'closing', payload: 'x', qos: 1, id: 5 }))
  await client.expect('40 02 00 05')
  await client.expectClosed('fin')
  await watcher.expectPublish({ text: 'x' })
})

halfClose('CONNECT, PUBLISH, SUBSCRIBE, PINGREQ and FIN in one segment are all answered, then FIN', async () => {
  const client = await RawClient.dial(broker)
  client.end(
    connect({ clientId: 'all-at-once' }),
    publish({ topic: 'closing', payload: 'x', qos: 1, id: 1 }),
    publish({ topic: 'closing', payload: 'x', qos: 2, id: 2 }),
    pubrel(2),
    subscribe(3, ['closing/other', 1]),
    pingreq(),
  )
  await client.expect('20 02 00 00  40 02 00 01  50 02 00 02  70 02 00 02  90 03 00 03 01  d0 00')
  await client.expectClosed('fin')
})

halfClose('1,000 PUBLISH packets and FIN get 1,000 PUBACK packets, then FIN', async () => {
  const client = await RawClient.connect(broker, { clientId: 'many' })
  client.end(...Array.from({ length: 1000 }, (_, n) => publish({ topic: 'closing', payload: 'x', qos: 1, id: n + 1 })))
  for (let n = 0; n < 1000; n++) assert.is((await client.expectPacket('PUBACK')).body.readUInt16BE(), n + 1)
  await client.expectClosed('fin')
})

halfClose('a half-closed subscriber that stopped reading gets what was queued before its FIN, then FIN', async () => {
  const subscriber = await RawClient.connect(broker, { clientId: 'half-closed' })
  await subscriber.subscribe(['half', 0])
  subscriber.pause()
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  const payload = 'x'.repeat(1000)
  for (let n = 0; n < 500; n++) publisher.send(publish({ topic: 'half', payload: `${n} ${payload}` }))
  await publisher.settled()
  subscriber.end()
  await publisher.settled()
  subscriber.resume()
  for (let n = 0; n < 500; n++) assert.ok((await subscriber.expectPublish()).text.startsWith(`${n} `))
  await subscriber.expectClosed('fin')
})

test('FIN alone is answered with FIN', async () => {
  const client = await RawClient.connect(broker, { clientId: 'fin' })
  client.end()
  await client.expectClosed('fin')
})

test('FIN before CONNECT is answered with FIN', async () => {
  const client = await RawClient.dial(broker)
  client.end()
  await client.expectClosed('fin')
})

test('[MQTT-3.14.4-2] DISCONNECT is answered with FIN, and nothing behind it is handled', async () => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['behind/disconnect', 0])
  const client = await RawClient.connect(broker, { clientId: 'disconnects' })
  client.send(disconnect(), publish({ topic: 'behind/disconnect', payload: 'x', qos: 1, id: 1 }))
  await client.expectClosed()
  await watcher.expectNothing()
})

refusal('DISCONNECT with bytes behind it is answered with FIN, not RST', async () => {
  const client = await RawClient.connect(broker, { clientId: 'disconnects' })
  client.send(disconnect(), Buffer.alloc(100_000))
  await client.expectClosed('fin')
})

for (const [what, packet, answer] of [
  ['an unacceptable level', rawConnect('MQTT', 2, 2, string('refused')), '20 02 00 01'],
  ['an empty client id of a stored session', connect({ clientId: '', clean: false }), '20 02 00 02'],
] as const) {
  refusal(`[MQTT-3.2.2-5] the CONNACK that refuses ${what} arrives although unread bytes wait`, async () => {
    for (let times = 0; times < 10; times++) {
      const client = await RawClient.dial(broker, packet, Buffer.alloc(sized(1_000_000, 20_000), 0x30))
      await client.expect(answer)
      await client.expectClosed('fin')
    }
  })
}

test('a reset at every point of a conversation hurts nobody else', async () => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['reset/#', 1])
  const conversation = Buffer.concat([
    connect({ clientId: 'resets', clean: false, will: { topic: 'reset/will', payload: 'w' } }),
    subscribe(1, ['reset/#', 2]),
    publish({ topic: 'reset/a', payload: 'x', qos: 2, id: 2 }),
    pubrel(2),
    publish({ topic: 'reset/b', payload: 'y'.repeat(50), qos: 1, id: 3 }),
    pingreq(),
  ])
  for (let length = 0; length <= conversation.length; length++) {
    const client = await RawClient.dial(broker)
    if (length > 0) await client.sendAll(conversation.subarray(0, length))
    client.reset()
  }
  for (const message of await watcher.receiveAll())
    assert.ok(['reset/a', 'reset/b', 'reset/will'].includes(message.topic))
  const clean = await RawClient.connect(broker, { clientId: 'resets' })
  await clean.expectNothing()
})

test('a FIN at every point of a conversation is answered with the end of the stream', async () => {
  const conversation = Buffer.concat([
    connect({ clientId: 'ends' }),
    publish({ topic: 'end/a', payload: 'x', qos: 1, id: 2 }),
    pingreq(),
  ])
  for (let length = 0; length <= conversation.length; length++) {
    const client = await RawClient.dial(broker)
    client.end(conversation.subarray(0, length))
    await client.readToEnd()
  }
})

test('a subscriber that resets while messages are written to it hurts nobody else', async () => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['flow', 0])
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  const message = publish({ topic: 'flow', payload: Buffer.alloc(5000) })
  for (let round = 0; round < 20; round++) {
    const client = await RawClient.connect(broker, { clientId: `leaves-${round}` })
    await client.subscribe(['flow', 0])
    if (round % 2) client.pause()
    publisher.send(...Array.from({ length: 20 }, () => message))
    client.reset()
    publisher.send(...Array.from({ length: 20 }, () => message))
    await publisher.settled()
  }
  for (let n = 0; n < 20 * 40; n++) await watcher.expectPublish({ topic: 'flow' })
  await watcher.expectNothing()
})

test('[MQTT-4.8.0-1] a packet that is not complete at the FIN is not handled', async () => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['incomplete', 0])
  const client = await RawClient.connect(broker, { clientId: 'incomplete' })
  const packet = publish({ topic: 'incomplete', payload: 'complete' })
  client.end(packet, packet.subarray(0, packet.length - 1))
  await client.expectClosed()
  await watcher.expectPublish({ text: 'complete' })
  await watcher.expectNothing()
})

test('a client that never closes after the broker has ended the connection does not keep it', async () => {
  const client = await RawClient.connect(broker, { clientId: 'stays-open' })
  client.send(frame(0x36))
  assert.is(await client.nextByte(), undefined)
  const next = await RawClient.connect(broker, { clientId: 'stays-open' })
  await next.expectNothing()
})

test.run()
