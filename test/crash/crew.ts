// The clients of a crash test: two publishers of each QoS and two subscribers, one of them careless with its
// acknowledgements. They keep books over all the lives of a broker, and at the end the books must balance.
import * as assert from 'uvu/assert'
import type { BrokerUnderTest } from '../support/broker-process.ts'
import { imbalances } from './balance.ts'
import { Publisher, Subscriber } from './book-keepers.ts'

export class Crew {
  readonly publishers = [1, 1, 2, 2].map((qos, at) => new Publisher(`p${at}`, `t/${at}`, qos as 1 | 2))
  readonly careful = new Subscriber('careful', 't/#')
  readonly careless = new Subscriber('careless', 't/#', 50)

  get #clients(): (Publisher | Subscriber)[] {
    return [...this.publishers, this.careful, this.careless]
  }

  /** The subscribers come; every other time one of them leaves again, so that its messages wait in its queue. */
  async subscribe({ port }: BrokerUnderTest, alone: boolean): Promise<void> {
    await Promise.all([this.careful.connect(port), this.careless.connect(port)])
    if (alone) await this.careless.lost()
  }

  /** The publishers go to work. */
  publish({ port }: BrokerUnderTest): void {
    for (const publisher of this.publishers) publisher.connect(port)
  }

  /** Resolves when they have had so many more answers, all together. */
  acknowledged(count: number): Promise<void> {
    let left = count
    return new Promise((resolve) => {
      for (const publisher of this.publishers) {
        publisher.onAcknowledged = () => {
          if (--left === 0) resolve()
        }
      }
    })
  }

  /** The broker is dead, or soon will be: everybody has noticed. */
  async lost(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.lost()))
  }

  /** Everybody comes once more, everything is delivered, and nobody misses anything or has anything too much. */
  async settle(broker: BrokerUnderTest): Promise<void> {
    const { publishers } = this
    const subscribers = [this.careful, this.careless]
    await this.subscribe(broker, false)
    this.publish(broker)
    await Promise.all(publishers.map((publisher) => publisher.finish()))
    for (const subscriber of subscribers)
      for (const { topic, acknowledged } of publishers) await subscriber.has(topic, Math.max(...acknowledged))
    const faults = subscribers.flatMap((subscriber) =>
      publishers.flatMap((publisher) =>
        imbalances(publisher, subscriber).map((fault) => `${subscriber.clientId}: ${fault}`),
      ),
    )
    assert.equal(faults, [])
    for (const client of this.#clients) client.end()
  }
}
