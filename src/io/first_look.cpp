// A helper process serves requests, one at a time: for each it forks a child, which looks at the
// file and answers. The helper answers for a child that dies.

#include "simclr/io/first_look.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/system.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;
using Look = void (*)(const fs::path& file);

constexpr rlim_t kMemoryBytes = rlim_t{1} << 30;  // and twice the file
constexpr rlim_t kProcessorSeconds = 10;
constexpr unsigned kMostSeconds = 300;        // for a file that never gives its bytes
constexpr std::size_t kMostTextBytes = 8192;  // longer than any path that Linux opens

/// Messages stay whole on a SOCK_SEQPACKET socket.
struct Request {
  Look look = nullptr;  ///< the helper is a fork, so that functions have the same addresses
  std::array<char, kMostTextBytes> file{};
};

enum class Outcome : std::uint8_t { survived, refused, io_error, failed, crashed, too_long };

struct Answer {
  Outcome outcome = Outcome::survived;
  int number = 0;  ///< errno of an I/O error, signal of a crash
  std::array<char, kMostTextBytes> text{};
};

template <std::size_t N>
void copy_text(std::string_view text, std::array<char, N>& to) {
  const std::size_t length = std::min(text.size(), N - 1);
  std::copy_n(text.begin(), length, to.begin());
  to[length] = '\0';
}

template <class Message>
bool send_message(const Descriptor& socket, const Message& message) {
  return ::send(socket.get(), &message, sizeof(message), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(sizeof(message));
}

template <class Message>
bool receive_message(const Descriptor& socket, Message& message) {
  ssize_t got = 0;
  do {
    got = ::recv(socket.get(), &message, sizeof(message), 0);
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof(message));
}

Answer answer_with(Outcome outcome, std::string_view text, int number = 0) {
  Answer answer{.outcome = outcome, .number = number};
  copy_text(text, answer.text);
  return answer;
}

// ---- the child ----------------------------------------------------------------------------------

void limit(decltype(RLIMIT_AS) resource, rlim_t soft) {
  rlimit limits{};
  ::getrlimit(resource, &limits);
  limits.rlim_cur = std::min(soft, limits.rlim_max);
  ::setrlimit(resource, &limits);
}

Answer look_at(const Request& request) {
  const fs::path file = request.file.data();
  std::error_code absent;
  const std::uintmax_t size = fs::file_size(file, absent);
  const auto present = proc_bytes("/proc/self/status", "VmSize:");
  if (!present) {
    return answer_with(
        Outcome::refused,
        fmt::format("{}: is not read, because nothing tells how much memory this process has and "
                    "may take for it: /proc/self/status has no line 'VmSize' or cannot be read; "
                    "mount /proc",
                    file.string()));
  }
  limit(RLIMIT_AS, *present + kMemoryBytes + (absent ? 0 : 2 * rlim_t{size}));
  limit(RLIMIT_CPU, kProcessorSeconds);
  limit(RLIMIT_CORE, 0);
  ::alarm(kMostSeconds);
  try {
    request.look(file);
    return {};
  } catch (const RefusedError& error) {
    return answer_with(Outcome::refused, error.what());
  } catch (const IoError& error) {
    return answer_with(Outcome::io_error, error.what(), error.error_number());
  } catch (const std::bad_alloc&) {
    return answer_with(Outcome::failed, "needs more memory than a file of its size may");
  } catch (const std::exception& error) {
    return answer_with(Outcome::failed, error.what());
  }
}

// ---- the helper ---------------------------------------------------------------------------------

std::vector<int> open_descriptors() {
  std::vector<int> found;
  std::error_code unknown;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd", unknown)) {
    found.push_back(std::stoi(entry.path().filename().string()));
  }
  return found;
}

/// Leaves everything that ends, stops or reads for the program itself. The helper ends when the
/// program closes its socket.
void detach(const Descriptor& socket) {
  ::setsid();
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) std::signal(signal, SIG_IGN);
  for (const int signal : {SIGCHLD, SIGALRM, SIGXCPU}) std::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const Descriptor nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(nothing.get(), standard);
  }
  for (const int descriptor : open_descriptors()) {
    if (descriptor > STDERR_FILENO && descriptor != socket.get()) ::close(descriptor);
  }
}

Answer answer_for(int status, const Request& request) {
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (signal == SIGXCPU) return {.outcome = Outcome::too_long};
  // Neither says anything about the file: its server hangs, or the node has no memory left.
  if (signal == SIGALRM) {
    return answer_with(
        Outcome::io_error,
        fmt::format("{}: cannot be read: no answer for {} s", request.file.data(), kMostSeconds),
        ETIMEDOUT);
  }
  if (signal == SIGKILL) {
    return answer_with(Outcome::io_error,
                       fmt::format("{}: the process that reads it first was killed, as when the "
                                   "node's memory is used up",
                                   request.file.data()),
                       ENOMEM);
  }
  return {.outcome = Outcome::crashed, .number = signal};
}

