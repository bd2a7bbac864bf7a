// What MQTT 5 adds to a session, a message and a will, after kill -9: subscription options and identifiers, properties,
// expiry clocks that went on, an expiry that DISCONNECT changed, retained messages that were deleted, and the wills of those
// who were connected and do not come back. One broker, killed once; what takes its time is waited for together.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import { Client5, options, p } from '../support/packets5.ts'
import { closeClients } from '../support/raw-client.ts'
import { skipped, target } from '../support/target.ts'

const test = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto makes no such promise')
uvu.after.each(closeClients)

const LONG = 100_000
const expiry = (seconds: number) => [p.sessionExpiry(seconds)]

async function leaves(broker: BrokerUnderTest, clientId: string, connected: number, left?: number): Promise<void> {
  const client = await Client5.connect(broker, { clientId, clean: false, properties: expiry(connected) })
  await client.leave(0, left === undefined ? [] : expiry(left))
}

/** Connects with a will to `will/<clientId>`; `delay` seconds. */
function withWill(broker: BrokerUnderTest, clientId: string, delay: number): Promise<Client5> {
  const properties = [p.willDelay(delay), p.contentType('text'), p.user('b', '2'), p.user('a', '1')]
  const will = { topic: `will/${clientId}`, payload: 'offline', qos: 1, retain: true, properties } as const
  return Client5.connect(broker, { clientId, clean: false, properties: expiry(LONG), will })
}

async function fill(broker: BrokerUnderTest): Promise<void> {
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const session = await Client5.connect(broker, { clientId: 'session', clean: false, properties: expiry(LONG) })
  await session.subscribe(
    [p.subscriptionId(7)],
    ['own', options(1, { noLocal: true })],
    ['asis', options(2, { asPublished: true })],
  )
  await session.leave()
  const properties = [p.contentType('text'), p.user('b', '2'), p.user('a', '1'), p.correlationData('c')]
  const send = (payload: string, seconds: number) =>
    publisher.publish({
      topic: 'asis',
      payload,
      qos: 2,
      retain: true,
      properties: [...properties, p.messageExpiry(seconds)],
    })
  assert.is(await send('for a second', 1), 0)
  assert.is(await send('for long', LONG), 0)
  await publisher.publish({ topic: 'gone', payload: 'x', qos: 1, retain: true })
  await publisher.publish({ topic: 'gone', payload: '', qos: 1, retain: true })

  await leaves(broker, 'brief', 1)
  await leaves(broker, 'ended', LONG, 0)
  await leaves(broker, 'prolonged', 1, LONG)

  const watch = await Client5.connect(broker, { clientId: 'watch', clean: false, properties: expiry(LONG) })
  await watch.subscribe([], ['will/#', options(1, { asPublished: true })])
  await watch.leave()
  await (await withWill(broker, 'said-goodbye', 0)).leave()
  await (await withWill(broker, 'delayed', 3)).lose()
  await (await withWill(broker, 'back-in-time', 20)).lose()
  await withWill(broker, 'crashed', 0)
  await withWill(broker, 'crashed-and-back', 0)
}

test('after kill -9: options, identifiers, properties, expiry clocks, retained deletions and wills are what they were', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'state-'))
  const settings = { persistence: true, persistence_location: join(folder, 'data'), will_grace_period: 3 }
  try {
    const broker = await startBroker({ settings })
    await fill(broker)
    await broker.kill9()

    const again = await startBroker({ settings })
    for (const clientId of ['crashed-and-back', 'back-in-time'])
      assert.ok((await Client5.connect(again, { clientId, clean: false, properties: expiry(LONG) })).present, clientId)
    const watch = await Client5.connect(again, { clientId: 'watch', clean: false, properties: expiry(LONG) })
    const wills = [await watch.receive({ text: 'offline', retain: true }), await watch.receive({ text: 'offline' })]
    assert.equal(wills.map(({ topic }) => topic).sort(), ['will/crashed', 'will/delayed'])
    for (const { properties } of wills)
      assert.equal(properties.slice(0, 3), ['contentType text', 'user b=2', 'user a=1'])
    await watch.expectNothing()

    // More than a second has gone by since they left.
    for (const [clientId, present] of [
      ['brief', false],
      ['ended', false],
      ['prolonged', true],
    ] as const)
      assert.is((await Client5.connect(again, { clientId, clean: false })).present, present, clientId)

    const session = await Client5.connect(again, { clientId: 'session', clean: false, properties: expiry(LONG) })
    assert.ok(session.present)
    const { properties } = await session.receive({ topic: 'asis', text: 'for long', qos: 2, retain: true })
    const left = Number(properties.find((one) => one.startsWith('messageExpiry'))?.split(' ')[1])
    assert.ok(left < LONG && left > LONG - 1000, `${left} seconds left`)
    for (const one of ['contentType text', 'subscriptionId 7']) assert.ok(properties.includes(one), one)
    assert.equal(
      properties.filter((one) => one.startsWith('user')),
      ['user b=2', 'user a=1'],
    )
    await session.publish({ topic: 'own', payload: 'from itself', qos: 1 }) // [MQTT-3.8.3-3]
    await session.expectNothing()

    const reader = await Client5.connect(again, { clientId: 'reader' })
    await reader.subscribe([], ['#', options(0)])
    const retained = [await reader.receive({ retain: true }), await reader.receive(), await reader.receive()]
    assert.equal(retained.map(({ topic, text }) => `${topic} ${text}`).sort(), [
      'asis for long',
      'will/crashed offline',
      'will/delayed offline',
    ])
    await reader.expectNothing()
    await again.kill9()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

uvu.run()
