// Owns the Topic Filters somebody subscribes to, by level, and finds those that match a Topic Name. Knows neither
// subscribers nor sessions: the router hangs what it needs on a node's `value` and removes the node when nobody is left.
//
// Matching walks level by level, all branches side by side: no recursion (a name may have 65,536 levels), one string per
// level, and only nodes whose levels fit are touched. Every birth and death of a filter is counted and remembered in a
// ring, so that a cached route can tell whether anything happened that concerns it.

import { flatten, LevelStrings, levelEnd } from './level-strings.ts'

/** Children of a node: none, the only one, a few, or by level. Most nodes have one. */
type Children<V> = undefined | FilterNode<V> | FilterNode<V>[] | Map<string, FilterNode<V>>

const MOST_LISTED = 8
const RING = 1024

/** A Topic Filter, or a place on the way to one (`filter` is then empty). */
export class FilterNode<V> {
  /** The Topic Filter; empty if nobody subscribes to it (no Topic Filter is empty [MQTT-4.7.3-1]). */
  filter = ''
  /** The router's. */
  value: V | undefined = undefined

  /** The trie's own from here on. */
  readonly parent: FilterNode<V> | undefined
  readonly level: string
  children: Children<V> = undefined
  plus: FilterNode<V> | undefined = undefined
  hash: FilterNode<V> | undefined = undefined

  constructor(parent: FilterNode<V> | undefined, level: string) {
    this.parent = parent
    this.level = level
  }
}

export class TopicTrie<V> {
  readonly #root = new FilterNode<V>(undefined, '')
  readonly #levels = new LevelStrings()
  /** Filters born or dead, at `change % RING`. */
  readonly #ring: string[] = []
  #size = 0
  #changes = 0
  /** The nodes reached so far and those one level on; kept, so that matching allocates no list. */
  #reached: (FilterNode<V> | undefined)[] = []
  #further: (FilterNode<V> | undefined)[] = []

  /** How many filters there are. */
  get size(): number {
    return this.#size
  }

  /** Births and deaths of filters so far. */
  get changes(): number {
    return this.#changes
  }