[[noreturn]] void serve(const Descriptor& socket) {
  detach(socket);
  Request request;
  while (receive_message(socket, request)) {
    constexpr int kAnswered = 0;
    const pid_t child = ::fork();
    if (child == 0) ::_exit(send_message(socket, look_at(request)) ? kAnswered : 1);
    if (child < 0) {
      send_message(socket, answer_with(Outcome::io_error, "cannot start a process", errno));
      continue;
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != kAnswered) send_message(socket, answer_for(status, request));
  }
  ::_exit(0);
}

// ---- the program --------------------------------------------------------------------------------

Descriptor start_helper() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    fail_io("cannot connect to a helper process", errno);
  }
  Descriptor own(ends[0]);
  const Descriptor others(ends[1]);
  const pid_t helper = ::fork();
  if (helper < 0) fail_io("cannot start a helper process", errno);
  if (helper == 0) {
    own = Descriptor();  // else the helper would not see that the program has ended
    serve(others);
  }
  const timeval limit{.tv_sec = 2 * kMostSeconds, .tv_usec = 0};
  ::setsockopt(own.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  return own;
}

class Helper {
 public:
  Answer ask(const Request& request) {
    const std::lock_guard lock(mutex_);
    start();
    Answer answer;
    if (!send_message(socket_, request) || !receive_message(socket_, answer)) {
      throw IoError("the process that reads files first has ended; start again", ECHILD);
    }
    return answer;
  }
  void start_now() {
    const std::lock_guard lock(mutex_);
    start();
  }

 private:
  void start() {
    // A fork of this process, such as a test's child, must not share its parent's socket.
    if (socket_ && owner_ == ::getpid()) return;
    socket_ = start_helper();
    owner_ = ::getpid();
  }

  std::mutex mutex_;
  Descriptor socket_;
  pid_t owner_ = 0;
};

Helper& helper() {
  static Helper instance;
  return instance;
}

/// A state of a file, and how it is looked at.
using FileVersion = std::array<std::int64_t, 6>;

FileVersion version_of(const fs::path& file, Look look) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return {};
  return {static_cast<std::int64_t>(status.st_dev),
          static_cast<std::int64_t>(status.st_ino),
          status.st_size,
          status.st_mtim.tv_sec,
          status.st_mtim.tv_nsec,
          reinterpret_cast<std::intptr_t>(look)};
}

/// Tells versions of files apart, alike in all processes of a node; what comes after the file's own
/// numbers, the look, is not.
std::uint64_t hash_of(const FileVersion& version) {
  return hash64(std::as_bytes(std::span(version).first(version.size() - 1)));
}

/// Files that have been looked at: a start opens each several times.
class Survivors {
 public:
  bool contains(const FileVersion& version) {
    const std::lock_guard lock(mutex_);
    return version != FileVersion{} && seen_.contains(version);
  }
  void insert(const FileVersion& version) {
    const std::lock_guard lock(mutex_);
    seen_.insert(version);
  }

 private:
  std::mutex mutex_;
  std::set<FileVersion> seen_;
};

Survivors& survivors() {
  static Survivors instance;
  return instance;
}

}  // namespace

void start_first_looks() { helper().start_now(); }

void look_first(const fs::path& file, Look look) {
  activity().move();
  const FileVersion version = version_of(file, look);
  if (survivors().contains(version)) return;
  Request request{.look = look};
  copy_text(fs::absolute(file).string(), request.file);
  const Answer answer = helper().ask(request);
  const char* text = answer.text.data();
  constexpr const char* kAdvice = "the file is damaged, or made to do harm: copy or make it again";
  switch (answer.outcome) {
    case Outcome::survived:
      survivors().insert(version);
      return;
    case Outcome::refused:
      refuse("{}", text);
    case Outcome::io_error:
      throw IoError(text, answer.number);
    case Outcome::failed:
      fail("{}", text);
    case Outcome::crashed:
      refuse("{}: reading it crashes the HDF5 library (signal {}); {}", file.string(),
             answer.number, kAdvice);
    case Outcome::too_long:
      refuse("{}: HDF5 takes more than {} s to read what it holds; {}", file.string(),
             kProcessorSeconds, kAdvice);
  }
}

void look_first_together(const std::vector<fs::path>& files, Look look, Communicator& node) {
  const auto ranks = static_cast<std::size_t>(node.size());
  std::string survived;  // hashes of the files of this rank's share
  for (auto i = static_cast<std::size_t>(node.rank()); i < files.size() && ranks > 1; i += ranks) {
    const std::uint64_t hash = hash_of(version_of(files[i], look));
    try {
      look_first(files[i], look);
    } catch (const std::exception&) {
      continue;  // whoever opens the file looks again, and reports it
    }
    survived.append(reinterpret_cast<const char*>(&hash), sizeof(hash));
  }
  std::set<std::uint64_t> known;
  for (const std::string& hashes : gather_texts(node, survived)) {
    for (std::size_t at = 0; at < hashes.size(); at += sizeof(std::uint64_t)) {
      std::uint64_t hash = 0;
      std::memcpy(&hash, hashes.data() + at, sizeof(hash));
      known.insert(hash);
    }
  }
  for (const fs::path& file : files) {
    const FileVersion version = version_of(file, look);
    if (known.contains(hash_of(version))) survivors().insert(version);
  }
}

}  // namespace simclr
