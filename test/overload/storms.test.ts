// Storms of connections, fights for a client id, guessed passwords, and everybody's will at once: a hundred clients that do
// nothing wrong stay connected and lose nothing.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, listen } from '../support/embedded.ts'
import { JumpingClock } from '../support/jumping-clock.ts'
import { connect, hex, publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { until } from '../support/until.ts'
import { underAttack, type Victim, warnings } from './well-behaved.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const range = (count: number) => Array.from({ length: count }, (_, n) => n)

/** Opens connections, 100 at a time. */
async function dial(
  target: Victim,
  count: number,
  first: (n: number) => Uint8Array[] = () => [],
): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (let from = 0; from < count; from += 100) {
    const batch = range(Math.min(100, count - from)).map((n) => RawClient.dial(target, ...first(from + n)))
    clients.push(...(await Promise.all(batch)))
  }
  return clients
}

const silent = 300
test(`${silent} connections that never send CONNECT and ${silent / 5} that send a byte at a time are closed in time`, async () => {
  await underAttack({ connectTimeout: 1 }, async (target) => {
    const { counters } = target.broker
    const clients = await dial(target, silent)
    const bytes = connect({ clientId: 'x'.repeat(200) })
    const slow = await dial(target, silent / 5, () => [bytes.subarray(0, 1)])
    let at = 1
    const drip = setInterval(() => {
      for (const client of slow) client.send(bytes.subarray(at, at + 1))
      at++
    }, 50)
    await Promise.all([...clients, ...slow].map((client) => client.readToEnd()))
    clearInterval(drip)
    assert.is(counters.connectTimeouts, clients.length + slow.length)
    await until('all are gone', () => counters.connectionsCurrent === 100)
    const lines = warnings(target.log, 'no CONNECT in time').length
    assert.ok(lines > 0 && lines < 10, `${lines} lines`)
  })
})

const storm = 600
test(`a storm of ${storm} clients that connect and are gone`, async () => {
  await underAttack({}, async (target) => {
    for (let round = 0; round < storm / 200; round++) {
      const clients = await dial(target, 200, (n) => [connect({ clientId: `s${n}`, clean: n % 2 === 0 })])
      for (const [n, client] of clients.entries()) {
        if (n % 3 === 0) client.reset()
        else if (n % 3 === 1) client.end()
        else client.destroy()
      }
    }
    await until('all are gone', () => target.broker.counters.clientsConnected === 100)
  })
})

test('two devices with one client id: one warning names both, and they throw each other out more and more slowly', async () => {
  await underAttack({ takeoverDelay: 0.1, takeoverDelayMax: 0.4 }, async (target) => {
    const { counters } = target.broker
    let over = false
    const device = async (localAddress: string) => {
      while (!over) {
        const client = await RawClient.dial({ ...target, localAddress }, connect({ clientId: 'twin' }))
        await client.readToEnd()
      }
    }
    const devices = [device('127.0.0.2'), device('127.0.0.3')]
    await until('newcomers had to wait four times', () => counters.takeoversDelayed >= 4)
    over = true
    const lines = warnings(target.log, 'fight for one client id')
    assert.is(lines.length, 1)
    const { client, address, other } = lines[0]!.fields
    const hosts = [address, other].map((text) => String(text).split(':')[0]).sort()
    assert.equal([client, ...hosts], ['twin', '127.0.0.2', '127.0.0.3'])
    assert.ok(counters.takeovers <= counters.takeoversDelayed + 5, `${counters.takeovers} takeovers`)
    // One of the two is connected still: a third ends it, and then that one ends itself.
    const third = RawClient.connect(target, { clientId: 'twin' })
    await Promise.all(devices)
    await (await third).disconnect()
  })
})

test('of a hundred connections with one client id that come at once the last one wins, the others do not wait', async () => {
  await underAttack({ takeoverDelay: 0.1 }, async (target) => {
    const clients = await dial(target, 100, () => [connect({ clientId: 'same' })])
    const last = clients.at(-1)!
    await last.expect('20 02 00 00')
    await Promise.all(clients.slice(0, -1).map((client) => client.readToEnd()))
    await last.expectNothing()
    assert.ok(target.broker.counters.takeovers <= 7)
    await last.disconnect()
  })
})

