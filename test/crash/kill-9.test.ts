// The broker is killed with SIGKILL in the middle of its work, again and again, and started on the same directory. Two
// publishers of each QoS and two subscribers, one of them careless with its acknowledgements, keep books all the while.
// Three rounds, a hundred in the long run; MARTLET_CRASH_ROUNDS says otherwise.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import { type Case, longSize, longTests, skipped, target } from '../support/target.ts'
import { imbalances } from './balance.ts'
import { Publisher, Subscriber } from './book-keepers.ts'

const ROUNDS = Number(process.env.MARTLET_CRASH_ROUNDS ?? (longTests ? longSize(100) : 3))
/** Acknowledgements from one start to the next kill, at most. */
const MOST = 4000

const test: Case = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto makes no such promise')

for (const durability of ['fsync', 'os'] as const) {
  test(`${ROUNDS} kills with durability ${durability}: no acknowledged message lost, no QoS 2 message twice, order kept`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'crash-'))
    try {
      await crash(folder, durability)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
}

async function crash(folder: string, durability: 'fsync' | 'os'): Promise<void> {
  const start = (): Promise<BrokerUnderTest> =>
    startBroker({
      settings: {
        persistence: true,
        persistence_location: join(folder, 'data'),
        durability,
        max_queued_messages: 1_000_000,
      },
    })
  const publishers = [1, 1, 2, 2].map((qos, at) => new Publisher(`p${at}`, `t/${at}`, qos as 1 | 2))
  const subscribers = [new Subscriber('careful', 't/#'), new Subscriber('careless', 't/#', 50)]
  for (let round = 0; round < ROUNDS; round++) {
    const broker = await start()
    await Promise.all(subscribers.map((subscriber) => subscriber.connect(broker.port)))
    // Every other round one of them is away, so that its messages wait in its queue.
    if (round % 2 === 1) await subscribers[1]!.lost()
    await killedAfter(1 + Math.floor(Math.random() * MOST), broker, publishers)
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

uvu.run()
