//===- Passes.td - Passes on the moe dialect -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOE_TRANSFORMS_PASSES_TD
#define MOEC_DIALECT_MOE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def MoeDecomposeLayer : Pass<"moe-decompose-layer"> {
  let summary = "split a whole layer into basic ops";
  let description = [{
    Rewrites `moe.fused_experts` on tensors into `moe.align`, `moe.quantize` of
    x (with `act_quant`), a first `moe.grouped_gemm`, `moe.activate` (and
    `moe.quantize`), a second `moe.grouped_gemm` and `moe.combine`. Every
    rounding point of the layer is then the result type of an op; between them
    values are f32. Both GEMMs write flat top-k rows and share one routing.

    What belongs to the accumulator stays in the epilogue region of its GEMM:
    per-expert factors, biases and, for `weight_place = input`, the router weight. The
    region computes `(acc * global) * weight + bias`.
    For the other places the router weight stands on `moe.combine`, marked
    `keep` for `weight_place = combine`.

    A shared expert becomes a second chain of the same ops over
    `moe.route_all`, added by `moe.combine`; its gate is a GEMM of one column
    over the unquantised x.

    It is separate from fusion because this form is the one whose meaning is
    read off op by op, and to which every fused form is compared.

    Limits: a layer on buffers is an error; run before bufferisation.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numLayers", "num-layers", "Layers decomposed">,
    Statistic<"numShared", "num-shared", "Shared experts decomposed">];
}

def MoeFuseEpilogue : Pass<"moe-fuse-epilogue"> {
  let summary = "fuse activation, quantisation and router weight into the GEMMs";
  let description = [{
    Four rewrites, in this order, each of which keeps every rounding point:

    1. `moe.activate` of an f32 GEMM result moves into the region of the GEMM
       (gate and up each get a copy of the former region).
    2. `moe.quantize` of an f32 GEMM result becomes the closing rule of the GEMM.
    3. A GEMM result that is read only by GEMMs over the same routing gets the
       row order `layout`, so that the reader needs no gather.
    4. The weights of `moe.combine` move into the region of the GEMM that feeds it;
       with `reduce=token` the whole combine becomes `out = token`.

    Not fused, with a missed-optimisation remark that gives the reason: a result with
    another use or another type than f32 between the two ops, an `elt` operand under a
    gate, a granule that spans whole rows or does not divide the columns,
    weights marked `keep`, row operands of another index space, `add` under
    `reduce=token`.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
  let options = [
    Option<"layout", "layout", "::mlir::moe::RowLayout",
           "::mlir::moe::RowLayout::ExpertSorted",
           "Row order of what one GEMM hands to the next (default "
           "expert_sorted)",
           [{::llvm::cl::values(
             clEnumValN(::mlir::moe::RowLayout::FlatTopk, "flat_topk",
                        "row t * k + j"),
             clEnumValN(::mlir::moe::RowLayout::ExpertSorted, "expert_sorted",
                        "grouped by expert"),
             clEnumValN(::mlir::moe::RowLayout::ExpertSortedPadded,
                        "expert_sorted_padded",
                        "grouped by expert, padded to block_m"))}]>,
    Option<"reduce", "reduce", "::mlir::moe::ReduceMode",
           "::mlir::moe::ReduceMode::Rows",
           "Who sums the slots of a token (default rows)",
           [{::llvm::cl::values(
             clEnumValN(::mlir::moe::ReduceMode::Rows, "rows",
                        "the GEMM writes a row per slot, moe.combine sums"),
             clEnumValN(::mlir::moe::ReduceMode::Token, "token",
                        "the GEMM sums, no moe.combine remains"))}]>];
  let statistics = [
    Statistic<"numActivations", "num-activations", "Activations fused">,
    Statistic<"numQuantize", "num-quantize", "Quantisations fused">,
    Statistic<"numLayouts", "num-layouts", "GEMM results given another row order">,
    Statistic<"numWeights", "num-weights", "Router weights fused">,
    Statistic<"numCombines", "num-combines", "Combines fused">,
    Statistic<"numMissed", "num-missed", "Fusions refused, see remarks">];
}

#endif // MOEC_DIALECT_MOE_TRANSFORMS_PASSES_TD
