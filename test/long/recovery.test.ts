// Long: kill -9 with a million messages queued and a million retained; the next broker says how far it is, listens only
// when everything is back, and everything is. Sizes are divided by MARTLET_LONG_DIVISOR; seconds are printed, not judged.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { collect, leaveSession, publishAll, publishPacket } from '../support/queue-load.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')

const SESSIONS = 100
const BRANCHES = 100

test('a million queued and a million retained messages are there again after kill -9, with progress told on the way', async () => {
  const each = Math.max(BRANCHES, Math.floor(longSize(1_000_000) / SESSIONS))
  const total = each * SESSIONS
  const folder = mkdtempSync(join(tmpdir(), 'recovery-'))
  const settings = {
    persistence: true,
    persistence_location: join(folder, 'data'),
    max_queued_messages: 0,
    sys_interval: 0,
  }
  const payload = Buffer.alloc(200, 'x')
  const numbered = (n: number): Buffer => {
    payload.writeUInt32BE(n, 0)
    return payload
  }
  let broker = await startBroker({ settings, usualSizes: true })
  try {
    for (let n = 0; n < SESSIONS; n++) await leaveSession(broker, `s${n}`, `q/${n}`)
    let since = performance.now()
    await publishAll(broker, total, (n, id) =>
      publishPacket(id, `q/${n % SESSIONS}`, numbered(Math.floor(n / SESSIONS))),
    )
    await publishAll(broker, total, (n, id) => publishPacket(id, `r/${n % BRANCHES}/${n}`, numbered(n), true))
    console.log(`${total} queued and ${total} retained in ${((performance.now() - since) / 1000).toFixed(1)} s`)
    await broker.kill9()

    since = performance.now()
    broker = await startBroker({ settings, usualSizes: true, patience: 300_000 })
    const status = readFileSync(`/proc/${broker.pid}/status`, 'utf8')
    const [now, most] = ['VmRSS', 'VmHWM'].map(
      (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]) / 1024,
    )
    const seconds = ((performance.now() - since) / 1000).toFixed(1)
    console.log(`listens after ${seconds} s; ${Math.round(now!)} MiB resident, ${Math.round(most!)} at most`)
    const reading = broker.log.filter((line) => line.includes('recovering') && line.includes('directory'))
    const percents = reading.flatMap((line) => /percent\D+(\d+)/.exec(line)?.[1] ?? [])
    console.log(
      broker.log
        .filter((line) => /recover/.test(line))
        .slice(-3)
        .join('\n'),
    )
    assert.ok(percents.length > 0, 'it says how far it is')
    assert.equal(
      [...percents].sort((a, b) => Number(a) - Number(b)),
      percents,
    )
    assert.is(percents.at(-1), '100')
    const done = broker.log.findIndex((line) => line.includes('recovered from the store'))
    const listening = broker.log.findIndex((line) => line.includes(`:${broker.port}`))
    assert.ok(done >= 0 && done < listening, 'it listens when all is there')
    assert.match(broker.log[done]!, new RegExp(`queued\\W+${total}\\b`))
    assert.match(broker.log[done]!, new RegExp(`retained\\W+${total}\\b`))

    since = performance.now()
    await Promise.all(
      [0, 1, SESSIONS - 1].map((session) => {
        let next = 0
        return collect(broker, `s${session}`, (topic, bytes) => {
          assert.is(topic, `q/${session}`)
          assert.is(bytes.readUInt32BE(0), next++)
          return next === each
        })
      }),
    )
    const seen = new Set<number>()
    const take = (topic: string, bytes: Buffer): boolean => {
      const n = bytes.readUInt32BE(0)
      assert.is(topic, `r/7/${n}`)
      seen.add(n)
      return seen.size === total / BRANCHES
    }
    await collect(broker, 'reader', take, 'r/7/#')
    console.log(
      `${3 * each} queued and ${seen.size} retained fetched in ${((performance.now() - since) / 1000).toFixed(1)} s`,
    )
    await broker.stopCleanly()
  } finally {
    await broker.kill9()
    rmSync(folder, { recursive: true, force: true })
  }
})

uvu.run()
