#include <cmath>
#include <numbers>

#include "simclr/core/hash.hpp"
#include "simclr/core/random.hpp"
#include "simclr/nn/model.hpp"

namespace simclr {
namespace {

/// Standard deviation of a standard normal truncated at +-2.
constexpr double kTruncatedStddev = 0.87962566103423978;

/// Draws a standard normal from two uniforms of the stream (Box and Muller).
double standard_normal(PhiloxStream& stream) {
  const double u = (static_cast<double>(stream.next_bits()) + 0.5) * 0x1.0p-32;
  const double v = static_cast<double>(stream.next_bits()) * 0x1.0p-32;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

double truncated_normal(PhiloxStream& stream) {
  for (;;) {
    const double value = standard_normal(stream);
    if (std::abs(value) <= 2.0) return value / kTruncatedStddev;
  }
}

void fill(std::span<float> values, const InitialValue& initial, PhiloxStream stream) {
  for (float& value : values) {
    switch (initial.kind) {
      case InitialValue::Kind::constant:
        value = initial.scale;
        break;
      case InitialValue::Kind::normal:
        value = static_cast<float>(initial.scale * standard_normal(stream));
        break;
      case InitialValue::Kind::truncated_normal:
        value = static_cast<float>(initial.scale * truncated_normal(stream));
        break;
    }
  }
}

}  // namespace

std::vector<float> initial_parameters(const Program& program, std::uint64_t seed) {
  std::vector<float> flat(static_cast<std::size_t>(program.parameter_elements), 0.0F);
  for (const Parameter& parameter : program.parameters) {
    const TensorInfo& info = program.info(parameter.value);
    const std::uint64_t name = hash64(std::as_bytes(std::span(parameter.name)));
    const PhiloxStream stream(seed, RandomPurpose::kInitialization,
                              static_cast<std::uint32_t>(name),
                              static_cast<std::uint32_t>(name >> 32));
    fill(std::span(flat).subspan(static_cast<std::size_t>(info.offset),
                                 static_cast<std::size_t>(info.shape.elements())),
         parameter.initial, stream);
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
