// How long a session lives, and what CONNACK says of it.

import { defineCase } from '../../case.ts'
import type { Packet } from '../../packet.ts'
import * as wire from '../../wire.ts'
import { property } from '../../wire.ts'
import { pair, text, timePasses } from '../common.ts'

defineCase({
  id: 'clean-has-no-session',
  area: 'session',
  title: 'With Clean Session (Clean Start) 1 the CONNACK says Session Present 0',
  clauses: { '3.1.1': ['MQTT-3.2.2-1', 'MQTT-3.1.4-3'], '5': ['MQTT-3.2.2-2', 'MQTT-3.1.4-4'] },
  async run(t) {
    const first = await t.connectPersistent()
    await first.disconnect()
    const second = await t.connect({ clientId: t.id('s'), clean: true })
    t.check(second.connack?.sessionPresent === false, 'Session Present 0', second.connack)
  },
})

defineCase({
  id: 'session-present',
  area: 'session',
  title: 'Session Present is 0 for a new session and 1 for a resumed one',
  clauses: {
    '3.1.1': ['MQTT-3.1.2-4', 'MQTT-3.2.2-2', 'MQTT-3.2.2-3'],
    '5': ['MQTT-3.1.2-5', 'MQTT-3.1.2-6', 'MQTT-3.1.2-23', 'MQTT-3.2.2-3'],
  },
  needs: ['sessions'],
  async run(t) {
    const first = await t.connectPersistent({ label: 'first' })
    t.check(first.connack?.sessionPresent === false, 'Session Present 0: there was no session', first.connack)
    await first.disconnect()
    const second = await t.connectPersistent({ label: 'second' })
    t.check(second.connack?.sessionPresent === true, 'Session Present 1: the session was stored', second.connack)
    second.drop()
    const third = await t.connectPersistent({ label: 'third' })
    t.check(third.connack?.sessionPresent === true, 'Session Present 1 after a connection that broke', third.connack)
  },
})

defineCase({
  id: 'subscriptions-survive',
  area: 'session',
  title: 'A resumed session still has its subscriptions',
  clauses: { '3.1.1': ['MQTT-3.1.2-4', 'MQTT-4.1.0-1'], '5': ['MQTT-3.1.2-5', 'MQTT-3.1.2-23'] },
  needs: ['sessions'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 0)
    await first.disconnect()
    const second = await t.connectPersistent({ label: 'second' })
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'hello' })
    const message = await second.receive('the message for the subscription made before')
    t.equal(text(message), 'hello', 'the payload')
  },
})

defineCase({
  id: 'clean-discards',
  area: 'session',
  title: 'Clean Session (Clean Start) 1 throws the stored session away, subscriptions and all',
  clauses: { '3.1.1': ['MQTT-3.1.2-6'], '5': ['MQTT-3.1.2-4'] },
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 1)
    await first.disconnect()
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'for the session that was', qos: t.features.maximumQoS >= 1 ? 1 : 0 })
    const second = await t.connect({ clientId: t.id('s'), clean: true, label: 'second' })
    await second.subscribe(t.topic('marker'), 0)
    await publisher.publish({ topic, payload: 'nobody is subscribed' })
    await publisher.publish({ topic: t.topic('marker'), payload: 'marker' })
    t.none(await second.messagesUntil('marker', 'nothing of the old session'), 'nothing of the old session')
  },
})

defineCase({
  id: 'clean-ends-with-connection',
  area: 'session',
  title: 'A session made with Clean Session 1 (expiry 0) is gone when its connection is',
  clauses: { '3.1.1': ['MQTT-3.1.2-6', 'MQTT-3.2.2-3'], '5': ['MQTT-3.2.2-3', 'MQTT-4.1.0-2'] },
  async run(t) {
    const first = await t.connect({ clientId: t.id('s'), label: 'first' })
    await first.subscribe(t.topic('a'), 0)
    await first.disconnect()
    const second = await t.connectPersistent({ label: 'second' })
    t.check(second.connack?.sessionPresent === false, 'Session Present 0', second.connack)
  },
})

