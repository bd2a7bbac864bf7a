// A Topic Name with what is worth remembering of it: whether it is valid, and its route. A topic id of the reactor is
// only a cache key for the turn that shows it; whatever outlives the turn holds one of these.
import { topicNameProblem } from '../mqtt/topic.ts'
import type { Route } from './route.ts'

export class Topic {
  readonly name: string
  /** Why the name is not a Topic Name, for the log; undefined when it is one. */
  readonly problem: string | undefined
  /** Filled by the router, checked against the trie's changes at each use. */
  route: Route | undefined

  constructor(name: string, problem: string | undefined) {
    this.name = name
    this.problem = problem
  }

  static of(name: string, maxLevels: number): Topic {
    return new Topic(name, topicNameProblem(name, maxLevels))
  }

  /** Topics that begin with $SYS are the broker's own to publish. */
  get isSystem(): boolean {
    return this.name.startsWith('$SYS/')
  }
}
