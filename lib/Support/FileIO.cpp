//===- FileIO.cpp - Writing files whole or not at all ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/FileIO.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::moe;

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

  llvm::Expected<llvm::sys::fs::TempFile> temp =
      llvm::sys::fs::TempFile::create(path + ".tmp-%%%%%%%%",
                                      llvm::sys::fs::all_read |
                                          llvm::sys::fs::all_write);
  if (!temp)
    return fail(llvm::toString(temp.takeError()));
  std::error_code error;
  {
    llvm::raw_fd_ostream os(temp->FD, /*shouldClose=*/false);
    error = writeTo(os, write);
  }
  if (error) {
    llvm::consumeError(temp->discard());
    return fail(error.message());
  }
  if (llvm::Error kept = temp->keep(path)) {
    llvm::consumeError(temp->discard());
    return fail(llvm::toString(std::move(kept)));
  }
  return llvm::Error::success();
}
