// The Reactor: one poll, one inbox, one call, one flush. It owns sockets, what they have not yet delivered and what
// they have not yet sent, and keeps the promises of native/index.d.ts. It knows no Node and no N-API: it is given
// memory and a function to call. Implemented in reactor.cc (turn and lifetime), accepting.cc, connecting.cc (connections of
// ours), reading.cc (sockets to records), streams.cc (connections with layers), writing.cc (frames to sockets) and commands.cc (the outbox).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "loop/wire.h"
#include "mqtt/kept_frames.h"
#include "mqtt/publish_frame.h"
#include "mqtt/shortcuts.h"
#include "mqtt/splitter.h"
#include "mqtt/topic_table.h"
#include "net/buffer_pool.h"
#include "net/connection.h"
#include "net/groups.h"
#include "net/layer.h"
#include "net/listener.h"
#include "net/outgoing.h"
#include "net/output_queue.h"
#include "net/sockets.h"
#include "net/tls.h"

namespace martlet {

/** Borrowed from TypeScript for the reactor's life; see ReactorMemory. */
struct Memory {
  int32_t* inbox;
  uint32_t inbox_records;
  uint8_t* inbox_bytes;
  uint32_t inbox_size;
  int32_t* outbox;
  uint32_t outbox_words;
  uint8_t* outbox_bytes;
  uint32_t outbox_size;
  double* last_read;
  double* last_write;
  uint32_t* queued;
  double* bytes_in;
  double* bytes_out;
  uint32_t* left_out;
  double* totals;
  const int32_t* decisions;
};

/** See ReactorOptions. */
struct Options {
  uint32_t max_connections;
  uint32_t read_size;
  uint32_t topic_ids;
  uint32_t max_turns;
  uint32_t accept_budget;
  uint32_t unadmitted_packet_limit;
  uint64_t partial_budget;
  uint32_t high_water;
  uint32_t low_water;
  uint64_t flush_after;
  uint32_t user_timeout;
  uint32_t handshake_budget;
  bool poison;
};

// Behind this a connection is beyond help, whatever TypeScript asks for: QoS 1 has no limit of its own here.
constexpr uint32_t kMostQueued = 1u << 31;

class Reactor {
 public:
  using OnTurn = void (*)(void* context, uint32_t records);

  Reactor(const Options& options, const Memory& memory, OnTurn on_turn, void* context);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /** Creates the epoll set. Returns 0 or -errno. */
  int open();
  int epoll_fd() const { return epoll_; }

  /** One turn. True: there is more to do at once. */
  bool turn();
  /** Before the loop sleeps: carries out and flushes what was written outside a turn. */
  void before_sleep();
  /** Closes everything and tells of it; outside a turn only. Without `tell`, nobody is called any more. */
  void close(bool tell);
  bool in_turn() const { return in_turn_; }
  /** Gives memory that is free but still ours back to the system. Takes milliseconds after a large burst: for quiet moments. */
  void trim();

  int listen(const ListenOptions& options, ListenError* error);  // id, or -1
  Listener* listener(uint32_t id) const { return id < listeners_.size() ? listeners_[id].get() : nullptr; }
  void unlisten(uint32_t id);
  /** Begins a connection of ours. `opened` or `closed` tells of it in a later turn; false: `error` says what is known at once. */
  bool connect(const ConnectOptions& options, ConnectionId* id, ConnectError* error);
  /** A TLS door for listeners, by number from 0 on; -1 and a text when it cannot be. */
  int secure(const TlsOptions& options, std::string* problem);
  bool resecure(uint32_t door, const TlsOptions& options, std::string* problem);
  std::shared_ptr<TlsDoor> door(uint32_t id) const { return id < doors_.size() ? doors_[id] : nullptr; }
  /** What connections of ours say TLS with, by number from 0 on; -1 and a text when it cannot be. */
  int secure_caller(const TlsOptions& options, std::string* problem);
  std::shared_ptr<const TlsCaller> caller(uint32_t id) const { return id < callers_.size() ? callers_[id] : nullptr; }

  /** Carries the outbox out. False: it was aborted, `take_error` says why. */
  bool execute();
  bool keep_bytes(int32_t handle, const uint8_t* bytes, uint32_t size, uint32_t head);
  /** Copies out of a kept frame; -1: no such frame. */
  int64_t read_kept(int32_t handle, uint64_t offset, uint8_t* into, uint64_t size);
  /** The text of the last failure, or empty; forgets it. */
  std::string take_error();

  uint32_t max_turns() const { return options_.max_turns; }

