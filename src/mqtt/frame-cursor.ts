// Steps over the fields of one packet's body and refuses what does not fit: the legs of strict-walk.ts. Knows fields,
// not packets. Whatever a step returns has been checked against the end of the body.

import { copyBytes, uint16 } from './bytes.ts'
import { MqttError } from './mqtt-error.ts'
import { type Properties, type PropertyPlace, readProperties, readPropertyLength } from './properties.ts'
import { ReasonCode } from './reason-code.ts'
import { decodeUtf8, isWellFormedUtf8 } from './utf8.ts'
import { variableByteIntegerSize } from './variable-byte-integer.ts'

export class FrameCursor {
  readonly bytes: Uint8Array
  /** The next byte to be read. */
  position = 0
  /** The name errors begin with. */
  readonly packet: string

  constructor(bytes: Uint8Array, packet: string) {
    this.bytes = bytes
    this.packet = packet
  }

  get atEnd(): boolean {
    return this.position === this.bytes.length
  }

  uint8(field: string): number {
    return this.bytes[this.#step(1, field)]
  }

  uint16(field: string): number {
    return uint16(this.bytes, this.#step(2, field))
  }

  /** Steps over a UTF-8 string and returns its length in bytes; its bytes end at `position`. */
  string(field: string, clause?: string): number {
    const length = this.binary(field)
    if (!isWellFormedUtf8(this.bytes, this.position - length, length)) {
      throw this.malformed(`with ill-formed UTF-8 in its ${field}`, clause ?? 'MQTT-1.5.4-1')
    }
    return length
  }

  /** The same step, and the string itself. */
  text(field: string, clause?: string): string {
    const length = this.string(field, clause)
    return decodeUtf8(this.bytes, this.position - length, length)
  }

  /** Steps over Binary Data and returns its length in bytes; its bytes end at `position`. */
  binary(field: string): number {
    const length = this.uint16(field)
    this.#step(length, field)
    return length
  }

  /** Steps over Property Length and properties, and reads them. */
  properties(place: PropertyPlace): Properties {
    const end = this.bytes.length
    const length = readPropertyLength(this.bytes, this.position, end, place)
    const first = this.position + variableByteIntegerSize(length)
    this.position = first + length
    return readProperties(this.bytes, first, this.position, place)
  }

  /** Throws if anything follows. */
  end(): void {
    if (!this.atEnd) throw this.malformed(`with ${this.bytes.length - this.position} bytes behind its end`)
  }

  /** A copy of the `length` bytes that end at `position`. */
  copyBack(length: number): Uint8Array {
    return copyBytes(this.bytes, this.position - length, this.position)
  }

  malformed(what: string, clause?: string): MqttError {
    return new MqttError(ReasonCode.MalformedPacket, `${this.packet} ${what}`, clause)
  }

  protocolError(what: string, clause?: string): MqttError {
    return new MqttError(ReasonCode.ProtocolError, `${this.packet} ${what}`, clause)
  }

  #step(length: number, field: string): number {
    const at = this.position
    if (at + length > this.bytes.length) throw this.malformed(`that ends within its ${field}`)
    this.position = at + length
    return at
  }
}
