// Shards and checkpoints.

#include <hdf5.h>

#include <algorithm>
#include <array>

#include "io/hdf5.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/io/image_file.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/io/shard_writer.hpp"
#include "targets.hpp"

namespace simclr::fuzz {
namespace {

namespace fs = std::filesystem;

std::string own_shard(const fs::path& file, ImageEncoding encoding, bool one_size) {
  constexpr int kSamples = 5;
  ShardSpec spec{.name = "toy",
                 .class_names = {"a", "bc"},
                 .samples = kSamples,
                 .labeled = true,
                 .named = true,
                 .encoding = encoding};
  if (one_size) spec.fixed_size = ShardSpec::Size{4, 6};
  ShardWriter writer(file, spec);
  for (int i = 0; i < kSamples; ++i) {
    const int height = one_size ? 4 : 2 + i;
    const Image image{height, 6, std::vector<std::uint8_t>(static_cast<std::size_t>(height) * 18)};
    if (encoding == ImageEncoding::jpeg) {
      writer.append(encode_jpeg(image, 50), height, 6, i % 2, "a/1.jpg");
    } else {
      writer.append(std::as_bytes(std::span(image.pixels)), height, 6, i % 2, "b.png");
    }
  }
  writer.complete();
  writer.publish();
  return read_bytes(file);
}

/// A shard as other programs write them: the earliest format, compressed chunks, text of fixed
/// length, labels of another type, a soft link.
std::string foreign_shard(const fs::path& path) {
  {
    const h5::Handle file =
        h5::own(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose, "file");
    const std::array<hsize_t, 4> extents{5, 4, 6, 3};
    const std::array<hsize_t, 4> chunk{2, 4, 6, 3};
    const h5::Handle space = h5::own(H5Screate_simple(4, extents.data(), nullptr), H5Sclose, "");
    const h5::Handle creation = h5::own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "");
    h5::check(H5Pset_chunk(creation.get(), 4, chunk.data()), "chunks");
    h5::check(H5Pset_deflate(creation.get(), 1), "compression");
    const h5::Handle images = h5::own(H5Dcreate2(file.get(), "pixels", H5T_STD_U8LE, space.get(),
                                                 H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                                      H5Dclose, "images");
    const std::vector<std::uint8_t> pixels(360, 7);
    h5::write_rows(images, H5T_NATIVE_UINT8, {0}, 5, pixels.data());
    h5::check(H5Lcreate_soft("pixels", file.get(), "images", H5P_DEFAULT, H5P_DEFAULT), "link");
    const std::vector<std::int32_t> labels{0, 1, 2, 1, 0};
    h5::write_dataset<std::int32_t>(file, "labels", labels);
    const h5::Handle text = h5::own(H5Tcopy(H5T_C_S1), H5Tclose, "");
    h5::check(H5Tset_size(text.get(), 8), "text");
    const h5::Handle one = h5::own(H5Screate(H5S_SCALAR), H5Sclose, "");
    const h5::Handle name =
        h5::own(H5Acreate2(file.get(), "name", text.get(), one.get(), H5P_DEFAULT, H5P_DEFAULT),
                H5Aclose, "");
    h5::check(H5Awrite(name.get(), text.get(), "foreign"), "text");
    h5::write_attribute(file, "class_names", std::vector<std::string>{"x", "y", "z"});
  }
  return read_bytes(path);
}

Corpus shard_corpus(const fs::path& scratch) {
  return {.seeds = {own_shard(scratch / "a.h5", ImageEncoding::raw, true),
                    own_shard(scratch / "b.h5", ImageEncoding::raw, false),
                    own_shard(scratch / "c.h5", ImageEncoding::jpeg, false),
                    foreign_shard(scratch / "d.h5")},
          .words = {"images", "labels", "offsets", "names", "GCOL", "OHDR", "FRHP", "SNOD", "TREE",
                    "HEAP"}};
}

/// Opens and verifies a shard, and reads its first samples, as `inspect --verify` and training do.
void read_shard(const std::string& bytes, const fs::path& scratch) {
  const fs::path file = write_bytes(scratch / "shard.h5", bytes);
  const ShardSet set(file);
  (void)verify_shard(file);
  const SampleNames& names = set.names();
  for (std::int64_t i = 0; i < names.size(); ++i) (void)names[i];
  const std::int64_t count = std::min<std::int64_t>(set.info().samples, 4);
  constexpr std::uint64_t kMostBytes = 1 << 24;
  if (set.stored_bytes(0, count) > kMostBytes) return;
  std::vector<std::byte> samples(set.stored_bytes(0, count));
  set.read(0, count, samples);
}

Corpus checkpoint_corpus(const fs::path& scratch) {
  Checkpoint c;
  c.step = 7;
  c.seed = 3;
  c.configuration = "[pretrain]\nbatch-size = 64\n";
  c.model = R"({"encoder":"resnet18"})";
  c.parameters = {{"conv1.weight", {2, 1, 1, 3}, std::vector<float>(6, 1.F)},
                  {"bn1.bias", {2}, {0.5F, 0.25F}}};
  c.momentum = c.parameters;
  c.running = {{"bn1.running_mean", {2}, {1.F, 2.F}}};
  write_checkpoint(scratch / "plain.h5", c);
  c.second_moment = c.parameters;
  c.loss_scaling = LossScaling{};
  write_checkpoint(scratch / "full.h5", c);
  return {.seeds = {read_bytes(scratch / "plain.h5"), read_bytes(scratch / "full.h5")},
          .words = {"parameters", "order:running", "checksum", "GCOL", "SNOD", "TREE", "HEAP"}};
}

void read_checkpoint_file(const std::string& bytes, const fs::path& scratch) {
  const fs::path file = write_bytes(scratch / "checkpoint.h5", bytes);
  (void)hdf5_file_attribute(file, "format");
  (void)read_checkpoint(file);
}

}  // namespace

std::vector<Target> hdf5_targets() {
  return {{"shard", kFewInputs, shard_corpus, read_shard},
          {"checkpoint", kFewInputs, checkpoint_corpus, read_checkpoint_file}};
}

}  // namespace simclr::fuzz
