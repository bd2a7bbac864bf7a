// The properties of MQTT 5 as one table (section 2.2.2.2): identifier, name, type on the wire, who may put it where,
// and how often. Everything that reads or writes properties works from this table and from nothing else.

import { PacketType, type Sender } from './packet-type.ts'
import type { Properties } from './property-set.ts'

/** How a property's value stands on the wire, value range included: ranges belong to the type, not to the packet. */
export const PropertyType = {
  None: 0,
  /** One byte, 0 or 1, and a number to us. */
  Bit: 1,
  /** One byte, 0 or 1, and a boolean to us. */
  Flag: 11,
  TwoByteInteger: 2,
  /** Two bytes, never 0. */
  TwoByteCount: 3,
  FourByteInteger: 4,
  /** Four bytes, never 0. */
  FourByteCount: 5,
  /** A Variable Byte Integer, never 0. */
  VariableByteCount: 6,
  String: 7,
  /** A string that is a Topic Name: neither empty nor with wildcards. */
  TopicName: 8,
  BinaryData: 9,
  StringPair: 10,
} as const

export type PropertyType = (typeof PropertyType)[keyof typeof PropertyType]

/** Property identifiers under the specification's names. */
export const PropertyId = {
  PayloadFormatIndicator: 0x01,
  MessageExpiryInterval: 0x02,
  ContentType: 0x03,
  ResponseTopic: 0x08,
  CorrelationData: 0x09,
  SubscriptionIdentifier: 0x0b,
  SessionExpiryInterval: 0x11,
  AssignedClientIdentifier: 0x12,
  ServerKeepAlive: 0x13,
  AuthenticationMethod: 0x15,
  AuthenticationData: 0x16,
  RequestProblemInformation: 0x17,
  WillDelayInterval: 0x18,
  RequestResponseInformation: 0x19,
  ResponseInformation: 0x1a,
  ServerReference: 0x1c,
  ReasonString: 0x1f,
  ReceiveMaximum: 0x21,
  TopicAliasMaximum: 0x22,
  TopicAlias: 0x23,
  MaximumQos: 0x24,
  RetainAvailable: 0x25,
  UserProperty: 0x26,
  MaximumPacketSize: 0x27,
  WildcardSubscriptionAvailable: 0x28,
  SubscriptionIdentifiersAvailable: 0x29,
  SharedSubscriptionAvailable: 0x2a,
} as const

/** Where properties stand: in a packet, or in the Will of a CONNECT. */
export type PropertyPlace = PacketType | typeof WILL_PROPERTIES
export const WILL_PROPERTIES = 0

const T = PropertyType
const P = PacketType
const WILL = WILL_PROPERTIES
const ACKNOWLEDGEMENTS: readonly PropertyPlace[] = [P.Puback, P.Pubrec, P.Pubrel, P.Pubcomp]
const ANSWERS: readonly PropertyPlace[] = [P.Connack, ...ACKNOWLEDGEMENTS, P.Suback, P.Unsuback, P.Disconnect, P.Auth]
const EVERYWHERE: readonly PropertyPlace[] = [P.Connect, P.Publish, P.Subscribe, P.Unsubscribe, WILL, ...ANSWERS]

interface Row {
  readonly id: number
  /** Its name in `Properties`. */
  readonly key: keyof Properties
  readonly name: string
  readonly type: PropertyType
  readonly places: readonly PropertyPlace[]
  /** Of `places`, those where only one end may say it. */
  readonly onlyFrom?: Partial<Record<Sender, readonly PropertyPlace[]>>
  /** May stand several times. */
  readonly many?: true
}

