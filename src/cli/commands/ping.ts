// `martlet ping`: is a broker serving? One CONNECT, one CONNACK, exit code 0. For health checks of containers.

import { connect } from 'node:net'
import { CommanderError, Command as Parser } from 'commander'
import type { Command } from '../commands.ts'
import { ExitCode } from '../exit-code.ts'

// MQTT 3.1.1, Clean Session, Keep Alive 10 s, an empty Client Identifier: the broker makes one and keeps nothing.
const CONNECT = Uint8Array.of(0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0x02, 0, 10, 0, 0)
const DISCONNECT = Uint8Array.of(0xe0, 0)
const CONNACK = 0x20

interface PingOptions {
  readonly host: string
  readonly port: string
  readonly timeout: string
}

export const ping: Command = {
  name: 'ping',
  summary: 'ask a broker whether it serves (for health checks)',
  async run(args) {
    const parser = new Parser('martlet ping')
      .option('-h, --host <host>', 'host of the broker', '127.0.0.1')
      .option('-p, --port <port>', 'port of the broker', '1883')
      .option('--timeout <seconds>', 'how long to wait', '4')
      .helpOption('--help', 'show this')
      .exitOverride()
    try {
      parser.parse([...args], { from: 'user' })
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error
      return error.exitCode === 0 ? ExitCode.Fine : ExitCode.Invalid
    }
    const { host, port, timeout } = parser.opts<PingOptions>()
    if (!(Number(port) > 0 && Number(port) < 65536)) {
      process.stderr.write(`Error: Invalid port specified (${port}).\n`)
      return ExitCode.Invalid
    }
    const answer = await knock(host, Number(port), Number(timeout) * 1000)
    process.stdout.write(`${answer}\n`)
    return answer === SERVING ? ExitCode.Fine : ExitCode.Failed
  },
}

const SERVING = 'serving'

/** What a broker says to one CONNECT. A refusal is an answer too: who refuses serves (anonymous clients may be unwanted). */
function knock(host: string, port: number, timeout: number): Promise<string> {
  return new Promise((settle) => {
    const socket = connect({ host, port, timeout })
    const done = (answer: string): void => {
      socket.destroy()
      settle(answer)
    }
    socket.once('connect', () => socket.write(CONNECT))
    socket.once('timeout', () => done('no answer in time'))
    socket.once('error', (error) => done(error.message))
    socket.once('close', () => done('closed without an answer'))
    socket.once('data', (bytes) => {
      if (bytes[0] !== CONNACK) return done('the answer is not MQTT')
      socket.end(DISCONNECT, () => done(SERVING))
    })
  })
}
