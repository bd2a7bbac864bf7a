import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Counters } from '../../src/telemetry/counters.ts'
import { SysTopics, sysTopics } from '../../src/telemetry/sys-topics.ts'

const facts = { version: 'martlet 0.1.0', uptime: 0, heap: 1000 }

test('values have Mosquitto’s names', () => {
  const counters = new Counters()
  counters.sessions = 3
  counters.clientConnected()
  counters.publishReceived = 7
  counters.droppedQueueFull = 2
  counters.droppedOutputFull = 1
  const values = new Map(sysTopics(counters, { ...facts, uptime: 12.9 }))
  assert.is(values.get('$SYS/broker/version'), 'martlet 0.1.0')
  assert.is(values.get('$SYS/broker/uptime'), '12 seconds')
  assert.is(values.get('$SYS/broker/clients/connected'), '1')
  assert.is(values.get('$SYS/broker/clients/disconnected'), '2')
  assert.is(values.get('$SYS/broker/clients/total'), '3')
  assert.is(values.get('$SYS/broker/publish/messages/received'), '7')
  assert.is(values.get('$SYS/broker/publish/messages/dropped'), '3')
  assert.is(values.get('$SYS/broker/retained messages/count'), '0')
})

test('at first every topic is told, then only what has changed', () => {
  const counters = new Counters()
  const sys = new SysTopics()
  const first = sys.changed(counters, facts)
  assert.ok(first.length > 40)
  assert.is(new Set(first.map(([topic]) => topic)).size, first.length)
  assert.equal(sys.changed(counters, facts), [])
  counters.messagesSent++
  assert.equal(
    sys.changed(counters, facts).map(([topic]) => topic),
    ['$SYS/broker/messages/sent'],
  )
})

test('the maximum of the heap stays', () => {
  const sys = new SysTopics()
  const counters = new Counters()
  assert.equal(sys.changed(counters, facts).find(([topic]) => topic === '$SYS/broker/heap/maximum')?.[1], '1000')
  assert.equal(sys.changed(counters, { ...facts, heap: 10 }), [['$SYS/broker/heap/current', '10']])
})

test('load averages approach the rate a minute, the short ones first', () => {
  const counters = new Counters()
  const sys = new SysTopics()
  const values = new Map<string, string>()
  for (let uptime = 10; uptime <= 600; uptime += 10) {
    counters.messagesReceived += 100 // 600 a minute
    for (const [topic, value] of sys.changed(counters, { ...facts, uptime })) values.set(topic, value)
  }
  const load = (window: string): number => Number(values.get(`$SYS/broker/load/messages/received/${window}`))
  assert.ok(Math.abs(load('1min') - 600) < 1)
  assert.ok(load('5min') > 500 && load('5min') < load('1min'))
  assert.ok(load('15min') > 250 && load('15min') < load('5min'))
})

test('the maxima of connections and clients are kept', () => {
  const counters = new Counters()
  counters.connectionOpened()
  counters.connectionOpened()
  counters.connectionClosed()
  counters.clientConnected()
  counters.clientDisconnected()
  assert.equal([counters.connectionsTotal, counters.connectionsCurrent, counters.connectionsMaximum], [2, 1, 2])
  assert.equal([counters.clientsConnected, counters.clientsMaximum, counters.connectsAccepted], [0, 1, 1])
})

test.run()
