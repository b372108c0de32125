#include "block_product.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

void copy_and_clear_rest(std::span<const float> from, std::vector<float>& to) {
  require(from.size() <= to.size(), "a block must not get more rows than it has");
  const auto rest = std::copy(from.begin(), from.end(), to.begin());
  std::fill(rest, to.end(), 0.0F);
}

Executor make_executor(Program program, Backend& backend) {
  const ExecutorOptions options{.keep = {program.at("similarities")}};
  return {std::move(program), backend, {}, options};
}

}  // namespace

std::span<const float> rows_of(std::span<const float> values, std::int64_t first,
                               std::int64_t count, std::int64_t channels) {
  return values.subspan(static_cast<std::size_t>(first * channels),
                        static_cast<std::size_t>(count * channels));
}

TensorId record_block_product(Recorder& recorder, std::int64_t queries, std::int64_t bank,
                              std::int64_t channels) {
  const TensorId x = recorder.named("queries", {queries, channels}, DType::f32, Storage::input);
  const TensorId w = recorder.parameter("bank", {bank, channels}, {}, false);
  recorder.publish("bank", w);
  const TensorId y = recorder.tensor("similarities", {queries, bank}, DType::f32);
  recorder.publish("similarities", y);
  recorder.emit(MatMul{x, w, std::nullopt, y});
  return y;
}

BlockProduct::BlockProduct(Program program, Backend& backend)
    : executor_(make_executor(std::move(program), backend)),
      queries_(executor_.program().info(executor_.program().at("queries")).shape[0]),
      bank_(executor_.program().info(executor_.program().at("bank")).shape[0]),
      channels_(executor_.program().info(executor_.program().at("bank")).shape[1]),
      // The bank is the only parameter; its flat buffer may end in padding.
      bank_values_(static_cast<std::size_t>(executor_.program().parameter_elements)),
      query_values_(static_cast<std::size_t>(queries_ * channels_)) {}

void BlockProduct::set_bank(std::span<const float> rows) {
  bank_rows_ = std::ssize(rows) / channels_;
  copy_and_clear_rest(rows, bank_values_);
  executor_.set_flat(Storage::parameters, bank_values_);
}

void BlockProduct::multiply(std::span<const float> rows) {
  copy_and_clear_rest(rows, query_values_);
  executor_.upload(executor_.program().at("queries"),
                   const_buffer_span(std::span<const float>(query_values_)));
  executor_.run_forward();
}

}  // namespace simclr
