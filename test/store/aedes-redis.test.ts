// Sessions in a real Redis through aedes-persistence-redis: what a restart of the broker finds there, what clients notice while
// Redis is away, and random histories on it.

import { createRequire } from 'node:module'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { asBackend, type Backend } from '../../src/store/aedes-backend/backend.ts'
import { type BrokerUnderTest, runToExit, startBroker } from '../support/broker-process.ts'
import * as packets from '../support/packets.ts'
import { connect5, p, publish5 } from '../support/packets5.ts'
import { closePeers, withPeer } from '../support/peers.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { Redis } from '../support/redis.ts'
import { skipped, target } from '../support/target.ts'
import { checkHistories } from './backend-ground.ts'

const test = target === 'martlet' ? withPeer(uvu, 'redis-server') : skipped(uvu, 'Mosquitto has no such backends')
const require = createRequire(import.meta.url)

uvu.after.each(() => {
  closeClients()
  closePeers()
})

const start = (redis: Redis): Promise<BrokerUnderTest> => startBroker({ settings: { ...redis.settings } })
const stay = (broker: BrokerUnderTest, clientId: string) => RawClient.connect(broker, { clientId, clean: false })
const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `${from + n}`)

/** The next packets, which must be these, acknowledged one by one; the texts of messages. What follows on our answer waits for the store. */
const take = async (client: RawClient, count: number, type: 'PUBLISH' | 'PUBREL' = 'PUBLISH'): Promise<string[]> => {
  const texts: string[] = []
  while (texts.length < count) texts.push(client.acknowledge(await client.expectPacket(type))?.text ?? '')
  return texts
}

/** As an operator does it: clients go, the broker ends and starts again on the same Redis. */
const restart = async (broker: BrokerUnderTest, redis: Redis): Promise<BrokerUnderTest> => {
  closeClients()
  await broker.stopCleanly()
  return start(redis)
}

test('a restart finds sessions, queues in order, retained messages with their properties, and both sides of QoS 2', async () => {
  const redis = await new Redis().start()
  let broker = await start(redis)
  const away = await stay(broker, 'away')
  await away.subscribe(['a/+', 2], ['gone', 1])
  await away.unsubscribe('gone')
  const publisher = await stay(broker, 'p')
  for (const text of numbers(0, 4)) await publisher.publish({ topic: 'a/b', payload: text, qos: 2 })
  // One in flight, one that waits for PUBCOMP; the rest in flight too.
  const sent: { id: number; text: string }[] = []
  for (const text of numbers(0, 4)) sent.push(await away.expectPublish({ text, qos: 2, dup: false }))
  const [first, ...others] = sent
  away.send(packets.pubrec(first!.id))
  await away.expect(`62 02 ${first!.id.toString(16).padStart(4, '0')}`)
  away.destroy()
  for (const text of numbers(4, 30)) await publisher.publish({ topic: 'a/b', payload: text, qos: 1 })
  // A QoS 2 message of the publisher's, not released.
  publisher.send(packets.publish({ topic: 'a/c', payload: 'twice', qos: 2, id: 777 }))
  await publisher.expect('50 02 03 09')
  const five = await RawClient.dial(broker, connect5({ clientId: 'five' }))
  await five.expectPacket('CONNACK')
  const properties = [p.contentType('text/plain'), p.user('k', 'v')]
  five.send(publish5({ topic: 'kept', payload: 'r', qos: 1, id: 1, retain: true, properties }))
  await five.expectPacket('PUBACK')

  broker = await restart(broker, redis)
  const back = await stay(broker, 'away')
  assert.ok(back.sessionPresent)
  const released = await back.expectPacket('PUBREL')
  assert.is(released.body.readUInt16BE(0), first!.id)
  for (const { id, text } of others) await back.expectPublish({ id, text, qos: 2, dup: true })
  assert.equal(await take(back, 27), [...numbers(4, 30), 'twice'])
  await take(back, 1, 'PUBREL')
  const again = await stay(broker, 'p')
  again.send(packets.publish({ topic: 'a/c', payload: 'twice', qos: 2, id: 777, dup: true }))
  await again.expect('50 02 03 09')
  again.send(packets.pubrel(777))
  await again.expect('70 02 03 09')
  await back.expectNothing()
  const reader = await RawClient.dial(broker, connect5({ clientId: 'reader' }))
  await reader.expectPacket('CONNACK')
  reader.send('82 0a 00 01 00 00 04 6b657074 00')
  await reader.expectPacket('SUBACK')
  const { body } = await reader.expectPacket('PUBLISH')
  for (const property of properties) assert.ok(body.includes(property), body.toString('hex'))
  await restartedEmptyHanded(broker, redis)
})

