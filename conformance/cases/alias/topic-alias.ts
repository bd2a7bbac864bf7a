// Topic Aliases, both ways.

import { defineCase, defineInvariant } from '../../case.ts'
import type { Client } from '../../client.ts'
import { describe, type Packet, prop } from '../../packet.ts'
import * as wire from '../../wire.ts'
import { property } from '../../wire.ts'
import { type Pair, pair, text } from '../common.ts'

const alias = (value: number) => [property('topicAlias', value)]

defineInvariant({
  id: 'server-keeps-to-the-maximum',
  area: 'alias',
  title: 'The server uses no Topic Alias above the Topic Alias Maximum of the client, none without it, and never 0',
  clauses: { '5': ['MQTT-3.1.2-26', 'MQTT-3.1.2-27', 'MQTT-3.3.2-8', 'MQTT-3.3.2-11'] },
  judge: (log) => {
    const connect = log.entries.find((e) => e.direction === 'sent' && e.packet.kind === 'connect')?.packet
    const maximum = connect === undefined ? 0 : Number(prop(connect, 'topicAliasMaximum') ?? 0)
    const all = log.entries
      .filter((e) => e.direction === 'received' && e.packet.kind === 'publish')
      .map((e) => e.packet)
    const wrong = all.filter((p) => {
      const value = prop(p, 'topicAlias')
      return value !== undefined && (value === 0 || Number(value) > maximum)
    })
    return { applied: all.length, broken: wrong.map((p) => `the maximum is ${maximum}: ${describe(p)}`) }
  },
})

defineInvariant({
  id: 'server-sets-before-it-uses',
  area: 'alias',
  title: 'An alias of the server stands alone only after it was set on the same connection',
  clauses: { '5': ['MQTT-3.3.2-7'] },
  judge: (log) => {
    const known = new Set<number>()
    const broken: string[] = []
    let applied = 0
    for (const { direction, packet } of log.entries) {
      const value = packet.kind === 'publish' && direction === 'received' ? prop(packet, 'topicAlias') : undefined
      if (value === undefined) continue
      applied++
      if (packet.topic !== '') known.add(Number(value))
      else if (!known.has(Number(value))) broken.push(`alias ${value} was never set: ${describe(packet)}`)
    }
    return { applied, broken }
  },
})

defineCase({
  id: 'server-aliases-after-reconnection',
  area: 'alias',
  title: 'A server that uses aliases sets them anew on each connection of a session',
  clauses: { '5': ['MQTT-3.3.2-7'] },
  needs: ['sessions', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const list = [property('topicAliasMaximum', 5)]
    const publisher = await t.connect({ label: 'publisher' })
    for (const label of ['first', 'second', 'third']) {
      const client = await t.connectPersistent({ label, properties: list })
      if (label === 'first') await client.subscribe(topic, 1)
      for (let n = 0; n < 6; n++) await publisher.publish({ topic, payload: `${n}`, qos: 1 })
      for (let n = 0; n < 6; n++) {
        const message = await client.receive(`message ${n}`)
        if (n === 0) t.equal(message.topic, topic, 'the topic of the first message on this connection')
      }
      client.drop()
      await publisher.publish({ topic, payload: 'while away', qos: 1 })
      const between = await t.connectPersistent({ label: `${label}, for what was stored`, properties: list })
      const stored = await between.receive('the stored message')
      t.equal([stored.topic, text(stored)], [topic, 'while away'], 'topic and payload')
      between.drop()
    }
  },
})

defineCase({
  id: 'accepted',
  area: 'alias',
  title: 'A Topic Alias set once stands for its topic; it can be set to another topic; the highest one works too',
  clauses: { '5': ['MQTT-3.3.2-12'] },
  needs: ['topic-alias', 'wildcards'],
  async run(t) {
    const { subscriber, publisher } = await pair(t, t.topic('#'))
    for (const value of [1, t.features.topicAliasMaximum]) {
      for (const level of ['a', 'b']) {
        await publisher.publish({ topic: t.topic(level), payload: 'named', properties: alias(value) })
        t.equal((await subscriber.receive('the message with a name')).topic, t.topic(level), 'the topic')
        await publisher.publish({ topic: '', payload: 'alias', properties: alias(value) })
        const message = await subscriber.receive('the message with an alias only')
        t.equal([message.topic, text(message)], [t.topic(level), 'alias'], 'topic and payload')
      }
    }
  },
})

