import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type CaseDefinition, cases, type Invariant } from '../../conformance/case.ts'
import '../../conformance/cases/index.ts'
import { probe } from '../../conformance/probe.ts'
import type { Version } from '../../conformance/protocol.ts'
import { run } from '../../conformance/runner.ts'
import { parseTarget } from '../../conformance/target.ts'
import type { Verdict } from '../../conformance/verdict.ts'
import { type Faults, fakeBroker } from './fake-broker.ts'

const PATIENCE = 400

interface Chosen {
  only?: readonly string[]
  definitions?: { cases: readonly CaseDefinition[]; invariants: readonly Invariant[] }
  version?: Version
  parallel?: number
}

/** Verdicts by id, of the chosen cases against a broker with these faults. */
async function judged(faults: Faults, chosen: Chosen): Promise<Map<string, Verdict>> {
  const broker = await fakeBroker(faults)
  const version = chosen.version ?? 4
  try {
    const target = parseTarget(broker.url, { rejectUnauthorized: true }, {})
    const { features } = await probe(target, undefined, version, 'mtest0', PATIENCE)
    const verdicts = await run({
      target,
      version,
      features,
      only: chosen.only,
      parallel: chosen.parallel ?? 4,
      patience: PATIENCE,
      runId: 'mtest',
      ...(chosen.definitions === undefined ? {} : { definitions: chosen.definitions }),
    })
    return new Map(verdicts.map((v) => [v.id, v]))
  } finally {
    await broker.close()
  }
}

/** A fault, and a case that has to find it and passes without it. */
const FOUND: [fault: Faults, id: string, version?: Version][] = [
  [{ keepsOpen: true }, '3.1.1/format/subscribe-flags'],
  [{ keepsOpen: true }, '3.1.1/connect/second-connect'],
  [{ keepsOpen: true }, '3.1.1/publish/qos-3'],
  [{ keepsOpen: true }, '3.1.1/utf8/topic-name-surrogate'],
  [{ keepsOpen: true }, '5/errors/publish-unknown-property', 5],
  [{ wrongIdentifier: true }, '3.1.1/publish/qos-1-is-acknowledged'],
  [{ wrongIdentifier: true }, '3.1.1/subscribe/acknowledged'],
  [{ copiesFlags: true }, '3.1.1/publish/dup-is-not-propagated-qos-1'],
  [{ copiesFlags: true }, '3.1.1/retain/live-messages-have-retain-0'],
  [{ doubles: true }, '3.1.1/qos/identifier-reused-after-puback'],
  [{ ignoresPing: true }, '3.1.1/ping/answered'],
  [{ reservedConnackFlag: true }, '5/connack/reserved-acknowledge-flags', 5],
]

for (const [fault, id, version = 4] of FOUND) {
  test(`${id} fails where ${Object.keys(fault)[0]} is the fault, and passes where it is not`, async () => {
    // An invariant needs traffic to watch: the cases of its area give it.
    const only = id.includes('acknowledge-flags') ? [id, '5/ping/answered'] : [id]
    const bad = (await judged(fault, { only, version })).get(id)
    assert.is(bad?.outcome, 'fail', bad?.reason)
    assert.ok(bad?.expected && bad.got, 'a failure says what was expected and what came')
    assert.ok((bad?.trace.length ?? 0) > 1)
    const good = (await judged({}, { only, version })).get(id)
    assert.is(good?.outcome, 'pass', good?.reason)
  })
}

for (const version of [4, 5] as const) {
  test(`no case of level ${version} that demands a close passes on a broker that never closes`, async () => {
    const demanding = cases.filter((one) => /(?<!or|should) closes? the connection$/.test(one.title))
    assert.ok(demanding.length > 100)
    const verdicts = await judged(
      { keepsOpen: true },
      { definitions: { cases: demanding, invariants: [] }, version, parallel: 96 },
    )
    const passed = [...verdicts.values()].filter((v) => v.outcome === 'pass').map((v) => v.id)
    // DISCONNECT ends a connection whatever is wrong with it.
    assert.equal(
      passed.filter((id) => !id.includes('disconnect-')),
      [],
    )
  })
}

