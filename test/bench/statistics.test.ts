import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { median, spread } from '../../bench/statistics.ts'

test('the median is the middle value, whatever the order', () => {
  assert.is(median([9, 1, 5]), 5)
  assert.is(median([10, 2, 9, 1]), 5.5)
  assert.is(median([100, 9, 1]), 9, 'compared as numbers, not as text')
})

test('nothing has no median', () => {
  assert.is(median([]), undefined)
})

test('the spread is half the range as a share of the median', () => {
  assert.is(spread([8, 10, 12]), 0.2)
  assert.is(spread([3]), 0)
  assert.is(spread([]), 0)
})

test.run()
