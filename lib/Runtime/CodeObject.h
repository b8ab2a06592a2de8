//===- CodeObject.h - Shared objects with kernels ---------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_CODEOBJECT_H
#define MOEC_LIB_RUNTIME_CODEOBJECT_H

#include "moec-c/Runtime.h"

#include <string>

namespace moec {

/// A shared object mapped into this process; unloaded with the last owner.
class CodeObject {
public:
  CodeObject() = default;
  ~CodeObject();
  CodeObject(CodeObject &&other) noexcept;
  CodeObject(const CodeObject &) = delete;
  CodeObject &operator=(const CodeObject &) = delete;

  /// Loads `path`. A file that replaced another one under the same name is
  /// loaded afresh, even while the old one is still open.
  moec_status open(const std::string &path);

  /// The kernel of this name; fails with the path if there is none.
  moec_status find(const std::string &symbol, moec_kernel &kernel) const;

private:
  std::string path;
  void *handle = nullptr;
};

} // namespace moec

#endif // MOEC_LIB_RUNTIME_CODEOBJECT_H
