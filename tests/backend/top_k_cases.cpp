#include <cmath>
#include <limits>

#include "backend/op_cases.hpp"

namespace simclr::testing {

namespace {

struct TopKCase {
  std::string name;
  std::int64_t rows, columns, valid, k;
  Fill values;
};

// Numbers that differ in their lowest bits only, many of them equal.
Fill close_numbers() {
  return [](std::int64_t, double random) { return 1 + std::floor(64 * random) * 0x1p-23; };
}
Fill signed_zeros() {
  return [](std::int64_t index, double) { return index % 3 == 0 ? -0.0 : 0.0; };
}
Fill infinities_among(const Fill& numbers) {
  return [=](std::int64_t index, double random) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (index % 4 == 0) return -kInfinity;
    return index % 7 == 0 ? kInfinity : numbers(index, random);
  };
}

const std::vector<TopKCase>& cases() {
  static const std::vector<TopKCase> all{
      {"one", 5, 300, 300, 1, uniform(-1, 1)},
      {"few", 7, 300, 300, 7, uniform(-1, 1)},
      {"two_hundred", 3, 1999, 1990, 200, uniform(-0.1, 0.9)},
      {"most", 2, 5003, 5003, 1024, uniform(-1, 1)},
      {"small_row", 4, 5, 5, 3, uniform(-1, 1)},
      {"all_columns", 3, 50, 50, 50, uniform(-1, 1)},
      {"more_than_columns", 3, 20, 20, 33, uniform(-1, 1)},
      {"few_valid", 5, 64, 13, 50, uniform(-1, 1)},
      {"none_valid", 2, 64, 0, 9, uniform(-1, 1)},
      {"one_valid_too_many", 3, 640, 101, 100, uniform(-1, 1)},
      {"ties", 6, 777, 777, 100, whole_numbers(-2, 2)},
      {"ties_of_all", 2, 1500, 1491, 600, whole_numbers(3, 3)},
      {"negative_ties", 2, 2100, 2099, 77, whole_numbers(-3, -2)},
      {"close_numbers", 3, 3001, 3001, 130, close_numbers()},
      {"wide_range", 3, 1200, 1200, 300,
       [](std::int64_t index, double random) {
         return std::ldexp(2 * random - 1, static_cast<int>(index % 250) - 125);
       }},
      {"signed_zeros", 2, 600, 600, 10, signed_zeros()},
      {"infinities", 3, 90, 83, 40, infinities_among(uniform(-1, 1))},
      {"infinities_all_taken", 3, 20, 20, 30, infinities_among(uniform(-1, 1))},
  };
  return all;
}

OpCase top_k(const TopKCase& c) {
  CaseBuilder b(DType::f32);
  const TensorId values = b.tensor("values", {c.rows, c.columns}, DType::f32);
  const TensorId valid = b.tensor("valid", {1}, DType::i32, Storage::control);
  const TensorId best = b.tensor("best", {c.rows, c.k}, DType::f32, Storage::output);
  const TensorId columns = b.tensor("columns", {c.rows, c.k}, DType::i32, Storage::output);
  b.fill(values, c.values);
  b.fill(valid, [=](std::int64_t, double) { return static_cast<double>(c.valid); });
  b.tolerance(best, {});
  b.emit(TopK{.values = values, .valid = valid, .best = best, .columns = columns});
  return b.build();
}

}  // namespace

std::vector<CaseEntry> top_k_cases() {
  std::vector<CaseEntry> entries;
  for (const TopKCase& c : cases()) {
    entries.push_back({.name = "top_k_" + c.name, .make = [=](DType) { return top_k(c); }});
  }
  return entries;
}

}  // namespace simclr::testing
