// One batch as calls of the backend: steps in lanes, lanes in stages. A lane keeps its order; lanes of a stage run beside each
// other; a stage begins when the one before it is done. A step that fails stays where it is, so running the plan again
// goes on from there.

export type Step = () => Promise<unknown>

interface Lane {
  readonly steps: Step[]
  next: number
}

/** Lanes of one plan that call the backend at one time. */
const ABREAST = 32

export class Stage {
  readonly #lanes = new Map<string, Lane>()

  add(lane: string, step: Step): void {
    const known = this.#lanes.get(lane)
    if (known === undefined) this.#lanes.set(lane, { steps: [step], next: 0 })
    else known.steps.push(step)
  }

  /** Rejects with the first failure, when nothing of it is under way any more. `progress` is told of every step that is done. */
  async run(progress: () => void): Promise<void> {
    const waiting = this.#lanes.entries()
    let failure: { error: unknown } | undefined
    const work = async (): Promise<void> => {
      for (const [name, lane] of waiting) {
        while (lane.next < lane.steps.length) {
          if (failure !== undefined) return
          try {
            await lane.steps[lane.next]!()
          } catch (error) {
            failure ??= { error }
            return
          }
          lane.next++
          progress()
        }
        this.#lanes.delete(name)
      }
    }
    await Promise.all(Array.from({ length: Math.min(ABREAST, this.#lanes.size) }, work))
    if (failure !== undefined) throw failure.error
  }
}

export class Plan {
  /** What is added, and what a client has said. */
  readonly changes = new Stage()
  /** Which identifiers are in use: they count only when what came under them is stored. */
  readonly pages = new Stage()
  /** The batch is complete. */
  readonly commit = new Stage()
  /** What is taken away, now that it is somewhere else or wanted nowhere. */
  readonly removals = new Stage()
  /** The newest message there is when the batch is over. */
  newestMessage = 0
  /** What the batch leaves as a topic's retained message. */
  readonly retained = new Map<string, number | undefined>()
  /** About how much memory it holds. */
  readonly bytes: number

  constructor(bytes: number) {
    this.bytes = bytes
  }

  async run(progress: () => void): Promise<void> {
    for (const stage of this.#stages()) await stage.run(progress)
  }

  #stages(): Stage[] {
    return [this.changes, this.pages, this.commit, this.removals]
  }
}
