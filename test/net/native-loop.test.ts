// How the reactor lives in Node: beside other reactors, in workers, outside turns, with errors, until the process ends.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Command, Kind, Total } from '../../src/net/wire.ts'
import { addon, DEFAULTS, packet, publish, Rig, receive, rounds, TINY, withRig } from './native-rig.ts'

const self = fileURLToPath(import.meta.url)

/** Runs one of the roles at the end of this file in a process of its own. */
function run(role: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [self, role], { encoding: 'utf8', timeout: 20_000 })
}

test('two reactors in one process and one in a worker serve side by side', async () => {
  const rigs = [new Rig(), new Rig(TINY)]
  const worker = new Worker(self, { argv: ['echo'] })
  try {
    const [port] = await once(worker, 'message')
    const ports = [...rigs.map((rig) => rig.listen()), port]
    for (const rig of rigs) {
      rig.onRecord = (record) => {
        if (record.kind === Kind.Packet) rig.forward(record.first, 0, record, record)
      }
    }
    const bytes = Buffer.alloc(publish('a', 'b').length * 500, publish('a', 'b'))
    await Promise.all(
      ports.map(async (one) => {
        const socket = connect(one, '127.0.0.1')
        socket.write(bytes)
        assert.ok((await receive(socket, bytes.length)).equals(bytes))
        socket.destroy()
      }),
    )
  } finally {
    for (const rig of rigs) rig.close()
    await worker.terminate()
  }
})

test('a worker that is terminated with connections open takes everything with it', async () => {
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(self, { argv: ['echo'] })
    const [port] = await once(worker, 'message')
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    await once(socket, 'connect')
    socket.write(publish('a', 'b'))
    await receive(socket, publish('a', 'b').length)
    await Promise.all([once(socket, 'close'), worker.terminate()])
  }
})

