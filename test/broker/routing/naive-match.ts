// The specification's words, as directly as they can be written: the oracle for the tries, and for nothing else.

/** Whether a valid Topic Filter matches a valid Topic Name (MQTT 4.7). */
export function naiveMatch(filter: string, topicName: string): boolean {
  if (topicName.startsWith('$') && /^[+#]/.test(filter)) return false
  const filterLevels = filter.split('/')
  const nameLevels = topicName.split('/')
  if (filterLevels.at(-1) === '#') {
    filterLevels.pop()
    // `#` stands for the level above it and any number below.
    if (nameLevels.length < filterLevels.length) return false
    nameLevels.length = filterLevels.length
  }
  if (nameLevels.length !== filterLevels.length) return false
  return filterLevels.every((level, index) => level === '+' || level === nameLevels[index])
}
