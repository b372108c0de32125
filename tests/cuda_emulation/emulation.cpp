#include "emulation.hpp"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "context.hpp"
#include "device_memory.hpp"
#include "streams.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation {
namespace {

constexpr unsigned kMostThreads = 1024;
constexpr std::size_t kStackBytes = std::size_t{64} << 10;
constexpr std::size_t kSharedBytesGranted = std::size_t{48} << 10;
constexpr std::size_t kSharedBytesOptIn = 227UL << 10;

enum class State : std::uint8_t { ready, at_block_barrier, at_warp_barrier, finished };

/// Copies that a thread has started and that may arrive as late as it waits for them.
struct PendingCopies {
  struct Copy {
    void* to = nullptr;
    const void* from = nullptr;
    std::size_t bytes = 0;
  };
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};

struct Fiber {
  Context context;
  ThreadPlace place;
  State state = State::ready;
  unsigned linear = 0;  // index in the block
  unsigned waited_mask = 0;
  Words given{};
  PendingCopies copies;
  void* fake_stack = nullptr;  // AddressSanitizer's
};

/// Blocks, warps and lanes run in any order on a device: forwards here, or backwards with
/// SIMCLR_EMULATED_ORDER=backward.
std::size_t in_order(std::size_t i, std::size_t count) {
  static const bool backward = [] {
    const char* text = std::getenv("SIMCLR_EMULATED_ORDER");
    return text != nullptr && std::string_view(text) == "backward";
  }();
  return backward ? count - 1 - i : i;
}

/// The block that is running; kernels do not nest and blocks run one after the other.
class Block {
 public:
  Block(const Launch& launch, Dimensions index, std::vector<std::byte>& stacks,
        std::span<std::byte> shared)
      : launch_(launch), stacks_(stacks), shared_(shared) {
    const Dimensions size = launch.block;
    fibers_.resize(std::size_t{size.x} * size.y * size.z);
    unsigned linear = 0;
    for (Fiber& fiber : fibers_) {
      fiber.linear = linear;
      fiber.place = {
          .thread_index = {linear % size.x, linear / size.x % size.y, linear / size.x / size.y},
          .block_index = index,
          .block_dimensions = size,
          .grid_dimensions = launch.grid};
      ++linear;
    }
  }

  void run();
  void wait(State barrier, unsigned mask);
  [[nodiscard]] Fiber& current() { return *current_; }
  [[nodiscard]] Fiber* lane_of_warp(unsigned lane) {
    const std::size_t index = current_->linear / kWarp * kWarp + lane;
    return index < fibers_.size() ? &fibers_[index] : nullptr;
  }
  [[nodiscard]] void* shared() const { return shared_.data(); }

 private:
  static void enter();
  void resume(Fiber& fiber);
  void yield(bool finished);
  bool release_block();
  bool release_warp(std::size_t first);
  bool run_warp(std::size_t first);
  [[noreturn]] void report_deadlock() const;

  const Launch& launch_;
  std::vector<std::byte>& stacks_;
  std::span<std::byte> shared_;
  std::vector<Fiber> fibers_;
  Fiber* current_ = nullptr;
  Context scheduler_;
  std::exception_ptr error_;
#if defined(__SANITIZE_ADDRESS__)
  void* scheduler_fake_stack_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  std::size_t scheduler_stack_bytes_ = 0;
#endif
};

thread_local Block* running = nullptr;

void Block::enter() {
  Block& block = *running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack_, &block.scheduler_stack_bytes_);
#endif
  try {
    block.launch_.body();
  } catch (...) {
    block.error_ = std::current_exception();
  }
  block.current_->state = State::finished;
  block.yield(true);
}

void Block::resume(Fiber& fiber) {
  current_ = &fiber;
  [[maybe_unused]] const std::byte* stack = stacks_.data() + fiber.linear * kStackBytes;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_fake_stack_, stack, kStackBytes);
#endif
  scheduler_.switch_to(fiber.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_fake_stack_, nullptr, nullptr);
#endif
  current_ = nullptr;
}

void Block::yield([[maybe_unused]] bool finished) {
  Fiber& fiber = *current_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(finished ? nullptr : &fiber.fake_stack, scheduler_stack_,
                                 scheduler_stack_bytes_);
#endif
  fiber.context.switch_to(scheduler_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fiber.fake_stack, &scheduler_stack_, &scheduler_stack_bytes_);
#endif
}

