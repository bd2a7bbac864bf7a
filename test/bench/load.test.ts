// The load generator is the judge: these tests hold it against the floor, which does everything right, and against a
// broker that loses, repeats and reorders on purpose.
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { findBroker, RunningBroker } from '../../bench/brokers.ts'
import { compile, type Programs } from '../../bench/compile.ts'
import { countInstructions, parseCount, whyNoCounter } from '../../bench/instructions.ts'
import { type BurstFigures, type ConnectionFigures, runLoad, type TrafficFigures } from '../../bench/load.ts'

const load = suite<{ programs: Programs; floor: RunningBroker }>('load')

load.before(async (context) => {
  context.programs = await compile()
  context.floor = await RunningBroker.start(await findBroker('floor', context.programs.floor))
})

load.after(async ({ floor }) => floor.stop())

const counted = ['--warm', '0', '--messages', '2000']
const flawless = { lost: 0, repeated: 0, reordered: 0, closed: 0 }

function faultsOf({ lost, repeated, reordered, closed }: TrafficFigures) {
  return { lost, repeated, reordered, closed }
}

for (const version of [[], ['--v5']]) {
  for (const qos of ['0', '1', '2']) {
    load(`every message arrives once and in order, QoS ${qos} ${version.join('')}`, async ({ programs, floor }) => {
      const args = ['--shape', 'pair', '--pubs', '3', '--qos', qos, ...version, ...counted]
      const figures = (await runLoad(programs.load, floor, args)) as TrafficFigures
      assert.is(figures.deliveries, 2000)
      assert.equal(faultsOf(figures), flawless)
      // CPU time comes in ticks of 10 ms: so few messages may take none.
      assert.ok(figures.cpuUs >= 0 && figures.rssKb > 0)
    })
  }
}

load(
  'with subscribers away acknowledgements are counted, and at the end every message must be there',
  async ({ programs }) => {
    const broker = await RunningBroker.start(await findBroker('martlet-none', programs.floor))
    try {
      const args = ['--shape', 'pair', '--pubs', '3', '--qos', '1', '--persist', '--away', '--v5', ...counted]
      const figures = (await runLoad(programs.load, broker, args)) as TrafficFigures
      assert.is(figures.deliveries, 2000)
      assert.equal(faultsOf(figures), flawless)
    } finally {
      await broker.stop()
    }
  },
)

load('a message to ten subscribers is ten deliveries', async ({ programs, floor }) => {
  const args = ['--shape', 'fanout', '--subs', '10', ...counted]
  const figures = (await runLoad(programs.load, floor, args)) as TrafficFigures
  assert.is(figures.deliveries, 20_000)
  assert.equal(faultsOf(figures), flawless)
})

load('many publishers to one subscriber are told apart', async ({ programs, floor }) => {
  const args = ['--shape', 'fanin', '--pubs', '10', '--size', '5000', ...counted]
  const figures = (await runLoad(programs.load, floor, args)) as TrafficFigures
  assert.is(figures.deliveries, 2000)
  assert.equal(faultsOf(figures), flawless)
})

load('connections that stay and connections that come and go are all counted', async ({ programs, floor }) => {
  const idle = await runLoad(programs.load, floor, ['--shape', 'idle', '--pubs', '200', '--base', '100', '--secs', '0'])
  const storm = await runLoad(programs.load, floor, ['--shape', 'storm', '--pubs', '200'])
  for (const figures of [idle, storm] as ConnectionFigures[]) {
    assert.is(figures.connections, 200)
    assert.is(figures.closed, 0)
  }
})

for (const protocol of ['tcp', 'websocket', 'tls'] as const) {
  load(`a broker is measured over ${protocol}: a burst, and pairs that lose nothing`, async ({ programs }) => {
    const broker = await RunningBroker.start(await findBroker('martlet', programs.floor), protocol)
    const over = ['--protocol', protocol]
    const burst = [
      '--shape',
      'burst',
      '--pubs',
      '20',
      '--secs',
      '0.1',
      '--calm',
      '0',
      '--size',
      '5000',
      '--qos',
      '1',
      ...over,
    ]
    const figures = (await runLoad(programs.load, broker, burst)) as BurstFigures
    assert.ok(figures.deliveries >= 2000 && figures.closed === 0 && figures.rssAfterPct > 0)
    const pairs = [
      '--shape',
      'pair',
      '--pubs',
      '3',
      '--qos',
      '2',
      '--size',
      '70000',
      '--warm',
      '0',
      '--messages',
      '300',
      ...over,
    ]
    assert.equal(faultsOf((await runLoad(programs.load, broker, pairs)) as TrafficFigures), flawless)
    await broker.stop()
  })
}

