// Rounds of a broker that is killed in the middle of its work and started again on what it left, while a crew keeps books.
import { type BrokerUnderTest, type Settings, startBroker } from '../support/broker-process.ts'
import { seededChances } from '../support/power-loss.ts'
import { Crew } from './crew.ts'

/** The books after `rounds` kills of a broker with these settings, none later than after `most` acknowledgements. */
export async function crash(rounds: number, most: number, settings: Settings): Promise<void> {
  const start = (): Promise<BrokerUnderTest> =>
    startBroker({ settings: { ...settings, max_queued_messages: 1_000_000 } })
  const crew = new Crew()
  const { chance, again } = seededChances()
  const kills: number[] = []
  try {
    for (let round = 0; round < rounds; round++) {
      const broker = await start()
      await crew.subscribe(broker, round % 2 === 1)
      const reached = crew.acknowledged(kills[kills.push(1 + chance(most)) - 1]!)
      crew.publish(broker)
      await reached
      await broker.kill9()
      await crew.lost()
    }
    const broker = await start()
    await crew.settle(broker)
    await broker.stopCleanly()
  } catch (error) {
    console.error(`killed after ${kills.join(', ')} acknowledgements, ${again}: ${(error as Error).message}`)
    throw error
  }
}
