// Owns the retained message of each Topic Name, by level, so that a subscription finds those it matches without a look at
// the rest. What a message is, its expiry and its bytes are the caller's; so is the message that `set` or `delete` returns.
//
// A cursor walks the matching part in small steps, as fast as a socket takes it, while messages come and go. Siblings are
// a list with new ones in front, and a node taken out keeps its links: whoever stands on it finds the way on, and can only
// be led to nodes older than itself, so nothing unbounded hangs on a cursor that never moves. What is retained after a
// cursor was made may be missed by it: its subscription is told of it by the publication itself.

import { LevelStrings, levelEnd } from '../routing/level-strings.ts'

/** From this many children on they are found by a Map. */
const INDEXED = 8
/** Nodes a cursor may visit for each message it may return, so that a step is short even where nothing matches. */
const STEPS_PER_MESSAGE = 32

class RetainedNode<M> {
  readonly parent: RetainedNode<M> | undefined
  readonly level: string
  message: M | undefined = undefined
  firstChild: RetainedNode<M> | undefined = undefined
  previous: RetainedNode<M> | undefined = undefined
  next: RetainedNode<M> | undefined = undefined
  childCount = 0
  index: Map<string, RetainedNode<M>> | undefined = undefined

  constructor(parent: RetainedNode<M> | undefined, level: string) {
    this.parent = parent
    this.level = level
  }
}

export class RetainedMessages<M> {
  readonly #root = new RetainedNode<M>(undefined, '')
  readonly #levels = new LevelStrings()
  #size = 0

  /** How many topics have a retained message. */
  get size(): number {
    return this.#size
  }

  get(topicName: string): M | undefined {
    return this.#find(topicName)?.message
  }

