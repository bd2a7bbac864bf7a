// The four acknowledgements of QoS 1 and 2. Two id spaces: PUBACK, PUBREC and PUBCOMP name identifiers the server gave
// out, PUBREL one the client gave out.
import { PacketType } from '../../mqtt/packet-type.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Client } from '../clients/client.ts'

/** An identifier that is not in flight is no reason to end a connection: it may answer what a clean start forgot. */
export function handlePuback(client: Client, packetId: number): void {
  if (!client.session!.acknowledged(packetId)) unknown(client, 'PUBACK', packetId)
}

export function handlePubrec(client: Client, packetId: number, reasonCode: number): void {
  const known = client.session!.received(packetId, reasonCode)
  if (!known) unknown(client, 'PUBREC', packetId)
  if (reasonCode >= 0x80) return
  // PUBREL in any case: without it the client would keep the identifier for ever [MQTT-4.3.3-1].
  client.acknowledge(PacketType.Pubrel, packetId, known ? 0 : ReasonCode.PacketIdentifierNotFound)
}

export function handlePubrel(client: Client, packetId: number): void {
  const { session, context } = client
  const known = session!.inbound?.release(packetId) === true
  if (known && session!.isStored) context.journal.inboundReleased(session!.clientId, packetId)
  // [MQTT-4.3.3-11]; an unknown identifier is answered too, it is how an interrupted exchange ends.
  client.acknowledge(PacketType.Pubcomp, packetId, known ? 0 : ReasonCode.PacketIdentifierNotFound)
}

export function handlePubcomp(client: Client, packetId: number): void {
  if (!client.session!.completed(packetId)) unknown(client, 'PUBCOMP', packetId)
}

function unknown(client: Client, packet: string, packetId: number): void {
  const { context, clientId, connection } = client
  if (!context.log.debugging) return
  context.log.debug(
    { client: clientId, address: connection.remoteAddress, packetId },
    `${packet} for an unknown packet identifier`,
  )
}
