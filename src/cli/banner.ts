// The line the broker starts with: all an operator asks first. Pure.
import { addressText, type ListeningAddress } from '../net/listening-address.ts'

export interface BannerFacts {
  readonly version: string
  readonly addresses: readonly ListeningAddress[]
  readonly pid: number
  /** The hard limit of file descriptors; Infinity for none. */
  readonly descriptors: number
  readonly localOnly: boolean
}

const OPEN_UP = 'To open it up: -c FILE with the lines "listener 1883" and "allow_anonymous true"'

export function banner({ version, addresses, pid, descriptors, localOnly }: BannerFacts): string {
  const where = addresses.map(addressText).join(', ') || 'nothing'
  const limit = Number.isFinite(descriptors) ? `${descriptors} file descriptors` : 'no limit of file descriptors'
  const open = localOnly ? `. Only this machine can connect. ${OPEN_UP}` : ''
  return `Martlet ${version} listening on ${where} (pid ${pid}, ${limit})${open}`
}
