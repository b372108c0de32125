#include "simclr/comm/watchdog.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "simclr/core/activity.hpp"
#include "simclr/core/host_name.hpp"
#include "simclr/core/log.hpp"
#include "watch/follower.hpp"
#include "watch/monitor.hpp"

namespace simclr {
namespace {

using Json = nlohmann::json;

watch::Token random_token() {
  std::random_device device;
  watch::Token token{};
  for (std::uint64_t& word : token) word = (std::uint64_t{device()} << 32) | device();
  return token;
}

/// Rank 0 holds a connection of every rank; systems allow 1024 files unless a process asks.
void allow_open_files(std::size_t more) {
  constexpr rlim_t kForTheRest = 512;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, more + kForTheRest);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

struct Watchdog::Impl {
  watch::Terms terms;
  std::unique_ptr<watch::WatchLoop> loop;
  std::thread thread;

  void start(std::unique_ptr<watch::WatchLoop> side) {
    loop = std::move(side);
    thread = std::thread([this] { loop->run(); });
  }

  void stop(watch::Farewell farewell) {
    if (!loop) return;
    loop->take_leave(farewell);
    thread.join();
    loop.reset();
  }

  /// Rank 0: listens and invites. "" as an invitation: not possible, for the reason in `failure`.
  std::string invite(const Handler& on_fault, std::string& failure) {
    if (terms.hosts.size() == 1) {
      start(std::make_unique<watch::Monitor>(terms, std::nullopt, on_fault));
      return "";
    }
    try {
      allow_open_files(terms.hosts.size());
      watch::Listener listener = watch::listen_anywhere();
      terms.token = random_token();
      const Json invitation{
          {"port", listener.port}, {"addresses", watch::own_addresses()}, {"token", terms.token}};
      start(std::make_unique<watch::Monitor>(terms, std::move(listener), on_fault));
      return invitation.dump();
    } catch (const std::exception& error) {
      failure = error.what();
      return "";
    }
  }

  void follow(const std::string& text, const Handler& on_fault, std::string& failure) {
    if (text.empty()) return;
    const Json json = Json::parse(text);
    json.at("token").get_to(terms.token);
    const watch::Invitation invitation{.port = json.at("port"), .addresses = json.at("addresses")};
    try {
      start(std::make_unique<watch::Follower>(terms, invitation, on_fault));
    } catch (const std::exception& error) {
      failure = error.what();
    }
  }

  /// Whether every rank is watched; else none is from now on.
  void agree(Communicator& world, const std::string& failure) {
    const std::vector<std::string> failures = gather_texts(world, failure);
    const auto first =
        std::ranges::find_if(failures, [](const auto& text) { return !text.empty(); });
    if (first == failures.end()) return;
    if (world.rank() == 0) {
      const auto rank = static_cast<std::size_t>(first - failures.begin());
      log::warning("no watch is kept over the ranks of this job: rank {} on {}: {}", rank,
                   terms.hosts[rank], *first);
    }
    stop(watch::Farewell::leave);
  }
};

Watchdog::Watchdog(Communicator& world, const WatchdogOptions& options, const Handler& on_fault)
    : impl_(std::make_unique<Impl>()), uncaught_(std::uncaught_exceptions()) {
  Activity::follow_this_thread();
  impl_->terms = {.options = options,
                  .hosts = gather_texts(world, host_name()),
                  .rank = world.rank(),
                  .token = {}};
  std::string failure;
  std::string invitation;
  if (world.rank() == 0) invitation = impl_->invite(on_fault, failure);
  invitation = broadcast_text(world, invitation);
  if (world.rank() != 0) impl_->follow(invitation, on_fault, failure);
  impl_->agree(world, failure);
}

Watchdog::~Watchdog() {
  const bool failing = std::uncaught_exceptions() > uncaught_;
  impl_->stop(failing ? watch::Farewell::fail : watch::Farewell::leave);
}

void Watchdog::await_verdict() const {
  if (!impl_->loop || impl_->terms.hosts.size() == 1) return;
  constexpr double kToEndTheJob = 5;
  std::this_thread::sleep_for(std::chrono::duration<double>(
      impl_->terms.options.silence_seconds + 2 * impl_->terms.period_seconds() + kToEndTheJob));
}

}  // namespace simclr
