// The names of MQTT Control Packets (MQTT 5 section 2.1.2), as found in the upper four bits of the first byte.

export const PacketType = {
  Connect: 1,
  Connack: 2,
  Publish: 3,
  Puback: 4,
  Pubrec: 5,
  Pubrel: 6,
  Pubcomp: 7,
  Subscribe: 8,
  Suback: 9,
  Unsubscribe: 10,
  Unsuback: 11,
  Pingreq: 12,
  Pingresp: 13,
  Disconnect: 14,
  Auth: 15,
} as const

export type PacketType = (typeof PacketType)[keyof typeof PacketType]

/** Which end of a Network Connection sent a packet: some packets may say things from one side only. */
export type Sender = 'client' | 'server'

const names = [
  'RESERVED',
  'CONNECT',
  'CONNACK',
  'PUBLISH',
  'PUBACK',
  'PUBREC',
  'PUBREL',
  'PUBCOMP',
  'SUBSCRIBE',
  'SUBACK',
  'UNSUBSCRIBE',
  'UNSUBACK',
  'PINGREQ',
  'PINGRESP',
  'DISCONNECT',
  'AUTH',
]

/** The specification's name of a packet type, for logs: `packetName(8)` is `'SUBSCRIBE'`. */
export function packetName(type: number): string {
  return names[type] ?? `packet type ${type}`
}
