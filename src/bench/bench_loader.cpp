// Measures reading from page cache to batch buffer beside a plain pread of the same bytes. Both
// write to memory that has been used before, and they alternate, so that load from other processes
// affects both. On several ranks, measures fetching from each other's memory.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <vector>

#include "measurement.hpp"
#include "simclr/comm/exchange.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/options.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/io/shard_writer.hpp"
#include "simclr/train/device.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBlockBytes = std::uint64_t{32} << 20;

struct BenchOptions {
  fs::path data;
  std::int64_t samples = 4096;
  int side = 224;
  std::int64_t batch_size = 256;
  int threads = 1;
  int repeats = 15;
  bool json = false;
};

/// Synthetic shards in a temporary directory, which the destructor removes.
class SyntheticShards {
 public:
  explicit SyntheticShards(const BenchOptions& options) {
    std::string name = (fs::temp_directory_path() / "simclr-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) fail("cannot create {}", name);
    path_ = name;
    constexpr std::int64_t kShards = 2;
    const auto bytes = static_cast<std::size_t>(options.side) * options.side * 3;
    std::vector<std::byte> pixels(bytes);
    for (std::int64_t s = 0; s < kShards; ++s) {
      const std::int64_t count =
          options.samples * (s + 1) / kShards - options.samples * s / kShards;
      ShardWriter writer(path_ / shard_file_name("bench", s, kShards),
                         {.name = "bench",
                          .samples = count,
                          .fixed_size = ShardSpec::Size{options.side, options.side}});
      for (std::int64_t i = 0; i < count; ++i) {
        std::fill(pixels.begin(), pixels.end(), static_cast<std::byte>(i));
        writer.append(pixels, options.side, options.side, 0);
      }
      writer.complete();
      writer.publish();
    }
  }
  SyntheticShards(const SyntheticShards&) = delete;
  SyntheticShards& operator=(const SyntheticShards&) = delete;
  ~SyntheticShards() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Reference for the measurements: reads with pread and nothing else.
class PlainReader {
 public:
  explicit PlainReader(const ShardSet& set) {
    for (const fs::path& shard : set.info().shards) {
      const int descriptor = ::open(shard.c_str(), O_RDONLY | O_CLOEXEC);
      if (descriptor < 0) fail("{}: cannot be opened", shard.string());
      files_[shard] = descriptor;
    }
  }
  PlainReader(const PlainReader&) = delete;
  PlainReader& operator=(const PlainReader&) = delete;
  ~PlainReader() {
    for (const auto& [path, descriptor] : files_) ::close(descriptor);
  }

  struct Request {
    int descriptor = -1;
    std::uint64_t offset = 0, bytes = 0;
  };
  [[nodiscard]] Request request(const ShardSet& set, std::int64_t first, std::int64_t count) const {
    const auto position = set.file_position(first);
    if (!position) refuse("option --data: {} is chunked or compressed; pack it", set.info().name);
    return {files_.at(position->file), position->offset, set.stored_bytes(first, count)};
  }
  static void read(const std::vector<Request>& requests, std::byte* out) {
    for (const Request& r : requests) {
      for (std::uint64_t done = 0; done < r.bytes;) {
        const ssize_t got =
            ::pread(r.descriptor, out + done, r.bytes - done, static_cast<off_t>(r.offset + done));
        if (got <= 0) fail("pread failed");
        done += static_cast<std::uint64_t>(got);
      }
      out += r.bytes;
    }
  }

 private:
  std::map<fs::path, int> files_;
};

struct Row {
  std::string what;
  std::uint64_t bytes = 0;
  double ours_seconds = 0, plain_seconds = 0;
};

/// Alternates between the loader (`ours`) and plain reads; the best time of each counts, as
/// disturbances only add time.
Row measure(std::string what, std::uint64_t bytes, int repeats, const std::function<void()>& ours,
            const std::function<void()>& plain) {
  Row row{std::move(what), bytes, 1e30, 1e30};
  ours();
  plain();
  for (int i = 0; i < repeats; ++i) {
    row.ours_seconds = std::min(row.ours_seconds, seconds_of(ours));
    row.plain_seconds = std::min(row.plain_seconds, seconds_of(plain));
  }
  return row;
}

class LoaderBench {
 public:
  LoaderBench(const fs::path& directory, const BenchOptions& options, Communicator& world)
      : options_(options),
        world_(world),
        store_(open_sample_store(directory,
                                 world.size() > 1 ? CacheMode::distributed : CacheMode::none, world,
                                 options.threads, options.batch_size / world.size())),
        set_(directory),
        plain_(set_),
        buffer_(set_.stored_bytes(0, set_.info().samples)) {}

  std::vector<Row> run() {
    std::vector<Row> rows;
    if (world_.size() == 1) {
      rows.push_back(fill(ParallelRead::direct));
      rows.push_back(fill(ParallelRead::independent));
      rows.push_back(fill(ParallelRead::collective));
    }
    rows.push_back(batches(Shuffle::off, "batches in stored order"));
    rows.push_back(batches(Shuffle::block, "batches, --shuffle block"));
    rows.push_back(batches(Shuffle::full, "batches, --shuffle full"));
    return rows;
  }

 private:
  /// Reads both ways into the same memory: its location alone can change the rate by a tenth.
  Row fill(ParallelRead method) {
    const std::int64_t samples = set_.info().samples;
    std::vector<PlainReader::Request> requests;
    const auto per_block =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(kBlockBytes / set_.stored_bytes(0, 1)));
    for (std::size_t s = 0; s < set_.info().shards.size(); ++s) {
      const std::int64_t end =
          s + 1 < set_.info().shards.size() ? set_.info().first_sample[s + 1] : samples;
      for (std::int64_t i = set_.info().first_sample[s]; i < end; i += per_block) {
        requests.push_back(plain_.request(set_, i, std::min(per_block, end - i)));
      }
    }
    return measure(
        fmt::format("whole set, {}", name_of(method)), buffer_.size(), options_.repeats,
        [&] { read_in_parallel(set_, world_, method, 0, samples, buffer_); },
        [&] { PlainReader::read(requests, buffer_.data()); });
  }

  /// Reads one epoch through the store, against preads of this rank's samples in the same order (of
  /// whole batches in stored order, if possible). Ranks begin and end together.
  Row batches(Shuffle shuffle, std::string what) {
    Sampler sampler(set_.info().samples, shuffle, 1, options_.batch_size);
    const std::int64_t share = options_.batch_size / world_.size();
    std::vector<WantedSamples> wanted;
    std::vector<std::vector<PlainReader::Request>> requests;
    std::uint64_t bytes = 0;
    for (std::int64_t step = 0; step < sampler.steps_per_epoch(); ++step) {
      const std::vector<std::int64_t> batch = sampler.batch(step);
      wanted.emplace_back();
      for (auto at = batch.begin(); batch.end() - at >= share; at += share) {
        wanted.back().emplace_back(at, at + share);
      }
      requests.push_back(requests_of(wanted.back()[static_cast<std::size_t>(world_.rank())]));
      for (const auto& request : requests.back()) bytes += request.bytes;
    }
    return measure(
        std::move(what), bytes, options_.repeats,
        [&] {
          for (std::size_t b = 0; b < wanted.size(); ++b) {
            store_->fetch_together(wanted[b], static_cast<int>(b % 2), {});
          }
          world_.barrier();
        },
        [&] {
          for (std::size_t b = 0; b < requests.size(); ++b) {
            const std::size_t half = buffer_.size() / 2;
            PlainReader::read(requests[b], buffer_.data() + b % 2 * half);
          }
          world_.barrier();
        });
  }

  /// Merges adjacent samples into one request.
  [[nodiscard]] std::vector<PlainReader::Request> requests_of(
      const std::vector<std::int64_t>& samples) const {
    std::vector<PlainReader::Request> requests;
    for (const std::int64_t sample : samples) {
      const auto request = plain_.request(set_, sample, 1);
      const bool follows = !requests.empty() && requests.back().descriptor == request.descriptor &&
                           requests.back().offset + requests.back().bytes == request.offset;
      if (follows) {
        requests.back().bytes += request.bytes;
      } else {
        requests.push_back(request);
      }
    }
    return requests;
  }

  const BenchOptions& options_;
  Communicator& world_;
  std::unique_ptr<SampleStore> store_;
  ShardSet set_;
  PlainReader plain_;
  std::vector<std::byte> buffer_;
};

void print(const std::vector<Row>& rows, const BenchOptions& options, int ranks) {
  BenchReport report;
  const std::string from = ranks == 1 ? "page cache to memory, one rank"
                                      : fmt::format("distributed cache, each of {} ranks", ranks);
  report.table = fmt::format("{:<34} {:>10} {:>10} {:>8}\n", from, "GB/s", "pread GB/s", "ratio");
  report.facts["ranks"] = ranks;
  for (const Row& row : rows) {
    const double ours = static_cast<double>(row.bytes) * 1e-9 / row.ours_seconds;
    const double plain = static_cast<double>(row.bytes) * 1e-9 / row.plain_seconds;
    report.add(fmt::format("{:<34} {:>10.2f} {:>10.2f} {:>7.1f} %", row.what, ours, plain,
                           100 * ours / plain),
               {{"what", row.what},
                {"bytes", row.bytes},
                {"gigabytes_per_second", ours},
                {"pread_gigabytes_per_second", plain},
                {"ratio", ours / plain}});
  }
  std::cout << report.text(options.json);
}

}  // namespace

