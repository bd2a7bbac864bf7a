// What a journal store tells its owner: things worth a log line, and numbers worth a graph. The store logs nothing itself.

/** `text` is a whole sentence, ready to be logged. */
export interface StoreEvent {
  readonly kind: /** The newest segment ended in the middle of a commit: a crash. The rest was set aside. Expected after one. */
    | 'torn-tail'
    /** Something that had been stored cannot be read. */
    | 'damaged'
    /** A write or a sync failed; its segment is closed and a new one is tried. */
    | 'write-failed'
    /** The new segment failed too: commits are refused until one works. */
    | 'refusing'
    /** Commits are taken again. */
    | 'accepting'
    /** Little space is left: what there is, is for acknowledgements and compaction. */
    | 'short-of-space'
    | 'enough-space'
    /** Refused commits that could not be kept in memory are missing in the journal. */
    | 'records-lost'
    | 'compacted'
    | 'compaction-failed'
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
  readonly error?: unknown
}

export interface RecoveryProgress {
  readonly bytes: number
  readonly totalBytes: number
  readonly records: number
}

export interface StoreMetrics {
  commits: number
  records: number
  bytesWritten: number
  /** Writes: each takes all commits that waited. `records / groups` is how many share a sync. */
  groups: number
  /** The largest of them, bytes. */
  largestGroup: number
  syncs: number
  /** Times messages could not be read back from disk. */
  readErrors: number
  /** Writes and syncs that failed. */
  writeFailures: number
  commitsRefused: number
  /** Times the device was nearly full. */
  shortages: number
  /** Records of refused commits that memory could not hold until the device worked again. */
  recordsLost: number
  /** Bytes taken but not yet written. */
  waitingBytes: number
  /** Closed segments that no checkpoint stands for yet. */
  segments: number
  segmentBytes: number
  /** Bytes of the segment that is being written. */
  openSegmentBytes: number
  checkpointBytes: number
  compactions: number
  compactionFailures: number
  recordsRecovered: number
  /** From the first byte read to the first commit taken. */
  recoverySeconds: number
  /** Faults met while recovering. */
  faults: number
  /** Bytes of `.damaged` files made. */
  bytesSetAside: number
}

export function newMetrics(): StoreMetrics {
  return {
    commits: 0,
    records: 0,
    bytesWritten: 0,
    groups: 0,
    largestGroup: 0,
    syncs: 0,
    readErrors: 0,
    writeFailures: 0,
    commitsRefused: 0,
    shortages: 0,
    recordsLost: 0,
    waitingBytes: 0,
    segments: 0,
    segmentBytes: 0,
    openSegmentBytes: 0,
    checkpointBytes: 0,
    compactions: 0,
    compactionFailures: 0,
    recordsRecovered: 0,
    recoverySeconds: 0,
    faults: 0,
    bytesSetAside: 0,
  }
}
