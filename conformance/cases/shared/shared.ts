// Shared Subscriptions.

import { defineCase } from '../../case.ts'
import type { Client } from '../../client.ts'
import type { Context } from '../../context.ts'
import { type Packet, prop } from '../../packet.ts'
import * as wire from '../../wire.ts'
import { property } from '../../wire.ts'
import { marker, refusedFilter, retain, text } from '../common.ts'

const shared = (t: Context, filter: string, group = 'group'): string => `$share/${t.id(group)}/${filter}`

/** Members of a group on `topic`, each with a marker of its own, and a publisher. */
async function group(t: Context, topic: string, qos: 0 | 1 | 2, count = 2) {
  const publisher = await t.connect({ label: 'publisher' })
  const members: Client[] = []
  for (let n = 1; n <= count; n++) {
    const client = await t.connect({ label: `member ${n}` })
    await client.subscribe(shared(t, topic), qos)
    await client.subscribe(t.topic('marker'), qos)
    members.push(client)
  }
  /** What each member got up to a marker for all, and behind it as long as they have fewer than `atLeast` together. */
  const all = async (why: string, atLeast = 0): Promise<Packet[][]> => {
    await publisher.publish({ topic: t.topic('marker'), payload: 'the end', qos })
    const got = await Promise.all(members.map((client) => client.messagesUntil('the end', why)))
    const deadline = performance.now() + t.patience
    while (got.flat().length < atLeast && performance.now() < deadline) {
      for (const [index, client] of members.entries()) {
        const late = await client.takeIfAny('publish', { within: 50 })
        if (late === undefined) continue
        await client.acknowledge(late)
        got[index]?.push(late)
      }
    }
    return got
  }
  return { publisher, members, all }
}

/** The member the message came to. The others are only looked at: what comes to them later is theirs to explain. */
async function chosen(t: Context, members: readonly Client[], payload: string) {
  const deadline = performance.now() + t.patience
  while (performance.now() < deadline) {
    for (const client of members) {
      const message = (await client.flush()).find((p) => p.kind === 'publish' && text(p) === payload)
      if (message !== undefined) return { client, message }
    }
  }
  return t.fail(`the message ${JSON.stringify(payload)} at one of the members`, 'nothing')
}

for (const qos of [0, 1, 2] as const) {
  defineCase({
    id: `exactly-one-member-qos-${qos}`,
    area: 'shared',
    title: `Each QoS ${qos} message goes to exactly one member of the group`,
    clauses: { '5': ['MQTT-4.8.2-3'] },
    needs: qos === 0 ? ['shared'] : ['shared', qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const { publisher, all } = await group(t, topic, qos, 3)
      const sent = Array.from({ length: 12 }, (_, n) => `${n}`)
      for (const payload of sent) await publisher.publish({ topic, payload, qos })
      const got = (await all('every message at one member', sent.length)).flat().map(text)
      t.equal(
        got.sort((a, b) => Number(a) - Number(b)),
        sent,
        'the messages of all members together',
      )
    },
  })
}

defineCase({
  id: 'subscription-identifier',
  area: 'shared',
  title: 'A message for a Shared Subscription carries the Subscription Identifier of the chosen member',
  clauses: { '5': ['MQTT-3.3.4-3'] },
  needs: ['shared', 'subscription-ids'],
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect()
    await client.subscribe([[shared(t, topic), 0]], 0, { properties: [property('subscriptionIdentifier', 21)] })
    await client.publish({ topic, payload: 'x' })
    t.equal(prop(await client.receive('the message'), 'subscriptionIdentifier'), 21, 'Subscription Identifier')
  },
})

defineCase({
  id: 'retain-as-published',
  area: 'shared',
  title: 'Retain As Published works for Shared Subscriptions as for others',
  clauses: { '5': ['MQTT-3.3.1-12', 'MQTT-3.3.1-13'] },
  needs: ['shared', 'retain'],
  async run(t) {
    for (const [options, wanted] of [
      [0x08, true],
      [0x00, false],
    ] as const) {
      // A topic each: the message stays behind as a retained one.
      const topic = t.topic(`${wanted}`)
      const client = await t.connect()
      await client.subscribe(shared(t, topic, `g${options}`), options)
      await client.publish({ topic, payload: 'x', retain: true })
      t.equal((await client.receive('the message')).retain, wanted, 'RETAIN')
    }
  },
})

defineCase({
  id: 'groups-are-independent',
  area: 'shared',
  title: 'Two groups and an ordinary subscriber each get every message',
  clauses: { '5': ['§4.8.2'] },
  needs: ['shared'],
  async run(t) {
    const topic = t.topic('a')
    const clients: Client[] = []
    for (const filter of [shared(t, topic, 'one'), shared(t, topic, 'two'), topic]) {
      const client = await t.connect({ label: filter })
      await client.subscribe(filter, 0)
      clients.push(client)
    }
    const publisher = await t.connect({ label: 'publisher' })
    for (const payload of ['x', 'y', 'z']) {
      await publisher.publish({ topic, payload })
      for (const client of clients) t.equal(text(await client.receive('the message')), payload, 'the payload')
    }
  },
})

