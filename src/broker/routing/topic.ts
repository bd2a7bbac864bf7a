// A Topic Name with what is worth remembering of it: whether it is valid, and its route. A topic id of the reactor is
// only a cache key for the turn that shows it; whatever outlives the turn holds one of these.
import { topicNameProblem } from '../../mqtt/topic.ts'
import type { Route } from './route.ts'
import type { Subscription } from './subscription.ts'

export class Topic {
  readonly name: string
  /** Why the name is not a Topic Name, for the log; undefined when it is one. */
  readonly problem: string | undefined
  /** Filled by the router, checked against the trie's changes at each use. */
  route: Route | undefined
  /**
   * The only subscription there is, with the router's membership counter when that was so. With thousands of topics in
   * play, what costs is memory touched per message: this skips the route and its lists.
   */
  single: Subscription | undefined
  singleAt = -1
  /** Slot of the connection that published last, and how often in a row: see shortcuts.ts. */
  publishedBy = -1
  steady = 0

  /** Topics that begin with $SYS are the broker's own to publish. */
  readonly isSystem: boolean
  /** It was seen often enough to have an id: worth a Topic Alias. */
  readonly isFrequent: boolean

  constructor(name: string, problem: string | undefined, isFrequent = false) {
    this.name = name
    this.problem = problem
    this.isFrequent = isFrequent
    this.isSystem = name.startsWith('$SYS/')
  }

  static of(name: string, maxLevels: number): Topic {
    return new Topic(name, topicNameProblem(name, maxLevels))
  }
}
