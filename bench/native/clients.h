// Owns the connections of a run, their buffers and the one epoll set they stand in. Splits what arrives into packets,
// answers QoS 1 and 2 deliveries, and tells a ClientEvents what happened. Knows nothing of shapes, windows or figures.
//
// What is written to a client waits until flush(), which sends once for each client that was written to: the load
// generator must not be the one that cuts the broker's batches into pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "histogram.h"
#include "transport.h"

struct Options;

struct Client {
  enum class State : uint8_t { unused, connecting, awaiting_connack, connected, closed };

  uint32_t index = 0;
  int fd = -1;
  State state = State::unused;
  bool awaits_writable = false;
  bool dirty = false;              // stands in the list flush() works through
  bool persistent = false;         // its session outlives the connection
  uint16_t receive_maximum = 65535;
  uint64_t connect_started = 0;
  std::string in;                  // an incomplete packet
  std::string out;
  size_t out_sent = 0;
  std::unique_ptr<Transport> transport;  // null: the socket itself

  size_t unsent() const { return out.size() - out_sent; }
};

class ClientEvents {
 public:
  virtual ~ClientEvents() = default;
  virtual void on_connected(Client&) {}
  virtual void on_subscribed(Client&) {}
  /** A PUBLISH arrived; it is acknowledged after this returns. */
  virtual void on_delivery(Client&, const uint8_t* /*payload*/, size_t /*length*/) {}
  /** A QoS 1 or 2 PUBLISH of ours has run its course. */
  virtual void on_acknowledged(Client&) {}
};

class Clients {
 public:
  Clients(const Options& options, uint32_t count);
  ~Clients();
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  Client& operator[](size_t index) { return clients_[index]; }
  const Client& operator[](size_t index) const { return clients_[index]; }
  size_t size() const { return clients_.size(); }

  /** Connects clients `from` … `to` - 1, a limited number at a time; returns when all have their CONNACK. */
  void connect_all(ClientEvents& events, uint32_t from, uint32_t to);

  /** Waits up to `milliseconds`, reads what arrived, tells `events`, flushes. */
  void poll(ClientEvents& events, int milliseconds);

  /** Says that something was appended to `client.out`. */
  void mark(Client& client) {
    if (client.dirty) return;
    client.dirty = true;
    dirty_.push_back(client.index);
  }

  /** One send for each client with something to say. */
  void flush();

  /** DISCONNECT and close, on all connections. */
  void disconnect_all();
  void disconnect(Client& client);

  /**
   * Gives back what the connected clients' transports hold: fifteen thousand idle TLS connections are the broker's affair,
   * not this program's memory. Nothing more can be said on them but the end.
   */
  void forget_transports();

  /** Connections the broker closed. */
  uint64_t closed_by_broker() const { return closed_by_broker_; }

  /** CONNECT to CONNACK, TCP handshake included, in microseconds. */
  const Histogram& connect_times() const { return connect_times_; }

 private:
  void open(Client& client);
  void send_connect(Client& client);
  void write(Client& client);
  void read(ClientEvents& events, Client& client);
  void received(ClientEvents& events, Client& client, size_t size);
  void handle(ClientEvents& events, Client& client, uint8_t first, const uint8_t* body, uint32_t length);
  void close(Client& client);
  void watch(Client& client, bool writable);

  const Options& options_;
  int epoll_;
  std::vector<Client> clients_;
  std::vector<uint32_t> dirty_;
  std::vector<uint8_t> read_buffer_;
  Histogram connect_times_;
  uint32_t connected_ = 0;
  uint64_t closed_by_broker_ = 0;
};
