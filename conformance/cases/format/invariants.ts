// Rules for every packet a server sends, whatever the case was about.

import { defineInvariant } from '../../case.ts'
import type { ConnectionLog } from '../../client.ts'
import { describe, type Packet } from '../../packet.ts'

const received = (log: ConnectionLog): Packet[] =>
  log.entries.filter((e) => e.direction === 'received').map((e) => e.packet)

/** An invariant over single packets of the server. */
function each(
  applies: (packet: Packet) => boolean,
  wrong: (packet: Packet) => string | undefined,
): (log: ConnectionLog) => { applied: number; broken: string[] } {
  return (log) => {
    const relevant = received(log).filter(applies)
    const broken = relevant.flatMap((packet) => {
      const problem = wrong(packet)
      return problem === undefined ? [] : [`${problem}: ${describe(packet)}, ${log.label}`]
    })
    return { applied: relevant.length, broken }
  }
}

defineInvariant({
  id: 'server-flags',
  area: 'format',
  title: 'Every packet the server sends has the fixed-header flags its type demands',
  clauses: { '3.1.1': ['MQTT-2.2.2-1'], '5': ['MQTT-2.1.3-1'] },
  judge: each(
    (p) => p.kind !== 'publish',
    (p) => p.problems.find((problem) => problem.startsWith('flags')),
  ),
})

defineInvariant({
  id: 'server-packets-well-formed',
  area: 'format',
  title: 'Every packet the server sends can be decoded: lengths, strings, integers and properties are as specified',
  clauses: { '3.1.1': [], '5': ['MQTT-1.5.5-1', 'MQTT-2.2.2-1'] },
  judge: each(
    () => true,
    (p) => p.problems.find((problem) => !problem.startsWith('flags') && !problem.includes('Connect Acknowledge')),
  ),
})

defineInvariant({
  id: 'server-direction',
  area: 'format',
  title: 'The server sends only packet types that flow from server to client',
  clauses: { '3.1.1': [], '5': [] },
  judge: each(
    () => true,
    (p) =>
      ['connect', 'subscribe', 'unsubscribe', 'pingreq', 'reserved'].includes(p.kind)
        ? 'a packet only clients send'
        : undefined,
  ),
})

defineInvariant({
  id: 'no-disconnect-or-auth-in-3.1.1',
  area: 'format',
  title: 'A server sends neither DISCONNECT nor AUTH to an MQTT 3.1.1 client',
  clauses: { '3.1.1': [] },
  judge: each(
    () => true,
    (p) => (p.kind === 'disconnect' || p.kind === 'auth' ? 'not a packet of a 3.1.1 server' : undefined),
  ),
})

defineInvariant({
  id: 'qos-0-without-dup',
  area: 'publish',
  title: 'A PUBLISH with QoS 0 from the server has DUP 0',
  clauses: { '3.1.1': ['MQTT-3.3.1-2', 'MQTT-4.3.1-1'], '5': ['MQTT-3.3.1-2', 'MQTT-4.3.1-1'] },
  judge: each(
    (p) => p.kind === 'publish' && p.qos === 0,
    (p) => (p.dup === true ? 'DUP on QoS 0' : undefined),
  ),
})

defineInvariant({
  id: 'server-qos-is-not-3',
  area: 'publish',
  title: 'No PUBLISH from the server has QoS 3',
  clauses: { '3.1.1': ['MQTT-3.3.1-4'], '5': ['MQTT-3.3.1-4'] },
  judge: each(
    (p) => p.kind === 'publish',
    (p) => (p.qos === 3 ? 'QoS 3' : undefined),
  ),
})

