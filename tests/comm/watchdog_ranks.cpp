// Ranks under a watchdog that hang, die or end. usage: watchdog_ranks SCENARIO TIMEOUT_SECONDS
// Run by watchdog_test.py; exits 0 when the scenario ends without a fault.

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>

#include "simclr/comm/session.hpp"
#include "simclr/comm/watchdog.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/log.hpp"

namespace simclr {
namespace {

constexpr int kExitByFailure = 3;

void sleep_seconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// Sets the position to that of a training step: op 0 computes, op 1 waits for all ranks.
void begin_step() {
  static const auto names = std::make_shared<const std::vector<std::string>>(
      std::vector<std::string>{"conv_forward stem", "all_reduce stem"});
  activity().at_step(7);
  activity().begin("computing");
  activity().run_program(names);
  activity().at_op(0);
}

/// Waits for more than two heartbeats, so that the others know this rank's position, but less than
/// their timeout; then raises `signal`.
void raise_after_a_while(int signal, double timeout) {
  sleep_seconds(std::min(2.5, timeout / 2));
  std::raise(signal);
}

void wait_for_all(Communicator& world) {
  activity().at_op(1);
  world.barrier();
}

using Scenario = void (*)(Communicator& world, Watchdog& watchdog, double timeout);

/// The last rank hangs in its op.
void hang(Communicator& world, Watchdog&, double) {
  begin_step();
  while (world.rank() == world.size() - 1) sleep_seconds(0.1);
  wait_for_all(world);
}

/// All ranks wait for each other in different collectives.
void mismatch(Communicator& world, Watchdog&, double) {
  begin_step();
  const auto other = world.duplicate();
  (world.rank() == 0 ? *other : world).barrier();
}

void stop(Communicator& world, Watchdog&, double timeout) {
  begin_step();
  if (world.rank() == world.size() - 1) raise_after_a_while(SIGSTOP, timeout);
  wait_for_all(world);
}

void stop_root(Communicator& world, Watchdog&, double timeout) {
  begin_step();
  if (world.rank() == 0) raise_after_a_while(SIGSTOP, timeout);
  wait_for_all(world);
}

void die(Communicator& world, Watchdog&, double timeout) {
  begin_step();
  if (world.rank() == world.size() - 1) raise_after_a_while(SIGKILL, timeout);
  wait_for_all(world);
}

/// One rank fails and takes long to end; the others must not take it for dead.
void fail_slowly(Communicator& world, Watchdog&, double) {
  if (world.rank() == world.size() - 1) throw std::runtime_error("failed on purpose");
  world.barrier();
}

/// Rank 0 shows progress while all work; then the ranks end at very different times.
void work(Communicator& world, Watchdog&, double timeout) {
  for (double done = 0; done < 1.5 * timeout; done += 0.1, sleep_seconds(0.1)) {
    if (world.rank() == 0) activity().move();
  }
}

void say_pid(Communicator& world) {
  std::cout << world.rank() << " is " << ::getpid() << std::endl;
}

/// Runs until it is killed.
void live(Communicator& world, Watchdog&, double) {
  begin_step();
  sleep_seconds(1.5);  // more than a heartbeat
  std::signal(SIGTERM, [](int) { activity().tell_to_end(); });
  world.barrier();
  say_pid(world);
  while (true) sleep_seconds(1);
}

void be_suspended(Communicator& world, Watchdog&, double timeout) {
  say_pid(world);
  for (double done = 0; done < 3 * timeout; done += 0.1, sleep_seconds(0.1)) activity().move();
  world.barrier();
}

/// Ranks whose communication has failed wait for the watchdog to name the lost rank.
void wait_for_verdict(Communicator& world, Watchdog& watchdog, double timeout) {
  begin_step();
  if (world.rank() == world.size() - 1) raise_after_a_while(SIGSTOP, timeout);
  watchdog.await_verdict();
}

const std::map<std::string, Scenario>& scenarios() {
  static const std::map<std::string, Scenario> all{{"hang", hang},
                                                   {"mismatch", mismatch},
                                                   {"stop", stop},
                                                   {"stop-root", stop_root},
                                                   {"die", die},
                                                   {"fail-slowly", fail_slowly},
                                                   {"work", work},
                                                   {"live", live},
                                                   {"be-suspended", be_suspended},
                                                   {"wait-for-verdict", wait_for_verdict}};
  return all;
}

int run(const std::string& scenario, double timeout) {
  const auto world = make_world_communicator();
  log::set_rank(world->rank(), world->size());
  const auto report = [&](const Fault& fault) {
    std::cout << "handled on rank " << world->rank() << ": " << name_of(fault.cause) << std::endl;
  };
  try {
    Watchdog watchdog(*world, {.timeout_seconds = timeout, .silence_seconds = timeout}, report);
    scenarios().at(scenario)(*world, watchdog, timeout);
    // Ranks end at very different times, rank 0 first.
    sleep_seconds(world->rank() == 0 ? 0 : 0.5 * timeout * world->rank());
  } catch (const std::runtime_error&) {
    sleep_seconds(1.5 * timeout);
    abort_all_ranks(kExitByFailure);
  }
  return 0;
}

}  // namespace
}  // namespace simclr

int main(int argc, char** argv) {
  const simclr::MpiSession session(argc, argv);
  return simclr::run(argv[1], std::strtod(argv[2], nullptr));
}
