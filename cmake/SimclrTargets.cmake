# Each folder of src/ is a static library; the targets enforce the dependencies between folders.

add_library(simclr_options INTERFACE)
target_compile_features(simclr_options INTERFACE cxx_std_20)
set(warnings -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers)
if(SIMCLR_WERROR)
  list(APPEND warnings -Werror)
  set(cuda_warnings --Werror=all-warnings)
endif()
list(JOIN warnings "," cuda_host_warnings)
target_compile_options(simclr_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>"
  "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${cuda_host_warnings};${cuda_warnings}>")
if(SIMCLR_SANITIZE)
  # AddressSanitizer already finds uses of null pointers and of memory beyond objects; checking for them
  # again, and for alignment, would take two fifths of the compile time. With this instrumentation, GCC 12
  # wrongly warns of uninitialized memory in std::regex.
  target_compile_options(simclr_options INTERFACE
    -fsanitize=${SIMCLR_SANITIZE} -fno-sanitize=null,object-size,alignment
    -fno-omit-frame-pointer $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(simclr_options INTERFACE -fsanitize=${SIMCLR_SANITIZE})
endif()

# simclr_library(<folder> SOURCES ... [DEPENDS ...] [PRIVATE_DEPENDS ...]) defines target simclr_<folder>.
function(simclr_library folder)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  string(REPLACE "/" "_" name simclr_${folder})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/include
                                     PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_DEPENDS} PRIVATE simclr_options ${ARG_PRIVATE_DEPENDS})
endfunction()

# simclr_kernels(<name> SOURCES ... [OPTIONS ...]) compiles the sources once for each instruction set of
# core/instruction_set.hpp, each time into a namespace of its own (core/simd.hpp), and lists the objects in
# <name>_objects. Neither errno nor floating-point traps are looked at, which would keep loops scalar. NaN and rounding
# stay as IEEE has them unless OPTIONS say otherwise.
function(simclr_kernels name)
  cmake_parse_arguments(ARG "" "" "SOURCES;OPTIONS" ${ARGN})
  set(sets baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND sets v3 v4 v4_bf16)
  endif()
  set(march_v3 -march=x86-64-v3)
  set(march_v4 -march=x86-64-v4 -mprefer-vector-width=512)
  set(march_v4_bf16 ${march_v4} -mavx512bf16)
  foreach(set IN LISTS sets)
    set(target ${name}_${set})
    add_library(${target} OBJECT ${ARG_SOURCES})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include)
    target_compile_definitions(${target} PRIVATE SIMCLR_ISA=isa_${set})
    target_compile_options(${target} PRIVATE -fno-math-errno -fno-trapping-math ${ARG_OPTIONS} ${march_${set}})
    target_link_libraries(${target} PRIVATE simclr_options)
    set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)  # sources have functions of the same names
    list(APPEND objects $<TARGET_OBJECTS:${target}>)
  endforeach()
  set(${name}_objects ${objects} PARENT_SCOPE)
endfunction()
