// Messages between clients of different versions: what one version cannot say is left out, the rest arrives.

import { defineCase } from '../../case.ts'
import type { Client } from '../../client.ts'
import type { Context } from '../../context.ts'
import { prop } from '../../packet.ts'
import type { Version } from '../../protocol.ts'
import { Failed } from '../../verdict.ts'
import { property } from '../../wire.ts'
import { text } from '../common.ts'

/** A client of the other version, if the broker speaks it. */
async function other(t: Context, version: Version, label: string): Promise<Client> {
  try {
    return await t.connect({ label, clientId: t.id('o') }, version)
  } catch (error) {
    if (error instanceof Failed) return t.skip('the server does not speak the other version')
    throw error
  }
}

defineCase({
  id: 'from-5-to-3.1.1',
  area: 'publish',
  title: 'A 5.0 message with properties reaches a 3.1.1 subscriber as a plain 3.1.1 PUBLISH',
  clauses: { '5': ['MQTT-4.5.0-1'] },
  needs: ['qos2', 'retain'],
  async run(t) {
    const topic = t.topic('a')
    const subscriber = await other(t, 4, '3.1.1 subscriber')
    await subscriber.subscribe(topic, 2)
    const publisher = await t.connect({ label: '5.0 publisher' })
    const list = [
      property('payloadFormatIndicator', 1),
      property('contentType', 'text/plain'),
      property('userProperty', ['a', 'b']),
    ]
    for (const qos of [0, 1, 2] as const) {
      await publisher.publish({ topic, payload: `QoS ${qos}`, qos, retain: qos === 2, properties: list })
      const message = await subscriber.receive('the message')
      t.equal([text(message), message.qos, message.retain], [`QoS ${qos}`, qos, false], 'payload, QoS and RETAIN')
    }
    const late = await t.connect({ label: 'late 3.1.1 subscriber', clientId: t.id('l') }, 4)
    await late.subscribe(topic, 0)
    const retained = await late.receive('the retained message')
    t.equal([text(retained), retained.retain], ['QoS 2', true], 'payload and RETAIN')
  },
})

const OF_PUBLISHERS = ['payloadFormatIndicator', 'contentType', 'responseTopic', 'correlationData', 'userProperty']

defineCase({
  id: 'from-3.1.1-to-5',
  area: 'publish',
  title: 'A 3.1.1 message reaches a 5.0 subscriber without properties but those of its subscription',
  clauses: { '5': ['MQTT-4.5.0-1', 'MQTT-2.2.2-1'] },
  needs: ['qos2', 'subscription-ids'],
  async run(t) {
    const topic = t.topic('a')
    const subscriber = await t.connect({ label: '5.0 subscriber' })
    await subscriber.subscribe([[topic, 2]], 0, { properties: [property('subscriptionIdentifier', 7)] })
    const publisher = await other(t, 4, '3.1.1 publisher')
    for (const qos of [0, 1, 2] as const) {
      await publisher.publish({ topic, payload: `QoS ${qos}`, qos })
      const message = await subscriber.receive('the message')
      t.equal([text(message), message.qos], [`QoS ${qos}`, qos], 'payload and QoS')
      t.equal(prop(message, 'subscriptionIdentifier'), 7, 'Subscription Identifier')
      const names = (message.properties ?? []).map((p) => p.name)
      t.equal(
        names.filter((name) => OF_PUBLISHERS.includes(name)),
        [],
        'properties that only a publisher can give',
      )
    }
  },
})
