#include "simclr/program/ops.hpp"

namespace simclr {
namespace {

struct AccessCollector {
  Access result;

  static void add(std::vector<TensorId>& list, TensorId tensor) { list.push_back(tensor); }
  static void add(std::vector<TensorId>& list, std::optional<TensorId> tensor) {
    if (tensor) list.push_back(*tensor);
  }
  void reads(const auto&... tensors) { (add(result.reads, tensors), ...); }
  void writes(const auto&... tensors) { (add(result.writes, tensors), ...); }
  void updates(const auto&... tensors) {
    reads(tensors...);
    writes(tensors...);
  }
};

}  // namespace

Access access(const Op& op) {
  AccessCollector collector;
  std::visit([&](const auto& o) { o.fields(o, collector); }, op);
  return std::move(collector.result);
}

std::string_view verb(const Op& op) {
  return std::visit(
      [](const auto& o) {
        if constexpr (requires { o.verb(); }) {
          return o.verb();
        } else {
          return o.kVerb;
        }
      },
      op);
}

}  // namespace simclr
