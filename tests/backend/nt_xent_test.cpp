// NT-Xent: what the table of op cases does not show.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "backend/on_each_backend.hpp"
#include "reference/run.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr::testing {
namespace {

using Rows = std::vector<std::vector<float>>;  // embeddings, a row a view

struct LossTensors {
  TensorId u, u_all, lse, lse_all, sums, du;
};

struct LossOptions {
  float temperature = 0.1F;
  DType similarity = DType::f32;
};

/// Both ops of one rank's loss; lse_all is an input as it comes from other ranks.
std::pair<Program, LossTensors> loss_program(std::int64_t views, std::int64_t all,
                                             std::int64_t dimensions, const LossOptions& options,
                                             int rank) {
  Recorder r;
  const LossTensors t{.u = r.tensor("u", {views, dimensions}, DType::f32, Storage::input),
                      .u_all = r.tensor("u_all", {all, dimensions}, DType::f32, Storage::input),
                      .lse = r.tensor("lse", {views}, DType::f32, Storage::output),
                      .lse_all = r.tensor("lse_all", {all}, DType::f32, Storage::input),
                      .sums = r.tensor("sums", {3}, DType::f64, Storage::output),
                      .du = r.tensor("du", {views, dimensions}, DType::f32, Storage::output)};
  r.emit(ContrastiveForward{.u = t.u,
                            .u_all = t.u_all,
                            .statistic = t.lse,
                            .sums = t.sums,
                            .loss = {.temperature = options.temperature},
                            .rank = rank,
                            .similarity = options.similarity});
  r.emit(ContrastiveBackward{.u = t.u,
                             .u_all = t.u_all,
                             .statistic_all = t.lse_all,
                             .du = t.du,
                             .loss = {.temperature = options.temperature},
                             .rank = rank,
                             .similarity = options.similarity});
  return {r.finish(), t};
}

std::vector<float> flatten(const Rows& rows) {
  std::vector<float> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

struct LossResult {
  std::vector<double> sums;
  std::vector<float> lse, du;
};

/// The loss of all ranks: each on its own block of rows, lse exchanged by hand.
std::vector<LossResult> run_ranks(Backend& backend, const Rows& u, int ranks,
                                  const LossOptions& options) {
  const auto all = static_cast<std::int64_t>(u.size());
  const auto dimensions = static_cast<std::int64_t>(u.front().size());
  const std::int64_t views = all / ranks;
  const std::vector<float> flat = flatten(u);
  std::vector<std::unique_ptr<Executor>> executors;
  std::vector<LossResult> results(static_cast<std::size_t>(ranks));
  std::vector<float> lse_all;
  LossTensors t;
  for (int rank = 0; rank < ranks; ++rank) {
    auto [program, tensors] = loss_program(views, all, dimensions, options, rank);
    t = tensors;
    auto& executor =
        *executors.emplace_back(std::make_unique<Executor>(program, backend, Communicators{}));
    const auto block = static_cast<std::size_t>(views * dimensions);
    executor.upload(t.u_all, const_buffer_span(std::span(flat)));
    executor.upload(t.u, const_buffer_span(std::span(flat).subspan(
                             static_cast<std::size_t>(rank) * block, block)));
    executor.run(0, 1);
    LossResult& result = results[static_cast<std::size_t>(rank)];
    result.sums.resize(3);
    executor.download(t.sums, buffer_span(std::span(result.sums)));
    result.lse = executor.values(t.lse);
    lse_all.insert(lse_all.end(), result.lse.begin(), result.lse.end());
  }
  for (std::size_t rank = 0; rank < executors.size(); ++rank) {
    executors[rank]->upload(t.lse_all, const_buffer_span(std::span<const float>(lse_all)));
    executors[rank]->run(1, 2);
    results[rank].du = executors[rank]->values(t.du);
  }
  return results;
}

Rows random_rows(std::size_t views, std::size_t dimensions) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  Rows rows(views, std::vector<float>(dimensions));
  for (auto& row : rows) {
    for (float& value : row) value = normal(random);
    const float norm = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0F));
    for (float& value : row) value /= norm;
  }
  return rows;
}

