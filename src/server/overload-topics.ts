// What the defences against overload have counted, as $SYS topics: the names below `$SYS/broker/martlet/`. They are those of
// the counters; docs/overload.md tells what each of them is about.
import type { Counters } from '../telemetry/counters.ts'

const TOLD = [
  'acceptPauses',
  'clientsOverRate',
  'clientsSlowed',
  'connectionsRefused',
  'connectsLimited',
  'connectTimeouts',
  'droppedGroupFull',
  'droppedMemory',
  'droppedOutputFull',
  'droppedQueueFull',
  'droppedRetained',
  'loginsDelayed',
  'loginsRefused',
  'malformedPackets',
  'memoryReturned',
  'memoryShortages',
  'oversizedPackets',
  'protocolErrors',
  'publishesRefused',
  'refusedForMemory',
  'slowReadersDisconnected',
  'streamsFailed',
  'subscriptionsRefused',
  'takeoversDelayed',
  'topicsUnknown',
  'willsPostponed',
  'writeTimeouts',
] as const satisfies readonly (keyof Counters)[]

export type OverloadTopic = readonly [name: string, value: number]

/** Names and values as they are now. */
export function overloadTopics(counters: Readonly<Counters>): OverloadTopic[] {
  return TOLD.map((name) => [`overload/${name}`, counters[name]])
}
