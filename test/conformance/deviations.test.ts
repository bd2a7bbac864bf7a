// Can every case fail? A real broker stands behind a proxy that commits one deviation at a time, and the cases that are
// there to find it have to. Without a deviation the same cases pass through the same proxy. Everyday runs take a sixth of
// the deviations; MARTLET_LONG=1 takes all, and asks whether every case of the catalogue has been seen to fail.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cases, invariants } from '../../conformance/case.ts'
import '../../conformance/cases/index.ts'
import { probe } from '../../conformance/probe.ts'
import { type Version, versionName } from '../../conformance/protocol.ts'
import { run } from '../../conformance/runner.ts'
import { parseTarget } from '../../conformance/target.ts'
import type { Verdict } from '../../conformance/verdict.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import { connections } from './deviations/connections.ts'
import { exchanges } from './deviations/exchanges.ts'
import { formats } from './deviations/formats.ts'
import { groups } from './deviations/groups.ts'
import { closesNothing, limits } from './deviations/limits.ts'
import { messages } from './deviations/messages.ts'
import { properties } from './deviations/properties.ts'
import { type Deviation, type Misbehaviour, proxy } from './deviations/proxy.ts'
import { retained } from './deviations/retained.ts'
import { subscriptions } from './deviations/subscriptions.ts'
import { topics } from './deviations/topics.ts'
import { webSocketProxy, webSockets } from './deviations/websockets.ts'
import { wills } from './deviations/wills.ts'

const LONG = process.env.MARTLET_LONG === '1'
const VERSIONS = [4, 5] as const
const ALL = [
  ...messages,
  ...topics,
  ...exchanges,
  ...properties,
  ...formats,
  ...connections,
  ...wills,
  ...subscriptions,
  ...retained,
  ...groups,
  ...limits,
]
/** Where time itself is the subject. */
const slow = (name: string): boolean => /keep-alive|expiry|delay|while-connected/.test(name)
const DEVIATIONS = LONG ? ALL : ALL.filter(({ caught }) => !caught.some(slow)).filter((_, index) => index % 6 === 0)
/** Milliseconds a broker is waited for that will not answer; and one that will, on a machine with other things to do. */
const PATIENCE = 700
const PATIENCE_WITH_THE_GOOD = 10_000
/** Deviations at a time. */
const AT_A_TIME = 24

/** Cases whose traffic gives the invariants something to look at. */
const TRAFFIC = [
  'ping/answered',
  'publish/qos-1-is-acknowledged',
  'publish/qos-2-is-acknowledged',
  'publish/qos-3',
  'publish/only-matching-topics',
  'qos/published-1-granted-1',
  'qos/published-2-granted-2',
  'qos/sender-qos-2',
  'unsubscribe/acknowledged',
  'connect/unknown-protocol-level',
  'packet-size/small-answers',
  'packet-size/too-large-message-qos-1',
  'flow-control/initial-quota-qos-1',
  'alias/server-aliases',
  'properties/request-problem-information-0',
  'subscribe/two-hundred-filters',
  'unsubscribe/several-filters',
]

const nameOf = (one: { area: string; id: string }): string => `${one.area}/${one.id}`
const watchers = new Set(invariants.map(nameOf))

/** The cases and invariants there are for the version. */
const namesOf = (version: Version): string[] =>
  [...cases, ...invariants].filter((one) => one.clauses[versionName(version)] !== undefined).map(nameOf)

let runs = 0

/** The verdicts of these cases on the broker behind the URL. */
async function judge(
  url: string,
  version: Version,
  wanted: (name: string) => boolean,
  { patience = PATIENCE, parallel = 16, ws }: { patience?: number; parallel?: number; ws?: string | undefined } = {},
): Promise<Verdict[]> {
  const target = parseTarget(url, { rejectUnauthorized: true }, {})
  const webSocket = ws === undefined ? undefined : parseTarget(ws, { rejectUnauthorized: true }, {})
  const runId = `d${(runs++).toString(36).padStart(3, '0')}`
  const { features } = await probe(target, webSocket, version, `${runId}p`, patience)
  const definitions = {
    cases: cases.filter((one) => wanted(nameOf(one))),
    invariants: invariants.filter((one) => wanted(nameOf(one))),
  }
  return await run({ target, webSocket, version, features, parallel, patience, runId, definitions })
}

