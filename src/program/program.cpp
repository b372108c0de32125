#include "simclr/program/program.hpp"

#include <algorithm>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

struct AccessCollector {
  Access result;

  static void add(std::vector<TensorId>& list, TensorId tensor) { list.push_back(tensor); }
  static void add(std::vector<TensorId>& list, std::optional<TensorId> tensor) {
    if (tensor) list.push_back(*tensor);
  }
  void reads(const auto&... tensors) { (add(result.reads, tensors), ...); }
  void writes(const auto&... tensors) { (add(result.writes, tensors), ...); }
  void updates(const auto&... tensors) {
    reads(tensors...);
    writes(tensors...);
  }
};

}  // namespace

const TensorInfo& Program::info(TensorId id) const {
  require(id.value >= 0 && static_cast<std::size_t>(id.value) < tensors.size(),
          "tensor id out of range");
  return tensors[static_cast<std::size_t>(id.value)];
}

TensorId Program::at(const std::string& name) const {
  const auto found = named.find(name);
  if (found == named.end()) fail("the program has no tensor named '{}'", name);
  return found->second;
}

bool Program::holds(Storage storage) const {
  return std::ranges::any_of(tensors, [&](const TensorInfo& t) { return t.storage == storage; });
}

std::int64_t Program::flat_elements(Storage storage) const {
  require(is_flat(storage), "only flat buffers have a length of their own");
  if (storage == Storage::running) return running_elements;
  return storage == Storage::parameters ? parameter_elements : trained_elements;
}

const FlatBuffer& flat_buffer(Storage storage) {
  const auto found = std::ranges::find(kFlatBuffers, storage, &FlatBuffer::storage);
  require(found != kFlatBuffers.end(), "the storage is a flat buffer");
  return *found;
}

std::string describe(const Program& program, std::size_t op) {
  return fmt::format("{} {}", verb(program.ops.at(op)), program.labels.at(op));
}

Access access(const Op& op) {
  AccessCollector collector;
  std::visit([&](const auto& o) { o.fields(o, collector); }, op);
  return std::move(collector.result);
}

std::string_view verb(const Op& op) {
  return std::visit(
      [](const auto& o) {
        if constexpr (requires { o.verb(); }) {
          return o.verb();
        } else {
          return o.kVerb;
        }
      },
      op);
}

}  // namespace simclr
