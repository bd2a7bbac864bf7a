// The one table of settings. Files, environment, arguments, the API's types and docs/configuration.md all come from it;
// a limit that is not here does not exist. To add a setting: one entry here, then `npm run docs`.
// Keys are Mosquitto's where Mosquitto has the setting. Sizes of the reactor's memory stand in
// schema-reactor.ts, a listener's settings in schema-listener.ts.

import { listenerSettings } from './schema-listener.ts'
import { overload } from './schema-overload.ts'
import { reactor } from './schema-reactor.ts'
import { boolean, bytes, choice, integer, list, map, path, persistenceChoice, seconds, text } from './setting.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
/** What stands for "no limit of its own" where another limit still holds. */
const PRACTICALLY_UNLIMITED = 2 ** 31 - 1

const access = {
  allow_anonymous: boolean({
    computed: 'true without listeners (local only mode), else false',
    doc: 'Whether clients may connect without a user name. Until authentication is there, a broker with listeners and without this serves nobody.',
    mosquitto: true,
  }),
  allow_zero_length_clientid: boolean({
    default: true,
    doc: 'Whether a client may leave its Client Identifier empty and have one made for it (with Clean Session).',
    mosquitto: true,
  }),
  auto_id_prefix: text({
    default: 'auto-',
    maxLength: 50,
    doc: 'What Client Identifiers made by the broker begin with.',
    mosquitto: true,
  }),
}

