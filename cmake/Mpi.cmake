# Finds MPI, and the parallel HDF5 that was built with the same MPI library. Two MPI libraries in one program do not work,
# and the linker does not notice them.
#   MPI_C_COMPILER  the wrapper of the MPI to use, if it is not `mpicc`; Debian has mpicc.openmpi and mpicc.mpich
#   SIMCLR_HDF5     pkg-config names of HDF5

# The program uses the C interface. A wrapper for C++ has the one for C beside it.
foreach(wrapper IN ITEMS "${MPI_CXX_COMPILER}" "${CMAKE_CXX_COMPILER}")
  if(NOT MPI_C_COMPILER AND wrapper MATCHES "^(.*mpi)(cxx|c\\+\\+|CC)([.-][^/]+)?$")
    set(MPI_C_COMPILER ${CMAKE_MATCH_1}cc${CMAKE_MATCH_3} CACHE FILEPATH "MPI compiler for C")
  endif()
endforeach()
# mpicc.mpich has mpiexec.mpich beside it; mpiexec itself may start another MPI's ranks.
if(MPI_C_COMPILER MATCHES "^(.*)mpicc([.-][^/]+)$")
  find_program(MPIEXEC_EXECUTABLE NAMES ${CMAKE_MATCH_1}mpiexec${CMAKE_MATCH_2})
endif()
find_package(MPI REQUIRED COMPONENTS C)
# Leaves out MPI's C++ bindings, whose library is not linked; MPI 3 removed them.
target_compile_definitions(MPI::MPI_C INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)

# mpi_names(<variable> <tag> <library>...) lists names such as libmpi.so.40: of the MPI libraries that shared libraries
# load (tag NEEDED), or of themselves (SONAME). Other files than shared libraries have none.
function(mpi_names variable tag)
  set(names)
  foreach(library IN LISTS ARGN)
    execute_process(COMMAND ${CMAKE_READELF} -d ${library} OUTPUT_VARIABLE dynamic ERROR_QUIET)
    string(REGEX MATCHALL "\\(${tag}\\)[^\n]*[[]libmpi(ch)?[.]so[^]]*" entries "${dynamic}")
    list(TRANSFORM entries REPLACE ".*[[]" "")
    list(APPEND names ${entries})
  endforeach()
  set(${variable} ${names} PARENT_SCOPE)
endfunction()

set(SIMCLR_HDF5 "hdf5-openmpi;hdf5-mpich;hdf5" CACHE STRING
    "pkg-config names of parallel HDF5; the first one that belongs to the MPI is used")
mpi_names(own_mpi SONAME ${MPI_C_LIBRARIES})
set(hdf5_name)
set(foreign)
foreach(name IN LISTS SIMCLR_HDF5)
  pkg_check_modules(SIMCLR_${name} QUIET ${name})
  if(NOT SIMCLR_${name}_FOUND OR hdf5_name)
    continue()
  endif()
  set(libraries ${SIMCLR_${name}_LINK_LIBRARIES})
  list(FILTER libraries INCLUDE REGEX "/libhdf5[^/]*$")
  mpi_names(needed NEEDED ${libraries})
  # Static libraries name no MPI; then nobody can tell.
  if(own_mpi AND needed AND NOT needed IN_LIST own_mpi)
    string(APPEND foreign "\n  ${name} (${libraries}) was built with ${needed}")
  else()
    set(hdf5_name ${name})
  endif()
endforeach()
if(foreign AND NOT hdf5_name)
  message(FATAL_ERROR "HDF5 and MPI do not belong together. The MPI of ${MPI_C_COMPILER} is ${own_mpi}, but${foreign}\n"
    "Install the HDF5 of this MPI (Debian: libhdf5-mpich-dev, libhdf5-openmpi-dev) or name it for pkg-config with "
    "-DSIMCLR_HDF5=NAME, or choose the MPI of this HDF5 with -DMPI_C_COMPILER=WRAPPER; then configure in a new folder.")
elseif(NOT hdf5_name)
  message(FATAL_ERROR "pkg-config finds no HDF5 under the names ${SIMCLR_HDF5}; install a parallel one, or name it with "
    "-DSIMCLR_HDF5=NAME or PKG_CONFIG_PATH")
endif()
pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET ${hdf5_name})

include(CheckSymbolExists)
set(CMAKE_REQUIRED_LIBRARIES PkgConfig::HDF5 MPI::MPI_C)
check_symbol_exists(H5Pset_fapl_mpio "hdf5.h" SIMCLR_HDF5_IS_PARALLEL)
unset(CMAKE_REQUIRED_LIBRARIES)
if(NOT SIMCLR_HDF5_IS_PARALLEL)
  unset(SIMCLR_HDF5_IS_PARALLEL CACHE) # looks again, once another one is installed
  message(FATAL_ERROR "the HDF5 that pkg-config finds as ${hdf5_name} (${HDF5_LINK_LIBRARIES}) was built "
                      "without MPI; name a parallel one with PKG_CONFIG_PATH or -DSIMCLR_HDF5=NAME")
endif()
target_compile_definitions(PkgConfig::HDF5 INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
message(STATUS "MPI: ${MPI_C_LIBRARIES}; HDF5: ${hdf5_name}")
