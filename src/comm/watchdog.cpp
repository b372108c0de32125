#include "simclr/comm/watchdog.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <nlohmann/json.hpp>
#include <span>
#include <thread>

#include "simclr/core/activity.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"
#include "watch/follower.hpp"
#include "watch/monitor.hpp"

namespace simclr {
namespace {

using Json = nlohmann::json;

/// Raises the limit of open files, often 1024: rank 0 holds a connection to every rank.
void allow_open_files(std::size_t more) {
  constexpr rlim_t kOtherFiles = 512;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, more + kOtherFiles);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

struct Watchdog::Impl {
  watch::WatchSettings settings;
  std::unique_ptr<watch::WatchLoop> loop;
  std::thread thread;

  void start(std::unique_ptr<watch::WatchLoop> side) {
    loop = std::move(side);
    thread = std::thread([this] { loop->run(); });
  }

  void stop(watch::Departure departure) {
    if (!loop) return;
    loop->request_stop(departure);
    thread.join();
    loop.reset();
  }

  /// Starts rank 0's side and returns its endpoint as JSON; "" for a single rank, and on failure
  /// with the reason in `failure`.
  std::string start_monitor(const Handler& on_fault, std::string& failure) {
    if (settings.hosts.size() == 1) {
      start(std::make_unique<watch::Monitor>(settings, std::nullopt, on_fault));
      return "";
    }
    try {
      allow_open_files(settings.hosts.size() + watch::kMaxStrangers);
      watch::Listener listener = watch::listen_anywhere();
      fill_with_random_bytes(std::as_writable_bytes(std::span(settings.secret)));
      const Json endpoint{{"port", listener.port},
                          {"addresses", watch::own_addresses()},
                          {"secret", settings.secret}};
      start(std::make_unique<watch::Monitor>(settings, std::move(listener), on_fault));
      return endpoint.dump();
    } catch (const std::exception& error) {
      failure = error.what();
      return "";
    }
  }

  void start_follower(const std::string& text, const Handler& on_fault, std::string& failure) {
    if (text.empty()) return;
    const Json json = Json::parse(text);
    json.at("secret").get_to(settings.secret);
    const watch::Endpoint endpoint{.port = json.at("port"), .addresses = json.at("addresses")};
    try {
      start(std::make_unique<watch::Follower>(settings, endpoint, on_fault));
    } catch (const std::exception& error) {
      failure = error.what();
    }
  }

  /// Stops the watchdog on all ranks if it failed to start on one.
  void agree(Communicator& world, const std::string& failure) {
    const std::vector<std::string> failures = gather_texts(world, failure);
    const auto first =
        std::ranges::find_if(failures, [](const auto& text) { return !text.empty(); });
    if (first == failures.end()) return;
    if (world.rank() == 0) {
      const auto rank = static_cast<std::size_t>(first - failures.begin());
      log::warning("this job runs without the watchdog over its ranks: rank {} on {}: {}", rank,
                   settings.hosts[rank], *first);
    }
    stop(watch::Departure::leave);
  }
};

Watchdog::Watchdog(Communicator& world, const WatchdogOptions& options, const Handler& on_fault)
    : impl_(std::make_unique<Impl>()), uncaught_(std::uncaught_exceptions()) {
  Activity::follow_this_thread();
  impl_->settings = {.options = options,
                     .hosts = gather_texts(world, host_name()),
                     .rank = world.rank(),
                     .secret = {}};
  std::string failure;
  std::string endpoint;
  if (world.rank() == 0) endpoint = impl_->start_monitor(on_fault, failure);
  endpoint = broadcast_text(world, endpoint);
  if (world.rank() != 0) impl_->start_follower(endpoint, on_fault, failure);
  impl_->agree(world, failure);
}

Watchdog::~Watchdog() {
  const bool failing = std::uncaught_exceptions() > uncaught_;
  impl_->stop(failing ? watch::Departure::fail : watch::Departure::leave);
}

void Watchdog::await_verdict() const {
  if (!impl_->loop || impl_->settings.hosts.size() == 1) return;
  constexpr double kSecondsToEndTheJob = 5;
  std::this_thread::sleep_for(
      std::chrono::duration<double>(impl_->settings.options.silence_seconds +
                                    2 * impl_->settings.period_seconds() + kSecondsToEndTheJob));
}

}  // namespace simclr
