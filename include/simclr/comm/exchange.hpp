#pragma once
// Messages between pairs of ranks, in the background.

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "simclr/comm/communicator.hpp"

namespace simclr {

/// A message to a rank, gathered from several pieces of memory.
struct OutgoingMessage {
  int rank = 0;
  std::vector<std::span<const std::byte>> pieces;
};
/// A message from a rank, scattered to several pieces of memory. The total length must equal the
/// sender's; the lengths of the pieces may differ.
struct IncomingMessage {
  int rank = 0;
  std::vector<std::span<std::byte>> pieces;
};

/// Point-to-point messages in their own message space, so that one thread may use it while others
/// use other communicators. The n-th message that a rank starts to another matches the n-th that
/// the other starts to receive. Ranks without messages for each other need not synchronize.
/// Transport errors throw Error.
class Exchange {
 public:
  Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  /// The memory of messages in flight must outlive them: see idle().
  virtual ~Exchange() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  /// Starts all messages; their memory must not be touched before advance() returns true.
  virtual void start(const std::vector<OutgoingMessage>& send,
                     const std::vector<IncomingMessage>& receive) = 0;
  /// Lets the transport advance; true once all started messages are sent and received.
  virtual bool advance() = 0;
  /// True when no message is in flight: advance() has returned true for all that were started.
  [[nodiscard]] virtual bool idle() const = 0;
};

/// Creates an exchange among the ranks of `world` (collective call).
std::unique_ptr<Exchange> make_exchange(Communicator& world);

}  // namespace simclr
