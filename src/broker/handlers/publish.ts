// PUBLISH of a client: read it, find its topic, ask whether it may, then retain, route and acknowledge. The QoS 0 path
// allocates nothing; what has to wait for the authorizer is copied first.
import { MqttError } from '../../mqtt/mqtt-error.ts'
import { PacketType } from '../../mqtt/packet-type.ts'
import { PublishView, readPublish } from '../../mqtt/publish.ts'
import type { QoS } from '../../mqtt/qos.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { decodeUtf8, isWellFormedUtf8 } from '../../mqtt/utf8.ts'
import { readVariableByteInteger, variableByteIntegerSize } from '../../mqtt/variable-byte-integer.ts'
import { askHook } from '../ask-hook.ts'
import { receiveMaximum } from '../clients/capabilities.ts'
import type { Client } from '../clients/client.ts'
import { forwardableBytes } from '../forwardable-properties.ts'
import type { ClientIdentity, PublishRequest, Verdict } from '../hooks.ts'
import { Message } from '../message.ts'
import type { Publication } from '../publication.ts'
import type { Topic } from '../routing/topic.ts'

/** The first byte of a PUBLISH with QoS 0 and no RETAIN. */
const PLAIN_QOS0 = 0x30
/** One view serves all clients: packets are handled one at a time. */
const view = new PublishView()

export function handlePublish(
  client: Client,
  first: number,
  topicId: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  inInbox: boolean,
  kept: number,
): Promise<void> | undefined {
  const { context } = client
  const body = kept === 0 ? bytes : wholeHead(client, first, bytes, length, kept)
  const topic = readAndFind(client, first, topicId, body, offset, length)
  const answer = answerAtOnce(client, body, kept)
  const { packetId } = view
  if (answer !== undefined) {
    client.acknowledge(view.qos === 1 ? PacketType.Puback : PacketType.Pubrec, packetId, answer)
    return undefined
  }
  const publication = publicationOf(client, topic, body, offset, length, inInbox, kept)
  try {
    if (publication.topic.isSystem) refuse(client, publication, packetId, ReasonCode.NotAuthorized)
    else if (context.hooks.authorizePublish === undefined) {
      const waiting = settle(client, publication, packetId, true)
      if (first === PLAIN_QOS0 && topicId !== 0 && inInbox) context.shortcuts.consider(client, topic, topicId, view)
      return waiting
    } else return authorize(client, publication, packetId)
  } finally {
    publication.drop()
  }
  return undefined
}

/** What the authorizer is shown. The payload can be asked for until it has answered. */
class Question implements PublishRequest {
  readonly client: ClientIdentity
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  #publication: Publication | undefined

  constructor(client: ClientIdentity, publication: Publication) {
    this.client = client
    this.topic = publication.topic.name
    this.qos = publication.qos
    this.retain = publication.retain
    this.#publication = publication
  }