/// The loss sums in double, by the reference.
std::vector<double> reference_sums(const Rows& u, float temperature) {
  const auto views = static_cast<std::int64_t>(u.size());
  const auto [program, t] =
      loss_program(views, views, static_cast<std::int64_t>(u[0].size()), {temperature}, 0);
  reference::Memory<double> memory(program);
  const std::vector<float> flat = flatten(u);
  std::ranges::copy(flat, memory[t.u].flat().begin());
  std::ranges::copy(flat, memory[t.u_all].flat().begin());
  reference::run(memory, 0, 1);
  const auto sums = memory[t.sums].flat();
  return {sums.begin(), sums.end()};
}

class NtXent : public OnEachBackend {
 protected:
  Backend& backend() { return *backend_; }
  LossResult run_one(const Rows& u, const LossOptions& options) {
    return run_ranks(*backend_, u, 1, options)[0];
  }
};

TEST_P(NtXent, IsTheLogarithmOfTheOthersForRandomEmbeddings) {
  const LossResult result = run_one(random_rows(600, 128), {0.5F});
  EXPECT_NEAR(result.sums[0] / 600, std::log(599.0), 0.05);
  EXPECT_NEAR(result.sums[2] / 600, std::log(599.0), 0.05);
  EXPECT_LT(result.sums[1] / 600, 0.02);
}

TEST_P(NtXent, IsExactForEqualEmbeddings) {
  const Rows equal(48, random_rows(1, 32)[0]);
  for (const DType similarity : under_test().activations) {
    const LossResult result = run_one(equal, {0.1F, similarity});
    EXPECT_NEAR(result.sums[0] / 48, std::log(47.0), 1e-6) << name_of(similarity);
    EXPECT_NEAR(result.sums[2] / 48, std::log(47.0), 1e-6) << name_of(similarity);
    EXPECT_EQ(result.sums[1], 0) << "a partner that ties with another view is not found";
  }
}

// Samples [0, 300) and their copies [300, 600): the partners of a sample and of its copy tie, far
// apart among the columns. The last sample has no copy.
TEST_P(NtXent, DoesNotCountATieAsFound) {
  constexpr std::size_t kPairs = 300;
  constexpr std::size_t kSamples = 2 * kPairs + 1;
  const Rows different = random_rows(kPairs + 1, 64);
  Rows u(2 * kSamples);
  for (std::size_t i = 0; i < 2 * kSamples; ++i) {
    const std::size_t sample = i % kSamples;
    u[i] = different[sample < 2 * kPairs ? sample % kPairs : kPairs];
  }
  for (const DType similarity : under_test().activations) {
    EXPECT_EQ(run_one(u, {0.1F, similarity}).sums[1], 2) << name_of(similarity);
  }
  EXPECT_EQ(reference_sums(u, 0.1F)[1], 2);
}

TEST_P(NtXent, VanishesForOnePairAlone) {
  const LossResult result = run_one(random_rows(2, 16), {0.5F});
  EXPECT_NEAR(result.sums[0], 0, 1e-6);
  EXPECT_EQ(result.sums[1], 2);
  for (const float value : result.du) EXPECT_LE(std::abs(value), 1e-6F);
}

TEST_P(NtXent, FindsThePartnerAmongOrthogonalOthers) {
  constexpr std::size_t kSamples = 20;
  Rows u(2 * kSamples, std::vector<float>(kSamples));
  for (std::size_t i = 0; i < 2 * kSamples; ++i) u[i][i % kSamples] = 1;
  const double loss = std::log(std::exp(4.0) + 2 * kSamples - 2) - 4;
  for (const DType similarity : under_test().activations) {
    const LossResult result = run_one(u, {0.25F, similarity});
    EXPECT_NEAR(result.sums[0] / (2 * kSamples), loss, 1e-6) << name_of(similarity);
    EXPECT_EQ(result.sums[1], 2 * kSamples) << name_of(similarity);
  }
}

TEST_P(NtXent, IsAccurateAtAnyTemperature) {
  const Rows u = random_rows(700, 24);
  for (const auto& [temperature, tolerance] :
       {std::pair{0.01F, 1e-6}, std::pair{0.1F, 2e-7}, std::pair{100.0F, 2e-7}}) {
    const LossResult result = run_one(u, {temperature});
    const std::vector<double> wanted = reference_sums(u, temperature);
    EXPECT_LE(std::abs(result.sums[0] / wanted[0] - 1), tolerance) << temperature;
    EXPECT_LE(std::abs(result.sums[2] / wanted[2] - 1), 10 * tolerance) << temperature;
    EXPECT_EQ(result.sums[1], wanted[1]) << temperature;
  }
}

