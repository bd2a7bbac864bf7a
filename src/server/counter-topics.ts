// The counters that Mosquitto has no name for, as $SYS topics: `$SYS/broker/martlet/counters/` and the counter's own name, as
// docs/overload.md and `broker.counters` have it. What was refused, cut off, limited or at fault, for operators without code.
import type { Counters } from '../telemetry/counters.ts'

/** Told below `$SYS/broker/` or `$SYS/broker/martlet/store/` already. */
const ELSEWHERE = new Set<string>([
  'clientsConnected',
  'clientsMaximum',
  'connectionsCurrent',
  'sessions',
  'sessionsExpired',
  'subscriptions',
  'sharedSubscriptions',
  'messagesQueued',
  'bytesQueued',
  'messagesReceived',
  'messagesSent',
  'bytesReceived',
  'bytesSent',
  'publishReceived',
  'publishSent',
  'publishBytesReceived',
  'publishBytesSent',
  'retained',
  'retainedBytes',
  'droppedQueueFull',
  'droppedOutputFull',
  'droppedTooLarge',
  'droppedExpired',
  'droppedSessionEnded',
  'droppedMemory',
  'droppedRetained',
  'publishesUnstored',
  'publishesWaiting',
] satisfies (keyof Counters)[])

/** Names below `$SYS/broker/martlet/` and values as they are now. */
export function counterTopics(counters: Readonly<Counters>): [name: string, value: number][] {
  return Object.entries(counters)
    .filter((entry): entry is [string, number] => typeof entry[1] === 'number' && !ELSEWHERE.has(entry[0]))
    .map(([name, value]) => [`counters/${name}`, value])
}
