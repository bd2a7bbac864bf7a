// AUTH: the next step of an exchange, or the beginning of a re-authentication [MQTT-4.12.1-1].
import { readAuth } from '../../mqtt/auth.ts'
import { MqttError } from '../../mqtt/mqtt-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Client } from '../clients/client.ts'

export function handleAuth(client: Client, first: number, body: Uint8Array): Promise<void> | undefined {
  const { reasonCode, properties } = readAuth(first, body, client.version)
  const { authentication } = client
  if (authentication === undefined) {
    throw new MqttError(ReasonCode.ProtocolError, 'AUTH without an Authentication Method in CONNECT', 'MQTT-4.12.0-6')
  }
  return authentication.handleAuth(reasonCode, properties.authenticationMethod, properties.authenticationData)
}
