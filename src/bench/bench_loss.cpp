// Measures a contrastive loss at several batch sizes, forward and backward, beside a plain matrix
// product.

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "measurement.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/core/options.hpp"
#include "simclr/core/pseudo_random.hpp"
#include "simclr/program/recorder.hpp"
#include "simclr/train/device.hpp"
#include "simclr/train/loss_options.hpp"
#include "simclr/train/system_info.hpp"
#include "simclr/train/task.hpp"

namespace simclr {

namespace {

struct BenchConfig : LossOptions {
  std::vector<std::int64_t> views = {512, 2048, 8192, 16384};
  std::int64_t embedding_dim = 128;
  DeviceOptions device;
  int repeats = 3;
};

bool parse(BenchConfig& config, const std::vector<std::string>& arguments, Communicator& world) {
  Options options("bench loss",
                  "a contrastive loss, forward and backward, beside a matrix product's rate", {});
  options.group("problem")
      .add("views", config.views, "batches to time: views of each, two for each image")
      .range(at_least(2).multiples_of(2))
      .add("embedding-dim", config.embedding_dim, "dimension of an embedding")
      .range(at_least(1));
  declare_loss(options, config);
  options.group("device");
  declare_device_options(options, config.device);
  options.group("measurement")
      .add("repeats", config.repeats, "runs of each batch, whose median is reported")
      .range(at_least(1))
      .example("simclr bench loss --views 512,8192");
  if (!parse_on_all_ranks(options, arguments, world)) return false;
  for (const std::int64_t views : config.views) {
    if (config.loss != LossKind::dcl || contrastive_loss(config).negative_count(views) > 0)
      continue;
    refuse("option --views: dcl needs negatives, which {} views do not have; give 4 or more",
           views);
  }
  return true;
}

/// Returns the median time of ops [begin, end) in seconds.
double time_of(int repeats, Executor& executor, std::size_t begin, std::size_t end) {
  const auto run = [&] {
    executor.run(begin, end);
    executor.wait();
  };
  return median_of(repeats, [&] { return seconds_of(run); });
}

/// Measures a 2048 x 2048 x 2048 matrix product of the backend, in GFLOP/s.
double matrix_product_gflops(Backend& backend, int repeats) {
  constexpr std::int64_t kSize = 2048;
  const Shape square{kSize, kSize};
  Recorder r;
  const TensorId x = r.tensor("x", square, DType::f32, Storage::input);
  const TensorId w = r.parameter("w", square, {}, true);
  r.emit(MatMul{.x = x, .w = w, .bias = {}, .y = r.tensor("y", square, DType::f32)});
  Executor executor(r.finish(), backend, {});
  const std::vector<float> values = pseudo_random(kSize * kSize);
  executor.upload(x, const_buffer_span(std::span(values)));
  executor.set_flat(Storage::parameters, values);
  executor.run(0, 1);
  const double seconds = time_of(repeats, executor, 0, 1);
  return 2.0 * kSize * kSize * kSize / seconds * 1e-9;
}

/// Records three ops: normalize, loss forward, loss backward. With supcon ten classes of labels.
Program record_loss(const BenchConfig& config, std::int64_t views, DType similarity) {
  const ContrastiveLoss loss = contrastive_loss(config);
  const Shape shape{views, config.embedding_dim};
  Recorder r;
  const TensorId z = r.named("z", shape, DType::f32, Storage::input);
  std::optional<TensorId> labels;
  if (loss.kind == LossKind::supcon) {
    labels = r.named("labels", {views / 2}, DType::i32, Storage::input);
  }
  const auto of_each_view = [&](bool exists, const char* name) {
    return exists ? std::optional(r.tensor(name, {views}, DType::f32)) : std::nullopt;
  };
  const std::optional<TensorId> statistic = of_each_view(loss.has_statistic(), "statistic");
  const std::optional<TensorId> second = of_each_view(loss.has_second(), "second");
  const TensorId u = r.tensor("u", shape, DType::f32);
  const TensorId inverse_norm = r.tensor("inverse_norm", {views}, DType::f32);
  const TensorId sums = r.named("sums", {loss.sum_count()}, DType::f64, Storage::output);
  const TensorId du = r.tensor("du", shape, DType::f32);
  r.emit(L2Normalize{.z = z, .u = u, .inverse_norm = inverse_norm});
  const TensorId compared = config.normalize == Switch::on ? u : z;
  r.emit(ContrastiveForward{.u = compared,
                            .u_all = compared,
                            .labels_all = labels,
                            .statistic = statistic,
                            .second = second,
                            .sums = sums,
                            .loss = loss,
                            .similarity = similarity});
  r.emit(ContrastiveBackward{.u = compared,
                             .u_all = compared,
                             .labels_all = labels,
                             .statistic_all = statistic,
                             .second_all = second,
                             .du = du,
                             .loss = loss,
                             .similarity = similarity});
  return r.finish();
}

void time_loss(const BenchConfig& config, Backend& backend, std::int64_t views, DType similarity,
               double gemm) {
  // Writes (poisons) every arena tensor first, so that later growth of the process is due to the
  // loss.
  Executor executor(record_loss(config, views, similarity), backend, {}, {.poison_arena = true});
  const std::vector<float> z = pseudo_random(views * config.embedding_dim);
  const Program& program = executor.program();
  executor.upload(program.at("z"), const_buffer_span(std::span(z)));
  if (config.loss == LossKind::supcon) {
    std::vector<std::int32_t> labels(static_cast<std::size_t>(views / 2));
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 10);
    executor.upload(program.at("labels"), const_buffer_span(std::span<const std::int32_t>(labels)));
  }
  executor.run(0, 1);
  const double before = peak_memory_bytes();
  executor.run(1, 3);
  executor.wait();
  const double grown = 1e-6 * (peak_memory_bytes() - before);

