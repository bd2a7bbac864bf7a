// The settings that keep the broker standing when somebody, by malice or by mistake, sends or asks too much: part of the
// one table in schema.ts. docs/overload.md tells what each of them is the answer to.

import { bytes, choice, integer, seconds } from './setting.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
const PRACTICALLY_UNLIMITED = 2 ** 31 - 1
const MOST_RATE = 1_000_000_000

const rate = (doc: string) => integer({ default: 0, range: [0, MOST_RATE], doc })
const byteRate = (doc: string) => bytes({ default: 0, range: [0, 1024 * GiB], doc })

export const overload = {
  slow_reader_policy: choice(['drop_newest', 'drop_oldest', 'disconnect'], {
    default: 'drop_newest',
    doc: 'What happens when the queue or the output of a subscriber is full. `drop_newest`: what was accepted first is delivered first. `drop_oldest`: the newest state wins. `disconnect`: the client is disconnected (0x97); its session stays if it is to.',
  }),
  max_queued_bytes_total: bytes({
    computed: '1 GiB, at most half of the memory',
    range: [64 * KiB, 1024 * GiB],
    doc: 'Bytes waiting in the queues of all sessions together, what is on disk only (`queue_window`) not counted. Beyond it messages that would have to wait are refused (a publisher with MQTT 5 is told 0x97), and so are new persistent sessions. The last quarter is for queues below 64 KiB.',
  }),
  max_queued_messages_total: integer({
    default: 10_000_000,
    range: [1, PRACTICALLY_UNLIMITED],
    zero: PRACTICALLY_UNLIMITED,
    doc: 'Messages waiting in the queues of all sessions together, in memory or on disk. Beyond it the same happens as beyond max_queued_bytes_total. 0: no limit.',
  }),
  max_queued_disk_total: bytes({
    default: 16 * GiB,
    range: [64 * KiB, 1024 * GiB],
    doc: 'Bytes of waiting messages that are on disk only, in the queues of all sessions together; a message counts in each. Beyond it the same happens as beyond max_queued_bytes_total. The store itself may take about three times as much while it is compacted.',
  }),
  max_output_bytes_total: bytes({
    computed: '1 GiB, at most half of the memory',
    range: [64 * KiB, 1024 * GiB],
    doc: 'Bytes waiting to be written to all connections together. Beyond it connections that have read nothing for a second are cut off, those with the most waiting first.',
  }),
  max_heap_percent: integer({
    default: 80,
    range: [1, 95],
    doc: 'Share of V8’s heap limit (`node --max-old-space-size`) from which on nothing new is taken that would have to be kept: new sessions, subscriptions, retained messages and queue entries are refused (0x97; return code 3 for MQTT 3.x) until there is room again.',
  }),
  takeover_delay: seconds({
    default: 1,
    range: [0, 60],
    doc: 'After five takeovers of one client id within ten seconds a newcomer waits so long for its CONNACK, twice as long with every takeover. 0: never.',
  }),
  takeover_delay_max: seconds({
    default: 30,
    range: [0.01, 3600],
    doc: 'The longest such delay. A fight is over after this and 30 seconds without another attempt.',
  }),
  login_delay: seconds({
    default: 1,
    range: [0, 60],
    doc: 'From the sixth failed login of an address on its refusals are held back so long, twice as long with every failure; one is forgiven every ten seconds. 0: never. An IPv6 address counts by its first 64 bits.',
  }),
  login_delay_max: seconds({
    default: 30,
    range: [0.01, 3600],
    doc: 'The longest such delay. While 64 refusals of an address are held back, its next CONNECTs are refused unseen.',
  }),
  rate_limit_action: choice(['slow', 'disconnect'], {
    default: 'slow',
    doc: 'What happens to a client beyond a rate below. `slow`: it is not read until its debt is paid, so that TCP slows it down and nothing is lost. `disconnect`: it is disconnected (0x96).',
  }),
  client_message_rate: rate(
    'Control Packets a second from one client, acknowledgements not counted; a second’s worth may come at once. 0: no limit.',
  ),
  client_byte_rate: byteRate('Bytes a second from one client. 0: no limit.'),
  address_message_rate: rate('As client_message_rate, for all clients of one address together.'),
  address_byte_rate: byteRate('As client_byte_rate, for all clients of one address together.'),
  address_connect_rate: rate(
    'CONNECTs a second from one address. Those beyond it wait for their turn, and are refused (0x9F) if that would take longer than connect_timeout. 0: no limit.',
  ),
} as const
