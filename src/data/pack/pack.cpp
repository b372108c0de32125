#include "simclr/data/pack.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <numeric>
#include <set>
#include <system_error>

#include "findings.hpp"
#include "image_source.hpp"
#include "output_directory.hpp"
#include "progress.hpp"
#include "resize.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/shard_writer.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

// Unless --shards says otherwise: a shard for each of these many samples, up to so many shards.
constexpr std::int64_t kSamplesPerShard = 1000;
constexpr std::int64_t kMostDefaultShards = 8;

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
  const std::string first = first_text(world, problem);
  if (first.empty()) return;
  if (first.front() == kRefused) refuse("{}", first.substr(1));
  fail("{}", first.substr(1));
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

class Packer {
 public:
  Packer(const PackConfig& config, Communicator& world)
      : config_(config), world_(world), output_(config), source_(open_source(config, world)) {
    if (config.classes_of) source_ = with_classes_of(*config.classes_of, std::move(source_));
    require_storable(source_->class_names());
    kept_.resize(static_cast<std::size_t>(source_->samples()));
    std::iota(kept_.begin(), kept_.end(), 0);
    plan_shards();
  }

  PackSummary run() {
    run_or_fail_together(world_, [this] {
      if (world_.rank() == 0) output_.prepare();
    });
    read_headers();
    std::vector<ShardWriter> finished = write_shards();
    // Without the damaged samples all shards are written again, because the samples that are left
    // are divided anew: each shard gets as many as if the damaged ones had never been there.
    if (leave_out_damaged(finished)) finished = write_shards();
    if (leave_out_damaged(finished)) fail("the images change while they are packed");
    run_or_fail_together(world_, [this] {
      if (world_.rank() == 0) output_.remove_old_files();
      if (world_.rank() == 0) write_list();
    });
    for (ShardWriter& shard : finished) shard.publish();
    tally_.report(world_, *source_, samples(), config_.resize_short);
    world_.barrier();
    return summary();
  }

 private:
  [[nodiscard]] std::int64_t samples() const { return static_cast<std::int64_t>(kept_.size()); }

  void plan_shards() {
    const std::int64_t by_size = (samples() + kSamplesPerShard - 1) / kSamplesPerShard;
    shards_ = config_.shards > 0 ? config_.shards : std::min(by_size, kMostDefaultShards);
    if (shards_ > samples()) {
      refuse("option --shards: {} is more than the {} images", shards_, samples());
    }
  }

  [[nodiscard]] std::pair<int, int> packed_size(int height, int width) const {
    if (config_.resize_short == 0) return {height, width};
    try {
      return size_with_short_side(height, width, static_cast<int>(config_.resize_short));
    } catch (const Error& error) {
      fail("with --resize-short {}: {}", config_.resize_short, error.what());
    }
  }

  /// Notes a sample on which `work` fails as damaged. Failures of the machine are thrown.
  template <class Work>
  void watch_for_damage(std::int64_t sample, const Work& work) {
    try {
      work();
    } catch (const IoError& error) {
      const bool is_of_file = error.error_number() == EACCES || error.error_number() == ENOENT;
      if (!is_of_file) throw;
      damaged_here_[sample] = std::generic_category().message(error.error_number());
    } catch (const Error& error) {
      damaged_here_[sample] = error.what();
    } catch (const std::bad_alloc&) {
      fail("{}: no memory left to decode it", source_->describe(sample));
    }
  }

  // ---- damaged samples ----

  /// Collects the damaged samples of all ranks and no longer keeps them. Returns true when there
  /// are new ones, and deletes the shards that were written with them; refuses them unless they may
  /// be left out. Collective.
  bool leave_out_damaged(std::vector<ShardWriter>& written) {
    const Damages found = gather_damages(world_, damaged_here_);
    damaged_here_.clear();
    if (found.empty()) return false;
    written.clear();
    damaged_.insert(found.begin(), found.end());
    std::erase_if(kept_, [this](std::int64_t sample) { return damaged_.contains(sample); });
    try {
      if (!config_.skip_damaged) refuse_damaged();
      if (kept_.empty()) refuse("{}", describe_damages(*source_, damaged_));
      require_classes();
      plan_shards();
    } catch (const RefusedError&) {  // the same on all ranks
      world_.barrier();              // all have deleted their temporary files
      if (world_.rank() == 0) output_.remove_if_new();
      world_.barrier();
      throw;
    }
    fixed_size_ = common_size();
    return true;
  }

