// Why a store said no. The reason decides what the broker does; the message is for the operator's log.

export type StoreRefusal =
  /** No space left on the device, or the quota is used up. Goes away by itself when there is space again. */
  | 'disk-full'
  /** The device failed: a write or a sync did not work, nor did it in a new file. */
  | 'device'
  /** More waits to be written than the store may hold. */
  | 'backlog'
  /** Another process has the store. */
  | 'locked'
  /** Not open, or closed already. */
  | 'closed'
  /** There is a store where a new one was to be made. */
  | 'exists'
  /** Another version of this program wrote it, in a format that this one does not know. */
  | 'newer'
  /** There is none where one was to be read. */
  | 'absent'

export class StoreError extends Error {
  readonly reason: StoreRefusal

  constructor(reason: StoreRefusal, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'StoreError'
    this.reason = reason
  }
}

/** The refusal a failed system call stands for. */
export function refusalOf(error: unknown, what: string): StoreError {
  if (error instanceof StoreError) return error
  const { code, message } = error as NodeJS.ErrnoException
  const reason = code === 'ENOSPC' || code === 'EDQUOT' ? 'disk-full' : 'device'
  return new StoreError(reason, `${what}: ${message}`, error)
}
