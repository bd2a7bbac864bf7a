// Long: fights for client ids, guessed passwords, rates, and no descriptor left, by the thousand. The broker is in a process of
// its own, beside a hundred well-behaved clients in another. What they lose fails the test; how long their messages took is
// printed. Sizes are divided by MARTLET_LONG_DIVISOR.
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { Authority } from '../net/certificates.ts'
import { type Besieged, besiege, dial, gone, range, told } from '../overload/siege.ts'
import { connect, packetIdOf, publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'
import { until, untilAsleep } from '../support/until.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
uvu.after.each(closeClients)

const fights = longSize(500)
test(`${fights} pairs of devices, each with one client id: a warning for each that names both, and ever less takeovers`, async () => {
  const settings = { takeoverDelay: 0.5, takeoverDelayMax: 2 }
  await besiege(`${fights} fights for a client id`, { settings }, async (target) => {
    let over = false
    const device = async (pair: number, localAddress: string): Promise<void> => {
      while (!over) {
        const where = { ...target.address(), localAddress }
        const client = await RawClient.dial(where, connect({ clientId: `twin-${pair}` }))
        await client.readToEnd()
      }
    }
    const devices = range(fights).flatMap((pair) => [device(pair, '127.0.0.2'), device(pair, '127.0.0.3')])
    await until('newcomers had to wait five times', async () => (await waited(target)) >= 5 * fights, 60)
    over = true
    const { counters, warnings } = await target.state()
    console.log(`${counters.takeovers} takeovers, ${counters.takeoversDelayed} of newcomers that had to wait`)
    assert.ok(counters.takeovers <= counters.takeoversDelayed + 5 * fights, `${counters.takeovers} takeovers`)
    const lines = warnings.filter((line) => line.includes('fight for one client id'))
    assert.is(lines.length, fights)
    assert.is(new Set(lines.map((line) => /"client":"([^"]+)"/.exec(line)![1])).size, fights)
    for (const line of lines) {
      assert.ok(line.includes('127.0.0.2:') && line.includes('127.0.0.3:'), line)
    }
    closeClients()
    await Promise.allSettled(devices)
    await gone(target)
  })
})

const waited = async (target: Besieged): Promise<number> => (await target.state()).counters.takeoversDelayed

const guesses = longSize(20_000)
test(`${guesses} guessed passwords: few are looked at, and other addresses log in at once`, async () => {
  const settings = { loginDelay: 1, loginDelayMax: 2 }
  await besiege(`${guesses} guessed passwords`, { settings, password: 'right' }, async (target) => {
    const guess = (password: string, localAddress: string): Promise<RawClient> => {
      const packet = connect({ clientId: '', userName: 'u', password })
      return RawClient.dial({ ...target.address(), localAddress }, packet)
    }
    const wrong = async (): Promise<void> => {
      const client = await guess('wrong', '127.0.0.2')
      assert.is((await client.readToEnd()).bytes[0], 0x20)
    }
    const start = performance.now()
    const atOnce = Math.max(500, guesses / 5)
    for (let from = 0; from < guesses; from += atOnce) {
      await Promise.all(range(Math.min(atOnce, guesses - from)).map(wrong))
      const other = await guess('right', '127.0.0.3')
      await other.expect('20 02 00 00')
      await other.disconnect()
    }
    const seconds = (performance.now() - start) / 1000
    const { counters } = await target.state()
    const seen = guesses - counters.loginsRefused
    console.log(`${seen} of ${guesses} guesses looked at, in ${seconds.toFixed(1)} s`)
    assert.is(counters.loginsDelayed, seen - 5)
    // Five at once, then 64 at a time, each time for a second or two.
    assert.ok(seen <= 5 + 64 * (1 + Math.ceil(seconds)), `${seen} guesses looked at`)
    await told(target, 'the answer is held back')
    await gone(target)
  })
})

/** More than a second's worth of each rate, also when divided. */
const greedy = Math.max(8000, longSize(50_000))
for (const [setting, rate, size] of [
  ['clientMessageRate', 1000, 10],
  ['addressMessageRate', 5000, 10],
  ['clientByteRate', 2 ** 18, 200],
  ['addressByteRate', 2 ** 20, 200],
] as const) {
  const message = (n: number): Buffer =>
    publish({ topic: 'fast', payload: Buffer.alloc(size), qos: 1, id: (n % 65_535) + 1 })
  const there = (target: Besieged): { host: string; port: number; localAddress: string } => ({
    ...target.address(),
    localAddress: '127.0.0.2',
  })

  test(`${greedy} messages of four clients over ${setting}: read more slowly, and all acknowledged`, async () => {
    await besiege(`${greedy} messages over ${setting}`, { settings: { [setting]: rate } }, async (target) => {
      const clients = await Promise.all(
        range(4).map((n) => RawClient.connect(there(target), { clientId: `fast-${n}`, keepAlive: 5 })),
      )
      await Promise.all(
        clients.map(async (client) => {
          const count = Math.ceil(greedy / 4)
          client.send(...range(count).map(message))
          for (let n = 0; n < count; n++) assert.is(packetIdOf(await client.expectPacket('PUBACK')), (n % 65_535) + 1)
        }),
      )
      const { counters } = await target.state()
      assert.ok(counters.clientsSlowed > 0)
      assert.is(counters.clientsOverRate, 0)
      await told(target, 'sends too much')
      for (const client of clients) await client.disconnect()
      await gone(target)
    })
  })

  test(`the same, and the broker is told to disconnect: 0x96, everybody over ${setting}`, async () => {
    const settings = { [setting]: rate, rateLimitAction: 'disconnect' as const }
    const count = longSize(200)
    await besiege(`${count} clients over ${setting}, disconnected`, { settings }, async (target) => {
      const flood = Buffer.concat(range(20_000).map(message))
      for (let n = 0; n < count; n++) {
        const client = await RawClient.connect(there(target), { clientId: `fast-${n}`, version: '5' })
        client.send(flood)
        const { bytes } = await client.readToEnd()
        const last = bytes.lastIndexOf(0xe0)
        assert.equal([bytes[last], bytes[last + 2]], [0xe0, 0x96])
        client.destroy()
      }
      assert.is((await target.state()).counters.clientsOverRate, count)
      await told(target, 'sends too much')
      await gone(target)
    })
  })
}

const connectRate = 1000
const comers = Math.max(3000, longSize(8000))
test(`${comers} connects over their address’s rate wait for their turn, and all are served`, async () => {
  const settings = { addressConnectRate: connectRate, connectTimeout: 30 }
  await besiege(`${comers} connects over addressConnectRate`, { settings }, async (target) => {
    const where = { ...target.address(), localAddress: '127.0.0.2' }
    for (let from = 0; from < comers; from += 4000) {
      const clients = await Promise.all(
        range(Math.min(4000, comers - from)).map((n) => RawClient.connect(where, { clientId: `c${from + n}` })),
      )
      for (const client of clients) client.destroy()
    }
    const { counters } = await target.state()
    console.log(`${counters.connectsLimited} of ${comers} had to wait`)
    assert.ok(counters.connectsLimited > 0)
    await told(target, 'address_connect_rate')
    assert.is(counters.connectsAccepted, 100 + comers)
    await gone(target)
  })
})

const knocking = longSize(5000)
const descriptorLimit = Math.max(300, longSize(2000))
test(`${knocking} connections on ${descriptorLimit} descriptors, at TCP, TLS and WebSocket doors: no spin, and all recover`, async () => {
  const { certfile, keyfile } = new Authority().issue('broker', '/CN=broker', ['DNS:localhost'])
  const listeners = [{}, { certfile: [certfile], keyfile: [keyfile] }, { protocol: 'websockets' as const }]
  // Only the descriptors are to be short, and nobody is to go by himself.
  const settings = { maxConnections: 10_000, connectTimeout: 600 }
  await besiege(
    `${knocking} on ${descriptorLimit} descriptors`,
    { listeners, settings, descriptorLimit },
    async (target) => {
      for (let round = 0; round < 3; round++) {
        const guests: RawClient[] = []
        for (const listener of [0, 1, 2]) guests.push(...(await dial(target, listener, Math.ceil(knocking / 3))))
        const pauses = (await target.state()).counters.acceptPauses
        await until('accepting paused', async () => (await target.state()).counters.acceptPauses > pauses, 30)
        await untilAsleep(target.pid)
        await told(target, 'out of file descriptors')
        for (const guest of guests) guest.destroy()
        await gone(target, 60)
        for (const listener of [0, 1, 2]) {
          const [client] = await dial(target, listener, 1)
          await until('it is accepted', async () => (await target.state()).counters.connectionsCurrent === 101)
          client!.destroy()
          await gone(target)
        }
      }
    },
  )
})

uvu.run()
