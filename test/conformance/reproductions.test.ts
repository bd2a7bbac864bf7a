// The deviations docs/conformance.md tells of Mosquitto, replayed: each block of bytes is said to a Mosquitto of its own, and
// what the page says came back has to come back. Only in long runs, and only for the release the page is about.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as passes } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nextFrame } from '../../conformance/decode.ts'
import * as wire from '../../conformance/wire.ts'
import { skipped } from '../support/target.ts'
import { freePort, listening } from './ports.ts'

const MOSQUITTO = '/usr/sbin/mosquitto'
const JUDGED = '2.0.11'
const PATIENCE = 3000
/** Milliseconds in which what must not come would have come. */
const QUIET = 700

const page = readFileSync(resolve(import.meta.dirname, '../../../docs/conformance.md'), 'utf8')
const section = page.slice(page.indexOf('## Mosquitto'))

/** The paragraphs in bold and the block of bytes below each. */
const blocks = [...section.matchAll(/^\*\*(.+?)\*\*[\s\S]*?\n\n((?: {4}.*\n)+)/gm)].map(
  ([, title = '', lines = '']) => ({
    title: title.replaceAll('\n', ' '),
    lines: lines.split('\n').map((line) => line.trim()),
  }),
)

/** `A > 10 0d …   a remark`, `A < …`, `A closed`; several may stand on a line, three spaces apart. */
const HEX = /^((?:[0-9a-f]{2}\s+)*[0-9a-f]{2})(?=\s|$)/

/** First halves of the packets that answer what was sent: CONNACK, PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK. */
const ANSWERS = [2, 4, 5, 7, 9, 11]
const kindOf = (packet: Buffer): number => (packet[0] ?? 0) >> 4

function packetsOf(bytes: Buffer): { packets: Buffer[]; rest: Buffer } {
  const packets: Buffer[] = []
  let rest = bytes
  for (let frame = nextFrame(rest); frame !== undefined && rest.length > 0; frame = nextFrame(rest)) {
    packets.push(frame.bytes)
    rest = rest.subarray(frame.bytes.length)
  }
  return { packets, rest }
}

