// What an MQTT 5 PUBLISH carries and where it arrives unchanged: user properties in their order, payload format, content
// type, response topic, correlation data, expiry; through every way a message takes, outbox or not.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, listen } from '../support/embedded.ts'
import { JumpingClock } from '../support/jumping-clock.ts'
import type { QoS } from '../support/packets.ts'
import { Client5, options, p, publish5 } from '../support/packets5.ts'
import { closeClients } from '../support/raw-client.ts'
import { until } from '../support/until.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const session = [p.sessionExpiry(1000)]

/** Names mixed on purpose: their order across names is part of the message [MQTT-3.3.2-18]. */
const everything = [
  p.user('b', '1'),
  p.contentType('text/plain'),
  p.user('a', '2'),
  p.correlationData('\u0001corr'),
  p.user('b', '1'),
  p.payloadFormat(1),
  p.responseTopic('answers/here'),
  p.user('', ''),
]
const told = [
  'user b=1',
  'contentType text/plain',
  'user a=2',
  'correlationData \u0001corr',
  'user b=1',
  'payloadFormat 1',
  'responseTopic answers/here',
  'user =',
]

for (const qos of [0, 1, 2] as const) {
  test(`[MQTT-3.3.2-18] QoS ${qos}: all properties arrive, user properties in their order across names`, async () => {
    const broker = await listen()
    const publisher = await Client5.connect(broker, { clientId: 'p' })
    const receivers = []
    for (let n = 0; n < 6; n++) {
      const receiver = await Client5.connect(broker, { clientId: `r${n}` })
      // The last one gets a variant of its own.
      await receiver.subscribe(n === 5 ? [p.subscriptionId(300)] : [], ['t', qos])
      receivers.push(receiver)
      await publisher.publish({ topic: 't', payload: 'x', qos, properties: everything })
      for (const each of receivers) {
        const { properties, text } = await each.receive({ qos })
        assert.is(text, 'x')
        assert.equal(properties, each === receivers[5] ? [...told, 'subscriptionId 300'] : told)
      }
    }
  })

  test(`QoS ${qos}: an alias of the publisher is not passed on, its expiry is`, async () => {
    const broker = await listen()
    const publisher = await Client5.connect(broker, { clientId: 'p' })
    const receiver = await Client5.connect(broker, { clientId: 'r' })
    await receiver.subscribe([], ['t', qos])
    const properties = [p.topicAlias(3), ...everything, p.messageExpiry(7)]
    for (const topic of ['t', '', '', 't']) {
      await publisher.publish({ topic, payload: 'x', qos, properties })
      assert.equal((await receiver.receive({ topic: 't', qos })).properties, ['messageExpiry 7', ...told])
    }
  })
}

test('[MQTT-3.3.2-18] order is kept for queued, retained and shared messages and for wills', async () => {
  const broker = await listen()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const away = await Client5.connect(broker, { clientId: 'away', properties: session })
  await away.subscribe([], ['q', 1], ['$share/g/s', 1], ['w', 1])
  await away.leave()
  for (const topic of ['q', 's', 'r']) {
    await publisher.publish({ topic, payload: topic, qos: 1, retain: topic === 'r', properties: everything })
  }
  const will = { topic: 'w', payload: 'w', qos: 1 as QoS, properties: everything }
  const mortal = await Client5.connect(broker, { clientId: 'mortal', will })
  await mortal.lose()
  const back = await Client5.connect(broker, { clientId: 'away', clean: false, properties: session })
  const arrived = new Map<string, string[]>()
  for (let n = 0; n < 3; n++) {
    const { topic, properties } = await back.receive()
    arrived.set(topic, properties)
  }
  await back.subscribe([], ['r', 1])
  const retained = await back.receive({ topic: 'r', retain: true })
  const willTold = [...told].sort(byWillOrder)
  assert.equal(arrived.get('q'), told)
  assert.equal(arrived.get('s'), told)
  assert.equal(retained.properties, told)
  assert.equal(
    arrived.get('w')?.filter((text) => text.startsWith('user')),
    willTold.filter((text) => text.startsWith('user')),
  )
  assert.equal([...(arrived.get('w') ?? [])].sort(), [...told].sort())
})

