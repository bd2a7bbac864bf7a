// Every door a broker has, in one process with a store: TCP, TLS, WebSocket, WebSocket over TLS, a Unix socket, PROXY headers of
// both versions, client certificates, shared keys. Owns the folder with the certificates, the Unix socket and the data; knows no MQTT.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { Authority } from '../../net/certificates.ts'
import { type BrokerUnderTest, startBroker } from '../../support/broker-process.ts'
import { until } from '../../support/until.ts'

export interface Door {
  readonly name: string
  readonly isWebSocket: boolean
  /** What is sent before anything else. */
  readonly header: string | Buffer
  /** A socket on its way; `ready` is the event that says it is there. */
  dial(): { socket: Socket; ready: 'connect' | 'secureConnect' }
}

export interface House {
  readonly broker: BrokerUnderTest
  readonly doors: readonly Door[]
  /** TCP ports, as /proc/net/tcp should know no other state of than LISTEN when all is over. */
  readonly ports: readonly number[]
  /** Puts the other of two certificates in place, sends SIGHUP, and waits until a newcomer is shown it. */
  renewCertificate(): Promise<void>
  /** Ends the broker, which must end well, and removes the folder. */
  close(): Promise<void>
}

const host = '127.0.0.1'
const PSK = { identity: 'soak', psk: Buffer.from('00112233445566778899aabbccddeeff', 'hex') }
/** From 203.0.113.9:4711 to 192.0.2.1:1883. */
const PROXY_1 = 'PROXY TCP4 203.0.113.9 192.0.2.1 4711 1883\r\n'
const PROXY_2 = Buffer.from('0d0a0d0a000d0a515549540a2111000ccb007109c00002011267075b', 'hex')

export async function openHouse(): Promise<House> {
  const folder = mkdtempSync(join(tmpdir(), 'martlet-soak-'))
  const authority = new Authority('Soak')
  const certificates = ['one', 'two'].map((name) =>
    authority.issue(name, `/CN=${name}`, ['DNS:localhost', 'IP:127.0.0.1']),
  )
  const [certfile, keyfile] = [join(folder, 'server.pem'), join(folder, 'server.key')]
  let current = 0
  const install = (): void => {
    copyFileSync(certificates[current]!.certfile, certfile)
    copyFileSync(certificates[current]!.keyfile, keyfile)
  }
  install()
  const path = join(folder, 'mqtt.sock')
  const device = authority.issue('device', '/CN=device-7')
  const pskFile = join(folder, 'keys')
  writeFileSync(pskFile, `${PSK.identity}:${PSK.psk.toString('hex')}\n`)
  const broker = await startBroker({
    settings: {
      persistence: true,
      persistence_location: join(folder, 'data'),
      connect_timeout: 3,
      linger_timeout: 2,
      sys_interval: 1,
      // The books are about loss: only what may be lost, QoS 0 and the deaf, has a limit in reach.
      max_queued_messages: 100_000,
      takeover_delay: 0,
    },
    listeners: [
      { port: 0, host, protocol: 'any' },
      { port: 0, host, protocol: 'any', certfile: [certfile], keyfile: [keyfile] },
      { port: 0, host, proxy_protocol: true },
      {
        port: 0,
        host,
        certfile: [certfile],
        keyfile: [keyfile],
        cafile: authority.certificate,
        require_certificate: true,
      },
      { port: 0, host, psk_file: pskFile },
      { socket_path: path },
    ],
  })
  const banner = await broker.waitForLog(/listening on/)
  const [plain, secure, proxied, mutual, shared] = [...banner.matchAll(/127\.0\.0\.1:(\d+)/g)].map((match) =>
    Number(match[1]),
  )
  const ca = authority.text(authority.certificate)
  const tcp = (port: number) => () => ({ socket: connect({ host, port }), ready: 'connect' as const })
  const tls = () => ({ socket: connectTls({ host, port: secure!, ca }) as Socket, ready: 'secureConnect' as const })
  const own = { cert: authority.text(device.certfile), key: authority.text(device.keyfile) }
  const mtls = () => ({
    socket: connectTls({ host, port: mutual!, ca, ...own }) as Socket,
    ready: 'secureConnect' as const,
  })
  const key = {
    pskCallback: () => PSK,
    ciphers: 'PSK',
    maxVersion: 'TLSv1.2',
    checkServerIdentity: () => undefined,
  } as const
  const psk = () => ({ socket: connectTls({ host, port: shared!, ...key }) as Socket, ready: 'secureConnect' as const })
  const unix = () => ({ socket: connect({ path }), ready: 'connect' as const })
  const usual = { isWebSocket: false, header: '' }
  const doors: Door[] = [
    { ...usual, name: 'tcp', dial: tcp(plain!) },
    { ...usual, name: 'tls', dial: tls },
    { ...usual, name: 'ws', dial: tcp(plain!), isWebSocket: true },
    { ...usual, name: 'wss', dial: tls, isWebSocket: true },
    { ...usual, name: 'unix', dial: unix },
    { ...usual, name: 'proxy', dial: tcp(proxied!), header: PROXY_1 },
    { ...usual, name: 'proxy2', dial: tcp(proxied!), header: PROXY_2 },
    { ...usual, name: 'mtls', dial: mtls },
    { ...usual, name: 'psk', dial: psk },
  ]
  const shown = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ host, port: secure!, ca }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN))
        socket.destroy()
      })
      socket.once('error', reject)
    })
  return {
    broker,
    doors,
    ports: [plain!, secure!, proxied!, mutual!, shared!],
    renewCertificate: async () => {
      current = 1 - current
      install()
      const told = () => broker.log.filter((line) => line.includes('configuration read again')).length
      const before = told()
      process.kill(broker.pid, 'SIGHUP')
      await until('the configuration is read again', () => told() > before)
      const name = await shown()
      if (name !== ['one', 'two'][current]) throw new Error(`after SIGHUP the certificate is ${name}`)
    },
    close: async () => {
      await broker.stopCleanly()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
