#include "simclr/data/pack.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "image_source.hpp"
#include "simclr/augment/pixels.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/shard_writer.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDefaultShards = 8;

/// Does a rank's share of the work. If it throws on any rank, all ranks throw the error of the
/// lowest such rank, so that every rank cleans up.
template <class Work>
void run_or_fail_together(Communicator& world, const Work& work) {
  constexpr char kRefused = 'r';
  std::string problem;
  try {
    work();
  } catch (const std::exception& error) {
    problem = (is_refusal(error) ? kRefused : 'f') + message_of(error);
  }
  for (const std::string& text : gather_texts(world, problem)) {
    if (text.empty()) continue;
    if (text.front() == kRefused) refuse("{}", text.substr(1));
    fail("{}", text.substr(1));
  }
}

std::unique_ptr<ImageSource> open_source(const PackConfig& config, Communicator& world) {
  switch (config.source) {
    case PackSource::folder:
      return open_folder(config, world);
    case PackSource::idx:
      return open_idx(config);
    case PackSource::cifar_bin:
      return open_cifar(config);
  }
  fail("internal error: unknown PackSource value");
}

bool is_shard(const fs::path& path) { return path.extension() == ".h5"; }
/// True for the temporary file of a killed writer.
bool is_leftover(const fs::path& path) {
  return path.filename().string().find(".h5.tmp-") != std::string::npos;
}

/// Creates the output directory and deletes leftovers in it; refuses one that must not be replaced.
void prepare_output(const PackConfig& config) {
  if (fs::exists(config.output) && !fs::is_directory(config.output)) {
    refuse("--output {}: exists but is not a directory", config.output.string());
  }
  fs::create_directories(config.output);
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(config.output)) {
    if (!config.force) {
      refuse(
          "--output {}: not empty (it has {}); choose another directory, or use --force to replace "
          "its shards",
          config.output.string(), entry.path().filename().string());
    }
    if (is_leftover(entry.path())) leftovers.push_back(entry.path());
  }
  for (const fs::path& leftover : leftovers) fs::remove(leftover);
}

void remove_old_shards(const fs::path& directory) {
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (is_shard(entry.path())) old.push_back(entry.path());
  }
  for (const fs::path& shard : old) fs::remove(shard);
}

// ---- resizing ----

/// Returns height and width with a short side of `short_side` pixels; the long side is rounded
/// down.
std::pair<int, int> size_with_short_side(int height, int width, int short_side) {
  const auto scaled = [short_side](int longer, int shorter) {
    return static_cast<int>(std::int64_t{short_side} * longer / shorter);
  };
  if (height <= width) return {short_side, scaled(width, height)};
  return {scaled(height, width), short_side};
}

/// Weights of the consecutive inputs, from `first` on, that make one output.
struct Taps {
  int first = 0;
  std::vector<float> weights;
};

std::vector<Taps> make_taps(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);
  const double support = 2.0 * stretch;  // the cubic kernel's half-width
  std::vector<Taps> all(static_cast<std::size_t>(out));
  for (int o = 0; o < out; ++o) {
    Taps& taps = all[static_cast<std::size_t>(o)];
    const double center = scale * (o + 0.5);
    taps.first = std::max(0, static_cast<int>(std::floor(center - support + 0.5)));
    const int end = std::min(in, static_cast<int>(std::floor(center + support + 0.5)));
    double sum = 0;
    for (int i = taps.first; i < end; ++i) {
      taps.weights.push_back(cubic_filter(static_cast<float>((i - center + 0.5) / stretch)));
      sum += taps.weights.back();
    }
    for (float& weight : taps.weights) weight = static_cast<float>(weight / sum);
  }
  return all;
}

/// Antialiased bicubic resize (a = -0.5, half-pixel centers), computed in float, rounded once.
Image resize_image(const Image& image, int height, int width) {
  const std::vector<Taps> columns = make_taps(image.width, width);
  std::vector<float> narrow(static_cast<std::size_t>(image.height) *
                            static_cast<std::size_t>(width) * 3);
  float* out = narrow.data();
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* row = image.pixels.data() + std::ptrdiff_t{y} * image.width * 3;
    for (const Taps& taps : columns) {
      for (int c = 0; c < 3; ++c) {
        const std::uint8_t* in = row + std::ptrdiff_t{taps.first} * 3 + c;
        float sum = 0;
        for (const float weight : taps.weights) {
          sum += weight * static_cast<float>(*in);
          in += 3;
        }
        *out++ = sum;
      }
    }
  }

  const std::size_t row_elements = static_cast<std::size_t>(width) * 3;
  Image result{height, width, {}};
  result.pixels.reserve(static_cast<std::size_t>(height) * row_elements);
  std::vector<float> sum(row_elements);
  for (const Taps& taps : make_taps(image.height, height)) {
    std::fill(sum.begin(), sum.end(), 0.0F);
    const float* in = narrow.data() + static_cast<std::size_t>(taps.first) * row_elements;
    for (const float weight : taps.weights) {
      for (std::size_t x = 0; x < row_elements; ++x) sum[x] += weight * in[x];
      in += row_elements;
    }
    for (const float value : sum) {
      result.pixels.push_back(
          static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 255.0F))));
    }
  }
  return result;
}

// ---- packing ----

class Packer {
 public:
  Packer(const PackConfig& config, Communicator& world)
      : config_(config), world_(world), source_(open_source(config, world)) {
    if (config.classes_of) source_ = with_classes_of(*config.classes_of, std::move(source_));
    samples_ = source_->samples();
    shards_ = config.shards > 0 ? config.shards : std::min(kDefaultShards, samples_);
    if (shards_ > samples_) {
      refuse("--shards {}: must not exceed the number of images, {}", shards_, samples_);
    }
  }

