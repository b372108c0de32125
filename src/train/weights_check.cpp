#include "weights_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/system.hpp"

namespace simclr {
namespace {

/// A hash for each flat buffer; 0 where the program has none, or none that outlives a step.
using Hashes = std::array<std::uint64_t, kFlatBuffers.size()>;

Hashes hashes_of(const Executor& executor) {
  Hashes hashes{};
  for (std::size_t i = 0; i < kFlatBuffers.size(); ++i) {
    const auto& [storage, name, slice, is_state] = kFlatBuffers[i];
    if (is_state && executor.holds(storage)) hashes[i] = executor.hash(storage);
  }
  return hashes;
}

/// The hashes that more than half of the ranks hold; null if there is no majority.
const Hashes* majority(std::span<const Hashes> all) {
  const auto found = std::ranges::find_if(all, [&](const Hashes& candidate) {
    return 2 * std::ranges::count(all, candidate) > std::ssize(all);
  });
  return found == all.end() ? nullptr : &*found;
}

std::string differing_parts(const Hashes& a, const Hashes& b) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kFlatBuffers.size(); ++i) {
    if (a[i] != b[i]) names.emplace_back(kFlatBuffers[i].name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

/// "rank 3 on n1 (parameters, momentum) from the others"
std::string describe_difference(std::span<const Hashes> all,
                                const std::vector<std::string>& hosts) {
  const Hashes* right = majority(all);
  std::vector<std::string> ranks;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (right != nullptr && all[rank] == *right) continue;
    const std::string parts =
        right != nullptr ? fmt::format(" ({})", differing_parts(all[rank], *right)) : "";
    ranks.push_back(fmt::format("rank {} on {}{}", rank, hosts[rank], parts));
  }
  return fmt::format("{} from {}", fmt::join(ranks, ", "),
                     right != nullptr ? "all others" : "one another");
}

}  // namespace

void require_equal_weights(const Executor& executor, std::int64_t step, Communicator& world) {
  const Hashes own = hashes_of(executor);
  std::vector<Hashes> all(static_cast<std::size_t>(world.size()));
  world.all_gather({own.data(), sizeof(own), DType::u8},
                   {all.data(), all.size() * sizeof(own), DType::u8});
  if (std::ranges::all_of(all, [&](const Hashes& h) { return h == all.front(); })) return;
  const std::vector<std::string> hosts = gather_texts(world, host_name());
  fail_for(Cause::desynchronized,
           "step {}: the ranks no longer hold the same weights; these differ: {}; look for faulty "
           "memory or network there, then start again: the run resumes from its newest checkpoint, "
           "which does not hold this state",
           step, describe_difference(all, hosts));
}

}  // namespace simclr
