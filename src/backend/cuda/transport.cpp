// Which transport ranks use, from where they are.

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "communication.hpp"
#include "nccl_communicator.hpp"
#include "simclr/core/log.hpp"
#include "staged_communicator.hpp"

namespace simclr::cuda {

namespace {

/// The same for all that runs on a machine, whatever its containers are called.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::string host_name() {
  std::array<char, 256> name{};
  (void)gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string bus_id(const Device& device) {
  std::array<char, 32> text{};
  check(
      cudaDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), device.properties().index),
      "ask for the device's bus id");
  return text.data();
}

std::vector<RankPlace> gather_places(Communicator& ranks, const Device& device) {
  const auto hosts = gather_texts(ranks, host_name());
  const auto machines = gather_texts(ranks, boot_id());
  const auto devices = gather_texts(ranks, bus_id(device));
  const char* id = std::getenv("NCCL_HOSTID");
  const auto ids = gather_texts(ranks, id != nullptr ? id : "");
  std::vector<RankPlace> places;
  for (std::size_t r = 0; r < hosts.size(); ++r) {
    places.push_back({.host = hosts[r],
                      .machine = machines[r].empty() ? hosts[r] : machines[r],
                      .device = devices[r],
                      .nccl_host_id = ids[r]});
  }
  return places;
}

using Sharing = std::map<std::pair<std::string, std::string>, std::vector<std::size_t>>;
Sharing ranks_by_device(const std::vector<RankPlace>& places) {
  Sharing sharing;
  for (std::size_t r = 0; r < places.size(); ++r) {
    sharing[{places[r].machine, places[r].device}].push_back(r);
  }
  return sharing;
}

/// Whether NCCL takes ranks that share a device for ranks on different hosts.
bool look_like_hosts(const std::vector<RankPlace>& places) {
  for (const auto& [place, ranks] : ranks_by_device(places)) {
    std::set<std::string> ids;
    for (const std::size_t r : ranks) ids.insert(places[r].nccl_host_id);
    if (ranks.size() > 1 && (ids.size() != ranks.size() || ids.contains(""))) return false;
  }
  return true;
}

}  // namespace

std::string shared_device(const std::vector<RankPlace>& places) {
  for (const auto& [place, ranks] : ranks_by_device(places)) {
    if (ranks.size() == 1) continue;
    std::string list = std::to_string(ranks[0]);
    for (std::size_t i = 1; i < ranks.size(); ++i) {
      list += fmt::format("{}{}", i + 1 == ranks.size() ? " and " : ", ", ranks[i]);
    }
    return fmt::format("ranks {} on device {} of host {}", list, place.second,
                       places[ranks[0]].host);
  }
  return "";
}

Collectives choose_collectives(const CudaOptions& options, const std::vector<RankPlace>& places) {
  const std::string shared = shared_device(places);
  if (options.collectives == Collectives::automatic) {
    return shared.empty() ? Collectives::nccl : Collectives::mpi;
  }
  if (options.collectives == Collectives::nccl && !shared.empty() &&
      !(options.share_device && look_like_hosts(places))) {
    refuse(
        "--collectives nccl: NCCL cannot connect {}: start one rank a GPU, or give --collectives "
        "mpi (through host memory), or --share-device with a different NCCL_HOSTID in the "
        "environment of each of these ranks",
        shared);
  }
  return options.collectives;
}

std::unique_ptr<Communicator> make_communicator(Communicator& ranks, Lane lane, Device& device) {
  if (ranks.size() == 1) return make_self_communicator();
  const std::vector<RankPlace> places = gather_places(ranks, device);
  const Collectives collectives = choose_collectives(device.options(), places);
  if (collectives == Collectives::nccl) {
    return make_nccl_communicator(ranks.duplicate(), lane, device);
  }
  // The buckets' lane is made once a job: the line is written once.
  if (device.options().collectives == Collectives::automatic && lane == Lane::gradients) {
    log::info("{}: communicating through host memory (--collectives mpi), which is slow",
              shared_device(places));
  }
  return make_staged_communicator(ranks.duplicate(), lane, device);
}

}  // namespace simclr::cuda
