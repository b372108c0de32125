#pragma once

#include <optional>

#include "verdict.hpp"
#include "watch_loop.hpp"

namespace simclr::watch {

/// Where the other ranks can reach rank 0.
struct Endpoint {
  std::uint16_t port = 0;
  std::vector<std::string> addresses;
};

/// The watchdog of every rank but 0: reports its position to rank 0 and notices the loss of rank 0.
class Follower final : public WatchLoop {
 public:
  /// Connects to rank 0. Throws Error with the addresses when rank 0 answers at none of them.
  Follower(WatchSettings settings, const Endpoint& endpoint, Watchdog::Handler on_fault);

 private:
  bool sweep() override;
  void beat() override;
  void send_last_frame(FrameKind kind) override;
  bool peers_have_closed() override;

  [[nodiscard]] bool connect(const std::string& address, std::uint16_t port);
  [[nodiscard]] double turn_to_act() const;

  Watchdog::Handler on_fault_;
  std::optional<Connection> root_;
  std::vector<RankRecord> ranks_;  // rank 0 only
  std::optional<double> lost_since_, failing_since_;
  bool was_dropped_ = false;        // rank 0 closed a connection before it answered
  bool told_to_end_first_ = false;  // SIGTERM came before rank 0 was lost
};

}  // namespace simclr::watch
