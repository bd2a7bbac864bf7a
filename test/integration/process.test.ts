// The broker as a process: how it stops, what it says when it cannot start, how it lives with too few descriptors and
// too many connections, and its limits on packets.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { runToExit, startBroker } from '../support/broker-process.ts'
import { connect, publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { target, unlessMosquitto } from '../support/target.ts'
import { descriptorsOf, until, untilAsleep } from '../support/until.ts'

const broker = await startBroker({ settings: { max_packet_size: 1000 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends the process with code 0 in time, no handle open, with clients connected and one that never reads`, async () => {
    const stopped = await startBroker({ settings: { linger_timeout: 1 } })
    const deaf = await RawClient.connect(stopped, { clientId: 'deaf' })
    await deaf.subscribe(['flood', 0], ['flood', 1])
    deaf.pause()
    const clients = []
    for (let n = 0; n < 50; n++) {
      const client = await RawClient.connect(stopped, { clientId: `${n}`, clean: n % 2 === 0 })
      await client.subscribe(['flood/+', 1])
      clients.push(client)
    }
    const silent = await RawClient.dial(stopped)
    const half = await RawClient.dial(stopped, '10 ff 7f 00 04')
    for (let n = 0; n < 200; n++) {
      clients[0]!.send(publish({ topic: 'flood', payload: Buffer.alloc(20_000), qos: 1, id: n + 1 }))
    }
    for (let n = 0; n < 200; n++) await clients[0]!.expectPacket('PUBACK')
    const end = stopped.stopCleanly(signal)
    for (const client of [...clients, silent, half]) await client.expectClosed()
    if (signal === 'SIGINT') deaf.destroy()
    await end
  })
}

const faults = unlessMosquitto(test, 'it goes on without the clients that were lost')
faults('SIGTERM twice is SIGTERM once', async () => {
  const stopped = await startBroker()
  const client = await RawClient.connect(stopped, { clientId: 'one' })
  const [first, second] = [stopped.stop(), stopped.stop()]
  await client.expectClosed()
  assert.equal(await first, { code: 0, signal: null })
  assert.equal(await second, { code: 0, signal: null })
})

test('a port in use is told in one line, and the process ends with code 1', async () => {
  const { code, log } = await runToExit({ port: broker.port })
  assert.is(code, 1)
  const complaints = log.filter((line) => /in use/i.test(line))
  assert.is(complaints.length, 1, log.join('\n'))
  if (target === 'martlet') {
    assert.is(log.length, 1, log.join('\n'))
    assert.ok(complaints[0]!.includes(`${broker.port}`))
  }
  const client = await RawClient.connect(broker, { clientId: 'still-served' })
  await client.expectNothing()
})

unlessMosquitto(test, 'its listener has another banner')('it listens on ::1 as well when told to', async () => {
  const six = await startBroker({ host: '::1' })
  const client = await RawClient.connect(six, { clientId: 'six' })
  await client.expectNothing()
  client.destroy()
  await six.stopCleanly()
})

const descriptors = unlessMosquitto(test, 'it accepts and closes, many times a second')
descriptors('out of descriptors it neither spins nor falls silent, and recovers when they come back', async () => {
  const poor = await startBroker({ descriptorLimit: 64 })
  const served = await RawClient.connect(poor, { clientId: 'served' })
  const before = descriptorsOf(poor.pid)
  const many = await Promise.all(
    Array.from({ length: 200 }, (_, n) => RawClient.dial(poor, connect({ clientId: `many-${n}` }))),
  )
  await served.settled()
  await poor.waitForLog(/descriptor|EMFILE|too many open/i)
  await untilAsleep(poor.pid)
  await served.settled()
  for (const client of many) client.destroy()
  await until('descriptors come back', () => descriptorsOf(poor.pid) <= before)
  // Who is accepted behind those that gave up in the queue may still be refused.
  for (let tries = 1; ; tries++) {
    const client = await RawClient.dial(poor, connect({ clientId: 'recovered' }))
    if ((await client.nextByte()) !== undefined) break
    assert.ok(tries < 100, 'no connection is accepted although descriptors are free')
    await until('descriptors come back', () => descriptorsOf(poor.pid) <= before)
  }
  await served.expectNothing()
  closeClients()
  await poor.stopCleanly()
  const lines = poor.log.filter((line) => /descriptor|EMFILE|too many open/i.test(line) && !/listening on/.test(line))
  // One line says it; what follows, every ten seconds and at the end, only counts how often it was tried again.
  const said = lines.filter((line) => !/ repeated=\d+/.test(line))
  assert.is(said.length, 1, `log lines about it:\n${lines.join('\n')}`)
  assert.match(said[0]!, /WARN .*errno=24/)
})

const slots = unlessMosquitto(test, 'max_connections belongs to one listener there, and it closes without a word')
slots(
  'one connection more than max_connections is closed at once, those there are stay, and its place can be taken',
  async () => {
    const small = await startBroker({ settings: { max_connections: 5 } })
    const clients = []
    for (let n = 0; n < 5; n++) clients.push(await RawClient.connect(small, { clientId: `${n}` }))
    for (let n = 0; n < 20; n++) {
      const refused = await RawClient.dial(small, connect({ clientId: 'one-too-many' }))
      await refused.readToEnd()
    }
    for (const client of clients) await client.expectNothing()
    await clients[0]!.disconnect()
    for (let tries = 1; ; tries++) {
      const next = await RawClient.dial(small, connect({ clientId: 'next' }))
      if ((await next.nextByte()) !== undefined) break
      assert.ok(tries < 100, 'the place of the client that left is never free')
    }
    closeClients()
    await small.stopCleanly()
  },
)

for (const [length, accepted] of [
  [1000, true],
  [1001, false],
  [200_000_000, false],
] as const) {
  const given = length === 1001 ? unlessMosquitto(test, 'it counts without the fixed header') : test
  given(`with max_packet_size 1000 a packet of ${length} bytes is ${accepted ? 'accepted' : 'refused'}`, async () => {
    const client = await RawClient.connect(broker, { clientId: 'limit' })
    await client.subscribe(['l', 0])
    const head = publish({ topic: 'l', payload: Buffer.alloc(Math.min(length, 10_000) - 6) })
    if (length <= 1001) {
      assert.is(head.length, length)
      client.send(head)
    } else client.send('30 80 84 af 5f 00 01 6c 00 00')
    if (accepted) await client.expectPublish({ topic: 'l' })
    else await client.expectClosed()
  })
}

const hexPort = (port: number) => port.toString(16).toUpperCase().padStart(4, '0')

unlessMosquitto(test, 'it leaves SO_KEEPALIVE off')(
  'SO_KEEPALIVE is on: the kernel has a timer for an idle connection',
  async () => {
    const client = await RawClient.connect(broker, { clientId: 'kept-alive' })
    await client.settled()
    // Columns: sl, local, remote, state, queues, timer:when. Timer 02 is the keepalive timer of an idle socket.
    const ends = `:${hexPort(broker.port)} 0100007F:${hexPort(client.localPort)} `
    const timer = () => {
      const row = readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .find((line) => line.includes(ends))
      return row?.trim().split(/\s+/)[5]?.slice(0, 2)
    }
    // Until our kernel has acknowledged the PINGRESP, the timer is the one of retransmission.
    await until('the timer is 02', () => timer() === '02')
  },
)

const keepAlives = unlessMosquitto(test, '2.0.11 keeps max_keepalive for MQTT 5')
keepAlives('a Keep Alive over max_keepalive, and none at all, is refused with CONNACK 2', async () => {
  const strict = await startBroker({ settings: { max_keepalive: 100 } })
  for (const keepAlive of [0, 101, 65_535]) {
    const client = await RawClient.dial(strict, connect({ clientId: 'long', keepAlive }))
    await client.expect('20 02 00 02')
    await client.expectClosed()
  }
  await RawClient.connect(strict, { clientId: 'short', keepAlive: 100 })
  closeClients()
  await strict.stopCleanly()
})

test.run()
