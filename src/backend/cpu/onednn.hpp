#pragma once
// oneDNN's engine and stream, and our layouts in its words. oneDNN appears only in this folder.

#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "layout.hpp"

namespace simclr::cpu {

class OneDnn {
 public:
  OneDnn() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {}
  [[nodiscard]] const dnnl::engine& engine() const { return engine_; }
  /// In order and synchronous: execute() returns when the work is done.
  [[nodiscard]] dnnl::stream& stream() { return stream_; }
  /// "oneDNN 2.6.3".
  [[nodiscard]] static std::string version();

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
};

dnnl::memory::data_type data_type_of(DType dtype);
/// An activation (N,C,H,W in oneDNN's order of dimensions) in our storage order.
dnnl::memory::desc activation_desc(const Layout& layout);

}  // namespace simclr::cpu
