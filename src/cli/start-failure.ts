// Why the broker did not start, in one line an operator can act on. Pure.

import { ConfigError } from '../config/config-error.ts'
import { addressText } from '../net/listening-address.ts'
import { StoreError } from '../store/store-error.ts'
import { ExitCode } from './exit-code.ts'

export interface StartFailure {
  /** Without a line break at its end; may have several lines. */
  readonly text: string
  readonly exitCode: ExitCode
}

interface SystemError extends Error {
  readonly code?: string
  readonly syscall?: string
  readonly address?: string
  readonly port?: number
  readonly path?: string
  readonly hostname?: string
}

/** `listeners` are those that were to be opened, for errors that do not say which one failed. */
export function startFailure(
  error: unknown,
  listeners: readonly { readonly host: string; readonly port: number; readonly optional?: boolean }[],
): StartFailure {
  if (error instanceof ConfigError) {
    const lines = [`Error: ${error.message}`, ...(error.foundAt === undefined ? [] : [error.foundAt])]
    return { text: lines.join('\n'), exitCode: ExitCode.Invalid }
  }
  if (error instanceof StoreError)
    return { text: `Error: ${error.message.replace(/\.$/, '')}.`, exitCode: ExitCode.Failed }
  if (!(error instanceof Error)) return { text: `Error: ${String(error)}`, exitCode: ExitCode.Failed }
  const failed = error as SystemError
  const where =
    failed.port === undefined
      ? listeners.map(addressText).join(' or ')
      : addressText({ host: failed.address ?? '', port: failed.port })
  const text =
    explained(
      failed,
      where,
      listeners.some(({ optional }) => optional),
    ) ?? `Error: ${(failed.stack ?? failed.message).replace(/^Error: /, '')}`
  return { text, exitCode: ExitCode.Failed }
}

function explained(error: SystemError, where: string, localOnly: boolean): string | undefined {
  if (error.path !== undefined) return `Error: ${error.path} cannot be used (${explainedPath(error)}).`
  if (error.code === 'EADDRINUSE') {
    // Where listeners are configured -p has no effect.
    return `Error: ${where} is in use already. Is another broker running?${localOnly ? ' Another port: -p PORT.' : ''}`
  }
  if (error.syscall === 'getaddrinfo') return `Error: ${error.hostname}: there is no such host (${error.code}).`
  if (error.code === 'EADDRNOTAVAIL') return `Error: ${where} is not an address of this machine.`
  if (error.code === 'EACCES' && (error.syscall === 'bind' || error.syscall === 'listen')) {
    return `Error: ${where} needs a privilege: take a port from 1024 on, or give node CAP_NET_BIND_SERVICE.`
  }
  if (error.code === 'ENODEV' && error.syscall === 'setsockopt') {
    return `Error: ${where}: bind_interface names no network interface of this machine.`
  }
  return error.code === undefined ? undefined : `Error: ${error.message}`
}

function explainedPath({ code, syscall, message }: SystemError): string {
  if (code === 'ENOENT' && syscall === 'chown') return 'socket_owner: there is no such user or group'
  if (code !== 'EADDRINUSE' || syscall !== 'bind') return message
  return 'somebody listens on it, or it is no socket: another broker, or a wrong socket_path'
}
