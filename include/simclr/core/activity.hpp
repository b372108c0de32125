#pragma once
// What this process is doing, for the watchdog. The computing thread records its position at the
// cost of one relaxed store per op; another thread can read it at any time.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace simclr {

/// The position of a process, as sent to other ranks of the same program.
struct Whereabouts {
  std::uint64_t phases = 0;  ///< number of phases begun; equal on all ranks at the same position
  std::uint64_t moves = 0;   ///< counts progress that no other field shows
  std::int64_t step = 0;     ///< counted from 1; 0 before the first
  std::int32_t op = -1;      ///< op of the running program; -1 when none runs
  bool waits = false;        ///< true while the process waits for other ranks
  std::array<char, 40> phase{};
  std::array<char, 72> op_name{};
  std::array<char, 24> call{};  ///< the call that waits

  bool operator==(const Whereabouts&) const = default;
};

/// Formats a position: "step 12, op 57 (conv_forward layer1.0.conv1), waiting in MPI_Allreduce".
std::string to_text(const Whereabouts& at);

class Activity {
 public:
  using Names = std::shared_ptr<const std::vector<std::string>>;

  /// Makes the calling thread the one whose waiting counts.
  static void follow_this_thread();

  /// Begins a phase such as "reading a batch". All ranks must begin the same phases in the same
  /// order. `phase` must be a literal.
  void begin(const char* phase);
  /// Sets the current step, counted from 1.
  void at_step(std::int64_t step) { step_.store(step, std::memory_order_relaxed); }
  /// Sets the names of the ops that run next.
  void run_program(const Names& op_names);
  void at_op(std::size_t op) {
    op_.store(static_cast<std::int32_t>(op), std::memory_order_relaxed);
  }
  /// Counts progress within a long operation. May be called from any thread.
  void move() { moves_.fetch_add(1, std::memory_order_relaxed); }

  /// Records that the launcher or the scheduler ends this process (SIGTERM). A signal handler may
  /// call it after activity() has been called once.
  void tell_to_end() { told_to_end_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool told_to_end() const { return told_to_end_.load(std::memory_order_relaxed); }

  [[nodiscard]] Whereabouts now() const;

 private:
  friend class Waiting;

  std::atomic<std::uint64_t> phases_{0}, moves_{0};
  std::atomic<std::int64_t> step_{0};
  std::atomic<std::int32_t> op_{-1};
  std::atomic<const char*> phase_{"starting"}, call_{nullptr};
  std::atomic<bool> told_to_end_{false};
  static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");
  mutable std::mutex names_mutex_;
  Names names_;
};

/// The activity of this process.
Activity& activity();

/// Records during its lifetime that the followed thread waits in `call` (a literal) for other
/// ranks. Does nothing on other threads.
class Waiting {
 public:
  explicit Waiting(const char* call);
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting();

 private:
  bool followed_;
};

}  // namespace simclr
