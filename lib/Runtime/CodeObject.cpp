//===- CodeObject.cpp - Shared objects with kernels -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodeObject.h"
#include "Status.h"

#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <mutex>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace moec;

namespace {
struct Loaded {
  std::string name;
  struct stat file;
  void *handle;
  int owners;
};
} // namespace

static bool sameFile(const struct stat &a, const struct stat &b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
         a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

// Never destroyed: layers may be closed by destructors of other statics.
static std::mutex &loadedMutex = *new std::mutex;
static std::vector<Loaded> &loaded = *new std::vector<Loaded>;

/// The dynamic linker maps what the headers say without a look at the file's
/// size; touching a page past the end then kills the process.
static moec_status checkComplete(const std::string &path, struct stat &file) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &file) != 0) {
    int error = errno;
    if (fd >= 0)
      close(fd);
    return fail(MOEC_ERR_CODE, "cannot read code object '%s': %s", path.c_str(),
                std::strerror(error));
  }
  Elf64_Ehdr header;
  uint64_t end = sizeof(header);
  bool isElf = pread(fd, &header, sizeof(header), 0) == sizeof(header) &&
               std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
               header.e_ident[EI_CLASS] == ELFCLASS64;
  for (int i = 0; isElf && i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    isElf = pread(fd, &segment, sizeof(segment),
                  header.e_phoff + i * sizeof(segment)) == sizeof(segment);
    if (isElf && segment.p_offset + segment.p_filesz > end)
      end = segment.p_offset + segment.p_filesz;
  }
  close(fd);
  if (!isElf)
    return fail(MOEC_ERR_CODE, "'%s' is not a 64-bit ELF shared object",
                path.c_str());
  if (static_cast<uint64_t>(file.st_size) < end)
    return fail(MOEC_ERR_CODE,
                "code object '%s' is truncated: %llu bytes, its headers need "
                "%llu",
                path.c_str(), static_cast<unsigned long long>(file.st_size),
                static_cast<unsigned long long>(end));
  return MOEC_OK;
}

CodeObject::CodeObject(CodeObject &&other) noexcept
    : path(std::move(other.path)),
      handle(std::exchange(other.handle, nullptr)) {}

moec_status CodeObject::open(const std::string &newPath) {
  struct stat file;
  if (moec_status status = checkComplete(newPath, file))
    return status;
  std::lock_guard<std::mutex> lock(loadedMutex);
  // The dynamic linker knows loaded objects by the name they were opened with,
  // so a replaced file needs another spelling of its path: DIR/././NAME.
  size_t slash = newPath.rfind('/');
  std::string directory =
      slash == std::string::npos ? "./" : newPath.substr(0, slash + 1);
  std::string base =
      slash == std::string::npos ? newPath : newPath.substr(slash + 1);
  std::string name = directory + base;
  for (size_t i = 0; i < loaded.size();) {
    Loaded &other = loaded[i];
    if (other.name != name) {
      ++i;
      continue;
    }
    if (sameFile(other.file, file)) {
      ++other.owners;
      handle = other.handle;
      path = newPath;
      return MOEC_OK;
    }
    directory += "./";
    name = directory + base;
    i = 0;
  }
  void *opened = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!opened) {
    const char *reason = dlerror();
    return fail(MOEC_ERR_CODE, "cannot load code object '%s': %s",
                newPath.c_str(), reason ? reason : "unknown reason");
  }
  loaded.push_back({name, file, opened, 1});
  handle = opened;
  path = newPath;
  return MOEC_OK;
}

CodeObject::~CodeObject() {
  if (!handle)
    return;
  std::lock_guard<std::mutex> lock(loadedMutex);
  for (size_t i = 0; i < loaded.size(); ++i) {
    if (loaded[i].handle != handle || --loaded[i].owners > 0)
      continue;
    dlclose(handle);
    loaded.erase(loaded.begin() + i);
    return;
  }
}

moec_status CodeObject::find(const std::string &symbol,
                             moec_kernel &kernel) const {
  void *address = dlsym(handle, symbol.c_str());
  if (!address)
    return fail(MOEC_ERR_CODE, "code object '%s' has no kernel '%s'",
                path.c_str(), symbol.c_str());
  static_assert(sizeof(kernel) == sizeof(address), "POSIX");
  std::memcpy(&kernel, &address, sizeof(kernel));
  return MOEC_OK;
}
