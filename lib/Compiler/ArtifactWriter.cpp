//===- ArtifactWriter.cpp - Artifacts appear whole or not at all ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ArtifactWriter.h"

#include "moec/Support/FileIO.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

using namespace mlir;
using namespace mlir::moe;
namespace fs = llvm::sys::fs;

namespace {
/// A directory that is open and locked; the lock ends with the process.
class DirectoryLock {
public:
  DirectoryLock() = default;
  DirectoryLock(DirectoryLock &&other)
      : descriptor(std::exchange(other.descriptor, -1)) {}
  DirectoryLock &operator=(DirectoryLock &&other) {
    std::swap(descriptor, other.descriptor);
    return *this;
  }
  ~DirectoryLock() {
    if (descriptor >= 0)
      ::close(descriptor);
  }
  enum class Result { Locked, Taken, Unsupported };
  /// Taken: by another one, or `path` is not what it was a moment ago.
  Result lock(const std::string &path) {
    descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
      return errno == ENOENT ? Result::Taken : Result::Unsupported;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0)
      return errno == EWOULDBLOCK ? Result::Taken : Result::Unsupported;
    struct stat opened, named;
    bool same = ::fstat(descriptor, &opened) == 0 &&
                ::lstat(path.c_str(), &named) == 0 &&
                opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
    return same ? Result::Locked : Result::Taken;
  }

private:
  int descriptor = -1;
};

/// A directory of a fresh name beside another one; removed unless moved away.
class Staging {
public:
  ~Staging() {
    if (!path.empty())
      fs::remove_directories(path);
  }
  /// The mode is that of any new directory, not that of a private one.
  std::error_code create(StringRef beside) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      std::string candidate = temporaryName(beside);
      std::error_code error = fs::create_directory(
          candidate, /*IgnoreExisting=*/false, fs::perms::all_all);
      if (error == std::errc::file_exists)
        continue;
      if (error)
        return error;
      // Another writer takes what nobody has locked for a dead one's. Where the
      // file system has no locks, nothing is ever taken for that.
      if (lock.lock(candidate) == DirectoryLock::Result::Taken) {
        lock = DirectoryLock();
        continue;
      }
      path = candidate;
      return {};
    }
    return std::make_error_code(std::errc::file_exists);
  }
  std::error_code write(StringRef name, StringRef bytes) const {
    SmallString<128> file(path);
    llvm::sys::path::append(file, name);
    std::error_code error;
    llvm::raw_fd_ostream stream(file, error);
    if (error)
      return error;
    stream << bytes;
    stream.close();
    error = stream.error();
    stream.clear_error();
    return error;
  }

  SmallString<128> path;

private:
  DirectoryLock lock;
};
} // namespace

/// Removes what writers of `target` left that were killed in the middle.
static void removeLeftovers(StringRef target) {
  StringRef name = llvm::sys::path::filename(target);
  std::vector<std::string> leftovers;
  std::error_code error;
  for (fs::directory_iterator it(llvm::sys::path::parent_path(target), error),
       end;
       !error && it != end; it.increment(error))
    if (isTemporaryNameOf(llvm::sys::path::filename(it->path()), name))
      leftovers.push_back(it->path());
  for (const std::string &leftover : leftovers) {
    DirectoryLock lock;
    if (lock.lock(leftover) == DirectoryLock::Result::Locked)
      fs::remove_directories(leftover);
  }
}

/// Whether the directory may be replaced: an artifact, or empty.
static bool isReplaceable(StringRef directory) {
  SmallString<128> manifest(directory);
  llvm::sys::path::append(manifest, "manifest.json");
  if (fs::is_regular_file(manifest))
    return true;
  std::error_code error;
  return fs::directory_iterator(directory, error) == fs::directory_iterator() &&
         !error;
}

/// Exchanges two directories in one step; false where the system cannot.
static bool exchange(const char *a, const char *b) {
#if defined(SYS_renameat2)
  constexpr unsigned exchangeFlag = 2; // RENAME_EXCHANGE
  return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, exchangeFlag) == 0;
#else
  return false;
#endif
}

/// Puts the staged directory in the place of `target`.
static std::error_code install(Staging &staging, const std::string &target) {
  std::error_code error;
  // A concurrent writer may come between any two steps: try again.
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string staged(staging.path.str());
    if (std::rename(staged.c_str(), target.c_str()) == 0) {
      staging.path.clear();
      return {};
    }
    error = std::error_code(errno, std::generic_category());
    if (error != std::errc::directory_not_empty &&
        error != std::errc::file_exists)
      return error;
    // The former artifact now lies in the staging place and goes with it.
    if (exchange(staged.c_str(), target.c_str()))
      return {};
    Staging former;
    if ((error = former.create(target)))
      return error;
    std::rename(target.c_str(), std::string(former.path.str()).c_str());
  }
  return error;
}

LogicalResult mlir::moe::writeFolder(Location location,
                                     ArrayRef<ArtifactFile> files,
                                     StringRef directory) {
  auto refuse = [&](const Twine &why) {
    return emitError(location)
           << "cannot write artifact '" << directory << "': " << why;
  };
  SmallString<128> target(directory);
  if (target.empty())
    return refuse("the name is empty");
  if (std::error_code error = fs::make_absolute(target))
    return refuse(error.message());
  llvm::sys::path::remove_dots(target, /*remove_dot_dot=*/false);
  while (target.size() > 1 && target.back() == '/')
    target.pop_back();
  if (fs::exists(target)) {
    if (!fs::is_directory(target))
      return refuse("it is not a directory");
    if (!isReplaceable(target))
      return refuse("it exists, is not empty and has no manifest.json");
  }
  if (std::error_code error =
          fs::create_directories(llvm::sys::path::parent_path(target)))
    return refuse(error.message());

  removeLeftovers(target);
  Staging staging;
  if (std::error_code error = staging.create(target))
    return refuse(error.message());
  for (const ArtifactFile &file : files)
    if (std::error_code error = staging.write(file.name, file.bytes))
      return refuse(file.name + ": " + error.message());
  if (std::error_code error = install(staging, std::string(target.str())))
    return refuse(error.message());
  return success();
}

LogicalResult mlir::moe::writeArtifact(Location location,
                                       const CompiledLayer &layer,
                                       StringRef directory) {
  std::vector<ArtifactFile> files;
  for (const CodeObject &code : layer.code)
    files.push_back({code.name, code.sharedObject});
  llvm::append_range(files, layer.files);
  files.push_back({"layer.mlir", layer.source});
  files.push_back({"manifest.json", printManifest(layer.manifest)});
  return writeFolder(location, files, directory);
}
