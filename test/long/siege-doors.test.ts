// Long: attacks on the doors by the thousand: silence, a byte a second, halves of handshakes, HTTP, storms. The broker is in a
// process of its own, beside a hundred well-behaved clients in another. What they lose fails the test; how long their messages
// took is printed. Sizes are divided by MARTLET_LONG_DIVISOR.
import { connect as connectTls } from 'node:tls'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { compile } from '../../bench/compile.ts'
import { type ConnectionFigures, runLoad } from '../../bench/load.ts'
import { upgradeRequest } from '../net/byte-client.ts'
import { Authority } from '../net/certificates.ts'
import { clientHello, httpRequest } from '../overload/bad-guests.ts'
import { besiege, dial, gone, range, told } from '../overload/siege.ts'
import { connect } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'
import { cpuSecondsOf, until } from '../support/until.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
uvu.after.each(closeClients)

const many = longSize(5000)
const authority = new Authority()
const { certfile, keyfile } = authority.issue('broker', '/CN=broker', ['DNS:localhost', 'IP:127.0.0.1'])
const secure = { certfile: [certfile], keyfile: [keyfile] }

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
  const listeners = [{}, secure]
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

test(`${many} connections that send half a WebSocket upgrade`, async () => {
  const listeners = [{}, { protocol: 'websockets' as const }]
  await besiege(`${many} half upgrades`, { listeners, settings: { connectTimeout: 5 } }, async (target) => {
    const request = Buffer.from(upgradeRequest())
    const clients = await dial(target, 1, many, (n) => [request.subarray(0, 1 + (n % (request.length - 1)))])
    await Promise.all(clients.map((client) => client.readToEnd()))
    assert.is((await target.state()).counters.connectTimeouts, many)
    await gone(target)
    await told(target, 'no CONNECT in time')
  })
})

test(`${many} connections that send HTTP, where WebSocket is spoken, MQTT, and TLS`, async () => {
  const listeners = [{}, { protocol: 'any' as const }, secure]
  await besiege(`${many} HTTP requests`, { listeners, settings: { connectTimeout: 5 } }, async (target) => {
    const request = Buffer.from(httpRequest)
    for (const [listener, answer] of [
      [1, /^HTTP\/1\.1 426 /],
      [0, /^$/],
      [2, /^/],
    ] as const) {
      for (let left = many; left > 0; left -= 1000) {
        const clients = await dial(target, listener, Math.min(left, 1000), () => [request])
        for (const client of clients) assert.match((await client.readToEnd()).bytes.toString('latin1'), answer)
      }
    }
    const { counters } = await target.state()
    assert.is(counters.streamsFailed, 2 * many)
    assert.is(counters.connectTimeouts + counters.protocolErrors + counters.malformedPackets, many)
    await gone(target)
    await told(target, 'a plain HTTP request')
    await told(target, 'TLS handshake: http request')
  })
})

const returning = longSize(2000)
test(`${returning} TLS clients that all come back at once, over and over, do not stall the connected ones`, async () => {
  const { load } = await compile()
  await besiege(`${returning} TLS clients at once`, { listeners: [{}, secure] }, async (target) => {
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

/** What every client of this process shows: a handshake, CONNECT, CONNACK; with a ticket for the next time. */
async function comeBack(port: number, clientId: string, ticket?: Buffer): Promise<{ reused: boolean; ticket: Buffer }> {
  return await new Promise((resolve, reject) => {
    let newest: Buffer | undefined
    const session = ticket === undefined ? {} : { session: ticket }
    const options = { host: '127.0.0.1', port, servername: 'localhost', ca: authority.text(authority.certificate) }
    const socket = connectTls({ ...options, ...session }, () => socket.write(connect({ clientId })))
    socket.on('session', (one) => {
      newest = one
    })
    socket.on('error', reject)
    socket.once('data', () => {
      resolve({ reused: socket.isSessionReused(), ticket: newest ?? socket.getSession()! })
      socket.destroy()
    })
  })
}

test(`${returning} TLS clients that all come back with their tickets: every session is resumed`, async () => {
  await besiege(`${returning} TLS clients with tickets`, { listeners: [{}, secure] }, async (target) => {
    let tickets: (Buffer | undefined)[] = range(returning).map(() => undefined)
    for (const resumed of [false, true, true]) {
      const [start, used] = [performance.now(), cpuSecondsOf(target.pid)]
      const clients = await Promise.all(tickets.map((ticket, n) => comeBack(target.ports[1]!, `tls-${n}`, ticket)))
      const [took, cost] = [performance.now() - start, cpuSecondsOf(target.pid) - used]
      const each = ((cost * 1e6) / returning).toFixed(0)
      console.log(
        `${resumed ? 'with' : 'without'} tickets: all in ${took.toFixed(0)} ms, ${each} µs of the broker each`,
      )
      assert.is(clients.filter(({ reused }) => reused).length, resumed ? returning : 0)
      tickets = clients.map(({ ticket }) => ticket)
      await gone(target)
    }
    const { counters } = await target.state()
    assert.is(counters.connectsAccepted, 100 + 3 * returning)
    assert.is(counters.streamsFailed, 0)
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
    await told(target, 'very many connections within a second')
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

uvu.run()
