#pragma once

namespace simclr {

/// Bounds how long OpenMP threads spin where they wait for each other, before they sleep. GNU's
/// runtime reads that from the environment before main() begins, so this starts the program anew
/// in the same process, with GOMP_SPINCOUNT set, unless the environment has a GOMP_SPINCOUNT or an
/// OMP_WAIT_POLICY already. Returns where nothing has to be done, or nothing can be.
void bound_spinning(char** argv);

}  // namespace simclr
