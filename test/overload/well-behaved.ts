// A hundred clients that do nothing wrong, on a broker that is being attacked: each sends its neighbour 20 QoS 1 messages a
// second. Whoever is disconnected, misses a message, gets one twice or out of order, or an acknowledgement not at all,
// fails the test. How long their messages took is a figure, not a verdict. Owns its clients.
import * as assert from 'uvu/assert'
import type { CreateBrokerOptions, Martlet } from '../../src/index.ts'
import { createBroker } from '../../src/index.ts'
import { LogMemory } from '../broker/rig.ts'
import { packetIdOf, puback, publish, readPublish, Type } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

const CLIENTS = 100
/** Between two messages of a client, ms: 20 a second. What an attack holds up is made good as fast as it goes. */
const INTERVAL = 50

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Victim extends Address {
  readonly broker: Martlet
  readonly log: LogMemory
}

/** What the hundred have seen. Times in ms from PUBLISH to its delivery. */
export interface Figures {
  /** Messages delivered, each once and in order. */
  readonly messages: number
  /** A second and client. */
  readonly rate: number
  readonly median: number
  readonly p99: number
  readonly most: number
}

/** In words, for the output of a long run. */
export function inWords({ messages, rate, median, p99, most }: Figures): string {
  const times = `${median.toFixed(1)} ms median, ${p99.toFixed(1)} ms p99, ${most.toFixed(1)} ms at most`
  return `${messages} messages of the hundred (${rate.toFixed(1)} a second each), none lost: ${times}`
}

/** A broker in this process that remembers what it logs. */
export async function victim(options: CreateBrokerOptions = {}): Promise<Victim> {
  const log = new LogMemory()
  const broker = createBroker({ log, connectionMessages: false, ...options })
  const { host, port } = await broker.listen({ port: 0 })
  return { broker, log, host, port }
}

/** Attacks a broker while the hundred are at work, then has them show that they lost nothing; closes the broker. */
export async function underAttack(
  options: CreateBrokerOptions,
  attack: (target: Victim) => Promise<void>,
): Promise<void> {
  const target = await victim(options)
  try {
    const good = await WellBehaved.start(target)
    await attack(target)
    await good.finish()
    assert.is(target.broker.counters.internalErrors, 0)
  } finally {
    // Else the broker waits for the FIN of whoever is still there, to the end of its linger timeout.
    closeClients()
    await target.broker.close()
  }
}

/** Warnings whose text contains these words. */
export function warnings(log: LogMemory, words: string): LogMemory['lines'] {
  return log.at('warn').filter(({ message, fields }) => `${message} ${String(fields.reason)}`.includes(words))
}

export class WellBehaved {
  readonly #clients: RawClient[]
  readonly #work: Promise<void>
  readonly #started = performance.now()
  /** Of the round that is under way: when each client sent its message. */
  readonly #sentAt = new Float64Array(CLIENTS)
  readonly #times: number[] = []
  #stopped = false
  #rounds = 0
  #failure: unknown

  private constructor(clients: RawClient[]) {
    this.#clients = clients
    this.#work = this.#run().catch((error: unknown) => {
      this.#failure = error
    })
  }

  static async start(address: Address): Promise<WellBehaved> {
    const clients: RawClient[] = []
    for (let n = 0; n < CLIENTS; n++) {
      const client = await RawClient.connect(address, { clientId: `good-${n}`, keepAlive: 10 })
      await client.subscribe([`good/${n}`, 1])
      clients.push(client)
    }
    return new WellBehaved(clients)
  }

  /** Ends the last round; throws what went wrong in any of them. */
  async finish(): Promise<Figures> {
    this.#stopped = true
    await this.#work
    if (this.#failure !== undefined) throw this.#failure
    const seconds = (performance.now() - this.#started) / 1000
    for (const client of this.#clients) await client.expectNothing()
    for (const client of this.#clients) await client.disconnect()
    assert.ok(this.#rounds > 0)
    const times = this.#times.sort((a, b) => a - b)
    const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))]!
    return { messages: times.length, rate: this.#rounds / seconds, median: at(0.5), p99: at(0.99), most: at(1) }
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const round = ++this.#rounds
      await Promise.all(this.#clients.map((client, n) => this.#round(client, n, round)))
      const due = this.#started + round * INTERVAL
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())))
    }
  }

  async #round(client: RawClient, n: number, round: number): Promise<void> {
    const id = (round % 65535) + 1
    this.#sentAt[n] = performance.now()
    client.send(publish({ topic: `good/${(n + 1) % CLIENTS}`, payload: `${round}`, qos: 1, id }))
    for (let missing = 2; missing > 0; missing--) {
      const packet = await client.nextPacket(`round ${round} of client ${n}`)
      if (packet.type === Type.PUBACK) {
        assert.is(packetIdOf(packet), id)
      } else {
        const message = readPublish(packet)
        assert.is(message.text, `${round}`)
        assert.not(message.dup)
        client.send(puback(message.id))
        this.#times.push(performance.now() - this.#sentAt[(n + CLIENTS - 1) % CLIENTS]!)
      }
    }
  }
}
