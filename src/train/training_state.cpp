#include "training_state.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

/// A tensor of the checkpoint's section and its place in the flat buffer.
struct Slice {
  std::string name;
  TensorInfo info;
};

struct Section {
  Storage storage;
  std::vector<NamedTensor> Checkpoint::*tensors;
  const char* what;
};
constexpr std::array kSections{
    Section{Storage::parameters, &Checkpoint::parameters, "parameter"},
    Section{Storage::running, &Checkpoint::running, "running statistic"},
    Section{Storage::momentum, &Checkpoint::momentum, "momentum"},
    Section{Storage::second_moment, &Checkpoint::second_moment, "second moment"},
};

bool has_flat(const Program& program, Storage storage) {
  return std::any_of(program.tensors.begin(), program.tensors.end(),
                     [&](const TensorInfo& t) { return t.storage == storage; });
}

std::vector<Slice> slices(const Program& program, Storage storage) {
  std::vector<Slice> result;
  if (storage == Storage::running) {
    for (const RunningStatistic& r : program.running) {
      result.push_back({r.name, program.info(r.value)});
    }
    return result;
  }
  for (const Parameter& p : program.parameters) result.push_back({p.name, program.info(p.value)});
  return result;
}

std::vector<float> flatten(const Program& program, const Section& section, const Checkpoint& from,
                           const std::string& origin) {
  const auto elements =
      section.storage == Storage::running ? program.running_elements : program.parameter_elements;
  std::map<std::string, const NamedTensor*> by_name;
  for (const NamedTensor& tensor : from.*section.tensors) by_name[tensor.name] = &tensor;

  std::vector<float> flat(static_cast<std::size_t>(elements), 0.0F);
  const std::vector<Slice> wanted = slices(program, section.storage);
  for (const Slice& slice : wanted) {
    const auto found = by_name.find(slice.name);
    if (found == by_name.end()) {
      refuse("{}: holds no {} '{}': it is of another encoder, head or optimiser", origin,
             section.what, slice.name);
    }
    const NamedTensor& tensor = *found->second;
    if (tensor.shape != slice.info.shape) {
      refuse("{}: {} '{}' has shape {}, this encoder's has {}: it is of another encoder or head",
             origin, section.what, slice.name, tensor.shape.text(), slice.info.shape.text());
    }
    std::copy(tensor.values.begin(), tensor.values.end(), flat.begin() + slice.info.offset);
  }
  if (wanted.size() != by_name.size()) {
    refuse("{}: holds {} tensors of kind {}, this model has {}: it is of another encoder or head",
           origin, by_name.size(), section.what, wanted.size());
  }
  return flat;
}

}  // namespace

Checkpoint collect_state(const Executor& executor) {
  const Program& program = executor.program();
  Checkpoint checkpoint;
  for (const Section& section : kSections) {
    if (!has_flat(program, section.storage)) continue;
    const std::vector<float> flat = executor.flat(section.storage);
    for (const Slice& slice : slices(program, section.storage)) {
      const auto begin = flat.begin() + slice.info.offset;
      (checkpoint.*section.tensors)
          .push_back({slice.name, slice.info.shape, {begin, begin + slice.info.shape.elements()}});
    }
  }
  return checkpoint;
}

void restore_state(Executor& executor, const Checkpoint* checkpoint, const std::string& origin,
                   Communicator& comm) {
  const Program& program = executor.program();
  for (const Section& section : kSections) {
    if (!has_flat(program, section.storage)) continue;
    std::vector<float> flat;
    on_root(comm, [&] { flat = flatten(program, section, *checkpoint, origin); });
    const auto elements =
        section.storage == Storage::running ? program.running_elements : program.parameter_elements;
    flat.resize(static_cast<std::size_t>(elements));
    comm.broadcast(buffer_span(std::span(flat)), 0);
    executor.set_flat(section.storage, flat);
  }
}

}  // namespace simclr