defineCase({
  id: 'filter-behind-the-name',
  area: 'shared',
  title: 'What stands behind the ShareName is an ordinary filter, wildcards and leading slash included',
  clauses: { '5': ['MQTT-4.8.2-1', 'MQTT-4.8.2-2'] },
  needs: ['shared', 'wildcards'],
  async run(t) {
    const client = await t.connect()
    await client.subscribe([
      [shared(t, t.topic('a', '+', 'c')), 0],
      [shared(t, `/${t.topic('slash')}`), 0],
    ])
    for (const topic of [t.topic('a', 'b', 'c'), `/${t.topic('slash')}`]) {
      await client.publish({ topic, payload: topic })
      t.equal((await client.receive('the message')).topic, topic, 'the topic')
    }
    await client.publish({ topic: t.topic('slash'), payload: 'no leading slash' })
    await client.publish({ topic: t.topic('a', 'b', 'd'), payload: 'other level' })
    t.none(await client.flush(), 'nothing for topics that do not match')
  },
})

defineCase({
  id: 'no-retained',
  area: 'shared',
  title: 'Subscribing to a Shared Subscription sends no retained messages',
  clauses: { '5': ['§4.8.2'] },
  needs: ['shared', 'retain'],
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect()
    await retain(t, client, { topic, payload: 'kept' })
    await client.subscribe(shared(t, topic), 0)
    t.none(await client.flush(), 'no retained message')
  },
})

defineCase({
  id: 'no-local-is-an-error',
  area: 'shared',
  title: 'No Local on a Shared Subscription closes the connection',
  clauses: { '5': ['MQTT-3.8.3-4', 'MQTT-4.13.1-1'] },
  needs: ['shared'],
  async run(t) {
    const client = await t.connect()
    await t.rejected(client, wire.subscribe(5, 1, [[shared(t, t.topic('a')), 0x04]]), 'No Local on $share/…', [0x82])
  },
})

const INVALID: [id: string, filter: string, clause: string][] = [
  ['empty-name', '$share//a', 'MQTT-4.8.2-1'],
  ['no-filter', '$share/group', 'MQTT-4.8.2-2'],
  ['empty-filter', '$share/group/', 'MQTT-4.8.2-2'],
  ['plus-in-name', '$share/gro+up/a', 'MQTT-4.8.2-2'],
  ['hash-in-name', '$share/gro#up/a', 'MQTT-4.8.2-2'],
  ['invalid-filter', '$share/group/a/#/b', 'MQTT-4.8.2-2'],
]

for (const [id, filter, clause] of INVALID) {
  defineCase({
    id: `invalid-${id}`,
    area: 'shared',
    title: `The filter ${filter} is not accepted`,
    clauses: { '5': [clause] },
    needs: ['shared'],
    run: (t) => refusedFilter(t, filter, `${filter} is no valid Shared Subscription`),
  })
}

defineCase({
  id: 'granted-qos',
  area: 'shared',
  title: 'A member gets messages with at most the QoS granted to it',
  clauses: { '5': ['MQTT-4.8.2-3'] },
  needs: ['shared', 'qos2'],
  async run(t) {
    const topic = t.topic('a')
    for (const qos of [0, 1, 2]) {
      const client = await t.connect({ label: `member with QoS ${qos}` })
      await client.subscribe(shared(t, topic, `g${qos}`), qos)
      await client.publish({ topic, payload: 'x', qos: 2 })
      t.equal((await client.receive('the message')).qos, qos, 'the QoS')
      await client.unsubscribe([shared(t, topic, `g${qos}`)])
    }
  },
})

defineCase({
  id: 'unsubscribe',
  area: 'shared',
  title: 'UNSUBSCRIBE takes a member out; the others get the messages',
  clauses: { '5': ['MQTT-3.10.4-1', 'MQTT-3.10.4-2'] },
  needs: ['shared'],
  async run(t) {
    const topic = t.topic('a')
    const { publisher, members, all } = await group(t, topic, 0)
    await members[0]?.unsubscribe([shared(t, topic)])
    for (const payload of ['1', '2', '3', '4']) await publisher.publish({ topic, payload })
    const [gone, left] = await all('all messages at the member that is left', 4)
    t.equal((gone ?? []).length, 0, 'number of messages at the member that unsubscribed')
    t.equal((left ?? []).map(text), ['1', '2', '3', '4'], 'the messages of the other member')
  },
})

