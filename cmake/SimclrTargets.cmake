# One static library per folder of src/: the dependency graph of the folders is kept by these targets.

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
  # Uses of null pointers and of memory beyond objects end the program under AddressSanitizer: to look
  # for them again, and for alignment, takes two fifths of the time to compile. GCC 12 takes the
  # instrumentation of std::regex for uses of uninitialised memory.
  target_compile_options(simclr_options INTERFACE
    -fsanitize=${SIMCLR_SANITIZE} -fno-sanitize=null,object-size,alignment
    -fno-omit-frame-pointer -Wno-maybe-uninitialized)
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
