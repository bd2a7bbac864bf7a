// Frames to sockets: queueing with limits, the flush, and the steps of closing that depend on what is still to be sent.
#include <errno.h>

#include <algorithm>
#include <cstring>

#include "loop/reactor.h"

namespace martlet {

void Reactor::queue_bytes(uint32_t slot, Connection& connection, const uint8_t* bytes, uint32_t size) {
  if (!connection.is(kTakesOutput)) return;
  outputs_.append(connection.out, bytes, size);
  touched(slot, connection, size);
}

void Reactor::queue_frame(uint32_t slot, Connection& connection, const PublishFrame& frame, const uint8_t* encoded,
                          uint16_t packet_id) {
  if (!connection.is(kTakesOutput)) return;
  if (!has_room_for(slot, connection, frame)) return;
  OutputQueue& out = connection.out;
  if (encoded) {
    if (frame.copied <= out.room()) [[likely]] {
      std::memcpy(out.write_at, encoded, frame.copied);
      out.write_at += frame.copied;
      out.bytes += frame.copied;
    } else {
      outputs_.append(out, encoded, frame.copied);
    }
  } else if (outputs_.reserve(out, frame.copied + PublishFrame::kSlack)) [[likely]] {
    out.write_at = frame.write(out.write_at, packet_id);
    out.bytes += frame.copied;
  } else {
    outputs_.append(out, encode(frame, packet_id), frame.copied);
  }
  if (!frame.tail_is_copied) {
    if (frame.block) {
      outputs_.refer_to_block(out, frame.block, frame.tail.data, frame.tail.size);
    } else {
      outputs_.refer_to_inbox(out, frame.tail.data, frame.tail.size, frame.body_at, frame.body_size,
                              connection.is(kBlocked));
    }
  }
  ++totals_.publishes_out;
  totals_.publish_bytes_out += frame.tail.size;
  touched(slot, connection, frame.total);
}

bool Reactor::has_room_for(uint32_t slot, Connection& connection, const PublishFrame& frame) {
  uint32_t limit = frame.has_id || frame.never_left_out ? kMostQueued : connection.output_limit;
  // A frame that is over the limit by itself goes to whom nothing waits for: it would never go at all.
  auto fits = [&] { return connection.out.bytes == 0 || uint64_t{connection.out.bytes} + frame.total <= limit; };
  if (frame.total <= connection.max_packet_out) [[likely]] {
    if (fits()) [[likely]] return true;
    // What was written in this turn has not been offered to the socket yet: it may well take it.
    if (connection.out.bytes && !connection.is(kBlocked)) {
      flush(slot, connection);
      if (!connection.is(kTakesOutput)) return false;
      if (fits()) return true;
    }
    if (frame.has_id) {
      close_connection(slot, connection, wire::CloseReason::SocketError, ENOBUFS);
      return false;
    }
    ++connection.left_out;
  } else {
    ++connection.too_large;
  }
  ++totals_.frames_left_out;
  ++memory_.left_out[slot];
  owe(slot, connection);
  return false;
}

const uint8_t* Reactor::encode(const PublishFrame& frame, uint16_t packet_id) {
  size_t size = frame.copied + PublishFrame::kSlack;
  if (scratch_.size() < size) scratch_.resize(size);
  frame.write(scratch_.data(), packet_id);
  return scratch_.data();
}

void Reactor::touched(uint32_t slot, Connection& connection, uint32_t bytes) {
  memory_.queued[slot] = connection.out.bytes;
  totals_.queued_bytes += bytes;
  queued_since_flush_ += bytes;
  if (connection.out.bytes >= options_.high_water) connection.set(kFull);
  dirty(slot, connection);
}

void Reactor::dirty(uint32_t slot, Connection& connection) {
  if (connection.is(kDirty)) return;
  connection.set(kDirty);
  dirty_.push_back(slot);
}

void Reactor::flush_all() {
  queued_since_flush_ = 0;
  if (!in_turn_) now_ = sockets::now();
  for (uint32_t slot : dirty_) {
    Connection& connection = connections_[slot];
    connection.unset(kDirty);
    if (connection.lives()) flush(slot, connection);
  }
  dirty_.clear();
}

void Reactor::flush(uint32_t slot, Connection& connection) {
  OutputQueue& out = connection.out;
  if (out.bytes && !connection.is(kBlocked)) {
    OutputStore::Sent sent = connection.is(kLayered) ? outputs_.send(out, connection.stream->top()) : outputs_.send(out, connection.fd);
    totals_.sends += sent.calls;
    totals_.bytes_out += sent.bytes;
    totals_.queued_bytes -= sent.bytes;
    memory_.bytes_out[slot] += static_cast<double>(sent.bytes);
    memory_.queued[slot] = out.bytes;
    if (sent.error) {
      write_failed(slot, connection, sent.error);
      if (!connection.lives()) return;
    } else {
      out.habit = sent.copied;
      memory_.last_write[slot] = now_;  // progress, or the first wait
      if (out.bytes) {
        connection.set(kBlocked);
        if (!collecting_) outputs_.leave_inbox(out);  // what waited before this turn left it long ago
      }
    }
  }
  if (connection.is(kLayered) && !flush_stream(slot, connection)) return;
  after_flush(slot, connection);
}

void Reactor::after_flush(uint32_t slot, Connection& connection) {
  if (connection.is(kFull) && connection.out.bytes <= options_.low_water) {
    connection.unset(kFull);
    if (connection.is(kTakesOutput)) {
      connection.set(kOwesDrained);
      owe(slot, connection);
    }
  }
  if (connection.is(kFinishing) && connection.out.bytes == 0 && !connection.is(kBlocked)) {
    if (connection.state == State::PeerEnded) {
      close_connection(slot, connection, wire::CloseReason::Finished, 0);
      return;
    }
    if (!connection.is(kFinSent)) {
      connection.set(kFinSent);
      int result = sockets::shutdown_write(connection.fd);
      if (result < 0) {
        close_connection(slot, connection, wire::CloseReason::PeerVanished, -result);
        return;
      }
    }
  }
  update_interest(slot, connection);
}

// A peer that sends its last packets and goes away resets our answers; what it sent before is in our receive queue
// still, and is delivered: recv will find the end of it.
void Reactor::write_failed(uint32_t slot, Connection& connection, int error) {
  bool gone = error == EPIPE || error == ECONNRESET;
  if (connection.delivers() && gone) {
    totals_.queued_bytes -= connection.out.bytes;
    outputs_.clear(connection.out);
    memory_.queued[slot] = 0;
    connection.unset(kTakesOutput);
    connection.unset(kFull);
    connection.set(kBroken);
    connection.error = error;
    return;
  }
  bool finishing = connection.is(kFinishing);
  close_connection(slot, connection, finishing ? wire::CloseReason::PeerVanished : wire::CloseReason::SocketError, error);
}

void Reactor::update_interest(uint32_t slot, Connection& connection) {
  bool reads = connection.delivers() || connection.state == State::Ending;
  uint32_t interest = (reads ? EPOLLIN : 0u) | (connection.is(kBlocked) ? EPOLLOUT : 0u);
  if (interest == connection.interest) return;
  uint64_t tag = uint64_t{static_cast<uint32_t>(connection.generation)} << 32 | slot;
  int result = sockets::epoll_modify(epoll_, connection.fd, interest, tag);
  if (result < 0) {
    close_connection(slot, connection, wire::CloseReason::SocketError, -result);
    return;
  }
  connection.interest = interest;
}

void Reactor::close_connection(uint32_t slot, Connection& connection, wire::CloseReason reason, int error) {
  if (!connection.lives()) return;
  drop_input(connection);
  totals_.queued_bytes -= connection.out.bytes;
  outputs_.clear(connection.out);
  memory_.queued[slot] = 0;
  if (Listener* accepted_by = listener(connection.listener)) --*accepted_by->open;
  delete connection.stream;
  connection.stream = nullptr;
  sockets::close(connection.fd);  // leaves the epoll set by itself
  connection.fd = -1;
  connection.state = State::Closed;
  // Membership of the lists stays true until they are walked.
  connection.flags &= kDirty | kPending;
  connection.set(kOwesClosed);
  connection.reason = reason;
  connection.reason_error = error;
  --totals_.connections;
  owe(slot, connection);
}

}  // namespace martlet
