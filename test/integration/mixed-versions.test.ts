// Publishers of MQTT 3.1, 3.1.1 and 5.0 to subscribers of all three, byte for byte: every QoS with every QoS, to one and
// to many (native groups and lists), live, queued and retained. The golden packets at the top are written out by hand.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, type EmbeddedBroker, listen } from '../support/embedded.ts'
import { connect, hex, type ProtocolVersion, publish, pubrel, type QoS, subscribe } from '../support/packets.ts'
import { answer5, connect5, p, publish5, subscribe5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const versions: readonly ProtocolVersion[] = ['3.1', '3.1.1', '5']
const qualities: readonly QoS[] = [0, 1, 2]
const properties = [p.user('b', '2'), p.contentType('x'), p.user('a', '1')]

/** What a publisher of each version sends, with packet identifier 1. `F` stands for the QoS bits and RETAIN. */
const sent = {
  3: { 0: '3F 06 00 02 74 31 68 69', 1: '3F 08 00 02 74 31 00 01 68 69' },
  5: {
    0: '3F 19 00 02 74 31 12 26 00 01 62 00 01 32 03 00 01 78 26 00 01 61 00 01 31 68 69',
    1: '3F 1b 00 02 74 31 00 01 12 26 00 01 62 00 01 32 03 00 01 78 26 00 01 61 00 01 31 68 69',
  },
} as const

/** What a receiver gets: its own version's form of what the publisher's could carry; `..` is its packet identifier. */
const golden = {
  '3 to 3': { 0: '3F 06 00 02 74 31 68 69', 1: '3F 08 00 02 74 31 .. .. 68 69' },
  '3 to 5': { 0: '3F 07 00 02 74 31 00 68 69', 1: '3F 09 00 02 74 31 .. .. 00 68 69' },
  '5 to 3': { 0: '3F 06 00 02 74 31 68 69', 1: '3F 08 00 02 74 31 .. .. 68 69' },
  '5 to 5': { 0: sent[5][0], 1: sent[5][1].replace('00 01 12', '.. .. 12') },
} as const

const family = (version: ProtocolVersion): 3 | 5 => (version === '5' ? 5 : 3)
const first = (qos: QoS, retain: boolean) => ((qos << 1) | (retain ? 1 : 0)).toString(16)

const goldenPacket = (from: ProtocolVersion, to: ProtocolVersion, qos: QoS, retain = false): string => {
  const forms = golden[`${family(from)} to ${family(to)}`]
  return forms[qos === 0 ? 0 : 1].replace('F', first(qos, retain))
}

const open = async (broker: EmbeddedBroker, version: ProtocolVersion, clientId: string, clean = true) => {
  const lasting = [p.sessionExpiry(clean ? 0 : 1000)]
  const bytes =
    version === '5' ? connect5({ clientId, clean, properties: lasting }) : connect({ clientId, version, clean })
  const client = await RawClient.dial(broker, bytes)
  assert.is((await client.expectPacket('CONNACK')).body[1], 0)
  return client
}

const subscribeTo = async (client: RawClient, version: ProtocolVersion, filter: string, qos: QoS) => {
  client.send(version === '5' ? subscribe5(1, [], [filter, qos]) : subscribe(1, [filter, qos]))
  const { body } = await client.expectPacket('SUBACK')
  assert.is(body.at(-1), qos)
}

/** Publishes the golden message and goes through the exchange of its QoS. */
const say = async (client: RawClient, version: ProtocolVersion, qos: QoS, retain = false) => {
  client.send(sent[family(version)][qos === 0 ? 0 : 1].replace('F', first(qos, retain)))
  if (qos === 0) return client.settled()
  await client.expectPacket(qos === 1 ? 'PUBACK' : 'PUBREC')
  if (qos === 1) return
  client.send(pubrel(1))
  await client.expectPacket('PUBCOMP')
}

/** Expects exactly these bytes and acknowledges them; nothing may follow. */
const hear = async (client: RawClient, packet: string, qos: QoS) => {
  // The identifier is read out of the bytes: it stands behind the topic.
  const copy = packet.replaceAll(' ', '')
  const received = await client.nextPacket(packet)
  const bytes = Buffer.concat([Buffer.from([0x30 | received.flags, received.body.length]), received.body])
  const matches = copy.match(/../g)!.every((digits, at) => digits === '..' || Number.parseInt(digits, 16) === bytes[at])
  assert.ok(matches && bytes.length * 2 === copy.length, `${bytes.toString('hex')}, not ${copy}`)
  const id = qos === 0 ? 0 : received.body.readUInt16BE(4)
  if (qos === 1) client.send(answer5('PUBACK', id))
  if (qos === 2) {
    client.send(answer5('PUBREC', id))
    await client.expectPacket('PUBREL')
    client.send(answer5('PUBCOMP', id))
  }
}

for (const from of versions) {
  for (const count of [1, 6]) {
    test(`${from} to ${count} of each version and QoS: the bytes of every live message`, async () => {
      const broker = await listen()
      const publisher = await open(broker, from, 'publisher')
      const receivers: { client: RawClient; version: ProtocolVersion; granted: QoS }[] = []
      for (const version of versions) {
        for (const granted of qualities) {
          for (let n = 0; n < count; n++) {
            const client = await open(broker, version, `${version}-${granted}-${n}`)
            await subscribeTo(client, version, 't1', granted)
            receivers.push({ client, version, granted })
          }
        }
      }
      for (const qos of qualities) {
        for (const retain of [false, true]) {
          await say(publisher, from, qos, retain)
          for (const { client, version, granted } of receivers) {
            const its = Math.min(qos, granted) as QoS
            await hear(client, goldenPacket(from, version, its), its) // RETAIN is 0 [MQTT-3.3.1-9]
          }
        }
      }
      for (const { client } of receivers) await client.expectNothing()
      assert.is(broker.broker.counters.internalErrors, 0)
    })

    test(`${from} to ${count} of each version with one QoS: native groups and lists write the same bytes`, async () => {
      for (const granted of qualities) {
        const broker = await listen()
        const publisher = await open(broker, from, 'publisher')
        const receivers: { client: RawClient; version: ProtocolVersion }[] = []
        for (const version of versions) {
          for (let n = 0; n < count; n++) {
            const client = await open(broker, version, `${version}-${n}`)
            await subscribeTo(client, version, n % 2 === 0 ? 't1' : '+', granted)
            receivers.push({ client, version })
          }
        }
        for (let round = 0; round < 3; round++) {
          for (const qos of qualities) {
            await say(publisher, from, qos)
            const its = Math.min(qos, granted) as QoS
            for (const { client, version } of receivers) await hear(client, goldenPacket(from, version, its), its)
          }
        }
        for (const { client } of receivers) await client.expectNothing()
      }
    })
  }

  test(`${from}: the bytes of retained messages, to subscribers of each version and QoS`, async () => {
    const broker = await listen({ sysInterval: 0 })
    const publisher = await open(broker, from, 'publisher')
    for (const qos of qualities) {
      await say(publisher, from, qos, true)
      for (const version of versions) {
        for (const granted of qualities) {
          const client = await open(broker, version, 'late')
          await subscribeTo(client, version, '#', granted)
          const its = Math.min(qos, granted) as QoS
          await hear(client, goldenPacket(from, version, its, true), its)
          await client.expectNothing()
          client.reset()
        }
      }
    }
  })

  test(`${from}: the bytes of queued messages, and the session may come back with another version`, async () => {
    const broker = await listen()
    const publisher = await open(broker, from, 'publisher')
    for (const was of versions) {
      for (const is of versions) {
        for (const qos of [1, 2] as const) {
          const clientId = `${was}-${is}-${qos}`
          const before = await open(broker, was, clientId, false)
          await subscribeTo(before, was, 't1', 2)
          await before.disconnect()
          await say(publisher, from, qos)
          const after = await open(broker, is, clientId, false)
          await hear(after, goldenPacket(from, is, qos), qos)
          // Live again, after its change of version.
          await say(publisher, from, qos)
          await hear(after, goldenPacket(from, is, qos), qos)
          await after.expectNothing()
          // In flight once more, and resent with DUP to the version that comes then.
          await say(publisher, from, qos)
          await after.expectPacket('PUBLISH')
          after.reset()
          const resumed = await open(broker, was, clientId, false)
          const again = goldenPacket(from, was, qos).replace(/^3./, `3${(8 | (qos << 1)).toString(16)}`)
          await hear(resumed, again, qos)
          await resumed.expectNothing()
          resumed.reset()
          const end = await open(broker, was, clientId, true)
          end.reset()
        }
      }
    }
  })
}

test('members of one filter that come, go and change versions: everyone always gets their own form', async () => {
  const broker = await listen()
  const publishers = await Promise.all(versions.map((version) => open(broker, version, `publisher ${version}`)))
  const online = new Map<string, { client: RawClient; version: ProtocolVersion }>()
  for (let round = 0; round < 60; round++) {
    const clientId = `c${(round * 7) % 13}`
    const there = online.get(clientId)
    if (there !== undefined && round % 3 === 0) {
      online.delete(clientId)
      there.client.reset()
    } else {
      const version = versions[(round * 5) % 3]!
      const client = await open(broker, version, clientId, false) // takes over whoever is there
      await subscribeTo(client, version, 't1', 0)
      online.set(clientId, { client, version })
    }
    const from = versions[round % 3]!
    await say(publishers[round % 3]!, from, 0)
    for (const { client, version } of online.values()) await hear(client, goldenPacket(from, version, 0), 0)
  }
  assert.is(broker.broker.counters.internalErrors, 0)
})

test('a large payload in all nine combinations, to one and to many', async () => {
  const broker = await listen()
  const payload = Buffer.alloc(300_000, 'large')
  const receivers: { client: RawClient; version: ProtocolVersion }[] = []
  for (const version of versions) {
    for (let n = 0; n < 5; n++) {
      const client = await open(broker, version, `${version}-${n}`)
      await subscribeTo(client, version, 't', n === 4 ? 2 : 1)
      receivers.push({ client, version })
    }
  }
  for (const from of versions) {
    const publisher = await open(broker, from, `publisher ${from}`)
    for (const qos of qualities) {
      const message = { topic: 't', payload, qos, id: 1 }
      publisher.send(from === '5' ? publish5({ ...message, properties }) : publish(message))
      for (const [at, { client, version }] of receivers.entries()) {
        const packet = await client.expectPacket('PUBLISH')
        const its = Math.min(qos, at % 5 === 4 ? 2 : 1)
        assert.is((packet.flags >> 1) & 3, its)
        const block =
          from === '5' && version === '5' ? '12260001620001320300017826000161000131' : version === '5' ? '00' : ''
        const head = Buffer.concat([hex('00 01 74'), packet.body.subarray(3, its > 0 ? 5 : 3), hex(block)])
        assert.ok(Buffer.compare(packet.body, Buffer.concat([head, payload])) === 0)
        const id = its === 0 ? 0 : packet.body.readUInt16BE(3)
        if (its === 1) client.send(answer5('PUBACK', id))
        if (its === 2) {
          client.send(answer5('PUBREC', id))
          await client.expectPacket('PUBREL')
          client.send(answer5('PUBCOMP', id))
        }
      }
    }
  }
})

test.run()
