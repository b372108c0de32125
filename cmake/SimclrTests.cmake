# Functions that declare tests. Labels: unit (one process), mpi (several ranks), e2e (the program itself),
# oracle (compares with PyTorch or another independent program), asan (also runs under sanitizers),
# browser (needs Chromium; only scripts/test.sh --all runs it).

find_package(GTest REQUIRED)
include(GoogleTest)
# Debian's interpreter, for which scripts/install_deps.sh installs torch, h5py and numpy.
set(SIMCLR_PYTHON /usr/bin/python3 CACHE FILEPATH "Python with numpy, h5py, PIL and PyTorch")

# Allows several ranks on few cores, and containers that run as root or forbid cross-memory attach.
set(SIMCLR_MPI_ENVIRONMENT
  OMPI_ALLOW_RUN_AS_ROOT=1
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  OMPI_MCA_rmaps_base_oversubscribe=1
  OMPI_MCA_btl_vader_single_copy_mechanism=none
  OMPI_MCA_mpi_yield_when_idle=1
  OMPI_MCA_hwloc_base_binding_policy=none
  # The default on one machine. The search for faster networks takes 0.2 s of every start (psm2 sleeps
  # to measure the clock).
  OMPI_MCA_pml=ob1
  # Starts no daemon for a rank without a launcher; starting it takes longer than most tests.
  OMPI_MCA_ess_singleton_isolated=1
  # Avoids a crash of Open MPI 4.1, in which a thread resolves a symbol while plug-ins are loaded.
  LD_BIND_NOW=1
  # Tests share the cores, so that waiting threads must not spin.
  OMP_WAIT_POLICY=passive)
set(SIMCLR_SANITIZER_ENVIRONMENT
  # Open MPI and its plug-ins keep memory until the process ends, so that leak detection is useless.
  ASAN_OPTIONS=detect_leaks=0:strict_string_checks=1
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1)

# Compiling test programs takes longer than running most of them.
set(SIMCLR_TEST_OPTIONS $<$<CONFIG:Release>:-O1>)

# Libraries that read files through simclr/io/first_look.hpp.
set(SIMCLR_READERS simclr_io simclr_data simclr_train simclr_eval simclr_report simclr_plan)

function(simclr_set_test_properties name labels processors timeout)
  set(environment ${SIMCLR_MPI_ENVIRONMENT} ${SIMCLR_SANITIZER_ENVIRONMENT} MPIEXEC=${MPIEXEC_EXECUTABLE}
    # Each test has its own session directory, because concurrent programs may remove a shared one.
    OMPI_MCA_orte_tmpdir_base=${PROJECT_BINARY_DIR}/tests/sessions/${name})
  if(NOT cuda IN_LIST labels)
    list(APPEND environment CUDA_VISIBLE_DEVICES=)  # makes --device auto choose the CPU
  endif()
  set_tests_properties(${name} PROPERTIES
    LABELS "${labels}" PROCESSORS ${processors} TIMEOUT ${timeout} SKIP_RETURN_CODE 77
    COST ${timeout}  # long tests start first, so that none is left to wait for at the end
    ENVIRONMENT "${environment}")
endfunction()

