#include <span>

#include "preview.hpp"
#include "simclr/io/array_file.hpp"

namespace simclr {
namespace {

/// Most memory that the views of one part may take.
constexpr std::int64_t kPartBytes = std::int64_t{128} << 20;

/// The fewest equal parts of a batch that are small enough.
std::int64_t count_parts(const LoaderConfig& loader) {
  const std::int64_t side = loader.augmentation.image_size;
  const std::int64_t sample_bytes =
      loader.views_per_sample * side * side * 3 * std::int64_t{sizeof(float)};
  std::int64_t parts = 1;
  while (parts < loader.batch_size && (loader.batch_size % parts != 0 ||
                                       loader.batch_size / parts * sample_bytes > kPartBytes)) {
    ++parts;
  }
  return parts;
}

}  // namespace

void write_view_audit(const std::filesystem::path& path, SampleStore& store, LoaderConfig loader) {
  const std::int64_t steps = loader.end_step - loader.first_step;
  const std::int64_t side = loader.augmentation.image_size;
  const std::int64_t parts = count_parts(loader);
  const std::int64_t part_samples = loader.batch_size / parts;
  const auto view_elements = static_cast<std::size_t>(part_samples * side * side * 3);

  ArrayFile file(path);
  file.create("views", ArrayFile::Type::f32,
              {steps, loader.views_per_sample, loader.batch_size, side, side, 3});
  file.create("sample_index", ArrayFile::Type::i64, {steps, loader.batch_size});
  file.attribute("first_step", loader.first_step);
  loader.world_size = static_cast<int>(parts);
  for (loader.rank = 0; loader.rank < loader.world_size; ++loader.rank) {
    const std::int64_t first_sample = loader.rank * part_samples;
    TrainingLoader batches(store, loader);
    for (std::int64_t step = 0; step < steps; ++step) {
      const ViewBatch& batch = batches.next();
      file.write("sample_index", {step, first_sample}, std::span(batch.sample_index));
      for (std::int64_t view = 0; view < loader.views_per_sample; ++view) {
        file.write("views", {step, view, first_sample},
                   std::span(batch.views)
                       .subspan(static_cast<std::size_t>(view) * view_elements, view_elements));
      }
    }
  }
  file.finish();
}

}  // namespace simclr
