#include "simclr/program/program.hpp"

#include <algorithm>

#include "simclr/core/check.hpp"

namespace simclr {

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
  return storage == Storage::running ? running_elements : parameter_elements;
}

const FlatBuffer& flat_buffer(Storage storage) {
  const auto found = std::ranges::find(kFlatBuffers, storage, &FlatBuffer::storage);
  require(found != kFlatBuffers.end(), "the storage is a flat buffer");
  return *found;
}

std::string describe(const Program& program, std::size_t op) {
  return fmt::format("{} {}", verb(program.ops.at(op)), program.labels.at(op));
}

}  // namespace simclr
