// The promise as its first reader tries it: a subscriber with a session goes away, 10,000 messages are published with
// QoS 1, the broker is killed the instant the last PUBACK is in, and after its restart all of them arrive, in order.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { closePeers, PeerProcess, withPeer } from '../support/peers.ts'
import { skipped, target } from '../support/target.ts'

const test = target === 'martlet' ? withPeer(uvu, 'mosquitto_pub') : skipped(uvu, 'Mosquitto makes no such promise')
uvu.after.each(closePeers)

const COUNT = 10_000

// As `npm start` has it, but for the place: no other setting, so the limits of a queue must allow it too.
test(`kill -9 at the last PUBACK of ${COUNT} loses none of them`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shown-'))
  const settings = { persistence: true, persistence_location: join(folder, 'data') }
  try {
    const broker = await startBroker({ settings })
    const subscriber = ['-p', `${broker.port}`, '-c', '-i', 'x', '-q', '1', '-t', 'a']
    const first = new PeerProcess('mosquitto_sub', [...subscriber, '-d'])
    await first.waitForLines(/Subscribed \(mid: 1\): 1/)
    first.terminate()
    await first.exit()

    const lines = Array.from({ length: COUNT }, (_, n) => `${n}`)
    const publisher = new PeerProcess('mosquitto_pub', ['-p', `${broker.port}`, '-q', '1', '-t', 'a', '-l', '-d'])
    publisher.write(`${lines.join('\n')}\n`)
    await publisher.waitForLines(/received PUBACK/, COUNT)
    await broker.kill9()
    publisher.kill9()
    await publisher.exit()

    const again = await startBroker({ settings, port: broker.port })
    const back = new PeerProcess('mosquitto_sub', [...subscriber, '-C', `${COUNT}`])
    assert.is(await back.exit(), 0)
    assert.equal(back.lines, lines)
    await again.stopCleanly()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

uvu.run()
