#include "simclr/eval/predictions.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>

#include "simclr/backend/executor.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/io/array_file.hpp"

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;

/// Numbers of samples as f64, which adds them over ranks exactly.
using Counts = std::vector<double>;

/// The most classes whose confusion matrix (134 MB) a predictions file has.
constexpr std::int64_t kMostStoredConfusionClasses = 4096;

/// The file that rank 0 writes.
class PredictionsFile {
 public:
  PredictionsFile(const std::filesystem::path& path, const PredictionsOrigin& origin,
                  std::int64_t classes)
      : file_(path), samples_(origin.samples), classes_(classes) {
    const std::int64_t rows = std::ssize(samples_);
    file_.attribute("format", std::string(kPredictionsFormat));
    file_.attribute("version", std::int64_t{1});
    file_.attribute("protocol", origin.protocol);
    file_.attribute("checkpoint_hash", origin.checkpoint_hash);
    file_.attribute("test_data_hash", origin.test_data_hash);
    file_.attribute("origin", origin.evaluation);
    file_.attribute("classes", classes);
    file_.create("label", ArrayFile::Type::i64, {rows});
    file_.create("sample", ArrayFile::Type::i64, {rows});
    file_.create("top5", ArrayFile::Type::i32, {rows, Predictions::kBest});
    file_.create("scores", ArrayFile::Type::f32, {rows, classes});
    file_.write("sample", {0}, samples_);
    if (classes <= kMostConfusionClasses || classes > kMostStoredConfusionClasses) return;
    file_.create("confusion", ArrayFile::Type::i64, {classes, classes});
    confusion_.resize(static_cast<std::size_t>(classes * classes));
  }

  /// Writes the part of the next rank.
  void write(std::span<const std::int64_t> labels, std::span<const std::int32_t> best,
             std::span<const float> scores) {
    if (labels.empty()) return;
    file_.write("label", {row_}, labels);
    file_.write("top5", {row_}, best);
    file_.write("scores", {row_}, scores);
    row_ += std::ssize(labels);
    if (confusion_.empty()) return;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::int64_t predicted = best[i * Predictions::kBest];
      ++confusion_[static_cast<std::size_t>(labels[i] * classes_ + predicted)];
    }
  }

  void finish() {
    require(row_ == std::ssize(samples_), "every sample of the test set has a prediction");
    if (!confusion_.empty()) {
      file_.write("confusion", {0}, std::span<const std::int64_t>(confusion_));
    }
    file_.finish();
  }

 private:
  ArrayFile file_;
  std::span<const std::int64_t> samples_;
  std::int64_t classes_, row_ = 0;
  std::vector<std::int64_t> confusion_;
};

Json json_rows(const std::vector<std::int64_t>& values, std::size_t columns) {
  Json rows = Json::array();
  for (std::size_t first = 0; first < values.size(); first += columns) {
    const auto row = std::span(values).subspan(first, columns);
    rows.push_back(std::vector<std::int64_t>(row.begin(), row.end()));
  }
  return rows;
}

}  // namespace

std::int64_t Predictions::append_rows(std::int64_t count) {
  const std::int64_t first = rows();
  const auto size = static_cast<std::size_t>(first + count);
  labels_.resize(size);
  best_.resize(size * kBest, -1);
  if (keep_ == Keep::scores) scores_.resize(size * static_cast<std::size_t>(classes_));
  return first;
}

template <class T>
void Predictions::set(std::int64_t row, std::int64_t label, std::span<const T> scores) {
  require(std::ssize(scores) == classes_, "a sample must have a score for each class");
  std::array<std::int32_t, kBest> best{};
  std::size_t found = 0;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    if (std::isnan(scores[c])) continue;
    std::size_t place = found;
    while (place > 0 && scores[c] > scores[static_cast<std::size_t>(best[place - 1])]) --place;
    if (place == best.size()) continue;
    found = std::min(found + 1, best.size());
    std::copy_backward(best.begin() + place, best.begin() + found - 1, best.begin() + found);
    best[place] = static_cast<std::int32_t>(c);
  }
  const auto at = static_cast<std::size_t>(row);
  labels_[at] = label;
  std::copy_n(best.begin(), found, best_.begin() + static_cast<std::ptrdiff_t>(at * kBest));
  if (keep_ == Keep::best) return;
  const auto to = scores_.begin() + static_cast<std::ptrdiff_t>(at * scores.size());
  std::ranges::transform(scores, to, [](T score) { return static_cast<float>(score); });
}
template void Predictions::set(std::int64_t, std::int64_t, std::span<const float>);
template void Predictions::set(std::int64_t, std::int64_t, std::span<const double>);

