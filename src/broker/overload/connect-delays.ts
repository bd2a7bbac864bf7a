// What a CONNECT may have to wait for: its address's turn, the answer to a failed login, a Client Identifier that others
// fight for. The client is parked meanwhile, and its connect timeout counts from the end of the delay.
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Client } from '../clients/client.ts'
import { addressKey } from './address-key.ts'

/**
 * Whether a CONNECT is looked at: true, false (refuse it), or a promise when it has to wait for its turn first; then the
 * client's state says whether it still wants in.
 */
export function awaitTurn(client: Client): boolean | Promise<void> {
  const { context, connection } = client
  const { counters, overload, settings, clock } = context
  const address = addressKey(connection.remoteAddress)
  if (!overload.logins.admits(address)) {
    counters.loginsRefused++
    return false
  }
  const wait = overload.rates.connect(address, settings.connectTimeout, clock.now())
  if (wait === Number.POSITIVE_INFINITY) return false
  if (wait === 0) return true
  context.throttled.warn(
    `connect-rate:${address}`,
    clock.now(),
    { address: connection.remoteAddress },
    'connections over address_connect_rate have to wait',
  )
  return hold(client, wait).over
}

/** Answers a failed login, at once or after its address's delay. Other refusals, and those of a connected client, never wait. */
export function holdBackRefusal(client: Client, reasonCode: number, answer: () => void): Promise<void> | undefined {
  const { context, connection } = client
  const { counters, overload, clock } = context
  const address = addressKey(connection.remoteAddress)
  const delay =
    isFailedLogin(reasonCode) && client.state !== 'connected' ? overload.logins.failed(address, clock.now()) : 0
  if (delay === 0) {
    answer()
    return undefined
  }
  counters.loginsDelayed++
  context.throttled.warn(
    `login:${address}`,
    clock.now(),
    { client: client.clientId, address: connection.remoteAddress, username: client.username, delay },
    'failed logins: the answer is held back',
  )
  const waiting = hold(client, delay)
  client.onClosed = () => waiting.stop()
  return waiting.over.then(() => {
    client.onClosed = undefined
    overload.logins.release(address)
    if (client.state === 'connecting') answer()
  })
}

/** The wait for a Client Identifier that is fought for; undefined, mostly, when there is none. */
export function takeoverDelay(client: Client): Promise<void> | undefined {
  const { context, clientId, connection } = client
  const { overload, sessions, clock } = context
  const holder = sessions.get(clientId)?.owner
  if (holder === undefined) return undefined
  const delay = overload.takeovers.delay(clientId, holder.remoteAddress, connection.remoteAddress, clock.now())
  if (delay === 0) return undefined
  const waiting = hold(client, delay)
  const contender = {
    superseded: () => {
      client.end({
        reason: 'a newer connection waits for the same client id',
        reasonCode: ReasonCode.ConnectionRateExceeded,
      })
      waiting.stop()
    },
  }
  overload.takeovers.wait(clientId, contender)
  client.onClosed = () => waiting.stop()
  return waiting.over.then(() => {
    client.onClosed = undefined
    overload.takeovers.stopWaiting(clientId, contender)
  })
}

function hold(client: Client, ms: number): { readonly over: Promise<void>; stop(): void } {
  client.connecting(ms)
  return client.context.overload.wait(ms)
}

function isFailedLogin(reasonCode: number): boolean {
  return (
    reasonCode === ReasonCode.NotAuthorized ||
    reasonCode === ReasonCode.BadUserNameOrPassword ||
    reasonCode === ReasonCode.Banned
  )
}