const I = PropertyId
const rows: readonly Row[] = [
  {
    id: I.PayloadFormatIndicator,
    key: 'payloadFormatIndicator',
    name: 'Payload Format Indicator',
    type: T.Bit,
    places: [P.Publish, WILL],
  },
  {
    id: I.MessageExpiryInterval,
    key: 'messageExpiryInterval',
    name: 'Message Expiry Interval',
    type: T.FourByteInteger,
    places: [P.Publish, WILL],
  },
  { id: I.ContentType, key: 'contentType', name: 'Content Type', type: T.String, places: [P.Publish, WILL] },
  { id: I.ResponseTopic, key: 'responseTopic', name: 'Response Topic', type: T.TopicName, places: [P.Publish, WILL] },
  {
    id: I.CorrelationData,
    key: 'correlationData',
    name: 'Correlation Data',
    type: T.BinaryData,
    places: [P.Publish, WILL],
  },
  {
    id: I.SubscriptionIdentifier,
    key: 'subscriptionIdentifiers',
    name: 'Subscription Identifier',
    type: T.VariableByteCount,
    places: [P.Publish, P.Subscribe],
    onlyFrom: { server: [P.Publish] }, // [MQTT-3.3.4-6]
  },
  {
    id: I.SessionExpiryInterval,
    key: 'sessionExpiryInterval',
    name: 'Session Expiry Interval',
    type: T.FourByteInteger,
    places: [P.Connect, P.Connack, P.Disconnect],
    onlyFrom: { client: [P.Disconnect] }, // [MQTT-3.14.2-2]
  },
  {
    id: I.AssignedClientIdentifier,
    key: 'assignedClientIdentifier',
    name: 'Assigned Client Identifier',
    type: T.String,
    places: [P.Connack],
  },
  {
    id: I.ServerKeepAlive,
    key: 'serverKeepAlive',
    name: 'Server Keep Alive',
    type: T.TwoByteInteger,
    places: [P.Connack],
  },
  {
    id: I.AuthenticationMethod,
    key: 'authenticationMethod',
    name: 'Authentication Method',
    type: T.String,
    places: [P.Connect, P.Connack, P.Auth],
  },
  {
    id: I.AuthenticationData,
    key: 'authenticationData',
    name: 'Authentication Data',
    type: T.BinaryData,
    places: [P.Connect, P.Connack, P.Auth],
  },
  {
    id: I.RequestProblemInformation,
    key: 'requestProblemInformation',
    name: 'Request Problem Information',
    type: T.Flag,
    places: [P.Connect],
  },
  {
    id: I.WillDelayInterval,
    key: 'willDelayInterval',
    name: 'Will Delay Interval',
    type: T.FourByteInteger,
    places: [WILL],
  },
  {
    id: I.RequestResponseInformation,
    key: 'requestResponseInformation',
    name: 'Request Response Information',
    type: T.Flag,
    places: [P.Connect],
  },
  {
    id: I.ResponseInformation,
    key: 'responseInformation',
    name: 'Response Information',
    type: T.String,
    places: [P.Connack],
  },
  {
    id: I.ServerReference,
    key: 'serverReference',
    name: 'Server Reference',
    type: T.String,
    places: [P.Connack, P.Disconnect],
    onlyFrom: { server: [P.Disconnect] },
  },
  { id: I.ReasonString, key: 'reasonString', name: 'Reason String', type: T.String, places: ANSWERS },
  {
    id: I.ReceiveMaximum,
    key: 'receiveMaximum',
    name: 'Receive Maximum',
    type: T.TwoByteCount,
    places: [P.Connect, P.Connack],
  },
  {
    id: I.TopicAliasMaximum,
    key: 'topicAliasMaximum',
    name: 'Topic Alias Maximum',
    type: T.TwoByteInteger,
    places: [P.Connect, P.Connack],
  },
  { id: I.TopicAlias, key: 'topicAlias', name: 'Topic Alias', type: T.TwoByteCount, places: [P.Publish] },
  { id: I.MaximumQos, key: 'maximumQos', name: 'Maximum QoS', type: T.Bit, places: [P.Connack] },
  { id: I.RetainAvailable, key: 'retainAvailable', name: 'Retain Available', type: T.Flag, places: [P.Connack] },
  {
    id: I.UserProperty,
    key: 'userProperties',
    name: 'User Property',
    type: T.StringPair,
    places: EVERYWHERE,
    many: true,
  },
  {
    id: I.MaximumPacketSize,
    key: 'maximumPacketSize',
    name: 'Maximum Packet Size',
    type: T.FourByteCount,
    places: [P.Connect, P.Connack],
  },
  {
    id: I.WildcardSubscriptionAvailable,
    key: 'wildcardSubscriptionAvailable',
    name: 'Wildcard Subscription Available',
    type: T.Flag,
    places: [P.Connack],
  },
  {
    id: I.SubscriptionIdentifiersAvailable,
    key: 'subscriptionIdentifiersAvailable',
    name: 'Subscription Identifiers Available',
    type: T.Flag,
    places: [P.Connack],
  },
  {
    id: I.SharedSubscriptionAvailable,
    key: 'sharedSubscriptionAvailable',
    name: 'Shared Subscription Available',
    type: T.Flag,
    places: [P.Connack],
  },
]

// Typed arrays indexed by identifier: a PUBLISH with properties is checked by look-ups alone.
/** The type of a property, `PropertyType.None` for an identifier nobody defined. */
export const typeOf = new Uint8Array(256)
/** A bit of its own for each property that may stand only once; 0 for those that may stand often. */
export const onceBit = new Int32Array(256)
/** The name of a property in `Properties`. */
export const keyOf: (keyof Properties)[] = []
const names: string[] = []
const allowed: Record<Sender, Uint16Array> = { client: new Uint16Array(256), server: new Uint16Array(256) }

for (const [index, row] of rows.entries()) {
  typeOf[row.id] = row.type
  keyOf[row.id] = row.key
  names[row.id] = row.name
  onceBit[row.id] = row.many ? 0 : 1 << index
  for (const place of row.places) {
    if (!row.onlyFrom?.server?.includes(place)) allowed.client[row.id] |= 1 << place
    if (!row.onlyFrom?.client?.includes(place)) allowed.server[row.id] |= 1 << place
  }
}

/** The specification's name of a property, for logs. */
export function propertyName(id: number): string {
  return names[id] ?? `property 0x${id.toString(16).padStart(2, '0')}`
}

/** Whether `sender` may put property `id` into `place`. */
export function isAllowed(id: number, place: PropertyPlace, sender: Sender): boolean {
  const places = sender === 'client' ? allowed.client : allowed.server
  return (places[id] & (1 << place)) !== 0
}

/** Whether property `id` may stand only once there: a Subscription Identifier may repeat in a PUBLISH alone. */
export function isRepeatable(id: number, place: PropertyPlace): boolean {
  return onceBit[id] === 0 || (id === I.SubscriptionIdentifier && place === P.Publish)
}

/** The identifiers of properties that have one value each, in the order they are written in. */
export const singleIds: readonly number[] = rows
  .map((row) => row.id)
  .filter((id) => id !== I.UserProperty && id !== I.SubscriptionIdentifier)
