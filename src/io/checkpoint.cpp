#include "simclr/io/checkpoint.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <set>
#include <utility>

#include "hdf5.hpp"
#include "hdf5_stream.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/checked.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/first_look.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

constexpr const char* kFormat = "simclr-checkpoint";
constexpr std::int64_t kVersion = 1;
/// More steps, epochs or loss scale than any run has: products with other numbers fit 64 bits.
constexpr std::uint64_t kMostCount = 1'000'000'000'000;

struct Section {
  const char* group;
  std::vector<NamedTensor> Checkpoint::*tensors;
};
constexpr std::array kSections{
    Section{"parameters", &Checkpoint::parameters},
    Section{"running", &Checkpoint::running},
    Section{"optimizer/momentum", &Checkpoint::momentum},
    Section{"optimizer/second_moment", &Checkpoint::second_moment},
};

std::array<std::uint64_t, 3> words(const LossScaling& scaling) {
  const auto word = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
  return {word(scaling.scale), word(scaling.good_steps), word(scaling.skipped_steps)};
}

std::string checksum_of(std::span<const float> values) {
  return to_hex(hash64(std::as_bytes(values)));
}

/// Checksum of the whole file: hashes a text with all attributes and a line per tensor, in stored
/// order.
class Digest {
 public:
  explicit Digest(const Checkpoint& c)
      : text_(fmt::format("{} {}\nstep {}\nepoch {}\nseed {}\n{}\n{}\n", kFormat, kVersion, c.step,
                          c.epoch, c.seed, c.configuration, c.model)) {
    if (!c.data.empty()) text_ += fmt::format("data {}\n", c.data);
    if (!c.loss_scaling) return;
    text_ += fmt::format("loss scaling {}\n", fmt::join(words(*c.loss_scaling), " "));
  }
  void add(const char* group, const NamedTensor& tensor, const std::string& checksum) {
    text_ += fmt::format("{}/{} {} {}\n", group, tensor.name, tensor.shape.text(), checksum);
  }
  [[nodiscard]] std::string hex() const { return to_hex(hash64(std::as_bytes(std::span(text_)))); }

 private:
  std::string text_;
};

h5::Extents extents(const Shape& shape) {
  h5::Extents result;
  for (int d = 0; d < shape.rank(); ++d) result.push_back(static_cast<hsize_t>(shape[d]));
  return result;
}

/// Opens a tensor that is as write_checkpoint() writes them: floats in one piece in this file.
h5::Handle open_tensor(const h5::Handle& file, const std::filesystem::path& path,
                       const std::string& name) {
  h5::Handle dataset = h5::open_plain_dataset(file, path, name);
  const h5::Handle creation =
      h5::own(H5Dget_create_plist(dataset.get()), H5Pclose, "HDF5 dataset creation list");
  const h5::Handle type = h5::own(H5Dget_type(dataset.get()), H5Tclose, "HDF5 datatype");
  if (H5Pget_layout(creation.get()) != H5D_CONTIGUOUS || H5Tget_class(type.get()) != H5T_FLOAT ||
      H5Tget_size(type.get()) != sizeof(float)) {
    fail("'{}' is not stored as 32-bit floats in one piece", name);
  }
  return dataset;
}

Shape shape_of(const h5::Extents& extents, const std::string& name) {
  if (extents.empty() || extents.size() > Shape::kMaxRank) {
    fail("'{}' has {} dimensions, not 1 to {}", name, extents.size(), Shape::kMaxRank);
  }
  constexpr std::uint64_t kMostElements = std::uint64_t{1} << 60;
  if (checked_product(extents, kMostElements).value_or(0) == 0) {
    fail("'{}' has the impossible shape ({})", name, fmt::join(extents, ","));
  }
  return Shape(std::vector<std::int64_t>(extents.begin(), extents.end()));
}

// ---- writing ------------------------------------------------------------------------------------

