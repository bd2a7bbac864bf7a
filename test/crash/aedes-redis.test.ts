// The same as kill-9.test.ts with the sessions in Redis, through aedes-persistence-redis: what a batch left half done when the
// broker was killed is taken back at the restart.
import { test as uvu } from 'uvu'
import { closePeers, withPeer } from '../support/peers.ts'
import { Redis } from '../support/redis.ts'
import { longSize, longTests, skipped, target } from '../support/target.ts'
import { crash } from './rounds.ts'

const ROUNDS = longTests ? longSize(10) : 3
const MOST = 600

const test = target === 'martlet' ? withPeer(uvu, 'redis-server') : skipped(uvu, 'Mosquitto has no such backends')
uvu.after.each(closePeers)

test(`${ROUNDS} kills with the sessions in Redis: no acknowledged message lost, no QoS 2 message twice, order kept`, async () => {
  const redis = await new Redis().start()
  await crash(ROUNDS, MOST, redis.settings)
  await redis.end()
})

uvu.run()
