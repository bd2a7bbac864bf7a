// Holds a shape's figures against its target. Pure.
import { type Cell, medianOf, type Row } from './campaign.ts'

/** Mosquitto with its persistence on, as brokers.ts names it. */
export const DURABLE_MOSQUITTO = 'mosquitto-disk'

export type Verdict = 'met' | 'not met' | 'invalid' | 'not measured'

export interface Judgement {
  readonly verdict: Verdict
  /** What was asked for, in words. */
  readonly wanted: string
  /** What was found, in words; empty when nothing was. */
  readonly found: string
}

/** The judgement on `subject`, the broker under test; undefined for a shape without a target. */
export function judge(row: Row, subject: string): Judgement | undefined {
  const target = row.shape.target
  if (!target) return undefined
  const cell = cellOf(row, subject)
  switch (target.kind) {
    case 'floor':
      return compare(`≤ ${target.times} × floor`, target.times, ratio(row, subject, 'floor', 'cpuUs'), times, [
        cell,
        cellOf(row, 'floor'),
      ])
    case 'memory':
      return compare(`≤ ${target.bytes} bytes`, target.bytes, medianOf(cell, 'bytesPerConnection'), bytes, [cell])
    case 'rate':
      return rate(row, subject, target)
    case 'after':
      return compare(`≤ ${target.percent} %`, target.percent, medianOf(cell, 'rssAfterPct'), percent, [cell])
    case 'latency':
      return compare('p50 ≤ mosquitto', 1, ratio(row, subject, 'mosquitto', 'p50Us'), times, [
        cell,
        cellOf(row, 'mosquitto'),
      ])
  }
}

/** Two conditions in one verdict: an absolute one, and one beside the broker everybody knows. */
function rate(
  row: Row,
  subject: string,
  { perSecond, timesMosquitto }: { readonly perSecond: number; readonly timesMosquitto: number },
): Judgement {
  const wanted = `≥ ${grouped(perSecond)}/s, ≥ ${timesMosquitto} × ${DURABLE_MOSQUITTO}`
  const cells = [cellOf(row, subject), cellOf(row, DURABLE_MOSQUITTO)]
  if (cells.some((cell) => cell !== undefined && cell.faults.length > 0))
    return { verdict: 'invalid', wanted, found: '' }
  const found = medianOf(cells[0], 'deliveredPerS')
  if (found === undefined) return { verdict: 'not measured', wanted, found: '' }
  const factor = ratio(row, subject, DURABLE_MOSQUITTO, 'deliveredPerS')
  const words = `${grouped(found)}/s${factor === undefined ? '' : `, ${times(factor)}`}`
  if (found < perSecond || (factor !== undefined && factor < timesMosquitto))
    return { verdict: 'not met', wanted, found: words }
  return { verdict: factor === undefined ? 'not measured' : 'met', wanted, found: words }
}

const grouped = (value: number): string => Math.round(value).toLocaleString('en-US')

function compare(
  wanted: string,
  limit: number,
  value: number | undefined,
  words: (value: number) => string,
  cells: readonly (Cell | undefined)[],
): Judgement {
  if (cells.some((cell) => cell !== undefined && cell.faults.length > 0))
    return { verdict: 'invalid', wanted, found: '' }
  if (value === undefined) return { verdict: 'not measured', wanted, found: '' }
  return { verdict: value <= limit ? 'met' : 'not met', wanted, found: words(value) }
}

/** How many times `reference`'s figure `subject`'s is; undefined when either is missing. */
export function ratio(row: Row, subject: string, reference: string, figure: string): number | undefined {
  const ours = medianOf(cellOf(row, subject), figure)
  const theirs = medianOf(cellOf(row, reference), figure)
  return ours === undefined || !theirs ? undefined : ours / theirs
}

export function cellOf(row: Row, broker: string): Cell | undefined {
  return row.cells.find((cell) => cell.broker === broker)
}

const times = (value: number): string => `${value.toFixed(2)} ×`
const percent = (value: number): string => `${value.toFixed(1)} %`
const bytes = (value: number): string => `${Math.round(value)} bytes`
