// A Dial against a reactor, a resolver and a clock that do whatever chance says, in any order. After each step: it is never
// stuck (something is under way, or a deadline is set, or it stands, or it is closed), never has two connections under way,
// tells nothing after its end, and the counters add up.
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Connection } from '../../src/net/connection.ts'
import type { Dial } from '../../src/net/dial.ts'
import { Dialer } from '../../src/net/dialer.ts'
import { Outbox } from '../../src/net/outbox.ts'
import { Attempt, type ConnectReceiver } from '../../src/net/outgoing.ts'
import { CloseReason, OUTGOING } from '../../src/net/wire.ts'
import { ManualClock } from '../../src/timers/clock.ts'
import { Asker } from './dial-rig.ts'

const silent = { debugging: false, debug() {}, info() {}, warn() {}, error() {} }
const RETRY = { min: 100, max: 800, rounds: 6, steadyAfter: 2000 }

type Step = 'found' | 'not found' | 'stands' | 'refused' | 'itself' | 'handshake' | 'lost' | 'later' | 'much later'
const STEPS: readonly Step[] = [
  'found',
  'not found',
  'stands',
  'refused',
  'itself',
  'handshake',
  'lost',
  'later',
  'much later',
]

class World {
  readonly clock = new ManualClock(1000)
  readonly underway: Attempt[] = []
  readonly standing: Attempt[] = []
  readonly asker = new Asker(() => {})
  readonly dialer: Dialer
  readonly dial: Dial
  cancelled = 0
  fails = 0
  #answers: { settle: (found: string[]) => void; fail: (error: Error) => void }[] = []
  #slot = 0
  readonly #outbox = new Outbox(new Int32Array(4096), new Uint8Array(256))

  constructor(connects: readonly boolean[], retries: boolean) {
    let next = 0
    this.#outbox.attach({ execute: () => (this.#outbox.words[0] = 1) } as never)
    this.dialer = new Dialer({
      reactor: { connect: (_, receiver) => this.#connect(receiver, connects[next++ % connects.length] ?? true) },
      log: silent,
      clock: this.clock,
      random: () => 0.5,
      lookup: () => new Promise((settle, fail) => this.#answers.push({ settle, fail })),
    })
    const retry = retries ? { retry: RETRY } : {}
    this.dial = this.dialer.dial({ host: 'broker.example', port: 1883, connectTimeout: 1000, ...retry }, this.asker)
  }

  #connect(receiver: ConnectReceiver, works: boolean): Attempt {
    assert.is(this.underway.length + this.standing.length, 0, 'two connections at once')
    if (!works) {
      this.fails++
      throw Object.assign(new Error('no descriptor'), { code: 'EMFILE' })
    }
    const attempt = new Attempt(this.#slot++, 1, receiver, () => {
      this.cancelled++
      this.underway.splice(this.underway.indexOf(attempt), 1)
    })
    this.underway.push(attempt)
    return attempt
  }

  do(step: Step): void {
    switch (step) {
      case 'found':
        for (const { settle } of this.#answers.splice(0)) settle(['192.0.2.1', '192.0.2.2'])
        break
      case 'not found':
        for (const { fail } of this.#answers.splice(0)) fail(Object.assign(new Error('no'), { code: 'ENOTFOUND' }))
        break
      case 'stands':
        this.#stand()
        break
      case 'refused':
        this.#fail(CloseReason.SocketError, 111)
        break
      case 'itself':
        this.#fail(CloseReason.ReachedItself, 0)
        break
      case 'handshake':
        this.#fail(CloseReason.SocketError, 71, 'no TLS here')
        break
      case 'lost':
        this.lose()
        break
      case 'later':
        this.#pass(60)
        break
      case 'much later':
        this.#pass(2500)
    }
  }

  #stand(): void {
    const attempt = this.underway.pop()
    if (attempt === undefined) return
    this.standing.push(attempt)
    attempt.connection = new Connection(this.#outbox, attempt.slot, 1, OUTGOING, '192.0.2.1:1883')
    attempt.receiver.handleConnected(attempt.connection)
  }

  #fail(reason: number, errno: number, why?: string): void {
    const attempt = this.underway.pop()
    if (attempt === undefined) return
    this.fails++
    attempt.receiver.handleConnectFailed(reason, errno, why)
  }

  lose(): void {
    const attempt = this.standing.pop()
    if (attempt === undefined) return
    this.asker.handleClosed(CloseReason.SocketError, 104)
    attempt.receiver.handleDisconnected(CloseReason.SocketError)
  }

  #pass(ms: number): void {
    this.clock.advance(ms)
    this.dialer.timers.tick()
  }

  check(): void {
    const { dial, dialer, asker } = this
    const { state } = dial
    const waits = state === 'resolving' || state === 'connecting' || state === 'waiting'
    assert.is(dialer.timers.size, waits ? 1 : 0, `a deadline in state ${state}`)
    assert.is(this.underway.length, state === 'connecting' ? 1 : 0, `under way in state ${state}`)
    assert.is(this.standing.length, state === 'connected' ? 1 : 0, `standing in state ${state}`)
    assert.is(dialer.size, state === 'closed' ? 0 : 1)
    const { counters } = dialer
    assert.is(counters.attempts, counters.connected + this.fails + this.cancelled + this.underway.length)
    assert.is(counters.failures, asker.failures.length)
    assert.ok(asker.waits.every((wait) => wait <= RETRY.max / 2))
    if (state === 'closed') assert.match(asker.told.at(-1)!, /^given up/)
  }
}

test('whatever happens, in any order, a dial goes on until it is given up', async () => {
  const steps = fc.array(fc.constantFrom(...STEPS), { maxLength: 60 })
  const connects = fc.array(fc.boolean(), { minLength: 1, maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(steps, connects, fc.boolean(), async (story, works, retries) => {
      const world = new World(works, retries)
      for (const step of story) {
        world.do(step)
        for (let n = 0; n < 6; n++) await Promise.resolve()
        world.check()
      }
      // Closed at any point: nothing more is told, whatever still comes.
      const told = world.asker.told.length
      world.dialer.close()
      world.lose()
      for (const step of STEPS) world.do(step)
      for (let n = 0; n < 6; n++) await Promise.resolve()
      const after = world.asker.told.slice(told)
      assert.ok(
        after.every((one) => one.startsWith('closed')),
        after.join(),
      )
      assert.is(world.underway.length, 0)
    }),
    { numRuns: 300 },
  )
})

test('an error of connect that the system did not make is a bug: given up and thrown, not tried again', async () => {
  const clock = new ManualClock()
  const reactor = {
    connect(): never {
      throw new TypeError('a bug')
    },
  }
  const dialer = new Dialer({ reactor, log: silent, clock })
  const asker = new Asker(() => {})
  const thrown = new Promise<unknown>((settle) => process.once('unhandledRejection', settle))
  dialer.dial({ host: '127.0.0.1', port: 1, retry: RETRY }, asker)
  assert.match(String(await thrown), /a bug/)
  assert.equal(asker.told, ['given up ECANCELED'])
  assert.is(dialer.size, 0)
  dialer.close()
})

test.run()
