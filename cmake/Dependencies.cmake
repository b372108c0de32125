# Finds all libraries that the project links. They come from packages of Debian and Ubuntu
# (scripts/install_deps.sh) or from Spack (jobs/spack/spack.yaml).
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(MPI REQUIRED COMPONENTS C)
# Leaves out MPI's C++ bindings, whose library is not linked; MPI 3 removed them.
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
# Parallel HDF5 is hdf5-openmpi on Debian and hdf5 elsewhere (Spack, modules).
set(SIMCLR_HDF5 "hdf5-openmpi;hdf5" CACHE STRING "pkg-config names of parallel HDF5; the first one found is used")
pkg_search_module(HDF5 REQUIRED IMPORTED_TARGET ${SIMCLR_HDF5})
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
include(CheckSymbolExists)
set(CMAKE_REQUIRED_LIBRARIES PkgConfig::HDF5 MPI::MPI_C)
check_symbol_exists(H5Pset_fapl_mpio "hdf5.h" SIMCLR_HDF5_IS_PARALLEL)
unset(CMAKE_REQUIRED_LIBRARIES)
if(NOT SIMCLR_HDF5_IS_PARALLEL)
  message(FATAL_ERROR "the HDF5 that pkg-config finds as ${HDF5_MODULE_NAME} (${HDF5_LINK_LIBRARIES}) was built "
                      "without MPI; name a parallel one with PKG_CONFIG_PATH or -DSIMCLR_HDF5=NAME")
endif()
target_compile_definitions(PkgConfig::HDF5 INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
