// Topic Names and Topic Filters: what matches what, and which filters are none.

import { defineCase } from '../../case.ts'
import type { Feature } from '../../features.ts'
import * as wire from '../../wire.ts'
import { marker, pair, refusedFilter, text } from '../common.ts'

/** Filter, the topics it matches, the topics it does not. All stand below a prefix of the case. */
const TABLE: [id: string, filter: string, matches: string[], not: string[]][] = [
  [
    'exact',
    'sport/tennis',
    ['sport/tennis'],
    ['sport', 'sport/tennis/', 'sport/tennis/a', '/sport/tennis', 'Sport/tennis'],
  ],
  [
    'hash',
    'sport/tennis/#',
    ['sport/tennis', 'sport/tennis/a', 'sport/tennis/a/b', 'sport/tennis/'],
    ['sport', 'sport/tenni', 'sport/tennisa'],
  ],
  ['hash-of-everything', '#', ['sport', 'sport/tennis', '/', 'sport/', '/sport'], []],
  ['plus-last', 'sport/+', ['sport/tennis', 'sport/'], ['sport', 'sport/tennis/a']],
  ['plus-first', '+/tennis', ['sport/tennis', '/tennis'], ['tennis', 'sport/a/tennis', 'sport/tennis/a']],
  ['plus-middle', 'sport/+/a', ['sport/tennis/a', 'sport//a'], ['sport/a', 'sport/tennis/b', 'sport/tennis/golf/a']],
  ['plus-twice', '+/+', ['sport/tennis', '/finance', '/'], ['sport', 'sport/tennis/a']],
  ['slash-plus', '/+', ['/finance', '/'], ['finance', '/finance/a']],
  ['plus-and-hash', '+/tennis/#', ['sport/tennis', 'sport/tennis/a', '/tennis'], ['sport', 'tennis/a']],
  ['empty-levels', 'a//b', ['a//b'], ['a/b', 'a/x/b', 'a///b']],
  ['leading-slash', '/finance', ['/finance'], ['finance', '//finance']],
  ['trailing-slash', 'finance/', ['finance/'], ['finance', 'finance//']],
  ['case', 'ACCOUNTS', ['ACCOUNTS'], ['Accounts', 'accounts']],
  ['space', 'Accounts payable', ['Accounts payable'], ['Accountspayable', 'Accounts  payable', ' Accounts payable']],
  [
    'unicode',
    'größe/温度/🌡',
    ['größe/温度/🌡'],
    ['grösse/温度/🌡', 'grüße/温度/🌡', 'größe/湿度/🌡', 'größe/温度/🌢', 'größe/温度'],
  ],
  ['dollar-inside', 'a/$b', ['a/$b'], ['a/b']],
  ['dollar-inside-wildcard', 'a/+', ['a/$b'], []],
]

