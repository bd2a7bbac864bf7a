// Protocol words this tool stands on: packet types, the property table of MQTT 5.0, the reason codes each packet may
// carry. Written from the specification and shared with nobody: a judge that borrows the tables of the broker it
// judges repeats that broker's mistakes.

/** Protocol Level of CONNECT: 4 is MQTT 3.1.1, 5 is MQTT 5.0. */
export type Version = 4 | 5

/** How people name the versions; also the argument of --protocol. */
export type VersionName = '3.1.1' | '5'

export const versionName = (version: Version): VersionName => (version === 4 ? '3.1.1' : '5')

export const PACKET_KINDS = [
  'reserved',
  'connect',
  'connack',
  'publish',
  'puback',
  'pubrec',
  'pubrel',
  'pubcomp',
  'subscribe',
  'suback',
  'unsubscribe',
  'unsuback',
  'pingreq',
  'pingresp',
  'disconnect',
  'auth',
] as const

export type PacketKind = (typeof PACKET_KINDS)[number]

/** Flag bits 3..0 of the fixed header; PUBLISH is absent because its flags mean something. */
export const FIXED_FLAGS: Partial<Record<PacketKind, number>> = {
  connect: 0,
  connack: 0,
  puback: 0,
  pubrec: 0,
  pubrel: 2,
  pubcomp: 0,
  subscribe: 2,
  suback: 0,
  unsubscribe: 2,
  unsuback: 0,
  pingreq: 0,
  pingresp: 0,
  disconnect: 0,
  auth: 0,
}

export type PropertyType = 'byte' | 'u16' | 'u32' | 'vbi' | 'utf8' | 'binary' | 'pair'
type Place = PacketKind | 'will'

export interface PropertyRule {
  id: number
  name: string
  type: PropertyType
  /** Packets (and Will Properties) the property may stand in. */
  places: readonly Place[]
  /** May stand more than once. */
  many?: boolean
}

const rule = (id: number, name: string, type: PropertyType, places: string, many = false): PropertyRule => ({
  id,
  name,
  type,
  places: places.split(' ') as Place[],
  many,
})

const ACKS = 'connack puback pubrec pubrel pubcomp suback unsuback disconnect auth'

/** Table 2-4 of MQTT 5.0. */
export const PROPERTY_RULES: readonly PropertyRule[] = [
  rule(0x01, 'payloadFormatIndicator', 'byte', 'publish will'),
  rule(0x02, 'messageExpiryInterval', 'u32', 'publish will'),
  rule(0x03, 'contentType', 'utf8', 'publish will'),
  rule(0x08, 'responseTopic', 'utf8', 'publish will'),
  rule(0x09, 'correlationData', 'binary', 'publish will'),
  rule(0x0b, 'subscriptionIdentifier', 'vbi', 'publish subscribe', true),
  rule(0x11, 'sessionExpiryInterval', 'u32', 'connect connack disconnect'),
  rule(0x12, 'assignedClientIdentifier', 'utf8', 'connack'),
  rule(0x13, 'serverKeepAlive', 'u16', 'connack'),
  rule(0x15, 'authenticationMethod', 'utf8', 'connect connack auth'),
  rule(0x16, 'authenticationData', 'binary', 'connect connack auth'),
  rule(0x17, 'requestProblemInformation', 'byte', 'connect'),
  rule(0x18, 'willDelayInterval', 'u32', 'will'),
  rule(0x19, 'requestResponseInformation', 'byte', 'connect'),
  rule(0x1a, 'responseInformation', 'utf8', 'connack'),
  rule(0x1c, 'serverReference', 'utf8', 'connack disconnect'),
  rule(0x1f, 'reasonString', 'utf8', ACKS),
  rule(0x21, 'receiveMaximum', 'u16', 'connect connack'),
  rule(0x22, 'topicAliasMaximum', 'u16', 'connect connack'),
  rule(0x23, 'topicAlias', 'u16', 'publish'),
  rule(0x24, 'maximumQoS', 'byte', 'connack'),
  rule(0x25, 'retainAvailable', 'byte', 'connack'),
  rule(0x26, 'userProperty', 'pair', `connect publish will subscribe unsubscribe ${ACKS}`, true),
  rule(0x27, 'maximumPacketSize', 'u32', 'connect connack'),
  rule(0x28, 'wildcardSubscriptionAvailable', 'byte', 'connack'),
  rule(0x29, 'subscriptionIdentifierAvailable', 'byte', 'connack'),
  rule(0x2a, 'sharedSubscriptionAvailable', 'byte', 'connack'),
]

