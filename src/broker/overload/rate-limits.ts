// How much one client, and all clients of one address together, may send. Says how long a client that sent too much is
// not to be read; who stops reading, and who disconnects instead, is the client's business. Nothing is limited, and
// nothing measured, until a setting says so.
import type { Counters } from '../../telemetry/counters.ts'
import { BoundedTable } from './bounded-table.ts'
import type { OverloadSettings } from './settings.ts'
import { TokenBucket } from './token-bucket.ts'

/** Addresses remembered; the one that was quiet longest is forgotten. */
const MOST_ADDRESSES = 16_384

/** Control Packets that answer one of ours (PUBACK to PUBCOMP, types 4 to 7) ask nothing of us. */
const isAnswer = (type: number): boolean => type >= 4 && type <= 7

/** Two buckets, either of which may be missing. */
class Allowance {
  readonly #messages: TokenBucket | undefined
  readonly #bytes: TokenBucket | undefined

  constructor(messageRate: number, byteRate: number, now: number) {
    this.#messages = messageRate > 0 ? new TokenBucket(messageRate, now) : undefined
    this.#bytes = byteRate > 0 ? new TokenBucket(byteRate, now) : undefined
  }

  take(messages: number, bytes: number, now: number): number {
    return Math.max(this.#messages?.take(messages, now) ?? 0, this.#bytes?.take(bytes, now) ?? 0)
  }
}

class AddressRates {
  readonly allowance: Allowance
  readonly connects: TokenBucket | undefined

  constructor(settings: OverloadSettings, now: number) {
    this.allowance = new Allowance(settings.addressMessageRate, settings.addressByteRate, now)
    this.connects = settings.addressConnectRate > 0 ? new TokenBucket(settings.addressConnectRate, now) : undefined
  }
}

/** What one connection has sent, against its own allowance and its address's. */
export class Meter {
  readonly #own: Allowance
  readonly #address: Allowance

  constructor(own: Allowance, address: Allowance) {
    this.#own = own
    this.#address = address
  }

  /** Counts one Control Packet; returns for how many milliseconds the client has sent too much, 0 if it has not. */
  count(type: number, bytes: number, now: number): number {
    const messages = isAnswer(type) ? 0 : 1
    return Math.max(this.#own.take(messages, bytes, now), this.#address.take(messages, bytes, now))
  }
}

export class RateLimits {
  readonly #settings: OverloadSettings
  readonly #counters: Counters
  readonly #addresses = new BoundedTable<AddressRates>(MOST_ADDRESSES)
  readonly #measures: boolean

  constructor(settings: OverloadSettings, counters: Counters) {
    this.#settings = settings
    this.#counters = counters
    const { clientMessageRate, clientByteRate, addressMessageRate, addressByteRate } = settings
    this.#measures = clientMessageRate + clientByteRate + addressMessageRate + addressByteRate > 0
  }

  /** Addresses remembered now. */
  get addresses(): number {
    return this.#addresses.size
  }

  /** The meter of a new client; undefined when nothing is limited. */
  meter(address: string, now: number): Meter | undefined {
    if (!this.#measures) return undefined
    const { clientMessageRate, clientByteRate } = this.#settings
    return new Meter(new Allowance(clientMessageRate, clientByteRate, now), this.#ratesOf(address, now).allowance)
  }

  /**
   * A CONNECT from this address: how many milliseconds it has to wait for its turn, 0 for none. Infinity: it would have to
   * wait longer than `most`, or is not to wait at all; that one is refused and takes nothing from the others' turns.
   */
  connect(address: string, most: number, now: number): number {
    if (this.#settings.addressConnectRate === 0) return 0
    const { connects } = this.#ratesOf(address, now)
    const wait = connects!.waitForOne(now)
    if (wait > 0) this.#counters.connectsLimited++
    if (wait > most || (wait > 0 && this.#settings.rateLimitAction === 'disconnect')) return Number.POSITIVE_INFINITY
    connects!.take(1, now)
    return wait
  }

  #ratesOf(address: string, now: number): AddressRates {
    return this.#addresses.touch(address, () => new AddressRates(this.#settings, now))
  }
}
