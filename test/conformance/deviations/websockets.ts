// Deviations in MQTT over WebSocket. The proxy passes bytes; each deviation knows what it looks for in them.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface WebSocketDeviation {
  readonly does: string
  readonly caught: readonly string[]
  up?(bytes: Buffer): Buffer
  down?(bytes: Buffer): Buffer
}

const TEXT = 0x81
const BINARY = 0x82

export const webSockets: readonly WebSocketDeviation[] = [
  {
    does: 'selects another subprotocol',
    caught: ['websocket/subprotocol'],
    down: (bytes) => Buffer.from(bytes.toString('latin1').replace(/(protocol: *)mqtt/i, '$1mqttv3.1'), 'latin1'),
  },
  {
    does: 'sends MQTT in text frames',
    caught: ['websocket/packets-in-one-frame', 'websocket/a-byte-a-frame', 'websocket/fragmented-message'],
    down(bytes) {
      // Short frames, whole ones: all a test's answers are.
      const changed = Buffer.from(bytes)
      for (let at = 0; at < bytes.length; at += 2 + (bytes[at + 1] ?? 0)) if (changed[at] === BINARY) changed[at] = TEXT
      return changed
    },
  },
  {
    does: 'ignores text frames',
    caught: ['websocket/text-frame'],
    up: (bytes) => (bytes[0] === TEXT ? Buffer.alloc(0) : bytes),
  },
]

/** Listens on a free port and passes every stream to the port given, changed by the deviation. */
export async function webSocketProxy(
  port: number,
  path: string,
  { up, down }: Pick<WebSocketDeviation, 'up' | 'down'>,
): Promise<{ url: string; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const broker = connect(port, '127.0.0.1')
    for (const [from, to, change] of [
      [client, broker, up],
      [broker, client, down],
    ] as const) {
      sockets.add(from)
      from.on('data', (bytes) => to.write(change?.(bytes) ?? bytes))
      from.on('error', () => from.destroy())
      from.on('close', () => to.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `ws://127.0.0.1:${(server.address() as { port: number }).port}${path}`,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
