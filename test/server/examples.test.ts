// Every configuration in the documentation is run: a broker is started with it, and a client comes in through each of its
// listeners the way the page says. Of what is read there only ports, paths, owners and addresses are changed.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import mqtt from 'mqtt'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Configuration, type ListenerConfiguration, resolveConfiguration } from '../../src/config/configuration.ts'
import { parseMosquittoConf } from '../../src/config/mosquitto-conf.ts'
import { parseYaml } from '../../src/config/yaml-file.ts'
import type { ListeningAddress } from '../../src/net/listening-address.ts'
import { type Server, startServer } from '../../src/server/server.ts'
import { LogMemory } from '../broker/rig.ts'
import { ByteClient, clientFrame, closeByteClients, upgrade } from '../net/byte-client.ts'
import { Authority } from '../net/certificates.ts'
import { freePort } from '../support/broker-process.ts'
import * as packets from '../support/packets.ts'
import { repositoryRoot } from '../support/target.ts'

const host = '127.0.0.1'
const PSK = { identity: 'sensor-1', key: '00112233445566778899aabbccddeeff' }
const authority = new Authority()
const ca = authority.text(authority.certificate)
const device = authority.issue('device', '/CN=device-7')
const { folder } = authority
/** What the examples call /etc/martlet and /run/martlet. */
function makeFiles(): void {
  const { certfile, keyfile } = authority.issue('server', '/CN=broker', ['DNS:localhost'])
  const copy = (from: string, to: string): void => writeFileSync(join(folder, to), readFileSync(from))
  copy(certfile, 'example.pem')
  copy(keyfile, 'example.key')
  copy(authority.certificate, 'devices-ca.pem')
  copy(authority.revocationList(authority.issue('lost', '/CN=lost').certfile), 'devices-crl.pem')
  writeFileSync(join(folder, 'keys'), `${PSK.identity}:${PSK.key}\n`)
}
makeFiles()

function adapted(example: string): string {
  return example
    .replace(/\/(?:etc|run)\/martlet\//g, `${folder}/`)
    .replaceAll('martlet:devices', `${process.getuid!()}:${process.getgid!()}`)
    .replace(/10\.0\.0\.5|10\.0\.0\.0\/8/g, (address) => address.replace(/^10\.0\.0\.[05]/, host).replace('/8', '/32'))
    .replaceAll('eth0', 'lo')
}
const adaptedYaml = (example: string): string => adapted(example).replace(/port: \d+/g, 'port: 0')

function blocks(page: string, language: string): string[] {
  const text = readFileSync(join(repositoryRoot, page), 'utf8')
  return [...text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) => match[1]!)
}

const open: { close(): Promise<void> }[] = []
test.after.each(async () => {
  closeByteClients()
  for (const one of open.splice(0)) await one.close()
})

/** Starts a broker as the command does. Anonymous clients are let in, where the example leaves that out. */
async function start(configuration: Configuration): Promise<{ server: Server; log: LogMemory }> {
  const log = new LogMemory()
  const server = await startServer({ ...configuration, allowAnonymous: true, maxConnections: 64 }, log)
  open.push(server)
  return { server, log }
}

const connack = Buffer.from([0x20, 2, 0, 0])
let count = 0

/** Comes in through a listener as its settings want it, MQTT and WebSocket where both are spoken. */
async function visit(listener: ListenerConfiguration, address: ListeningAddress): Promise<void> {
  const { protocol } = listener
  if (protocol !== 'websockets') {
    const client = await dial(listener, address)
    client.send(packets.connect({ clientId: `c${++count}` }))
    assert.equal(await client.take(4), connack)
  }
  if (protocol === 'mqtt') return
  const client = await dial(listener, address)
  const headers = listener.websocketsOrigin.slice(0, 1).map((origin) => `Origin: ${origin}`)
  const options = { path: listener.websocketsPath || '/', headers: [...headers, 'X-Forwarded-For: 203.0.113.7'] }
  assert.match(await upgrade(client, options), / 101 /)
  client.send(clientFrame(packets.connect({ clientId: `c${++count}` })))
  assert.equal((await client.frame()).payload, connack)
}

async function dial(listener: ListenerConfiguration, { host: at, port }: ListeningAddress): Promise<ByteClient> {
  const where = listener.socketPath === '' ? { host: at === '0.0.0.0' ? host : at, port } : { path: at }
  if (!listener.proxyProtocol) return await ByteClient.dial(where, secrets(listener))
  const client = await ByteClient.dial(where)
  client.send('PROXY TCP4 203.0.113.9 192.0.2.1 4711 1883\r\n')
  return client
}

/** What a client of a TLS listener needs; undefined without TLS. */
function secrets({ certfile, cafile, pskFile }: ListenerConfiguration): ConnectionOptions | undefined {
  if (pskFile !== '') {
    const psk = { identity: PSK.identity, psk: Buffer.from(PSK.key, 'hex') }
    return { pskCallback: () => psk, ciphers: 'PSK', maxVersion: 'TLSv1.2', checkServerIdentity: () => undefined }
  }
  if (certfile.length === 0) return undefined
  const own = { cert: authority.text(device.certfile), key: authority.text(device.keyfile) }
  return { ca, servername: 'localhost', ...(cafile === '' ? {} : own) }
}

