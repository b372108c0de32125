#include "convolution_graph.hpp"

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

/// Packed with channels last. cuDNN counts dimensions as (N,C,H,W) whatever the strides say; a
/// filter (K,R,S,C) is (K,C,R,S) to it.
Descriptor tensor(std::int64_t id, DType dtype, std::int64_t count, std::int64_t height,
                  std::int64_t width, std::int64_t channels) {
  const std::array<std::int64_t, 4> dimensions{count, channels, height, width};
  const std::array<std::int64_t, 4> strides{height * width * channels, 1, width * channels,
                                            channels};
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, data_type_of(dtype))
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignmentBytes)
      .set_all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, dimensions)
      .set_all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES, strides)
      .finalize();
  return tensor;
}

DType filter_dtype(const ConvolutionShape& shape) {
  return shape.kind == ConvolutionKind::backward_weights ? shape.gradient_dtype : shape.dtype;
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

OperationNames names_of(ConvolutionKind kind) {
  switch (kind) {
    case ConvolutionKind::forward:
      return {.operation = CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              .x = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              .w = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              .y = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              .convolution = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              .alpha = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              .beta = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case ConvolutionKind::backward_data:
      return {.operation = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              .x = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              .w = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              .y = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              .convolution = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              .alpha = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              .beta = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvolutionKind::backward_weights:
      return {.operation = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              .x = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              .w = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              .y = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              .convolution = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              .alpha = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              .beta = CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
  fail("no such kind of convolution");
}

Descriptor operation(ConvolutionKind kind, const Descriptor& convolution, const Descriptor& x,
                     const Descriptor& w, const Descriptor& y) {
  const OperationNames names = names_of(kind);
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

Descriptor graph_of(const Descriptor& operation, cudnnHandle_t handle) {
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation)
      .set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle)
      .finalize();
  return graph;
}

}  // namespace

ConvolutionGraph::ConvolutionGraph(const ConvolutionShape& shape, cudnnHandle_t handle)
    : shape_(shape),
      x_(tensor(kOperandIds[0], shape.dtype, shape.images, shape.height, shape.width,
                shape.in_channels)),
      w_(tensor(kOperandIds[1], filter_dtype(shape), shape.out_channels, shape.kernel, shape.kernel,
                shape.in_channels)),
      y_(tensor(kOperandIds[2], shape.dtype, shape.images, shape.out_height, shape.out_width,
                shape.out_channels)),
      convolution_(convolution(shape)),
      operation_(operation(shape.kind, convolution_, x_, w_, y_)),
      graph_(graph_of(operation_, handle)) {}

}  // namespace simclr::cuda::cudnn
