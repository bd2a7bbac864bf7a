// At the doors: half a TLS handshake, plain HTTP, storms of handshakes, and no descriptor left to open with. A hundred clients
// that do nothing wrong stay connected and lose nothing. test/long/siege-doors.test.ts does the same by the thousand.
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteClient, closeByteClients, upgrade } from '../net/byte-client.ts'
import { Authority } from '../net/certificates.ts'
import { startBroker } from '../support/broker-process.ts'
import { connect, hex, publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { until, untilAsleep } from '../support/until.ts'
import { clientHello, httpRequest } from './bad-guests.ts'
import { underAttack, WellBehaved, warnings } from './well-behaved.ts'

const authority = new Authority()
const { certfile, keyfile } = authority.issue('broker', '/CN=broker', ['DNS:localhost', 'IP:127.0.0.1'])
const ca = authority.text(authority.certificate)
const secure = { port: 0, certfile: [certfile], keyfile: [keyfile] }
const range = (count: number) => Array.from({ length: count }, (_, n) => n)

test.after.each(() => {
  closeClients()
  closeByteClients()
})

test('half a TLS handshake, and a whole one to which the answer never comes: closed in time, however many', async () => {
  const hello = await clientHello()
  await underAttack({ connectTimeout: 1 }, async ({ broker, host, log }) => {
    const { port } = await broker.listen(secure)
    const dial = (bytes: Buffer) => RawClient.dial({ host, port }, bytes)
    const half = await Promise.all(range(60).map(() => dial(hello.subarray(0, hello.length / 2))))
    const silent = await Promise.all(range(60).map(() => dial(hello)))
    // A byte of the hello at a time is no progress either.
    const slow = await Promise.all(range(20).map(() => dial(hello.subarray(0, 1))))
    let at = 1
    const drip = setInterval(() => {
      for (const client of slow) client.send(hello.subarray(at, at + 1))
      at++
    }, 50)
    await Promise.all([...half, ...silent, ...slow].map((client) => client.readToEnd()))
    clearInterval(drip)
    const { counters } = broker
    assert.is(counters.connectTimeouts, 140)
    await until('all are gone', () => counters.connectionsCurrent === 100)
    const lines = warnings(log, 'no CONNECT in time').length
    assert.ok(lines > 0 && lines < 10, `${lines} lines`)
  })
})

test('HTTP where MQTT is spoken over WebSocket gets a 426 that says what to do; on other ports it is closed', async () => {
  await underAttack({ connectTimeout: 1 }, async ({ broker, host, port: plain, log }) => {
    const { port } = await broker.listen({ port: 0, protocol: 'websockets' })
    const { port: any } = await broker.listen({ port: 0, protocol: 'any' })
    const { port: tls } = await broker.listen(secure)
    for (const door of [port, any]) {
      const guests = await Promise.all(range(60).map(() => ByteClient.dial({ host, port: door })))
      for (const guest of guests) guest.send(httpRequest)
      for (const guest of guests) {
        const answer = (await guest.rest()).toString()
        assert.match(answer, /^HTTP\/1\.1 426 Upgrade Required\r\n/)
        assert.match(answer, /\r\nUpgrade: websocket\r\n/)
        assert.match(answer, /MQTT/)
        guest.end()
      }
    }
    const { counters } = broker
    assert.is(counters.streamsFailed, 120)
    for (const door of [plain, tls]) {
      const guest = await ByteClient.dial({ host, port: door })
      guest.send(httpRequest)
      await guest.rest()
      guest.end()
    }
    assert.is(counters.streamsFailed, 121)
    // Where nobody speaks HTTP it is the beginning of a packet that is no CONNECT, and never ends.
    assert.is(counters.connectTimeouts, 1)
    await until('all are gone', () => counters.connectionsCurrent === 100)
    const lines = warnings(log, 'a plain HTTP request').length
    assert.ok(lines > 0 && lines < 5, `${lines} lines`)
  })
})

/** Connects over TLS, resumes `session` if there is one, sends CONNECT and waits for its answer. */
async function tlsClient(host: string, port: number, clientId: string, session?: Buffer): Promise<TLSSocket> {
  return await new Promise((resolve, reject) => {
    const socket = connectTls({
      host,
      port,
      ca,
      servername: 'localhost',
      ...(session === undefined ? {} : { session }),
    })
    socket.once('error', reject)
    socket.once('secureConnect', () => socket.write(connect({ clientId })))
    socket.once('data', () => resolve(socket))
  })
}

test('a storm of TLS clients that come back, with tickets and without, is served; steps of handshakes are bounded a turn', async () => {
  await underAttack({ handshakeBudget: 4 }, async ({ broker, host }) => {
    const { port } = await broker.listen(secure)
    const tickets: (Buffer | undefined)[] = []
    for (let round = 0; round < 3; round++) {
      const clients = await Promise.all(range(30).map((n) => tlsClient(host, port, `tls-${n}`, tickets[n])))
      if (round > 0) assert.is(clients.filter((client) => client.isSessionReused()).length, 15)
      for (const [n, client] of clients.entries()) {
        if (n % 2 === 0) tickets[n] = client.getSession()
        client.destroy()
      }
    }
    await until('all are gone', () => broker.counters.connectionsCurrent === 100)
    assert.is(broker.counters.connectsAccepted, 100 + 3 * 30)
    assert.is(broker.counters.streamsFailed, 0)
  })
})

test('out of descriptors with TCP, TLS and WebSocket doors: no spin, one line in the log, and all recover', async () => {
  const listeners = [
    { port: 0, host: '127.0.0.1' },
    { port: 0, host: '127.0.0.1', certfile, keyfile },
    { port: 0, host: '127.0.0.1', protocol: 'websockets' },
  ]
  const broker = await startBroker({
    descriptorLimit: 180,
    usualSizes: true,
    listeners,
    settings: { max_connections: 1000, sys_interval: 1 },
  })
  const ports = broker.log.flatMap((line) => [...line.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) => Number(port)))
  const doors = { plain: ports[0]!, tls: ports[1]!, websocket: ports[2]! }
  const good = await WellBehaved.start({ host: broker.host, port: doors.plain })
  const watcher = await RawClient.connect({ host: broker.host, port: doors.plain }, { clientId: 'watcher' })
  await watcher.subscribe(['$SYS/broker/uptime', 0])
  await watcher.expectPublish()
  const guests = await Promise.all(
    Object.values(doors).flatMap((port) => range(60).map(() => RawClient.dial({ host: broker.host, port }))),
  )
  await broker.waitForLog(/out of file descriptors/)
  await good.finish()
  // More knock than even the hundred leave room for, and still nothing turns in circles.
  await untilAsleep(broker.pid)
  // What it does once a second needs no descriptor either.
  for (let times = 0; times < 2; times++) await watcher.expectPublish({ topic: '$SYS/broker/uptime' })
  for (const guest of guests) guest.destroy()
  const { host } = broker
  const retried = async (what: string, attempt: () => Promise<void>): Promise<void> => {
    for (let tries = 1; ; tries++) {
      const error = await attempt().then(
        () => undefined,
        (reason: unknown) => reason,
      )
      if (error === undefined) return
      if (tries === 50) throw new Error(`${what} was not served again`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  await retried('TCP', async () =>
    (await RawClient.connect({ host, port: doors.plain }, { clientId: 'again' })).destroy(),
  )
  await retried('TLS', async () => void (await tlsClient(host, doors.tls, 'again')).destroy())
  await retried('WebSocket', async () => {
    const client = await ByteClient.dial({ host, port: doors.websocket })
    assert.match(await upgrade(client), /^HTTP\/1\.1 101/)
    client.destroy()
  })
  const lines = broker.log.filter((line) => line.includes('out of file descriptors')).length
  assert.ok(lines >= 1 && lines <= 2, `${lines} lines`)
  await broker.stopCleanly()
})

test('messages over the rate of their address are read more slowly, over all its connections; other addresses do not notice', async () => {
  await underAttack({ addressMessageRate: 5000 }, async ({ broker, host, port, log }) => {
    const there = { host, port, localAddress: '127.0.0.2' }
    const greedy = await Promise.all(range(4).map((n) => RawClient.connect(there, { clientId: `greedy-${n}` })))
    const messages = Buffer.concat(range(1500).map(() => hex('30 05 00 01 61 00 78')))
    for (const client of greedy) client.send(messages)
    for (const client of greedy) await client.settled()
    const { counters } = broker
    assert.ok(counters.clientsSlowed > 0)
    assert.is(counters.clientsOverRate, 0)
    assert.ok(warnings(log, 'sends too much').length > 0)
    assert.is(
      warnings(log, 'sends too much').some(({ fields }) => `${fields.client}`.startsWith('good-')),
      false,
    )
  })
})

test('bytes over the rate of their address: told to, the broker disconnects with 0x96', async () => {
  await underAttack(
    { addressByteRate: 1 << 20, rateLimitAction: 'disconnect' },
    async ({ broker, host, port, log }) => {
      const there = { host, port, localAddress: '127.0.0.2' }
      const greedy = await RawClient.connect(there, { clientId: 'greedy', version: '5' })
      greedy.send(publish({ topic: 'a', payload: Buffer.alloc(50_000) }))
      await greedy.settled()
      for (let n = 0; n < 60; n++) greedy.send(publish({ topic: 'a', payload: Buffer.alloc(50_000) }))
      const { bytes } = await greedy.readToEnd()
      assert.equal([bytes[0], bytes[2]], [0xe0, 0x96])
      assert.is(broker.counters.clientsOverRate, 1)
      assert.ok(warnings(log, 'sends too much').length > 0)
    },
  )
})

test.run()
