//===- Passes.h - Passes that execute moe -----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_REFERENCE_MOE_PASSES_H
#define MOEC_REFERENCE_MOE_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir::moe {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "moec/Reference/Moe/Passes.h.inc"

} // namespace mlir::moe

#endif // MOEC_REFERENCE_MOE_PASSES_H
