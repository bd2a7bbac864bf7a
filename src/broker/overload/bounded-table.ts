// A table that strangers can add to and that still never outgrows its limit: what was touched longest ago is forgotten
// first. One look-up and one re-insertion a touch; no clock, no timer.

export class BoundedTable<V> {
  readonly #limit: number
  /** Longest untouched first, as Map keeps them. */
  readonly #entries = new Map<string, V>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#entries.size
  }

  /** Looks, and does not count as a touch. */
  get(key: string): V | undefined {
    return this.#entries.get(key)
  }

  /** The entry of this key, made if there is none, and the last to be forgotten from now on. */
  touch(key: string, make: () => V): V {
    const known = this.#entries.get(key)
    if (known !== undefined) {
      this.#entries.delete(key)
      this.#entries.set(key, known)
      return known
    }
    if (this.#entries.size >= this.#limit) {
      const [oldest] = this.#entries.keys()
      if (oldest !== undefined) this.#entries.delete(oldest)
    }
    const made = make()
    this.#entries.set(key, made)
    return made
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }
}
