// Hooks that answer later: the client they are about stands still, its packets keep their order, nobody else notices,
// and nothing is lost or leaked however it ends.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Client } from '../../../src/broker/clients/client.ts'
import type { Hooks, Verdict } from '../../../src/broker/hooks.ts'
import { createBroker } from '../../../src/index.ts'
import { Command } from '../../../src/net/wire.ts'
import {
  acknowledgementPacket,
  connectPacket,
  PINGREQ,
  publishPacket,
  RawClient,
  subscribePacket,
} from '../raw-client.ts'
import { headerLength, Rig, type RigOptions } from '../rig.ts'

/** Questions that wait for the test's answer. */
class Questions {
  readonly asked: string[] = []
  readonly #open: { resolve: (verdict: Verdict) => void; reject: (error: Error) => void }[] = []

  ask(what: string): Promise<Verdict> {
    this.asked.push(what)
    return new Promise((resolve, reject) => this.#open.push({ resolve, reject }))
  }

  async answer(verdict: Verdict = true): Promise<void> {
    this.#open.shift()!.resolve(verdict)
    await settled()
  }

  async fail(): Promise<void> {
    this.#open.shift()!.reject(new Error('the database is away'))
    await settled()
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

function connected(rig: Rig, clientId: string, version: 4 | 5 = 4): Client {
  const client = rig.client()
  rig.packets(client, connectPacket({ clientId, version }))
  assert.is(client.state, 'connected')
  rig.reactor.take()
  return client
}

/** What a client got, in a word each. */
function answers(rig: Rig, client: Client): string[] {
  const names: Record<number, string> = {
    2: 'connack',
    4: 'puback',
    5: 'pubrec',
    7: 'pubcomp',
    9: 'suback',
    13: 'pingresp',
  }
  return rig.reactor
    .take()
    .sent.filter(({ slot }) => slot === client.connection.slot)
    .map(({ bytes }) => {
      const name = names[bytes[0]! >> 4] ?? `type ${bytes[0]! >> 4}`
      return name === 'pingresp' || name === 'connack' ? name : `${name} ${(bytes[2]! << 8) | bytes[3]!}`
    })
}

function publishing(options: RigOptions = {}): { rig: Rig; questions: Questions; receiver: number } {
  const questions = new Questions()
  const rig = new Rig({ hooks: { authorizePublish: ({ topic }) => questions.ask(topic) }, ...options })
  const session = rig.connected('receiver')
  session.subscribe('#', { qos: 0, noLocal: false, retainAsPublished: false, subscriptionId: 0 }, 0)
  return { rig, questions, receiver: session.connection!.slot }
}

function arriveKept(rig: Rig, client: Client, packet: Buffer): void {
  const header = headerLength(packet)
  const handle = rig.reactor.arriveKept(packet.subarray(header))
  rig.reactor.turn(() => client.handlePacket(packet[0]!, 0, 0, packet.length - header, handle))
}

test('packets behind one that waits, of the same turn and later ones, are handled in their order', async () => {
  const { rig, questions } = publishing()
  const client = connected(rig, 'a')
  rig.packets(
    client,
    publishPacket('t', '1', { qos: 1, id: 1 }),
    PINGREQ,
    publishPacket('t', '2', { qos: 1, id: 2 }),
    subscribePacket(3, 's'),
  )
  assert.equal(answers(rig, client), [])
  await questions.answer()
  assert.equal(answers(rig, client), ['puback 1', 'pingresp'])
  rig.packets(client, publishPacket('t', '4', { qos: 1, id: 4 }), PINGREQ)
  await questions.answer()
  assert.equal(answers(rig, client), ['puback 2', 'suback 3'])
  await questions.answer()
  assert.equal(answers(rig, client), ['puback 4', 'pingresp'])
  assert.is(rig.reactor.frames.size, 0)
})

test('messages reach others as they were sent, although the inbox was overwritten meanwhile', async () => {
  const { rig, questions, receiver } = publishing()
  const client = connected(rig, 'a')
  rig.packets(client, publishPacket('t/1', 'first', { qos: 0 }), publishPacket('t/2', 'second', { qos: 2, id: 7 }))
  await questions.answer()
  await questions.answer()
  const { written } = rig.reactor.take()
  assert.equal(
    written.map(({ slot, topic, payload }) => [slot, topic, payload]),
    [
      [receiver, 't/1', 'first'],
      [receiver, 't/2', 'second'],
    ],
  )
})

test('only the client that waits is paused, and it is read again when everything is handled', async () => {
  const { rig, questions } = publishing()
  const waiting = connected(rig, 'a')
  const other = connected(rig, 'b')
  rig.reactor.commands.length = 0
  rig.packets(waiting, publishPacket('t', 'x', { qos: 1, id: 1 }))
  rig.packets(other, PINGREQ, subscribePacket(2, 's'))
  assert.equal(answers(rig, other), ['pingresp', 'suback 2'])
  assert.equal(rig.reactor.commands, [[Command.Pause, waiting.connection.slot]])
  await questions.answer()
  rig.reactor.take()
  assert.equal(rig.reactor.commands.at(-1), [Command.Resume, waiting.connection.slot])
})

test('keep alive stands still while it is the broker that does not read', async () => {
  const { rig, questions } = publishing()
  const client = connected(rig, 'a')
  client.keepAlive = 1000
  rig.context.timers.set(client, client.nextDeadline(rig.clock.now()))
  rig.packets(client, publishPacket('t', 'x', { qos: 1, id: 1 }))
  for (let n = 0; n < 20; n++) rig.advance(1000)
  assert.is(client.state, 'connected')
  await questions.answer()
  rig.advance(1400)
  assert.is(client.state, 'connected')
  for (let n = 0; n < 5; n++) rig.advance(200)
  assert.is(client.state, 'ending')
  assert.is(rig.counters.keepAliveTimeouts, 1)
})

test('a packet larger than the inbox waits in its frame, in its place, and the frame is given back', async () => {
  const { rig, questions } = publishing()
  const client = connected(rig, 'a')
  rig.packets(client, publishPacket('t', 'small', { qos: 1, id: 1 }))
  arriveKept(rig, client, publishPacket('large', 'x'.repeat(200_000), { qos: 1, id: 2 }))
  rig.packets(client, PINGREQ)
  await questions.answer()
  assert.equal(answers(rig, client), ['puback 1'])
  await questions.answer()
  const { written } = rig.reactor.take()
  assert.is(written.at(-1)?.payload.length ?? 0, 200_000)
  assert.equal(questions.asked, ['t', 'large'])
  assert.is(rig.reactor.frames.size, 0)
})

test('a client that closes while it waits leaves nothing behind, and its message goes nowhere', async () => {
  const { rig, questions, receiver } = publishing()
  const client = connected(rig, 'a')
  rig.packets(client, publishPacket('t', 'x', { qos: 1, id: 1 }), PINGREQ)
  arriveKept(rig, client, publishPacket('large', 'x'.repeat(200_000), { qos: 1, id: 2 }))
  client.connection.closed = true
  client.handleClosed(2, 104)
  await questions.answer()
  const { written } = rig.reactor.take()
  assert.equal(
    written.filter(({ slot }) => slot === receiver),
    [],
  )
  assert.is(rig.reactor.frames.size, 0)
  assert.is(rig.context.sessions.get('a'), undefined)
})

test('the connect timeout holds while the authenticator thinks, and its late answer changes nothing', async () => {
  const questions = new Questions()
  const rig = new Rig({ hooks: { authenticate: ({ clientId }) => questions.ask(clientId) } })
  const client = rig.client()
  rig.packets(client, connectPacket({ clientId: 'a' }), subscribePacket(1, 's'))
  rig.advance(10_001)
  rig.reactor.take()
  assert.is(client.state, 'ending')
  assert.is(rig.counters.connectTimeouts, 1)
  assert.equal(rig.reactor.commands.at(-1), [Command.Close, client.connection.slot])
  await questions.answer()
  assert.equal(answers(rig, client), [])
  assert.is(rig.context.sessions.size, 0)
})

test('[MQTT-3.1.2-30] what comes behind a CONNECT that waits is handled when it was accepted', async () => {
  const questions = new Questions()
  const rig = new Rig({ hooks: { authenticate: ({ clientId }) => questions.ask(clientId) } })
  const client = rig.client()
  rig.packets(client, connectPacket({ clientId: 'a' }), subscribePacket(1, 's'), PINGREQ)
  assert.equal(answers(rig, client), [])
  await questions.answer()
  assert.equal(answers(rig, client), ['connack', 'suback 1', 'pingresp'])
})

test('max_sessions holds for clients that authenticate at the same time', async () => {
  const questions = new Questions()
  const rig = new Rig({
    settings: { maxSessions: 1 },
    hooks: { authenticate: ({ clientId }) => questions.ask(clientId) },
  })
  const clients = ['a', 'b'].map((clientId) => {
    const client = rig.client()
    rig.packets(client, connectPacket({ clientId }))
    return client
  })
  await questions.answer()
  await questions.answer()
  assert.is(rig.context.sessions.size, 1)
  assert.is(clients[1]!.state, 'ending')
})

const broken: [name: string, authorizePublish: NonNullable<Hooks['authorizePublish']>][] = [
  [
    'throws',
    () => {
      throw new Error('a bug of the program')
    },
  ],
  ['rejects', () => Promise.reject(new Error('the database is away'))],
  [
    'looks at the payload and throws',
    ({ payload }) => {
      throw new Error(`a bug of the program, ${payload().length}`)
    },
  ],
]

for (const [name, authorizePublish] of broken) {
  test(`an authorizer that ${name} refuses this PUBLISH, is logged, and leaks no frame`, async () => {
    const { rig, receiver } = publishing({ hooks: { authorizePublish } })
    const client = connected(rig, 'a', 5)
    rig.packets(client, publishPacket('t', 'x', { qos: 1, id: 1, version: 5 }), PINGREQ)
    arriveKept(rig, client, publishPacket('large', 'x'.repeat(200_000), { qos: 1, id: 2, version: 5 }))
    for (let n = 0; n < 4; n++) await settled()
    const { sent, written } = rig.reactor.take()
    assert.equal(
      sent.map(({ bytes }) => bytes),
      [
        [0x40, 3, 0, 1, 0x87],
        [0xd0, 0],
        [0x40, 3, 0, 2, 0x87],
      ],
    )
    assert.equal(
      written.filter(({ slot }) => slot === receiver),
      [],
    )
    assert.is(client.state, 'connected')
    assert.ok(rig.log.at('warn').some(({ fields }) => fields.err instanceof Error))
    assert.is(rig.reactor.frames.size, 0)
    assert.is(rig.reactor.kept.held, 0)
  })
}

test('a large PUBLISH that is refused for what it is gives its frame back', () => {
  const rig = new Rig()
  const large = 'x'.repeat(200_000)
  const refused: [version: 4 | 5, packet: Buffer][] = [
    [4, Buffer.from(publishPacket('a', large)).fill('+', 6, 7)],
    [4, publishPacket('a', large, { qos: 1, id: 1 }).fill(0, 7, 9)],
    [5, publishPacket('a', large, { version: 5 }).fill(0x7f, 7, 8)],
  ]
  for (const [version, packet] of refused) {
    const client = connected(rig, 'a', version)
    arriveKept(rig, client, packet)
    assert.is(client.state, 'ending')
    rig.reactor.take()
    assert.is(rig.reactor.frames.size, 0)
  }
  const early = rig.client()
  arriveKept(rig, early, publishPacket('a', large))
  assert.is(early.state, 'ending')
  rig.reactor.take()
  assert.is(rig.reactor.frames.size, 0)
})

test('a hook that waits is shown the payload it was asked about, whatever was published meanwhile', async () => {
  const payloads: string[] = []
  const authorizePublish: NonNullable<Hooks['authorizePublish']> = async (request) => {
    await settled()
    payloads.push(request.payload().toString())
    return true
  }
  const rig = new Rig({ hooks: { authorizePublish } })
  for (const clientId of ['a', 'b']) rig.packets(connected(rig, clientId), publishPacket('t', `from ${clientId}`))
  for (let n = 0; n < 3; n++) await settled()
  assert.equal(payloads, ['from a', 'from b'])
  rig.reactor.take()
  assert.is(rig.reactor.frames.size, 0)
})

test('a subscribe hook that fails refuses the filters it was asked about', async () => {
  const authorizeSubscribe: NonNullable<Hooks['authorizeSubscribe']> = ({ topicFilter }) => {
    if (topicFilter === 'b') throw new Error('a bug of the program')
    return topicFilter === 'c' ? Promise.reject(new Error('away')) : true
  }
  const rig = new Rig({ hooks: { authorizeSubscribe } })
  const client = connected(rig, 'a')
  for (const [id, filter] of ['a', 'b', 'c'].entries()) {
    rig.packets(client, subscribePacket(id + 1, filter))
    await settled()
  }
  assert.equal(
    rig.reactor.take().sent.map(({ bytes }) => bytes[4]),
    [0, 0x80, 0x80],
  )
  assert.equal([...client.session!.subscriptions!.keys()], ['a'])
})

test('an authenticator that fails lets nobody in', async () => {
  for (const authenticate of [
    () => Promise.reject(new Error('away')),
    () => {
      throw new Error('a bug of the program')
    },
  ]) {
    const rig = new Rig({ hooks: { authenticate } })
    const client = rig.client()
    rig.packets(client, connectPacket({ clientId: 'a' }))
    await settled()
    assert.equal(
      rig.reactor.take().sent.map(({ bytes }) => bytes),
      [[0x20, 2, 0, 5]],
    )
    assert.is(client.state, 'ending')
    assert.ok(rig.log.at('warn').some(({ fields }) => fields.err instanceof Error))
    assert.is(rig.context.sessions.size, 0)
  }
})

test('FIN while a client waits: everything before it is handled and answered, then FIN', async () => {
  const questions = new Questions()
  const broker = createBroker({
    authorizePublish: ({ topic }) => questions.ask(topic),
    sysInterval: 0,
    maxConnections: 64,
  })
  const { port } = await broker.listen({ port: 0 })
  const client = await RawClient.open(port)
  client.sendAndEnd(
    connectPacket({ clientId: 'a' }),
    publishPacket('t', '1', { qos: 1, id: 1 }),
    publishPacket('t', '2', { qos: 2, id: 2 }),
    acknowledgementPacket('pubrel', 2),
    PINGREQ,
  )
  assert.is(await client.word(), 'connack')
  await questions.answer()
  await questions.answer()
  assert.equal(await client.untilEnd(), ['puback 1', 'pubrec 2', 'pubcomp 2', 'pingresp'])
  await broker.close()
})

test.run()