  const double forward = time_of(config.repeats, executor, 1, 2);
  const double backward = time_of(config.repeats, executor, 2, 3);
  const Objective objective = contrastive_objective(
      contrastive_loss(config), config.normalize == Switch::on, views / 2, config.embedding_dim);
  // One product of views x views x dimensions forward, two backward.
  const double product = 2.0 * static_cast<double>(views) * static_cast<double>(views) *
                         static_cast<double>(config.embedding_dim) * 1e-9;
  const double rate = 3 * product / (forward + backward);
  const auto loss = executor.values(program.at("sums"))[0];
  fmt::print("{:>7} {:>11.3f} {:>11.3f} {:>9.1f} {:>8.0f}% {:>11.1f} {:>11.1f} {:>9.5f} {:>9.5f}\n",
             views, forward * 1e3, backward * 1e3, rate, 100 * rate / gemm,
             static_cast<double>(executor.memory().workspace_bytes) * 1e-6, grown,
             static_cast<double>(loss) / static_cast<double>(views),
             objective.levels ? objective.levels->guessing : 0);
}

}  // namespace

int run_bench_loss(const std::vector<std::string>& arguments, Communicator& world) {
  BenchConfig config;
  if (!parse(config, arguments, world)) return 0;
  validate_loss(config);
  const int threads = compute_threads(config.device, world);
  const auto backend = make_backend(config.device, threads, world);
  report_device(config.device, *backend);
  const MachineLimits limits = measure_limits(*backend, threads);
  const DType similarity = activation_type(resolve_precision(config.device, *backend));
  // With 16-bit embeddings a GPU multiplies plain nt-xent in 16 bits, a CPU and other losses in
  // f32.
  const bool in_16_bits = similarity != DType::f32 && backend->info().name == "cuda" &&
                          contrastive_loss(config).is_plain();
  const double gemm =
      in_16_bits ? limits.bf16_gflops.value() : matrix_product_gflops(*backend, config.repeats);
  fmt::print("{}\nGEMM: {:.1f} GFLOP/s, {}\n", limits.text(), gemm,
             in_16_bits ? "the limit above in 16 bits" : "2048 x 2048 x 2048 in f32");
  fmt::print("{}, {} dimensions, T = {}, {}\n", name_of(config.loss), config.embedding_dim,
             config.temperature, name_of(similarity));
  fmt::print("{:>7} {:>11} {:>11} {:>9} {:>9} {:>11} {:>11} {:>9} {:>9}\n", "views", "forward ms",
             "backward ms", "GFLOP/s", "of GEMM", "scratch MB", "grown MB", "loss", "chance");
  std::ranges::sort(config.views);
  for (const std::int64_t views : config.views)
    time_loss(config, *backend, views, similarity, gemm);
  return 0;
}

}  // namespace simclr
