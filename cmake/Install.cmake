# What `cmake --install` puts where. Everything is found relative to what is found first (mqa.pc, mqa-config.cmake), so
# an installed tree may be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mqa)

# The headers of rooms above libmqa stay behind until a library of theirs is installed.
file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/mqa/*.h)
list(FILTER headers EXCLUDE REGEX "/(engine|grammar|model|tokenizer)\\.h$")

install(FILES ${headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mqa)
install(TARGETS mqa mqa_static EXPORT mqa-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/docs/man/mqa.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
if(MQA_CLI)
  install(TARGETS mqa_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES ${PROJECT_SOURCE_DIR}/docs/man/mqa.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

# find_package(mqa). Before 1.0 a minor version may break what the last one had.
set(generated ${PROJECT_BINARY_DIR}/install)
install(EXPORT mqa-targets NAMESPACE mqa:: DESTINATION ${cmake_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/mqa-config.cmake.in ${generated}/mqa-config.cmake
                              INSTALL_DESTINATION ${cmake_dir} NO_SET_AND_CHECK_MACRO
                              NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${generated}/mqa-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${generated}/mqa-config.cmake ${generated}/mqa-config-version.cmake DESTINATION ${cmake_dir})

# mqa.pc: its own place gives the prefix. Directories that a packager made absolute stay absolute.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" up ${up})
  set(pc_prefix "\${pcfiledir}/${up}")
endif()
foreach(name LIBDIR INCLUDEDIR)
  set(pc_${name} "\${prefix}")
  cmake_path(APPEND pc_${name} ${CMAKE_INSTALL_${name}})
endforeach()
configure_file(${PROJECT_SOURCE_DIR}/cmake/mqa.pc.in ${generated}/mqa.pc @ONLY)
install(FILES ${generated}/mqa.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
