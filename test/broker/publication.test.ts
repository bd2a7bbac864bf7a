// The property block of an outgoing PUBLISH against mqtt-packet, and the life of a publication: one frame, however many
// need it, given back when the last one does not.

import * as fc from 'fast-check'
import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { forwardableBytes, forwardableProperties } from '../../src/broker/forwardable-properties.ts'
import { propertyBlock, secondsLeft } from '../../src/broker/publication.ts'
import { PublishView, readPublish } from '../../src/mqtt/publish.ts'
import './raw-client.ts'
import { headerLength, Rig } from './rig.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((each) => !each.includes('\0'))
const properties = fc.record(
  {
    payloadFormatIndicator: fc.boolean(),
    contentType: text,
    responseTopic: fc.constantFrom('r', 'a/b'),
    correlationData: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    // mqtt-packet loses an empty value when its name comes again.
    userProperties: fc.array(
      fc.tuple(
        text,
        text.filter((value) => value !== ''),
      ),
      { maxLength: 4 },
    ),
  },
  { requiredKeys: [] },
)
const ids = fc.option(fc.array(fc.integer({ min: 1, max: 268_435_455 }), { minLength: 1, maxLength: 4 }), {
  nil: undefined,
})
const expiry = fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 0, max: 0xffffffff }))

/** A whole PUBLISH of QoS 0 to topic `t` around a property block, read by mqtt-packet. */
function read(block: Uint8Array): IPublishPacket['properties'] {
  const body = Buffer.concat([Buffer.from([0, 1, 0x74]), block, Buffer.from('payload')])
  const length: number[] = []
  for (let rest = body.length; ; rest = rest >>> 7) {
    length.push((rest & 127) | (rest > 127 ? 128 : 0))
    if (rest <= 127) break
  }
  let packet: IPublishPacket | undefined
  const reader = parser({ protocolVersion: 5 })
  reader.on('packet', (each: Packet) => {
    packet = each as IPublishPacket
  })
  reader.on('error', (error: Error) => {
    throw error
  })
  reader.parse(Buffer.concat([Buffer.from([0x30, ...length]), body]))
  assert.is(packet?.payload.toString(), 'payload')
  return packet?.properties
}

test('[MQTT-3.3.2-18] a property block says what mqtt-packet reads, in one form whether it came as bytes or as an object', () => {
  void fc.assert(
    fc.property(
      properties,
      ids,
      expiry,
      fc.integer({ min: 0, max: 65535 }),
      (given, subscriptionIds, seconds, alias) => {
        const { userProperties, payloadFormatIndicator, ...rest } = given
        const model = {
          ...given,
          ...(payloadFormatIndicator === undefined ? {} : { payloadFormatIndicator: payloadFormatIndicator ? 1 : 0 }),
          ...(userProperties === undefined ? {} : { userProperties: userProperties }),
        }
        const forwarded = forwardableProperties(model as Parameters<typeof forwardableProperties>[0])
        const told = read(propertyBlock(forwarded, seconds, subscriptionIds, alias))
        assert.is(told?.messageExpiryInterval, seconds === Number.POSITIVE_INFINITY ? undefined : seconds)
        assert.is(told?.topicAlias, alias === 0 ? undefined : alias)
        assert.is(told?.payloadFormatIndicator, payloadFormatIndicator)
        assert.is(told?.contentType, rest.contentType)
        assert.is(told?.responseTopic, rest.responseTopic)
        assert.equal(told?.correlationData, rest.correlationData)
        const single = subscriptionIds?.length === 1 ? subscriptionIds[0] : subscriptionIds
        assert.equal(told?.subscriptionIdentifier, single)
        const pairs = Object.entries(told?.userProperties ?? {}).flatMap(([name, value]) =>
          [value].flat().map((each) => [name, each]),
        )
        const sorted = (list: readonly (readonly (string | undefined)[])[]) =>
          list.map((each) => each.join('\0')).sort()
        assert.equal(sorted(pairs), sorted((userProperties ?? []).map((each) => [...each])))

        // The same properties on the wire, with what does not travel among them.
        const wire = generate(
          {
            cmd: 'publish',
            topic: 't',
            payload: 'payload',
            qos: 0,
            retain: false,
            dup: false,
            properties: {
              ...rest,
              topicAlias: 7,
              messageExpiryInterval: 9,
              ...(payloadFormatIndicator === undefined ? {} : { payloadFormatIndicator }),
            },
          },
          { protocolVersion: 5 },
        )
        const at = headerLength(wire)
        const view = new PublishView()
        readPublish(view, wire[0]!, wire, at, wire.length - at, 5)
        const again = read(
          propertyBlock(forwardableBytes(wire, view.propertiesOffset, view.propertiesLength), Infinity, undefined),
        )
        assert.is(again?.topicAlias, undefined)
        assert.is(again?.messageExpiryInterval, undefined)
        assert.is(again?.contentType, rest.contentType)
        assert.equal(again?.correlationData, rest.correlationData)
      },
    ),
    { numRuns: 500 },
  )
})

test('[MQTT-3.3.2-6] seconds left are rounded up, so that a live message never shows 0', () => {
  assert.equal(
    [
      secondsLeft(1000, 0),
      secondsLeft(1000, 1),
      secondsLeft(1000, 999),
      secondsLeft(1000, 1000),
      secondsLeft(1000, 5000),
    ],
    [1, 1, 1, 0, 0],
  )
  assert.is(secondsLeft(Number.POSITIVE_INFINITY, 5), Number.POSITIVE_INFINITY)
})

test('a message is kept once, whoever asks, and given back when nobody holds it', () => {
  const rig = new Rig()
  rig.reactor.turn(() => {
    const publication = rig.inbox('t', 'x', { qos: 1 })
    const message = publication.keep()
    assert.is(publication.keep(), message)
    const held = publication.detach()
    publication.drop()
    assert.is(held.message, message)
    assert.is(rig.reactor.kept.held, 1)
    held.drop()
    assert.is(rig.reactor.kept.held, 0)
  })
  assert.is(rig.reactor.frames.size, 0)
})

test('a publication nobody keeps costs no frame, one that was only looked at gives it back', () => {
  const rig = new Rig()
  rig.reactor.turn(() => {
    rig.inbox('t', 'x').drop()
    const publication = rig.inbox('t', 'hello')
    assert.is(publication.keep().payload().toString(), 'hello')
    publication.drop()
  })
  assert.is(rig.reactor.frames.size, 0)
})

test('properties larger than the outbox reach one receiver and many, from the inbox and from a queue', () => {
  const rig = new Rig({ outbox: [4096, 1024] })
  const large = new Uint8Array(5000)
  large.set([38, 0, 1, 0x6b, 0x13, 0x80])
  const forwarded = large.subarray(0, 6 + 0x1380)
  for (const members of [1, 6]) {
    for (let n = 0; n < members; n++) {
      rig
        .connected(`m${members}-${n}`, { version: 5 })
        .subscribe(`t${members}`, { qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 0 }, 0)
    }
    for (const qos of [0, 1] as const) {
      rig.reactor.turn(() => {
        const publication = rig.inbox(`t${members}`, 'payload', { qos })
        publication.properties = forwarded
        rig.context.router.publish(publication)
        publication.drop()
      })
      const { written } = rig.reactor.take()
      assert.is(written.length, members)
      for (const { topic, payload, middle } of written) {
        assert.is(topic, `t${members}`)
        assert.ok(payload.endsWith('payload') && payload.length + middle.length === 2 + forwarded.length + 7)
      }
      assert.is(rig.reactor.frames.size, 0)
    }
  }
})

test.run()
