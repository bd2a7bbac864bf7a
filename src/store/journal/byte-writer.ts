// A growing buffer and the four shapes everything in a journal is made of: byte, variable-length number, float, text.

/** A buffer that grew beyond this for one large batch is given back. */
const KEPT_CAPACITY = 4 << 20
/** Texts up to this long are written here; a native call costs more than the loop. */
const SHORT_TEXT = 48

export class ByteWriter {
  bytes: Buffer
  length = 0
  readonly #initial: number
  #view: DataView

  constructor(capacity = 64 << 10) {
    this.#initial = capacity
    this.bytes = Buffer.allocUnsafeSlow(capacity)
    this.#view = viewOf(this.bytes)
  }

  clear(): void {
    this.length = 0
    if (this.bytes.length > KEPT_CAPACITY) this.#replace(Buffer.allocUnsafeSlow(this.#initial))
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.#grow(1)
    this.bytes[this.length++] = value
  }

  /** 0 … 2^53 − 1, seven bits a byte, lowest first. */
  number(value: number): void {
    if (this.length + 8 > this.bytes.length) this.#grow(8)
    const bytes = this.bytes
    let rest = value
    while (rest >= 0x8000_0000) {
      bytes[this.length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest >= 0x80) {
      bytes[this.length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    bytes[this.length++] = rest
  }

  /** Any number, Infinity included. */
  float(value: number): void {
    if (this.length + 8 > this.bytes.length) this.#grow(8)
    this.#view.setFloat64(this.length, value, true)
    this.length += 8
  }

  uint32(value: number): void {
    if (this.length + 4 > this.bytes.length) this.#grow(4)
    this.setUint32(this.length, value)
    this.length += 4
  }

  setUint32(at: number, value: number): void {
    this.#view.setUint32(at, value, true)
  }

  /** Length in bytes, then UTF-8. */
  text(value: string): void {
    const { length } = value
    if (length > SHORT_TEXT) {
      this.#longText(value)
      return
    }
    if (this.length + 1 + length > this.bytes.length) this.#grow(1 + length)
    const { bytes, length: start } = this
    bytes[start] = length
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index)
      if (code >= 0x80) {
        this.#longText(value)
        return
      }
      bytes[start + 1 + index] = code
    }
    this.length = start + 1 + length
  }

  #longText(value: string): void {
    const length = Buffer.byteLength(value)
    this.number(length)
    if (this.length + length > this.bytes.length) this.#grow(length)
    this.length += this.bytes.write(value, this.length)
  }

  /** Length, then the bytes. */
  block(value: Uint8Array): void {
    this.number(value.length)
    this.raw(value)
  }

  raw(value: Uint8Array): void {
    if (this.length + value.length > this.bytes.length) this.#grow(value.length)
    this.bytes.set(value, this.length)
    this.length += value.length
  }

  #grow(missing: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.length + missing))
    grown.set(this.bytes.subarray(0, this.length))
    this.#replace(grown)
  }

  #replace(bytes: Buffer): void {
    this.bytes = bytes
    this.#view = viewOf(bytes)
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
