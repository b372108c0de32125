#include "progress.hpp"

#include <utility>

#include "simclr/core/log.hpp"

namespace simclr {
namespace {

constexpr std::chrono::milliseconds kLiveInterval{200};

}  // namespace

PackProgress::PackProgress(std::string what, std::int64_t images, bool is_root,
                           std::chrono::milliseconds log_interval)
    : what_(std::move(what)),
      images_(images),
      is_root_(is_root),
      live_(is_root && log::output_is_watched()),
      interval_(live_ ? kLiveInterval : log_interval) {}

PackProgress::~PackProgress() {
  if (live_) log::end_live();
}

void PackProgress::advance() {
  ++done_;
  if (!is_root_) return;
  const auto now = Clock::now();
  if (now - shown_ < interval_) return;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(done_) / seconds;
  const std::string line =
      fmt::format("{}: {} of {} images, {:.0f} %, {:.1f} images/s", what_, done_, images_,
                  100.0 * static_cast<double>(done_) / static_cast<double>(images_), rate);
  live_ ? log::write_live(line) : log::write_info(line);
}

}  // namespace simclr
