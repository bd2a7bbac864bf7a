// One client's faults, ours or its own, cost nobody else anything; what is repeated is counted, not logged again.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Client } from '../../../src/broker/clients/client.ts'
import { Command } from '../../../src/net/wire.ts'
import { connectPacket, DISCONNECT, PINGREQ, publishPacket, subscribePacket } from '../raw-client.ts'
import { headerLength, Rig } from '../rig.ts'

function connected(rig: Rig, clientId: string, version: 4 | 5 = 4, address?: string): Client {
  const client = rig.client()
  if (address !== undefined) Object.assign(client.connection, { remoteAddress: address })
  rig.packets(client, connectPacket({ clientId, version }))
  rig.reactor.take()
  return client
}

/** Makes the routing of one topic fail, as a bug would. */
function breakTopic(rig: Rig, topic: string): void {
  const { router } = rig.context
  const publish = router.publish.bind(router)
  router.publish = (publication) => {
    if (publication.topic.name === topic) throw new TypeError('a bug of our own')
    return publish(publication)
  }
}

function first(rig: Rig, client: Client): number[][] {
  return rig.reactor
    .take()
    .sent.filter(({ slot }) => slot === client.connection.slot)
    .map(({ bytes }) => bytes.slice(0, 3))
}

test('an exception in the handling of one packet closes that client alone, and the turn goes on', () => {
  const rig = new Rig()
  breakTopic(rig, 'broken')
  const [faulty, other] = [rig.client(), connected(rig, 'other')]
  const will = { topic: 'gone', payload: Buffer.from('x'), qos: 0 as const, retain: false }
  rig.packets(faulty, connectPacket({ clientId: 'faulty', version: 5, will }))
  rig.reactor.take()
  rig.reactor.commands.length = 0
  rig.reactor.turn(() => {
    for (const [client, packet] of [
      [faulty, publishPacket('broken', 'x', { qos: 1, id: 1, version: 5 })],
      [other, PINGREQ],
      [faulty, PINGREQ],
      [other, subscribePacket(1, 't')],
    ] as const) {
      const header = headerLength(packet)
      rig.reactor.inboxBytes.set(packet.subarray(header), 64)
      client.handlePacket(packet[0]!, 0, 64, packet.length - header, 0)
    }
  })
  const { sent } = rig.reactor.take()
  const to = (client: Client) => sent.filter(({ slot }) => slot === client.connection.slot).map(({ bytes }) => bytes[0])
  assert.equal(to(faulty), [0xe0])
  assert.is(sent.find(({ bytes }) => bytes[0] === 0xe0)!.bytes[2], 0x80)
  assert.equal(to(other), [0xd0, 0x90])
  assert.equal([faulty.state, other.state], ['ending', 'connected'])
  assert.equal(rig.reactor.commands, [[Command.Finish, faulty.connection.slot]])
  assert.is(rig.counters.internalErrors, 1)
  assert.equal(
    rig.wills.map(([clientId]) => clientId),
    ['faulty'],
  )
  const [line] = rig.log.at('error')
  assert.ok(line!.fields.err instanceof TypeError)
  assert.is(rig.context.sessions.get('faulty'), undefined)
  assert.is(rig.reactor.frames.size, 0)
})

test('an exception with a large packet, or one that was looked at, gives its frame back', () => {
  const rig = new Rig()
  breakTopic(rig, 'broken')
  const client = connected(rig, 'a')
  const packet = publishPacket('broken', 'x'.repeat(100_000), { retain: true })
  const header = headerLength(packet)
  const handle = rig.reactor.arriveKept(packet.subarray(header))
  rig.reactor.turn(() => client.handlePacket(packet[0]!, 0, 0, packet.length - header, handle))
  assert.is(client.state, 'ending')
  // The message is retained: that was done before the bug.
  assert.is(rig.reactor.frames.size, 1)
  rig.context.retained.expire(rig.context.retained.get('broken')!)
  rig.reactor.take()
  assert.is(rig.reactor.frames.size, 0)
})

test('a listener that throws changes nothing for the client, and is told as a failure', () => {
  const rig = new Rig()
  for (const event of ['clientConnected', 'clientDisconnected', 'subscribed', 'unsubscribed'] as const) {
    rig.events.on(event, () => {
      throw new Error('a bug of the program')
    })
  }
  const client = rig.client()
  rig.packets(client, connectPacket({ clientId: 'a' }), subscribePacket(1, 't'))
  assert.equal(first(rig, client), [
    [0x20, 2, 0],
    [0x90, 3, 0],
  ])
  assert.is(client.state, 'connected')
  client.connection.closed = true
  client.handleClosed(2, 104)
  assert.is(client.state, 'closed')
  assert.is(rig.counters.connectionsCurrent, -1) // The rig counts no accepts.
  assert.is(rig.deadlines, 0)
  assert.is(rig.failures.length, 3)
})

