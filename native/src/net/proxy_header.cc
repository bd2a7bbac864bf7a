#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace martlet {

namespace {

constexpr char kSignature[] = "\r\n\r\n\0\r\nQUIT\n";  // 12 bytes
constexpr size_t kSignatureSize = 12;
constexpr size_t kBlockHead = 16;
constexpr size_t kLongestLine = 107;
constexpr size_t kLongestBlock = 4096;  // what follows the head; TLVs of our own proxies are a few hundred bytes

uint32_t big_endian(const uint8_t* bytes) { return static_cast<uint32_t>(bytes[0]) << 8 | bytes[1]; }

bool read_port(std::string_view text, uint16_t* out) {
  if (text.empty() || text.size() > 5 || (text[0] == '0' && text.size() > 1)) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc{} && end == text.data() + text.size();
}

void read_values(const uint8_t* at, size_t size, bool in_ssl, ProxyHeader* out) {
  constexpr uint8_t kAuthority = 0x02, kSsl = 0x20, kCommonName = 0x22, kCipher = 0x23;
  while (size >= 3) {
    uint8_t type = at[0];
    size_t length = big_endian(at + 1);
    at += 3;
    size -= 3;
    if (length > size) return;
    std::string text(reinterpret_cast<const char*>(at), length);
    if (type == kAuthority && !in_ssl) out->server_name = text;
    // Its client byte, then four bytes of verification result: 0 is a certificate that was verified.
    if (type == kSsl && !in_ssl && length >= 5) {
      bool verified = (at[0] & 0x06) != 0 && at[1] == 0 && at[2] == 0 && at[3] == 0 && at[4] == 0;
      read_values(at + 5, length - 5, true, out);
      if (!verified) out->common_name.clear();
    }
    if (type == kCommonName && in_ssl) out->common_name = text;
    if (type == kCipher && in_ssl) out->cipher = text;
    at += length;
    size -= length;
  }
}

}  // namespace

bool read_proxy_line(std::string_view line, ProxyHeader* out) {
  if (!line.starts_with("PROXY ") || !line.ends_with("\r\n")) return false;
  line = line.substr(6, line.size() - 8);
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return true;
  std::string_view words[5];
  for (auto& word : words) {
    size_t space = std::min(line.find(' '), line.size());
    word = line.substr(0, space);
    line.remove_prefix(std::min(space + 1, line.size()));
  }
  if (!line.empty() || (words[0] != "TCP4" && words[0] != "TCP6")) return false;
  uint16_t port, our_port;
  sockaddr_storage ours;
  int family = words[0] == "TCP4" ? AF_INET : AF_INET6;
  if (!read_port(words[3], &port) || !read_port(words[4], &our_port)) return false;
  if (parse_address(std::string(words[1]).c_str(), port, &out->client) == 0 || out->client.ss_family != family) return false;
  if (parse_address(std::string(words[2]).c_str(), our_port, &ours) == 0 || ours.ss_family != family) return false;
  out->named = true;
  return true;
}

bool read_proxy_block(const uint8_t* bytes, size_t size, ProxyHeader* out) {
  if (size < kBlockHead || std::memcmp(bytes, kSignature, kSignatureSize) != 0) return false;
  uint8_t version = bytes[12] >> 4, command = bytes[12] & 0x0F, family = bytes[13] >> 4, transport = bytes[13] & 0x0F;
  if (version != 2 || command > 1 || size != kBlockHead + big_endian(bytes + 14)) return false;
  if (command == 0) return true;  // LOCAL
  const uint8_t* at = bytes + kBlockHead;
  size_t left = size - kBlockHead;
  size_t addresses = family == 1 ? 12 : family == 2 ? 36 : family == 3 ? 216 : 0;
  if (family > 3 || transport > 2 || left < addresses) return false;
  if (family == 1 && transport == 1) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out->client);
    v4->sin_family = AF_INET;
    std::memcpy(&v4->sin_addr, at, 4);
    std::memcpy(&v4->sin_port, at + 8, 2);
    out->named = true;
  } else if (family == 2 && transport == 1) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out->client);
    v6->sin6_family = AF_INET6;
    std::memcpy(&v6->sin6_addr, at, 16);
    std::memcpy(&v6->sin6_port, at + 32, 2);
    out->named = true;
  }
  read_values(at + addresses, left - addresses, false, out);
  return true;
}

/** How many bytes more surely belong to the header; 0: it is whole. Never a byte too many, for they are not ours. */
size_t ProxyLayer::wanted() const {
  size_t have = header_.size();
  bool block = !header_.empty() && header_[0] == '\r';
  if (have < kSignatureSize) return kSignatureSize - have;  // shorter than any line or block
  if (!block) {
    if (header_.ends_with("\r\n")) return 0;
    if (header_.ends_with('\r')) return 1;
    constexpr size_t kShortestTcp = 22;  // PROXY TCP6 :: :: 1 1\r\n
    return header_[6] == 'T' && have < kShortestTcp ? kShortestTcp - have : 2;
  }
  if (have < kBlockHead) return kBlockHead - have;
  size_t whole = kBlockHead + big_endian(reinterpret_cast<const uint8_t*>(header_.data()) + 14);
  return whole - have;
}

int64_t ProxyLayer::recv(uint8_t* into, size_t size) {
  if (done_) return below().recv(into, size);
  while (size_t more = wanted()) {
    int64_t got = below().recv(into, std::min(more, size));
    if (got == 0 && !header_.empty()) return stream_.fail("PROXY: the header ends in its middle");
    if (got <= 0) return got;
    header_.append(reinterpret_cast<const char*>(into), static_cast<size_t>(got));
    bool block = header_[0] == '\r';
    size_t known = std::min(header_.size(), block ? kSignatureSize : size_t{6});
    if (std::memcmp(header_.data(), block ? kSignature : "PROXY ", known) != 0) {
      return stream_.fail("PROXY: no header came first, and this listener requires one");
    }
    if (!block && header_.size() > kLongestLine) return stream_.fail("PROXY: the line is longer than 107 bytes");
    if (block && header_.size() >= kBlockHead &&
        big_endian(reinterpret_cast<const uint8_t*>(header_.data()) + 14) > kLongestBlock) {
      return stream_.fail("PROXY: the header is longer than 4 KiB");
    }
  }
  return read();
}

int64_t ProxyLayer::read() {
  ProxyHeader header;
  bool block = header_[0] == '\r';
  bool good = block ? read_proxy_block(reinterpret_cast<const uint8_t*>(header_.data()), header_.size(), &header)
                    : read_proxy_line(header_, &header);
  if (!good) return stream_.fail("PROXY: the header cannot be read");
  header_ = {};
  done_ = true;
  if (header.named) {
    stream_.learn(wire::Fact::Address, address_text(header.client));
    if (stream_.peer()) *stream_.peer() = header.client;
  }
  if (header.common_name.size() > 256 || header.common_name.find('\0') != std::string::npos) {
    return stream_.fail("PROXY: the client certificate's common name cannot be used");
  }
  // The cipher first: with it a new account of the peer's TLS begins.
  if (!header.cipher.empty() && header.cipher.size() <= 64) stream_.learn(wire::Fact::Cipher, std::move(header.cipher));
  if (!header.common_name.empty()) stream_.learn(wire::Fact::CommonName, std::move(header.common_name));
  if (!header.server_name.empty() && header.server_name.size() <= 255) {
    stream_.learn(wire::Fact::ServerName, std::move(header.server_name));
  }
  return -EAGAIN;
}

}  // namespace martlet