/** Only user properties have an order that means something; a will's others may be written anywhere. */
const byWillOrder = (a: string, b: string) => Number(b.startsWith('user')) - Number(a.startsWith('user'))

const many = (bytes: number) =>
  Array.from({ length: Math.ceil(bytes / 1000) }, (_, n) => p.user(`name-${n % 3}`, `${n}`.padEnd(990, '.')))
const textOf = (bytes: number) =>
  Array.from({ length: Math.ceil(bytes / 1000) }, (_, n) => `user name-${n % 3}=${`${n}`.padEnd(990, '.')}`)

for (const [name, bytes] of [
  ['larger than a tiny outbox', 3000],
  ['larger than the outbox', 600_000],
] as const) {
  for (const qos of [0, 1, 2] as const) {
    test(`user properties ${name} pass with QoS ${qos}, to one, to many, queued, retained, with identifier and alias`, async () => {
      const broker = await listen({ outputLimit: 64 * 1024 * 1024 })
      const publisher = await Client5.connect(broker, { clientId: 'p' })
      const properties = many(bytes)
      const wanted = textOf(bytes)
      const old = await Client5.connect(broker, { clientId: 'away', properties: session })
      await old.subscribe([], ['t', 2])
      await old.leave()
      const receivers = []
      for (let n = 0; n < 7; n++) {
        const receiver = await Client5.connect(broker, { clientId: `r${n}`, properties: [p.topicAliasMaximum(1)] })
        await receiver.subscribe(n > 4 ? [p.subscriptionId(n)] : [], ['t', 2])
        receivers.push(receiver)
      }
      for (let round = 0; round < 3; round++) {
        // Twice in one segment, between two ordinary ones: what is in the inbox must stay what it is.
        const message = { topic: 't', qos, properties, retain: round === 0 }
        publisher.raw.send(
          publish5({ topic: 't', payload: 'before', qos, id: 1 }),
          publish5({ ...message, payload: 'x', id: 2 }),
          publish5({ topic: 't', payload: 'after', qos, id: 3 }),
        )
        for (const [n, receiver] of receivers.entries()) {
          for (const text of ['before', 'x', 'after']) {
            const got = await receiver.receive({ text, qos })
            const own = got.properties.filter((each) => !each.startsWith('topicAlias'))
            const ids = n > 4 ? [`subscriptionId ${n}`] : []
            assert.equal(own.length, (text === 'x' ? wanted.length : 0) + ids.length)
            assert.ok(own.join('\n') === [...(text === 'x' ? wanted : []), ...ids].join('\n'))
          }
        }
        if (qos === 1) for (let n = 0; n < 3; n++) await publisher.answer('PUBACK')
        if (qos === 2) {
          for (let n = 0; n < 3; n++) {
            publisher.raw.send(Buffer.from([0x62, 2, 0, (await publisher.answer('PUBREC')).id]))
          }
          for (let n = 0; n < 3; n++) await publisher.answer('PUBCOMP')
        }
      }
      const back = await Client5.connect(broker, { clientId: 'away', clean: false, properties: session })
      if (qos > 0) {
        for (let n = 0; n < 9; n++) {
          const got = await back.receive({ text: ['before', 'x', 'after'][n % 3]!, qos })
          assert.ok(got.properties.join('\n') === (n % 3 === 1 ? wanted.join('\n') : ''))
        }
      }
      await back.subscribe([], ['t', 2])
      assert.ok((await back.receive({ text: 'x', retain: true, qos })).properties.join('\n') === wanted.join('\n'))
      assert.is(broker.broker.counters.internalErrors, 0)
    })
  }
}

