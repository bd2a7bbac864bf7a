// What a Topic Name leads to: the filters that match it. Joining or leaving an existing filter touches no route; the
// birth or death of a filter is noticed when the route is next used (router.ts). A client with several matching
// subscriptions gets one copy with the highest QoS [MQTT-3.3.5-1]: overlaps are merged once and remembered.
import type { QoS } from '../../mqtt/qos.ts'
import type { Session } from '../sessions/session.ts'
import type { Recipients } from './recipients.ts'
import type { Target } from './subscription.ts'

export class Route {
  readonly recipients: Recipients[]
  /** The trie's change counter when the list was last known to be right. */
  checkedAt: number
  #mergedVersion = -1
  #merged: Target[] | undefined

  constructor(recipients: Recipients[], checkedAt: number) {
    this.recipients = recipients
    this.checkedAt = checkedAt
  }

  /** The merged targets when some session stands in more than one of the lists; undefined when none does. */
  overlap(): Target[] | undefined {
    // Versions only grow, so their sum changes whenever one of them does.
    let version = 0
    for (const each of this.recipients) version += each.version
    if (version !== this.#mergedVersion) {
      this.#mergedVersion = version
      this.#merged = mergeOverlaps(this.recipients)
    }
    return this.#merged
  }
}

function mergeOverlaps(lists: Recipients[]): Target[] | undefined {
  const bySession = new Map<Session, Target>()
  let overlapping = false
  for (const list of lists) {
    for (const subscription of list.members) {
      const known = bySession.get(subscription.session)
      if (known !== undefined) overlapping = true
      bySession.set(subscription.session, known === undefined ? subscription : merge(known, subscription))
    }
  }
  return overlapping ? [...bySession.values()] : undefined
}

function merge(a: Target, b: Target): Target {
  return {
    session: a.session,
    qos: Math.max(a.qos, b.qos) as QoS, // [MQTT-3.3.4-2]
    noLocal: a.noLocal && b.noLocal,
    own: ownOf(a, b),
    isPlain: a.isPlain && b.isPlain,
    group: undefined,
    retainAsPublished: a.retainAsPublished || b.retainAsPublished,
    subscriptionIds:
      a.subscriptionIds === undefined ? b.subscriptionIds : [...a.subscriptionIds, ...(b.subscriptionIds ?? [])], // [MQTT-3.3.4-4]
  }
}

/** What is left for the session's own publications when only some of its subscriptions are No Local [MQTT-3.8.3-3]. */
function ownOf(a: Target, b: Target): Target | undefined {
  if (a.noLocal) return b.own ?? b
  if (b.noLocal) return a.own ?? a
  return a.own === undefined ? undefined : merge(a.own, b)
}
