#pragma once
// Owner of a descriptor of cuDNN's graph API. A descriptor is created, its attributes are set, and
// finalize() checks them and makes it usable by others.

#include <cstdint>
#include <span>
#include <vector>

#include "../libraries.hpp"

namespace simclr::cuda::cudnn {

/// The tag by which cuDNN knows elements of a type.
using Tag = cudnnBackendAttributeType_t;
constexpr Tag tag_of(const std::int64_t*) { return CUDNN_TYPE_INT64; }
constexpr Tag tag_of(const float*) { return CUDNN_TYPE_FLOAT; }
constexpr Tag tag_of(const bool*) { return CUDNN_TYPE_BOOLEAN; }
constexpr Tag tag_of(const cudnnHandle_t*) { return CUDNN_TYPE_HANDLE; }
constexpr Tag tag_of(const cudnnDataType_t*) { return CUDNN_TYPE_DATA_TYPE; }
constexpr Tag tag_of(const cudnnConvolutionMode_t*) { return CUDNN_TYPE_CONVOLUTION_MODE; }
constexpr Tag tag_of(const cudnnPointwiseMode_t*) { return CUDNN_TYPE_POINTWISE_MODE; }
constexpr Tag tag_of(const cudnnBackendHeurMode_t*) { return CUDNN_TYPE_HEUR_MODE; }
constexpr Tag tag_of(const cudnnGenStatsMode_t*) { return CUDNN_TYPE_GENSTATS_MODE; }
constexpr Tag tag_of(const cudnnBackendKnobType_t*) { return CUDNN_TYPE_KNOB_TYPE; }
constexpr Tag tag_of(const cudnnBackendNumericalNote_t*) { return CUDNN_TYPE_NUMERICAL_NOTE; }
constexpr Tag tag_of(void* const*) { return CUDNN_TYPE_VOID_PTR; }

/// Errors give the numbers of descriptor and attribute in cudnn_graph.h, and what cuDNN says.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t attribute, T value) {
    return set_elements(attribute, tag_of(&value), 1, &value);
  }
  template <class T>
  Descriptor& set_all(cudnnBackendAttributeName_t attribute, std::span<const T> values) {
    return set_elements(attribute, tag_of(values.data()), values.size(), values.data());
  }
  /// cuDNN keeps what it needs of the other descriptors, which are finalized.
  Descriptor& set(cudnnBackendAttributeName_t attribute, const Descriptor& value);
  Descriptor& set_all(cudnnBackendAttributeName_t attribute, std::span<const Descriptor> values);
  Descriptor& finalize();

  template <class T>
  [[nodiscard]] T get(cudnnBackendAttributeName_t attribute) const {
    T value{};
    get_elements(attribute, tag_of(&value), 1, &value);
    return value;
  }
  /// As many as there are, `most` at most.
  template <class T>
  [[nodiscard]] std::vector<T> get_all(cudnnBackendAttributeName_t attribute,
                                       std::size_t most) const {
    std::vector<T> values(most);
    values.resize(get_elements(attribute, tag_of(values.data()), most, values.data()));
    return values;
  }
  [[nodiscard]] std::vector<Descriptor> get_descriptors(cudnnBackendAttributeName_t attribute,
                                                        cudnnBackendDescriptorType_t type,
                                                        std::size_t most) const;
  /// How many descriptors there are to get.
  [[nodiscard]] std::size_t count_descriptors(cudnnBackendAttributeName_t attribute) const;

  [[nodiscard]] cudnnBackendDescriptor_t get() const { return descriptor_.get(); }

 private:
  Descriptor& set_elements(cudnnBackendAttributeName_t attribute, Tag tag, std::size_t count,
                           const void* elements);
  /// The number of elements written.
  std::size_t get_elements(cudnnBackendAttributeName_t attribute, Tag tag, std::size_t most,
                           void* elements) const;

  cudnnBackendDescriptorType_t type_;
  Owner<cudnnBackendDescriptor_t, cudnnBackendDestroyDescriptor> descriptor_;
};

}  // namespace simclr::cuda::cudnn
