// The Will Message: when it is published, when it is not, and how.

import { defineCase } from '../../case.ts'
import type { Client } from '../../client.ts'
import type { Context } from '../../context.ts'
import * as wire from '../../wire.ts'
import { hex } from '../../wire.ts'
import { pair, text } from '../common.ts'

/** A client with a will on `topic`; more than the payload only where the case is about it. */
function withWill(
  t: Context,
  topic: string,
  more: Partial<wire.WillOptions> = {},
  rest: wire.ConnectOptions = {},
): Promise<Client> {
  return t.connect({ label: 'has a will', clientId: t.id('w'), will: { topic, payload: 'will', ...more }, ...rest })
}

/** A connection with the ClientId: once it is accepted, the server has noticed the end of the one before. */
const noticed = (t: Context, clientId: string): Promise<Client> =>
  t.connect({ label: 'the same ClientId again', clientId })

const published = {
  '3.1.1': ['MQTT-3.1.2-8', 'MQTT-3.1.2-9'],
  '5': ['MQTT-3.1.2-7', 'MQTT-3.1.2-8', 'MQTT-3.1.2-9'],
}

const ENDINGS: [id: string, title: string, end: (client: Client, t: Context) => void][] = [
  ['after-fin', 'ends the stream without DISCONNECT', (client) => client.end()],
  ['after-close', 'closes its socket', (client) => client.drop()],
  ['after-reset', 'resets the connection', (client) => client.reset()],
  [
    'after-protocol-error',
    'is thrown out for a malformed packet',
    (client) => client.send(hex('36 00'), 'PUBLISH with QoS 3'),
  ],
]

for (const [id, title, end] of ENDINGS) {
  defineCase({
    id,
    area: 'will',
    title: `The Will Message is published, once, when the client ${title}`,
    clauses: published,
    async run(t) {
      const topic = t.topic('will')
      const { subscriber, settled } = await pair(t, topic)
      end(await withWill(t, topic), t)
      const will = await subscriber.receive('the Will Message')
      t.equal([will.topic, text(will), will.retain], [topic, 'will', false], 'topic, payload and RETAIN')
      t.none(await settled('no second copy'), 'no second copy')
    },
  })
}

defineCase({
  id: 'after-keep-alive',
  area: 'will',
  title: 'The Will Message is published when the Keep Alive runs out',
  clauses: { '3.1.1': [...published['3.1.1'], 'MQTT-3.1.2-24'], '5': [...published['5'], 'MQTT-3.1.2-22'] },
  deadline: 25_000,
  async run(t) {
    if ((t.features.serverKeepAlive ?? 0) > 5)
      t.skip(`the server dictates a Keep Alive of ${t.features.serverKeepAlive} s`)
    const topic = t.topic('will')
    const { subscriber } = await pair(t, topic)
    await withWill(t, topic, {}, { keepAlive: 1 })
    await subscriber.receive(
      'the Will Message of a client silent for longer than 1.5 times its Keep Alive of 1 s',
      undefined,
      10_000,
    )
  },
})

defineCase({
  id: 'not-after-disconnect',
  area: 'will',
  title: 'DISCONNECT throws the Will Message away',
  clauses: { '3.1.1': ['MQTT-3.1.2-10', 'MQTT-3.14.4-3'], '5': ['MQTT-3.1.2-10', 'MQTT-3.14.4-3'] },
  async run(t) {
    const topic = t.topic('will')
    const { settled } = await pair(t, topic)
    const client = await withWill(t, topic)
    await client.disconnect()
    await noticed(t, t.id('w'))
    t.none(await settled('no Will Message'), 'no Will Message')
  },
})

defineCase({
  id: 'disconnect-with-will',
  area: 'will',
  title: 'DISCONNECT 0x04 publishes the Will Message',
  clauses: { '5': ['MQTT-3.1.2-8'] },
  async run(t) {
    const topic = t.topic('will')
    const { subscriber } = await pair(t, topic)
    const client = await withWill(t, topic)
    await client.disconnect(0x04)
    await subscriber.receive('the Will Message')
  },
})

defineCase({
  id: 'none-without-will-flag',
  area: 'will',
  title: 'Without Will Flag nothing is published when the connection breaks',
  clauses: { '3.1.1': ['MQTT-3.1.2-12'], '5': ['MQTT-3.1.2-7'] },
  needs: ['wildcards'],
  async run(t) {
    const { settled } = await pair(t, `${t.topic('will')}/#`)
    const client = await t.connect({ label: 'has no will', clientId: t.id('w') })
    client.drop()
    await noticed(t, t.id('w'))
    t.none(await settled('no message'), 'no message')
  },
})

