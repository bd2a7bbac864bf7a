// The files a TLS listener is made of, read and handed to the reactor as texts. Errors name the setting and the file.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TlsOptions } from '../../native/index.js'
import { ConfigError } from '../config/config-error.ts'
import type { ListenOptions } from './listener-options.ts'

/** What to offer on a listener; undefined for one without TLS. Throws ConfigError. */
export function tlsOptions(options: ListenOptions): TlsOptions | undefined {
  const { certfile = [], keyfile = [], crlfile = '', pskFile = '' } = options
  const { requireCertificate = false, tlsVersion, ciphers = '', ciphersTls13 = '', pskHint = '' } = options
  if (certfile.length === 0 && pskFile === '') {
    const idle = settingWithoutEffect(options)
    if (idle === undefined) return undefined
    throw new ConfigError({ key: idle, problem: 'it makes no TLS listener: certfile or psk_file is wanted, too' })
  }
  if (certfile.length !== keyfile.length) {
    const problem = `${certfile.length} certificates and ${keyfile.length} keys: each certificate wants its own`
    throw new ConfigError({ key: 'keyfile', problem })
  }
  const { authorities, revocations } = trusted(options)
  if (requireCertificate && authorities === '') {
    const problem = 'cafile or capath is wanted: who may sign client certificates'
    throw new ConfigError({ key: 'require_certificate', problem })
  }
  return {
    certificates: certfile.flatMap((file, index) => [text('certfile', file), text('keyfile', keyfile[index]!)]),
    passphrase: passphrase(options),
    ...(authorities === '' ? {} : { authorities, requestCertificate: true }),
    ...(crlfile === '' ? {} : { revocations: `${text('crlfile', crlfile)}\n${revocations}` }),
    ...(pskFile === '' ? {} : { psk: keys(pskFile) }),
    requireCertificate,
    minVersion: tlsVersion === 'tlsv1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ciphers,
    ciphersuites: ciphersTls13,
    pskHint,
  }
}

/** Whether clients are asked for certificates. */
export function asksForCertificates({ certfile = [], cafile = '', capath = '' }: ListenOptions): boolean {
  return certfile.length > 0 && (cafile !== '' || capath !== '')
}

/** What the reactor says of its options, as the operator's error. */
export function tlsProblem(options: ListenOptions, error: unknown): ConfigError {
  const { certfile = [], pskFile = '' } = options
  const files = [...certfile, pskFile].filter((file) => file !== '').join(', ')
  const problem = (error as Error).message
  const advice = problem.includes('there is no passphrase')
    ? 'key_passphrase_file or key_passphrase_variable says where it stands.'
    : undefined
  return new ConfigError({ key: 'TLS', value: files, problem, advice })
}

/** Who asks for any of these must not find himself with a plain listener. */
function settingWithoutEffect(options: ListenOptions): string | undefined {
  const { keyfile = [], cafile = '', capath = '', crlfile = '', pskHint = '', requireCertificate = false } = options
  const { keyPassphraseFile = '', keyPassphraseVariable = '' } = options
  const given: Record<string, boolean> = {
    keyfile: keyfile.length > 0,
    cafile: cafile !== '',
    capath: capath !== '',
    crlfile: crlfile !== '',
    psk_hint: pskHint !== '',
    key_passphrase_file: keyPassphraseFile !== '',
    key_passphrase_variable: keyPassphraseVariable !== '',
    require_certificate: requireCertificate,
  }
  return Object.keys(given).find((key) => given[key])
}

/** Certificates and revocation lists of those who may sign client certificates. */
function trusted({ cafile = '', capath = '' }: ListenOptions): { authorities: string; revocations: string } {
  const authorities = cafile === '' ? '' : text('cafile', cafile)
  if (capath === '') return { authorities, revocations: '' }
  const names = list('capath', capath)
  const all = (pattern: RegExp): string =>
    names
      .filter((name) => pattern.test(name))
      .map((name) => text('capath', join(capath, name)))
      .join('\n')
  const hashed = all(/^[0-9a-f]{8}\.\d+$/)
  if (hashed === '') {
    const problem = 'no certificate there has the name that `openssl rehash` gives'
    throw new ConfigError({ key: 'capath', value: capath, problem, advice: `Run openssl rehash ${capath}.` })
  }
  return { authorities: `${authorities}\n${hashed}`, revocations: all(/^[0-9a-f]{8}\.r\d+$/) }
}

/** Of the encrypted keys; never asked for at a terminal, where nobody may sit. */
function passphrase({ keyPassphraseFile = '', keyPassphraseVariable = '' }: ListenOptions): string {
  if (keyPassphraseFile !== '' && keyPassphraseVariable !== '') {
    const problem = 'key_passphrase_file is there, too: one of them is wanted'
    throw new ConfigError({ key: 'key_passphrase_variable', value: keyPassphraseVariable, problem })
  }
  if (keyPassphraseFile !== '') {
    const line = text('key_passphrase_file', keyPassphraseFile).split(/\r?\n/, 1)[0]!
    if (line !== '') return line
    throw new ConfigError({ key: 'key_passphrase_file', value: keyPassphraseFile, problem: 'its first line is empty' })
  }
  if (keyPassphraseVariable === '') return ''
  const value = process.env[keyPassphraseVariable] ?? ''
  if (value !== '') return value
  const problem = 'the environment has no such variable, or an empty one'
  throw new ConfigError({ key: 'key_passphrase_variable', value: keyPassphraseVariable, problem })
}

function text(key: string, file: string): string {
  let content: string
  try {
    content = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError({ key, value: file, problem: `it cannot be read (${(error as Error).message})` })
  }
  // A renewal that was interrupted leaves such a file; only a list of keys may be empty.
  if (content === '' && key !== 'psk_file') throw new ConfigError({ key, value: file, problem: 'it is empty' })
  return content
}

function list(key: string, folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch (error) {
    throw new ConfigError({ key, value: folder, problem: `it cannot be read (${(error as Error).message})` })
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
