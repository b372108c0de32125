#include "simclr/eval/quality.hpp"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "block_product.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

// ---- uniformity ----

/// Rows of a block: 16 MiB of features of ResNet-50, and as much of cosines.
constexpr std::int64_t kBlockRows = 2048;

Program record_cosines(std::int64_t rows, std::int64_t channels) {
  Recorder recorder;
  const Recorder::Frozen frozen(recorder);
  record_block_product(recorder, rows, rows, channels);
  return recorder.finish();
}

/// Multiplies blocks of at most B unit vectors with each other on a device.
class Cosines : public BlockProduct {
 public:
  Cosines(std::int64_t rows, std::int64_t channels, Backend& backend)
      : BlockProduct(record_cosines(rows, channels), backend) {}

  /// The products (B,B) of these rows with those of the bank.
  std::vector<float> with(std::span<const float> rows) {
    multiply(rows);
    return executor().values(executor().program().at("similarities"));
  }
};

/// How many rows and columns of a (B,B) block of cosines count.
struct Extent {
  std::int64_t rows = 0, columns = 0, stride = 0;
};

/// Sum of exp(-2 |a - b|^2) = exp(-4 (1 - cosine)); of a block with itself, over pairs i < j.
double sum_of_potentials(std::span<const float> cosines, const Extent& extent, bool with_itself) {
  double sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : sum)
  for (std::int64_t i = 0; i < extent.rows; ++i) {
    double row_sum = 0;
    for (std::int64_t j = with_itself ? i + 1 : 0; j < extent.columns; ++j) {
      row_sum +=
          std::exp(4 * (double{cosines[static_cast<std::size_t>(i * extent.stride + j)]} - 1));
    }
    sum += row_sum;
  }
  return sum;
}

std::int64_t blocks_of(std::int64_t rows, std::int64_t block) { return (rows + block - 1) / block; }

// ---- rank ----

using Gram = Eigen::MatrixXd;

/// The products of all channels with each other (d,d), over this rank's rows.
Gram products_of(const LabeledFeatures& features) {
  constexpr std::int64_t kRows = 1024;
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Gram gram = Gram::Zero(features.channels, features.channels);
  for (std::int64_t first = 0; first < features.rows(); first += kRows) {
    const std::int64_t count = std::min(kRows, features.rows() - first);
    const auto values = rows_of(features.values, first, count, features.channels);
    const Gram rows =
        Eigen::Map<const Rows>(values.data(), count, features.channels).cast<double>();
    gram.noalias() += rows.transpose() * rows;
    activity().move();
  }
  return gram;
}

/// `samples`: rows of the feature matrix. Only that many eigenvalues differ from 0, and rounding
/// must not count the others.
double effective_rank(const Gram& gram, std::int64_t samples) {
  constexpr double kEpsilon = 1e-7;
  const Eigen::VectorXd eigenvalues =
      Eigen::SelfAdjointEigenSolver<Gram>(gram, Eigen::EigenvaluesOnly).eigenvalues();
  const auto count = std::min<std::int64_t>(eigenvalues.size(), samples);
  const Eigen::VectorXd singular = eigenvalues.tail(count).cwiseMax(0).cwiseSqrt();  // ascending
  const double sum = singular.sum();
  if (!(sum > 0)) return 0;
  double entropy = 0;
  for (const double value : singular) {
    const double p = value / sum + kEpsilon;
    entropy -= p * std::log(p);
  }
  return std::exp(entropy);
}

// ---- alignment ----

/// Repeats samples from the first on, so that batches of `batch` have no rest.
std::unique_ptr<SampleStore> padded(std::unique_ptr<SampleStore> store, std::int64_t batch) {
  const std::int64_t samples = store->info().samples;
  std::vector<std::int64_t> order(static_cast<std::size_t>(blocks_of(samples, batch) * batch));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i) % samples;
  std::vector<std::int64_t> labels(order.size(), -1);
  return make_subset_store(std::move(store), {std::move(order), std::move(labels)});
}

/// |u - u'|^2 of two rows after normalization.
double squared_distance(std::span<const float> a, std::span<const float> b) {
  double aa = 0, bb = 0;
  for (std::size_t c = 0; c < a.size(); ++c) {
    aa += double{a[c]} * a[c];
    bb += double{b[c]} * b[c];
  }
  const double scale_a = inverse_norm(aa), scale_b = inverse_norm(bb);
  double sum = 0;
  for (std::size_t c = 0; c < a.size(); ++c) {
    const double difference = a[c] * scale_a - b[c] * scale_b;
    sum += difference * difference;
  }
  return sum;
}

}  // namespace

double feature_std(const LabeledFeatures& features, Communicator& world) {
  const std::vector<float> unit = normalized_rows(features);
  const auto channels = static_cast<std::size_t>(features.channels);
  const auto samples = static_cast<double>(sum_over_ranks(world, features.rows()));
  std::vector<double> mean(channels), square(channels);
  for (std::size_t i = 0; i < unit.size(); ++i) mean[i % channels] += unit[i];
  sum_over_ranks(world, mean);
  for (double& value : mean) value /= samples;
  for (std::size_t i = 0; i < unit.size(); ++i) {
    const double difference = unit[i] - mean[i % channels];
    square[i % channels] += difference * difference;
  }
  sum_over_ranks(world, square);
  double sum = 0;
  for (const double value : square) sum += std::sqrt(value / samples);
  return sum / static_cast<double>(channels);
}

