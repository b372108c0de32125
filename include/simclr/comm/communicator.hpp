#pragma once
// Collective communication among ranks, for the ops of a program and for control code.

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "simclr/tensor/span.hpp"

namespace simclr {

class Options;

enum class Reduction { sum, mean, max, min };

/// A group of ranks that communicate. All members must call the same operations in the same order.
/// Not thread-safe: each thread that communicates needs its own communicator (`duplicate`). Buffers
/// are in host memory; device communicators accept device memory. Transport errors throw Error
/// naming the operation.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  virtual void barrier() = 0;
  virtual void broadcast(BufferSpan buffer, int root) = 0;
  /// Reduces in place: f32, f64 or i32.
  virtual void all_reduce(BufferSpan buffer, Reduction reduction) = 0;
  /// `receive` gets size() blocks of the size of `send`, in rank order.
  virtual void all_gather(ConstBufferSpan send, BufferSpan receive) = 0;

  /// Starts an in-place sum, in the background as far as the transport can; the buffer must not be
  /// touched before wait_for_all() returns, which all ranks call. progress() lets the transport
  /// advance and is cheap.
  virtual void start_all_reduce(BufferSpan buffer) = 0;
  virtual void progress() = 0;
  virtual void wait_for_all() = 0;

  /// Creates a communicator over the same ranks with its own message space (collective call). All
  /// ranks must also destroy it together.
  virtual std::unique_ptr<Communicator> duplicate() = 0;
  /// Creates a communicator of the ranks with equal color, ordered by rank (collective call). Its
  /// ranks must also destroy it together.
  virtual std::unique_ptr<Communicator> split(int color) = 0;
};

/// Creates a communicator of a single rank, whose operations are the identity.
std::unique_ptr<Communicator> make_self_communicator();

// Control-plane helpers, built on the above.

/// Runs `work` on rank 0 only and rethrows its exception on every rank.
void on_root(Communicator& comm, const std::function<void()>& work);

/// True when `flag` is true on any rank.
bool any_rank(Communicator& comm, bool flag);
/// Returns the root's value on every rank.
template <class T>
requires std::is_trivially_copyable_v<T> T broadcast_value(Communicator& comm, T value,
                                                           int root = 0) {
  comm.broadcast({&value, sizeof(value), DType::u8}, root);
  return value;
}
/// Returns the root's list, of any length, on every rank.
template <class T>
requires std::is_trivially_copyable_v<T> std::vector<T> broadcast_list(Communicator& comm,
                                                                       std::vector<T> list,
                                                                       int root = 0) {
  list.resize(broadcast_value(comm, list.size(), root));
  comm.broadcast({list.data(), list.size() * sizeof(T), DType::u8}, root);
  return list;
}
/// Returns the root's string on every rank.
std::string broadcast_text(Communicator& comm, const std::string& text, int root = 0);
/// Returns every rank's string, in rank order, on every rank.
std::vector<std::string> gather_texts(Communicator& comm, const std::string& text);
/// Returns the text of the first rank whose text is not empty, on every rank; else an empty one.
std::string first_text(Communicator& comm, const std::string& text);
/// Throws RefusedError on every rank if any has a refusal: that of the first such rank.
void refuse_together(Communicator& comm, const std::string& refusal);

/// Pairs of a name and a value.
using NamedValues = std::vector<std::pair<std::string, std::string>>;
/// Throws RefusedError on every rank if a value is not the same on all ranks; it names the value
/// and who has which. All ranks pass the same names.
void require_same_values(Communicator& comm, const NamedValues& values);
/// Reads the options, as Options::parse() does, and refuses values that differ between ranks.
[[nodiscard]] bool parse_on_all_ranks(Options& options, const std::vector<std::string>& arguments,
                                      Communicator& comm);

}  // namespace simclr
