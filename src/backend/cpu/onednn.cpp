#include "onednn.hpp"

#include <fmt/format.h>

#include "simclr/core/check.hpp"

namespace simclr::cpu {

std::string OneDnn::version() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}

dnnl::memory::data_type data_type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return dnnl::memory::data_type::f32;
    case DType::bf16:
      return dnnl::memory::data_type::bf16;
    case DType::i32:
      return dnnl::memory::data_type::s32;
    case DType::u8:
      return dnnl::memory::data_type::u8;
    case DType::f16:
    case DType::f64:
      break;
  }
  fail("oneDNN has no type for {}", name_of(dtype));
}

dnnl::memory::desc activation_desc(const Layout& layout) {
  using Tag = dnnl::memory::format_tag;
  const Tag tag = layout.kind == Layout::Kind::blocked  ? Tag::nChw16c
                  : layout.kind == Layout::Kind::planar ? Tag::nchw
                                                        : Tag::nhwc;
  return {{layout.images, layout.channels, layout.height, layout.width},
          data_type_of(layout.dtype),
          tag};
}

}  // namespace simclr::cpu
