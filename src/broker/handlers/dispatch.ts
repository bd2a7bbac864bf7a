// Which handler a Control Packet goes to, and which packets a client may send when. Handlers return a promise only
// when they wait for a hook.
import { type AcknowledgementType, AcknowledgementView, readAcknowledgement } from '../../mqtt/acknowledgement.ts'
import { MqttError } from '../../mqtt/mqtt-error.ts'
import { PacketType, packetName } from '../../mqtt/packet-type.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Client } from '../clients/client.ts'
import { handlePuback, handlePubcomp, handlePubrec, handlePubrel } from './acknowledgements.ts'
import { handleAuth } from './auth.ts'
import { handleConnect } from './connect.ts'
import { handleDisconnect } from './disconnect.ts'
import { handlePingreq } from './pingreq.ts'
import { handlePublish } from './publish.ts'
import { handleSubscribe } from './subscribe.ts'
import { handleUnsubscribe } from './unsubscribe.ts'

/** One view serves all clients: packets are handled one at a time. */
const acknowledgement = new AcknowledgementView()

export function dispatch(
  client: Client,
  first: number,
  topicId: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  inInbox: boolean,
  kept: number,
): Promise<void> | undefined {
  const type = first >>> 4
  if (client.state !== 'connected') return beforeConnected(client, type, first, bytes.subarray(offset, offset + length))
  switch (type) {
    case PacketType.Publish:
      return handlePublish(client, first, topicId, bytes, offset, length, inInbox, kept)
    case PacketType.Puback:
    case PacketType.Pubrec:
    case PacketType.Pubrel:
    case PacketType.Pubcomp:
      readAcknowledgement(acknowledgement, type as AcknowledgementType, first, bytes, offset, length, client.version)
      return handleAcknowledgement(client, type, acknowledgement)
    case PacketType.Pingreq:
      return handlePingreq(client, first, length)
    case PacketType.Subscribe:
      return handleSubscribe(client, first, bytes.subarray(offset, offset + length))
    case PacketType.Unsubscribe:
      return handleUnsubscribe(client, first, bytes.subarray(offset, offset + length))
    case PacketType.Disconnect:
      return handleDisconnect(client, first, bytes.subarray(offset, offset + length))
    case PacketType.Auth:
      return handleAuth(client, first, bytes.subarray(offset, offset + length))
    case PacketType.Connect:
      throw new MqttError(ReasonCode.ProtocolError, 'second CONNECT', 'MQTT-3.1.0-2')
    default:
      throw new MqttError(ReasonCode.ProtocolError, `${packetName(type)} from a client`)
  }
}

function handleAcknowledgement(client: Client, type: number, view: AcknowledgementView): undefined {
  const { packetId, reasonCode } = view
  if (type === PacketType.Puback) handlePuback(client, packetId)
  else if (type === PacketType.Pubrec) handlePubrec(client, packetId, reasonCode)
  else if (type === PacketType.Pubrel) handlePubrel(client, packetId)
  else handlePubcomp(client, packetId)
}

function beforeConnected(client: Client, type: number, first: number, body: Uint8Array): Promise<void> | undefined {
  if (type === PacketType.Connect && client.state === 'awaiting-connect') return handleConnect(client, first, body)
  if (client.authentication !== undefined && type === PacketType.Auth) return handleAuth(client, first, body)
  if (type === PacketType.Disconnect && client.state === 'connecting') {
    client.end({ reason: 'disconnected during authentication' })
    return undefined
  }
  if (client.state === 'connecting') {
    throw new MqttError(ReasonCode.ProtocolError, `${packetName(type)} during authentication`, 'MQTT-3.1.2-30')
  }
  if (type === PacketType.Connect) throw new MqttError(ReasonCode.ProtocolError, 'second CONNECT', 'MQTT-3.1.0-2')
  throw new MqttError(ReasonCode.ProtocolError, `${packetName(type)} before CONNECT`, 'MQTT-3.1.0-1')
}