test('warnings of one kind from one address are one line, then counted', () => {
  const rig = new Rig()
  for (let n = 0; n < 6; n++) rig.packets(connected(rig, `c${n}`, 4, `10.0.0.1:${n}`), Buffer.from([0xf1, 0]))
  rig.packets(connected(rig, 'elsewhere', 4, '10.0.0.2:1'), Buffer.from([0xf1, 0]))
  const addresses = () => rig.log.at('warn').map(({ fields }) => String(fields.address).replace(/:\d+$/, ''))
  assert.equal(addresses(), ['10.0.0.1', '10.0.0.2'])
  assert.is(rig.counters.malformedPackets + rig.counters.protocolErrors, 7)
  rig.clock.advance(10_000)
  rig.context.throttled.flush(rig.clock.now())
  assert.equal(addresses(), ['10.0.0.1', '10.0.0.2', '10.0.0.1'])
  assert.is(rig.log.at('warn').at(-1)?.fields.repeated, 5)
})

test('what comes after the end is neither handled nor leaked', () => {
  const rig = new Rig()
  const client = connected(rig, 'a')
  rig.packets(client, DISCONNECT, PINGREQ, publishPacket('t', 'x', { qos: 1, id: 1 }))
  const handle = rig.reactor.arriveKept(publishPacket('t', 'x').subarray(2))
  rig.reactor.turn(() => client.handlePacket(0x30, 0, 0, 4, handle))
  assert.equal(first(rig, client), [])
  assert.is(rig.reactor.frames.size, 0)
  assert.is(rig.counters.publishReceived, 0)
})

test('a client that does not finish after us is closed when the linger timeout is over', () => {
  const rig = new Rig()
  const client = connected(rig, 'a')
  rig.packets(client, DISCONNECT)
  rig.advance(4_999)
  rig.reactor.take()
  assert.not(rig.reactor.commands.some(([command]) => command === Command.Close))
  rig.advance(2)
  rig.reactor.take()
  assert.equal(rig.reactor.commands.at(-1), [Command.Close, client.connection.slot])
})

for (const keepalive of [1, 2, 10, 65_535]) {
  test(`[MQTT-3.1.2-24] with a Keep Alive of ${keepalive} s a client is closed 1.5 times that after its last byte, not before`, () => {
    const rig = new Rig()
    const client = rig.client()
    rig.packets(client, connectPacket({ clientId: 'a', keepalive }))
    const never = connected(rig, 'never')
    for (let times = 0; times < 4; times++) {
      // What is read is only noted in the column: no packet moves a deadline.
      rig.reactor.memory.lastRead[client.connection.slot] = rig.clock.now()
      rig.advance(keepalive * 1500 - 1)
      assert.is(client.state, 'connected')
    }
    rig.advance(2)
    assert.equal([client.state, never.state, rig.counters.keepAliveTimeouts], ['ending', 'connected', 1])
  })
}

test('who sends no CONNECT is closed after connect_timeout, and not before', () => {
  const rig = new Rig({ settings: { connectTimeout: 3000 } })
  const [silent, talks] = [rig.client(), rig.client()]
  rig.packets(talks, connectPacket({ clientId: 'talks' }))
  rig.advance(2999)
  assert.is(silent.state, 'awaiting-connect')
  rig.advance(2)
  rig.reactor.take()
  assert.equal(rig.reactor.commands.at(-1), [Command.Close, silent.connection.slot])
  assert.equal([talks.state, rig.counters.connectTimeouts], ['connected', 1])
})

test('output that makes no progress for write_timeout ends the client, progress does not', () => {
  const rig = new Rig()
  const client = connected(rig, 'a')
  const { memory } = rig.reactor
  const { slot } = client.connection
  memory.queued[slot] = 100
  for (let n = 0; n < 5; n++) {
    memory.lastWrite[slot] = rig.clock.now()
    rig.advance(59_000)
    assert.is(client.state, 'connected')
  }
  for (let n = 0; n < 3; n++) rig.advance(30_000)
  assert.is(client.state, 'ending')
  assert.is(rig.counters.writeTimeouts, 1)
})

test('[MQTT-3.1.0-2] a second CONNECT, [MQTT-3.1.0-1] or anything before the first, is a protocol error', () => {
  const rig = new Rig()
  const client = connected(rig, 'a', 5)
  rig.packets(client, connectPacket({ clientId: 'a', version: 5 }))
  assert.is(first(rig, client)[0]![0], 0xe0)
  const early = rig.client()
  rig.packets(early, PINGREQ)
  assert.equal([client.state, early.state], ['ending', 'ending'])
  assert.is(rig.counters.protocolErrors, 2)
})

test.run()
