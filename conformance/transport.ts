// A byte stream to the broker: TCP, TLS, or either with WebSocket frames around it. Owns the socket until `destroy`.
// Knows nothing of MQTT; the WebSocket client here is deliberately small and can send frames no library would.

import { createHash, randomBytes } from 'node:crypto'
import net from 'node:net'
import tls from 'node:tls'
import type { Target } from './target.ts'

export interface StreamEvents {
  data(bytes: Buffer): void
  /** Once; the peer ended or reset the stream, or it failed. Not called after our own `destroy`. */
  closed(how: string): void
}

export interface Transport {
  write(bytes: Buffer): void
  /** FIN after what was written. */
  end(): void
  /** Drops the connection at once. */
  destroy(): void
  /** Sends RST instead of FIN, as a crashed peer's kernel would. */
  reset(): void
}

/** Milliseconds a connection attempt may take. */
const CONNECT_TIMEOUT = 5000

/** Opens the stream; rejects with the system's error when there is nobody. */
export async function openTransport(target: Target, events: StreamEvents): Promise<Transport> {
  const socket = await openSocket(target)
  if (target.scheme === 'ws' || target.scheme === 'wss') {
    const upgrade = await upgradeToWebSocket(socket, target, ['mqtt'])
    if (upgrade.status !== 101) {
      socket.destroy()
      throw new Error(`the WebSocket upgrade was answered with ${upgrade.status}`)
    }
    return new WebSocketTransport(socket, upgrade.rest, events)
  }
  return new PlainTransport(socket, events)
}

/** The TCP socket below each TLS socket: only it can send RST. */
const below = new WeakMap<net.Socket, net.Socket>()

/** A connected socket, with its TLS handshake done where the scheme wants TLS; rejects with the reason if there is none. */
export async function openSocket(target: Target): Promise<net.Socket> {
  const { host, port } = target
  const late = new Error(`no connection to ${host}:${port} in time`)
  const tcp = net.connect({ host, port, noDelay: true })
  await ready(tcp, 'connect', late)
  if (target.scheme !== 'mqtts' && target.scheme !== 'wss') return tcp
  const name = net.isIP(host) === 0 ? { servername: host } : {}
  const secure = tls.connect({ socket: tcp, host, ...name, ...target.tls })
  below.set(secure, tcp)
  await ready(secure, 'secureConnect', late)
  return secure
}

/** Waits for the event; an error, the end or the time limit before it rejects. */
function ready(socket: net.Socket, event: 'connect' | 'secureConnect', late: Error): Promise<void> {
  return new Promise((resolve, reject) => {
    // Between two owners an error must find somebody; the close that follows tells the next one.
    socket.on('error', () => undefined)
    const timer = setTimeout(() => socket.destroy(late), CONNECT_TIMEOUT)
    const closed = (): void => reject(new Error('the connection was closed during the TLS handshake'))
    socket.once('error', reject)
    socket.once('close', closed)
    socket.once(event, () => {
      clearTimeout(timer)
      socket.off('error', reject)
      socket.off('close', closed)
      resolve()
    })
    socket.once('close', () => clearTimeout(timer))
  })
}

/** RST, through whatever lies above TCP. */
function resetSocket(socket: net.Socket): void {
  const tcp = below.get(socket)
  if (tcp === undefined) socket.resetAndDestroy()
  else {
    tcp.resetAndDestroy()
    socket.destroy()
  }
}

class PlainTransport implements Transport {
  readonly #socket: net.Socket
  #over = false

  constructor(socket: net.Socket, events: StreamEvents) {
    this.#socket = socket
    const over = (how: string) => {
      if (this.#over) return
      this.#over = true
      socket.destroy()
      events.closed(how)
    }
    socket.on('data', (bytes) => events.data(bytes))
    socket.on('end', () => over('FIN'))
    socket.on('error', (error: NodeJS.ErrnoException) => over(error.code === 'ECONNRESET' ? 'RST' : error.message))
    socket.on('close', () => over('closed'))
  }

  write(bytes: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes)
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#over = true
    this.#socket.destroy()
  }

