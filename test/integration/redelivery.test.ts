// What a persistent session keeps while its client is away, and what it sends again on resume: unacknowledged PUBLISH
// packets with DUP, PUBREL packets, all with their original ids and in their original order; and the queue limit.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { connect, puback, pubcomp, publish, pubrec, pubrel, type QoS } from '../support/packets.ts'
import { connect5, subscribe5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { unlessMosquitto } from '../support/target.ts'

const broker = await startBroker({ settings: { max_inflight_messages: 10, max_queued_messages: 100 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

const publisher = () => RawClient.connect(broker, { clientId: 'publisher' })
const stay = (clientId: string) => RawClient.connect(broker, { clientId, clean: false })
const publishMany = async (topic: string, qos: QoS, from: number, to: number) => {
  const client = await publisher()
  for (let n = from; n < to; n++) await client.publish({ topic, payload: `${n}`, qos })
  await client.disconnect()
}

for (const qos of [1, 2] as const) {
  test(`[MQTT-3.1.2-5] messages of QoS ${qos} published while a session is away are delivered when it is back`, async () => {
    const away = await stay(`away-${qos}`)
    await away.subscribe([`away/${qos}`, qos])
    await away.disconnect()
    await publishMany(`away/${qos}`, qos, 0, 30)
    const back = await stay(`away-${qos}`)
    assert.ok(back.sessionPresent)
    const received = await back.receive(30)
    assert.equal(
      received.map(({ text }) => text),
      Array.from({ length: 30 }, (_, n) => `${n}`),
    )
    for (const message of received) assert.ok(message.qos === qos && !message.dup)
    await back.expectNothing()
  })

  test(`[MQTT-4.4.0-1] unacknowledged PUBLISH of QoS ${qos} are sent again with DUP, their ids and their order`, async () => {
    const first = await stay(`again-${qos}`)
    await first.subscribe([`again/${qos}`, qos])
    await publishMany(`again/${qos}`, qos, 0, 15)
    const sent: number[] = []
    for (let n = 0; n < 10; n++) sent.push((await first.expectPublish({ text: `${n}`, dup: false })).id)
    first.destroy()
    for (let times = 0; times < 2; times++) {
      const again = await stay(`again-${qos}`)
      for (let n = 0; n < 10; n++) await again.expectPublish({ text: `${n}`, dup: true, id: sent[n]! }) // [MQTT-4.6.0-1]
      await again.expectNothing()
      again.destroy()
    }
    const last = await stay(`again-${qos}`)
    for (let n = 0; n < 10; n++) await last.expectPublish({ text: `${n}`, dup: true, id: sent[n]! })
    if (qos === 1) {
      last.send(...sent.map(puback))
      for (let n = 10; n < 15; n++) await last.expectPublish({ text: `${n}`, dup: false })
      await last.expectNothing()
    }
  })
}

test('[MQTT-4.4.0-1] a PUBREL that was not answered is sent again, and its PUBLISH is not', async () => {
  const first = await stay('released')
  await first.subscribe(['released', 2])
  await publishMany('released', 2, 0, 2)
  const { id } = await first.expectPublish({ text: '0' })
  const other = await first.expectPublish({ text: '1' })
  first.send(pubrec(id))
  await first.expectPacket('PUBREL')
  first.destroy()
  const again = await stay('released')
  const digits = id.toString(16).padStart(4, '0')
  await again.expect(`62 02 ${digits}`)
  await again.expectPublish({ text: '1', dup: true, id: other.id, qos: 2 })
  again.send(pubcomp(id), pubrec(other.id))
  await again.expectPacket('PUBREL')
  again.send(pubcomp(other.id))
  await again.expectNothing()
  again.destroy()
  const last = await stay('released')
  await last.expectNothing()
})

const early = unlessMosquitto(test, 'it forgets inbound QoS 2 ids it has not been sent a PUBREL for')
early(
  '[MQTT-4.3.3-2] an inbound QoS 2 id is known beyond a reconnect: the repeated PUBLISH is not routed',
  async () => {
    const subscriber = await RawClient.connect(broker, { clientId: 'subscriber' })
    await subscriber.subscribe(['inbound', 0])
    const first = await stay('inbound')
    first.send(publish({ topic: 'inbound', payload: 'once', qos: 2, id: 40 }))
    await first.expect('50 02 00 28')
    first.destroy()
    const again = await stay('inbound')
    again.send(publish({ topic: 'inbound', payload: 'once', qos: 2, id: 40, dup: true }))
    await again.expect('50 02 00 28')
    again.send(pubrel(40))
    await again.expect('70 02 00 28')
    await subscriber.expectPublish({ text: 'once' })
    await subscriber.expectNothing()
    again.send(publish({ topic: 'inbound', payload: 'new', qos: 2, id: 40 }))
    await again.expect('50 02 00 28')
    again.send(pubrel(40))
    await again.expect('70 02 00 28')
    await subscriber.expectPublish({ text: 'new' })
  },
)

test('[MQTT-3.1.2-6] a clean session drops what the stored one had queued', async () => {
  const first = await stay('dropped')
  await first.subscribe(['dropped', 1])
  await publishMany('dropped', 1, 0, 3)
  first.destroy()
  const clean = await RawClient.connect(broker, { clientId: 'dropped' })
  await clean.expectNothing()
  await clean.disconnect()
  await publishMany('dropped', 1, 3, 5)
  const again = await stay('dropped')
  assert.not(again.sessionPresent)
  await again.expectNothing()
})

test('messages of QoS 0 are not kept for a session that is away', async () => {
  const away = await stay('zero')
  await away.subscribe(['zero', 2])
  await away.disconnect()
  await publishMany('zero', 0, 0, 5)
  await publishMany('zero', 1, 5, 6)
  const back = await stay('zero')
  await back.expectPublish({ text: '5', qos: 1 })
  await back.expectNothing()
})

test('[MQTT-3.10.4-2] a filter given up before leaving collects nothing', async () => {
  const away = await stay('gave-up')
  await away.subscribe(['gave/up', 1], ['kept', 1])
  await away.unsubscribe('gave/up')
  await away.disconnect()
  await publishMany('gave/up', 1, 0, 2)
  await publishMany('kept', 1, 2, 3)
  const back = await stay('gave-up')
  await back.expectPublish({ text: '2', topic: 'kept' })
  await back.expectNothing()
})

test('[MQTT-3.10.4-3] UNSUBSCRIBE leaves the delivery of what is in flight to be completed', async () => {
  const first = await stay('completes')
  await first.subscribe(['completes', 2])
  await publishMany('completes', 2, 0, 1)
  const { id } = await first.expectPublish({ text: '0' })
  await first.unsubscribe('completes')
  first.destroy()
  const again = await stay('completes')
  await again.expectPublish({ text: '0', dup: true, id })
  again.send(pubrec(id))
  await again.expectPacket('PUBREL')
})

test('when a queue is full the newest messages are dropped and the oldest delivered in order', async () => {
  const away = await stay('full')
  await away.subscribe(['full', 1])
  await away.disconnect()
  await publishMany('full', 1, 0, 300)
  const back = await stay('full')
  const received = await back.receiveAll()
  assert.ok(received.every(({ text }, n) => text === `${n}`))
  const n = received.length
  // Whether the in-flight window counts against the queue is the broker's to say.
  assert.ok(n >= 100 && n <= 110, `${n} delivered`)
})

test('[MQTT-3.1.2-4] subscriptions of a stored session go on without SUBSCRIBE, also over several reconnects', async () => {
  const first = await stay('goes-on')
  await first.subscribe(['goes/on', 1])
  first.destroy()
  for (let n = 0; n < 5; n++) {
    const again = await stay('goes-on')
    await publishMany('goes/on', 1, n, n + 1)
    const { id } = await again.expectPublish({ text: `${n}` })
    again.send(puback(id))
    await again.expectNothing()
    again.destroy()
  }
})

test('a message acknowledged in the segment of the FIN is not sent again', async () => {
  const first = await stay('last-words')
  await first.subscribe(['last/words', 1])
  await publishMany('last/words', 1, 0, 1)
  const { id } = await first.expectPublish({ text: '0' })
  first.end(puback(id))
  await first.expectClosed()
  const again = await stay('last-words')
  await again.expectNothing()
})

test('a session whose client comes and goes while messages flow loses none and repeats only with DUP', async () => {
  const first = await stay('commuter')
  await first.subscribe(['commuter', 1])
  first.destroy()
  const source = await publisher()
  const seen = new Set<number>()
  let published = 0
  while (seen.size < 100) {
    const client = await RawClient.dial(broker, connect({ clientId: 'commuter', clean: false }))
    await client.expect('20 02 .. 00')
    for (let n = 0; n < 10 && published < 100; n++) {
      source.send(publish({ topic: 'commuter', payload: `${published}`, qos: 1, id: ++published }))
    }
    for (let n = 0; n < 7 && seen.size < 100; n++) {
      const { text, dup, id } = await client.expectPublish()
      assert.ok(dup || !seen.has(Number(text)), `${text} twice without DUP`)
      seen.add(Number(text))
      client.send(puback(id))
    }
    client.reset()
  }
  for (let n = 0; n < 100; n++) assert.ok(seen.has(n), `${n} was lost`)
})

const retries = unlessMosquitto(test, 'it has no retry_interval any more')
retries(
  'with retry_interval, what a connected client does not acknowledge is sent again with DUP, until it is',
  async () => {
    const retrying = await startBroker({ settings: { retry_interval: 1 } })
    const client = await RawClient.connect(retrying, { clientId: 'retried' })
    await client.subscribe(['retry/#', 2])
    const five = await RawClient.dial(retrying, connect5({ clientId: 'five' }), subscribe5(1, [], ['retry/#', 2]))
    await five.expectPacket('CONNACK')
    await five.expectPacket('SUBACK')
    const source = await RawClient.connect(retrying, { clientId: 'source' })
    await source.publish({ topic: 'retry/1', payload: 'one', qos: 1 })
    await source.publish({ topic: 'retry/2', payload: 'two', qos: 2 })
    const one = await client.expectPublish({ text: 'one', dup: false })
    const two = await client.expectPublish({ text: 'two', dup: false })
    await client.expectPublish({ text: 'one', dup: true, id: one.id })
    await client.expectPublish({ text: 'two', dup: true, id: two.id })
    client.send(puback(one.id), pubrec(two.id))
    // First the answer to PUBREC, then what the interval sends again: the PUBREL alone [MQTT-4.3.3-1].
    for (let times = 0; times < 2; times++) {
      const { type, body } = await client.nextPacket('PUBREL')
      assert.equal([type, body.readUInt16BE()], [6, two.id])
    }
    client.send(pubcomp(two.id))
    await client.expectNothing()
    // [MQTT-4.4.0-1] MQTT 5 forbids it: each once, and then nothing, however long it is unacknowledged.
    for (const topic of ['retry/1', 'retry/2']) {
      const { body, flags } = await five.expectPacket('PUBLISH')
      assert.equal([body.toString('latin1', 2, 9), flags & 8], [topic, 0])
    }
    await five.expectNothing()
    closeClients()
    await retrying.stopCleanly()
  },
)

test.run()
