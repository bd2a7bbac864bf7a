// Properties out and in again, and through a broker: what a PUBLISH sent on may change and what it must keep.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Sender } from '../../src/mqtt/packet-type.ts'
import { PacketType } from '../../src/mqtt/packet-type.ts'
import {
  encodeProperties,
  NO_PROPERTIES,
  type Properties,
  type PropertyPlace,
  propertiesSize,
  readProperties,
  WILL_PROPERTIES,
  writeForwardedProperties,
  writeProperties,
} from '../../src/mqtt/properties.ts'
import { readVariableByteInteger, variableByteIntegerSize } from '../../src/mqtt/variable-byte-integer.ts'

const text = fc.string({ unit: 'binary', maxLength: 20 }).map((string) => string.replaceAll('\0', ''))
const topic = text.map((string) => `t${string.replace(/[+#]/g, '')}`)
const data = fc.uint8Array({ maxLength: 300 })
const bit = fc.nat(1)
const uint16 = fc.nat(65535)
const count16 = fc.integer({ min: 1, max: 65535 })
const uint32 = fc.nat(0xffffffff)
const count32 = fc.integer({ min: 1, max: 0xffffffff })
const identifier = fc.integer({ min: 1, max: 268_435_455 })
const userProperties = fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 6 })
const reason = { reasonString: text, userProperties }
const none = { requiredKeys: [] as never[], noNullPrototype: true }

const message = {
  payloadFormatIndicator: bit,
  messageExpiryInterval: uint32,
  contentType: text,
  responseTopic: topic,
  correlationData: data,
  userProperties,
}
const published = fc.record({ ...message, topicAlias: count16 }, none)

const places: readonly (readonly [PropertyPlace, Sender, fc.Arbitrary<Properties>])[] = [
  [WILL_PROPERTIES, 'client', fc.record({ ...message, willDelayInterval: uint32 }, none)],
  [PacketType.Publish, 'client', published],
  [
    PacketType.Publish,
    'server',
    fc.record(
      { ...message, topicAlias: count16, subscriptionIdentifiers: fc.array(identifier, { minLength: 1 }) },
      none,
    ),
  ],
  [
    PacketType.Connect,
    'client',
    fc.record(
      {
        sessionExpiryInterval: uint32,
        authenticationMethod: text,
        requestProblemInformation: fc.boolean(),
        requestResponseInformation: fc.boolean(),
        receiveMaximum: count16,
        topicAliasMaximum: uint16,
        maximumPacketSize: count32,
        userProperties,
      },
      none,
    ),
  ],
  [
    PacketType.Connack,
    'server',
    fc.record(
      {
        ...reason,
        sessionExpiryInterval: uint32,
        assignedClientIdentifier: text,
        serverKeepAlive: uint16,
        authenticationMethod: text,
        responseInformation: text,
        serverReference: text,
        receiveMaximum: count16,
        topicAliasMaximum: uint16,
        maximumQos: bit,
        retainAvailable: fc.boolean(),
        maximumPacketSize: count32,
        wildcardSubscriptionAvailable: fc.boolean(),
        subscriptionIdentifiersAvailable: fc.boolean(),
        sharedSubscriptionAvailable: fc.boolean(),
      },
      none,
    ),
  ],
  [PacketType.Puback, 'server', fc.record(reason, none)],
  [
    PacketType.Subscribe,
    'client',
    fc.record({ userProperties, subscriptionIdentifiers: fc.array(identifier, { minLength: 1, maxLength: 1 }) }, none),
  ],
  [PacketType.Disconnect, 'client', fc.record({ ...reason, sessionExpiryInterval: uint32 }, none)],
  [PacketType.Disconnect, 'server', fc.record({ ...reason, serverReference: text }, none)],
  [
    PacketType.Auth,
    'client',
    fc.record(
      { ...reason, authenticationMethod: text, authenticationData: data },
      { requiredKeys: ['authenticationMethod'], noNullPrototype: true },
    ),
  ],
]

/** The properties of encoded bytes, and a check that they are as long as they say. */
function read(bytes: Uint8Array, place: PropertyPlace, sender: Sender): Properties {
  const length = readVariableByteInteger(bytes, 0, bytes.length)
  const first = variableByteIntegerSize(length)
  assert.is(first + length, bytes.length)
  return readProperties(bytes, first, bytes.length, place, sender)
}

for (const [place, sender, arbitrary] of places) {
  test(`[MQTT-3.3.2-18] properties of place ${place}, said by the ${sender}, come back as they went`, () => {
    fc.assert(
      fc.property(arbitrary, (properties) => {
        const bytes = encodeProperties(properties)
        const size = propertiesSize(properties)
        assert.is(bytes.length, variableByteIntegerSize(size) + size)
        assert.equal(read(bytes, place, sender), properties)
      }),
      { numRuns: 300 },
    )
  })
}

