#include "step_views.hpp"

#include <omp.h>

#include <memory_resource>
#include <span>
#include <vector>

#include "simclr/backend/host_memory.hpp"
#include "simclr/core/random.hpp"
#include "synthetic_batches.hpp"

namespace simclr {
namespace {

std::size_t view_values(const StepViewsSpec& spec) {
  const auto side = static_cast<std::size_t>(spec.augmentation.image_size);
  return side * side * 3;
}
std::size_t view_count(const StepViewsSpec& spec) {
  return 2 * static_cast<std::size_t>(spec.samples);
}

class ReadyViews final : public StepViews {
 public:
  ReadyViews(const StepViewsSpec& spec, Backend& backend)
      : memory_(backend), views_(view_count(spec) * view_values(spec), &memory_) {
    PhiloxStream stream(1, RandomPurpose::kCrop, 0, 0);
    for (float& value : views_) value = stream.uniform();
  }
  InputBatch batch(std::int64_t /*k*/) override { return {.views = views_}; }

 private:
  HostMemory memory_;
  std::pmr::vector<float> views_;
};

class ViewsOfTheDevice final : public StepViews {
 public:
  ViewsOfTheDevice(const StepViewsSpec& spec, Backend& backend)
      : augmentation_(spec.augmentation),
        memory_(backend),
        batches_(spec.augmentation, spec.stored_side, spec.samples, &memory_) {}
  [[nodiscard]] InputStageSpec expected() const override {
    return {.rendering = augmentation_,
            .most_image_bytes = batches_.image_bytes(),
            .resident = batches_.images()};
  }
  InputBatch batch(std::int64_t k) override { return batches_.with_samples(k); }

 private:
  AugmentationConfig augmentation_;
  HostMemory memory_;
  SyntheticBatches batches_;
};

class ViewsOfTheHost final : public StepViews {
 public:
  explicit ViewsOfTheHost(const StepViewsSpec& spec)
      : values_(view_values(spec)),
        batches_(spec.augmentation, spec.stored_side, spec.samples,
                 std::pmr::get_default_resource()),
        views_(view_count(spec) * values_) {
    for (int thread = 0; thread < spec.threads; ++thread) {
      augmenters_.emplace_back(spec.augmentation);
    }
  }
  InputBatch batch(std::int64_t k) override {
    const InputBatch stored = batches_.with_images(k);
#pragma omp parallel for schedule(dynamic) num_threads(static_cast <int>(augmenters_.size()))
    for (std::size_t view = 0; view < stored.parameters.size(); ++view) {
      auto& augmenter = augmenters_[static_cast<std::size_t>(omp_get_thread_num())];
      augmenter.render(stored.images[view % stored.images.size()], stored.parameters[view],
                       std::span(views_).subspan(view * values_, values_));
    }
    return {.views = views_};
  }

 private:
  std::size_t values_;  // of a view
  SyntheticBatches batches_;
  std::vector<float> views_;
  std::vector<Augmenter> augmenters_;  // one a thread
};

}  // namespace

std::unique_ptr<StepViews> make_ready_views(const StepViewsSpec& spec, Backend& backend) {
  return std::make_unique<ReadyViews>(spec, backend);
}

std::unique_ptr<StepViews> make_rendered_views(const StepViewsSpec& spec, Backend& backend) {
  if (backend.renders_views()) return std::make_unique<ViewsOfTheDevice>(spec, backend);
  return std::make_unique<ViewsOfTheHost>(spec);
}

}  // namespace simclr
