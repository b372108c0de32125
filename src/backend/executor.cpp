#include "simclr/backend/executor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "memory_shortage.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

bool has_values(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16 || dtype == DType::f16;
}

TensorTrace trace_of(std::span<const float> values) {
  TensorTrace trace;
  trace.minimum = std::numeric_limits<float>::infinity();
  trace.maximum = -std::numeric_limits<float>::infinity();
  std::int64_t finite = 0;
  for (const float value : values) {
    if (!std::isfinite(value)) {
      ++trace.not_finite;
      continue;
    }
    ++finite;
    trace.minimum = std::min(trace.minimum, value);
    trace.maximum = std::max(trace.maximum, value);
    trace.mean += value;
  }
  trace.mean /= static_cast<double>(std::max<std::int64_t>(finite, 1));
  return trace;
}

}  // namespace

std::size_t workspace_bytes(const Program& program, Backend& backend) {
  std::size_t largest = 0;
  for (std::size_t op = 0; op < program.ops.size(); ++op) {
    largest = std::max(largest, backend.prepare({.program = &program, .op = op}).workspace_bytes);
  }
  return largest;
}

Executor::Executor(Program program, Backend& backend, Communicators communicators,
                   const ExecutorOptions& options)
    : program_(std::move(program)), backend_(&backend) {
  const auto storage_bytes = [&](const TensorInfo& info) { return backend.storage_bytes(info); };
  plan_ = plan_arena(program_, storage_bytes, options.keep);
  MemoryDemand demand{.program = program_,
                      .plan = plan_,
                      .ranks = communicators.world != nullptr ? communicators.world->size() : 1,
                      .inputs_are_staged = options.stage_inputs};
  try {
    backend.tune(program_, {});
  } catch (const OutOfDeviceMemory& error) {
    demand.other_bytes = error.asked_bytes;
    throw explain_shortage(error, error.purpose, 0, demand);
  }
  std::size_t held_bytes = 0;
  const auto explain = [&](const OutOfDeviceMemory& error, const std::string& what) {
    demand.workspace_bytes = workspace_bytes(program_, backend);
    return explain_shortage(error, what, held_bytes, demand);
  };
  const auto allocate = [&](std::size_t bytes, const std::string& what) {
    try {
      Buffer memory = backend.allocate(bytes);
      held_bytes += bytes;
      return memory;
    } catch (const OutOfDeviceMemory& error) {
      throw explain(error, what);
    }
  };
  arena_ = allocate(plan_.arena_bytes, "the arena of the activations");
  if (options.poison_arena) backend.poison({arena_.data(), arena_.bytes()});
  for (std::size_t t = 0; t < program_.tensors.size(); ++t) {
    const TensorInfo& info = program_.tensors[t];
    if (is_flat(info.storage)) {
      const TensorInfo whole = flat_info(info.storage);
      auto& buffer = flat_[info.storage];
      if (buffer.data() == nullptr) {
        buffer = allocate(backend.storage_bytes(whole),
                          fmt::format("the {}", flat_buffer(info.storage).name));
        set_flat_zero(info.storage);
      }
    } else if (info.storage != Storage::arena) {
      const TensorId id{static_cast<std::int32_t>(t)};
      own_[id] = allocate(plan_.bytes[t], "the tensor " + info.name);
      if (info.storage == Storage::output) set_zero(id);
    }
  }

  if (options.stage_inputs) {
    try {
      make_input_stage();
    } catch (const OutOfDeviceMemory& error) {
      throw explain(error, error.purpose);
    }
  }

  Bindings bindings{.program = &program_,
                    .address = [this](TensorId id) { return address(id); },
                    .world = communicators.world,
                    .bn_group = communicators.bn_group,
                    .gradient_lane = communicators.gradient_lane};
  std::vector<Prepared> steps;
  steps.reserve(program_.ops.size());
  std::vector<std::string> names;
  names.reserve(program_.ops.size());
  std::size_t most_bytes = 0;
  for (; bindings.op < program_.ops.size(); ++bindings.op) {
    names.push_back(describe(program_, bindings.op));
    try {
      steps.push_back(backend.prepare(bindings));
    } catch (const OutOfDeviceMemory& error) {
      demand.other_bytes = error.asked_bytes;
      throw explain(error, fmt::format("{} ({})", names.back(), error.purpose));
    }
    most_bytes = std::max(most_bytes, steps.back().workspace_bytes);
  }
  workspace_ = allocate(most_bytes, "the scratch memory of the ops");
  op_names_ = std::make_shared<std::vector<std::string>>(names);
  runner_ = backend.make_runner(std::move(steps), std::move(names),
                                {workspace_.data(), workspace_.bytes()});
}

MemoryReport Executor::memory() const { return report_memory(program_, plan_, workspace_.bytes()); }

std::byte* Executor::address(TensorId tensor) const {
  const TensorInfo& info = program_.info(tensor);
  if (info.storage == Storage::arena) {
    return arena_.data() + plan_.offset[static_cast<std::size_t>(tensor.value)];
  }
  return is_flat(info.storage) ? flat_address(info) : own_.at(tensor).data();
}

std::byte* Executor::flat_address(const TensorInfo& part) const {
  return flat_.at(part.storage).data() +
         static_cast<std::size_t>(part.offset) * size_in_bytes(part.dtype);
}

TensorInfo Executor::flat_info(Storage storage) const {
  if (!program_.holds(storage)) fail("the program has no {}", flat_buffer(storage).name);
  return {"flat buffer", {program_.flat_elements(storage)}, DType::f32, storage, 0};
}

