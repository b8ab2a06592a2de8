# Toolchain set-up shared by every target: LLVM/MLIR, lld, ccache, sanitizers.

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
# One code model for libraries, tools and tests, so that all share the precompiled header.
add_compile_options(-fPIC)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

find_package(MLIR REQUIRED CONFIG)
message(STATUS "MLIR ${LLVM_PACKAGE_VERSION} from ${MLIR_DIR}")
file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/cmake/llvm-version.txt MOEC_LLVM_PIN LIMIT_COUNT 1)
if(NOT LLVM_PACKAGE_VERSION MATCHES "^${MOEC_LLVM_PIN}\\.")
  message(FATAL_ERROR "moec needs LLVM ${MOEC_LLVM_PIN}, found ${LLVM_PACKAGE_VERSION}")
endif()

list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)

find_program(MOEC_CCACHE ccache)
if(MOEC_CCACHE)
  # The precompiled header is shared by all files; without these settings
  # ccache refuses every file that uses it.
  set(moec_launcher ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${MOEC_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${moec_launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${moec_launcher})
endif()

add_compile_options(-Wall -Wextra -Wno-unused-parameter
                    $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions>
                    -ffunction-sections -fdata-sections)
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
  add_link_options(-fuse-ld=lld)
endif()
if(NOT LLVM_ENABLE_RTTI)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
endif()
foreach(sanitizer IN LISTS MOEC_SANITIZE)
  # A finding of any sanitizer ends the program, so that a test fails.
  add_compile_options(-fsanitize=${sanitizer} -fno-sanitize-recover=${sanitizer}
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${sanitizer})
endforeach()
if("undefined" IN_LIST MOEC_SANITIZE)
  # The check of indirect calls reads the bytes before the callee. Kernels have
  # no mark there, and none at all before the first byte of the JIT's pages.
  add_compile_options(-fno-sanitize=function)
endif()
if(MOEC_COVERAGE)
  add_compile_options(-fprofile-instr-generate -fcoverage-mapping)
  add_link_options(-fprofile-instr-generate)
endif()
include_directories(${CMAKE_SOURCE_DIR}/include ${CMAKE_BINARY_DIR}/include)
include_directories(SYSTEM ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
add_definitions(${LLVM_DEFINITIONS})

# moec_mlir: everything from LLVM and MLIR that a tool links. Archives and the
# shared libraries are never mixed in one binary (options would register twice).
add_library(moec_mlir INTERFACE)
if(MOEC_STATIC_TOOLS)
  file(GLOB moec_mlir_archives ${LLVM_LIBRARY_DIR}/libMLIR*.a)
  list(FILTER moec_mlir_archives EXCLUDE REGEX "CAPI|MLIRMlirOptMain")
  list(APPEND moec_mlir_archives ${LLVM_LIBRARY_DIR}/libMLIROptLib.a)
  list(REMOVE_DUPLICATES moec_mlir_archives)
  file(GLOB moec_llvm_archives ${LLVM_LIBRARY_DIR}/libLLVM*.a)
  target_link_libraries(moec_mlir INTERFACE
    -Wl,--start-group ${moec_mlir_archives} ${moec_llvm_archives} -Wl,--end-group
    z zstd -static-libstdc++ -static-libgcc -Wl,--gc-sections -s)
else()
  target_link_libraries(moec_mlir INTERFACE MLIR LLVM)
endif()
find_package(Threads REQUIRED)
# Debian's NumPy lives with Debian's Python; another python3 may come first in PATH.
find_program(MOEC_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
