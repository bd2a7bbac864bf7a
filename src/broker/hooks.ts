// Where a program that embeds the broker decides. Each hook answers at once or with a promise; while it waits only the
// client it is about stands still (its packets are kept in order). A hook that throws or rejects refuses.
import type { QoS } from '../mqtt/qos.ts'
import type { ReasonCode } from '../mqtt/reason-code.ts'
import type { PeerIdentity } from '../net/connection.ts'

/** Who asks. */
export interface ClientIdentity {
  readonly clientId: string
  readonly username: string | undefined
  /** `127.0.0.1:1234` or `[::1]:1234`. */
  readonly remoteAddress: string
  readonly protocolVersion: 3 | 4 | 5
}

export interface AuthenticateRequest extends ClientIdentity {
  readonly password: Uint8Array | undefined
  /**
   * The listener takes user names from certificates or keys (`use_identity_as_username`, `use_subject_as_username`):
   * `username` has been proved, and there is no password.
   */
  readonly verified: boolean
  /** What TLS or a PROXY header have told of the client, whatever the listener makes of it. */
  readonly peer: PeerIdentity
}

export interface PublishRequest {
  readonly client: ClientIdentity
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  /** A copy of the payload; costs one. */
  payload(): Buffer
}

export interface SubscribeRequest {
  readonly client: ClientIdentity
  /** The Topic Filter as the client wrote it, with `$share/…` if that is there. */
  readonly topicFilter: string
  readonly qos: QoS
}

/** true, false (not authorized), or the MQTT 5 reason to refuse with. */
export type Verdict = boolean | ReasonCode

/** What a client must prove next, or how it ended. */
export type AuthenticationStep =
  | { readonly outcome: 'continue'; readonly data: Uint8Array }
  | { readonly outcome: 'success'; readonly data?: Uint8Array }
  | { readonly outcome: 'failure'; readonly reasonCode?: ReasonCode }

/** One enhanced authentication under way (MQTT 5, section 4.12), SCRAM for example. */
export interface AuthenticationExchange {
  /** `data`: the client's Authentication Data; undefined when it sent none. */
  step(data: Uint8Array | undefined): AuthenticationStep | Promise<AuthenticationStep>
}

export interface AuthenticationRequest extends ClientIdentity {
  /** The Authentication Method the client named. */
  readonly method: string
}

export interface Hooks {
  /** Asked for every CONNECT. Without it, anonymous clients are let in when `allow_anonymous` says so, others too. */
  authenticate?(request: AuthenticateRequest): Verdict | Promise<Verdict>
  /**
   * Begins an exchange for a CONNECT that names an Authentication Method, and for each re-authentication. Undefined: the
   * method is not known (0x8C). Without the hook no method is.
   */
  beginAuthentication?(request: AuthenticationRequest): AuthenticationExchange | undefined
  /** Asked for every PUBLISH of a client, its Will included. */
  authorizePublish?(request: PublishRequest): Verdict | Promise<Verdict>
  /** Asked for every Topic Filter of a SUBSCRIBE. */
  authorizeSubscribe?(request: SubscribeRequest): Verdict | Promise<Verdict>
}
