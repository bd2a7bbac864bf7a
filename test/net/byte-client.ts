// A socket that sends and expects bytes, for tests of what stands before MQTT: upgrade requests, WebSocket frames, PROXY
// headers. Knows no protocol but the shape of a WebSocket frame. `closeByteClients` destroys what a failed test left.
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'

const DEADLINE = 15_000
const open = new Set<ByteClient>()

export const closeByteClients = (): void => {
  for (const client of open) client.destroy()
}

export interface Frame {
  fin: boolean
  opcode: number
  payload: Buffer
}

export class ByteClient {
  readonly socket: Socket
  #bytes = Buffer.alloc(0)
  #ended = false
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    open.add(this)
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#wake?.()
    })
    const ended = (): void => {
      this.#ended = true
      this.#wake?.()
    }
    socket.on('end', ended)
    socket.on('error', ended)
    socket.on('close', () => open.delete(this))
  }

  static async dial(where: NetConnectOpts, tls?: ConnectionOptions): Promise<ByteClient> {
    const options = { ...where, allowHalfOpen: true }
    const socket = tls === undefined ? connect(options) : connectTls({ ...options, ...tls } as ConnectionOptions)
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
        socket.off('error', reject)
        resolve()
      })
    })
    if (tls === undefined) socket.setNoDelay(true)
    return new ByteClient(socket)
  }

  send(...bytes: (Uint8Array | string)[]): void {
    this.socket.write(Buffer.concat(bytes.map((one) => (typeof one === 'string' ? Buffer.from(one, 'latin1') : one))))
  }

  end(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
    open.delete(this)
  }

  /** The next `size` bytes. */
  async take(size: number): Promise<Buffer> {
    await this.#until(() => this.#bytes.length >= size, `${size} bytes`)
    return this.#cut(size)
  }

  /** Everything up to and with `mark`. */
  async takeUntil(mark: string): Promise<string> {
    await this.#until(() => this.#bytes.includes(mark), JSON.stringify(mark))
    return this.#cut(this.#bytes.indexOf(mark) + mark.length).toString('latin1')
  }

  /** Everything until the broker's FIN. */
  async rest(): Promise<Buffer> {
    await this.#until(() => this.#ended, 'the end')
    return this.#cut(this.#bytes.length)
  }

  async frame(): Promise<Frame> {
    const head = await this.take(2)
    if ((head[1]! & 0x80) !== 0) throw new Error('a broker must not mask its frames')
    let length = head[1]!
    if (length === 126) length = (await this.take(2)).readUInt16BE()
    else if (length === 127) length = Number((await this.take(8)).readBigUInt64BE())
    return { fin: (head[0]! & 0x80) !== 0, opcode: head[0]! & 0x7f, payload: await this.take(length) }
  }

  #cut(size: number): Buffer {
    const bytes = this.#bytes.subarray(0, size)
    this.#bytes = this.#bytes.subarray(size)
    return bytes
  }

  async #until(holds: () => boolean, what: string): Promise<void> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.#wake?.()
    }, DEADLINE)
    while (!holds()) {
      if (late || this.#ended) {
        clearTimeout(timer)
        const state = this.#ended ? 'the connection ended' : 'time is over'
        throw new Error(`expected ${what}, ${state}; received: ${JSON.stringify(this.#bytes.toString('latin1'))}`)
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    clearTimeout(timer)
  }
}

/** A client's frame: final and binary unless `first` says otherwise, masked unless `mask` is null. */
export function clientFrame(payload: Uint8Array | string, first = 0x82, mask: number | null = 0xa1b2c3d4): Buffer {
  const bytes = Buffer.from(payload as string, 'latin1')
  const size = bytes.length
  const head =
    size < 126
      ? Buffer.from([first, size])
      : size < 65536
        ? Buffer.from([first, 126, size >> 8, size & 255])
        : Buffer.from([first, 127, 0, 0, 0, 0, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255])
  if (mask === null) return Buffer.concat([head, bytes])
  head[1]! |= 0x80
  const key = Buffer.alloc(4)
  key.writeUInt32BE(mask)
  return Buffer.concat([head, key, bytes.map((byte, index) => byte ^ key[index % 4]!)])
}

export interface UpgradeOptions {
  path?: string
  protocol?: string | null
  headers?: string[]
}

/** An upgrade request as a browser sends it. */
export function upgradeRequest({ path = '/mqtt', protocol = 'mqtt', headers = [] }: UpgradeOptions = {}): string {
  return [
    `GET ${path} HTTP/1.1`,
    'Host: broker',
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
    ...(protocol === null ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
    ...headers,
    '\r\n',
  ].join('\r\n')
}

/** Upgrades and returns the answer's head. */
export async function upgrade(client: ByteClient, options: UpgradeOptions = {}): Promise<string> {
  client.send(upgradeRequest(options))
  return await client.takeUntil('\r\n\r\n')
}
