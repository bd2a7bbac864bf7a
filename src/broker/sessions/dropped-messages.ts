// What never reached one client, by reason: the counters of the whole broker say how much is dropped, these say for whom.
// Made with the first message dropped, so that a session that loses nothing pays nothing.

export class DroppedMessages {
  /** Its queue was full. */
  queueFull = 0
  /** QoS 0, and its output was full. */
  outputFull = 0
  /** Larger than its Maximum Packet Size. */
  tooLarge = 0
  /** Their Message Expiry Interval ran out while they waited. */
  expired = 0
  /** All queues together were full, or V8's heap. */
  memory = 0

  /** The reasons that occurred, with their numbers. */
  occurred(): Partial<Record<DropReason, number>> {
    return Object.fromEntries(Object.entries(this).filter(([, count]) => count > 0))
  }
}

export type DropReason = 'queueFull' | 'outputFull' | 'tooLarge' | 'expired' | 'memory'
