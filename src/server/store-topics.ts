// What the durable store counts, as $SYS topics: the names below `$SYS/broker/martlet/`. docs/store.md explains each.
import type { DurableStore } from '../store/durable-store.ts'
import type { Counters } from '../telemetry/counters.ts'

export type StoreTopic = readonly [name: string, value: number]

/** Names and values as they are now; none for a store that keeps nothing or tells nothing. */
export function storeTopics({ metrics }: DurableStore, counters: Readonly<Counters>): StoreTopic[] {
  if (metrics === undefined) return []
  const { segmentBytes, openSegmentBytes, checkpointBytes } = metrics
  const topics: readonly StoreTopic[] = [
    ['commits', metrics.commits],
    ['commits/refused', metrics.commitsRefused],
    ['records', metrics.records],
    ['records/lost', metrics.recordsLost],
    ['writes', metrics.groups],
    ['writes/largest', metrics.largestGroup],
    ['writes/failed', metrics.writeFailures],
    ['syncs', metrics.syncs],
    ['reads/failed', metrics.readErrors],
    ['bytes/written', metrics.bytesWritten],
    ['bytes/waiting', metrics.waitingBytes],
    ['bytes/journal', segmentBytes + openSegmentBytes],
    ['bytes/checkpoint', checkpointBytes],
    ['segments', metrics.segments + (openSegmentBytes > 0 ? 1 : 0)],
    ['compactions', metrics.compactions],
    ['compactions/failed', metrics.compactionFailures],
    ['recovery/records', metrics.recordsRecovered],
    ['recovery/seconds', Math.round(metrics.recoverySeconds * 1000) / 1000],
    ['damage', metrics.faults],
    ['damage/bytes', metrics.bytesSetAside],
    ['shortages', metrics.shortages],
    ['publishes/refused', counters.publishesUnstored],
    ['publishes/waiting', counters.publishesWaiting],
  ]
  return topics.map(([name, value]) => [`store/${name}`, value])
}