defineInvariant({
  id: 'server-topic-names',
  area: 'topics',
  title: 'Topic Names from the server have no wildcards',
  clauses: { '3.1.1': ['MQTT-3.3.2-1', 'MQTT-3.3.2-2'], '5': ['MQTT-3.3.2-1', 'MQTT-3.3.2-2'] },
  judge: each(
    (p) => p.kind === 'publish',
    (p) => (/[+#]/.test(p.topic ?? '') ? 'a wildcard in a Topic Name' : undefined),
  ),
})

/** Identifiers in flight towards the client, followed packet by packet. */
function judgeIdentifiers(log: ConnectionLog): { applied: number; broken: string[]; again: string[] } {
  const inFlight = new Map<number, 1 | 2>()
  const broken: string[] = []
  const again: string[] = []
  let applied = 0
  for (const { direction, packet } of log.entries) {
    const id = packet.packetId ?? 0
    if (direction === 'sent') {
      if (packet.kind === 'puback' && inFlight.get(id) === 1) inFlight.delete(id)
      if (packet.kind === 'pubcomp') inFlight.delete(id)
      if (packet.kind === 'pubrec' && (packet.code ?? 0) >= 0x80) inFlight.delete(id)
      continue
    }
    if (packet.kind !== 'publish' || (packet.qos !== 1 && packet.qos !== 2)) continue
    applied++
    if (id === 0) broken.push(`Packet Identifier 0: ${describe(packet)}`)
    else if (inFlight.has(id) && packet.dup !== true)
      broken.push(`identifier ${id} is still in use: ${describe(packet)}`)
    else if (inFlight.has(id)) again.push(`sent again on the same connection: ${describe(packet)}`)
    inFlight.set(id, packet.qos)
  }
  return { applied, broken, again }
}

defineInvariant({
  id: 'server-packet-identifiers',
  area: 'qos',
  title: 'Each new PUBLISH with QoS above 0 from the server has an identifier that is not zero and not in use',
  clauses: {
    '3.1.1': ['MQTT-2.3.1-1', 'MQTT-2.3.1-4', 'MQTT-4.3.2-1', 'MQTT-4.3.3-1'],
    '5': ['MQTT-2.2.1-4', 'MQTT-4.3.2-1', 'MQTT-4.3.3-1'],
  },
  judge: judgeIdentifiers,
})

defineInvariant({
  id: 'no-resend-while-connected',
  area: 'qos',
  title: 'On one connection no PUBLISH is ever sent again',
  clauses: { '5': ['MQTT-4.4.0-1'] },
  judge: (log) => {
    const { applied, again } = judgeIdentifiers(log)
    return { applied, broken: again }
  },
})

defineInvariant({
  id: 'answers-nothing-to-qos-0',
  area: 'publish',
  title: 'PUBACK and PUBREC come only for identifiers the client has published with',
  clauses: { '3.1.1': ['MQTT-2.3.1-6', 'MQTT-3.3.4-1'], '5': ['MQTT-2.2.1-5', 'MQTT-3.3.4-1'] },
  judge: (log) => {
    const published = new Set<string>()
    const broken: string[] = []
    let applied = 0
    for (const { direction, packet } of log.entries) {
      if (direction === 'sent') {
        if (packet.kind === 'publish' && packet.qos === 1) published.add(`puback ${packet.packetId}`)
        if (packet.kind === 'publish' && packet.qos === 2) published.add(`pubrec ${packet.packetId}`)
        continue
      }
      if (packet.kind !== 'puback' && packet.kind !== 'pubrec') continue
      applied++
      if (!published.has(`${packet.kind} ${packet.packetId}`)) broken.push(`unasked: ${describe(packet)}`)
    }
    return { applied, broken }
  },
})

defineInvariant({
  id: 'suback-and-unsuback-identifiers',
  area: 'subscribe',
  title: 'SUBACK and UNSUBACK carry the identifier of a request that was sent',
  clauses: { '3.1.1': ['MQTT-2.3.1-7'], '5': ['MQTT-2.2.1-6'] },
  judge: (log) => {
    const asked = new Set<string>()
    const broken: string[] = []
    let applied = 0
    for (const { direction, packet } of log.entries) {
      if (direction === 'sent') {
        if (packet.kind === 'subscribe') asked.add(`suback ${packet.packetId}`)
        if (packet.kind === 'unsubscribe') asked.add(`unsuback ${packet.packetId}`)
        continue
      }
      if (packet.kind !== 'suback' && packet.kind !== 'unsuback') continue
      applied++
      if (!asked.has(`${packet.kind} ${packet.packetId}`)) broken.push(`unasked: ${describe(packet)}`)
    }
    return { applied, broken }
  },
})
