#include "step_exchange.hpp"

#include <memory>
#include <new>

#include "simclr/core/check.hpp"

namespace simclr {

StepExchange::StepExchange(Executor& executor, Backend& backend)
    : executor_(executor),
      control_(executor.program().at("control")),
      sums_(executor.program().at("sums")),
      verdict_(executor.program().at("verdict")) {
  const auto sums = static_cast<std::size_t>(executor.program().info(sums_).shape.elements());
  static_assert(sizeof(Words) % alignof(double) == 0, "the sums follow the words");
  for (Slot& slot : slots_) {
    slot.memory = backend.allocate_host(sizeof(Words) + sums * sizeof(double));
    slot.words = new (slot.memory.data()) Words;
    auto* first = reinterpret_cast<double*>(slot.memory.data() + sizeof(Words));
    std::uninitialized_value_construct_n(first, sums);
    slot.sums = {first, sums};
    slot.arrived = backend.make_milestone();
  }
}

void StepExchange::send_control(const std::array<float, 4>& control) {
  require(requested_ - received_ < kSteps,
          "send_control() must not be called with kSteps results outstanding");
  Words& words = *slot(requested_).words;
  words.control = control;
  executor_.enqueue_upload(control_, const_buffer_span(std::span<const float>(words.control)));
  if (requested_ != received_) return;
  words.verdict = {};
  executor_.enqueue_upload(verdict_,
                           const_buffer_span(std::span<const std::int32_t>(words.verdict)));
}

void StepExchange::request_results() {
  Slot& at = slot(requested_++);
  executor_.enqueue_download(sums_, buffer_span(at.sums));
  executor_.enqueue_download(verdict_, buffer_span(std::span<std::int32_t>(at.words->verdict)));
  at.arrived->set();
}

StepExchange::Results StepExchange::wait_for_results() {
  require(received_ < requested_, "wait_for_results() must follow request_results()");
  const Slot& at = slot(received_++);
  at.arrived->wait();
  return {.sums = at.sums, .verdict = at.words->verdict};
}

}  // namespace simclr
