#pragma once
// Whether a result can be written where it is to go, asked before the work for it begins.

#include <filesystem>

namespace simclr {

/// Refuses a file that cannot be written, by writing another one beside it, which it deletes.
/// Creates missing directories. The message advises to name another file with --output.
void require_writable(const std::filesystem::path& file);

/// The same without writing anything: does not see full disks and exceeded quotas.
void require_likely_writable(const std::filesystem::path& file);

}  // namespace simclr
