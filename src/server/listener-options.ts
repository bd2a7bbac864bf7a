// One configured listener as the native reactor wants it. Pure, but for the name service.
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { ListenOptions as NativeListenOptions } from '../../native/index.js'
import { ConfigError } from '../config/config-error.ts'
import type { ListenerConfiguration } from '../config/configuration.ts'
import type { ListeningAddress } from '../net/listening-address.ts'
import { activatedDescriptors } from './systemd.ts'

/** A listener as a program asks for one; what is left out has its default. Host: 127.0.0.1. */
export type ListenOptions = Partial<Omit<ListenerConfiguration, 'optional' | 'places'>> & {
  /** TCP port; 0 takes any free one. Without meaning for a Unix socket or one that systemd opened. */
  readonly port?: number
}

/** What the reactor opens, address by address. */
export async function nativeListeners(options: ListenOptions): Promise<NativeListenOptions[]> {
  const { port = 0, host = '127.0.0.1', socketDomain = 'any', socketPath = '', socketActivation = '' } = options
  const common = { ...streamOptions(options), host: '', port: 0, backlog: 0, ipv6Only: true, reusePort: false }
  if (socketActivation !== '') {
    const descriptors = activatedDescriptors(socketActivation)
    if (descriptors.length > 0) return descriptors.map((descriptor) => ({ ...common, descriptor }))
    throw new ConfigError({
      key: 'socket_activation',
      value: socketActivation,
      problem: 'systemd has passed no socket of this name',
      advice: 'The .socket unit names it with FileDescriptorName.',
    })
  }
  if (socketPath !== '') return [{ ...common, ...unixSocket(options, socketPath) }]
  const device = options.bindInterface ?? ''
  const addresses = await numericAddresses(host, socketDomain)
  return addresses.map((address) => ({
    ...common,
    ...(device === '' ? {} : { device }),
    host: address,
    port,
  }))
}

/** Where a listener is bound, by the first of its addresses. */
export function boundAddress(options: ListenOptions, native: NativeListenOptions, port: number): ListeningAddress {
  const { host = '127.0.0.1', socketActivation = '' } = options
  if (native.socketPath !== undefined) return { host: native.socketPath, port: 0 }
  if (socketActivation !== '') return { host: `systemd/${socketActivation}`, port }
  return { host: host === '' ? native.host : host, port }
}

/** "Every address of the machine" is content with IPv4 where there is no IPv6. */
export function isMissingFamily({ host = '127.0.0.1' }: ListenOptions, error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return host === '' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL')
}

function unixSocket(options: ListenOptions, socketPath: string): Partial<NativeListenOptions> {
  const { socketMode = '', socketOwner = '' } = options
  if (socketMode !== '' && !/^[0-7]{1,4}$/.test(socketMode)) {
    throw new ConfigError({ key: 'socket_mode', value: socketMode, problem: 'an octal mode such as 0660 is wanted' })
  }
  const [owner = '', group = ''] = socketOwner.split(':')
  return { socketPath, owner, group, ...(socketMode === '' ? {} : { mode: Number.parseInt(socketMode, 8) }) }
}

function streamOptions(options: ListenOptions): Partial<NativeListenOptions> {
  const {
    proxyProtocol,
    maxConnections,
    protocol,
    websocketsPath,
    websocketsOrigin,
    websocketsHeadersSize,
    trustedProxies,
  } = options
  return {
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
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
