// CONNECT: may this client connect, under which Client Identifier, with which session. Authentication may wait; then
// everything behind it waits too, and the session is opened only when the answer is there.
import { writeConnack } from '../../mqtt/connack.ts'
import { type ConnectPacket, readConnect, UnacceptableProtocolVersion } from '../../mqtt/connect.ts'
import { MqttError } from '../../mqtt/mqtt-error.ts'
import { type Properties, propertiesSize } from '../../mqtt/properties.ts'
import type { QoS } from '../../mqtt/qos.ts'
import { ReasonCode, reasonName } from '../../mqtt/reason-code.ts'
import { topicNameProblem } from '../../mqtt/topic.ts'
import { askHook } from '../ask-hook.ts'
import { announcedCapabilities } from '../clients/capabilities.ts'
import type { Client } from '../clients/client.ts'
import { EnhancedAuthentication } from '../clients/enhanced-authentication.ts'
import { forwardableProperties } from '../forwardable-properties.ts'
import type { Verdict } from '../hooks.ts'
import { provenUsername } from '../listener-rules.ts'
import { awaitTurn, holdBackRefusal, takeoverDelay } from '../overload/connect-delays.ts'
import type { BrokerSettings } from '../settings.ts'

const NEVER = 0xffffffff

export function handleConnect(client: Client, first: number, body: Uint8Array): Promise<void> | undefined {
  const packet = readOrRefuse(client, first, body)
  if (packet === undefined) return undefined
  client.version = packet.protocolVersion
  client.clientId = packet.clientId
  client.username = usernameOf(client, packet)
  client.problemInformation = packet.properties.requestProblemInformation !== false
  client.maximumPacketSize = packet.properties.maximumPacketSize ?? NEVER
  const problem = connectProblem(client, packet)
  if (problem !== undefined) {
    refuse(client, problem.reasonCode, problem.text)
    return undefined
  }
  const turn = awaitTurn(client)
  if (turn instanceof Promise)
    return turn.then(() => (client.state === 'connecting' ? decide(client, packet) : undefined))
  if (turn) return decide(client, packet)
  refuse(client, ReasonCode.ConnectionRateExceeded, 'too many connections or failed logins from this address')
  return undefined
}

/** Asks who is to be asked, and goes on when the answer is there. */
function decide(client: Client, packet: ConnectPacket): Promise<void> | undefined {
  const { hooks, settings } = client.context
  if (packet.properties.authenticationMethod !== undefined) return beginAuthentication(client, packet)
  const verified = isVerified(client)
  if (hooks.authenticate === undefined) {
    return finishConnect(client, packet, verified || settings.allowAnonymous || ReasonCode.NotAuthorized)
  }
  const password = verified ? undefined : packet.password
  const question = { ...client.identity, password, verified, peer: client.connection.identity }
  const verdict = askHook(client.context, 'authenticate', client.clientId, () => hooks.authenticate!(question))
  if (!(verdict instanceof Promise)) return finishConnect(client, packet, verdict)
  client.connecting()
  return verdict.then((settled) => {
    // The connect timeout may have ended it meanwhile.
    client.context.journal.begin()
    return client.state === 'connecting' ? finishConnect(client, packet, settled) : undefined
  })
}

/** Enhanced authentication decides; the CONNECT is finished when its exchange has succeeded. */
function beginAuthentication(client: Client, packet: ConnectPacket): Promise<void> | undefined {
  const method = packet.properties.authenticationMethod!
  client.authentication = new EnhancedAuthentication(client, method, (data) =>
    finishConnect(client, packet, true, data),
  )
  client.connecting()
  const begun = client.authentication.begin(packet.properties.authenticationData)
  if (begun !== false) return begun
  refuse(client, ReasonCode.BadAuthenticationMethod, `Authentication Method ${method} is not offered`) // [MQTT-4.12.0-1]
  return undefined
}

/** A session's expiry in seconds: what the client asked for, within what the broker allows; 0xFFFFFFFF = never. */
export function effectiveExpiry(asked: number, most: number): number {
  return Math.min(asked === NEVER ? Number.POSITIVE_INFINITY : asked, most)
}

