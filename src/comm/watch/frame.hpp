#pragma once
// The messages of the watchdog. They have a fixed layout, since both ends run the same program.

#include <array>
#include <cstdint>
#include <type_traits>

#include "simclr/core/activity.hpp"

namespace simclr::watch {

/// A random number of the job; frames with another one are ignored.
using Token = std::array<std::uint64_t, 2>;

enum class FrameKind : std::uint32_t {
  hello,  ///< first frame of a rank
  beat,   ///< heartbeat
  leave,  ///< the sender's work is done; its silence is no fault
  fail,   ///< the sender has failed and is ending the job
  abort,  ///< the receiver must exit
};

struct Frame {
  Token token{};
  FrameKind kind = FrameKind::beat;
  std::int32_t rank = 0;
  Whereabouts at;
};
static_assert(std::is_trivially_copyable_v<Frame>);

}  // namespace simclr::watch
