// A CONNECT while memory is short, and wills that are due all at once, with time that stands still.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Will } from '../../../src/broker/wills.ts'
import { connectPacket } from '../raw-client.ts'
import { Rig } from '../rig.ts'

const short = { limit: 1000, used: () => 900, collect: () => {} }

/** The first bytes of the answer to a CONNECT of a new client. */
function answerTo(rig: Rig, ...packets: Buffer[]): number[][] {
  const client = rig.client()
  rig.packets(client, ...packets)
  return rig.reactor.take().sent.map(({ bytes }) => [...bytes].slice(0, 4))
}

test('memory is short: a new client is refused with 0x97 or return code 3, one with a session is let in', () => {
  const rig = new Rig({ heap: short })
  rig.session('known', { expiry: 100 })
  rig.context.overload.memory.look(rig.clock.now())
  assert.equal(answerTo(rig, connectPacket({ clientId: 'new' })), [[0x20, 2, 0, 3]])
  const [connack] = answerTo(rig, connectPacket({ clientId: 'new', version: 5 }))
  assert.is(connack![3], 0x97)
  assert.equal(answerTo(rig, connectPacket({ clientId: 'known', clean: false })), [[0x20, 2, 1, 0]])
  assert.is(rig.counters.refusedForMemory, 2)
})

test('memory is short: a new retained topic is not kept, a kept one may change', () => {
  const heap = { limit: 1000, live: 0, used: () => heap.live, collect: () => {} }
  const rig = new Rig({ heap })
  const retain = (topic: string, payload: string) =>
    rig.reactor.turn(() => {
      const publication = rig.inbox(topic, payload, { retain: true })
      rig.context.retained.apply(publication)
      publication.drop()
    })
  retain('old', '1')
  heap.live = 900
  rig.context.overload.memory.look(rig.clock.now())
  retain('new', '1')
  retain('old', '22')
  assert.is(rig.context.retained.get('new'), undefined)
  assert.is(rig.context.retained.get('old')!.payloadLength, 2)
  assert.is(rig.counters.droppedRetained, 1)
})

const will: Will = {
  client: { clientId: 'a', username: undefined, remoteAddress: '127.0.0.1:1', protocolVersion: 4 },
  topic: 'w',
  payload: Buffer.from('gone'),
  qos: 0,
  retain: false,
  properties: new Uint8Array(0),
  delay: 0,
  expiry: Number.POSITIVE_INFINITY,
}
const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

test('10,000 wills at once are published a hundred a turn, each once and in order', async () => {
  const rig = new Rig()
  for (let n = 0; n < 10_000; n++) rig.context.wills.connectionLost(`c${n}`, will, 0)
  assert.is(rig.wills.length, 100)
  assert.is(rig.counters.willsPostponed, 9900)
  await nextTurn()
  assert.is(rig.wills.length, 200)
  for (let turn = 0; turn < 98; turn++) await nextTurn()
  assert.equal(
    rig.wills.map(([clientId]) => clientId),
    Array.from({ length: 10_000 }, (_, n) => `c${n}`),
  )
  await nextTurn()
  rig.context.wills.connectionLost('again', will, 0)
  assert.is(rig.wills.length, 10_001)
})

test('a client that is back before its will had its turn: the will is published before anything new of it', () => {
  const rig = new Rig()
  for (let n = 0; n < 200; n++) rig.context.wills.connectionLost(`c${n}`, will, 0)
  rig.context.wills.record('c150', { ...will, topic: 'next' })
  assert.is(rig.wills.at(-1)![0], 'c150')
  rig.context.wills.publishDue()
  assert.is(rig.wills.length, 200)
})

test.run()
