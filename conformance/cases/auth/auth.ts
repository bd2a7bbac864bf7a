// Enhanced authentication, as far as it shows without a method both sides know.

import { defineCase, defineInvariant } from '../../case.ts'
import { describe, prop } from '../../packet.ts'
import * as wire from '../../wire.ts'
import { property } from '../../wire.ts'

defineInvariant({
  id: 'none-unless-asked',
  area: 'auth',
  title: 'To a client that named no Authentication Method the server sends neither AUTH nor a method',
  clauses: { '5': ['MQTT-4.12.0-6'] },
  judge: (log) => {
    const connect = log.entries.find((e) => e.direction === 'sent' && e.packet.kind === 'connect')?.packet
    if (connect === undefined || prop(connect, 'authenticationMethod') !== undefined) return { applied: 0, broken: [] }
    const all = log.entries.filter((e) => e.direction === 'received').map((e) => e.packet)
    const wrong = all.filter((p) => p.kind === 'auth' || prop(p, 'authenticationMethod') !== undefined)
    return { applied: all.length, broken: wrong.map(describe) }
  },
})

defineCase({
  id: 'unknown-method',
  area: 'auth',
  title: 'An Authentication Method the server does not support closes the connection',
  clauses: { '5': ['MQTT-4.12.0-1'] },
  async run(t) {
    const client = await t.open()
    const list = [
      property('authenticationMethod', 'CONFORMANCE-NO-SUCH-METHOD'),
      property('authenticationData', Buffer.of(1, 2, 3)),
    ]
    const bytes = wire.connect(5, { ...t.connectOptions({ clientId: t.id() }), properties: list })
    await t.rejected(client, bytes, 'nobody knows this method', [0x8c, 0x87])
  },
})

defineCase({
  id: 'no-method-no-auth',
  area: 'auth',
  title: 'A CONNACK for a client without an Authentication Method has none either',
  clauses: { '5': ['MQTT-4.12.0-6'] },
  async run(t) {
    const client = await t.connect()
    t.check(
      client.connack !== undefined && prop(client.connack, 'authenticationMethod') === undefined,
      'no Authentication Method',
      client.connack,
    )
  },
})
