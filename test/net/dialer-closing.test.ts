// How dials end: closed in every state, stopped, with their reactor, by a receiver that throws or closes; and what happens
// when descriptors run out. Each test also shows that none is left behind.
import { spawnSync } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CloseReason, Total } from '../../src/net/wire.ts'
import { type Asker, Dialing, withDialing } from './dial-rig.ts'
import { rounds } from './native-rig.ts'

const HOST = '127.0.0.1'
const PINGRESP = Buffer.from([0xd0, 0])

test(
  'close, in every state there is: nothing more is told, nothing is left',
  withDialing(
    async (dialing) => {
      const port = await dialing.serve(() => {})
      const refused = await dialing.freePort()
      const waiting = dialing.dial({ host: HOST, port: refused, retry: { min: 100, max: 100 } })
      await dialing.until(() => waiting.told.includes('waiting'))
      const connected = dialing.dial({ host: HOST, port })
      await dialing.until(() => connected.told.includes('connected'))
      const resolving = dialing.dial({ host: 'never.example', port })
      const connecting = dialing.dial({ host: HOST, port })
      await Promise.resolve()
      await Promise.resolve()
      assert.equal(
        [waiting, connected, resolving, connecting].map((asker) => asker.dial.state),
        ['waiting', 'connected', 'resolving', 'connecting'],
      )
      dialing.dialer.close()
      dialing.dialer.close()
      await dialing.until(() => connected.told.length === 2)
      dialing.pass(100_000)
      await rounds(5)
      assert.equal(waiting.told, ['system ECONNREFUSED', 'waiting'])
      assert.equal(connected.told, ['connected', `closed ${CloseReason.Command}`])
      assert.equal([...resolving.told, ...connecting.told], [])
      assert.is(dialing.dialer.size, 0)
      assert.throws(() => dialing.dial({ host: HOST, port }), /closed/)
    },
    { lookup: () => new Promise(() => {}) },
  ),
)

test(
  'stop: the connection lives on, and is not made again',
  withDialing(async (dialing) => {
    const sockets: Socket[] = []
    const port = await dialing.serve((socket) => sockets.push(socket))
    const asker = dialing.dial({ host: HOST, port, retry: { min: 100, max: 100 } })
    await dialing.until(() => asker.told.includes('connected') && sockets.length === 1)
    asker.dial.stop()
    sockets[0]!.write(PINGRESP)
    await dialing.until(() => asker.told.includes('packet 208'))
    sockets[0]!.resetAndDestroy()
    await dialing.until(() => asker.told.length === 3)
    dialing.pass(1000)
    assert.equal([asker.dial.state, asker.told.includes('waiting')], ['closed', false])
  }),
)

test(
  'the reactor closes: those that connect and those that stand are told, and nobody tries again',
  withDialing(async (dialing) => {
    const port = await dialing.serve(() => {})
    const retry = { min: 100, max: 100 }
    const stands = dialing.dial({ host: HOST, port, retry })
    await dialing.until(() => stands.told.includes('connected'))
    const connecting = dialing.dial({ host: HOST, port, retry })
    await Promise.resolve()
    await Promise.resolve()
    const resolving = dialing.dial({ host: HOST, port, retry })
    dialing.reactor.close()
    await dialing.until(() => [stands, connecting, resolving].every((asker) => asker.dial.state === 'closed'))
    assert.equal(stands.told, ['connected', `closed ${CloseReason.ReactorClosed}`, 'given up'])
    assert.equal(connecting.told, ['given up ECANCELED'])
    assert.equal(resolving.told, ['given up ECANCELED'])
  }),
)

test('a receiver that throws costs its own connection, which is closed and dialed again', async () => {
  let thrown = 0
  await withDialing(async (dialing) => {
    const port = await dialing.serve(() => {})
    const asker = dialing.dial({ host: HOST, port, retry: { min: 100, max: 100 } }, (it) => {
      it.onConnected = () => {
        if (thrown++ === 0) throw new Error('a bug of the receiver')
      }
    })
    await dialing.until(() => asker.told.includes('waiting'))
    assert.match(String(dialing.bugs.pop()), /a bug of the receiver/)
    dialing.pass(110)
    await dialing.until(() => asker.count('connected') === 2)
    assert.is(dialing.reactor.connectionCount, 1)
  })()
})

test(
  'a receiver may close its dial in any call: that is the last one',
  withDialing(async (dialing) => {
    const listening = await dialing.serve((socket) => socket.end())
    const refusing = await dialing.freePort()
    const retry = { min: 100, max: 100 }
    for (const [port, last] of [
      [refusing, 'system ECONNREFUSED'],
      [refusing, 'waiting'],
      [listening, 'connected'],
      [listening, 'ended'],
    ] as const) {
      const asker = dialing.dial({ host: HOST, port, retry }, (it) => {
        it.onTold = (what) => {
          if (what === last) it.dial.close()
        }
      })
      await dialing.until(() => asker.told.includes(last))
      await rounds()
      dialing.pass(200)
      await rounds()
      const after = asker.told.slice(asker.told.indexOf(last) + 1)
      assert.ok(
        after.every((one) => one.startsWith('closed')),
        `${last}, then ${after.join()}`,
      )
    }
    assert.is(dialing.dialer.size, 0)
  }),
)

/** The body of the child process: dials until there is no descriptor left, then goes on. */
async function runOutOfDescriptors(): Promise<void> {
  const dialing = new Dialing({}, { maxConnections: 256 })
  const port = await dialing.serve(() => {})
  const retry = { min: 100, max: 100 }
  const askers: Asker[] = []
  while (!askers.some((asker) => asker.told.includes('waiting'))) {
    askers.push(dialing.dial({ host: HOST, port, retry }))
    await rounds(4)
  }
  const short = askers.find((asker) => asker.told.includes('waiting'))!
  const { code } = short.failures[0]!
  const turns = dialing.reactor.memory.totals[Total.Turns]!
  await rounds(50)
  const spun = dialing.reactor.memory.totals[Total.Turns]! - turns
  for (const asker of askers.slice(0, 10)) if (asker !== short) asker.dial.close()
  await rounds(10)
  dialing.pass(200)
  await dialing.until(() => short.told.includes('connected'))
  await dialing.close()
  console.log(JSON.stringify({ code, spun }))
}

test('out of descriptors: a failure like any other, no spin, and connected when they come back', () => {
  const file = fileURLToPath(import.meta.url)
  const child = spawnSync('sh', ['-c', `ulimit -n 80; exec "${process.execPath}" "${file}" descriptors`], {
    encoding: 'utf8',
  })
  assert.is(child.status, 0, child.stderr)
  assert.equal(JSON.parse(child.stdout), { code: 'EMFILE', spun: 0 })
})

test('options that cannot be are refused at once', async () => {
  await withDialing(async (dialing) => {
    for (const options of [
      {},
      { host: HOST },
      { host: '', port: 1 },
      { host: HOST, port: 0 },
      { host: HOST, port: 1, connectTimeout: 0 },
    ]) {
      assert.throws(() => dialing.dial(options), RangeError)
    }
    assert.is(dialing.dialer.size, 0)
  })()
})

if (process.argv[2] === 'descriptors') await runOutOfDescriptors()
else test.run()
