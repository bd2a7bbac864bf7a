// CONNECT: what must come first, and what must be refused.

import { defineCase } from '../../case.ts'
import type { Context } from '../../context.ts'
import * as wire from '../../wire.ts'
import { cat, hex, packet, property, str, u16 } from '../../wire.ts'
import { nextIs, pair, text } from '../common.ts'

/** CONNECT as bytes, with credentials of the command line only where the flags do not matter. */
/** A CONNECT with the credentials of the run, so that nothing but what is wrong with it can be the reason to refuse it. */
function base(t: Context, more: wire.ConnectOptions = {}): Buffer {
  const full = t.connectOptions({ clientId: t.id(), ...more })
  const present = (full.username === undefined ? 0 : 0x80) | (full.password === undefined ? 0 : 0x40)
  return wire.connect(t.version, more.flags === undefined ? full : { ...full, flags: more.flags | present })
}

/** Sends a CONNECT that breaks its format; the connection must be closed, in 3.1.1 without a CONNACK. */
async function refused(
  t: Context,
  bytes: Buffer,
  why: string,
  advised: readonly number[] = [0x81, 0x82],
): Promise<void> {
  const client = await t.open()
  const before = await t.rejected(client, bytes, why, advised)
  const connack = before.find((p) => p.kind === 'connack')
  if (!t.v5) t.check(connack === undefined, 'no CONNACK: [MQTT-3.1.4-1]', connack)
}

const FIRST: [name: string, bytes: (t: Context) => Buffer][] = [
  ['publish', (t) => wire.publish(t.version, { topic: t.topic('a'), payload: 'too early' })],
  ['subscribe', (t) => wire.subscribe(t.version, 1, [[t.topic('a'), 0]])],
  ['pingreq', () => wire.PINGREQ],
  ['disconnect', () => wire.disconnect()],
]

for (const [name, bytes] of FIRST) {
  defineCase({
    id: `${name}-before-connect`,
    area: 'connect',
    title: `${name.toUpperCase()} as the first packet closes the connection unanswered`,
    clauses: { '3.1.1': ['MQTT-3.1.0-1', 'MQTT-4.8.0-1', 'MQTT-3.2.0-1'], '5': ['MQTT-3.1.0-1', 'MQTT-3.14.0-1'] },
    async run(t) {
      const client = await t.open()
      client.send(bytes(t), 'the first packet is not CONNECT')
      const before = await client.closed('the first packet has to be CONNECT')
      const other = before.find((p) => p.kind !== 'connack' || p.code === 0)
      t.check(other === undefined, 'nothing sent but perhaps a CONNACK that refuses', other)
    },
  })
}

defineCase({
  id: 'second-connect',
  area: 'connect',
  title: 'A second CONNECT closes the connection',
  clauses: { '3.1.1': ['MQTT-3.1.0-2'], '5': ['MQTT-3.1.0-2'] },
  async run(t) {
    const client = await t.connect({ clientId: t.id() })
    const bytes = wire.connect(t.version, t.connectOptions({ clientId: t.id() }))
    await t.rejected(client, bytes, 'CONNECT for the second time', [0x82])
  },
})

for (const name of ['MQTX', 'mqtt', 'MQTT ']) {
  defineCase({
    id: `protocol-name-${name.trim().toLowerCase()}${name.endsWith(' ') ? '-space' : ''}`,
    area: 'connect',
    title: `The protocol name ${JSON.stringify(name)} is not taken for MQTT`,
    clauses: { '3.1.1': ['MQTT-3.1.2-1'], '5': ['MQTT-3.1.2-1'] },
    async run(t) {
      const client = await t.open()
      const bytes = base(t, { protocolName: name })
      await t.rejected(client, bytes, `the protocol name is ${JSON.stringify(name)}`, [0x84, 0x81, 0x82])
    },
  })
}

defineCase({
  id: 'unknown-protocol-level',
  area: 'connect',
  title: 'An unknown protocol level is refused and the connection closed',
  clauses: {
    '3.1.1': ['MQTT-3.1.2-2', 'MQTT-3.2.2-4', 'MQTT-3.2.2-5'],
    '5': ['MQTT-3.1.2-2', 'MQTT-3.2.2-6', 'MQTT-3.2.2-7'],
  },
  async run(t) {
    const client = await t.open()
    client.send(base(t, { level: 99 }), 'protocol level 99')
    const connack = (await client.closed('protocol level 99 is not supported')).find((p) => p.kind === 'connack')
    if (connack === undefined) {
      // 5.0 leaves the CONNACK to the server, 3.1.1 demands it.
      t.check(t.v5, 'CONNACK with return code 0x01 before the close', 'no CONNACK')
      return
    }
    t.check(
      connack.code === 0x01 || connack.code === 0x84,
      'CONNACK 0x01, or 0x84 of a server that speaks 5.0',
      connack,
    )
    t.check(connack.sessionPresent === false, 'Session Present 0 in a CONNACK that refuses', connack)
  },
})

