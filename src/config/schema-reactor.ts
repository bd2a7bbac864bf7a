// The settings that size the native reactor's memory and its budgets: part of the one table in schema.ts.
// The defaults are what the benchmarks run with; the integration tests run again with tiny values, so that every
// overflow, split, eviction and early flush happens. None of them changes what clients see, only when it costs what.

import { boolean, bytes, integer } from './setting.ts'

const KiB = 1024
const MiB = 1024 * KiB

export const reactor = {
  inbox_size: bytes({
    default: 1 * MiB,
    range: [4 * KiB, 256 * MiB],
    doc: 'Bytes read from all connections in one turn. A packet that does not fit is kept in a block of its own.',
  }),
  inbox_records: integer({
    default: 16384,
    range: [64, 1 << 22],
    doc: 'Packets and events handed to JavaScript in one turn.',
  }),
  outbox_words: integer({
    default: 65536,
    range: [256, 1 << 24],
    doc: 'Words of commands collected before native code carries them out.',
  }),
  outbox_size: bytes({
    default: 256 * KiB,
    range: [256, 64 * MiB],
    doc: 'Bytes that commands carry (acknowledgements, properties) before native code takes them.',
  }),
  topic_ids: integer({
    default: 65536,
    range: [8, 1 << 22],
    doc: 'Topic Names that have a small integer in the reactor’s table. More topics than this work, each with a look-up of its own.',
  }),
  read_size: bytes({
    default: 64 * KiB,
    range: [64, 16 * MiB],
    doc: 'Bytes read from one connection in one turn, so that one sender cannot starve the rest. At most inbox_size.',
    mosquitto: 'Mosquitto’s `packet_buffer_size` is a buffer of each connection; this one is shared by all.',
  }),
  flush_after: bytes({
    default: 4 * MiB,
    range: [64, 1024 * MiB],
    doc: 'Output queued since the last flush that forces one within a turn; it bounds the memory of a wide multicast.',
  }),
  max_turns: integer({
    default: 4,
    range: [1, 1000],
    doc: 'Turns in one iteration of the event loop before timers and commits have their say.',
  }),
  accept_budget: integer({
    default: 64,
    range: [1, 65535],
    doc: 'Connections accepted on one listener in one turn.',
  }),
  handshake_budget: integer({
    default: 8,
    range: [1, 65535],
    doc: 'Steps of TLS handshakes in one turn, after everything else was read: a signature costs up to a millisecond, and those who are connected must not wait for thousands who reconnect.',
  }),
  partial_budget: bytes({
    default: 64 * MiB,
    range: [64 * KiB, 4096 * MiB - 1],
    doc: 'Bytes of partly received packets of all clients that have not been admitted yet.',
  }),
  unadmitted_packet_limit: bytes({
    default: 512 * KiB,
    range: [256, 268_435_460],
    doc: 'The largest packet taken from a client before its CONNECT is accepted (a will may be large). max_packet_size holds as well.',
  }),
  shortcut_after: integer({
    default: 8,
    range: [0, 1_000_000],
    doc: 'Plain QoS 0 messages of one client in a row to a topic with a single plain subscriber, after which native code passes on what follows without asking; 0 = never. Nobody can tell but by the time it takes: any change of subscriptions or connections makes it ask again, and a rate limit or an authorizer makes it ask always.',
  }),
  poison: boolean({
    default: false,
    doc: 'For tests: what was read is overwritten after each turn, so that whoever kept a view of it sees nonsense instead of somebody else’s bytes.',
  }),
} as const
