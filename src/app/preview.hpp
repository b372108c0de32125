#pragma once
// The file that `preview` writes to audit a run: the training views.

#include <cstdint>
#include <filesystem>

#include "simclr/data/loader.hpp"

namespace simclr {

/// Writes the views of steps [loader.first_step, loader.end_step) as pretraining makes them:
/// `views` float32 (S, 2, N, H, W, 3) and `sample_index` int64 (S, N), N = loader.batch_size. Every
/// rank of `world` makes its share, rank 0 writes. The global batch is made in parts, as more ranks
/// would make it, so that memory stays small for any N. Collective.
void write_view_audit(const std::filesystem::path& path, SampleStore& store, LoaderConfig loader,
                      Communicator& world);

}  // namespace simclr
