//===- MoeNvDialect.td - NVIDIA ops that nvvm lacks ---------- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOENV_IR_MOENVDIALECT_TD
#define MOEC_DIALECT_MOENV_IR_MOENVDIALECT_TD

include "mlir/IR/DialectBase.td"

def MoeNv_Dialect : Dialect {
  let name = "moe_nv";
  let cppNamespace = "::mlir::moe::nv";
  let summary = "NVIDIA instructions without an nvvm operation";
  let description = [{
    One operation per instruction sequence that the nvvm dialect cannot express,
    with typed operands. `convert-moe-nv-to-inline-asm` turns them into inline
    assembly as the last step before translation to LLVM IR; until then the
    verifier and the emulator see operations, never text.
  }];
  let dependentDialects = ["LLVM::LLVMDialect"];
}

#endif // MOEC_DIALECT_MOENV_IR_MOENVDIALECT_TD
