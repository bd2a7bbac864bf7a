import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Cell, Row } from '../../bench/campaign.ts'
import type { Figures } from '../../bench/load.ts'
import { report } from '../../bench/report.ts'
import { chooseShapes, type Shape, shapes, type Target } from '../../bench/shapes.ts'
import { judge } from '../../bench/verdict.ts'

const cell = (broker: string, figures: object[], faults: string[] = []): Cell => ({
  broker,
  runs: figures as Figures[],
  faults,
})

function row(target: Target | undefined, ...cells: Cell[]): Row {
  const shape: Shape = { name: 's', title: 'a shape', kind: 'traffic', load: [], countedMessages: 0 }
  return { shape: target ? { ...shape, target } : shape, cells }
}

const threeFloors: Target = { kind: 'floor', times: 3 }
const floor = cell('floor', [{ cpuUs: 1 }, { cpuUs: 1 }, { cpuUs: 40 }])

test('a CPU target is held against the median of the floor, so that one slow run decides nothing', () => {
  const judgement = judge(
    row(threeFloors, cell('martlet', [{ cpuUs: 2.9 }, { cpuUs: 2.5 }, { cpuUs: 80 }]), floor),
    'martlet',
  )
  assert.is(judgement?.verdict, 'met')
  assert.is(judgement?.found, '2.90 ×')
})

test('a target that is exceeded is not met', () => {
  assert.is(judge(row(threeFloors, cell('martlet', [{ cpuUs: 3.01 }]), floor), 'martlet')?.verdict, 'not met')
})

test('figures of a broker that lost a message are invalid, however good they are', () => {
  assert.is(judge(row(threeFloors, cell('martlet', [{ cpuUs: 1 }], ['1 lost']), floor), 'martlet')?.verdict, 'invalid')
})

test('memory after a burst is held against what it was before', () => {
  const target: Target = { kind: 'after', percent: 120 }
  assert.is(judge(row(target, cell('martlet', [{ rssAfterPct: 119.9 }])), 'martlet')?.verdict, 'met')
  assert.is(judge(row(target, cell('martlet', [{ rssAfterPct: 121 }])), 'martlet')?.verdict, 'not met')
})

test('without the floor a CPU target is not measured', () => {
  assert.is(judge(row(threeFloors, cell('martlet', [{ cpuUs: 1 }])), 'martlet')?.verdict, 'not measured')
})

test('memory is held against bytes per connection, latency against Mosquitto', () => {
  const memory: Target = { kind: 'memory', bytes: 2048 }
  assert.is(judge(row(memory, cell('martlet', [{ bytesPerConnection: 2048 }])), 'martlet')?.verdict, 'met')
  const latency = row({ kind: 'latency' }, cell('martlet', [{ p50Us: 61 }]), cell('mosquitto', [{ p50Us: 60 }]))
  assert.is(judge(latency, 'martlet')?.verdict, 'not met')
})

test('a rate is held against its figure and against Mosquitto with persistence, and both must be good', () => {
  const rate: Target = { kind: 'rate', perSecond: 1000, timesMosquitto: 5 }
  const theirs = cell('mosquitto-disk', [{ deliveredPerS: 300 }])
  const ours = (perSecond: number) => cell('martlet-fsync', [{ deliveredPerS: perSecond }])
  const verdict = (...cells: Cell[]) => judge(row(rate, ...cells), 'martlet-fsync')?.verdict
  assert.is(verdict(ours(1500), theirs), 'met')
  assert.is(verdict(ours(1400), theirs), 'not met')
  assert.is(verdict(ours(999), cell('mosquitto-disk', [{ deliveredPerS: 1 }])), 'not met')
  assert.is(verdict(ours(5000)), 'not measured')
  assert.is(judge(row(rate, ours(1500), theirs), 'martlet-fsync')?.found, '1,500/s, 5.00 ×')
})

test('a shape without a target is not judged', () => {
  assert.is(judge(row(undefined, floor), 'floor'), undefined)
})

test('without names the shapes with a target are measured, and an unknown name is refused with the list', () => {
  assert.ok(chooseShapes([]).every((shape) => shape.target !== undefined))
  assert.is(chooseShapes(['all']).length, shapes.length)
  assert.equal(
    chooseShapes(['storm', 'idle']).map((shape) => shape.name),
    ['storm', 'idle'],
  )
  assert.throws(() => chooseShapes(['fanuot']), /no shape fanuot.*fanout-qos0/)
})

test('the report names the verdict in the row and the fault below the tables', () => {
  const rows = [
    row(threeFloors, cell('martlet', [{ cpuUs: 2 }]), floor),
    row(undefined, cell('martlet', [], ['7 lost']), floor),
  ]
  const options = { subject: 'martlet', brokers: ['martlet', 'floor'], cost: 'cpuUs' } as const
  const text = report(rows, { ...options, markdown: false })
  assert.match(text, /a shape +2\.000 ±0% +1\.000 ±1950% +2\.00 +≤ 3 × floor +2\.00 × +met/)
  assert.match(text, /Invalid: s, martlet: 7 lost\n$/)
  const markdown = report(rows, { ...options, markdown: true })
  assert.match(markdown, /^\*\*Broker CPU/)
  assert.match(markdown, /\| a shape \| 2\.000 ±0% \|/)
})

test.run()