  /** A property, so that a hook may take it out of the request. */
  readonly payload = (): Buffer => {
    if (this.#publication === undefined) throw new Error('the payload is there only until the hook has answered')
    return this.#publication.keep().payload()
  }

  /** The turn's publication is somebody else's next: from now on this copy is meant, or none. */
  moveTo(publication: Publication | undefined): void {
    this.#publication = publication
  }
}

function authorize(client: Client, publication: Publication, packetId: number): Promise<void> | undefined {
  const { context } = client
  const question = new Question(client.identity, publication)
  const verdict = askHook(context, 'authorizePublish', client.clientId, () => context.hooks.authorizePublish!(question))
  if (!(verdict instanceof Promise)) {
    question.moveTo(undefined)
    return settle(client, publication, packetId, verdict)
  }
  const held = publication.detach()
  question.moveTo(held)
  return verdict
    .then((settled) => {
      if (client.session === undefined) return undefined
      context.journal.begin()
      return settle(client, held, packetId, settled)
    })
    .finally(() => {
      question.moveTo(undefined)
      held.drop()
    })
}

function settle(
  client: Client,
  publication: Publication,
  packetId: number,
  verdict: Verdict,
): Promise<void> | undefined {
  if (verdict !== true) refuse(client, publication, packetId, verdict)
  else if (client.context.journal.isBlocked && mustBeStored(client, publication)) {
    const held = publication.detach()
    return acceptWhenRoom(client, held, packetId).finally(() => held.drop())
  } else accept(client, publication, packetId)
  return undefined
}

/** The store is behind or fails: the client waits until there is room, or hears that there is none. */
async function acceptWhenRoom(client: Client, publication: Publication, packetId: number): Promise<void> {
  const { journal } = client.context
  while (client.session !== undefined && journal.isBlocked && mustBeStored(client, publication)) {
    if (journal.takesNothingNew && (client.version === 5 || publication.qos === 0)) {
      journal.begin()
      refuseUnstored(client, publication, packetId)
      return
    }
    // MQTT 3.x has no way to refuse one message: the client waits, unanswered, until the store works.
    client.context.counters.publishesWaiting++
    await journal.room()
    client.context.counters.publishesWaiting--
  }
  if (client.session === undefined) return
  journal.begin()
  accept(client, publication, packetId)
}

/** Whether the promise of PUBACK or PUBREC would need the store: for a session, as a retained message, or for its id. */
function mustBeStored({ context, session }: Client, { topic, qos, retain }: Publication): boolean {
  if (retain) return true
  return qos > 0 && ((qos === 2 && session!.isStored) || context.router.reachesStored(topic))
}

/** The store fails, for the disk is full perhaps: nothing is taken that could not be kept. QoS 0 has no promise to break. */
function refuseUnstored(client: Client, publication: Publication, packetId: number): void {
  const { context } = client
  if (publication.qos === 0) {
    context.counters.droppedRetained++
    context.router.publish(publication)
    context.tap(publication, client.clientId)
    return
  }
  context.counters.publishesUnstored++
  const type = publication.qos === 1 ? PacketType.Puback : PacketType.Pubrec
  client.acknowledge(type, packetId, ReasonCode.QuotaExceeded)
}

/** Reads the packet into `view` and finds its topic. Throws for what no client may send. */
function readAndFind(
  client: Client,
  first: number,
  topicId: number,
  body: Uint8Array,
  offset: number,
  length: number,
): Topic {
  const { context, version } = client
  readPublish(view, first, body, offset, length, version)
  context.counters.publishReceived++
  context.counters.publishBytesReceived += view.payloadLength
  const topic = version === 5 && view.topicAlias !== 0 ? aliasedTopic(client, body) : topicOf(client, topicId, body)
  if (topic.problem !== undefined) throw new MqttError(ReasonCode.TopicNameInvalid, `PUBLISH: ${topic.problem}`)
  if (view.retain && !context.settings.retainAvailable) {
    throw new MqttError(ReasonCode.RetainNotSupported, 'PUBLISH with RETAIN, which is not available', 'MQTT-3.2.2-14')
  }
  if (view.qos > context.settings.maxQos) {
    throw new MqttError(
      ReasonCode.QosNotSupported,
      `PUBLISH with QoS ${view.qos}, the maximum is ${context.settings.maxQos}`,
      'MQTT-3.2.2-11',
    )
  }
  return topic
}

/** The reason code with which a packet is acknowledged and goes nowhere; undefined: it goes on. */
type Answer = number | undefined

function answerAtOnce(client: Client, body: Uint8Array, kept: number): Answer {
  const { qos, packetId } = view
  if (qos > 0 && isRepeated(client, qos, packetId)) return ReasonCode.Success // [MQTT-4.3.3-10]
  if (view.payloadFormatIndicator !== 1 || !client.context.settings.validatePayloadFormat) return undefined
  if (isUtf8Payload(client, body, kept)) return undefined
  if (qos > 0) return ReasonCode.PayloadFormatInvalid
  throw new MqttError(ReasonCode.PayloadFormatInvalid, 'PUBLISH: the payload is not UTF-8, as it says')
}

/** Asked only where the broker is told to. */
function isUtf8Payload(client: Client, body: Uint8Array, kept: number): boolean {
  const { payloadOffset, payloadLength } = view
  if (kept === 0) return isWellFormedUtf8(body, payloadOffset, payloadLength)
  return isWellFormedUtf8(readKept(client, kept, payloadOffset, payloadLength), 0, payloadLength)
}

function topicOf(client: Client, topicId: number, bytes: Uint8Array): Topic {
  if (topicId !== 0) return client.context.router.topicById(topicId)!
  const { topicOffset, topicLength } = view
  if (!isWellFormedUtf8(bytes, topicOffset, topicLength)) {
    throw new MqttError(ReasonCode.MalformedPacket, 'PUBLISH: Topic Name with ill-formed UTF-8', 'MQTT-3.3.2-1')
  }
  client.context.overload.topicUnknown(client.clientId, client.connection.remoteAddress)
  return client.context.router.topic(decodeUtf8(bytes, topicOffset, topicLength))
}

/** Sets or follows a Topic Alias [MQTT-3.3.2-8]. */
function aliasedTopic(client: Client, bytes: Uint8Array): Topic {
  const { topicAlias, topicLength } = view
  const most = client.context.settings.maxTopicAlias
  if (topicAlias > most) {
    throw new MqttError(
      ReasonCode.TopicAliasInvalid,
      `Topic Alias ${topicAlias}, the maximum is ${most}`,
      'MQTT-3.3.2-9',
    )
  }
  if (topicLength > 0) {
    const topic = topicOf(client, 0, bytes)
    client.aliases ??= new Map()
    client.aliases.set(topicAlias, topic)
    return topic
  }
  const known = client.aliases?.get(topicAlias)
  if (known === undefined) {
    throw new MqttError(ReasonCode.ProtocolError, `Topic Alias ${topicAlias} was never set`)
  }
  return known
}

/** A QoS 2 identifier known already is acknowledged again, not routed again; a new one must fit our Receive Maximum. */
function isRepeated(client: Client, qos: number, packetId: number): boolean {
  const { inbound } = client.session!
  if (qos === 2 && inbound?.has(packetId) === true) return true
  const unanswered = (inbound?.countSinceResume ?? 0) + client.unansweredPublishes
  if (client.version === 5 && unanswered >= receiveMaximum(client.context.settings)) {
    throw new MqttError(
      ReasonCode.ReceiveMaximumExceeded,
      'more messages at a time than the Receive Maximum',
      'MQTT-3.3.4-7',
    )
  }
  return false
}

function publicationOf(
  client: Client,
  topic: Topic,
  bytes: Uint8Array,
  offset: number,
  length: number,
  inInbox: boolean,
  kept: number,
): Publication {
  const { context } = client
  const { topicLength, payloadOffset, payloadLength, messageExpiryInterval } = view
  const { publication } = context
  const expiresAt =
    messageExpiryInterval < 0 ? Number.POSITIVE_INFINITY : context.clock.now() + messageExpiryInterval * 1000
  const properties = forwardableBytes(bytes, view.propertiesOffset, view.propertiesLength)
  if (inInbox && topicLength > 0) {
    publication.fromInbox(topic, topicLength, offset, length, payloadOffset)
    publication.qos = view.qos as QoS
    publication.retain = view.retain
    publication.publisher = client.session
    publication.properties = properties
    publication.expiresAt = expiresAt
    // Nothing the broker must take out or count down: receivers get the property block as it stands.
    if (client.version === 5 && messageExpiryInterval < 0 && properties.length === view.propertiesLength) {
      publication.tail5 = view.propertiesOffset - variableByteIntegerSize(view.propertiesLength)
    }
    return publication
  }
  const name =
    topicLength > 0 ? bytes.subarray(view.topicOffset, view.topicOffset + topicLength) : Buffer.from(topic.name)
  let handle = kept
  if (kept !== 0 && topicLength > 0) {
    context.kept.shape(client.takeFrame(), payloadOffset - offset)
  } else {
    const payload =
      kept === 0
        ? bytes.subarray(payloadOffset, payloadOffset + payloadLength)
        : readKept(client, kept, payloadOffset, payloadLength)
    handle = context.kept.keepBytes(frame(name, payload), 2 + name.length)
  }
  const message = new Message(context.kept, handle, {
    topic: topic.name,
    qos: view.qos as QoS,
    retain: view.retain,
    size: 2 + name.length + payloadLength,
    payloadLength,
    properties: properties.slice(),
    expiresAt,
    ...(handle < 0 ? { payloadOffset: payloadOffset - offset } : {}),
  })
  publication.fromMessage(topic, message.hold(), client.session)
  return publication
}

function readKept(client: Client, kept: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  client.context.kept.read(kept, offset, bytes)
  return bytes
}

function frame(name: Uint8Array, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + name.length + payload.length)
  bytes[0] = name.length >> 8
  bytes[1] = name.length
  bytes.set(name, 2)
  bytes.set(payload, 2 + name.length)
  return bytes
}