function readOrRefuse(client: Client, first: number, body: Uint8Array): ConnectPacket | undefined {
  try {
    return readConnect(first, body)
  } catch (error) {
    if (!(error instanceof UnacceptableProtocolVersion)) {
      // MQTT 5 may be told why [MQTT-3.1.4-1]; who announced less is not sure to understand it.
      if (error instanceof MqttError && announcesMqtt5(body)) client.version = 5
      throw error
    }
    client.version = 4 // the answer 3.1.1 demands, and the one that any version's client has a chance to know
    refuse(client, ReasonCode.UnsupportedProtocolVersion, error.message) // [MQTT-3.1.2-2]
    return undefined
  }
}

/** The user name of CONNECT, or what the transport has proved where the listener says so. */
function usernameOf({ connection, context }: Client, packet: ConnectPacket): string | undefined {
  const { username } = context.listeners.of(connection)
  return username === 'connect' ? packet.username : provenUsername(username, connection.identity)
}

/** The certificate or key has proved who it is: user name and password of CONNECT do not count. */
function isVerified({ connection, context }: Client): boolean {
  return context.listeners.of(connection).username !== 'connect'
}

function announcesMqtt5(body: Uint8Array): boolean {
  return body.length > 6 && body[1] === 4 && body[6] === 5
}

function connectProblem(client: Client, packet: ConnectPacket): { reasonCode: ReasonCode; text: string } | undefined {
  const { settings, sessions } = client.context
  if (packet.clientId === '') {
    if (!settings.allowZeroLengthClientId)
      return { reasonCode: ReasonCode.ClientIdentifierNotValid, text: 'empty Client Identifier' }
    if (packet.protocolVersion === 3 || (packet.protocolVersion === 4 && !packet.cleanStart)) {
      return {
        reasonCode: ReasonCode.ClientIdentifierNotValid,
        text: 'empty Client Identifier without Clean Session [MQTT-3.1.3-8]',
      }
    }
  }
  const { maxKeepalive } = settings
  if (packet.protocolVersion < 5 && maxKeepalive > 0 && (packet.keepAlive === 0 || packet.keepAlive > maxKeepalive)) {
    return { reasonCode: ReasonCode.ClientIdentifierNotValid, text: `keep alive over ${maxKeepalive} s` }
  }
  if (packet.will !== undefined) {
    const topicProblem = topicNameProblem(packet.will.topic, settings.maxTopicLevels)
    if (topicProblem !== undefined) throw new MqttError(ReasonCode.TopicNameInvalid, `Will: ${topicProblem}`)
    if (packet.will.retain && !settings.retainAvailable) {
      return { reasonCode: ReasonCode.RetainNotSupported, text: 'Will Retain, but retained messages are not available' } // [MQTT-3.2.2-13]
    }
    if (packet.will.qos > settings.maxQos) {
      return {
        reasonCode: ReasonCode.QosNotSupported,
        text: `Will QoS ${packet.will.qos}, the maximum is ${settings.maxQos}`,
      } // [MQTT-3.2.2-12]
    }
  }
  if (isVerified(client) && client.username === undefined) {
    return { reasonCode: ReasonCode.BadUserNameOrPassword, text: 'no certificate or key that has a name' }
  }
  if (!sessions.hasRoomFor(packet.clientId))
    return { reasonCode: ReasonCode.QuotaExceeded, text: 'max_sessions reached' }
  return memoryProblem(client, packet)
}

/** Who has a session already is let in even when memory is short: it may take what waits for it. */
function memoryProblem(client: Client, packet: ConnectPacket): { reasonCode: ReasonCode; text: string } | undefined {
  const { counters, overload, sessions, settings } = client.context
  if (sessions.get(packet.clientId) !== undefined) return undefined
  const isPersistent = sessionExpiry(packet, settings) > 0
  if (!overload.memory.isHeapShort && !(isPersistent && overload.memory.areQueuesFull)) return undefined
  counters.refusedForMemory++
  return { reasonCode: ReasonCode.QuotaExceeded, text: 'memory is short' }
}

