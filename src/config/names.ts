// Names of settings as people write them: camelCase in programs, MARTLET_… in the environment, and wrong ones. Pure.

/** `max_queued_bytes` → `maxQueuedBytes`. */
export function camelCase(key: string): string {
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

/** `Did you mean …?` for a key that is nearly one of `keys`, as it is `written` there; undefined when none is near. */
export function suggestion(
  key: string,
  keys: readonly string[],
  written: (key: string) => string = (key) => key,
): string | undefined {
  const plain = plainName(key.slice(0, 64))
  const nearest = keys
    .map((candidate) => ({ candidate, distance: editDistance(plain, plainName(candidate)) }))
    .sort((a, b) => a.distance - b.distance)[0]
  return nearest !== undefined && nearest.distance <= 3 ? `Did you mean ${written(nearest.candidate)}?` : undefined
}

/** maxQueuedMessages, MAX_QUEUED_MESSAGES and max-queued-messages are max_queued_messages to whoever wrote them. */
function plainName(key: string): string {
  return key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toLowerCase()
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(previous[j]! + 1, row[j - 1]! + 1, substituted))
    }
    previous = row
  }
  return previous[b.length]!
}
