// Topic Names and Topic Filters: what makes one valid, and the one matcher of the project (section 4.7). Routing,
// retained messages and access control all ask `matches`; nobody else compares topics with filters.

import { isWellFormedUtf8 } from './utf8.ts'

/** Levels a Topic Name or Filter may have unless the caller says otherwise: depth costs memory and stack in tries. */
export const MAX_TOPIC_LEVELS = 200

/** Bytes of UTF-8 a Topic Name or Filter may have [MQTT-4.7.3-3]. */
export const MAX_TOPIC_BYTES = 65535

const SLASH = 0x2f
const PLUS = 0x2b
const HASH = 0x23
const DOLLAR = 0x24
const SHARE = '$share/'

/** What is wrong with a Topic Name, in words fit for a log or a Reason String; undefined if nothing is. */
export function topicNameProblem(name: string, maxLevels = MAX_TOPIC_LEVELS): string | undefined {
  const problem = lengthProblem(name, 'Topic Name')
  if (problem !== undefined) return problem
  let levels = 1
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i)
    if (c === SLASH) levels++
    else if (c === PLUS || c === HASH) return 'Topic Name with a wildcard [MQTT-3.3.2-2]'
    else if (c === 0) return 'Topic Name with U+0000 [MQTT-4.7.3-2]'
  }
  return levels > maxLevels ? `Topic Name with ${levels} levels, the limit is ${maxLevels}` : undefined
}

/** Whether `name` can be published to: `topicNameProblem` finds nothing. */
export function isTopicName(name: string, maxLevels = MAX_TOPIC_LEVELS): boolean {
  return topicNameProblem(name, maxLevels) === undefined
}

/**
 * What is wrong with a Topic Filter, undefined if nothing is. `$share/…` is an ordinary filter here: ask
 * `sharedFilterProblem` about its group.
 */
export function topicFilterProblem(filter: string, maxLevels = MAX_TOPIC_LEVELS): string | undefined {
  const problem = lengthProblem(filter, 'Topic Filter')
  if (problem !== undefined) return problem
  const last = filter.length - 1
  let levels = 1
  for (let i = 0; i <= last; i++) {
    const c = filter.charCodeAt(i)
    if (c === SLASH) levels++
    else if (c === HASH) {
      if (i !== last) return "Topic Filter with '#' before its end [MQTT-4.7.1-1]"
      if (i > 0 && filter.charCodeAt(i - 1) !== SLASH) return "Topic Filter with '#' inside a level [MQTT-4.7.1-1]"
    } else if (c === PLUS) {
      const alone =
        (i === 0 || filter.charCodeAt(i - 1) === SLASH) && (i === last || filter.charCodeAt(i + 1) === SLASH)
      if (!alone) return "Topic Filter with '+' inside a level [MQTT-4.7.1-2]"
    } else if (c === 0) return 'Topic Filter with U+0000 [MQTT-4.7.3-2]'
  }
  return levels > maxLevels ? `Topic Filter with ${levels} levels, the limit is ${maxLevels}` : undefined
}

function lengthProblem(topic: string, what: string): string | undefined {
  if (topic.length === 0) return `${what} without a character [MQTT-4.7.3-1]`
  // A UTF-16 unit takes at most 3 bytes, so the count is rarely needed.
  if (topic.length * 3 > MAX_TOPIC_BYTES && Buffer.byteLength(topic) > MAX_TOPIC_BYTES) {
    return `${what} longer than ${MAX_TOPIC_BYTES} bytes [MQTT-4.7.3-3]`
  }
  return undefined
}

/**
 * What is wrong with the Topic Name in `length` bytes from `offset`, undefined if nothing is: the check of the wire,
 * where UTF-8 cannot be taken for granted. Depth is not checked, see `topicNameProblem`.
 */
export function topicProblemInBytes(bytes: Uint8Array, offset: number, length: number): string | undefined {
  if (length === 0) return 'Topic Name without a character [MQTT-4.7.3-1]'
  const end = offset + length
  let ascii = true
  for (let at = offset; at < end; at++) {
    const byte = bytes[at]
    if (byte === PLUS || byte === HASH) return 'Topic Name with a wildcard [MQTT-3.3.2-2]'
    if (byte === 0) return 'Topic Name with U+0000 [MQTT-4.7.3-2]'
    if (byte >= 0x80) ascii = false
  }
  if (!ascii && !isWellFormedUtf8(bytes, offset, length)) return 'Topic Name with ill-formed UTF-8 [MQTT-3.3.2-1]'
  return undefined
}

/**
 * Whether a Topic Filter matches a Topic Name (section 4.7), character by character, without case or normalisation
 * [MQTT-4.7.3-4]. Both must be valid; a Shared Subscription's filter is compared without its `$share/group/`.
 */
export function matches(filter: string, topicName: string): boolean {
  const first = filter.charCodeAt(0)
  // Wildcards at the front are not for server topics such as $SYS [MQTT-4.7.2-1]
  if ((first === HASH || first === PLUS) && topicName.charCodeAt(0) === DOLLAR) return false

  const filterLength = filter.length
  const nameLength = topicName.length
  let f = 0
  let n = 0
  while (f < filterLength) {
    const c = filter.charCodeAt(f)
    if (c === HASH) return true
    if (c === PLUS) {
      while (n < nameLength && topicName.charCodeAt(n) !== SLASH) n++
      f++
      continue
    }
    if (n === nameLength) {
      // "sport/#" matches "sport": '#' stands for the parent level too
      return c === SLASH && f + 2 === filterLength && filter.charCodeAt(f + 1) === HASH
    }
    if (c !== topicName.charCodeAt(n)) return false
    f++
    n++
  }
  return n === nameLength
}

/** The levels of a Topic Name or Filter: `levels('/a')` is `['', 'a']`. */
export function levels(topic: string): string[] {
  return topic.split('/')
}

/** The parts of `$share/group/filter`. */
export interface SharedFilter {
  readonly group: string
  readonly filter: string
}

/** Whether a Topic Filter asks for a Shared Subscription: it begins with `$share/` (section 4.8.2). */
export function isSharedFilter(filter: string): boolean {
  return filter.startsWith(SHARE)
}

/**
 * The parts of a Shared Subscription's Topic Filter; undefined if it is not one, or not a valid one (what is wrong
 * with it, `sharedFilterProblem` says).
 */
export function parseSharedFilter(filter: string): SharedFilter | undefined {
  if (!isSharedFilter(filter)) return undefined
  const slash = filter.indexOf('/', SHARE.length)
  if (slash <= SHARE.length || slash === filter.length - 1) return undefined
  const group = filter.slice(SHARE.length, slash)
  if (group.includes('+') || group.includes('#')) return undefined
  return { group, filter: filter.slice(slash + 1) }
}

/** What is wrong with a Topic Filter that begins with `$share/`, its inner filter included; undefined if nothing is. */
export function sharedFilterProblem(filter: string, maxLevels = MAX_TOPIC_LEVELS): string | undefined {
  const slash = filter.indexOf('/', SHARE.length)
  if (slash === SHARE.length || filter.length === SHARE.length) {
    return 'Shared Subscription without a ShareName [MQTT-4.8.2-1]'
  }
  const group = slash < 0 ? filter.slice(SHARE.length) : filter.slice(SHARE.length, slash)
  if (group.includes('+') || group.includes('#')) return 'ShareName with a wildcard [MQTT-4.8.2-2]'
  if (slash < 0 || slash === filter.length - 1) return 'Shared Subscription without a Topic Filter [MQTT-4.8.2-2]'
  return topicFilterProblem(filter.slice(slash + 1), maxLevels)
}
