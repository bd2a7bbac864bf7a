// Malformed packets and Protocol Errors of MQTT 5.0: properties in the wrong place, too often, with impossible values.

import { defineCase } from '../../case.ts'
import type { Context } from '../../context.ts'
import * as wire from '../../wire.ts'
import { cat, hex, packet, property, str, u16 } from '../../wire.ts'

const twice = (one: Buffer): Buffer[] => [one, one]

/** CONNECT with these properties must be refused. */
const CONNECT: [id: string, title: string, list: (t: Context) => Buffer[]][] = [
  ['session-expiry-twice', 'Session Expiry Interval twice', () => twice(property('sessionExpiryInterval', 0))],
  ['receive-maximum-twice', 'Receive Maximum twice', () => twice(property('receiveMaximum', 10))],
  ['receive-maximum-0', 'Receive Maximum 0', () => [property('receiveMaximum', 0)]],
  ['maximum-packet-size-twice', 'Maximum Packet Size twice', () => twice(property('maximumPacketSize', 1000))],
  ['maximum-packet-size-0', 'Maximum Packet Size 0', () => [property('maximumPacketSize', 0)]],
  ['topic-alias-maximum-twice', 'Topic Alias Maximum twice', () => twice(property('topicAliasMaximum', 1))],
  ['request-response-2', 'Request Response Information 2', () => [property('requestResponseInformation', 2)]],
  [
    'request-response-twice',
    'Request Response Information twice',
    () => twice(property('requestResponseInformation', 0)),
  ],
  ['request-problem-2', 'Request Problem Information 2', () => [property('requestProblemInformation', 2)]],
  ['request-problem-twice', 'Request Problem Information twice', () => twice(property('requestProblemInformation', 1))],
  [
    'authentication-data-alone',
    'Authentication Data without a method',
    () => [property('authenticationData', Buffer.from('x'))],
  ],
  ['authentication-method-twice', 'Authentication Method twice', () => twice(property('authenticationMethod', 'x'))],
  ['foreign-property', 'a property of PUBLISH (Topic Alias)', () => [property('topicAlias', 1)]],
  [
    'will-delay-outside-will',
    'Will Delay Interval outside the Will Properties',
    () => [property('willDelayInterval', 1)],
  ],
  ['server-property', 'a property of CONNACK (Server Keep Alive)', () => [property('serverKeepAlive', 10)]],
  ['unknown-property', 'a property that does not exist (0x7F)', () => [hex('7f 00')]],
  ['property-0', 'a property that does not exist (0x00)', () => [hex('00 00')]],
  ['property-cut-short', 'a property whose value reaches beyond the Property Length', () => [hex('11 00 00')]],
]

for (const [id, title, list] of CONNECT) {
  defineCase({
    id: `connect-${id}`,
    area: 'errors',
    title: `CONNECT with ${title} closes the connection`,
    clauses: { '5': ['MQTT-4.13.1-1', 'MQTT-3.1.4-1'] },
    async run(t) {
      const client = await t.open()
      const bytes = wire.connect(5, { ...t.connectOptions({ clientId: t.id() }), properties: list(t) })
      await t.rejected(client, bytes, title, [0x81, 0x82, 0x8c])
    },
  })
}

const WILL: [id: string, title: string, list: Buffer[]][] = [
  ['delay-twice', 'Will Delay Interval twice', twice(property('willDelayInterval', 0))],
  ['format-twice', 'Payload Format Indicator twice', twice(property('payloadFormatIndicator', 0))],
  ['expiry-twice', 'Message Expiry Interval twice', twice(property('messageExpiryInterval', 10))],
  ['content-type-twice', 'Content Type twice', twice(property('contentType', 'a'))],
  ['foreign-property', 'a property of CONNECT (Receive Maximum)', [property('receiveMaximum', 10)]],
  ['topic-alias', 'a Topic Alias', [property('topicAlias', 1)]],
]

for (const [id, title, list] of WILL) {
  defineCase({
    id: `will-${id}`,
    area: 'errors',
    title: `Will Properties with ${title} close the connection`,
    clauses: { '5': ['MQTT-4.13.1-1', 'MQTT-3.1.4-1'] },
    async run(t) {
      const client = await t.open()
      const will = { topic: t.topic('w'), payload: 'w', properties: list }
      await t.rejected(
        client,
        wire.connect(5, { ...t.connectOptions({ clientId: t.id() }), will }),
        title,
        [0x81, 0x82],
      )
    },
  })
}

const PUBLISH: [id: string, title: string, clauses: string[], list: Buffer[], advised?: number[]][] = [
  ['format-twice', 'Payload Format Indicator twice', [], twice(property('payloadFormatIndicator', 0))],
  ['expiry-twice', 'Message Expiry Interval twice', [], twice(property('messageExpiryInterval', 10))],
  ['alias-0', 'Topic Alias 0', ['MQTT-3.3.2-8'], [property('topicAlias', 0)], [0x94]],
  ['response-topic-twice', 'Response Topic twice', [], twice(property('responseTopic', 'a'))],
  ['correlation-data-twice', 'Correlation Data twice', [], twice(property('correlationData', Buffer.of(1)))],
  ['content-type-twice', 'Content Type twice', [], twice(property('contentType', 'a'))],
  ['subscription-identifier', 'a Subscription Identifier', ['MQTT-3.3.4-6'], [property('subscriptionIdentifier', 1)]],
  ['foreign-property', 'a property of CONNECT (Receive Maximum)', [], [property('receiveMaximum', 10)]],
  ['unknown-property', 'a property that does not exist (0x7F)', [], [hex('7f 00')]],
  ['property-cut-short', 'a property whose value reaches beyond the Property Length', [], [hex('02 00 00')]],
]

