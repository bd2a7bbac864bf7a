// The one place that uses the npm package mqtt-packet: it builds the objects of CONNECT, SUBSCRIBE, UNSUBSCRIBE,
// DISCONNECT and AUTH after strict-walk.ts has passed them, and generates the 3.x answers CONNACK, SUBACK, UNSUBACK.
// Not its business: PUBLISH and acknowledgements (too slow), properties (it forgets the order of User Properties),
// packets of length 0 (it refuses valid ones), MQTT 5 answers (they have properties, and a size limit it knows only
// for some).

import { generate, type Packet, type Parser, parser, writeToStream } from 'mqtt-packet'
import { requireRoom } from './bytes.ts'
import { MqttError } from './mqtt-error.ts'
import type { ProtocolVersion } from './protocol-version.ts'
import { ReasonCode } from './reason-code.ts'
import { variableByteIntegerSize, writeVariableByteInteger } from './variable-byte-integer.ts'

// Its cache of 65,536 Buffers costs 8 MB and 200 ms for numbers we hardly ever write.
writeToStream.cacheNumbers = false

/**
 * Lets mqtt-packet read one packet: `firstByte`, and its body in pieces, properties cut out. What comes out owns its
 * memory. Throws an MqttError if mqtt-packet refuses what the walk has passed.
 */
export function parseCold<Cmd extends Packet['cmd']>(
  cmd: Cmd,
  firstByte: number,
  pieces: readonly Uint8Array[],
  version: ProtocolVersion,
): Extract<Packet, { cmd: Cmd }> {
  let packet: Packet | undefined
  let refusal: Error | undefined
  // A parser remembers: a fresh one knows nothing of the last client or the last error.
  const fresh: Parser = parser({ protocolVersion: version })
  fresh.on('packet', (parsed) => {
    packet = parsed
  })
  fresh.on('error', (error: Error) => {
    refusal = error
  })
  fresh.parse(frame(firstByte, pieces))
  if (refusal !== undefined || packet?.cmd !== cmd) {
    const why = refusal?.message ?? `parsed as ${packet?.cmd}`
    throw new MqttError(ReasonCode.MalformedPacket, `${cmd.toUpperCase()}: ${why}`)
  }
  return packet as Extract<Packet, { cmd: Cmd }>
}

/** The whole packet in one Buffer of its own. */
function frame(firstByte: number, pieces: readonly Uint8Array[]): Buffer {
  let length = 0
  for (const piece of pieces) length += piece.length
  const whole = Buffer.alloc(1 + variableByteIntegerSize(length) + length)
  whole[0] = firstByte
  let at = writeVariableByteInteger(whole, 1, length)
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

/** Generates a packet into `target` at `offset` and returns the offset behind it. Throws a RangeError if it does not fit. */
export function generateCold(target: Uint8Array, offset: number, packet: Packet, version: ProtocolVersion): number {
  const bytes = generate(packet, { protocolVersion: version })
  requireRoom(target, offset, bytes.length)
  target.set(bytes, offset)
  return offset + bytes.length
}
