// max_connections and bind_interface of listeners, what a listener of several addresses is, and how the log names each.
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Reactor } from '../../src/net/reactor.ts'
import { LogMemory } from '../broker/rig.ts'
import { ByteClient, closeByteClients } from '../net/byte-client.ts'
import { Authority } from '../net/certificates.ts'
import { type BrokerUnderTest, runToExit, startBroker } from '../support/broker-process.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { skipped } from '../support/target.ts'

const processes: BrokerUnderTest[] = []
test.after.each(async () => {
  closeByteClients()
  for (const one of processes.splice(0)) await one.stopCleanly()
  await closeBrokers()
})

const local = '127.0.0.1'
const { folder } = new Authority() // that goes with the process
let count = 0
/** Whether a client gets in; one that does stays. */
async function enters(port: number, host = local): Promise<ByteClient | undefined> {
  const client = await ByteClient.dial({ host, port })
  client.send(packets.connect({ clientId: `c${++count}` }))
  const answer = await client.take(4).catch(() => undefined)
  if (answer === undefined) client.destroy()
  return answer === undefined ? undefined : client
}

test('max_connections of two TCP listeners are counted each for itself, and a place that is left is free again', async () => {
  const log = new LogMemory()
  const { broker, port: unlimited } = await listen({ log })
  const one = await broker.listen({ port: 0, maxConnections: 1 })
  const two = await broker.listen({ port: 0, maxConnections: 2 })
  const first = await enters(one.port)
  assert.ok(first)
  assert.not.ok(await enters(one.port))
  assert.ok(await enters(two.port))
  assert.ok(await enters(two.port))
  assert.not.ok(await enters(two.port))
  for (let n = 0; n < 3; n++) assert.ok(await enters(unlimited))
  assert.is(broker.counters.connectionsRefused, 2)
  const refused = log.lines.filter(({ message }) => message.includes('max_connections reached'))
  assert.equal(
    refused.map(({ fields }) => fields.listener),
    [`${local}:${one.port}`, `${local}:${two.port}`],
  )
  first!.end()
  await first!.rest()
  while (broker.counters.connectionsCurrent > 5) await new Promise(setImmediate)
  assert.ok(await enters(one.port))
})

const hasIpv6 = networkInterfaces().lo?.some(({ address }) => address === '::1') === true
const withIpv6 = hasIpv6 ? test : skipped(test, 'there is no ::1')
withIpv6('max_connections of one listener counts all its addresses together', async () => {
  const { broker } = await listen()
  const { port } = await broker.listen({ port: 0, host: '', maxConnections: 2 })
  const first = await enters(port, local)
  assert.ok(first)
  assert.ok(await enters(port, '::1'))
  assert.not.ok(await enters(port, '::1'))
  assert.not.ok(await enters(port, local))
  first!.end()
  await first!.rest()
  while (broker.counters.connectionsCurrent > 1) await new Promise(setImmediate)
  assert.ok(await enters(port, '::1'))
})

withIpv6('a listener that cannot have all its addresses has none', async () => {
  const { broker } = await listen()
  const { port } = await broker.listen({ port: 0, host: '::1' })
  const error = await broker.listen({ port, host: '' }).catch((e: NodeJS.ErrnoException) => e)
  assert.equal([(error as NodeJS.ErrnoException).code, (error as { address?: string }).address], ['EADDRINUSE', '::'])
  const again = await broker.listen({ port, host: local })
  assert.equal(again, { host: local, port })
})

test('"every address" is content with one family where the kernel has no other; a single address is not', async () => {
  const usual = Reactor.prototype.listen
  Reactor.prototype.listen = function (options) {
    if (!options.host.includes(':')) return usual.call(this, options)
    throw Object.assign(new Error('no IPv6'), { code: 'EAFNOSUPPORT' })
  }
  try {
    const { broker } = await listen()
    const { port } = await broker.listen({ port: 0, host: '' })
    assert.ok(await enters(port))
    const error = await broker.listen({ port: 0, host: '::1' }).catch((e: NodeJS.ErrnoException) => e)
    assert.is((error as NodeJS.ErrnoException).code, 'EAFNOSUPPORT')
  } finally {
    Reactor.prototype.listen = usual
  }
})

test('bind_interface lo: who comes through it gets in', async () => {
  const { broker } = await listen()
  const { port } = await broker.listen({ port: 0, host: '0.0.0.0', bindInterface: 'lo' })
  assert.ok(await enters(port))
})

const another = Object.keys(networkInterfaces()).find((name) => name !== 'lo')
const withAnother = another !== undefined ? test : skipped(test, 'there is no interface but lo')
withAnother('bind_interface: who comes through another interface does not', async () => {
  const { broker } = await listen()
  const { port } = await broker.listen({ port: 0, host: '0.0.0.0', bindInterface: another! })
  const error = await enters(port).catch((e: NodeJS.ErrnoException) => e)
  assert.is((error as NodeJS.ErrnoException).code, 'ECONNREFUSED')
})

const yaml = (...listeners: object[]) => ({
  name: 'martlet.yaml' as const,
  text: `allow_anonymous: true\nlisteners: ${JSON.stringify(listeners)}\n`,
})

test('the first line of the log names a Unix socket by its path', async () => {
  const path = join(folder, 'mqtt.sock')
  const process = await startBroker({ file: yaml({ port: 0, host: local }, { socket_path: path, max_connections: 1 }) })
  processes.push(process)
  assert.ok(process.log.some((line) => line.includes(`listening on ${local}:${process.port}, ${path} (pid `)))
  const dial = async (): Promise<ByteClient> => await ByteClient.dial({ path })
  const first = await dial()
  first.send(packets.connect({ clientId: 'first' }))
  await first.take(4)
  await (await dial()).rest()
  await process.waitForLog((line) => line.includes('max_connections reached') && line.includes(`listener=${path} `))
})

test('a socket that cannot be opened is named by its path, an interface by its setting', async () => {
  const run = async (listener: object): Promise<string> => {
    const { code, log } = await runToExit({ file: yaml(listener) })
    assert.is(code, 1)
    return log.join('\n')
  }
  const path = join(folder, 'no', 'such', 'folder')
  assert.match(await run({ socket_path: path }), new RegExp(`^Error: ${path} cannot be used \\(bind ENOENT`, 'm'))
  assert.match(
    await run({ socket_path: folder }),
    new RegExp(`^Error: ${folder} cannot be used \\(somebody listens on it, or it is no socket`, 'm'),
  )
  assert.match(
    await run({ port: 0, host: local, bind_interface: 'nosuch0' }),
    /^Error: 127\.0\.0\.1: bind_interface names no network interface of this machine\.$/m,
  )
})

test.run()
