// Plays stories of fuzzed clients against a whole broker over real sockets. While they rage, well-behaved clients must be
// served as ever; afterwards, when all have gone, nothing may be held: no frame, no byte, no subscription, no session.
// And the broker must have had no fault of its own at any time.
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import type { QoS } from '../support/packets.ts'
import { Client5, p } from '../support/packets5.ts'
import { RawClient } from '../support/raw-client.ts'
import { FuzzedBroker } from './fuzzed-broker.ts'
import { FuzzedClient } from './fuzzed-client.ts'
import { bytesOf, CLIENTS, clientIdOf, type Step, type Story, story, TOPICS } from './story.ts'

/** Fails with the smallest story found and the seed that finds it again (MARTLET_FUZZ_SEED). */
export const fuzzBroker = async (runs: number): Promise<void> => {
  const seed = process.env.MARTLET_FUZZ_SEED === undefined ? {} : { seed: Number(process.env.MARTLET_FUZZ_SEED) }
  await fc.assert(fc.asyncProperty(story, play), { numRuns: runs, endOnFailure: runs > 500, ...seed })
}

/** Plays one story; rejects when the broker broke a promise. */
export const play = async (told: Story): Promise<void> => {
  const settings = {
    sysInterval: 0,
    lingerTimeout: 1,
    maxInflightMessages: 4,
    outputLimit: 100_000,
    sessionExpiry: 1000,
  }
  const { sessionExpiry, ...rest } = settings
  const broker = new FuzzedBroker({ ...rest, persistentClientExpiration: sessionExpiry }, told.sizes)
  const stage = new Stage(broker, told.pieces)
  try {
    await stage.open()
    for (const step of told.steps) await stage.take(step)
    await stage.look()
    await stage.clear()
  } finally {
    stage.leave()
    await broker.close()
  }
}

class Stage {
  readonly #broker: FuzzedBroker
  readonly #pieces: number
  readonly #clients: (FuzzedClient | undefined)[] = Array(CLIENTS).fill(undefined)
  readonly #all: FuzzedClient[] = []
  #four!: RawClient // both present after `open`
  #five!: Client5
  #before!: Record<string, number>
  #looks = 0

  constructor(broker: FuzzedBroker, pieces: number) {
    this.#broker = broker
    this.#pieces = pieces
  }

  async open(): Promise<void> {
    this.#four = await RawClient.connect(this.#broker, { clientId: 'four' })
    this.#five = await Client5.connect(this.#broker, { clientId: 'five', properties: [p.topicAliasMaximum(4)] })
    await this.#four.subscribe(['watched/four', 2])
    await this.#five.subscribe([p.subscriptionId(5)], ['watched/five', 2])
    await this.#settle()
    this.#before = this.#broker.held()
  }

  async take(step: Step): Promise<void> {
    if (step.do === 'look') return this.look()
    if (step.do === 'connect') {
      this.#clients[step.who]?.leave('end')
      const client = await FuzzedClient.open(this.#broker.port, step.who, step.as, this.#pieces)
      this.#clients[step.who] = client
      this.#all.push(client)
      return
    }
    const client = this.#clients[step.who]
    if (client === undefined) return
    if (step.do === 'leave') {
      this.#clients[step.who] = undefined
      client.leave(step.how)
    } else if (step.do === 'read') {
      client.reads(step.reads)
    } else if (step.do === 'acknowledge') {
      client.acknowledge(step.most)
    } else if (step.do === 'answer') {
      client.answered(step.type, step.id, step.code)
    } else {
      client.say(bytesOf(step, client.five)!)
    }
  }

  /** The well-behaved clients talk to each other, and hear exactly that. */
  async look(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client?.written))
    const text = `look ${this.#looks++}`
    for (const qos of [0, 1, 2] as QoS[]) {
      await this.#four.publish({ topic: 'watched/five', payload: text, qos })
      const { properties } = await this.#five.receive({ text, qos, dup: false, retain: false })
      assert.ok(properties.includes('subscriptionId 5'))
      await this.#five.publish({ topic: 'watched/four', payload: text, qos })
      const [back] = await this.#four.receive(1)
      assert.equal([back!.topic, back!.text, back!.qos], ['watched/four', text, qos])
    }
    this.#judge()
  }

  /** All fuzzed clients go, their sessions and what they retained with them: the broker holds what it held before. */
  async clear(): Promise<void> {
    for (const [at, client] of this.#all.entries()) client.leave(at % 2 === 0 ? 'end' : 'reset')
    await Promise.all(this.#all.map((client) => client.closed))
    for (let who = 0; who < CLIENTS; who++) {
      const last = await RawClient.connect(this.#broker, { clientId: clientIdOf(who) })
      await last.disconnect()
    }
    for (const topic of TOPICS.filter((name) => name !== '' && !name.includes('+'))) {
      await this.#four.publish({ topic, payload: '', retain: true })
    }
    await this.#comesBack()
    this.#judge()
  }

  /** Everyone goes at once. */
  leave(): void {
    this.#four?.reset()
    this.#five?.raw.reset()
    for (const client of this.#all) client.leave('reset')
  }

  async #comesBack(): Promise<void> {
    const end = Date.now() + 10_000
    for (;;) {
      await this.#settle()
      const held = this.#broker.held()
      if (JSON.stringify(held) === JSON.stringify(this.#before)) return
      if (Date.now() > end) assert.equal(held, this.#before, 'something is held when all have gone')
    }
  }

  /** Two turns: the first answers, the second has its totals told. */
  async #settle(): Promise<void> {
    await this.#four.settled()
    await this.#five.settled()
    await this.#four.settled()
  }

  #judge(): void {
    assert.equal(this.#broker.bugs, [])
    assert.is(this.#broker.counters.internalErrors, 0)
    for (const { faults } of this.#all) assert.equal(faults, [])
  }
}
