#include "environment.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "simclr/comm/session.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/io/file.hpp"
#include "simclr/train/system_info.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kEnvironmentFile = "environment.json";

int number_of_hosts(const Json& ranks) {
  std::set<std::string> hosts;
  for (const Json& rank : ranks) hosts.insert(rank.at("host").get<std::string>());
  return static_cast<int>(hosts.size());
}

Environment parse(const Json& json) {
  Environment e;
  e.build = {json.at("version"), json.at("git_commit"), json.at("compiler")};
  e.ranks = static_cast<int>(json.at("ranks").size());
  const Json& root = json.at("ranks").at(0);
  e.threads = root.at("threads");
  e.device = root.at("device");
  e.model = root.at("model");
  e.libraries = json.at("libraries").at("compute");
  e.nodes = number_of_hosts(json.at("ranks"));
  e.cache = json.value("cache", "");
  if (const auto plans = json.find("convolution_plans"); plans != json.end()) {
    e.plans.model = plans->at("model");
    e.plans.libraries = plans->at("libraries");
    plans->at("choices").get_to(e.plans.choices);
  }
  return e;
}

std::string program(const BuildInfo& build) { return build.version + " " + build.git_commit; }

/// Counts the convolutions for which both hold a plan, but not the same one.
std::int64_t differing_plans(const Environment::Plans& a, const Environment::Plans& b) {
  return std::ranges::count_if(a.choices, [&](const auto& plan) {
    const auto other = b.choices.find(plan.first);
    return other != b.choices.end() && other->second != plan.second;
  });
}

}  // namespace

Environment describe_environment(const BuildInfo& build, const Backend& backend, int threads,
                                 const std::string& data, Communicator& world,
                                 const std::optional<Environment>& earlier) {
  const std::vector<std::string> hosts = gather_texts(world, host_name());
  Environment e{.build = build,
                .ranks = world.size(),
                .threads = threads,
                .nodes = static_cast<int>(std::set(hosts.begin(), hosts.end()).size()),
                .cache = data.substr(0, data.find(',')),
                .device = backend.info().name,
                .model = backend.info().model,
                .libraries = backend.info().libraries};
  e.plans = {.model = e.model, .libraries = e.libraries, .choices = backend.info().plans};
  if (e.plans.choices.empty() && earlier) e.plans = earlier->plans;
  return e;
}

std::optional<Environment> environment_of(const fs::path& checkpoint) {
  const fs::path file = fs::absolute(checkpoint).parent_path().parent_path() / kEnvironmentFile;
  if (!fs::exists(file)) return {};
  try {
    return parse(Json::parse(read_text_file(file)));
  } catch (const nlohmann::json::exception&) {  // written by an older version or by something else
    return {};
  }
}

Changes what_changed(const Environment& from, const Environment& to) {
  std::vector<std::string> changes;
  const auto compare = [&](const char* what, const auto& before, const auto& after) {
    if (before != after) changes.push_back(fmt::format("{} {} -> {}", what, before, after));
  };
  compare("program", program(from.build), program(to.build));
  compare("compiler", from.build.compiler, to.build.compiler);
  compare("ranks", from.ranks, to.ranks);
  compare("threads", from.threads, to.threads);
  compare("device", from.device, to.device);
  compare("model", from.model, to.model);
  compare("libraries", from.libraries, to.libraries);
  if (const std::int64_t plans = differing_plans(from.plans, to.plans); plans > 0) {
    changes.push_back(fmt::format("{} convolution plans changed", plans));
  }
  const bool same_bits = changes.empty();
  compare("nodes", from.nodes, to.nodes);
  compare("data", from.cache, to.cache);
  return {fmt::format("{}", fmt::join(changes, ", ")), same_bits};
}

bool plans_fit(const Environment::Plans& plans, const Backend& backend) {
  return plans.model == backend.info().model && plans.libraries == backend.info().libraries;
}

void write_environment(const fs::path& directory, const Environment& e, const Backend& backend,
                       Communicator& world) {
  const Json own{{"rank", world.rank()},
                 {"host", host_name()},
                 {"device", backend.info().name},
                 {"model", backend.info().model},
                 {"description", backend.info().description},
                 {"threads", e.threads}};
  const std::vector<std::string> all = gather_texts(world, json_text(own));
  on_root(world, [&] {
    Json ranks = Json::array();
    for (const std::string& text : all) ranks.push_back(Json::parse(text));
    Json json{
        {"version", e.build.version},
        {"git_commit", e.build.git_commit},
        {"compiler", e.build.compiler},
        {"libraries",
         {{"mpi", mpi_library_version()}, {"hdf5", hdf5_version()}, {"compute", e.libraries}}},
        {"job", job_id()},
        {"cache", e.cache},
        {"ranks", ranks}};
    if (!e.plans.choices.empty()) {
      json["convolution_plans"] = {
          {"model", e.plans.model}, {"libraries", e.plans.libraries}, {"choices", e.plans.choices}};
    }
    write_file(directory / kEnvironmentFile, json_text(json, 2) + "\n");
  });
}

}  // namespace simclr
