// A table that strangers can add to and that still never outgrows its limit: what was not touched for longest is
// forgotten first, half a table at a time. Two maps instead of one in order of use: a Map of which the first entry is
// deleted again and again costs V8 10 µs a time, and it is in a flood that this must be cheap.

export class BoundedTable<V> {
  readonly #half: number
  #recent = new Map<string, V>()
  #older = new Map<string, V>()

  /** Holds at most `limit` entries, and at least the last `limit / 2` touched. */
  constructor(limit: number) {
    this.#half = Math.max(1, Math.floor(limit / 2))
  }

  get size(): number {
    return this.#recent.size + this.#older.size
  }

  /** Looks, and does not count as a touch. */
  get(key: string): V | undefined {
    return this.#recent.get(key) ?? this.#older.get(key)
  }

  /** The entry of this key, made if there is none; it is now the last to be forgotten. */
  touch(key: string, make: () => V): V {
    const recent = this.#recent.get(key)
    if (recent !== undefined) return recent
    const value = this.#older.get(key) ?? make()
    this.#older.delete(key)
    if (this.#recent.size >= this.#half) {
      this.#older = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(key, value)
    return value
  }
}
