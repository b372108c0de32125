#include "step_exchange.hpp"

#include <algorithm>
#include <memory>
#include <new>

#include "simclr/core/check.hpp"

namespace simclr {

StepExchange::StepExchange(Executor& executor, const std::vector<std::string>& results,
                           Backend& backend)
    : executor_(executor),
      control_(executor.program().at("control")),
      verdict_(executor.program().at("verdict")) {
  std::size_t elements = 0;
  for (const std::string& name : results) {
    results_.push_back(executor.program().at(name));
    elements += elements_of(results_.back());
  }
  static_assert(sizeof(Words) % alignof(double) == 0, "the results follow the words");
  for (Slot& slot : slots_) {
    slot.memory = backend.allocate_host(sizeof(Words) + elements * sizeof(double));
    slot.words = new (slot.memory.data()) Words;
    auto* first = reinterpret_cast<double*>(slot.memory.data() + sizeof(Words));
    std::uninitialized_value_construct_n(first, elements);
    slot.results = {first, elements};
    slot.arrived = backend.make_milestone();
  }
}

std::size_t StepExchange::elements_of(TensorId tensor) const {
  return static_cast<std::size_t>(executor_.program().info(tensor).shape.elements());
}

void StepExchange::send_control(std::span<const float> control) {
  require(requested_ - received_ < kSteps,
          "send_control() must not be called with kSteps results outstanding");
  Words& words = *slot(requested_).words;
  require(control.size() <= words.control.size(), "a program has at most two optimizers");
  std::ranges::copy(control, words.control.begin());
  executor_.enqueue_upload(
      control_, const_buffer_span(std::span<const float>(words.control.data(), control.size())));
  if (requested_ != received_) return;
  words.verdict = {};
  executor_.enqueue_upload(verdict_,
                           const_buffer_span(std::span<const std::int32_t>(words.verdict)));
}

void StepExchange::request_results() {
  Slot& at = slot(requested_++);
  std::size_t first = 0;
  for (const TensorId tensor : results_) {
    const std::size_t count = elements_of(tensor);
    executor_.enqueue_download(tensor, buffer_span(at.results.subspan(first, count)));
    first += count;
  }
  executor_.enqueue_download(verdict_, buffer_span(std::span<std::int32_t>(at.words->verdict)));
  at.arrived->set();
}

StepExchange::Results StepExchange::wait_for_results() {
  require(received_ < requested_, "wait_for_results() must follow request_results()");
  const Slot& at = slot(received_++);
  at.arrived->wait();
  return {.results = at.results, .verdict = at.words->verdict};
}

}  // namespace simclr
