#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "preview.hpp"
#include "simclr/io/array_file.hpp"
#include "simclr/tensor/convert.hpp"

namespace simclr {
namespace {

/// Maximum memory of the views of one part.
constexpr std::int64_t kPartBytes = std::int64_t{128} << 20;

/// Returns the least number of equal parts of a batch that the ranks can share and that are small
/// enough.
std::int64_t count_parts(const LoaderConfig& loader, std::int64_t ranks) {
  const std::int64_t side = loader.augmentation.image_size;
  const std::int64_t sample_bytes =
      loader.views_per_sample * side * side * 3 * std::int64_t{sizeof(float)};
  const std::int64_t most = loader.batch_size / ranks;
  std::int64_t parts = 1;
  while (parts < most &&
         (most % parts != 0 || loader.batch_size / parts * sample_bytes > kPartBytes)) {
    ++parts;
  }
  return parts;
}

/// Returns the values of all ranks in rank order.
template <class T>
std::vector<T> gather(std::span<const T> own, Communicator& world) {
  std::vector<T> all(own.size() * static_cast<std::size_t>(world.size()));
  world.all_gather({own.data(), own.size_bytes(), DType::u8},
                   {all.data(), all.size() * sizeof(T), DType::u8});
  return all;
}

/// Converts the views to float; the values are those that training computes with.
std::vector<float> widened(const HostBuffer& views) {
  std::vector<float> wide(views.size());
  with_type(views.dtype(), [&]<class T>(T) {
    std::ranges::transform(views.values<T>(), wide.begin(), convert_value<float, T>);
  });
  return wide;
}

std::unique_ptr<ArrayFile> create_file(const std::filesystem::path& path,
                                       const LoaderConfig& loader, Communicator& world) {
  const std::int64_t steps = loader.end_step - loader.first_step;
  const std::int64_t side = loader.augmentation.image_size;
  std::unique_ptr<ArrayFile> file;
  on_root(world, [&] {
    file = std::make_unique<ArrayFile>(path);
    file->create("views", ArrayFile::Type::f32,
                 {steps, loader.views_per_sample, loader.batch_size, side, side, 3});
    file->create("sample_index", ArrayFile::Type::i64, {steps, loader.batch_size});
    file->attribute("first_step", loader.first_step);
  });
  return file;
}

}  // namespace

void write_view_audit(const std::filesystem::path& path, SampleStore& store, LoaderConfig loader,
                      Communicator& world) {
  const std::int64_t parts = count_parts(loader, world.size());
  loader.world_size = static_cast<int>(parts) * world.size();
  const std::int64_t share = loader.batch_size / loader.world_size;  // samples of a rank in a part
  const auto side = static_cast<std::size_t>(loader.augmentation.image_size);
  const std::size_t view_elements = static_cast<std::size_t>(share) * side * side * 3;

  const std::unique_ptr<ArrayFile> file = create_file(path, loader, world);
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t first_rank = part * world.size();
    loader.rank = static_cast<int>(first_rank) + world.rank();
    TrainingLoader batches(store, loader);
    for (std::int64_t step = 0; step < loader.end_step - loader.first_step; ++step) {
      const ViewBatch& batch = batches.next();
      const auto samples = gather(std::span(batch.sample_index), world);
      const std::vector<float> own = widened(batch.views);
      const auto views = gather(std::span<const float>(own), world);
      if (!file) continue;
      file->write("sample_index", {step, first_rank * share}, std::span(samples));
      std::size_t at = 0;
      for (int rank = 0; rank < world.size(); ++rank) {
        for (std::int64_t view = 0; view < loader.views_per_sample; ++view, at += view_elements) {
          file->write("views", {step, view, (first_rank + rank) * share},
                      std::span(views).subspan(at, view_elements));
        }
      }
    }
  }
  on_root(world, [&] { file->finish(); });
}

}  // namespace simclr
