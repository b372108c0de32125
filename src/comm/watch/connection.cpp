#include "connection.hpp"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

#include "simclr/core/check.hpp"

namespace simclr::watch {
namespace {

constexpr int kBacklog = 4096;

int to_milliseconds(double seconds) { return static_cast<int>(std::ceil(seconds * 1000)); }

bool wait_for(const Descriptor& socket, short events, double seconds) {
  pollfd wanted{.fd = socket.get(), .events = events, .revents = 0};
  return ::poll(&wanted, 1, to_milliseconds(seconds)) > 0;
}

Descriptor open_socket(int family) {
  return Descriptor(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/// Switches off Nagle's algorithm: frames are small and must not be delayed.
void disable_send_delay(const Descriptor& socket) {
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

bool bind_and_listen(const Descriptor& socket, const sockaddr* address, socklen_t length) {
  return socket && ::bind(socket.get(), address, length) == 0 &&
         ::listen(socket.get(), kBacklog) == 0;
}

/// Listens to IPv6 and IPv4 on one socket, or to IPv4 only on a machine without IPv6.
Descriptor listening_socket() {
  const sockaddr_in6 any6{.sin6_family = AF_INET6,
                          .sin6_port = 0,
                          .sin6_flowinfo = 0,
                          .sin6_addr = in6addr_any,
                          .sin6_scope_id = 0};
  Descriptor both = open_socket(AF_INET6);
  const int off = 0;
  if (both) ::setsockopt(both.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  if (bind_and_listen(both, reinterpret_cast<const sockaddr*>(&any6), sizeof(any6))) return both;

  sockaddr_in any4{};
  any4.sin_family = AF_INET;
  Descriptor four = open_socket(AF_INET);
  if (bind_and_listen(four, reinterpret_cast<const sockaddr*>(&any4), sizeof(any4))) return four;
  fail("cannot listen for the other ranks' heartbeats: {}", std::strerror(errno));
}

std::uint16_t port_of(const Descriptor& socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

/// Formats an address such as "10.1.2.3"; empty for those that other machines cannot use
/// (link-local IPv6, other families).
std::string numeric(const sockaddr* address) {
  if (address == nullptr) return "";
  socklen_t length = sizeof(sockaddr_in);
  if (address->sa_family == AF_INET6) {
    const auto* six = reinterpret_cast<const sockaddr_in6*>(address);
    if (IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr)) return "";
    length = sizeof(sockaddr_in6);
  } else if (address->sa_family != AF_INET) {
    return "";
  }
  std::array<char, NI_MAXHOST> text{};
  const int status =
      ::getnameinfo(address, length, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  return status == 0 ? text.data() : "";
}

}  // namespace

Listener listen_anywhere() {
  Listener listener{.socket = listening_socket()};
  listener.port = port_of(listener.socket);
  return listener;
}

Descriptor accept_next(const Listener& listener) {
  Descriptor next(::accept4(listener.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (next) disable_send_delay(next);
  return next;
}

std::vector<std::string> own_addresses() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(first, &::freeifaddrs);
  std::vector<std::string> others;
  std::vector<std::string> loopback;
  for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
    const std::string address = numeric(at->ifa_addr);
    if (address.empty() || (at->ifa_flags & IFF_UP) == 0) continue;
    ((at->ifa_flags & IFF_LOOPBACK) != 0 ? loopback : others).push_back(address);
  }
  others.insert(others.end(), loopback.begin(), loopback.end());
  return others;
}

Descriptor connect_to(const std::string& address, std::uint16_t port, double seconds) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);

  Descriptor socket = open_socket(found->ai_family);
  if (!socket) return {};
  if (::connect(socket.get(), found->ai_addr, found->ai_addrlen) != 0) {
    if (errno != EINPROGRESS || !wait_for(socket, POLLOUT, seconds)) return {};
    int error = 0;
    socklen_t length = sizeof(error);
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return {};
  }
  disable_send_delay(socket);
  return socket;
}

bool readable(const Descriptor& socket, double seconds) {
  return wait_for(socket, POLLIN, seconds);
}

Connection::Connection(Descriptor socket, Side side, const Secret& secret)
    : socket_(std::move(socket)), side_(side), secret_(secret) {
  fill_with_random_bytes(std::as_writable_bytes(std::span(own_nonce_)));
  (void)::send(socket_.get(), own_nonce_.data(), sizeof(own_nonce_), MSG_NOSIGNAL | MSG_DONTWAIT);
}

Bits128 Connection::tag_of(const Frame& frame, Side sender, std::uint64_t number) const {
  const Bits128& peer_nonce = peer_nonce_.value();
  struct Message {
    Bits128 root_nonce, other_nonce;
    Side sender;
    std::uint64_t number;
    std::array<std::byte, sizeof(Frame) - sizeof(Bits128)> content;
  };
  static_assert(std::has_unique_object_representations_v<Message>);
  Message message{.root_nonce = side_ == Side::root ? own_nonce_ : peer_nonce,
                  .other_nonce = side_ == Side::root ? peer_nonce : own_nonce_,
                  .sender = sender,
                  .number = number,
                  .content = {}};
  static_assert(offsetof(Frame, tag) == 0);
  std::memcpy(message.content.data(), std::as_bytes(std::span(&frame, 1)).data() + sizeof(Bits128),
              message.content.size());
  return siphash(secret_, std::as_bytes(std::span(&message, 1)));
}

void Connection::send(Frame frame) {
  if (!can_send()) return;
  frame.tag = tag_of(frame, side_, sent_++);
  // The socket's buffer holds hundreds of frames and few are in flight. A send is partial or fails
  // only if the peer has not read for minutes, and then the peer counts as lost anyway.
  (void)::send(socket_.get(), &frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Connection::end_sending() const { ::shutdown(socket_.get(), SHUT_WR); }

Connection::Received Connection::receive() {
  const Side peer = side_ == Side::root ? Side::other : Side::root;
  Received received;
  while (!broken_) {
    const std::size_t wanted = peer_nonce_ ? sizeof(Frame) : sizeof(Bits128);
    const std::span<std::byte> room =
        std::span(partial_).subspan(partial_bytes_, wanted - partial_bytes_);
    const ssize_t got = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return received;
    if (got == 0 || (got < 0 && errno == ECONNRESET)) {
      received.closed = true;
      return received;
    }
    if (got < 0) {
      broken_ = true;
      break;
    }
    partial_bytes_ += static_cast<std::size_t>(got);
    if (partial_bytes_ < wanted) continue;
    partial_bytes_ = 0;
    if (!peer_nonce_) {
      std::memcpy(&peer_nonce_.emplace(), partial_.data(), sizeof(Bits128));
      continue;
    }
    Frame frame;
    std::memcpy(&frame, partial_.data(), partial_.size());
    if (frame.tag != tag_of(frame, peer, received_)) {
      received.foreign = broken_ = true;
      break;
    }
    ++received_;
    received.frames.push_back(frame);
  }
  return received;
}

}  // namespace simclr::watch
