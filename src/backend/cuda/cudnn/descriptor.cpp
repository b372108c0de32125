#include "descriptor.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace simclr::cuda::cudnn {
namespace {

/// By cudnn_graph.h's numbers; cuDNN's own message, which check() adds, says what is wrong.
void check_on(cudnnStatus_t status, std::string_view call, cudnnBackendDescriptorType_t type) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  check(status, fmt::format("{} descriptor {}", call, static_cast<int>(type)));
}
void check_on(cudnnStatus_t status, std::string_view call, cudnnBackendAttributeName_t attribute,
              cudnnBackendDescriptorType_t type) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  check(status, fmt::format("{} attribute {} of descriptor {}", call, static_cast<int>(attribute),
                            static_cast<int>(type)));
}

}  // namespace

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) : type_(type) {
  cudnnBackendDescriptor_t raw = nullptr;
  check_on(cudnnBackendCreateDescriptor(type, &raw), "create", type);
  descriptor_.reset(raw);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t attribute, const Descriptor& value) {
  const cudnnBackendDescriptor_t handle = value.get();
  return set_elements(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle);
}

Descriptor& Descriptor::set_all(cudnnBackendAttributeName_t attribute,
                                std::span<const Descriptor> values) {
  std::vector<cudnnBackendDescriptor_t> handles;
  handles.reserve(values.size());
  for (const Descriptor& value : values) handles.push_back(value.get());
  return set_elements(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, handles.size(), handles.data());
}

Descriptor& Descriptor::finalize() {
  check_on(cudnnBackendFinalize(get()), "finalize", type_);
  return *this;
}

std::vector<Descriptor> Descriptor::get_descriptors(cudnnBackendAttributeName_t attribute,
                                                    cudnnBackendDescriptorType_t type,
                                                    std::size_t most) const {
  // cuDNN fills descriptors that exist.
  std::vector<Descriptor> descriptors;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (std::size_t i = 0; i < most; ++i) {
    handles.push_back(descriptors.emplace_back(type).get());
  }
  const std::size_t count =
      get_elements(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, handles.data());
  descriptors.erase(descriptors.begin() + static_cast<std::ptrdiff_t>(count), descriptors.end());
  return descriptors;
}

std::size_t Descriptor::count_descriptors(cudnnBackendAttributeName_t attribute) const {
  std::int64_t count = 0;
  check_on(
      cudnnBackendGetAttribute(get(), attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
      "count", attribute, type_);
  return static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
}

Descriptor& Descriptor::set_elements(cudnnBackendAttributeName_t attribute, Tag tag,
                                     std::size_t count, const void* elements) {
  check_on(
      cudnnBackendSetAttribute(get(), attribute, tag, static_cast<std::int64_t>(count), elements),
      "set", attribute, type_);
  return *this;
}

std::size_t Descriptor::get_elements(cudnnBackendAttributeName_t attribute, Tag tag,
                                     std::size_t most, void* elements) const {
  std::int64_t count = 0;  // of what there is, which may be more than is written
  check_on(cudnnBackendGetAttribute(get(), attribute, tag, static_cast<std::int64_t>(most), &count,
                                    elements),
           "get", attribute, type_);
  return std::min(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)), most);
}

}  // namespace simclr::cuda::cudnn
