#include "simclr/program/program.hpp"

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

std::string describe(const Program& program, std::size_t op) {
  return fmt::format("{} {}", verb(program.ops.at(op)), program.labels.at(op));
}

}  // namespace simclr
