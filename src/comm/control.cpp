#include <algorithm>
#include <cstdint>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"

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

}  // namespace simclr
