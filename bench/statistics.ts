// Medians and spreads. Pure.

/** The middle value, or the mean of the two in the middle; undefined for no values. */
export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * How far the values lie apart: half the distance between the smallest and the largest, as a share of the median.
 * 0 when there is nothing to compare.
 */
export function spread(values: readonly number[]): number {
  const middle = median(values)
  if (!middle) return 0
  return (Math.max(...values) - Math.min(...values)) / 2 / middle
}
