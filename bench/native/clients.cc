// Sockets and packets of the load generator's clients. Level-triggered, EPOLLOUT only while bytes wait.
#include "clients.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "mqtt.h"
#include "options.h"
#include "system.h"

namespace {
constexpr size_t kReadSize = 256 * 1024;
constexpr uint64_t kRampDeadline = 120'000'000'000;  // ns
constexpr uint32_t kSessionExpiry = 3600;            // s, of persistent MQTT 5 sessions
constexpr uint32_t kPerSource = 10'000;              // connections from one address

// Ports of one source address run out, those of connections just closed included: on the loopback there are many addresses.
void bind_source(const Client& client, const sockaddr_in& broker) {
  if (broker.sin_addr.s_addr != htonl(INADDR_LOOPBACK)) return;
  int on = 1;
  setsockopt(client.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  sockaddr_in source{};
  source.sin_family = AF_INET;
  source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + client.index / kPerSource);
  if (bind(client.fd, reinterpret_cast<sockaddr*>(&source), sizeof source) < 0) give_up("bind: %s", strerror(errno));
}
}  // namespace

Clients::Clients(const Options& options, uint32_t count)
    : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)), clients_(count), read_buffer_(kReadSize) {
  for (uint32_t i = 0; i < count; i++) clients_[i].index = i;
}

Clients::~Clients() {
  for (Client& client : clients_)
    if (client.fd >= 0) ::close(client.fd);
  ::close(epoll_);
}

void Clients::connect_all(ClientEvents& events, uint32_t from, uint32_t to) {
  uint64_t deadline = now_ns() + kRampDeadline;
  uint32_t before = connected_;
  uint32_t next = from;
  while (connected_ - before < to - from) {
    while (next < to && next - from - (connected_ - before) < options_.parallel) open(clients_[next++]);
    poll(events, 10);
    if (closed_by_broker_)
      give_up("the broker closed a connection; %u of %u had been accepted", connected_ - before, to - from);
    if (now_ns() > deadline) give_up("only %u of %u connections in time", connected_ - before, to - from);
  }
}

void Clients::open(Client& client) {
  client.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (client.fd < 0) give_up("socket: %s", strerror(errno));
  client.in.clear();  // it may have been connected before
  client.out.clear();
  client.out_sent = 0;
  int on = 1;
  setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options_.port);
  const char* host = options_.host.c_str();
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) give_up("%s is no IPv4 address", host);
  bind_source(client, address);
  client.state = Client::State::connecting;
  client.connect_started = now_ns();
  if (connect(client.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 && errno != EINPROGRESS)
    give_up("connect: %s", strerror(errno));
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.u32 = client.index;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd, &event);
  client.awaits_writable = true;
}

void Clients::send_connect(Client& client) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(client.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) give_up("connect: %s", strerror(error));
  client.state = Client::State::awaiting_connack;
  client.transport = make_transport(options_.protocol, client.fd);
  bool keep = client.persistent;
  mqtt::put_connect(client.out, {.client_id = "bench-" + std::to_string(client.index),
                                 .mqtt5 = options_.mqtt5,
                                 .clean = !keep,
                                 .session_expiry = keep ? kSessionExpiry : 0});
}

