// DISCONNECT in both directions.

import { defineCase, defineInvariant } from '../../case.ts'
import { describe } from '../../packet.ts'
import { SERVER_REASON_CODES } from '../../protocol.ts'
import * as wire from '../../wire.ts'
import { cat, hex } from '../../wire.ts'
import { marker, pair, text } from '../common.ts'

defineCase({
  id: 'ends-the-connection',
  area: 'disconnect',
  title: 'After DISCONNECT the server sends nothing more, and should close the connection',
  clauses: { '3.1.1': ['MQTT-3.14.4-3'], '5': ['MQTT-3.14.4-3'] },
  async run(t) {
    const client = await t.connect()
    client.send(wire.disconnect())
    if (!(await client.closes())) t.remark('the server leaves the close to the client')
    t.check(client.inbox.length === 0, 'no packet after DISCONNECT', client.inbox[0])
  },
})

defineCase({
  id: 'nothing-processed-after-it',
  area: 'disconnect',
  title: 'What stands before DISCONNECT is processed, and what stands behind it should not be',
  clauses: { '3.1.1': ['§3.14.4'], '5': ['§3.14.4'] },
  async run(t) {
    const topic = t.topic('a')
    const { settled } = await pair(t, topic)
    const client = await t.connect({ label: 'disconnects' })
    client.send(
      cat(
        wire.publish(t.version, { topic, payload: 'before' }),
        wire.disconnect(),
        wire.publish(t.version, { topic, payload: 'behind' }),
      ),
      'PUBLISH, DISCONNECT and PUBLISH in one write',
    )
    await client.closes(1000)
    const messages = (await settled('the message before DISCONNECT', 1)).map(text)
    t.check(messages.includes('before'), 'the message before DISCONNECT', messages.join(', '))
    // The client must not send it; what a server that gets it does is left open.
    if (messages.includes('behind')) t.remark('a PUBLISH behind DISCONNECT was processed')
  },
})

defineCase({
  id: 'reserved-flags',
  area: 'disconnect',
  title: 'DISCONNECT with reserved flags set is no DISCONNECT: the connection is closed',
  clauses: { '3.1.1': ['MQTT-3.14.1-1'], '5': ['MQTT-3.14.1-1'] },
  async run(t) {
    const client = await t.connect()
    const before = await t.rejected(client, hex('e2 00'), 'the flags of DISCONNECT are 0010', [0x81])
    if (t.v5 && !before.some((p) => p.kind === 'disconnect')) t.remark('closed without DISCONNECT 0x81')
  },
})

defineInvariant({
  id: 'server-codes',
  area: 'disconnect',
  title: 'DISCONNECT from the server carries a reason code that exists for it and no Session Expiry Interval',
  clauses: { '5': ['MQTT-3.14.2-1', 'MQTT-3.14.2-2'] },
  judge: (log) => {
    const allowed = SERVER_REASON_CODES.disconnect ?? []
    const all = log.entries
      .filter((e) => e.direction === 'received' && e.packet.kind === 'disconnect')
      .map((e) => e.packet)
    const wrong = all.filter(
      (p) => !allowed.includes(p.code ?? -1) || p.properties?.some((one) => one.name === 'sessionExpiryInterval'),
    )
    return { applied: all.length, broken: wrong.map(describe) }
  },
})

defineInvariant({
  id: 'last-packet',
  area: 'disconnect',
  title: 'After its DISCONNECT the server sends nothing more',
  clauses: { '5': ['MQTT-3.14.4-1'] },
  judge: (log) => {
    const received = log.entries.filter((e) => e.direction === 'received').map((e) => e.packet)
    const at = received.findIndex((p) => p.kind === 'disconnect')
    if (at < 0) return { applied: 0, broken: [] }
    return { applied: 1, broken: received.slice(at + 1).map((p) => `after DISCONNECT: ${describe(p)}`) }
  },
})

defineInvariant({
  id: 'only-after-connack',
  area: 'disconnect',
  title: 'The server sends DISCONNECT only after a CONNACK that accepts',
  clauses: { '5': ['MQTT-3.14.0-1'] },
  judge: (log) => {
    const received = log.entries.filter((e) => e.direction === 'received').map((e) => e.packet)
    const at = received.findIndex((p) => p.kind === 'disconnect')
    if (at < 0) return { applied: 0, broken: [] }
    const accepted = received.slice(0, at).some((p) => p.kind === 'connack' && (p.code ?? 0xff) < 0x80)
    return { applied: 1, broken: accepted ? [] : [`DISCONNECT without CONNACK: ${log.label}`] }
  },
})

defineCase({
  id: 'server-closes-after-it',
  area: 'disconnect',
  title: 'A server that sends DISCONNECT closes the connection',
  clauses: { '5': ['MQTT-3.14.4-2', 'MQTT-4.13.2-1'] },
  async run(t) {
    const first = await t.connect({ clientId: t.id('x'), label: 'first' })
    await t.connect({ clientId: t.id('x'), label: 'takes over' })
    const disconnect = await first.takeIfAny('disconnect')
    await first.closed(disconnect === undefined ? 'the session was taken over' : 'DISCONNECT was sent')
    const second = await t.connect({ label: 'breaks the protocol' })
    second.send(hex('36 00'), 'PUBLISH with QoS 3')
    await second.closed('a Malformed Packet')
  },
})

defineCase({
  id: 'reason-code-0-long-form',
  area: 'disconnect',
  title: 'DISCONNECT with an explicit reason code 0x00 and empty properties is a normal one: no Will Message',
  clauses: { '5': ['MQTT-3.14.4-3', 'MQTT-2.2.2-1'] },
  async run(t) {
    for (const bytes of [hex('e0 01 00'), hex('e0 02 00 00')]) {
      const topic = t.topic('will')
      const subscriber = await t.connect({ label: 'subscriber' })
      const publisher = await t.connect({ label: 'publisher' })
      await subscriber.subscribe(topic, 0)
      const settled = await marker(t, subscriber, publisher, 0)
      const client = await t.connect({ will: { topic, payload: 'will' } })
      client.send(bytes)
      await client.closes(1000)
      client.destroy()
      t.none(await settled('no Will Message'), 'no Will Message')
    }
  },
})
