#include "simclr/train/training_state.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <span>
#include <utility>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

/// A tensor's name, its part of the model and its place in the flat buffer.
struct Slice {
  std::string name;
  Part part;
  TensorInfo info;
};

struct Section {
  Storage storage;
  std::vector<NamedTensor> Checkpoint::*tensors;

  [[nodiscard]] const char* what() const { return flat_buffer(storage).slice; }
};
constexpr Section kParameters{Storage::parameters, &Checkpoint::parameters};
constexpr Section kRunning{Storage::running, &Checkpoint::running};
constexpr std::array kSections{kParameters, kRunning,
                               Section{Storage::momentum, &Checkpoint::momentum},
                               Section{Storage::second_moment, &Checkpoint::second_moment}};

/// All slices of a flat buffer. Moments have those of trained parameters only.
std::vector<Slice> slices(const Program& program, Storage storage) {
  std::vector<Slice> result;
  const auto add = [&](const auto& t) {
    result.push_back({t.name, t.part, program.info(t.value)});
  };
  if (storage == Storage::running) {
    for (const RunningStatistic& t : program.running) add(t);
  } else {
    for (const Parameter& t : program.parameters) {
      if (t.trained() || storage == Storage::parameters) add(t);
    }
  }
  return result;
}

/// Those that belong to the state of a run: a teacher is read again at every start.
std::vector<Slice> state_slices(const Program& program, Storage storage) {
  std::vector<Slice> result = slices(program, storage);
  std::erase_if(result, [](const Slice& slice) { return slice.part == Part::teacher; });
  return result;
}

std::vector<Slice> slices_of(const std::vector<Part>& parts, const Program& program,
                             Storage storage) {
  std::vector<Slice> wanted = slices(program, storage);
  std::erase_if(wanted, [&](const Slice& slice) {
    return std::ranges::find(parts, slice.part) == parts.end();
  });
  return wanted;
}

/// Calls take(slice, tensor) for each wanted tensor; refuses one that is missing or has another
/// shape.
template <class Take>
void for_tensors(const std::vector<Slice>& wanted, const Section& section, const Checkpoint& from,
                 const std::string& origin, const Take& take) {
  std::map<std::string_view, const NamedTensor*> by_name;
  for (const NamedTensor& tensor : from.*section.tensors) by_name[tensor.name] = &tensor;
  for (const Slice& slice : wanted) {
    const auto found = by_name.find(slice.name);
    if (found == by_name.end()) {
      refuse("{}: holds no {} '{}': the checkpoint is of another encoder, head or optimizer",
             origin, section.what(), slice.name);
    }
    const NamedTensor& tensor = *found->second;
    if (tensor.shape != slice.info.shape) {
      refuse(
          "{}: {} '{}' has shape {}, but {} in the model: the checkpoint is of another encoder or "
          "head",
          origin, section.what(), slice.name, tensor.shape.text(), slice.info.shape.text());
    }
    take(slice, tensor);
  }
}

}  // namespace

Checkpoint describe_state(const Executor& executor) {
  Checkpoint checkpoint;
  for (const Section& section : kSections) {
    if (!executor.holds(section.storage)) continue;
    for (const Slice& slice : state_slices(executor.program(), section.storage)) {
      (checkpoint.*section.tensors).push_back({slice.name, slice.info.shape, {}});
    }
  }
  return checkpoint;
}

TensorValues state_values(const Executor& executor) {
  struct Place {
    Storage storage;
    TensorInfo info;
  };
  std::vector<Place> places;
  for (const Section& section : kSections) {
    if (!executor.holds(section.storage)) continue;
    for (const Slice& slice : state_slices(executor.program(), section.storage)) {
      places.push_back({section.storage, slice.info});
    }
  }
  return [&executor, places = std::move(places),
          values = std::vector<float>()](std::size_t number) mutable -> std::span<const float> {
    const auto& [storage, info] = places.at(number);
    values.resize(static_cast<std::size_t>(info.shape.elements()));
    executor.read_flat(storage, info.offset, values);
    return values;
  };
}

