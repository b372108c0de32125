#pragma once
// Messages between pairs of ranks, in the background.

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "simclr/comm/communicator.hpp"

namespace simclr {

/// Bytes to a rank, taken from where they lie.
struct OutgoingMessage {
  int rank = 0;
  std::vector<std::span<const std::byte>> pieces;
};
/// Bytes from a rank, put where they belong; as many as that rank sends, cut as the receiver likes.
struct IncomingMessage {
  int rank = 0;
  std::vector<std::span<std::byte>> pieces;
};

/// A message space of its own, so that one thread may use it while others communicate elsewhere.
/// Messages from one rank to another arrive in the order in which both start them; ranks that have
/// nothing for each other need not meet. Errors of the transport throw Error.
class Exchange {
 public:
  Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  /// While messages are under way their memory must stay: see idle().
  virtual ~Exchange() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  /// Starts all of them; their memory is not to be touched before advance() has returned true.
  virtual void start(const std::vector<OutgoingMessage>& send,
                     const std::vector<IncomingMessage>& receive) = 0;
  /// Lets the transport advance; true once everything started has been sent and received.
  virtual bool advance() = 0;
  /// Whether advance() has returned true for everything started.
  [[nodiscard]] virtual bool idle() const = 0;
};

/// Among the ranks of `world` (collective call).
std::unique_ptr<Exchange> make_exchange(Communicator& world);

}  // namespace simclr