# simclr_test(<name> SOURCES ... [DEPENDS ...] [LABELS unit ...] [RANKS 1 2 4] [SHARDS n] [TIMEOUT s])
#
# Declares a GoogleTest program. Without RANKS every test case becomes a ctest test; with SHARDS, n tests
# <name>.shard<i> share the cases, for programs with hundreds of cases that are shorter than a start.
# With RANKS the whole program is a test <name>.ranks<n> for each number of ranks, with a main that starts
# MPI and returns the worst result of all ranks. Builds with sanitizers leave out tests without label asan.
function(simclr_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;SHARDS" "SOURCES;DEPENDS;LABELS;RANKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE simclr_options ${ARG_DEPENDS} GTest::gtest)
  if(ARG_RANKS)
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/mpi_main.cpp)
    target_link_libraries(${name} PRIVATE simclr_comm)
  else()
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
  endif()
  foreach(reader IN LISTS SIMCLR_READERS)
    if(reader IN_LIST ARG_DEPENDS)
      target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/first_looks.cpp)
      break()
    endif()
  endforeach()
  target_compile_options(${name} PRIVATE ${SIMCLR_TEST_OPTIONS})
  target_compile_definitions(${name} PRIVATE SIMCLR_PYTHON="${SIMCLR_PYTHON}"
                             SIMCLR_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  if(SIMCLR_SANITIZE AND NOT asan IN_LIST ARG_LABELS)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL TRUE)
    return()
  endif()
  if(ARG_RANKS)
    foreach(ranks IN LISTS ARG_RANKS)
      add_test(NAME ${name}.ranks${ranks}
               COMMAND ${MPIEXEC_EXECUTABLE} -n ${ranks} $<TARGET_FILE:${name}>)
      simclr_set_test_properties(${name}.ranks${ranks} "${ARG_LABELS}" ${ranks} ${ARG_TIMEOUT})
    endforeach()
  elseif(ARG_SHARDS)
    foreach(shard RANGE 1 ${ARG_SHARDS})
      add_test(NAME ${name}.shard${shard} COMMAND ${name})
      simclr_set_test_properties(${name}.shard${shard} "${ARG_LABELS}" 1 ${ARG_TIMEOUT})
      math(EXPR index "${shard} - 1")
      set_property(TEST ${name}.shard${shard} APPEND PROPERTY
                   ENVIRONMENT GTEST_TOTAL_SHARDS=${ARG_SHARDS} GTEST_SHARD_INDEX=${index})
    endforeach()
  else()
    gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST)
    # gtest_discover_tests' PROPERTIES cannot hold lists, so a script sets these after the discovery.
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}_properties.cmake @ONLY CONTENT [=[
if(@name@_TESTS)
  set_tests_properties(${@name@_TESTS} PROPERTIES LABELS "@ARG_LABELS@" TIMEOUT @ARG_TIMEOUT@
    ENVIRONMENT "@SIMCLR_MPI_ENVIRONMENT@;@SIMCLR_SANITIZER_ENVIRONMENT@")
endif()
]=])
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES
                 ${CMAKE_CURRENT_BINARY_DIR}/${name}_properties.cmake)
  endif()
endfunction()

# simclr_backend_test(<name> SOURCES ... [ON cpu emulated device] [ASAN] [DEPENDS ...] [LABELS unit ...]
#                     [RANKS 1 2 4] [SHARDS n])
#
# Declares tests that run on backends_under_test() (tests/backend/backends.hpp). The sources are compiled
# once and linked to a program per backend: <name> for the CPU, <name>_cuda_emulated (label emulated) for
# the emulated device, and <name>_cuda_device (label cuda) for a GPU, which skips its cases without one.
# ASAN: the CPU's program also runs under sanitizers.
function(simclr_backend_test name)
  cmake_parse_arguments(ARG "ASAN" "SHARDS" "SOURCES;ON;DEPENDS;LABELS;RANKS" ${ARGN})
  if(NOT ARG_ON)
    set(ARG_ON cpu emulated device)
  endif()
  if(NOT SIMCLR_HAS_CUDA)
    list(REMOVE_ITEM ARG_ON device)
  endif()
  add_library(${name}_sources OBJECT EXCLUDE_FROM_ALL ${ARG_SOURCES})
  target_include_directories(${name}_sources PRIVATE ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/src)
  target_compile_options(${name}_sources PRIVATE ${SIMCLR_TEST_OPTIONS})
  target_link_libraries(${name}_sources PRIVATE simclr_options ${ARG_DEPENDS} simclr_backend simclr_nn
                                                GTest::gtest)
  foreach(backend IN LISTS ARG_ON)
    set(program ${name}_cuda_${backend})
    set(labels ${ARG_LABELS} emulated)
    if(backend STREQUAL "cpu")
      set(program ${name})
      set(labels ${ARG_LABELS})
      if(ARG_ASAN)
        list(APPEND labels asan)
      endif()
    elseif(backend STREQUAL "device")
      set(labels ${ARG_LABELS} cuda)
    endif()
    simclr_test(${program} SOURCES $<TARGET_OBJECTS:${name}_sources>
      DEPENDS ${ARG_DEPENDS} simclr_nn simclr_backends_${backend}
      LABELS ${labels} RANKS ${ARG_RANKS} SHARDS ${ARG_SHARDS})
    # CMake cannot derive the language of a program made only of object files.
    set_target_properties(${program} PROPERTIES LINKER_LANGUAGE CXX)
  endforeach()
endfunction()

# simclr_script_test(<name> COMMAND <program> <args>... [LABELS e2e ...] [PROCESSORS n] [TIMEOUT s])
#
# Declares a test in Python or shell that runs the program. Exit code 77 means skipped.
function(simclr_script_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;PROCESSORS" "COMMAND;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(NOT ARG_PROCESSORS)
    set(ARG_PROCESSORS 1)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS e2e)
  endif()
  add_test(NAME ${name} COMMAND ${ARG_COMMAND})
  simclr_set_test_properties(${name} "${ARG_LABELS}" ${ARG_PROCESSORS} ${ARG_TIMEOUT})
endfunction()