const sessions = {
  max_sessions: integer({
    default: 1_000_000,
    range: [1, PRACTICALLY_UNLIMITED],
    doc: 'Sessions kept, those of connected and of absent clients together. A client that would need one more is refused.',
    mosquitto: 'Mosquitto calls it `global_max_clients` (accepted) and has -1, no limit, as its default.',
  }),
  persistent_client_expiration: seconds({
    default: 14 * 86400,
    range: [1, 100 * 365 * 86400],
    doc: 'How long the session of an absent MQTT 3.1 or 3.1.1 client is kept, counted from its disconnect. Without this limit every client id that once asked for a session would be remembered for good.',
    mosquitto: 'Same syntax (`N` and one of s h d w m y); Mosquitto keeps sessions for ever by default.',
  }),
  max_inflight_messages: integer({
    default: 256,
    range: [1, 65535],
    zero: 65535,
    doc: 'QoS 1 and 2 messages sent to a client and not yet acknowledged. 256 rather than Mosquitto’s 20, because the window divided by the round trip is the most a client can receive: 20 in flight over 50 ms are 400 messages a second. 0 means 65535, all packet identifiers there are.',
    mosquitto: 'Mosquitto’s default is 20.',
  }),
  max_queued_messages: integer({
    computed: '1000 in memory; 100000 with Martlet’s own store, where long queues are on disk',
    range: [1, PRACTICALLY_UNLIMITED],
    zero: PRACTICALLY_UNLIMITED,
    doc: 'Messages waiting in a session beyond those in flight. When it is full the newest message is dropped and counted. 0 leaves the limit to max_queued_bytes.',
    mosquitto:
      'In Mosquitto the default is 1000, with persistence too: what it acknowledges beyond that to a publisher is gone.',
  }),
  max_queued_bytes: bytes({
    default: 64 * MiB,
    range: [1 * KiB, 1024 * GiB],
    zero: 64 * MiB,
    doc: 'Bytes waiting in a session; the first of the two limits that is reached counts. 0 means the default, never "no limit".',
    mosquitto: 'In Mosquitto 0, no limit, is the default.',
  }),
  queue_window: bytes({
    default: 64 * KiB,
    range: [256, 1 * GiB],
    doc: 'How much of a long queue is in memory at its front, and about as much again at its end: so many bytes, or 256 messages. What is between is on disk only, read when its turn comes. Needs persistence with `durability` fsync or os; else all is in memory.',
  }),
  queue_qos0_messages: boolean({
    default: false,
    doc: 'Whether QoS 0 messages are queued for absent clients with a session too.',
    mosquitto: true,
  }),
  max_subscriptions_per_client: integer({
    default: 100_000,
    range: [1, PRACTICALLY_UNLIMITED],
    doc: 'Subscriptions of one session. A SUBSCRIBE beyond it is answered with failure.',
  }),
  persistence: persistenceChoice({
    default: false,
    doc: 'Whether sessions, queued and retained messages and wills survive a restart. `npm start` without a configuration file has it on. `aedes:PACKAGE` keeps them in an aedes-persistence 11 backend instead of Martlet’s own store, such as `aedes:aedes-persistence-redis`; the package is looked for from the folder of the configuration file, the working directory and Martlet itself. [What such a backend cannot hold](store.md#aedes-backends).',
    mosquitto: '`true` and `false` as in Mosquitto.',
  }),
  persistence_options: map({
    default: {},
    doc: 'With `persistence: aedes:PACKAGE`, the options the package is called with: a mapping in YAML, JSON elsewhere.',
  }),
  durability: choice(['fsync', 'os', 'none'], {
    default: 'fsync',
    doc: 'With Martlet’s own store, what an acknowledgement promises (an aedes backend says so itself). `fsync`: what it acknowledges is on disk and outlives a power loss. `os`: it is with the operating system; a power loss or a kernel crash takes the last seconds, the end of the process nothing. `none`: it waits for nothing and is written a moment later; whatever ends the process takes that moment.',
  }),
  max_unstored_bytes: bytes({
    default: 16 * MiB,
    range: [64 * KiB, 1 * GiB],
    doc: 'Bytes that may wait for the store. From there on publishers whose messages would have to be stored are read no further until the store has caught up.',
  }),
  store_segment_size: bytes({
    default: 32 * MiB,
    range: [64 * KiB, 1 * GiB],
    doc: 'Size at which a file of the store is closed and the next one begun. What is dead is removed from closed files only, when two of them have come together: small disks want small ones.',
  }),
  store_min_free: bytes({
    default: 64 * MiB,
    range: [0, 1024 * GiB],
    doc: 'While less than this (or than an eighth of the disk, if that is less) is free where the store is, publishers whose messages would have to be stored are refused, and so are new persistent sessions. The rest is for acknowledgements and compaction, with which a full store gets room again. 0 lets the disk fill up.',
  }),
  will_grace_period: seconds({
    default: 30,
    range: [0, 86400],
    doc: 'After a crash: how long the clients that were connected have to come back before their wills are published. A Will Delay Interval that is longer counts instead.',
  }),
  persistence_location: path({
    default: 'martlet-data',
    doc: 'The folder for what persistence keeps.',
    mosquitto: 'Mosquitto’s default is the working directory. MOSQUITTO_PERSISTENCE_LOCATION is read too.',
  }),
}

const messages = {
  max_packet_size: bytes({
    default: 2_000_000,
    range: [20, 268_435_460],
    doc: 'The largest Control Packet taken from a client, fixed header included. A client that announces a larger one is disconnected before it is buffered. The upper end of the range is the largest packet MQTT can express.',
    mosquitto: true,
  }),
  max_topic_levels: integer({
    default: 128,
    range: [1, 32768],
    doc: 'Levels of a Topic Name or Topic Filter (slashes plus one). It bounds the depth of the topic trie.',
    mosquitto: 'Mosquitto has 200 built in.',
  }),
  retain_available: boolean({
    default: true,
    doc: 'Whether clients may publish retained messages; with false a retained PUBLISH ends the connection.',
    mosquitto: true,
  }),
  max_retained_messages: integer({
    default: 1_000_000,
    range: [0, PRACTICALLY_UNLIMITED],
    doc: 'Retained messages kept. When there are as many, one for a new topic is delivered but not kept, and counted.',
  }),
  max_retained_bytes: bytes({
    default: 1 * GiB,
    range: [0, 1024 * GiB],
    doc: 'Bytes of retained messages kept, topics included. One over it is delivered but not kept, and counted; its topic then has none.',
  }),
}