void Predictions::append(std::span<const std::int64_t> labels, std::span<const float> scores) {
  const auto classes = static_cast<std::size_t>(classes_);
  require(scores.size() == labels.size() * classes, "samples must have a score for each class");
  const std::int64_t first = append_rows(std::ssize(labels));
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < labels.size(); ++i) {
    set(first + static_cast<std::int64_t>(i), labels[i], scores.subspan(i * classes, classes));
  }
}

std::optional<Predictions> classify_images(Executor& executor, EvaluationLoader& loader,
                                           Predictions::Keep keep,
                                           const std::function<bool()>& goes_on) {
  const Program& program = executor.program();
  const TensorId logits = program.at("logits");
  Predictions predictions(program.info(logits).shape[1], keep);
  // Labels matter to the loss only, which is not used here.
  const std::vector<std::int32_t> labels(static_cast<std::size_t>(program.info(logits).shape[0]),
                                         kPaddingLabel);
  while (const EvaluationBatch* batch = loader.next()) {
    if (!goes_on()) return {};
    executor.stage(program.at("views"), batch->images.span());
    executor.stage(program.at("labels"), const_buffer_span(std::span<const std::int32_t>(labels)));
    executor.commit();
    executor.run_forward();
    // The loss reads the logits last, so that they are still there.
    const std::vector<float> scores = executor.values(logits);
    predictions.append(batch->labels,
                       std::span(scores).first(batch->labels.size() *
                                               static_cast<std::size_t>(predictions.classes())));
  }
  return predictions;
}

ClassAccuracy class_accuracy(const Predictions& part, Communicator& world) {
  const auto classes = static_cast<std::size_t>(part.classes());
  const bool with_confusion = part.classes() <= kMostConfusionClasses;
  Counts samples(classes);
  Counts right(classes);
  Counts confusion(with_confusion ? classes * classes : 0);
  std::array<double, 2> sums{};  // labels among the first five, rows without a prediction
  for (std::size_t row = 0; row < part.labels().size(); ++row) {
    const auto label = part.labels()[row];
    const auto best = std::span(part.best()).subspan(row * Predictions::kBest, Predictions::kBest);
    const auto c = static_cast<std::size_t>(label);
    require(label >= 0 && c < classes, "a label must be a class");
    samples[c] += 1;
    if (best[0] < 0) {
      sums[1] += 1;
      continue;
    }
    right[c] += best[0] == label ? 1 : 0;
    sums[0] += std::ranges::find(best, label) != best.end() ? 1 : 0;
    if (with_confusion) confusion[c * classes + static_cast<std::size_t>(best[0])] += 1;
  }
  sum_over_ranks(world, samples);
  sum_over_ranks(world, right);
  if (with_confusion) sum_over_ranks(world, confusion);
  sum_over_ranks(world, sums);
  if (sums[1] > 0) {
    fail("the classifier's scores of {} test samples are not numbers; check the features", sums[1]);
  }

  ClassAccuracy result;
  double all = 0;
  double hits = 0;
  double classes_with_samples = 0;
  for (std::size_t c = 0; c < classes; ++c) {
    all += samples[c];
    hits += right[c];
    result.per_class.emplace_back();
    if (samples[c] == 0) continue;
    result.per_class.back() = right[c] / samples[c];
    result.mean_per_class += right[c] / samples[c];
    classes_with_samples += 1;
  }
  result.mean_per_class /= classes_with_samples;
  result.all = {hits / all, sums[0] / all, static_cast<std::int64_t>(all)};
  result.confusion.assign(confusion.begin(), confusion.end());
  return result;
}

void write_predictions(const std::filesystem::path& file, const Predictions& part,
                       const PredictionsOrigin& origin, Communicator& world) {
  std::unique_ptr<PredictionsFile> out;
  on_root(world, [&] {
    std::filesystem::create_directories(std::filesystem::absolute(file).parent_path());
    out = std::make_unique<PredictionsFile>(file, origin, part.classes());
  });
  for (int owner = 0; owner < world.size(); ++owner) {
    const auto labels = broadcast_list(world, part.labels(), owner);
    const auto best = broadcast_list(world, part.best(), owner);
    const auto scores = broadcast_list(world, part.scores(), owner);
    on_root(world, [&] { out->write(labels, best, scores); });
  }
  on_root(world, [&] { out->finish(); });
}

std::string to_json(const ClassAccuracy& accuracy) {
  Json per_class = Json::array();
  for (const auto& value : accuracy.per_class) per_class.push_back(value ? Json(*value) : Json());
  Json json{{"top1", accuracy.all.top1},
            {"top5", accuracy.all.top5},
            {"samples", accuracy.all.samples},
            {"mean_per_class", accuracy.mean_per_class},
            {"per_class_accuracy", std::move(per_class)}};
  if (!accuracy.confusion.empty()) {
    json["confusion"] = json_rows(accuracy.confusion, accuracy.per_class.size());
  }
  return json_text(json);
}

}  // namespace simclr
