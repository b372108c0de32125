// A file driver of HDF5 (H5FDpublic.h) that hands all bytes to an AtomicFile.

#include "hdf5_stream.hpp"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <span>

namespace simclr::h5 {

struct StreamedFile::Stream {
  explicit Stream(AtomicFile& file) : target(file) {}

  AtomicFile& target;
  std::exception_ptr error;  ///< the first; nothing is written after it

  /// Returns false, and keeps the first error, if `work` fails.
  template <class Work>
  bool attempt(const Work& work) noexcept {
    try {
      work();
      return true;
    } catch (...) {
      if (!error) error = std::current_exception();
      return false;
    }
  }
  template <class Work>
  void write(const Work& work) noexcept {
    if (!error) attempt(work);
  }
};

namespace {

using Stream = StreamedFile::Stream;

constexpr haddr_t kMostBytes = (haddr_t{1} << 63) - 1;
constexpr hsize_t kAlignmentThresholdBytes = 65536;
constexpr hsize_t kAlignmentBytes = 4096;

/// HDF5's view of an open file.
struct OpenFile : H5FD_t {
  Stream* stream = nullptr;
  haddr_t allocated = 0;  ///< HDF5's end of allocated addresses
  haddr_t written = 0;    ///< end of what was written
};

OpenFile& own_part(H5FD_t* file) { return *static_cast<OpenFile*>(file); }
const OpenFile& own_part(const H5FD_t* file) { return *static_cast<const OpenFile*>(file); }

H5FD_t* open_stream(const char* /*name*/, unsigned /*flags*/, hid_t access, haddr_t /*most*/) {
  auto* file = new OpenFile();
  file->stream = *static_cast<Stream* const*>(H5Pget_driver_info(access));
  return file;
}

herr_t close_stream(H5FD_t* file) {
  delete &own_part(file);
  return 0;
}

/// Asks for the same placement as HDF5's own drivers.
herr_t list_features(const H5FD_t* /*file*/, unsigned long* features) {
  *features = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
              H5FD_FEAT_AGGREGATE_SMALLDATA;
  return 0;
}

haddr_t end_of_allocated(const H5FD_t* file, H5FD_mem_t /*type*/) {
  return own_part(file).allocated;
}

herr_t set_end_of_allocated(H5FD_t* file, H5FD_mem_t /*type*/, haddr_t end) {
  own_part(file).allocated = end;
  return 0;
}

haddr_t end_of_written(const H5FD_t* file, H5FD_mem_t /*type*/) { return own_part(file).written; }

herr_t read_bytes(H5FD_t* file, H5FD_mem_t /*type*/, hid_t /*transfer*/, haddr_t at,
                  std::size_t count, void* bytes) {
  Stream& stream = *own_part(file).stream;
  const std::span out(static_cast<std::byte*>(bytes), count);
  return stream.attempt([&] { stream.target.read_at(at, out); }) ? 0 : -1;
}

herr_t write_bytes(H5FD_t* file, H5FD_mem_t /*type*/, hid_t /*transfer*/, haddr_t at,
                   std::size_t count, const void* bytes) {
  OpenFile& own = own_part(file);
  own.written = std::max(own.written, at + count);
  const std::span in(static_cast<const std::byte*>(bytes), count);
  own.stream->write([&] { own.stream->target.write_at(at, in); });
  return 0;  // also after an error: see StreamedFile
}

herr_t set_length(H5FD_t* file, hid_t /*transfer*/, hbool_t /*closing*/) {
  OpenFile& own = own_part(file);
  if (own.written == own.allocated) return 0;
  own.written = own.allocated;
  own.stream->write([&] { own.stream->target.resize(own.allocated); });
  return 0;
}

hid_t register_driver() {
  H5FD_class_t driver{};
#if H5_VERSION_GE(1, 13, 0)
  driver.version = H5FD_CLASS_VERSION;
  driver.value = static_cast<H5FD_class_value_t>(512);  // of those that HDF5 leaves to programs
#endif
  driver.name = "simclr-stream";
  driver.maxaddr = kMostBytes;
  driver.fc_degree = H5F_CLOSE_SEMI;
  driver.fapl_size = sizeof(Stream*);
  driver.open = open_stream;
  driver.close = close_stream;
  driver.query = list_features;
  driver.get_eoa = end_of_allocated;
  driver.set_eoa = set_end_of_allocated;
  driver.get_eof = end_of_written;
  driver.read = read_bytes;
  driver.write = write_bytes;
  driver.truncate = set_length;
  constexpr H5FD_mem_t kFreeLists[] = H5FD_FLMAP_DICHOTOMY;
  std::ranges::copy(kFreeLists, std::begin(driver.fl_map));
  const hid_t id = H5FDregister(&driver);
  check(id < 0 ? -1 : 0, "HDF5 driver of streamed files");
  return id;
}

Handle create(Stream* stream, FileLayout layout) {
  const auto lock = lock_library();
  check(H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr), "HDF5 error printing off");
  static const hid_t driver = register_driver();
  const Handle access = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "HDF5 access list");
  check(H5Pset_driver(access.get(), driver, static_cast<const void*>(&stream)),
        "HDF5 driver of streamed files");
  if (layout == FileLayout::pages) {
    check(H5Pset_alignment(access.get(), kAlignmentThresholdBytes, kAlignmentBytes),
          "HDF5 alignment");
    check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_LATEST), "HDF5 format");
  }
  const Handle creation = own(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "HDF5 creation list");
  check(H5Pset_obj_track_times(creation.get(), false), "HDF5 time stamps off");
  return own(H5Fcreate("streamed", H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose,
             "HDF5 file to be streamed");
}

}  // namespace

StreamedFile::StreamedFile(AtomicFile& target, FileLayout layout)
    : stream_(std::make_unique<Stream>(target)), file_(create(stream_.get(), layout)) {}

StreamedFile::~StreamedFile() = default;

void StreamedFile::require_written() const {
  if (stream_->error) std::rethrow_exception(stream_->error);
}

void StreamedFile::close() {
  file_.close("HDF5 file to be streamed");
  require_written();
}

}  // namespace simclr::h5
