// Which unacknowledged packets of a connected MQTT 3.1 or 3.1.1 client are due to be sent again (`retry_interval`, off by
// default). Never for MQTT 5, which forbids it [MQTT-4.4.0-1]: the broker asks for 3.x sessions alone.
// Decides only; the caller sends PUBLISH with DUP, or PUBREL, whichever `OutboundInflight.state` says.

import type { OutboundInflight } from './outbound-inflight.ts'

/**
 * Tells `resend` the identifiers last sent `interval` ms ago or earlier, in the original sending order [MQTT-4.6.0-1], at
 * most `limit` of them, and notes `now` as their sending time. `resend` must not acknowledge anything.
 *
 * Returns when to ask again, in ms: `now` if the limit left some over, undefined if nothing is in flight. One walk over
 * the window a call; the window is bounded, and asked once an interval.
 */
export function resendDue<M>(
  inflight: OutboundInflight<M>,
  now: number,
  interval: number,
  limit: number,
  resend: (packetId: number) => void,
): number | undefined {
  if (inflight.count === 0) return undefined
  let earliest = Infinity
  let told = 0
  for (let packetId = inflight.oldest; packetId !== 0; packetId = inflight.after(packetId)) {
    let sentAt = inflight.sentAt(packetId)
    if (sentAt + interval <= now) {
      if (told === limit) return now
      told++
      inflight.sentAgain(packetId, now)
      resend(packetId)
      sentAt = now
    }
    if (sentAt < earliest) earliest = sentAt
  }
  return earliest + interval
}
