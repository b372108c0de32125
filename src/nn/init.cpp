#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "simclr/core/hash.hpp"
#include "simclr/core/random.hpp"
#include "simclr/nn/model.hpp"

namespace simclr {
namespace {

/// Standard deviation of a standard normal truncated at +-2.
constexpr double kTruncatedStddev = 0.87962566103423978;

constexpr std::uint64_t kWordsOfADraw = 2;
/// Draws that a thread makes at a time.
constexpr std::int64_t kBlock = std::int64_t{1} << 14;

/// Draws a standard normal from two uniforms of the stream (Box and Muller).
double standard_normal(PhiloxStream& stream) {
  const double u = (static_cast<double>(stream.next_bits()) + 0.5) * 0x1.0p-32;
  const double v = static_cast<double>(stream.next_bits()) * 0x1.0p-32;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

/// Makes `draws` draws from number `first` of the stream on, writes those that count to `out` and
/// returns their number.
std::int64_t draw_block(const InitialValue& initial, PhiloxStream stream, std::int64_t first,
                        std::int64_t draws, float* out) {
  const bool truncated = initial.kind == InitialValue::Kind::truncated_normal;
  stream.go_to(kWordsOfADraw * static_cast<std::uint64_t>(first));
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < draws; ++i) {
    const double value = standard_normal(stream);
    if (truncated && std::abs(value) > 2.0) continue;
    out[kept++] =
        static_cast<float>(initial.scale * (truncated ? value / kTruncatedStddev : value));
  }
  return kept;
}

/// Fills `values` with the draws of the stream that count, in order. Each round makes as many draws
/// as values are missing, in blocks, whose gaps it then closes.
void draw(std::span<float> values, const InitialValue& initial, const PhiloxStream& stream,
          int threads) {
  std::int64_t first = 0;
  while (!values.empty()) {
    const std::int64_t draws = std::ssize(values);
    const std::int64_t blocks = (draws + kBlock - 1) / kBlock;
    std::vector<std::int64_t> kept(static_cast<std::size_t>(blocks));
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t begin = b * kBlock;
      kept[static_cast<std::size_t>(b)] = draw_block(
          initial, stream, first + begin, std::min(kBlock, draws - begin), values.data() + begin);
    }
    std::int64_t filled = 0;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t count = kept[static_cast<std::size_t>(b)];
      const float* block = values.data() + b * kBlock;
      std::copy(block, block + count, values.data() + filled);
      filled += count;
    }
    first += draws;
    values = values.subspan(static_cast<std::size_t>(filled));
  }
}

}  // namespace

std::vector<float> initial_values(const Program& program, const Parameter& parameter,
                                  std::uint64_t seed, int threads) {
  std::vector<float> values(
      static_cast<std::size_t>(program.info(parameter.value).shape.elements()),
      parameter.initial.scale);
  if (parameter.initial.kind != InitialValue::Kind::constant) {
    const std::uint64_t name = hash64(std::as_bytes(std::span(parameter.name)));
    const PhiloxStream stream(seed, RandomPurpose::kInitialization,
                              static_cast<std::uint32_t>(name),
                              static_cast<std::uint32_t>(name >> 32));
    draw(values, parameter.initial, stream, threads);
  }
  return values;
}

std::vector<float> initial_parameters(const Program& program, std::uint64_t seed) {
  std::vector<float> flat(static_cast<std::size_t>(program.parameter_elements), 0.0F);
  for (const Parameter& parameter : program.parameters) {
    std::ranges::copy(initial_values(program, parameter, seed),
                      flat.begin() + program.info(parameter.value).offset);
  }
  return flat;
}

std::vector<float> initial_running_statistics(const Program& program) {
  std::vector<float> flat(static_cast<std::size_t>(program.running_elements), 0.0F);
  for (const RunningStatistic& statistic : program.running) {
    const TensorInfo& info = program.info(statistic.value);
    std::fill_n(flat.begin() + info.offset, info.shape.elements(), statistic.initial);
  }
  return flat;
}

}  // namespace simclr
