// mosquitto_pub and mosquitto_sub against the broker, as its first user types them.
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { closePeers, messagesOf, mosquittoPub, mosquittoSub, withPeer } from '../support/peers.ts'
import { sized } from '../support/target.ts'

const broker = await startBroker()
const test = withPeer(uvu, 'mosquitto_pub')
uvu.after.each(closePeers)
uvu.after(() => broker.stopCleanly())

for (const version of ['mqttv31', 'mqttv311']) {
  for (const qos of ['0', '1', '2']) {
    test(`mosquitto_pub -q ${qos} -V ${version} reaches mosquitto_sub -q ${qos} -t '#' -v`, async () => {
      const subscriber = await mosquittoSub(broker, ['-t', '#', '-q', qos, '-V', version])
      await mosquittoPub(broker, ['-t', 'greeting', '-m', 'hello', '-q', qos, '-V', version])
      assert.equal(await messagesOf(subscriber, 1), [`greeting ${qos} 0 hello`])
    })
  }
}

for (const qos of ['0', '1', '2']) {
  test(`500 lines of mosquitto_pub -l -q ${qos} arrive complete and in order`, async () => {
    const subscriber = await mosquittoSub(broker, ['-t', 'lines', '-q', qos])
    const lines = Array.from({ length: 500 }, (_, n) => `line-${n}`)
    await mosquittoPub(broker, ['-t', 'lines', '-l', '-q', qos], `${lines.join('\n')}\n`)
    assert.equal(
      await messagesOf(subscriber, 500),
      lines.map((line) => `lines ${qos} 0 ${line}`),
    )
  })
}

test('a retained message greets mosquitto_sub, and -n -r clears it', async () => {
  await mosquittoPub(broker, ['-t', 'state', '-m', 'on', '-r', '-q', '1'])
  const subscriber = await mosquittoSub(broker, ['-t', 'state', '-q', '1'])
  assert.equal(await messagesOf(subscriber, 1), ['state 1 1 on'])
  await mosquittoPub(broker, ['-t', 'state', '-n', '-r', '-q', '1'])
  const later = await mosquittoSub(broker, ['-t', 'state', '-t', 'end'])
  await mosquittoPub(broker, ['-t', 'end', '-m', 'end'])
  assert.equal(await messagesOf(later, 1), ['end 0 0 end'])
})

test('kill -9 of mosquitto_sub publishes its will, its DISCONNECT does not', async () => {
  const watcher = await mosquittoSub(broker, ['-t', 'wills/#', '-q', '2'])
  const will = (id: string) => [
    '-t',
    'x',
    '-i',
    id,
    '--will-topic',
    `wills/${id}`,
    '--will-payload',
    'gone',
    '--will-qos',
    '2',
  ]
  const polite = await mosquittoSub(broker, will('polite'))
  polite.terminate()
  await polite.exit()
  const killed = await mosquittoSub(broker, will('killed'))
  killed.kill9()
  assert.equal(await messagesOf(watcher, 1), ['wills/killed 2 0 gone'])
})

for (const qos of ['1', '2']) {
  test(`mosquitto_sub -c gets the QoS ${qos} messages published while it was away`, async () => {
    const session = ['-c', '-i', `away-${qos}`, '-t', `away/${qos}`, '-q', qos]
    const first = await mosquittoSub(broker, session)
    first.terminate()
    await first.exit()
    for (let n = 0; n < 3; n++) await mosquittoPub(broker, ['-t', `away/${qos}`, '-m', `${n}`, '-q', qos])
    const second = await mosquittoSub(broker, session)
    await mosquittoPub(broker, ['-t', `away/${qos}`, '-m', '3', '-q', qos])
    assert.equal(
      await messagesOf(second, 4),
      ['0', '1', '2', '3'].map((text) => `away/${qos} ${qos} 0 ${text}`),
    )
  })
}

test('a file of mosquitto_pub -s arrives with its length', async () => {
  const subscriber = await mosquittoSub(broker, ['-t', 'file', '-F', '= %t %l'])
  const length = sized(1_500_000, 100_000)
  await mosquittoPub(broker, ['-t', 'file', '-s'], 'x'.repeat(length))
  assert.equal(await messagesOf(subscriber, 1), [`file ${length}`])
})

test('mosquitto_sub -U gives subscriptions up, -T leaves topics out', async () => {
  const subscriber = await mosquittoSub(broker, ['-t', 'a/#', '-T', 'a/quiet', '-U', 'b/#'])
  for (const topic of ['b/x', 'a/quiet', 'a/loud']) await mosquittoPub(broker, ['-t', topic, '-m', 'x'])
  assert.equal(await messagesOf(subscriber, 1), ['a/loud 0 0 x'])
})

test('mosquitto_pub --repeat with an empty client id and a user name works', async () => {
  const subscriber = await mosquittoSub(broker, ['-t', 'repeat', '-u', 'someone', '-P', 'secret'])
  await mosquittoPub(broker, ['-t', 'repeat', '-m', 'r', '--repeat', '5', '-u', 'someone', '-P', 'secret'])
  assert.is((await messagesOf(subscriber, 5)).length, 5)
})

test('the keep alive of mosquitto_sub -k 5 keeps it connected past its first PINGREQ', async () => {
  const subscriber = await mosquittoSub(broker, ['-t', 'k', '-k', '5'])
  await subscriber.waitForLines(/received PINGRESP/)
  await mosquittoPub(broker, ['-t', 'k', '-m', 'still here'])
  assert.equal(await messagesOf(subscriber, 1), ['k 0 0 still here'])
})

uvu.run()
