// Many messages in and out of sessions, fast: a publisher that counts its acknowledgements, and a subscriber that checks
// what it gets and acknowledges it. Their packets are put together and read a socket's chunk at a time.
import { connect as dial, type Socket } from 'node:net'
import type { BrokerUnderTest } from './broker-process.ts'
import { connect, Type } from './packets.ts'

/** Acknowledgements the publisher waits for at a time. */
const WINDOW = 4000
const CHUNK = 250

type Address = Pick<BrokerUnderTest, 'host' | 'port'>

function open({ host, port }: Address, clientId: string, clean: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = dial(port, host)
    socket.once('error', reject)
    socket.write(connect({ clientId, clean }))
    socket.once('data', (connack) => {
      socket.pause()
      if (connack.length > 4) socket.unshift(connack.subarray(4)) // messages came with it
      if (connack[3] === 0) resolve(socket)
      else reject(new Error(`${clientId} was refused: ${connack.toString('hex')}`))
    })
  })
}

/** A PUBLISH of QoS 1, or with `retain` a retained one. */
export function publishPacket(id: number, topic: string, payload: Uint8Array, retain = false): Buffer {
  const name = Buffer.from(topic)
  const remaining = 2 + name.length + 2 + payload.length
  const head: number[] = [retain ? 0x33 : 0x32]
  let rest = remaining
  do {
    head.push((rest & 127) | (rest > 127 ? 128 : 0))
    rest >>= 7
  } while (rest > 0)
  return Buffer.concat([
    Buffer.from([...head, name.length >> 8, name.length & 255]),
    name,
    Buffer.from([id >> 8, id & 255]),
    payload,
  ])
}

/** Publishes `count` messages, each made by `packet(n, id)`; resolves when all are acknowledged. */
export async function publishAll(
  broker: Address,
  count: number,
  packet: (n: number, id: number) => Buffer,
): Promise<void> {
  const socket = await open(broker, `pub-${process.pid}-${Math.random()}`, true)
  let sent = 0
  let bytes = 0
  await new Promise<void>((resolve, reject) => {
    const more = (): void => {
      while (sent < count && sent - bytes / 4 < WINDOW) {
        const chunk: Buffer[] = []
        for (let last = Math.min(count, sent + CHUNK); sent < last; sent++) chunk.push(packet(sent, (sent % 65535) + 1))
        socket.write(Buffer.concat(chunk))
      }
    }
    socket.on('data', (data) => {
      bytes += data.length // of a PUBACK each: 4
      if (bytes === count * 4) resolve()
      else more()
    })
    socket.resume()
    socket.on('close', () => reject(new Error(`the publisher was disconnected after ${bytes / 4} of ${count}`)))
    more()
  })
  socket.removeAllListeners('close')
  socket.end(Buffer.from([Type.DISCONNECT << 4, 0]))
}

/** Subscribes `filter` with QoS 1 for a session that outlives its connection, and leaves. */
export async function leaveSession(broker: Address, clientId: string, filter: string): Promise<void> {
  const socket = await open(broker, clientId, false)
  const done = new Promise<void>((resolve) => socket.once('data', () => resolve()))
  socket.resume()
  socket.write(subscribePacket(filter))
  await done
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.end(Buffer.from([Type.DISCONNECT << 4, 0]))
  socket.resume()
  await closed
}

function subscribePacket(filter: string): Buffer {
  const name = Buffer.from(filter)
  const head = [0x82, name.length + 5, 0, 1, name.length >> 8, name.length & 255]
  return Buffer.concat([Buffer.from(head), name, Buffer.from([1])])
}

/** Comes back as `clientId` and acknowledges messages; `seen` gets topic and payload of each, and says which is the last. Subscribes `filter` first, if given. */
export async function collect(
  broker: Address,
  clientId: string,
  seen: (topic: string, payload: Buffer) => boolean,
  filter?: string,
): Promise<void> {
  const socket = await open(broker, clientId, false)
  if (filter !== undefined) socket.write(subscribePacket(filter))
  let rest: Buffer = Buffer.alloc(0)
  let isOver = false
  await new Promise<void>((resolve, reject) => {
    socket.on('data', (data) => {
      rest = rest.length === 0 ? data : Buffer.concat([rest, data])
      const answers: number[] = []
      // What comes behind the last is neither seen nor acknowledged: it is sent again to whoever comes next.
      for (let next = readPublish(rest); next !== undefined && !isOver; next = readPublish(rest)) {
        rest = rest.subarray(next.length)
        if (next.type === Type.SUBACK) continue
        isOver = seen(next.topic, next.payload)
        if (next.id > 0) answers.push(0x40, 2, next.id >> 8, next.id & 255)
      }
      if (answers.length > 0) socket.write(Buffer.from(answers))
      if (isOver) resolve()
    })
    socket.resume()
    socket.on('close', () => reject(new Error(`${clientId} was disconnected before its last message`)))
  })
  socket.removeAllListeners('close')
  socket.end(Buffer.from([Type.DISCONNECT << 4, 0]))
}

interface Read {
  readonly type: number
  readonly length: number
  readonly topic: string
  readonly payload: Buffer
  /** 0 for QoS 0. */
  readonly id: number
}

/** The PUBLISH (or SUBACK) at the beginning of `bytes`, if all of it is there; throws for any other packet. */
function readPublish(bytes: Buffer): Read | undefined {
  let remaining = 0
  let at = 1
  for (let shift = 0; ; shift += 7) {
    if (at >= bytes.length) return undefined
    const byte = bytes[at++]!
    remaining |= (byte & 127) << shift
    if (byte < 128) break
  }
  const end = at + remaining
  if (bytes.length < end) return undefined
  const type = bytes[0]! >> 4
  if (type === Type.SUBACK) return { type, length: end, topic: '', payload: bytes.subarray(end, end), id: 0 }
  if (type !== Type.PUBLISH) throw new Error(`a packet of type ${type} came`)
  const nameEnd = at + 2 + bytes.readUInt16BE(at)
  const hasId = (bytes[0]! & 6) !== 0
  const start = hasId ? nameEnd + 2 : nameEnd
  return {
    type,
    length: end,
    topic: bytes.toString('utf8', at + 2, nameEnd),
    payload: bytes.subarray(start, end),
    id: hasId ? bytes.readUInt16BE(nameEnd) : 0,
  }
}
