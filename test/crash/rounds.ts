// Rounds of a broker that is killed in the middle of its work and started again on what it left, while a crew keeps books.
import { type BrokerUnderTest, type Settings, startBroker } from '../support/broker-process.ts'
import { Crew } from './crew.ts'

/** The books after `rounds` kills of a broker with these settings, none later than after `most` acknowledgements. */
export async function crash(rounds: number, most: number, settings: Settings): Promise<void> {
  const start = (): Promise<BrokerUnderTest> =>
    startBroker({ settings: { ...settings, max_queued_messages: 1_000_000 } })
  const crew = new Crew()
  for (let round = 0; round < rounds; round++) {
    const broker = await start()
    await crew.subscribe(broker, round % 2 === 1)
    const reached = crew.acknowledged(1 + Math.floor(Math.random() * most))
    crew.publish(broker)
    await reached
    await broker.kill9()
    await crew.lost()
  }
  const broker = await start()
  await crew.settle(broker)
  await broker.stopCleanly()
}
