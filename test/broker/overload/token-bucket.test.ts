// Token buckets and the rates made of them.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RateLimits } from '../../../src/broker/overload/rate-limits.ts'
import { TokenBucket } from '../../../src/broker/overload/token-bucket.ts'
import { Counters } from '../../../src/telemetry/counters.ts'
import { OVERLOAD_SETTINGS } from '../rig.ts'

const PUBLISH = 3
const PUBACK = 4

test('a second’s worth may come at once, and the debt beyond it says how long to wait', () => {
  const bucket = new TokenBucket(10, 0)
  assert.is(bucket.take(10, 0), 0)
  assert.is(bucket.take(5, 0), 500)
  assert.is(bucket.take(0, 400), 100)
  assert.is(bucket.take(0, 500), 0)
  assert.is(bucket.take(10, 100_000), 0, 'what is not used adds up to a second’s worth')
  assert.is(bucket.take(1, 100_000), 100)
})

test('over a long time no more passes than the rate', () => {
  const bucket = new TokenBucket(100, 0)
  let now = 0
  let passed = 0
  for (; now < 60_000; passed++) now += bucket.take(1, now)
  assert.ok(passed <= 6101 && passed >= 6000, `${passed}`)
})

test('acknowledgements are no messages, but their bytes count', () => {
  const settings = { ...OVERLOAD_SETTINGS, clientMessageRate: 1, clientByteRate: 100 }
  const meter = new RateLimits(settings, new Counters()).meter('a', 0)!
  for (let n = 0; n < 50; n++) assert.is(meter.count(PUBACK, 2, 0), 0)
  assert.is(meter.count(PUBACK, 2, 0), 20)
  assert.is(meter.count(PUBLISH, 0, 20), 0)
  assert.is(meter.count(PUBLISH, 0, 20), 1000)
})

test('all clients of an address share its rate, other addresses have their own', () => {
  const rates = new RateLimits({ ...OVERLOAD_SETTINGS, addressMessageRate: 2 }, new Counters())
  const [one, two, other] = [rates.meter('a', 0)!, rates.meter('a', 0)!, rates.meter('b', 0)!]
  assert.is(one.count(PUBLISH, 9, 0), 0)
  assert.is(two.count(PUBLISH, 9, 0), 0)
  assert.is(one.count(PUBLISH, 9, 0), 500)
  assert.is(other.count(PUBLISH, 9, 0), 0)
})

test('nothing is measured unless a rate is limited', () => {
  const rates = new RateLimits(OVERLOAD_SETTINGS, new Counters())
  assert.is(rates.meter('a', 0), undefined)
  assert.is(rates.connect('a', 10_000, 0), 0)
  assert.is(rates.addresses, 0)
})

test('connects wait for their turn, and those that would wait too long take nobody’s', () => {
  const counters = new Counters()
  const rates = new RateLimits({ ...OVERLOAD_SETTINGS, addressConnectRate: 10 }, counters)
  const waits = Array.from({ length: 200 }, () => rates.connect('a', 5000, 0))
  assert.equal(waits.slice(0, 10), Array(10).fill(0))
  assert.is(Math.round(waits[10]!), 100)
  assert.is(waits.filter((wait) => wait === Number.POSITIVE_INFINITY).length, 140)
  assert.is(counters.connectsLimited, 190)
  assert.is(rates.connect('b', 5000, 0), 0)
})

test('a million addresses are not remembered', () => {
  const rates = new RateLimits({ ...OVERLOAD_SETTINGS, addressConnectRate: 1 }, new Counters())
  for (let n = 0; n < 100_000; n++) rates.connect(`a${n}`, 0, 0)
  assert.ok(rates.addresses <= 16_384)
})

test.run()
