// Long: the attacks of docs/overload.md by the thousand, on a broker in a process of its own, beside a hundred well-behaved
// clients in another. What they lose fails the test; how long their messages took is printed. Sizes are divided by
// MARTLET_LONG_DIVISOR.
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { compile } from '../../bench/compile.ts'
import { type ConnectionFigures, runLoad } from '../../bench/load.ts'
import { Authority } from '../net/certificates.ts'
import { clientHello, httpRequest } from '../overload/bad-guests.ts'
import { type Besieged, besiege } from '../overload/siege.ts'
import { connect, publish, subscribe } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'
import { until } from '../support/until.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
uvu.after.each(closeClients)

const range = (count: number) => Array.from({ length: count }, (_, n) => n)
const many = longSize(5000)
const secure = () => {
  const { certfile, keyfile } = new Authority().issue('broker', '/CN=broker', ['DNS:localhost', 'IP:127.0.0.1'])
  return { certfile: [certfile], keyfile: [keyfile] }
}

/** Opens connections, 100 at a time, from an address each thousand of them, and says something on each. */
async function dial(
  target: Besieged,
  listener: number,
  count: number,
  first: (n: number) => Uint8Array[] = () => [],
): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (let from = 0; from < count; from += 100) {
    const batch = range(Math.min(100, count - from)).map((n) => {
      const localAddress = `127.0.0.${2 + Math.floor((from + n) / 1000)}`
      return RawClient.dial({ ...target.address(listener), localAddress }, ...first(from + n))
    })
    clients.push(...(await Promise.all(batch)))
  }
  return clients
}

const gone = (target: Besieged) =>
  until('all are gone', async () => (await target.state()).counters.connectionsCurrent === 100)

const told = async (target: Besieged, words: string): Promise<void> => {
  const { warnings } = await target.state()
  const lines = warnings.filter((line) => line.includes(words)).length
  assert.ok(lines > 0 && lines < 20, `${lines} lines about ${words}`)
}

test(`${many} connections that never send CONNECT`, async () => {
  await besiege(`${many} silent connections`, { settings: { connectTimeout: 5 } }, async (target) => {
    const clients = await dial(target, 0, many)
    await Promise.all(clients.map((client) => client.readToEnd()))
    assert.is((await target.state()).counters.connectTimeouts, many)
    await gone(target)
    await told(target, 'no CONNECT in time')
  })
})

test(`${many} connections that send a byte a second`, async () => {
  await besiege(`${many} slow connections`, { settings: { connectTimeout: 5 } }, async (target) => {
    const bytes = connect({ clientId: 'x'.repeat(200) })
    const clients = await dial(target, 0, many, () => [bytes.subarray(0, 1)])
    let at = 1
    const drip = setInterval(() => {
      for (const client of clients) client.send(bytes.subarray(at, at + 1))
      at++
    }, 1000)
    await Promise.all(clients.map((client) => client.readToEnd()))
    clearInterval(drip)
    assert.is((await target.state()).counters.connectTimeouts, many)
    await gone(target)
    await told(target, 'no CONNECT in time')
  })
})

test(`${many} connections that send half a TLS handshake`, async () => {
  const hello = await clientHello()
  const listeners = [{}, secure()]
  await besiege(`${many} half handshakes`, { listeners, settings: { connectTimeout: 5 } }, async (target) => {
    const before = target.resident
    // Half a hello costs bytes; a whole one, whose answer nobody reads, costs a signature, too.
    const clients = await dial(target, 1, many, (n) => [n % 2 === 0 ? hello.subarray(0, hello.length / 2) : hello])
    const growth = target.resident - before
    await Promise.all(clients.map((client) => client.readToEnd()))
    console.log(
      `${many} half handshakes: at most ${((growth * 1024) / many).toFixed(1)} KiB of the broker's memory each`,
    )
    assert.is((await target.state()).counters.connectTimeouts, many)
    await gone(target)
    await told(target, 'no CONNECT in time')
  })
})

test(`${many} connections that send HTTP`, async () => {
  await besiege(`${many} HTTP requests`, { listeners: [{}, { protocol: 'any' }] }, async (target) => {
    const request = Buffer.from(httpRequest)
    for (let left = many; left > 0; left -= 1000) {
      const clients = await dial(target, 1, Math.min(left, 1000), () => [request])
      for (const client of clients) assert.match((await client.readToEnd()).bytes.toString(), /^HTTP\/1\.1 426 /)
    }
    assert.is((await target.state()).counters.streamsFailed, many)
    await gone(target)
    await told(target, 'a plain HTTP request')
  })
})

const returning = longSize(2000)
test(`${returning} TLS clients that all come back at once, over and over, do not stall the connected ones`, async () => {
  const { load } = await compile()
  await besiege(`${returning} TLS clients at once`, { listeners: [{}, secure()] }, async (target) => {
    const where = { port: target.ports[1]!, pid: target.pid }
    const args = ['--shape', 'storm', '--protocol', 'tls', '--pubs', `${returning}`, '--parallel', `${returning}`]
    for (let round = 0; round < 5; round++) {
      const { connectPerS, p99Us, closed } = (await runLoad(load, where, args)) as ConnectionFigures
      console.log(`${connectPerS} TLS connects a second, ${Math.round(p99Us / 1000)} ms to CONNACK at p99`)
      assert.is(closed, 0)
    }
    const { counters } = await target.state()
    assert.is(counters.connectsAccepted, 100 + 5 * returning)
    assert.is(counters.streamsFailed, 0)
    await gone(target)
  })
})