for (const [id, title, clauses, list, advised] of PUBLISH) {
  defineCase({
    id: `publish-${id}`,
    area: 'errors',
    title: `PUBLISH with ${title} closes the connection`,
    clauses: { '5': ['MQTT-4.13.1-1', ...clauses] },
    async run(t) {
      const client = await t.connect()
      const bytes = wire.publish(5, { topic: t.topic('a'), payload: 'x', properties: list })
      await t.rejected(client, bytes, title, advised ?? [0x81, 0x82])
    },
  })
}

for (const wildcard of ['+', '#']) {
  defineCase({
    id: `response-topic-with-${wildcard === '+' ? 'plus' : 'hash'}`,
    area: 'errors',
    title: `A Response Topic with ${wildcard} is a Protocol Error and closes the connection`,
    clauses: { '5': ['MQTT-3.3.2-14', 'MQTT-4.13.1-1'] },
    async run(t) {
      const client = await t.connect()
      const list = [property('responseTopic', `answers/${wildcard}`)]
      const bytes = wire.publish(5, { topic: t.topic('a'), payload: 'x', properties: list })
      await t.rejected(client, bytes, `the Response Topic contains ${wildcard}`, [0x82])
    },
  })
}

const OTHERS: [id: string, title: string, clauses: string[], bytes: (t: Context) => Buffer][] = [
  [
    'subscribe-identifier-0',
    'SUBSCRIBE with Subscription Identifier 0',
    [],
    (t) => wire.subscribe(5, 1, [[t.topic('a'), 0]], [property('subscriptionIdentifier', 0)]),
  ],
  [
    'subscribe-identifier-twice',
    'SUBSCRIBE with two Subscription Identifiers',
    [],
    (t) =>
      wire.subscribe(
        5,
        1,
        [[t.topic('a'), 0]],
        [property('subscriptionIdentifier', 1), property('subscriptionIdentifier', 2)],
      ),
  ],
  [
    'subscribe-foreign-property',
    'SUBSCRIBE with a property of PUBLISH (Content Type)',
    [],
    (t) => wire.subscribe(5, 1, [[t.topic('a'), 0]], [property('contentType', 'x')]),
  ],
  [
    'unsubscribe-foreign-property',
    'UNSUBSCRIBE with a property of SUBSCRIBE (Subscription Identifier)',
    [],
    (t) => wire.unsubscribe(5, 1, [t.topic('a')], [property('subscriptionIdentifier', 1)]),
  ],
  [
    'puback-foreign-property',
    'PUBACK with a property of PUBLISH (Content Type)',
    [],
    () => wire.puback(1, 0, [property('contentType', 'x')]),
  ],
  [
    'pubrel-unknown-code',
    'PUBREL with a reason code that does not exist for it (0x55)',
    ['MQTT-3.6.2-1'],
    () => wire.pubrel(1, 0x55),
  ],
  [
    'disconnect-unknown-code',
    'DISCONNECT with a reason code that does not exist (0x55)',
    [],
    () => wire.disconnect(0x55),
  ],
  [
    'disconnect-foreign-property',
    'DISCONNECT with a property of PUBLISH (Content Type)',
    [],
    () => wire.disconnect(0, [property('contentType', 'x')]),
  ],
  [
    'puback-reason-string-twice',
    'PUBACK with Reason String twice',
    [],
    () => wire.puback(1, 0, [property('reasonString', 'a'), property('reasonString', 'b')]),
  ],
  [
    'subscribe-property-length',
    'SUBSCRIBE whose Property Length reaches beyond its end',
    [],
    () => packet(0x82, u16(1), 0x40, str('a'), 0),
  ],
  [
    'publish-property-length',
    'PUBLISH whose Property Length reaches beyond its end',
    [],
    (t) => packet(0x30, str(t.topic('a')), 0x40, 1),
  ],
  [
    'publish-without-property-length',
    'PUBLISH without a Property Length',
    ['MQTT-2.2.2-1'],
    (t) => packet(0x30, str(t.topic('a'))),
  ],
  [
    'publish-long-property-length',
    'PUBLISH with a Property Length of five bytes',
    [],
    (t) => packet(0x30, str(t.topic('a')), hex('80 80 80 80 01')),
  ],
  [
    'auth-without-method',
    'AUTH although CONNECT named no method',
    [],
    () => wire.auth(0x19, [property('authenticationMethod', 'x')]),
  ],
  ['auth-flags', 'AUTH with reserved flags set', ['MQTT-3.15.1-1', 'MQTT-2.1.3-1'], () => cat(hex('f1 02 19 00'))],
  ['auth-unknown-code', 'AUTH with a reason code that does not exist (0x55)', ['MQTT-3.15.2-1'], () => wire.auth(0x55)],
]

for (const [id, title, clauses, bytes] of OTHERS) {
  defineCase({
    id,
    area: 'errors',
    title: `${title} closes the connection`,
    clauses: { '5': ['MQTT-4.13.1-1', ...clauses] },
    async run(t) {
      const client = await t.connect()
      await t.rejected(client, bytes(t), title, [0x81, 0x82])
    },
  })
}
