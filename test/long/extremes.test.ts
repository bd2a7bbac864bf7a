// Long: the largest packets, and the quietest broker.
import { readFileSync } from 'node:fs'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import { publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'
import { untilAsleep } from '../support/until.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
uvu.after.each(closeClients)

const status = ({ pid }: BrokerUnderTest, name: string) =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1])

const large = longSize(200_000_000)

test(`a packet of ${large} bytes is accepted when the limit allows it, and delivered`, async () => {
  const broker = await startBroker({
    settings: { max_packet_size: large, output_limit: 1_000_000_000 },
    usualSizes: true,
  })
  const subscriber = await RawClient.connect(broker, { clientId: 's' })
  await subscriber.subscribe(['large', 1])
  const publisher = await RawClient.connect(broker, { clientId: 'p' })
  const overhead = publish({ topic: 'large', payload: Buffer.alloc(200_000), qos: 1, id: 1 }).length - 200_000 + 2
  const payload = Buffer.alloc(large - overhead, 'large ')
  publisher.send(publish({ topic: 'large', payload, qos: 1, id: 1 }))
  const received = await subscriber.expectPublish({ topic: 'large', qos: 1 })
  assert.ok(received.payload.equals(payload))
  await publisher.expect('40 02 00 01')
  closeClients()
  await broker.stopCleanly()
})

test(`a packet of ${large} bytes over the limit is refused before it is buffered`, async () => {
  const broker = await startBroker({ settings: { max_packet_size: 1_000_000 } })
  const before = status(broker, 'VmHWM')
  for (let times = 0; times < 5; times++) {
    const client = await RawClient.connect(broker, { clientId: 'over' })
    client.send(publish({ topic: 'large', payload: Buffer.alloc(large), qos: 1, id: 1 }))
    await client.readToEnd()
    client.destroy()
  }
  const growth = (status(broker, 'VmHWM') - before) / 1024
  console.log(`peak memory: ${growth.toFixed(1)} MiB more`)
  assert.ok(growth < 32, `${growth} MiB more at the peak`)
  await broker.stopCleanly()
})

test('large packets announced by many and never sent cost nothing', async () => {
  const broker = await startBroker({ settings: { max_packet_size: 200_000_000 } })
  const before = status(broker, 'VmRSS')
  for (let n = 0; n < 200; n++) {
    const client = await RawClient.connect(broker, { clientId: `announces-${n}` })
    client.send('30 80 84 af 5f 00 01 61 61')
    const stranger = await RawClient.dial(broker, '10 80 80 20 00 04 4d 51 54 54')
    assert.ok(stranger.localPort > 0)
  }
  const growth = (status(broker, 'VmRSS') - before) / 1024
  console.log(`resident memory: ${growth.toFixed(1)} MiB more for 400 announcements`)
  assert.ok(growth < 32, `${growth} MiB more`)
  closeClients()
  await broker.stopCleanly()
})

test('an idle broker uses no processor', async () => {
  const broker = await startBroker({ settings: { sys_interval: 0 }, usualSizes: true })
  for (let n = 0; n < 100; n++) {
    const client = await RawClient.connect(broker, { clientId: `idle-${n}`, keepAlive: 600 })
    await client.subscribe(['idle', 0])
  }
  const switches = () => status(broker, 'voluntary_ctxt_switches')
  const [before, start] = [switches(), performance.now()]
  for (let times = 0; times < 20; times++) await untilAsleep(broker.pid)
  const seconds = (performance.now() - start) / 1000
  console.log(`${((switches() - before) / seconds).toFixed(1)} voluntary context switches a second`)
  closeClients()
  await broker.stopCleanly()
})

uvu.run()
