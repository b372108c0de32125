#pragma once
// A new HDF5 file of named arrays, written row block by row block (features, audit dumps).

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace simclr {

/// The `format` attribute of a file with the predictions of a classifier.
inline constexpr const char* kPredictionsFormat = "simclr-predictions";

/// Writes under a temporary name in the same directory; `finish` syncs and renames the file. The
/// destructor deletes an unfinished file. Failed writes (disk full) throw Error naming the file.
class ArrayFile {
 public:
  explicit ArrayFile(std::filesystem::path path);
  ArrayFile(const ArrayFile&) = delete;
  ArrayFile& operator=(const ArrayFile&) = delete;
  ~ArrayFile();

  enum class Type : std::uint8_t { f32, i32, i64, u8, u64 };
  /// Creates a contiguous dataset of these extents; `write` fills it.
  void create(const std::string& name, Type type, const std::vector<std::int64_t>& extents);
  /// Writes rows of the sub-array selected by all but the last coordinate, as many as `values`
  /// holds, starting at row leading.back(): leading = {s, v, i} writes (s, v, i, ...),
  /// (s, v, i + 1, ...) and so on. T is the C++ type of the dataset.
  template <class T>
  void write(const std::string& name, const std::vector<std::int64_t>& leading,
             std::span<const T> values);
  void attribute(const std::string& name, const std::string& text);
  void attribute(const std::string& name, std::int64_t value);
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
