// Keeps the import table of docs/architecture.md: which folder may know which. Reads the sources with a small scanner of
// its own (TypeScript 7 has no compiler API). Also finds cycles, and says which files have grown long.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const ROOT = resolve(import.meta.dirname, '..', '..')
const LONGEST = 400

interface Rule {
  /** Folders it may import from, besides itself. */
  readonly may: readonly string[]
  /** Folders it may import types from. */
  readonly types?: readonly string[]
}

const ALL = [
  'native',
  'mqtt',
  'timers',
  'qos',
  'telemetry',
  'config',
  'net',
  'auth',
  'store',
  'broker',
  'server',
  'index',
]
/** Folder of src/ → what it may import. `native` is the addon and native/index.d.ts. */
const TABLE: Readonly<Record<string, Rule>> = {
  mqtt: { may: [] },
  timers: { may: [] },
  qos: { may: ['mqtt'] },
  telemetry: { may: ['mqtt'] },
  config: { may: ['mqtt'] },
  net: { may: ['native', 'mqtt', 'timers', 'telemetry'] },
  auth: { may: ['mqtt'] },
  store: { may: ['mqtt'] },
  broker: { may: ['qos', 'timers', 'mqtt', 'telemetry'], types: ['net', 'auth', 'store', 'config'] },
  server: { may: ALL },
  cli: { may: ALL },
  index: { may: ALL },
  conformance: { may: ['mqtt', 'telemetry'] },
  bench: { may: ['mqtt', 'net', 'telemetry', 'timers', 'native'] },
}

interface Import {
  readonly from: string
  readonly specifier: string
  readonly typeOnly: boolean
}

interface Module {
  /** Relative to the root: `src/net/reactor.ts`. */
  readonly file: string
  readonly lines: number
  readonly imports: readonly Import[]
}

const STATEMENT =
  /^\s*(?:import|export)\s+(type\s)?((?:[\w$*\s,]|\{[^}]*\})*?\sfrom\s*)?(['"])([^'"\n]+)\3|\bimport\(\s*(['"])([^'"\n]+)\5\s*\)/gm

/** Imports and re-exports of a source, comments left out. `import { type A, type B }` counts as types only. */
export function importsOf(file: string, source: string): Import[] {
  const code = source.replace(/^\s*\/\/.*$/gm, '').replace(/^\s*\/\*[\s\S]*?\*\//gm, '')
  return [...code.matchAll(STATEMENT)].map((match) => {
    const specifier = match[4] ?? match[6] ?? ''
    const braces = /\{([^}]*)\}/.exec(match[2] ?? '')?.[1]
    const names = braces
      ?.split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '')
    const onlyBraces = /^\s*\{[^}]*\}\s*from\s*$/.test(match[2] ?? '')
    const allTypes =
      onlyBraces && names !== undefined && names.length > 0 && names.every((name) => /^type\s/.test(name))
    return { from: file, specifier, typeOnly: match[1] !== undefined || allTypes }
  })
}

function modules(folder: string): Module[] {
  let names: string[]
  try {
    names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
  } catch {
    return [] // conformance/ and bench/ come later than src/
  }
  return names
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const file = `${folder}/${name}`
      const source = readFileSync(join(ROOT, file), 'utf8')
      return { file, lines: source.split('\n').length - 1, imports: importsOf(file, source) }
    })
}

/** The file an import means, relative to the root; undefined for packages and Node's own modules. */
function targetOf({ from, specifier }: Import): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  const target = relative(ROOT, resolve(ROOT, dirname(from), specifier))
  // The contract is declarations only; TypeScript wants it named as the module it declares.
  return target === 'native/index.js' ? 'native/index.d.ts' : target
}

/** `src/net/wire.ts` → net, `src/index.ts` → index, `native/index.d.ts` → native, `conformance/case.ts` → conformance. */
function folderOf(file: string): string {
  const [top = '', second = ''] = file.split('/')
  if (top !== 'src') return top
  return second.replace(/\.ts$/, '')
}

