// DISCONNECT of a client: the orderly end, without its will if its code says so [MQTT-3.14.4-3].
import { readDisconnect } from '../../mqtt/disconnect.ts'
import { MqttError } from '../../mqtt/mqtt-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Client } from '../clients/client.ts'
import { effectiveExpiry } from './connect.ts'

export function handleDisconnect(client: Client, first: number, body: Uint8Array): undefined {
  const packet = readDisconnect(first, body, client.version)
  const { sessionExpiryInterval } = packet.properties
  const session = client.session!
  if (sessionExpiryInterval !== undefined) {
    if (sessionExpiryInterval > 0 && session.expiryInterval === 0) {
      throw new MqttError(
        ReasonCode.ProtocolError,
        'DISCONNECT sets a session expiry where CONNECT had none',
        'MQTT-3.14.2-2',
      )
    }
    session.expiryInterval = effectiveExpiry(sessionExpiryInterval, client.context.settings.mqtt5SessionExpiry)
  }
  // Only the normal end deletes it: a client that leaves because something is wrong still wants it sent [MQTT-3.1.2-8].
  const discardWill = packet.reasonCode === ReasonCode.NormalDisconnection
  client.end({ reason: 'disconnected', discardWill })
}
