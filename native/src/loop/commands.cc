// The outbox: decodes commands and carries them out in order. Nothing TypeScript writes is trusted with memory: every
// offset, handle and position is checked, and the first wrong one aborts the batch with a text that names it. A stale
// (slot, generation) is not wrong: the connection closed while TypeScript was deciding.
#include <algorithm>
#include <cstring>

#include "loop/reactor.h"

namespace martlet {

namespace {

using wire::Command;

// Words behind the first; forwardList has more, by its first.
constexpr uint8_t kWords[] = {
    0,  // no command 0
    4,  // send
    3,  // sendShort
    7,  // forward
    5,  // forwardKept
    7,  // multicast
    5,  // multicastKept
    6,  // forwardList
    4,  // keep
    2,  // shape
    1,  // release
    4,  // groupPut
    2,  // groupSize
    5,  // admit
    2,  // finish
    3,  // close
    2,  // pause
    2,  // resume
    1,  // listenerResume
    7,  // shortcut
};

uint32_t limit_or(int32_t word, uint32_t otherwise) {
  return word == 0 ? otherwise : static_cast<uint32_t>(word);
}

}  // namespace

bool Reactor::fail(const char* what) {
  if (error_.empty()) error_ = what;  // the first one is the cause
  return false;
}

bool Reactor::execute() {
  auto end = static_cast<uint32_t>(memory_.outbox[0]);
  memory_.outbox[0] = 1;
  if (end <= 1 || closed_) return true;
  if (end > memory_.outbox_words) return fail("outbox[0] is behind the end of the outbox");
  const int32_t* at = memory_.outbox + 1;
  const int32_t* stop = memory_.outbox + end;
  while (at < stop) {
    auto word = static_cast<uint32_t>(*at++);
    uint32_t used = 0;
    if (!carry_out(word, at, static_cast<uint32_t>(stop - at), &used)) return false;
    at += used;
    if (queued_since_flush_ >= options_.flush_after) [[unlikely]] flush_all();
  }
  publish_totals();
  return true;
}

bool Reactor::carry_out(uint32_t word, const int32_t* words, uint32_t left, uint32_t* used) {
  uint32_t command = word & 0xFF;
  if (command == 0 || command >= sizeof kWords) return fail("unknown command in the outbox");
  if (left < kWords[command]) return fail("the last command in the outbox is cut off");
  *used = kWords[command];
  auto first = static_cast<uint8_t>(word >> 8);
  auto packet_id = static_cast<uint16_t>(word >> 16);
  PublishFrame frame;
  Connection* connection;
  switch (static_cast<Command>(command)) {
    case Command::Send:
      return send(words);
    case Command::SendShort:
      return send_short(word >> 8, words);
    case Command::Forward:
      if (!frame_of_inbox(first, words + 2, &frame)) return false;
      connection = addressed(words);
      if (connection) queue_frame(static_cast<uint32_t>(words[0]), *connection, frame, nullptr, packet_id);
      return true;
    case Command::ForwardKept:
      if (!frame_of_kept(first, words + 2, &frame)) return false;
      connection = addressed(words);
      if (connection) queue_frame(static_cast<uint32_t>(words[0]), *connection, frame, nullptr, packet_id);
      return true;
    case Command::Multicast:
      return frame_of_inbox(first, words + 1, &frame) && multicast(frame, words, words[6]);
    case Command::MulticastKept:
      return frame_of_kept(first, words + 1, &frame) && multicast(frame, words, words[4]);
    case Command::ForwardList: {
      auto count = static_cast<uint32_t>(words[0]);
      if (count > (left - 6) / 3) return fail("forwardList: the list is longer than the outbox");
      *used += count * 3;
      return frame_of_inbox(first, words + 1, &frame) && forward_list(frame, words + 6, count);
    }
    case Command::Keep:
      return keep(words);
    case Command::Shape:
      return shape(words);
    case Command::Release:
      return kept_.release(words[0]) || fail("release: no such handle");
    case Command::GroupPut:
      return put_in_group(words);
    case Command::GroupSize:
      return groups_.truncate(static_cast<uint32_t>(words[0]), static_cast<uint32_t>(words[1])) ||
             fail("groupSize: no such group, or longer than it is");
    case Command::ListenerResume:
      return resume_listener(words[0]);
    case Command::Shortcut:
      return put_shortcut(words);
    default:
      break;
  }
  connection = addressed(words);
  if (!connection) return true;
  auto slot = static_cast<uint32_t>(words[0]);
  switch (static_cast<Command>(command)) {
    case Command::Admit:
      admit(*connection, words);
      break;
    case Command::Finish:
      finish(slot, *connection);
      break;
    case Command::Close:
      close_now(slot, *connection, words[2] != 0);
      break;
    case Command::Pause:
      pause(slot, *connection);
      break;
    default:
      resume(slot, *connection);
      break;
  }
  return true;
}

bool Reactor::in_outbox(int32_t offset, int32_t size) const {
  return offset >= 0 && size >= 0 && uint64_t{static_cast<uint32_t>(offset)} + static_cast<uint32_t>(size) <= memory_.outbox_size;
}

bool Reactor::in_inbox(int32_t offset, int32_t size) const {
  return offset >= 0 && size >= 0 && uint64_t{static_cast<uint32_t>(offset)} + static_cast<uint32_t>(size) <= inbox_used_;
}

bool Reactor::send(const int32_t* words) {
  if (!in_outbox(words[2], words[3])) return fail("send: the bytes are outside outboxBytes");
  if (Connection* connection = addressed(words)) {
    queue_bytes(static_cast<uint32_t>(words[0]), *connection, memory_.outbox_bytes + words[2],
                static_cast<uint32_t>(words[3]));
  }
  return true;
}

bool Reactor::send_short(uint32_t length, const int32_t* words) {
  if (length < 1 || length > 4) return fail("sendShort: 1 to 4 bytes");
  if (Connection* connection = addressed(words)) {
    auto word = static_cast<uint32_t>(words[2]);
    uint8_t bytes[4] = {static_cast<uint8_t>(word), static_cast<uint8_t>(word >> 8), static_cast<uint8_t>(word >> 16),
                        static_cast<uint8_t>(word >> 24)};
    queue_bytes(static_cast<uint32_t>(words[0]), *connection, bytes, length);
  }
  return true;
}

// words: bodyOff bodyLen tailOff middleOff middleLen
bool Reactor::frame_of_inbox(uint8_t first, const int32_t* words, PublishFrame* frame) {
  if (!in_turn_) return fail("an inbox frame outside its turn");
  if (!in_inbox(words[0], words[1])) return fail("an inbox frame outside this turn's inbox");
  const uint8_t* body = memory_.inbox_bytes + words[0];
  int32_t topic = topic_length(body, static_cast<uint32_t>(words[1]));
  if (topic < 0) return fail("an inbox frame that is no PUBLISH: the topic overruns it");
  int32_t end = words[0] + words[1];
  if (words[2] < words[0] + topic + 2 || words[2] > end) return fail("an inbox frame's tail is outside its body");
  frame->head = {body, static_cast<uint32_t>(topic) + 2};
  frame->tail = {memory_.inbox_bytes + words[2], static_cast<uint32_t>(end - words[2])};
  frame->body_at = static_cast<uint32_t>(words[0]);
  frame->body_size = static_cast<uint32_t>(words[1]);
  return with_middle(first, words[3], words[4], frame);
}

// words: handle middleOff middleLen
bool Reactor::frame_of_kept(uint8_t first, const int32_t* words, PublishFrame* frame) {
  Block* block = kept_.find(words[0]);
  if (!block) return fail("a kept frame with no such handle");
  frame->block = block;
  frame->head = {block->data(), block->head};
  frame->tail = {block->data() + block->tail, block->length - block->tail};
  return with_middle(first, words[1], words[2], frame);
}

bool Reactor::with_middle(uint8_t first, int32_t offset, int32_t size, PublishFrame* frame) {
  if (size < 0) {  // the receiver knows the topic by its alias
    static constexpr uint8_t kNoTopic[2] = {0, 0};
    frame->head = {kNoTopic, 2};
    size &= INT32_MAX;
  }
  constexpr int32_t kNeverLeftOut = 1 << 30;
  frame->never_left_out = (size & kNeverLeftOut) != 0;
  size &= ~kNeverLeftOut;
  if (!in_outbox(offset, size)) return fail("a frame's middle is outside outboxBytes");
  frame->middle = {memory_.outbox_bytes + offset, static_cast<uint32_t>(size)};
  return frame->finish(first) || fail("a frame longer than a Control Packet can be");
}

bool Reactor::multicast(const PublishFrame& frame, const int32_t* group_word, int32_t except) {
  if (frame.has_id) return fail("multicast carries no packet identifiers: use forwardList");
  const Groups::Group* group = groups_.find(static_cast<uint32_t>(*group_word));
  if (!group) return fail("multicast: no such group");
  const uint8_t* encoded = encode(frame, 0);
  const Groups::Recipient* recipients = group->recipients;
  uint32_t size = group->size;
  for (uint32_t i = 0; i < size; ++i) {
    // Two steps ahead of the copy: first the connection, then the place it writes to.
    if (i + 8 < size) connections_.prefetch(recipients[i + 8].slot);
    if (i + 4 < size) connections_.prefetch_output(recipients[i + 4].slot);
    uint32_t slot = recipients[i].slot;
    Connection* connection = connections_.find(slot, recipients[i].generation);
    if (!connection || static_cast<int32_t>(slot) == except) continue;
    queue_frame(slot, *connection, frame, encoded, 0);
  }
  return true;
}

bool Reactor::forward_list(const PublishFrame& frame, const int32_t* recipients, uint32_t count) {
  encode(frame, 0);
  for (uint32_t i = 0; i < count; ++i, recipients += 3) {
    Connection* connection = addressed(recipients);
    if (!connection) continue;
    auto packet_id = static_cast<uint16_t>(recipients[2]);
    if (frame.has_id) {
      scratch_[frame.id_at()] = static_cast<uint8_t>(packet_id >> 8);
      scratch_[frame.id_at() + 1] = static_cast<uint8_t>(packet_id);
    }
    queue_frame(static_cast<uint32_t>(recipients[0]), *connection, frame, scratch_.data(), packet_id);
  }
  return true;
}

// words: handle bodyOff bodyLen tailOff
bool Reactor::keep(const int32_t* words) {
  if (!kept_.is_free(words[0])) return fail("keep: the handle is in use or out of range");
  const int32_t frame_words[] = {words[1], words[2], words[3], 0, 0};
  PublishFrame frame;
  // A first byte with QoS 1 keeps head and tail apart.
  if (!frame_of_inbox(0x32, frame_words, &frame)) return false;
  Block* block = Block::create(frame.head.size + frame.tail.size);
  std::memcpy(block->data(), frame.head.data, frame.head.size);
  std::memcpy(block->data() + frame.head.size, frame.tail.data, frame.tail.size);
  block->length = frame.head.size + frame.tail.size;
  block->head = block->tail = frame.head.size;
  kept_.put(words[0], block);
  return true;
}

bool Reactor::shape(const int32_t* words) {
  Block* block = words[0] < 0 ? kept_.find(words[0]) : nullptr;
  if (!block) return fail("shape: no such native handle");
  auto tail = static_cast<uint32_t>(words[1]);
  if (tail < block->head || tail > block->length) return fail("shape: the tail is outside the frame");
  block->tail = tail;
  return true;
}

bool Reactor::put_in_group(const int32_t* words) {
  auto slot = static_cast<uint32_t>(words[2]);
  if (slot >= connections_.size()) return fail("groupPut: no such slot");
  return groups_.put(static_cast<uint32_t>(words[0]), static_cast<uint32_t>(words[1]), {slot, words[3]}) ||
         fail("groupPut: no such group number, or a position behind the end");
}

// words: topic id, from slot gen, to slot gen, versions, decision
bool Reactor::put_shortcut(const int32_t* words) {
  Shortcut shortcut{words[6], static_cast<uint32_t>(words[1]), words[2], static_cast<uint32_t>(words[3]), words[4],
                    (words[5] & 1) != 0, (words[5] & 2) != 0};
  return shortcuts_.put(static_cast<uint32_t>(words[0]), shortcut) || fail("shortcut: no such topic id");
}

// words: slot gen maxPacketIn maxPacketOut outputLimit; a limit of 0 is none.
void Reactor::admit(Connection& connection, const int32_t* words) {
  if (!connection.is(kAdmitted)) {
    connection.set(kAdmitted);
    unadmitted_partial_ -= connection.partial;
  }
  connection.max_packet_in = limit_or(words[2], UINT32_MAX);
  connection.max_packet_out = limit_or(words[3], UINT32_MAX);
  connection.output_limit = std::min(limit_or(words[4], kMostQueued), kMostQueued);
}

void Reactor::finish(uint32_t slot, Connection& connection) {
  if (connection.is(kFinishing)) return;
  if (connection.is_underway()) {
    close_connection(slot, connection, wire::CloseReason::Command, 0);
    return;
  }
  if (connection.is(kBroken)) {
    close_connection(slot, connection, wire::CloseReason::SocketError, connection.error);
    return;
  }
  drop_input(connection);
  connection.set(kFinishing);
  connection.unset(kTakesOutput);
  if (connection.state == State::Open) connection.state = State::Ending;
  dirty(slot, connection);
}

void Reactor::close_now(uint32_t slot, Connection& connection, bool reset) {
  if (reset) sockets::linger_zero(connection.fd);
  close_connection(slot, connection, wire::CloseReason::Command, 0);
}

void Reactor::pause(uint32_t slot, Connection& connection) {
  if (connection.state != State::Open || connection.reading != Reading::On) return;
  connection.reading = Reading::Paused;
  connection.unset(kReadyAgain);
  dirty(slot, connection);
}

void Reactor::resume(uint32_t slot, Connection& connection) {
  if (connection.state != State::Open || connection.reading != Reading::Paused) return;
  connection.reading = Reading::On;
  // Perhaps only half a packet: then delivering it again does nothing.
  if (connection.in || has_pending(connection)) ready_again(slot, connection);
  dirty(slot, connection);
}

bool Reactor::resume_listener(int32_t id) {
  Listener* found = listener(static_cast<uint32_t>(id));
  if (!found || !found->paused) return true;  // unlistened in the meantime, or told twice
  found->paused = false;
  set_listener_interest(static_cast<uint32_t>(id), *found, EPOLLIN);
  return true;
}

}  // namespace martlet
