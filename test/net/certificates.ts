// Certificates for tests, made with the openssl command in a folder that goes when the process does.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export class Authority {
  readonly folder: string
  readonly certificate: string
  readonly #key: string

  /** Its own root, or an intermediate authority below `signer`. */
  constructor(name = 'Test Authority', signer?: Authority) {
    this.folder = mkdtempSync(join(tmpdir(), 'martlet-tls-'))
    process.on('exit', () => rmSync(this.folder, { recursive: true, force: true }))
    this.certificate = this.path('ca.pem')
    this.#key = this.path('ca.key')
    const subject = ['-subj', `/CN=${name}`]
    const rights = ['basicConstraints=critical,CA:TRUE', 'keyUsage=keyCertSign,cRLSign']
    if (signer === undefined) {
      const extensions = ['-days', '2', ...rights.flatMap((right) => ['-addext', right])]
      openssl('req', '-x509', ...newKey, '-keyout', this.#key, '-out', this.certificate, ...subject, ...extensions)
    } else {
      const request = this.path('ca.csr')
      openssl('req', ...newKey, '-keyout', this.#key, '-out', request, ...subject)
      writeFileSync(this.path('ca.ext'), `${rights.join('\n')}\n`)
      signer.#sign(request, this.certificate, this.path('ca.ext'))
    }
    writeFileSync(this.path('index.txt'), '')
    writeFileSync(
      this.path('ca.cnf'),
      `[ca]\ndefault_ca=own\n[own]\ndatabase=${this.path('index.txt')}\ndefault_md=sha256\ndefault_crl_days=2\n`,
    )
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  text(file: string): string {
    return readFileSync(file, 'utf8')
  }

  /** A certificate with its key, as files. `names` are host names; without any it is a client's. */
  issue(file: string, subject: string, names: string[] = []): { certfile: string; keyfile: string } {
    const [certfile, keyfile, request] = [this.path(`${file}.pem`), this.path(`${file}.key`), this.path(`${file}.csr`)]
    openssl('req', ...newKey, '-keyout', keyfile, '-out', request, '-subj', subject)
    const extensions = this.path(`${file}.ext`)
    writeFileSync(
      extensions,
      names.length > 0
        ? `subjectAltName=${names.join(',')}\nextendedKeyUsage=serverAuth\n`
        : 'extendedKeyUsage=clientAuth\n',
    )
    this.#sign(request, certfile, extensions)
    return { certfile, keyfile }
  }

  #sign(request: string, certificate: string, extensions: string): void {
    const signer = ['-CA', this.certificate, '-CAkey', this.#key, '-CAcreateserial', '-days', '2']
    openssl('x509', '-req', '-in', request, '-out', certificate, '-extfile', extensions, ...signer)
  }

  /** A revocation list with these certificates on it. */
  revocationList(...certificates: string[]): string {
    const ca = ['-config', this.path('ca.cnf'), '-cert', this.certificate, '-keyfile', this.#key]
    for (const certificate of certificates) openssl('ca', ...ca, '-revoke', certificate)
    const file = this.path('crl.pem')
    openssl('ca', ...ca, '-gencrl', '-out', file)
    return file
  }
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** Runs it; throws with what it says. */
export function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
