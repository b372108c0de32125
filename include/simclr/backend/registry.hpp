#pragma once
// The backends of this build. registry.cpp is the only place that knows which there are.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "simclr/backend/backend.hpp"

namespace simclr {

// ---- CPU ----

/// The CPU backend with this many threads (0: all that the process may use).
std::unique_ptr<Backend> make_cpu_backend(int threads);

/// Whether the CPU has native bf16 arithmetic (avx512_bf16 or better).
bool cpu_has_native_bf16();

// ---- CUDA ----

/// Device memory of a tensor, known in any build and without a device: channels of activations are
/// padded to whole vectors.
std::size_t cuda_storage_bytes(const TensorInfo& tensor);

/// Over what the ranks' GPUs communicate.
enum class Collectives : std::uint8_t {
  automatic,  ///< nccl, or mpi where several ranks share a device
  nccl,       ///< device to device
  mpi,        ///< through host memory; the ordinary way for several ranks on one device
};

struct CudaOptions {
  int local_rank = 0;   ///< among the ranks of this node: rank i takes device i of those it sees
  int local_ranks = 1;  ///< of this node
  bool share_device = false;  ///< several ranks on one device are allowed (so they are with mpi)
  Collectives collectives = Collectives::automatic;
  bool allow_tf32 = false;           ///< fp32 products in TF32 (10-bit mantissa)
  double timeout_seconds = 600;      ///< after which a collective is given up, naming it
  std::filesystem::path plan_cache;  ///< file of measured convolution plans; empty: none is kept
};

/// Why there is no CUDA backend to be had, or "": not built in, no device, driver too old.
std::string why_no_cuda();

/// The backend on this rank's GPU. Throws RefusedError with why_no_cuda() where there is none, and
/// where a node has more ranks than several visible devices without leave to share them.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);

}  // namespace simclr
