// Runs the cases: several at a time, each with connections and names of its own and a deadline. Turns what happened
// into verdicts and lets the invariants look at all the traffic at the end.

import { type CaseDefinition, caseId, cases, type Invariant, invariants } from './case.ts'
import type { ConnectionLog } from './client.ts'
import { Context } from './context.ts'
import { type Features, missing } from './features.ts'
import type { Version, VersionName } from './protocol.ts'
import { versionName } from './protocol.ts'
import type { Target } from './target.ts'
import { Failed, Skipped, type Verdict } from './verdict.ts'

export interface RunOptions {
  target: Target
  webSocket?: Target | undefined
  version: Version
  features: Features
  /** Areas to run; all if absent. */
  areas?: readonly string[] | undefined
  /** Only cases whose id contains one of these. */
  only?: readonly string[] | undefined
  /** Cases at a time. */
  parallel: number
  /** Milliseconds to wait for an answer. */
  patience: number
  /** Letters and digits that make this run's names its own. */
  runId: string
  /** What to run instead of everything that is defined. */
  definitions?: { cases: readonly CaseDefinition[]; invariants: readonly Invariant[] }
  onVerdict?: (verdict: Verdict, done: number, total: number) => void
}

const DEFAULT_DEADLINE = 20_000
/** A broken invariant is shown with this many examples. */
const MAX_EXAMPLES = 5

interface Tally {
  applied: number
  broken: { caseId: string; text: string }[]
}

/** All verdicts for one version, in the order of the case list, invariants last. */
export async function run(options: RunOptions): Promise<Verdict[]> {
  const name = versionName(options.version)
  const wanted = (one: CaseDefinition | Invariant) =>
    one.clauses[name] !== undefined &&
    (options.areas === undefined || options.areas.includes(one.area)) &&
    (options.only === undefined || options.only.some((part) => caseId(name, one).includes(part)))
  // Slow cases first, so that none of them is what everybody waits for at the end.
  const all = options.definitions ?? { cases, invariants }
  const queue = all.cases
    .filter(wanted)
    .sort((a, b) => (b.deadline ?? DEFAULT_DEADLINE) - (a.deadline ?? DEFAULT_DEADLINE))
  const watchers = all.invariants.filter(wanted)
  const tallies = new Map<Invariant, Tally>(watchers.map((w) => [w, { applied: 0, broken: [] }]))
  const verdicts = new Map<CaseDefinition, Verdict>()
  const total = queue.length + watchers.length
  let next = 0
  const worker = async () => {
    for (;;) {
      const index = next++
      const definition = queue[index]
      if (definition === undefined) return
      const { verdict, logs } = await runCase(definition, options, index)
      watch(tallies, logs, verdict.id)
      verdicts.set(definition, verdict)
      options.onVerdict?.(verdict, verdicts.size, total)
    }
  }
  await Promise.all(Array.from({ length: Math.min(options.parallel, queue.length) }, worker))
  const ofCases = all.cases.flatMap((definition) => verdicts.get(definition) ?? [])
  const ofInvariants = watchers.map((invariant) => judge(invariant, tallies.get(invariant) as Tally, name))
  ofInvariants.forEach((verdict, index) => {
    options.onVerdict?.(verdict, verdicts.size + index + 1, total)
  })
  return [...ofCases, ...ofInvariants]
}

async function runCase(
  definition: CaseDefinition,
  options: RunOptions,
  index: number,
): Promise<{ verdict: Verdict; logs: ConnectionLog[] }> {
  const name = versionName(options.version)
  const begin = performance.now()
  const t = new Context({
    target: options.target,
    webSocket: options.webSocket,
    version: options.version,
    features: options.features,
    patience: options.patience,
    unique: `${options.runId}v${options.version}n${index.toString(36)}`,
  })
  const base = {
    id: caseId(name, definition),
    title: definition.title,
    area: definition.area,
    version: name,
    clauses: definition.clauses[name] ?? [],
  }
  const verdict = (rest: Pick<Verdict, 'outcome' | 'reason' | 'expected' | 'got'>): Verdict => ({
    ...base,
    ...rest,
    remarks: t.remarks,
    duration: Math.round(performance.now() - begin),
    trace: t.trace.events,
  })
  const lacking = missing(definition.needs ?? [], options.features)
  if (lacking !== undefined) return { verdict: verdict({ outcome: 'skip', reason: lacking }), logs: [] }
  let result: Verdict
  try {
    await withDeadline(definition, t)
    result = verdict({ outcome: 'pass' })
  } catch (error) {
    result = verdict(outcomeOf(error))
  }
  await t.cleanUp()
  return { verdict: result, logs: t.logs() }
}

async function withDeadline(definition: CaseDefinition, t: Context): Promise<void> {
  const limit = definition.deadline ?? DEFAULT_DEADLINE
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Failed(`the case done within ${limit / 1000} s`, 'it was not'))
      t.destroy()
    }, limit)
  })
  try {
    const running = definition.run(t)
    // After the deadline the case's own failure says nothing more.
    running.catch(() => undefined)
    await Promise.race([running, late])
  } finally {
    clearTimeout(timer)
  }
}

function outcomeOf(error: unknown): Pick<Verdict, 'outcome' | 'reason' | 'expected' | 'got'> {
  if (error instanceof Skipped) return { outcome: 'skip', reason: error.message }
  if (error instanceof Failed) {
    return { outcome: 'fail', reason: error.message, expected: error.expected, got: error.got }
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const network = error instanceof Error && 'code' in error
  return { outcome: 'error', reason: network ? `no connection: ${(error as Error).message}` : text }
}

function watch(tallies: Map<Invariant, Tally>, logs: readonly ConnectionLog[], id: string): void {
  for (const [invariant, tally] of tallies) {
    for (const log of logs) {
      if (log.version !== (id.startsWith('5/') ? 5 : 4)) continue
      const { applied, broken } = invariant.judge(log)
      tally.applied += applied
      for (const text of broken) {
        if (tally.broken.length < MAX_EXAMPLES) tally.broken.push({ caseId: id, text })
      }
    }
  }
}

function judge(invariant: Invariant, tally: Tally, name: VersionName): Verdict {
  const base = {
    id: caseId(name, invariant),
    title: invariant.title,
    area: invariant.area,
    version: name,
    clauses: invariant.clauses[name] ?? [],
    remarks: [],
    duration: 0,
  }
  const trace = [
    { at: 0, what: 'note' as const, text: `watched in the traffic of all cases; it applied ${tally.applied} times` },
    ...tally.broken.map(({ caseId: id, text }) => ({ at: 0, what: 'failed' as const, text: `in ${id}: ${text}` })),
  ]
  const [example] = tally.broken
  if (example !== undefined) {
    const got = `in ${example.caseId}: ${example.text}`
    return { ...base, outcome: 'fail', reason: got, expected: invariant.title, got, trace }
  }
  if (tally.applied === 0) return { ...base, outcome: 'skip', reason: 'the situation did not arise in this run', trace }
  return { ...base, outcome: 'pass', trace }
}