 private:
  // -- the turn (reactor.cc)
  void begin_turn();
  void read_sockets();
  void end_turn();
  bool dispatch(const epoll_event& event);  // false: inbox full, ask again next turn
  void evict_topics();
  void tell_pending();
  void stay_awake_if_needed();
  void publish_totals();
  uint32_t records_left() const { return memory_.inbox_records - records_; }
  uint32_t bytes_left() const { return memory_.inbox_size - inbox_used_; }
  void record(wire::Kind kind, uint32_t slot, int32_t generation, int32_t a = 0, int32_t b = 0, int32_t c = 0,
              int32_t d = 0);
  void record(int32_t kind, uint32_t slot, int32_t generation, int32_t a, int32_t b, int32_t c, int32_t d);
  void owe(uint32_t slot, Connection& connection);  // something to tell at the next turn's start
  bool tell_owed(uint32_t slot, Connection& connection);

  // -- new connections (accepting.cc)
  bool accept(uint32_t id, Listener& listener);
  void open_connection(int fd, const sockaddr_storage& peer, uint32_t listener_id);
  uint32_t take_slot(int fd, uint32_t interest);  // kNone: no slot or no room in the epoll set; fd is still the caller's
  void begin_connection(uint32_t slot, Connection& connection, uint32_t listener_id);
  void tell_opened(uint32_t slot, Connection& connection, const sockaddr_storage& peer);
  void pause_listener(uint32_t id, Listener& listener, int error);
  void set_listener_interest(uint32_t id, Listener& listener, uint32_t events);
  bool tell_listener(uint32_t id, Listener& listener);

  // -- connections of ours (connecting.cc)
  bool connected(uint32_t slot, Connection& connection);
  void shook_hands(uint32_t slot, Connection& connection);

  // -- sockets to records (reading.cc)
  bool read(uint32_t slot, Connection& connection);
  bool read_bytes(uint32_t slot, Connection& connection);
  bool read_large(uint32_t slot, Connection& connection);
  void discard(uint32_t slot, Connection& connection);
  bool deliver_again();
  uint32_t split(uint32_t slot, Connection& connection, const uint8_t* bytes, uint32_t size, bool* more);
  void start_large(Connection& connection, const FixedHeader& header, const uint8_t* body, uint32_t received);
  void tell_packet(uint32_t slot, Connection& connection, uint8_t first, const uint8_t* body, uint32_t size);
  void tell_large(uint32_t slot, Connection& connection);
  bool take_shortcut(uint32_t slot, const Connection& connection, uint32_t topic, const uint8_t* body, uint32_t size);
  int32_t topic_id(const Connection& connection, const uint8_t* body, uint32_t size, bool in_inbox);
  void refuse_packet(uint32_t slot, Connection& connection, wire::Kind kind, uint8_t first, uint32_t announced,
                     uint32_t limit);
  void read_ended(uint32_t slot, Connection& connection, int64_t result);  // recv's 0 or -errno
  void keep_input(Connection& connection, const uint8_t* bytes, uint32_t size);
  void drop_input(Connection& connection);   // everything received and not delivered
  void drop_buffer(Connection& connection);  // its buffer alone
  void account_partial(uint32_t slot, Connection& connection);
  void ready_again(uint32_t slot, Connection& connection);
  void received(uint32_t slot, int64_t bytes);

  // -- connections with layers (streams.cc)
  void attach_stream(int fd, const sockaddr_storage& peer, const std::shared_ptr<const StreamRules>& rules,
                     Connection& connection);
  bool read_stream(uint32_t slot, Connection& connection);
  void shake_hands();
  void after_stream_read(uint32_t slot, Connection& connection);
  void tell_news(uint32_t slot, Connection& connection);
  void stream_failed(uint32_t slot, Connection& connection);
  uint32_t put_text(const std::string& text);
  bool flush_stream(uint32_t slot, Connection& connection);
  bool has_pending(const Connection& connection) const {
    return connection.is(kLayered) && connection.stream->top().pending();
  }
  static int64_t receive(Connection& connection, uint8_t* into, size_t size) {
    if (!connection.is(kLayered)) [[likely]] return sockets::recv(connection.fd, into, size);
    return connection.stream->top().recv(into, size);
  }