// Samples [0, n) of four ranks, their first and second views rank by rank, against the same samples
// on one rank with all first views in front of all second views.
TEST_P(NtXent, DoesNotDependOnTheNumberOfRanks) {
  constexpr std::size_t kRanks = 4;
  constexpr std::size_t kLocal = 37;
  constexpr std::size_t kSamples = kRanks * kLocal;
  constexpr std::size_t kDimensions = 40;
  const Rows whole = random_rows(2 * kSamples, kDimensions);
  const auto row_of = [](std::size_t rank, std::size_t local) {
    return local / kLocal * kSamples + rank * kLocal + local % kLocal;
  };
  Rows blocks;
  for (std::size_t rank = 0; rank < kRanks; ++rank) {
    for (std::size_t i = 0; i < 2 * kLocal; ++i) blocks.push_back(whole[row_of(rank, i)]);
  }
  const LossResult wanted = run_one(whole, {0.1F});
  const std::vector<LossResult> got = run_ranks(backend(), blocks, kRanks, {0.1F});
  const float largest = *std::ranges::max_element(wanted.du);
  double loss = 0;
  double hits = 0;
  for (std::size_t rank = 0; rank < kRanks; ++rank) {
    loss += got[rank].sums[0];
    hits += got[rank].sums[1];
    for (std::size_t i = 0; i < 2 * kLocal; ++i) {
      for (std::size_t d = 0; d < kDimensions; ++d) {
        const float difference =
            got[rank].du[i * kDimensions + d] - wanted.du[row_of(rank, i) * kDimensions + d];
        ASSERT_LE(std::abs(difference), 2e-6F * largest) << rank << " " << i << " " << d;
      }
    }
  }
  EXPECT_LE(std::abs(loss / wanted.sums[0] - 1), 1e-7);
  EXPECT_EQ(hits, wanted.sums[1]);
}

TEST_P(NtXent, DoesNotHideNaN) {
  Rows u = random_rows(100, 16);
  u[63][5] = std::numeric_limits<float>::quiet_NaN();
  for (const DType similarity : under_test().activations) {
    const LossResult result = run_one(u, {0.5F, similarity});
    EXPECT_TRUE(std::isnan(result.sums[0])) << name_of(similarity);
    EXPECT_TRUE(std::isnan(result.du[0])) << name_of(similarity);
  }
}

double half_unit_in_the_last_place(DType dtype) {
  return dtype == DType::bf16 ? 0x1p-9 : dtype == DType::f16 ? 0x1p-12 : 0x1p-24;
}

// Elements rounded in 16 bits shift a similarity by at most half a unit in the last place twice
// over (and by far less where the shifts cancel), its exponential 1/T times as much.
TEST_P(NtXent, ComesCloseIn16Bits) {
  constexpr float kTemperature = 0.1F;
  const Rows u = random_rows(140, 96);
  const LossResult wanted = run_one(u, {kTemperature, DType::f32});
  const float largest = *std::ranges::max_element(wanted.du);
  for (const DType similarity : under_test().activations) {
    const double error = 2 * half_unit_in_the_last_place(similarity) / double{kTemperature};
    const LossResult got = run_one(u, {kTemperature, similarity});
    EXPECT_NEAR(got.sums[0] / 140, wanted.sums[0] / 140, 0.5 * error) << name_of(similarity);
    EXPECT_NEAR(got.sums[2] / 140, wanted.sums[2] / 140, 0.5 * error) << name_of(similarity);
    for (std::size_t i = 0; i < got.du.size(); ++i) {
      ASSERT_LE(std::abs(got.du[i] - wanted.du[i]), error * largest)
          << name_of(similarity) << " " << i;
    }
  }
}

TEST_P(NtXent, NeverMaterialisesTheSimilarities) {
  for (const DType similarity : under_test().activations) {
    const auto [program, t] = loss_program(16384, 16384, 128, {0.1F, similarity}, 0);
    EXPECT_LE(workspace_bytes(program, backend()), std::size_t{24} << 20);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, NtXent, each_backend(), name_of_backend);

}  // namespace
}  // namespace simclr::testing