int run_bench_loader(const std::vector<std::string>& arguments, Communicator& world) {
  BenchOptions bench;
  Options options("bench loader",
                  "page cache to batch buffer, on several ranks from each other's memory; beside a "
                  "plain pread of the same bytes",
                  {});
  options
      .add("data", bench.data,
           "directory of shards to read; empty: a temporary one is made, and removed at the end")
      .argument("DIR")
      .add("samples", bench.samples, "number of images of the set that is made")
      .range(at_least(2))
      .add("image-size", bench.side, "side of those square images, in pixels")
      .range(at_least(1))
      .add("batch-size", bench.batch_size, "images fetched at once, summed over all ranks")
      .range(at_least(1))
      .add("threads", bench.threads, "threads of each rank that read batches")
      .range(at_least(1).at_most(kMostThreads))
      .add("repeats", bench.repeats,
           "repeats of each measurement, of which the fastest is reported")
      .range(at_least(1))
      .flag("json", bench.json, "print one JSON object instead of a table")
      .example("simclr bench loader --data shards/train --batch-size 1024");
  if (!parse_on_all_ranks(options, arguments, world)) return 0;
  if (bench.batch_size % world.size() != 0) {
    refuse_value("batch-size", value_text(bench.batch_size),
                 fmt::format("a multiple of {}, the number of ranks", world.size()));
  }

  std::optional<SyntheticShards> made;
  if (bench.data.empty()) {
    on_root(world, [&] { made.emplace(bench); });
    bench.data = broadcast_text(world, made ? made->path().string() : "");
  }
  const std::vector<Row> rows = LoaderBench(bench.data, bench, world).run();
  world.barrier();  // other ranks may use the shards until here
  if (world.rank() == 0) print(rows, bench, world.size());
  return 0;
}

}  // namespace simclr
