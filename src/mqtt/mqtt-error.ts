// A peer broke the protocol. Thrown by everything in this folder that reads packets, caught in one place (the
// client), which chooses the answer: DISCONNECT or CONNACK with the reason code for MQTT 5, a close for 3.x.

import type { ReasonCode } from './reason-code.ts'

export class MqttError extends Error {
  override readonly name: string = 'MqttError'
  /** What MQTT 5 calls this fault. */
  readonly reasonCode: ReasonCode
  /** The normative statement that was broken, without brackets: `MQTT-3.8.3-3`. */
  readonly clause?: string

  /** `message` is fit for the log; the clause, if any, is appended to it in brackets. */
  constructor(reasonCode: ReasonCode, message: string, clause?: string) {
    super(clause === undefined ? message : `${message} [${clause}]`)
    this.reasonCode = reasonCode
    if (clause !== undefined) this.clause = clause
  }
}
