// Safetensors, configurations and the JSON files of runs.

#include "report/run_data.hpp"
#include "simclr/io/safetensors.hpp"
#include "simclr/plan/machine.hpp"
#include "simclr/train/model_description.hpp"
#include "simclr/train/pretrain_config.hpp"
#include "targets.hpp"
#include "train/environment.hpp"
#include "train/records.hpp"
#include "train/run_directory.hpp"
#include "train/run_state.hpp"

namespace simclr::fuzz {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string>& json_words() {
  static const std::vector<std::string> words{"{",  "}",        "[",       "]",       ":",
                                              ",",  "\"",       "null",    "true",    "1e999",
                                              "-1", "\"step\"", "\\u0000", "\xC3\x28"};
  return words;
}

Corpus safetensors_corpus(const fs::path& scratch) {
  const fs::path file = scratch / "t.safetensors";
  write_safetensors(file,
                    {{{"step", "7"}}, {{"w", {1, 2, 1, 1}, {1.5F, -2.F}}, {"b", {1}, {3.F}}}});
  std::vector<std::string> words = json_words();
  for (const char* word :
       {"\"F32\"", "\"shape\"", "\"data_offsets\"", "\"dtype\"", "__metadata__"}) {
    words.emplace_back(word);
  }
  return {.seeds = {read_bytes(file)}, .words = words};
}

void read_tensors(const std::string& bytes, const fs::path& scratch) {
  (void)read_safetensors(write_bytes(scratch / "t.safetensors", bytes));
}

/// Sets the length of the header to that of its text, as far as a brace closes it.
void repair_safetensors(std::string& bytes) {
  constexpr std::size_t kLengthBytes = 8;
  const std::size_t end = bytes.rfind('}');
  if (end == std::string::npos || end < kLengthBytes) return;
  const std::size_t length = end + 1 - kLengthBytes;
  for (std::size_t i = 0; i < kLengthBytes; ++i) bytes[i] = static_cast<char>(length >> (8 * i));
}

Corpus configuration_corpus(const fs::path& /*scratch*/) {
  PretrainConfig config;
  const std::string all = declared_options(config).text("pretrain");
  return {.seeds = {all, "threads = 2\n[pretrain]\nbatch-size = 64 # images\nmean = 0.5,0.5,0.5\n"},
          .words = {"[pretrain]", "[", "]", "=", "#", "\n", ",", "nan", "--", "batch-size = "}};
}

void read_configuration(const std::string& bytes, const fs::path& /*scratch*/) {
  PretrainConfig config;
  Options options = declared_options(config);
  read_stored_options(options, bytes, "stored");
  config.validate();
  (void)config.model();
}

Corpus model_corpus(const fs::path& /*scratch*/) {
  ModelDescription normalized;
  normalized.mean = {0.5F, 0.4F, 0.3F};
  normalized.std = {0.2F, 0.2F, 0.2F};
  return {.seeds = {to_json({}), to_json(normalized)}, .words = json_words()};
}

void read_model(const std::string& bytes, const fs::path& /*scratch*/) {
  (void)parse_model_description(bytes, "checkpoint");
}

Corpus metrics_corpus(const fs::path& /*scratch*/) {
  return {.seeds = {"{\"step\":1,\"epoch\":0.5,\"loss\":5.5,\"images_per_second\":80.1}\n"
                    "{\"step\":2,\"epoch\":1.0,\"loss\":5.25,\"bytes_read\":123}\n"},
          .words = json_words()};
}

void read_metrics(const std::string& bytes, const fs::path& scratch) {
  const fs::path file = write_bytes(scratch / "metrics.jsonl", bytes);
  (void)MetricsTable(file).names();
  (void)logged_values(file, "loss", 10);
}

Corpus state_corpus(const fs::path& /*scratch*/) {
  return {.seeds = {R"({"status": "running", "step": 5, "reason": "", "cause": "none",)"
                    R"( "resubmit": true, "restarts": 1})"},
          .words = json_words()};
}

void read_state_file(const std::string& bytes, const fs::path& scratch) {
  write_bytes(scratch / "state.json", bytes);
  (void)read_state(scratch);
  (void)restarts_so_far(scratch);
}

/// The same bytes as every file of a run that a report shows.
Corpus run_corpus(const fs::path& scratch) {
  std::vector<std::string> seeds = state_corpus(scratch).seeds;
  seeds.emplace_back(R"({"protocol":"knn","top1":0.5,"top5":0.9,"samples":10,"step":5})");
  seeds.emplace_back(
      R"({"version":"1","git_commit":"c","compiler":"g","libraries":{"mpi":"m","hdf5":"h",)"
      R"("compute":"d"},"job":"","cache":"node","ranks":[{"rank":0,"host":"a","device":"cpu",)"
      R"("model":"m","description":"d","threads":2}]})");
  return {.seeds = seeds, .words = json_words()};
}

void read_run_files(const std::string& bytes, const fs::path& scratch) {
  fs::create_directories(scratch / "eval");
  fs::create_directories(scratch / "checkpoints");
  write_bytes(scratch / "config.cfg", "[pretrain]\n");
  for (const char* name : {"state.json", "environment.json", "metrics.jsonl", "eval/knn.json"}) {
    write_bytes(scratch / name, bytes);
  }
  (void)read_run(scratch);
  (void)environment_of(scratch / "checkpoints" / "step-0000000001.h5");
}

Corpus lock_corpus(const fs::path& /*scratch*/) {
  return {.seeds = {R"({"host":"a","pid":1,"process_start":"5","job":"7","job_restart":0})"},
          .words = json_words()};
}

void read_lock(const std::string& bytes, const fs::path& scratch) {
  write_bytes(scratch / "lock", bytes);
  require_unlocked(scratch);
}

Corpus machine_corpus(const fs::path& scratch) {
  write_machine(scratch / "machine.json", h100_machine());
  return {.seeds = {read_bytes(scratch / "machine.json")}, .words = json_words()};
}

void read_machine_file(const std::string& bytes, const fs::path& scratch) {
  (void)read_machine(write_bytes(scratch / "machine.json", bytes));
}

}  // namespace

std::vector<Target> text_targets() {
  return {{"safetensors", kManyInputs, safetensors_corpus, read_tensors, repair_safetensors},
          {"configuration", kManyInputs, configuration_corpus, read_configuration},
          {"model", kManyInputs, model_corpus, read_model},
          {"metrics", kManyInputs, metrics_corpus, read_metrics},
          {"state", kManyInputs, state_corpus, read_state_file},
          {"run", kManyInputs, run_corpus, read_run_files},
          {"lock", kManyInputs, lock_corpus, read_lock},
          {"machine", kManyInputs, machine_corpus, read_machine_file}};
}

}  // namespace simclr::fuzz
