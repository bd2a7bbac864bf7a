// Unix sockets, sockets that systemd opened, and what systemd is told.
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt from 'mqtt'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteClient, clientFrame, closeByteClients, upgrade } from '../net/byte-client.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { closePeers, PeerProcess, withPeer } from '../support/peers.ts'
import { repositoryRoot } from '../support/target.ts'

const folder = mkdtempSync(join(tmpdir(), 'martlet-unix-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
chmodSync(folder, 0o755)
let count = 0
const newPath = (): string => join(folder, `broker-${++count}.sock`)

const lines: Record<string, unknown>[] = []
const told = (fields: object) => lines.push(fields as Record<string, unknown>)
const log = { debugging: false, debug: told, info: told, warn: told, error: told }

test.after.each(async () => {
  closeByteClients()
  closePeers()
  await closeBrokers()
})

const connack = Buffer.from([0x20, 2, 0, 0])

test('a client connects through a Unix socket; the log names its process and user', async () => {
  const { broker } = await listen({ log })
  const path = newPath()
  assert.equal(await broker.listen({ socketPath: path, socketMode: '0600' }), { host: path, port: 0 })
  assert.is(statSync(path).mode & 0o777, 0o600)
  const client = await ByteClient.dial({ path })
  client.send(packets.connect({ clientId: 'local' }))
  assert.equal(await client.take(4), connack)
  const { address } = lines.find((fields) => fields.client === 'local')!
  assert.is(address, `unix:pid=${process.pid},uid=${process.getuid!()}`)
  client.destroy()
  await broker.close()
  assert.not.ok(existsSync(path), 'the file is removed with the listener')
})

test('a leftover file is removed, a socket somebody listens on is not, nor is any other file', async () => {
  const { broker } = await listen()
  const stale = newPath()
  const script = `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`
  await new PeerProcess(process.execPath, ['-e', script]).exit()
  assert.ok(existsSync(stale))
  await broker.listen({ socketPath: stale })
  const refused = async (path: string): Promise<unknown> => {
    try {
      await broker.listen({ socketPath: path })
    } catch (error) {
      return (error as NodeJS.ErrnoException).code
    }
  }
  assert.is(await refused(stale), 'EADDRINUSE')
  const file = newPath()
  writeFileSync(file, 'precious')
  assert.is(await refused(file), 'EADDRINUSE')
  assert.ok(existsSync(file))
  assert.is(await refused(join(folder, 'x'.repeat(120))), 'ENAMETOOLONG')
  assert.is(await refused(join(folder, 'no', 'such', 'folder')), 'ENOENT')
})

test('a file that is no longer ours is not removed', async () => {
  const { broker } = await listen()
  const path = newPath()
  await broker.listen({ socketPath: path })
  rmSync(path)
  const successor: Server = await new Promise((resolve) => {
    const server = createServer().listen(path, () => resolve(server))
  })
  await broker.close()
  assert.ok(existsSync(path))
  successor.close()
})

test('the owner of the file is set by name or number; an unknown one is an error', async () => {
  const { broker } = await listen()
  const path = newPath()
  const own = process.getuid!() === 0 ? 'nobody' : `${process.getuid!()}`
  await broker.listen({ socketPath: path, socketOwner: `${own}:${process.getgid!()}` })
  assert.is(statSync(path).gid, process.getgid!())
  if (process.getuid!() === 0) assert.is.not(statSync(path).uid, 0)
  const error = await broker.listen({ socketPath: newPath(), socketOwner: 'nobody-of-this-name' }).catch((e) => e)
  assert.is(error.code, 'ENOENT')
})

test('WebSocket, PROXY header and MQTT all work on a Unix socket', async () => {
  const { broker } = await listen({ log })
  const path = newPath()
  await broker.listen({ socketPath: path, proxyProtocol: true })
  const client = await ByteClient.dial({ path })
  client.send('PROXY TCP4 203.0.113.9 192.0.2.1 4711 1883\r\n', packets.connect({ clientId: 'proxied-unix' }))
  assert.equal(await client.take(4), connack)
  assert.is(lines.find((fields) => fields.client === 'proxied-unix')!.address, '203.0.113.9:4711')
  const both = newPath()
  await broker.listen({ socketPath: both, protocol: 'any' })
  const plain = await ByteClient.dial({ path: both })
  plain.send(packets.connect({ clientId: 'plain-unix' }))
  assert.equal(await plain.take(4), connack)
  const page = await ByteClient.dial({ path: both })
  assert.match(await upgrade(page), / 101 /)
  page.send(clientFrame(packets.connect({ clientId: 'websocket-unix' })))
  assert.equal((await page.frame()).payload, connack)
})

test('the mqtt package connects with a Unix socket', async () => {
  const { broker } = await listen()
  const path = newPath()
  await broker.listen({ socketPath: path })
  const client = new mqtt.MqttClient(() => connect({ path }), { reconnectPeriod: 0 })
  await new Promise((resolve, reject) => {
    client.once('connect', resolve)
    client.once('error', reject)
  })
  await client.subscribeAsync('echo')
  const received = new Promise((resolve) => client.once('message', (_, payload) => resolve(payload.toString())))
  await client.publishAsync('echo', 'through a file')
  assert.is(await received, 'through a file')
  await client.endAsync()
})

withPeer(test, 'mosquitto_pub')('mosquitto_pub and mosquitto_sub --unix', async () => {
  const { broker } = await listen()
  const path = newPath()
  await broker.listen({ socketPath: path })
  const subscriber = new PeerProcess('mosquitto_sub', ['--unix', path, '-t', 't', '-d', '-F', '= %t %p'])
  await subscriber.waitForLines(/^Subscribed/)
  const publisher = new PeerProcess('mosquitto_pub', ['--unix', path, '-t', 't', '-m', 'hello', '-q', '1'])
  assert.is(await publisher.exit(), 0)
  assert.equal(await subscriber.waitForLines(/^= /), ['= t hello'])
})

const martlet = join(repositoryRoot, 'bin/martlet.js')
const configuration = (listener: object): string => {
  const file = join(folder, `martlet-${++count}.yaml`)
  writeFileSync(file, `allow_anonymous: true\nlisteners: [${JSON.stringify(listener)}]\n`)
  return file
}

test('a socket that systemd opened is taken over by its name', async () => {
  const path = newPath()
  const server: Server = await new Promise((resolve) => {
    const opened = createServer().listen(path, () => resolve(opened))
  })
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  const command = `LISTEN_FDS=1 LISTEN_FDNAMES=mqtt LISTEN_PID=$$ exec ${process.execPath} ${martlet} --config ${configuration({ socket_activation: 'mqtt' })}`
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'ignore', 'pipe', fd] })
  try {
    // Before the banner, too: systemd holds the socket, so nobody is refused while the broker starts.
    const banner = new Promise<string>((resolve) => child.stderr!.on('data', (text) => resolve(String(text))))
    assert.match(await banner, /listening on/)
    // Whoever opened it goes, and would take the file along: under another name it stays.
    const kept = newPath()
    renameSync(path, kept)
    server.close()
    const client = await ByteClient.dial({ path: kept })
    client.send(packets.connect({ clientId: 'activated' }))
    assert.equal(await client.take(4), connack)
  } finally {
    child.kill('SIGKILL')
  }
})

