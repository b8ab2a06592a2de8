//===- MoeDialect.td - The moe dialect -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOE_IR_MOEDIALECT_TD
#define MOEC_DIALECT_MOE_IR_MOEDIALECT_TD

include "mlir/IR/OpBase.td"

def Moe_Dialect : Dialect {
  let name = "moe";
  let cppNamespace = "::mlir::moe";
  let summary = "Mixture-of-Experts layers on tensors";
  let description = [{
    What a Mixture-of-Experts layer computes, without saying how. Routing is a
    value, scales are operands, every rounding point is a visible op.

    Symbols used in all descriptions: `T` tokens, `k` experts per token
    (top-k), `E` experts, `H` hidden size, `I` intermediate size per expert,
    `M` rows, `N` output columns, `K` reduction size. A *slot* is one pair
    (token `t`, choice `j`); its flat index is `t * k + j`.

    Meanings that hold everywhere:
    * expert ids are global; an id of -1 (before or after the expert map) means
      "nowhere": the slot is computed by nobody and contributes 0 whatever its
      weight;
    * duplicate ids of one token are legal and are summed;
    * rows of a result that belong to no slot (pads, slots of id -1) are
      unspecified, and no op reads them;
    * operands of reduced precision are converted exactly to f32, products are
      accumulated in f32, epilogue regions compute in f32, and a result is
      rounded once, to nearest even, by the closing rule of its op.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let extraClassDeclaration = [{
    void registerAttributes();
    void registerOperations();
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
}

#endif // MOEC_DIALECT_MOE_IR_MOEDIALECT_TD
