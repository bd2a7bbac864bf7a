// Enhanced authentication (MQTT 5, section 4.12) as a state machine: CONNECT or AUTH in, AUTH, CONNACK or DISCONNECT out.
// What is proved, and how, is the hook's business; here stands who may say what when.
import { writeAuth } from '../../mqtt/auth.ts'
import { MqttError } from '../../mqtt/mqtt-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { putToHook } from '../ask-hook.ts'
import type { AuthenticationExchange, AuthenticationStep, ClientIdentity } from '../hooks.ts'
import { holdBackRefusal } from '../overload/connect-delays.ts'
import type { Client } from './client.ts'

export class EnhancedAuthentication {
  readonly method: string
  readonly #client: Client
  /** The exchange under way; undefined between a success and a re-authentication. */
  #exchange: AuthenticationExchange | undefined
  #isFirst = true
  readonly #succeeded: (data: Uint8Array | undefined) => Promise<void> | undefined

  /** `succeeded` accepts the CONNECT; a re-authentication is answered here. */
  constructor(client: Client, method: string, succeeded: (data: Uint8Array | undefined) => Promise<void> | undefined) {
    this.#client = client
    this.method = method
    this.#succeeded = succeeded
  }

  /** Begins with CONNECT. Returns false when the hook does not know the method. */
  begin(data: Uint8Array | undefined): Promise<void> | undefined | false {
    this.#exchange = this.#start(this.#client.identity)
    if (this.#exchange === undefined) return false
    return this.#step(data)
  }

  /** An AUTH of the client. Throws a protocol error for one that has no place here. */
  handleAuth(reasonCode: number, method: string | undefined, data: Uint8Array | undefined): Promise<void> | undefined {
    if (method !== this.method) {
      throw new MqttError(ReasonCode.ProtocolError, 'AUTH with another Authentication Method', 'MQTT-4.12.0-5')
    }
    if (reasonCode === ReasonCode.Reauthenticate) {
      if (this.#isFirst || this.#exchange !== undefined) {
        throw new MqttError(ReasonCode.ProtocolError, 'Re-authenticate while an exchange is under way')
      }
      this.#exchange = this.#start(this.#client.identity)
      if (this.#exchange === undefined) {
        throw new MqttError(
          ReasonCode.BadAuthenticationMethod,
          `Authentication Method ${method} is not offered any more`,
        )
      }
    } else if (this.#exchange === undefined) {
      throw new MqttError(ReasonCode.ProtocolError, 'AUTH without an exchange under way')
    }
    return this.#step(data)
  }

  #start(client: ClientIdentity): AuthenticationExchange | undefined {
    return this.#client.context.hooks.beginAuthentication?.({ ...client, method: this.method })
  }

  #step(data: Uint8Array | undefined): Promise<void> | undefined {
    const exchange = this.#exchange!
    const step = putToHook<AuthenticationStep>(this.#client.context, {
      hook: 'beginAuthentication',
      clientId: this.#client.clientId,
      ask: () => exchange.step(data),
      legal: isStep,
      refusal: { outcome: 'failure', reasonCode: ReasonCode.UnspecifiedError },
    })
    if (!(step instanceof Promise)) return this.#answer(step)
    return step.then((settled) => {
      const { state } = this.#client
      return state === 'connecting' || state === 'connected' ? this.#answer(settled) : undefined
    })
  }

  #answer(step: AuthenticationStep): Promise<void> | undefined {
    if (step.outcome === 'continue') {
      this.#sendAuth(ReasonCode.ContinueAuthentication, step.data) // [MQTT-4.12.0-2]
      return undefined
    }
    this.#exchange = undefined
    if (step.outcome === 'failure') {
      // CONNACK before the client is connected, DISCONNECT after [MQTT-4.12.0-4].
      const reasonCode = step.reasonCode ?? ReasonCode.NotAuthorized
      return holdBackRefusal(this.#client, reasonCode, () => {
        this.#client.end({ reason: 'authentication failed', reasonCode })
      })
    }
    if (this.#isFirst) {
      this.#isFirst = false
      return this.#succeeded(step.data)
    }
    this.#sendAuth(ReasonCode.Success, step.data)
    return undefined
  }

  #sendAuth(reasonCode: ReasonCode, data: Uint8Array | undefined): void {
    const properties = {
      authenticationMethod: this.method,
      ...(data === undefined ? {} : { authenticationData: data }),
    }
    const answer = new Uint8Array(64 + this.method.length * 3 + (data?.length ?? 0))
    const end = writeAuth(answer, 0, { reasonCode, properties }, 5, this.#client.maximumPacketSize)
    this.#client.send(answer.subarray(0, end))
  }
}

function isStep(step: AuthenticationStep | undefined): boolean {
  return step?.outcome === 'success' || step?.outcome === 'failure' || (step?.outcome === 'continue' && !!step.data)
}
