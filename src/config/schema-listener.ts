// The settings of one listener: an entry of `listeners` in YAML, the lines after `listener PORT [HOST]` in mosquitto.conf.
// Part of the one table in schema.ts. What each door does is told in docs/listeners.md.

import { boolean, choice, fileMode, integer, list, path, text } from './setting.ts'

/** What stands for "no limit of its own" where another limit still holds. */
const PRACTICALLY_UNLIMITED = 2 ** 31 - 1
const NETWORK = /^(?:unix|[0-9A-Fa-f.:]+(?:\/\d{1,3})?)$/

const address = {
  port: integer({
    default: 1883,
    range: [0, 65535],
    doc: 'The TCP port. 0 takes any free one; the log says which.',
    mosquitto: 'The first word of `listener`; 0 is not accepted there.',
  }),
  host: text({
    default: '',
    computed: 'every address',
    maxLength: 255,
    doc: 'The address or host name to listen on. Empty: every address of the machine.',
    mosquitto: 'The second word of `listener`.',
  }),
  socket_domain: choice(['any', 'ipv4', 'ipv6'], {
    default: 'any',
    doc: 'Restricts a listener to one family of addresses.',
    mosquitto: true,
  }),
  max_connections: integer({
    default: PRACTICALLY_UNLIMITED,
    range: [1, PRACTICALLY_UNLIMITED],
    doc: 'Connections at one time on this listener; max_connections of the broker holds as well.',
    mosquitto: '-1, no limit, is accepted.',
  }),
  slow_reader: choice(['inherit', 'drop_newest', 'drop_oldest', 'disconnect'], {
    default: 'inherit',
    doc: 'slow_reader_policy for those who come through this listener; `inherit` is the broker’s. A session keeps that of the listener its client came through last while the client is away.',
  }),
}

const socket = {
  socket_path: path({
    default: '',
    doc: 'A Unix socket instead of port and host. A leftover file is removed if nobody listens on it; the broker removes its own when it ends.',
    mosquitto: '`listener 0 PATH`',
  }),
  socket_mode: fileMode({
    default: '',
    computed: 'as the umask has it',
    doc: 'Permissions of the Unix socket’s file in octal, such as `"0660"` (YAML needs the quotes). Who may write to it may connect.',
  }),
  socket_owner: text({
    default: '',
    computed: 'the broker’s user and group',
    doc: 'Owner of the Unix socket’s file: `USER`, `USER:GROUP` or `:GROUP`.',
  }),
  bind_interface: text({
    default: '',
    computed: 'every interface',
    maxLength: 15,
    doc: 'Only what arrives through this network interface is accepted (SO_BINDTODEVICE).',
    mosquitto: true,
  }),
  socket_activation: text({
    default: '',
    doc: 'Takes the sockets that systemd has opened under this FileDescriptorName instead of opening its own.',
  }),
  proxy_protocol: boolean({
    default: false,
    doc: 'Whether a proxy stands in front that begins every connection with a PROXY header, version 1 or 2. Then each one must have it; the address in it is the client’s. Without this setting a header is a malformed packet.',
    mosquitto: '`enable_proxy_protocol 1` or `2` there, for one of the versions.',
  }),
}

const files = { accepts: (item: string) => item.length > 0, wanted: 'a path' }

