# `cmake --install` gives the tools, the libraries, the headers and the package
# Moec (find_package(Moec CONFIG), targets Moec::...).

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(moec_libraries GLOBAL PROPERTY MOEC_LIBRARIES)
get_property(moec_tools GLOBAL PROPERTY MOEC_TOOLS)
set(moec_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Moec)

# In the package MoecFoo is called Moec::Foo, as in this build.
foreach(library IN LISTS moec_libraries ITEMS MoecRuntime MoecRuntimeStatic)
  string(REGEX REPLACE "^Moec" "" exported ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${exported})
  target_compile_features(${library} INTERFACE cxx_std_17)
endforeach()
set_target_properties(${moec_tools} PROPERTIES
  INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}"
  INSTALL_RPATH_USE_LINK_PATH ON)

install(TARGETS ${moec_libraries} MoecRuntime MoecRuntimeStatic EXPORT MoecTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# What it links is found on the consumer's machine, see MoecConfig.cmake.in.
add_library(moec_mlir_installed INTERFACE)
set_target_properties(moec_mlir_installed PROPERTIES EXPORT_NAME mlir)
install(TARGETS moec_mlir_installed EXPORT MoecTargets)
install(EXPORT MoecTargets NAMESPACE Moec:: DESTINATION ${moec_package_dir})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/MoecConfig.cmake.in
  ${CMAKE_BINARY_DIR}/cmake/MoecConfig.cmake INSTALL_DESTINATION ${moec_package_dir})
# Before 1.0 a new minor version may change anything.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/cmake/MoecConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/cmake/MoecConfig.cmake
              ${CMAKE_BINARY_DIR}/cmake/MoecConfigVersion.cmake
  DESTINATION ${moec_package_dir})

install(TARGETS ${moec_tools} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET MoePlugin)
  set_target_properties(MoePlugin PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS MoePlugin LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/moec ${CMAKE_SOURCE_DIR}/include/moec-c
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.td")
install(DIRECTORY ${CMAKE_BINARY_DIR}/include/moec
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.inc" PATTERN "CMakeFiles" EXCLUDE)
# The Python package finds the library from there: add this folder to PYTHONPATH.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/python/moec DESTINATION ${CMAKE_INSTALL_DATADIR}/moec/python
  FILES_MATCHING PATTERN "*.py")
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/docs/artifact.md
              ${CMAKE_SOURCE_DIR}/docs/manifest.schema.json ${CMAKE_SOURCE_DIR}/docs/runtime.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR})
