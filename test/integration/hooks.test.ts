// The hooks of an embedding program: what they are asked, what their verdicts do, and that a client whose hook takes its
// time is parked (its packets wait in order) while everybody else goes on.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AuthenticateRequest, PublishRequest, SubscribeRequest } from '../../src/index.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import { connect, pingreq, publish, subscribe } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const soon = <T>(value: T): Promise<T> => new Promise((resolve) => setTimeout(() => resolve(value), 5))

/** A promise the test settles. */
const decision = <T>() => {
  let decide!: (value: T) => void
  const promise = new Promise<T>((resolve) => {
    decide = resolve
  })
  return { promise, decide }
}

for (const [how, answer] of [
  ['at once', <T>(value: T) => value],
  ['with a promise', soon],
] as const) {
  test(`authenticate, ${how}, is told who asks; false is CONNACK 5, then closed`, async () => {
    const asked: string[] = []
    const broker = await listen({
      authenticate: ({ clientId, username, password, remoteAddress, protocolVersion }: AuthenticateRequest) => {
        const secret = password === undefined ? undefined : Buffer.from(password).toString()
        asked.push(`${clientId} ${username} ${secret} ${remoteAddress.startsWith('127.0.0.1:')} ${protocolVersion}`)
        return answer(secret === 'right')
      },
    })
    const refused = await RawClient.dial(broker, connect({ clientId: 'a', userName: 'u', password: 'wrong' }))
    const packet = await refused.expectPacket('CONNACK')
    assert.ok(['0004', '0005'].includes(packet.body.toString('hex')), packet.body.toString('hex'))
    await refused.expectClosed()
    const accepted = await RawClient.connect(broker, { clientId: 'b', userName: 'u', password: 'right' })
    await accepted.expectNothing()
    const anonymous = await RawClient.dial(broker, connect({ clientId: 'c', version: '3.1' }))
    assert.is((await anonymous.expectPacket('CONNACK')).body[0], 0)
    await anonymous.expectClosed()
    assert.equal(asked, ['a u wrong true 4', 'b u right true 4', 'c undefined undefined true 3'])
  })

  test(`[MQTT-3.3.5-2] authorizePublish, ${how}: what it refuses is not routed, what it allows is`, async () => {
    const broker = await listen({
      authorizePublish: ({ client, topic, payload }: PublishRequest) =>
        answer(client.clientId !== 'p' || (topic.startsWith('open/') && payload().toString() !== 'secret')),
    })
    const subscriber = await RawClient.connect(broker, { clientId: 's' })
    await subscriber.subscribe(['#', 0])
    for (const qos of [0, 1, 2] as const) {
      const publisher = await RawClient.connect(broker, { clientId: 'p' })
      publisher.send(publish({ topic: 'closed/x', payload: 'x', qos, id: 1 }))
      publisher.send(publish({ topic: 'open/x', payload: 'secret', qos, id: 2 }))
      publisher.send(publish({ topic: 'open/x', payload: `${qos}`, qos, id: 3 }))
      if (qos === 1) await publisher.expect('40 02 00 01 40 02 00 02 40 02 00 03')
      if (qos === 2) await publisher.expect('50 02 00 01 50 02 00 02 50 02 00 03')
      await publisher.settled()
      await subscriber.expectPublish({ topic: 'open/x', text: `${qos}` })
      publisher.destroy()
    }
    await subscriber.expectNothing()
  })

  test(`authorizeSubscribe, ${how}: a filter it refuses gets 0x80 in SUBACK and nothing else`, async () => {
    const broker = await listen({
      authorizeSubscribe: ({ topicFilter }: SubscribeRequest) => answer(!topicFilter.startsWith('secret')),
    })
    const client = await RawClient.connect(broker, { clientId: 'c' })
    client.send(subscribe(1, ['open/a', 1], ['secret/#', 2], ['open/b', 0]))
    await client.expect('90 05 00 01 01 80 00')
    for (const topic of ['secret/x', 'open/a', 'open/b']) broker.broker.publish({ topic, payload: 'x' })
    await client.expectPublish({ topic: 'open/a' })
    await client.expectPublish({ topic: 'open/b' })
    await client.expectNothing()
  })
}

