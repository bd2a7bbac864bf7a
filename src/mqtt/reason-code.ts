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

const names = new Map<number, string>()
for (const [name, code] of Object.entries(ReasonCode)) {
  // The first name of a number wins: 0x00 reads 'Success'.
  if (!names.has(code)) names.set(code, name.replace(/(?<=[a-z])(?=[A-Z0-9])/g, ' '))
}

/** The specification's name of a reason code, for logs: `reasonName(0x8e)` is `'Session Taken Over'`. */
export function reasonName(code: number): string {
  return names.get(code) ?? `reason 0x${code.toString(16).padStart(2, '0')}`
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
