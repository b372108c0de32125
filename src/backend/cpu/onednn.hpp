#pragma once
// oneDNN's engine and stream, our layouts in its words, and one primitive applied to tensors in our
// layouts. oneDNN appears only in this folder.

#include <cstddef>
#include <oneapi/dnnl/dnnl.hpp>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "layout.hpp"
#include "steps.hpp"

namespace simclr::cpu {

struct OneDnn {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{
      engine};  ///< in order and synchronous: execute() returns when the work is done

  /// "oneDNN 2.6.3".
  [[nodiscard]] static std::string version();
};

/// oneDNN's type for activations, which are f32 or bf16.
dnnl::memory::data_type data_type_of(DType dtype);
/// An activation (N,C,H,W in oneDNN's order of dimensions) in our storage order.
dnnl::memory::desc activation_desc(const Layout& layout);

/// A row-major f32 matrix.
struct Matrix {
  float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;
};
enum class Form : char { plain = 'N', transposed = 'T' };
/// c = a * b [+ c], each of a, b plain or transposed.
void multiply_matrices(Form form_a, const Matrix& a, Form form_b, const Matrix& b, const Matrix& c,
                       bool accumulate);

/// Attributes of every primitive: scratch memory comes from the shared workspace.
dnnl::primitive_attr user_scratchpad();

/// Operands that the primitive wants in another layout than ours are converted in the workspace,
/// right before or after it: that is how the canonical f32 weights become blocked (bf16) ones and
/// blocked weight gradients canonical. A conversion is not kept, so it is never out of date; it
/// costs below 1 % of a training step and leaves the weights in the cache for the primitive.
class PrimitivePlan {
 public:
  PrimitivePlan(OneDnn& onednn, dnnl::primitive primitive, const dnnl::memory::desc& scratchpad);

  /// `argument` is a DNNL_ARG_*; `ours` and `theirs` describe the same logical tensor, which stands
  /// at `data`.
  PrimitivePlan& input(int argument, const dnnl::memory::desc& ours,
                       const dnnl::memory::desc& theirs, std::byte* data);
  PrimitivePlan& output(int argument, const dnnl::memory::desc& ours,
                        const dnnl::memory::desc& theirs, std::byte* data);

  [[nodiscard]] Prepared prepared() const;

 private:
  struct Operand {
    int argument = 0;
    bool is_output = false;
    dnnl::memory::desc ours, theirs;
    std::byte* data = nullptr;
    std::size_t copy_offset = 0;    // behind the scratchpad
    dnnl::memory::desc scratchpad;  // of the conversion
    dnnl::primitive conversion{};   // empty where ours is theirs
  };
  void add(Operand operand);
  /// Primitives with their arguments, in order.
  using Calls = std::vector<std::pair<dnnl::primitive, std::unordered_map<int, dnnl::memory>>>;
  [[nodiscard]] Calls calls(Workspace workspace) const;
  [[nodiscard]] std::size_t workspace_bytes() const { return scratchpad_bytes_ + copies_bytes_; }

  OneDnn* onednn_;
  dnnl::primitive primitive_;
  dnnl::memory::desc scratchpad_;
  std::vector<Operand> operands_;
  std::size_t scratchpad_bytes_ = 0;  // the largest of the primitive's and the conversions'
  std::size_t copies_bytes_ = 0;
};

}  // namespace simclr::cpu
