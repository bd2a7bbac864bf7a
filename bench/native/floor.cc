// floor: the least work a one-thread epoll broker can do. It splits packets, looks the topic up in a hash map (filters
// are exact, or stand in one list for anything with a wildcard in it), copies the frame into each subscriber's buffer,
// and calls send() once per dirty connection and turn. No sessions, no validation, no limits, no keep alive, no
// retransmission: it exists only as the limit against which brokers are measured.
//
//   floor PORT
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mqtt.h"

namespace {

struct Connection {
  bool open = false;
  bool awaits_writable = false;
  bool dirty = false;
  bool mqtt5 = false;
  uint16_t last_packet_id = 0;
  std::string in;
  std::string out;
  size_t out_sent = 0;
};

struct Subscription {
  int fd;
  uint8_t qos;
};

struct TopicHash {
  using is_transparent = void;
  size_t operator()(std::string_view topic) const { return std::hash<std::string_view>{}(topic); }
};

constexpr size_t kReadSize = 256 * 1024;
constexpr std::string_view kConnack3("\x20\x02\x00\x00", 4);
constexpr std::string_view kConnack5("\x20\x03\x00\x00\x00", 5);
constexpr std::string_view kPingresp("\xd0\x00", 2);

class Floor {
 public:
  explicit Floor(uint16_t port);
  [[noreturn]] void run();

 private:
  void accept_all();
  void read(int fd);
  void handle(int fd, const uint8_t* frame, size_t body_at, uint32_t length);
  void handle_publish(int fd, const uint8_t* frame, size_t body_at, uint32_t length);
  void handle_subscribe(int fd, mqtt::Reader reader);
  void deliver(const Subscription& to, const uint8_t* frame, size_t size, uint8_t qos, size_t packet_id_at);
  void answer(int fd, std::string_view bytes);
  void write(int fd);
  void drop(int fd);

  int epoll_;
  int listener_;
  std::vector<Connection> connections_;  // by descriptor
  std::vector<int> dirty_;
  std::unordered_map<std::string, std::vector<Subscription>, TopicHash, std::equal_to<>> exact_;
  std::vector<Subscription> wildcards_;
  std::vector<uint8_t> read_buffer_ = std::vector<uint8_t>(kReadSize);
};

[[noreturn]] void fail(const char* what) {
  perror(what);
  exit(1);
}

Floor::Floor(uint16_t port) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address)) fail("bind");
  if (listen(listener_, 4096)) fail("listen");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener_;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event);
}

void Floor::run() {
  static epoll_event ready[1024];
  for (;;) {
    int count = epoll_wait(epoll_, ready, 1024, -1);
    for (int i = 0; i < count; i++) {
      int fd = ready[i].data.fd;
      if (fd == listener_) {
        accept_all();
        continue;
      }
      if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read(fd);
      if (connections_[fd].open && (ready[i].events & EPOLLOUT)) write(fd);
    }
    for (int fd : dirty_) {
      connections_[fd].dirty = false;
      write(fd);
    }
    dirty_.clear();
  }
}

