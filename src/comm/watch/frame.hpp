#pragma once
// What ranks tell each other. Of fixed size: both ends are the same program.

#include <array>
#include <cstdint>
#include <type_traits>

#include "simclr/core/activity.hpp"

namespace simclr::watch {

/// Random, of one job: what does not carry it is none of ours.
using Token = std::array<std::uint64_t, 2>;

enum class FrameKind : std::uint32_t {
  hello,  ///< the first of a rank
  beat,
  leave,  ///< the sender's work is done: it is not to be missed
  fail,   ///< the sender has failed and is ending the job
  abort,  ///< end yourself
};

struct Frame {
  Token token{};
  FrameKind kind = FrameKind::beat;
  std::int32_t rank = 0;
  Whereabouts at;
};
static_assert(std::is_trivially_copyable_v<Frame>);

}  // namespace simclr::watch
