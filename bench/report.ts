// The tables: CPU per delivery with ratios and verdicts, goodput and latency, connections. As text or as Markdown. Pure.
import { type Cell, medianOf, type Row, valuesOf } from './campaign.ts'
import { spread } from './statistics.ts'
import { DURABLE_MOSQUITTO, judge, ratio } from './verdict.ts'

export interface ReportOptions {
  readonly subject: string // the broker under test
  readonly brokers: readonly string[]
  readonly markdown: boolean
  /** The figure of the first table: `cpuUs` or `instructions`. */
  readonly cost: 'cpuUs' | 'instructions'
}

type Table = { readonly title: string; readonly head: readonly string[]; readonly body: readonly (readonly string[])[] }

/** All tables that have rows, then the list of what was invalid and why. Ends in a newline. */
export function report(rows: readonly Row[], options: ReportOptions): string {
  const traffic = rows.filter((row) => row.shape.kind === 'traffic')
  const connections = rows.filter((row) => row.shape.kind === 'connections')
  const tables = [costTable(traffic, options), flowTable(traffic), connectionTable(connections, options)]
  const written = tables
    .filter((table) => table.body.length > 0)
    .map((table) => (options.markdown ? markdown(table) : text(table)))
  return [...written, ...invalidities(rows)].join('\n\n').concat('\n')
}

function costTable(rows: readonly Row[], { subject, brokers, cost }: ReportOptions): Table {
  const references = ['floor', 'mosquitto', DURABLE_MOSQUITTO].filter(
    (name) => brokers.includes(name) && name !== subject,
  )
  const title =
    cost === 'cpuUs' ? 'Broker CPU per delivered message, µs' : 'Broker instructions (user) per delivered message'
  return {
    title: `${title} (median, ± half the range)`,
    head: ['shape', ...brokers, ...references.map((name) => `× ${name}`), 'target', 'found', ''],
    body: rows.map((row) => {
      const ratios = references.map((name) => ratioOf(ratio(row, subject, name, cost)))
      return [row.shape.title, ...row.cells.map((cell) => costOf(cell, cost)), ...ratios, ...judged(row, subject)]
    }),
  }
}

const ratioOf = (value: number | undefined): string => number(value, value !== undefined && value < 0.1 ? 3 : 2)

function costOf(cell: Cell, cost: string): string {
  const value = medianOf(cell, cost)
  if (value === undefined) return '–'
  const digits = cost === 'instructions' ? 0 : value < 10 ? 3 : 1
  const mark = cell.faults.length > 0 ? ' invalid' : ''
  return `${value.toFixed(digits)} ±${Math.round(spread(valuesOf(cell, cost)) * 100)}%${mark}`
}

function judged(row: Row, subject: string): string[] {
  const judgement = judge(row, subject)
  return judgement ? [judgement.wanted, judgement.found, judgement.verdict] : ['', '', '']
}

function flowTable(rows: readonly Row[]): Table {
  return {
    title: 'Goodput and latency (median; * the load generator was the limit)',
    head: ['shape', 'broker', 'delivered/s', 'p50 µs', 'p99 µs', 'p99.9 µs', 'CPU %', 'RSS MiB', 'faults'],
    body: rows.flatMap((row) =>
      row.cells.map((cell) => [
        row.shape.title,
        cell.broker,
        goodput(cell),
        number(medianOf(cell, 'p50Us')),
        number(medianOf(cell, 'p99Us')),
        number(medianOf(cell, 'p999Us')),
        number(medianOf(cell, 'cpuPct')),
        mebibytes(cell),
        faults(cell),
      ]),
    ),
  }
}

function goodput(cell: Cell): string {
  const limited = (medianOf(cell, 'loadCpuPct') ?? 0) > 90
  return `${number(medianOf(cell, 'deliveredPerS'))}${limited ? '*' : ''}`
}

function connectionTable(rows: readonly Row[], { subject }: ReportOptions): Table {
  return {
    title: 'Connections (median)',
    head: [
      'shape',
      'broker',
      'bytes each',
      'RSS after %',
      'connects/s',
      'p50 µs',
      'p99 µs',
      'CPU µs each',
      'idle CPU %',
      'RSS MiB',
      'faults',
      'target',
      '',
    ],
    body: rows.flatMap((row) =>
      row.cells.map((cell) => {
        const idle = row.shape.target?.kind === 'memory'
        const [wanted, , verdict] = cell.broker === subject ? judged(row, subject) : ['', '', '']
        return [
          row.shape.title,
          cell.broker,
          idle ? number(medianOf(cell, 'bytesPerConnection')) : '',
          number(medianOf(cell, 'rssAfterPct'), 1),
          number(medianOf(cell, 'connectPerS')),
          number(medianOf(cell, 'p50Us')),
          number(medianOf(cell, 'p99Us')),
          number(medianOf(cell, 'cpuUs'), 1),
          idle ? number(medianOf(cell, 'idleCpuPct'), 2) : '',
          mebibytes(cell),
          faults(cell),
          wanted!,
          verdict!,
        ]
      }),
    ),
  }
}

function mebibytes(cell: Cell): string {
  const kibibytes = medianOf(cell, 'rssKb')
  return kibibytes === undefined ? '–' : number(kibibytes / 1024, 1)
}

const faults = (cell: Cell): string => (cell.faults.length > 0 ? 'invalid' : '0')

function invalidities(rows: readonly Row[]): string[] {
  return rows.flatMap((row) =>
    row.cells
      .filter((cell) => cell.faults.length > 0)
      .map((cell) => `Invalid: ${row.shape.name}, ${cell.broker}: ${cell.faults.join('; ')}`),
  )
}

/** 1234567.8 → `1,234,568`; undefined → `–`. */
export function number(value: number | undefined, digits = 0): string {
  if (value === undefined) return '–'
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function markdown({ title, head, body }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const rule = `|${head.map((_, column) => (column === 0 ? '---' : '--:')).join('|')}|`
  return [`**${title}**`, '', line(head), rule, ...body.map(line)].join('\n')
}

function text({ title, head, body }: Table): string {
  const widths = head.map((name, column) => Math.max(name.length, ...body.map((cells) => cells[column]!.length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd()
  return [title, line(head), ...body.map(line)].join('\n')
}
