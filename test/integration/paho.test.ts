// python3-paho-mqtt against the broker.
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { closePeers, PahoPeer, withPeer } from '../support/peers.ts'

const broker = await startBroker()
const test = withPeer(uvu, 'paho')
uvu.after.each(closePeers)
uvu.after(() => broker.stopCleanly())

const connect = async (options: Record<string, unknown>): Promise<PahoPeer> => {
  const peer = new PahoPeer()
  assert.is((await peer.connect(broker, options)).code, 0)
  return peer
}

const subscribe = async (peer: PahoPeer, filter: string, qos: number) => {
  peer.do('subscribe', { filters: [[filter, qos]] })
  assert.equal((await peer.expect('subscribed')).granted, [qos])
}

for (const version of ['3.1', '3.1.1']) {
  test(`publish and subscribe with QoS 0, 1 and 2 in MQTT ${version}`, async () => {
    const subscriber = await connect({ clientId: 'paho-subscriber', version })
    const publisher = await connect({ clientId: 'paho-publisher', version })
    await subscribe(subscriber, 'paho/#', 2)
    for (const qos of [0, 1, 2]) {
      publisher.do('publish', { topic: `paho/${qos}`, payload: 'hello', qos })
      await publisher.expect('published')
      const { event, ...message } = await subscriber.expect('message')
      assert.equal(message, { topic: `paho/${qos}`, payload: 'hello', qos, retain: false, dup: false })
    }
  })
}

test('retained messages, a will after kill -9, and none after disconnect', async () => {
  const watcher = await connect({ clientId: 'paho-watcher' })
  await subscribe(watcher, 'paho/state/#', 1)
  const will = (name: string) => ({ topic: `paho/state/${name}`, payload: 'offline', qos: 1, retain: true })
  const polite = await connect({ clientId: 'paho-polite', will: will('polite') })
  polite.do('disconnect')
  await polite.end()
  const killed = await connect({ clientId: 'paho-killed', will: will('killed') })
  killed.do('publish', { topic: 'paho/state/killed', payload: 'online', qos: 1, retain: true })
  await killed.expect('published')
  assert.is((await watcher.expect('message')).payload, 'online')
  killed.kill9()
  const gone = await watcher.expect('message')
  assert.is(`${gone.topic} ${gone.payload}`, 'paho/state/killed offline')
  const later = await connect({ clientId: 'paho-later' })
  await subscribe(later, 'paho/state/+', 1)
  const kept = await later.expect('message')
  assert.is(`${kept.topic} ${kept.payload} ${kept.retain}`, 'paho/state/killed offline true')
})

test('a session with messages queued while away', async () => {
  const session = { clientId: 'paho-away', clean: false }
  const first = await connect(session)
  await subscribe(first, 'paho/away', 2)
  first.do('disconnect')
  await first.end()
  const publisher = await connect({ clientId: 'paho-publisher' })
  for (let n = 0; n < 10; n++) {
    publisher.do('publish', { topic: 'paho/away', payload: `${n}`, qos: 2 })
    await publisher.expect('published')
  }
  const second = new PahoPeer()
  assert.is((await second.connect(broker, session)).present, 1)
  for (let n = 0; n < 10; n++) assert.is((await second.expect('message')).payload, `${n}`)
  second.do('unsubscribe', { filters: ['paho/away'] })
  await second.expect('unsubscribed')
})

for (const version of ['3.1', '3.1.1']) {
  test(`[MQTT-4.4.0-1] a client that died before its PUBACK gets the message again with DUP in MQTT ${version}`, async () => {
    const session = { clientId: `paho-dying-${version}`, clean: false, version }
    const topic = `paho/dying/${version}`
    const dying = await connect({ ...session, dieOnMessage: true })
    await subscribe(dying, topic, 1)
    const publisher = await connect({ clientId: 'paho-publisher' })
    publisher.do('publish', { topic, payload: 'again', qos: 1 })
    assert.is((await dying.expect('message')).dup, false)
    const back = await connect(session)
    const again = await back.expect('message')
    assert.equal([again.payload, again.qos, again.dup], ['again', 1, true])
  })
}

uvu.run()
