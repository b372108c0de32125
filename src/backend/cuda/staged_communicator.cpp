#include "staged_communicator.hpp"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "memory.hpp"

namespace simclr::cuda {

namespace {

// Larger buffers go through in pieces: page-locked memory is scarce, and a copy of this size is as
// fast as a longer one.
constexpr std::size_t kStageBytes = std::size_t{16} << 20;
constexpr std::size_t kSmallestPieceBytes = std::size_t{64} << 10;

class StagedCommunicator final : public DeviceCommunicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> ranks, Lane lane, Device& device)
      : ranks_(std::move(ranks)), lane_(lane), device_(device) {}

  [[nodiscard]] int rank() const override { return ranks_->rank(); }
  [[nodiscard]] int size() const override { return ranks_->size(); }
  [[nodiscard]] cudaStream_t stream() const override { return device_.stream(lane_); }
  [[nodiscard]] bool capturable() const override { return false; }

  void barrier() override {
    device_.wait(stream());
    ranks_->barrier();
  }
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
  std::unique_ptr<Communicator> split(int color) override {
    const auto part = ranks_->split(color);
    return make_communicator(*part, lane_, device_);
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

  std::unique_ptr<Communicator> ranks_;
  Lane lane_;
  Device& device_;
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