async function behind<T>(port: number, deviation: Misbehaviour, work: (url: string) => Promise<T>): Promise<T> {
  const between = await proxy(port, deviation)
  try {
    return await work(between.url)
  } finally {
    await between.close()
  }
}

/** The ids of all verdicts in this file that were failures. */
const caught = new Set<string>()

/** Which of the cases did not fail: `5/area/id: pass`. Notes those that did. */
function missed(verdicts: readonly Verdict[], version: Version, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const id = `${versionName(version)}/${name}`
    const verdict = verdicts.find((v) => v.id === id)
    if (verdict?.outcome === 'fail') caught.add(id)
    return verdict?.outcome === 'fail' ? [] : [`${id}: ${verdict?.outcome} ${verdict?.reason ?? ''}`]
  })
}

async function missedBy(port: number, deviation: Deviation): Promise<string[]> {
  const found: string[] = []
  for (const version of deviation.versions ?? VERSIONS) {
    const known = namesOf(version)
    const names = deviation.caught.filter((name) => known.includes(name))
    if (names.length === 0) continue
    const watched = names.some((name) => watchers.has(name))
    const wanted = (name: string): boolean => names.includes(name) || (watched && TRAFFIC.includes(name))
    const verdicts = await behind(port, deviation, (url) => judge(url, version, wanted))
    found.push(...missed(verdicts, version, names))
  }
  return found
}

async function inParallel<T>(list: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const queue = [...list]
  const worker = async (): Promise<void> => {
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) await work(one)
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, worker))
}

test.after(closeBrokers)

test('every deviation names cases that exist', () => {
  const known = new Set(VERSIONS.flatMap(namesOf))
  const named = [...ALL, ...webSockets].flatMap((one) => one.caught)
  assert.equal(
    named.filter((name) => !known.has(name)),
    [],
  )
})

test('every deviation is caught by the cases that are there for it', async () => {
  const { port } = await listen()
  const lines: string[] = []
  await inParallel(DEVIATIONS, async (one) => {
    for (const line of await missedBy(port, one)) lines.push(`a broker that ${one.does} – ${line}`)
  })
  assert.equal(lines, [])
})

test('every deviation over WebSocket is caught', async () => {
  const { broker, port } = await listen()
  const door = await broker.listen({ port: 0, protocol: 'websockets' })
  const lines: string[] = []
  for (const one of webSockets) {
    const between = await webSocketProxy(door.port, '/', one)
    for (const version of VERSIONS) {
      const wanted = (name: string): boolean => one.caught.includes(name)
      const verdicts = await judge(`mqtt://127.0.0.1:${port}`, version, wanted, { ws: between.url })
      for (const line of missed(verdicts, version, one.caught)) lines.push(`a broker that ${one.does} – ${line}`)
    }
    await between.close()
  }
  assert.equal(lines, [])
})

test('without a deviation the same cases pass through the same proxy', async () => {
  const { broker, port } = await listen()
  const door = await broker.listen({ port: 0, protocol: 'websockets' })
  const between = await webSocketProxy(door.port, '/', {})
  const names = new Set([...DEVIATIONS, ...webSockets].flatMap((one) => one.caught))
  const options = { patience: PATIENCE_WITH_THE_GOOD, parallel: 64, ws: between.url }
  const failed = await behind(port, {}, async (url) => {
    const verdicts = await Promise.all(
      VERSIONS.map((version) => judge(url, version, (name) => LONG || names.has(name), options)),
    )
    return verdicts.flat().filter((v) => v.outcome === 'fail' || v.outcome === 'error')
  })
  await between.close()
  assert.equal(
    failed.map((v) => `${v.id}: ${v.reason}`),
    [],
  )
})

if (LONG) {
  test('every case of the catalogue has been seen to fail', async () => {
    const { port } = await listen()
    // What demands a close fails on a broker that closes nothing.
    await Promise.all(
      VERSIONS.map(async (version) => {
        const left = (name: string): boolean => !caught.has(`${versionName(version)}/${name}`)
        const verdicts = await behind(port, closesNothing, (url) => judge(url, version, left, { parallel: 64 }))
        missed(verdicts, version, namesOf(version))
      }),
    )
    const ids = VERSIONS.flatMap((version) => namesOf(version).map((name) => `${versionName(version)}/${name}`))
    assert.equal(
      ids.filter((id) => !caught.has(id)),
      [],
    )
  })
}

test.run()
