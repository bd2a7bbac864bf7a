// Long: what only a process of its own can show of the attacks in test/overload: its memory, and the latency of those who do
// nothing wrong (a figure, printed); siege.test.ts has the attacks by the thousand. Sizes are divided by MARTLET_LONG_DIVISOR.
import { readFileSync } from 'node:fs'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { inWords, WellBehaved } from '../overload/well-behaved.ts'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import { connect, publish, subscribe } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'
import { until } from '../support/until.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
uvu.after.each(closeClients)

const MiB = 1024 * 1024
const range = (count: number) => Array.from({ length: count }, (_, n) => n)
const resident = ({ pid }: BrokerUnderTest) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024

/** Round trips of one QoS 1 message, back to back, while `work` goes on; prints what they took. */
async function latencyBeside(broker: BrokerUnderTest, what: string, work: () => Promise<void>): Promise<void> {
  const good = await RawClient.connect(broker, { clientId: 'good' })
  const times: number[] = []
  let over = false
  const measure = (async () => {
    while (!over) {
      const start = performance.now()
      await good.publish({ topic: 'nobody', payload: 'x', qos: 1 })
      times.push(performance.now() - start)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  await work()
  over = true
  await measure
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))]!.toFixed(1)
  console.log(`${what}: round trips ${at(0.5)} ms median, ${at(0.99)} ms p99, ${at(1)} ms at most`)
  await good.disconnect()
}

test('10 million distinct topics leave resident memory flat', async () => {
  const broker = await startBroker()
  const total = longSize(10_000_000)
  const publisher = await RawClient.connect(broker, { clientId: 'unique' })
  let sent = 0
  const flood = async (count: number) => {
    for (const end = sent + count; sent < end; sent += 5000) {
      publisher.send(...range(5000).map((n) => publish({ topic: `unique/${sent + n}/topic`, payload: 'x' })))
      await publisher.settled()
    }
  }
  await latencyBeside(broker, `${total} topics`, async () => {
    await flood(total / 2)
    const before = resident(broker)
    await flood(total / 2)
    const growth = (resident(broker) - before) / MiB
    console.log(`resident memory: ${growth.toFixed(1)} MiB more for the second half`)
    assert.ok(growth < 32, `${growth} MiB more`)
  })
  publisher.destroy()
  await broker.stopCleanly()
})

test('5,000 deaf subscribers at QoS 0: all output together stays within its limit', async () => {
  const limit = 256 * MiB
  const broker = await startBroker({ settings: { max_output_bytes_total: limit } })
  const total = longSize(5000)
  const before = resident(broker)
  for (let n = 0; n < total; n++) {
    const deaf = await RawClient.connect(broker, { clientId: `deaf-${n}` })
    await deaf.subscribe(['flood', 0])
    deaf.pause()
  }
  const publisher = await RawClient.connect(broker, { clientId: 'flooder' })
  const connected = resident(broker)
  let most = 0
  await latencyBeside(broker, `${total} deaf subscribers`, async () => {
    for (let n = 0; n < 500; n++) {
      publisher.send(publish({ topic: 'flood', payload: Buffer.alloc(10_000) }))
      await publisher.settled()
      most = Math.max(most, resident(broker))
    }
  })
  console.log(`resident memory: at most ${((most - before) / MiB).toFixed(0)} MiB more`)
  assert.ok(
    most - connected < limit * 1.5 + 64 * MiB,
    `${(most - connected) / MiB} MiB for ${limit / MiB} MiB of output`,
  )
  closeClients()
  await until('memory has come back', () => resident(broker) <= connected * 1.2)
  console.log(
    `${(connected / MiB).toFixed(0)} MiB before the flood, ${(resident(broker) / MiB).toFixed(0)} MiB after it`,
  )
  await broker.stopCleanly()
})

test('a heap of 256 MB is filled with persistent sessions: refused in time, over and over, and the broker lives', async () => {
  const broker = await startBroker({ heapLimit: Math.max(48, longSize(256)) })
  const good = await WellBehaved.start(broker)
  let refused = 0
  const total = longSize(500_000)
  for (let n = 0; n < total && refused < 1000; n += 200) {
    const clients = await Promise.all(
      range(200).map((at) => RawClient.dial(broker, connect({ clientId: `session-${n + at}`, clean: false }))),
    )
    for (const client of clients) {
      const { body } = await client.expectPacket('CONNACK')
      if (body[1] === 3) refused++
      else
        client.send(subscribe(1, ...range(10).map((at): [string, number] => [`s/${n}/${at}/${client.localPort}`, 1])))
      client.end('e0 00')
    }
    await Promise.all(clients.map((client) => client.readToEnd()))
  }
  console.log(`refused: ${refused}; ${inWords(await good.finish())}`)
  closeClients()
  await broker.stopCleanly()
})

uvu.run()
