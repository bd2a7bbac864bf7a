// What a broker may be told not to offer, what CONNACK says of it, and the reason codes with which it keeps to that; and
// the code in the DISCONNECT before every close the broker decides.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, listen } from '../support/embedded.ts'
import { connect, publish, subscribe } from '../support/packets.ts'
import {
  Client5,
  connect5,
  options,
  p,
  publish5,
  readProperties,
  subscribe5,
  unsubscribe5,
} from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

test('CONNACK announces nothing a client assumes anyway, but our sizes', async () => {
  const broker = await listen()
  const { properties } = await Client5.connect(broker, { clientId: 'c' })
  assert.equal([...properties].sort(), ['maximumPacketSize 2000000', 'receiveMaximum 256', 'topicAliasMaximum 32'])
})

for (const maxQos of [0, 1] as const) {
  test(`[MQTT-3.2.2-9] [MQTT-3.2.2-11] max_qos ${maxQos}: announced; a higher PUBLISH is 0x9B, a higher SUBSCRIBE is granted`, async () => {
    const broker = await listen({ maxQos })
    const client = await Client5.connect(broker, { clientId: 'c' })
    assert.ok(client.properties.includes(`maximumQos ${maxQos}`))
    const codes = await client.ask([], ['t', 2])
    assert.ok(codes[0]! <= 2, `${codes}`) // [MQTT-3.2.2-10]
    client.raw.send(publish5({ topic: 't', payload: 'x', qos: maxQos, id: 1 }))
    await client.message({ text: 'x', qos: maxQos })
    if (maxQos === 1) await client.answer('PUBACK')
    client.raw.send(publish5({ topic: 't', payload: 'x', qos: 2, id: 2 }))
    await client.disconnected(0x9b)
    const old = await RawClient.connect(broker, { clientId: 'old' })
    old.send(publish({ topic: 't', payload: 'x', qos: 2 }))
    await old.expectClosed('fin')
  })
}

test('retain_available false: announced, a retained PUBLISH is 0x9A', async () => {
  const broker = await listen({ retainAvailable: false, sysInterval: 0 })
  const client = await Client5.connect(broker, { clientId: 'c' })
  assert.ok(client.properties.includes('retainAvailable 0'))
  client.raw.send(publish5({ topic: 't', payload: 'x', retain: true }))
  await client.disconnected(0x9a)
})

test('wildcard, shared and identified subscriptions that are not offered: announced, 0xA2, 0x9E, 0xA1; 0x80 for 3.1.1', async () => {
  const broker = await listen({
    wildcardSubscriptions: false,
    sharedSubscriptions: false,
    subscriptionIdentifiers: false,
  })
  const client = await Client5.connect(broker, { clientId: 'c' })
  for (const text of ['wildcardAvailable 0', 'sharedAvailable 0', 'subscriptionIdsAvailable 0']) {
    assert.ok(client.properties.includes(text), text)
  }
  assert.equal(await client.ask([], ['a/#', 1], ['a/b', 1], ['+', 0], ['$share/g/a', 2]), [0xa2, 1, 0xa2, 0x9e])
  await client.publish({ topic: 'a/b', payload: 'x', qos: 1 })
  await client.receive({ text: 'x' })
  client.raw.send(subscribe5(7, [p.subscriptionId(1)], ['a', 0]))
  await client.disconnected(0xa1)
  const old = await RawClient.connect(broker, { clientId: 'old' })
  old.send(subscribe(1, ['a/#', 1], ['a', 1], ['$share/g/a', 0]))
  await old.expect('90 05 00 01 80 01 80')
})

test('[MQTT-3.1.2-28] response information only for those who ask', async () => {
  const broker = await listen({ responseInformation: 'answers/to' })
  const told = async (clientId: string, properties: Uint8Array[]) =>
    (await Client5.connect(broker, { clientId, properties })).properties.filter((text) => text.startsWith('response'))
  assert.equal(await told('a', []), [])
  assert.equal(await told('b', [p.requestResponseInformation(0)]), [])
  assert.equal(await told('c', [p.requestResponseInformation(1)]), ['responseInformation answers/to'])
  const silent = await listen()
  const client = await Client5.connect(silent, { clientId: 'c', properties: [p.requestResponseInformation(1)] })
  assert.is(
    client.properties.some((text) => text.startsWith('response')),
    false,
  )
})

