#include "convolution.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace simclr::cuda::cudnn {

namespace {

/// More than any engine has notes, also in a library newer than its header.
constexpr std::size_t kMostNotes = 64;

struct Excluded {
  cudnnBackendNumericalNote_t note;
  std::string_view reason;
};

/// Runs must repeat bit for bit, and a product in f32 or 16 bits must err as its type does,
/// whatever the shape, or parity between backends and between batch sizes means nothing.
constexpr Excluded kNeverAdmitted[] = {
    {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, "is not deterministic"},
    // Inputs in fewer bits than they are stored in: f32 as f16 or bf16, bf16 as f16 (which loses
    // range), f16 as f8.
    {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, "rounds its inputs"},
    // Partial sums are kept in the output's type: 8 bits of bf16 between the slices of a split sum.
    {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, "sums in less than f32"},
    // Transforms subtract large numbers: with tiles of 4x4 and more the error in f32 is that of
    // TF32, and f16 overflows. With tensor cores they are not faster either.
    {CUDNN_NUMERICAL_NOTE_WINOGRAD, "uses Winograd's transform"},
    {CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, "uses Winograd's transform"},
    {CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6, "uses Winograd's transform"},
    {CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13, "uses Winograd's transform"},
    {CUDNN_NUMERICAL_NOTE_FFT, "uses Fourier transforms"},
};

/// Why an engine may not compute this shape; empty where it may.
std::string_view why_not_admitted(const Descriptor& engine, const ConvolutionShape& shape) {
  const auto notes =
      engine.get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, kMostNotes);
  const auto has = [&](cudnnBackendNumericalNote_t note) {
    return std::find(notes.begin(), notes.end(), note) != notes.end();
  };
  for (const Excluded& excluded : kNeverAdmitted) {
    if (has(excluded.note)) return excluded.reason;
  }
  // The graph API has no math type: on f32 operands tensor cores compute in TF32 (10 bits), so TF32
  // is off where the engine uses none.
  if (shape.dtype == DType::f32 && !shape.allow_tf32 && has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE)) {
    return "computes f32 in TF32";
  }
  return "";
}

EngineChoice choice_of(const Descriptor& config, const Descriptor& engine) {
  EngineChoice choice{.engine = engine.get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX),
                      .knobs = {}};
  for (const Descriptor& knob :
       config.get_descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                              CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS)) {
    choice.knobs[knob.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE)] =
        knob.get<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE);
  }
  return choice;
}

std::vector<Descriptor> ask_heuristics(const ConvolutionGraph& graph, cudnnBackendHeurMode_t mode) {
  try {
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.graph())
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
    if (graph.target().properties != nullptr) {
      heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *graph.target().properties);
    }
    heuristics.finalize();
    return heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                      CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                      heuristics.count_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS));
  } catch (const CudnnError&) {
    return {};  // the mode does not know such graphs; another may
  }
}

}  // namespace

std::vector<EngineConfig> propose_engine_configs(const ConvolutionGraph& graph) {
  std::vector<EngineConfig> configs;
  std::set<std::string> seen;
  for (const cudnnBackendHeurMode_t mode :
       {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK}) {
    for (Descriptor& config : ask_heuristics(graph, mode)) {
      const std::vector<Descriptor> engine =
          config.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
      if (engine.empty() || !why_not_admitted(engine[0], graph.shape()).empty()) continue;
      EngineChoice choice = choice_of(config, engine[0]);
      if (!seen.insert(choice.text()).second) continue;
      configs.push_back({.choice = std::move(choice), .descriptor = std::move(config)});
    }
  }
  return configs;
}

EngineConfig make_engine_config(const ConvolutionGraph& graph, const EngineChoice& choice) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.graph())
      .set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, choice.engine);
  if (graph.target().properties != nullptr) {
    engine.set(CUDNN_ATTR_ENGINE_DEVICEPROP, *graph.target().properties);
  }
  engine.finalize();
  const std::string_view reason = why_not_admitted(engine, graph.shape());
  if (!reason.empty()) throw CudnnError(fmt::format("{} {}", choice.text(), reason));

  std::vector<Descriptor> knobs;
  for (const auto& [type, value] : choice.knobs) {
    knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR)
        .set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(type))
        .set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value)
        .finalize();
  }
  Descriptor config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!knobs.empty()) config.set_all(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, knobs);
  config.finalize();
  return {.choice = choice, .descriptor = std::move(config)};
}

EnginePlan::EnginePlan(std::shared_ptr<const ConvolutionGraph> graph, EngineConfig config,
                       Libraries* libraries)
    : graph_(std::move(graph)),
      config_(std::move(config)),
      libraries_(libraries),
      plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config_.descriptor);
  if (libraries_ != nullptr) plan_.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, libraries_->cudnn.get());
  plan_.finalize();
  const auto bytes = plan_.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  if (bytes < 0 || static_cast<std::size_t>(bytes) > kWorkspaceLimitBytes) {
    throw CudnnError(fmt::format("{} asks for {} bytes of scratch memory", choice(), bytes));
  }
  workspace_bytes_ = static_cast<std::size_t>(bytes);
}

const Descriptor& EnginePlan::pack_of(const Addresses& addresses) {
  if (const auto found = packs_.find(addresses); found != packs_.end()) return found->second;
  const std::size_t operands = graph_->shape().with_statistics ? 5 : 3;
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set_all(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span(kOperandIds).first(operands))
      .set_all(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span(addresses).first(operands))
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, addresses.back())
      .finalize();
  return packs_.emplace(addresses, std::move(pack)).first->second;
}

void EnginePlan::run(const ConvolutionOperands& operands, std::span<std::byte> workspace,
                     cudaStream_t stream) {
  require(workspace.size() >= workspace_bytes_, "a convolution has the workspace it asked for");
  require(libraries_ != nullptr, "a plan that runs has handles");
  libraries_->use_stream(stream);
  const ConvolutionShape& shape = graph_->shape();
  float* squares = shape.with_statistics ? operands.sums + shape.out_channels : nullptr;
  const Descriptor& pack =
      pack_of({operands.x, operands.w, operands.y, operands.sums, squares, workspace.data()});
  const cudnnStatus_t status =
      cudnnBackendExecute(libraries_->cudnn.get(), plan_.get(), pack.get());
  if (status != CUDNN_STATUS_SUCCESS) {
    check(status, fmt::format("{} on {}", shape.text(), choice()));
  }
}

}  // namespace simclr::cuda::cudnn

namespace simclr::cuda {

std::unique_ptr<ConvolutionPlan> make_convolution_plan(const ConvolutionShape& shape,
                                                       const std::string& choice, Device& device) {
  const auto parsed = EngineChoice::parse(choice);
  if (!parsed) fail("\"{}\" names no engine of cuDNN", choice);
  Libraries& libraries = device.libraries();
  const auto graph = std::make_shared<const cudnn::ConvolutionGraph>(
      shape, cudnn::Target{.handle = libraries.cudnn.get()});
  return std::make_unique<cudnn::EnginePlan>(graph, cudnn::make_engine_config(*graph, *parsed),
                                             &libraries);
}

}  // namespace simclr::cuda
