// Keep alive and the timeouts of connections. Nothing here measures time: a silent client is compared with one that
// keeps talking, and only the order of what happens is asserted.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { pingreq, publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { unlessMosquitto } from '../support/target.ts'

const broker = await startBroker({ settings: { connect_timeout: 1, linger_timeout: 1 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

/** Sends `bytes` every 200 ms until the returned function is called. */
const keepSending = (client: RawClient, bytes: Uint8Array) => {
  const timer = setInterval(() => client.send(bytes), 200)
  return () => clearInterval(timer)
}

test('[MQTT-3.1.2-24] the silent client is closed while the one that sends PINGREQ stays', async () => {
  const pings = await RawClient.connect(broker, { clientId: 'pings', keepAlive: 1 })
  const none = await RawClient.connect(broker, { clientId: 'no-keep-alive', keepAlive: 0 })
  const long = await RawClient.connect(broker, { clientId: 'long', keepAlive: 65_535 })
  const silent = await RawClient.connect(broker, { clientId: 'silent', keepAlive: 1 })
  const stop = keepSending(pings, pingreq())
  await silent.expectClosed()
  // Once more as long again, for what is only checked now and then.
  const silentAgain = await RawClient.connect(broker, { clientId: 'silent', keepAlive: 1 })
  await silentAgain.expectClosed()
  stop()
  pings.send(publish({ topic: 'x', payload: 'x', qos: 1, id: 1 }))
  for (let type = 0; type !== 4; ) type = (await pings.nextPacket()).type
  await none.expectNothing()
  await long.expectNothing()
})

test('[MQTT-3.1.2-24] any Control Packet keeps a client alive, what it only receives does not', async () => {
  const talks = await RawClient.connect(broker, { clientId: 'talks', keepAlive: 1 })
  const listens = await RawClient.connect(broker, { clientId: 'listens', keepAlive: 1 })
  await listens.subscribe(['talk', 0])
  const stop = keepSending(talks, publish({ topic: 'talk', payload: 'x' }))
  const { bytes } = await listens.readToEnd()
  stop()
  assert.ok(bytes.length > 0)
  await talks.expectNothing()
})

test('[MQTT-3.1.2-24] the Keep Alive of a persistent session closes its connection and keeps the session', async () => {
  const silent = await RawClient.connect(broker, { clientId: 'stays', keepAlive: 1, clean: false })
  await silent.subscribe(['stays', 1])
  await silent.expectClosed()
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  await publisher.publish({ topic: 'stays', payload: 'x', qos: 1 })
  const back = await RawClient.connect(broker, { clientId: 'stays', clean: false })
  assert.ok(back.sessionPresent)
  await back.expectPublish({ text: 'x' })
})

const timeouts = unlessMosquitto(test, 'it has no connect_timeout (a default Keep Alive of 60 s ends such connections)')

timeouts('a connection that never sends CONNECT is closed, one that has sent it stays', async () => {
  const stays = await RawClient.connect(broker, { clientId: 'stays', keepAlive: 0 })
  const silent = await RawClient.dial(broker)
  await silent.expectClosed()
  await stays.expectNothing()
})

timeouts('a connection that sends its CONNECT a byte at a time, never to the end, is closed', async () => {
  const slow = await RawClient.dial(broker, '10 ff 7f 00 04 4d 51 54 54 04 02 00 00')
  const stop = keepSending(slow, Buffer.alloc(1))
  await slow.expectClosed()
  stop()
})

timeouts('a refused client that never closes its side is closed when the linger deadline is over', async () => {
  const refused = await RawClient.dial(broker, '10 0d 00 04 4d 51 54 54 02 02 00 00 00 01 61')
  await refused.expect('20 02 00 01')
  // The broker's FIN is here; ours is not sent. In the end writing to the connection must fail.
  assert.is(await refused.nextByte(), undefined)
  const stop = keepSending(refused, Buffer.alloc(1))
  await refused.destroyedByPeer()
  stop()
})

const writes = unlessMosquitto(test, 'it has no write_timeout')
writes('a connection whose output makes no progress is closed after write_timeout, its neighbours stay', async () => {
  const impatient = await startBroker({ settings: { write_timeout: 1 } })
  const deaf = await RawClient.connect(impatient, { clientId: 'deaf', will: { topic: 'deaf/gone', payload: 'x' } })
  await deaf.subscribe(['flood', 0])
  deaf.pause()
  const watcher = await RawClient.connect(impatient, { clientId: 'watcher' })
  await watcher.subscribe(['deaf/gone', 0])
  for (let n = 0; n < 200; n++) watcher.send(publish({ topic: 'flood', payload: Buffer.alloc(50_000) }))
  await watcher.expectPublish({ topic: 'deaf/gone' })
  await watcher.expectNothing()
  closeClients()
  await impatient.stopCleanly()
})

test.run()
