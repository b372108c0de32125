#pragma once

namespace simclr {

/// Bounds how long OpenMP threads spin before they sleep while they wait for each other. GNU's
/// runtime reads the bound from the environment before main() begins, so this sets GOMP_SPINCOUNT
/// and restarts the program in the same process. Does nothing if the environment already has
/// GOMP_SPINCOUNT or OMP_WAIT_POLICY, or if the restart is impossible.
void bound_spinning(char** argv);

}  // namespace simclr