/** Of a kept packet only the beginning was read; properties that reach beyond it are rare and read whole. */
function wholeHead(client: Client, first: number, head: Uint8Array, length: number, kept: number): Uint8Array {
  if (head.length === length || client.version !== 5) return head
  const properties = 2 + ((head[0]! << 8) | head[1]!) + ((first & 0x06) === 0 ? 0 : 2)
  const size = readVariableByteInteger(head, properties, head.length)
  if (properties + 4 + size <= head.length) return head
  return readKept(client, kept, 0, Math.min(length, properties + 4 + size))
}

function accept(client: Client, publication: Publication, packetId: number): void {
  const { context } = client
  if (publication.retain) context.retained.apply(publication)
  const refusedBefore = context.counters.droppedMemory
  const matched = context.router.publish(publication)
  context.tap(publication, client.clientId)
  if (publication.qos === 0) return
  if (context.counters.droppedMemory !== refusedBefore && client.version === 5) {
    // Somebody should have had it and will not. 3.x has no way to say so, and its sender would only send it for ever.
    context.counters.publishesRefused++
    client.acknowledge(
      publication.qos === 1 ? PacketType.Puback : PacketType.Pubrec,
      packetId,
      ReasonCode.QuotaExceeded,
    )
    return
  }
  const reasonCode = matched ? 0 : ReasonCode.NoMatchingSubscribers
  if (publication.qos === 1) {
    client.acknowledge(PacketType.Puback, packetId, reasonCode, context.journal.onlyMessage(publication.message)) // [MQTT-4.3.2-2]
    return
  }
  const session = client.session!
  session.inboundQos2().add(packetId)
  if (session.isStored) context.journal.inboundAdded(session.clientId, packetId)
  client.acknowledge(PacketType.Pubrec, packetId, reasonCode) // [MQTT-4.3.3-8]
}

/** Refused: the exchange is completed, the message goes nowhere. 3.x has no way to say so [MQTT-3.3.5-2]. */
function refuse(client: Client, publication: Publication, packetId: number, verdict: Verdict): void {
  const { context, clientId, connection, version } = client
  context.counters.notAuthorized++
  context.throttled.warn(
    `publish-refused:${clientId}`,
    context.clock.now(),
    { client: clientId, address: connection.remoteAddress, topic: publication.topic.name },
    'publish refused',
  )
  if (publication.qos === 0) return
  const reasonCode = typeof verdict === 'number' ? verdict : ReasonCode.NotAuthorized
  if (publication.qos === 1) client.acknowledge(PacketType.Puback, packetId, reasonCode)
  else {
    // An MQTT 5 refusal ends the exchange, a 3.x client goes on with PUBREL.
    if (version !== 5) client.session!.inboundQos2().add(packetId)
    client.acknowledge(PacketType.Pubrec, packetId, reasonCode)
  }
}