defineCase({
  id: 'member-that-left',
  area: 'shared',
  title: 'When the session of a member ends, the others get all messages',
  clauses: { '5': ['§4.8.2'] },
  needs: ['shared'],
  async run(t) {
    const topic = t.topic('a')
    const leaving = await t.connect({ label: 'leaves' })
    await leaving.subscribe(shared(t, topic), 0)
    const { publisher, all } = await group(t, topic, 0, 1)
    await leaving.disconnect()
    for (const payload of ['1', '2', '3', '4']) await publisher.publish({ topic, payload })
    const [left] = await all('all messages at the member that is left', 4)
    t.equal((left ?? []).map(text), ['1', '2', '3', '4'], 'the messages')
  },
})

for (const qos of [1, 2] as const) {
  defineCase({
    id: `refused-is-discarded-qos-${qos}`,
    area: 'shared',
    title: `A QoS ${qos} message a member refuses with 0x80 or more goes to no other member`,
    clauses: { '5': ['MQTT-4.8.2-6'] },
    needs: ['shared', qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const { publisher, members, all } = await group(t, topic, qos)
      await publisher.publish({ topic, payload: 'refused', qos })
      const { client, message } = await chosen(t, members, 'refused')
      const id = message.packetId ?? 0
      client.send(qos === 1 ? wire.puback(id, 0x80) : wire.pubrec(id, 0x80))
      await client.flush()
      const rest = (await all('nothing more')).flat()
      t.equal(rest.map(text), [], 'the messages at all members after the refusal')
    },
  })
}

/** A persistent member takes a QoS 2 message and loses its connection; another member is there. */
async function brokenQos2(t: Context) {
  const topic = t.topic('a')
  const chosen = await t.connectPersistent({ label: 'chosen member' })
  await chosen.subscribe(shared(t, topic), 2)
  const publisher = await t.connect({ label: 'publisher' })
  await publisher.publish({ topic, payload: 'begun', qos: 2 })
  const message = await chosen.take('publish', { why: 'the message, not acknowledged' })
  const other = await t.connect({ label: 'other member' })
  await other.subscribe(shared(t, topic), 2)
  const settled = await marker(t, other, publisher, 2)
  return { chosen, other, message, settled }
}

defineCase({
  id: 'qos-2-completed-by-its-member',
  area: 'shared',
  title: 'A QoS 2 message begun with a member is completed with that member when it comes back',
  clauses: { '5': ['MQTT-4.8.2-4'] },
  needs: ['shared', 'qos2', 'sessions'],
  async run(t) {
    const { chosen, message, settled } = await brokenQos2(t)
    chosen.drop()
    t.none(await settled('nothing at the other member'), 'nothing at the other member')
    const again = await t.connectPersistent({ label: 'chosen member, again' })
    const resent = await again.receive('the message again, at its member')
    t.equal(
      [text(resent), resent.packetId, resent.dup],
      ['begun', message.packetId, true],
      'payload, identifier and DUP',
    )
    t.none(await settled('nothing at the other member'), 'nothing at the other member')
  },
})

defineCase({
  id: 'qos-2-dies-with-its-session',
  area: 'shared',
  title: 'If the session of its member ends, a QoS 2 message begun with it goes to nobody else',
  clauses: { '5': ['MQTT-4.8.2-5'] },
  needs: ['shared', 'qos2', 'sessions'],
  async run(t) {
    const { chosen, settled } = await brokenQos2(t)
    chosen.drop()
    const again = await t.connect({ clientId: t.id('s'), clean: true, label: 'chosen member with Clean Start' })
    t.none(await again.flush(), 'nothing for the new session')
    t.none(await settled('nothing at the other member'), 'nothing at the other member')
  },
})

defineCase({
  id: 'subscribed-twice',
  area: 'shared',
  title: 'Subscribing twice does not make a session a member twice: one UNSUBSCRIBE takes it out',
  clauses: { '5': ['MQTT-3.10.4-1'] },
  needs: ['shared'],
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect()
    await client.subscribe(shared(t, topic), 0)
    await client.subscribe(shared(t, topic), 0)
    await client.publish({ topic, payload: 'x' })
    t.equal(text(await client.receive('the message')), 'x', 'the payload')
    t.none(await client.flush(), 'no second copy')
    await client.unsubscribe([shared(t, topic)])
    await client.publish({ topic, payload: 'y' })
    t.none(await client.flush(), 'nothing after UNSUBSCRIBE')
  },
})

defineCase({
  id: 'not-supported-is-said',
  area: 'shared',
  title: 'A server without Shared Subscriptions answers a SUBSCRIBE to one with 0x9E or closes the connection',
  clauses: { '5': ['MQTT-4.13.1-1'] },
  async run(t) {
    if (t.features.shared) t.skip('the server offers Shared Subscriptions')
    await refusedFilter(t, '$share/group/a', 'Shared Subscriptions are not supported')
  },
})
