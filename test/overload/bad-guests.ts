// What those who mean no good bring to a door: beginnings of TLS handshakes, plain HTTP. Knows no broker and owns no socket.
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'

/** What a TLS client says first, whole. */
export async function clientHello(): Promise<Buffer> {
  return await new Promise((resolve) => {
    const wire = new Duplex({
      read: () => {},
      write: (bytes: Buffer) => resolve(Buffer.from(bytes)),
    })
    connectTls({ socket: wire, servername: 'localhost' }).on('error', () => {}) // Nobody answers.
  })
}

export const httpRequest = 'GET / HTTP/1.1\r\nHost: broker\r\nUser-Agent: scanner\r\nAccept: */*\r\n\r\n'