// The ranks take turns to broadcast their rows, block by block. Blocks are numbered through all
// ranks; of the blocks I < J, the holder of I multiplies the pair when J is broadcast if I + J is
// even, and else the holder of J when I is: in every turn, all ranks do about half of their blocks.
double uniformity(const LabeledFeatures& features, Backend& backend, Communicator& world) {
  const std::int64_t channels = features.channels;
  const std::vector<float> unit = normalized_rows(features);
  const std::vector<std::int64_t> rows = rows_of_ranks(world, features.rows());
  const std::int64_t block = std::min(kBlockRows, std::ranges::max(rows));
  std::int64_t samples = 0, first_own = 0;
  for (int rank = 0; rank < world.size(); ++rank) {
    const std::int64_t count = rows[static_cast<std::size_t>(rank)];
    samples += count;
    if (rank < world.rank()) first_own += blocks_of(count, block);
  }
  require(samples >= 2, "uniformity compares two samples or more");

  Cosines cosines(block, channels, backend);
  double sum = 0;
  std::int64_t turn = 0;  // number of the block that is broadcast
  for (int owner = 0; owner < world.size(); ++owner) {
    for (std::int64_t first = 0; first < rows[static_cast<std::size_t>(owner)];
         first += block, ++turn) {
      const std::int64_t columns = std::min(block, rows[static_cast<std::size_t>(owner)] - first);
      std::vector<float> shared;
      if (owner == world.rank()) {
        const auto own = rows_of(unit, first, columns, channels);
        shared.assign(own.begin(), own.end());
      }
      shared = broadcast_list(world, std::move(shared), owner);
      cosines.set_bank(shared);
      for (std::int64_t own = 0, number = first_own; own < features.rows();
           own += block, ++number) {
        const bool even = (number + turn) % 2 == 0;
        if (number != turn && even != (number < turn)) continue;
        const std::int64_t count = std::min(block, features.rows() - own);
        sum +=
            sum_of_potentials(cosines.with(rows_of(unit, own, count, channels)),
                              {.rows = count, .columns = columns, .stride = block}, number == turn);
        activity().move();
      }
    }
  }
  sum_over_ranks(world, std::span(&sum, 1));
  const double pairs = static_cast<double>(samples) * static_cast<double>(samples - 1) / 2;
  return std::log(sum / pairs);
}

double rank_me(const LabeledFeatures& features, Communicator& world) {
  const std::int64_t samples = sum_over_ranks(world, features.rows());
  Gram gram = products_of(features);
  sum_over_ranks(world, std::span(gram.data(), static_cast<std::size_t>(gram.size())));
  double rank = 0;
  on_root(world, [&] { rank = effective_rank(gram, samples); });
  return broadcast_value(world, rank);
}

double alignment(const FrozenEncoder& encoder, std::unique_ptr<SampleStore> store,
                 const AlignmentConfig& config, Backend& backend, Communicator& world) {
  const std::int64_t samples = store->info().samples;
  const std::int64_t batch = std::min(config.batch_size, blocks_of(samples, world.size()));
  const std::int64_t global_batch = batch * world.size();
  const auto views_of = padded(std::move(store), global_batch);
  Executor executor = make_feature_executor(encoder,
                                            {.batch_size = 2 * batch,
                                             .activations = config.activations,
                                             .with_head = true,
                                             .threads = config.threads},
                                            backend);
  const Program& program = executor.program();
  const std::int64_t steps = blocks_of(samples, global_batch);
  TrainingLoader loader(*views_of, {.augmentation = config.augmentation,
                                    .seed = config.seed,
                                    .shuffle = Shuffle::off,
                                    .batch_size = global_batch,
                                    .view_type = config.activations,
                                    .rank = world.rank(),
                                    .world_size = world.size(),
                                    .threads = config.threads,
                                    .end_step = steps});
  const std::int64_t width = program.info(program.at("z")).shape[-1];
  double sum = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    const ViewBatch& views = loader.next();
    executor.upload(program.at("views"), views.views.span());
    executor.run_forward();
    const auto z = executor.values(program.at("z"));
    for (std::int64_t i = 0; i < batch; ++i) {
      if (views.sample_index[static_cast<std::size_t>(i)] >= samples) continue;  // repeated
      sum += squared_distance(rows_of(z, i, 1, width), rows_of(z, batch + i, 1, width));
    }
  }
  sum_over_ranks(world, std::span(&sum, 1));
  if (!std::isfinite(sum)) {
    fail(
        "{}: the encoder gives non-finite embeddings of training views; evaluate an earlier "
        "checkpoint",
        encoder.file().string());
  }
  return sum / static_cast<double>(samples);
}

}  // namespace simclr
