#include "engine_configs.hpp"

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

}  // namespace simclr::cuda::cudnn