defineCase({
  id: 'not-twice',
  area: 'will',
  title: 'A Will Message once published is forgotten: the next connection without will leaves none',
  clauses: { '3.1.1': ['MQTT-3.1.2-10', 'MQTT-3.1.2-12'], '5': ['MQTT-3.1.2-10'] },
  async run(t) {
    const topic = t.topic('will')
    const { subscriber, settled } = await pair(t, topic)
    const first = await t.connectPersistent({ label: 'has a will', will: { topic, payload: 'will' } })
    first.drop()
    await subscriber.receive('the Will Message')
    const second = await t.connectPersistent({ label: 'same client without will' })
    second.drop()
    await noticed(t, t.id('s'))
    t.none(await settled('no second Will Message'), 'no second Will Message')
  },
})

defineCase({
  id: 'forgotten-after-disconnect',
  area: 'will',
  title: 'After DISCONNECT the will is gone for later connections of the session too',
  clauses: { '3.1.1': ['MQTT-3.1.2-10'], '5': ['MQTT-3.1.2-10', 'MQTT-3.14.4-3'] },
  async run(t) {
    const topic = t.topic('will')
    const { settled } = await pair(t, topic)
    const first = await t.connectPersistent({ label: 'has a will', will: { topic, payload: 'will' } })
    await first.disconnect()
    const second = await t.connectPersistent({ label: 'same client without will' })
    second.drop()
    await noticed(t, t.id('s'))
    t.none(await settled('no Will Message'), 'no Will Message')
  },
})

for (const qos of [0, 1, 2] as const) {
  defineCase({
    id: `qos-${qos}`,
    area: 'will',
    title: `A Will Message with Will QoS ${qos} is delivered with QoS ${qos} to a QoS 2 subscription`,
    clauses: { '3.1.1': ['MQTT-3.1.2-9', 'MQTT-3.1.2-14'], '5': ['MQTT-3.1.2-9', 'MQTT-3.1.2-12'] },
    needs: ['qos2'],
    async run(t) {
      const topic = t.topic('will')
      const { subscriber } = await pair(t, topic, 2)
      const client = await withWill(t, topic, { qos })
      client.drop()
      const will = await subscriber.receive('the Will Message')
      t.equal(will.qos, qos, 'the QoS')
    },
  })
}

defineCase({
  id: 'not-retained',
  area: 'will',
  title: 'With Will Retain 0 the Will Message is not retained',
  clauses: { '3.1.1': ['MQTT-3.1.2-16'], '5': ['MQTT-3.1.2-14'] },
  async run(t) {
    const topic = t.topic('will')
    const { subscriber } = await pair(t, topic)
    const client = await withWill(t, topic)
    client.drop()
    t.equal((await subscriber.receive('the Will Message')).retain, false, 'RETAIN')
    const late = await t.connect({ label: 'subscribes later' })
    await late.subscribe(topic, 0)
    t.none(await late.flush(), 'no retained message for a later subscriber')
  },
})

defineCase({
  id: 'retained',
  area: 'will',
  title: 'With Will Retain 1 the Will Message is retained',
  clauses: { '3.1.1': ['MQTT-3.1.2-17'], '5': ['MQTT-3.1.2-15'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('will')
    t.leavesRetained(topic)
    const { subscriber } = await pair(t, topic)
    const client = await withWill(t, topic, { retain: true })
    client.drop()
    t.equal((await subscriber.receive('the Will Message')).retain, false, 'RETAIN for the existing subscription')
    const late = await t.connect({ label: 'subscribes later' })
    await late.subscribe(topic, 0)
    const message = await late.receive('the retained Will Message')
    t.equal([text(message), message.retain], ['will', true], 'payload and RETAIN')
  },
})

defineCase({
  id: 'empty-payload',
  area: 'will',
  title: 'A Will Message without payload is published',
  clauses: published,
  async run(t) {
    const topic = t.topic('will')
    const { subscriber } = await pair(t, topic)
    const client = await withWill(t, topic, { payload: '' })
    client.drop()
    t.equal((await subscriber.receive('the Will Message')).payload?.length, 0, 'the length of the payload')
  },
})

defineCase({
  id: 'after-takeover',
  area: 'will',
  title: 'A client taken over by another with its ClientId leaves its Will Message',
  clauses: published,
  async run(t) {
    const topic = t.topic('will')
    const { subscriber, settled } = await pair(t, topic)
    await withWill(t, topic)
    await t.connect({ clientId: t.id('w'), label: 'takes over' })
    await subscriber.receive('the Will Message of the connection that was taken over')
    t.none(await settled('no second copy'), 'no second copy')
  },
})

defineCase({
  id: 'behind-what-came-before',
  area: 'will',
  title: 'Messages sent before the connection ended come before the Will Message',
  clauses: { '3.1.1': ['MQTT-3.1.2-8'], '5': ['MQTT-3.1.2-8'] },
  async run(t) {
    const topic = t.topic('will')
    const { subscriber, settled } = await pair(t, topic)
    const client = await withWill(t, topic)
    client.send(wire.publish(t.version, { topic, payload: 'last words' }))
    client.end()
    t.equal(text(await subscriber.receive('the message sent before')), 'last words', 'the first payload')
    t.equal(text(await subscriber.receive('the Will Message')), 'will', 'the second payload')
    t.none(await settled('nothing more'), 'nothing more')
  },
})
