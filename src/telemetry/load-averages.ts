// $SYS/broker/load: events per minute, averaged exponentially over 1, 5 and 15 minutes, as Mosquitto (and `uptime`) do it.

import type { Counters } from './counters.ts'

const WINDOWS = [
  ['1min', 60],
  ['5min', 300],
  ['15min', 900],
] as const

const RATES: readonly (readonly [name: string, count: (counters: Readonly<Counters>) => number])[] = [
  ['messages/received', (counters) => counters.messagesReceived],
  ['messages/sent', (counters) => counters.messagesSent],
  ['publish/received', (counters) => counters.publishReceived],
  ['publish/sent', (counters) => counters.publishSent],
  ['publish/dropped', (counters) => counters.dropped],
  ['bytes/received', (counters) => counters.bytesReceived],
  ['bytes/sent', (counters) => counters.bytesSent],
  ['sockets', (counters) => counters.connectionsTotal],
  ['connections', (counters) => counters.connectsAccepted],
]

export class LoadAverages {
  readonly #counts = new Map<string, number>()
  readonly #averages = new Map<string, number>()
  #updatedAt = 0

  /** Takes in what happened since the last call; `now` is in seconds, and 0 is the start. Returns per-minute averages. */
  update(counters: Readonly<Counters>, now: number): [name: string, perMinute: number][] {
    const elapsed = now - this.#updatedAt
    if (elapsed > 0) this.#updatedAt = now
    return RATES.flatMap(([name, countOf]) => {
      const count = countOf(counters)
      const perMinute = elapsed > 0 ? ((count - (this.#counts.get(name) ?? 0)) * 60) / elapsed : 0
      if (elapsed > 0) this.#counts.set(name, count)
      return WINDOWS.map(([window, seconds]): [string, number] => {
        const key = `${name}/${window}`
        let average = this.#averages.get(key) ?? 0
        if (elapsed > 0) average = perMinute + Math.exp(-elapsed / seconds) * (average - perMinute)
        this.#averages.set(key, average)
        return [key, average]
      })
    })
  }
}
