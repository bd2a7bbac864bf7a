// Who subscribed to what, found by topic. As Aedes wants it: one answer for every filter that matches, and `#` matches
// topics that begin with `$` too, because Aedes leaves those out itself.

interface Node<T> {
  readonly children: Map<string, Node<T>>
  /** Client → what it has here. */
  readonly values: Map<string, T>
}

export class FilterTree<T> {
  /** How many values are in it. */
  size = 0
  readonly #root: Node<T> = newNode()

  set(filter: string, clientId: string, value: T): void {
    let node = this.#root
    for (const level of filter.split('/')) {
      let child = node.children.get(level)
      if (child === undefined) {
        child = newNode()
        node.children.set(level, child)
      }
      node = child
    }
    if (!node.values.has(clientId)) this.size++
    node.values.set(clientId, value)
  }

  delete(filter: string, clientId: string): void {
    const path: [Node<T>, string][] = []
    let node = this.#root
    for (const level of filter.split('/')) {
      const child = node.children.get(level)
      if (child === undefined) return
      path.push([node, level])
      node = child
    }
    if (node.values.delete(clientId)) this.size--
    // Empty branches go, from the leaf up.
    for (const [parent, level] of path.reverse()) {
      const child = parent.children.get(level)!
      if (child.values.size > 0 || child.children.size > 0) return
      parent.children.delete(level)
    }
  }

  match(topic: string): T[] {
    const found: T[] = []
    const levels = topic.split('/')
    const visit = (node: Node<T>, depth: number): void => {
      const rest = node.children.get('#')
      if (rest !== undefined) found.push(...rest.values.values()) // `a/#` matches `a` [MQTT-4.7.1-2]
      if (depth === levels.length) {
        found.push(...node.values.values())
        return
      }
      for (const level of ['+', levels[depth]!]) {
        const child = node.children.get(level)
        if (child !== undefined) visit(child, depth + 1)
      }
    }
    visit(this.#root, 0)
    return found
  }
}

function newNode<T>(): Node<T> {
  return { children: new Map(), values: new Map() }
}
