// What a program that embeds the broker may listen to. Emitted after the fact; listeners cannot change it.
import { EventEmitter } from 'node:events'
import type { QoS } from '../mqtt/qos.ts'
import type { ClientIdentity } from './hooks.ts'

export interface PublishedMessage {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  /** Undefined when the broker itself or the embedding program published it. */
  readonly clientId: string | undefined
}

export interface BrokerEventMap {
  clientConnected: [client: ClientIdentity, sessionPresent: boolean]
  /** `reason`: why, as the log says it. */
  clientDisconnected: [client: ClientIdentity, reason: string]
  subscribed: [client: ClientIdentity, topicFilter: string, qos: QoS]
  unsubscribed: [client: ClientIdentity, topicFilter: string]
  /** Costs a copy of every payload while somebody listens. */
  published: [message: PublishedMessage]
  sessionExpired: [clientId: string]
}

export class BrokerEvents extends EventEmitter<BrokerEventMap> {
  /** Whether anybody listens to `published`: asked for every PUBLISH, so it is kept, not counted. */
  hasPublishedListener = false
  /** Somebody begins to listen to `published`. */
  onPublishedListener: (() => void) | undefined

  readonly #failed: (error: unknown) => void

  /** `failed` is told what a listener throws: its mistake is the program's, not the client's it was told about. */
  constructor(failed: (error: unknown) => void) {
    super({ captureRejections: true })
    this.#failed = failed
    const update = (): void => {
      this.hasPublishedListener = this.listenerCount('published') > 0
    }
    // 'newListener' is told before the listener is there.
    this.on(
      'newListener' as never,
      ((event: string) => {
        if (event !== 'published') return
        this.hasPublishedListener = true
        this.onPublishedListener?.()
      }) as never,
    )
    this.on('removeListener' as never, update as never)
  }

  /** An async listener that rejects is told like one that throws, and does not end the process. */
  override [EventEmitter.captureRejectionSymbol](...[error]: unknown[]): void {
    this.#failed(error)
  }

  /** Tells the listeners. Never throws. */
  tell<E extends keyof BrokerEventMap>(event: E, ...args: BrokerEventMap[E]): void {
    try {
      ;(this as EventEmitter).emit(event, ...args)
    } catch (error) {
      this.#failed(error)
    }
  }
}