function refuse(client: Client, reasonCode: ReasonCode, text: string): void {
  const { context, clientId, connection, username, version } = client
  context.counters.connectsRefused++
  context.throttled.warn(
    `refused:${connection.remoteAddress.replace(/:\d+$/, '')}`,
    context.clock.now(),
    { client: clientId, address: connection.remoteAddress, username, reason: text },
    `connection refused: ${reasonName(reasonCode)}`,
  )
  if (version === 5) {
    client.end({ reason: text, reasonCode })
    return
  }
  const answer = new Uint8Array(4)
  writeConnack(answer, 0, { sessionPresent: false, reasonCode }, version)
  client.send(answer) // [MQTT-3.1.4-5]
  client.end({ reason: text })
}

/** The verdict is there. A refusal may be held back, and a newcomer may have to wait for its Client Identifier. */
function finishConnect(
  client: Client,
  packet: ConnectPacket,
  verdict: Verdict,
  proof?: Uint8Array,
): Promise<void> | undefined {
  const reason = verdict === true ? ReasonCode.Success : verdict === false ? ReasonCode.NotAuthorized : verdict
  if (reason !== ReasonCode.Success) {
    const text = packet.username === undefined ? 'anonymous' : `user ${packet.username}`
    return holdBackRefusal(client, reason, () => refuse(client, reason, text))
  }
  const delay = takeoverDelay(client)
  if (delay === undefined) {
    openSession(client, packet, proof)
    return undefined
  }
  return delay.then(() => {
    client.context.journal.begin()
    if (client.state === 'connecting') openSession(client, packet, proof)
  })
}

function openSession(client: Client, packet: ConnectPacket, proof: Uint8Array | undefined): void {
  const { context } = client
  const { settings, sessions, journal } = context
  const expiryInterval = sessionExpiry(packet, settings)
  if (expiryInterval > 0 && journal.isFailing) {
    // Its session could not be stored, and one that is only resumed could not say what was sent under which identifier.
    refuse(client, ReasonCode.QuotaExceeded, 'the store fails')
    return
  }
  if (expiryInterval > 0 && journal.isShort && sessions.get(packet.clientId) === undefined) {
    // Who has a session may come: what waits for it can go then, and space with it.
    refuse(client, ReasonCode.QuotaExceeded, 'space for the store is short')
    return
  }
  // Asked before, but authentication takes its time.
  if (!sessions.hasRoomFor(packet.clientId)) {
    refuse(client, ReasonCode.QuotaExceeded, 'max_sessions reached')
    return
  }
  const assigned = packet.clientId === '' ? sessions.newClientId(settings.autoIdPrefix) : undefined
  if (assigned !== undefined) client.clientId = assigned
  const { clientId } = client

  const holder = sessions.get(clientId)?.owner
  if (holder !== undefined) {
    context.overload.takeovers.happened(clientId, context.clock.now())
    holder.takenOver(client.connection.remoteAddress) // [MQTT-3.1.4-3]
  }
  const { session, present } = sessions.open(clientId, packet.protocolVersion, packet.cleanStart)
  sessions.keep(session, expiryInterval)
  session.isBridge = packet.bridge
  session.slowReaderPolicy = context.listeners.of(client.connection).slowReaderPolicy
  session.maximumPacketSize = client.maximumPacketSize
  session.topicAliasMaximum = Math.min(packet.properties.topicAliasMaximum ?? 0, settings.maxTopicAliasBroker) // [MQTT-3.1.2-26]
  context.wills.cancelDelayed(clientId)

  const keepAlive = effectiveKeepAlive(packet, settings.maxKeepalive)
  client.keepAlive = keepAlive * 1000
  client.will = willOf(client, packet)
  if (client.will !== undefined) context.wills.record(clientId, client.will)
  const outputLimit = Math.max(settings.outputLimit, 1)
  client.connection.admit(settings.maxPacketSize, Math.min(client.maximumPacketSize, 0x7fffffff), outputLimit)
  client.connected(session)
  context.counters.clientConnected()
  logConnected(client, packet, present)

  const properties = packet.protocolVersion === 5 ? connackProperties(client, packet, keepAlive, assigned, proof) : {}
  // A will is worth waiting for, but not for a store that fails.
  if (!session.isStored && journal.isFailing) journal.begin()
  client.whenStored(() => {
    const answer = new Uint8Array(256 + propertiesSize(properties))
    const connack = { sessionPresent: present, reasonCode: ReasonCode.Success, properties }
    const end = writeConnack(answer, 0, connack, packet.protocolVersion, client.maximumPacketSize)
    if (end === 0) {
      // No DISCONNECT before CONNACK [MQTT-3.14.0-1].
      client.end({ reason: 'CONNACK is larger than its Maximum Packet Size' })
      return
    }
    client.send(answer.subarray(0, end))
    if (client.session !== session) return // it was gone before the store answered
    // Nothing may be delivered before CONNACK [MQTT-3.2.0-1], so the session gets its connection here.
    session.attach(client.connection, Math.min(packet.properties.receiveMaximum ?? 65535, settings.maxInflightMessages))
    context.events.tell('clientConnected', client.identity, present)
    session.pump()
  })
}

