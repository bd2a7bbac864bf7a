// Redis goes away under a running broker and comes back, with what it had or without: what clients notice, and that nothing
// acknowledged is lost.

import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import * as packets from '../support/packets.ts'
import { connect5, publish5 } from '../support/packets5.ts'
import { closePeers, withPeer } from '../support/peers.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { Redis } from '../support/redis.ts'
import { skipped, target } from '../support/target.ts'

const test = target === 'martlet' ? withPeer(uvu, 'redis-server') : skipped(uvu, 'Mosquitto has no such backends')

uvu.after.each(() => {
  closeClients()
  closePeers()
})

const stay = (broker: BrokerUnderTest, clientId: string) => RawClient.connect(broker, { clientId, clean: false })

for (const keeping of [true, false]) {
  test(`while Redis is away durable publishes are refused and all else goes on; when it is back, ${keeping ? 'as it was' : 'empty'}, nothing was lost`, async () => {
    const redis = await new Redis(keeping).start()
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
}

uvu.run()
