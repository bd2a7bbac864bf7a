// What the broker answers to CONNECT, as seen from a plain socket: acceptance, every refusal and its return code,
// the session present flag. Malformed CONNECTs have a table of their own in connect-malformed.test.ts.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { connect, frame, hex, pingreq, publish, rawConnect, string, uint16 } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { target } from '../support/target.ts'

const broker = await startBroker()
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

test('[MQTT-3.1.4-4] a valid CONNECT is answered with CONNACK 0', async () => {
  const client = await RawClient.dial(broker, '10 0d 00 04 4d 51 54 54 04 02 00 00 00 01 61')
  await client.expect('20 02 00 00')
})

test('[MQTT-3.1.2-1] MQTT 3.1 (MQIsdp, level 3) is answered with CONNACK 0', async () => {
  const client = await RawClient.dial(broker, '10 0f 00 06 4d 51 49 73 64 70 03 02 00 00 00 01 62')
  await client.expect('20 02 00 00')
  await client.expectNothing()
})

for (const [name, level] of [
  ['MQTT', 0],
  ['MQTT', 2],
  ['MQTT', 3],
  ['MQTT', 0x83],
  ['MQIsdp', 4],
  ['MQIsdp', 5],
] as const) {
  test(`[MQTT-3.1.2-2] level ${level} of ${name} is answered with CONNACK 1, then closed`, async () => {
    const client = await RawClient.dial(broker, rawConnect(name, level, 2, string('level')))
    await client.expect('20 02 00 01')
    await client.expectClosed()
  })
}

for (const level of [6, 7, 127, 255]) {
  test(`[MQTT-3.1.2-2] level ${level} of MQTT is refused with CONNACK 1, or 0x84 in the form of MQTT 5`, async () => {
    const client = await RawClient.dial(broker, rawConnect('MQTT', level, 2, string('level')))
    const connack = await client.expectPacket('CONNACK')
    assert.is(connack.body[0], 0)
    assert.is(connack.body[1], connack.body.length === 2 ? 1 : 0x84)
    await client.expectClosed()
  })
}

test('level 0x84 of MQTT, a Mosquitto bridge, is served as 3.1.1 or refused with CONNACK 1', async () => {
  const client = await RawClient.dial(broker, rawConnect('MQTT', 0x84, 2, string('bridge')))
  const connack = await client.expectPacket('CONNACK')
  assert.ok(['0000', '0001'].includes(connack.body.toString('hex')))
})

for (const name of ['mqtt', 'MQTT ', 'MQT', '', 'HTTP/1.1', 'MQISDP']) {
  test(`[MQTT-3.1.2-1] the protocol name ${JSON.stringify(name)} is not accepted`, async () => {
    const client = await RawClient.dial(broker, rawConnect(name, 4, 2, string('name')))
    const { bytes } = await client.readToEnd()
    assert.ok(['', '20020001'].includes(bytes.toString('hex')), bytes.toString('hex'))
  })
}

test('[MQTT-3.1.3-6] an empty client id with Clean Session is accepted, each such client has an id of its own', async () => {
  const first = await RawClient.connect(broker, { clientId: '' })
  const second = await RawClient.connect(broker, { clientId: '' })
  await first.expectNothing()
  await second.expectNothing()
})

test('[MQTT-3.1.3-8] an empty client id without Clean Session is answered with CONNACK 2, then closed', async () => {
  const client = await RawClient.dial(broker, connect({ clientId: '', clean: false }))
  await client.expect('20 02 00 02')
  await client.expectClosed()
})

test('an empty client id of MQTT 3.1 is answered with CONNACK 2, then closed', async () => {
  const client = await RawClient.dial(broker, connect({ clientId: '', version: '3.1' }))
  await client.expect('20 02 00 02')
  await client.expectClosed()
})

test('[MQTT-3.1.3-5] a client id of 23 letters and digits is accepted', async () => {
  await RawClient.connect(broker, { clientId: 'abcdefghijklmnoPQRS0123' })
})

for (const [what, clientId] of [
  ['200 bytes', 'x'.repeat(200)],
  ['blanks, slashes and wildcards', ' a/b+c#d '],
  ['characters outside ASCII', 'türschloß-🔒'],
] as const) {
  test(`[MQTT-3.1.3-4] a client id of ${what} is accepted`, async () => {
    const client = await RawClient.connect(broker, { clientId })
    await client.expectNothing()
  })
}

test('[MQTT-3.1.2-19] a user name and a password are accepted where anonymous clients are', async () => {
  const client = await RawClient.connect(broker, { clientId: 'named', userName: 'u', password: 'p' })
  await client.expectNothing()
})

test('[MQTT-3.1.2-21] a user name without a password is accepted where anonymous clients are', async () => {
  const client = await RawClient.connect(broker, { clientId: 'named', userName: 'u' })
  await client.expectNothing()
})

