#pragma once
// A recorded program: tensors, ops in execution order, parameters. No device, no MPI, no model.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "simclr/program/ops.hpp"
#include "simclr/tensor/tensor.hpp"

namespace simclr {

/// How a parameter starts. Truncated normal is cut at two standard deviations and `scale` is the
/// standard deviation after the cut; `constant` fills with `scale`.
struct InitialValue {
  enum class Kind : std::uint8_t { constant, normal, truncated_normal };
  Kind kind = Kind::constant;
  float scale = 0;
};

/// The parts of a model, which are loaded, frozen and counted as wholes.
/// The probe has an optimizer of its own. The teacher is a second, frozen model, whose tensors have
/// the names of the trained one's behind a prefix.
enum class Part : std::uint8_t { encoder, projection_head, classifier, probe, teacher };

inline const std::vector<Part> kAllParts{Part::encoder, Part::projection_head, Part::classifier,
                                         Part::probe, Part::teacher};
inline constexpr const char* kTeacherPrefix = "teacher.";

/// `name` is the checkpoint's and the export's name.
struct Parameter {
  std::string name;
  Part part = Part::encoder;
  TensorId value, gradient;  ///< gradient.value is -1 for a parameter that is not trained
  bool regularized = true;   ///< false for BN parameters and biases
  InitialValue initial;

  [[nodiscard]] bool trained() const { return gradient.value >= 0; }
};

/// A BN running mean (initially 0) or variance (initially 1), f32 (C).
struct RunningStatistic {
  std::string name;
  Part part = Part::encoder;
  TensorId value;
  float initial = 0;
};

struct Program {
  std::vector<TensorInfo> tensors;
  std::vector<Op> ops;
  std::vector<std::string> labels;  ///< per op: the layer it belongs to, "layer1.0.conv1"
  std::size_t backward_begin = 0;   ///< first op of the backward pass (ops.size() without one)
  std::size_t update_begin = 0;     ///< first op that changes parameters
  int views_per_sample = 1;         ///< rows of "views" that are made from one stored image

  std::vector<Parameter> parameters;      ///< in recording (forward) order
  std::vector<RunningStatistic> running;  ///< in recording order
  std::int64_t parameter_elements = 0;    ///< length of the flat buffer of parameters
  std::int64_t trained_elements = 0;  ///< of gradients and moments; frozen parameters lie behind
  std::int64_t running_elements = 0;

  std::map<std::string, TensorId> named;  ///< "views", "h", "z", "sums", "control", ...

  [[nodiscard]] const TensorInfo& info(TensorId id) const;
  [[nodiscard]] TensorId at(const std::string& name) const;
  /// Whether any tensor lives there: not every optimizer has moments.
  [[nodiscard]] bool holds(Storage storage) const;
  /// Length of a flat buffer.
  [[nodiscard]] std::int64_t flat_elements(Storage storage) const;
};

/// A flat buffer: f32, zero at first, as long as Program::flat_elements() says. A slice of it is a
/// parameter, something that belongs to one, or a running statistic.
struct FlatBuffer {
  Storage storage;
  const char* name;   ///< of the whole: "second moments"
  const char* slice;  ///< of a part: "second moment"
  bool is_state;      ///< outlives a step: checkpoints hold it, ranks agree on it
};
inline constexpr std::array kFlatBuffers{
    FlatBuffer{Storage::parameters, "parameters", "parameter", true},
    FlatBuffer{Storage::gradients, "gradients", "gradient", false},
    FlatBuffer{Storage::momentum, "momentum", "momentum", true},
    FlatBuffer{Storage::second_moment, "second moments", "second moment", true},
    FlatBuffer{Storage::running, "running statistics", "running statistic", true}};
/// Throws where the storage is no flat buffer.
const FlatBuffer& flat_buffer(Storage storage);

/// "conv_forward layer1.0.conv1": how an op is named to people.
std::string describe(const Program& program, std::size_t op);

}  // namespace simclr