const PAGES = [
  'README.md',
  'docs/configuration.md',
  'docs/listeners.md',
  'docs/overload.md',
  'docs/websocket-bridge.md',
]
for (const page of PAGES) {
  for (const [index, example] of blocks(page, 'yaml').entries()) {
    if (example.includes('socket_activation')) continue // below
    test(`${page}, YAML ${index + 1}: a broker starts with it, and each listener lets its clients in`, async () => {
      const configuration = resolveConfiguration([parseYaml(adaptedYaml(example), 'example.yaml')])
      const { server, log } = await start(configuration)
      assert.is(server.addresses.length, configuration.listeners.length)
      for (const [at, listener] of configuration.listeners.entries()) await visit(listener, server.addresses[at]!)
      assert.equal(log.at('warn'), [])
    })
  }
}

test('docs/listeners.md: every example on the page is of a kind that is run here', () => {
  const text = readFileSync(join(repositoryRoot, 'docs/listeners.md'), 'utf8')
  const kinds = [...text.matchAll(/^```(\w+)$/gm)].map(([, language]) => language!)
  const count = (language: string): number => kinds.filter((kind) => kind === language).length
  assert.equal([...new Set(kinds)].sort(), ['conf', 'ini', 'js', 'yaml'])
  assert.equal([count('conf'), count('ini'), count('js')], [1, 1, 1], 'those that are run by name')
  assert.is((text.match(/^```/gm) ?? []).length, 2 * kinds.length, 'none without a language')
})

test('docs/listeners.md, mosquitto.conf: a broker starts with it, and each listener lets its clients in', async () => {
  const [example] = blocks('docs/listeners.md', 'conf')
  const ports = await Promise.all((example!.match(/^listener [1-9]/gm) ?? []).map(() => freePort()))
  const text = adapted(example!).replace(/^listener [1-9]\d*/gm, () => `listener ${ports.pop()}`)
  const source = parseMosquittoConf(text, 'mosquitto.conf')
  assert.equal(source.notices, [])
  const configuration = resolveConfiguration([source])
  const { server } = await start(configuration)
  assert.is(configuration.listeners.length, 4)
  for (const [at, listener] of configuration.listeners.entries()) await visit(listener, server.addresses[at]!)
})

test('docs/listeners.md: the log has the addresses that a proxy told', async () => {
  const example = blocks('docs/listeners.md', 'yaml').find((one) => one.includes('trusted_proxies'))!
  const configuration = resolveConfiguration([parseYaml(adaptedYaml(example), 'example.yaml')])
  const { server, log } = await start(configuration)
  for (const [at, listener] of configuration.listeners.entries()) await visit(listener, server.addresses[at]!)
  const addresses = log.at('info').filter(({ message }) => message === 'client connected')
  assert.equal(
    addresses.map(({ fields }) => fields.address),
    ['203.0.113.9:4711', '203.0.113.7:0'],
  )
})

test('docs/listeners.md: what a page does with the mqtt package', async () => {
  const example = blocks('docs/listeners.md', 'yaml').find((one) => one.includes('protocol: any'))!
  const [script] = blocks('docs/listeners.md', 'js')
  const { server } = await start(resolveConfiguration([parseYaml(adaptedYaml(example), 'example.yaml')]))
  const { port } = server.addresses[0]!
  const wsOptions = { headers: { Origin: 'https://dashboard.example' } } // as the browser does
  const page = {
    connect: (url: string) =>
      mqtt.connect(url.replace('broker.example:1883', `${host}:${port}`), { wsOptions, reconnectPeriod: 0 }),
  }
  let client: mqtt.MqttClient | undefined
  const shown = new Promise<string>((resolve) => {
    const show = (topic: string, payload: Buffer): void => resolve(`${topic} ${payload}`)
    client = new Function('mqtt', 'show', `${script}\nreturn client`)(page, show)
  })
  await new Promise<void>((resolve) => client!.on('packetreceive', ({ cmd }) => cmd === 'suback' && resolve()))
  const sensor = await ByteClient.dial({ host, port })
  sensor.send(packets.connect({ clientId: 'sensor' }), packets.publish({ topic: 'sensors/door', payload: 'open' }))
  assert.is(await shown, 'sensors/door open')
  await client!.endAsync(true)
})

test('docs/listeners.md, systemd: a broker takes the socket over that the unit names', async () => {
  const example = blocks('docs/listeners.md', 'yaml').find((one) => one.includes('socket_activation'))!
  const [unit] = blocks('docs/listeners.md', 'ini')
  const name = /^FileDescriptorName=(.*)$/m.exec(unit!)![1]!
  assert.match(unit!, /^ListenStream=\d+$/m)
  const socket = createServer()
  await new Promise<void>((resolve) => socket.listen(0, host, resolve))
  const { port } = socket.address() as AddressInfo
  const file = join(folder, 'activated.yaml')
  writeFileSync(file, `allow_anonymous: true\n${example}`)
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  const martlet = join(repositoryRoot, 'bin/martlet.js')
  const command = `LISTEN_FDS=1 LISTEN_FDNAMES=${name} LISTEN_PID=$$ exec ${process.execPath} ${martlet} --config ${file}`
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'ignore', 'pipe', fd] })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  open.push({
    close: () => {
      child.kill('SIGKILL')
      return ended
    },
  })
  const banner = new Promise<string>((resolve) => child.stderr!.on('data', (text) => resolve(String(text))))
  assert.match(await banner, new RegExp(`listening on systemd/${name}:${port} `))
  socket.close()
  const client = await ByteClient.dial({ host, port })
  client.send(packets.connect({ clientId: 'activated' }))
  assert.equal(await client.take(4), connack)
})

test.run()
