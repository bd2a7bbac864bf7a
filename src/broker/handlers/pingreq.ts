// PINGREQ [MQTT-3.12.4-1]. Keep alive itself needs nothing here: the reactor notes when bytes were read.
import { checkPingreq, PINGRESP_WORD } from '../../mqtt/ping.ts'
import type { Client } from '../clients/client.ts'

export function handlePingreq(client: Client, first: number, length: number): undefined {
  checkPingreq(first, length, client.version)
  // It need not have waited for CONNACK, which may be waiting for the store: nothing comes before that [MQTT-3.2.0-1].
  if (client.session!.connection === undefined) client.afterAnswers(() => answer(client))
  else answer(client)
}

function answer({ context, connection }: Client): void {
  context.counters.messagesSent++
  context.outbox.sendShort(connection, PINGRESP_WORD, 2)
}
