#pragma once
// The one way in which kernels are started. Nothing else uses <<<>>>, so that the same sources run
// under tests/cuda_emulation.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <source_location>

#include "runtime.hpp"

namespace simclr::cuda {

/// Blocks and threads of a launch; x is the fastest index.
struct LaunchShape {
  dim3 grid{1, 1, 1};
  dim3 block{1, 1, 1};
  std::size_t shared_bytes = 0;  ///< dynamic shared memory of a block
};

/// What every device grants without being asked.
inline constexpr std::size_t kSharedBytesGranted = std::size_t{48} << 10;

template <class Integer>
constexpr Integer ceil_div(Integer count, Integer divisor) {
  return (count + divisor - 1) / divisor;
}

/// One thread an item in blocks of `threads`; items beyond the largest grid are not to be had.
inline LaunchShape one_thread_each(std::int64_t items, unsigned threads = 256) {
  const auto blocks = ceil_div<std::int64_t>(items > 0 ? items : 1, threads);
  require(blocks <= std::numeric_limits<std::int32_t>::max(), "a grid holds all items");
  return {.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(threads)};
}

/// Enqueues kernel(arguments...).
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
            const Arguments&... arguments) {
  if (shape.shared_bytes > kSharedBytesGranted) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shape.shared_bytes)),
          "ask for shared memory");
  }
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...),
        "launch a kernel");
}

}  // namespace simclr::cuda
