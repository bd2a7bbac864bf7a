// Level strings for the two tries: owns nothing but a small cache. Strings cut out of a packet or a longer string hold on
// to all of it (V8 keeps a slice of 13 characters or more as a pointer into its parent), and a million filters that end in
// `/temp` should not hold a million copies of `temp`.

/** Longer levels are rare, and seldom shared. */
const LONGEST_CACHED = 64
const MOST_CACHED = 4096
/** Below this length V8 copies slices and concatenations itself. */
const SHORTEST_POINTER = 13

export class LevelStrings {
  readonly #known = new Map<string, string>()

  /** The same string, flat, and the one object for it if it was asked for lately. For strings that are kept. */
  intern(level: string): string {
    if (level.length > LONGEST_CACHED) return flatten(level)
    const known = this.#known.get(level)
    if (known !== undefined) return known
    // Forgetting all at once needs no order of use; what is common is back after the next few filters.
    if (this.#known.size === MOST_CACHED) this.#known.clear()
    const flat = flatten(level)
    this.#known.set(flat, flat)
    return flat
  }
}

/** A copy of a string that refers to no other string. */
export function flatten(text: string): string {
  if (text.length < SHORTEST_POINTER) return text
  return Buffer.from(text, 'utf16le').toString('utf16le')
}

/** Where the level that begins at `start` ends: at the next `/`, or at the end of the text. */
export function levelEnd(text: string, start: number): number {
  const slash = text.indexOf('/', start)
  return slash < 0 ? text.length : slash
}
