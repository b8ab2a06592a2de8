//===- Activation.h - Activations as scalar programs ------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_DIALECT_MOE_TRANSFORMS_ACTIVATION_H
#define MOEC_LIB_DIALECT_MOE_TRANSFORMS_ACTIVATION_H

#include "moec/Dialect/Moe/IR/MoeDialect.h"

namespace mlir::moe {

/// Builds the f32 program of `activation` at the insertion point of `b` and
/// returns its value. `inputs` is gate and up for a gated activation, else the
/// one input. Written with exp, erf and tanh of the math dialect; NaN stays
/// NaN.
Value buildActivation(OpBuilder &b, Location loc, ActivationAttr activation,
                      ValueRange inputs);

} // namespace mlir::moe

#endif // MOEC_LIB_DIALECT_MOE_TRANSFORMS_ACTIVATION_H
