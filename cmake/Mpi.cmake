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

# mpi_libraries(<variable> <file>...) lists the MPI libraries that programs and shared libraries load, such as
# libmpi.so.40. Static libraries name none.
function(mpi_libraries variable)
  set(names)
  foreach(file IN LISTS ARGN)
    execute_process(COMMAND ${CMAKE_READELF} -d ${file} OUTPUT_VARIABLE dynamic ERROR_QUIET)
    string(REGEX REPLACE "[][]" "" dynamic "${dynamic}") # brackets would join the elements of a list
    string(REGEX MATCHALL "NEEDED[^\n]* libmpi(ch)?[.]so[.0-9]*" entries "${dynamic}")
    list(TRANSFORM entries REPLACE ".* " "")
    list(APPEND names ${entries})
  endforeach()
  set(${variable} ${names} PARENT_SCOPE)
endfunction()

# A program shows which MPI is linked, also where the compiler itself adds it. It keeps what it does not use: with one
# MPI's header and another's library it would still link.
set(mpi_program ${PROJECT_BINARY_DIR}/CMakeFiles/mpi_program)
try_compile(links_mpi SOURCE_FROM_CONTENT mpi_program.cpp
  "#include <mpi.h>\nint main(int argc, char** argv) { return MPI_Init(&argc, &argv); }\n"
  LINK_OPTIONS -Wl,--no-as-needed LINK_LIBRARIES MPI::MPI_C COPY_FILE ${mpi_program} OUTPUT_VARIABLE output)
if(NOT links_mpi)
  message(FATAL_ERROR "${CMAKE_CXX_COMPILER} cannot build a program with the MPI of ${MPI_C_COMPILER}; name MPI's wrappers "
    "as both compilers (CC, CXX) or as none:\n${output}")
endif()
mpi_libraries(own_mpi ${mpi_program})
list(LENGTH own_mpi count)
if(count GREATER 1)
  message(FATAL_ERROR "the compiler ${CMAKE_CXX_COMPILER} and MPI_C_COMPILER=${MPI_C_COMPILER} belong to different MPIs "
    "(${own_mpi}): name the wrapper of one MPI, or a compiler that is no wrapper; then configure in a new folder.")
endif()

set(SIMCLR_HDF5 "hdf5-openmpi;hdf5-mpich;hdf5" CACHE STRING
    "pkg-config names of parallel HDF5; the first one that belongs to the MPI is used")
set(hdf5_name)
set(foreign)
foreach(name IN LISTS SIMCLR_HDF5)
  pkg_check_modules(SIMCLR_${name} QUIET ${name})
  if(NOT SIMCLR_${name}_FOUND OR hdf5_name)
    continue()
  endif()
  set(libraries ${SIMCLR_${name}_LINK_LIBRARIES})
  list(FILTER libraries INCLUDE REGEX "/libhdf5[^/]*$")
  mpi_libraries(needed ${libraries})
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
message(STATUS "MPI: ${own_mpi}; HDF5: ${hdf5_name}")