test('[MQTT-3.1.2-29] with Request Problem Information 0 an error comes without its reason', async () => {
  const broker = await listen()
  for (const wanted of [0, 1]) {
    const properties = [p.requestProblemInformation(wanted)]
    const client = await Client5.connect(broker, { clientId: 'c', properties })
    client.raw.send(publish5({ topic: 'a/+', payload: '' }))
    const told = (await client.disconnected(0x90)).properties
    assert.is(
      told.some((text) => text.startsWith('reasonString ')),
      wanted === 1,
    )
  }
})

test('reason codes in answers: nobody subscribed 0x10, no subscription existed 0x11, unknown identifiers 0x92', async () => {
  const broker = await listen()
  const client = await Client5.connect(broker, { clientId: 'c' })
  assert.is(await client.publish({ topic: 't', payload: '', qos: 1 }), 0x10)
  assert.is(await client.publish({ topic: 't', payload: '', qos: 2 }), 0x10)
  await client.subscribe([], ['t', 0])
  client.raw.send(unsubscribe5(3, 'u', 't', 't'))
  const { body } = await client.raw.expectPacket('UNSUBACK')
  assert.equal([...body.subarray(readProperties(body, 2).end)], [0x11, 0, 0x11]) // [MQTT-3.11.3-1]
  client.raw.send('62 02 12 34') // PUBREL of an unknown identifier
  assert.equal(await client.answer('PUBCOMP'), { id: 0x1234, code: 0x92, properties: [] })
  client.raw.send('50 02 12 34') // PUBREC likewise
  assert.equal(await client.answer('PUBREL'), { id: 0x1234, code: 0x92, properties: [] })
  await client.settled()
})

test('authorization: 0x87 for PUBLISH of each QoS and in its place of a SUBACK', async () => {
  const broker = await listen({
    authorizePublish: ({ topic }) => topic !== 'no',
    authorizeSubscribe: ({ topicFilter }) => (topicFilter === 'odd' ? 0x97 : topicFilter !== 'no'),
  })
  const client = await Client5.connect(broker, { clientId: 'c' })
  assert.equal(await client.ask([], ['no', 0], ['yes', 1], ['odd', 0]), [0x87, 1, 0x97])
  assert.is(await client.publish({ topic: 'no', payload: '', qos: 1 }), 0x87)
  assert.is(await client.publish({ topic: 'no', payload: '', qos: 2 }), 0x87)
  assert.is(await client.publish({ topic: 'no', payload: '', qos: 0 }), 0)
})

test('quotas: 0x97 for a session and for a subscription too many', async () => {
  const broker = await listen({ maxSessions: 1, maxSubscriptionsPerClient: 2 })
  const client = await Client5.connect(broker, { clientId: 'c' })
  assert.equal(await client.ask([], ['a', 0], ['b', 1], ['c', 2], ['a', 1]), [0, 1, 0x97, 1])
  assert.is((await Client5.dial(broker, { clientId: 'd' })).code, 0x97)
})

