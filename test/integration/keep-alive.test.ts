// Keep alive and the timeouts of connections. Nothing here measures time: a silent client is compared with one that
// keeps talking, and only the order of what happens is asserted. What is waited for takes seconds: all wait side by side.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { pingreq, publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, target, unlessMosquitto } from '../support/target.ts'
import { descriptorsOf, until } from '../support/until.ts'

const broker = await startBroker({ settings: { connect_timeout: 1, linger_timeout: 1 } })
test.after(async () => {
  closeClients()
  await broker.stopCleanly()
})

const runs: [name: string, run: () => Promise<void>][] = []
const begun = new Map<string, Promise<void>>()

/** Registers a test. When the first of them is due all begin; each tells in its turn how it went. */
const besides =
  (given: Case, isSkipped = given !== test && target === 'mosquitto') =>
  (name: string, run: () => Promise<void>): void => {
    if (!isSkipped) runs.push([name, run])
    given(name, async () => {
      for (const [each, begin] of runs.splice(0)) begun.set(each, begin())
      // One that fails is told where it is awaited; until then nobody looks.
      for (const outcome of begun.values()) outcome.catch(() => {})
      await begun.get(name)
    })
  }
const waits = besides(test)

/** Sends `bytes` every 200 ms until the returned function is called. */
const keepSending = (client: RawClient, bytes: Uint8Array) => {
  const timer = setInterval(() => client.send(bytes), 200)
  return () => clearInterval(timer)
}

waits('[MQTT-3.1.2-24] the silent client is closed while the one that sends PINGREQ stays', async () => {
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

waits('[MQTT-3.1.2-24] any Control Packet keeps a client alive, what it only receives does not', async () => {
  const talks = await RawClient.connect(broker, { clientId: 'talks', keepAlive: 1 })
  const listens = await RawClient.connect(broker, { clientId: 'listens', keepAlive: 1 })
  await listens.subscribe(['talk', 0])
  const stop = keepSending(talks, publish({ topic: 'talk', payload: 'x' }))
  const { bytes } = await listens.readToEnd()
  stop()
  assert.ok(bytes.length > 0)
  await talks.expectNothing()
})

waits(
  '[MQTT-3.1.2-24] the Keep Alive of a persistent session closes its connection and keeps the session',
  async () => {
    const silent = await RawClient.connect(broker, { clientId: 'stays', keepAlive: 1, clean: false })
    await silent.subscribe(['stays', 1])
    await silent.expectClosed()
    const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
    await publisher.publish({ topic: 'stays', payload: 'x', qos: 1 })
    const back = await RawClient.connect(broker, { clientId: 'stays', clean: false })
    assert.ok(back.sessionPresent)
    await back.expectPublish({ text: 'x' })
  },
)

const timeouts = besides(
  unlessMosquitto(test, 'it has no connect_timeout (a default Keep Alive of 60 s ends such connections)'),
)

timeouts('a connection that never sends CONNECT is closed, one that has sent it stays', async () => {
  const stays = await RawClient.connect(broker, { clientId: 'patient', keepAlive: 0 })
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

timeouts(
  'a half-closed peer that never reads what is left for it is closed when the linger deadline is over',
  async () => {
    const own = await startBroker({ settings: { linger_timeout: 1 } })
    const half = await RawClient.connect(own, { clientId: 'half' })
    await half.subscribe(['left', 0])
    half.pause()
    const other = await RawClient.connect(own, { clientId: 'other' })
    for (let n = 0; n < 100; n++) other.send(publish({ topic: 'left', payload: Buffer.alloc(100_000) }))
    await other.settled()
    const open = descriptorsOf(own.pid)
    half.end()
    await until('its descriptor comes back', () => descriptorsOf(own.pid) < open)
    await other.expectNothing()
    half.destroy()
    other.destroy()
    await own.stopCleanly()
  },
)

const writes = besides(unlessMosquitto(test, 'it has no write_timeout'))
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
  deaf.destroy()
  watcher.destroy()
  await impatient.stopCleanly()
})

test.run()
