// Shortcuts (shortcut_after) must not show: the same program of clients against a broker that takes them from the second
// message on and one that never does, and every client gets the same bytes from both. And what ends one, case by case.
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, type EmbeddedBroker, listen } from '../support/embedded.ts'
import { connect, disconnect, pingreq, publish, subscribe, Type, unsubscribe } from '../support/packets.ts'
import { connect5, options, p, publish5, subscribe5, unsubscribe5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

// What is named often meets often: a shortcut needs one topic, one publisher, one subscriber for a while.
const topics = ['t', 't', 't', 't', 't/1', 'u'] as const
const filters = ['t', 't/1', 'u', 't/#', '+', '#', '$share/g/t'] as const
const kinds = [
  ...Array<'plain'>(20).fill('plain'),
  'retain',
  'qos1',
  'qos2',
  'user property',
  'expiry',
  'sets alias',
  'by alias',
  'large',
  'empty',
] as const

interface Message {
  readonly topic: (typeof topics)[number]
  readonly kind: (typeof kinds)[number]
}

type Step =
  | { readonly does: 'publish'; readonly client: number; readonly burst: readonly Message[] }
  | { readonly does: 'subscribe'; readonly client: number; readonly filter: string; readonly variant: number }
  | { readonly does: 'unsubscribe'; readonly client: number; readonly filter: string }
  | { readonly does: (typeof meetings)[number]; readonly client: number }

/** What shows only where one thing meets another in one turn, or in two that follow each other. */
const meetings = [
  'reconnect',
  'subscribe, then publish',
  'is taken over, and goes on',
  'is lost, with its will',
  'asks a slow authorizer, then publishes',
] as const

const CLIENTS = 4
const client = fc.nat(CLIENTS - 1)
const filter = fc.constantFrom(...filters)
const message = fc.record({ topic: fc.constantFrom(...topics), kind: fc.constantFrom(...kinds) })
const burst = fc.record({
  does: fc.constant('publish' as const),
  client: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1),
  burst: fc.array(message, { minLength: 1, maxLength: 3 }),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 30, arbitrary: burst },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constant('subscribe' as const), client, filter, variant: fc.nat(5) }),
  },
  { weight: 3, arbitrary: fc.record({ does: fc.constant('unsubscribe' as const), client, filter }) },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constantFrom(...meetings), client }),
  },
)
/** Somebody listens from the beginning. */
const program = fc
  .tuple(client, fc.array(step, { minLength: 30, maxLength: 80 }))
  .map(([client, steps]): Step[] => [{ does: 'subscribe', client, filter: 't', variant: 0 }, ...steps])

/** Whoever subscribes to this waits for a promise. */
const SLOW = 'slow'

/** Odd clients speak MQTT 5. */
const is5 = (index: number): boolean => index % 2 === 1

class Peers {
  readonly received: string[][] = Array.from({ length: CLIENTS }, () => [])
  readonly #broker: EmbeddedBroker
  readonly #clients: RawClient[] = []
  /** Whether this connection of a client has set its Topic Alias. */
  readonly #hasAlias: boolean[] = []
  #sequence = 0

  constructor(broker: EmbeddedBroker) {
    this.#broker = broker
  }

  async connect(index: number): Promise<void> {
    const clientId = `c${index}`
    // Client 3 takes Topic Aliases, so nothing to it is ever direct; client 1 takes no large packet.
    const properties = index === 3 ? [p.topicAliasMaximum(2)] : [p.maximumPacketSize(1024)]
    const packet = is5(index)
      ? connect5({ clientId, properties, will: { topic: 'u', payload: `c${index} is gone` } })
      : connect({ clientId, will: { topic: 't', payload: `c${index} is gone` } })
    this.#clients[index] = await RawClient.dial(this.#broker, packet)
    this.#hasAlias[index] = false
    await this.#clients[index]!.expectPacket('CONNACK')
  }