const stormy = longSize(50_000)
test(`a storm of ${stormy} connects and disconnects`, async () => {
  const { load } = await compile()
  await besiege(`${stormy} connects`, {}, async (target) => {
    const rounds = 5
    const each = Math.max(1, Math.round(stormy / rounds))
    for (let round = 0; round < rounds; round++) {
      const args = ['--shape', 'storm', '--pubs', `${each}`, '--parallel', '500']
      const figures = await runLoad(load, { port: target.ports[0]!, pid: target.pid }, args)
      assert.is((figures as ConnectionFigures).closed, 0)
    }
    assert.is((await target.state()).counters.connectsAccepted, 100 + rounds * each)
    await gone(target)
  })
})

const wills = longSize(10_000)
test(`${wills} wills at once`, async () => {
  await besiege(
    `${wills} wills`,
    { settings: { maxConnections: 12_000, maxQueuedMessages: wills } },
    async (target) => {
      const watcher = await RawClient.connect(target.address(), { clientId: 'watcher' })
      await watcher.subscribe(['will/+', 1])
      const will = (n: number) => ({ topic: `will/${n}`, payload: 'gone', qos: 1 as const })
      const clients = await dial(target, 0, wills, (n) => [connect({ clientId: `w${n}`, will: will(n) })])
      for (const client of clients) await client.expect('20 02 00 00')
      for (const client of clients) client.reset()
      const topics = new Set<string>()
      while (topics.size < wills) {
        const message = watcher.acknowledge(await watcher.nextPacket(`will ${topics.size} of ${wills}`))
        if (message) topics.add(message.topic)
      }
      const { counters } = await target.state()
      assert.is(counters.willsPublished, wills)
      if (counters.willsPostponed > 0) {
        await until('the log tells of it', async () =>
          (await target.state()).warnings.some((line) => line.includes('many wills at once')),
        )
      }
      await watcher.disconnect()
    },
  )
})

const retained = longSize(1_000_000)
test(`${retained} retained messages and a subscriber to #`, async () => {
  const settings = { maxRetainedMessages: retained, sysInterval: 0 }
  await besiege(`${retained} retained messages`, { settings }, async (target) => {
    const publisher = await RawClient.connect(target.address(), { clientId: 'retains' })
    const before = target.resident
    for (let from = 0; from <= retained; from += 1000) {
      publisher.send(...range(1000).map((n) => publish({ topic: `r/${from + n}`, payload: 'kept', retain: true })))
      await publisher.settled()
    }
    console.log(`${(((target.resident - before) * 1024 * 1024) / retained).toFixed(0)} bytes of memory each`)
    const { counters } = await target.state()
    assert.is(counters.retained, retained)
    assert.ok(counters.droppedRetained > 0)
    await told(target, 'retained message not kept')
    const greedy = await RawClient.connect(target.address(), { clientId: 'greedy' })
    greedy.send(subscribe(1, ['r/#', 1]))
    await greedy.expectPacket('SUBACK')
    for (let received = 0; received < retained; ) {
      if (greedy.acknowledge(await greedy.nextPacket(`message ${received}`))) received++
    }
    await greedy.expectNothing()
    await greedy.disconnect()
  })
})

const subscriptions = longSize(100_000)
test(`${subscriptions} subscriptions of one client, and it goes`, async () => {
  const settings = { maxSubscriptionsPerClient: subscriptions }
  await besiege(`${subscriptions} subscriptions`, { settings }, async (target) => {
    const hog = await RawClient.connect(target.address(), { clientId: 'hog' })
    for (let from = 0; from < subscriptions; from += 500) {
      const count = Math.min(500, subscriptions - from)
      hog.send(subscribe(1, ...range(count).map((n): [string, number] => [`hog/${from + n}/+`, 0])))
      await hog.expectPacket('SUBACK')
    }
    hog.send(subscribe(1, ['hog/one/more', 0]))
    await hog.expect('90 03 00 01 80')
    assert.is((await target.state()).counters.subscriptionsRefused, 1)
    await told(target, 'subscription refused')
    const other = await RawClient.connect(target.address(), { clientId: 'other' })
    other.send(publish({ topic: `hog/${subscriptions - 1}/x`, payload: 'found' }))
    await hog.expectPublish({ text: 'found' })
    await hog.disconnect()
    await other.publish({ topic: 'hog/1/x', payload: 'x', qos: 1 })
    await other.disconnect()
    await gone(target)
  })
})

const fast = longSize(1_000_000)
test(`a publisher at full speed, ${fast} messages, against a small window`, async () => {
  const settings = { maxInflightMessages: 20, maxQueuedMessages: 1000 }
  await besiege(`${fast} messages`, { settings }, async (target) => {
    const subscriber = await RawClient.connect(target.address(), { clientId: 'narrow' })
    await subscriber.subscribe(['fast', 1])
    const publisher = await RawClient.connect(target.address(), { clientId: 'fast' })
    const payload = Buffer.alloc(100)
    for (let n = 1; n <= fast; n++) {
      publisher.send(publish({ topic: 'fast', payload, qos: 1, id: ((n - 1) % 65_535) + 1 }))
      if (n % 1000 === 0) for (let answers = 0; answers < 1000; answers++) await publisher.expectPacket('PUBACK')
    }
    for (let answers = 0; answers < fast % 1000; answers++) await publisher.expectPacket('PUBACK')
    const received = (await subscriber.receiveAll()).length
    const { counters } = await target.state()
    assert.is(received + counters.droppedQueueFull, fast)
    assert.is(counters.messagesQueued, 0)
    await told(target, 'queue full')
  })
})

uvu.run()
