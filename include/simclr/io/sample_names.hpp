#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace simclr {

/// The names of samples, such as the paths of the files that they were packed from, in one piece of
/// memory. Names are compared as bytes: UTF-8, unless a file's name was not.
class SampleNames {
 public:
  SampleNames() = default;
  /// `offsets` (N+1): where each name begins in `bytes`, and the end of the last. They must ascend
  /// and end within `bytes`.
  SampleNames(std::string bytes, std::vector<std::uint64_t> offsets)
      : bytes_(std::move(bytes)), offsets_(std::move(offsets)) {}

  [[nodiscard]] std::int64_t size() const { return std::ssize(offsets_) - 1; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::string_view operator[](std::int64_t sample) const {
    const auto i = static_cast<std::size_t>(sample);
    return std::string_view(bytes_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }
  void append(std::string_view name) {
    bytes_ += name;
    offsets_.push_back(bytes_.size());
  }

  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] const std::vector<std::uint64_t>& offsets() const { return offsets_; }

 private:
  std::string bytes_;
  std::vector<std::uint64_t> offsets_{0};
};

}  // namespace simclr
