// The broker under test: where it listens and how to get in. Parses URLs; opens nothing.

import { readFileSync } from 'node:fs'

/** Wrong arguments: the message goes to the user as it is, exit code 2. */
export class UsageError extends Error {}

export interface Target {
  /** As the user wrote it, without a password. */
  url: string
  scheme: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  host: string
  port: number
  /** Path of a WebSocket URL. */
  path: string
  tls: TlsOptions
  username?: string
  password?: string
}

export interface TlsOptions {
  ca?: Buffer
  cert?: Buffer
  key?: Buffer
  servername?: string
  rejectUnauthorized: boolean
}

export interface TlsArguments {
  ca?: string | undefined
  cert?: string | undefined
  key?: string | undefined
  servername?: string | undefined
  insecure?: boolean | undefined
}

const SCHEMES = {
  mqtt: { scheme: 'mqtt', port: 1883 },
  tcp: { scheme: 'mqtt', port: 1883 },
  mqtts: { scheme: 'mqtts', port: 8883 },
  ssl: { scheme: 'mqtts', port: 8883 },
  tls: { scheme: 'mqtts', port: 8883 },
  ws: { scheme: 'ws', port: 80 },
  wss: { scheme: 'wss', port: 443 },
} as const

/**
 * Reads `mqtt://[user:password@]host[:port]`, `mqtts://`, `ws://…/path` or `wss://…/path`.
 * Throws UsageError for anything else.
 */
export function parseTarget(
  text: string,
  tls: TlsOptions,
  credentials: { username?: string; password?: string },
): Target {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new UsageError(`not a URL: ${text} (write mqtt://host:1883)`)
  }
  const known = SCHEMES[url.protocol.slice(0, -1) as keyof typeof SCHEMES]
  if (known === undefined) throw new UsageError(`unknown scheme ${url.protocol}//, use mqtt, mqtts, ws or wss`)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (host === '') throw new UsageError(`no host in ${text}`)
  const username = credentials.username ?? (url.username === '' ? undefined : decodeURIComponent(url.username))
  const password = credentials.password ?? (url.password === '' ? undefined : decodeURIComponent(url.password))
  url.username = ''
  url.password = ''
  return {
    url: url.href.replace(/\/$/, ''),
    scheme: known.scheme,
    host,
    port: url.port === '' ? known.port : Number(url.port),
    path: url.pathname === '' ? '/' : url.pathname + url.search,
    tls,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
}

/** Reads the files of the --tls-… arguments; a file that cannot be read is a UsageError that names it. */
export function readTlsOptions(args: TlsArguments): TlsOptions {
  const file = (path: string, what: string): Buffer => {
    try {
      return readFileSync(path)
    } catch (error) {
      throw new UsageError(`cannot read ${what} ${path}: ${(error as Error).message}`)
    }
  }
  return {
    rejectUnauthorized: args.insecure !== true,
    ...(args.ca === undefined ? {} : { ca: file(args.ca, '--tls-ca') }),
    ...(args.cert === undefined ? {} : { cert: file(args.cert, '--tls-cert') }),
    ...(args.key === undefined ? {} : { key: file(args.key, '--tls-key') }),
    ...(args.servername === undefined ? {} : { servername: args.servername }),
  }
}