test('a will that authorizePublish refuses is never published', async () => {
  const broker = await listen({ authorizePublish: ({ topic }) => topic !== 'will/closed' })
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe(['will/#', 0])
  for (const topic of ['will/closed', 'will/open']) {
    const client = await RawClient.dial(broker, connect({ clientId: topic, will: { topic, payload: 'gone' } }))
    await client.nextByte()
    client.reset()
  }
  await watcher.expectPublish({ topic: 'will/open' })
  await watcher.expectNothing()
})

test('a hook that throws or rejects refuses, and says so to nobody but the log', async () => {
  const broker = await listen({
    authenticate: ({ clientId }) => {
      if (clientId === 'throws') throw new Error('a mistake of the embedding program')
      return clientId === 'rejects' ? Promise.reject(new Error('the database is away')) : true
    },
  })
  for (const clientId of ['throws', 'rejects']) {
    const client = await RawClient.dial(broker, connect({ clientId }))
    const first = await client.nextByte()
    if (first !== undefined) assert.not.equal((await client.expectPacket('CONNACK')).body[1], 0)
    await client.expectClosed()
  }
  await (await RawClient.connect(broker, { clientId: 'fine' })).expectNothing()
})

test('an answer that is none refuses, is logged with the hook that gave it, and is no error of the broker', async () => {
  const answers: Record<string, unknown> = { nothing: undefined, text: 'yes', one: 1, success: 0, object: {} }
  const told: string[] = []
  const log = {
    debugging: false,
    debug() {},
    info() {},
    warn: (fields: object) => void told.push(JSON.stringify(fields)),
    error() {},
  }
  const broker = await listen({
    log,
    authenticate: ({ clientId }) => (clientId in answers ? answers[clientId] : true) as boolean,
    authorizePublish: ({ topic }) => answers[topic] as boolean,
    authorizeSubscribe: ({ topicFilter }) => (topicFilter === '#' ? true : soon(answers[topicFilter])) as boolean,
  })
  for (const clientId of Object.keys(answers)) {
    const client = await RawClient.dial(broker, connect({ clientId }))
    await client.expect('20 02 00 05')
    await client.expectClosed()
    assert.match(told.find((line) => line.includes(`"${clientId}"`)) ?? '', /"hook":"authenticate"/)
  }
  const client = await RawClient.connect(broker, { clientId: 'fine' })
  client.send(subscribe(1, ['#', 0], ...Object.keys(answers).map((filter) => [filter, 0] as [string, 0])))
  await client.expect('90 08 00 01 00 80 80 80 80 80')
  for (const topic of Object.keys(answers)) client.send(publish({ topic, payload: 'x' }))
  client.send(pingreq())
  await client.expect('d0 00')
  assert.is(broker.broker.counters.internalErrors, 0)
})

test('a promise that is no Promise of this program is waited for like one', async () => {
  // biome-ignore lint/suspicious/noThenProperty: other libraries' promises are objects like this one.
  const thenable = { then: (settle: (value: boolean) => void) => void setTimeout(settle, 1, true) }
  const broker = await listen({ authenticate: () => thenable as unknown as Promise<boolean> })
  await (await RawClient.connect(broker, { clientId: 'c' })).expectNothing()
})

test('a hook that never answers has refused after hook_timeout, and its client goes on', async () => {
  const broker = await listen({
    hookTimeout: 0.05,
    authorizePublish: ({ topic }) => (topic === 'never' ? new Promise(() => {}) : true),
    authorizeSubscribe: ({ topicFilter }) => (topicFilter === 'never' ? new Promise(() => {}) : true),
  })
  const client = await RawClient.connect(broker, { clientId: 'c' })
  client.send(subscribe(1, ['#', 0], ['never', 0]))
  await client.expect('90 04 00 01 00 80')
  client.send(publish({ topic: 'never', payload: 'x' }), publish({ topic: 'ever', payload: 'y' }))
  await client.expectPublish({ topic: 'ever' })
  await client.expectNothing()
})

test('packets sent behind a CONNECT that is still being decided are handled after it, in order', async () => {
  const { promise, decide } = decision<boolean>()
  const broker = await listen({ authenticate: () => promise })
  const client = await RawClient.dial(broker, connect({ clientId: 'c' }), subscribe(1, ['o', 0]))
  const messages = Array.from({ length: 300 }, (_, n) => publish({ topic: 'o', payload: `${n} ${'x'.repeat(100)}` }))
  client.send(...messages, pingreq())
  setTimeout(decide, 20, true)
  await client.expect('20 02 00 00 90 03 00 01 00')
  for (let n = 0; n < 300; n++) assert.ok((await client.expectPublish()).text.startsWith(`${n} `))
  await client.expect('d0 00')
})

