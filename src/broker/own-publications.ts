// What is published by no connection: the embedding program's messages and $SYS, and wills that are due. Each makes a kept
// message of its own and takes the same way as a client's.
import type { Properties } from '../mqtt/properties.ts'
import type { QoS } from '../mqtt/qos.ts'
import { askHook } from './ask-hook.ts'
import type { BrokerContext } from './context.ts'
import { forwardableProperties } from './forwardable-properties.ts'
import type { Verdict } from './hooks.ts'
import { Message } from './message.ts'
import { Publication } from './publication.ts'
import type { Topic } from './routing/topic.ts'
import type { Will } from './wills.ts'

/** What the embedding program publishes. */
export interface OutgoingMessage {
  readonly topic: string
  readonly payload: Uint8Array | string
  readonly qos?: QoS
  readonly retain?: boolean
  readonly properties?: Properties
}

/** What a program without types may get wrong. */
function problemOf({ topic, payload, qos = 0 }: OutgoingMessage): string | undefined {
  if (typeof topic !== 'string') return 'topic: a string is wanted'
  if (typeof payload !== 'string' && !(payload instanceof Uint8Array)) {
    return 'payload: a string or a Uint8Array is wanted; an empty one for no payload'
  }
  return qos === 0 || qos === 1 || qos === 2 ? undefined : 'qos: 0, 1 or 2 is wanted'
}

export class OwnPublications {
  readonly #context: BrokerContext
  /** Told what an asynchronous authorizer's answer failed with. */
  readonly #failed: (error: unknown) => void

  constructor(context: BrokerContext, failed: (error: unknown) => void) {
    this.#context = context
    this.#failed = failed
  }

  /** Publishes as the broker itself. Throws a TypeError when the topic is no Topic Name. Returns whether anybody subscribed. */
  publish(message: OutgoingMessage): boolean {
    const problem = problemOf(message)
    if (problem !== undefined) throw new TypeError(problem)
    const topic = this.#context.router.topic(message.topic)
    if (topic.problem !== undefined) throw new TypeError(topic.problem)
    const payload = typeof message.payload === 'string' ? Buffer.from(message.payload) : message.payload
    const { properties = {} } = message
    const expiry = properties.messageExpiryInterval ?? Number.POSITIVE_INFINITY
    return this.#publish(topic, payload, {
      qos: message.qos ?? 0,
      retain: message.retain ?? false,
      properties: forwardableProperties(properties),
      expiry,
      clientId: undefined,
    })
  }

  #publish(
    topic: Topic,
    payload: Uint8Array,
    how: { qos: QoS; retain: boolean; properties: Uint8Array; expiry: number; clientId: string | undefined },
  ): boolean {
    const { kept, router, retained, outbox } = this.#context
    const { clock } = this.#context
    const name = Buffer.from(topic.name)
    const bytes = Buffer.allocUnsafe(2 + name.length + payload.length)
    bytes.writeUInt16BE(name.length, 0)
    bytes.set(name, 2)
    bytes.set(payload, 2 + name.length)
    const message = new Message(kept, kept.keepBytes(bytes, 2 + name.length), {
      topic: topic.name,
      qos: how.qos,
      retain: how.retain,
      size: bytes.length,
      payloadLength: payload.length,
      properties: how.properties,
      expiresAt: how.expiry === Number.POSITIVE_INFINITY ? how.expiry : clock.now() + how.expiry * 1000,
    })
    // A publication of its own: this may happen while a client's is being handled (its will, a hook that publishes).
    const own = new Publication(outbox, kept, () => clock.now())
    own.fromMessage(topic, message.hold(), undefined)
    if (how.retain) retained.apply(own)
    const matched = router.publish(own)
    this.#context.tap(own, how.clientId)
    own.drop()
    return matched
  }

  /** Publishes a will that is due, if its client may; `done`: it was published, or refused. */
  publishWill(clientId: string, will: Will, done: () => void): void {
    const decide = (verdict: Verdict): void => {
      this.#publishWillIf(verdict, clientId, will)
      done()
    }
    const verdict = this.#mayPublishWill(will)
    if (verdict instanceof Promise) verdict.then(decide).catch((error: unknown) => this.#failed(error))
    else decide(verdict)
  }

  /** A will is a PUBLISH of its client: the authorizer is asked when it is due. */
  #mayPublishWill(will: Will): Verdict | Promise<Verdict> {
    const { authorizePublish } = this.#context.hooks
    if (will.topic.startsWith('$SYS/')) return false
    if (authorizePublish === undefined) return true
    const { topic, qos, retain, payload, client } = will
    const question = { client, topic, qos, retain, payload: () => Buffer.from(payload) }
    return askHook(this.#context, 'authorizePublish', client.clientId, () => authorizePublish(question))
  }

  #publishWillIf(verdict: Verdict, clientId: string, will: Will): void {
    if (verdict !== true) {
      this.#context.counters.notAuthorized++
      this.#context.throttled.warn(
        `will-refused:${clientId}`,
        this.#context.clock.now(),
        { client: clientId, topic: will.topic },
        'will refused',
      )
      return
    }
    this.#context.counters.willsPublished++
    const topic = this.#context.router.topic(will.topic)
    this.#publish(topic, will.payload, { ...will, clientId })
  }
}
