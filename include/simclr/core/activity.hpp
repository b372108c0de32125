#pragma once
// What this process is doing, for whoever watches over the job. The thread that computes says it;
// another reads it at any time. Saying it costs a relaxed store an op.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace simclr {

/// Where a process is, as sent to other ranks of the same program.
struct Whereabouts {
  std::uint64_t phases = 0;  ///< begun so far: equal on all ranks at the same place of the program
  std::uint64_t moves = 0;   ///< signs of life that no other field shows
  std::int64_t step = 0;     ///< from 1; 0: before the first
  std::int32_t op = -1;      ///< of the program that runs; -1: none does
  bool waits = false;        ///< for other ranks
  std::array<char, 40> phase{};
  std::array<char, 72> op_name{};
  std::array<char, 24> call{};  ///< in which it waits

  bool operator==(const Whereabouts&) const = default;
};

/// "step 12, op 57 (conv_forward layer1.0.conv1), waiting in MPI_Allreduce"
std::string to_text(const Whereabouts& at);

class Activity {
 public:
  using Names = std::shared_ptr<const std::vector<std::string>>;

  /// The calling thread is the one to be followed: where it waits counts.
  static void follow_this_thread();

  /// A phase begins: "reading a batch". All ranks begin the same phases in the same order.
  /// `phase` is a literal.
  void begin(const char* phase);
  /// Phases from now on belong to this step, from 1.
  void at_step(std::int64_t step) { step_.store(step, std::memory_order_relaxed); }
  /// The ops of this program run next.
  void run_program(const Names& op_names);
  void at_op(std::size_t op) {
    op_.store(static_cast<std::int32_t>(op), std::memory_order_relaxed);
  }
  /// Something long goes on, and has done a piece. From any thread.
  void move() { moves_.fetch_add(1, std::memory_order_relaxed); }

  /// Somebody ends this process: a launcher, the scheduler (SIGTERM). May be called by a signal
  /// handler once activity() has been called.
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

/// That of this process.
Activity& activity();

/// For as long as the followed thread waits in `call` (a literal) for other ranks; nothing on other
/// threads.
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
