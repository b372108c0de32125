# Runs at build time: writes OUTPUT from INPUT if the commit has changed. Source trees without git set SIMCLR_GIT_COMMIT.
if(NOT SIMCLR_GIT_COMMIT)
  execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
                  WORKING_DIRECTORY ${SOURCE_DIR} OUTPUT_VARIABLE SIMCLR_GIT_COMMIT
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    set(SIMCLR_GIT_COMMIT unknown)
  endif()
endif()
configure_file(${INPUT} ${OUTPUT} @ONLY)