defineCase({
  id: 'reserved-flag',
  area: 'connect',
  title: 'The reserved bit of the Connect Flags closes the connection',
  clauses: { '3.1.1': ['MQTT-3.1.2-3', 'MQTT-3.1.4-1'], '5': ['MQTT-3.1.2-3', 'MQTT-3.1.4-1'] },
  run: (t) => refused(t, base(t, { flags: 0x03 }), 'bit 0 of the Connect Flags is 1'),
})

defineCase({
  id: 'will-qos-without-will',
  area: 'connect',
  title: 'Will QoS without Will Flag closes the connection',
  clauses: {
    '3.1.1': ['MQTT-3.1.2-11', 'MQTT-3.1.2-13', 'MQTT-3.1.4-1'],
    '5': ['MQTT-3.1.2-11', 'MQTT-3.1.4-1'],
  },
  run: (t) => refused(t, base(t, { flags: 0x0a }), 'Will Flag 0 with Will QoS 1'),
})

defineCase({
  id: 'will-retain-without-will',
  area: 'connect',
  title: 'Will Retain without Will Flag closes the connection',
  clauses: {
    '3.1.1': ['MQTT-3.1.2-11', 'MQTT-3.1.2-15', 'MQTT-3.1.4-1'],
    '5': ['MQTT-3.1.2-13', 'MQTT-3.1.4-1'],
  },
  run: (t) => refused(t, base(t, { flags: 0x22 }), 'Will Flag 0 with Will Retain 1'),
})

defineCase({
  id: 'will-qos-3',
  area: 'connect',
  title: 'Will QoS 3 closes the connection',
  clauses: { '3.1.1': ['MQTT-3.1.2-14', 'MQTT-3.1.4-1'], '5': ['MQTT-3.1.2-12', 'MQTT-3.1.4-1'] },
  run: (t) => refused(t, base(t, { flags: 0x1e, will: { topic: t.topic('w'), payload: 'w' } }), 'Will QoS 3'),
})

defineCase({
  id: 'password-without-user-name',
  area: 'connect',
  title: 'Password Flag without User Name Flag closes the connection',
  clauses: { '3.1.1': ['MQTT-3.1.2-22', 'MQTT-3.1.4-1'] },
  run: (t) => refused(t, base(t, { username: undefined, password: 'secret' }), 'Password Flag 1 with User Name Flag 0'),
})

/** Builds CONNECT from its parts, for payloads that do not fit their flags. */
const raw = (t: Context, flags: number, ...payload: Buffer[]): Buffer =>
  packet(0x10, str('MQTT'), t.version, flags, u16(60), t.v5 ? 0 : [], ...payload)

const MISFITS: [id: string, title: string, v3: string[], v5: string[], build: (t: Context) => Buffer][] = [
  [
    'user-name-missing',
    'User Name Flag without a user name',
    ['MQTT-3.1.2-19'],
    ['MQTT-3.1.2-17'],
    (t) => raw(t, 0x82, str(t.id())),
  ],
  [
    'user-name-unannounced',
    'A user name without its flag',
    ['MQTT-3.1.2-18'],
    ['MQTT-3.1.2-16'],
    (t) => raw(t, 0x02, str(t.id()), str('user')),
  ],
  [
    'password-missing',
    'Password Flag without a password',
    ['MQTT-3.1.2-21'],
    ['MQTT-3.1.2-19'],
    (t) => raw(t, 0xc2, str(t.id()), str('user')),
  ],
  [
    'password-unannounced',
    'A password without its flag',
    ['MQTT-3.1.2-20'],
    ['MQTT-3.1.2-18'],
    (t) => raw(t, 0x82, str(t.id()), str('user'), str('secret')),
  ],
  [
    'will-missing',
    'Will Flag without will fields',
    ['MQTT-3.1.2-9'],
    ['MQTT-3.1.2-9'],
    (t) => raw(t, 0x06, str(t.id())),
  ],
  [
    'will-message-missing',
    'Will Flag with a Will Topic and no Will Message',
    ['MQTT-3.1.2-9'],
    ['MQTT-3.1.2-9'],
    (t) => raw(t, 0x06, str(t.id()), ...(t.v5 ? [Buffer.of(0)] : []), str(t.topic('w'))),
  ],
  [
    'will-unannounced',
    'Will fields without Will Flag',
    ['MQTT-3.1.2-11'],
    ['MQTT-3.1.4-1'],
    (t) => raw(t, 0x02, str(t.id()), str(t.topic('w')), str('will')),
  ],
  ['client-id-missing', 'CONNECT without a ClientId', ['MQTT-3.1.3-3'], ['MQTT-3.1.3-3'], (t) => raw(t, 0x02)],
  [
    'client-id-beyond-the-end',
    'A ClientId longer than the packet',
    ['MQTT-3.1.3-1'],
    ['MQTT-3.1.3-1'],
    (t) => raw(t, 0x02, hex('00 40 61 62 63')),
  ],
  ['cut-short', 'CONNECT that ends after its protocol level', [], [], (t) => packet(0x10, str('MQTT'), t.version)],
]