void Block::wait(State barrier, unsigned mask) {
  current_->state = barrier;
  current_->waited_mask = mask;
  yield(false);
}

/// A block barrier opens when every thread that has not finished waits at it.
bool Block::release_block() {
  for (const Fiber& fiber : fibers_) {
    if (fiber.state != State::at_block_barrier && fiber.state != State::finished) return false;
  }
  bool any = false;
  for (Fiber& fiber : fibers_) {
    if (fiber.state != State::at_block_barrier) continue;
    fiber.state = State::ready;
    any = true;
  }
  return any;
}

/// A barrier of the warp that begins at `first` opens when all lanes of the mask wait with the same
/// mask.
bool Block::release_warp(std::size_t first) {
  bool any = false;
  const std::size_t lanes = std::min<std::size_t>(kWarp, fibers_.size() - first);
  for (std::size_t i = 0; i < lanes; ++i) {
    if (fibers_[first + i].state != State::at_warp_barrier) continue;
    const unsigned mask = fibers_[first + i].waited_mask;
    const auto waits = [&](std::size_t lane) {
      const Fiber& other = fibers_[first + lane];
      return other.state == State::at_warp_barrier && other.waited_mask == mask;
    };
    bool all = (mask >> i & 1U) != 0;
    for (std::size_t lane = 0; lane < kWarp; ++lane) {
      if ((mask >> lane & 1U) != 0 && (lane >= lanes || !waits(lane))) all = false;
    }
    if (!all) continue;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      if ((mask >> lane & 1U) != 0) fibers_[first + lane].state = State::ready;
    }
    any = true;
  }
  return any;
}

/// Runs a warp as far as it gets without the others, so that one that reads or writes before a
/// barrier allows it is far ahead of them.
bool Block::run_warp(std::size_t first) {
  const std::size_t lanes = std::min<std::size_t>(kWarp, fibers_.size() - first);
  bool ran = false;
  do {
    for (std::size_t i = 0; i < lanes && !error_; ++i) {
      Fiber& fiber = fibers_[first + in_order(i, lanes)];
      if (fiber.state != State::ready) continue;
      resume(fiber);
      ran = true;
    }
  } while (!error_ && release_warp(first));
  return ran;
}

void Block::report_deadlock() const {
  std::string text = "a kernel hangs: threads wait for others that never come;";
  for (const Fiber& fiber : fibers_) {
    if (fiber.state == State::finished || text.size() > 300) continue;
    text +=
        " thread " + std::to_string(fiber.linear) +
        (fiber.state == State::at_block_barrier ? " at a block barrier," : " at a warp barrier,");
  }
  throw std::logic_error(text);
}

void Block::run() {
  running = this;
  for (Fiber& fiber : fibers_) {
    fiber.context.prepare(stacks_.data() + fiber.linear * kStackBytes, kStackBytes, &Block::enter);
  }
  const std::size_t warps = (fibers_.size() + kWarp - 1) / kWarp;
  while (true) {
    bool ran = false;
    for (std::size_t warp = 0; warp < warps && !error_; ++warp) {
      ran = run_warp(in_order(warp, warps) * kWarp) || ran;
    }
    if (error_) break;
    if (release_block() || ran) continue;
    const bool done = std::ranges::all_of(
        fibers_, [](const Fiber& fiber) { return fiber.state == State::finished; });
    if (done) break;
    running = nullptr;
    report_deadlock();
  }
  running = nullptr;
  if (error_) std::rethrow_exception(error_);
}

Block& running_block() {
  if (running == nullptr) throw std::logic_error("device code runs outside a kernel");
  return *running;
}

std::map<const void*, std::size_t>& granted_shared() {
  static std::map<const void*, std::size_t> granted;
  return granted;
}

bool is_launchable(const Launch& launch) {
  const auto within = [](unsigned value, unsigned most) { return value >= 1 && value <= most; };
  const auto found = granted_shared().find(launch.kernel);
  const std::size_t granted = found != granted_shared().end() ? found->second : kSharedBytesGranted;
  const std::uint64_t threads = std::uint64_t{launch.block.x} * launch.block.y * launch.block.z;
  return within(launch.grid.x, 0x7FFFFFFF) && within(launch.grid.y, 65535) &&
         within(launch.grid.z, 65535) && within(launch.block.x, 1024) &&
         within(launch.block.y, 1024) && within(launch.block.z, 64) && threads <= kMostThreads &&
         launch.shared_bytes <= std::min(granted, kSharedBytesOptIn);
}

