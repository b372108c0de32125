// Numbers classes as another data set does.

#include <algorithm>
#include <utility>

#include "image_source.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {
namespace {

/// A source with other labels and class names.
class RenumberedSource final : public ImageSource {
 public:
  RenumberedSource(std::unique_ptr<ImageSource> source, std::vector<std::int64_t> labels,
                   std::vector<std::string> class_names)
      : source_(std::move(source)),
        labels_(std::move(labels)),
        class_names_(std::move(class_names)) {}

  [[nodiscard]] std::int64_t samples() const override { return source_->samples(); }
  [[nodiscard]] const std::vector<std::int64_t>& labels() const override { return labels_; }
  [[nodiscard]] std::vector<std::string> class_names() const override { return class_names_; }
  [[nodiscard]] std::optional<std::pair<int, int>> common_size() const override {
    return source_->common_size();
  }
  [[nodiscard]] ImageHeader header(std::int64_t sample) const override {
    return source_->header(sample);
  }
  DecodingNotes load(std::int64_t sample, Image& out) const override {
    return source_->load(sample, out);
  }
  [[nodiscard]] std::vector<std::byte> jpeg_file(std::int64_t sample) const override {
    return source_->jpeg_file(sample);
  }
  [[nodiscard]] bool named() const override { return source_->named(); }
  [[nodiscard]] std::string name(std::int64_t sample) const override {
    return source_->name(sample);
  }
  [[nodiscard]] std::string describe(std::int64_t sample) const override {
    return source_->describe(sample);
  }

 private:
  std::unique_ptr<ImageSource> source_;
  std::vector<std::int64_t> labels_;
  std::vector<std::string> class_names_;
};

}  // namespace

std::unique_ptr<ImageSource> with_classes_of(const std::filesystem::path& shards,
                                             std::unique_ptr<ImageSource> source) {
  const std::vector<std::string> names = ShardSet(shards).info().class_names;
  if (names.empty()) {
    refuse("option --classes-of: {} names no classes", shards.string());
  }
  const std::vector<std::string> own = source->class_names();
  if (own.empty()) refuse("option --classes-of: the images to pack have no class names");
  std::vector<std::int64_t> numbers;
  for (const std::string& name : own) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      refuse("option --classes-of: class '{}' is not among the {} of {}", name, names.size(),
             shards.string());
    }
    numbers.push_back(found - names.begin());
  }
  std::vector<std::int64_t> labels = source->labels();
  for (std::int64_t& label : labels) {
    if (label < 0 || label >= std::ssize(numbers)) {
      refuse("option --classes-of: label {} of the images to pack has no class name", label);
    }
    label = numbers[static_cast<std::size_t>(label)];
  }
  return std::make_unique<RenumberedSource>(std::move(source), std::move(labels), names);
}

}  // namespace simclr