  void refuse_damaged() {
    std::string list;
    if (world_.rank() == 0) {
      const std::string file = output_.list_beside().string();
      try {
        write_damages(file, *source_, damaged_);
        list = fmt::format("the list is in {}", file);
      } catch (const IoError& error) {
        list = fmt::format("the list of them could not be written: {}", error.what());
      }
    }
    refuse("{}; {}; replace or remove them, or pack without them: --skip-damaged",
           describe_damages(*source_, damaged_), broadcast_text(world_, list));
  }

  /// Refuses to leave a class without images: it would be an empty one.
  void require_classes() const {
    const std::vector<std::string> names = source_->class_names();
    if (config_.allow_empty_classes || source_->labels().empty()) return;
    const std::vector<std::int64_t>& labels = source_->labels();
    std::set<std::int64_t> kept;
    for (const std::int64_t sample : kept_) kept.insert(labels[static_cast<std::size_t>(sample)]);
    for (const std::int64_t label : labels) {
      if (kept.contains(label) || label < 0 || label >= std::ssize(names)) continue;
      refuse("class {}: all of its images are damaged ({}); use --allow-empty-classes to keep it",
             names[static_cast<std::size_t>(label)], describe_damages(*source_, damaged_));
    }
  }

  /// Writes the list of the samples that were left out, and says so.
  void write_list() const {
    if (damaged_.empty()) return;
    const fs::path file = output_.list_inside();
    write_damages(file, *source_, damaged_);
    log::warning("left out: {}; all are in {}", describe_damages(*source_, damaged_),
                 file.string());
  }

  // ---- sizes ----

  /// Every rank reads a part of the headers; damaged ones count as found.
  void read_headers() {
    if (source_->common_size()) {
      const auto [height, width] = *source_->common_size();
      run_or_fail_together(world_, [&] {
        try {
          const auto size = packed_size(height, width);
          fixed_size_ = {size.first, size.second};
        } catch (const Error& error) {
          refuse("option --resize-short: {}; give less", error.what());
        }
      });
      return;
    }
    run_or_fail_together(world_, [this] {
      const std::int64_t begin = samples() * world_.rank() / world_.size();
      const std::int64_t end = samples() * (world_.rank() + 1) / world_.size();
      PackProgress progress("reading headers", end - begin, world_.rank() == 0);
      for (std::int64_t i = begin; i < end; ++i) {
        progress.advance();
        watch_for_damage(i, [&] {
          const ImageHeader header = source_->header(i);
          const auto [height, width] = packed_size(header.height, header.width);
          sizes_here_.push_back({i, {height, width}});
        });
      }
    });
    fixed_size_ = common_size();
  }

  /// Returns the common size of all packed images, if they have one. Collective.
  std::optional<ShardSpec::Size> common_size() {
    if (source_->common_size()) return fixed_size_;
    std::array<std::int32_t, 2> low = {INT32_MAX, INT32_MAX};
    std::array<std::int32_t, 2> high = {0, 0};
    for (const auto& [sample, size] : sizes_here_) {
      if (damaged_.contains(sample)) continue;
      low = {std::min(low[0], size.height), std::min(low[1], size.width)};
      high = {std::max(high[0], size.height), std::max(high[1], size.width)};
    }
    world_.all_reduce(buffer_span(std::span<std::int32_t>(low)), Reduction::min);
    world_.all_reduce(buffer_span(std::span<std::int32_t>(high)), Reduction::max);
    if (low != high) return std::nullopt;
    return ShardSpec::Size{low[0], low[1]};
  }

  // ---- shards ----

  /// The place among the kept samples where a shard begins.
  [[nodiscard]] std::int64_t first_of(std::int64_t shard) const {
    return samples() * shard / shards_;
  }

