// What the broker says of itself ($SYS) and what the kernel says of the broker: sockets, descriptors, memory.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { Type } from '../../support/packets.ts'
import { until } from '../../support/until.ts'
import type { Door } from './doors.ts'
import type { Line } from './line.ts'
import { comeIn } from './trouble.ts'

/** Reads $SYS on a connection of its own. */
export class SysReader {
  readonly #values = new Map<string, number>()
  #rounds = 0
  #line: Line | undefined

  async comeIn(door: Door): Promise<void> {
    this.#line = await comeIn(door, 4, { clientId: 'sys-reader', clean: true }, (line, packet) => {
      if (packet.type !== Type.PUBLISH) return
      const { topic, text } = line.message(packet)
      this.#values.set(topic.slice('$SYS/broker/'.length), Number.parseFloat(text))
      if (topic.endsWith('/uptime')) this.#rounds++ // it changes every second
    })
    this.#line.subscribe('$SYS/broker/#', 0)
    await this.anew()
  }

  /** Values made after now: two rounds further, and the second of them complete. */
  async anew(): Promise<void> {
    const wanted = this.#rounds + 3
    await until('$SYS is told anew', () => this.#rounds >= wanted, 60)
  }

  /** 0 for what has never been told. */
  value(name: string): number {
    return this.#values.get(name) ?? 0
  }

  async leave(): Promise<void> {
    await this.#line?.leave()
  }
}

/** Sockets a process has open, listening ones included. */
export function socketsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')
    } catch {
      return false // closed between the two calls
    }
  }).length
}

/** Resident memory in MiB. */
export const residentOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024

const STATES: Record<string, string> = {
  '02': 'SYN_SENT',
  '03': 'SYN_RECV',
  '04': 'FIN_WAIT1',
  '05': 'FIN_WAIT2',
  '08': 'CLOSE_WAIT',
  '09': 'LAST_ACK',
  '0B': 'CLOSING',
}

/**
 * Connections of these ports, seen from the broker's end, that a process still holds and that are neither listening nor
 * established. Where nobody holds one any more (no inode), the kernel is waiting for a peer that never closes.
 */
export function unfinished(ports: readonly number[]): string[] {
  const hex = new Set(ports.map((port) => port.toString(16).toUpperCase().padStart(4, '0')))
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => row[1] !== undefined && hex.has(row[1].split(':')[1]!) && row[3]! in STATES && row[9] !== '0')
    .map(([, local, remote, state]) => `${local} ${remote} ${STATES[state!]}`)
}

/** Times in milliseconds, counted in classes of 5 %. */
export class Latencies {
  readonly #classes = new Uint32Array(512)
  #count = 0
  #longest = 0

  readonly add = (ms: number): void => {
    const at = Math.max(0, Math.min(511, Math.round(Math.log(Math.max(ms, 0.01) / 0.01) / Math.log(1.05))))
    this.#classes[at]!++
    this.#count++
    if (ms > this.#longest) this.#longest = ms
  }

  toString(): string {
    const at = (share: number): string => {
      let left = this.#count * share - this.#classes[0]!
      let index = 0
      while (left > 0 && index < 511) left -= this.#classes[++index]!
      return (0.01 * 1.05 ** index).toFixed(2)
    }
    return `${at(0.5)} ms median, ${at(0.99)} ms p99, ${this.#longest.toFixed(0)} ms at most`
  }
}
