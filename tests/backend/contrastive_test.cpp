// The family of contrastive losses against the literal formula in double, on several ranks.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <random>

#include "backend/on_each_backend.hpp"
#include "reference/run.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/program/planner.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr::testing {
namespace {

/// 256 times embeddings and margins are whole numbers here: similarities are exact on every
/// processor, so that comparisons of them, ties included, come out as in the reference.
constexpr float kUnit = 1.0F / 256;

std::vector<ContrastiveLoss> family() {
  std::vector<ContrastiveLoss> all{{.kind = LossKind::supcon}};
  for (const Negatives negatives : {Negatives::both, Negatives::one}) {
    for (const LossKind kind : {LossKind::nt_xent, LossKind::dcl}) {
      all.push_back({.kind = kind, .negatives = negatives});
    }
    for (const auto& [kind, margin] :
         {std::pair{LossKind::nt_logistic, 0.0F}, std::pair{LossKind::margin, 0.375F}}) {
      const ContrastiveLoss plain{.kind = kind, .negatives = negatives, .margin = margin};
      all.push_back(plain);
      all.push_back(plain);
      all.back().weight = NegativeWeight::sum;
      all.push_back(plain);
      all.back().semi_hard = true;
    }
  }
  return all;
}

std::string text(const ContrastiveLoss& loss) {
  return fmt::format("kind {}, {} views' negatives, semi-hard {}, weight {}, T = {}",
                     static_cast<int>(loss.kind), loss.negatives == Negatives::both ? 2 : 1,
                     loss.semi_hard, static_cast<int>(loss.weight), loss.temperature);
}

struct Batch {
  std::int64_t samples = 0, dimensions = 0;
  int ranks = 1;
  std::vector<float> u;  ///< (2N, D)
  std::vector<std::int32_t> labels;

