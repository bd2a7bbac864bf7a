// Keys of mosquitto.conf that are not settings of Martlet under the same name: aliases, keys that may be ignored, and
// keys that must not be, because somebody relies on what they do. What is none of these is unknown, an error in both.

import type { ListenerSettingKey, SettingKey } from './schema.ts'

/** Other names of our settings. */
export const aliases: Readonly<Record<string, SettingKey>> = {
  retained_persistence: 'persistence',
  global_max_connections: 'max_connections',
  global_max_clients: 'max_sessions',
  maximum_qos: 'max_qos',
}

/** Other names of a listener's settings. */
export const listenerAliases: Readonly<Record<string, ListenerSettingKey>> = {
  enable_proxy_protocol: 'proxy_protocol',
  'ciphers_tls1.3': 'ciphers_tls13',
}

/** Settings of a listener there and of the whole broker here. */
export const perListenerThere: ReadonlySet<string> = new Set<SettingKey>([
  'max_qos',
  'max_topic_alias',
  'max_topic_alias_broker',
])

/** Settings that may be written twice, the last one counts; for other texts twice is an error, as in Mosquitto. */
export const lastOneWins: ReadonlySet<string> = new Set(['user'])

export interface UnsupportedKey {
  /** Values that ask for what Martlet does anyway. */
  readonly fine?: readonly string[]
  /** Present: any other value is an error, and this says what to do. Absent: a warning. */
  readonly advice?: string
  /** For the warning. */
  readonly ignored?: string
}

const SOON = 'Martlet does not support it yet: remove the line'
const warn = (ignored: string, ...fine: string[]): UnsupportedKey => ({ ignored, fine })
const refuse = (advice: string, ...fine: string[]): UnsupportedKey => ({ advice, fine })
const each = (keys: string, rule: UnsupportedKey): Record<string, UnsupportedKey> =>
  Object.fromEntries(keys.split(/\s+/).map((key) => [key, rule]))

const authentication = refuse(
  `${SOON}, and let only trusted networks reach the listener until authentication is there.`,
)
const encryption = refuse('Martlet reads certificates and keys from PEM files only: certfile, keyfile, cafile.')
/** One rule for all keys of bridges, so that the documentation can name them together. */
export const bridging = refuse(`${SOON}, and the whole bridge with it.`)

export const unsupportedKeys: Readonly<Record<string, UnsupportedKey>> = {
  ...each(
    'acl_file password_file plugin global_plugin auth_plugin plugin_load plugin_use clientid_prefixes',
    authentication,
  ),
  use_username_as_clientid: { ...authentication, fine: ['false', '0'] },
  auth_plugin_deny_special_chars: warn('there are no plugins'),
  listener_allow_anonymous: refuse(`${SOON}; allow_anonymous holds for all listeners.`),
  listener_auto_id_prefix: warn('auto_id_prefix holds for all listeners'),
  per_listener_settings: refuse(`${SOON}: all settings hold for all listeners.`, 'false', '0'),

  ...each('tls_engine tls_engine_kpass_sha1 tls_keyform', encryption),
  disable_client_cert_date_checks: { ...encryption, fine: ['false', '0'] },
  dhparamfile: warn('elliptic curves are used'),

  websockets_log_level: warn('log_level holds for WebSockets, too'),
  http_dir: warn('there is no HTTP listener'),
  proxy_protocol_v2_require_tls: refuse(`${SOON}.`, 'false', '0'),
  mount_point: refuse(`${SOON}.`),
  accept_protocol_versions: refuse(`${SOON}: every protocol version Martlet speaks is accepted.`),

  memory_limit: refuse(
    'Martlet has no one limit for all memory: max_heap_percent, max_queued_bytes_total, max_output_bytes_total and max_retained_bytes bound its parts; for the whole process use MemoryMax of systemd or the container’s limit.',
    '0',
  ),
  message_size_limit: refuse('Martlet has max_packet_size, which refuses what is larger.', '0'),
  max_inflight_bytes: warn('max_inflight_messages bounds the window', '0'),
  upgrade_outgoing_qos: refuse(`${SOON}.`, 'false', '0'),
  check_retain_source: refuse(`${SOON}.`, 'false', '0'),
  enable_control_api: refuse(`${SOON}.`, 'false', '0'),
  allow_duplicate_messages: warn('a client gets one copy of a message for overlapping subscriptions', 'false', '0'),
  retain_expiry_interval: warn('there is no sweep for it to time'),
  packet_buffer_size: warn('read buffers are shared by all connections'),

  persistence_file: warn('persistence has its own file names in persistence_location'),
  autosave_interval: warn('there is no snapshot'),
  autosave_on_changes: warn('there is no snapshot'),

  log_facility: warn('there is no syslog destination'),
  log_timestamp_format: warn('times are ISO 8601 in UTC'),

  ...each('connection address addresses topic bridge_identity bridge_psk', bridging),
  ...each(
    `bridge_protocol_version cleansession local_cleansession start_type restart_timeout round_robin keepalive_interval
     idle_timeout threshold notifications notifications_local_only notification_topic remote_clientid clientid
     local_clientid remote_username username remote_password password local_username local_password try_private
     bridge_attempt_unsubscribe bridge_outgoing_retain bridge_max_packet_size bridge_max_topic_alias
     bridge_receive_maximum bridge_session_expiry_interval bridge_bind_address bridge_tcp_keepalive
     bridge_tcp_user_timeout bridge_reload_type bridge_cafile bridge_capath bridge_certfile bridge_keyfile
     bridge_tls_use_os_certs bridge_tls_version bridge_alpn bridge_ciphers bridge_ciphers_tls1.3 bridge_insecure
     bridge_require_ocsp`,
    bridging,
  ),
}

/** plugin_opt_X and auth_opt_X have names of the plugin's choice. */
export function unsupported(key: string): UnsupportedKey | undefined {
  if (/^(?:plugin|auth)_opt_/.test(key)) return authentication
  return Object.hasOwn(unsupportedKeys, key) ? unsupportedKeys[key] : undefined
}