void Clients::poll(ClientEvents& events, int milliseconds) {
  static epoll_event ready[1024];
  int count = epoll_wait(epoll_, ready, 1024, milliseconds);
  for (int i = 0; i < count; i++) {
    Client& client = clients_[ready[i].data.u32];
    if (client.fd < 0) continue;
    if (client.state == Client::State::connecting) {
      send_connect(client);
      write(client);
      continue;
    }
    if (ready[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) read(events, client);
    if (client.fd >= 0 && (ready[i].events & EPOLLOUT)) write(client);
  }
  flush();
}

void Clients::flush() {
  for (uint32_t index : dirty_) {
    clients_[index].dirty = false;
    write(clients_[index]);
  }
  dirty_.clear();
}

void Clients::write(Client& client) {
  if (client.fd < 0) return;
  while (client.unsent()) {
    const char* from = client.out.data() + client.out_sent;
    ssize_t sent = client.transport ? client.transport->send(from, client.unsent())
                                    : send(client.fd, from, client.unsent(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) break;  // EAGAIN: EPOLLOUT goes on; an error: the read that follows tells of it
    client.out_sent += static_cast<size_t>(sent);
  }
  bool rest = client.unsent() > 0;
  if (!rest) {
    client.out.clear();
    client.out_sent = 0;
  }
  // A handshake that waits for the broker's answer waits for nothing to be writable.
  bool waits = client.transport ? client.transport->blocked() || (rest && client.state == Client::State::connected) : rest;
  if (waits != client.awaits_writable) watch(client, waits);
}

void Clients::watch(Client& client, bool writable) {
  client.awaits_writable = writable;
  epoll_event event{};
  event.events = EPOLLIN | (writable ? EPOLLOUT : 0u);
  event.data.u32 = client.index;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, client.fd, &event);
}

void Clients::read(ClientEvents& events, Client& client) {
  do {
    ssize_t received = client.transport ? client.transport->recv(read_buffer_.data(), read_buffer_.size())
                                        : recv(client.fd, read_buffer_.data(), read_buffer_.size(), 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (received <= 0) {
      closed_by_broker_++;
      close(client);
      return;
    }
    this->received(events, client, static_cast<size_t>(received));
  } while (client.fd >= 0 && client.transport);
  if (client.fd >= 0 && client.transport && client.unsent()) mark(client);  // the handshake may be over
}

void Clients::received(ClientEvents& events, Client& client, size_t size) {
  const uint8_t* data = read_buffer_.data();
  bool continued = !client.in.empty();
  if (continued) {
    client.in.append(reinterpret_cast<const char*>(data), size);
    data = reinterpret_cast<const uint8_t*>(client.in.data());
    size = client.in.size();
  }
  size_t at = 0;
  size_t body_at;
  uint32_t length;
  while (client.fd >= 0 && mqtt::find_packet(data + at, size - at, body_at, length)) {
    handle(events, client, data[at], data + at + body_at, length);
    at += body_at + length;
  }
  if (continued)
    client.in.erase(0, at);
  else if (at < size)
    client.in.assign(reinterpret_cast<const char*>(data + at), size - at);
}

void Clients::handle(ClientEvents& events, Client& client, uint8_t first, const uint8_t* body, uint32_t length) {
  mqtt::Reader reader{body, body + length};
  switch (first >> 4) {
    case mqtt::kConnack: {
      reader.skip(1);
      if (uint8_t code = reader.u8(); code || !reader.ok) give_up("CONNACK: refused with 0x%02x", code);
      if (options_.mqtt5) client.receive_maximum = mqtt::receive_maximum(reader);
      client.state = Client::State::connected;
      connected_++;
      connect_times_.record((now_ns() - client.connect_started) / 1000);
      events.on_connected(client);
      break;
    }
    case mqtt::kSuback:
      if (length < 3 || body[length - 1] >= 0x80) give_up("SUBACK: refused");
      events.on_subscribed(client);
      break;
    case mqtt::kPublish: {
      uint8_t qos = first >> 1 & 3;
      reader.skip(reader.u16());
      uint16_t packet_id = qos ? reader.u16() : 0;
      if (options_.mqtt5) reader.skip(reader.variable_byte_integer());
      if (!reader.ok) give_up("a PUBLISH that cannot be read");
      events.on_delivery(client, reader.at, static_cast<size_t>(reader.end - reader.at));
      if (qos) mqtt::put_acknowledgement(client.out, qos == 1 ? mqtt::kPuback << 4 : mqtt::kPubrec << 4, packet_id);
      if (qos) mark(client);
      break;
    }
    case mqtt::kPubrec:
      if (length > 2 && body[2] >= 0x80) give_up("PUBREC: refused with 0x%02x", body[2]);
      mqtt::put_acknowledgement(client.out, mqtt::kPubrel << 4 | 2, reader.u16());
      mark(client);
      break;
    case mqtt::kPubrel:
      mqtt::put_acknowledgement(client.out, mqtt::kPubcomp << 4, reader.u16());
      mark(client);
      break;
    case mqtt::kPuback:
    case mqtt::kPubcomp:
      if (length > 2 && body[2] >= 0x80) give_up("a message was refused with 0x%02x", body[2]);
      events.on_acknowledged(client);
      break;
    case mqtt::kDisconnect: give_up("DISCONNECT from the broker, reason 0x%02x", length ? body[0] : 0);
    default: give_up("a packet nobody asked for: first byte 0x%02x", first);
  }
}

void Clients::disconnect(Client& client) {
  if (client.fd < 0) return;
  if (client.transport || options_.protocol == Protocol::tcp) client.out.append("\xe0\x00", 2);
  write(client);
  close(client);
}

void Clients::disconnect_all() {
  for (Client& client : clients_) disconnect(client);
}

void Clients::forget_transports() {
  for (Client& client : clients_)
    if (client.state == Client::State::connected) client.transport.reset();
}

void Clients::close(Client& client) {
  client.transport.reset();
  ::close(client.fd);
  client.fd = -1;
  client.state = Client::State::closed;
}