  // -- frames to sockets (writing.cc)
  void queue_bytes(uint32_t slot, Connection& connection, const uint8_t* bytes, uint32_t size);
  // `encoded`: the frame's copied bytes, if they have been written once for many receivers.
  void queue_frame(uint32_t slot, Connection& connection, const PublishFrame& frame, const uint8_t* encoded,
                   uint16_t packet_id);
  bool has_room_for(uint32_t slot, Connection& connection, const PublishFrame& frame);
  const uint8_t* encode(const PublishFrame& frame, uint16_t packet_id);
  void touched(uint32_t slot, Connection& connection, uint32_t bytes);
  void dirty(uint32_t slot, Connection& connection);
  void flush(uint32_t slot, Connection& connection);
  void flush_all();
  void after_flush(uint32_t slot, Connection& connection);
  void write_failed(uint32_t slot, Connection& connection, int error);
  void update_interest(uint32_t slot, Connection& connection);
  void close_connection(uint32_t slot, Connection& connection, wire::CloseReason reason, int error);

  // -- the outbox (commands.cc): `words` are the command's own, without its first
  bool carry_out(uint32_t word, const int32_t* words, uint32_t left, uint32_t* used);
  bool fail(const char* what);
  bool in_outbox(int32_t offset, int32_t size) const;
  bool in_inbox(int32_t offset, int32_t size) const;
  bool frame_of_inbox(uint8_t first, const int32_t* words, PublishFrame* frame);
  bool frame_of_kept(uint8_t first, const int32_t* words, PublishFrame* frame);
  bool with_middle(uint8_t first, int32_t offset, int32_t size, PublishFrame* frame);
  bool send(const int32_t* words);
  bool send_short(uint32_t length, const int32_t* words);
  bool multicast(const PublishFrame& frame, const int32_t* group, int32_t except);
  bool forward_list(const PublishFrame& frame, const int32_t* recipients, uint32_t count);
  bool keep(const int32_t* words);
  bool shape(const int32_t* words);
  bool put_in_group(const int32_t* words);
  bool put_shortcut(const int32_t* words);
  void admit(Connection& connection, const int32_t* words);
  void finish(uint32_t slot, Connection& connection);
  void close_now(uint32_t slot, Connection& connection, bool reset);
  void pause(uint32_t slot, Connection& connection);
  void resume(uint32_t slot, Connection& connection);
  bool resume_listener(int32_t id);
  Connection* addressed(const int32_t* words) {
    return connections_.find(static_cast<uint32_t>(words[0]), words[1]);
  }

  const Options options_;
  const Memory memory_;
  const OnTurn on_turn_;
  void* const context_;
  const uint32_t large_from_;  // packets longer than this are received into blocks of their own

  int epoll_ = -1;
  int wake_ = -1;  // eventfd: keeps the loop awake for what epoll cannot see
  bool awake_ = false;
  bool in_turn_ = false;     // the inbox is valid
  bool collecting_ = false;  // records may be added to it
  bool closing_ = false;
  bool closed_ = false;  // the last record was told: commands reach nobody
  bool inbox_full_ = false;
  double now_ = 0;
  uint32_t turn_ = 0;  // its number
  uint32_t records_ = 0;
  uint32_t inbox_used_ = 0;
  uint32_t inbox_touched_ = 0;  // highest byte written this turn, for poison

  static constexpr int kEvents = 1024;
  std::unique_ptr<epoll_event[]> events_;
  int event_count_ = 0;
  int next_event_ = 0;

  BufferPool buffers_;
  OutputStore outputs_;
  ConnectionTable connections_;
  KeptFrames kept_;
  TopicTable topics_;
  Shortcuts shortcuts_;
  Groups groups_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::shared_ptr<TlsDoor>> doors_;
  std::vector<std::shared_ptr<const TlsCaller>> callers_;

  std::vector<uint32_t> ready_;    // slots with undelivered packets
  std::vector<uint32_t> handshakes_;  // slots whose handshake waits for its turn
  bool handshakes_starve_ = false;    // the last turn had no room for any of them
  std::vector<uint32_t> pending_;  // slots with records to tell
  std::vector<uint32_t> dirty_;    // slots to flush
  std::vector<uint32_t> told_;     // slots whose `closed` is in this turn
  std::vector<uint8_t> scratch_;
  std::vector<uint32_t> evicted_;
  uint64_t queued_since_flush_ = 0;
  uint64_t unadmitted_partial_ = 0;
  bool listeners_owe_ = false;

  struct Totals {
    uint64_t turns, recvs, sends, bytes_in, bytes_out, packets_in, publishes_out, publish_bytes_out, shortcuts, shortcut_bytes,
        frames_left_out, accepted, refused, accept_pauses, connected, connections, partial_bytes, queued_bytes;
  } totals_{};
  std::string error_;
};

}  // namespace martlet