/** What was delivered and acknowledged does not come again. */
const restartedEmptyHanded = async (running: BrokerUnderTest, redis: Redis): Promise<void> => {
  const last = await stay(running, 'away')
  await take(last, 1, 'PUBREL')
  assert.equal(await take(last, 3), numbers(1, 4))
  await take(last, 3, 'PUBREL')
  await last.disconnect()
  const broker = await restart(running, redis)
  const back = await stay(broker, 'away')
  await back.expectNothing()
  closeClients()
  await broker.stopCleanly()
  await redis.end()
}

test('kill -9 at the last PUBACK loses nothing, also not a queue longer than Redis hands out by default', async () => {
  const redis = await new Redis().start()
  const settings = { ...redis.settings, max_queued_messages: 0 }
  const broker = await startBroker({ settings })
  const away = await stay(broker, 'away')
  await away.subscribe(['a', 1])
  await away.disconnect()
  const publisher = await RawClient.connect(broker, { clientId: 'p' })
  const all = numbers(0, 1500)
  publisher.send(...all.map((payload, at) => packets.publish({ topic: 'a', payload, qos: 1, id: at + 1 })))
  for (const _ of all) await publisher.expectPacket('PUBACK')
  await broker.kill9()
  const again = await startBroker({ settings })
  const back = await stay(again, 'away')
  const received = await back.receive(all.length)
  assert.equal(
    received.map(({ text }) => text),
    all,
  )
  closeClients()
  await again.stopCleanly()
  await redis.end()
})

test('while Redis is away durable publishes are refused and all else goes on; when it is back nothing was lost', async () => {
  const redis = await new Redis(true).start()
  // What ioredis does by default, in less time.
  const settings = { ...redis.settings }
  Object.assign(settings.persistence_options, { maxRetriesPerRequest: 1 })
  let broker = await startBroker({ settings })
  const away = await stay(broker, 'away')
  await away.subscribe(['a', 1])
  await away.disconnect()
  const three = await RawClient.connect(broker, { clientId: 'three' })
  await three.publish({ topic: 'a', payload: 'before', qos: 1 })
  const five = await RawClient.dial(broker, connect5({ clientId: 'five' }))
  await five.expectPacket('CONNACK')
  await redis.kill9()
  three.send(packets.publish({ topic: 'a', payload: 'meanwhile', qos: 1, id: 9 }))
  await broker.waitForLog(/the store failed/)
  five.send(publish5({ topic: 'a', payload: 'no', qos: 1, id: 1 }))
  const refused = await five.expectPacket('PUBACK')
  assert.is(refused.body[2], 0x97)
  const listener = await RawClient.connect(broker, { clientId: 'l' })
  await listener.subscribe(['live', 1])
  five.send(publish5({ topic: 'live', payload: 'on', qos: 1, id: 2 }))
  await five.expectPacket('PUBACK')
  await listener.expectPublish({ text: 'on' })
  assert.is(three.buffered, 0, 'nothing may be acknowledged')
  await redis.start()
  await three.expect('40 02 00 09')
  await broker.waitForLog(/the store works again/)
  await three.publish({ topic: 'a', payload: 'after', qos: 1 })
  await broker.kill9()
  closeClients()
  broker = await startBroker({ settings })
  const back = await stay(broker, 'away')
  const received = await back.receive(3)
  assert.equal(
    received.map(({ text }) => text),
    ['before', 'meanwhile', 'after'],
  )
  closeClients()
  await broker.stopCleanly()
  await redis.end()
})

test('a broker whose Redis is not there ends with one line that says so', async () => {
  const redis = new Redis()
  const settings = { ...redis.settings }
  Object.assign(settings.persistence_options, { maxRetriesPerRequest: 1 })
  const { code, log } = await runToExit({ settings })
  assert.is(code, 1)
  assert.match(log.at(-1)!, /^Error: the backend: .*ENOENT|max retries/i)
})

test('whatever was committed, and wherever the broker was started again, Redis gives it back', async () => {
  const redis = await new Redis().start()
  const Client = require('ioredis') as new (path: string) => { flushall(): Promise<void>; disconnect(): void }
  const client = new Client(redis.path)
  const factory = require('aedes-persistence-redis') as (options: object) => unknown
  await checkHistories(async () => {
    await client.flushall()
    return (): Backend => asBackend(factory({ path: redis.path }))
  }, 15)
  client.disconnect()
  await redis.end()
})

uvu.run()
