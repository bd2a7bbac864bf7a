// Limits of a client hold for retained messages too, which all come at once.

import { defineCase } from '../../case.ts'
import { property } from '../../wire.ts'
import { retain, text } from '../common.ts'

defineCase({
  id: 'retained-messages-wait',
  area: 'flow-control',
  title: 'Retained QoS 1 messages sent for a new subscription keep to the Receive Maximum',
  clauses: { '5': ['MQTT-3.3.4-9', 'MQTT-4.9.0-2', 'MQTT-3.3.1-9'] },
  needs: ['qos1', 'retain', 'wildcards'],
  async run(t) {
    const publisher = await t.connect({ label: 'publisher' })
    const levels = ['a', 'b', 'c', 'd', 'e']
    for (const level of levels) await retain(t, publisher, { topic: t.topic('r', level), payload: level, qos: 1 })
    const client = await t.connect({ label: 'Receive Maximum 2', properties: [property('receiveMaximum', 2)] })
    await client.subscribe(t.topic('r', '+'), 1)
    const begun = [
      await client.take('publish', { why: 'the first retained message' }),
      await client.take('publish', { why: 'the second retained message' }),
    ]
    t.none(await client.flush(), 'no third message while two are not acknowledged')
    for (const message of begun) await client.acknowledge(message)
    const got = begun.map(text)
    while (got.length < levels.length) got.push(text(await client.receive('the next retained message')))
    t.equal(got.sort(), levels, 'the retained messages')
    t.equal((await client.flush()).length, 0, 'number of further packets')
  },
})

defineCase({
  id: 'large-retained-message',
  area: 'packet-size',
  title: 'A retained message too large for a new subscriber is left out, the others come',
  clauses: { '5': ['MQTT-3.1.2-25'] },
  needs: ['retain', 'wildcards', 'qos1'],
  async run(t) {
    const publisher = await t.connect({ label: 'publisher' })
    for (const [level, payload] of [
      ['a', 'small'],
      ['b', 'x'.repeat(300)],
      ['c', 'small'],
      ['d', 'small'],
    ] as const) {
      await retain(t, publisher, { topic: t.topic('r', level), payload, qos: 1 })
    }
    const list = [property('maximumPacketSize', 200), property('receiveMaximum', 1)]
    const client = await t.connect({ label: 'limit 200, Receive Maximum 1', properties: list })
    await client.subscribe(t.topic('r', '+'), 1)
    const got: string[] = []
    for (let n = 0; n < 3; n++) got.push((await client.receive('a retained message that fits')).topic ?? '')
    t.equal(got.sort(), [t.topic('r', 'a'), t.topic('r', 'c'), t.topic('r', 'd')], 'the topics')
    t.none(await client.flush(), 'nothing else')
  },
})