for (const [what, code, bytes] of [
  ['a second CONNECT', 0x82, connect5({ clientId: 'c' })],
  ['a topic with a wildcard', 0x90, publish5({ topic: 'a/#', payload: '' })],
  ['a filter that is none', 0x8f, subscribe5(1, [], ['a/#/b', 0])],
  ['packet identifier 0', 0x82, publish5({ topic: 't', payload: '', qos: 1, id: 0 })],
  ['QoS 3', 0x81, Buffer.from([0x36, 4, 0, 1, 0x74, 0])],
  ['reserved flags', 0x81, Buffer.from([0xc1, 0])],
  ['packet type 0', 0x81, Buffer.from([0x00, 0])],
  ['a CONNACK from a client', 0x82, Buffer.from([0x20, 3, 0, 0, 0])],
  ['a Remaining Length of five bytes', 0x81, Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01])],
  [
    'a property twice',
    0x82,
    publish5({ topic: 't', payload: '', properties: [p.contentType('a'), p.contentType('b')] }),
  ],
  ['a property of another packet', 0x81, publish5({ topic: 't', payload: '', properties: [p.sessionExpiry(1)] })],
  [
    'a subscription identifier in a PUBLISH',
    0x82,
    publish5({ topic: 't', payload: '', properties: [p.subscriptionId(1)] }),
  ],
  ['subscription identifier 0', 0x82, subscribe5(1, [p.subscriptionId(0)], ['t', 0])],
  ['retain handling 3', 0x82, subscribe5(1, [], ['t', options(0) | 0x30])],
  ['reserved subscription options', 0x81, subscribe5(1, [], ['t', 0xc0])],
  ['a topic with ill-formed UTF-8', 0x81, Buffer.from([0x30, 5, 0, 2, 0xc3, 0x28, 0])],
  ['a SUBSCRIBE without a filter', 0x82, subscribe5(1, [])],
  [
    'a response topic with a wildcard',
    0x82,
    publish5({ topic: 't', payload: '', properties: [p.responseTopic('a/+')] }),
  ],
  ['a payload format of 2', 0x82, publish5({ topic: 't', payload: '', properties: [p.payloadFormat(2)] })],
] as const) {
  test(`[MQTT-4.13.1-1] ${what}: DISCONNECT 0x${code.toString(16)}, then FIN; neighbours notice nothing`, async () => {
    const broker = await listen()
    const neighbour = await Client5.connect(broker, { clientId: 'n' })
    await neighbour.subscribe([], ['#', 0])
    const client = await Client5.connect(broker, { clientId: 'c' })
    client.raw.send(bytes, publish5({ topic: 't', payload: 'too late' }))
    const { body } = await client.raw.expectPacket('DISCONNECT')
    // Malformed Packet and Protocol Error are each other's neighbours; the specification leaves some cases to us.
    const said = body[0]!
    const same = said === code || (said <= 0x82 && code <= 0x82 && said >= 0x81 && code >= 0x81)
    assert.ok(same, `0x${said.toString(16)}`)
    await client.raw.expectClosed('fin')
    await neighbour.expectNothing()
    assert.is(broker.broker.counters.internalErrors, 0)
  })
}

test('a protocol version nobody knows is 0x84 or its 3.1.1 counterpart, and a malformed CONNECT 0x81', async () => {
  const broker = await listen()
  const unknown = await RawClient.dial(broker, '10 0d 00 04 4d 51 54 54 06 02 00 00 00 00 00')
  const { body } = await unknown.expectPacket('CONNACK')
  assert.ok(body[1] === 0x84 || body[1] === 1)
  await unknown.expectClosed('fin')
  const malformed = await RawClient.dial(broker, connect5({ clientId: 'c', properties: [p.contentType('x')] }))
  assert.ok([0x81, 0x82].includes((await malformed.expectPacket('CONNACK')).body[1]!))
  await malformed.expectClosed('fin')
})

test('a CONNACK that does not fit the client is no CONNACK: the connection ends', async () => {
  const broker = await listen()
  const client = await RawClient.dial(broker, connect5({ clientId: 'c', properties: [p.maximumPacketSize(10)] }))
  await client.expectClosed('fin')
  const old = await RawClient.dial(broker, connect({ clientId: 'old' }))
  await old.expect('20 02 00 00')
})

test('a QoS 0 message larger than output_limit reaches who reads, live and retained, and nobody is called slow for it', async () => {
  const broker = await listen({ outputLimit: 20_000, slowReaderPolicy: 'disconnect', maxPacketSize: 1_000_000 })
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const receiver = await Client5.connect(broker, { clientId: 'r' })
  await receiver.subscribe([], ['t', 0])
  for (let n = 0; n < 3; n++) {
    await publisher.publish({ topic: 't', payload: 'x'.repeat(100_000), retain: true })
    assert.is((await receiver.message({})).text.length, 100_000)
  }
  const late = await Client5.connect(broker, { clientId: 'l' })
  await late.subscribe([], ['t', 0])
  assert.is((await late.message({})).text.length, 100_000)
  const { droppedOutputFull, slowReadersDisconnected } = broker.broker.counters
  assert.equal([droppedOutputFull, slowReadersDisconnected], [0, 0])
})

test.run()
