// What MQTT 5.0 adds to the Will Message: its delay and its properties.

import { defineCase } from '../../case.ts'
import { prop, props } from '../../packet.ts'
import { property } from '../../wire.ts'
import { pair, text, timePasses } from '../common.ts'

const delay = (seconds: number) => [property('willDelayInterval', seconds)]

defineCase({
  id: 'delay-passes',
  area: 'will',
  title: 'With a Will Delay Interval the Will Message is published after it, not before',
  clauses: { '5': ['MQTT-3.1.2-8'] },
  needs: ['sessions'],
  async run(t) {
    const topic = t.topic('will')
    const { subscriber, settled } = await pair(t, topic)
    const client = await t.connectPersistent({ will: { topic, payload: 'will', properties: delay(2) } })
    const dropped = performance.now()
    client.drop()
    const early = await settled('nothing before the delay has passed')
    if (performance.now() - dropped < 1500) t.none(early, 'nothing before the delay has passed')
    await subscriber.receive('the Will Message after its delay of 2 s', undefined, 8000)
    const after = performance.now() - dropped
    t.check(after >= 1500, 'the Will Message not much before its delay of 2 s', `it came after ${Math.round(after)} ms`)
  },
})

defineCase({
  id: 'delay-cut-short-by-return',
  area: 'will',
  title: 'A client that comes back to its session within the Will Delay prevents the Will Message',
  clauses: { '5': ['MQTT-3.1.3-9'] },
  needs: ['sessions'],
  async run(t) {
    const topic = t.topic('will')
    const { settled } = await pair(t, topic)
    const first = await t.connectPersistent({ label: 'first', will: { topic, payload: 'will', properties: delay(2) } })
    first.drop()
    const second = await t.connectPersistent({ label: 'second' })
    t.check(second.connack?.sessionPresent === true, 'Session Present 1', second.connack)
    await timePasses(4000)
    t.none(await settled('no Will Message'), 'no Will Message 4 s after a delay of 2 s that was cut short')
  },
})

defineCase({
  id: 'delay-ends-with-session',
  area: 'will',
  title: 'If the session ends before the Will Delay has passed, the Will Message is published then',
  clauses: { '5': ['MQTT-3.1.2-8'] },
  async run(t) {
    const topic = t.topic('will')
    const { subscriber } = await pair(t, topic)
    const client = await t.connect({ will: { topic, payload: 'will', properties: delay(600) } })
    client.drop()
    await subscriber.receive('the Will Message: the session ended with its connection', undefined, 5000)
  },
})

defineCase({
  id: 'delay-ends-with-session-expiry',
  area: 'will',
  title: 'A Session Expiry Interval shorter than the Will Delay ends the wait',
  clauses: { '5': ['MQTT-3.1.2-8'] },
  needs: ['sessions'],
  async run(t) {
    const topic = t.topic('will')
    const { subscriber } = await pair(t, topic)
    const client = await t.connectPersistent({ expiry: 1, will: { topic, payload: 'will', properties: delay(600) } })
    const changed = client.connack?.properties?.find((p) => p.name === 'sessionExpiryInterval')?.value
    if (changed !== undefined && changed !== 1) t.skip(`the server made the expiry ${changed} s, as it may`)
    client.drop()
    await subscriber.receive('the Will Message when the session expires after 1 s', undefined, 10_000)
  },
})

defineCase({
  id: 'delay-ends-with-clean-start',
  area: 'will',
  title: 'Clean Start 1 within the Will Delay: the Will Message comes at once or not at all',
  clauses: { '5': ['MQTT-3.1.2-8'] },
  needs: ['sessions'],
  async run(t) {
    const topic = t.topic('will')
    const { subscriber, settled } = await pair(t, topic)
    const first = await t.connectPersistent({
      label: 'first',
      will: { topic, payload: 'will', properties: delay(600) },
    })
    first.drop()
    await t.connect({ clientId: t.id('s'), clean: true, label: 'second' })
    // The session ended, which publishes the will; a new connection for the ClientID was made, which deletes it.
    // [MQTT-3.1.2-8] says both, so either answer passes.
    const will = await subscriber.takeIfAny('publish')
    if (will === undefined) t.remark('Clean Start 1 deleted the Will Message of the session it ended')
    t.none(await settled('no second copy'), 'no second copy')
  },
})

for (const code of [0x80, 0x81, 0x97]) {
  defineCase({
    id: `after-disconnect-0x${code.toString(16)}`,
    area: 'will',
    title: `DISCONNECT 0x${code.toString(16)} does not delete the Will Message; only 0x00 does`,
    clauses: { '5': ['MQTT-3.1.2-8', 'MQTT-3.1.2-10'] },
    async run(t) {
      const topic = t.topic('will')
      const { subscriber, settled } = await pair(t, topic)
      const client = await t.connect({ will: { topic, payload: 'will' } })
      await client.disconnect(code)
      t.equal(text(await subscriber.receive('the Will Message')), 'will', 'the payload')
      t.none(await settled('no second copy'), 'no second copy')
    },
  })
}

defineCase({
  id: 'properties',
  area: 'will',
  title: 'The Will Message is published with its properties, User Properties in their order',
  clauses: { '5': ['MQTT-3.1.3-10', 'MQTT-3.1.2-9', 'MQTT-3.3.2-17', 'MQTT-3.3.2-18'] },
  async run(t) {
    const topic = t.topic('will')
    const { subscriber } = await pair(t, topic)
    const pairs: [string, string][] = [
      ['b', '1'],
      ['a', '2'],
      ['b', '3'],
      ['c', ''],
      ['a', '4'],
    ]
    const client = await t.connect({
      will: {
        topic,
        payload: 'will',
        properties: [
          property('payloadFormatIndicator', 1),
          property('contentType', 'text/plain'),
          property('responseTopic', t.topic('answers')),
          property('correlationData', Buffer.of(0, 1, 255)),
          ...pairs.map((p) => property('userProperty', p)),
        ],
      },
    })
    client.drop()
    const will = await subscriber.receive('the Will Message')
    t.equal(text(will), 'will', 'the payload')
    t.equal(prop(will, 'payloadFormatIndicator'), 1, 'Payload Format Indicator')
    t.equal(prop(will, 'contentType'), 'text/plain', 'Content Type')
    t.equal(prop(will, 'responseTopic'), t.topic('answers'), 'Response Topic')
    t.equal(prop(will, 'correlationData'), Buffer.of(0, 1, 255), 'Correlation Data')
    t.equal(props(will, 'userProperty'), pairs, 'User Properties')
  },
})
