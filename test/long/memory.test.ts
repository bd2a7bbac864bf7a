// Long: what connections cost in memory, plain, over WebSocket and over TLS, and what is left of a burst when it is over. The
// benchmark measures, from outside; memory is asserted, never a time. Sizes are divided by MARTLET_LONG_DIVISOR.
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { findBroker, RunningBroker } from '../../bench/brokers.ts'
import { compile } from '../../bench/compile.ts'
import { type BurstFigures, type ConnectionFigures, type Figures, runLoad } from '../../bench/load.ts'
import { chooseShapes, type Shape } from '../../bench/shapes.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')

/** Each of them waits for memory to lie still, a minute or so: divided sizes do the first one. */
const alsoInBrief = 'burst, 4 × 16 KiB'

/** What a heap that grows in steps may add to a slope: it vanishes among ten thousand connections, not among a thousand. */
const STEP = 4 * 1024 * 1024

/** One run of a shape of the benchmark, on a fresh broker, with as many connections as the divisor allows. */
async function run(shape: Shape, sized: Record<string, number>): Promise<Figures> {
  const programs = await compile()
  const broker = await RunningBroker.start(await findBroker('martlet', programs.floor), shape.protocol)
  try {
    const sizes = Object.entries(sized).flatMap(([name, full]) => [name, String(longSize(full))])
    return await runLoad(programs.load, broker, [
      ...shape.load,
      ...sizes,
      '--protocol',
      shape.protocol ?? 'tcp',
      '--secs',
      '3',
    ])
  } finally {
    await broker.stop()
  }
}

for (const shape of chooseShapes(['idle', 'idle-ws', 'idle-tls'])) {
  test(`${shape.title}: each costs what it may`, async () => {
    const { target } = shape
    if (target?.kind !== 'memory') throw new Error('a shape without a limit')
    const { bytesPerConnection, closed } = (await run(shape, { '--pubs': 15_000, '--base': 5000 })) as ConnectionFigures
    console.log(`${shape.name}: ${bytesPerConnection} bytes a connection`)
    const allowed = target.bytes + STEP / longSize(10_000)
    assert.is(closed, 0)
    assert.ok(bytesPerConnection <= allowed, `${bytesPerConnection} bytes a connection, ${allowed} allowed`)
  })
}

for (const shape of chooseShapes(['burst', 'burst-ws', 'burst-tls'])) {
  for (const [what, load] of [
    ['4 × 16 KiB', {}],
    ['2 × 100 kB, QoS 0', { '--window': '2', '--size': '100000', '--qos': '0' }],
  ] as const) {
    const isBrief = longSize(10) < 10 && `${shape.name}, ${what}` !== alsoInBrief
    const each: Case = isBrief && longTests ? skipped(uvu, 'MARTLET_LONG_DIVISOR is not 1') : test
    each(`${shape.title}, ${what} each: memory comes back`, async () => {
      const { target } = shape
      if (target?.kind !== 'after') throw new Error('a shape without a limit')
      const heavier = { ...shape, load: [...shape.load, ...Object.entries(load).flat()] }
      const figures = (await run(heavier, { '--pubs': 5000 })) as BurstFigures
      const { rssKbBase, rssKbPeak, rssKb, rssAfterPct, deliveries } = figures
      const words = `${rssKbBase} KiB before, ${rssKbPeak} at most, ${rssKb} after: ${rssAfterPct} %`
      console.log(`${shape.name}, ${what}: ${deliveries} deliveries; ${words}`)
      assert.is(figures.closed, 0)
      const spare = longSize(10) < 10 ? (100 * STEP) / 1024 / rssKbBase : 0
      assert.ok(rssAfterPct <= target.percent + spare, words)
    })
  }
}

uvu.run()
