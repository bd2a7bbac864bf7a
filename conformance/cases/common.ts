// What many cases begin with: a subscriber, a publisher, and a marker that proves what did not come.

import type { Client, ConnectionLog } from '../client.ts'
import type { ConnectArguments, Context } from '../context.ts'
import type { Packet } from '../packet.ts'
import { describe } from '../packet.ts'
import * as wire from '../wire.ts'

export interface Pair {
  subscriber: Client
  publisher: Client
  /**
   * All messages that reach the subscriber before a marker published now does, and later ones as long as there are
   * fewer than `atLeast`. The marker has the QoS of the subscription, so that it does not overtake what it is to prove
   * absent.
   */
  settled(why: string, atLeast?: number): Promise<Packet[]>
}

export interface PairOptions {
  subscriber?: ConnectArguments
  publisher?: ConnectArguments
  /** Of the SUBSCRIBE. */
  properties?: readonly Uint8Array[]
}

/** A subscriber to the filters and to a marker topic, and a publisher. */
export async function pair(
  t: Context,
  filters: string | readonly wire.FilterWithOptions[],
  options = 0,
  more: PairOptions = {},
): Promise<Pair> {
  const subscriber = await t.connect({ label: 'subscriber', clientId: t.id('sub'), ...more.subscriber })
  const list: readonly wire.FilterWithOptions[] = typeof filters === 'string' ? [[filters, options]] : filters
  await subscriber.subscribe(list, 0, more.properties === undefined ? {} : { properties: more.properties })
  const publisher = await t.connect({ label: 'publisher', clientId: t.id('pub'), ...more.publisher })
  const qos = Math.max(...list.map(([, option]) => option & 3)) as 0 | 1 | 2
  return { subscriber, publisher, settled: await marker(t, subscriber, publisher, qos) }
}

let markers = 0

/** Subscribes to a marker topic; the result publishes a marker and returns the messages that came before it. */
export async function marker(
  t: Context,
  subscriber: Client,
  publisher: Client,
  qos: 0 | 1 | 2,
): Promise<Pair['settled']> {
  const topic = t.topic('marker')
  await subscriber.subscribe(topic, qos)
  return async (why, atLeast = 0) => {
    const payload = `marker ${++markers}`
    await publisher.publish({ topic, payload, qos })
    return subscriber.messagesUntil(payload, why, atLeast)
  }
}

/** Publishes a retained message and waits for a sign that the server has it: PUBACK, where QoS 1 is to be had. */
export async function retain(t: Context, publisher: Client, options: wire.PublishOptions): Promise<void> {
  const best = t.features.maximumQoS >= 1 ? 1 : 0
  const qos = options.qos ?? best
  await publisher.publish({ ...options, qos, retain: true })
  if (qos === 0) await publisher.publish({ topic: t.topic('behind the retained one'), payload: 'x', qos: best })
  await publisher.flush()
}

/** Publishes the payloads one after the other, each acknowledged before the next. */
export async function publishAll(
  publisher: Client,
  topic: string,
  payloads: readonly string[],
  qos: 0 | 1 | 2,
): Promise<void> {
  for (const payload of payloads) await publisher.publish({ topic, payload, qos })
}

/** SUBACK or UNSUBACK: a code for each filter of the request it answers, and only codes that are allowed. */
export function judgeCodes(
  log: ConnectionLog,
  request: 'subscribe' | 'unsubscribe',
  allowed: readonly number[],
): { applied: number; broken: string[] } {
  const answer = request === 'subscribe' ? 'suback' : 'unsuback'
  const asked = new Map<number, number[]>()
  const broken: string[] = []
  let applied = 0
  for (const { direction, packet } of log.entries) {
    const id = packet.packetId ?? 0
    if (direction === 'sent' && packet.kind === request) {
      asked.set(id, [...(asked.get(id) ?? []), packet.filters?.length ?? 0])
    }
    if (direction === 'sent' || packet.kind !== answer) continue
    applied++
    const codes = packet.codes ?? []
    const filters = asked.get(id)
    if (filters !== undefined && !filters.includes(codes.length)) {
      broken.push(`${codes.length} codes for ${filters.join(' or ')} filters: ${describe(packet)}`)
    } else if (codes.length === 0 || codes.some((code) => !allowed.includes(code))) broken.push(describe(packet))
  }
  return { applied, broken }
}

/** The text of a payload. */
export const text = (packet: Packet): string => packet.payload?.toString('utf8') ?? ''

/** Fails unless exactly one message with this payload is among the packets. */
export function exactlyOne(t: Context, messages: readonly Packet[], payload: string, what: string): Packet {
  const found = messages.filter((m) => text(m) === payload)
  t.check(found.length === 1, what, `${found.length} copies`)
  return found[0] as Packet
}

/**
 * Sends a SUBSCRIBE whose only filter is not valid. Allowed are a SUBACK that refuses it and a closed connection;
 * a filter that is granted is not.
 */
export async function refusedFilter(t: Context, filter: string | Uint8Array, why: string, options = 0): Promise<void> {
  const client = await t.connect({ label: `subscribes to ${JSON.stringify(String(filter))}` })
  const packetId = client.nextId()
  client.send(wire.subscribe(t.version, packetId, [[filter, options]]), why)
  const suback = await client.takeIfAny('suback')
  if (suback === undefined) {
    await client.closed(`${why}; the other answer allowed is a SUBACK that refuses it`)
    return
  }
  t.check(
    (suback.codes?.[0] ?? 0) >= 0x80,
    `a SUBACK that refuses the filter, or the connection closed: ${why}`,
    suback,
  )
}

/**
 * Sends a PUBLISH that must not be accepted. The connection has to be closed; in MQTT 5.0 an acknowledgement with a
 * code of 0x80 or more will do where `mayRefuse` says so.
 */
export async function refusedPublish(
  t: Context,
  client: Client,
  options: wire.PublishOptions,
  why: string,
  mayRefuse = true,
): Promise<void> {
  const packetId = client.nextId()
  client.send(wire.publish(t.version, { packetId, ...options }), why)
  if (t.v5 && mayRefuse && (options.qos ?? 0) > 0) {
    const kind = options.qos === 1 ? 'puback' : 'pubrec'
    const answer = await client.takeIfAny(kind)
    if (answer !== undefined) {
      t.check(
        (answer.code ?? 0) >= 0x80,
        `the message refused with 0x80 or more, or the connection closed: ${why}`,
        answer,
      )
      return
    }
  }
  await client.closed(why)
}

/** Reads the next packet, which must be of the kind. */
export async function nextIs(t: Context, client: Client, kind: Packet['kind'], why: string): Promise<Packet> {
  const packet = await client.next()
  if (packet?.kind !== kind) return t.fail(why, packet === undefined ? 'nothing' : describe(packet))
  return packet
}

/** Waits for time to pass where time is the subject (expiry, keep alive); never to prove an absence. */
export const timePasses = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })
