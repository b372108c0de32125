#pragma once
// An HDF5 file that goes to disk while it is made.

#include <memory>

#include "hdf5.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr::h5 {

/// A new HDF5 file, written through `target`. HDF5 itself never meets an error of the disk, after
/// which it could not close the file: from the first error on nothing more is written, and
/// require_written() and close() throw that error. Hold lock_library() as long as it lives.
class StreamedFile {
 public:
  /// Uses the earliest file format and no time stamps: equal contents give equal bytes.
  explicit StreamedFile(AtomicFile& target);
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
