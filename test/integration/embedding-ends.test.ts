// Embedded brokers and the processes and threads they live in: what is left of them, and that nothing of theirs keeps
// either alive.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, listen } from '../support/embedded.ts'
import { publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot } from '../support/target.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const whole = `
  import { readdirSync, readlinkSync } from 'node:fs'
  import { connect } from 'node:net'
  const { createBroker } = await import(${JSON.stringify(`file://${repositoryRoot}dist/src/index.js`)})
  const left = () => readdirSync('/proc/self/fd').map((fd) => {
    try { return readlinkSync('/proc/self/fd/' + fd).replace(/\\[\\d+\\]$/, '') } catch { return '' }
  }).filter(Boolean).concat(process.getActiveResourcesInfo()).sort().join()
  // What the addon's loading and the first socket leave open for good is there before.
  for (let times = 0, before; times < 3; times++) {
    const broker = createBroker({ persistence: true, persistenceLocation: process.argv[1], lingerTimeout: 0.2 })
    const { port } = await broker.listen({ port: 0 })
    const socket = connect(port, '127.0.0.1')
    socket.write(Buffer.from('101000044d51545404000000000474657374', 'hex')) // a session that is stored
    await new Promise((settle) => socket.once('data', settle))
    const closed = new Promise((settle) => socket.resume().once('close', settle))
    await Promise.all([broker.close(), closed])
    await new Promise(setImmediate)
    const after = left()
    if (before !== undefined && after !== before) throw new Error('before: ' + before + ' after: ' + after)
    before = after
  }
  console.log('closed')
`
test('after close() no descriptor, timer or thread is left, with a store too, and the process ends by itself', () => {
  const folder = mkdtempSync(join(tmpdir(), 'embedding-'))
  try {
    const words = ['--input-type=module', '-e', whole, folder]
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 60_000 })
    assert.equal([status, stdout], [0, 'closed\n'], stderr)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a broker that does not listen keeps no process alive; one that was told so closes in order all the same', () => {
  const run = (code: string): { status: number | null; stdout: string; stderr: string } => {
    const script = `import { createBroker } from 'file://${repositoryRoot}dist/src/index.js'\n${code}`
    const args = ['--input-type=module', '--eval', script]
    return spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 })
  }
  const silent = run(`
    const broker = createBroker()
    await createBroker().listen({ port: 0, host: '192.0.2.1' }).catch(({ code }) => console.log(code))
    broker.publish({ topic: 'a', payload: 'x' })`)
  assert.equal([silent.status, silent.stdout], [0, 'EADDRNOTAVAIL\n'], silent.stderr)
  const told = run(`
    import { connect } from 'node:net'
    const broker = createBroker({ lingerTimeout: 0.2 })
    const { port } = await broker.listen({ port: 0 })
    const socket = connect(port, '127.0.0.1').unref()
    socket.write(Buffer.from('100d00044d5154540402003c000163', 'hex'))
    await new Promise((settle) => broker.on('clientConnected', settle))
    socket.pause()
    broker.ref(false)
    await broker.close()
    console.log('closed')`)
  assert.equal([told.status, told.stdout], [0, 'closed\n'], told.stderr)
})

const program = `
  import { parentPort } from 'node:worker_threads'
  const { createBroker } = await import(${JSON.stringify(`file://${repositoryRoot}dist/src/index.js`)})
  const broker = createBroker({ maxConnections: 1000, lingerTimeout: 0.2 })
  const { port } = await broker.listen({ port: 0 })
  parentPort.on('message', async () => { await broker.close(); parentPort.postMessage('closed'); parentPort.close() })
  parentPort.postMessage(port)
`
const startWorker = () => new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`))
const nextMessage = (worker: Worker): Promise<unknown> =>
  new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })

test('a broker in a worker thread serves clients beside one in the main thread, and ends with its thread', async () => {
  const main = await listen()
  const worker = startWorker()
  const address = { host: '127.0.0.1', port: (await nextMessage(worker)) as number }
  for (const where of [main, address]) {
    const client = await RawClient.connect(where, { clientId: 'same' })
    await client.subscribe(['w', 0])
    client.send(publish({ topic: 'w', payload: 'w' }))
    await client.expectPublish({ text: 'w' })
  }
  // Listened for early: 'exit' may be emitted in the same tick as the last message.
  const exit = new Promise((resolve) => worker.once('exit', resolve))
  worker.postMessage('close')
  assert.is(await nextMessage(worker), 'closed')
  assert.is(await exit, 0)
})

test('terminating a worker thread with connected clients does not end the process', async () => {
  const worker = startWorker()
  const address = { host: '127.0.0.1', port: (await nextMessage(worker)) as number }
  const client = await RawClient.connect(address, { clientId: 'orphan' })
  await client.subscribe(['w', 0])
  await worker.terminate()
  await client.expectClosed()
})

test.run()
