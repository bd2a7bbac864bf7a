// $SYS: from counters to topics and values, with Mosquitto's names. Pure, except that SysTopics remembers what it said:
// a value is published (retained) only when it has changed. Who publishes, and when, is the server's affair.

import type { Counters } from './counters.ts'
import { LoadAverages } from './load-averages.ts'

export type SysTopic = readonly [topic: string, value: string]

/** What the counters do not know. */
export interface SysFacts {
  /** `martlet 0.1.0` */
  readonly version: string
  /** Seconds since the broker started. */
  readonly uptime: number
  /** Bytes of V8's heap and of kept frames. */
  readonly heap: number
  /** Martlet's own topics, below `$SYS/broker/martlet/`. */
  readonly own?: readonly (readonly [name: string, value: number])[]
}

const PREFIX = '$SYS/broker/'

/** Every $SYS topic but the load averages, as things stand. */
export function sysTopics(counters: Readonly<Counters>, facts: SysFacts): SysTopic[] {
  const disconnected = Math.max(0, counters.sessions - counters.clientsConnected)
  const values: readonly (readonly [name: string, value: string | number])[] = [
    ['version', facts.version],
    ['uptime', `${Math.floor(facts.uptime)} seconds`],
    ['clients/total', counters.clientsConnected + disconnected],
    ['clients/maximum', counters.clientsMaximum],
    ['clients/connected', counters.clientsConnected],
    ['clients/active', counters.clientsConnected], // Mosquitto's older name
    ['clients/disconnected', disconnected],
    ['clients/inactive', disconnected], // likewise
    ['clients/expired', counters.sessionsExpired],
    ['connections/socket/count', counters.connectionsCurrent],
    ['messages/received', counters.messagesReceived],
    ['messages/sent', counters.messagesSent],
    ['messages/stored', counters.retained + counters.messagesQueued],
    ['store/messages/count', counters.retained + counters.messagesQueued],
    ['store/messages/bytes', counters.retainedBytes + counters.bytesQueued],
    ['bytes/received', counters.bytesReceived],
    ['bytes/sent', counters.bytesSent],
    ['publish/messages/received', counters.publishReceived],
    ['publish/messages/sent', counters.publishSent],
    ['publish/messages/dropped', counters.dropped],
    ['publish/messages/dropped/queue full', counters.droppedQueueFull],
    ['publish/messages/dropped/output full', counters.droppedOutputFull],
    ['publish/messages/dropped/too large', counters.droppedTooLarge],
    ['publish/messages/dropped/expired', counters.droppedExpired],
    ['publish/messages/dropped/session ended', counters.droppedSessionEnded],
    ['publish/messages/dropped/memory', counters.droppedMemory],
    ['publish/messages/dropped/not retained', counters.droppedRetained],
    ['publish/bytes/received', counters.publishBytesReceived],
    ['publish/bytes/sent', counters.publishBytesSent],
    ['subscriptions/count', counters.subscriptions],
    ['shared_subscriptions/count', counters.sharedSubscriptions],
    ['retained messages/count', counters.retained],
    ['heap/current', facts.heap],
  ]
  const own = (facts.own ?? []).map(([name, value]) => [`martlet/${name}`, value] as const)
  return [...values, ...own].map(([name, value]) => [PREFIX + name, String(value)])
}

export class SysTopics {
  readonly #said = new Map<string, string>()
  readonly #loads = new LoadAverages()
  #heapMaximum = 0

  /** The topics whose value is another than the last time, the first time all of them. `facts.uptime` is the clock. */
  changed(counters: Readonly<Counters>, facts: SysFacts): SysTopic[] {
    this.#heapMaximum = Math.max(this.#heapMaximum, facts.heap)
    const loads = this.#loads.update(counters, facts.uptime)
    const topics: SysTopic[] = [
      ...sysTopics(counters, facts),
      [`${PREFIX}heap/maximum`, String(this.#heapMaximum)],
      ...loads.map(([name, value]): SysTopic => [`${PREFIX}load/${name}`, value.toFixed(2)]),
    ]
    return topics.filter(([topic, value]) => {
      if (this.#said.get(topic) === value) return false
      this.#said.set(topic, value)
      return true
    })
  }
}
