// All Reason Codes of MQTT 5 (section 2.4) under the specification's names, which packet may carry which, and
// their translation for MQTT 3.1 and 3.1.1. Codes that share a number (0x00) have one entry each.

import { PacketType, type Sender } from './packet-type.ts'

export const ReasonCode = {
  Success: 0x00,
  NormalDisconnection: 0x00,
  GrantedQos0: 0x00,
  GrantedQos1: 0x01,
  GrantedQos2: 0x02,
  DisconnectWithWillMessage: 0x04,
  NoMatchingSubscribers: 0x10,
  NoSubscriptionExisted: 0x11,
  ContinueAuthentication: 0x18,
  Reauthenticate: 0x19,
  UnspecifiedError: 0x80,
  MalformedPacket: 0x81,
  ProtocolError: 0x82,
  ImplementationSpecificError: 0x83,
  UnsupportedProtocolVersion: 0x84,
  ClientIdentifierNotValid: 0x85,
  BadUserNameOrPassword: 0x86,
  NotAuthorized: 0x87,
  ServerUnavailable: 0x88,
  ServerBusy: 0x89,
  Banned: 0x8a,
  ServerShuttingDown: 0x8b,
  BadAuthenticationMethod: 0x8c,
  KeepAliveTimeout: 0x8d,
  SessionTakenOver: 0x8e,
  TopicFilterInvalid: 0x8f,
  TopicNameInvalid: 0x90,
  PacketIdentifierInUse: 0x91,
  PacketIdentifierNotFound: 0x92,
  ReceiveMaximumExceeded: 0x93,
  TopicAliasInvalid: 0x94,
  PacketTooLarge: 0x95,
  MessageRateTooHigh: 0x96,
  QuotaExceeded: 0x97,
  AdministrativeAction: 0x98,
  PayloadFormatInvalid: 0x99,
  RetainNotSupported: 0x9a,
  QosNotSupported: 0x9b,
  UseAnotherServer: 0x9c,
  ServerMoved: 0x9d,
  SharedSubscriptionsNotSupported: 0x9e,
  ConnectionRateExceeded: 0x9f,
  MaximumConnectTime: 0xa0,
  SubscriptionIdentifiersNotSupported: 0xa1,
  WildcardSubscriptionsNotSupported: 0xa2,
} as const

export type ReasonCode = (typeof ReasonCode)[keyof typeof ReasonCode]

const names: Readonly<Record<number, string>> = {
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

/** The specification's name of a reason code, for logs: `reasonName(0x8e)` is `'Session taken over'`. */
export function reasonName(code: number): string {
  return names[code] ?? `reason 0x${code.toString(16).padStart(2, '0')}`
}

/** The CONNACK return code (0 to 5) by which MQTT 3.1 and 3.1.1 say what MQTT 5 says with `reason`. */
export function connackReturnCode(reason: number): number {
  switch (reason) {
    case ReasonCode.Success:
      return 0
    case ReasonCode.UnsupportedProtocolVersion:
      return 1
    case ReasonCode.ClientIdentifierNotValid:
      return 2
    case ReasonCode.BadUserNameOrPassword:
    case ReasonCode.BadAuthenticationMethod:
      return 4
    case ReasonCode.NotAuthorized:
    case ReasonCode.Banned:
      return 5
    default:
      return 3 // "Server unavailable" is all that 3.x has for the rest
  }
}

const ACKNOWLEDGED = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
const RELEASED = [0x00, 0x92]
const FROM_CLIENT: readonly (readonly [PacketType, readonly number[]])[] = [
  [PacketType.Puback, ACKNOWLEDGED],
  [PacketType.Pubrec, ACKNOWLEDGED],
  [PacketType.Pubrel, RELEASED],
  [PacketType.Pubcomp, RELEASED],
  [PacketType.Disconnect, [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]],
  [PacketType.Auth, [0x18, 0x19]],
]
const FROM_SERVER: readonly (readonly [PacketType, readonly number[]])[] = [
  [
    PacketType.Connack,
    [
      0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
      0x9c, 0x9d, 0x9f,
    ],
  ],
  [PacketType.Puback, ACKNOWLEDGED],
  [PacketType.Pubrec, ACKNOWLEDGED],
  [PacketType.Pubrel, RELEASED],
  [PacketType.Pubcomp, RELEASED],
  [PacketType.Suback, [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]],
  [PacketType.Unsuback, [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]],
  [
    PacketType.Disconnect,
    [
      0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
      0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
    ],
  ],
  [PacketType.Auth, [0x00, 0x18]],
]

/** One bit a packet type for each code: a look-up on the acknowledgement path must not hash or allocate. */
function table(rows: typeof FROM_CLIENT): Uint16Array {
  const packets = new Uint16Array(256)
  for (const [type, codes] of rows) for (const code of codes) packets[code] |= 1 << type
  return packets
}
const fromClient = table(FROM_CLIENT)
const fromServer = table(FROM_SERVER)

/** Whether MQTT 5 lets `sender` put `code` into a packet of `type` (sections 3.2.2.2, 3.4.2.1, 3.14.2.1 and so on). */
export function isReasonCodeOf(type: PacketType, code: number, sender: Sender): boolean {
  const packets = sender === 'client' ? fromClient : fromServer
  return (packets[code] & (1 << type)) !== 0
}
