// A hundred clients that do nothing wrong, on a broker that is being attacked: each sends its neighbour one QoS 1 message a
// round, over and over. Whoever is disconnected, misses a message, gets one twice or out of order, or an acknowledgement
// not at all, fails the test. Owns its clients.
import * as assert from 'uvu/assert'
import type { CreateBrokerOptions, Martlet } from '../../src/index.ts'
import { createBroker } from '../../src/index.ts'
import { LogMemory } from '../broker/rig.ts'
import { packetIdOf, puback, publish, readPublish, Type } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

const CLIENTS = 100
/** Between two rounds, ms: some 10 messages a second and client, so that the attack has the processor, too. */
const PAUSE = 100

export interface Victim {
  readonly broker: Martlet
  readonly log: LogMemory
  readonly host: string
  readonly port: number
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
  #stopped = false
  #rounds = 0
  #failure: unknown

  private constructor(clients: RawClient[]) {
    this.#clients = clients
    this.#work = this.#run().catch((error: unknown) => {
      this.#failure = error
    })
  }

  static async start(address: { host: string; port: number }): Promise<WellBehaved> {
    const clients: RawClient[] = []
    for (let n = 0; n < CLIENTS; n++) {
      const client = await RawClient.connect(address, { clientId: `good-${n}`, keepAlive: 10 })
      await client.subscribe([`good/${n}`, 1])
      clients.push(client)
    }
    return new WellBehaved(clients)
  }

  /** Ends the last round; throws what went wrong in any of them. */
  async finish(): Promise<void> {
    this.#stopped = true
    await this.#work
    if (this.#failure !== undefined) throw this.#failure
    for (const client of this.#clients) await client.expectNothing()
    for (const client of this.#clients) await client.disconnect()
    assert.ok(this.#rounds > 0)
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const round = ++this.#rounds
      await Promise.all(this.#clients.map((client, n) => this.#round(client, n, round)))
      await new Promise((resolve) => setTimeout(resolve, PAUSE))
    }
  }

  async #round(client: RawClient, n: number, round: number): Promise<void> {
    const id = (round % 65535) + 1
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
      }
    }
  }
}
