// The command: arguments in, a report out, an exit code that says whether the broker passed.

import { closeSync, openSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { AREAS } from './case.ts'
import './cases/index.ts'
import { catalogue } from './catalogue/index.ts'
import { coverage } from './coverage.ts'
import { probe } from './probe.ts'
import type { VersionName } from './protocol.ts'
import { htmlReport } from './report/html.ts'
import { baseline, jsonReport } from './report/json.ts'
import { junitReport } from './report/junit.ts'
import { listReport } from './report/list.ts'
import { markdownReport } from './report/markdown.ts'
import { counts, type RunResult } from './report/result.ts'
import { terminalReport } from './report/terminal.ts'
import { run } from './runner.ts'
import { parseTarget, readTlsOptions, type Target, UsageError } from './target.ts'
import type { Verdict } from './verdict.ts'

const USAGE = `Usage: martlet conformance URL [options]

Judges any MQTT broker against every normative statement of MQTT 3.1.1 and 5.0 that can be observed.
URL is mqtt://host[:1883], mqtts://host[:8883], ws://host/path or wss://host/path.

  --protocol 3.1.1|5|all   versions to judge (all)
  --area NAME,NAME         only these areas
  --case PART,PART         only cases whose id contains one of these
  --ws URL                 a WebSocket address of the same broker; adds the websocket cases
  --username NAME          credentials for every connection
  --password SECRET
  --tls-ca FILE            certificate authorities to trust
  --tls-cert FILE          client certificate, with --tls-key FILE
  --tls-servername NAME    name to expect in the certificate
  --tls-insecure           do not verify the certificate
  --report FORMAT          terminal, html, junit, json, markdown or baseline (terminal)
  --output FILE            write the report there instead of to standard output
  --parallel N             cases at a time (8)
  --timeout MS             patience for one answer (3000)
  --strict                 remarks (a SHOULD not followed) count as failures
  --traces                 show what was sent and received for each failure
  --list                   print the catalogue of statements with their cases, and stop
  --help

Exit code: 0 if nothing failed, 1 if something did, 2 for wrong arguments or no connection.
`

const FORMATS = ['terminal', 'html', 'junit', 'json', 'markdown', 'baseline'] as const
type Format = (typeof FORMATS)[number]

interface Arguments {
  target: Target
  webSocket: Target | undefined
  versions: VersionName[]
  areas: string[] | undefined
  only: string[] | undefined
  format: Format
  output: string | undefined
  parallel: number
  patience: number
  traces: boolean
  strict: boolean
}

const OPTIONS = {
  protocol: { type: 'string', default: 'all' },
  area: { type: 'string' },
  case: { type: 'string' },
  ws: { type: 'string' },
  username: { type: 'string' },
  password: { type: 'string' },
  'tls-ca': { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'tls-servername': { type: 'string' },
  'tls-insecure': { type: 'boolean' },
  report: { type: 'string', default: 'terminal' },
  output: { type: 'string' },
  parallel: { type: 'string', default: '8' },
  timeout: { type: 'string', default: '3000' },
  traces: { type: 'boolean', default: false },
  strict: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

function parse(argv: string[]) {
  try {
    return parseArgs({ args: argv, options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function versionsOf(text: string): VersionName[] {
  if (text === 'all') return ['3.1.1', '5']
  if (text === '3.1.1' || text === '5') return [text]
  if (text === '5.0') return ['5']
  throw new UsageError(`--protocol is 3.1.1, 5 or all, not ${text}`)
}

/** Before the judging: it takes a minute, and the report would be lost. */
function requireWritable(file: string): void {
  try {
    closeSync(openSync(file, 'a'))
  } catch (error) {
    throw new UsageError(`--output cannot be written (${(error as Error).message})`)
  }
}

function whole(text: string, name: string, least: number, most: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new UsageError(`${name} is a whole number from ${least} to ${most}, not ${text}`)
}

function read(parsed: ReturnType<typeof parse>): Arguments {
  const { values, positionals } = parsed
  const [url, ...more] = positionals
  if (url === undefined) throw new UsageError('no broker given')
  if (more.length > 0) throw new UsageError(`one broker only, not also ${more.join(' ')}`)
  const areas = values.area?.split(',').filter((area) => area !== '')
  for (const area of areas ?? []) {
    if (!(AREAS as readonly string[]).includes(area))
      throw new UsageError(`no area ${area}; there are ${AREAS.join(', ')}`)
  }
  const format = FORMATS.find((one) => one === values.report)
  if (format === undefined) throw new UsageError(`--report is one of ${FORMATS.join(', ')}`)
  const tls = readTlsOptions({
    ca: values['tls-ca'],
    cert: values['tls-cert'],
    key: values['tls-key'],
    servername: values['tls-servername'],
    insecure: values['tls-insecure'],
  })
  const credentials = {
    ...(values.username === undefined ? {} : { username: values.username }),
    ...(values.password === undefined ? {} : { password: values.password }),
  }
  return {
    target: parseTarget(url, tls, credentials),
    webSocket: values.ws === undefined ? undefined : parseTarget(values.ws, tls, credentials),
    versions: versionsOf(values.protocol),
    areas,
    only: values.case?.split(',').filter((part) => part !== ''),
    format,
    output: values.output,
    parallel: whole(values.parallel, '--parallel', 1, 100),
    patience: whole(values.timeout, '--timeout', 100, 60_000),
    traces: values.traces,
    strict: values.strict,
  }
}

/** One line on standard error that says how far we are; nothing if it is no terminal. */
function progress(version: VersionName): (verdict: Verdict, done: number, total: number) => void {
  let failed = 0
  return (verdict, done, total) => {
    if (verdict.outcome === 'fail' || verdict.outcome === 'error') failed++
    if (process.stderr.isTTY !== true) return
    const line = `MQTT ${version}: ${done}/${total}, ${failed} failed  ${verdict.id}`
    process.stderr.write(
      `\r\u001b[K${line.slice(0, (process.stderr.columns ?? 100) - 1)}${done === total ? '\r\u001b[K' : ''}`,
    )
  }
}

async function judge(args: Arguments): Promise<RunResult> {
  const begin = performance.now()
  const result: RunResult = {
    target: args.target.url,
    startedAt: new Date().toISOString(),
    duration: 0,
    versions: [],
    verdicts: [],
  }
  const runId = `m${Math.floor(Math.random() * 36 ** 4)
    .toString(36)
    .padStart(4, '0')}`
  for (const version of args.versions) {
    const level = version === '5' ? 5 : 4
    const covered = coverage(version, catalogue[version])
    const { features, unsupported, name } = await probe(
      args.target,
      args.webSocket,
      level,
      `${runId}v${level}`,
      args.patience,
    )
    if (name !== undefined) result.broker = name
    if (unsupported !== undefined) {
      result.versions.push({ version, unsupported, coverage: covered })
      continue
    }
    result.versions.push({ version, coverage: covered })
    const verdicts = await run({
      target: args.target,
      webSocket: args.webSocket,
      version: level,
      features,
      areas: args.areas,
      only: args.only,
      parallel: args.parallel,
      patience: args.patience,
      runId,
      onVerdict: progress(version),
    })
    result.verdicts.push(...(args.strict ? verdicts.map(strictly) : verdicts))
  }
  result.duration = Math.round(performance.now() - begin)
  return result
}

/** Where a broker promises more than it must: a remark is a failure. */
function strictly(verdict: Verdict): Verdict {
  if (verdict.outcome !== 'pass' || verdict.remarks.length === 0) return verdict
  const got = verdict.remarks.join('; ')
  return { ...verdict, outcome: 'fail', reason: got, expected: 'no remarks (--strict)', got }
}

function render(result: RunResult, args: Arguments): string {
  switch (args.format) {
    case 'terminal': {
      const colour = args.output === undefined && process.stdout.isTTY === true && process.env.NO_COLOR === undefined
      return terminalReport(result, { colour, traces: args.traces })
    }
    case 'html':
      return htmlReport(result)
    case 'junit':
      return junitReport(result)
    case 'json':
      return jsonReport(result)
    case 'markdown':
      return markdownReport(result)
    case 'baseline':
      return `${JSON.stringify(baseline(result), undefined, 2)}\n`
  }
}

/**
 * Runs the command with the arguments behind its name. Returns the exit code: 0 if nothing failed, 1 if something
 * did, 2 for wrong arguments, no connection or no version both sides speak.
 */
export async function main(argv: string[]): Promise<number> {
  if (!process.stdout.listeners('error').includes(endOfReader)) process.stdout.on('error', endOfReader)
  try {
    const parsed = parse(argv)
    if (parsed.values.help) {
      process.stdout.write(USAGE)
      return 0
    }
    if (parsed.values.list) {
      process.stdout.write(listReport(versionsOf(parsed.values.protocol)))
      return 0
    }
    const args = read(parsed)
    if (args.output !== undefined) requireWritable(args.output)
    const result = await judge(args)
    const report = render(result, args)
    if (args.output === undefined) process.stdout.write(report)
    else {
      writeFileSync(args.output, report)
      process.stdout.write(terminalReport(result, { colour: process.stdout.isTTY === true, traces: args.traces }))
    }
    if (result.verdicts.length === 0) return 2
    const { fail, error } = counts(result.verdicts)
    return fail + error === 0 ? 0 : 1
  } catch (error) {
    if (error instanceof UsageError) process.stderr.write(`Error: ${error.message}\n\n${USAGE}`)
    else process.stderr.write(`Error: cannot judge the broker: ${(error as Error).message}\n`)
    return 2
  }
}

/** `--list | head`: the reader has seen enough, which is no failure. */
function endOfReader(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
}

if (import.meta.filename === process.argv[1]) process.exitCode = await main(process.argv.slice(2))