for (const [id, filter, matches, not] of TABLE) {
  const wild = /[+#]/.test(filter)
  const needs: Feature[] = wild ? ['wildcards'] : []
  defineCase({
    id: `match-${id}`,
    area: 'topics',
    title: `The filter ${filter} matches ${matches.join(', ')}${not.length > 0 ? ` and not ${not.join(', ')}` : ''}`,
    clauses: {
      '3.1.1': ['MQTT-4.7.3-4', 'MQTT-3.3.2-3', ...(wild ? ['MQTT-4.7.1-2', 'MQTT-4.7.1-3'] : [])],
      '5': ['MQTT-4.7.3-4', 'MQTT-3.3.2-3', ...(wild ? ['MQTT-4.7.1-1', 'MQTT-4.7.1-2'] : [])],
    },
    needs,
    async run(t) {
      const prefix = `${t.topic('m')}/`
      const { publisher, settled } = await pair(t, prefix + filter)
      for (const topic of [...not, ...matches])
        publisher.send(wire.publish(t.version, { topic: prefix + topic, payload: topic }))
      const messages = await settled('the matching topics and no others', matches.length)
      t.equal(messages.map(text).sort(), [...matches].sort(), 'the topics delivered')
      for (const message of messages) t.equal(message.topic, prefix + text(message), 'the Topic Name in the PUBLISH')
    },
  })
}

defineCase({
  id: 'slash-in-front',
  area: 'topics',
  title: 'A topic with a slash in front is another one than the topic without',
  clauses: { '3.1.1': ['MQTT-4.7.3-4'], '5': ['MQTT-4.7.3-4'] },
  async run(t) {
    for (const [filter, other] of [
      [`/${t.topic('a')}`, t.topic('a')],
      [t.topic('b'), `/${t.topic('b')}`],
    ] as const) {
      const subscriber = await t.connect({ label: `subscribes to ${filter}` })
      await subscriber.subscribe(filter, 0)
      const publisher = await t.connect({ label: 'publisher' })
      const settled = await marker(t, subscriber, publisher, 0)
      await publisher.publish({ topic: other, payload: 'must not match' })
      await publisher.publish({ topic: filter, payload: 'matches' })
      t.equal((await settled('the one topic alone', 1)).map(text), ['matches'], 'the messages')
    }
  },
})

defineCase({
  id: 'dollar-topics',
  area: 'topics',
  title: 'A filter that begins with a wildcard does not match a topic that begins with $',
  clauses: { '3.1.1': ['MQTT-4.7.2-1'], '5': ['MQTT-4.7.2-1'] },
  needs: ['wildcards'],
  async run(t) {
    const rest = t.topic('a')
    const { publisher, settled } = await pair(t, [
      [`+/${rest}`, 0],
      ['+/+/+/a', 0],
    ])
    publisher.send(wire.publish(t.version, { topic: `$conformance/${rest}`, payload: 'must not match' }))
    publisher.send(wire.PINGREQ)
    if ((await publisher.takeIfAny('pingresp')) === undefined) {
      t.check(publisher.isClosed, 'PINGRESP, or the connection closed because of the topic', 'neither')
      t.remark('the server does not let clients publish to topics that begin with $')
      return
    }
    await publisher.publish({ topic: `x/${rest}`, payload: 'matches' })
    const messages = (await settled('only the topic without $', 1)).filter((m) => m.topic?.includes(rest))
    const texts = [...new Set(messages.map(text))]
    t.equal(texts, ['matches'], 'the messages')
  },
})

defineCase({
  id: 'hash-gets-no-dollar-topics',
  area: 'topics',
  title: 'A subscription to # gets no retained message of a topic that begins with $',
  clauses: { '3.1.1': ['MQTT-4.7.2-1'], '5': ['MQTT-4.7.2-1'] },
  needs: ['wildcards'],
  async run(t) {
    const system = await t.connect({ label: 'looks at $SYS' })
    const suback = await system.subscribe('$SYS/#', 0, { anyCode: true })
    const published = (await system.flush()).filter((p) => p.kind === 'publish')
    if ((suback.codes?.[0] ?? 0x80) >= 0x80 || published.length === 0) t.remark('the server shows nothing below $SYS')
    const client = await t.connect({ label: 'subscribes to #' })
    await client.subscribe('#', 0)
    const messages = await client.flush()
    const wrong = messages.find((p) => p.kind === 'publish' && p.topic?.startsWith('$'))
    t.check(wrong === undefined, 'no message of a topic that begins with $', wrong)
  },
})

const INVALID: [id: string, filter: string, v3: string, v5: string][] = [
  ['hash-not-last', 'a/#/b', 'MQTT-4.7.1-2', 'MQTT-4.7.1-1'],
  ['hash-in-level', 'a/b#', 'MQTT-4.7.1-2', 'MQTT-4.7.1-1'],
  ['hash-before-text', 'a/#b', 'MQTT-4.7.1-2', 'MQTT-4.7.1-1'],
  ['hash-twice', 'a/##', 'MQTT-4.7.1-2', 'MQTT-4.7.1-1'],
  ['plus-in-level', 'a/b+', 'MQTT-4.7.1-3', 'MQTT-4.7.1-2'],
  ['plus-before-text', 'a/+b', 'MQTT-4.7.1-3', 'MQTT-4.7.1-2'],
  ['plus-twice-in-level', 'a/++', 'MQTT-4.7.1-3', 'MQTT-4.7.1-2'],
  ['empty', '', 'MQTT-4.7.3-1', 'MQTT-4.7.3-1'],
]

for (const [id, filter, v3, v5] of INVALID) {
  defineCase({
    id: `invalid-${id}`,
    area: 'topics',
    title: `The filter ${JSON.stringify(filter)} is not accepted`,
    clauses: { '3.1.1': [v3], '5': [v5] },
    run: (t) => refusedFilter(t, filter, `${JSON.stringify(filter)} is no valid Topic Filter`),
  })
}

defineCase({
  id: 'long-topic',
  area: 'topics',
  title: 'A topic of 16,000 bytes and many levels is matched, or the client told that it is too much',
  clauses: { '3.1.1': ['MQTT-4.7.3-4'], '5': ['MQTT-4.7.3-4'] },
  async run(t) {
    const topic = t.topic('long', ...Array.from({ length: 100 }, (_, n) => `${n}`.padEnd(158, 'x')))
    const client = await t.connect()
    const packetId = client.nextId()
    client.send(wire.subscribe(t.version, packetId, [[topic, 0]]))
    const suback = await client.takeIfAny('suback')
    if (suback === undefined || (suback.codes?.[0] ?? 0x80) >= 0x80) {
      t.skip('the server does not take Topic Filters of this length')
    }
    await client.publish({ topic, payload: 'x' })
    t.check((await client.receive('the message')).topic === topic, 'the topic as it was sent')
  },
})
