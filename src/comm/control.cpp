#include <algorithm>
#include <cstdint>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

enum class Outcome : char { done, refused, failed };

}  // namespace

void on_root(Communicator& comm, const std::function<void()>& work) {
  std::string outcome(1, static_cast<char>(Outcome::done));
  if (comm.rank() == 0) {
    try {
      work();
    } catch (const RefusedError& error) {
      outcome = static_cast<char>(Outcome::refused) + std::string(error.what());
    } catch (const std::exception& error) {
      outcome = static_cast<char>(Outcome::failed) + std::string(error.what());
    }
  }
  outcome = broadcast_text(comm, outcome);
  const std::string message = outcome.substr(1);
  if (outcome.front() == static_cast<char>(Outcome::refused)) throw RefusedError(message);
  if (outcome.front() == static_cast<char>(Outcome::failed)) throw Error(message);
}

bool any_rank(Communicator& comm, bool flag) {
  std::int32_t value = flag ? 1 : 0;
  comm.all_reduce({&value, 1, DType::i32}, Reduction::max);
  return value != 0;
}

std::string broadcast_text(Communicator& comm, const std::string& text, int root) {
  auto length = static_cast<std::uint64_t>(text.size());
  comm.broadcast({&length, sizeof(length), DType::u8}, root);
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
