// What the log and $SYS say about clients: who did what from where, once, without flooding.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { connect, frame, hex, publish, rawConnect, string } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { unlessMosquitto } from '../support/target.ts'

const broker = await startBroker({ settings: { sys_interval: 1 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

const told = unlessMosquitto(test, 'its log does not join client id, address and reason in one line')

const faults: [what: string, bytes: Uint8Array][] = [
  ['PUBLISH of QoS 3', hex('36 00')],
  ['a wildcard in a topic', frame(0x30, string('a/#'))],
  ['packet id 0', frame(0x32, string('a'), hex('00 00'))],
  ['ill-formed UTF-8', frame(0x30, string(hex('c0 af')))],
  ['SUBSCRIBE without a filter', hex('82 02 00 01')],
  ['a second CONNECT', connect({ clientId: 'again' })],
  ['a packet of type 0', hex('00 00')],
  ['a Remaining Length of five bytes', hex('30 ff ff ff ff 01')],
  ['a packet over max_packet_size', hex('30 ff ff ff 7f 00')],
]

faults.forEach(([what, bytes], n) => {
  told(`${what} is logged in one line, with the client id, the address and a reason`, async () => {
    const clientId = `faulty-client-${n}`
    const client = await RawClient.connect(broker, { clientId })
    const { address } = client
    client.send(bytes)
    await client.expectClosed()
    await broker.waitForLog((text) => [clientId, address, 'reason'].every((part) => text.includes(part)))
  })
})

told('a refused CONNECT is logged in one line, with the address and a reason', async () => {
  const client = await RawClient.dial(broker, rawConnect('MQTT', 2, 2, string('refused-client')))
  await client.expect('20 02 00 01')
  await broker.waitForLog((text) => text.includes(client.address))
})

told('a client that repeats its mistake 500 times does not fill the log', async () => {
  const before = broker.log.length
  for (let n = 0; n < 500; n++) {
    const client = await RawClient.dial(broker, connect({ clientId: 'repeats' }), '36 00')
    await client.readToEnd()
  }
  const warnings = broker.log.slice(before).filter((line) => /WARN|ERROR/.test(line))
  assert.ok(warnings.length < 100, `${warnings.length} lines`)
})

test('$SYS topics tell version, uptime, clients and messages', async () => {
  const client = await RawClient.connect(broker, { clientId: 'sys' })
  await client.subscribe(['$SYS/#', 0])
  const topics = [
    '$SYS/broker/version',
    '$SYS/broker/uptime',
    '$SYS/broker/clients/connected',
    '$SYS/broker/messages/received',
    '$SYS/broker/messages/sent',
  ]
  const values = new Map<string, string>()
  while (!topics.every((topic) => values.has(topic))) {
    const { topic, text } = await client.expectPublish()
    values.set(topic, text)
  }
  assert.ok(values.get('$SYS/broker/version')!.includes(broker.version))
  assert.match(values.get('$SYS/broker/uptime')!, /^\d+/)
  for (const topic of topics.slice(2)) assert.match(values.get(topic)!, /^\d+$/)
})

test('$SYS/broker/clients/connected follows those who come and go', async () => {
  const client = await RawClient.connect(broker, { clientId: 'sys' })
  await client.subscribe(['$SYS/broker/clients/connected', 0])
  for (let n = 0; n < 5; n++) await RawClient.connect(broker, { clientId: `counted-${n}` })
  for (;;) if ((await client.expectPublish()).text === '6') break
})

test('[MQTT-4.7.2-1] a subscription to # gets nothing of $SYS', async () => {
  const client = await RawClient.connect(broker, { clientId: 'all' })
  await client.subscribe(['#', 0])
  const sys = await RawClient.connect(broker, { clientId: 'sys' })
  await sys.subscribe(['$SYS/broker/uptime', 0])
  for (let n = 0; n < 3; n++) await sys.expectPublish()
  await client.expectNothing()
})

const own = unlessMosquitto(test, 'clients may publish to $SYS there')
own('what a client publishes to $SYS does not reach subscribers', async () => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['$SYS/broker/version', 0], ['$SYS/mine', 0])
  const version = await watcher.expectPublish({ topic: '$SYS/broker/version', retain: true })
  const client = await RawClient.dial(broker, connect({ clientId: 'liar' }))
  client.end(
    publish({ topic: '$SYS/broker/version', payload: 'a lie', retain: true }),
    publish({ topic: '$SYS/mine', payload: 'x' }),
  )
  await client.readToEnd()
  const later = await RawClient.connect(broker, { clientId: 'later' })
  await later.subscribe(['$SYS/broker/version', 0])
  assert.is((await later.expectPublish({ retain: true })).text, version.text)
  watcher.send('c0 00')
  for (let type = 0; type !== 13; ) {
    const packet = await watcher.nextPacket()
    type = packet.type
    assert.not(packet.body.includes('a lie') || packet.body.includes('$SYS/mine'))
  }
})

test.run()
