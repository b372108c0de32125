#include <utility>

#include "folder_listing.hpp"
#include "image_source.hpp"
#include "simclr/io/file.hpp"
#include "text_list.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

class FolderSource : public ImageSource {
 public:
  FolderSource(fs::path input, FolderListing listing)
      : input_(std::move(input)), listing_(std::move(listing)) {
    if (listing_.classes.empty()) return;
    std::int64_t label = 0;
    for (const std::string& file : listing_.files) {
      while (fs::path(file).begin()->string() !=
             listing_.classes[static_cast<std::size_t>(label)]) {
        ++label;
      }
      labels_.push_back(label);
    }
  }

  [[nodiscard]] std::int64_t samples() const override {
    return static_cast<std::int64_t>(listing_.files.size());
  }
  [[nodiscard]] const std::vector<std::int64_t>& labels() const override { return labels_; }
  [[nodiscard]] std::vector<std::string> class_names() const override { return listing_.classes; }
  [[nodiscard]] std::optional<std::pair<int, int>> common_size() const override { return {}; }

  [[nodiscard]] ImageHeader header(std::int64_t sample) const override {
    return read_image_header(MappedFile(path(sample)).bytes());
  }
  DecodingNotes load(std::int64_t sample, Image& out) const override {
    return decode_image(MappedFile(path(sample)).bytes(), out);
  }
  [[nodiscard]] std::vector<std::byte> jpeg_file(std::int64_t sample) const override {
    const MappedFile file(path(sample));
    if (image_format(file.bytes()) != ImageFormat::jpeg) return {};
    return {file.bytes().begin(), file.bytes().end()};
  }
  [[nodiscard]] bool named() const override { return true; }
  [[nodiscard]] std::string name(std::int64_t sample) const override {
    return listing_.files[static_cast<std::size_t>(sample)];
  }
  [[nodiscard]] std::string describe(std::int64_t sample) const override {
    return path(sample).string();
  }

 private:
  [[nodiscard]] fs::path path(std::int64_t sample) const {
    return input_ / listing_.files[static_cast<std::size_t>(sample)];
  }

  fs::path input_;
  FolderListing listing_;
  std::vector<std::int64_t> labels_;
};

}  // namespace

std::unique_ptr<ImageSource> open_folder(const PackConfig& config, Communicator& world) {
  // Only rank 0 lists the files, because a million of them are a load on a shared file system's
  // metadata server.
  FolderListing listing;
  on_root(world, [&] { listing = list_images(config.input, config.allow_empty_classes); });
  listing.files = split_texts(broadcast_text(world, join_texts(listing.files)));
  listing.classes = split_texts(broadcast_text(world, join_texts(listing.classes)));
  return std::make_unique<FolderSource>(config.input, std::move(listing));
}

}  // namespace simclr
