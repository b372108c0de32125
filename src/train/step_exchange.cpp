#include "step_exchange.hpp"

#include <new>
#include <span>

#include "simclr/core/check.hpp"

namespace simclr {

StepExchange::StepExchange(Executor& executor, Backend& backend)
    : executor_(executor),
      control_(executor.program().at("control")),
      loss_sums_(executor.program().at("loss_sums")),
      verdict_(executor.program().at("verdict")) {
  for (Slot& slot : slots_) {
    slot.memory = backend.allocate_host(sizeof(Words));
    slot.words = new (slot.memory.data()) Words;
    slot.answered = backend.make_milestone();
  }
}

void StepExchange::send(const std::array<float, 4>& control) {
  require(asked_ - taken_ < kSteps, "the results of earlier steps are taken");
  Words& words = *slot(asked_).words;
  words.control = control;
  executor_.enqueue_upload(control_, const_buffer_span(std::span<const float>(words.control)));
  if (asked_ != taken_) return;
  words.results.verdict = {};
  executor_.enqueue_upload(verdict_,
                           const_buffer_span(std::span<const std::int32_t>(words.results.verdict)));
}

void StepExchange::ask() {
  Slot& at = slot(asked_++);
  executor_.enqueue_download(loss_sums_,
                             buffer_span(std::span<double>(at.words->results.loss_sums)));
  executor_.enqueue_download(verdict_,
                             buffer_span(std::span<std::int32_t>(at.words->results.verdict)));
  at.answered->set();
}

StepExchange::Results StepExchange::take() {
  require(taken_ < asked_, "a result is taken once");
  const Slot& at = slot(taken_++);
  at.answered->wait();
  return at.words->results;
}

}  // namespace simclr