  reset(): void {
    this.#over = true
    resetSocket(this.#socket)
  }
}

// ---- WebSocket ------------------------------------------------------------------------------------------------

export interface Upgrade {
  status: number
  headers: Map<string, string>
  /** Sec-WebSocket-Accept is what RFC 6455 demands. */
  acceptIsRight: boolean
  /** Bytes that came behind the header. */
  rest: Buffer
}

/** Sends the opening handshake and reads the answer's header. Rejects when the stream ends before it is complete. */
export function upgradeToWebSocket(socket: net.Socket, target: Target, protocols: string[]): Promise<Upgrade> {
  const key = randomBytes(16).toString('base64')
  const lines = [
    `GET ${target.path} HTTP/1.1`,
    `Host: ${target.host}:${target.port}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
    'Sec-WebSocket-Version: 13',
  ]
  if (protocols.length > 0) lines.push(`Sec-WebSocket-Protocol: ${protocols.join(', ')}`)
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0)
    const fail = () => reject(new Error('the stream ended during the WebSocket handshake'))
    const timer = setTimeout(() => socket.destroy(), CONNECT_TIMEOUT)
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      const end = bytes.indexOf('\r\n\r\n')
      if (end < 0) return
      clearTimeout(timer)
      socket.pause()
      socket.off('data', onData)
      socket.off('close', fail)
      socket.off('error', fail)
      resolve(readUpgrade(bytes.subarray(0, end).toString('latin1'), key, bytes.subarray(end + 4)))
    }
    socket.on('data', onData)
    socket.once('close', fail)
    socket.once('error', fail)
  })
}

function readUpgrade(header: string, key: string, rest: Buffer): Upgrade {
  const [statusLine = '', ...lines] = header.split('\r\n')
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const status = Number(statusLine.split(' ')[1])
  return { status, headers, acceptIsRight: headers.get('sec-websocket-accept') === accept, rest }
}

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** A masked client frame. */
export function webSocketFrame(opcode: number, payload: Buffer, final = true): Buffer {
  const mask = randomBytes(4)
  const length =
    payload.length < 126
      ? Buffer.of(0x80 | payload.length)
      : payload.length < 65_536
        ? Buffer.of(0x80 | 126, payload.length >> 8, payload.length & 0xff)
        : Buffer.concat([Buffer.of(0x80 | 127, 0, 0, 0, 0), uint32(payload.length)])
  const masked = Buffer.from(payload)
  for (let index = 0; index < masked.length; index++) masked[index]! ^= mask[index & 3] as number
  return Buffer.concat([Buffer.of((final ? 0x80 : 0) | opcode), length, mask, masked])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export class WebSocketTransport implements Transport {
  readonly #socket: net.Socket
  readonly #events: StreamEvents
  #bytes: Buffer = Buffer.alloc(0)
  #over = false
  /** Opcodes of the data frames received. */
  readonly opcodes: number[] = []

  constructor(socket: net.Socket, rest: Buffer, events: StreamEvents) {
    this.#socket = socket
    this.#events = events
    socket.on('data', (bytes) => this.#read(bytes))
    socket.on('end', () => this.#close('FIN'))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      this.#close(error.code === 'ECONNRESET' ? 'RST' : error.message),
    )
    socket.on('close', () => this.#close('closed'))
    if (rest.length > 0) this.#read(rest)
    socket.resume()
  }

  #close(how: string): void {
    if (this.#over) return
    this.#over = true
    this.#socket.destroy()
    this.#events.closed(how)
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    for (;;) {
      const frame = splitFrame(this.#bytes)
      if (frame === undefined) return
      this.#bytes = this.#bytes.subarray(frame.size)
      if (frame.opcode === OPCODE.close) {
        this.#close('WebSocket close frame')
        return
      }
      if (frame.opcode === OPCODE.ping) this.sendFrame(OPCODE.pong, frame.payload)
      if (frame.opcode > 2) continue
      this.opcodes.push(frame.opcode)
      this.#events.data(frame.payload)
    }
  }

  write(bytes: Buffer): void {
    this.sendFrame(OPCODE.binary, bytes)
  }

  sendFrame(opcode: number, payload: Buffer, final = true): void {
    if (!this.#socket.destroyed) this.#socket.write(webSocketFrame(opcode, payload, final))
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#over = true
    this.#socket.destroy()
  }

  reset(): void {
    this.#over = true
    resetSocket(this.#socket)
  }
}

function splitFrame(bytes: Buffer): { opcode: number; payload: Buffer; size: number } | undefined {
  if (bytes.length < 2) return undefined
  let length = (bytes[1] as number) & 0x7f
  let at = 2
  if (length === 126) {
    if (bytes.length < 4) return undefined
    length = bytes.readUInt16BE(2)
    at = 4
  } else if (length === 127) {
    if (bytes.length < 10) return undefined
    length = Number(bytes.readBigUInt64BE(2))
    at = 10
  }
  if (bytes.length < at + length) return undefined
  return { opcode: (bytes[0] as number) & 0x0f, payload: bytes.subarray(at, at + length), size: at + length }
}
