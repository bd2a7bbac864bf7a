// MQTT 3.1.1 over the browser's own WebSocket: QoS 0, clean session, keep alive, reconnecting. As much as a dashboard
// needs, and short enough to read; for QoS 1 and 2 or MQTT 5 take the mqtt package.

// Seconds. Browsers let the timers of pages in the background run once a minute only.
const KEEP_ALIVE = 120
const FIRST_DELAY = 1000 // ms; doubled with each failure, with jitter, up to:
const MOST_DELAY = 30_000
const REFUSALS = [
  '',
  'protocol version',
  'client identifier',
  'server unavailable',
  'user name or password',
  'not authorized',
]

/**
 * Connects, and again whenever the connection is lost. Of `handlers` onConnected is told after each CONNACK: subscribe
 * there. onMessage(topic, payload: Uint8Array); onClosed(why). What is published while there is no connection is lost.
 */
export function connect(url, handlers, { username, password } = {}) {
  let socket
  let pinging
  let delay = FIRST_DELAY
  let refused

  const send = (first, ...parts) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(packet(first, ...parts))
  }

  const open = () => {
    refused = undefined
    socket = new WebSocket(url, 'mqtt') // the subprotocol is required [MQTT-6.0.0-3]
    socket.binaryType = 'arraybuffer'
    const take = packetReader(handle)
    socket.onmessage = ({ data }) => take(new Uint8Array(data))
    socket.onopen = () => {
      const flags = 2 | (username === undefined ? 0 : 0x80) | (password === undefined ? 0 : 0x40)
      const secrets = [username, password].filter((one) => one !== undefined)
      send(0x10, string('MQTT'), [4, flags, 0, KEEP_ALIVE], string(''), ...secrets.map(string))
    }
    socket.onclose = ({ code, reason }) => {
      clearInterval(pinging)
      handlers.onClosed?.(refused ?? (reason || `closed (${code})`))
      setTimeout(open, delay * (0.5 + Math.random()))
      delay = Math.min(delay * 2, MOST_DELAY)
    }
  }

  const handle = (first, body) => {
    if (first === 0x20 && body[1] === 0) {
      delay = FIRST_DELAY
      pinging = setInterval(() => send(0xc0), KEEP_ALIVE * 400)
      handlers.onConnected?.()
    } else if (first === 0x20) {
      refused = `refused: ${REFUSALS[body[1]] ?? body[1]}`
    } else if (first >> 4 === 3) {
      const end = 2 + ((body[0] << 8) | body[1])
      handlers.onMessage?.(new TextDecoder().decode(body.subarray(2, end)), body.slice(end))
    }
  }

  open()
  return {
    subscribe: (filter) => send(0x82, [0, 1], string(filter), [0]),
    publish: (topic, payload) => {
      send(0x30, string(topic), typeof payload === 'string' ? new TextEncoder().encode(payload) : payload)
    },
  }
}

function string(text) {
  const bytes = new TextEncoder().encode(text)
  return [bytes.length >> 8, bytes.length & 255, ...bytes]
}

function packet(first, ...parts) {
  const body = parts.flatMap((part) => [...part])
  const length = []
  let rest = body.length
  do {
    length.push((rest & 127) | (rest > 127 ? 128 : 0))
    rest >>= 7
  } while (rest > 0)
  return new Uint8Array([first, ...length, ...body])
}

/** A WebSocket message may hold several packets or a part of one [MQTT-6.0.0-2]: they are put together here. */
function packetReader(handle) {
  let bytes = new Uint8Array(0)
  return (more) => {
    const joined = new Uint8Array(bytes.length + more.length)
    joined.set(bytes)
    joined.set(more, bytes.length)
    bytes = joined
    for (let size = packetSize(bytes); size !== undefined && size.end <= bytes.length; size = packetSize(bytes)) {
      handle(bytes[0], bytes.subarray(size.head, size.end))
      bytes = bytes.subarray(size.end)
    }
  }
}

/** Where the body of the first packet begins and ends; undefined as long as its length is not there. */
function packetSize(bytes) {
  let length = 0
  for (let at = 1; at < Math.min(bytes.length, 5); at++) {
    length += (bytes[at] & 127) * 128 ** (at - 1)
    if (bytes[at] < 128) return { head: at + 1, end: at + 1 + length }
  }
  return undefined
}
