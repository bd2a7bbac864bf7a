// Normative statements that MQTT 3.1.1 and 5.0 both make, under different numbers. MQTT 3.1 has none and goes by 3.1.1.

import type { ProtocolVersion } from './protocol-version.ts'

const clauses = {
  flags: ['MQTT-2.2.2-2', 'MQTT-2.1.3-1'],
  packetId: ['MQTT-2.3.1-1', 'MQTT-2.2.1-3'],
  utf8: ['MQTT-1.5.3-1', 'MQTT-1.5.4-1'],
  qos3: ['MQTT-3.3.1-4', 'MQTT-3.3.1-4'],
  subscribeEmpty: ['MQTT-3.8.3-3', 'MQTT-3.8.3-2'],
  subscribeOptions: ['MQTT-3-8.3-4', 'MQTT-3.8.3-5'],
  unsubscribeEmpty: ['MQTT-3.10.3-2', 'MQTT-3.10.3-2'],
} as const

/** The id of a statement in the specification of `version`. */
export function clause(statement: keyof typeof clauses, version: ProtocolVersion): string {
  return clauses[statement][version === 5 ? 1 : 0]
}