for (const [name, sizes] of [
  ['default', DEFAULTS],
  ['tiny', TINY],
] as const) {
  test(
    `what is written outside a turn leaves before the loop sleeps (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      rig.send(opened, 'hello')
      assert.is((await receive(socket, 5)).toString(), 'hello')
    }),
  )

  test(
    `an inbox frame outside its turn aborts the batch with an error (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket } = await rig.client()
      socket.write(publish('a', 'b'))
      await rig.until(() => rig.of(Kind.Packet).length === 1)
      await rounds()
      const [record] = rig.of(Kind.Packet)
      rig.forward(0x30, 0, record, record)
      assert.throws(() => rig.execute(), /outside its turn/)
      rig.keep(1, record)
      assert.throws(() => rig.execute(), /outside its turn/)
      rig.execute()
    }),
  )

  test(
    `every word that is wrong is named and reaches no memory (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { opened } = await rig.client()
      const { slot, generation } = opened
      const wrong: [RegExp, ...number[]][] = [
        [/unknown command/, 0],
        [/unknown command/, 99],
        [/cut off/, Command.Send, slot],
        [/outside outboxBytes/, Command.Send, slot, generation, 0, 1 << 30],
        [/outside outboxBytes/, Command.Send, slot, generation, -1, 1],
        [/1 to 4 bytes/, Command.SendShort | (5 << 8), slot, generation, 0],
        [/no such handle/, Command.ForwardKept, slot, generation, 7, 0, 0],
        [/no such handle/, Command.ForwardKept, slot, generation, -7, 0, 0],
        [/no such handle/, Command.Release, 0],
        [/no such handle/, Command.Release, -(2 ** 31)],
        [/no such native handle/, Command.Shape, 1, 0],
        [/no such slot/, Command.GroupPut, 0, 0, -1, 1],
        [/position behind the end/, Command.GroupPut, 0, 5, slot, generation],
        [/no such group/, Command.GroupPut, -1, 0, slot, generation],
        [/no such group/, Command.GroupSize, 1 << 20, 5],
        [/outside its turn/, Command.Multicast, 0, 0, 5, 0, 0, 0, -1],
        [/longer than the outbox/, Command.ForwardList, 1 << 29, 0, 5, 0, 0, 0],
        [/longer than the outbox/, Command.ForwardList, -1, 0, 5, 0, 0, 0],
      ]
      for (const [text, ...words] of wrong) {
        rig.raw(...words)
        assert.throws(() => rig.execute(), text, String(words))
        assert.is(rig.outbox[0], 1)
      }
      rig.outbox[0] = rig.outbox.length + 1
      assert.throws(() => rig.execute(), /behind the end/)
      assert.throws(() => rig.reactor.keepBytes(0, new Uint8Array(1), 0), /out of range/)
      assert.throws(() => rig.reactor.keepBytes(1, new Uint8Array(1), 2), /behind the end/)
      assert.throws(() => rig.reactor.readKept(1, 0, new Uint8Array(1)), /no such handle/)
      for (const command of [Command.Admit, Command.Finish, Command.Close, Command.Pause, Command.Resume]) {
        rig.raw(command, slot, generation + 1, 0, 0, 0)
        rig.outbox[0] = 1 + (command === Command.Admit ? 6 : command === Command.Close ? 4 : 3)
        rig.execute() // stale: nobody's connection
      }
      assert.is(rig.of(Kind.Closed).length, 0)
    }),
  )

  test(
    `a listener that cannot be opened says why (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const port = rig.listen()
      const open = (host: string, at: number) =>
        rig.reactor.listen({ host, port: at, backlog: 0, ipv6Only: false, reusePort: false })
      const failure = (host: string, at: number): { code: string; syscall: string } => {
        try {
          open(host, at)
        } catch (error) {
          return error as { code: string; syscall: string }
        }
        throw new Error('it opened')
      }
      assert.is(failure('127.0.0.1', port).code, 'EADDRINUSE')
      assert.is(failure('127.0.0.1', port).syscall, 'bind')
      assert.is(failure('localhost', 0).code, 'EINVAL')
      assert.is(failure('192.0.2.1', 0).code, 'EADDRNOTAVAIL')
      assert.throws(() => rig.reactor.port(99), /no such listener/)
      const v6 = open('::1', 0)
      const socket = connect(rig.reactor.port(v6), '::1').on('error', () => {})
      rig.clients.push(socket)
      await rig.until(() => rig.of(Kind.Opened).length === 1)
      assert.match(rig.of(Kind.Opened)[0].bytes.toString(), /^\[::1\]:\d+$/)
      assert.is(rig.of(Kind.Opened)[0].a, v6)
      const both = open('::', 0)
      rig.clients.push(connect(rig.reactor.port(both), '127.0.0.1').on('error', () => {}))
      await rig.until(() => rig.of(Kind.Opened).length === 2)
      assert.match(rig.of(Kind.Opened)[1].bytes.toString(), /^127\.0\.0\.1:\d+$/, 'a mapped address is an IPv4 one')
      rig.reactor.unlisten(v6)
      assert.throws(() => rig.reactor.port(v6), /no such listener/)
      rig.send(rig.of(Kind.Opened)[0], 'still here')
      assert.is((await receive(socket, 10)).toString(), 'still here')
    }),
  )

  test(
    `300 connections at once are all opened, 7 a turn as the accept budget says, and who is there is read in between (${name} sizes)`,
    withRig({ ...sizes, options: { ...sizes.options, acceptBudget: 7 } }, async (rig) => {
      const { socket, opened } = await rig.client()
      // The kernel completes them all before the reactor has its next turn; so is the PINGREQ there by then.
      for (let i = 0; i < 300; i++) {
        rig.clients.push(connect(rig.reactor.port(rig.listener), '127.0.0.1').on('error', () => {}))
      }
      socket.write(packet(0xc0, ''))
      const accepted: number[] = []
      let heardAfter = -1
      rig.onTurn = (records) => {
        accepted.push(records.filter(({ kind }) => kind === Kind.Opened).length)
        if (records.some(({ kind, slot }) => kind === Kind.Packet && slot === opened.slot)) {
          heardAfter = accepted.reduce((sum, each) => sum + each)
        }
      }
      await rig.until(() => rig.of(Kind.Opened).length === 301)
      assert.is(Math.max(...accepted), 7)
      assert.ok(
        heardAfter >= 0 && heardAfter < 100,
        `${heardAfter} were accepted before the packet of one who was there`,
      )
      assert.ok(rig.of(Kind.Opened).every((record) => /^127\.0\.0\.1:\d+$/.test(record.bytes.toString())))
      assert.is(rig.totals[Total.Connections], 301)
    }),
  )
}