  /** Retains a message; returns the one it replaces [MQTT-3.3.1-5]. A name of n levels costs n nodes: limit them before. */
  set(topicName: string, message: M): M | undefined {
    let node = this.#root
    for (let start = 0; start <= topicName.length; ) {
      const end = levelEnd(topicName, start)
      const level = topicName.slice(start, end)
      node = childOf(node, level) ?? addChild(node, this.#levels.intern(level))
      start = end + 1
    }
    const previous = node.message
    if (previous === undefined) this.#size++
    node.message = message
    return previous
  }

  /** Takes the topic's message out and returns it, with the nodes only it needed: [MQTT-3.3.1-10] (MQTT 5: [MQTT-3.3.1-6]). */
  delete(topicName: string): M | undefined {
    let node = this.#find(topicName)
    if (node === undefined || node.message === undefined) return undefined
    const message = node.message
    node.message = undefined
    this.#size--
    while (node.parent !== undefined && node.message === undefined && node.firstChild === undefined) {
      removeChild(node.parent, node)
      node = node.parent
    }
    return message
  }

  /** A cursor over the messages whose topics match a valid Topic Filter. Making it costs nothing but the filter's levels. */
  match(filter: string): RetainedCursor<M> {
    return new RetainedCursor(this.#root, filter.split('/'), filter[0] === '+' || filter[0] === '#')
  }

  /** A cursor over all messages, those of `$` topics too. */
  all(): RetainedCursor<M> {
    return new RetainedCursor(this.#root, ['#'], false)
  }

  #find(topicName: string): RetainedNode<M> | undefined {
    let node: RetainedNode<M> | undefined = this.#root
    for (let start = 0; start <= topicName.length && node !== undefined; ) {
      const end = levelEnd(topicName, start)
      node = childOf(node, topicName.slice(start, end))
      start = end + 1
    }
    return node
  }
}

/** A place in a walk over retained messages; it may be left at any time, and holds no more than the nodes it stands on. */
export class RetainedCursor<M> {
  readonly #filter: readonly string[]
  /** [MQTT-4.7.2-1] The filter begins with a wildcard: no topic that begins with $. */
  readonly #hidesDollar: boolean
  /** The level at which `#` stands, or Infinity. */
  readonly #hashLevel: number
  /** The node to visit next; undefined at the end. */
  #node: RetainedNode<M> | undefined
  /** Levels above it: 0 for the root. */
  #depth = 0

  constructor(root: RetainedNode<M>, filter: readonly string[], hidesDollar: boolean) {
    this.#node = root
    this.#filter = filter
    this.#hidesDollar = hidesDollar
    this.#hashLevel = filter[filter.length - 1] === '#' ? filter.length - 1 : Infinity
  }

  /** Nothing is left to return. */
  get done(): boolean {
    return this.#node === undefined
  }

  /**
   * The next messages, at most `limit`, each topic once. Fewer, even none, does not mean the end: the work of one call is
   * bounded too. Ask `done`.
   */
  next(limit: number): M[] {
    const messages: M[] = []
    let steps = limit * STEPS_PER_MESSAGE
    while (this.#node !== undefined && messages.length < limit && steps-- > 0) {
      const node = this.#node
      const hidden = this.#isHidden(node)
      if (!hidden && node.message !== undefined && this.#matches()) messages.push(node.message)
      this.#node = (hidden ? undefined : this.#descend(node)) ?? this.#goOn(node)
    }
    return messages
  }

  /** Whether the filter ends at the node stood on, or `#` covers it: [MQTT-4.7.1-2] the level above `#` included. */
  #matches(): boolean {
    return this.#depth >= this.#hashLevel || this.#depth === this.#filter.length
  }

  /** The first child that the filter allows. */
  #descend(node: RetainedNode<M>): RetainedNode<M> | undefined {
    let child: RetainedNode<M> | undefined
    if (this.#isWild(this.#depth)) child = node.firstChild
    else if (this.#depth < this.#filter.length) child = childOf(node, this.#filter[this.#depth])
    if (child !== undefined) this.#depth++
    return child
  }

  /** The next node beside this one or beside one above it; one taken out meanwhile is visited for its links alone. */
  #goOn(from: RetainedNode<M>): RetainedNode<M> | undefined {
    let node = from
    while (node.parent !== undefined) {
      if (node.next !== undefined && this.#isWild(this.#depth - 1)) return node.next
      node = node.parent
      this.#depth--
    }
    return undefined
  }

  /** Whether any child of a node at this depth fits. */
  #isWild(depth: number): boolean {
    return depth >= this.#hashLevel || this.#filter[depth] === '+'
  }

  #isHidden(node: RetainedNode<M>): boolean {
    return this.#hidesDollar && this.#depth === 1 && node.level.charCodeAt(0) === 0x24
  }
}

function childOf<M>(node: RetainedNode<M>, level: string): RetainedNode<M> | undefined {
  if (node.index !== undefined) return node.index.get(level)
  let child = node.firstChild
  while (child !== undefined && child.level !== level) child = child.next
  return child
}

function addChild<M>(parent: RetainedNode<M>, level: string): RetainedNode<M> {
  const child = new RetainedNode<M>(parent, level)
  child.next = parent.firstChild
  if (child.next !== undefined) child.next.previous = child
  parent.firstChild = child
  parent.childCount++
  if (parent.index !== undefined) parent.index.set(level, child)
  else if (parent.childCount > INDEXED) {
    parent.index = new Map()
    for (let each: RetainedNode<M> | undefined = child; each; each = each.next) parent.index.set(each.level, each)
  }
  return child
}

/**
 * Takes a node, which has neither message nor children, out of its parent's list; it never comes back. Its own `next`
 * stays, for a cursor may stand on it; `previous` would lead to newer nodes, and keep all that ever came there.
 */
function removeChild<M>(parent: RetainedNode<M>, child: RetainedNode<M>): void {
  if (child.previous === undefined) parent.firstChild = child.next
  else child.previous.next = child.next
  if (child.next !== undefined) child.next.previous = child.previous
  child.previous = undefined
  parent.childCount--
  parent.index?.delete(child.level)
  if (parent.childCount <= INDEXED / 2) parent.index = undefined
}
