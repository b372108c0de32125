#pragma once
// What the operating system gives: descriptors, random bytes, this machine's name, processor time,
// amounts of memory, reasons of errors.

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace simclr {

/// Owns the descriptor of a file or socket; -1 when empty.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  explicit operator bool() const { return number_ >= 0; }
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_ = -1;
};

/// Fills a value with random bytes of the kernel that nobody can predict. Throws Error if the
/// kernel has none.
void fill_with_random_bytes(std::span<std::byte> bytes);
inline std::uint64_t random_number() {
  std::uint64_t number = 0;
  fill_with_random_bytes(std::as_writable_bytes(std::span(&number, 1)));
  return number;
}

/// Returns memory that large objects have left free to the system; the heap may otherwise keep what
/// lies below newer allocations.
void return_free_memory();

/// The bytes that a line such as "MemAvailable:  123 kB" gives. Returns nothing if the file has no
/// such line or cannot be read, as where /proc is not mounted.
std::optional<std::uint64_t> proc_bytes(const char* file, std::string_view key);

/// The system's text for an error of creating or writing the file. Tells a file system that can
/// hold no more files from a full one.
std::string reason_of(int error_number, const std::filesystem::path& file);

/// This machine's name, or "unknown-host".
std::string host_name();

/// Processor time of this thread: what neighbors on the same core take is not counted.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Nanoseconds that a thread has run, and has been ready without a core.
struct CoreTime {
  std::uint64_t running = 0, waiting = 0;
};
/// Reads the times of the thread whose file in /proc this is, by default the calling thread.
/// Returns nothing if the kernel does not count them.
std::optional<CoreTime> core_time(const std::string& schedstat = "/proc/thread-self/schedstat");

}  // namespace simclr
