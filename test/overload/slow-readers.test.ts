// Subscribers that never read, at every QoS and under every policy: memory stays bounded, and nobody else notices.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { QoS } from '../../src/mqtt/qos.ts'
import { publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { until } from '../support/until.ts'
import { underAttack, type Victim, warnings } from './well-behaved.ts'

test.after.each(closeClients)

const COUNT = 80
const PAYLOAD = Buffer.alloc(128 * 1024, '.')
const LEVELS = [0, 1, 2] as const
const limits = {
  maxQueuedMessages: 20,
  maxInflightMessages: 10,
  outputLimit: 512 * 1024,
  outputHighWater: 128 * 1024,
}

/** A client that subscribes and then reads nothing. */
async function deaf(target: Victim, qos: QoS): Promise<RawClient> {
  const client = await RawClient.connect(target, { clientId: `deaf-${qos}` })
  await client.subscribe([`flood/${qos}`, qos])
  client.pause()
  return client
}

/** The same at QoS 0 and 1, on one connection. */
async function deafAt(target: Victim, clientId: string): Promise<RawClient> {
  const client = await RawClient.connect(target, { clientId })
  await client.subscribe(['flood/0', 0], ['flood/1', 1])
  client.pause()
  return client
}

/** 10 MB for each QoS: more than the kernel's buffers hold. Each message begins with its number. */
async function flood(target: Victim): Promise<void> {
  const publisher = await RawClient.connect(target, { clientId: 'flooder' })
  for (let n = 0; n < COUNT; n++) {
    PAYLOAD.write(`${n}`.padStart(4, '0'))
    for (const qos of LEVELS) publisher.send(publish({ topic: `flood/${qos}`, payload: PAYLOAD, qos: 0 }))
    if (n % 10 === 9) await publisher.settled()
  }
  await publisher.disconnect()
}

/** As `flood`, with the QoS the subscriber asked for. */
async function floodAcknowledged(target: Victim): Promise<void> {
  const publisher = await RawClient.connect(target, { clientId: 'flooder' })
  for (let n = 0; n < COUNT; n++) {
    PAYLOAD.write(`${n}`.padStart(4, '0'))
    publisher.send(publish({ topic: 'flood/0', payload: PAYLOAD, qos: 0 }))
    await publisher.publish({ topic: 'flood/1', payload: PAYLOAD, qos: 1 })
    await publisher.publish({ topic: 'flood/2', payload: PAYLOAD, qos: 2 })
  }
  await publisher.disconnect()
}

async function numbersOf(client: RawClient): Promise<number[]> {
  client.resume()
  const messages = await client.receiveAll()
  client.destroy() // or the broker would wait for its FIN
  return messages.map(numberOf)
}

const numberOf = ({ payload }: { payload: Buffer }) => Number(payload.toString('latin1', 0, 4))

const ascends = (numbers: readonly number[]) => numbers.every((n, at) => at === 0 || n > numbers[at - 1]!)

test('drop_newest, the default: the first messages arrive, in order; the rest is dropped and counted', async () => {
  await underAttack(limits, async (target) => {
    const clients = await Promise.all(LEVELS.map((qos) => deaf(target, qos)))
    await floodAcknowledged(target)
    const { counters } = target.broker
    // Two queues of 20 messages, whatever was published.
    assert.ok(counters.bytesQueued <= 40 * (PAYLOAD.length + 20), `${counters.bytesQueued} bytes are queued`)
    assert.ok(counters.droppedOutputFull > 0)
    assert.ok(counters.droppedQueueFull > 0)
    assert.ok(warnings(target.log, 'queue full').length > 0)
    assert.ok(warnings(target.log, 'reads too slowly').length > 0)
    for (const [qos, client] of clients.entries()) {
      const numbers = await numbersOf(client)
      assert.ok(ascends(numbers), `QoS ${qos}`)
      assert.ok(numbers.length < COUNT, `QoS ${qos}`)
      if (qos > 0) assert.is(numbers.at(-1), numbers.length - 1, `QoS ${qos}: the first ones, without a gap`)
    }
    assert.is(counters.bytesQueued, 0)
  })
})

test('drop_oldest: the last message arrives at every QoS, what is between is dropped and counted', async () => {
  await underAttack({ ...limits, slowReaderPolicy: 'drop_oldest' }, async (target) => {
    const clients = await Promise.all(LEVELS.map((qos) => deaf(target, qos)))
    await floodAcknowledged(target)
    const { counters } = target.broker
    assert.ok(counters.droppedQueueFull > 0)
    assert.ok(warnings(target.log, 'queue full').length > 0)
    for (const [qos, client] of clients.entries()) {
      const numbers = await numbersOf(client)
      assert.ok(ascends(numbers), `QoS ${qos}`)
      assert.ok(numbers.length < COUNT, `QoS ${qos}`)
      assert.is(numbers.at(-1), COUNT - 1, `QoS ${qos}`)
    }
    assert.is(counters.bytesQueued, 0)
  })
})

test('drop_oldest for sessions that are stored: the last message arrives, also after the connection was lost', async () => {
  await underAttack({ ...limits, slowReaderPolicy: 'drop_oldest' }, async (target) => {
    const stored = { clientId: 'stored', clean: false }
    const deaf = await RawClient.connect(target, stored)
    await deaf.subscribe(['flood/1', 1], ['flood/2', 2])
    deaf.pause()
    const publisher = await RawClient.connect(target, { clientId: 'flooder' })
    const { counters } = target.broker
    let most = 0
    for (let n = 0; n < COUNT; n++) {
      if (n === COUNT / 2) deaf.reset() // Half of it comes while it is away.
      PAYLOAD.write(`${n}`.padStart(4, '0'))
      await publisher.publish({ topic: 'flood/1', payload: PAYLOAD, qos: 1 })
      await publisher.publish({ topic: 'flood/2', payload: PAYLOAD, qos: 2 })
      most = Math.max(most, counters.bytesQueued)
    }
    assert.ok(most <= 20 * (PAYLOAD.length + 20), `${most} bytes were queued`)
    assert.ok(counters.droppedQueueFull > 0)
    const back = await RawClient.connect(target, stored)
    assert.ok(back.sessionPresent)
    const messages = await back.receiveAll()
    for (const topic of ['flood/1', 'flood/2']) {
      const numbers = messages.filter((one) => one.topic === topic).map(numberOf)
      assert.ok(ascends(numbers), topic)
      assert.is(numbers.at(-1), COUNT - 1, topic)
    }
    assert.is(counters.bytesQueued, 0)
  })
})

test('QoS 0 for a shared subscription whose members all read nothing: counted, logged, and nobody is to blame but they', async () => {
  await underAttack(limits, async (target) => {
    const members = await Promise.all(
      [0, 1].map(async (n) => {
        const member = await RawClient.connect(target, { clientId: `member-${n}` })
        await member.subscribe(['$share/group/flood/0', 0])
        member.pause()
        return member
      }),
    )
    await flood(target)
    const { counters } = target.broker
    const dropped = counters.droppedGroupFull
    assert.ok(dropped > 0)
    assert.ok(warnings(target.log, 'every member of the shared subscription full').length > 0)
    let received = 0
    for (const member of members) received += (await numbersOf(member)).length
    assert.is(received + dropped + counters.droppedOutputFull, COUNT)
    for (const member of members) await member.disconnect()
    const publisher = await RawClient.connect(target, { clientId: 'publisher' })
    await publisher.publish({ topic: 'flood/0', payload: 'x' })
    assert.is(counters.droppedGroupFull, dropped, 'with no member there is nobody to miss it')
  })
})

test('disconnect: who does not read is gone, at every QoS, and said to be', async () => {
  await underAttack({ ...limits, slowReaderPolicy: 'disconnect', lingerTimeout: 0.2 }, async (target) => {
    await Promise.all(LEVELS.map((qos) => deaf(target, qos)))
    await floodAcknowledged(target)
    const { counters } = target.broker
    await until('all three are disconnected', () => counters.clientsConnected === 100)
    assert.is(counters.slowReadersDisconnected, 3)
    assert.is(warnings(target.log, 'reads too slowly').length > 0, true)
    await until('their memory is given back', () => counters.bytesQueued === 0)
  })
})

test('each listener has its policy, the others the broker’s: newest, oldest and disconnected at one time', async () => {
  await underAttack({ ...limits, lingerTimeout: 0.2 }, async (target) => {
    const { broker } = target
    const oldest = { ...target, port: (await broker.listen({ port: 0, slowReader: 'drop_oldest' })).port }
    const strict = { ...target, port: (await broker.listen({ port: 0, slowReader: 'disconnect' })).port }
    const [usual, newest] = await Promise.all([target, oldest].map((at, n) => deafAt(at, `deaf-at-${n}`)))
    await deafAt(strict, 'deaf-at-strict')
    await floodAcknowledged(target)
    const { counters } = broker
    await until('one is disconnected', () => counters.clientsConnected === 102)
    assert.is(counters.slowReadersDisconnected, 1)
    const first = await numbersOf(usual!)
    assert.ok(first.length < 2 * COUNT && first.includes(0))
    assert.not.ok(first.includes(COUNT - 1), 'drop_newest: the last one is not among them')
    const last = await numbersOf(newest!)
    assert.ok(last.length < 2 * COUNT)
    assert.is(last.filter((n) => n === COUNT - 1).length, 2, 'drop_oldest: the last one of each QoS')
    assert.is(counters.bytesQueued, 0)
  })
})

test('all output together has a limit: those that read nothing are cut off, those that read stay', async () => {
  await underAttack({ ...limits, outputLimit: 1 << 20, maxOutputBytesTotal: 1 << 20 }, async (target) => {
    const clients = await Promise.all(LEVELS.map((qos) => deaf(target, qos)))
    const more = await RawClient.connect(target, { clientId: 'deaf-too' })
    await more.subscribe(['flood/#', 0])
    more.pause()
    await flood(target)
    const { counters } = target.broker
    await until('the output is within its limit', () => counters.slowReadersDisconnected > 0)
    assert.ok(warnings(target.log, 'output of all connections').length > 0)
    for (const client of [...clients, more]) client.destroy()
  })
})

test.run()
