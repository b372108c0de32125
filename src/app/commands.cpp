#include <array>

#include "command.hpp"

namespace simclr {
namespace {

const std::array kCommands{
    Command{"pack", "images -> HDF5 shards, in parallel over ranks", true, run_pack},
    Command{"inspect", "what a shard set or checkpoint holds; --verify checks every byte", false,
            run_inspect},
    Command{"pretrain", "the main job: trains an encoder, writes checkpoints, resumes", true,
            run_pretrain},
    Command{"finetune", "trains a pretrained encoder and a classifier with labels", true,
            run_finetune},
    Command{"supervised", "trains an encoder and a classifier with labels from scratch", true,
            run_supervised},
    Command{"distill", "trains an encoder and a classifier as a trained one classifies", true,
            run_distill},
    Command{"plan", "preflight of a run: memory, communication, time; needs no device", false,
            run_plan},
    Command{"preview", "training views as the program makes them, to look at or to audit", true,
            run_preview},
    Command{"bench", "benchmarks of the program's parts beside the machine's limits", true,
            run_bench},
    Command{"linear-eval", "accuracy of a linear classifier on a checkpoint's features", true,
            run_linear_eval},
    Command{"knn", "nearest-neighbor accuracy of a checkpoint's features", true, run_knn},
    Command{"evaluate", "several evaluations of a checkpoint on features computed once", true,
            run_evaluate},
    Command{"quality", "how good a checkpoint's features are, without labels", true, run_quality},
    Command{"embed", "features of a data set -> HDF5", true, run_embed},
    Command{"report", "one page of a run: curves, evaluations, augmented pairs, settings", false,
            run_report},
    Command{"study", "a grid of runs from one file: its cells, tables and page", false, run_study},
    Command{"export", "checkpoint -> .safetensors with torchvision's names", false, run_export},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }

}  // namespace simclr
