//===- FileIO.cpp - Writing files whole or not at all ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/FileIO.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"

#include <random>

using namespace mlir::moe;

static constexpr llvm::StringRef suffix = ".tmp-";
static constexpr size_t digits = 8;

std::string mlir::moe::temporaryName(llvm::StringRef path) {
  static thread_local std::random_device random;
  std::string number = llvm::utohexstr(random(), /*LowerCase=*/true, digits);
  return (path + suffix + number).str();
}

bool mlir::moe::isTemporaryNameOf(llvm::StringRef name, llvm::StringRef path) {
  return name.consume_front(path) && name.consume_front(suffix) &&
         name.size() == digits && llvm::all_of(name, [](char digit) {
           return llvm::isHexDigit(digit) && !llvm::isUpper(digit);
         });
}

/// Runs `write`; an error that stayed in the stream would end the process in
/// its destructor, so it is taken out here.
static std::error_code
writeTo(llvm::raw_fd_ostream &os,
        llvm::function_ref<void(llvm::raw_ostream &)> write) {
  write(os);
  os.flush();
  std::error_code error = os.error();
  os.clear_error();
  return error;
}

llvm::Error
mlir::moe::writeFile(llvm::StringRef path,
                     llvm::function_ref<void(llvm::raw_ostream &)> write) {
  auto fail = [&](const llvm::Twine &why) {
    return llvm::createStringError(path + ": cannot write: " + why);
  };
  llvm::sys::fs::file_status status;
  bool exists = !llvm::sys::fs::status(path, status);
  if (exists && llvm::sys::fs::is_directory(status))
    return fail("is a directory");
  if (exists && !llvm::sys::fs::is_regular_file(status)) {
    std::error_code error;
    llvm::raw_fd_ostream os(path, error, llvm::sys::fs::CD_OpenExisting,
                            llvm::sys::fs::FA_Write, llvm::sys::fs::OF_None);
    if (!error)
      error = writeTo(os, write);
    return error ? fail(error.message()) : llvm::Error::success();
  }

  std::string temporary;
  int descriptor = -1;
  std::error_code error;
  do {
    temporary = temporaryName(path);
    error = llvm::sys::fs::openFileForWrite(temporary, descriptor,
                                            llvm::sys::fs::CD_CreateNew);
  } while (error == std::errc::file_exists);
  if (error)
    return fail(error.message());
  llvm::sys::RemoveFileOnSignal(temporary);
  llvm::scope_exit keepNothing([&] {
    llvm::sys::fs::remove(temporary);
    llvm::sys::DontRemoveFileOnSignal(temporary);
  });
  {
    llvm::raw_fd_ostream os(descriptor, /*shouldClose=*/true);
    error = writeTo(os, write);
  }
  if (!error)
    error = llvm::sys::fs::rename(temporary, path);
  return error ? fail(error.message()) : llvm::Error::success();
}