std::size_t checkpoint_writing_bytes(const Program& program) {
  std::int64_t most = 0;
  for (const Section& section : kSections) {
    if (!program.holds(section.storage)) continue;
    for (const Slice& slice : state_slices(program, section.storage)) {
      most = std::max(most, slice.info.shape.elements());
    }
  }
  return sizeof(float) * static_cast<std::size_t>(most);
}

namespace {

/// Writes rank 0's tensors of the wanted slices into every rank's flat buffer. `check` may refuse
/// on rank 0, given the number of tensors that the checkpoint has.
void distribute(Executor& executor, const Section& section, const std::vector<Slice>& wanted,
                const Checkpoint* checkpoint, const std::string& origin, Communicator& comm,
                const std::function<void(std::size_t held)>& check) {
  std::vector<const NamedTensor*> found;
  on_root(comm, [&] {
    for_tensors(wanted, section, *checkpoint, origin,
                [&](const Slice&, const NamedTensor& tensor) { found.push_back(&tensor); });
    check((checkpoint->*section.tensors).size());
  });
  std::vector<float> values;
  for (std::size_t i = 0; i < wanted.size(); ++i) {  // memory holds one tensor at a time
    values.resize(static_cast<std::size_t>(wanted[i].info.shape.elements()));
    if (!found.empty()) std::ranges::copy(found[i]->values, values.begin());
    comm.broadcast(buffer_span(std::span(values)), 0);
    executor.write_flat(section.storage, wanted[i].info.offset, values);
  }
}

}  // namespace

void restore_state(Executor& executor, const Checkpoint* checkpoint, const std::string& origin,
                   Communicator& comm) {
  for (const Section& section : kSections) {
    if (!executor.holds(section.storage)) continue;
    const std::vector<Slice> wanted = state_slices(executor.program(), section.storage);
    const std::size_t parameters = state_slices(executor.program(), Storage::parameters).size();
    distribute(executor, section, wanted, checkpoint, origin, comm, [&](std::size_t held) {
      // Earlier versions also stored the moments of frozen parameters, zeros.
      const bool with_frozen = section.storage != Storage::running && held == parameters;
      if (wanted.size() == held || with_frozen) return;
      refuse(
          "{}: holds {} tensors of kind {}, the model has {}: the checkpoint is of another encoder "
          "or head",
          origin, held, section.what(), wanted.size());
    });
  }
}

void distribute_parts(Executor& executor, const std::vector<Part>& parts,
                      const Checkpoint* checkpoint, const std::string& origin, Communicator& comm) {
  for (const Section& section : {kParameters, kRunning}) {
    if (!executor.holds(section.storage)) continue;
    distribute(executor, section, slices_of(parts, executor.program(), section.storage), checkpoint,
               origin, comm, [](std::size_t) {});
  }
}

void require_parts(const Program& program, const std::vector<Part>& parts,
                   const Checkpoint& checkpoint, const std::string& origin) {
  for (const Section& section : {kParameters, kRunning}) {
    for_tensors(slices_of(parts, program, section.storage), section, checkpoint, origin,
                [](const Slice&, const NamedTensor&) {});
  }
}

void load_parts(Executor& executor, const std::vector<Part>& parts, const Checkpoint& checkpoint,
                const std::string& origin) {
  for (const Section& section : {kParameters, kRunning}) {
    if (!executor.holds(section.storage)) continue;
    for_tensors(slices_of(parts, executor.program(), section.storage), section, checkpoint, origin,
                [&](const Slice& slice, const NamedTensor& tensor) {
                  executor.write_flat(section.storage, slice.info.offset, tensor.values);
                });
  }
}

void copy_parts(const Executor& from, Executor& to, const std::vector<Part>& parts) {
  std::vector<float> values;
  for (const Section& section : {kParameters, kRunning}) {
    if (!to.holds(section.storage)) continue;
    std::map<std::string, std::int64_t> offset_of;
    for (const Slice& slice : slices_of(parts, from.program(), section.storage)) {
      offset_of.emplace(slice.name, slice.info.offset);
    }
    for (const Slice& slice : slices_of(parts, to.program(), section.storage)) {
      values.resize(static_cast<std::size_t>(slice.info.shape.elements()));
      from.read_flat(section.storage, offset_of.at(slice.name), values);
      to.write_flat(section.storage, slice.info.offset, values);
    }
  }
}

}  // namespace simclr