test('[MQTT-3.3.2-5] [MQTT-3.3.2-6] expiry is counted down while a message waits, and what has expired is never sent', async () => {
  const clock = new JumpingClock()
  const broker = await listen({ clock, sysInterval: 0 })
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const away = await Client5.connect(broker, { clientId: 'away', properties: session })
  await away.subscribe([], ['q/#', 1], ['$share/g/s/#', 1])
  await away.leave()
  const publish = (topic: string, expiry: number, retain = false) =>
    publisher.publish({ topic, payload: 'x', qos: 1, retain, properties: [p.messageExpiry(expiry), p.user('k', 'v')] })
  for (const topic of ['q', 's', 'r']) {
    await publish(`${topic}/long`, 100, topic === 'r')
    await publish(`${topic}/short`, 10, topic === 'r')
    await publish(`${topic}/none`, 0, topic === 'r')
  }
  clock.leap(30)
  const back = await Client5.connect(broker, { clientId: 'away', clean: false, properties: session })
  const arrived = [await back.receive(), await back.receive()]
  await back.subscribe([], ['r/#', 1])
  arrived.push(await back.receive())
  await back.expectNothing()
  assert.equal(arrived.map(({ topic }) => topic).sort(), ['q/long', 'r/long', 's/long'])
  for (const { properties } of arrived) {
    assert.is(properties[1], 'user k=v')
    assert.ok(/^messageExpiry (69|70)$/.test(properties[0]!), properties[0])
  }
})

test('what expires in queues, in groups and among retained messages is given back without anyone asking', async () => {
  const clock = new JumpingClock()
  const broker = await listen({ clock, sysInterval: 0 })
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const away = await Client5.connect(broker, { clientId: 'away', properties: session })
  await away.subscribe([], ['q', 1], ['$share/g/s', 1])
  await away.leave()
  for (const topic of ['q', 's', 'r']) {
    const properties = [p.messageExpiry(10)]
    await publisher.publish({ topic, payload: 'x', qos: 1, retain: topic === 'r', properties })
  }
  const { counters } = broker.broker
  assert.equal([counters.messagesQueued, counters.retained], [2, 1])
  clock.leap(11)
  await until('all have expired', () => counters.messagesQueued === 0 && counters.retained === 0)
  assert.is(counters.droppedExpired >= 2, true)
})

test('a message whose delivery has begun is delivered to its end, however late', async () => {
  const clock = new JumpingClock()
  const broker = await listen({ clock, sysInterval: 0 })
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const receiver = await Client5.connect(broker, { clientId: 'r', properties: session })
  await receiver.subscribe([], ['t', 2])
  await publisher.publish({ topic: 't', payload: 'x', qos: 2, properties: [p.messageExpiry(10)] })
  await receiver.message({ text: 'x' })
  await receiver.lose()
  clock.leap(20)
  const back = await Client5.connect(broker, { clientId: 'r', clean: false, properties: session })
  assert.equal((await back.receive({ text: 'x', dup: true })).properties, ['messageExpiry 0'])
})

for (const [size, how] of [
  [3, 'of a few bytes'],
  [1_500_000, 'larger than the inbox'],
] as const) {
  test(`validate_payload_format: a payload ${how} that is not the UTF-8 it says it is gets 0x99`, async () => {
    const broker = await listen({ validatePayloadFormat: true })
    const receiver = await Client5.connect(broker, { clientId: 'r' })
    await receiver.subscribe([], ['t', 0])
    const bad = Buffer.alloc(size, 'x')
    bad[size - 1] = 0xc3
    const properties = [p.payloadFormat(1)]
    const publisher = await Client5.connect(broker, { clientId: 'p' })
    for (const qos of [1, 2] as const)
      assert.is(await publisher.publish({ topic: 't', payload: bad, qos, properties }), 0x99)
    await publisher.publish({ topic: 't', payload: 'good', qos: 2, properties })
    await publisher.publish({ topic: 't', payload: bad, qos: 0, properties: [p.payloadFormat(0)] })
    assert.is((await receiver.message()).text, 'good')
    assert.equal((await receiver.message()).properties, ['payloadFormat 0'])
    publisher.raw.send(publish5({ topic: 't', payload: bad, qos: 0, properties }))
    await publisher.disconnected(0x99)
    await receiver.expectNothing()
  })
}

