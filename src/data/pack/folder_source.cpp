#include <algorithm>
#include <array>
#include <cctype>

#include "image_source.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/file.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

bool is_image(const fs::path& path) {
  constexpr std::array<const char*, 3> kExtensions = {".jpg", ".jpeg", ".png"};
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

/// Paths relative to the input, in name order; class folders may have subfolders.
struct Listing {
  std::vector<std::string> files;
  std::vector<std::string> classes;
};

void list_class(const fs::path& input, const fs::path& folder, Listing& listing) {
  const std::size_t before = listing.files.size();
  for (const auto& entry :
       fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink)) {
    if (entry.is_regular_file() && is_image(entry.path()) && !is_hidden(entry.path())) {
      listing.files.push_back(entry.path().lexically_relative(input).string());
    }
  }
  if (listing.files.size() == before) {
    refuse("{}: a class folder without JPEG or PNG images; remove it or fill it", folder.string());
  }
  std::sort(listing.files.begin() + static_cast<std::ptrdiff_t>(before), listing.files.end());
  listing.classes.push_back(folder.filename().string());
}

Listing list_images(const fs::path& input) {
  if (!fs::is_directory(input)) refuse("--input {}: no such directory", input.string());
  Listing listing;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(input)) {
    if (is_hidden(entry.path())) continue;
    if (entry.is_directory()) folders.push_back(entry.path());
    if (entry.is_regular_file() && is_image(entry.path())) {
      listing.files.push_back(entry.path().filename().string());
    }
  }
  if (!folders.empty() && !listing.files.empty()) {
    refuse(
        "--input {}: holds both images ({}) and folders ({}); use one folder per class, or no "
        "folders",
        input.string(), listing.files.front(), folders.front().filename().string());
  }
  std::sort(folders.begin(), folders.end());
  std::sort(listing.files.begin(), listing.files.end());
  for (const fs::path& folder : folders) list_class(input, folder, listing);
  if (listing.files.empty()) {
    refuse("--input {}: holds no JPEG or PNG images", input.string());
  }
  return listing;
}

// The only character that a file name cannot contain.
constexpr char kSeparator = '\0';

std::string join(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined += text + kSeparator;
  return joined;
}

std::vector<std::string> split(const std::string& joined) {
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < joined.size();) {
    const std::size_t end = joined.find(kSeparator, at);
    texts.push_back(joined.substr(at, end - at));
    at = end + 1;
  }
  return texts;
}

class FolderSource : public ImageSource {
 public:
  FolderSource(fs::path input, Listing listing)
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
  void load(std::int64_t sample, Image& out) const override {
    decode_image(MappedFile(path(sample)).bytes(), out);
  }
  [[nodiscard]] std::vector<std::byte> jpeg_file(std::int64_t sample) const override {
    const MappedFile file(path(sample));
    if (image_format(file.bytes()) != ImageFormat::jpeg) return {};
    return {file.bytes().begin(), file.bytes().end()};
  }
  [[nodiscard]] std::string describe(std::int64_t sample) const override {
    return path(sample).string();
  }

 private:
  [[nodiscard]] fs::path path(std::int64_t sample) const {
    return input_ / listing_.files[static_cast<std::size_t>(sample)];
  }

  fs::path input_;
  Listing listing_;
  std::vector<std::int64_t> labels_;
};

}  // namespace

std::unique_ptr<ImageSource> open_folder(const PackConfig& config, Communicator& world) {
  // Only rank 0 lists the files, because a million of them are a load on a shared file system's
  // metadata server.
  Listing listing;
  std::string problem;
  if (world.rank() == 0) {
    try {
      listing = list_images(config.input);
    } catch (const std::exception& error) {
      problem = message_of(error);
    }
  }
  problem = broadcast_text(world, problem);
  if (!problem.empty()) refuse("{}", problem);
  listing.files = split(broadcast_text(world, join(listing.files)));
  listing.classes = split(broadcast_text(world, join(listing.classes)));
  return std::make_unique<FolderSource>(config.input, std::move(listing));
}

}  // namespace simclr
