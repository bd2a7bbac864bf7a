// PINGREQ [MQTT-3.12.4-1]. Keep alive itself needs nothing here: the reactor notes when bytes were read.
import { checkPingreq, PINGRESP_WORD } from '../../mqtt/ping.ts'
import type { Client } from '../client.ts'

export function handlePingreq(client: Client, first: number, length: number): undefined {
  checkPingreq(first, length, client.version)
  client.context.counters.messagesSent++
  client.context.outbox.sendShort(client.connection, PINGRESP_WORD, 2)
}