void write_attributes(const h5::Handle& file, const Checkpoint& c, const std::string& checksum) {
  h5::write_attribute(file, "format", std::string(kFormat));
  h5::write_attribute(file, "version", kVersion);
  h5::write_attribute(file, "step", c.step);
  h5::write_attribute(file, "epoch", c.epoch);
  h5::write_attribute(file, "seed", std::span(&c.seed, 1));
  h5::write_attribute(file, "configuration", c.configuration);
  h5::write_attribute(file, "model", c.model);
  if (!c.data.empty()) h5::write_attribute(file, "data", c.data);
  if (c.loss_scaling) {
    const std::array<std::uint64_t, 3> scaling = words(*c.loss_scaling);
    h5::write_attribute(file, "loss_scaling", std::span(scaling));
  }
  h5::write_attribute(file, "checksum", checksum);
}

/// Stores the order of the tensors within each section, which HDF5 does not keep.
void write_order(const h5::Handle& file, const Checkpoint& c) {
  for (const Section& section : kSections) {
    std::vector<std::string> names;
    for (const NamedTensor& t : c.*section.tensors) names.push_back(t.name);
    if (!names.empty()) h5::write_attribute(file, std::string("order:") + section.group, names);
  }
}

/// Returns the checksum of the whole file.
std::string write_contents(AtomicFile& target, const Checkpoint& checkpoint,
                           const TensorValues& values) {
  const auto lock = h5::lock_library();
  h5::StreamedFile file(target, h5::FileLayout::earliest);
  Digest digest(checkpoint);
  std::size_t number = 0;
  for (const Section& section : kSections) {
    for (const NamedTensor& tensor : checkpoint.*section.tensors) {
      const std::span<const float> written = values ? values(number++) : tensor.values;
      require(std::ssize(written) == tensor.shape.elements(), "a tensor must have all its values");
      const h5::Handle dataset =
          h5::write_dataset<float>(file.handle(), std::string(section.group) + "/" + tensor.name,
                                   written, extents(tensor.shape));
      file.require_written();
      const std::string checksum = checksum_of(written);
      h5::write_attribute(dataset, "checksum", checksum);
      digest.add(section.group, tensor, checksum);
    }
  }
  std::string checksum = digest.hex();
  write_attributes(file.handle(), checkpoint, checksum);
  write_order(file.handle(), checkpoint);
  file.close();
  return checksum;
}

// ---- reading ------------------------------------------------------------------------------------

/// A file under inspection: a first look reads everything but the values.
struct Source {
  const std::filesystem::path& path;
  bool with_values = true;
  h5::Handle file = h5::open_file(path);
};

NamedTensor read_tensor(const Source& source, const Section& section, const std::string& name,
                        Digest& digest) {
  const std::string path = std::string(section.group) + "/" + name;
  const h5::Handle dataset = open_tensor(source.file, source.path, path);
  NamedTensor tensor{name, shape_of(h5::extents_of(dataset), path), {}};
  const auto stored = h5::read_text(dataset, "checksum");
  if (!source.with_values) return tensor;
  tensor.values = h5::read_dataset<float>(dataset);
  const std::string checksum = checksum_of(tensor.values);
  if (stored != checksum) fail("'{}' does not match its checksum", path);
  digest.add(section.group, tensor, checksum);
  return tensor;
}

std::vector<NamedTensor> read_section(const Source& source, const Section& section,
                                      Digest& digest) {
  std::vector<NamedTensor> tensors;
  std::set<std::string> seen;
  for (const auto& name : h5::read_texts(source.file, std::string("order:") + section.group)) {
    if (!seen.insert(name).second) fail("it lists '{}/{}' twice", section.group, name);
    tensors.push_back(read_tensor(source, section, name, digest));
  }
  return tensors;
}

template <class T>
T require_attribute(std::optional<T> value, const char* attribute) {
  if (!value) fail("attribute '{}' is missing", attribute);
  return *std::move(value);
}

std::optional<LossScaling> read_loss_scaling(const h5::Handle& file) {
  const std::vector<std::uint64_t> words = h5::read_words(file, "loss_scaling");
  if (words.empty()) return {};
  if (words.size() != 3) fail("attribute 'loss_scaling' has {} numbers, not 3", words.size());
  if (!std::has_single_bit(words[0]) || std::ranges::max(words) > kMostCount) {
    fail("attribute 'loss_scaling' has impossible numbers: {}", fmt::join(words, " "));
  }
  const auto number = [&](std::size_t i) { return static_cast<std::int64_t>(words[i]); };
  return LossScaling{number(0), number(1), number(2)};
}