test('what a broker does not offer is skipped with the reason', async () => {
  const id = '5/retain/survives-its-publisher'
  const verdict = (await judged({ noRetain: true }, { only: [id], version: 5 })).get(id)
  assert.is(verdict?.outcome, 'skip')
  assert.match(verdict?.reason ?? '', /no retained messages/)
})

const definition = (id: string, more: Partial<CaseDefinition> & Pick<CaseDefinition, 'run'>): CaseDefinition => ({
  id,
  area: 'format',
  title: 'A case of the tests',
  clauses: { '3.1.1': [] },
  ...more,
})

test('a case that waits for ever fails at its deadline, and its connections are closed', async () => {
  const one = definition('stuck', {
    deadline: 100,
    async run(t) {
      await t.connect()
      await new Promise<void>(() => undefined)
    },
  })
  const verdict = (await judged({}, { definitions: { cases: [one], invariants: [] } })).get('3.1.1/format/stuck')
  assert.is(verdict?.outcome, 'fail')
  assert.match(verdict?.reason ?? '', /within 0\.1 s/)
})

test('an exception in a case is an error, not a verdict on the broker', async () => {
  const one = definition('broken', {
    run() {
      throw new TypeError('our own fault')
    },
  })
  const verdict = (await judged({}, { definitions: { cases: [one], invariants: [] } })).get('3.1.1/format/broken')
  assert.is(verdict?.outcome, 'error')
  assert.match(verdict?.reason ?? '', /our own fault/)
})

test('an invariant that never applied is skipped; one that was broken says in which case', async () => {
  const one = definition('pings', {
    async run(t) {
      await (await t.connect()).flush()
    },
  })
  const watcher = (id: string, broken: string[], applied: number): Invariant => ({
    id,
    area: 'format',
    title: 'A rule of the tests',
    clauses: { '3.1.1': [] },
    judge: () => ({ applied, broken }),
  })
  const invariants = [watcher('idle', [], 0), watcher('kept', [], 1), watcher('broken', ['no good'], 1)]
  const verdicts = await judged({}, { definitions: { cases: [one], invariants } })
  const outcomes = ['idle', 'kept', 'broken'].map((id) => verdicts.get(`3.1.1/format/${id}`)?.outcome)
  assert.equal(outcomes, ['skip', 'pass', 'fail'])
  assert.match(verdicts.get('3.1.1/format/broken')?.got ?? '', /in 3\.1\.1\/format\/pings: no good/)
})

test('every case has names of its own, short enough for any server', async () => {
  const seen: string[] = []
  const many = Array.from({ length: 40 }, (_, n) =>
    definition(`n${n}`, {
      async run(t) {
        seen.push(t.id('sub'))
        assert.match(t.id('sub'), /^[0-9a-zA-Z]{1,23}$/)
        assert.ok(t.topic('a').includes(t.id()))
      },
    }),
  )
  const verdicts = await judged({}, { definitions: { cases: many, invariants: [] } })
  assert.is(seen.length, 40)
  assert.is(new Set(seen).size, 40)
  assert.ok([...verdicts.values()].every((v) => v.outcome === 'pass'))
})

test('retained messages of a case are removed after it', async () => {
  const broker = await fakeBroker()
  try {
    const target = parseTarget(broker.url, { rejectUnauthorized: true }, {})
    const { features } = await probe(target, undefined, 4, 'mtest0', PATIENCE)
    let left = -1
    const writes = definition('writes', {
      run: async (t) => {
        await (await t.connect()).publish({ topic: 'conformance/left', payload: 'x', retain: true, qos: 1 })
      },
    })
    const looks = definition('looks', {
      run: async (t) => {
        const client = await t.connect()
        await client.subscribe('conformance/left', 0)
        left = (await client.flush()).length
      },
    })
    for (const one of [writes, looks]) {
      const definitions = { cases: [one], invariants: [] }
      await run({ target, version: 4, features, parallel: 1, patience: PATIENCE, runId: 'mtest', definitions })
    }
    assert.is(left, 0)
  } finally {
    await broker.close()
  }
})

test.run()
