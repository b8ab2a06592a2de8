//===- MoeTileDialect.td - The tile program ------------------ -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILEDIALECT_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILEDIALECT_TD

include "mlir/IR/DialectBase.td"

def MoeTile_Dialect : Dialect {
  let name = "moe_tile";
  let cppNamespace = "::mlir::moe::tile";
  let summary = "one target-neutral tile program for every target";
  let description = [{
    A kernel over a list of output tiles, in one of two forms.

    The *sequential form* (`form = seq`) is correct on one thread: a k loop with
    a `load`, an optional `transform` and a `compute` region; on-chip tiles
    (`buf`) are values. The *explicit form* (`form = explicit`) has storage:
    rings of slots, roles that run at the same time, linear cursors. Passes only
    go forward, from the first to the second; a kernel never mixes them.

    Coordinates are logical: m is the token row, n the output column, k the
    reduction. Global memory is memref, on-chip memory never is: a swizzled
    tile has no strided layout.

    Every constraint has a label (`k_loop_c1`) that stands in the description of
    its operation, beside the check, and in the test of invalid programs.
  }];
  let dependentDialects = ["arith::ArithDialect", "memref::MemRefDialect"];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILEDIALECT_TD
