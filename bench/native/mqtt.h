// The few MQTT packets a load generator writes, and how it finds the packets in what it reads. No state, no sockets.
// It trusts the broker's lengths no further than the bytes at hand, but it is no validator: that is the conformance
// suite's work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mqtt {

enum Type : uint8_t {
  kConnect = 1, kConnack, kPublish, kPuback, kPubrec, kPubrel, kPubcomp, kSubscribe, kSuback,
  kUnsubscribe, kUnsuback, kPingreq, kPingresp, kDisconnect,
};

inline void put_u16(std::string& out, uint16_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

inline void put_string(std::string& out, const std::string& value) {
  put_u16(out, static_cast<uint16_t>(value.size()));
  out += value;
}

inline void put_variable_byte_integer(std::string& out, uint32_t value) {
  do {
    uint8_t digit = value & 127;
    value >>= 7;
    out.push_back(static_cast<char>(value ? digit | 128 : digit));
  } while (value);
}

inline void put_packet(std::string& out, uint8_t first, const std::string& body) {
  out.push_back(static_cast<char>(first));
  put_variable_byte_integer(out, static_cast<uint32_t>(body.size()));
  out += body;
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP: two bytes of packet identifier, success. */
inline void put_acknowledgement(std::string& out, uint8_t first, uint16_t packet_id) {
  out.push_back(static_cast<char>(first));
  out.push_back(2);
  put_u16(out, packet_id);
}

struct ConnectOptions {
  std::string client_id;
  bool mqtt5;
  bool clean;
  uint32_t session_expiry;  // MQTT 5, seconds; 0: the property is left out
};

inline void put_connect(std::string& out, const ConnectOptions& options) {
  constexpr uint16_t kKeepAlive = 600;  // longer than any run: no PINGREQ disturbs the measurement
  std::string body;
  put_string(body, "MQTT");
  body.push_back(options.mqtt5 ? 5 : 4);
  body.push_back(options.clean ? 0x02 : 0x00);
  put_u16(body, kKeepAlive);
  if (options.mqtt5 && options.session_expiry) {
    body.push_back(5);
    body.push_back(0x11);  // Session Expiry Interval
    put_u16(body, static_cast<uint16_t>(options.session_expiry >> 16));
    put_u16(body, static_cast<uint16_t>(options.session_expiry));
  } else if (options.mqtt5) {
    body.push_back(0);
  }
  put_string(body, options.client_id);
  put_packet(out, kConnect << 4, body);
}

inline void put_subscribe(std::string& out, const std::string& filter, uint8_t qos, bool mqtt5) {
  std::string body;
  put_u16(body, 1);
  if (mqtt5) body.push_back(0);
  put_string(body, filter);
  body.push_back(static_cast<char>(qos));
  put_packet(out, kSubscribe << 4 | 2, body);
}

/** A PUBLISH whose packet identifier (QoS > 0) and first payload bytes are stamped in later. */
struct PublishTemplate {
  std::string frame;
  size_t packet_id_at = 0;
  size_t payload_at = 0;

  PublishTemplate(const std::string& topic, uint8_t qos, bool mqtt5, uint32_t payload_size) {
    std::string head;
    put_string(head, topic);
    size_t packet_id_in_head = head.size();
    if (qos) put_u16(head, 0);
    if (mqtt5) head.push_back(0);
    frame.push_back(static_cast<char>(kPublish << 4 | qos << 1));
    put_variable_byte_integer(frame, static_cast<uint32_t>(head.size() + payload_size));
    packet_id_at = frame.size() + packet_id_in_head;
    payload_at = frame.size() + head.size();
    frame += head;
    frame.append(payload_size, 'x');
  }
};

/** Reads forward through one packet's body; after a read past the end `ok` is false and every value 0. */
struct Reader {
  const uint8_t* at;
  const uint8_t* end;
  bool ok = true;

  bool skip(size_t count) {
    if (static_cast<size_t>(end - at) < count) {
      ok = false;
      at = end;
    } else {
      at += count;
    }
    return ok;
  }
  uint8_t u8() { return skip(1) ? at[-1] : 0; }
  uint16_t u16() { return skip(2) ? static_cast<uint16_t>(at[-2] << 8 | at[-1]) : 0; }
  uint32_t variable_byte_integer() {
    uint32_t value = 0;
    for (int shift = 0; shift < 28; shift += 7) {
      uint8_t digit = u8();
      value |= static_cast<uint32_t>(digit & 127) << shift;
      if (!(digit & 128)) return value;
    }
    ok = false;
    return 0;
  }
};

/** The Receive Maximum in a CONNACK's properties; 65,535 when there is none (MQTT 5, section 3.2.2.3.3). */
inline uint16_t receive_maximum(Reader reader) {
  uint32_t length = reader.variable_byte_integer();
  if (length > static_cast<size_t>(reader.end - reader.at)) return 65535;
  reader.end = reader.at + length;
  while (reader.ok && reader.at < reader.end) {
    switch (reader.u8()) {
      case 0x21: return reader.u16();
      case 0x24: case 0x25: case 0x28: case 0x29: case 0x2a: reader.skip(1); break;
      case 0x13: case 0x22: reader.skip(2); break;
      case 0x11: case 0x27: reader.skip(4); break;
      case 0x26: reader.skip(reader.u16()); reader.skip(reader.u16()); break;
      default: reader.skip(reader.u16()); break;  // all others are strings or binary data
    }
  }
  return 65535;
}

/**
 * Where the first packet in `data` begins its body, and how long it is.
 * Returns false while the fixed header or the body is not there in full.
 */
inline bool find_packet(const uint8_t* data, size_t size, size_t& body_at, uint32_t& body_length) {
  body_length = 0;
  for (size_t i = 1; i < size && i < 5; i++) {
    body_length |= static_cast<uint32_t>(data[i] & 127) << (7 * (i - 1));
    if (data[i] & 128) continue;
    body_at = i + 1;
    return size - body_at >= body_length;
  }
  return false;
}

}  // namespace mqtt
