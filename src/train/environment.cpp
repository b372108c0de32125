#include "environment.hpp"

#include <nlohmann/json.hpp>

#include "simclr/comm/session.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/train/system_info.hpp"

namespace simclr {
using Json = nlohmann::ordered_json;

void write_environment(const std::filesystem::path& directory, const BuildInfo& build,
                       const std::string& device, int threads, Communicator& world) {
  const Json own{{"rank", world.rank()},
                 {"host", host_name()},
                 {"device", device},
                 {"model", cpu_model()},
                 {"threads", threads}};
  const std::vector<std::string> all = gather_texts(world, own.dump());
  on_root(world, [&] {
    Json ranks = Json::array();
    for (const std::string& text : all) ranks.push_back(Json::parse(text));
    const Json environment{
        {"version", build.version},
        {"git_commit", build.git_commit},
        {"compiler", build.compiler},
        {"libraries", {{"mpi", mpi_library_version()}, {"hdf5", hdf5_version()}}},
        {"job", job_id()},
        {"ranks", ranks}};
    AtomicFile file(directory / "environment.json");
    file.write(environment.dump(2) + "\n");
    file.commit();
  });
}

}  // namespace simclr