const lost = 600
test(`${lost} wills at once are all published, spread over turns`, async () => {
  await underAttack({}, async (target) => {
    const watcher = await RawClient.connect(target, { clientId: 'watcher' })
    await watcher.subscribe(['will/+', 1])
    const will = (n: number) => ({ topic: `will/${n}`, payload: 'gone', qos: 1 as const })
    const clients = await dial(target, lost, (n) => [connect({ clientId: `w${n}`, will: will(n) })])
    for (const client of clients) await client.expect('20 02 00 00')
    for (const client of clients) client.reset()
    const topics = new Set<string>()
    while (topics.size < lost) {
      const message = watcher.acknowledge(await watcher.nextPacket(`will ${topics.size} of ${lost}`))
      if (message) topics.add(message.topic)
    }
    assert.is(target.broker.counters.willsPublished, lost)
    if (target.broker.counters.willsPostponed > 0) {
      await until('the log tells of it', () => warnings(target.log, 'many wills at once').length > 0)
    }
    await watcher.disconnect()
  })
})

test('failed logins are answered later and later, the right password at once, and other addresses do not notice', async () => {
  const options = {
    loginDelay: 0.2,
    loginDelayMax: 0.4,
    authenticate: ({ password, clientId }: { password: Uint8Array | undefined; clientId: string }) =>
      clientId.startsWith('good') || Buffer.from(password ?? '').toString() === 'right',
  }
  await underAttack(options, async (target) => {
    const { counters } = target.broker
    const guess = (password: string, localAddress: string) => {
      const packet = connect({ clientId: 'guess', userName: 'u', password })
      return RawClient.dial({ ...target, localAddress }, packet)
    }
    const attack = async () => {
      const client = await guess('wrong', '127.0.0.2')
      await client.expect('20 02 00 05')
      await client.expectClosed()
    }
    for (let n = 0; n < 5; n++) await attack()
    assert.is(counters.loginsDelayed, 0)
    const held = [attack(), attack(), attack()]
    await until('three are held back', () => counters.loginsDelayed === 3)
    await (await guess('right', '127.0.0.2')).expect('20 02 00 00')
    await (await guess('wrong', '127.0.0.3')).expect('20 02 00 05')
    await Promise.all(held)
    assert.ok(warnings(target.log, 'the answer is held back').length > 0)
    const flood = await Promise.all(range(80).map(() => guess('wrong', '127.0.0.2')))
    for (const client of flood) assert.is((await client.readToEnd()).bytes[0], 0x20)
    assert.ok(counters.loginsRefused > 0)
    assert.is(counters.loginsDelayed, 3 + 64)
  })
})

test('one failed login is forgiven every ten seconds: after an hour the address is as good as new', async () => {
  const clock = new JumpingClock()
  // Without the hundred: for their keep alive, too, it would be an hour later.
  const target = await listen({ clock, loginDelay: 0.2, loginDelayMax: 0.4, authenticate: () => false })
  const { counters } = target.broker
  const attack = async () => {
    const client = await RawClient.dial(target, connect({ clientId: 'guess', userName: 'u', password: 'wrong' }))
    await client.expect('20 02 00 05')
    await client.expectClosed()
  }
  for (let n = 0; n < 6; n++) await attack()
  assert.is(counters.loginsDelayed, 1)
  clock.leap(3600)
  await attack()
  assert.is(counters.loginsDelayed, 1)
})

test('a client over its message rate is read more slowly and loses nothing; told to, the broker disconnects it', async () => {
  await underAttack({ clientMessageRate: 300, clientByteRate: 1 << 20 }, async (target) => {
    const client = await RawClient.connect(target, { clientId: 'fast', keepAlive: 1 })
    for (let n = 1; n <= 500; n++) client.send(publish({ topic: 'fast', payload: 'x', qos: 1, id: n }))
    for (let n = 1; n <= 500; n++) await client.expectPacket('PUBACK')
    assert.ok(target.broker.counters.clientsSlowed > 0)
    assert.is(target.broker.counters.clientsOverRate, 0)
    assert.ok(warnings(target.log, 'sends too much').length > 0)
    await client.disconnect()
  })
  await underAttack({ clientMessageRate: 300, rateLimitAction: 'disconnect' }, async (target) => {
    const client = await RawClient.connect(target, { clientId: 'fast', version: '5' })
    client.send(Buffer.concat(range(600).map(() => hex('30 05 00 01 61 00 78'))))
    const { bytes } = await client.readToEnd()
    assert.equal([...bytes.subarray(0, 1), bytes[2]], [0xe0, 0x96])
    assert.is(target.broker.counters.clientsOverRate, 1)
  })
})

test('connects over their address’s rate wait for their turn', async () => {
  await underAttack({ addressConnectRate: 200 }, async (target) => {
    const there = { ...target, localAddress: '127.0.0.2' }
    const clients = await Promise.all(range(300).map((n) => RawClient.connect(there, { clientId: `c${n}` })))
    assert.is(target.broker.counters.connectsLimited >= 50, true)
    assert.ok(warnings(target.log, 'address_connect_rate').length > 0)
    await Promise.all(clients.map((client) => client.disconnect()))
  })
})

test.run()
