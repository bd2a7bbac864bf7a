// What the defences against overload may be told. Durations are milliseconds, sizes bytes, rates a second.

export type SlowReaderPolicy = 'drop_newest' | 'drop_oldest' | 'disconnect'

export interface OverloadSettings {
  /** What happens when a subscriber's queue or output is full. */
  slowReaderPolicy: SlowReaderPolicy
  /** Bytes waiting in the queues of all sessions together. */
  maxQueuedBytesTotal: number
  /** Messages waiting in the queues of all sessions together, on disk or not. */
  maxQueuedMessagesTotal: number
  /** Bytes of those of them whose payloads are on disk only. */
  maxQueuedDiskTotal: number
  /** Bytes waiting for the sockets of all connections together. */
  maxOutputBytesTotal: number
  /** Percent of V8's heap limit from which on nothing new is taken that would have to be kept. */
  maxHeapPercent: number
  /** First delay of a connection that fights for a Client Identifier; 0 = never. */
  takeoverDelay: number
  takeoverDelayMax: number
  /** First delay of the answer to a failed login; 0 = never. */
  loginDelay: number
  loginDelayMax: number
  rateLimitAction: 'slow' | 'disconnect'
  /** 0 = no limit; so for all that follow. */
  clientMessageRate: number
  clientByteRate: number
  addressMessageRate: number
  addressByteRate: number
  addressConnectRate: number
}