const tls = {
  certfile: list({
    default: [],
    ...files,
    doc: 'Makes it a TLS listener: the server’s certificate in PEM, intermediate ones behind it. Several, each with its keyfile: the one whose names fit what the client asks for (SNI), else the first. Read again at SIGHUP.',
    mosquitto: 'Once there; here several lines, paired with those of keyfile.',
  }),
  keyfile: list({
    default: [],
    ...files,
    doc: 'The private key of each certificate, in PEM. For an encrypted one see key_passphrase_file.',
    mosquitto: 'Mosquitto asks the terminal for the passphrase of an encrypted key; Martlet never asks.',
  }),
  key_passphrase_file: path({
    default: '',
    doc: 'A file whose first line is the passphrase of this listener’s encrypted keys. Read again at SIGHUP.',
  }),
  key_passphrase_variable: text({
    default: '',
    maxLength: 255,
    doc: 'The same from an environment variable: its name, not the passphrase.',
  }),
  cafile: path({
    default: '',
    doc: 'Certificates in PEM of those who may sign client certificates. With it and without require_certificate a client may show one or none.',
    mosquitto: true,
  }),
  capath: path({
    default: '',
    doc: 'The same from a folder, beside cafile or instead of it: files with the names that `openssl rehash` gives them. All of them are read at the start and at SIGHUP.',
    mosquitto: 'There a certificate is looked up when it is needed.',
  }),
  crlfile: path({
    default: '',
    doc: 'Revocation lists in PEM; a client certificate whose issuer has none here is then refused.',
    mosquitto: true,
  }),
  require_certificate: boolean({
    default: false,
    doc: 'Whether clients must show a certificate that cafile vouches for.',
    mosquitto: true,
  }),
  use_identity_as_username: boolean({
    default: false,
    doc: 'Takes user names from certificates (the common name) or pre-shared keys (the identity); with proxy_protocol, from the name that the proxy has verified. User name and password of CONNECT are not looked at, allow_anonymous neither; who has no name is refused with 0x86 (return code 4). Before use_subject_as_username.',
    mosquitto: true,
  }),
  use_subject_as_username: boolean({
    default: false,
    doc: 'The same with the whole subject of the certificate as RFC 2253 writes it: `CN=device-7,O=Acme,C=AT`.',
    mosquitto: true,
  }),
  tls_version: choice(['tlsv1.2', 'tlsv1.3'], {
    default: 'tlsv1.2',
    doc: 'The lowest version of TLS that is spoken.',
    mosquitto: true,
  }),
  ciphers: text({
    default: '',
    computed: 'OpenSSL’s default',
    doc: 'The ciphers of TLS 1.2, in OpenSSL’s syntax.',
    mosquitto: true,
  }),
  ciphers_tls13: text({
    default: '',
    computed: 'OpenSSL’s default',
    doc: 'The cipher suites of TLS 1.3, parted by colons.',
    mosquitto: '`ciphers_tls1.3` there (accepted).',
  }),
  psk_file: path({
    default: '',
    doc: 'Keys shared with clients, a line `identity:hexadecimal key` each; alone or beside certificates. Read again at SIGHUP.',
    mosquitto:
      'A setting of the whole broker there: the last one also serves every listener that has a psk_hint and no psk_file of its own.',
  }),
  psk_hint: text({
    default: '',
    maxLength: 128,
    doc: 'What clients are told (in TLS 1.2) about whom they talk to, before they choose a pre-shared key.',
    mosquitto: 'Makes it a PSK listener there; here psk_file does.',
  }),
}

const webSocket = {
  protocol: choice(['mqtt', 'websockets', 'any'], {
    default: 'mqtt',
    doc: 'What is spoken on this listener: MQTT, MQTT over WebSocket, or both on one port, told apart by the first byte.',
    mosquitto: '`any` is Martlet’s own; `http_api` is not accepted.',
  }),
  websockets_path: text({
    default: '',
    computed: 'any path',
    maxLength: 1024,
    doc: 'The only path of a WebSocket’s URL that is served, such as `/mqtt`; others get 404.',
  }),
  websockets_origin: list({
    default: [],
    accepts: (item) => item.length > 0,
    wanted: 'an origin such as https://example.com',
    doc: 'The web pages that may connect: a WebSocket must name one of these in its Origin header, compared letter by letter; others, and clients without one, get 403. Empty: everybody may.',
    mosquitto: true,
  }),
  websockets_headers_size: integer({
    default: 8192,
    range: [256, 1 << 20],
    doc: 'Bytes of the HTTP request a WebSocket begins with; longer ones get 431.',
    mosquitto: 'A setting of the whole broker there.',
  }),
  trusted_proxies: list({
    default: [],
    accepts: (item) => NETWORK.test(item),
    wanted: 'a network such as 10.0.0.0/8, ::1 or unix',
    doc: 'Networks whose X-Forwarded-For header is believed when a WebSocket is opened. The client’s address is then the last one in it that is not of these networks.',
  }),
}

export const listenerSettings = { ...address, ...socket, ...tls, ...webSocket } as const