load('what a broker loses, repeats or reorders is counted, each as what it is', async ({ programs }) => {
  const faulty = await faultyBroker()
  const args = ['--shape', 'pair', '--warm', '0', '--messages', '100', '--window', '20']
  const figures = (await runLoad(programs.load, { port: faulty.port, pid: process.pid }, args)) as TrafficFigures
  await faulty.close()
  assert.equal(faultsOf(figures), { lost: 1, repeated: 2, reordered: 1, closed: 0 })
  assert.is(figures.deliveries, 99)
})

load('a run that goes wrong is reported in the words of the load generator', async ({ programs, floor }) => {
  const refused = await runLoad(programs.load, { port: 1, pid: floor.pid }, ['--shape', 'pair']).catch((e: Error) => e)
  assert.match((refused as Error).message, /connect: Connection refused/)
  const usage = await runLoad(programs.load, floor, ['--shape', 'circle']).catch((e: Error) => e)
  assert.match((usage as Error).message, /no shape circle/)
})

load('a broker that ends at once is reported with its last words', async () => {
  const broker = await findBroker('broken=ls {port}/nowhere', '')
  const error = await RunningBroker.start(broker).catch((e: Error) => e)
  assert.match((error as Error).message, /broken did not start: it ended\n.*nowhere/)
  const missing = await RunningBroker.start(await findBroker('gone=/nowhere/broker {port}', '')).catch((e: Error) => e)
  assert.match((missing as Error).message, /gone did not start: .*ENOENT/)
})

load('a broker needs to be told its port', async () => {
  const error = await findBroker('mine=broker', '').catch((e: Error) => e)
  assert.match((error as Error).message, /needs \{port\}/)
})

load('the count of perf stat is read, and a counter the machine lacks is no count', () => {
  assert.is(parseCount('123456,,instructions:u,1000,100.00,,\n', 'instructions:u'), 123456)
  assert.is(parseCount('<not supported>,,instructions:u,0,100.00,,\n', 'instructions:u'), undefined)
  assert.is(parseCount('', 'instructions:u'), undefined)
})

// A software event stands in for the instruction counter, which virtual machines seldom have.
load('a fixed number of messages is counted between warm-up and end', async ({ programs, floor }) => {
  if (whyNoCounter('task-clock') !== undefined) return
  const args = ['--shape', 'pair', '--pubs', '2', '--warm', '0.05', '--messages', '5000']
  const figures = await countInstructions(programs.load, floor, args, 'task-clock')
  assert.is(figures.deliveries, 5000)
  assert.ok(figures.instructions! > 0)
})

load.run()

/** Forwards QoS 0 messages of one pair, but loses the 30th, sends the 40th and 41st twice, and swaps 50th and 51st. */
async function faultyBroker(): Promise<{ port: number; close: () => Promise<unknown> }> {
  let subscriber: Socket | undefined
  let heldBack: Buffer | undefined
  let count = 0
  const forward = (frame: Buffer): void => {
    count++
    if (count === 30) return
    if (count === 50) heldBack = frame
    else subscriber?.write(frame)
    if (count === 51) subscriber?.write(heldBack!)
    if (count === 40 || count === 41) subscriber?.write(frame)
  }
  const server = createServer((socket) => {
    let bytes = Buffer.alloc(0)
    socket.on('error', () => {}) // the load generator closes without ceremony
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      // Every packet of this test is shorter than 128 bytes: Remaining Length is one byte.
      while (bytes.length >= 2 && bytes.length >= 2 + bytes[1]!) {
        const frame = Buffer.from(bytes.subarray(0, 2 + bytes[1]!))
        bytes = bytes.subarray(frame.length)
        const type = frame[0]! >> 4
        if (type === 1) socket.write(Buffer.of(0x20, 2, 0, 0))
        if (type === 8) {
          subscriber = socket
          socket.write(Buffer.of(0x90, 3, frame[2]!, frame[3]!, 0))
        }
        if (type === 3) forward(frame)
      }
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as { port: number }
  return { port: address.port, close: () => once(server.close(), 'close') }
}
