// The interface of an aedes-persistence 11 backend, as far as it is used here, and the check that something is one.
// Everything answers with promises; lists are streams or whatever else can be iterated asynchronously.

import type { AedesPacket, AedesSubscription } from '../aedes/aedes-packet.ts'

export interface BackendClient {
  readonly id: string
  /** Of a will: the broker that stored it. */
  readonly brokerId?: string
}

/** What a backend may ask of the broker it is given to; see backend-broker.ts. */
export interface BackendBroker {
  readonly id: string
}

export interface Backend {
  setup(broker: BackendBroker): Promise<void>
  storeRetained(packet: AedesPacket): Promise<void>
  createRetainedStream(pattern: string): AsyncIterable<AedesPacket>
  addSubscriptions(client: BackendClient, subscriptions: readonly AedesSubscription[]): Promise<unknown>
  removeSubscriptions(client: BackendClient, filters: readonly string[]): Promise<unknown>
  subscriptionsByClient(client: BackendClient): Promise<readonly AedesSubscription[] | null>
  cleanSubscriptions(client: BackendClient): Promise<unknown>
  countOffline(): Promise<unknown>
  outgoingEnqueueCombi(subscriptions: readonly { readonly clientId: string }[], packet: AedesPacket): Promise<unknown>
  outgoingUpdate(client: BackendClient, packet: AedesPacket): Promise<unknown>
  outgoingClearMessageId(client: BackendClient, packet: { readonly messageId: number }): Promise<unknown>
  outgoingStream(client: BackendClient): AsyncIterable<AedesPacket>
  incomingStorePacket(client: BackendClient, packet: AedesPacket): Promise<unknown>
  incomingGetPacket(client: BackendClient, packet: { readonly messageId: number }): Promise<AedesPacket>
  incomingDelPacket(client: BackendClient, packet: { readonly messageId: number }): Promise<unknown>
  cleanIncoming(client: BackendClient): Promise<unknown>
  putWill(client: BackendClient, packet: AedesPacket): Promise<unknown>
  delWill(client: BackendClient): Promise<unknown>
  streamWill(brokers: Readonly<Record<string, unknown>>): AsyncIterable<AedesPacket>
  destroy(): Promise<unknown>
}

/** What version 11 has; `cleanIncoming` is the one that came with it. */
const METHODS = [
  'setup',
  'storeRetained',
  'createRetainedStream',
  'createRetainedStreamCombi',
  'addSubscriptions',
  'removeSubscriptions',
  'subscriptionsByClient',
  'countOffline',
  'subscriptionsByTopic',
  'cleanSubscriptions',
  'outgoingEnqueue',
  'outgoingEnqueueCombi',
  'outgoingUpdate',
  'outgoingClearMessageId',
  'outgoingStream',
  'incomingStorePacket',
  'incomingGetPacket',
  'incomingDelPacket',
  'cleanIncoming',
  'putWill',
  'getWill',
  'delWill',
  'streamWill',
  'getClientList',
  'destroy',
] as const

/** The package cannot be used at all: the operator's failure, not one of the store. */
export class BackendProblem extends Error {
  /** What to do about it, a whole sentence. */
  readonly advice: string

  constructor(problem: string, advice: string) {
    super(problem)
    this.name = 'BackendProblem'
    this.advice = advice
  }
}

const ADVICE = 'A package that passes the suite of aedes-persistence 11 is wanted, such as aedes-persistence-redis 12.'

/** @throws BackendProblem when `instance` has not the methods of aedes-persistence 11. */
export function asBackend(instance: unknown): Backend {
  if (typeof instance !== 'object' || instance === null) {
    throw new BackendProblem('what the package makes is no aedes-persistence 11 backend', ADVICE)
  }
  const missing = METHODS.filter((name) => typeof (instance as Record<string, unknown>)[name] !== 'function')
  if (missing.length === 0) return instance as Backend
  const named = missing.slice(0, 3).join(', ') + (missing.length > 3 ? ` and ${missing.length - 3} more` : '')
  throw new BackendProblem(`it is no aedes-persistence 11 backend: ${named} missing`, ADVICE)
}

/**
 * Gives the backend its broker. Methods with callbacks alone, as up to version 9, show themselves here: they return no promise.
 * @throws BackendProblem
 */
export async function setUp(backend: Backend, broker: BackendBroker): Promise<void> {
  const started: unknown = backend.setup(broker)
  if (!isThenable(started))
    throw new BackendProblem('it is no aedes-persistence 11 backend: setup() returns no promise', ADVICE)
  await started
  const counted: unknown = backend.countOffline()
  if (!isThenable(counted))
    throw new BackendProblem('it is no aedes-persistence 11 backend: countOffline() returns no promise', ADVICE)
  await counted
}

function isThenable(value: unknown): boolean {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function'
}