test('[MQTT-3.1.0-2] a second CONNECT closes the connection', async () => {
  const client = await RawClient.connect(broker, { clientId: 'twice' })
  client.send(connect({ clientId: 'twice' }))
  await client.expectClosed()
})

test('[MQTT-3.1.0-2] two CONNECTs in one segment: the first is answered, the second closes the connection', async () => {
  const client = await RawClient.dial(broker, connect({ clientId: 'twice' }), connect({ clientId: 'twice' }))
  const { bytes } = await client.readToEnd()
  assert.is(bytes.toString('hex'), '20020000')
})

test('[MQTT-3.1.0-1] an HTTP request before CONNECT closes the connection without an answer in MQTT', async () => {
  const client = await RawClient.dial(broker, Buffer.from('GET / HTTP/1.1\r\nHost: broker\r\n\r\n'))
  client.end()
  assert.match((await client.readToEnd()).bytes.toString('latin1'), target === 'martlet' ? /^HTTP\/1\.1 400 / : /^$/)
})

for (const [what, bytes] of [
  ['PINGREQ', pingreq()],
  ['PUBLISH', publish({ topic: 'early', payload: 'x' })],
  ['SUBSCRIBE', hex('82 06 00 01 00 01 23 00')],
  ['DISCONNECT', hex('e0 00')],
  ['a TLS ClientHello', hex('16 03 01 00 2e 01 00 00 2a 03 03')],
  ['a packet of type 0', hex('00 00')],
] as const) {
  test(`[MQTT-3.1.0-1] ${what} before CONNECT closes the connection without an answer`, async () => {
    const client = await RawClient.dial(broker, bytes)
    // A request line may look like the start of a longer packet: the FIN then says that no more will come.
    client.end()
    await client.expectClosed()
  })
}

test('[MQTT-3.1.4-5] nothing sent behind a refused CONNECT is processed', async () => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['behind/refusal', 0])
  const refused = rawConnect('MQTT', 2, 2, string('refused'))
  const client = await RawClient.dial(broker, refused, publish({ topic: 'behind/refusal', payload: 'x' }))
  await client.expect('20 02 00 01')
  await client.expectClosed()
  await watcher.expectNothing()
})

test('[MQTT-3.1.4-5] packets sent before CONNACK are processed when CONNECT is accepted', async () => {
  const client = await RawClient.dial(broker, connect({ clientId: 'eager' }), '82 06 00 07 00 01 65 00', pingreq())
  await client.expect('20 02 00 00  90 03 00 07 00  d0 00')
})

test('[MQTT-3.2.2-1] a clean session has no session present, and leaves none', async () => {
  const first = await RawClient.connect(broker, { clientId: 'present' })
  assert.not(first.sessionPresent)
  await first.disconnect()
  const second = await RawClient.connect(broker, { clientId: 'present', clean: false })
  assert.not(second.sessionPresent, '[MQTT-3.2.2-3]')
})

test('[MQTT-3.2.2-2] a stored session is present, [MQTT-3.1.2-6] and a clean one discards it', async () => {
  const connectStored = { clientId: 'stored', clean: false }
  await (await RawClient.connect(broker, connectStored)).disconnect()
  const resumed = await RawClient.connect(broker, connectStored)
  assert.ok(resumed.sessionPresent)
  await resumed.disconnect()
  const clean = await RawClient.connect(broker, { clientId: 'stored' })
  assert.not(clean.sessionPresent)
  await clean.disconnect()
  assert.not((await RawClient.connect(broker, connectStored)).sessionPresent)
})

test('a session of MQTT 3.1 resumes, and the reserved byte of its CONNACK stays 0', async () => {
  const options = { clientId: 'stored-31', clean: false, version: '3.1' } as const
  const first = await RawClient.connect(broker, options)
  await first.subscribe(['three/one', 1])
  await first.disconnect()
  const second = await RawClient.connect(broker, options)
  assert.not(second.sessionPresent)
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  await publisher.publish({ topic: 'three/one', payload: 'still here', qos: 1 })
  await second.expectPublish({ topic: 'three/one', text: 'still here', qos: 1 })
})

test('[MQTT-2.2.2-2] CONNECT with a wrong flag in its fixed header closes the connection', async () => {
  const client = await RawClient.dial(broker, frame(0x11, connect({ clientId: 'flags' }).subarray(2)))
  await client.expectClosed()
})

test('the Keep Alive of a CONNECT is read at its place, 65535 included', async () => {
  const body = [string('MQTT'), hex('04 02'), uint16(65535), string('long-keep-alive')]
  const client = await RawClient.dial(broker, frame(0x10, ...body))
  await client.expect('20 02 00 00')
  await client.expectNothing()
})

test.run()
