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

def MoeWidenRows : Pass<"moe-widen-rows"> {
  let summary = "decode quantised rows to bf16 before the GEMMs that scale them";
  let description = [{
    For targets whose matrix units take no scales: a `moe.grouped_gemm` whose plan
    says `a = operand` gets its rows from a `moe.dequantize` to bf16 and is
    planned as one with plain rows, so that only its weights are decoded beside
    the product. 8-bit floats times powers of two are exact in bf16; other
    rows are rounded once more, as `operand` means it.

    Where such rows are the closing quantisation of another GEMM, that GEMM
    gives f32 and a `moe.quantize` of its own stands between; `moe-to-tile`
    makes one kernel of a `moe.quantize` that only `moe.dequantize` reads.

    Separate from `moe-fold-scales` as it depends on the target. Limits: works on
    tensors; ops on buffers are left alone.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numWidened", "num-widened", "GEMMs given plain rows">,
    Statistic<"numSplit", "num-split", "Closing quantisations taken out of a GEMM">];
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

    Limits: works on tensors; ops on buffers are left alone.
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

def MoeFoldScales : Pass<"moe-fold-scales"> {
  let summary = "decide where scales and zero points of a GEMM are applied";
  let description = [{
    Writes `scales = #moe.scale_plan<...>` on every quantised
    `moe.grouped_gemm` and rewrites what the plan moves. For
    C[m, n] = sum over k of A[m, k] sA[m, k / ga] B[n, k] sB[n / gn, k / gk]
    each factor goes to the cheapest legal place:

    1. `epilogue`: legal if the scale is constant along K and is addressable
       by row, column or expert of the result. It becomes a `row`, `col` or `expert`
       operand, and the region multiplies the product of all moved scales
       into the accumulators before anything else (beside the router weight,
       which is another such factor).
    2. `promote n`: legal if the scale is constant over runs of n columns of
       K; taken for n >= `min-run`, and with n covering K for a constant scale that is
       not addressable (row scales of a sorted A, row blocks of B).
    3. `operand`: always legal; dequantised on load, or beside the product. Where
       values of four bits are decoded element by element anyway, `packed-operand`
       prefers it to 2, but for few tokens: up to `packed-rows` mean rows per
       expert (of `tokens` tokens) scaling the sums costs less than scaling the
       weights.

    The runs of A and B must divide each other; otherwise the side with the shorter
    run becomes `operand`.

    Zero points of B: sum A (q - z) s = s (sum A q - z sum A). `row_sum` is legal if A is plain,
    the K granule of B divides K and the scale of B is not `operand`; it adds a `moe.group_sum` of A.
    `element` is always legal. With `zero=auto` an operand zero point over
    gathered A uses row sums (one sum per token serves all its slots),
    everything else is subtracted per element: a constant costs nothing when
    decoding, and a sorted intermediate would need another pass over memory.

    Moving a factor out of a sum is exact algebra, not exact rounding: results
    agree to the f32 accumulation error.

    Limits: works on tensors. A GEMM that has a plan keeps it.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
  let options = [
    Option<"zero", "zero", "::mlir::moe::ZeroChoice",
           "::mlir::moe::ZeroChoice::Auto",
           "Where zero points are subtracted (default auto)",
           [{::llvm::cl::values(
             clEnumValN(::mlir::moe::ZeroChoice::Auto, "auto", "by rule"),
             clEnumValN(::mlir::moe::ZeroChoice::Element, "element",
                        "on load, per element"),
             clEnumValN(::mlir::moe::ZeroChoice::RowSum, "row_sum",
                        "by row sums where legal"))}]>,
    Option<"minRun", "min-run", "int64_t", "64",
           "Shortest run of K that is promoted, in columns (default 64)">,
    Option<"packedOperand", "packed-operand", "bool", "false",
           "Scales of packed weights that are not constant along K become operand (default false)">,
    Option<"packedRows", "packed-rows", "int64_t", "0",
           "Mean rows per expert up to which packed-operand keeps promotion (default 0, never)">,
    Option<"tokens", "tokens", "int64_t", "0",
           "Token count that packed-rows is judged by (default 0, unknown)">];
  let statistics = [
    Statistic<"numEpilogue", "num-epilogue", "Scales moved into a region">,
    Statistic<"numPromote", "num-promote", "Scales applied by promotion">,
    Statistic<"numOperand", "num-operand", "Scales applied on load">,
    Statistic<"numRowSum", "num-row-sum", "Zero points turned into row sums">];
}

def MoeChooseFormulation : Pass<"moe-choose-formulation"> {
  let summary = "choose between routed and dense computation of a layer";
  let description = [{
    Sets `formulation` on the GEMMs of every `moe.align`. `dense` replaces the
    routing by `moe.route_all` over all E experts and the router weights by
    alpha[t, e] from `moe.dense_weights`: every token goes through every expert, and
    the sum over e with alpha = 0 for experts that were not chosen is the
    layer. It costs E / k times the arithmetic and no gather; `auto` takes it for
    4 E <= 5 k.

    Limits: tensors, one block, the form behind `moe-fuse-epilogue` and before
    `moe-fold-scales`, and finite values: 0 * inf is not 0.

    Legal if the weights enter linearly, that is multiplied by a last product
    in the region of the second GEMM or by `moe.combine`; duplicate ids then sum
    in alpha, and id -1 gives none.

    A `formulation` that is present is obeyed. Where dense is asked for and not
    legal the pass fails with the reason. `open` does nothing: moe-select-config,
    which knows the device, compares predicted times.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
  let options = [
    Option<"formulation", "formulation", "::mlir::moe::FormulationChoice",
           "::mlir::moe::FormulationChoice::Auto",
           "Which one to take (default auto)",
           [{::llvm::cl::values(
             clEnumValN(::mlir::moe::FormulationChoice::Auto, "auto", "by rule"),
             clEnumValN(::mlir::moe::FormulationChoice::Grouped, "grouped",
                        "only the chosen experts"),
             clEnumValN(::mlir::moe::FormulationChoice::Dense, "dense",
                        "all experts, weighted"),
             clEnumValN(::mlir::moe::FormulationChoice::Open, "open",
                        "left to moe-select-config"))}]>];
  let statistics = [
    Statistic<"numGrouped", "num-grouped", "Routings left grouped">,
    Statistic<"numDense", "num-dense", "Routings made dense">];
}

def MoeSelectConfig : Pass<"moe-select-config"> {
  let summary = "choose tile sizes and mapping of every grouped GEMM";
  let description = [{
    Writes a ranked list of `#moe.config` on every `moe.grouped_gemm` without one, and `block_m` into the
    type of the routing that its GEMMs share. Candidates come from a table per
    kind of target and are filtered by named rules: `block`
    (instruction rows), `k_step` (CPU: all of K or at least 128 columns), `scale_group`,
    `closing_granule` (tile columns and the granule that the GEMM quantises by),
    `alignment` (16-byte rows), `shared_memory`, `width`, `few_tiles`, `fixed` (what the user asks for).
    Refused candidates are analysis remarks.

    The time of every legal candidate is predicted from the figures of the
    device (docs/cost-model.md) for all block rows that the products can share; the least sum wins.
    Block rows that the device's file records as measured best win within the
    error of the model, as does the first candidate of a table. Remarks give the terms of the chosen configuration and
    of the others. On a CPU the table decides.

    On NVIDIA targets formulations compete as well, where none is present (`moe-choose-formulation=formulation=open`) or
    fixed (`formulation=grouped`, `formulation=dense`): grouped, all experts for all tokens with the rows
    summed afterwards, and the same with the sum over experts in the second product (`reduce_by = "experts"`). The
    grouped one is left only for more than the error of the model; a remark gives the times and why others lost.

    A configuration or a `block_m` other than 1 that is present is never
    changed: the pass checks it by the same rules and fails with the rule and its numbers
    if it breaks one; the GEMMs of a routing must have block rows that divide its `block_m`.
    With `deterministic` one that adds rows in any order (`reduce_by = "add_f32"`, `deterministic = false`)
    is refused; no candidate does.

    With `predict` every GEMM gets the attribute `moe.predicted_us`, an array of f64 with the microseconds of each
    configuration of its list, and the first GEMM of a routing `moe.predicted_frame_us` for what stands
    around the GEMMs.

    A `moe.align` without `form` may be executed in the form `direct`, without a launch that sorts: where that is
    legal, on GPUs with copies by descriptor, for one token, and if the time of the whole layer is predicted to be no longer. `fix` decides otherwise:
    `align=sorted` or `align=direct`. `reduce_by=last` there asks, where the routing is direct, for sums over top-k by the
    last tile of a token's columns.

    `routing` says how tokens fall on experts: an archetype, or a .npy file
    of recorded ids, scaled to `tokens`. Without it half of the calls are taken to be balanced and half zipf1.

    Limits: a routing that is a function argument keeps its type.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
  let options = [
    Option<"target", "target", "std::string", "\"cpu\"",
           "Target name: cpu, sm_*, gfx* (default cpu)">,
    Option<"tokens", "tokens", "int64_t", "0",
           "Tokens per call for which to choose; 0 takes a static extent, else "
           "1024 (default 0)">,
    Option<"device", "device", "std::string", "\"\"",
           "Device that times are predicted for: a name or a .json file "
           "(default: one that stands for the target)">,
    Option<"routing", "routing", "std::string", "\"\"",
           "balanced, uniform, zipf1, zipf2, hot16 or a .npy file of ids "
           "(default: half balanced, half zipf1)">,
    Option<"fix", "fix", "std::string", "\"\"",
           "Fields that must have these values, e.g. block_m=128,stages=3 "
           "(default none)">,
    Option<"batchInvariant", "batch-invariant", "bool", "false",
           "One choice for every number of tokens (default false)">,
    Option<"deterministic", "deterministic", "bool", "false",
           "Refuse configurations whose bits differ between runs (default "
           "false)">,
    Option<"predict", "predict", "bool", "false",
           "Write predicted times beside the configurations (default false)">,
    Option<"limit", "limit", "unsigned", "3",
           "Longest ranked list, in entries (default 3)">];
  let statistics = [
    Statistic<"numChosen", "num-chosen", "GEMMs given a configuration">,
    Statistic<"numKept", "num-kept", "GEMMs that had one">,
    Statistic<"numRejected", "num-rejected", "Candidates refused by a rule">];
}

#endif // MOEC_DIALECT_MOE_TRANSFORMS_PASSES_TD
