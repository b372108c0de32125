#pragma once
// An HDF5 file that goes to disk while it is made.

#include <cstdint>
#include <memory>

#include "hdf5.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr::h5 {

/// How HDF5 lays out a new file.
enum class FileLayout : std::uint8_t {
  earliest,  ///< in the earliest version of the format
  /// In that of HDF5 1.8, which allows attributes over 64 KiB (many class names) and which every
  /// later version reads. Large datasets start on pages, so that their blocks can be read without a
  /// copy.
  pages,
};

/// A new HDF5 file, written through `target`. HDF5 itself never meets an error of the disk, after
/// which it could not close the file: from the first error on nothing more is written, and
/// require_written() and close() throw that error.
class StreamedFile {
 public:
  /// Uses no time stamps: equal contents give equal bytes.
  StreamedFile(AtomicFile& target, FileLayout layout);
  StreamedFile(const StreamedFile&) = delete;
  StreamedFile& operator=(const StreamedFile&) = delete;
  ~StreamedFile();

  [[nodiscard]] const Handle& handle() const { return file_; }
  void require_written() const;
  /// Writes what HDF5 still holds. Close every dataset first.
  void close();

  struct Stream;

 private:
  std::unique_ptr<Stream> stream_;  // outlives the file, which writes to it
  Handle file_;
};

}  // namespace simclr::h5
