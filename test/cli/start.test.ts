// What the first reader of the README types: `npm start`, without a configuration. The broker's own process, started by npm;
// only the port is another, and where it keeps its data.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../support/broker-process.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot } from '../support/target.ts'

const running = new Set<ChildProcess>()
const killAll = (): void => {
  for (const { pid } of running) if (pid !== undefined) process.kill(-pid, 'SIGKILL')
}
process.once('exit', killAll)

const folder = mkdtempSync(join(tmpdir(), 'martlet-start-'))
test.after(() => {
  closeClients()
  killAll()
  rmSync(folder, { recursive: true, force: true })
})

/** Runs a command in the repository, as somebody who has set none of our variables. */
function run(command: string, ...words: string[]) {
  const own = ([name]: [string, string | undefined]): boolean => !/^(MARTLET_|npm_)/.test(name)
  const env = { ...Object.fromEntries(Object.entries(process.env).filter(own)), MARTLET_PERSISTENCE_LOCATION: folder }
  const child = spawn(command, words, { cwd: repositoryRoot, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  running.add(child)
  const lines: string[] = []
  const ended = new Promise<number | null>((settle) => {
    child.once('close', (code) => {
      running.delete(child)
      settle(code)
    })
  })
  const line = (pattern: RegExp): Promise<string> =>
    new Promise((settle, fail) => {
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on('line', (text) => {
          lines.push(text)
          if (pattern.test(text)) settle(text)
        })
      }
      void ended.then(() => fail(new Error(`it ended without ${pattern}:\n${lines.join('\n')}`)))
    })
  return { line, ended }
}

/** Whether ::1 is an address of this machine. */
const hasIpv6Loopback = (): boolean => {
  const table = '/proc/net/if_inet6'
  return existsSync(table) && /^0{31}1 /m.test(readFileSync(table, 'latin1'))
}

test('npm start -- -p PORT -v serves this machine on both loopback addresses and says so in one line; a second one ends with 1', async () => {
  const port = await freePort()
  const { line, ended } = run('npm', 'start', '--', '-p', `${port}`, '-v')
  const banner = await line(/listening on/)
  assert.match(banner, new RegExp(`Martlet \\d+\\.\\d+\\.\\d+ listening on 127\\.0\\.0\\.1:${port}`))
  assert.match(banner, /\(pid \d+, \d+ file descriptors\)\. Only this machine can connect\. To open it up: .*listener/)
  const hosts = ['127.0.0.1', ...(banner.includes(`[::1]:${port}`) ? ['::1'] : [])]
  assert.is(hosts.length, hasIpv6Loopback() ? 2 : 1)
  const clients = await Promise.all(hosts.map((host) => RawClient.connect({ host, port }, { clientId: host })))
  for (const client of clients) await client.subscribe(['greeting', 1])
  const publisher = await RawClient.connect({ host: '127.0.0.1', port }, { clientId: 'publisher' })
  await publisher.publish({ topic: 'greeting', payload: 'hello', qos: 1 })
  for (const client of clients) await client.expectPublish({ text: 'hello', qos: 1 })

  const second = run(process.execPath, 'bin/martlet.js', '-p', `${port}`)
  assert.is(
    await second.line(/./),
    `Error: 127.0.0.1:${port} is in use already. Is another broker running? Another port: -p PORT.`,
  )
  assert.is(await second.ended, 1)

  // To the broker itself, whose pid the banner tells: npm ends with it.
  process.kill(Number(/pid (\d+)/.exec(banner)?.[1]), 'SIGTERM')
  for (const client of [...clients, publisher]) await client.expectClosed()
  assert.is(await ended, 0)
})

test.run()