for (const [id, title, v3, v5, build] of MISFITS) {
  defineCase({
    id,
    area: 'connect',
    title: `${title} closes the connection`,
    clauses: { '3.1.1': ['MQTT-3.1.4-1', ...v3], '5': ['MQTT-3.1.4-1', 'MQTT-4.13.1-1', ...v5] },
    run: (t) => refused(t, build(t), title),
  })
}

defineCase({
  id: 'field-order',
  area: 'connect',
  title: 'ClientId, will, user name and password are read in this order',
  clauses: { '3.1.1': ['MQTT-3.1.3-1', 'MQTT-3.1.2-9'], '5': ['MQTT-3.1.3-1', 'MQTT-3.1.2-9'] },
  async run(t) {
    const topic = t.topic('will')
    const { subscriber } = await pair(t, topic)
    const { username, password } = t.target
    const client = await t.open('with all fields')
    const connack = await client.connect({
      clientId: t.id('all'),
      will: { topic, payload: 'the will message' },
      username: username ?? 'user',
      password: password ?? 'secret',
    })
    if (connack.code !== 0) t.skip('the server refuses user names it does not know, as it may')
    client.drop()
    const will = await subscriber.receive('the Will Message on the Will Topic')
    t.equal([will.topic, text(will)], [topic, 'the will message'], 'topic and payload of the will')
  },
})

defineCase({
  id: 'client-ids-that-must-be-allowed',
  area: 'connect',
  title: 'ClientIds of 23 digits and letters are accepted, every one of the 62 characters',
  clauses: { '3.1.1': ['MQTT-3.1.3-5', 'MQTT-3.1.4-4'], '5': ['MQTT-3.1.3-5', 'MQTT-3.1.4-5'] },
  async run(t) {
    const characters = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
    const own = t.id().slice(0, 12)
    const room = 23 - own.length
    for (let at = 0; at < characters.length; at += room) {
      const clientId = (own + characters.slice(at, at + room)).padEnd(23, '0')
      const client = await t.connect({ clientId })
      await client.disconnect()
    }
  },
})

defineCase({
  id: 'empty-client-id',
  area: 'connect',
  title: 'Clients with an empty ClientId are refused or each given an identity of their own',
  clauses: { '3.1.1': ['MQTT-3.1.3-6', 'MQTT-3.1.3-9'], '5': ['MQTT-3.1.3-6', 'MQTT-3.1.3-8'] },
  async run(t) {
    const first = await t.open('first')
    const connack = await first.connect(t.connectOptions({ clientId: '' }))
    if (connack.code !== 0) {
      const code = t.v5 ? 0x85 : 0x02
      t.check(connack.code === code, `CONNACK 0x${code.toString(16)}`, connack)
      await first.closed('the ClientId was rejected')
      return
    }
    const second = await t.connect({ clientId: '', label: 'second' })
    await first.flush('PINGRESP: the first client was not taken over by the second')
    await second.flush('PINGRESP for the second client')
  },
})

defineCase({
  id: 'empty-client-id-with-clean-session-0',
  area: 'connect',
  title: 'An empty ClientId with Clean Session 0 is answered with CONNACK 0x02 and a close',
  clauses: { '3.1.1': ['MQTT-3.1.3-7', 'MQTT-3.1.3-8', 'MQTT-3.1.3-9', 'MQTT-3.2.2-4', 'MQTT-3.2.2-5'] },
  async run(t) {
    const client = await t.open()
    const connack = await client.connect(t.connectOptions({ clientId: '', clean: false }), 'CONNACK 0x02')
    t.check(connack.code === 2, 'CONNACK with return code 0x02', connack)
    t.check(connack.sessionPresent === false, 'Session Present 0', connack)
    await client.closed('the ClientId was rejected')
  },
})