defineCase({
  id: 'client-ids-tell-sessions-apart',
  area: 'session',
  title: 'Sessions are told apart by the whole ClientId, its case included',
  clauses: { '3.1.1': ['MQTT-3.1.3-2'], '5': ['MQTT-3.1.3-2'] },
  needs: ['sessions'],
  async run(t) {
    const first = await t.connectPersistent({ clientId: t.id('Xa') })
    await first.disconnect()
    for (const suffix of ['xa', 'X', 'Xab']) {
      const other = await t.connectPersistent({ clientId: t.id(suffix) })
      t.check(other.connack?.sessionPresent === false, `Session Present 0 for ${t.id(suffix)}`, other.connack)
    }
    const again = await t.connectPersistent({ clientId: t.id('Xa') })
    t.check(again.connack?.sessionPresent === true, `Session Present 1 for ${t.id('Xa')}`, again.connack)
  },
})

defineCase({
  id: 'state-while-connected',
  area: 'session',
  title: 'A clean session keeps its subscriptions for as long as its connection is open',
  clauses: { '3.1.1': ['MQTT-4.1.0-1', 'MQTT-4.1.0-2'], '5': ['MQTT-4.1.0-1'] },
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic)
    for (const payload of ['one', 'two', 'three']) {
      await publisher.publish({ topic, payload })
      t.equal(text(await subscriber.receive(`message ${payload}`)), payload, 'the payload')
      await timePasses(300)
    }
  },
})

defineCase({
  id: 'expiry-passes',
  area: 'session',
  title: 'A session whose Session Expiry Interval is over is gone',
  clauses: { '5': ['MQTT-4.1.0-2', 'MQTT-3.2.2-3'] },
  needs: ['sessions'],
  async run(t) {
    const first = await t.connectPersistent({ expiry: 1 })
    const changed = first.connack?.properties?.find((p) => p.name === 'sessionExpiryInterval')?.value
    if (changed !== undefined && changed !== 1) t.skip(`the server made the expiry ${changed} s, as it may`)
    await first.disconnect()
    await timePasses(3500)
    const second = await t.connectPersistent()
    t.check(
      second.connack?.sessionPresent === false,
      'Session Present 0 some seconds after an expiry of 1 s',
      second.connack,
    )
  },
})

defineCase({
  id: 'expiry-set-by-disconnect',
  area: 'session',
  title: 'DISCONNECT with Session Expiry Interval 0 ends a session made to last',
  clauses: { '5': ['MQTT-4.1.0-2'] },
  async run(t) {
    const first = await t.connectPersistent({ expiry: 300 })
    await first.disconnect(0, [property('sessionExpiryInterval', 0)])
    const second = await t.connectPersistent()
    t.check(second.connack?.sessionPresent === false, 'Session Present 0', second.connack)
  },
})

defineCase({
  id: 'expiry-raised-from-0',
  area: 'session',
  title: 'A DISCONNECT that raises a Session Expiry Interval of 0 does not keep the session',
  clauses: { '5': ['MQTT-4.13.1-1'] },
  async run(t) {
    const first = await t.connect({ clientId: t.id('s'), clean: false })
    first.send(wire.disconnect(0, [property('sessionExpiryInterval', 300)]), 'a Protocol Error: the expiry was 0')
    const before = await first.closed('the Session Expiry Interval was 0 and cannot be raised')
    const disconnect = before.find((p) => p.kind === 'disconnect')
    t.check(
      disconnect === undefined || (disconnect.code ?? 0) >= 0x80,
      'a code of 0x80 or more if there is a DISCONNECT',
      disconnect,
    )
    const second = await t.connectPersistent()
    t.check(second.connack?.sessionPresent === false, 'Session Present 0', second.connack)
  },
})

defineCase({
  id: 'expiry-without-property-is-0',
  area: 'session',
  title: 'Without a Session Expiry Interval the session ends with its connection even if Clean Start is 0',
  clauses: { '5': ['MQTT-4.1.0-2', 'MQTT-3.2.2-3'] },
  async run(t) {
    const first = await t.connect({ clientId: t.id('s'), clean: false })
    const granted = (first.connack as Packet).properties?.find((p) => p.name === 'sessionExpiryInterval')?.value
    if (granted !== undefined && granted !== 0) t.skip(`the server made the expiry ${granted} s, as it may`)
    await first.disconnect()
    const second = await t.connectPersistent()
    t.check(second.connack?.sessionPresent === false, 'Session Present 0', second.connack)
  },
})
