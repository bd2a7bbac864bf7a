// A second connection with the client id of a live one takes its place [MQTT-3.1.4-2]: the first ends, the session goes
// over, nothing is lost, and storms of takeovers leave exactly one.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { connect, puback, publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

// What fights for a client id are made to wait for is test/overload's subject.
const broker = await startBroker({ settings: { takeover_delay: 0 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

const stay = (clientId: string) => RawClient.connect(broker, { clientId, clean: false })

test('[MQTT-3.1.4-2] the first connection ends, the second is served', async () => {
  const first = await RawClient.connect(broker, { clientId: 'same' })
  const second = await RawClient.connect(broker, { clientId: 'same' })
  await first.expectClosed()
  assert.not(second.sessionPresent)
  await second.expectNothing()
})

test('[MQTT-3.2.2-2] a live persistent session goes over to the new connection, with what was in flight', async () => {
  const first = await stay('goes-over')
  await first.subscribe(['over', 1])
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  await publisher.publish({ topic: 'over', payload: '0', qos: 1 })
  const { id } = await first.expectPublish({ text: '0' })
  const second = await stay('goes-over')
  assert.ok(second.sessionPresent)
  await second.expectPublish({ text: '0', dup: true, id })
  second.send(puback(id))
  await publisher.publish({ topic: 'over', payload: '1', qos: 1 })
  await second.expectPublish({ text: '1', dup: false })
  await first.expectClosed()
})

test('[MQTT-3.1.2-6] a clean takeover of a persistent session discards it', async () => {
  const first = await stay('discards')
  await first.subscribe(['discards', 1])
  const second = await RawClient.connect(broker, { clientId: 'discards' })
  assert.not(second.sessionPresent)
  await first.expectClosed()
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  await publisher.publish({ topic: 'discards', payload: 'x', qos: 1 })
  await second.expectNothing()
  await second.disconnect()
  assert.not((await stay('discards')).sessionPresent)
})

test('client ids are compared byte by byte', async () => {
  const ids = ['Case', 'case', 'case ', 'cas\u00e9', 'case\u0301']
  const clients = await Promise.all(ids.map((clientId) => RawClient.connect(broker, { clientId })))
  for (const client of clients) await client.expectNothing()
})

test('the packets of the first connection that came before the takeover are handled', async () => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['last', 0])
  const first = await RawClient.connect(broker, { clientId: 'talks' })
  await first.sendAll(...Array.from({ length: 50 }, (_, n) => publish({ topic: 'last', payload: `${n}` })))
  await first.settled()
  await RawClient.connect(broker, { clientId: 'talks' })
  for (let n = 0; n < 50; n++) await watcher.expectPublish({ text: `${n}` })
})

test('a storm of 100 connections with one client id leaves exactly one', async () => {
  const dialed = await Promise.all(
    Array.from({ length: 100 }, () => RawClient.dial(broker, connect({ clientId: 'storm', clean: false }))),
  )
  for (const client of dialed) await client.expect('20 02 .. 00')
  for (const client of dialed) client.send('c0 00')
  const answers = await Promise.all(dialed.map((client) => client.nextByte()))
  assert.is(answers.filter((byte) => byte === 0xd0).length, 1)
  const last = dialed[answers.indexOf(0xd0)]!
  await last.expect('d0 00')
  await last.subscribe(['storm', 1])
  await last.publish({ topic: 'storm/other', payload: 'x', qos: 1 })
})

test('a session taken over while messages flow to it loses none', async () => {
  const total = 300
  let current = await stay('relay')
  await current.subscribe(['relay', 1])
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  const seen = new Set<string>()
  for (let n = 0; n < total; n++) {
    publisher.send(publish({ topic: 'relay', payload: `${n}`, qos: 1, id: n + 1 }))
    if (n % 30 === 0) {
      const previous = current
      current = await stay('relay')
      const { bytes } = await previous.readToEnd()
      assert.type(bytes.length, 'number')
    }
  }
  while (seen.size < total) {
    const { id, text } = await current.expectPublish()
    seen.add(text)
    current.send(puback(id))
  }
  await current.expectNothing()
})

test('two clients that take each other over again and again are both told, and a third is not disturbed', async () => {
  const third = await RawClient.connect(broker, { clientId: 'third' })
  let previous = await RawClient.connect(broker, { clientId: 'contested' })
  for (let n = 0; n < 50; n++) {
    const next = await RawClient.connect(broker, { clientId: 'contested' })
    await previous.expectClosed()
    previous = next
  }
  await previous.expectNothing()
  await third.expectNothing()
})

test.run()
