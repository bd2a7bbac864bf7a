// One configured listener as the native reactor wants it. Pure, but for the name service.
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { ListenOptions as NativeListenOptions } from '../../native/index.js'
import type { ListenerConfiguration } from '../config/configuration.ts'

/** A listener as a program asks for one; what is left out has its default. Host: 127.0.0.1. */
export type ListenOptions = Partial<Omit<ListenerConfiguration, 'optional'>> & {
  /** TCP port; 0 takes any free one. */
  readonly port: number
}

/** What the reactor opens, address by address. */
export async function nativeListeners(options: ListenOptions): Promise<NativeListenOptions[]> {
  const { port, host = '127.0.0.1', socketDomain = 'any' } = options
  const addresses = await numericAddresses(host, socketDomain)
  return addresses.map((address) => ({
    ...streamOptions(options),
    host: address,
    port,
    backlog: 0,
    ipv6Only: true,
    reusePort: false,
  }))
}

function streamOptions(options: ListenOptions): Partial<NativeListenOptions> {
  const { maxConnections, protocol, websocketsPath, websocketsOrigin, websocketsHeadersSize, trustedProxies } = options
  return {
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(websocketsPath === undefined ? {} : { path: websocketsPath }),
    ...(websocketsOrigin === undefined ? {} : { origins: websocketsOrigin }),
    ...(websocketsHeadersSize === undefined ? {} : { headerLimit: websocketsHeadersSize }),
    ...(trustedProxies === undefined ? {} : { trustedProxies }),
  }
}

async function numericAddresses(host: string, domain: ListenerConfiguration['socketDomain']): Promise<string[]> {
  const family = domain === 'ipv4' ? 4 : domain === 'ipv6' ? 6 : 0
  const found =
    host === ''
      ? ['0.0.0.0', '::']
      : isIP(host) !== 0
        ? [host]
        : (await lookup(host, { all: true })).map(({ address }) => address)
  const wanted = found.filter((address) => family === 0 || isIP(address) === family)
  if (wanted.length === 0) throw new Error(`${host} has no address of the family ${domain}`)
  return wanted
}