  PackSummary run() {
    run_or_fail_together(world_, [this] {
      if (world_.rank() == 0) prepare_output(config_);
    });
    fixed_size_ = find_fixed_size();
    std::vector<ShardWriter> finished;
    run_or_fail_together(world_, [&] {
      for (std::int64_t s = world_.rank(); s < shards_; s += world_.size()) {
        finished.push_back(write_shard(s));
      }
    });
    run_or_fail_together(world_, [this] {
      if (world_.rank() == 0) remove_old_shards(config_.output);
    });
    for (ShardWriter& shard : finished) shard.publish();
    world_.barrier();
    return summary();
  }

 private:
  [[nodiscard]] std::pair<int, int> packed_size(std::pair<int, int> size) const {
    if (config_.resize_short == 0) return size;
    return size_with_short_side(size.first, size.second, static_cast<int>(config_.resize_short));
  }

  template <class Work>
  void with_sample_in_errors(std::int64_t sample, const Work& work) const {
    try {
      work();
    } catch (const Error& error) {
      refuse("{}: {}; replace or remove it", source_->describe(sample), error.what());
    }
  }

  /// Returns the common size of all packed images, if they have one. Every rank reads a part of the
  /// headers.
  std::optional<ShardSpec::Size> find_fixed_size() {
    std::optional<std::pair<int, int>> common = source_->common_size();
    bool alike = true;
    if (common) {
      common = packed_size(*common);
    } else {
      std::pair<int, int> smallest(INT32_MAX, INT32_MAX);
      std::pair<int, int> largest(0, 0);
      run_or_fail_together(world_, [&] { scan_headers(smallest, largest); });
      std::array<std::int32_t, 2> low = {smallest.first, smallest.second};
      std::array<std::int32_t, 2> high = {largest.first, largest.second};
      world_.all_reduce(buffer_span(std::span<std::int32_t>(low)), Reduction::min);
      world_.all_reduce(buffer_span(std::span<std::int32_t>(high)), Reduction::max);
      alike = low == high;
      common = {low[0], low[1]};
    }
    if (!alike) return std::nullopt;
    return ShardSpec::Size{common->first, common->second};
  }

  void scan_headers(std::pair<int, int>& smallest, std::pair<int, int>& largest) const {
    const std::int64_t begin = samples_ * world_.rank() / world_.size();
    const std::int64_t end = samples_ * (world_.rank() + 1) / world_.size();
    for (std::int64_t i = begin; i < end; ++i) {
      with_sample_in_errors(i, [&] {
        const ImageHeader header = source_->header(i);
        const auto [height, width] = packed_size({header.height, header.width});
        smallest = {std::min(smallest.first, height), std::min(smallest.second, width)};
        largest = {std::max(largest.first, height), std::max(largest.second, width)};
      });
    }
  }

  ShardWriter write_shard(std::int64_t shard) const {
    const std::int64_t begin = samples_ * shard / shards_;
    const std::int64_t end = samples_ * (shard + 1) / shards_;
    ShardWriter writer(config_.output / shard_file_name(name(), shard, shards_),
                       {.name = name(),
                        .class_names = source_->class_names(),
                        .samples = end - begin,
                        .labeled = !source_->labels().empty(),
                        .encoding = config_.encoding,
                        .fixed_size = fixed_size_});
    Image image;
    for (std::int64_t i = begin; i < end; ++i) append(writer, i, image);
    writer.complete();
    return writer;
  }

  void append(ShardWriter& writer, std::int64_t sample, Image& image) const {
    const std::int64_t label =
        source_->labels().empty() ? 0 : source_->labels()[static_cast<std::size_t>(sample)];
    std::vector<std::byte> file;
    with_sample_in_errors(sample, [&] { file = load(sample, image); });
    const auto bytes =
        file.empty() ? std::as_bytes(std::span(image.pixels)) : std::span<const std::byte>(file);
    writer.append(bytes, image.height, image.width, label);
  }

  /// Loads the decoded and resized image and, for JPEG, returns the file to store. A JPEG file that
  /// keeps its size is stored unchanged; it is decoded only to check it.
  std::vector<std::byte> load(std::int64_t sample, Image& image) const {
    const bool to_jpeg = config_.encoding == ImageEncoding::jpeg;
    std::vector<std::byte> file;
    if (to_jpeg) file = source_->jpeg_file(sample);
    source_->load(sample, image);
    const auto [height, width] = packed_size({image.height, image.width});
    const bool resized = height != image.height || width != image.width;
    if (resized) image = resize_image(image, height, width);
    if (to_jpeg && (resized || file.empty())) file = encode_jpeg(image, config_.jpeg_quality);
    return file;
  }

  [[nodiscard]] std::string name() const {
    if (!config_.name.empty()) return config_.name;
    const fs::path output = fs::absolute(config_.output).lexically_normal();
    return (output.has_filename() ? output : output.parent_path()).filename().string();
  }

  [[nodiscard]] PackSummary summary() const {
    PackSummary summary{.samples = samples_, .shards = shards_};
    const auto& labels = source_->labels();
    if (!labels.empty()) {
      summary.classes =
          std::max<std::int64_t>(static_cast<std::int64_t>(source_->class_names().size()),
                                 *std::max_element(labels.begin(), labels.end()) + 1);
    }
    if (fixed_size_) summary.fixed_size = {fixed_size_->height, fixed_size_->width};
    return summary;
  }

  const PackConfig& config_;
  Communicator& world_;
  std::unique_ptr<ImageSource> source_;
  std::int64_t samples_ = 0;
  std::int64_t shards_ = 0;
  std::optional<ShardSpec::Size> fixed_size_;
};

}  // namespace

PackSummary pack(const PackConfig& config, Communicator& world) {
  return Packer(config, world).run();
}

}  // namespace simclr
