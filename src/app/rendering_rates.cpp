#include "rendering_rates.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <vector>

#include "median.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/backend/host_memory.hpp"
#include "synthetic_batches.hpp"

namespace simclr {
namespace {

/// Of one core: as many as fit into the caches' neighbourhood, as a loader thread makes their
/// views.
constexpr std::int64_t kSamples = 64;
/// What is spent before anything is timed, as a part of a repeat.
constexpr double kWarmUp = 0.1;

/// Processor time of this thread: what neighbours on the same core take is not counted.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <class Measure>
double median_of(int repeats, const Measure& measure) {
  std::vector<double> seconds;
  seconds.reserve(static_cast<std::size_t>(repeats));
  for (int i = 0; i < repeats; ++i) seconds.push_back(measure());
  return median(std::move(seconds));
}

/// `runs` calls of run(k), waited for together.
template <class Run>
double seconds_of(std::int64_t runs, Backend& backend, const Run& run) {
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t k = 0; k < runs; ++k) run(k);
  backend.wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Of one run.
template <class Run>
double median_seconds(const RenderingSetting& setting, Backend& backend, const Run& run) {
  std::int64_t runs = 1;
  double elapsed = seconds_of(runs, backend, run);
  while (elapsed < kWarmUp * setting.seconds) {
    runs *= 2;
    elapsed = seconds_of(runs, backend, run);
  }
  const double wanted = setting.seconds / elapsed * static_cast<double>(runs);
  runs = std::max<std::int64_t>(1, static_cast<std::int64_t>(wanted));
  return median_of(setting.repeats, [&] { return seconds_of(runs, backend, run); }) /
         static_cast<double>(runs);
}

}  // namespace

AugmentationWork mean_work(const RenderingSetting& setting) {
  constexpr int kCounted = 2000;
  const int side = setting.stored_side;
  AugmentationWork mean;
  for (int i = 0; i < kCounted; ++i) {
    const auto work = count_view_work(
        setting.config, sample_view_parameters(setting.config, {.sample = i}, side, side));
    mean.flops += work.flops / kCounted;
    mean.bytes += work.bytes / kCounted;
  }
  return mean;
}

double time_on_one_core(const RenderingSetting& setting) {
  const int side = setting.stored_side;
  const auto pixels = synthetic_pixels(kSamples, side);
  const std::int64_t image_bytes = std::int64_t{3} * side * side;
  Augmenter augmenter(setting.config);
  const auto view_side = static_cast<std::size_t>(setting.config.image_size);
  std::vector<float> view(view_side * view_side * 3);
  std::int64_t views = 0;
  const auto render_some = [&](double seconds) {
    const double start = thread_seconds();
    std::int64_t made = 0;
    double elapsed = 0;
    do {
      for (int i = 0; i < 8; ++i, ++made, ++views) {
        const ViewKey key{.seed = 1,
                          .epoch = static_cast<std::uint32_t>(views / 2 / kSamples),
                          .sample = views / 2 % kSamples,
                          .view = static_cast<std::uint32_t>(views % 2)};
        augmenter.render({pixels.data() + key.sample * image_bytes, side, side}, key, view);
      }
      elapsed = thread_seconds() - start;
    } while (elapsed < seconds);
    return elapsed / static_cast<double>(made);
  };
  render_some(kWarmUp * setting.seconds);
  return median_of(setting.repeats, [&] { return render_some(setting.seconds); });
}

DeviceRenderingSeconds time_on_device(const RenderingSetting& setting, std::int64_t batch_samples,
                                      Backend& backend) {
  HostMemory memory(backend);
  const SyntheticBatches batches(setting.config, setting.stored_side, batch_samples, &memory);
  const std::int64_t side = setting.config.image_size;
  const TensorInfo tensor{.name = "views",
                          .shape = {2 * batch_samples, side, side, 3},
                          .dtype = DType::f32,
                          .storage = Storage::input,
                          .offset = 0};
  const Buffer views = backend.allocate(backend.storage_bytes(tensor));
  InputStageSpec spec{.tensor = tensor,
                      .address = views.data(),
                      .rendering = setting.config,
                      .samples = batch_samples,
                      .most_image_bytes = batches.image_bytes()};
  const auto stored = backend.make_input_stage(spec);
  spec.resident = batches.images();
  const auto resident = backend.make_input_stage(spec);

  DeviceRenderingSeconds seconds;
  resident->stage(batches.with_samples(0));
  seconds.rendering =
      median_seconds(setting, backend, [&](std::int64_t /*k*/) { resident->commit(); });
  seconds.resident = median_seconds(setting, backend, [&](std::int64_t k) {
    resident->stage(batches.with_samples(k));
    resident->commit();
  });
  seconds.brought = median_seconds(setting, backend, [&](std::int64_t k) {
    stored->stage(batches.with_images(k));
    stored->commit();
  });
  const auto batch_views = static_cast<double>(2 * batch_samples);
  for (double* of_batch : {&seconds.rendering, &seconds.resident, &seconds.brought}) {
    *of_batch /= batch_views;
  }
  return seconds;
}

}  // namespace simclr