defineCase({
  id: 'not-forwarded',
  area: 'alias',
  title: 'The alias of a publisher is not passed on to a subscriber that allows none',
  clauses: { '5': ['MQTT-3.1.2-27', 'MQTT-3.3.2-7'] },
  needs: ['topic-alias'],
  async run(t) {
    const { subscriber, publisher } = await pair(t, t.topic('a'))
    await publisher.publish({ topic: t.topic('a'), payload: 'x', properties: alias(1) })
    t.equal(prop(await subscriber.receive('the message'), 'topicAlias'), undefined, 'Topic Alias')
  },
})

defineCase({
  id: 'unknown',
  area: 'alias',
  title: 'An alias that was never set closes the connection',
  clauses: { '5': ['MQTT-4.13.1-1'] },
  needs: ['topic-alias'],
  async run(t) {
    const client = await t.connect()
    const bytes = wire.publish(5, { topic: '', payload: 'x', properties: alias(1) })
    await t.rejected(client, bytes, 'alias 1 stands for no topic', [0x82, 0x94])
  },
})

defineCase({
  id: 'above-the-maximum',
  area: 'alias',
  title: 'An alias above the Topic Alias Maximum of the server closes the connection',
  clauses: { '5': ['MQTT-4.13.1-1'] },
  async run(t) {
    const maximum = t.features.topicAliasMaximum
    if (maximum === 65_535) t.skip('the server accepts every alias')
    const client = await t.connect()
    const bytes = wire.publish(5, { topic: t.topic('a'), payload: 'x', properties: alias(maximum + 1) })
    await t.rejected(client, bytes, `the maximum is ${maximum}`, [0x94])
  },
})

defineCase({
  id: 'gone-with-the-connection',
  area: 'alias',
  title: 'A new connection does not know the aliases of the one before, even in the same session',
  clauses: { '5': ['MQTT-3.3.2-7'] },
  needs: ['topic-alias', 'sessions'],
  async run(t) {
    const first = await t.connectPersistent({ label: 'first' })
    await first.publish({ topic: t.topic('a'), payload: 'x', properties: alias(1) })
    await first.flush()
    first.drop()
    const second = await t.connectPersistent({ label: 'second' })
    const bytes = wire.publish(5, { topic: '', payload: 'x', properties: alias(1) })
    await t.rejected(second, bytes, 'alias 1 was set on the connection before', [0x82, 0x94])
  },
})

defineCase({
  id: 'server-aliases',
  area: 'alias',
  title: 'If the server uses aliases towards a client, each is within its maximum and set before it stands alone',
  clauses: { '5': ['MQTT-3.1.2-26', 'MQTT-3.3.2-11'] },
  async run(t) {
    const topics = ['a', 'b', 'c'].map((level) => t.topic(level))
    const { subscriber, publisher, settled } = await pair(
      t,
      topics.map((topic) => [topic, 0] as const),
      0,
      { subscriber: { properties: [property('topicAliasMaximum', 2)] } },
    )
    t.check(!subscriber.isClosed, 'a connected subscriber')
    for (let n = 0; n < 10; n++) for (const topic of topics) await publisher.publish({ topic, payload: topic })
    const known = new Map<number, string>()
    // The marker travels with the messages and may use aliases like them.
    const names: (string | undefined)[] = []
    for (const message of await collect(settled, subscriber)) {
      const value = Number(prop(message, 'topicAlias') ?? 0)
      t.check(value <= 2, 'an alias of at most 2', message)
      if (value > 0 && message.topic !== '') known.set(value, message.topic ?? '')
      const name = message.topic === '' ? known.get(value) : message.topic
      t.check(name !== undefined, 'an alias that was set before', message)
      if (text(message) === name) names.push(name)
    }
    t.equal(names.length, 30, 'number of messages under their own name')
  },
})

/** Waits for everything, then takes it from the log, markers included. */
async function collect(settled: Pair['settled'], subscriber: Client): Promise<Packet[]> {
  await settled('thirty messages', 30)
  return subscriber.log.entries
    .filter((e) => e.direction === 'received' && e.packet.kind === 'publish')
    .map((e) => e.packet)
}