test('[MQTT-3.3.4-3] overlapping subscriptions: one copy, the highest QoS, every identifier', async () => {
  const broker = await listen()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const receiver = await Client5.connect(broker, { clientId: 'r' })
  await receiver.subscribe([p.subscriptionId(1)], ['a/b', 0])
  await receiver.subscribe([p.subscriptionId(268_435_455)], ['a/+', 2])
  await receiver.subscribe([], ['a/#', 1])
  await receiver.subscribe([p.subscriptionId(2)], ['#', 0])
  for (const qos of [0, 1, 2] as const) {
    await publisher.publish({ topic: 'a/b', payload: 'x', qos, properties: [p.user('k', 'v')] })
    const { properties } = await receiver.receive({ qos })
    assert.is(properties[0], 'user k=v')
    assert.equal(properties.slice(1).sort(), ['subscriptionId 1', 'subscriptionId 2', 'subscriptionId 268435455'])
    await receiver.expectNothing()
  }
  await receiver.subscribe([], ['a/b', 0]) // replaces options and identifier [MQTT-3.8.4-3]
  await publisher.publish({ topic: 'a/b', payload: 'x' })
  assert.equal((await receiver.message()).properties.sort(), ['subscriptionId 2', 'subscriptionId 268435455'])
})

test('[MQTT-3.8.3-3] no local, retain as published and the three retain handlings', async () => {
  const broker = await listen()
  const client = await Client5.connect(broker, { clientId: 'c' })
  const other = await Client5.connect(broker, { clientId: 'o' })
  await client.subscribe([], ['own', options(1, { noLocal: true })])
  await other.subscribe([], ['own', options(1, { asPublished: true })], ['state', options(1, { asPublished: true })])
  await client.publish({ topic: 'own', payload: 'x', qos: 1, retain: true })
  await other.receive({ text: 'x', retain: true }) // [MQTT-3.3.1-13]
  await client.expectNothing()
  await other.publish({ topic: 'own', payload: 'y', qos: 1 })
  await client.receive({ text: 'y', retain: false })
  await other.receive({ text: 'y', retain: false })

  await other.publish({ topic: 'state', payload: 'on', qos: 1, retain: true })
  await other.receive({ text: 'on', retain: true })
  await client.subscribe([], ['state', options(1, { retain: 2 })]) // [MQTT-3.3.1-11]
  await client.expectNothing()
  await client.subscribe([], ['state', options(1, { retain: 1 })]) // it was there already [MQTT-3.3.1-10]
  await client.expectNothing()
  await client.subscribe([], ['state', options(1, { retain: 0 })]) // [MQTT-3.3.1-9]
  await client.receive({ text: 'on', retain: true })
  const late = await Client5.connect(broker, { clientId: 'late' })
  await late.subscribe([], ['state', options(1, { retain: 1 })])
  await late.receive({ text: 'on', retain: true })
})

test('[MQTT-3.3.1-6] a retained message without payload clears, and is passed on with its properties', async () => {
  const broker = await listen({ sysInterval: 0 })
  const client = await Client5.connect(broker, { clientId: 'c' })
  await client.subscribe([], ['s', options(1, { asPublished: true })])
  await client.publish({ topic: 's', payload: 'on', qos: 1, retain: true })
  await client.receive({ text: 'on' })
  await client.publish({ topic: 's', payload: '', qos: 1, retain: true, properties: [p.user('k', 'v')] })
  assert.equal((await client.receive({ text: '', retain: true })).properties, ['user k=v'])
  assert.is(broker.broker.counters.retained, 0)
})

test.run()
