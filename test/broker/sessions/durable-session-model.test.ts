// One durable session, whole: CONNECT to acknowledgements as packets, a store that keeps what it confirmed, a queue whose
// middle is on disk, expiry, QoS 2 both ways, takeovers and crashes, in any order, against a model of plain lists. After
// every command: what was sent, with identifiers and DUP; what waits; and that memory holds a window, however long the queue.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Client } from '../../../src/broker/clients/client.ts'
import { recover } from '../../../src/broker/journal/recovery.ts'
import type { QoS } from '../../../src/mqtt/qos.ts'
import { connect, frame, publish, subscribe, uint16 } from '../../support/packets.ts'
import { SlowStore } from '../../support/slow-store.ts'
import { Rig } from '../rig.ts'

const WINDOW = 2
const LIMIT = 14
const INFLIGHT = 3

interface Queued {
  readonly payload: string
  readonly qos: QoS
  readonly expiresAt: number
}

interface InFlight {
  /** 0 until it is seen. */
  packetId: number
  readonly qos: QoS
  readonly payload: string
  state: 'published' | 'released'
}

/** What a step should have sent: PUBLISH `qos:payload` (`d` before it: DUP, with its identifier), and the rest as type:id. */
class Model {
  connected = false
  now = 0
  serial = 0
  queue: Queued[] = []
  inflight: InFlight[] = []
  toResend: InFlight[] = []
  outstanding = 0
  /** Identifiers of QoS 2 messages the client sent and has not released. */
  readonly inbound = new Set<number>()
  published: string[] = []
  answers: string[] = []
  routed = 0

  publish(qos: QoS, expiresAt: number): string {
    const payload = `m${this.serial++}`
    const isFree = this.connected && this.outstanding < INFLIGHT && this.queue.length + this.toResend.length === 0
    if (isFree) this.#send({ payload, qos, expiresAt })
    else if (this.queue.length < LIMIT) this.queue.push({ payload, qos, expiresAt })
    return payload
  }

  pump(): void {
    while (this.connected && this.toResend.length > 0 && this.outstanding < INFLIGHT) {
      const { packetId, qos, payload, state } = this.toResend.shift()!
      this.outstanding++
      if (state === 'released') this.answers.push(`6:${packetId}`)
      else this.published.push(`d${qos}:${payload}:${packetId}`)
    }
    while (this.connected && this.toResend.length === 0 && this.queue.length > 0 && this.outstanding < INFLIGHT) {
      const next = this.queue.shift()!
      if (next.expiresAt > this.now) this.#send(next)
    }
  }

  #send({ payload, qos }: Queued): void {
    this.outstanding++
    this.inflight.push({ packetId: 0, qos, payload, state: 'published' })
    this.published.push(`${qos}:${payload}`)
  }

  attach(): void {
    this.detach()
    this.connected = true
    this.toResend = [...this.inflight]
    this.pump()
  }

  detach(): void {
    this.connected = false
    this.toResend = []
    this.outstanding = 0
  }

  dropExpired(): void {
    this.queue = this.queue.filter(({ expiresAt }) => expiresAt > this.now)
  }

  free(entry: InFlight): void {
    this.inflight.splice(this.inflight.indexOf(entry), 1)
    const at = this.toResend.indexOf(entry)
    if (at >= 0) this.toResend.splice(at, 1)
    else this.outstanding--
    this.pump()
  }
}

class Real {
  rig!: Rig
  client: Client | undefined
  readonly store = new SlowStore({ automatic: true, readsBack: true })
  #elapsed = 0