void run_grid(const Launch& launch) {
  static thread_local std::vector<std::byte> stacks;
  const std::size_t threads = std::size_t{launch.block.x} * launch.block.y * launch.block.z;
  if (stacks.size() < threads * kStackBytes) stacks.resize(threads * kStackBytes);
  constexpr std::size_t kSharedAlignment = 128;
  std::vector<std::byte> shared(launch.shared_bytes + kSharedAlignment);
  void* start = shared.data();
  std::size_t space = shared.size();
  std::align(kSharedAlignment, launch.shared_bytes, start, space);
  const DeviceMemoryIsOpen open;
  const Dimensions& grid = launch.grid;
  const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z;
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t block = in_order(i, blocks);
    const Dimensions index{static_cast<unsigned>(block % grid.x),
                           static_cast<unsigned>(block / grid.x % grid.y),
                           static_cast<unsigned>(block / grid.x / grid.y)};
    std::memset(start, 0xFF, launch.shared_bytes);
    Block(launch, index, stacks, {static_cast<std::byte*>(start), launch.shared_bytes}).run();
  }
}

}  // namespace

const ThreadPlace& current_thread() { return running_block().current().place; }
int lane() { return static_cast<int>(running_block().current().linear % kWarp); }
void synchronize_block() { running_block().wait(State::at_block_barrier, 0); }
void synchronize_warp(unsigned mask) { running_block().wait(State::at_warp_barrier, mask); }
void* dynamic_shared_memory() { return running_block().shared(); }

Words exchange_words(unsigned mask, const Words& given, int source) {
  Block& block = running_block();
  block.current().given = given;
  synchronize_warp(mask);
  const Fiber* from = block.lane_of_warp(static_cast<unsigned>(source));
  if (from == nullptr || (mask >> source & 1U) == 0) {
    throw std::logic_error("a shuffle reads a lane that is not in its mask");
  }
  const Words taken = from->given;
  synchronize_warp(mask);
  return taken;
}

void copy_async(void* to, const void* from, std::size_t bytes) {
  static const bool late = std::getenv("SIMCLR_EMULATED_LATE_COPIES") != nullptr;
  if (late) {
    running_block().current().copies.open.push_back({to, from, bytes});
  } else {
    std::memcpy(to, from, bytes);
  }
}
void commit_copies() {
  PendingCopies& copies = running_block().current().copies;
  copies.groups.push_back(std::exchange(copies.open, {}));
}
void wait_for_copies(std::size_t pending) {
  PendingCopies& copies = running_block().current().copies;
  for (; copies.groups.size() > pending; copies.groups.pop_front()) {
    for (const PendingCopies::Copy& copy : copies.groups.front()) {
      std::memcpy(copy.to, copy.from, copy.bytes);
    }
  }
}

std::array<Words, kWarp> gather_words(const Words& given) {
  constexpr unsigned kAllLanes = 0xFFFFFFFFU;
  Block& block = running_block();
  block.current().given = given;
  synchronize_warp(kAllLanes);
  std::array<Words, kWarp> all{};
  for (unsigned source = 0; source < kWarp; ++source) {
    all[source] = block.lane_of_warp(source)->given;
  }
  synchronize_warp(kAllLanes);
  return all;
}

unsigned ballot(unsigned mask, bool predicate) {
  Block& block = running_block();
  block.current().given[0] = predicate ? 1 : 0;
  synchronize_warp(mask);
  unsigned votes = 0;
  for (unsigned i = 0; i < kWarp; ++i) {
    if ((mask >> i & 1U) == 0) continue;
    votes |= static_cast<unsigned>(block.lane_of_warp(i)->given[0] & 1U) << i;
  }
  synchronize_warp(mask);
  return votes;
}

int launch(Launch launch, Stream* stream) {
  constexpr int kInvalidConfiguration = 9;
  if (!is_launchable(launch)) return kInvalidConfiguration;
  enqueue(stream, [launch = std::move(launch)] { run_grid(launch); });
  return 0;
}

void grant_shared_memory(const void* kernel, std::size_t bytes) {
  granted_shared()[kernel] = bytes;
}

}  // namespace emulation
