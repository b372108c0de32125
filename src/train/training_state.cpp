#include "simclr/train/training_state.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <span>

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

std::vector<Slice> slices(const Program& program, Storage storage) {
  std::vector<Slice> result;
  const auto add = [&](const auto& tensors) {
    for (const auto& t : tensors) result.push_back({t.name, t.part, program.info(t.value)});
  };
  if (storage == Storage::running) {
    add(program.running);
  } else {
    add(program.parameters);
  }
  return result;
}

std::span<float> place_of(const Slice& slice, std::vector<float>& flat) {
  return std::span(flat).subspan(static_cast<std::size_t>(slice.info.offset),
                                 static_cast<std::size_t>(slice.info.shape.elements()));
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

/// Copies each wanted tensor to its place.
void copy_tensors(const std::vector<Slice>& wanted, const Section& section, const Checkpoint& from,
                  const std::string& origin, std::vector<float>& flat) {
  for_tensors(wanted, section, from, origin, [&](const Slice& slice, const NamedTensor& tensor) {
    std::ranges::copy(tensor.values, place_of(slice, flat).begin());
  });
}

}  // namespace

Checkpoint collect_state(const Executor& executor) {
  const Program& program = executor.program();
  Checkpoint checkpoint;
  for (const Section& section : kSections) {
    if (!executor.holds(section.storage)) continue;
    std::vector<float> flat = executor.flat(section.storage);
    for (const Slice& slice : slices(program, section.storage)) {
      const std::span<const float> values = place_of(slice, flat);
      (checkpoint.*section.tensors)
          .push_back({slice.name, slice.info.shape, {values.begin(), values.end()}});
    }
  }
  return checkpoint;
}

void restore_state(Executor& executor, const Checkpoint* checkpoint, const std::string& origin,
                   Communicator& comm) {
  for (const Section& section : kSections) {
    if (!executor.holds(section.storage)) continue;
    std::vector<float> flat = executor.flat(section.storage);
    on_root(comm, [&] {
      const std::vector<Slice> wanted = slices(executor.program(), section.storage);
      copy_tensors(wanted, section, *checkpoint, origin, flat);
      const std::size_t held = (checkpoint->*section.tensors).size();
      if (wanted.size() != held) {
        refuse(
            "{}: holds {} tensors of kind {}, the model has {}: the checkpoint is of another "
            "encoder or head",
            origin, held, section.what(), wanted.size());
      }
    });
    comm.broadcast(buffer_span(std::span(flat)), 0);
    executor.set_flat(section.storage, flat);
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
    std::vector<float> flat = executor.flat(section.storage);
    copy_tensors(slices_of(parts, executor.program(), section.storage), section, checkpoint, origin,
                 flat);
    executor.set_flat(section.storage, flat);
  }
}

}  // namespace simclr
