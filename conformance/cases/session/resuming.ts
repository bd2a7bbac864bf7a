// Sessions that outlive their connection, seen from several sides: expiry, takeover, queues longer than the window.

import { defineCase } from '../../case.ts'
import * as wire from '../../wire.ts'
import { property } from '../../wire.ts'
import { marker, pair, text, timePasses } from '../common.ts'

defineCase({
  id: 'clean-start-with-expiry',
  area: 'session',
  title: 'A session begun with Clean Start 1 and a Session Expiry Interval outlives its connection',
  clauses: { '5': ['MQTT-3.1.2-23', 'MQTT-3.1.2-5', 'MQTT-3.2.2-3'] },
  needs: ['sessions'],
  async run(t) {
    const first = await t.connectPersistent({ clean: true, label: 'first' })
    t.check(first.connack?.sessionPresent === false, 'Session Present 0', first.connack)
    await first.disconnect()
    const second = await t.connectPersistent({ label: 'second' })
    t.check(second.connack?.sessionPresent === true, 'Session Present 1', second.connack)
  },
})

defineCase({
  id: 'expiry-extended-by-disconnect',
  area: 'session',
  title: 'DISCONNECT may lengthen a Session Expiry Interval that was not 0',
  clauses: { '5': ['MQTT-3.1.2-23', 'MQTT-4.1.0-2'] },
  needs: ['sessions'],
  async run(t) {
    const first = await t.connectPersistent({ expiry: 1, label: 'first' })
    await first.disconnect(0, [property('sessionExpiryInterval', 300)])
    await timePasses(3000)
    const second = await t.connectPersistent({ label: 'second' })
    t.check(second.connack?.sessionPresent === true, 'Session Present 1 after 3 s', second.connack)
  },
})

defineCase({
  id: 'takeover-resumes',
  area: 'session',
  title: 'A client that takes over a live connection of its session resumes it: unacknowledged messages come again',
  clauses: {
    '3.1.1': ['MQTT-3.1.4-2', 'MQTT-3.1.2-4', 'MQTT-4.4.0-1', 'MQTT-3.3.1-1'],
    '5': ['MQTT-3.1.4-3', 'MQTT-3.1.2-5', 'MQTT-4.4.0-1', 'MQTT-3.3.1-1'],
  },
  needs: ['sessions', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 1)
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'one', qos: 1 })
    const original = await first.take('publish', { why: 'the message, not acknowledged' })
    const second = await t.connectPersistent({ label: 'second' })
    t.check(second.connack?.sessionPresent === true, 'Session Present 1', second.connack)
    await first.closed('its session was taken over')
    const again = await second.receive('the message again')
    t.equal([text(again), again.packetId, again.dup], ['one', original.packetId, true], 'payload, identifier and DUP')
    await publisher.publish({ topic, payload: 'two', qos: 1 })
    t.equal(text(await second.receive('the next message')), 'two', 'the payload')
  },
})

defineCase({
  id: 'unsubscribed-stays-unsubscribed',
  area: 'session',
  title: 'A filter unsubscribed is gone from the session for good, the others stay',
  clauses: { '3.1.1': ['MQTT-3.10.4-1', 'MQTT-4.1.0-1'], '5': ['MQTT-3.10.4-1', 'MQTT-3.1.2-23'] },
  needs: ['sessions', 'qos1'],
  async run(t) {
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe([
      [t.topic('gone'), 1],
      [t.topic('kept'), 1],
    ])
    await first.unsubscribe([t.topic('gone')])
    await first.disconnect()
    const publisher = await t.connect({ label: 'publisher' })
    for (const level of ['gone', 'kept']) await publisher.publish({ topic: t.topic(level), payload: level, qos: 1 })
    const second = await t.connectPersistent({ label: 'second' })
    const settled = await marker(t, second, publisher, 1)
    t.equal((await settled('the message for the filter that is left', 1)).map(text), ['kept'], 'the messages')
  },
})

