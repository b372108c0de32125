#pragma once
// Records a program. A layer is an ordinary function: it emits its forward ops and registers a
// block that emits its backward ops; finish() replays those blocks in reverse.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simclr/program/program.hpp"

namespace simclr {

class Recorder {
 public:
  using Block = std::function<void(Recorder&)>;

  // ---- tensors ----
  TensorId tensor(std::string name, Shape shape, DType dtype, Storage storage = Storage::arena);
  /// A tensor the host looks up by name: Program::named.
  TensorId named(std::string name, Shape shape, DType dtype, Storage storage);
  void publish(std::string name, TensorId id);
  [[nodiscard]] TensorId named_tensor(const std::string& name) const { return program_.at(name); }
  TensorId parameter(std::string name, Shape shape, InitialValue initial, bool regularized);
  TensorId running(std::string name, std::int64_t channels, float initial);
  /// The whole flat buffer as one tensor (one per storage kind).
  TensorId flat(Storage storage);
  [[nodiscard]] const TensorInfo& info(TensorId id) const;
  [[nodiscard]] const std::vector<Parameter>& parameters() const { return program_.parameters; }
  enum class Segments : std::uint8_t { model, probe };
  /// One segment per trained parameter of the model or of its probe, in flat order; for the update
  /// of finish().
  [[nodiscard]] std::vector<ParameterSegment> segments(Segments of = Segments::model) const;

  // ---- ops ----
  /// Ops emitted while a Scope lives are labeled with its name; scopes nest with dots.
  class Scope {
   public:
    Scope(Recorder& recorder, const std::string& name);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope();

   private:
    Recorder& recorder_;
    std::string outer_;
  };
  [[nodiscard]] const std::string& scope() const { return scope_; }
  void emit(Op op);

  /// Parameters and running statistics recorded while a PartScope lives belong to this part of the
  /// model; without one they belong to the encoder.
  class PartScope {
   public:
    PartScope(Recorder& recorder, Part part);
    PartScope(const PartScope&) = delete;
    PartScope& operator=(const PartScope&) = delete;
    ~PartScope() { recorder_.part_ = outer_; }

   private:
    Recorder& recorder_;
    Part outer_;
  };

  // ---- gradients ----
  /// What is recorded while a Frozen lives has no gradient: parameters are not trained, and
  /// on_backward() drops its blocks. For inference and for frozen layers.
  class Frozen {
   public:
    explicit Frozen(Recorder& recorder)
        : recorder_(recorder), outer_(std::exchange(recorder.gradients_enabled_, false)) {}
    Frozen(const Frozen&) = delete;
    Frozen& operator=(const Frozen&) = delete;
    ~Frozen() { recorder_.gradients_enabled_ = outer_; }

   private:
    Recorder& recorder_;
    bool outer_;
  };
  /// What is recorded while a TeacherScope lives is a second model beside the one that is trained:
  /// frozen, all of it of Part::teacher, its names behind kTeacherPrefix.
  class TeacherScope {
   public:
    explicit TeacherScope(Recorder& recorder);
    TeacherScope(const TeacherScope&) = delete;
    TeacherScope& operator=(const TeacherScope&) = delete;
    ~TeacherScope();

   private:
    Recorder& recorder_;
    PartScope part_;
    Frozen frozen_;
  };
  void on_backward(Block block);
  /// Whether a trained parameter lies behind this tensor, which has been written: otherwise its
  /// consumers need not compute its gradient.
  [[nodiscard]] bool needs_gradient(TensorId of) const { return needs_gradient_.contains(of); }
  [[nodiscard]] TensorId parameter_gradient(TensorId parameter) const;
  /// A new contribution to the gradient of `of`, for its consumer to write.
  TensorId contribute(TensorId of);
  /// Hands an existing tensor over as a contribution (a residual's masked gradient: no copy).
  void contribute(TensorId of, TensorId gradient);
  /// All contributions to the gradient of `of`, for its producer to read; never empty.
  [[nodiscard]] const std::vector<TensorId>& contributions(TensorId of) const;
  /// The same summed into one tensor (emits AddInto where there are several).
  TensorId gradient(TensorId of);

  // ---- recomputation ----
  /// Ops between begin and end are recorded again in front of the block's backward ops, but for the
  /// statistics (BnStatistics, AllReduce, BnFinalize), whose results are kept: exact, also with
  /// global batch normalization. `output` is kept, everything else may be dropped and recomputed.
  void begin_recomputed_block();
  void end_recomputed_block(TensorId output);

  /// How many rows of "views" each stored image gives; 1 unless it is set.
  void set_views_per_sample(int views) { program_.views_per_sample = views; }

  /// Replays the backward blocks, lays the flat buffers out in the order in which gradients become
  /// ready (last layer first; the probe behind all layers, which lie as they do without it; what is
  /// frozen at the end) and returns the program. `update` emits the optimizer's ops.
  Program finish(const std::function<void(Recorder&)>& update = {});

 private:
  struct RecomputedBlock {
    std::size_t begin = 0;  // op indices
    std::size_t end = 0;
    TensorId output;
  };
  struct BackwardBlock {
    Block block;
    std::string scope;
  };

  void lay_out_flat_buffers();
  void record_again(const RecomputedBlock& block);

  Program program_;
  std::string scope_;
  std::string prefix_;  ///< of the names of parameters and running statistics
  Part part_ = Part::encoder;
  std::vector<BackwardBlock> backward_;
  std::map<TensorId, std::vector<TensorId>> contributions_;
  std::map<TensorId, TensorId> parameter_gradients_;
  std::set<TensorId> needs_gradient_;
  std::map<Storage, TensorId> flat_;
  std::map<TensorId, TensorId> recomputed_;  // first tensor -> its recomputed twin
  std::optional<std::size_t> open_block_;
  bool gradients_enabled_ = true;
};

}  // namespace simclr
