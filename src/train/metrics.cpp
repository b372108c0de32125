#include "metrics.hpp"

#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
namespace {

/// Calls take(line, row) for each row up to `last_step`; stops at a row that a crash has cut short.
template <class Take>
void for_rows_up_to(const fs::path& file, std::int64_t last_step, const Take& take) {
  if (!fs::exists(file)) return;
  std::istringstream in(read_text_file(file));
  for (std::string line; std::getline(in, line);) {
    const Json row = Json::parse(line, nullptr, false);
    if (row.is_discarded() || row.value("step", last_step + 1) > last_step) break;
    take(line, row);
  }
}

}  // namespace

std::vector<std::pair<std::int64_t, double>> logged_values(const fs::path& file,
                                                           const std::string& column,
                                                           std::int64_t last_step) {
  std::vector<std::pair<std::int64_t, double>> values;
  for_rows_up_to(file, last_step, [&](const std::string&, const Json& row) {
    if (row.contains(column)) values.emplace_back(row.at("step"), row.at(column));
  });
  return values;
}

MetricsFile::MetricsFile(const fs::path& file, std::vector<Metric> metrics, std::int64_t last_step)
    : metrics_(std::move(metrics)) {
  std::string kept;
  for_rows_up_to(file, last_step,
                 [&](const std::string& line, const Json&) { kept += line + "\n"; });
  write_file(file, kept);
  file_.emplace(file);
}

void MetricsFile::append(const MetricsRow& row) {
  Json json{{"step", row.step}, {"epoch", row.epoch}, {"restarts", row.restarts}};
  for (std::size_t i = 0; i < metrics_.size(); ++i) json[metrics_[i].name] = row.metrics[i];
  json["learning_rate"] = row.learning_rate;
  json["images_per_second"] = row.images_per_second;
  json["seconds_step"] = row.seconds_step;
  json["seconds_data"] = row.seconds_data;
  json["seconds_checkpoint"] = row.seconds_checkpoint;
  json["seconds_read"] = row.seconds_read;
  json["bytes_read"] = row.bytes_read;
  json["bytes_fetched"] = row.bytes_fetched;
  if (row.phases) {
    json["seconds_forward"] = row.phases->forward;
    json["seconds_backward"] = row.phases->backward;
    json["seconds_update"] = row.phases->update;
  }
  if (row.loss_scaling) {
    json["loss_scale"] = row.loss_scaling->scale;
    json["skipped_steps"] = row.loss_scaling->skipped_steps;
  }
  file_->append(json.dump() + "\n");
}

}  // namespace simclr