export const PROPERTY_BY_ID: ReadonlyMap<number, PropertyRule> = new Map(PROPERTY_RULES.map((r) => [r.id, r]))

/** Names of the reason codes, for traces and messages. */
export const REASON_NAMES: Readonly<Record<number, string>> = {
  0: 'Success',
  1: 'Granted QoS 1',
  2: 'Granted QoS 2',
  4: 'Disconnect with Will Message',
  16: 'No matching subscribers',
  17: 'No subscription existed',
  24: 'Continue authentication',
  25: 'Re-authenticate',
  128: 'Unspecified error',
  129: 'Malformed Packet',
  130: 'Protocol Error',
  131: 'Implementation specific error',
  132: 'Unsupported Protocol Version',
  133: 'Client Identifier not valid',
  134: 'Bad User Name or Password',
  135: 'Not authorized',
  136: 'Server unavailable',
  137: 'Server busy',
  138: 'Banned',
  139: 'Server shutting down',
  140: 'Bad authentication method',
  141: 'Keep Alive timeout',
  142: 'Session taken over',
  143: 'Topic Filter invalid',
  144: 'Topic Name invalid',
  145: 'Packet Identifier in use',
  146: 'Packet Identifier not found',
  147: 'Receive Maximum exceeded',
  148: 'Topic Alias invalid',
  149: 'Packet too large',
  150: 'Message rate too high',
  151: 'Quota exceeded',
  152: 'Administrative action',
  153: 'Payload format invalid',
  154: 'Retain not supported',
  155: 'QoS not supported',
  156: 'Use another server',
  157: 'Server moved',
  158: 'Shared Subscriptions not supported',
  159: 'Connection rate exceeded',
  160: 'Maximum connect time',
  161: 'Subscription Identifiers not supported',
  162: 'Wildcard Subscriptions not supported',
}

const PUBLISH_REFUSALS = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]

/** The codes a server may put into each packet, MQTT 5.0. */
export const SERVER_REASON_CODES: Partial<Record<PacketKind, readonly number[]>> = {
  connack: [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
    0x9c, 0x9d, 0x9f,
  ],
  puback: [0x00, 0x10, ...PUBLISH_REFUSALS],
  pubrec: [0x00, 0x10, ...PUBLISH_REFUSALS],
  pubrel: [0x00, 0x92],
  pubcomp: [0x00, 0x92],
  suback: [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
  unsuback: [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
  disconnect: [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
  ],
  auth: [0x00, 0x18],
}

/** Names of the return codes with which a 3.1.1 server refuses a connection. */
export const CONNACK_RETURN_NAMES_311: Readonly<Record<number, string>> = {
  1: 'unacceptable protocol version',
  2: 'identifier rejected',
  3: 'server unavailable',
  4: 'bad user name or password',
  5: 'not authorized',
}

/** The return codes of MQTT 3.1.1. */
export const CONNACK_RETURN_CODES_311 = [0, 1, 2, 3, 4, 5] as const
export const SUBACK_RETURN_CODES_311 = [0x00, 0x01, 0x02, 0x80] as const

/** `0x93 Receive Maximum exceeded`. */
export const reasonText = (code: number): string =>
  `0x${code.toString(16).padStart(2, '0')}${REASON_NAMES[code] === undefined ? '' : ` ${REASON_NAMES[code]}`}`
