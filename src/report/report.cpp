#include "simclr/report/report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "page.hpp"
#include "run_data.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/image_file.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

/// Number of samples on the page: fewer for large images, which take more bytes.
constexpr std::int64_t kLargeImage = 112;
constexpr std::int64_t kLargePairs = 6, kSmallPairs = 12;

/// The time of writing, which the page says to be UTC.
std::string time_text() {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::gmtime(std::time(nullptr)));
}

/// Returns {png, width, height}, or {note} with the reason why there is no picture.
Json pairs_json(const EncoderTraining& config, Pairs pairs) {
  if (pairs == Pairs::leave_out) {
    return {{"note", "Left out because the run failed; simclr report RUN adds them."}};
  }
  try {
    const bool large = config.image_size > kLargeImage;
    const Image image = augmented_pairs(config, large ? kLargePairs : kSmallPairs);
    return {{"png", base64(encode_png(image))}, {"width", image.width}, {"height", image.height}};
  } catch (const std::exception& error) {
    return {{"note", "Left out because the data set cannot be read: " + message_of(error)}};
  }
}

/// Names the runs by their paths if two directories have the same name.
void make_names_unique(std::vector<RunData>& runs, const std::vector<fs::path>& run_dirs) {
  std::set<std::string> names;
  for (const RunData& run : runs) names.insert(run.name);
  if (names.size() == runs.size()) return;
  for (std::size_t i = 0; i < runs.size(); ++i) runs[i].name = run_dirs[i].string();
}

}  // namespace

void write_report(const std::vector<fs::path>& run_dirs, const fs::path& output, Pairs pairs) {
  require(!run_dirs.empty(), "a page must have at least one run");
  std::vector<RunData> runs;
  runs.reserve(run_dirs.size());
  for (const fs::path& run_dir : run_dirs) runs.push_back(read_run(run_dir));
  make_names_unique(runs, run_dirs);
  Json data{{"written", time_text()}, {"runs", Json::array()}};
  for (const RunData& run : runs) data["runs"].push_back(run_json(run));
  if (runs.size() == 1) data["pairs"] = pairs_json(*runs.front().config, pairs);
  write_file(output, fill_page(data));
}

void write_study_page(const fs::path& output, const std::string& study) {
  write_file(output, fill_page({{"written", time_text()},
                                {"runs", Json::array()},
                                {"study", Json::parse(study)}}));
}

void refresh_report(const fs::path& run_dir, Pairs pairs) {
  try {
    if (is_run_directory(run_dir)) write_report({run_dir}, run_dir / "report.html", pairs);
  } catch (const std::exception& error) {
    log::warning("cannot write report.html: {}", message_of(error));
  }
}

void refresh_report_of_checkpoint(const fs::path& checkpoint) {
  const fs::path directory = fs::absolute(checkpoint).parent_path();
  if (directory.filename() == "checkpoints") {
    refresh_report(directory.parent_path(), Pairs::render);
  }
}

}  // namespace simclr
