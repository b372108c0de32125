#include "rendering_stage.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/render_views.hpp"
#include "layout.hpp"
#include "memory.hpp"

namespace simclr::cuda {

namespace {

std::size_t pixel_bytes(const ImageRef& image) {
  return std::size_t{3} * static_cast<std::size_t>(image.height) *
         static_cast<std::size_t>(image.width);
}

const std::uint8_t* as_pixels(const std::byte* data) {
  return reinterpret_cast<const std::uint8_t*>(data);
}

/// Copies images to device memory, back to back; what lies back to back on the host too is copied
/// at once. Returns where each of them is.
std::vector<const std::uint8_t*> copy_images(std::span<const ImageRef> images, std::byte* to,
                                             cudaStream_t stream) {
  std::vector<const std::uint8_t*> places;
  places.reserve(images.size());
  for (std::size_t begin = 0; begin < images.size();) {
    const std::uint8_t* from = images[begin].pixels;
    std::size_t bytes = 0;
    std::size_t end = begin;
    for (; end < images.size() && images[end].pixels == from + bytes; ++end) {
      places.push_back(as_pixels(to) + bytes);
      bytes += pixel_bytes(images[end]);
    }
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream),
          "copy images to the device");
    to += bytes;
    begin = end;
  }
  return places;
}

/// A whole data set in device memory.
class ResidentImages {
 public:
  ResidentImages(std::span<const ImageRef> images, cudaStream_t stream)
      : images_(images.begin(), images.end()) {
    if (images.empty()) return;
    std::size_t bytes = 0;
    for (const ImageRef& image : images) bytes += pixel_bytes(image);
    try {
      pixels_ = allocate_device(bytes, "the pixels of the data set");
    } catch (const OutOfDeviceMemory& error) {
      constexpr double kGigabyte = 1e9;
      refuse(
          "--cache device: the data set's pixels take {:.2f} GB, the device has {:.2f} GB free "
          "beside the model; use --cache node",
          static_cast<double>(bytes) / kGigabyte,
          static_cast<double>(error.free_bytes) / kGigabyte);
    }
    const auto places = copy_images(images, pixels_.data(), stream);
    for (std::size_t i = 0; i < places.size(); ++i) images_[i].pixels = places[i];
    check(cudaStreamSynchronize(stream), "copy the data set to the device");
  }
  [[nodiscard]] bool empty() const { return images_.empty(); }
  /// `pixels` is a device address.
  [[nodiscard]] const ImageRef& at(std::int64_t sample) const {
    require(sample >= 0 && sample < static_cast<std::int64_t>(images_.size()),
            "samples lie in the resident data set");
    return images_[static_cast<std::size_t>(sample)];
  }

 private:
  std::vector<ImageRef> images_;
  Buffer pixels_;
};