test('an activation name that systemd did not pass is a configuration error', async () => {
  const broker = new PeerProcess(
    process.execPath,
    [martlet, '--config', configuration({ socket_activation: 'mqtt' })],
    process.env,
  )
  assert.is(await broker.exit(), 3)
  assert.match(broker.lines.join('\n'), /socket_activation = 'mqtt': systemd has passed no socket of this name/)
})

test('the soft limit of descriptors is raised to the hard one at the start, and the first line of the log says it', async () => {
  const words = ['--nofile=256:4000', process.execPath, martlet, '--config']
  const broker = new PeerProcess('prlimit', [...words, configuration({ port: 0, host: '127.0.0.1' })], process.env)
  const [line] = await broker.waitForLines(/listening on/)
  assert.match(line!, /4000 file descriptors/)
  const limits = readFileSync(`/proc/${/pid (\d+)/.exec(line!)![1]}/limits`, 'utf8')
  assert.match(limits, /^Max open files +4000 +4000 /m)
  broker.terminate()
  assert.is(await broker.exit(), 0)
})

test('systemd is told READY, WATCHDOG and STOPPING', async () => {
  const path = newPath()
  const script = `import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(${JSON.stringify(path)})
print("bound", flush=True)
while True: print(s.recv(100).decode(), flush=True)`
  const systemd = new PeerProcess('/usr/bin/python3', ['-c', script])
  await systemd.waitForLines(/^bound/)
  const environment = [`NOTIFY_SOCKET=${path}`, 'WATCHDOG_USEC=20000']
  const words = [...environment, process.execPath, martlet, '--config', configuration({ port: 0, host: '127.0.0.1' })]
  const broker = new PeerProcess('env', words, process.env)
  await systemd.waitForLines(/^READY=1$/)
  await systemd.waitForLines(/^WATCHDOG=1$/, 3)
  broker.terminate()
  await systemd.waitForLines(/^STOPPING=1$/)
  assert.is(await broker.exit(), 0)
})

test.run()