  async start(): Promise<void> {
    await this.store.open()
    this.rig = new Rig({
      store: this.store,
      windowMessages: WINDOW,
      settings: { maxQueuedMessages: LIMIT, maxInflightMessages: INFLIGHT },
      overload: { takeoverDelay: 0 },
    })
    this.rig.clock.advance(this.#elapsed)
    await recover(this.store, this.rig.context)
    // Sees what the client publishes; a session of its own connection, gone with every crash.
    const options = { qos: 0, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const
    this.rig.connected('watch').subscribe('in', options, 0)
    this.client = undefined
  }

  advance(ms: number): void {
    this.#elapsed += ms
    this.rig.clock.advance(ms)
  }

  connect(): void {
    this.client = this.rig.client()
    this.rig.packets(this.client, connect({ clientId: 'c', version: '5', clean: false, sessionExpiry: 100_000 }))
  }

  send(...packets: readonly Uint8Array[]): void {
    this.rig.packets(this.client!, ...packets)
  }

  /** Nothing is on its way any more, neither to the store nor from it. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 2; quiet++) {
      const { reads } = this.store
      await this.rig.context.journal.settle()
      await new Promise((resolve) => setImmediate(resolve))
      if (this.store.reads !== reads) quiet = -1
    }
  }
}

async function verify(model: Model, real: Real): Promise<void> {
  await real.settle()
  const { rig, client } = real
  const { written, sent } = rig.reactor.take()
  const published: string[] = []
  for (const { slot, first, packetId, topic, payload } of written) {
    if (topic === 'in') {
      model.routed--
      continue
    }
    assert.is(slot, client?.connection.slot)
    const qos = (first >> 1) & 3
    const fresh = model.inflight.find((entry) => entry.payload === payload && entry.packetId === 0)
    if (fresh !== undefined) {
      assert.not.ok(
        model.inflight.some((entry) => entry.packetId === packetId),
        'an identifier in use [MQTT-2.2.1-3]',
      )
      fresh.packetId = packetId
    }
    published.push((first & 8) === 0 ? `${qos}:${payload}` : `d${qos}:${payload}:${packetId}`)
  }
  // A QoS 2 message leaves when its identifier is stored, so QoS 1 may overtake it; messages of one QoS never change places
  // [MQTT-4.6.0-6].
  for (const qos of [1, 2]) {
    const ofThis = (text: string): boolean => text.startsWith(`${qos}:`) || text.startsWith(`d${qos}:`)
    assert.equal(published.filter(ofThis), model.published.filter(ofThis))
  }
  assert.is(published.length, model.published.length)
  const answers = sent.map(({ bytes }) => bytes).filter(([first]) => [5, 6, 7].includes(first! >> 4))
  assert.equal(
    answers.map((bytes) => `${bytes[0]! >> 4}:${(bytes[2]! << 8) | bytes[3]!}`),
    model.answers,
  )
  assert.is(model.routed, 0, 'each QoS 2 message is routed once [MQTT-4.3.3-10]')
  model.published = []
  model.answers = []
  const session = rig.context.sessions.get('c')
  assert.is(session?.queue?.size ?? 0, model.queue.length)
  assert.is(rig.counters.messagesQueued, model.queue.length)
  assert.is(session?.inflight?.count ?? 0, model.inflight.length)
  assert.equal([...(session?.inbound ?? [])].sort(), [...model.inbound].sort())
  const inMemory = model.inflight.filter(({ state }) => state === 'published').length
  const held = rig.reactor.kept.held - inMemory
  assert.ok(held <= 3 * WINDOW + 1, `${held} of ${model.queue.length} queued messages are in memory`)
  assert.ok(rig.counters.messagesPaged <= model.queue.length)
}

class Step implements fc.AsyncCommand<Model, Real> {
  readonly #name: string
  readonly #act: (model: Model, real: Real) => void | Promise<void>
  readonly #isPossible: (model: Model) => boolean

  constructor(
    name: string,
    act: (model: Model, real: Real) => void | Promise<void>,
    isPossible = (_: Model): boolean => true,
  ) {
    this.#name = name
    this.#act = act
    this.#isPossible = isPossible
  }

  check(model: Readonly<Model>): boolean {
    return this.#isPossible(model as Model)
  }

  async run(model: Model, real: Real): Promise<void> {
    await this.#act(model, real)
    await verify(model, real)
  }

  toString(): string {
    return this.#name
  }
}

const isConnected = (model: Model): boolean => model.connected
const qos12 = fc.constantFrom<QoS>(1, 2)

const publishes = fc
  .record({ count: fc.integer({ min: 1, max: 6 }), qos: qos12, expiry: fc.constantFrom(undefined, undefined, 5, 20) })
  .map(
    ({ count, qos, expiry }) =>
      new Step(`publish ${count} of QoS ${qos} for ${expiry ?? 'ever'}`, async (model, real) => {
        for (let at = 0; at < count; at++) {
          const expiresAt = expiry === undefined ? Infinity : model.now + expiry * 1000
          const payload = model.publish(qos, expiresAt)
          real.rig.publish('t', payload, { qos, ...(expiry === undefined ? {} : { expiry }) })
          await real.settle()
        }
      }),
  )

const connects = fc.constant(
  new Step('connect, or take over', (model, real) => {
    real.connect()
    model.attach()
  }),
)

const disconnects = fc.constant(
  new Step(
    'connection lost',
    (model, real) => {
      real.client!.handleClosed(1, 104)
      model.detach()
    },
    isConnected,
  ),
)

/** The client answers what it has, any of it: PUBACK, PUBREC or PUBCOMP. */
const acknowledges = fc.nat({ max: INFLIGHT }).map(
  (pick) =>
    new Step(
      `acknowledge ${pick}`,
      (model, real) => {
        const sent = model.inflight.filter((entry) => !model.toResend.includes(entry))
        const entry = sent[pick % sent.length]!
        const { packetId, qos, state } = entry
        if (qos === 1) {
          real.send(frame(0x40, uint16(packetId)))
          model.free(entry)
        } else if (state === 'published') {
          real.send(frame(0x50, uint16(packetId)))
          entry.state = 'released'
          model.answers.push(`6:${packetId}`)
        } else {
          real.send(frame(0x70, uint16(packetId)))
          model.free(entry)
        }
      },
      (model) => model.connected && model.inflight.length > model.toResend.length,
    ),
)

const sends = fc.integer({ min: 1, max: 3 }).map(
  (id) =>
    new Step(
      `the client publishes ${id}`,
      (model, real) => {
        const dup = model.inbound.has(id)
        const [header, ...rest] = publish({ topic: 'in', payload: 'p', qos: 2, id, dup })
        // MQTT 5: an empty Property Length between identifier and payload.
        real.send(Buffer.from([header!, rest[0]! + 1, ...rest.slice(1, 7), 0, ...rest.slice(7)]))
        if (!dup) model.routed++
        model.inbound.add(id)
        model.answers.push(`5:${id}`)
      },
      isConnected,
    ),
)

const releases = fc.integer({ min: 1, max: 3 }).map(
  (id) =>
    new Step(
      `the client releases ${id}`,
      (model, real) => {
        real.send(frame(0x62, uint16(id)))
        model.inbound.delete(id)
        model.answers.push(`7:${id}`)
      },
      (model) => model.connected && model.inbound.has(id),
    ),
)

const waits = fc.constantFrom(2000, 6000, 30_000).map(
  (ms) =>
    new Step(`${ms} ms go by`, (model, real) => {
      model.now += ms
      real.advance(ms)
    }),
)

const sweeps = fc.constant(
  new Step('sweep', (model, { rig }) => {
    rig.context.sessions.get('c')!.dropExpired(rig.clock.now())
    model.dropExpired()
  }),
)

/** What was confirmed is there again; what was handed to the store and not confirmed never was. */
const crashes = fc.record({ unconfirmed: fc.nat({ max: 3 }), downtime: fc.constantFrom(0, 0, 10_000) }).map(
  ({ unconfirmed, downtime }) =>
    new Step(`crash with ${unconfirmed} unconfirmed, ${downtime} ms down`, async (model, real) => {
      real.store.automatic = false
      for (let at = 0; at < unconfirmed; at++) real.rig.publish('t', `lost${at}`, { qos: 2 })
      await new Promise((resolve) => setImmediate(resolve))
      real.store.crash()
      real.store.automatic = true
      model.now += downtime
      real.advance(downtime)
      await real.start()
      model.detach()
      model.dropExpired()
    }),
)

test('[MQTT-4.1.0-1] [MQTT-4.4.0-1] a durable session agrees with its model through crashes, pages, expiry and QoS 2 both ways', async () => {
  const often = [publishes, publishes, connects, acknowledges, acknowledges]
  const each = [publishes, connects, disconnects, acknowledges, sends, releases, waits, sweeps, crashes]
  const commands = fc.commands<Model, Real, false>([...often, ...each], { maxCommands: 60, size: 'max' })
  let paged = 0
  await fc.assert(
    fc.asyncProperty(commands, async (steps) => {
      const real = new Real()
      await real.start()
      real.connect()
      await real.settle()
      real.send(frame(0x82, uint16(1), Buffer.from([0]), subscribe(1, ['t', 2]).subarray(4)))
      await real.settle()
      real.rig.reactor.take()
      const model = new Model()
      model.attach()
      await fc.asyncModelRun(() => ({ model, real }), steps)
      paged += real.rig.context.pager.messagesRead
      real.rig.context.sessions.remove(real.rig.context.sessions.get('c')!)
      await real.settle()
      real.rig.reactor.take()
      assert.is(real.rig.reactor.kept.held, 0, 'the end of a session gives everything back')
      const { messagesQueued, bytesQueued, messagesPaged, bytesPaged } = real.rig.counters
      assert.is(messagesQueued + bytesQueued + messagesPaged + bytesPaged, 0)
    }),
    { numRuns: 50 },
  )
  assert.ok(paged > 0, 'some messages were read back from disk')
})

test.run()
