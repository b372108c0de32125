#pragma once
// What `preview` writes to audit: the training views themselves.

#include <cstdint>
#include <filesystem>

#include "simclr/data/loader.hpp"

namespace simclr {

/// Steps [loader.first_step, loader.end_step) as pretraining on the ranks of `world` makes them:
/// `views` float32 (S, 2, N, H, W, 3) and `sample_index` int64 (S, N), N = loader.batch_size. Every
/// rank makes its share, rank 0 writes. The global batch is made in parts, as more ranks would make
/// it, so that memory stays small whatever N is. Collective.
void write_view_audit(const std::filesystem::path& path, SampleStore& store, LoaderConfig loader,
                      Communicator& world);

}  // namespace simclr
