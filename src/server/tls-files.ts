// The files a TLS listener is made of, read and handed to the reactor as texts. Errors name the setting and the file.
import { readFileSync } from 'node:fs'
import type { TlsOptions } from '../../native/index.js'
import { ConfigError } from '../config/config-error.ts'
import type { ListenOptions } from './listener-options.ts'

/** What to offer on a listener; undefined for one without TLS. Throws ConfigError. */
export function tlsOptions(options: ListenOptions): TlsOptions | undefined {
  const { certfile = [], keyfile = [], cafile = '', crlfile = '', pskFile = '' } = options
  const { requireCertificate = false, tlsVersion, ciphers = '', ciphersTls13 = '', pskHint = '' } = options
  if (certfile.length === 0 && pskFile === '') {
    const idle =
      keyfile.length > 0 ? 'keyfile' : cafile !== '' ? 'cafile' : requireCertificate ? 'require_certificate' : ''
    if (idle === '') return undefined
    throw new ConfigError({ key: idle, problem: 'it makes no TLS listener: certfile or psk_file is wanted, too' })
  }
  if (certfile.length !== keyfile.length) {
    const problem = `${certfile.length} certificates and ${keyfile.length} keys: each certificate wants its own`
    throw new ConfigError({ key: 'keyfile', problem })
  }
  if (requireCertificate && cafile === '') {
    throw new ConfigError({ key: 'require_certificate', problem: 'cafile is wanted: who may sign client certificates' })
  }
  return {
    certificates: certfile.flatMap((file, index) => [text('certfile', file), text('keyfile', keyfile[index]!)]),
    ...(cafile === '' ? {} : { authorities: text('cafile', cafile), requestCertificate: true }),
    ...(crlfile === '' ? {} : { revocations: text('crlfile', crlfile) }),
    ...(pskFile === '' ? {} : { psk: keys(pskFile) }),
    requireCertificate,
    minVersion: tlsVersion === 'tlsv1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ciphers,
    ciphersuites: ciphersTls13,
    pskHint,
  }
}

/** What the reactor says of its options, as the operator's error. */
export function tlsProblem(options: ListenOptions, error: unknown): ConfigError {
  const { certfile = [], pskFile = '' } = options
  const files = [...certfile, pskFile].filter((file) => file !== '').join(', ')
  return new ConfigError({ key: 'TLS', value: files, problem: (error as Error).message })
}

function text(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError({ key, value: file, problem: `it cannot be read (${(error as Error).message})` })
  }
}

/** `identity:key` lines; blank ones and comments are left out. */
function keys(file: string): string[] {
  const lines = text('psk_file', file).split(/\r?\n/)
  return lines.flatMap((line, index) => {
    if (line === '' || line.startsWith('#')) return []
    const parts = /^([^:]{1,256}):((?:[0-9A-Fa-f]{2}){1,64})$/.exec(line)
    if (parts !== null) return [parts[1]!, parts[2]!]
    const problem = 'identity:key is wanted, the key in hexadecimal (up to 64 bytes)'
    throw new ConfigError({ place: { file, line: index + 1 }, key: 'psk_file', problem })
  })
}
