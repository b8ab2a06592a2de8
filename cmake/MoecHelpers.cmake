# Functions by which the tree declares its libraries, tools and tests.

# One precompiled header for every file that sees MLIR.
add_library(MoecPCH STATIC ${CMAKE_SOURCE_DIR}/cmake/pch.cpp)
target_precompile_headers(MoecPCH PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)

# moec_add_library(Name [PLAIN] SOURCES a.cpp ... [LINK Lib ...] [DEPENDS tablegen ...])
# A static library MoecName, alias Moec::Name. PLAIN: sees neither LLVM nor
# MLIR (no precompiled header, no link).
function(moec_add_library name)
  cmake_parse_arguments(ARG "PLAIN" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  add_library(Moec${name} STATIC ${ARG_SOURCES})
  add_library(Moec::${name} ALIAS Moec${name})
  target_link_libraries(Moec${name} PUBLIC ${ARG_LINK})
  if(NOT ARG_PLAIN)
    target_precompile_headers(Moec${name} REUSE_FROM MoecPCH)
    # In the installed package MLIR is found anew, see MoecConfig.cmake.in.
    target_link_libraries(Moec${name} PUBLIC
      $<BUILD_INTERFACE:moec_mlir> $<INSTALL_INTERFACE:Moec::mlir>)
  endif()
  if(ARG_DEPENDS)
    add_dependencies(Moec${name} ${ARG_DEPENDS})
  endif()
  set_property(GLOBAL APPEND PROPERTY MOEC_LIBRARIES Moec${name})
  # Any library may include any generated header.
  if(NOT ARG_PLAIN)
    set_property(GLOBAL APPEND PROPERTY MOEC_MLIR_LIBRARIES Moec${name})
  endif()
endfunction()

# moec_add_tool(moe-name SOURCES ... LINK ...)
function(moec_add_tool name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_precompile_headers(${name} REUSE_FROM MoecPCH)
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  set_property(GLOBAL APPEND PROPERTY MOEC_TOOLS ${name})
endfunction()

# moec_add_unittest(Name SOURCES ... LINK ...): a GoogleTest binary
# bin/unittests/NameTests, run by lit like every other test.
function(moec_add_unittest name)
  cmake_parse_arguments(ARG "PLAIN" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name}Tests ${ARG_SOURCES})
  set_target_properties(${name}Tests PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/unittests)
  if(NOT ARG_PLAIN)
    target_precompile_headers(${name}Tests REUSE_FROM MoecPCH)
  endif()
  target_link_libraries(${name}Tests PRIVATE ${ARG_LINK} gtest gtest_main Threads::Threads)
  set_property(GLOBAL APPEND PROPERTY MOEC_TEST_BINARIES ${name}Tests)
endfunction()