/// Order of events, for batch b:
///   the rendering of b - 1 (compute lane) precedes the copy of images and tasks of b (copy lane)
///   precedes the rendering of b precedes step b.
/// The copy of b runs beside step b - 1.
class RenderingStage final : public InputStage {
 public:
  RenderingStage(const InputStageSpec& spec, Device& device)
      : device_(device),
        lanes_(device.lanes()),
        config_(*spec.rendering),
        settings_(render_settings(config_)),
        samples_(spec.samples),
        views_(spec.tensor.shape[0]),
        most_image_bytes_(static_cast<std::size_t>(spec.most_image_bytes)),
        out_(reinterpret_cast<float*>(spec.address)),
        resident_(spec.resident, lanes_.copy.get()) {
    const Augmenter refuses_what_cannot_be_meant(config_);
    const std::int64_t side = config_.image_size;
    require(spec.tensor.dtype == DType::f32 && !layout_of(spec.tensor).padded() &&
                spec.tensor.shape == Shape{views_, side, side, 3},
            "views are rendered into f32 (V,S,S,3)");
    require(samples_ > 0 && views_ % samples_ == 0, "every sample has the same number of views");
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device.properties().index),
          "ask for the device's properties");
    shared_bytes_limit_ = properties.sharedMemPerBlockOptin - kStaticSharedBytes;
    const std::size_t bytes = static_cast<std::size_t>(views_) * sizeof(ViewTask);
    host_tasks_ = allocate_pinned(bytes, "the parameters of a batch's views");
    tasks_ = allocate_device(bytes, "the parameters of a batch's views");
    rendered_.record(lanes_.compute.get());
  }

  void stage(const InputBatch& batch) override {
    require(std::ssize(batch.parameters) == views_, "a batch has parameters for every view");
    const cudaStream_t copy = lanes_.copy.get();
    rendered_.make_wait(copy);
    std::vector<ImageRef> images;
    if (resident_.empty()) {
      require(std::ssize(batch.images) == samples_, "a batch has an image for every sample");
      images.assign(batch.images.begin(), batch.images.end());
      reserve(batch.images);
      const auto places = copy_images(batch.images, pixels_.data(), copy);
      for (std::size_t i = 0; i < places.size(); ++i) images[i].pixels = places[i];
    } else {
      require(std::ssize(batch.samples) == samples_, "a batch names its samples");
      for (const std::int64_t sample : batch.samples) images.push_back(resident_.at(sample));
    }
    prepare_tasks(batch.parameters, images);
    check(cudaMemcpyAsync(tasks_.data(), host_tasks_.data(), tasks_.bytes(), cudaMemcpyHostToDevice,
                          copy),
          "copy views' parameters to the device");
    copied_.record(copy);
  }

  void commit() override {
    const cudaStream_t compute = lanes_.compute.get();
    copied_.make_wait(compute);
    render_views(reinterpret_cast<const ViewTask*>(tasks_.data()), views_, jittered_, plan_,
                 settings_, reinterpret_cast<std::int64_t*>(luma_sums_.data()), out_, compute);
    rendered_.record(compute);
    device_.wait(lanes_.copy.get());  // from here on the host memory may change
  }

 private:
  /// Of the kernels' own, beside what they ask for.
  static constexpr std::size_t kStaticSharedBytes = 1024;

  /// Device memory for a batch's images: exactly enough where all have one size; else it grows with
  /// the largest batch so far, because the largest image says little of a whole batch.
  void reserve(std::span<const ImageRef> images) {
    std::size_t bytes = 0;
    for (const ImageRef& image : images) {
      require(pixel_bytes(image) <= most_image_bytes_, "no image is larger than announced");
      bytes += pixel_bytes(image);
    }
    if (bytes <= pixels_.bytes()) return;
    const std::size_t most = most_image_bytes_ * images.size();
    device_.wait(lanes_.compute.get());  // the old memory may be in use
    pixels_ = Buffer();
    pixels_ = allocate_device(std::min(bytes + bytes / 4, most), "the stored images of a batch");
  }

  /// images: of the samples, on the device.
  void prepare_tasks(std::span<const ViewParameters> parameters,
                     const std::vector<ImageRef>& images) {
    std::vector<ViewTask> tasks;
    tasks.reserve(parameters.size());
    for (std::size_t view = 0; view < parameters.size(); ++view) {
      const ImageRef& image = images[view % images.size()];
      tasks.push_back(
          make_view_task(config_, image.pixels, image.height, image.width, parameters[view]));
    }
    jittered_ = std::ranges::any_of(parameters, &ViewParameters::jitter);
    plan_ = plan_tiles(tasks, config_.image_size, shared_bytes_limit_);
    std::memcpy(host_tasks_.data(), tasks.data(), host_tasks_.bytes());
    const std::size_t sums = static_cast<std::size_t>(views_ * plan_.tiles) * sizeof(std::int64_t);
    if (luma_sums_.bytes() < sums) {
      device_.wait(lanes_.compute.get());
      luma_sums_ = allocate_device(sums, "the brightness of a batch's views");
    }
  }

  Device& device_;
  Lanes& lanes_;
  AugmentationConfig config_;
  RenderSettings settings_;
  std::int64_t samples_, views_;
  std::size_t most_image_bytes_;
  float* out_;
  std::size_t shared_bytes_limit_ = 0;
  ResidentImages resident_;
  Buffer host_tasks_, tasks_, pixels_, luma_sums_;
  TilePlan plan_;
  bool jittered_ = false;
  Event copied_, rendered_;
};

}  // namespace

std::unique_ptr<InputStage> make_rendering_stage(const InputStageSpec& spec, Device& device) {
  return std::make_unique<RenderingStage>(spec, device);
}

}  // namespace simclr::cuda