const mqtt5 = {
  max_qos: integer({
    default: 2,
    range: [0, 2],
    doc: 'The highest QoS a client may publish with. A PUBLISH above it ends the connection; subscriptions are granted as asked, messages arrive with the lower of the two.',
    mosquitto: 'A listener’s option there; here for all listeners.',
  }),
  max_topic_alias: integer({
    default: 32,
    range: [0, 65535],
    doc: 'Topic aliases an MQTT 5 client may set on its connection. Each costs the memory of one Topic Name.',
    mosquitto: 'A listener’s option there, with the default 10.',
  }),
  max_topic_alias_broker: integer({
    default: 16,
    range: [0, 65535],
    doc: 'Topic aliases the broker sets on a connection, for topics it sees often, if the client takes them.',
    mosquitto: 'A listener’s option there, with the default 10.',
  }),
  validate_payload_format: boolean({
    default: false,
    doc: 'Whether a payload that says it is UTF-8 (Payload Format Indicator 1) is checked to be. One that is not is refused with 0x99.',
  }),
  wildcard_subscriptions: boolean({
    default: true,
    doc: 'Whether Topic Filters may have wildcards. Without, such a subscription is refused with 0xA2 (0x80 for MQTT 3.x).',
  }),
  shared_subscriptions: boolean({
    default: true,
    doc: 'Whether `$share/group/filter` may be subscribed to. Without, it is refused with 0x9E (0x80 for MQTT 3.x).',
  }),
  subscription_identifiers: boolean({
    default: true,
    doc: 'Whether subscriptions may carry an identifier. Without, a SUBSCRIBE that has one ends the connection with 0xA1.',
  }),
  response_information: text({
    default: '',
    maxLength: 65535,
    doc: 'What a client that asks for Response Information in CONNECT is told: the beginning of a topic for its responses. Empty: nothing.',
  }),
  server_reference: text({
    default: '',
    maxLength: 65535,
    doc: 'Another server (`host:port`, several with a space between) that MQTT 5 clients are sent to when this one shuts down. Empty: none.',
  }),
}

const connections = {
  max_connections: integer({
    computed: 'the hard descriptor limit less 64, at most 100000',
    range: [1, 10_000_000],
    doc: 'Connections at one time, over all listeners. It sizes the memory of the reactor, so it is never taken from a descriptor limit of 2^30. One more is accepted and closed at once.',
    mosquitto:
      'Mosquitto calls it `global_max_connections` (accepted); `max_connections` belongs to a listener there, as here.',
  }),
  max_keepalive: seconds({
    default: 0,
    range: [0, 65535],
    doc: 'The longest Keep Alive a client may ask for; longer (or none, which is 0) is refused for MQTT 3.1 and 3.1.1. 0 sets no limit.',
    mosquitto: true,
  }),
  connect_timeout: seconds({
    default: 10,
    range: [0.01, 3600],
    doc: 'A connection that has not sent its CONNECT by then is closed.',
    mosquitto: 'Mosquitto waits for one and a half Keep Alives of 60 seconds.',
  }),
  hook_timeout: seconds({
    default: 30,
    range: [0.01, 3600],
    doc: 'For programs that embed the broker: a hook whose promise has not settled by then has refused. The client it is about stands still meanwhile; a CONNECT waits for no longer than connect_timeout.',
  }),
  write_timeout: seconds({
    default: 60,
    range: [0.1, 86400],
    doc: 'A connection whose output makes no progress for so long is closed. TCP_USER_TIMEOUT has the same value.',
  }),
  linger_timeout: seconds({
    default: 5,
    range: [0.01, 300],
    doc: 'After the broker has finished a connection it waits so long for the peer to finish too, so that the last bytes are not cut off.',
  }),
  retry_interval: seconds({
    default: 0,
    range: [0, 86400],
    doc: 'Sends unacknowledged messages again while an MQTT 3.1 or 3.1.1 client is connected, with DUP. 0, the default, is off: TCP does not lose them, and MQTT 5 forbids it [MQTT-4.4.0-1].',
    mosquitto: 'Old versions had it (20 s); today’s Mosquitto ignores it.',
  }),
  output_limit: bytes({
    default: 4 * MiB,
    range: [1 * KiB, 4 * GiB - 1],
    doc: 'Bytes waiting to be written to one connection; QoS 0 messages that would lift it over this are left out and counted. A larger one goes to whom nothing waits for.',
    mosquitto: 'Mosquitto counts packets instead (max_queued_messages), and drops acknowledgements too.',
  }),
  output_high_water: bytes({
    default: 512 * KiB,
    range: [256, 4 * GiB - 1],
    doc: 'From so many waiting bytes on a connection counts as full: QoS 1 and 2 messages stay in the session’s queue.',
  }),
  output_low_water: bytes({
    default: 128 * KiB,
    range: [0, 4 * GiB - 1],
    doc: 'When a full connection has no more than this to write, its session’s queue flows again. Less than output_high_water.',
  }),
  set_tcp_nodelay: boolean({
    default: true,
    doc: 'TCP_NODELAY on client sockets. Martlet sends once per connection and turn, so Nagle’s algorithm could only add its 40 ms; false is accepted and changes nothing.',
    mosquitto: 'Mosquitto’s default is false.',
  }),
}

