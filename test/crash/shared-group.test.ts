// A broker killed with SIGKILL while the two members of a shared group share what two publishers send: now both are there, now
// one, now none, so that messages wait for the group, on disk most of them. Whatever was acknowledged reaches one of the two;
// of QoS 2 no message reaches both, or one twice. MARTLET_CRASH_ROUNDS says how often.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { seededChances } from '../support/power-loss.ts'
import { type Case, longSize, longTests, skipped, target } from '../support/target.ts'
import { until } from '../support/until.ts'
import { Publisher, Subscriber } from './book-keepers.ts'

const ROUNDS = Number(process.env.MARTLET_CRASH_ROUNDS ?? (longTests ? longSize(100) : 3))
/** Acknowledgements from one start to the next kill, at most. */
const MOST = 1500

const test: Case = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto makes no such promise')

test(`${ROUNDS} kills under a shared group: no acknowledged message lost, no QoS 2 message twice`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'group-'))
  // A small window: what waits for the group is on disk.
  const settings = {
    persistence: true,
    persistence_location: join(folder, 'data'),
    max_queued_messages: 1_000_000,
    queue_window: 4096,
  }
  const { chance, again } = seededChances()
  const publishers = [new Publisher('p1', 't/1', 1), new Publisher('p2', 't/2', 2)]
  const members = [new Subscriber('m0', '$share/g/t/#'), new Subscriber('m1', '$share/g/t/#', 50)]
  const everybody = [...publishers, ...members]
  const acknowledged = (count: number): Promise<void> => {
    let left = count
    return new Promise((resolve) => {
      for (const publisher of publishers)
        publisher.onAcknowledged = () => {
          if (--left === 0) resolve()
        }
    })
  }
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const { port, kill9 } = await startBroker({ settings })
      for (const member of members) await member.connect(port)
      // 0: both stay; 1, 2: one of them; 3: none.
      for (const [at, member] of members.entries()) if (((round % 4) & (at + 1)) !== 0) await member.lost()
      const reached = acknowledged(1 + chance(MOST))
      for (const publisher of publishers) publisher.connect(port)
      await reached
      await kill9()
      for (const one of everybody) await one.lost()
    }
    const broker = await startBroker({ settings })
    for (const member of members) await member.connect(broker.port)
    for (const publisher of publishers) publisher.connect(broker.port)
    await Promise.all(publishers.map((publisher) => publisher.finish()))
    for (const { topic, acknowledged, qos } of publishers) {
      const received = (): number[] => members.flatMap((member) => member.received.get(topic) ?? [])
      const missing = (): number => {
        const given = new Set(received())
        return acknowledged.filter((number) => !given.has(number)).length
      }
      await until(`every message of ${topic} has reached a member`, () => missing() === 0)
      assert.ok(
        members.every((member) => (member.received.get(topic)?.length ?? 0) > 0),
        'both had some',
      )
      if (qos === 2) assert.is(received().length, new Set(received()).size, 'QoS 2 once')
    }
    for (const one of everybody) one.end()
    await broker.stopCleanly()
  } catch (error) {
    console.error(`${again}: ${(error as Error).message}`)
    throw error
  } finally {
    for (const one of everybody) await one.lost()
    rmSync(folder, { recursive: true, force: true })
  }
})

uvu.run()
