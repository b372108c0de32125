# `cmake --install BUILD --prefix PREFIX` installs the program, the recipes, studies, job scripts that find the program
# relative to their own folder, and a modulefile for this prefix.
set(SIMCLR_SHARE ${CMAKE_INSTALL_DATADIR}/simclr)

install(DIRECTORY configs jobs DESTINATION ${SIMCLR_SHARE} USE_SOURCE_PERMISSIONS)
install(PROGRAMS scripts/compare_predictions.py DESTINATION ${SIMCLR_SHARE}/scripts)
install(FILES README.md LICENSE CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The prefix is known only during the installation.
install(CODE "
  set(version ${PROJECT_VERSION})
  set(bin \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR})
  set(share \${CMAKE_INSTALL_PREFIX}/${SIMCLR_SHARE})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/modulefile.in ${PROJECT_BINARY_DIR}/modulefile @ONLY)")
install(FILES ${PROJECT_BINARY_DIR}/modulefile DESTINATION ${SIMCLR_SHARE}/modulefiles/simclr
        RENAME ${PROJECT_VERSION})