test('no properties are one byte, one frozen object, and nothing else', () => {
  assert.equal([...encodeProperties(undefined)], [0])
  assert.equal([...encodeProperties({})], [0])
  assert.is(read(Uint8Array.of(0), PacketType.Publish, 'client'), NO_PROPERTIES)
  assert.ok(Object.isFrozen(NO_PROPERTIES))
})

test('what the wire cannot say is a RangeError', () => {
  const impossible: Properties[] = [
    { reasonString: 'x'.repeat(65536) },
    { correlationData: new Uint8Array(65536) },
    { receiveMaximum: 65536 },
    { receiveMaximum: -1 },
    { sessionExpiryInterval: 2 ** 32 },
    { sessionExpiryInterval: 0.5 },
    { payloadFormatIndicator: 2 },
    { subscriptionIdentifiers: [268_435_456] },
    { userProperties: [['x'.repeat(65536), '']] },
  ]
  for (const properties of impossible) {
    assert.throws(
      () => encodeProperties(properties),
      (error: unknown) => error instanceof RangeError,
    )
  }
  assert.throws(
    () => writeProperties(new Uint8Array(4), 0, { reasonString: 'long' }),
    (error: unknown) => error instanceof RangeError,
  )
})

test('the longest strings and data the wire can say come back', () => {
  const longest = { contentType: 'x'.repeat(65535), correlationData: new Uint8Array(65535).fill(7) }
  assert.equal(read(encodeProperties(longest), PacketType.Publish, 'client'), longest)
})

test('an error says where the property stood, fit for the log', () => {
  const twice = Uint8Array.of(0x18, 0, 0, 0, 1, 0x18, 0, 0, 0, 1)
  assert.throws(() => readProperties(twice, 0, 10, WILL_PROPERTIES), /^Will with more than one Will Delay Interval/)
  assert.throws(() => readProperties(twice, 0, 10, PacketType.Publish), /^PUBLISH with Will Delay Interval/)
  assert.throws(() => readProperties(twice, 0, 3, WILL_PROPERTIES), /^Will cuts off its Will Delay Interval/)
})

test('binary values are copies: the bytes they were read from may change', () => {
  const bytes = Buffer.from(encodeProperties({ correlationData: Uint8Array.of(1, 2) }))
  const properties = read(bytes, PacketType.Publish, 'client')
  bytes.fill(0xa5)
  assert.equal([...(properties.correlationData ?? [])], [1, 2])
})

const changes = fc.record(
  {
    messageExpiryInterval: uint32,
    topicAlias: uint16,
    subscriptionIdentifiers: fc.array(identifier, { maxLength: 4 }),
  },
  none,
)

test('[MQTT-3.3.2-17] [MQTT-3.3.2-6] a PUBLISH sent on keeps all but alias and expiry, and gets its identifiers', () => {
  fc.assert(
    fc.property(published, changes, (properties, change) => {
      const block = encodeProperties(properties)
      const length = propertiesSize(properties)
      const bytes = new Uint8Array(block.length + 9).fill(0xa5)
      bytes.set(block, 4)
      const target = new Uint8Array(2048).fill(0xa5)
      const end = writeForwardedProperties(target, 7, bytes, 4 + block.length - length, length, change)
      const { topicAlias: _, ...expected } = { ...properties } as Record<string, unknown>
      if (change.topicAlias) expected.topicAlias = change.topicAlias
      if (change.subscriptionIdentifiers?.length) expected.subscriptionIdentifiers = change.subscriptionIdentifiers
      if (change.messageExpiryInterval !== undefined && properties.messageExpiryInterval !== undefined) {
        expected.messageExpiryInterval = change.messageExpiryInterval
      }
      assert.equal(read(target.subarray(7, end), PacketType.Publish, 'server'), expected)
      assert.ok(target.subarray(end).every((byte) => byte === 0xa5))
      assert.throws(
        () => writeForwardedProperties(new Uint8Array(end - 8), 0, bytes, 4 + block.length - length, length, change),
        (error: unknown) => error instanceof RangeError,
      )
    }),
    { numRuns: 1000 },
  )
})

test('[MQTT-3.3.2-18] a PUBLISH sent on keeps the order of its properties', () => {
  const block = Buffer.from('2600016200013126000161000132230005030001782600016200 0133'.replaceAll(' ', ''), 'hex')
  const target = new Uint8Array(64)
  const end = writeForwardedProperties(target, 0, block, 0, block.length)
  const expected = '2600016200013126000161000132' + '03000178' + '26000162000133'
  assert.is(Buffer.from(target.subarray(1, end)).toString('hex'), expected)
  assert.is(target[0], expected.length / 2)
})

test.run()
