import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type LogOptions, openLog, type RootLogger } from '../../src/telemetry/log.ts'

let folder = ''
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'martlet-log-'))
})
test.after.each(() => rmSync(folder, { recursive: true }))

const written = async (options: Partial<LogOptions>, write: (log: RootLogger) => unknown): Promise<string> => {
  const file = join(folder, 'martlet.log')
  const log = openLog({ level: 'info', format: 'text', destinations: [`file ${file}`], ...options })
  await write(log)
  await log.close()
  return readFileSync(file, 'utf8')
}

const everyLevel = (log: RootLogger): void => {
  log.debug({}, 'one')
  log.info({}, 'two')
  log.warn({}, 'three')
  log.error({}, 'four')
}

test('lines below the level are left out, in both formats', async () => {
  for (const format of ['text', 'json'] as const) {
    const text = await written({ format, level: 'warn' }, everyLevel)
    assert.not.match(text, /one|two/)
    assert.match(text, /three.*four/s)
    rmSync(join(folder, 'martlet.log'))
  }
})

test('silent says nothing', async () => {
  assert.is(await written({ level: 'silent' }, everyLevel), '')
})

test('the level can be changed while it runs', async () => {
  const text = await written({}, (log) => {
    assert.is(log.debugging, false)
    log.setLevel('debug')
    assert.is(log.debugging, true)
    log.debug({}, 'now seen')
  })
  assert.match(text, /DEBUG now seen/)
})

test('JSON lines have level, time, message and fields, and errors their stack', async () => {
  const text = await written({ format: 'json' }, (log) =>
    log.error({ client: 'c', err: new Error('no') }, 'internal error'),
  )
  const line = JSON.parse(text)
  assert.equal([line.level, line.msg, line.client, line.err.message], [50, 'internal error', 'c', 'no'])
})

test('what a client chose forges no line, moves no cursor and fills no disk, in both formats', async () => {
  const client = `a\n2026-11-22 INFO forged\r\u001b[2J\u009b31m\u202e\u2028${'x'.repeat(60_000)}`
  for (const format of ['text', 'json'] as const) {
    const text = await written({ format }, (log) => log.info({ client }, `connected ${client.slice(0, 40)}`))
    assert.is(text.indexOf('\n'), text.length - 1, format)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there.
    assert.not.match(text.slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u2028\u202e]/)
    assert.ok(text.length < 2000, `${format}: ${text.length} characters`)
    if (format === 'json') assert.is(JSON.parse(text).client, `${client.slice(0, 512)}…`)
    rmSync(join(folder, 'martlet.log'))
  }
})

test('text lines can leave out the time', async () => {
  assert.is(await written({ timestamp: false }, (log) => log.info({}, 'm')), 'INFO  m\n')
})

test('a file that cannot be opened is an error at once', async () => {
  const destinations = [`file ${join(folder, 'absent', 'x.log')}`]
  assert.throws(() => openLog({ level: 'info', format: 'text', destinations }), /ENOENT/)
})

test('after a rotation, reopen writes to a new file', async () => {
  const file = join(folder, 'martlet.log')
  const log = openLog({ level: 'info', format: 'text', destinations: [`file ${file}`], timestamp: false })
  log.info({}, 'before')
  await until(() => readFileSync(file, 'utf8') !== '')
  renameSync(file, `${file}.1`)
  log.reopen()
  log.info({}, 'after')
  await until(() => exists(file) && readFileSync(file, 'utf8') !== '')
  await log.close()
  assert.is(readFileSync(`${file}.1`, 'utf8'), 'INFO  before\n')
  assert.is(readFileSync(file, 'utf8'), 'INFO  after\n')
})

test('the last lines before closing are there, in order', async () => {
  const text = await written({ timestamp: false }, (log) => {
    for (let i = 0; i < 1000; i++) log.info({}, String(i))
  })
  assert.equal(
    text.match(/\d+/g),
    Array.from({ length: 1000 }, (_, i) => String(i)),
  )
})

test('closing twice, and logging afterwards, does nothing', async () => {
  const text = await written({ timestamp: false }, (log) => {
    log.info({}, 'm')
    void log.close()
    log.info({}, 'late')
  })
  assert.is(text, 'INFO  m\n')
})

const exists = (file: string): boolean => {
  try {
    readFileSync(file)
    return true
  } catch {
    return false
  }
}

/** Waits for what another thread does, a turn of the loop at a time; the runner's deadline is the limit. */
const until = async (done: () => boolean): Promise<void> => {
  while (!done()) await new Promise((settle) => setImmediate(settle))
}

test.run()
