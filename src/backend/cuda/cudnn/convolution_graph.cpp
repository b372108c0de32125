#include "convolution.hpp"

namespace simclr::cuda::cudnn {

namespace {

cudnnDataType_t data_type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    case DType::f16:
      return CUDNN_DATA_HALF;
    case DType::f64:
    case DType::i32:
    case DType::u8:
      break;
  }
  fail("convolutions cannot be in {}", name_of(dtype));
}

/// A virtual tensor passes from operation to operation and is nowhere in memory.
enum class Kind : bool { in_memory, is_virtual };

/// Packed with channels last. cuDNN counts dimensions as (N,C,H,W) whatever the strides say; a
/// filter (K,R,S,C) is (K,C,R,S) to it.
Descriptor tensor(std::int64_t id, DType dtype, const std::array<std::int64_t, 4>& shape,
                  Kind kind = Kind::in_memory) {
  const auto [count, height, width, channels] = shape;
  const std::array<std::int64_t, 4> dimensions{count, channels, height, width};
  const std::array<std::int64_t, 4> strides{height * width * channels, 1, width * channels,
                                            channels};
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, data_type_of(dtype))
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignmentBytes)
      .set_all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, dimensions)
      .set_all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES, strides)
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, kind == Kind::is_virtual)
      .finalize();
  return tensor;
}

/// x, w and y in the order of their ids; then the gradient before its copy, or the statistics,
/// where there are any.
std::vector<Descriptor> tensors(const ConvolutionShape& s) {
  constexpr std::int64_t kIdOfGradient = 6;
  const bool is_gradient = s.kind == ConvolutionKind::backward_weights;
  const std::array<std::int64_t, 4> filter{s.out_channels, s.kernel, s.kernel, s.in_channels};
  std::vector<Descriptor> tensors;
  tensors.push_back(tensor(kOperandIds[0], s.dtype, {s.images, s.height, s.width, s.in_channels}));
  tensors.push_back(tensor(kOperandIds[1], is_gradient ? s.gradient_dtype : s.dtype, filter));
  tensors.push_back(
      tensor(kOperandIds[2], s.dtype, {s.images, s.out_height, s.out_width, s.out_channels}));
  if (s.widens_gradient()) {
    tensors.push_back(tensor(kIdOfGradient, DType::f32, filter, Kind::is_virtual));
  }
  if (s.with_statistics) {
    for (const std::size_t sums : {3, 4}) {
      tensors.push_back(tensor(kOperandIds[sums], DType::f32, {1, 1, 1, s.out_channels}));
    }
  }
  return tensors;
}

/// Sums in f32 whatever the operands' type.
Descriptor convolution(const ConvolutionShape& shape) {
  constexpr std::int64_t kSpatialDimensions = 2;
  const std::array<std::int64_t, 2> padding{shape.padding, shape.padding};
  const std::array<std::int64_t, 2> stride{shape.stride, shape.stride};
  const std::array<std::int64_t, 2> dilation{1, 1};
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, kSpatialDimensions)
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set_all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding)
      .set_all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding)
      .set_all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride)
      .set_all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation)
      .finalize();
  return convolution;
}

/// The three operations differ only in the names of their attributes.
struct OperationNames {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};

/// In the order of ConvolutionKind.
constexpr std::array<OperationNames, 3> kNames{
    {{.operation = CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
      .x = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
      .w = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
      .y = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
      .convolution = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
      .alpha = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
      .beta = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
     {.operation = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
      .x = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
      .w = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
      .y = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
      .convolution = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
      .alpha = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
      .beta = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
     {.operation = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
      .x = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
      .w = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
      .y = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
      .convolution = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
      .alpha = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
      .beta = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}}};

Descriptor convolve(ConvolutionKind kind, const Descriptor& convolution, const Descriptor& x,
                    const Descriptor& w, const Descriptor& y) {
  const OperationNames& names = kNames.at(static_cast<std::size_t>(kind));
  Descriptor operation(names.operation);
  operation.set(names.convolution, convolution)
      .set(names.x, x)
      .set(names.w, w)
      .set(names.y, y)
      .set(names.alpha, 1.0F)
      .set(names.beta, 0.0F)
      .finalize();
  return operation;
}

Descriptor copy() {
  Descriptor copy(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  copy.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_POINTWISE_IDENTITY)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT)
      .finalize();
  return copy;
}

std::vector<Descriptor> operations(const ConvolutionShape& shape, const Descriptor& convolution,
                                   const Descriptor& copy, std::span<const Descriptor> tensors) {
  std::vector<Descriptor> operations;
  const Descriptor& w = shape.widens_gradient() ? tensors[3] : tensors[1];
  operations.push_back(convolve(shape.kind, convolution, tensors[0], w, tensors[2]));
  if (shape.widens_gradient()) {
    operations.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, copy)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, w)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensors[1])
        .finalize();
  }
  if (shape.with_statistics) {
    operations.emplace_back(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR)
        .set(CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_GENSTATS_SUM_SQSUM)
        .set(CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_DATA_FLOAT)
        .set(CUDNN_ATTR_OPERATION_GENSTATS_XDESC, tensors[2])
        .set(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, tensors[3])
        .set(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, tensors[4])
        .finalize();
  }
  return operations;
}

Descriptor graph_of(std::span<const Descriptor> operations, const Target& target) {
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set_all(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations);
  if (target.handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  graph.finalize();
  return graph;
}

}  // namespace

ConvolutionGraph::ConvolutionGraph(const ConvolutionShape& shape, const Target& target)
    : shape_(shape),
      target_(target),
      tensors_(tensors(shape)),
      convolution_(convolution(shape)),
      copy_(copy()),
      operations_(operations(shape, convolution_, copy_, tensors_)),
      graph_(graph_of(operations_, target)) {}

}  // namespace simclr::cuda::cudnn
