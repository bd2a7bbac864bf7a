// Where a listener is bound, and how that is written wherever an operator reads it. Pure.

export interface ListeningAddress {
  /** Or the path of a Unix socket, or `systemd/NAME`; `port` is 0 then if it has none. */
  readonly host: string
  readonly port: number
}

/** `127.0.0.1:1883`, `[::1]:1883`, `*:1883`, `/run/martlet/mqtt.sock`. */
export function addressText({ host, port }: ListeningAddress): string {
  if (port === 0) return host === '' ? '*' : host
  return host.includes(':') ? `[${host}]:${port}` : `${host === '' ? '*' : host}:${port}`
}
