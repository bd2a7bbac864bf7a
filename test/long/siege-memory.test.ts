// Long: those who would fill the memory: subscribers that never read, at every QoS and under every policy, absent sessions,
// V8's heap. The broker is in a process of its own, beside a hundred well-behaved clients in another. What they lose fails the
// test, and so does memory beyond the limits. Sizes are divided by MARTLET_LONG_DIVISOR.
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import type { QoS } from '../../src/mqtt/qos.ts'
import { type Besieged, besiege, gone, range, told } from '../overload/siege.ts'
import { connect, publish, pubrel, subscribe } from '../support/packets.ts'
import { connect5, publish5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'
import { until } from '../support/until.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
uvu.after.each(closeClients)

const MiB = 1024 * 1024
const LEVELS = [0, 1, 2] as const

/** More than what the kernel's buffers take, also when divided. */
const messages = Math.max(2500, longSize(20_000))
const payload = Buffer.alloc(10_000, '.')
const each = Math.max(2, longSize(10))
const limits = { maxQueuedMessages: 100, maxInflightMessages: 20, outputLimit: MiB / 4, outputHighWater: MiB / 8 }

/** Publishes to `flood/QOS`, a hundred at a time, through the whole exchange of that QoS. */
async function flood(target: Besieged, qos: QoS): Promise<void> {
  const publisher = await RawClient.connect(target.address(), { clientId: `flooder-${qos}` })
  for (let from = 0; from < messages; from += 100) {
    const ids = range(100).map((n) => n + 1)
    publisher.send(...ids.map((id) => publish({ topic: `flood/${qos}`, payload, qos, id })))
    if (qos === 0) await publisher.settled()
    for (const _ of ids) if (qos > 0) await publisher.expectPacket(qos === 1 ? 'PUBACK' : 'PUBREC')
    if (qos < 2) continue
    publisher.send(...ids.map(pubrel))
    for (const _ of ids) await publisher.expectPacket('PUBCOMP')
  }
  await publisher.disconnect()
}

for (const slowReaderPolicy of ['drop_newest', 'drop_oldest', 'disconnect'] as const) {
  const title = `${each} subscribers at each QoS that never read, ${messages} messages to each, ${slowReaderPolicy}`
  test(`${title}: memory is bounded, and every message accounted for`, async () => {
    const settings = { ...limits, slowReaderPolicy, lingerTimeout: 1 }
    await besiege(title, { settings }, async (target) => {
      const deaf: RawClient[] = []
      for (const n of range(3 * each)) {
        const client = await RawClient.connect(target.address(), { clientId: `deaf-${n}` })
        const qos = LEVELS[n % 3]!
        await client.subscribe([`flood/${qos}`, qos])
        client.pause()
        deaf.push(client)
      }
      const before = target.resident
      target.forgetPeak()
      await Promise.all(LEVELS.map((qos) => flood(target, qos)))
      const growth = target.peak - before
      console.log(
        `${growth.toFixed(0)} MiB more at most, for ${((3 * messages * payload.length) / MiB).toFixed(0)} MiB sent`,
      )
      // Of each its output, and its queue as if nobody shared the messages; and what the garbage collector has not looked at.
      const allowed = deaf.length * (2 * limits.outputLimit + limits.maxQueuedMessages * payload.length)
      assert.ok(growth < allowed / MiB + 64, `${growth} MiB more, ${allowed / MiB} + 64 allowed`)
      const { counters } = await target.state()
      if (slowReaderPolicy === 'disconnect') {
        await until(
          'all of them are disconnected',
          async () => (await target.state()).counters.clientsConnected === 100,
        )
        assert.is((await target.state()).counters.slowReadersDisconnected, deaf.length)
        await told(target, 'reads too slowly')
        return
      }
      // One a client in ten seconds.
      await told(target, 'queue full', 3 * deaf.length)
      let received = 0
      for (const client of deaf) {
        client.resume()
        received += (await client.receiveAll()).length
        client.destroy()
      }
      assert.is(received + counters.droppedQueueFull + counters.droppedOutputFull, deaf.length * messages)
      await gone(target)
    })
  })
}

const thousands = longSize(5000)
test(`${thousands} deaf subscribers at QoS 0: all output together stays within its limit, and memory comes back`, async () => {
  const limit = Math.max(32, longSize(256)) * MiB
  const settings = { maxOutputBytesTotal: limit }
  await besiege(`${thousands} deaf subscribers`, { settings }, async (target) => {
    for (let from = 0; from < thousands; from += 100) {
      await Promise.all(
        range(Math.min(100, thousands - from)).map(async (n) => {
          const deaf = await RawClient.connect(target.address(), { clientId: `deaf-${from + n}` })
          await deaf.subscribe(['flood', 0])
          deaf.pause()
        }),
      )
    }
    const publisher = await RawClient.connect(target.address(), { clientId: 'flooder' })
    const connected = target.resident
    target.forgetPeak()
    // More than the kernel's buffers take for each of them, also when they are few.
    for (let n = 0; n < 1500; n++) {
      publisher.send(publish({ topic: 'flood', payload }))
      await publisher.settled()
    }
    const growth = target.peak - connected
    const { counters } = await target.state()
    const cut = `${counters.slowReadersDisconnected} cut off, ${counters.droppedOutputFull} messages left out`
    console.log(`${growth.toFixed(0)} MiB more at most; ${cut}`)
    assert.ok(growth < (limit * 1.5) / MiB + 64, `${growth} MiB for ${limit / MiB} MiB of output`)
    assert.ok(counters.slowReadersDisconnected + counters.droppedOutputFull > 0)
    closeClients()
    await gone(target)
    await until('memory has come back', () => target.resident <= connected * 1.2 + 8, 60)
    console.log(`${connected.toFixed(0)} MiB before the flood, ${target.resident.toFixed(0)} MiB after it`)
  })
})

const queueLimit = Math.max(16, longSize(256)) * MiB
test(`absent sessions fill the ${queueLimit / MiB} MiB of all queues: 0x97, and what was taken is delivered`, async () => {
  const settings = { maxQueuedBytesTotal: queueLimit, maxQueuedMessages: 100_000 }
  await besiege(`${queueLimit / MiB} MiB of queues are full`, { settings }, async (target) => {
    const owners = 20
    const session = (n: number) => ({ clientId: `absent-${n}`, clean: false })
    for (const n of range(owners)) {
      const absent = await RawClient.connect(target.address(), session(n))
      await absent.subscribe([`backlog/${n}`, 1])
      await absent.disconnect()
    }
    const before = target.resident
    target.forgetPeak()
    const publisher = await RawClient.dial(target.address(), connect5({ clientId: 'p5' }))
    await publisher.expectPacket('CONNACK')
    let [taken, refused] = [0, 0]
    // Half as much again as there is room for.
    for (let sent = 0; sent * payload.length < queueLimit * 1.5; sent += 20) {
      for (const n of range(20)) publisher.send(publish5({ topic: `backlog/${n}`, payload, qos: 1, id: n + 1 }))
      for (const _ of range(20)) {
        if ((await publisher.expectPacket('PUBACK')).body[2] === 0x97) refused++
        else taken++
      }
    }
    const growth = target.peak - before
    console.log(`${taken} messages taken, ${refused} refused; ${growth.toFixed(0)} MiB more at most`)
    assert.ok(growth < (queueLimit / MiB) * 1.3 + 64, `${growth} MiB more`)
    const { counters } = await target.state()
    assert.ok(counters.bytesQueued <= queueLimit && taken * payload.length > queueLimit / 2)
    assert.is(counters.publishesRefused, refused)
    assert.ok(refused > 0)
    await told(target, 'all queues together are full')
    let delivered = 0
    for (const n of range(owners)) {
      const back = await RawClient.connect(target.address(), session(n))
      delivered += (await back.receiveAll()).length
      await back.disconnect()
    }
    assert.is(delivered, taken)
    await publisher.disconnect()
    await gone(target)
  })
})

const heapLimit = Math.max(48, longSize(256))
test(`a heap of ${heapLimit} MB is filled with persistent sessions: refused in time, over and over`, async () => {
  await besiege(`a heap of ${heapLimit} MB is full`, { heapLimit }, async (target) => {
    let refused = 0
    for (let n = 0; n < 500_000 && refused < 1000; n += 200) {
      const clients = await Promise.all(
        range(200).map((at) =>
          RawClient.dial(target.address(), connect({ clientId: `session-${n + at}`, clean: false })),
        ),
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
    const { counters } = await target.state()
    console.log(`${counters.sessions} sessions and ${counters.subscriptions} subscriptions; refused: ${refused}`)
    assert.ok(refused >= 1000, `${refused} refused`)
    assert.ok(counters.memoryShortages > 0 && counters.refusedForMemory >= refused)
    await told(target, 'memory is short: nothing new is taken')
    await gone(target)
  })
})

uvu.run()
