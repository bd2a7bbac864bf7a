// A case: one question put to the broker, tied to the clauses that answer it. `defineCase` only collects; the runner
// decides what runs. The same behaviour often stands in both versions under different numbers, so one definition may
// carry clauses for both and is then run twice.

import type { ConnectionLog } from './client.ts'
import type { Context } from './context.ts'
import type { Feature } from './features.ts'
import type { VersionName } from './protocol.ts'

export const AREAS = [
  'format',
  'utf8',
  'connect',
  'connack',
  'session',
  'will',
  'publish',
  'qos',
  'retain',
  'subscribe',
  'unsubscribe',
  'topics',
  'ping',
  'keep-alive',
  'disconnect',
  'errors',
  'properties',
  'flow-control',
  'alias',
  'expiry',
  'packet-size',
  'shared',
  'auth',
  'websocket',
] as const

export type Area = (typeof AREAS)[number]

export interface CaseDefinition {
  /** Unique within its area, kebab-case. */
  id: string
  area: Area
  /** What must hold, one sentence. */
  title: string
  /** Clause ids for each version the case applies to; `§4.8.2` where the text has no number. */
  clauses: Partial<Record<VersionName, readonly string[]>>
  needs?: readonly Feature[]
  /** Milliseconds; 20,000 unless said otherwise. */
  deadline?: number
  run(t: Context): Promise<void>
}

/** A rule that every packet of every case has to keep. Judged after the cases, over all their traffic. */
export interface Invariant {
  id: string
  area: Area
  title: string
  clauses: Partial<Record<VersionName, readonly string[]>>
  /** How often the rule applied to this connection, and what broke it. */
  judge(log: ConnectionLog): { applied: number; broken: string[] }
}

export const cases: CaseDefinition[] = []
export const invariants: Invariant[] = []

export function defineCase(definition: CaseDefinition): void {
  if (cases.some((other) => other.area === definition.area && other.id === definition.id)) {
    throw new Error(`two cases are called ${definition.area}/${definition.id}`)
  }
  cases.push(definition)
}

export function defineInvariant(invariant: Invariant): void {
  invariants.push(invariant)
}

/** `3.1.1/connect/reserved-flag`. */
export const caseId = (version: VersionName, one: { area: string; id: string }): string =>
  `${version}/${one.area}/${one.id}`
