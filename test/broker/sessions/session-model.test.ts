// A session under any sequence of messages, acknowledgements in any order, wrong identifiers, lost and new connections,
// full and drained sockets, against a model with plain lists. After every step: what was written, what waits, the
// counters, and one kept frame for each message somebody still needs; at the end: none.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Session } from '../../../src/broker/sessions/session.ts'
import type { QoS } from '../../../src/mqtt/qos.ts'
import { Rig, SETTINGS } from '../rig.ts'

interface InFlight {
  packetId: number
  readonly qos: number
  readonly payload: string
  state: 'published' | 'released'
}

/** What one step should have written: PUBLISH `d?qos:id:payload` (id `?` when new), PUBREL `r:id`. */
type Expected = string[]

class Model {
  connected = false
  full = false
  window = 0
  /** Sent or sent again on this connection. */
  outstanding = 0
  readonly inflight: InFlight[] = []
  toResend: InFlight[] = []
  readonly queue: { qos: number; payload: string }[] = []
  dropped = 0
  serial = 0

  get maySend(): boolean {
    return this.connected && !this.full && this.outstanding < this.window && !this.queue.length && !this.toResend.length
  }

  deliver(qos: number, limit: number): Expected {
    const payload = `m${this.serial++}`
    if (qos === 0) return this.connected ? [`0:0:${payload}`] : []
    if (this.maySend) return [this.send(qos, payload)]
    if (this.queue.length >= limit) this.dropped++
    else this.queue.push({ qos, payload })
    return []
  }

  send(qos: number, payload: string): string {
    this.outstanding++
    this.inflight.push({ packetId: 0, qos, payload, state: 'published' })
    return `${qos}:?:${payload}`
  }

  pump(): Expected {
    const out: Expected = []
    if (!this.connected || this.full) return out
    while (this.toResend.length > 0 && this.outstanding < this.window) {
      const { packetId, qos, payload, state } = this.toResend.shift()!
      this.outstanding++
      out.push(state === 'released' ? `r:${packetId}` : `d${qos}:${packetId}:${payload}`)
    }
    while (this.toResend.length === 0 && this.queue.length > 0 && this.outstanding < this.window) {
      const { qos, payload } = this.queue.shift()!
      out.push(this.send(qos, payload))
    }
    return out
  }

  free(entry: InFlight): Expected {
    this.inflight.splice(this.inflight.indexOf(entry), 1)
    const waiting = this.toResend.indexOf(entry)
    if (waiting >= 0) this.toResend.splice(waiting, 1)
    else this.outstanding--
    return this.pump()
  }

  find(packetId: number): InFlight | undefined {
    return this.inflight.find((entry) => entry.packetId === packetId)
  }
}

interface Real {
  readonly rig: Rig
  readonly session: Session
  readonly limit: number
}

/** Reads what was written, gives new identifiers to the model, and compares. */
function verify(model: Model, { rig, session, limit }: Real, expected: Expected): void {
  const fresh = model.inflight.filter(({ packetId }) => packetId === 0)
  const { written, sent } = rig.reactor.take()
  const told = written.map(({ first, packetId, payload }) => {
    const entry = fresh.find((each) => each.payload === payload)
    const kind = `${(first & 8) !== 0 ? 'd' : ''}${(first >> 1) & 3}`
    if (entry === undefined) return `${kind}:${packetId}:${payload}`
    assert.is(model.find(packetId), undefined, 'an identifier in use is not given out [MQTT-2.2.1-3]')
    assert.ok(packetId > 0)
    entry.packetId = packetId
    return `${kind}:?:${payload}`
  })
  assert.equal(
    told,
    expected.filter((each) => !each.startsWith('r')),
  )
  assert.equal(
    sent.map(({ bytes }) => `r:${(bytes[2]! << 8) | bytes[3]!}`),
    expected.filter((each) => each.startsWith('r')),
  )
  assert.ok(sent.every(({ bytes }) => bytes[0] === 0x62 && bytes[1] === 2))
  assert.is(session.inflight?.count ?? 0, model.inflight.length)
  assert.is(rig.counters.messagesQueued, model.queue.length)
  assert.is(rig.counters.droppedQueueFull, model.dropped)
  assert.ok(model.queue.length <= limit)
  const needed = model.queue.length + model.inflight.filter(({ state }) => state === 'published').length
  assert.is(rig.reactor.kept.held, needed, 'one frame for each message that is still needed')
  assert.is(rig.reactor.frames.size, needed)
  assert.is(session.hasFreeWindow, model.maySend)
}

class Step implements fc.Command<Model, Real> {
  readonly #name: string
  readonly #act: (model: Model, real: Real) => Expected
  readonly #possible: (model: Model) => boolean

  constructor(name: string, act: (model: Model, real: Real) => Expected, possible = (_: Model) => true) {
    this.#name = name
    this.#act = act
    this.#possible = possible
  }

  check(model: Readonly<Model>): boolean {
    return this.#possible(model as Model)
  }

