// The shapes a broker is measured in: who talks to whom, how, and what is to be reached. One table; a new shape is one
// entry. Arguments are those of native/load.cc.

/** What a shape's figures must be, for the broker under test. */
export type Target =
  /** CPU per delivery at most `times` that of the floor. */
  | { readonly kind: 'floor'; readonly times: number }
  /** Resident memory per idle connection, as a slope. */
  | { readonly kind: 'memory'; readonly bytes: number }
  /** Messages a second, and so many times those of Mosquitto with its persistence on. */
  | { readonly kind: 'rate'; readonly perSecond: number; readonly timesMosquitto: number }
  /** Resident memory after a burst, in percent of what it was before. */
  | { readonly kind: 'after'; readonly percent: number }
  /** Median latency not above Mosquitto's. */
  | { readonly kind: 'latency' }

/** What MQTT is carried by. */
export type Protocol = 'tcp' | 'websocket' | 'tls'

export interface Shape {
  readonly name: string
  readonly title: string
  /** Messages that are counted and timed, or connections that come, stay and go. */
  readonly kind: 'traffic' | 'connections'
  readonly load: readonly string[]
  /** Default: tcp. Brokers that do not speak it are left out. */
  readonly protocol?: Protocol
  /** Messages for a run that counts instructions instead of time; 0: not a shape for that. */
  readonly countedMessages: number
  /** Each run gets a broker process of its own, because what an earlier run left behind would be measured too. */
  readonly freshBroker?: boolean
  /** Not measured unless asked for by name. */
  readonly extra?: boolean
  readonly target?: Target
}

const pairs = ['--shape', 'pair', '--pubs', '10']
const fanout = ['--shape', 'fanout', '--pubs', '1']
const idle = ['--shape', 'idle', '--pubs', '15000', '--base', '5000']
const burstNames = { tcp: 'burst', websocket: 'burst-ws', tls: 'burst-tls' } as const

export const shapes: readonly Shape[] = [
  {
    name: 'pairs-qos0',
    title: '10 pairs, QoS 0',
    kind: 'traffic',
    load: pairs,
    countedMessages: 1_000_000,
    target: { kind: 'floor', times: 3 },
  },
  {
    name: 'pairs-qos1',
    title: '10 pairs, QoS 1',
    kind: 'traffic',
    load: [...pairs, '--qos', '1'],
    countedMessages: 500_000,
    target: { kind: 'floor', times: 5 },
  },
  {
    name: 'pairs-qos2',
    title: '10 pairs, QoS 2',
    kind: 'traffic',
    load: [...pairs, '--qos', '2'],
    countedMessages: 300_000,
    extra: true,
  },
  {
    name: 'fanin',
    title: '50 → 1, QoS 0',
    kind: 'traffic',
    load: ['--shape', 'fanin', '--pubs', '50', '--subs', '1'],
    countedMessages: 1_000_000,
    target: { kind: 'floor', times: 4 },
  },
  {
    name: 'fanout-qos0',
    title: '1 → 100, QoS 0',
    kind: 'traffic',
    load: [...fanout, '--subs', '100'],
    countedMessages: 20_000,
    target: { kind: 'floor', times: 2 },
  },
  {
    name: 'fanout-qos1',
    title: '1 → 100, QoS 1',
    kind: 'traffic',
    load: [...fanout, '--subs', '100', '--qos', '1'],
    countedMessages: 10_000,
    target: { kind: 'floor', times: 5 },
  },
  {
    name: 'fanout-1000',
    title: '1 → 1,000, QoS 0, window 20',
    kind: 'traffic',
    load: [...fanout, '--subs', '1000', '--window', '20'],
    countedMessages: 2_000,
    extra: true,
  },
  {
    name: 'lockstep',
    title: '1,000 pairs, window 1',
    kind: 'traffic',
    load: ['--shape', 'pair', '--pubs', '1000', '--window', '1'],
    countedMessages: 200_000,
    target: { kind: 'floor', times: 1.25 },
  },
  {
    name: 'large',
    title: '10 pairs, 16 KiB, window 20',
    kind: 'traffic',
    load: [...pairs, '--window', '20', '--size', '16384'],
    countedMessages: 200_000,
    target: { kind: 'floor', times: 2 },
  },
  {
    name: 'durable',
    title: '10 pairs, QoS 1, persistent sessions',
    kind: 'traffic',
    load: [...pairs, '--qos', '1', '--persist'],
    countedMessages: 500_000,
    extra: true,
    target: { kind: 'rate', perSecond: 100_000, timesMosquitto: 5 },
  },
  {
    name: 'durable-away',
    title: 'the same, subscribers away',
    kind: 'traffic',
    load: [...pairs, '--qos', '1', '--persist', '--away'],
    countedMessages: 200_000,
    extra: true,
    target: { kind: 'rate', perSecond: 40_000, timesMosquitto: 5 },
  },
  {
    name: 'latency',
    title: '1 pair, 100 messages a second',
    kind: 'traffic',
    load: ['--shape', 'pair', '--pubs', '1', '--rate', '100'],
    countedMessages: 0,
    target: { kind: 'latency' },
  },
  {
    name: 'idle',
    title: '15,000 idle connections',
    kind: 'connections',
    load: idle,
    countedMessages: 0,
    freshBroker: true,
    target: { kind: 'memory', bytes: 1536 },
  },
  {
    name: 'idle-ws',
    title: '15,000 idle WebSocket connections',
    kind: 'connections',
    load: idle,
    protocol: 'websocket',
    countedMessages: 0,
    freshBroker: true,
    extra: true,
    target: { kind: 'memory', bytes: 2560 },
  },
  {
    name: 'idle-tls',
    title: '15,000 idle TLS connections',
    kind: 'connections',
    load: idle,
    protocol: 'tls',
    countedMessages: 0,
    freshBroker: true,
    extra: true,
    target: { kind: 'memory', bytes: 30 * 1024 },
  },
  ...(['tcp', 'websocket', 'tls'] as const).map(
    (protocol): Shape => ({
      name: burstNames[protocol],
      title: `after a burst on 5,000 connections, ${protocol}`,
      kind: 'connections',
      load: ['--shape', 'burst', '--pubs', '5000', '--window', '4', '--size', '16384', '--qos', '1'],
      protocol,
      countedMessages: 0,
      freshBroker: true,
      extra: true,
      target: { kind: 'after', percent: 120 },
    }),
  ),
  {
    name: 'storm',
    title: '10,000 connections come and go',
    kind: 'connections',
    load: ['--shape', 'storm', '--pubs', '10000'],
    countedMessages: 0,
    extra: true,
  },
]

/** The shapes named; those with a target when none is; all of them for `all`. Throws a RangeError for an unknown name. */
export function chooseShapes(names: readonly string[]): Shape[] {
  if (names.includes('all')) return [...shapes]
  if (names.length === 0) return shapes.filter((shape) => !shape.extra)
  return names.map((name) => {
    const found = shapes.find((shape) => shape.name === name)
    if (!found)
      throw new RangeError(`no shape ${name}; there are: ${shapes.map((shape) => shape.name).join(', ')}, all`)
    return found
  })
}
