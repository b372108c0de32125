#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <map>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/options.hpp"

namespace simclr {
namespace {

enum class Outcome : char { done, refused, failed };

/// Encodes an outcome as one byte each for outcome and cause, then the message.
std::string encode(Outcome outcome, Cause cause = Cause::none, const std::string& message = "") {
  return std::string{static_cast<char>(outcome), static_cast<char>(cause)} + message;
}

}  // namespace

void on_root(Communicator& comm, const std::function<void()>& work) {
  std::string outcome = encode(Outcome::done);
  if (comm.rank() == 0) {
    try {
      work();
    } catch (const std::exception& error) {
      const Outcome kind = is_refusal(error) ? Outcome::refused : Outcome::failed;
      outcome = encode(kind, cause_of(error), message_of(error));
    }
  }
  outcome = broadcast_text(comm, outcome);
  const auto kind = static_cast<Outcome>(outcome.at(0));
  const auto cause = static_cast<Cause>(outcome.at(1));
  const std::string message = outcome.substr(2);
  if (kind == Outcome::refused) throw RefusedError(message, cause);
  if (kind == Outcome::failed) throw Error(message, cause);
}

bool any_rank(Communicator& comm, bool flag) {
  std::int32_t value = flag ? 1 : 0;
  comm.all_reduce({&value, 1, DType::i32}, Reduction::max);
  return value != 0;
}

std::string broadcast_text(Communicator& comm, const std::string& text, int root) {
  const auto length = broadcast_value(comm, static_cast<std::uint64_t>(text.size()), root);
  std::string result = comm.rank() == root ? text : std::string(length, '\0');
  comm.broadcast({result.data(), result.size(), DType::u8}, root);
  return result;
}

namespace {

/// "'8' on rank 0, '16' on ranks 1 to 3, 5"; empty if all ranks have the same value.
std::string describe_difference(const std::vector<std::string>& value_of_rank) {
  std::map<std::string, std::vector<std::string>> ranks_of_value;
  std::vector<std::string> order;
  const std::size_t count = value_of_rank.size();
  for (std::size_t first = 0; first < count;) {
    const std::string& value = value_of_rank[first];
    std::size_t last = first;
    while (last + 1 < count && value_of_rank[last + 1] == value) ++last;
    std::vector<std::string>& ranks = ranks_of_value[value];
    if (ranks.empty()) order.push_back(value);
    ranks.push_back(first == last ? fmt::format("{}", first)
                                  : fmt::format("{} to {}", first, last));
    first = last + 1;
  }
  if (order.size() == 1) return "";
  std::vector<std::string> parts;
  for (const std::string& value : order) {
    const std::vector<std::string>& ranks = ranks_of_value[value];
    const bool one = ranks.size() == 1 && ranks.front().find(' ') == std::string::npos;
    parts.push_back(fmt::format("{} on rank{} {}", value.empty() ? "unset" : "'" + value + "'",
                                one ? "" : "s", fmt::join(ranks, ", ")));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

void require_same_values(Communicator& comm, const NamedValues& values) {
  std::string text;
  for (const auto& [name, value] : values) text += fmt::format("{}={}\n", name, value);
  const std::uint64_t own = hash64(std::as_bytes(std::span(text)));
  std::vector<std::uint64_t> all(static_cast<std::size_t>(comm.size()));
  comm.all_gather({&own, sizeof(own), DType::u8},
                  {all.data(), all.size() * sizeof(own), DType::u8});
  if (std::ranges::all_of(all, [&](std::uint64_t hash) { return hash == all.front(); })) return;
  std::vector<std::string> differences;
  for (const auto& [name, value] : values) {
    const std::string difference = describe_difference(gather_texts(comm, value));
    if (!difference.empty()) differences.push_back(fmt::format("{} ({})", name, difference));
  }
  refuse("the ranks were started differently: {}; start all with the same program and options",
         fmt::join(differences, ", "));
}

bool parse_on_all_ranks(Options& options, const std::vector<std::string>& arguments,
                        Communicator& comm) {
  if (!options.parse(arguments)) return false;
  require_same_values(comm, options.values_of_all_ranks());
  return true;
}

std::vector<std::string> gather_texts(Communicator& comm, const std::string& text) {
  const auto ranks = static_cast<std::size_t>(comm.size());
  const auto own = static_cast<std::uint64_t>(text.size());
  std::vector<std::uint64_t> lengths(ranks);
  comm.all_gather({&own, sizeof(own), DType::u8}, {lengths.data(), ranks * sizeof(own), DType::u8});

  const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
  std::string block(longest, '\0');
  std::copy(text.begin(), text.end(), block.begin());
  std::string blocks(longest * ranks, '\0');
  comm.all_gather({block.data(), longest, DType::u8}, {blocks.data(), blocks.size(), DType::u8});

  std::vector<std::string> texts;
  for (std::size_t r = 0; r < ranks; ++r) texts.push_back(blocks.substr(r * longest, lengths[r]));
  return texts;
}

std::string first_text(Communicator& comm, const std::string& text) {
  const std::vector<std::string> texts = gather_texts(comm, text);
  const auto first = std::ranges::find_if(texts, [](const auto& t) { return !t.empty(); });
  return first == texts.end() ? "" : *first;
}

void refuse_together(Communicator& comm, const std::string& refusal) {
  const std::string first = first_text(comm, refusal);
  if (!first.empty()) refuse("{}", first);
}

}  // namespace simclr