function sessionExpiry(packet: ConnectPacket, settings: BrokerSettings): number {
  if (packet.protocolVersion === 5)
    return effectiveExpiry(packet.properties.sessionExpiryInterval ?? 0, settings.mqtt5SessionExpiry)
  return packet.cleanStart ? 0 : settings.sessionExpiry // [MQTT-3.1.2-6]
}

function effectiveKeepAlive(packet: ConnectPacket, most: number): number {
  if (most === 0) return packet.keepAlive
  return packet.keepAlive === 0 ? most : Math.min(packet.keepAlive, most) // [MQTT-3.1.2-21]
}

function connackProperties(
  client: Client,
  packet: ConnectPacket,
  keepAlive: number,
  assigned: string | undefined,
  proof: Uint8Array | undefined,
): Properties {
  const { session, context } = client
  const granted = session!.expiryInterval
  const asked = packet.properties.sessionExpiryInterval ?? 0
  const { responseInformation } = context.settings
  const wantsResponses = packet.properties.requestResponseInformation === true && responseInformation !== ''
  const changedExpiry = granted !== effectiveExpiry(asked, Number.POSITIVE_INFINITY)
  return {
    ...(changedExpiry ? { sessionExpiryInterval: Math.min(granted, NEVER) } : {}), // [MQTT-3.2.2-20]
    ...announcedCapabilities(context.settings),
    ...(assigned === undefined ? {} : { assignedClientIdentifier: assigned }), // [MQTT-3.2.2-16]
    // [MQTT-4.12.0-5]: the method is repeated, with the last word of the exchange if there is one.
    ...(client.authentication === undefined ? {} : { authenticationMethod: client.authentication.method }),
    ...(proof === undefined ? {} : { authenticationData: proof }),
    ...(wantsResponses ? { responseInformation } : {}), // [MQTT-3.1.2-28]
    ...(keepAlive === packet.keepAlive ? {} : { serverKeepAlive: keepAlive }), // [MQTT-3.2.2-21]
  }
}

function willOf(client: Client, packet: ConnectPacket): Client['will'] {
  const { will } = packet
  if (will === undefined) return undefined
  const { properties } = will
  return {
    client: client.identity,
    topic: will.topic,
    payload: will.payload,
    qos: will.qos as QoS,
    retain: will.retain,
    properties: forwardableProperties(properties),
    delay: properties.willDelayInterval ?? 0,
    expiry: properties.messageExpiryInterval ?? Number.POSITIVE_INFINITY,
  }
}

function logConnected(client: Client, packet: ConnectPacket, present: boolean): void {
  const { context, clientId, connection, username, version } = client
  if (!context.settings.connectionMessages) return
  context.log.info(
    {
      client: clientId,
      address: connection.remoteAddress,
      protocol: version,
      clean: packet.cleanStart,
      keepAlive: packet.keepAlive,
      sessionPresent: present,
      username,
    },
    'client connected',
  )
}
