//===- MoeNv.h - The moe_nv dialect -----------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// NVIDIA instructions that the nvvm dialect has no operation for.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOENV_IR_MOENV_H
#define MOEC_DIALECT_MOENV_IR_MOENV_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "moec/Dialect/MoeNv/IR/MoeNvDialect.h.inc"

#define GET_OP_CLASSES
#include "moec/Dialect/MoeNv/IR/MoeNvOps.h.inc"

#endif // MOEC_DIALECT_MOENV_IR_MOENV_H