  [[nodiscard]] std::int64_t views() const { return 2 * samples; }
  [[nodiscard]] std::int64_t local_views() const { return views() / ranks; }
};

/// Rows of about unit length; every fifth sample has no label.
Batch random_batch(std::int64_t samples, std::int64_t dimensions, int ranks) {
  Batch batch{.samples = samples, .dimensions = dimensions, .ranks = ranks, .u = {}, .labels = {}};
  std::mt19937 random(static_cast<unsigned>(11 * samples + ranks));
  const int largest = static_cast<int>(256 * std::sqrt(3.0 / static_cast<double>(dimensions)));
  for (std::int64_t i = 0; i < batch.views() * dimensions; ++i) {
    const auto value = static_cast<int>(random() % static_cast<unsigned>(2 * largest + 1));
    batch.u.push_back(kUnit * static_cast<float>(value - largest));
  }
  for (std::int64_t i = 0; i < samples; ++i) {
    batch.labels.push_back(i % 5 == 4 ? -1 : static_cast<std::int32_t>(i % 3));
  }
  return batch;
}

struct Tensors {
  TensorId u, u_all, sums, control, du;
  std::optional<TensorId> labels_all, statistic, second, statistic_all, second_all;
};

std::pair<Program, Tensors> record(const ContrastiveLoss& loss, std::int64_t local,
                                   std::int64_t all, std::int64_t dimensions, int rank,
                                   DType similarity = DType::f32) {
  Recorder r;
  const auto optional = [&](bool exists, const char* name, std::int64_t rows, DType dtype,
                            Storage storage) {
    return exists ? std::optional(r.tensor(name, {rows}, dtype, storage)) : std::nullopt;
  };
  const bool has_statistic = loss.has_statistic();
  const bool has_second = loss.has_second();
  const Tensors t{
      .u = r.tensor("u", {local, dimensions}, DType::f32, Storage::input),
      .u_all = r.tensor("u_all", {all, dimensions}, DType::f32, Storage::input),
      .sums = r.tensor("sums", {loss.sum_count()}, DType::f64, Storage::output),
      .control = r.tensor("control", {4}, DType::f32, Storage::control),
      .du = r.tensor("du", {local, dimensions}, DType::f32, Storage::output),
      .labels_all = optional(loss.kind == LossKind::supcon, "labels_all", all / 2, DType::i32,
                             Storage::input),
      .statistic = optional(has_statistic, "statistic", local, DType::f32, Storage::output),
      .second = optional(has_second, "second", local, DType::f32, Storage::output),
      .statistic_all = optional(has_statistic, "statistic_all", all, DType::f32, Storage::input),
      .second_all = optional(has_second, "second_all", all, DType::f32, Storage::input)};
  r.emit(ContrastiveForward{.u = t.u,
                            .u_all = t.u_all,
                            .labels_all = t.labels_all,
                            .statistic = t.statistic,
                            .second = t.second,
                            .sums = t.sums,
                            .loss = loss,
                            .rank = rank,
                            .similarity = similarity});
  r.emit(ContrastiveBackward{.u = t.u,
                             .u_all = t.u_all,
                             .labels_all = t.labels_all,
                             .statistic_all = t.statistic_all,
                             .second_all = t.second_all,
                             .control = t.control,
                             .du = t.du,
                             .loss = loss,
                             .rank = rank,
                             .similarity = similarity});
  return {r.finish(), t};
}

struct Result {
  std::vector<double> sums;  ///< over all ranks
  std::vector<double> du;    ///< (2N, D)
};

/// Element 3 is the loss scale.
constexpr std::array<float, 4> kControl{0, 0, 0, 4};

Result run(Backend& backend, const ContrastiveLoss& loss, const Batch& batch,
           DType similarity = DType::f32) {
  Result result{.sums = std::vector<double>(static_cast<std::size_t>(loss.sum_count())), .du = {}};
  std::vector<std::unique_ptr<Executor>> executors;
  std::vector<float> statistic_all, second_all;
  Tensors t;
  const auto append = [](std::vector<float>& all, const std::vector<float>& part) {
    all.insert(all.end(), part.begin(), part.end());
  };
  const auto block = static_cast<std::size_t>(batch.local_views() * batch.dimensions);
  for (int rank = 0; rank < batch.ranks; ++rank) {
    auto [program, tensors] =
        record(loss, batch.local_views(), batch.views(), batch.dimensions, rank, similarity);
    t = tensors;
    auto& executor = *executors.emplace_back(std::make_unique<Executor>(
        program, backend, Communicators{}, ExecutorOptions{.poison_arena = true}));
    executor.upload(t.u_all, const_buffer_span(std::span(batch.u)));
    executor.upload(t.u, const_buffer_span(std::span(batch.u).subspan(
                             static_cast<std::size_t>(rank) * block, block)));
    executor.upload(t.control, const_buffer_span(std::span<const float>(kControl)));
    if (t.labels_all) {
      executor.upload(*t.labels_all, const_buffer_span(std::span(batch.labels)));
    }
    executor.run(0, 1);
    std::vector<double> sums(result.sums.size());
    executor.download(t.sums, buffer_span(std::span(sums)));
    for (std::size_t i = 0; i < sums.size(); ++i) result.sums[i] += sums[i];
    if (t.statistic) append(statistic_all, executor.values(*t.statistic));
    if (t.second) append(second_all, executor.values(*t.second));
  }
  for (const auto& executor : executors) {
    const auto upload = [&](const std::optional<TensorId>& id, const std::vector<float>& values) {
      if (id) executor->upload(*id, const_buffer_span(std::span(values)));
    };
    upload(t.statistic_all, statistic_all);
    upload(t.second_all, second_all);
    executor->run(1, 2);
    const std::vector<float> du = executor->values(t.du);
    result.du.insert(result.du.end(), du.begin(), du.end());
  }
  return result;
}

Result run_reference(const ContrastiveLoss& loss, const Batch& batch) {
  Result result{.sums = std::vector<double>(static_cast<std::size_t>(loss.sum_count())), .du = {}};
  const auto block = static_cast<std::size_t>(batch.local_views() * batch.dimensions);
  for (int rank = 0; rank < batch.ranks; ++rank) {
    const auto [program, t] =
        record(loss, batch.local_views(), batch.views(), batch.dimensions, rank);
    reference::Memory<double> memory(program);
    std::ranges::copy(batch.u, memory[t.u_all].flat().begin());
    std::ranges::copy(std::span(batch.u).subspan(static_cast<std::size_t>(rank) * block, block),
                      memory[t.u].flat().begin());
    std::ranges::copy(kControl, memory[t.control].flat().begin());
    if (t.labels_all) std::ranges::copy(batch.labels, memory[*t.labels_all].flat().begin());
    reference::run(memory, 0, 2);
    const auto sums = memory[t.sums].flat();
    for (std::size_t i = 0; i < result.sums.size(); ++i) result.sums[i] += sums[i];
    const auto du = memory[t.du].flat();
    result.du.insert(result.du.end(), du.begin(), du.end());
  }
  return result;
}

/// What the terms of a gradient are made of, which may cancel: d x / d s, over the M rows.
double gradient_unit(const ContrastiveLoss& loss, std::int64_t views) {
  const double slope = loss.kind == LossKind::margin ? 1 : 1 / double{loss.temperature};
  const bool sums_up = loss.weight == NegativeWeight::sum;
  return double{kControl[3]} * slope * static_cast<double>(sums_up ? views : 1) /
         static_cast<double>(views);
}

void expect_near(const Result& got, const Result& wanted, const ContrastiveLoss& loss,
                 std::int64_t views, const std::string& what) {
  ASSERT_EQ(got.du.size(), wanted.du.size());
  for (std::size_t i = 0; i < wanted.sums.size(); ++i) {
    const double tolerance = 2e-6 * std::max(1.0, std::abs(wanted.sums[i]));
    EXPECT_NEAR(got.sums[i], wanted.sums[i], tolerance) << what << ", sum " << i;
  }
  double largest = 0;
  for (const double value : wanted.du) largest = std::max(largest, std::abs(value));
  // f32 sums have an error in each similarity, and the exponents have 1/T times that error.
  const double tolerance =
      (2e-6 + 2e-7 / double{loss.temperature}) * largest + 1e-6 * gradient_unit(loss, views);
  for (std::size_t i = 0; i < wanted.du.size(); ++i) {
    ASSERT_NEAR(got.du[i], wanted.du[i], tolerance) << what << ", element " << i;
  }
}

class Contrastive : public OnEachBackend {
 protected:
  void compare(ContrastiveLoss loss, const Batch& batch) {
    if (loss.kind == LossKind::dcl && loss.negative_count(batch.views()) == 0) return;
    expect_near(run(*backend_, loss, batch), run_reference(loss, batch), loss, batch.views(),
                fmt::format("{}, N = {}, {} ranks", text(loss), batch.samples, batch.ranks));
  }
};

TEST_P(Contrastive, IsTheLiteralFormula) {
  for (ContrastiveLoss loss : family()) {
    for (const float temperature : {0.5F, 0.02F}) {
      loss.temperature = temperature;
      for (const std::int64_t samples : {1, 2, 7, 64}) compare(loss, random_batch(samples, 24, 1));
      for (const int ranks : {2, 4}) compare(loss, random_batch(64, 40, ranks));
    }
    loss.temperature = 0.5F;
    compare(loss, random_batch(2, 16, 2));
    compare(loss, random_batch(28, 130, 4));
  }
}

// As with --normalize off.
TEST_P(Contrastive, TakesEmbeddingsOfAnyLength) {
  Batch batch = random_batch(70, 24, 2);
  for (std::size_t i = 0; i < batch.u.size(); ++i) batch.u[i] *= i / 24 % 3 == 0 ? 8 : 2;
  for (ContrastiveLoss loss : family()) {
    loss.temperature = 10;
    compare(loss, batch);
  }
}

// Where embeddings are compared in 16 bits, it is those of plain nt-xent.
TEST_P(Contrastive, KeepsToF32) {
  const Batch batch = random_batch(40, 24, 1);
  for (const ContrastiveLoss& loss : family()) {
    if (loss.is_plain()) continue;
    const Result wanted = run(*backend_, loss, batch);
    for (const DType similarity : under_test().activations) {
      const Result got = run(*backend_, loss, batch, similarity);
      EXPECT_EQ(got.sums, wanted.sums) << text(loss) << " " << name_of(similarity);
      EXPECT_EQ(got.du, wanted.du) << text(loss) << " " << name_of(similarity);
    }
  }
}

// More than one block of columns, and a last block that is not full.
TEST_P(Contrastive, ReachesTheEdgesOfTiles) {
  for (const ContrastiveLoss& loss : family()) compare(loss, random_batch(269, 20, 1));
}

TEST_P(Contrastive, TreatsEqualEmbeddingsAsTies) {
  for (const ContrastiveLoss& loss : family()) {
    Batch batch = random_batch(21, 32, 1);
    for (std::size_t i = 0; i < batch.u.size(); ++i) batch.u[i] = batch.u[i % 32];
    compare(loss, batch);
  }
}

// When two negatives are equally similar, the nearest is the one in the lower column, at any
// distance.
TEST_P(Contrastive, ChoosesTheFirstOfEqualNegatives) {
  constexpr std::size_t kDimensions = 16;
  const Batch batch = random_batch(140, kDimensions, 1);
  for (const std::size_t copied : {std::size_t{1}, std::size_t{3}, std::size_t{70}}) {
    Batch copies = batch;
    for (std::size_t i = 0; i + copied < 280; ++i) {
      if (i / copied % 2 != 0) continue;
      const auto from = copies.u.begin() + static_cast<std::ptrdiff_t>(i * kDimensions);
      std::copy_n(from, kDimensions, from + static_cast<std::ptrdiff_t>(copied * kDimensions));
    }
    for (const ContrastiveLoss& loss : family()) {
      if (loss.semi_hard) compare(loss, copies);
    }
  }
}

TEST_P(Contrastive, HasItsChanceValueWhereAllSimilaritiesAreZero) {
  constexpr std::int64_t kSamples = 40;
  Batch batch = random_batch(kSamples, 16, 1);
  std::ranges::fill(batch.u, 0.0F);
  for (const ContrastiveLoss& loss : family()) {
    if (loss.semi_hard) continue;
    const auto negatives = static_cast<double>(loss.negative_count(2 * kSamples));
    const double weighted = loss.weight == NegativeWeight::sum ? negatives : 1;
    double chance = 0;
    switch (loss.kind) {
      case LossKind::nt_xent:
        chance = std::log(negatives + 1);
        break;
      case LossKind::dcl:
        chance = std::log(negatives);
        break;
      case LossKind::nt_logistic:
        chance = (1 + weighted) * std::numbers::ln2;
        break;
      case LossKind::margin:
        chance = weighted * static_cast<double>(loss.margin);
        break;
      case LossKind::supcon:
        chance = std::log(2.0 * kSamples - 1);
        break;
    }
    const Result result = run(*backend_, loss, batch);
    EXPECT_NEAR(result.sums[0] / (2 * kSamples), chance, 2e-6 * chance) << text(loss);
    for (const double value : result.du) EXPECT_EQ(value, 0) << text(loss);
  }
}

TEST_P(Contrastive, DoesNotHideNaN) {
  Batch batch = random_batch(32, 16, 1);
  batch.u[100] = std::numeric_limits<float>::quiet_NaN();
  for (const ContrastiveLoss& loss : family()) {
    EXPECT_TRUE(std::isnan(run(*backend_, loss, batch).sums[0])) << text(loss);
  }
}

TEST_P(Contrastive, NeverMaterializesTheSimilarities) {
  for (const ContrastiveLoss& loss : family()) {
    const auto [program, t] = record(loss, 16384, 16384, 128, 0);
    EXPECT_LE(workspace_bytes(program, *backend_), std::size_t{24} << 20) << text(loss);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Contrastive, each_backend(), name_of_backend);

}  // namespace
}  // namespace simclr::testing
