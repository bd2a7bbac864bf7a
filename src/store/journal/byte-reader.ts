// The counterpart of ByteWriter. Reading past the end throws: the checksum was right, so it is a bug or another format.

const SHORT_TEXT = 24

export class ByteReader {
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  end = 0
  #view: DataView = new DataView(new ArrayBuffer(0))

  /** Goes on reading at `start`, until `end`. */
  set(bytes: Buffer, start: number, end: number): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    this.at = start
    this.end = end
  }

  byte(): number {
    if (this.at >= this.end) throw new RangeError('a record ends early')
    return this.bytes[this.at++]!
  }

  number(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
  }

  float(): number {
    const at = this.#advance(8)
    return this.#view.getFloat64(at, true)
  }

  text(): string {
    const length = this.number()
    const at = this.#advance(length)
    if (length > SHORT_TEXT) return this.bytes.toString('utf8', at, at + length)
    const codes: number[] = []
    for (let index = at; index < at + length; index++) {
      const byte = this.bytes[index]!
      if (byte >= 0x80) return this.bytes.toString('utf8', at, at + length)
      codes.push(byte)
    }
    return String.fromCharCode(...codes)
  }

  /** A copy. */
  block(): Uint8Array {
    const length = this.number()
    const at = this.#advance(length)
    const copy = new Uint8Array(length)
    if (length > 0) copy.set(this.bytes.subarray(at, at + length))
    return copy
  }

  /** The bytes themselves. */
  view(): Uint8Array {
    const length = this.number()
    const at = this.#advance(length)
    return this.bytes.subarray(at, at + length)
  }

  skipBlock(): void {
    const length = this.number()
    this.#advance(length)
  }

  /** Where the `length` bytes begin that are read by this. */
  #advance(length: number): number {
    const at = this.at
    if (at + length > this.end) throw new RangeError('a record ends early')
    this.at = at + length
    return at
  }
}
