// Which transport ranks use, from where they are; and the one through host memory.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "communication.hpp"
#include "memory.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"

namespace simclr::cuda {

namespace {

/// The same for all that runs on a machine, whatever its containers are called.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
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
        "option --collectives: NCCL cannot connect {}; start one rank a GPU, or give --collectives "
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

std::unique_ptr<Communicator> DeviceCommunicator::split(int color) {
  const auto part = ranks_->split(color);
  return make_communicator(*part, lane_, device_);
}

namespace {

// Larger buffers go through in pieces: page-locked memory is scarce, and a copy of this size is as
// fast as a longer one.
constexpr std::size_t kStageBytes = std::size_t{16} << 20;
constexpr std::size_t kSmallestPieceBytes = std::size_t{64} << 10;

class StagedCommunicator final : public DeviceCommunicator {
 public:
  using DeviceCommunicator::DeviceCommunicator;

  [[nodiscard]] cudaStream_t stream() const override { return device_.stream(lane_); }
  [[nodiscard]] bool capturable() const override { return false; }

  void broadcast(BufferSpan buffer, int root) override {
    in_pieces(buffer, [&](std::span<std::byte> host) {
      ranks_->broadcast({host.data(), host.size(), DType::u8}, root);
    });
  }
  void all_reduce(BufferSpan buffer, Reduction reduction) override {
    in_pieces(buffer, [&](std::span<std::byte> host) {
      reduce_on_host({host.data(), host.size() / size_in_bytes(buffer.dtype), buffer.dtype},
                     reduction);
    });
  }
  void all_gather(ConstBufferSpan send, BufferSpan receive) override;

  // The host has nothing to do meanwhile, but the kernels behind the bucket need not wait for it.
  void start_all_reduce(BufferSpan buffer) override { pending_.push_back(buffer); }
  void progress() override {}
  void wait_for_all() override {
    for (const BufferSpan& buffer : std::exchange(pending_, {})) {
      all_reduce(buffer, Reduction::sum);
    }
  }

  std::unique_ptr<Communicator> duplicate() override {
    return std::make_unique<StagedCommunicator>(ranks_->duplicate(), lane_, device_);
  }

 private:
  /// The stage, at least so large.
  std::byte* stage(std::size_t bytes) {
    if (stage_.bytes() < bytes) stage_ = allocate_pinned(bytes, "the stage of --collectives mpi");
    return stage_.data();
  }
  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    check(cudaMemcpyAsync(to, from, bytes, kind, stream()), "copy through the stage");
  }
  /// Each piece of the buffer is brought to the host, worked on and taken back.
  template <class Work>
  void in_pieces(const BufferSpan& buffer, Work&& work) {
    auto* at = static_cast<std::byte*>(buffer.data);
    for (std::size_t first = 0; first < buffer.bytes(); first += kStageBytes) {
      const std::size_t bytes = std::min(kStageBytes, buffer.bytes() - first);
      std::byte* host = stage(bytes);
      copy(host, at + first, bytes, cudaMemcpyDeviceToHost);
      device_.wait(stream());
      work(std::span(host, bytes));
      copy(at + first, host, bytes, cudaMemcpyHostToDevice);
      device_.wait(stream());  // the stage is used again
    }
  }
  void reduce_on_host(const BufferSpan& values, Reduction reduction) {
    if (values.dtype == DType::bf16) return reduce_widened<bf16>(values, reduction, to_bf16);
    if (values.dtype == DType::f16) return reduce_widened<f16>(values, reduction, to_f16);
    ranks_->all_reduce(values, reduction);
  }
  /// 16-bit values are reduced in f32 and rounded once.
  template <class T>
  void reduce_widened(const BufferSpan& values, Reduction reduction, T (*narrow)(float)) {
    const std::span<T> own(static_cast<T*>(values.data), values.count);
    std::vector<float> wide(own.size());
    std::transform(own.begin(), own.end(), wide.begin(), [](T v) { return to_float(v); });
    ranks_->all_reduce(buffer_span(std::span(wide)), reduction);
    std::transform(wide.begin(), wide.end(), own.begin(), narrow);
  }

  Buffer stage_;
  std::vector<BufferSpan> pending_;
};

void StagedCommunicator::all_gather(ConstBufferSpan send, BufferSpan receive) {
  const auto ranks = static_cast<std::size_t>(size());
  require(receive.bytes() == send.bytes() * ranks, "all_gather receives one block of every rank");
  const std::size_t most = std::max(kSmallestPieceBytes, kStageBytes / (ranks + 1));
  const auto* from = static_cast<const std::byte*>(send.data);
  auto* to = static_cast<std::byte*>(receive.data);
  for (std::size_t first = 0; first < send.bytes(); first += most) {
    const std::size_t bytes = std::min(most, send.bytes() - first);
    std::byte* own = stage(bytes * (ranks + 1));
    std::byte* all = own + bytes;
    copy(own, from + first, bytes, cudaMemcpyDeviceToHost);
    device_.wait(stream());
    ranks_->all_gather({own, bytes, DType::u8}, {all, bytes * ranks, DType::u8});
    for (std::size_t r = 0; r < ranks; ++r) {
      copy(to + r * send.bytes() + first, all + r * bytes, bytes, cudaMemcpyHostToDevice);
    }
    device_.wait(stream());
  }
}

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> ranks,
                                                       Lane lane, Device& device) {
  return std::make_unique<StagedCommunicator>(std::move(ranks), lane, device);
}

}  // namespace simclr::cuda
