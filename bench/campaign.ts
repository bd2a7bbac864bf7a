// A campaign: every shape, each broker in turn, A, B, C, A, B, C …, so that whatever else the machine does at a time
// falls on all of them alike. What comes out is medians; one slow run decides nothing.
import { type Broker, RunningBroker } from './brokers.ts'
import { countInstructions } from './instructions.ts'
import { type Figures, runLoad } from './load.ts'
import type { Shape } from './shapes.ts'
import { median } from './statistics.ts'

export interface CampaignOptions {
  readonly load: string // the load generator
  readonly runs: number
  readonly seconds: number
  readonly mqtt5: boolean
  readonly instructions: boolean
  /** Called after each run. */
  readonly progress: (step: Step) => void
}

export interface Step {
  readonly shape: Shape
  readonly broker: string
  readonly run: number // 1 …
  readonly result: Figures | Error
}

/** What one broker did in one shape. */
export interface Cell {
  readonly broker: string
  readonly runs: readonly Figures[]
  /** Why the figures count for nothing: runs that failed, messages lost, repeated or out of order. Empty: they count. */
  readonly faults: readonly string[]
}

export interface Row {
  readonly shape: Shape
  readonly cells: readonly Cell[]
}

/** Measures one shape. Ends every broker it starts, also when a run throws. */
export async function measureShape(shape: Shape, brokers: readonly Broker[], options: CampaignOptions): Promise<Row> {
  const able = brokers.filter(({ protocols }) => protocols.includes(shape.protocol ?? 'tcp'))
  const cells = able.map((broker) => new CellInProgress(shape, broker, options))
  try {
    for (let run = 1; run <= options.runs; run++) for (const cell of cells) await cell.run(run)
  } finally {
    for (const cell of cells) await cell.close()
  }
  return { shape, cells: cells.map((cell) => cell.result()) }
}

class CellInProgress {
  readonly #shape: Shape
  readonly #broker: Broker
  readonly #options: CampaignOptions
  readonly #runs: Figures[] = []
  readonly #failures: string[] = []
  #process: RunningBroker | undefined

  constructor(shape: Shape, broker: Broker, options: CampaignOptions) {
    this.#shape = shape
    this.#broker = broker
    this.#options = options
  }

  async run(number: number): Promise<void> {
    const result = await this.#measure().catch((error: unknown) => {
      if (error instanceof Error) return error
      throw error
    })
    if (result instanceof Error) this.#failures.push(result.message)
    else this.#runs.push(result)
    this.#options.progress({ shape: this.#shape, broker: this.#broker.name, run: number, result })
  }

  async #measure(): Promise<Figures> {
    if (this.#shape.freshBroker || !this.#process?.running) await this.close()
    const { load: shape, protocol = 'tcp' } = this.#shape
    this.#process ??= await RunningBroker.start(this.#broker, protocol)
    const { load, seconds, mqtt5, instructions } = this.#options
    const args = [...shape, '--protocol', protocol, ...(mqtt5 || this.#broker.mqtt5 ? ['--v5'] : [])]
    if (!instructions) return runLoad(load, this.#process, [...args, '--secs', String(seconds)])
    return countInstructions(load, this.#process, [...args, '--messages', String(this.#shape.countedMessages)])
  }

  result(): Cell {
    const faults = [...new Set(this.#failures)]
    for (const name of ['lost', 'repeated', 'reordered', 'closed'] as const) {
      const total = this.#runs.reduce(
        (sum, run) => sum + (name in run ? (run as Record<typeof name, number>)[name] : 0),
        0,
      )
      if (total > 0) faults.push(`${total} ${name}`)
    }
    return { broker: this.#broker.name, runs: this.#runs, faults }
  }

  async close(): Promise<void> {
    await this.#process?.stop()
    this.#process = undefined
  }
}

/** The median of one figure over a cell's runs; undefined when there were none, or none that has it. */
export function medianOf(cell: Cell | undefined, figure: string): number | undefined {
  return median(valuesOf(cell, figure))
}

export function valuesOf(cell: Cell | undefined, figure: string): number[] {
  if (!cell) return []
  return cell.runs
    .map((run) => (run as unknown as Record<string, number>)[figure])
    .filter((value) => value !== undefined)
}
