#include "simclr/eval/embed.hpp"

#include <memory>
#include <numeric>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/io/array_file.hpp"

namespace simclr {
namespace {

struct Layout {
  std::int64_t samples = 0;
  std::int64_t channels = 0;
  std::int64_t embedding = 0;
  bool labeled = false;
};

void create(ArrayFile& file, const Layout& layout, const FrozenEncoder& encoder) {
  file.attribute("format", std::string("simclr-features"));
  file.attribute("version", std::int64_t{1});
  file.attribute("encoder", encoder.model().encoder.name());
  file.attribute("checkpoint", encoder.file().filename().string());
  file.attribute("checkpoint_hash", encoder.checksum());
  file.attribute("step", encoder.step());
  file.create("h", ArrayFile::Type::f32, {layout.samples, layout.channels});
  file.create("sample_index", ArrayFile::Type::i64, {layout.samples});
  if (layout.embedding > 0) {
    file.create("z", ArrayFile::Type::f32, {layout.samples, layout.embedding});
  }
  if (layout.labeled) file.create("labels", ArrayFile::Type::i64, {layout.samples});
}

/// Writes one rank's part at its position in the file.
void write_part(ArrayFile& file, const Layout& layout, std::int64_t first,
                const std::vector<float>& h, const std::vector<float>& z,
                const std::vector<std::int32_t>& labels) {
  const std::int64_t rows = static_cast<std::int64_t>(h.size()) / layout.channels;
  if (rows == 0) return;
  std::vector<std::int64_t> sample_index(static_cast<std::size_t>(rows));
  std::iota(sample_index.begin(), sample_index.end(), first);
  file.write("h", {first}, std::span<const float>(h));
  file.write("sample_index", {first}, std::span<const std::int64_t>(sample_index));
  if (layout.embedding > 0) file.write("z", {first}, std::span<const float>(z));
  if (layout.labeled) {
    const std::vector<std::int64_t> wide(labels.begin(), labels.end());
    file.write("labels", {first}, std::span<const std::int64_t>(wide));
  }
}

}  // namespace

void write_features(const std::filesystem::path& file, const ExtractedFeatures& part,
                    const FrozenEncoder& encoder, Communicator& world) {
  const Layout layout{.samples = sum_over_ranks(world, part.h.rows()),
                      .channels = part.h.channels,
                      .embedding = part.embedding,
                      .labeled = any_rank(world, !part.h.labels.empty())};
  std::unique_ptr<ArrayFile> out;
  if (world.rank() == 0) {
    out = std::make_unique<ArrayFile>(file);
    create(*out, layout, encoder);
  }
  std::int64_t first = 0;
  for (int owner = 0; owner < world.size(); ++owner) {
    const auto h = broadcast_list(world, part.h.values, owner);
    const auto z = broadcast_list(world, part.z, owner);
    const auto labels = broadcast_list(world, part.h.labels, owner);
    if (out) write_part(*out, layout, first, h, z, labels);
    first += static_cast<std::int64_t>(h.size()) / layout.channels;
  }
  if (out) out->finish();
}

}  // namespace simclr
