#include <array>

#include "command.hpp"

namespace simclr {
namespace {

const std::array kCommands{
    Command{"pack", "images -> HDF5 shards, in parallel over ranks", true, run_pack},
    Command{"inspect", "what is in a shard set or a checkpoint; --verify checks every byte", false,
            run_inspect},
    Command{"pretrain", "the main job: trains an encoder, writes checkpoints, resumes", true,
            run_pretrain},
    Command{"plan", "preflight: memory, communication and time of a run, without a device", false,
            run_plan},
    Command{"preview", "training views as the program makes them, to look at or to audit", true,
            run_preview},
    Command{"bench", "benchmarks of the program's parts, with the machine's limits beside them",
            true, run_bench},
    Command{"linear-eval", "accuracy of a linear classifier on a checkpoint's features", true,
            run_linear_eval},
    Command{"knn", "nearest-neighbor accuracy of a checkpoint's features", true, run_knn},
    Command{"embed", "features of a data set -> HDF5", true, run_embed},
    Command{"report", "one page of a run: curves, evaluations, augmented pairs, settings", false,
            run_report},
    Command{"export", "checkpoint -> .safetensors with torchvision's names", false, run_export},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }

}  // namespace simclr
