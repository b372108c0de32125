# Defines CUDNN::cudnn (cuDNN 9); searches the folders of the CUDA toolkit and the system, and CUDNN_ROOT.
find_path(CUDNN_INCLUDE_DIR cudnn_backend.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR})
if(CUDNN_INCLUDE_DIR)
  foreach(header cudnn_version.h cudnn_version_v9.h)
    if(EXISTS ${CUDNN_INCLUDE_DIR}/${header})
      file(STRINGS ${CUDNN_INCLUDE_DIR}/${header} lines REGEX "#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) +[0-9]+")
      if(lines AND NOT CUDNN_VERSION)
        string(REGEX REPLACE "#define CUDNN_[A-Z]+ +([0-9]+)" "\\1" numbers "${lines}")
        string(REPLACE ";" "." CUDNN_VERSION "${numbers}")
      endif()
    endif()
  endforeach()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR
                                  VERSION_VAR CUDNN_VERSION)
if(CUDNN_FOUND AND NOT TARGET CUDNN::cudnn)
  add_library(CUDNN::cudnn UNKNOWN IMPORTED)
  set_target_properties(CUDNN::cudnn PROPERTIES
    IMPORTED_LOCATION ${CUDNN_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${CUDNN_INCLUDE_DIR})
endif()
