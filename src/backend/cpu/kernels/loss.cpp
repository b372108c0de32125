// Rows of the contrastive and the classification softmax.

#include "simclr/core/simd.hpp"
#include "table.hpp"

namespace simclr::SIMCLR_ISA {
namespace {

using namespace kernels;

// exp(x) for x <= 88 to 2 units in the last place: x = n ln 2 + r with |r| <= ln 2 / 2, the Taylor
// polynomial of degree 7 in r, times 2^n. Below -87 (results under 1.7e-38) it stays at exp(-87);
// NaN stays NaN.
SIMCLR_HD_INLINE VecF exp_of(VecF x) {
  x = x < -87.0F ? VecF{} - 87.0F : x;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const VecF shifted = x * 1.44269504088896341F + kRound;
  const VecF n = shifted - kRound;
  // ln 2 in two parts, so that n times the first is exact.
  const VecF r = (x - n * 0.693145751953125F) - n * 1.42860682030941723e-6F;
  VecF p = r * (1.0F / 5040) + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const VecI exponent = (VecI)shifted << 23;
  // p is in [0.7, 1.5]: its exponent field takes n without overflow.
  const auto result = (VecF)((VecI)p + exponent);
  return x == x ? result : x;
}

SIMCLR_HD_INLINE double sum_of(VecF v) {
  double sum = 0;
  for (int lane = 0; lane < kWidth; ++lane) sum += static_cast<double>(v[lane]);
  return sum;
}

// The last, incomplete vector of a row; lanes past the end hold `filler`.
SIMCLR_HD_INLINE VecF load_tail(const float* from, std::int64_t count, float filler) {
  VecF value = VecF{} + filler;
  for (std::int64_t lane = 0; lane < count; ++lane) value[lane] = from[lane];
  return value;
}
SIMCLR_HD_INLINE void store_tail(float* to, std::int64_t count, VecF value) {
  for (std::int64_t lane = 0; lane < count; ++lane) to[lane] = value[lane];
}

// Calls visit(j, lanes) for whole vectors and once more for the rest of the row.
template <class Visit>
SIMCLR_HD_INLINE void for_each_vector(std::int64_t count, Visit&& visit) {
  std::int64_t j = 0;
  for (; j + kWidth <= count; j += kWidth) visit(j, std::int64_t{kWidth});
  if (j < count) visit(j, count - j);
}
SIMCLR_HD_INLINE VecF load_lanes(const float* from, std::int64_t lanes, float filler) {
  return lanes == kWidth ? load(from) : load_tail(from, lanes, filler);
}
SIMCLR_HD_INLINE void store_lanes(float* to, std::int64_t lanes, VecF value) {
  lanes == kWidth ? store(to, value) : store_tail(to, lanes, value);
}

SIMCLR_HD_INLINE float largest_of(const float* s, std::int64_t count) {
  const float lowest = -__builtin_huge_valf();
  VecF largest = VecF{} + lowest;
  for_each_vector(
      count, [&](std::int64_t j, std::int64_t lanes) __attribute__((always_inline)) {
        const VecF value = load_lanes(s + j, lanes, lowest);
        largest = value > largest ? value : largest;
      });
  float result = lowest;
  for (int lane = 0; lane < kWidth; ++lane) {
    result = largest[lane] > result ? largest[lane] : result;
  }
  return result;
}

// Updates the row's partner and rival; returns the largest of all similarities.
SIMCLR_HD_INLINE float largest_with_partner(const float* s, std::int64_t count,
                                            std::int64_t partner, SoftmaxRow& row) {
  if (partner < 0 || partner >= count) {
    const float found = largest_of(s, count);
    row.rival = found > row.rival ? found : row.rival;
    return found;
  }
  const float before = largest_of(s, partner);
  const float after = largest_of(s + partner + 1, count - partner - 1);
  const float found = after > before ? after : before;
  row.rival = found > row.rival ? found : row.rival;
  row.partner = s[partner];
  return row.partner > found ? row.partner : found;
}

void accumulate_row(const float* s, std::int64_t count, std::int64_t partner,
                    float inverse_temperature, SoftmaxRow& row) {
  const float found = largest_with_partner(s, count, partner, row);
  if (static_cast<double>(found) > row.largest) {
    const double step =
        (row.largest - static_cast<double>(found)) * static_cast<double>(inverse_temperature);
    const double factor = __builtin_exp(step);
    // A step so large that nothing remains must not make 0 * infinity.
    row.weighted = factor > 0 ? factor * (row.weighted + step * row.sum) : 0;
    row.sum *= factor;
    row.largest = static_cast<double>(found);
  }
  const auto largest = static_cast<float>(row.largest);
  const float left_out = -__builtin_huge_valf();
  VecF sum{};
  VecF weighted{};
  for_each_vector(
      count, [&](std::int64_t j, std::int64_t lanes) __attribute__((always_inline)) {
        VecF x = (load_lanes(s + j, lanes, left_out) - largest) * inverse_temperature;
        x = x < -87.0F ? VecF{} - 87.0F : x;
        const VecF e = exp_of(x);
        sum += e;
        weighted += e * x;
      });
  row.sum += sum_of(sum);
  row.weighted += sum_of(weighted);
}

void pair_weights(float* s, std::int64_t count, float inverse_temperature, float lse,
                  const float* lse_of) {
  for_each_vector(
      count, [&](std::int64_t j, std::int64_t lanes) __attribute__((always_inline)) {
        const VecF x = load_lanes(s + j, lanes, 0) * inverse_temperature;
        const VecF own = exp_of(x - lse);
        const VecF other = exp_of(x - load_lanes(lse_of + j, lanes, 0));
        store_lanes(s + j, lanes, own + other);
      });
}

// ln(1 + y) for 0 <= y <= 1: 2 artanh(y / (2 + y)), whose argument is at most 1/3, by its series.
SIMCLR_HD_INLINE VecF log1p_of(VecF y) {
  const VecF z = y / (2.0F + y);
  const VecF q = z * z;
  VecF p = q * (1.0F / 15) + 1.0F / 13;
  p = p * q + 1.0F / 11;
  p = p * q + 1.0F / 9;
  p = p * q + 1.0F / 7;
  p = p * q + 1.0F / 5;
  p = p * q + 1.0F / 3;
  return 2.0F * z * (p * q + 1.0F);
}

void sum_softplus(const float* s, std::int64_t count, float inverse_temperature,
                  NegativeSums& sums) {
  VecF sum{};
  for_each_vector(
      count, [&](std::int64_t j, std::int64_t lanes) __attribute__((always_inline)) {
        // Lanes past the end add ln(1 + exp(-infinity)), which is 0 but for exp_of()'s floor.
        const VecF x = load_lanes(s + j, lanes, -1.0e30F) * inverse_temperature;
        const VecF above = x < 0.0F ? VecF{} : x;
        sum += above + log1p_of(exp_of(x > 0.0F ? -x : x));
      });
  sums.sum += sum_of(sum);
}

void sum_beyond_margin(const float* s, std::int64_t count, float limit, NegativeSums& sums) {
  VecF sum{};
  VecF active{};
  for_each_vector(
      count, [&](std::int64_t j, std::int64_t lanes) __attribute__((always_inline)) {
        const VecF value = load_lanes(s + j, lanes, -__builtin_huge_valf());
        const VecF beyond = value - limit;
        sum += value > limit ? beyond : VecF{};
        active += value > limit ? VecF{} + 1.0F : VecF{};
      });
  sums.sum += sum_of(sum);
  sums.count += static_cast<std::int64_t>(sum_of(active));
}

void nearest_negative(const float* s, std::int64_t count, float below, float above,
                      std::int64_t first_column, NearestNegative& nearest) {
  const float lowest = -__builtin_huge_valf();
  VecF largest = VecF{} + lowest;
  for_each_vector(
      count, [&](std::int64_t j, std::int64_t lanes) __attribute__((always_inline)) {
        VecF value = load_lanes(s + j, lanes, lowest);
        value = value < below ? value : VecF{} + lowest;
        value = value > above ? value : VecF{} + lowest;
        largest = value > largest ? value : largest;
      });
  float found = lowest;
  for (int lane = 0; lane < kWidth; ++lane) found = largest[lane] > found ? largest[lane] : found;
  if (!(found > nearest.similarity)) return;
  nearest.similarity = found;
  for (std::int64_t j = 0; j < count; ++j) {
    if (s[j] != found) continue;
    nearest.column = first_column + j;
    return;
  }
}

void sum_positives(const float* s, const std::int32_t* ids, std::int64_t count, std::int32_t id,
                   PositiveSums& sums) {
  double sum = 0;
  std::int64_t found = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    if (ids[j] != id) continue;
    sum += static_cast<double>(s[j]);
    ++found;
  }
  sums.sum += sum;
  sums.count += found;
}

void sigmoid_weights(float* s, std::int64_t count, float inverse_temperature, float weight) {
  for_each_vector(
      count, [&](std::int64_t j, std::int64_t lanes) __attribute__((always_inline)) {
        const VecF x = load_lanes(s + j, lanes, 0) * -inverse_temperature;
        store_lanes(s + j, lanes, weight / (1.0F + exp_of(x > 87.0F ? VecF{} + 87.0F : x)));
      });
}

void margin_weights(float* s, std::int64_t count, float margin, float weight, float positive,
                    const float* positive_of) {
  const float limit = positive - margin;
  for_each_vector(
      count, [&](std::int64_t j, std::int64_t lanes) __attribute__((always_inline)) {
        const VecF value = load_lanes(s + j, lanes, 0);
        const VecF limit_of = load_lanes(positive_of + j, lanes, 0) - margin;
        const VecF own = value > limit ? VecF{} + weight : VecF{};
        const VecF other = value > limit_of ? VecF{} + weight : VecF{};
        // 0 for every number: NaN stays NaN.
        store_lanes(s + j, lanes, own + other + (value - value));
      });
}

void attract_positives(float* s, const std::int32_t* ids, std::int64_t count, std::int32_t id,
                       float share, const float* share_of) {
  for (std::int64_t j = 0; j < count; ++j) s[j] -= ids[j] == id ? share + share_of[j] : 0.0F;
}

double exp_row(const float* x, std::int64_t count, float shift, float* exponential) {
  double sum = 0;
  for_each_vector(
      count, [&](std::int64_t j, std::int64_t lanes) __attribute__((always_inline)) {
        const VecF e = exp_of(load_lanes(x + j, lanes, -__builtin_huge_valf()) - shift);
        store_lanes(exponential + j, lanes, e);
        for (std::int64_t lane = 0; lane < lanes; ++lane) sum += static_cast<double>(e[lane]);
      });
  return sum;
}

}  // namespace

void fill_loss(Table& table) {
  table.loss = {.accumulate_row = accumulate_row,
                .pair_weights = pair_weights,
                .sum_softplus = sum_softplus,
                .sum_beyond_margin = sum_beyond_margin,
                .nearest_negative = nearest_negative,
                .sum_positives = sum_positives,
                .sigmoid_weights = sigmoid_weights,
                .margin_weights = margin_weights,
                .attract_positives = attract_positives,
                .exp_row = exp_row};
}

}  // namespace simclr::SIMCLR_ISA
