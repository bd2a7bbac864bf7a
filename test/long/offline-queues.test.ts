// Long: a million messages of 1 KiB wait for two hundred clients that are away, in a fraction of the memory they would
// take; then all of them are fetched at once. Then the same after kill -9. Sizes are divided by MARTLET_LONG_DIVISOR.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import { collect, leaveSession, publishAll, publishPacket } from '../support/queue-load.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')

const SESSIONS = 200
const PAYLOAD = 1024
const MiB = 1 << 20

/** Resident memory now and at its highest, bytes. */
function resident({ pid }: BrokerUnderTest): { now: number; most: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const of = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]) * 1024
  return { now: of('VmRSS'), most: of('VmHWM') }
}

test('a million messages for clients that are away take a window each of memory, and arrive whole and in order', async () => {
  const each = Math.max(1, Math.floor(longSize(1_000_000) / SESSIONS))
  const total = each * SESSIONS
  const folder = mkdtempSync(join(tmpdir(), 'offline-queues-'))
  const settings = {
    persistence: true,
    persistence_location: join(folder, 'data'),
    max_queued_messages: 0,
    max_inflight_messages: 100,
    sys_interval: 0,
  }
  const names = Array.from({ length: SESSIONS }, (_, n) => `s${n}`)
  const payload = Buffer.alloc(PAYLOAD, 'x')
  const numbered = (n: number): Buffer => {
    payload.writeUInt32BE(Math.floor(n / SESSIONS), 0)
    return payload
  }
  const fetchAll = (broker: BrokerUnderTest, from: number, end: number): Promise<unknown> =>
    Promise.all(
      names.map((name) => {
        let next = -1
        return collect(broker, name, (topic, bytes) => {
          assert.is(topic, `q/${name}`)
          assert.is(bytes.length, PAYLOAD)
          const number = bytes.readUInt32BE(0)
          // Acknowledgements the crash swallowed mean that some come again, in order all the same.
          if (next === -1) assert.ok(number <= from, `${number} came first, not ${from}`)
          else assert.is(number, next)
          next = number + 1
          return next === end
        })
      }),
    )
  const say = (what: string, broker: BrokerUnderTest, since: number): void => {
    const { now, most } = resident(broker)
    const seconds = ((performance.now() - since) / 1000).toFixed(1)
    console.log(`${what}: ${seconds} s; ${Math.round(now / MiB)} MiB resident, ${Math.round(most / MiB)} at most`)
  }
  let broker = await startBroker({ settings, usualSizes: true })
  try {
    const idle = resident(broker).now
    for (const name of names) await leaveSession(broker, name, `q/${name}`)
    let since = performance.now()
    await publishAll(broker, total, (n, id) => publishPacket(id, `q/${names[n % SESSIONS]}`, numbered(n)))
    say(`${total} queued`, broker, since)
    // A window at the front and one at the end, a batch on its way to the store, 24 bytes a message; V8's slack.
    const most = idle + SESSIONS * 2 * (64 << 10) + 96 * total + 200 * MiB
    assert.ok(resident(broker).most < most, `${resident(broker).most} bytes resident, not ${most}`)
    const half = Math.floor(each / 2)
    since = performance.now()
    await fetchAll(broker, 0, half)
    say(`${half * SESSIONS} fetched`, broker, since)
    await broker.kill9()
    since = performance.now()
    broker = await startBroker({ settings, usualSizes: true, patience: 120_000 })
    say('started again', broker, since)
    since = performance.now()
    await fetchAll(broker, half, each)
    say(`${(each - half) * SESSIONS} fetched`, broker, since)
    // Replaying holds more for a while: an object for each message, and payloads nobody has referred to yet.
    const again = most + 64 * MiB + 256 * total
    assert.ok(resident(broker).most < again, `${resident(broker).most} bytes resident after the restart, not ${again}`)
    await broker.stopCleanly()
  } finally {
    await broker.kill9()
    rmSync(folder, { recursive: true, force: true })
  }
})

uvu.run()
