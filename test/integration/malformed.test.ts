// Malformed and forbidden packets of an accepted client: the broker closes that connection, answers nothing, routes
// nothing, says so in its log and in a counter, and serves everybody else as before [MQTT-4.8.0-1].
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { frame, hex, publish, string, uint16 } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { target, unlessMosquitto } from '../support/target.ts'

const broker = await startBroker({ settings: { sys_interval: 1 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

interface Row {
  clause: string
  what: string
  bytes: Uint8Array
  /** What Mosquitto 2.0.11 does instead. */
  mosquitto?: string
  /** SUBACK with failure code 0x80 is as good an answer as closing. */
  orFailureCode?: true
}

const topic = string('t')
const id = uint16(1)
const payload = Buffer.from('x')
const illFormed = [
  'ed a0 80',
  'ed bf bf',
  'c0 af',
  'c1 bf',
  'e0 80 af',
  'f0 80 80 af',
  '80',
  'e2 82',
  'f4 90 80 80',
  'ff',
]
const ignoresBody = 'it ignores what follows in this packet'
const itsOwn = 'its bridges receive these packets'
const ignoresFlags = 'it ignores these flags'

const publishRows: Row[] = [
  { clause: 'MQTT-3.3.1-4', what: 'PUBLISH of QoS 3', bytes: frame(0x36, topic, id, payload) },
  {
    clause: 'MQTT-3.3.1-2',
    what: 'PUBLISH of QoS 0 with DUP',
    bytes: frame(0x38, topic, payload),
    mosquitto: ignoresFlags,
  },
  { clause: 'MQTT-3.3.2-2', what: 'PUBLISH to a topic with +', bytes: frame(0x30, string('a/+/b'), payload) },
  { clause: 'MQTT-3.3.2-2', what: 'PUBLISH to a topic with #', bytes: frame(0x30, string('a/#'), payload) },
  {
    clause: 'MQTT-4.7.1-1',
    what: 'PUBLISH to a topic with + within a level',
    bytes: frame(0x30, string('a+'), payload),
  },
  { clause: 'MQTT-4.7.3-1', what: 'PUBLISH to an empty topic', bytes: frame(0x30, string(''), payload) },
  { clause: 'MQTT-1.5.3-2', what: 'PUBLISH to a topic with U+0000', bytes: frame(0x30, string('a\0b'), payload) },
  { clause: 'MQTT-3.3.2-1', what: 'PUBLISH without a topic', bytes: hex('30 00') },
  { clause: 'MQTT-3.3.2-1', what: 'PUBLISH with half a topic length', bytes: hex('30 01 00') },
  { clause: 'MQTT-3.3.2-1', what: 'PUBLISH whose topic is longer than it', bytes: hex('30 04 00 09 61 62') },
  { clause: 'MQTT-2.3.1-1', what: 'PUBLISH of QoS 1 with packet id 0', bytes: frame(0x32, topic, uint16(0), payload) },
  { clause: 'MQTT-2.3.1-1', what: 'PUBLISH of QoS 2 with packet id 0', bytes: frame(0x34, topic, uint16(0), payload) },
  { clause: 'MQTT-2.3.1-1', what: 'PUBLISH of QoS 1 without a packet id', bytes: frame(0x32, topic) },
  { clause: 'MQTT-2.3.1-1', what: 'PUBLISH of QoS 2 with half a packet id', bytes: frame(0x34, topic, hex('01')) },
  ...illFormed.map((bytes) => ({
    clause: 'MQTT-1.5.3-1',
    what: `PUBLISH to a topic with the ill-formed UTF-8 ${bytes}`,
    bytes: frame(0x30, string(hex(`61 ${bytes} 62`)), payload),
  })),
]

const acknowledgements = [
  ['PUBACK', 0x40],
  ['PUBREC', 0x50],
  ['PUBREL', 0x62],
  ['PUBCOMP', 0x70],
] as const
const flagRows: Row[] = acknowledgements.flatMap(([name, first]) =>
  [1, 2, 4, 8].map((flag) => ({
    clause: name === 'PUBREL' ? 'MQTT-3.6.1-1' : 'MQTT-2.2.2-2',
    what: `${name} with flags ${(first ^ flag) & 15}`,
    bytes: frame(first ^ flag, id),
    ...(name === 'PUBREL' ? {} : { mosquitto: ignoresFlags }),
  })),
)
const acknowledgementRows: Row[] = acknowledgements.flatMap(([name, first]) => [
  { clause: 'MQTT-2.3.1-1', what: `${name} with packet id 0`, bytes: frame(first, uint16(0)) },
  { clause: 'MQTT-4.8.0-1', what: `${name} without a packet id`, bytes: frame(first) },
  { clause: 'MQTT-4.8.0-1', what: `${name} with half a packet id`, bytes: frame(first, hex('01')) },
  {
    clause: 'MQTT-4.8.0-1',
    what: `${name} of three bytes`,
    bytes: frame(first, id, hex('00')),
    mosquitto: ignoresBody,
  },
])

const one = Buffer.from([1])
const subscribeRows: Row[] = [
  { clause: 'MQTT-3.8.1-1', what: 'SUBSCRIBE with flags 0', bytes: frame(0x80, id, topic, one) },
  { clause: 'MQTT-3.8.1-1', what: 'SUBSCRIBE with flags 3', bytes: frame(0x83, id, topic, one) },
  { clause: 'MQTT-3.8.3-3', what: 'SUBSCRIBE without a filter', bytes: frame(0x82, id) },
  { clause: 'MQTT-2.3.1-1', what: 'SUBSCRIBE with packet id 0', bytes: frame(0x82, uint16(0), topic, one) },
  { clause: 'MQTT-3-8.3-4', what: 'SUBSCRIBE with QoS 3', bytes: frame(0x82, id, topic, hex('03')) },
  { clause: 'MQTT-3-8.3-4', what: 'SUBSCRIBE with reserved bits', bytes: frame(0x82, id, topic, hex('41')) },
  { clause: 'MQTT-3-8.3-4', what: 'SUBSCRIBE with options of MQTT 5', bytes: frame(0x82, id, topic, hex('04')) },
  { clause: 'MQTT-3.8.3-3', what: 'SUBSCRIBE without a QoS', bytes: frame(0x82, id, topic) },
  {
    clause: 'MQTT-3.8.3-3',
    what: 'SUBSCRIBE whose second filter has no QoS',
    bytes: frame(0x82, id, topic, one, topic),
  },
  { clause: 'MQTT-3.8.3-1', what: 'SUBSCRIBE whose filter is longer than it', bytes: frame(0x82, id, hex('00 09 61')) },
  { clause: 'MQTT-4.8.0-1', what: 'SUBSCRIBE without anything', bytes: hex('82 00') },
  { clause: 'MQTT-1.5.3-2', what: 'SUBSCRIBE to a filter with U+0000', bytes: frame(0x82, id, string('a\0'), one) },
  { clause: 'MQTT-1.5.3-1', what: 'SUBSCRIBE to ill-formed UTF-8', bytes: frame(0x82, id, string(hex('c0af')), one) },
  ...['', 'a/#/b', '#a', 'a#', 'a/b#', 'a+', '+a', 'a/+b/c', '##', '++', '#/', '$share/g/#/a'].map((filter) => ({
    clause: filter === '' ? 'MQTT-4.7.3-1' : filter.includes('#') ? 'MQTT-4.7.1-2' : 'MQTT-4.7.1-3',
    what: `SUBSCRIBE to the invalid filter ${JSON.stringify(filter)}`,
    bytes: frame(0x82, id, string(filter), one),
    orFailureCode: true as const,
  })),
]

const unsubscribeRows: Row[] = [
  { clause: 'MQTT-3.10.1-1', what: 'UNSUBSCRIBE with flags 0', bytes: frame(0xa0, id, topic) },
  { clause: 'MQTT-3.10.3-2', what: 'UNSUBSCRIBE without a filter', bytes: frame(0xa2, id) },
  { clause: 'MQTT-2.3.1-1', what: 'UNSUBSCRIBE with packet id 0', bytes: frame(0xa2, uint16(0), topic) },
  {
    clause: 'MQTT-3.10.3-1',
    what: 'UNSUBSCRIBE whose filter is longer than it',
    bytes: frame(0xa2, id, hex('00 09 61')),
  },
  { clause: 'MQTT-4.8.0-1', what: 'UNSUBSCRIBE with half a filter length', bytes: frame(0xa2, id, topic, hex('00')) },
  { clause: 'MQTT-1.5.3-1', what: 'UNSUBSCRIBE from ill-formed UTF-8', bytes: frame(0xa2, id, string(hex('c0af'))) },
]

const otherRows: Row[] = [
  { clause: 'MQTT-2.2.2-2', what: 'PINGREQ with flags', bytes: hex('c1 00'), mosquitto: ignoresFlags },
  { clause: 'MQTT-4.8.0-1', what: 'PINGREQ with a body', bytes: hex('c0 01 00'), mosquitto: ignoresBody },
  { clause: 'MQTT-3.14.1-1', what: 'DISCONNECT with flags', bytes: hex('e1 00'), mosquitto: ignoresFlags },
  { clause: 'MQTT-4.8.0-1', what: 'DISCONNECT with a body', bytes: hex('e0 01 00') },
  { clause: 'MQTT-4.8.0-1', what: 'CONNACK', bytes: hex('20 02 00 00') },
  { clause: 'MQTT-4.8.0-1', what: 'SUBACK', bytes: hex('90 03 00 01 00'), mosquitto: itsOwn },
  { clause: 'MQTT-4.8.0-1', what: 'UNSUBACK', bytes: hex('b0 02 00 01'), mosquitto: itsOwn },
  { clause: 'MQTT-4.8.0-1', what: 'PINGRESP', bytes: hex('d0 00'), mosquitto: itsOwn },
  { clause: 'MQTT-4.8.0-1', what: 'a packet of type 0', bytes: hex('00 00') },
  { clause: 'MQTT-4.8.0-1', what: 'AUTH, a packet of type 15', bytes: hex('f0 00') },
  { clause: '2.2.3', what: 'a Remaining Length of five bytes', bytes: hex('30 ff ff ff ff 01') },
]

/** Clients closed for their faults so far. */
let faulty = 0

const rows = [publishRows, flagRows, acknowledgementRows, subscribeRows, unsubscribeRows, otherRows].flat()
for (const [n, row] of rows.entries()) {
  const given = row.mosquitto === undefined ? test : unlessMosquitto(test, row.mosquitto)
  given(`[${row.clause}] ${row.what} closes the connection`, async () => {
    // An address of its own each: of one kind and address one line is written, and the rest counted.
    const client = await RawClient.connect(
      { ...broker, localAddress: `127.0.1.${n + 1}` },
      { clientId: `malformed-${n}` },
    )
    const { address } = client
    // What follows in the same segment must not be handled any more.
    client.send(row.bytes, publish({ topic: 'behind/malformed', payload: 'x', qos: 1, id: 9 }))
    if (row.orFailureCode && (await client.nextByte()) === 0x90) return client.expect('90 03 00 01 80')
    await client.expectClosed()
    faulty++
    if (target === 'mosquitto') return
    const told = [' WARN ', `client=malformed-${n} `, `address=${address} `, 'reason=']
    await broker.waitForLog((line) => told.every((part) => line.includes(part)))
  })
}

unlessMosquitto(test, 'it has no such counters')('each of them was counted, once', async () => {
  const client = await RawClient.connect(broker, { clientId: 'counts' })
  const prefix = '$SYS/broker/martlet/counters/'
  await client.subscribe([`${prefix}malformedPackets`, 0], [`${prefix}protocolErrors`, 0])
  const counts = new Map<string, number>()
  const sum = () => [...counts.values()].reduce((all, one) => all + one, 0)
  while (counts.size < 2 || sum() < faulty) {
    const { topic, text } = await client.expectPublish()
    counts.set(topic.slice(prefix.length), Number(text))
  }
  assert.is(sum(), faulty)
  assert.ok(Math.min(...counts.values()) > 0, 'malformed packets and protocol errors are told apart')
})

test('[MQTT-4.8.0-1] nothing behind a malformed packet is routed, and others are served as before', async () => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['#', 0])
  const client = await RawClient.connect(broker, { clientId: 'malformed' })
  client.send(publish({ topic: 'before', payload: '1' }), '36 00', publish({ topic: 'behind', payload: '2' }))
  await client.expectClosed()
  await watcher.expectPublish({ topic: 'before' })
  await watcher.expectNothing()
})

test('acknowledgements nobody waits for are ignored', async () => {
  const client = await RawClient.connect(broker, { clientId: 'acknowledges' })
  client.send('40 02 00 09', '50 02 00 09')
  // A PUBREC of an unknown id may be answered (the exchange ends) or not; the connection goes on either way.
  client.send('c0 00')
  const answer = await client.nextPacket()
  if (answer.type === 6) await client.expect('d0 00')
  else assert.is(answer.type, 13)
  client.send('70 02 00 09')
  await client.expectNothing()
})

test('[MQTT-4.3.3-2] PUBREL of an unknown id is answered with PUBCOMP', async () => {
  const client = await RawClient.connect(broker, { clientId: 'releases' })
  client.send('62 02 00 0b')
  await client.expect('70 02 00 0b')
})

test.run()
