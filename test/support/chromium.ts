// A headless Chromium, driven through the DevTools protocol over a pipe: opens pages, evaluates expressions in them, waits
// for what they show. Owns the process and its profile. Without Chromium tests are skipped, under CI they fail.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { test } from 'uvu'
import { type Case, skipped } from './target.ts'

const command = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
)
const DEADLINE = 20_000

export const withChromium = (uvu: typeof test): Case =>
  command !== undefined || process.env.CI ? uvu : skipped(uvu, 'chromium is not installed')

interface Answer {
  id?: number
  result?: { targetId?: string; sessionId?: string; result?: { value?: unknown }; exceptionDetails?: unknown }
  error?: { message: string }
}

export class Chromium {
  readonly #child: ChildProcess
  readonly #profile = mkdtempSync(join(tmpdir(), 'martlet-chromium-'))
  readonly #pending = new Map<number, (answer: Answer) => void>()
  #ids = 0
  #rest = ''

  /** `trusted`: base64 SHA-256 of a server's public key that needs no authority. */
  constructor(trusted: string[] = []) {
    if (command === undefined) throw new Error('chromium is not installed, and CI is set')
    writeFileSync(join(this.#profile, 'First Run'), '')
    const bondage = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL'] : []
    const words = [...bondage, command, '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
    const trust = trusted.length === 0 ? [] : [`--ignore-certificate-errors-spki-list=${trusted.join(',')}`]
    const rest = [...trust, `--user-data-dir=${this.#profile}`, '--remote-debugging-pipe', 'about:blank']
    this.#child = spawn(words[0]!, [...words.slice(1), ...rest], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    })
    ;(this.#child.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => this.#receive(text))
  }

  /** Opens a page. */
  async open(url: string): Promise<Page> {
    const { targetId } = (await this.#send('Target.createTarget', { url: 'about:blank' })).result!
    const { sessionId } = (await this.#send('Target.attachToTarget', { targetId, flatten: true })).result!
    await this.#send('Page.navigate', { url }, sessionId)
    return new Page(async (expression) => {
      const options = { expression, awaitPromise: true, returnByValue: true, userGesture: true }
      const { result } = await this.#send('Runtime.evaluate', options, sessionId)
      if (result!.exceptionDetails !== undefined) throw new Error(JSON.stringify(result!.exceptionDetails))
      return result!.result!.value
    })
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    if (this.#child.exitCode === null) {
      void this.#send('Browser.close', {}).catch(() => this.#child.kill('SIGKILL'))
      await ended
    }
    await processesGone()
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10 })
  }

  #send(method: string, params: object, sessionId?: string): Promise<Answer> {
    const id = ++this.#ids
    ;(this.#child.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer from Chromium`)), DEADLINE)
      this.#pending.set(id, (answer) => {
        clearTimeout(timer)
        if (answer.error === undefined) resolve(answer)
        else reject(new Error(`${method}: ${answer.error.message}`))
      })
    })
  }

  #receive(text: string): void {
    const messages = (this.#rest + text).split('\0')
    this.#rest = messages.pop()!
    for (const message of messages) {
      const answer = JSON.parse(message) as Answer
      if (answer.id === undefined) continue // an event
      this.#pending.get(answer.id)?.(answer)
      this.#pending.delete(answer.id)
    }
  }
}

export class Page {
  /** The value of an expression in the page, a promise's when it has settled. */
  readonly evaluate: (expression: string) => Promise<unknown>

  constructor(evaluate: (expression: string) => Promise<unknown>) {
    this.evaluate = evaluate
  }

  /** The text that the page shows, as soon as it matches. */
  async shows(pattern: RegExp): Promise<string> {
    const text = await this.evaluate(`new Promise((resolve) => {
      const text = () => document.body?.innerText ?? ''
      const late = setTimeout(() => resolve(text()), ${DEADLINE / 2})
      const look = () => {
        if (!${pattern}.test(text())) return
        clearTimeout(late)
        resolve(text())
      }
      new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true })
      look()
    })`)
    if (pattern.test(String(text))) return String(text)
    throw new Error(`the page does not show ${pattern} but:\n${text}`)
  }
}

/** The browser's helper processes end a moment after it; until then the runner would call them left over. */
async function processesGone(): Promise<void> {
  const group = groupOf('self')
  for (let tries = 0; tries < 500; tries++) {
    const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    if (!processes.some((pid) => groupOf(pid) === group && commandOf(pid).includes('chrom'))) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('the browser does not end')
}

/** The process group; undefined when the process has ended. */
function groupOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')[2]
  } catch {
    return undefined
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}
