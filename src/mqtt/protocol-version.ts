// The protocol levels this broker speaks, as the Protocol Version byte of CONNECT says them.

export const ProtocolVersion = {
  Mqtt31: 3,
  Mqtt311: 4,
  Mqtt5: 5,
} as const

export type ProtocolVersion = (typeof ProtocolVersion)[keyof typeof ProtocolVersion]