class Peer {
  readonly #socket: Socket
  #bytes: Buffer = Buffer.alloc(0)
  #packets: Buffer[] = []
  #closed = false

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('data', (bytes) => {
      const { packets, rest } = packetsOf(Buffer.concat([this.#bytes, bytes]))
      this.#packets.push(...packets)
      this.#bytes = rest
    })
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.on('close', () => {
      this.#closed = true
    })
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  drop(): void {
    this.#socket.destroy()
  }

  get closed(): boolean {
    return this.#closed
  }

  async #until(there: () => boolean): Promise<void> {
    for (const end = performance.now() + PATIENCE; !there() && performance.now() < end; ) await passes(5)
  }

  /** These packets come next; the page leaves out answers that say nothing new. */
  async hears(bytes: Buffer): Promise<void> {
    for (const wanted of packetsOf(bytes).packets) {
      const isIt = (packet: Buffer): boolean => packet.equals(wanted) || !ANSWERS.includes(kindOf(packet))
      await this.#until(() => this.#packets.some(isIt))
      const at = this.#packets.findIndex(isIt)
      const [came] = this.#packets.splice(0, at + 1).slice(-1)
      assert.is(came?.toString('hex'), wanted.toString('hex'))
    }
  }

  /** No message came that the page does not tell of, and none comes. */
  async hearsNoMessage(): Promise<void> {
    await passes(QUIET)
    const messages = this.#packets.filter((packet) => kindOf(packet) === 3)
    assert.equal(
      messages.map((packet) => packet.toString('hex')),
      [],
    )
  }

  async isClosed(): Promise<void> {
    await this.#until(() => this.#closed)
    assert.ok(this.#closed, 'the connection is closed')
  }
}

/** Carries a block out. A connects with the bytes of the block; B is there before it, in MQTT 5. */
async function replay(port: number, lines: readonly string[]): Promise<void> {
  let a = new Peer(port)
  let connects = 0
  const b = new Peer(port)
  b.send(wire.connect(5, { clientId: 'b' }))
  await b.hears(wire.hex('20 09 00 00 06 22 00 0a 21 00 14'))
  let ended = false
  for (const line of lines.flatMap((one) => one.split(/ {3,}(?=[AB] (?:[<>]|closed))/))) {
    const [, who, arrow, rest = ''] = /^([AB]) ([<>]) ?(.*)$/.exec(line) ?? []
    const bytes = wire.hex(HEX.exec(rest)?.[1] ?? '')
    const subscribes = /^B subscribes to (\S+)$/.exec(line)
    const publishes = /^B publishes ([\d, ]+) to (\S+) with QoS 1$/.exec(line)
    if (arrow === '>') {
      if (who === 'A' && kindOf(bytes) === 1 && ++connects > 1) a = new Peer(port)
      ;(who === 'A' ? a : b).send(bytes)
      // What A says and what B says has an order on the page.
      await passes(60)
    } else if (arrow === '<') await (who === 'A' ? a : b).hears(bytes)
    else if (subscribes !== null) {
      b.send(wire.subscribe(5, 1, [[subscribes[1] ?? '', 0]]))
      await b.hears(wire.hex('90 04 00 01 00 00'))
    } else if (publishes !== null) {
      const numbers = (publishes[1] ?? '').split(',').map(Number)
      for (const n of numbers)
        b.send(wire.publish(5, { topic: publishes[2] ?? '', payload: `${n}`, qos: 1, packetId: n }))
    } else if (line.startsWith('A drops its connection')) {
      a.drop()
      ended = true
    } else if (line === 'A closed') {
      await a.isClosed()
      ended = true
    } else if (line !== '') throw new Error(`docs/conformance.md says what nobody can replay: ${line}`)
    const pause = /(\d+) s pass/.exec(line)
    if (pause !== null) await passes(Number(pause[1]) * 1000)
    if (line.includes('B gets nothing')) await b.hearsNoMessage()
    if (line.includes('A gets nothing')) await a.hearsNoMessage()
    if (line.includes('DISCONNECT')) ended = true
  }
  await a.hearsNoMessage()
  assert.is(a.closed, ended && connects < 2, 'A is still connected, unless the page says otherwise')
  a.drop()
  b.drop()
}

test('every block of the page can be replayed', () => {
  assert.ok(blocks.length >= 13)
  const known =
    /^([AB] [<>] [0-9a-f]{2}\b|A closed$|A drops its connection|B subscribes to \S+$|B publishes [\d, ]+ to \S+ with QoS 1$|$)/
  assert.equal(
    blocks.flatMap(({ lines }) => lines).filter((line) => !known.test(line)),
    [],
  )
})

const LONG = process.env.MARTLET_LONG === '1'
const release = existsSync(MOSQUITTO)
  ? /version (\S+)/.exec(spawnSync(MOSQUITTO, ['-h'], { encoding: 'utf8' }).stdout)?.[1]
  : undefined
const missing = release === undefined ? 'mosquitto is not installed' : `Mosquitto is ${release} here, not ${JUDGED}`
const judged =
  release === JUDGED || (release === undefined && process.env.CI !== undefined) ? test : skipped(test, missing)

for (const { title, lines } of LONG ? blocks : []) {
  judged(`as docs/conformance.md says, Mosquitto ${JUDGED}: ${title}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
    const port = await freePort()
    writeFileSync(join(folder, 'm.conf'), `listener ${port} 127.0.0.1\nallow_anonymous true\n`)
    const child = spawn(MOSQUITTO, ['-c', join(folder, 'm.conf')], { stdio: 'ignore' })
    try {
      await listening(port)
      await replay(port, lines)
    } finally {
      child.kill()
      await once(child, 'exit')
      rmSync(folder, { recursive: true })
    }
  })
}

test.run()