test('a parked client costs nobody else anything', async () => {
  const { promise, decide } = decision<boolean>()
  const broker = await listen({ authorizePublish: ({ topic }) => (topic === 'slow' ? promise : true) })
  const parked = await RawClient.connect(broker, { clientId: 'parked' })
  await parked.subscribe(['other', 0])
  parked.send(publish({ topic: 'slow', payload: '1', qos: 1, id: 1 }))
  parked.send(publish({ topic: 'quick', payload: '2', qos: 1, id: 2 }), pingreq())
  const [subscriber, publisher] = [
    await RawClient.connect(broker, { clientId: 's' }),
    await RawClient.connect(broker, { clientId: 'p' }),
  ]
  await subscriber.subscribe(['#', 0])
  for (let n = 0; n < 50; n++) {
    await publisher.publish({ topic: 'other', payload: `${n}`, qos: 1 })
    await subscriber.expectPublish({ topic: 'other', text: `${n}` })
    // What is sent to a parked client still reaches it: only its own packets wait.
    await parked.expectPublish({ topic: 'other', text: `${n}` })
  }
  decide(true)
  await parked.expect('40 02 00 01 40 02 00 02 d0 00')
  await subscriber.expectPublish({ topic: 'slow' })
  await subscriber.expectPublish({ topic: 'quick' })
})

test('verdicts that come out of order keep the order of each client', async () => {
  const broker = await listen({
    authorizePublish: ({ payload }) =>
      new Promise((resolve) => setTimeout(resolve, 10 - (Number(payload().toString()) % 10), true)),
  })
  const subscriber = await RawClient.connect(broker, { clientId: 's' })
  await subscriber.subscribe(['o', 0])
  const publisher = await RawClient.connect(broker, { clientId: 'p' })
  publisher.send(...Array.from({ length: 50 }, (_, n) => publish({ topic: 'o', payload: `${n}`, qos: 1, id: n + 1 })))
  for (let n = 0; n < 50; n++) await subscriber.expectPublish({ text: `${n}` })
  for (let n = 0; n < 50; n++) assert.is((await publisher.expectPacket('PUBACK')).body.readUInt16BE(), n + 1)
})

test('PUBLISH and FIN of a parked client: routed and acknowledged once the verdict is there', async () => {
  const broker = await listen({ authorizePublish: () => soon(true) })
  const subscriber = await RawClient.connect(broker, { clientId: 's' })
  await subscriber.subscribe(['o', 0])
  const publisher = await RawClient.connect(broker, { clientId: 'p', will: { topic: 'o', payload: 'will' } })
  publisher.end(
    publish({ topic: 'o', payload: '1', qos: 1, id: 1 }),
    publish({ topic: 'o', payload: '2', qos: 1, id: 2 }),
  )
  await publisher.expect('40 02 00 01 40 02 00 02')
  await publisher.expectClosed('fin')
  for (const text of ['1', '2', 'will']) await subscriber.expectPublish({ text })
})

test('a client that is gone, or replaced, when its verdict comes harms nobody', async () => {
  const decisions: ((value: boolean) => void)[] = []
  const broker = await listen({
    authenticate: ({ clientId }) => clientId === 'fine' || new Promise<boolean>((resolve) => decisions.push(resolve)),
  })
  const gone = await RawClient.dial(broker, connect({ clientId: 'late' }))
  const half = await RawClient.dial(broker, connect({ clientId: 'late' }))
  const patient = await RawClient.dial(broker, connect({ clientId: 'late' }))
  const fine = await RawClient.connect(broker, { clientId: 'fine' })
  while (decisions.length < 3) await fine.settled()
  gone.reset()
  half.end()
  await fine.settled()
  for (const decide of decisions) decide(true)
  await patient.expect('20 02 00 00')
  await fine.expectNothing()
})

test('close() does not wait for a hook that never answers', async () => {
  const { broker, ...address } = await listen({ authenticate: () => new Promise<boolean>(() => {}) })
  const client = await RawClient.dial(address, connect({ clientId: 'waits' }))
  const served = await RawClient.dial(address)
  served.end()
  await served.expectClosed()
  const closed = broker.close()
  await client.expectClosed()
  await closed
})

test.run()