defineCase({
  id: 'assigned-client-identifier',
  area: 'connect',
  title: 'An empty ClientID is answered with a unique Assigned Client Identifier that works',
  clauses: { '5': ['MQTT-3.1.3-6', 'MQTT-3.1.3-7', 'MQTT-3.2.2-16'] },
  needs: ['empty-client-id'],
  async run(t) {
    const assigned: string[] = []
    for (const label of ['first', 'second']) {
      const client = await t.connect({ clientId: '', label, properties: [property('sessionExpiryInterval', 60)] })
      const value = client.connack?.properties?.find((p) => p.name === 'assignedClientIdentifier')?.value
      t.check(typeof value === 'string' && value !== '', 'an Assigned Client Identifier in CONNACK', client.connack)
      assigned.push(String(value))
      t.leavesSession(String(value))
      if (label === 'second') await client.disconnect()
    }
    t.check(assigned[0] !== assigned[1], 'two different identifiers', assigned.join(' and '))
    if (!t.features.sessions) return
    const again = await t.connect({ clientId: assigned[1] ?? '', clean: false, label: 'again' })
    t.check(again.connack?.sessionPresent === true, 'the session found under the assigned identifier', again.connack)
  },
})

defineCase({
  id: 'takeover',
  area: 'connect',
  title: 'A second client with the same ClientId takes over: the first is disconnected',
  clauses: { '3.1.1': ['MQTT-3.1.4-2'], '5': ['MQTT-3.1.4-3'] },
  async run(t) {
    const first = await t.connect({ clientId: t.id(), label: 'first' })
    const second = await t.connect({ clientId: t.id(), label: 'second' })
    const before = await first.closed('another client has connected with its ClientId')
    const disconnect = before.find((p) => p.kind === 'disconnect')
    if (t.v5 && disconnect === undefined) t.remark('closed without DISCONNECT 0x8E')
    if (disconnect !== undefined)
      t.check(disconnect.code === 0x8e, 'DISCONNECT with 0x8E Session taken over', disconnect)
    await second.flush('PINGRESP: the second client is connected')
  },
})

defineCase({
  id: 'nothing-after-a-rejected-connect',
  area: 'connect',
  title: 'What a client sends behind a rejected CONNECT is not processed',
  clauses: { '3.1.1': ['MQTT-3.1.4-5'], '5': ['MQTT-3.1.4-6'] },
  async run(t) {
    const topic = t.topic('a')
    const { settled } = await pair(t, topic)
    const client = await t.open('rejected')
    const behind = wire.publish(t.version, { topic, payload: 'must not be delivered' })
    client.send(cat(base(t, { level: 99 }), behind), 'protocol level 99, and a PUBLISH in the same write')
    await client.closed('protocol level 99 is not supported')
    t.none(await settled('no message from the rejected client'), 'no message from the rejected client')
  },
})

defineCase({
  id: 'refused-credentials',
  area: 'connect',
  title: 'A client whose user name and password are not accepted is refused and its connection closed',
  clauses: { '3.1.1': ['MQTT-3.2.2-5'], '5': ['MQTT-3.1.4-2'] },
  async run(t) {
    const client = await t.open('with a made-up password')
    client.send(base(t, { username: t.id('nobody'), password: t.id('guess') }), 'credentials made up for this case')
    const connack = await client.takeIfAny('connack')
    if (connack?.code === 0) t.skip('the server accepts clients whatever their user name and password')
    const fits = t.v5 ? (connack?.code ?? 0x80) >= 0x80 : [undefined, 2, 4, 5].includes(connack?.code)
    t.check(fits, 'a CONNACK that says why, or none', connack)
    await client.closed('the credentials are not accepted')
  },
})

defineCase({
  id: 'packets-behind-connect',
  area: 'connect',
  title: 'A client may send packets behind CONNECT without waiting for CONNACK',
  clauses: { '3.1.1': ['MQTT-3.1.4-4', 'MQTT-3.2.0-1'], '5': ['MQTT-3.1.4-5', 'MQTT-3.2.0-1'] },
  async run(t) {
    const client = await t.open()
    const connect = wire.connect(t.version, t.connectOptions({ clientId: t.id() }))
    client.send(cat(connect, wire.subscribe(t.version, 7, [[t.topic('a'), 0]]), wire.PINGREQ))
    const connack = await nextIs(t, client, 'connack', 'CONNACK as the first packet')
    t.check(connack.code === 0, 'CONNACK with code 0', connack)
    await client.take('suback', { where: (p) => p.packetId === 7, why: 'SUBACK with id 7' })
    await client.take('pingresp', { why: 'PINGRESP' })
  },
})

defineCase({
  id: 'connect-with-wrong-properties',
  area: 'connect',
  title: 'A CONNECT whose Property Length reaches beyond its end closes the connection',
  clauses: { '5': ['MQTT-3.1.4-1', 'MQTT-4.13.1-1'] },
  async run(t) {
    const bytes = packet(0x10, str('MQTT'), 5, 0x02, u16(60), 0x7f, str(t.id()))
    await refused(t, bytes, 'Property Length 127 with fewer bytes behind it')
  },
})
