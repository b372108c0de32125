#pragma once
// A first look at a file from elsewhere, in another process. HDF5 1.10 trusts the files that it
// reads: a wrong byte can make it crash, loop or allocate gigabytes. So every HDF5 file is read
// once in a child process with little memory and time, and only a file that the child has survived
// is read in this one.

#include <filesystem>
#include <vector>

#include "simclr/comm/communicator.hpp"

namespace simclr {

/// Starts the process that forks the children. It looks at files until this process ends. Call it
/// before MPI and any thread start: a process that forks later may lose memory that network cards
/// write to, and its children may wait for locks that its threads were holding.
void start_first_looks();

/// Calls look(file) in a child process. Throws what `look` throws there: RefusedError, IoError or
/// Error with the same message. Throws RefusedError naming the file when the child crashes, needs
/// more processor time than a damaged file is worth, or more memory than 1 GiB and twice the file.
/// `look` must not depend on state of this process that has changed since start_first_looks().
void look_first(const std::filesystem::path& file, void (*look)(const std::filesystem::path& file));

/// Spares the ranks of a node to look at the same files each: every rank looks at a share of
/// `files`, and all take its word for those that it survives. Nothing is thrown for the others:
/// look_first() looks at them again. Ranks may name different files. Collective over `node`.
void look_first_together(const std::vector<std::filesystem::path>& files,
                         void (*look)(const std::filesystem::path& file), Communicator& node);

}  // namespace simclr
