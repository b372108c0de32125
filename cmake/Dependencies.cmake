# Everything the project links, found once. All of it comes from Debian's packages
# (scripts/install_deps.sh).
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(MPI REQUIRED COMPONENTS C)
# Without the C++ bindings that MPI 3 removed: their symbols live in a library nobody links.
target_compile_definitions(MPI::MPI_C INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OneDNN REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(ZLIB REQUIRED)

find_package(PkgConfig REQUIRED)
pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET hdf5-openmpi)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
target_compile_definitions(PkgConfig::HDF5 INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
