#pragma once

#include <optional>

#include "verdict.hpp"
#include "watch_loop.hpp"

namespace simclr::watch {

/// What rank 0 tells the others: where it can be reached.
struct Invitation {
  std::uint16_t port = 0;
  std::vector<std::string> addresses;
};

/// The side of every other rank: tells rank 0 where it is, and misses rank 0.
class Follower final : public WatchLoop {
 public:
  /// Connects. Throws Error naming the addresses where none of them is answered by rank 0.
  Follower(Terms terms, const Invitation& invitation, Watchdog::Handler on_fault);

 private:
  bool sweep() override;
  void beat() override;
  void say_farewell(FrameKind kind) override;
  bool farewell_is_taken() override;

  [[nodiscard]] bool connect(const std::string& address, std::uint16_t port);
  [[nodiscard]] double turn_to_act() const;

  Watchdog::Handler on_fault_;
  std::optional<Connection> root_;
  std::vector<RankRecord> ranks_;  // rank 0 alone
  std::optional<double> lost_since_, failing_since_;
  bool told_to_end_first_ = false;  // before rank 0 was lost
};

}  // namespace simclr::watch
