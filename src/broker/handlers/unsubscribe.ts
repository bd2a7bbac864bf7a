// UNSUBSCRIBE [MQTT-3.10.4-1]: filters are compared character by character, and every one is answered in its place.
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { readUnsubscribe, writeUnsuback } from '../../mqtt/unsubscribe.ts'
import type { Client } from '../clients/client.ts'
import { requireTopicFilter } from './subscribe.ts'

export function handleUnsubscribe(client: Client, first: number, body: Uint8Array): undefined {
  const { context, version } = client
  const session = client.session!
  const packet = readUnsubscribe(first, body, version)
  const reasonCodes = packet.filters.map((filter) => {
    requireTopicFilter(filter)
    if (!session.unsubscribe(filter)) return ReasonCode.NoSubscriptionExisted
    context.events.tell('unsubscribed', client.identity, filter)
    return ReasonCode.Success
  })
  client.whenStored(() => {
    const answer = new Uint8Array(reasonCodes.length + 16)
    const end = writeUnsuback(answer, 0, { packetId: packet.packetId, reasonCodes }, version, client.maximumPacketSize)
    client.send(answer.subarray(0, end))
  })
}
