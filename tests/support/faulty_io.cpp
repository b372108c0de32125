// A library to preload that makes system calls on chosen files fail, as on a faulty file system.
//
// FAULTY_IO="CALL:PATH:SKIP:TIMES:ERRNO;..." makes calls number SKIP+1 to SKIP+TIMES of CALL (open,
// read, pread, write, fsync) on files whose path contains PATH fail with ERRNO; with ERRNO 0 they
// succeed after FAULTY_IO_SECONDS. FAULTY_IO_RANK limits the faults to that rank of an Open MPI
// job, FAULTY_IO_AFTER to the time after a file of that name exists.

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <list>
#include <new>
#include <sstream>
#include <string>

namespace {

struct Fault {
  std::string call, path;
  long skip = 0, times = 0;
  int error = 0;
  /// Forked processes count together.
  std::atomic<long>* calls = new (::mmap(nullptr, sizeof(std::atomic<long>), PROT_READ | PROT_WRITE,
                                         MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<long>(0);
};

bool in_this_rank() {
  const char* wanted = std::getenv("FAULTY_IO_RANK");
  const char* own = std::getenv("OMPI_COMM_WORLD_RANK");
  return wanted == nullptr || std::string(own != nullptr ? own : "0") == wanted;
}

std::list<Fault> read_faults() {
  std::list<Fault> faults;
  const char* text = std::getenv("FAULTY_IO");
  std::istringstream in(text != nullptr && in_this_rank() ? text : "");
  for (std::string one; std::getline(in, one, ';');) {
    std::istringstream fields(one);
    Fault& fault = faults.emplace_back();
    std::string number;
    std::getline(fields, fault.call, ':');
    std::getline(fields, fault.path, ':');
    std::getline(fields, number, ':');
    fault.skip = std::stol(number);
    std::getline(fields, number, ':');
    fault.times = std::stol(number);
    std::getline(fields, number, ':');
    fault.error = std::stoi(number);
  }
  return faults;
}

std::list<Fault>& faults() {
  static std::list<Fault> list = read_faults();
  return list;
}
/// Reads them before the program forks.
[[maybe_unused]] const bool read_at_start = (faults(), true);

bool has_begun() {
  const char* file = std::getenv("FAULTY_IO_AFTER");
  return file == nullptr || ::access(file, F_OK) == 0;
}

/// Sets errno and returns true if this call must fail.
bool fails(const char* call, const std::string& path) {
  for (Fault& fault : faults()) {
    if (fault.call != call || path.find(fault.path) == std::string::npos || !has_begun()) continue;
    const long number = (*fault.calls)++;
    if (number < fault.skip || number >= fault.skip + fault.times) continue;
    if (fault.error == 0) {
      ::sleep(static_cast<unsigned>(std::stoul(std::getenv("FAULTY_IO_SECONDS"))));
      continue;
    }
    errno = fault.error;
    return true;
  }
  return false;
}

std::string path_of(int descriptor) {
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  return length < 0 ? "" : std::string(path.data(), static_cast<std::size_t>(length));
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

template <class... Arguments>
ssize_t transfer(const char* call, const char* name, int descriptor, Arguments... arguments) {
  if (fails(call, path_of(descriptor))) return -1;
  return next<ssize_t(int, Arguments...)>(name)(descriptor, arguments...);
}

int open_file(const char* name, const char* path, int flags, mode_t mode) {
  if (fails("open", path)) return -1;
  return next<int(const char*, int, ...)>(name)(path, flags, mode);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  std::va_list rest;
  va_start(rest, flags);
  const auto mode = static_cast<mode_t>(va_arg(rest, int));
  va_end(rest);
  return open_file("open", path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  std::va_list rest;
  va_start(rest, flags);
  const auto mode = static_cast<mode_t>(va_arg(rest, int));
  va_end(rest);
  return open_file("open64", path, flags, mode);
}
ssize_t read(int descriptor, void* data, size_t bytes) {
  return transfer("read", "read", descriptor, data, bytes);
}
ssize_t pread(int descriptor, void* data, size_t bytes, off_t at) {
  return transfer("pread", "pread", descriptor, data, bytes, at);
}
ssize_t pread64(int descriptor, void* data, size_t bytes, off64_t at) {
  return transfer("pread", "pread64", descriptor, data, bytes, at);
}
ssize_t write(int descriptor, const void* data, size_t bytes) {
  return transfer("write", "write", descriptor, data, bytes);
}
ssize_t pwrite(int descriptor, const void* data, size_t bytes, off_t at) {
  return transfer("write", "pwrite", descriptor, data, bytes, at);
}
ssize_t pwrite64(int descriptor, const void* data, size_t bytes, off64_t at) {
  return transfer("write", "pwrite64", descriptor, data, bytes, at);
}
int fsync(int descriptor) { return static_cast<int>(transfer("fsync", "fsync", descriptor)); }

}  // extern "C"