void Floor::accept_all() {
  int fd;
  while ((fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (static_cast<size_t>(fd) >= connections_.size()) connections_.resize(fd + 1);
    connections_[fd].open = true;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
}

void Floor::read(int fd) {
  Connection& connection = connections_[fd];
  ssize_t received = recv(fd, read_buffer_.data(), read_buffer_.size(), 0);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (received <= 0) return drop(fd);
  const uint8_t* data = read_buffer_.data();
  size_t size = static_cast<size_t>(received);
  bool continued = !connection.in.empty();
  if (continued) {
    connection.in.append(reinterpret_cast<const char*>(data), size);
    data = reinterpret_cast<const uint8_t*>(connection.in.data());
    size = connection.in.size();
  }
  size_t at = 0;
  size_t body_at;
  uint32_t length;
  while (mqtt::find_packet(data + at, size - at, body_at, length)) {
    handle(fd, data + at, body_at, length);
    at += body_at + length;
  }
  if (continued)
    connection.in.erase(0, at);
  else if (at < size)
    connection.in.assign(reinterpret_cast<const char*>(data + at), size - at);
}

void Floor::handle(int fd, const uint8_t* frame, size_t body_at, uint32_t length) {
  const uint8_t* body = frame + body_at;
  auto acknowledge = [&](uint8_t first) {
    const char bytes[] = {static_cast<char>(first), 2, static_cast<char>(body[0]), static_cast<char>(body[1])};
    answer(fd, {bytes, sizeof bytes});
  };
  switch (frame[0] >> 4) {
    case mqtt::kConnect:
      connections_[fd].mqtt5 = body[6] == 5;
      answer(fd, connections_[fd].mqtt5 ? kConnack5 : kConnack3);
      break;
    case mqtt::kPublish: handle_publish(fd, frame, body_at, length); break;
    case mqtt::kPubrec: acknowledge(mqtt::kPubrel << 4 | 2); break;
    case mqtt::kPubrel: acknowledge(mqtt::kPubcomp << 4); break;
    case mqtt::kSubscribe: handle_subscribe(fd, {body, body + length}); break;
    case mqtt::kPingreq: answer(fd, kPingresp); break;
  }
}

void Floor::handle_publish(int fd, const uint8_t* frame, size_t body_at, uint32_t length) {
  const uint8_t* body = frame + body_at;
  uint8_t qos = frame[0] >> 1 & 3;
  size_t topic_length = static_cast<size_t>(body[0] << 8 | body[1]);
  std::string_view topic(reinterpret_cast<const char*>(body) + 2, topic_length);
  size_t packet_id_at = body_at + 2 + topic_length;
  if (auto found = exact_.find(topic); found != exact_.end())
    for (const Subscription& to : found->second) deliver(to, frame, body_at + length, qos, packet_id_at);
  for (const Subscription& to : wildcards_) deliver(to, frame, body_at + length, qos, packet_id_at);
  if (!qos) return;
  const uint8_t first = qos == 1 ? mqtt::kPuback << 4 : mqtt::kPubrec << 4;
  const char bytes[] = {static_cast<char>(first), 2, static_cast<char>(frame[packet_id_at]),
                        static_cast<char>(frame[packet_id_at + 1])};
  answer(fd, {bytes, sizeof bytes});
}

// Publisher and subscriber are assumed to use the same QoS and protocol version: then the frame goes out as it came in.
void Floor::deliver(const Subscription& to, const uint8_t* frame, size_t size, uint8_t qos, size_t packet_id_at) {
  Connection& receiver = connections_[to.fd];
  size_t at = receiver.out.size();
  receiver.out.append(reinterpret_cast<const char*>(frame), size);
  if (qos) {
    if (!++receiver.last_packet_id) receiver.last_packet_id = 1;
    receiver.out[at + packet_id_at] = static_cast<char>(receiver.last_packet_id >> 8);
    receiver.out[at + packet_id_at + 1] = static_cast<char>(receiver.last_packet_id);
  }
  answer(to.fd, {});
}

void Floor::handle_subscribe(int fd, mqtt::Reader reader) {
  uint16_t packet_id = reader.u16();
  bool mqtt5 = connections_[fd].mqtt5;
  if (mqtt5) reader.skip(reader.variable_byte_integer());
  uint16_t length = reader.u16();
  std::string filter(reinterpret_cast<const char*>(reader.at), length);
  reader.skip(length);
  Subscription subscription{fd, static_cast<uint8_t>(reader.u8() & 3)};
  if (filter.find_first_of("+#") != filter.npos)
    wildcards_.push_back(subscription);
  else
    exact_[filter].push_back(subscription);
  std::string body;
  mqtt::put_u16(body, packet_id);
  if (mqtt5) body.push_back(0);
  body.push_back(static_cast<char>(subscription.qos));
  std::string suback;
  mqtt::put_packet(suback, mqtt::kSuback << 4, body);
  answer(fd, suback);
}

void Floor::answer(int fd, std::string_view bytes) {
  Connection& connection = connections_[fd];
  connection.out += bytes;
  if (connection.dirty) return;
  connection.dirty = true;
  dirty_.push_back(fd);
}

void Floor::write(int fd) {
  Connection& connection = connections_[fd];
  if (!connection.open) return;
  while (connection.out_sent < connection.out.size()) {
    std::string_view rest = std::string_view(connection.out).substr(connection.out_sent);
    ssize_t sent = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) break;
    connection.out_sent += static_cast<size_t>(sent);
  }
  bool rest = connection.out_sent < connection.out.size();
  if (!rest) {
    connection.out.clear();
    connection.out_sent = 0;
  }
  if (rest == connection.awaits_writable) return;
  connection.awaits_writable = rest;
  epoll_event event{};
  event.events = EPOLLIN | (rest ? EPOLLOUT : 0u);
  event.data.fd = fd;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Floor::drop(int fd) {
  auto forget = [fd](std::vector<Subscription>& list) { std::erase_if(list, [fd](auto& s) { return s.fd == fd; }); };
  forget(wildcards_);
  for (auto& [topic, list] : exact_) forget(list);
  std::erase_if(exact_, [](auto& entry) { return entry.second.empty(); });
  bool dirty = connections_[fd].dirty;
  connections_[fd] = Connection();
  connections_[fd].dirty = dirty;  // it still stands in the list
  close(fd);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    fputs("floor PORT\n", stderr);
    return 2;
  }
  Floor(static_cast<uint16_t>(atoi(arguments[1]))).run();
}