  /**
   * Tells `visit` the filters born or dead since the counter had the value `changes`, oldest first. False, with none told,
   * if that was too long ago: whoever asks must look at everything anew.
   */
  changedSince(changes: number, visit: (filter: string) => void): boolean {
    if (this.#changes - changes > RING) return false
    for (let change = changes; change < this.#changes; change++) visit(this.#ring[change % RING])
    return true
  }

  /** The node of a valid Topic Filter, new or existing. A filter may have 65,536 levels, a node each: limit them before. */
  insert(filter: string): FilterNode<V> {
    let node = this.#root
    for (let start = 0; start <= filter.length; ) {
      const end = levelEnd(filter, start)
      node = this.#childOrNew(node, filter.slice(start, end))
      start = end + 1
    }
    if (node.filter === '') {
      node.filter = flatten(filter)
      this.#size++
      this.#changed(node.filter)
    }
    return node
  }

  /** The node of a Topic Filter, if it is there. */
  get(filter: string): FilterNode<V> | undefined {
    let node: FilterNode<V> | undefined = this.#root
    for (let start = 0; start <= filter.length && node !== undefined; ) {
      const end = levelEnd(filter, start)
      node = childOf(node, filter.slice(start, end))
      start = end + 1
    }
    return node === undefined || node.filter === '' ? undefined : node
  }

  /** Takes a filter out, with its value and the nodes only it needed. The node's `filter` is empty from then on. */
  remove(node: FilterNode<V>): void {
    if (node.filter === '') return
    this.#changed(node.filter)
    this.#size--
    node.filter = ''
    node.value = undefined
    let place = node
    while (place.parent !== undefined && isEmpty(place)) {
      removeChild(place.parent, place)
      place = place.parent
    }
  }

  /** Appends to `out` the node of every filter that matches the Topic Name, each once, in no particular order. */
  match(topicName: string, out: FilterNode<V>[]): void {
    let reached = this.#reached
    let further = this.#further
    reached[0] = this.#root
    let count = 1
    // [MQTT-4.7.2-1] A filter that begins with a wildcard does not match a name that begins with $.
    let wildcards = topicName.charCodeAt(0) !== 0x24
    for (let start = 0; start <= topicName.length && count > 0; ) {
      const end = levelEnd(topicName, start)
      const level = topicName.slice(start, end)
      let ahead = 0
      for (let index = 0; index < count; index++) {
        const node = reached[index]!
        reached[index] = undefined
        if (wildcards) {
          if (node.hash !== undefined) out.push(node.hash)
          if (node.plus !== undefined) further[ahead++] = node.plus
        }
        const child = literalChild(node.children, level)
        if (child !== undefined) further[ahead++] = child
      }
      wildcards = true
      count = ahead
      const emptied = reached
      reached = further
      further = emptied
      start = end + 1
    }
    for (let index = 0; index < count; index++) {
      const node = reached[index]!
      reached[index] = undefined
      if (node.filter !== '') out.push(node)
      // [MQTT-4.7.1-2] `#` includes the level above it: a/# matches a.
      if (node.hash !== undefined) out.push(node.hash)
    }
    // One wild walk must not leave its lists behind for good.
    if (reached.length > RING || further.length > RING) {
      this.#reached = []
      this.#further = []
    }
  }

  /** Every filter, in no particular order; the trie must not change meanwhile. */
  *[Symbol.iterator](): Generator<FilterNode<V>, void> {
    const open: FilterNode<V>[] = [this.#root]
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if (node.filter !== '') yield node
      if (node.plus !== undefined) open.push(node.plus)
      if (node.hash !== undefined) open.push(node.hash)
      if (node.children instanceof FilterNode) open.push(node.children)
      else if (node.children !== undefined) for (const child of node.children.values()) open.push(child)
    }
  }

  #changed(filter: string): void {
    this.#ring[this.#changes % RING] = filter
    this.#changes++
  }

  #childOrNew(node: FilterNode<V>, level: string): FilterNode<V> {
    const existing = childOf(node, level)
    if (existing !== undefined) return existing
    const child = new FilterNode(node, this.#levels.intern(level))
    if (level === '+') node.plus = child
    else if (level === '#') node.hash = child
    else node.children = withChild(node.children, child)
    return child
  }
}

function childOf<V>(node: FilterNode<V>, level: string): FilterNode<V> | undefined {
  if (level === '+') return node.plus
  if (level === '#') return node.hash
  return literalChild(node.children, level)
}

function literalChild<V>(children: Children<V>, level: string): FilterNode<V> | undefined {
  if (children === undefined) return undefined
  if (children instanceof FilterNode) return children.level === level ? children : undefined
  if (children instanceof Map) return children.get(level)
  for (let index = 0; index < children.length; index++) {
    if (children[index].level === level) return children[index]
  }
  return undefined
}

function withChild<V>(children: Children<V>, child: FilterNode<V>): Children<V> {
  if (children === undefined) return child
  if (children instanceof FilterNode) return [children, child]
  if (children instanceof Map) return children.set(child.level, child)
  if (children.length === MOST_LISTED) {
    return new Map([...children, child].map((each) => [each.level, each]))
  }
  children.push(child)
  return children
}

function removeChild<V>(parent: FilterNode<V>, child: FilterNode<V>): void {
  if (parent.plus === child) parent.plus = undefined
  else if (parent.hash === child) parent.hash = undefined
  else parent.children = withoutChild(parent.children, child)
}

function withoutChild<V>(children: Children<V>, child: FilterNode<V>): Children<V> {
  if (children instanceof Map) {
    children.delete(child.level)
    // Half of what makes a Map, so that one filter coming and going does not convert it each time.
    return children.size > MOST_LISTED / 2 ? children : [...children.values()]
  }
  if (!Array.isArray(children)) return undefined
  const rest = children.filter((each) => each !== child)
  return rest.length === 1 ? rest[0] : rest
}

function isEmpty<V>(node: FilterNode<V>): boolean {
  return node.filter === '' && node.children === undefined && node.plus === undefined && node.hash === undefined
}