  run(model: Model, real: Real): void {
    verify(model, real, this.#act(model, real))
  }

  toString(): string {
    return this.#name
  }
}

/** The identifier of the entry picked, or one that may be unknown. */
function pick(model: Model, at: number): number {
  const { inflight } = model
  return at % 5 === 4 || inflight.length === 0 ? (at % 40) + 1 : inflight[at % inflight.length]!.packetId
}

const deliver = fc.constantFrom<QoS>(0, 1, 2).map(
  (qos) =>
    new Step(`deliver ${qos}`, (model, { rig, limit }) => {
      const expected = model.deliver(qos, limit)
      rig.publish('t', `m${model.serial - 1}`, { qos })
      return expected
    }),
)

const puback = fc.nat({ max: 1000 }).map(
  (at) =>
    new Step(`puback ${at}`, (model, { session }) => {
      const packetId = pick(model, at)
      const entry = model.find(packetId)
      const fits = entry?.qos === 1
      assert.is(session.acknowledged(packetId), fits)
      return fits ? model.free(entry) : []
    }),
)

const pubrec = fc.tuple(fc.nat({ max: 1000 }), fc.constantFrom(0, 0, 0, 0x97)).map(
  ([at, reasonCode]) =>
    new Step(`pubrec ${at} ${reasonCode}`, (model, { session }) => {
      const packetId = pick(model, at)
      const entry = model.find(packetId)
      const fits = entry?.qos === 2
      assert.is(session.received(packetId, reasonCode), fits)
      if (!fits) return []
      if (reasonCode >= 0x80) return model.free(entry)
      entry.state = 'released'
      return []
    }),
)

const pubcomp = fc.nat({ max: 1000 }).map(
  (at) =>
    new Step(`pubcomp ${at}`, (model, { session }) => {
      const packetId = pick(model, at)
      const entry = model.find(packetId)
      const fits = entry?.state === 'released'
      assert.is(session.completed(packetId), fits)
      return fits ? model.free(entry!) : []
    }),
)

const detach = fc.constant(
  new Step(
    'detach',
    (model, { session }) => {
      session.detach()
      model.connected = false
      model.toResend = []
      model.outstanding = 0
      return []
    },
    (model) => model.connected,
  ),
)

const attach = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.boolean()).map(
  ([window, full]) =>
    new Step(
      `attach ${window}${full ? ' full' : ''}`,
      (model, { rig, session }) => {
        const connection = rig.reactor.connection()
        rig.reactor.memory.queued[connection.slot] = full ? SETTINGS.outputHighWater : 0
        session.attach(connection, window)
        session.pump()
        model.connected = true
        model.full = full
        model.window = window
        model.outstanding = 0
        model.toResend = [...model.inflight]
        return model.pump()
      },
      (model) => !model.connected,
    ),
)

const fill = fc.constant(
  new Step(
    'fill',
    (model, { rig, session }) => {
      rig.reactor.memory.queued[session.connection!.slot] = SETTINGS.outputHighWater
      model.full = true
      return []
    },
    (model) => model.connected,
  ),
)

/** Output shrinks, but the socket is not called drained yet: what waits still comes before anything new. */
const ebb = fc.constant(
  new Step(
    'ebb',
    (model, { rig, session }) => {
      rig.reactor.memory.queued[session.connection!.slot] = SETTINGS.outputHighWater - 100_000
      model.full = false
      return []
    },
    (model) => model.connected,
  ),
)

const drain = fc.constant(
  new Step(
    'drain',
    (model, { rig, session }) => {
      rig.reactor.memory.queued[session.connection!.slot] = 0
      model.full = false
      session.pump()
      return model.pump()
    },
    (model) => model.connected,
  ),
)

test('[MQTT-4.4.0-1] [MQTT-4.6.0-1] any sequence of messages, acknowledgements and connections agrees with the model', () => {
  const commands = fc.commands(
    [deliver, deliver, deliver, puback, pubrec, pubcomp, detach, attach, attach, fill, ebb, drain],
    {
      maxCommands: 80,
      size: 'max',
    },
  )
  const shape = fc.record({ version: fc.constantFrom<3 | 4 | 5>(3, 4, 5), limit: fc.integer({ min: 1, max: 6 }) })
  void fc.assert(
    fc.property(shape, commands, ({ version, limit }, steps) => {
      const rig = new Rig({ settings: { maxQueuedMessages: limit } })
      const session = rig.session('c', { version, expiry: 100 })
      session.subscribe('t', { qos: 2, noLocal: false, retainAsPublished: false, subscriptionId: 0 }, 0)
      const model = new Model()
      fc.modelRun(() => ({ model, real: { rig, session, limit } }), steps)
      const queued = model.queue.length
      rig.context.sessions.remove(session)
      rig.reactor.take()
      assert.is(rig.reactor.frames.size, 0, 'the end of a session gives everything back')
      assert.is(rig.reactor.kept.held, 0)
      assert.is(rig.counters.messagesQueued, 0)
      assert.is(rig.counters.bytesQueued, 0)
      assert.is(rig.counters.droppedSessionEnded, queued)
      assert.is(rig.context.router.subscriptionCount, 0)
    }),
    { numRuns: 1500 },
  )
})

test.run()