defineCase({
  id: 'granted-qos-while-away',
  area: 'session',
  title: 'A message stored for a session has the lower of its own QoS and the QoS granted',
  clauses: { '3.1.1': ['MQTT-3.8.4-6', 'MQTT-3.1.2-5'], '5': ['MQTT-3.8.4-8', 'MQTT-4.5.0-1'] },
  needs: ['sessions', 'qos2'],
  async run(t) {
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe([
      [t.topic('1'), 1],
      [t.topic('2'), 2],
    ])
    await first.disconnect()
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic: t.topic('1'), payload: 'two, granted one', qos: 2 })
    await publisher.publish({ topic: t.topic('2'), payload: 'one, granted two', qos: 1 })
    const second = await t.connectPersistent({ label: 'second' })
    for (let n = 0; n < 2; n++) t.equal((await second.receive('a stored message')).qos, 1, 'the QoS')
  },
})

for (const qos of [1, 2] as const) {
  defineCase({
    id: `sixty-stored-qos-${qos}`,
    area: 'session',
    title: `Sixty QoS ${qos} messages stored for a session come back complete and in order`,
    clauses: {
      '3.1.1': ['MQTT-3.1.2-5', 'MQTT-4.6.0-6'],
      '5': ['MQTT-4.5.0-1', 'MQTT-4.6.0-5', 'MQTT-3.3.4-9'],
    },
    needs: ['sessions', qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const first = await t.connectPersistent({ label: 'first' })
      await first.subscribe(topic, qos)
      await first.disconnect()
      const publisher = await t.connect({ label: 'publisher' })
      const all = Array.from({ length: 60 }, (_, n) => `${n}`)
      for (const payload of all) await publisher.publish({ topic, payload, qos })
      const list = t.v5 ? [property('receiveMaximum', 7)] : []
      const second = await t.connect({
        clientId: t.id('s'),
        clean: false,
        label: 'second',
        properties: t.v5 ? [property('sessionExpiryInterval', 300), ...list] : [],
      })
      const got: string[] = []
      for (const payload of all) got.push(text(await second.receive(`message ${payload}`)))
      t.equal(got, all, 'the messages')
      t.equal((await second.flush()).length, 0, 'number of further packets')
    },
  })
}

defineCase({
  id: 'will-for-a-session-that-is-away',
  area: 'will',
  title: 'A QoS 1 Will Message is stored for a subscriber that is away',
  clauses: { '3.1.1': ['MQTT-3.1.2-8', 'MQTT-3.1.2-5'], '5': ['MQTT-3.1.2-8', 'MQTT-4.5.0-1'] },
  needs: ['sessions', 'qos1'],
  async run(t) {
    const topic = t.topic('will')
    const { subscriber: witness } = await pair(t, topic, 1)
    const first = await t.connectPersistent({ label: 'subscriber' })
    await first.subscribe(topic, 1)
    await first.disconnect()
    const client = await t.connect({
      label: 'has a will',
      clientId: t.id('w'),
      will: { topic, payload: 'will', qos: 1 },
    })
    client.drop()
    await witness.receive('the Will Message at a witness')
    const second = await t.connectPersistent({ label: 'subscriber, again' })
    const will = await second.receive('the stored Will Message')
    t.equal([text(will), will.qos], ['will', 1], 'payload and QoS')
  },
})

defineCase({
  id: 'after-invalid-disconnect',
  area: 'will',
  title: 'A DISCONNECT that raises a Session Expiry Interval of 0 is not valid and leaves the Will Message',
  clauses: { '5': ['MQTT-3.1.2-8', 'MQTT-4.13.1-1'] },
  async run(t) {
    const topic = t.topic('will')
    const { subscriber } = await pair(t, topic)
    const client = await t.connect({ label: 'has a will', clientId: t.id('w'), will: { topic, payload: 'will' } })
    client.send(wire.disconnect(0, [property('sessionExpiryInterval', 300)]), 'a Protocol Error: the expiry was 0')
    await client.closed('the Session Expiry Interval was 0 and cannot be raised')
    await subscriber.receive('the Will Message')
  },
})
