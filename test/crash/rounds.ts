// Rounds of a broker that is killed in the middle of its work: two publishers of each QoS and two subscribers, one of them careless
// with its acknowledgements, keep books all the while, and the books must balance.
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, type Settings, startBroker } from '../support/broker-process.ts'
import { imbalances } from './balance.ts'
import { Publisher, Subscriber } from './book-keepers.ts'

/** The books after `rounds` kills of a broker with these settings, none later than after `most` acknowledgements. */
export async function crash(rounds: number, most: number, settings: Settings): Promise<void> {
  const start = (): Promise<BrokerUnderTest> =>
    startBroker({ settings: { ...settings, max_queued_messages: 1_000_000 } })
  const publishers = [1, 1, 2, 2].map((qos, at) => new Publisher(`p${at}`, `t/${at}`, qos as 1 | 2))
  const subscribers = [new Subscriber('careful', 't/#'), new Subscriber('careless', 't/#', 50)]
  for (let round = 0; round < rounds; round++) {
    const broker = await start()
    await Promise.all(subscribers.map((subscriber) => subscriber.connect(broker.port)))
    // Every other round one of them is away, so that its messages wait in its queue.
    if (round % 2 === 1) await subscribers[1]!.lost()
    await killedAfter(1 + Math.floor(Math.random() * most), broker, publishers)
    await Promise.all([...publishers, ...subscribers].map((client) => client.lost()))
  }
  const broker = await start()
  await Promise.all(subscribers.map((subscriber) => subscriber.connect(broker.port)))
  for (const publisher of publishers) publisher.connect(broker.port)
  await Promise.all(publishers.map((publisher) => publisher.finish()))
  for (const subscriber of subscribers) {
    for (const { topic, acknowledged } of publishers) await subscriber.has(topic, Math.max(...acknowledged))
  }
  const faults = subscribers.flatMap((subscriber) =>
    publishers.flatMap((publisher) =>
      imbalances(publisher, subscriber).map((fault) => `${subscriber.clientId}: ${fault}`),
    ),
  )
  assert.equal(faults, [])
  for (const client of [...publishers, ...subscribers]) client.end()
  await broker.stopCleanly()
}

/** The publishers go to work; the broker is killed when so many acknowledgements are in. */
async function killedAfter(count: number, broker: BrokerUnderTest, publishers: Publisher[]): Promise<void> {
  let left = count
  const reached = new Promise<void>((resolve) => {
    for (const publisher of publishers) {
      publisher.onAcknowledged = () => {
        if (--left === 0) resolve()
      }
    }
  })
  for (const publisher of publishers) publisher.connect(broker.port)
  await reached
  await broker.kill9()
}
