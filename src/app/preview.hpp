#pragma once
// What `preview` writes to audit: the training views themselves.

#include <cstdint>
#include <filesystem>

#include "simclr/data/loader.hpp"

namespace simclr {

/// Steps [loader.first_step, loader.end_step) as pretraining makes them: `views` float32
/// (S, 2, N, H, W, 3) and `sample_index` int64 (S, N), N = loader.batch_size. The global batch is
/// made in parts, as ranks would make it, so that memory stays small whatever N is.
void write_view_audit(const std::filesystem::path& path, SampleStore& store, LoaderConfig loader);

}  // namespace simclr
