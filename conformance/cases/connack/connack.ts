// CONNACK: its place, its codes, its flags.

import { defineCase, defineInvariant } from '../../case.ts'
import type { ConnectionLog } from '../../client.ts'
import { describe, type Packet, prop } from '../../packet.ts'
import { CONNACK_RETURN_CODES_311, SERVER_REASON_CODES } from '../../protocol.ts'
import { property } from '../../wire.ts'

const received = (log: ConnectionLog): Packet[] =>
  log.entries.filter((e) => e.direction === 'received').map((e) => e.packet)

const connacks = (log: ConnectionLog): Packet[] => received(log).filter((p) => p.kind === 'connack')

defineInvariant({
  id: 'first-packet',
  area: 'connack',
  title: 'The first packet from the server is CONNACK (in 5.0 it may be AUTH)',
  clauses: { '3.1.1': ['MQTT-3.2.0-1'], '5': ['MQTT-3.2.0-1', 'MQTT-3.14.0-1'] },
  judge: (log) => {
    const [first] = received(log)
    if (first === undefined) return { applied: 0, broken: [] }
    const right = first.kind === 'connack' || (log.version === 5 && first.kind === 'auth')
    return { applied: 1, broken: right ? [] : [`the first packet was ${describe(first)}`] }
  },
})

defineInvariant({
  id: 'only-one',
  area: 'connack',
  title: 'There is at most one CONNACK on a connection',
  clauses: { '3.1.1': [], '5': ['MQTT-3.2.0-2'] },
  judge: (log) => {
    const all = connacks(log)
    return { applied: all.length, broken: all.length > 1 ? [`${all.length} CONNACKs, ${log.label}`] : [] }
  },
})

defineInvariant({
  id: 'reserved-acknowledge-flags',
  area: 'connack',
  title: 'Bits 7 to 1 of the Connect Acknowledge Flags are 0',
  clauses: { '3.1.1': [], '5': ['MQTT-3.2.2-1'] },
  judge: (log) => {
    const all = connacks(log)
    const wrong = all.filter((p) => p.problems.some((problem) => problem.includes('Connect Acknowledge Flags')))
    return { applied: all.length, broken: wrong.map(describe) }
  },
})

defineInvariant({
  id: 'codes',
  area: 'connack',
  title: 'CONNACK carries a code that exists for it',
  clauses: { '3.1.1': [], '5': ['MQTT-3.2.2-8'] },
  judge: (log) => {
    const all = connacks(log)
    const allowed: readonly number[] =
      log.version === 5 ? [...(SERVER_REASON_CODES.connack ?? []), 0x01] : [...CONNACK_RETURN_CODES_311, 0x84]
    return { applied: all.length, broken: all.filter((p) => !allowed.includes(p.code ?? -1)).map(describe) }
  },
})

defineInvariant({
  id: 'no-session-in-a-refusal',
  area: 'connack',
  title: 'A CONNACK that refuses says Session Present 0',
  clauses: { '3.1.1': ['MQTT-3.2.2-4'], '5': ['MQTT-3.2.2-6'] },
  judge: (log) => {
    const refusals = connacks(log).filter((p) => p.code !== 0)
    return { applied: refusals.length, broken: refusals.filter((p) => p.sessionPresent === true).map(describe) }
  },
})

defineInvariant({
  id: 'nothing-after-a-refusal',
  area: 'connack',
  title: 'After a CONNACK that refuses nothing more comes',
  clauses: { '3.1.1': ['MQTT-3.2.2-5'], '5': ['MQTT-3.2.2-7', 'MQTT-3.14.0-1', 'MQTT-4.13.2-1'] },
  judge: (log) => {
    const all = received(log)
    const at = all.findIndex((p) => p.kind === 'connack' && p.code !== 0)
    if (at < 0) return { applied: 0, broken: [] }
    return { applied: 1, broken: all.slice(at + 1).map((p) => `after the refusal: ${describe(p)}`) }
  },
})

defineCase({
  id: 'response-information-only-if-asked',
  area: 'connack',
  title: 'Without Request Response Information there is no Response Information in CONNACK',
  clauses: { '5': ['MQTT-3.1.2-28'] },
  async run(t) {
    const silent = await t.connect({ label: 'says nothing' })
    t.check(
      prop(silent.connack as Packet, 'responseInformation') === undefined,
      'no Response Information',
      silent.connack,
    )
    const declines = await t.connect({ label: 'says 0', properties: [property('requestResponseInformation', 0)] })
    t.check(
      prop(declines.connack as Packet, 'responseInformation') === undefined,
      'no Response Information',
      declines.connack,
    )
  },
})

defineCase({
  id: 'limits-make-sense',
  area: 'connack',
  title: 'Receive Maximum and Maximum Packet Size in CONNACK are not 0, Maximum QoS is 0 or 1, the flags are 0 or 1',
  clauses: { '5': ['MQTT-3.2.2-9', 'MQTT-4.9.0-1'] },
  async run(t) {
    const client = await t.connect()
    const connack = client.connack as Packet
    const value = (name: string) => prop(connack, name)
    t.check(value('receiveMaximum') !== 0, 'Receive Maximum absent or above 0', connack)
    t.check(value('maximumPacketSize') !== 0, 'Maximum Packet Size absent or above 0', connack)
    t.check([undefined, 0, 1].includes(value('maximumQoS') as number), 'Maximum QoS absent, 0 or 1', connack)
    for (const name of [
      'retainAvailable',
      'wildcardSubscriptionAvailable',
      'subscriptionIdentifierAvailable',
      'sharedSubscriptionAvailable',
    ]) {
      t.check([undefined, 0, 1].includes(value(name) as number), `${name} absent, 0 or 1`, connack)
    }
  },
})

defineCase({
  id: 'subscriptions-above-maximum-qos',
  area: 'connack',
  title: 'A SUBSCRIBE asking for QoS 2 is accepted whatever the Maximum QoS of the server',
  clauses: { '5': ['MQTT-3.2.2-10'] },
  async run(t) {
    const client = await t.connect()
    const suback = await client.subscribe(t.topic('a'), 2, { anyCode: true })
    const code = suback.codes?.[0] ?? 0x80
    t.check(code <= 2, 'the subscription granted, perhaps with a lower QoS', suback)
  },
})

defineCase({
  id: 'will-qos-above-maximum-qos',
  area: 'connack',
  title: 'A Will QoS above the Maximum QoS of the server rejects the connection',
  clauses: { '5': ['MQTT-3.2.2-12'] },
  async run(t) {
    if (t.features.maximumQoS >= 2) t.skip('the server supports QoS 2, so no Will QoS is too high')
    const client = await t.open()
    const connack = await client.connect(t.connectOptions({ clientId: t.id(), will: { topic: t.topic('w'), qos: 2 } }))
    t.check((connack.code ?? 0) >= 0x80, 'CONNACK that refuses', connack)
    await client.closed('the Will QoS is not supported')
  },
})

defineCase({
  id: 'will-retain-unavailable',
  area: 'connack',
  title: 'A Will Retain on a server without retained messages rejects the connection',
  clauses: { '5': ['MQTT-3.2.2-13'] },
  async run(t) {
    if (t.features.retain) t.skip('the server supports retained messages')
    const client = await t.open()
    const connack = await client.connect(
      t.connectOptions({ clientId: t.id(), will: { topic: t.topic('w'), retain: true } }),
    )
    t.check((connack.code ?? 0) >= 0x80, 'CONNACK that refuses', connack)
    await client.closed('retained messages are not supported')
  },
})