std::int64_t read_count(const h5::Handle& file, const char* attribute) {
  const auto count = require_attribute(h5::read_integer(file, attribute), attribute);
  if (count < 0 || std::cmp_greater(count, kMostCount)) {
    fail("its {} is {}; allowed: 0 to {}", attribute, count, kMostCount);
  }
  return count;
}

Checkpoint read_contents(const Source& source) {
  const h5::Handle& file = source.file;
  if (h5::read_text(file, "format") != kFormat) fail("its format is not '{}'", kFormat);
  const std::int64_t version = require_attribute(h5::read_integer(file, "version"), "version");
  if (version != kVersion) fail("its version is {}; this program reads {}", version, kVersion);

  Checkpoint c;
  c.step = read_count(file, "step");
  c.epoch = read_count(file, "epoch");
  const std::vector<std::uint64_t> seed = h5::read_words(file, "seed");
  if (seed.size() != 1) fail("attribute 'seed' is missing");
  c.seed = seed.front();
  c.configuration = require_attribute(h5::read_text(file, "configuration"), "configuration");
  c.model = require_attribute(h5::read_text(file, "model"), "model");
  c.data = h5::read_text(file, "data").value_or("");
  c.loss_scaling = read_loss_scaling(file);
  c.checksum = require_attribute(h5::read_text(file, "checksum"), "checksum");

  Digest digest(c);
  for (const Section& section : kSections) {
    c.*section.tensors = read_section(source, section, digest);
  }
  if (source.with_values && digest.hex() != c.checksum)
    fail("its contents do not match the checksum of the whole file");
  return c;
}

std::string read_attribute(const std::filesystem::path& path, const char* name) {
  return h5::refusing_damage(path,
                             [&] { return h5::read_text(h5::open_file(path), name).value_or(""); });
}

}  // namespace

std::string hdf5_file_attribute(const std::filesystem::path& path, const char* name) {
  look_first(path, [](const std::filesystem::path& file) {
    for (const char* each : {"format", "origin"}) (void)read_attribute(file, each);
  });
  const auto lock = h5::lock_library();
  return read_attribute(path, name);
}

bool hdf5_file_holds(const std::filesystem::path& path, const std::string& dataset) {
  try {
    look_first(path, [](const std::filesystem::path& file) {
      (void)H5Lexists(h5::open_file(file).get(), "any", H5P_DEFAULT);
    });
    const auto lock = h5::lock_library();
    return H5Lexists(h5::open_file(path).get(), dataset.c_str(), H5P_DEFAULT) > 0;
  } catch (const RefusedError&) {  // no HDF5 file
    return false;
  }
}

std::string hdf5_version() {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  h5::check(H5get_libversion(&major, &minor, &release), "HDF5 version");
  return fmt::format("{}.{}.{}", major, minor, release);
}

std::string write_checkpoint(const std::filesystem::path& file, const Checkpoint& checkpoint,
                             const std::function<bool()>& still_wanted,
                             const TensorValues& values) {
  std::string checksum;
  write_file(
      file, [&](AtomicFile& target) { checksum = write_contents(target, checkpoint, values); },
      still_wanted);
  return checksum;
}

Checkpoint read_checkpoint(const std::filesystem::path& file) {
  try {
    return with_retries(file, [&](int) {
      look_first(file, [](const std::filesystem::path& path) {
        (void)read_contents({.path = path, .with_values = false});
      });
      const auto lock = h5::lock_library();
      return read_contents({.path = file});
    });
  } catch (const RefusedError&) {
    throw;
  } catch (const IoError& error) {
    // These say nothing about the file: an older checkpoint would not do better.
    if (error.error_number() == ENOMEM || error.error_number() == ECHILD) throw;
    refuse("{}: is not a valid checkpoint: {}", file.string(), error.what());
  } catch (const Error& error) {
    refuse("{}: is not a valid checkpoint: {}", file.string(), error.what());
  }
}

}  // namespace simclr