TensorInfo Executor::flat_part(Storage storage, std::int64_t first, std::int64_t count) const {
  TensorInfo part = flat_info(storage);
  require(first >= 0 && first + count <= part.shape.elements(), "a part lies in its flat buffer");
  part.shape = {count};
  part.offset = first;
  return part;
}

void Executor::upload(TensorId tensor, ConstBufferSpan host) {
  backend_->upload(program_.info(tensor), address(tensor), host);
}

void Executor::set_zero(TensorId tensor) {
  const TensorInfo& info = program_.info(tensor);
  const std::vector<std::byte> zeros(static_cast<std::size_t>(info.shape.elements()) *
                                     size_in_bytes(info.dtype));
  upload(tensor, {zeros.data(), static_cast<std::size_t>(info.shape.elements()), info.dtype});
}

void Executor::download(TensorId tensor, BufferSpan host) const {
  backend_->download(program_.info(tensor), address(tensor), host);
}

void Executor::make_input_stage() {
  std::vector<InputTensor> inputs;
  for (const auto& [id, buffer] : own_) {
    if (program_.info(id).storage != Storage::input) continue;
    inputs.push_back({.id = id, .info = program_.info(id), .address = buffer.data()});
    staged_[id] = false;
  }
  input_stage_ = backend_->make_input_stage(std::move(inputs));
}

void Executor::stage(TensorId input, ConstBufferSpan host) {
  const TensorInfo& info = program_.info(input);
  require(staged_.contains(input), "only inputs of a program that stages them are staged");
  require(host.dtype == info.dtype && host.count == static_cast<std::size_t>(info.shape.elements()),
          "an input is staged whole and in its own type");
  input_stage_->stage(input, host);
  staged_[input] = true;
}

void Executor::commit() {
  const auto staged =
      std::ranges::count_if(staged_, [](const auto& input) { return input.second; });
  require(staged == std::ssize(staged_) || (staged == 0 && committed_),
          "every input of a step is staged before it");
  input_stage_->commit();
  for (auto& [id, is_staged] : staged_) is_staged = false;
  committed_ = true;
}

void Executor::enqueue_upload(TensorId tensor, ConstBufferSpan host) {
  backend_->enqueue_upload(program_.info(tensor), address(tensor), host);
}

void Executor::enqueue_download(TensorId tensor, BufferSpan host) const {
  backend_->enqueue_download(program_.info(tensor), address(tensor), host);
}

std::vector<float> Executor::values(TensorId tensor) const {
  const TensorInfo& info = program_.info(tensor);
  const auto count = static_cast<std::size_t>(info.shape.elements());
  std::vector<float> result(count);
  if (info.dtype == DType::f64) {
    std::vector<double> wide(count);
    download(tensor, buffer_span(std::span(wide)));
    std::transform(wide.begin(), wide.end(), result.begin(),
                   [](double value) { return static_cast<float>(value); });
  } else {
    download(tensor, buffer_span(std::span(result)));
  }
  return result;
}

std::vector<float> Executor::flat(Storage storage) const {
  std::vector<float> result(static_cast<std::size_t>(flat_info(storage).shape.elements()));
  read_flat(storage, 0, result);
  return result;
}

void Executor::set_flat(Storage storage, std::span<const float> values) {
  require(std::ssize(values) == flat_info(storage).shape.elements(), "a flat buffer is set whole");
  write_flat(storage, 0, values);
}

/// In pieces, because a model's parameters may take much of the host's memory.
void Executor::set_flat_zero(Storage storage) {
  constexpr std::int64_t kPiece = std::int64_t{1} << 20;
  const std::int64_t elements = flat_info(storage).shape.elements();
  const std::vector<float> zeros(static_cast<std::size_t>(std::min(kPiece, elements)));
  for (std::int64_t first = 0; first < elements; first += kPiece) {
    const auto count = static_cast<std::size_t>(std::min(kPiece, elements - first));
    write_flat(storage, first, std::span(zeros).first(count));
  }
}

void Executor::read_flat(Storage storage, std::int64_t first, std::span<float> values) const {
  const TensorInfo part = flat_part(storage, first, std::ssize(values));
  backend_->download(part, flat_address(part), buffer_span(values));
}

void Executor::write_flat(Storage storage, std::int64_t first, std::span<const float> values) {
  const TensorInfo part = flat_part(storage, first, std::ssize(values));
  backend_->upload(part, flat_address(part), const_buffer_span(values));
}

bool Executor::all_finite(Storage storage) const {
  const auto count = static_cast<std::size_t>(flat_info(storage).shape.elements());
  return backend_->all_finite(flat_.at(storage).data(), count);
}

std::uint64_t Executor::hash(Storage storage) const {
  const auto count = static_cast<std::size_t>(flat_info(storage).shape.elements());
  return backend_->hash(flat_.at(storage).data(), count);
}

bool Executor::holds(Storage storage) const { return flat_.contains(storage); }

void Executor::run(std::size_t begin, std::size_t end) {
  activity().run_program(op_names_);
  runner_->run(begin, end);
}

void Executor::run_traced(std::size_t begin, std::size_t end,
                          const std::function<void(const TensorTrace&)>& report) {
  for (std::size_t op = begin; op < end; ++op) {
    run(op, op + 1);
    // A bucket's sum is still under way after its op: WaitForGradients reports the result.
    if (std::holds_alternative<ReduceGradients>(program_.ops[op])) continue;
    for (const TensorId written : access(program_.ops[op]).writes) {
      if (!has_values(program_.info(written).dtype)) continue;
      TensorTrace trace = trace_of(values(written));
      trace.op = op;
      trace.op_name = describe(program_, op);
      trace.tensor_name = program_.info(written).name;
      report(trace);
    }
  }
}

}  // namespace simclr