test('arguments are checked before memory is borrowed', () => {
  const open = addon.open as (...all: unknown[]) => unknown
  assert.throws(() => open(), /open\(options, memory, onTurn\)/)
  assert.throws(() => new Rig({ inboxRecords: 63 }), /inbox is too short/)
  assert.throws(() => new Rig({ inboxBytes: 4095 }), /inboxBytes is too short/)
  assert.throws(() => new Rig({ outboxWords: 255 }), /outbox is too short/)
  assert.throws(() => new Rig({ options: { readSize: 0 } }), /readSize/)
  assert.throws(() => new Rig({ options: { highWater: 10, lowWater: 11 } }), /lowWater/)
})

test('after close() nothing opens, and what is written reaches nobody', () => {
  const rig = new Rig()
  rig.close()
  assert.throws(() => rig.listen(), /closed/)
  rig.raw(Command.Release, 5)
  rig.execute()
  assert.is(rig.outbox[0], 1)
})

test('the descriptor limit is raised to the hard one', () => {
  const [soft, hard] = addon.raiseDescriptorLimit()
  assert.is(soft, hard)
})

test('an error thrown in a turn is uncaught, and the turn goes on', () => {
  const { status, stdout, stderr } = run('throw-in-turn')
  assert.is(status, 0, stderr)
  assert.is(stdout, 'thrown in a turn\na frame with a wrong handle: a kept frame with no such handle\nanswered\n')
})

test('a process whose reactor is closed ends by itself', () => {
  const { status, stderr } = run('close-and-end')
  assert.is(status, 0, stderr)
})

test('a process whose reactor is not referenced ends by itself', () => {
  const { status, stderr } = run('unref-and-end')
  assert.is(status, 0, stderr)
})

test('a process may exit with a reactor and its connections open', () => {
  const { status, stderr } = run('exit')
  assert.is(status, 3, stderr)
})

const roles: Record<string, () => Promise<void>> = {
  async echo() {
    const { parentPort } = await import('node:worker_threads')
    const rig = new Rig(TINY)
    rig.onRecord = (record) => {
      if (record.kind === Kind.Packet) rig.forward(record.first, 0, record, record)
    }
    parentPort?.postMessage(rig.listen())
  },
  async 'throw-in-turn'() {
    const rig = new Rig()
    const { socket } = await rig.client()
    process.on('uncaughtException', (error) => {
      const wrong = error.message.startsWith('a kept') ? 'a frame with a wrong handle: ' : ''
      console.log(wrong + error.message)
    })
    let packets = 0
    rig.onRecord = (record) => {
      if (record.kind !== Kind.Packet) return
      rig.send(record, 'x')
      if (++packets === 1) throw new Error('thrown in a turn')
      if (packets === 2) rig.forwardKept(0x30, 0, record, 77)
    }
    for (let i = 1; i <= 3; i++) {
      socket.write(packet(0xc0, ''))
      await receive(socket, 1)
    }
    console.log('answered')
    rig.close()
  },
  async 'close-and-end'() {
    const rig = new Rig()
    await rig.client()
    rig.close()
  },
  async 'unref-and-end'() {
    const rig = new Rig()
    const { socket } = await rig.client()
    socket.unref()
    rig.reactor.ref(false)
  },
  async exit() {
    const rig = new Rig()
    const { opened } = await rig.client()
    rig.reactor.keepBytes(1, new Uint8Array(5000), 2)
    rig.send(opened, Buffer.alloc(8 << 20))
    await rounds()
    process.exit(3)
  },
}

const role = roles[process.argv[2]]
if (role) {
  await role()
} else {
  test.run()
}
