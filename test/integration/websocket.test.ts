// MQTT over WebSocket: every rule of RFC 6455 a server has to keep, as raw bytes, and the mqtt package as a real client.
import mqtt, { type MqttClient } from 'mqtt'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteClient, clientFrame, closeByteClients, upgrade, upgradeRequest } from '../net/byte-client.ts'
import { closeBrokers, type EmbeddedBroker, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { sized } from '../support/target.ts'

const lines: { message: string; fields: Record<string, unknown> }[] = []
const told = (fields: object, message: string) => lines.push({ message, fields: fields as Record<string, unknown> })
const log = { debugging: false, debug: told, info: told, warn: told, error: told }

const { broker, port: plainPort }: EmbeddedBroker = await listen({ log })
const host = '127.0.0.1'
const doors = {
  ws: (await broker.listen({ port: 0, protocol: 'websockets' })).port,
  any: (await broker.listen({ port: 0, protocol: 'any' })).port,
  strict: (
    await broker.listen({
      port: 0,
      protocol: 'websockets',
      websocketsPath: '/mqtt',
      websocketsOrigin: ['https://app.example'],
      websocketsHeadersSize: 512,
      trustedProxies: ['127.0.0.0/8'],
    })
  ).port,
  two: (await broker.listen({ port: 0, protocol: 'any', maxConnections: 2 })).port,
}
const clients = new Set<MqttClient>()

test.after.each(() => {
  closeByteClients()
  closeClients()
  for (const client of clients) client.end(true)
  clients.clear()
})
test.after(closeBrokers)

const dial = (port = doors.ws): Promise<ByteClient> => ByteClient.dial({ host, port })

const connected = async (clientId: string, port = doors.ws): Promise<ByteClient> => {
  const client = await dial(port)
  assert.match(await upgrade(client), /^HTTP\/1\.1 101 /)
  client.send(clientFrame(packets.connect({ clientId })))
  assert.equal((await client.frame()).payload, Buffer.from([0x20, 2, 0, 0]))
  return client
}

const closeCode = async (client: ByteClient): Promise<number> => {
  for (;;) {
    const frame = await client.frame()
    if (frame.opcode === 8) return frame.payload.readUInt16BE()
  }
}

const nextLine = async (pattern: RegExp): Promise<Record<string, unknown>> => {
  for (;;) {
    const line = lines.find(({ message, fields }) => pattern.test(message) || pattern.test(String(fields.reason)))
    if (line !== undefined) return line.fields
    await new Promise(setImmediate)
  }
}

test('[MQTT-6.0.0-4] the subprotocol mqtt is echoed, and no extension is', async () => {
  const client = await dial()
  const answer = await upgrade(client, { headers: ['Sec-WebSocket-Extensions: permessage-deflate'] })
  assert.match(answer, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
  assert.match(answer, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/)
  assert.match(answer, /\r\nSec-WebSocket-Protocol: mqtt\r\n/)
  assert.not.match(answer, /Extensions/)
})

test('[MQTT-6.0.0-3] mqttv3.1 is accepted, other subprotocols and none are not', async () => {
  assert.match(await upgrade(await dial(), { protocol: 'mqttv3.1' }), / 101 [\s\S]*Protocol: mqttv3\.1\r\n/)
  assert.match(await upgrade(await dial(), { protocol: 'stomp' }), /^HTTP\/1\.1 400 /)
  assert.match(await upgrade(await dial(), { protocol: null }), /^HTTP\/1\.1 400 /)
})

test('the upgrade request may come byte by byte, and frames right behind it', async () => {
  const slow = await dial()
  for (const byte of upgradeRequest()) slow.send(byte)
  await slow.takeUntil('\r\n\r\n')
  const eager = await dial()
  eager.send(upgradeRequest(), clientFrame(packets.connect({ clientId: 'eager' })), clientFrame(packets.pingreq()))
  await eager.takeUntil('\r\n\r\n')
  let answers = Buffer.alloc(0)
  while (answers.length < 6) answers = Buffer.concat([answers, (await eager.frame()).payload])
  assert.equal(answers, Buffer.from([0x20, 2, 0, 0, 0xd0, 0]))
})

test('a plain HTTP request gets a helpful 426, then FIN', async () => {
  const client = await dial()
  client.send('GET / HTTP/1.1\r\nHost: broker\r\n\r\n')
  const answer = (await client.rest()).toString()
  assert.match(answer, /^HTTP\/1\.1 426 Upgrade Required\r\nUpgrade: websocket\r\n/)
  assert.match(answer, /MQTT over WebSocket/)
  assert.is(Number(/Content-Length: (\d+)/.exec(answer)![1]), answer.split('\r\n\r\n')[1]!.length)
})

test('MQTT on a WebSocket port is told what is wrong, and the log says so', async () => {
  const client = await dial()
  client.send(packets.connect({ clientId: 'lost' }))
  assert.match((await client.rest()).toString(), /^HTTP\/1\.1 400 /)
  await nextLine(/this is no HTTP request/)
})

test('path and Origin must be the configured ones', async () => {
  const refused = async (path: string, ...headers: string[]): Promise<string> =>
    (await upgrade(await dial(doors.strict), { path, headers })).slice(9, 12)
  assert.is(await refused('/mqtt', 'Origin: https://app.example'), '101')
  assert.is(await refused('/mqtt?x=1', 'Origin: https://app.example'), '101')
  assert.is(await refused('/', 'Origin: https://app.example'), '404')
  assert.is(await refused('/mqtt', 'Origin: https://app.example.evil'), '403')
  assert.is(await refused('/mqtt'), '403')
})

test('a request head over the limit gets 431', async () => {
  const client = await dial(doors.strict)
  client.send(upgradeRequest({ headers: ['Origin: https://app.example', `X: ${'x'.repeat(600)}`] }))
  assert.match((await client.rest()).toString(), /^HTTP\/1\.1 431 /)
  const endless = await dial(doors.strict)
  endless.send(`GET /${'x'.repeat(5000)}`)
  assert.match((await endless.rest()).toString(), /^HTTP\/1\.1 431 /)
})

test('X-Forwarded-For of a trusted proxy names the client; of anybody else it does not', async () => {
  const through = async (port: number, clientId: string): Promise<unknown> => {
    const client = await dial(port)
    const headers = ['Origin: https://app.example', 'X-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.5']
    assert.match(await upgrade(client, { headers }), /101/)
    client.send(clientFrame(packets.connect({ clientId })))
    await client.frame()
    return lines.find(({ fields }) => fields.client === clientId)!.fields.address
  }
  assert.is(await through(doors.strict, 'trusted'), '203.0.113.9:0')
  assert.match(String(await through(doors.ws, 'untrusted')), /^127\.0\.0\.1:\d+$/)
})

test('[MQTT-6.0.0-2] several packets in a frame, a packet over many frames, one byte a frame', async () => {
  const client = await connected('pieces')
  client.send(clientFrame(Buffer.concat([packets.pingreq(), packets.pingreq()])))
  assert.equal((await client.frame()).payload, Buffer.from([0xd0, 0, 0xd0, 0]))
  client.send(clientFrame('\xc0', 0x02), clientFrame('', 0x00), clientFrame('\x00', 0x80))
  assert.equal((await client.frame()).payload, Buffer.from([0xd0, 0]))
  const subscribe = packets.subscribe(1, ['own/#', 0])
  for (const byte of subscribe) client.send(clientFrame([byte] as never))
  assert.equal((await client.frame()).payload, Buffer.from([0x90, 3, 0, 1, 0]))
  const payload = Buffer.alloc(sized(300_000, 20_000), 'p')
  const message = packets.publish({ topic: 'own/large', payload })
  for (let at = 0; at < message.length; at += 7001) client.send(clientFrame(message.subarray(at, at + 7001)))
  let back = Buffer.alloc(0)
  while (back.length < message.length) back = Buffer.concat([back, (await client.frame()).payload])
  assert.ok(back.equals(message))
})

test('a message larger than the inbox comes in one frame', async () => {
  const client = await connected('large')
  client.send(clientFrame(packets.subscribe(1, ['large', 1])))
  await client.frame()
  const message = packets.publish({ topic: 'large', payload: Buffer.alloc(sized(1_500_000, 30_000), 'x') })
  client.send(clientFrame(message))
  let received = 0
  while (received < message.length) {
    const { opcode, payload } = await client.frame()
    assert.is(opcode, 2)
    received += payload.length
  }
  assert.is(received, message.length)
})

test('[MQTT-6.0.0-1] answers to one turn are one binary frame', async () => {
  const client = await connected('batch')
  client.send(clientFrame(Buffer.concat(Array.from({ length: 20 }, () => packets.pingreq()))))
  const frame = await client.frame()
  assert.equal([frame.fin, frame.opcode], [true, 2])
  assert.is(frame.payload.length, 40)
})

test('ping is answered with its payload, between fragments too; an unasked pong is ignored', async () => {
  const client = await connected('pings')
  client.send(clientFrame('\xc0', 0x02), clientFrame('are you there', 0x89), clientFrame('', 0x8a))
  const pong = await client.frame()
  assert.equal([pong.opcode, pong.payload.toString()], [10, 'are you there'])
  client.send(clientFrame('\x00', 0x80), clientFrame('', 0x89))
  const rest = [await client.frame(), await client.frame()]
  assert.equal(rest.map(({ opcode }) => opcode).sort(), [10, 2])
})

const violations: [string, Buffer, number][] = [
  ['[RFC 6455, 5.1] a frame that is not masked', clientFrame(packets.pingreq(), 0x82, null), 1002],
  ['[RFC 6455, 5.2] a reserved bit', clientFrame(packets.pingreq(), 0xc2), 1002],
  ['[MQTT-6.0.0-1] a text frame', clientFrame('hello', 0x81), 1003],
  ['[RFC 6455, 5.2] an unknown opcode', clientFrame('x', 0x83), 1002],
  ['[RFC 6455, 5.5] a fragmented ping', clientFrame('x', 0x09), 1002],
  ['[RFC 6455, 5.5] a ping of 126 bytes', clientFrame('x'.repeat(126), 0x89), 1002],
  ['[RFC 6455, 5.4] a continuation of nothing', clientFrame('x', 0x80), 1002],
  ['[RFC 6455, 5.4] a message inside a message', Buffer.concat([clientFrame('\xc0', 2), clientFrame('\xc0', 2)]), 1002],
  ['[RFC 6455, 7.4.1] a close frame with status 1005', clientFrame('\x03\xed', 0x88), 1002],
  ['[RFC 6455, 5.5.1] a close frame of one byte', clientFrame('\x03', 0x88), 1002],
  ['[RFC 6455, 8.1] a close reason that is not UTF-8', clientFrame('\x03\xe8\xff', 0x88), 1007],
]
for (const [index, [name, bytes, code]] of violations.entries()) {
  test(`${name} is answered with close ${code}`, async () => {
    const client = await connected(`violation-${index}`)
    client.send(bytes)
    assert.is(await closeCode(client), code)
    assert.is((await client.rest()).length, 0)
  })
}

test('a violation ends the connection as a lost one: its will is published', async () => {
  const watcher = await connected('watcher')
  watcher.send(clientFrame(packets.subscribe(1, ['wills', 0])))
  await watcher.frame()
  const client = await dial()
  await upgrade(client)
  const will = { topic: 'wills', payload: 'gone', qos: 0, retain: false } as const
  client.send(clientFrame(packets.connect({ clientId: 'careless', will })))
  await client.frame()
  client.send(clientFrame(packets.pingreq(), 0x82, null))
  assert.equal((await watcher.frame()).payload, packets.publish({ topic: 'wills', payload: 'gone' }))
})

test('the closing handshake: what came before is answered, then the status code is echoed, then FIN', async () => {
  const client = await connected('polite')
  client.send(clientFrame(packets.publish({ topic: 't', payload: 'x', qos: 1, id: 7 })), clientFrame('\x0b\xb8', 0x88))
  const puback = await client.frame()
  assert.equal(puback.payload, packets.puback(7))
  assert.is(await closeCode(client), 3000)
  assert.is((await client.rest()).length, 0)
})

test('after DISCONNECT the broker closes with 1000', async () => {
  const client = await connected('leaving')
  client.send(clientFrame(packets.disconnect()))
  assert.is(await closeCode(client), 1000)
  client.send(clientFrame('\x03\xe8', 0x88))
  client.end()
  assert.is((await client.rest()).length, 0)
})

test('a peer that half-closes without a close frame gets the answers to what it sent', async () => {
  const client = await connected('half')
  client.send(clientFrame(packets.publish({ topic: 't', payload: 'x', qos: 1, id: 9 })))
  client.end()
  assert.equal((await client.frame()).payload, packets.puback(9))
})

test('one port takes both: MQTT and WebSocket, told apart by the first byte', async () => {
  const plain = await RawClient.connect({ host, port: doors.any }, { clientId: 'device' })
  const page = await connected('page', doors.any)
  await plain.subscribe(['shared/#', 0])
  page.send(clientFrame(packets.publish({ topic: 'shared/x', payload: 'from the page' })))
  assert.is((await plain.expectPublish({ topic: 'shared/x' })).payload.toString(), 'from the page')
})

test('max_connections of a listener counts its own connections, open ones only', async () => {
  const [first, second] = [await dial(doors.two), await dial(doors.two)]
  assert.match(await upgrade(first), /101/)
  assert.match(await upgrade(second), /101/)
  const third = await dial(doors.two)
  assert.is((await third.rest()).length, 0)
  assert.match(await upgrade(await dial(doors.ws)), /101/)
  first.send(clientFrame('', 0x88))
  await first.rest()
  first.destroy()
  for (;;) {
    const again = await dial(doors.two)
    again.send(upgradeRequest())
    if ((await again.takeUntil('\r\n\r\n').catch(() => '')).includes('101')) break
  }
})

const versions = [{ protocolId: 'MQIsdp', protocolVersion: 3 }, { protocolVersion: 4 }, { protocolVersion: 5 }] as const
for (const version of versions) {
  test(`the mqtt package over ws:// in protocol level ${version.protocolVersion}, QoS 2`, async () => {
    const client = await mqtt.connectAsync(`ws://${host}:${doors.any}/mqtt`, { ...version, reconnectPeriod: 0 })
    clients.add(client)
    await client.subscribeAsync('echo', { qos: 2 })
    const received = new Promise((resolve) => client.once('message', (_, payload) => resolve(payload.toString())))
    await client.publishAsync('echo', 'over a WebSocket', { qos: 2 })
    assert.is(await received, 'over a WebSocket')
    await client.endAsync()
  })
}

test('10,000 messages of 1,000 bytes reach the mqtt package over ws:// in order', async () => {
  const client = await mqtt.connectAsync(`ws://${host}:${doors.ws}`, { reconnectPeriod: 0 })
  clients.add(client)
  await client.subscribeAsync('flood', { qos: 1 })
  const count = sized(10_000, 300)
  let next = 0
  const all = new Promise<void>((resolve, reject) => {
    client.on('message', (_, payload) => {
      if (payload.readUInt32BE() !== next++) reject(new Error(`message ${next - 1} is missing`))
      if (next === count) resolve()
    })
  })
  const publisher = await RawClient.connect({ host, port: plainPort }, { clientId: 'publisher' })
  const payload = Buffer.alloc(1000)
  for (let n = 0; n < count; n++) {
    payload.writeUInt32BE(n)
    await publisher.sendAll(packets.publish({ topic: 'flood', payload: Buffer.from(payload) }))
  }
  await all
})

test.run()
