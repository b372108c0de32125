#include "similarity.hpp"

#include <algorithm>
#include <cstddef>

#include "simclr/core/check.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

Program record_search(std::int64_t queries, std::int64_t bank, std::int64_t channels,
                      std::int64_t k) {
  Recorder r;
  r.set_gradients(false);
  const TensorId x = r.named("queries", {queries, channels}, DType::f32, Storage::input);
  const TensorId w = r.parameter("bank", {bank, channels}, {}, false);
  const TensorId y = r.tensor("similarities", {queries, bank}, DType::f32);
  r.emit(MatMul{x, w, std::nullopt, y});
  r.emit(TopK{.values = y,
              .valid = r.named("bank rows", {1}, DType::i32, Storage::control),
              .best = r.named("nearest", {queries, k}, DType::f32, Storage::output),
              .columns = r.named("rows", {queries, k}, DType::i32, Storage::output)});
  return r.finish();
}

std::size_t elements(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(rows * columns);
}

void copy_and_clear_rest(std::span<const float> from, std::vector<float>& to) {
  require(from.size() <= to.size(), "a block must not get more rows than it has");
  const auto rest = std::copy(from.begin(), from.end(), to.begin());
  std::fill(rest, to.end(), 0.0F);
}

}  // namespace

NearestInBlock::NearestInBlock(std::int64_t queries, std::int64_t bank, std::int64_t channels,
                               std::int64_t k, Backend& backend)
    : queries_(queries),
      bank_(bank),
      channels_(channels),
      executor_(record_search(queries, bank, channels, k), backend, {}),
      // The bank is the only parameter; its flat buffer may end in padding.
      bank_rows_(static_cast<std::size_t>(executor_.program().parameter_elements)),
      query_rows_(elements(queries, channels)),
      similarities_(elements(queries, k)),
      rows_(elements(queries, k)) {}

void NearestInBlock::set_bank(std::span<const float> rows) {
  copy_and_clear_rest(rows, bank_rows_);
  executor_.set_flat(Storage::parameters, bank_rows_);
  const auto count = static_cast<std::int32_t>(std::ssize(rows) / channels_);
  executor_.upload(executor_.program().at("bank rows"),
                   const_buffer_span(std::span<const std::int32_t>(&count, 1)));
}

NearestInBlock::Result NearestInBlock::find(std::span<const float> rows) {
  copy_and_clear_rest(rows, query_rows_);
  const Program& program = executor_.program();
  executor_.upload(program.at("queries"), const_buffer_span(std::span<const float>(query_rows_)));
  executor_.run_forward();
  executor_.download(program.at("nearest"), buffer_span(std::span(similarities_)));
  executor_.download(program.at("rows"), buffer_span(std::span(rows_)));
  return {.similarities = similarities_, .rows = rows_};
}

}  // namespace simclr
