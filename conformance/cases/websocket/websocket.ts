// MQTT over WebSocket; only with --ws. The frames are written by hand, because no library sends wrong ones.

import { defineCase } from '../../case.ts'
import type { Context } from '../../context.ts'
import { decode, nextFrame } from '../../decode.ts'
import type { Packet } from '../../packet.ts'
import { OPCODE, openSocket, upgradeToWebSocket, WebSocketTransport } from '../../transport.ts'
import * as wire from '../../wire.ts'
import { cat } from '../../wire.ts'

interface Raw {
  transport: WebSocketTransport
  /** The next packet, or undefined when the connection closes or nothing comes in time. */
  next(): Promise<Packet | undefined>
  closed(): Promise<boolean>
}

async function open(t: Context): Promise<Raw> {
  const target = t.webSocket
  if (target === undefined) t.skip('no WebSocket address was given (--ws)')
  const socket = await openSocket(target)
  const upgrade = await upgradeToWebSocket(socket, target, ['mqtt'])
  t.check(upgrade.status === 101, 'the upgrade answered with 101', `${upgrade.status}`)
  let bytes: Buffer = Buffer.alloc(0)
  let over = false
  const packets: Packet[] = []
  let wake: () => void = () => undefined
  const transport = new WebSocketTransport(socket, upgrade.rest, {
    data: (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      for (let frame = nextFrame(bytes); frame !== undefined; frame = nextFrame(bytes)) {
        bytes = bytes.subarray(frame.bytes.length)
        const packet = decode(frame, t.version, t.trace.now())
        t.trace.packet('received', packet, 'websocket')
        packets.push(packet)
      }
      wake()
    },
    closed: (how) => {
      over = true
      t.trace.add('closed', `the server closed the connection (${how})`, 'websocket')
      wake()
    },
  })
  const changed = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, t.patience)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  return {
    transport,
    async next() {
      if (packets.length === 0 && !over) await changed()
      return packets.shift()
    },
    async closed() {
      for (let n = 0; n < 3 && !over; n++) await changed()
      return over
    },
  }
}

const connectBytes = (t: Context): Buffer => wire.connect(t.version, t.connectOptions({ clientId: t.id() }))

/** Sends CONNECT in the frames `send` makes of it; CONNACK and PINGRESP must come. */
async function handshake(t: Context, send: (raw: Raw, bytes: Buffer) => void): Promise<void> {
  const raw = await open(t)
  try {
    send(raw, cat(connectBytes(t), wire.PINGREQ))
    t.check((await raw.next())?.kind === 'connack', 'CONNACK')
    t.check((await raw.next())?.kind === 'pingresp', 'PINGRESP')
    t.check(
      raw.transport.opcodes.every((o) => o === OPCODE.binary || o === OPCODE.continuation),
      'binary frames only',
    )
  } finally {
    raw.transport.destroy()
  }
}

const BOUNDARIES = { '3.1.1': ['MQTT-6.0.0-2', 'MQTT-6.0.0-1'], '5': ['MQTT-6.0.0-2', 'MQTT-6.0.0-1'] }

defineCase({
  id: 'subprotocol',
  area: 'websocket',
  title: 'The server selects the subprotocol mqtt',
  clauses: { '3.1.1': ['MQTT-6.0.0-4'], '5': ['MQTT-6.0.0-4'] },
  needs: ['websocket'],
  async run(t) {
    const target = t.webSocket
    if (target === undefined) return t.skip('no WebSocket address was given (--ws)')
    const socket = await openSocket(target)
    const upgrade = await upgradeToWebSocket(socket, target, ['mqtt'])
    socket.destroy()
    t.check(upgrade.status === 101, 'the upgrade answered with 101', `${upgrade.status}`)
    t.check(
      upgrade.acceptIsRight,
      'the Sec-WebSocket-Accept RFC 6455 demands',
      upgrade.headers.get('sec-websocket-accept'),
    )
    t.equal(upgrade.headers.get('sec-websocket-protocol'), 'mqtt', 'Sec-WebSocket-Protocol')
  },
})

defineCase({
  id: 'packets-in-one-frame',
  area: 'websocket',
  title: 'Several packets in one frame are handled',
  clauses: BOUNDARIES,
  needs: ['websocket'],
  run: (t) => handshake(t, (raw, bytes) => raw.transport.write(bytes)),
})

defineCase({
  id: 'a-byte-a-frame',
  area: 'websocket',
  title: 'Packets cut into frames of one byte are put together',
  clauses: BOUNDARIES,
  needs: ['websocket'],
  run: (t) =>
    handshake(t, (raw, bytes) => {
      for (const byte of bytes) raw.transport.write(Buffer.of(byte))
    }),
})

defineCase({
  id: 'fragmented-message',
  area: 'websocket',
  title: 'A message in continuation frames, with a ping between them, is put together',
  clauses: BOUNDARIES,
  needs: ['websocket'],
  run: (t) =>
    handshake(t, (raw, bytes) => {
      raw.transport.sendFrame(OPCODE.binary, bytes.subarray(0, 5), false)
      raw.transport.sendFrame(OPCODE.ping, Buffer.from('x'))
      raw.transport.sendFrame(OPCODE.continuation, bytes.subarray(5), true)
    }),
})

defineCase({
  id: 'text-frame',
  area: 'websocket',
  title: 'A text frame closes the connection',
  clauses: { '3.1.1': ['MQTT-6.0.0-1'], '5': ['MQTT-6.0.0-1'] },
  needs: ['websocket'],
  async run(t) {
    const raw = await open(t)
    try {
      raw.transport.write(connectBytes(t))
      t.check((await raw.next())?.kind === 'connack', 'CONNACK')
      raw.transport.sendFrame(OPCODE.text, wire.PINGREQ)
      t.check(await raw.closed(), 'the connection closed: MQTT travels in binary frames', 'it is still open')
    } finally {
      raw.transport.destroy()
    }
  },
})
