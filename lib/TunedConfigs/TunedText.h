//===- TunedText.h - JSON with the places of its values ---------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_TUNEDCONFIGS_TUNEDTEXT_H
#define MOEC_LIB_TUNEDCONFIGS_TUNEDTEXT_H

#include "moec/TunedConfigs/TunedFile.h"

namespace mlir::moe {

/// A member of the object at top level: a value, or the members of an object.
struct TunedMember {
  TunedValue value;
  bool isObject = false;
  std::vector<TunedValue> members;
};

/// Reads JSON text that holds one object, in the order of the text. LLVM's own
/// reader keeps neither order nor places. Errors: "FILE: line 3: what is
/// wrong". Objects below the second level are values of kind Other.
llvm::Expected<std::vector<TunedMember>> readTunedText(llvm::StringRef file,
                                                       llvm::StringRef text);

} // namespace mlir::moe

#endif // MOEC_LIB_TUNEDCONFIGS_TUNEDTEXT_H
