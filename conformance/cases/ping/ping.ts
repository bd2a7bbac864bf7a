// PINGREQ, PINGRESP and the Keep Alive.

import { defineCase } from '../../case.ts'
import type { Context } from '../../context.ts'
import * as wire from '../../wire.ts'
import { hex } from '../../wire.ts'
import { timePasses } from '../common.ts'

defineCase({
  id: 'answered',
  area: 'ping',
  title: 'Each PINGREQ is answered with one PINGRESP',
  clauses: { '3.1.1': ['MQTT-3.12.4-1'], '5': ['MQTT-3.12.4-1'] },
  async run(t) {
    const client = await t.connect()
    for (let n = 0; n < 3; n++) await client.flush(`PINGRESP number ${n + 1}`)
    client.send(Buffer.concat([wire.PINGREQ, wire.PINGREQ, wire.PINGREQ]))
    for (let n = 0; n < 3; n++)
      await client.take('pingresp', { why: `PINGRESP ${n + 1} of 3 to three PINGREQ in one write` })
    t.equal(client.inbox.length, 0, 'number of further packets')
  },
})

defineCase({
  id: 'with-a-body',
  area: 'ping',
  title: 'PINGREQ with a Remaining Length that is not 0 closes the connection',
  clauses: { '3.1.1': ['MQTT-4.8.0-1'], '5': ['MQTT-4.13.1-1'] },
  async run(t) {
    const client = await t.connect()
    await t.rejected(client, hex('c0 01 00'), 'PINGREQ has no body', [0x81])
  },
})

/** The Keep Alive that counts: the server's own if it dictates one. */
function keepAlive(t: Context, wanted: number): number {
  const dictated = t.features.serverKeepAlive
  if (dictated !== undefined && dictated > 5) t.skip(`the server dictates a Keep Alive of ${dictated} s`)
  return dictated ?? wanted
}

defineCase({
  id: 'silence-closes',
  area: 'keep-alive',
  title: 'A client silent for 1.5 times its Keep Alive is disconnected (10 s of grace for coarse timers)',
  clauses: { '3.1.1': ['MQTT-3.1.2-24'], '5': ['MQTT-3.1.2-22', 'MQTT-3.2.2-22'] },
  deadline: 30_000,
  async run(t) {
    const seconds = keepAlive(t, 1)
    const client = await t.connect({ keepAlive: seconds })
    const begin = performance.now()
    const before = await client.closed(`nothing was sent for 1.5 times ${seconds} s`, seconds * 1500 + 10_000)
    const took = (performance.now() - begin) / 1000
    if (took > seconds * 1.5 + 1) t.remark(`closed after ${took.toFixed(1)} s, later than ${seconds * 1.5} s`)
    const disconnect = before.find((p) => p.kind === 'disconnect')
    if (t.v5 && disconnect === undefined) t.remark('closed without DISCONNECT 0x8D')
    if (disconnect !== undefined)
      t.check(disconnect.code === 0x8d, 'DISCONNECT with 0x8D Keep Alive timeout', disconnect)
  },
})

defineCase({
  id: 'pings-keep-alive',
  area: 'keep-alive',
  title: 'A client that sends PINGREQ within its Keep Alive stays connected',
  clauses: { '3.1.1': ['MQTT-3.12.4-1', 'MQTT-4.1.0-2'], '5': ['MQTT-3.12.4-1', 'MQTT-3.2.2-22'] },
  async run(t) {
    const client = await t.connect({ keepAlive: keepAlive(t, 2) })
    for (let n = 0; n < 6; n++) {
      await timePasses(1000)
      await client.flush(`PINGRESP after ${n + 1} s with a Keep Alive of 2 s`)
    }
  },
})

defineCase({
  id: 'other-packets-keep-alive',
  area: 'keep-alive',
  title: 'Any packet of the client counts for the Keep Alive, not only PINGREQ',
  clauses: { '3.1.1': ['MQTT-3.1.2-24'], '5': ['MQTT-3.1.2-22'] },
  async run(t) {
    const client = await t.connect({ keepAlive: keepAlive(t, 2) })
    for (let n = 0; n < 6; n++) {
      await timePasses(1000)
      client.send(wire.publish(t.version, { topic: t.topic('a'), payload: `${n}` }))
    }
    await client.flush('PINGRESP: still connected after 6 s of PUBLISH packets with a Keep Alive of 2 s')
  },
})

defineCase({
  id: 'zero-turns-it-off',
  area: 'keep-alive',
  title: 'With Keep Alive 0 a silent client is not disconnected for it',
  clauses: { '3.1.1': ['MQTT-3.1.2-24'], '5': ['MQTT-3.1.2-22'] },
  async run(t) {
    keepAlive(t, 0)
    const client = await t.connect({ keepAlive: 0 })
    await timePasses(4000)
    await client.flush('PINGRESP after 4 s of silence')
  },
})
