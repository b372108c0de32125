// Gives damaged files to everything that reads files. A reader may refuse them; it may not crash,
// hang, take memory without bounds or throw anything but Error.
//
//   format_fuzzer [TARGET ...] [--seconds S] [--inputs N] [--first I] [--save DIR]
//
// Runs each target (all by default) on the inputs I, I+1, ... until N inputs or its share of S
// seconds are used up; without either, on as many as a long run has. Each input follows from its
// number alone. "contained" counts files at which HDF5 crashes or hangs in the process that looks
// at them first. Saves inputs that fail to DIR, prints a line for each and one for each target.
// Exits 1 if one failed. `--first I --inputs 1` reads one input again.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <new>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "support/temporary_directory.hpp"
#include "targets.hpp"

#ifdef __SANITIZE_ADDRESS__
// Keeps freed memory only briefly, so that the limit on memory holds for what is used.
extern "C" const char* __asan_default_options() {  // NOLINT: a name that the sanitizer looks up
  return "detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1:handle_abort=1";
}
#endif

namespace simclr::fuzz {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kBug = 3;               // exit code of a child that met an exception
constexpr int kSecondsPerInput = 30;  // the slowest reader has a limit of 10 s of its own
constexpr rlim_t kMemoryBytes = rlim_t{1} << 30;
constexpr std::int64_t kBatch = 2000;  // inputs of one child

struct Arguments {
  std::vector<Target> targets;
  double seconds = 0;
  std::int64_t inputs = 0;
  std::int64_t first = 0;
  fs::path save = "fuzz-failures";
};

/// What a child tells its parent.
struct Shared {
  std::int64_t index = 0;  ///< the input that is being read
  std::int64_t refused = 0;
  std::int64_t contained = 0;  ///< inputs that only a process of their own could not bear
  std::array<char, 512> message{};
};

Shared& shared() {
  static auto* const page = static_cast<Shared*>(
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return *page;
}

void limit_memory() {
  std::ifstream statm("/proc/self/statm");
  rlim_t pages = 0;
  statm >> pages;
  rlimit limits{};
  ::getrlimit(RLIMIT_AS, &limits);
  limits.rlim_cur = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + kMemoryBytes;
  ::setrlimit(RLIMIT_AS, &limits);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
}

std::string input(const Target& target, const Corpus& corpus, std::int64_t index) {
  std::string bytes = variant(corpus, static_cast<std::uint64_t>(index));
  // Files with wrong checksums matter, too.
  if (target.repair != nullptr && index % 4 != 0) target.repair(bytes);
  return bytes;
}

[[noreturn]] void report_bug(const std::string& what) {
  const std::size_t length = std::min(what.size(), shared().message.size() - 1);
  std::copy_n(what.begin(), length, shared().message.begin());
  shared().message[length] = '\0';
  ::_exit(kBug);
}

void read_one(const Target& target, const std::string& bytes, const fs::path& scratch) {
  try {
    target.read(bytes, scratch);
  } catch (const Error& error) {
    const std::string what = error.what();
    ++shared().refused;
    const bool contained = what.find("crashes the HDF5") != std::string::npos ||
                           what.find("HDF5 takes more") != std::string::npos;
    if (contained) ++shared().contained;
    if (what.find("internal error") != std::string::npos) report_bug(what);
    if (what.find("json.exception") != std::string::npos) report_bug(what);
  } catch (const std::exception& error) {
    report_bug(std::string("throws ") + error.what());
  }
}

[[noreturn]] void read_batch(const Target& target, const Corpus& corpus, std::int64_t begin,
                             std::int64_t end, const fs::path& scratch) {
  limit_memory();
  const int log = ::open((scratch / "stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(log, STDERR_FILENO);
  for (std::int64_t i = begin; i < end; ++i) {
    shared().index = i;
    ::alarm(kSecondsPerInput);
    read_one(target, input(target, corpus, i), scratch);
  }
  ::_exit(0);
}

std::string reason_of(int status) {
  if (WIFEXITED(status)) {
    return WEXITSTATUS(status) == kBug ? shared().message.data() : "a sanitizer's report";
  }
  return WTERMSIG(status) == SIGALRM ? "takes too long"
                                     : fmt::format("signal {}", WTERMSIG(status));
}

/// Runs one target; returns the number of inputs that failed.
std::int64_t run(const Target& target, const Arguments& arguments, double seconds) {
  const TemporaryDirectory scratch;
  const fs::path seeds = scratch.path() / "seeds";
  const fs::path inputs = scratch.path() / "inputs";
  fs::create_directories(seeds);
  fs::create_directories(inputs);
  const Corpus corpus = target.corpus(seeds);
  const auto start = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  const std::int64_t wanted = arguments.inputs > 0 ? arguments.inputs : target.inputs;
  const std::int64_t end = arguments.first + wanted;
  const std::int64_t batch = target.inputs == kFewInputs ? kBatch / 20 : kBatch;
  std::int64_t failed = 0;
  std::int64_t at = arguments.first;
  shared().refused = 0;
  shared().contained = 0;
  while (at < end && (seconds == 0 || passed() < seconds)) {
    const std::int64_t stop = std::min(at + batch, end);
    std::cout.flush();
    const pid_t child = ::fork();
    if (child == 0) read_batch(target, corpus, at, stop, inputs);
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child) fail("cannot run a child process");
    if (status == 0) {
      at = stop;
      continue;
    }
    at = shared().index + 1;
    ++failed;
    fs::create_directories(arguments.save);
    const fs::path saved = arguments.save / fmt::format("{}-{}", target.name, shared().index);
    write_bytes(saved, input(target, corpus, shared().index));
    fs::copy_file(inputs / "stderr", saved.string() + ".txt", fs::copy_options::overwrite_existing);
    std::cout << fmt::format("{} input {}: {} (saved as {})\n", target.name, shared().index,
                             reason_of(status), saved.string());
  }
  std::cout << fmt::format(
      "{:<14} {:>8} inputs, {:>8} refused, {:>4} contained, {:>3} failed, {:.1f} s\n", target.name,
      at - arguments.first, shared().refused, shared().contained, failed, passed());
  return failed;
}

std::vector<Target> all_targets() {
  std::vector<Target> all;
  for (const auto& some : {image_targets(), hdf5_targets(), text_targets()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  const std::vector<Target> known = all_targets();
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.starts_with("--") && i + 1 == words.size()) fail("{} needs a value", word);
    if (word == "--seconds") {
      arguments.seconds = std::stod(words[++i]);
    } else if (word == "--inputs") {
      arguments.inputs = std::stoll(words[++i]);
    } else if (word == "--first") {
      arguments.first = std::stoll(words[++i]);
    } else if (word == "--save") {
      arguments.save = words[++i];
    } else {
      const auto found = std::ranges::find(known, word, &Target::name);
      if (found == known.end()) fail("unknown target '{}'", word);
      arguments.targets.push_back(*found);
    }
  }
  if (arguments.targets.empty()) arguments.targets = known;
  return arguments;
}

int run_all(const std::vector<std::string>& words) {
  const Arguments arguments = parse(words);
  std::int64_t failed = 0;
  const double share = arguments.seconds / static_cast<double>(arguments.targets.size());
  for (const Target& target : arguments.targets) failed += run(target, arguments, share);
  return failed == 0 ? 0 : 1;
}

}  // namespace

fs::path write_bytes(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
  return file;
}

std::string read_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace simclr::fuzz

int main(int argc, char** argv) {
  try {
    return simclr::fuzz::run_all({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    simclr::log::error("{}", error.what());
    return 2;
  }
}
