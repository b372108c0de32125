#pragma once
// Runs kernels on the host: the threads of a block are fibers of one host thread, switched at
// barriers and exchanges. See include/cuda_runtime.h for what it is good for.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

namespace emulation {

struct Dimensions {
  unsigned x = 1, y = 1, z = 1;
};

struct ThreadPlace {
  Dimensions thread_index, block_index, block_dimensions, grid_dimensions;
};
/// Throws std::logic_error outside a kernel.
const ThreadPlace& current_thread();
int lane();

void synchronize_block();
void synchronize_warp(unsigned mask);
unsigned ballot(unsigned mask, bool predicate);

/// What lane `source` of the warp gives, 16 bytes at most. All lanes of `mask` call it.
using Words = std::array<std::uint64_t, 2>;
Words exchange_words(unsigned mask, const Words& given, int source);
template <class T>
T exchange(unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= sizeof(Words));
  Words words{};
  std::memcpy(words.data(), &value, sizeof value);
  const Words taken = exchange_words(mask, words, source);
  std::memcpy(&value, taken.data(), sizeof value);
  return value;
}

/// What each lane gives, in every lane. The whole warp calls it.
inline constexpr unsigned kWarp = 32;
std::array<Words, kWarp> gather_words(const Words& given);

/// Copies of a thread that arrive when they like: at once, or (SIMCLR_EMULATED_LATE_COPIES) when
/// the thread waits for their group. As cp.async, cp.async.commit_group and cp.async.wait_group.
void copy_async(void* to, const void* from, std::size_t bytes);
void commit_copies();
void wait_for_copies(std::size_t pending);

/// Dynamic shared memory of the block, aligned to 128 bytes; NaN bytes at its start.
void* dynamic_shared_memory();

struct Launch {
  Dimensions grid, block;
  std::size_t shared_bytes = 0;
  const void* kernel = nullptr;
  std::function<void()> body;  ///< of one thread
};

struct Stream;
struct Event;
struct Graph;
/// Runs the kernel now, or adds it to the graph that the stream captures. A cudaError_t. Throws
/// std::logic_error for divergent barriers.
int launch(Launch launch, Stream* stream);

/// Whether this kernel may ask for so much dynamic shared memory.
void grant_shared_memory(const void* kernel, std::size_t bytes);

// Tensor cores. Lanes hold fragments as PTX lays them out (mma.sync.aligned.m16n8k16.row.col, f32
// accumulators; lane = 4 * group + member): a[0] rows group, columns 2*member + {0,1}; a[1] rows
// group + 8; a[2] and a[3] the same with columns + 8; b[0] rows 2*member + {0,1}, column group;
// b[1] rows + 8; c[0..1] row group, columns 2*member + {0,1}; c[2..3] row group + 8.
enum class HalfType : std::uint8_t { bf16, f16 };
/// d = a b + c over the warp's 16 x 16 and 16 x 8 halves.
void mma_m16n8k16(HalfType type, float (&d)[4], const std::uint32_t (&a)[4],
                  const std::uint32_t (&b)[2], const float (&c)[4]);
/// ldmatrix.sync.aligned.m8n8.x4.shared.b16: lane i's `row` is the address of row i % 8 of matrix
/// i / 8; result[m] holds elements 2 * (lane % 4) + {0,1} of row lane / 4 of matrix m. Transposed:
/// of the matrix's transpose.
void load_matrices_x4(std::uint32_t (&result)[4], const void* row, bool transposed);

}  // namespace emulation