const sources = [...modules('src'), ...modules('conformance'), ...modules('bench')]

test('the scanner sees the sources', () => {
  assert.ok(sources.length > 20, `only ${sources.length} modules`)
  assert.ok(sources.flatMap((module) => module.imports).length > 50)
})

test('the scanner tells values, types, re-exports and dynamic imports apart', () => {
  const source = `import a from './a.ts'
// import x from './no.ts'
import type { B } from './b.ts'
import { type C, d } from './c.ts'
import {
  type E,
  type F,
} from './e.ts'
export * from './g.ts'
import './h.ts'
const i = await import('./i.ts')
`
  const seen = importsOf('x.ts', source).map(({ specifier, typeOnly }) => `${specifier}${typeOnly ? ' type' : ''}`)
  assert.equal(seen, ['./a.ts', './b.ts type', './c.ts', './e.ts type', './g.ts', './h.ts', './i.ts'])
})

test('every folder imports only what the table lets it', () => {
  const offences: string[] = []
  for (const module of sources) {
    const folder = folderOf(module.file)
    const rule = TABLE[folder]
    if (rule === undefined) {
      offences.push(`${module.file}: the folder ${folder} is not in the table`)
      continue
    }
    for (const one of module.imports) {
      const target = targetOf(one)
      if (target === undefined) continue
      const wanted = folderOf(target)
      const allowed = wanted === folder || rule.may.includes(wanted) || (one.typeOnly && rule.types?.includes(wanted))
      if (!allowed) offences.push(`${module.file} imports ${target}${one.typeOnly ? ' (types)' : ''}`)
    }
  }
  assert.equal(offences, [])
})

test('relative imports name files that exist, with their extension', () => {
  const known = new Set([...sources.map((module) => module.file), 'native/index.d.ts'])
  const missing = sources
    .flatMap((module) => module.imports)
    .filter((one) => {
      const target = targetOf(one)
      return target !== undefined && !known.has(target)
    })
  assert.equal(missing, [])
})

test('no module imports itself by a detour', () => {
  const edges = new Map(
    sources.map((module) => [
      module.file,
      module.imports
        .filter((one) => !one.typeOnly)
        .map(targetOf)
        .filter((target) => target !== undefined),
    ]),
  )
  assert.equal(findCycle(edges), undefined)
})

/** The first cycle of value imports, as the path that closes. */
function findCycle(edges: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    const start = path.indexOf(file)
    if (start >= 0) return [...path.slice(start), file]
    if (done.has(file)) return undefined
    for (const next of edges.get(file) ?? []) {
      const cycle = visit(next, [...path, file])
      if (cycle !== undefined) return cycle
    }
    done.add(file)
    return undefined
  }
  for (const file of edges.keys()) {
    const cycle = visit(file, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}

test('a cycle is found', () => {
  const edges = new Map([
    ['a', ['b']],
    ['b', ['c']],
    ['c', ['b']],
  ])
  assert.equal(findCycle(edges), ['b', 'c', 'b'])
})

test('files opened with a comment that says what they own', () => {
  const silent = sources.filter(({ file }) => !/^(?:#!.*\n)?\/\/|^\/\*/.test(readFileSync(join(ROOT, file), 'utf8')))
  assert.equal(
    silent.map((module) => module.file),
    [],
  )
})

test('long files are reported', () => {
  const long = sources.filter((module) => module.lines > LONGEST).sort((a, b) => b.lines - a.lines)
  const sorted = sources.map((module) => module.lines).sort((a, b) => a - b)
  console.log(`${sources.length} modules, median ${sorted[sorted.length >> 1]} lines, longest ${sorted.at(-1)}`)
  for (const { file, lines } of long) console.log(`longer than ${LONGEST} lines: ${file} (${lines})`)
  assert.ok(
    long.every((module) => module.lines <= 2 * LONGEST),
    'a file of more than 800 lines wants to be two',
  )
})

test.run()
