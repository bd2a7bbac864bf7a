// Enhanced authentication through createBroker({ beginAuthentication }): a small challenge and response, at once and with
// promises; re-authentication; and everything a client may get wrong meanwhile. Also the exchange of one network turn.
import { createHash } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AuthenticationExchange, type AuthenticationStep, ReasonCode } from '../../src/index.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import { pingreq, subscribe } from '../support/packets.ts'
import { auth5, Client5, connect5, disconnect5, p, publish5, subscribe5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const soon = <T>(value: T): Promise<T> => new Promise((resolve) => setTimeout(() => resolve(value), 5))
const atOnce = <T>(value: T): T => value
const proofOf = (challenge: string, secret: string) =>
  createHash('sha256')
    .update(challenge + secret)
    .digest('hex')

let challenges = 0

/** The client names itself, is challenged, proves it knows the secret, and is told a last word. */
class Exchange implements AuthenticationExchange {
  readonly #answer: <T>(value: T) => T | Promise<T>
  #challenge: string | undefined

  constructor(answer: <T>(value: T) => T | Promise<T>) {
    this.#answer = answer
  }

  step(data: Uint8Array | undefined): AuthenticationStep | Promise<AuthenticationStep> {
    return this.#answer(this.#next(data === undefined ? undefined : Buffer.from(data).toString()))
  }

  #next(text: string | undefined): AuthenticationStep {
    if (this.#challenge === undefined) {
      if (text !== 'me') return { outcome: 'failure', reasonCode: ReasonCode.BadUserNameOrPassword }
      this.#challenge = `challenge ${++challenges}`
      return { outcome: 'continue', data: Buffer.from(this.#challenge) }
    }
    if (text !== proofOf(this.#challenge, 'secret')) return { outcome: 'failure' }
    return { outcome: 'success', data: Buffer.from('welcome') }
  }
}

const authenticating = (answer: <T>(value: T) => T | Promise<T>) =>
  listen({
    beginAuthentication: ({ method }) => (method === 'TEST' ? new Exchange(answer) : undefined),
    connectTimeout: 60,
  })

const step = (code: number, data: string, method = 'TEST') => auth5(code, [p.authMethod(method), p.authData(data)])
const hello = { clientId: 'c', properties: [p.authMethod('TEST'), p.authData('me')] }

const challengeOf = async (client: Client5): Promise<string> => {
  const { code, properties } = await client.auth()
  assert.is(code, 0x18)
  assert.is(properties[0], 'authMethod TEST')
  return properties[1]!.slice('authData '.length)
}

const connected = async (broker: { host: string; port: number }, clientId = 'c'): Promise<Client5> => {
  const client = await Client5.begin(broker, { ...hello, clientId })
  client.raw.send(step(0x18, proofOf(await challengeOf(client), 'secret')))
  await client.readConnack()
  assert.is(client.code, 0)
  return client
}

for (const [how, answer] of [
  ['at once', atOnce],
  ['with promises', soon],
] as const) {
  test(`[MQTT-4.12.0-2] ${how}: challenge, response, CONNACK with the method and the last word`, async () => {
    const broker = await authenticating(answer)
    const client = await connected(broker)
    assert.ok(client.properties.includes('authMethod TEST') && client.properties.includes('authData welcome'))
    await client.subscribe([], ['t', 1])
    await client.publish({ topic: 't', payload: 'x', qos: 1 })
    await client.receive({ text: 'x' })
  })

  test(`[MQTT-4.12.0-4] ${how}: a failure is CONNACK with its code, then closed`, async () => {
    const broker = await authenticating(answer)
    const stranger = await Client5.dial(broker, { ...hello, properties: [p.authMethod('TEST'), p.authData('you')] })
    assert.is(stranger.code, 0x86)
    await stranger.raw.expectClosed('fin')
    const wrong = await Client5.begin(broker, hello)
    await challengeOf(wrong)
    wrong.raw.send(step(0x18, 'guessed'))
    await wrong.readConnack()
    assert.is(wrong.code, 0x87)
    await wrong.raw.expectClosed('fin')
    assert.is(broker.broker.counters.clientsConnected, 0)
  })

  test(`[MQTT-4.12.1-1] [MQTT-4.12.1-2] ${how}: re-authentication, while messages flow; a failure is DISCONNECT`, async () => {
    const broker = await authenticating(answer)
    const client = await connected(broker)
    await client.subscribe([], ['t', 1])
    for (let round = 0; round < 2; round++) {
      client.raw.send(step(0x19, 'me'))
      const challenge = await challengeOf(client)
      await client.publish({ topic: 't', payload: 'meanwhile', qos: 1 })
      await client.receive({ text: 'meanwhile' })
      client.raw.send(step(0x18, proofOf(challenge, 'secret')), publish5({ topic: 't', payload: 'behind' }))
      const { code, properties } = await client.auth()
      assert.is(code, 0)
      assert.equal(properties, ['authMethod TEST', 'authData welcome'])
      await client.receive({ text: 'behind' })
    }
    client.raw.send(step(0x19, 'me'))
    await challengeOf(client)
    client.raw.send(step(0x18, 'guessed'), publish5({ topic: 't', payload: 'too late' }))
    await client.disconnected(0x87)
    assert.is(broker.broker.counters.internalErrors, 0)
  })

  test(`${how}: the whole exchange in one segment is handled in its order`, async () => {
    const broker = await authenticating(answer)
    const known = `challenge ${challenges + 1}`
    const client = await RawClient.dial(
      broker,
      connect5(hello),
      step(0x18, proofOf(known, 'secret')),
      subscribe5(1, [], ['t', 0]),
      pingreq(),
    )
    for (const type of ['AUTH', 'CONNACK', 'SUBACK', 'PINGRESP'] as const) await client.expectPacket(type)
  })

  test(`${how}: a client that is gone in the middle of its exchange leaves nothing behind`, async () => {
    const broker = await authenticating(answer)
    const client = await Client5.begin(broker, hello)
    const challenge = await challengeOf(client)
    client.raw.end(step(0x18, proofOf(challenge, 'secret')))
    await client.raw.readToEnd()
    const other = await connected(broker)
    assert.is(other.present, false)
    await other.settled()
    assert.is(broker.broker.counters.internalErrors, 0)
  })
}

test('[MQTT-4.12.0-1] a method nobody offers is 0x8C, with the hook and without', async () => {
  for (const broker of [await authenticating(atOnce), await listen()]) {
    const client = await Client5.dial(broker, { clientId: 'c', properties: [p.authMethod('OTHER')] })
    assert.is(client.code, 0x8c)
    await client.raw.expectClosed('fin')
  }
})

test('a client without a method is asked nothing, and goes the usual way', async () => {
  const broker = await authenticating(atOnce)
  const client = await Client5.connect(broker, { clientId: 'c' })
  assert.is(
    client.properties.some((text) => text.startsWith('auth')),
    false,
  )
  await client.settled()
})

for (const [what, bytes] of [
  ['PUBLISH', publish5({ topic: 't', payload: '' })],
  ['SUBSCRIBE', subscribe(1, ['t', 0])],
  ['PINGREQ', pingreq()],
  ['a second CONNECT', connect5(hello)],
  ['AUTH of another method', step(0x18, 'x', 'OTHER')],
  ['AUTH without a method', auth5(0x18, [])],
  ['AUTH that begins anew', step(0x19, 'me')],
] as const) {
  test(`[MQTT-3.1.2-30] ${what} during the exchange of a CONNECT is refused, and never answered`, async () => {
    const broker = await authenticating(atOnce)
    const client = await Client5.begin(broker, hello)
    await challengeOf(client)
    client.raw.send(bytes)
    await client.readConnack() // no DISCONNECT before a CONNACK that accepts [MQTT-3.14.0-1]
    assert.ok(client.code >= 0x80, `${client.code}`)
    await client.raw.expectClosed('fin')
  })
}

test('DISCONNECT during the exchange of a CONNECT ends it without another word', async () => {
  const broker = await authenticating(atOnce)
  const client = await Client5.begin(broker, hello)
  await challengeOf(client)
  client.raw.send(disconnect5(0))
  await client.raw.expectClosed('fin')
})

for (const [what, bytes] of [
  ['AUTH of another method', step(0x19, 'me', 'OTHER')],
  ['AUTH that continues nothing', step(0x18, 'x')],
  ['AUTH that says success', step(0x00, 'x')],
  ['AUTH without properties', auth5(0x19, [])],
] as const) {
  test(`[MQTT-4.12.0-5] ${what} on a connection that is authenticated is a protocol error`, async () => {
    const broker = await authenticating(atOnce)
    const client = await connected(broker)
    client.raw.send(bytes)
    await client.disconnected(0x82)
  })
}

test('[MQTT-4.12.0-6] AUTH of a client that named no method is a protocol error', async () => {
  const broker = await authenticating(atOnce)
  const client = await Client5.connect(broker, { clientId: 'c' })
  client.raw.send(step(0x19, 'me'))
  await client.disconnected(0x82)
})

test('a method that is no longer offered when a client re-authenticates is 0x8C', async () => {
  let offered = true
  const broker = await listen({
    beginAuthentication: () => (offered ? { step: () => ({ outcome: 'success' }) } : undefined),
  })
  const client = await Client5.connect(broker, hello)
  offered = false
  client.raw.send(step(0x19, 'me'))
  await client.disconnected(0x8c)
  assert.is(broker.broker.counters.internalErrors, 0)
})

test('an exchange that throws, rejects or answers nothing refuses its client, and only that one', async () => {
  const broker = await listen({
    beginAuthentication: ({ clientId }) => ({
      step: () => {
        if (clientId === 'throws') throw new Error('the hook is broken')
        if (clientId === 'nothing') return undefined as never
        return clientId === 'rejects' ? Promise.reject(new Error('the hook is broken')) : { outcome: 'success' }
      },
    }),
  })
  for (const clientId of ['throws', 'rejects', 'nothing']) {
    const client = await Client5.dial(broker, { ...hello, clientId })
    assert.is(client.code, 0x80)
    await client.raw.expectClosed('fin')
  }
  assert.is(broker.broker.counters.internalErrors, 0)
  await (await Client5.connect(broker, hello)).settled()
})

test('authentication data larger than the outbox goes both ways', async () => {
  const large = 'd'.repeat(65_000)
  let steps = 0
  const broker = await listen({
    beginAuthentication: () => ({
      step: (data) => {
        assert.is(data?.length, large.length)
        return { outcome: ++steps === 1 ? 'continue' : 'success', data: Buffer.from(large) }
      },
    }),
  })
  const client = await Client5.begin(broker, { clientId: 'c', properties: [p.authMethod('TEST'), p.authData(large)] })
  assert.is((await challengeOf(client)).length, large.length)
  client.raw.send(step(0x18, large))
  await client.readConnack()
  assert.is(client.code, 0)
  assert.ok(client.properties.includes(`authData ${large}`))
})

test.run()
