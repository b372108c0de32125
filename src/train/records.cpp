#include "records.hpp"

namespace simclr {

Records::Records(const TrainingConfig& config, const std::vector<Metric>& metrics, const Span& span,
                 int restarts, bool is_root)
    : config_(config), span_(span), restarts_(restarts) {
  if (!is_root) return;
  metrics_.emplace(config.run_dir / "metrics.jsonl", metrics, span.first);
  progress_.emplace(metrics, span.first, span.end, span.steps_per_epoch);
}

void Records::add_data_cost(const DataCost& data) {
  sums_.seconds_data += data.stall_seconds;
  sums_.seconds_read += data.read_seconds;
  sums_.bytes_read += data.bytes_read;
  sums_.bytes_fetched += data.bytes_fetched;
}

void Records::add(const StepResult& result) {
  const std::int64_t step = result.step + 1;
  ++steps_;
  if (result.phases) {
    phases_.forward += result.phases->forward;
    phases_.backward += result.phases->backward;
    phases_.update += result.phases->update;
  }
  const bool logged = step % config_.log_every == 0 || step == span_.first + 1 || step == span_.end;
  if (!metrics_) return;
  const MetricsRow row = mean_row(step, result);
  if (logged) metrics_->append(row);
  progress_->show(row, logged);
  if (logged) start_interval();
}

void Records::finish() {
  if (progress_) progress_->finish();
}

MetricsRow Records::mean_row(std::int64_t step, const StepResult& result) const {
  const auto n = static_cast<double>(steps_);
  const double seconds = std::chrono::duration<double>(Clock::now() - interval_start_).count() / n;
  MetricsRow row{.step = step,
                 .restarts = restarts_,
                 .epoch = static_cast<double>(step) / static_cast<double>(span_.steps_per_epoch),
                 .metrics = result.metrics,
                 .learning_rate = result.learning_rate,
                 .images_per_second = static_cast<double>(config_.batch_size) / seconds,
                 .seconds_step = seconds,
                 .seconds_data = sums_.seconds_data / n,
                 .seconds_checkpoint = sums_.seconds_checkpoint / n,
                 .seconds_read = sums_.seconds_read / n,
                 .bytes_read = sums_.bytes_read,
                 .bytes_fetched = sums_.bytes_fetched,
                 .loss_scaling = result.loss_scaling};
  if (result.phases) row.phases = {phases_.forward / n, phases_.backward / n, phases_.update / n};
  return row;
}

void Records::start_interval() {
  sums_ = {};
  phases_ = {};
  steps_ = 0;
  interval_start_ = Clock::now();
}

}  // namespace simclr
