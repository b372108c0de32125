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
    slot.answered = backend.make_milestone();
  }
}

void StepExchange::send(const std::array<float, 4>& control) {
  require(asked_ - taken_ < kSteps, "take() comes before another send()");
  Words& words = *slot(asked_).words;
  words.control = control;
  executor_.enqueue_upload(control_, const_buffer_span(std::span<const float>(words.control)));
  if (asked_ != taken_) return;
  words.verdict = {};
  executor_.enqueue_upload(verdict_,
                           const_buffer_span(std::span<const std::int32_t>(words.verdict)));
}

void StepExchange::ask() {
  Slot& at = slot(asked_++);
  executor_.enqueue_download(sums_, buffer_span(at.sums));
  executor_.enqueue_download(verdict_, buffer_span(std::span<std::int32_t>(at.words->verdict)));
  at.answered->set();
}

StepExchange::Results StepExchange::take() {
  require(taken_ < asked_, "ask() comes before take()");
  const Slot& at = slot(taken_++);
  at.answered->wait();
  return {.sums = at.sums, .verdict = at.words->verdict};
}

}  // namespace simclr