  async run(step: Step): Promise<void> {
    const { client } = step
    const raw = this.#clients[client]!
    switch (step.does) {
      case 'publish':
        await raw.sendAll(...step.burst.map((message) => this.#publish(client, message)))
        break
      case 'subscribe':
        raw.send(this.#subscribe(client, step.filter, step.variant))
        break
      case 'unsubscribe':
        raw.send(is5(client) ? unsubscribe5(1, step.filter) : unsubscribe(1, step.filter))
        break
      case 'subscribe, then publish':
        // In one segment: what it publishes must meet its own subscription.
        raw.send(this.#subscribe(client, 'u', 0), this.#publish(client, { topic: 'u', kind: 'plain' }))
        break
      case 'reconnect':
        await this.settle()
        raw.end(disconnect())
        await raw.readToEnd()
        await this.connect(client)
        break
      case 'is taken over, and goes on':
        await this.connect(client)
        raw.send(this.#publish(client, { topic: 't', kind: 'plain' }))
        raw.end()
        await raw.readToEnd()
        break
      case 'is lost, with its will':
        raw.send(this.#publish(client, { topic: 't', kind: 'plain' }))
        raw.end()
        await raw.readToEnd()
        await this.connect(client)
        break
      case 'asks a slow authorizer, then publishes':
        raw.send(this.#subscribe(client, SLOW, 0), this.#publish(client, { topic: 't', kind: 'plain' }))
        await raw.sendAll(this.#publish(client, { topic: 't', kind: 'plain' }))
    }
    await this.settle()
  }

  /** Everything sent so far is handled, and everything sent to anybody has arrived: hence two rounds. */
  async settle(): Promise<void> {
    for (const round of [1, 2]) {
      for (const [index, raw] of this.#clients.entries()) {
        raw.send(pingreq())
        for (;;) {
          const packet = await raw.nextPacket(`the PINGRESP of round ${round}`)
          if (packet.type === Type.PINGRESP) break
          this.received[index]!.push(`${packet.type} ${packet.flags} ${packet.body.toString('hex')}`)
        }
      }
    }
  }

  #publish(client: number, { topic, kind }: Message): Buffer {
    const payload =
      kind === 'empty' ? '' : `${++this.#sequence} `.padEnd(kind === 'large' ? 1021 + (this.#sequence % 4) : 1)
    const qos = kind === 'qos1' ? 1 : kind === 'qos2' ? 2 : 0
    const retain = kind === 'retain'
    if (!is5(client)) return publish({ topic, payload, qos, retain, id: qos })
    // The alias is that of the first topic it was set for.
    const isKnown = kind === 'by alias' && this.#hasAlias[client] === true
    if (kind === 'sets alias' || kind === 'by alias') this.#hasAlias[client] = true
    const properties = {
      'user property': [p.user('a', 'b')],
      expiry: [p.messageExpiry(1000)],
      'sets alias': [p.topicAlias(1)],
      'by alias': [p.topicAlias(1)],
    }[kind as string]
    return publish5({ topic: isKnown ? '' : topic, payload, qos, retain, id: qos, properties: properties ?? [] })
  }

  #subscribe(client: number, filter: string, variant: number): Buffer {
    const qos = variant === 1 ? 1 : 0
    if (!is5(client)) return subscribe(1, [filter, qos])
    const noLocal = variant === 2 && !filter.startsWith('$share')
    // Retained messages are not asked for: when they come is the socket's affair.
    const bits = options(variant === 5 ? 2 : qos, { noLocal, asPublished: variant === 4, retain: 2 })
    return subscribe5(1, variant === 3 ? [p.subscriptionId(7)] : [], [filter, bits])
  }
}

const slowly = ({ topicFilter }: { topicFilter: string }): true | Promise<true> =>
  topicFilter === SLOW ? new Promise((resolve) => setImmediate(() => resolve(true))) : true

const outcome = async (broker: EmbeddedBroker, steps: readonly Step[]): Promise<string[][]> => {
  const peers = new Peers(broker)
  for (let index = 0; index < CLIENTS; index++) await peers.connect(index)
  for (const step of steps) await peers.run(step)
  return peers.received
}

test('whatever clients do, each gets the same bytes in the same order with shortcuts as without', async () => {
  let shortcuts = 0
  const property = fc.asyncProperty(program, async (steps) => {
    const never = await outcome(await listen({ shortcutAfter: 0, authorizeSubscribe: slowly }), steps)
    const often = await listen({ shortcutAfter: 1, authorizeSubscribe: slowly })
    assert.equal(await outcome(often, steps), never)
    shortcuts += often.broker.counters.shortcuts
    closeClients()
    await closeBrokers()
  })
  await fc.assert(property, { numRuns: 30, endOnFailure: true })
  assert.ok(shortcuts > 30, `only ${shortcuts} shortcuts were taken`)
})

/** One publisher, one subscriber to `t`, and a shortcut between them that has been taken. */
const steady = async (broker: EmbeddedBroker, from: 3 | 5, to: 3 | 5) => {
  const open = (version: 3 | 5, clientId: string) =>
    RawClient.dial(broker, version === 5 ? connect5({ clientId }) : connect({ clientId }))
  const publisher = await open(from, 'publisher')
  const subscriber = await open(to, 'subscriber')
  await publisher.expectPacket('CONNACK')
  await subscriber.expectPacket('CONNACK')
  subscriber.send(to === 5 ? subscribe5(1, [], ['t', 0]) : subscribe(1, ['t', 0]))
  await subscriber.expectPacket('SUBACK')
  const say = async (payload: string, retain = false) => {
    publisher.send(from === 5 ? publish5({ topic: 't', payload, retain }) : publish({ topic: 't', payload, retain }))
    await publisher.settled()
  }
  for (let n = 0; n < 20; n++) await say('x')
  const before = broker.broker.counters.shortcuts
  assert.ok(before > 0, 'no shortcut was taken')
  for (let n = 0; n < 20; n++) await subscriber.expectPacket('PUBLISH')
  return { publisher, subscriber, say, taken: () => broker.broker.counters.shortcuts - before }
}

for (const from of [3, 5] as const) {
  for (const to of [3, 5] as const) {
    test(`a shortcut from version ${from} to ${to} writes the receiver's own form, and is counted as any message`, async () => {
      const broker = await listen()
      const { say, subscriber, taken } = await steady(broker, from, to)
      const { counters } = broker.broker
      const [received, bytes, sent] = [counters.publishReceived, counters.publishBytesReceived, counters.publishSent]
      await say('hi')
      await say('')
      await subscriber.expect(
        to === 5 ? '30 06 00 01 74 00 68 69 30 04 00 01 74 00' : '30 05 00 01 74 68 69 30 03 00 01 74',
      )
      assert.is(taken(), 2)
      const after = broker.broker.counters
      assert.equal(
        [after.publishReceived - received, after.publishBytesReceived - bytes, after.publishSent - sent],
        [2, 2, 2],
      )
    })
  }
}

test('a second subscriber, its leaving, and a receiver that comes back: each time the next message knows', async () => {
  const broker = await listen()
  const { say, subscriber, taken } = await steady(broker, 3, 3)
  const second = await RawClient.connect(broker, { clientId: 'second' })
  await second.subscribe(['#', 0])
  await say('to both')
  await second.expectPublish({ topic: 't' })
  await subscriber.expectPublish({ topic: 't' })
  assert.is(taken(), 0)
  await second.disconnect()
  for (let n = 0; n < 20; n++) await say('to one')
  for (let n = 0; n < 20; n++) await subscriber.expectPublish({ topic: 't' })
  const so = taken()
  assert.ok(so > 0)
  await subscriber.unsubscribe('t')
  await say('to nobody')
  await subscriber.subscribe(['t', 0])
  await say('again')
  assert.is((await subscriber.expectPublish({ topic: 't' })).payload.toString(), 'again')
})

test('a retained message takes no shortcut, and is retained', async () => {
  const broker = await listen()
  const { say, taken } = await steady(broker, 3, 3)
  await say('kept', true)
  assert.is(taken(), 0)
  const late = await RawClient.connect(broker, { clientId: 'late' })
  await late.subscribe(['t', 0])
  assert.is((await late.expectPublish({ retain: true })).payload.toString(), 'kept')
})

test('a program that begins to listen to published messages sees the next one', async () => {
  const broker = await listen()
  const { say } = await steady(broker, 5, 5)
  const seen: string[] = []
  broker.broker.on('published', ({ payload }) => seen.push(payload.toString()))
  await say('seen')
  assert.equal(seen, ['seen'])
})

for (const [what, settings] of Object.entries({
  'an authorizer': { authorizePublish: () => true },
  'a rate limit': { clientMessageRate: 1_000_000 },
  'shortcut_after 0': { shortcutAfter: 0 },
})) {
  test(`with ${what} there is no shortcut`, async () => {
    const broker = await listen(settings)
    await steady(broker, 3, 3).then(
      () => assert.unreachable('a shortcut was taken'),
      (error) => assert.match(error.message, /no shortcut was taken/),
    )
  })
}

test('a receiver that does not read: what is left out of its output is counted as ever', async () => {
  const broker = await listen({ outputLimit: 65536, shortcutAfter: 1, slowReaderPolicy: 'drop_newest' })
  const { publisher, subscriber, taken } = await steady(broker, 3, 3)
  subscriber.pause()
  const many = Buffer.concat(Array(1000).fill(publish({ topic: 't', payload: 'x'.repeat(1000) })))
  let sent = 0
  while (broker.broker.counters.droppedOutputFull < 500) {
    publisher.send(many)
    sent += 1000
    await publisher.settled()
  }
  assert.ok(taken() > 0)
  const { droppedOutputFull } = broker.broker.counters
  subscriber.resume()
  for (let n = 0; n < sent - droppedOutputFull; n++) await subscriber.expectPublish({ topic: 't' })
  await subscriber.expectNothing()
})

test.run()
