#pragma once
// What `preview` writes: a picture of training views to look at, and the views themselves to audit.

#include <cstdint>
#include <filesystem>

#include "simclr/data/loader.hpp"

namespace simclr {

/// A PNG of `groups` samples, the first of the first batch, in training order: each sample's stored
/// image (its central square) and its two views. loader.augmentation without mean and std.
void write_view_grid(const std::filesystem::path& path, SampleStore& store,
                     const LoaderConfig& loader, std::int64_t groups);

/// Steps [loader.first_step, loader.end_step) as pretraining on the ranks of `world` makes them:
/// `views` float32 (S, 2, N, H, W, 3) and `sample_index` int64 (S, N), N = loader.batch_size. Every
/// rank makes its share, rank 0 writes. The global batch is made in parts, as more ranks would make
/// it, so that memory stays small whatever N is. Collective.
void write_view_audit(const std::filesystem::path& path, SampleStore& store, LoaderConfig loader,
                      Communicator& world);

}  // namespace simclr
