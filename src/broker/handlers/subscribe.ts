// SUBSCRIBE [MQTT-3.8.4-1]: each Topic Filter is judged by itself and answered in its place, SUBACK goes out, then the
// retained messages follow as the socket takes them.
import { MqttError } from '../../mqtt/mqtt-error.ts'
import type { QoS } from '../../mqtt/qos.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { readSubscribe, type SubscriptionRequest, writeSuback } from '../../mqtt/subscribe.ts'
import { isSharedFilter, sharedFilterProblem, topicFilterProblem } from '../../mqtt/topic.ts'
import { askHook } from '../ask-hook.ts'
import type { Client } from '../clients/client.ts'
import type { Verdict } from '../hooks.ts'
import { RetainedReplay } from '../retained/retained-replay.ts'
import type { BrokerSettings } from '../settings.ts'

interface Outcome {
  reasonCode: number
  replay: RetainedReplay | undefined
}

export function handleSubscribe(client: Client, first: number, body: Uint8Array): Promise<void> | undefined {
  const packet = readSubscribe(first, body, client.version)
  for (const { filter } of packet.subscriptions) requireTopicFilter(filter)
  if (packet.properties.subscriptionIdentifiers !== undefined && !client.context.settings.subscriptionIdentifiers) {
    throw new MqttError(ReasonCode.SubscriptionIdentifiersNotSupported, 'Subscription Identifiers are not available')
  }
  const subscriptionId = packet.properties.subscriptionIdentifiers?.[0] ?? 0
  const verdicts = packet.subscriptions.map((request) => maySubscribe(client, request))
  if (!verdicts.some((verdict) => verdict instanceof Promise)) {
    finishSubscribe(client, packet, verdicts as Verdict[], subscriptionId)
    return undefined
  }
  return Promise.all(verdicts).then((settled) => {
    client.context.journal.begin()
    if (client.session !== undefined) finishSubscribe(client, packet, settled, subscriptionId)
  })
}

/**
 * Throws for what is no Topic Filter. MQTT 3.1.1 has no answer but closing; MQTT 5 says 0x8F in the DISCONNECT, too,
 * since a client that sends such a filter sends malformed packets [MQTT-4.7.1-1].
 */
export function requireTopicFilter(filter: string): void {
  const problem = topicFilterProblem(filter, Number.POSITIVE_INFINITY) ?? sharedProblem(filter)
  if (problem !== undefined) throw new MqttError(ReasonCode.TopicFilterInvalid, problem)
}

function sharedProblem(filter: string): string | undefined {
  return isSharedFilter(filter) ? sharedFilterProblem(filter, Number.POSITIVE_INFINITY) : undefined
}

function maySubscribe(client: Client, request: SubscriptionRequest): Verdict | Promise<Verdict> {
  const { hooks } = client.context
  if (hooks.authorizeSubscribe === undefined) return true
  const question = { client: client.identity, topicFilter: request.filter, qos: request.qos as QoS }
  return askHook(client.context, 'authorizeSubscribe', client.clientId, () => hooks.authorizeSubscribe!(question))
}

function finishSubscribe(
  client: Client,
  packet: ReturnType<typeof readSubscribe>,
  verdicts: readonly Verdict[],
  subscriptionId: number,
): void {
  const outcomes = packet.subscriptions.map((request, at) => subscribe(client, request, verdicts[at]!, subscriptionId))
  const reasonCodes = outcomes.map(({ reasonCode }) => reasonCode)
  const { session } = client
  client.whenStored(() => {
    const answer = new Uint8Array(reasonCodes.length + 16)
    const { packetId } = packet
    const end = writeSuback(answer, 0, { packetId, reasonCodes }, client.version, client.maximumPacketSize)
    client.send(answer.subarray(0, end))
    if (client.session !== session) return
    for (const { replay } of outcomes) {
      // Unsubscribed while the answer waited for the store: then nothing begins that should have ended.
      if (replay !== undefined && session!.subscriptions?.has(replay.filter) === true) session!.startReplay(replay)
    }
  })
}

function subscribe(client: Client, request: SubscriptionRequest, verdict: Verdict, subscriptionId: number): Outcome {
  const { context } = client
  const session = client.session!
  const { filter, noLocal, retainAsPublished, retainHandling } = request
  const qos = request.qos as QoS
  if (verdict !== true) {
    context.counters.notAuthorized++
    context.throttled.warn(
      `subscribe-refused:${client.clientId}`,
      context.clock.now(),
      { client: client.clientId, address: client.connection.remoteAddress, topicFilter: filter },
      'subscribe refused',
    )
    return { reasonCode: verdict === false ? ReasonCode.NotAuthorized : verdict, replay: undefined }
  }
  const unavailable = notAvailable(filter, context.settings)
  if (unavailable !== undefined) return { reasonCode: unavailable, replay: undefined }
  // Well-formed, but deeper than we go: refused alone, the connection stays.
  if (topicFilterProblem(filter, context.settings.maxTopicLevels) !== undefined) {
    return { reasonCode: ReasonCode.TopicFilterInvalid, replay: undefined }
  }
  // What cannot be stored is not promised.
  if (session.isStored && context.journal.isFailing) return overQuota(client, filter, 'the store fails')
  if (!session.hasRoomFor(filter)) return overQuota(client, filter, 'max_subscriptions_per_client reached')
  context.overload.memory.grew()
  if (context.overload.memory.isHeapShort && session.subscriptions?.has(filter) !== true) {
    context.counters.refusedForMemory++
    return overQuota(client, filter, 'memory is short')
  }
  const options = session.isBridge
    ? { qos, noLocal: true, retainAsPublished: true, subscriptionId: 0 }
    : { qos, noLocal, retainAsPublished, subscriptionId }
  const isNew = session.subscribe(filter, options, retainHandling as 0 | 1 | 2)
  context.events.tell('subscribed', client.identity, filter, qos)
  return { reasonCode: qos, replay: replayFor(client, filter, qos, subscriptionId, retainHandling, isNew) }
}

function overQuota(client: Client, topicFilter: string, reason: string): Outcome {
  const { context, clientId, connection } = client
  context.counters.subscriptionsRefused++
  context.throttled.warn(
    `subscriptions-full:${clientId}`,
    context.clock.now(),
    { client: clientId, address: connection.remoteAddress, topicFilter, reason },
    'subscription refused',
  )
  return { reasonCode: ReasonCode.QuotaExceeded, replay: undefined }
}

/** Why a filter cannot be had from this broker, as CONNACK announced. */
function notAvailable(filter: string, settings: BrokerSettings): ReasonCode | undefined {
  if (!settings.sharedSubscriptions && isSharedFilter(filter)) return ReasonCode.SharedSubscriptionsNotSupported
  if (!settings.wildcardSubscriptions && /[+#]/.test(filter)) return ReasonCode.WildcardSubscriptionsNotSupported
  return undefined
}

/** Retained messages are sent for every SUBSCRIBE unless it asks otherwise [MQTT-3.3.1-9 .. 11], never to shared ones. */
function replayFor(
  client: Client,
  filter: string,
  qos: QoS,
  subscriptionId: number,
  retainHandling: number,
  isNew: boolean,
): RetainedReplay | undefined {
  const { context } = client
  if (retainHandling === 2 || (retainHandling === 1 && !isNew) || isSharedFilter(filter)) return undefined
  if (context.retained.messages.size === 0) return undefined
  const ids = subscriptionId === 0 ? undefined : [subscriptionId]
  return new RetainedReplay(context.retained, context.clock, filter, qos, ids)
}