  std::vector<ShardWriter> write_shards() {
    std::vector<ShardWriter> written;
    tally_ = {};
    std::int64_t images = 0;
    for (std::int64_t s = world_.rank(); s < shards_; s += world_.size()) {
      images += first_of(s + 1) - first_of(s);
    }
    PackProgress progress("packing", images, world_.rank() == 0);
    run_or_fail_together(world_, [&] {
      for (std::int64_t s = world_.rank(); s < shards_; s += world_.size()) {
        if (auto shard = write_shard(s, progress)) written.push_back(std::move(*shard));
      }
    });
    return written;
  }

  /// Returns nothing when a sample of the shard is damaged; reads the others all the same.
  std::optional<ShardWriter> write_shard(std::int64_t shard, PackProgress& progress) {
    const std::int64_t begin = first_of(shard);
    const std::int64_t end = first_of(shard + 1);
    std::optional<ShardWriter> writer(std::in_place, output_.shard(shard, shards_),
                                      ShardSpec{.name = output_.name(),
                                                .class_names = source_->class_names(),
                                                .samples = end - begin,
                                                .labeled = !source_->labels().empty(),
                                                .named = source_->named(),
                                                .encoding = config_.encoding,
                                                .fixed_size = fixed_size_});
    Image image;
    for (std::int64_t i = begin; i < end; ++i) {
      progress.advance();
      if (!append(writer, kept_[static_cast<std::size_t>(i)], image)) writer.reset();
    }
    if (writer) writer->complete();
    return writer;
  }

  /// Returns false when the sample is damaged.
  bool append(std::optional<ShardWriter>& writer, std::int64_t sample, Image& image) {
    std::vector<std::byte> file;
    watch_for_damage(sample, [&] { file = load(sample, image); });
    if (damaged_here_.contains(sample)) return false;
    if (!writer) return true;
    const std::int64_t label =
        source_->labels().empty() ? 0 : source_->labels()[static_cast<std::size_t>(sample)];
    const auto bytes =
        file.empty() ? std::as_bytes(std::span(image.pixels)) : std::span<const std::byte>(file);
    writer->append(bytes, image.height, image.width, label, source_->name(sample));
    return true;
  }

  /// Loads the decoded and resized image and, for JPEG, returns the file to store. A JPEG file that
  /// keeps its size is stored unchanged; it is decoded only to check it.
  std::vector<std::byte> load(std::int64_t sample, Image& image) {
    const bool to_jpeg = config_.encoding == ImageEncoding::jpeg;
    std::vector<std::byte> file;
    if (to_jpeg) file = source_->jpeg_file(sample);
    const DecodingNotes notes = source_->load(sample, image);
    if (notes.invented_pixels) fail("damaged JPEG: {}", notes.warning);
    const auto [height, width] = packed_size(image.height, image.width);
    tally_.count(sample, notes, height > image.height || width > image.width);
    const bool resized = height != image.height || width != image.width;
    if (resized) image = resize_image(image, height, width);
    if (to_jpeg && (resized || file.empty())) file = encode_jpeg(image, config_.jpeg_quality);
    return file;
  }

  [[nodiscard]] PackSummary summary() const {
    PackSummary summary{.samples = samples(),
                        .left_out = static_cast<std::int64_t>(damaged_.size()),
                        .shards = shards_};
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
  OutputDirectory output_;
  std::unique_ptr<ImageSource> source_;
  std::vector<std::int64_t> kept_;  ///< the samples to pack, in packing order
  std::int64_t shards_ = 0;
  /// By sample, of the headers that this rank has read.
  std::vector<std::pair<std::int64_t, ShardSpec::Size>> sizes_here_;
  std::optional<ShardSpec::Size> fixed_size_;
  Damages damaged_;       ///< of all ranks
  Damages damaged_here_;  ///< found by this rank since leave_out_damaged()
  Tally tally_;
};

}  // namespace

PackSummary pack(const PackConfig& config, Communicator& world) {
  return Packer(config, world).run();
}

}  // namespace simclr
