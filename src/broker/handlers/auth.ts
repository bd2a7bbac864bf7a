// AUTH: enhanced authentication is refused at CONNECT while no method is offered, so none can be expected here.
import { readAuth } from '../../mqtt/auth.ts'
import { MqttError } from '../../mqtt/mqtt-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Client } from '../client.ts'

export function handleAuth(client: Client, first: number, body: Uint8Array): undefined {
  readAuth(first, body, client.version)
  throw new MqttError(ReasonCode.ProtocolError, 'AUTH without an Authentication Method in CONNECT', 'MQTT-4.12.0-6')
}