const LOG_DESTINATION = /^(?:stdout|stderr|none|file .+)$/

const operation = {
  sys_interval: seconds({
    default: 10,
    range: [0, 65535],
    doc: 'How often changed `$SYS` values are published. 0 turns them off.',
    mosquitto: true,
  }),
  log_level: choice(['debug', 'info', 'warn', 'error', 'silent'], {
    default: 'info',
    reloadable: true,
    doc: 'The least important lines that are logged. `--verbose` is debug, `--quiet` is silent.',
    mosquitto: 'Mosquitto’s `log_type` lines are converted: the least important type named sets the level.',
  }),
  log_format: choice(['text', 'json'], {
    default: 'text',
    doc: '`text`: one readable line each. `json`: one JSON object a line, pino’s format.',
  }),
  log_dest: list({
    default: ['stderr'],
    accepts: (item) => LOG_DESTINATION.test(item),
    wanted: 'stdout, stderr, none or `file PATH`',
    doc: 'Where the log goes: `stdout`, `stderr`, `none`, `file PATH`; several are possible. Files are reopened at SIGHUP.',
    mosquitto: 'Mosquitto also has `syslog` (here: a warning, and stderr), `topic` and `dlt` (not supported).',
  }),
  log_timestamp: boolean({
    default: true,
    doc: 'Whether lines of the text format begin with the time.',
    mosquitto: 'Mosquitto writes seconds since 1970, Martlet ISO 8601 in UTC.',
  }),
  connection_messages: boolean({
    default: true,
    doc: 'Whether connects and disconnects are logged (at level info).',
    mosquitto: true,
  }),
  pid_file: path({ default: '', doc: 'A file that holds the process id while the broker runs.', mosquitto: true }),
  user: text({
    default: '',
    doc: 'When started as root, the user to become before listeners are opened. Empty: stay who we are.',
    mosquitto: 'Mosquitto becomes `mosquitto`, else `nobody`, by default.',
  }),
}

/** Every setting of the whole broker, by the title it has in the documentation. */
export const settingGroups = {
  'Who may connect': access,
  Sessions: sessions,
  Messages: messages,
  Protocol: mqtt5,
  Connections: connections,
  Overload: overload,
  Operation: operation,
  'The reactor’s memory and budgets': reactor,
} as const

export const settings = {
  ...access,
  ...sessions,
  ...messages,
  ...mqtt5,
  ...connections,
  ...overload,
  ...operation,
  ...reactor,
} as const

export { listenerSettings }

export type SettingKey = keyof typeof settings
export type ListenerSettingKey = keyof typeof listenerSettings
