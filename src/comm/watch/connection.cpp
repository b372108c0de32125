#include "connection.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <span>

namespace simclr::watch {

void Connection::send(const Frame& frame) const {
  // The socket's buffer holds hundreds of frames and few are in flight. A send is partial or fails
  // only if the peer has not read for minutes, and then the peer counts as lost anyway.
  (void)::send(socket_.get(), &frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Connection::end_sending() const { ::shutdown(socket_.get(), SHUT_WR); }

Connection::Received Connection::receive() {
  Received received;
  while (!broken_) {
    const std::span<std::byte> room = std::span(partial_).subspan(partial_bytes_);
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
    if (partial_bytes_ < partial_.size()) continue;
    std::memcpy(&received.frames.emplace_back(), partial_.data(), partial_.size());
    partial_bytes_ = 0;
  }
  return received;
}

}  // namespace simclr::watch
