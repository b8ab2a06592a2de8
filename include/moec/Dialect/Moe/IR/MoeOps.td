//===- MoeOps.td - Operations of the moe dialect -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOE_IR_MOEOPS_TD
#define MOEC_DIALECT_MOE_IR_MOEOPS_TD

include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moec/Dialect/Moe/IR/MoeAttrs.td"
include "moec/Dialect/Moe/IR/MoeTypes.td"

def Moe_Data : AnyTypeOf<[AnyRankedTensor, AnyMemRef], "ranked tensor or memref">;

class Moe_Op<string mnemonic, list<Trait> traits = []>
    : Op<Moe_Dialect, mnemonic, traits>;

/// Destination style on tensors or buffers: results alias `outs`.
class Moe_DestOp<string mnemonic, list<Trait> traits = []>
    : Moe_Op<mnemonic, traits # [
        DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
        DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface,
                                  ["reifyResultShapes"]>]> {
  code destDeclaration = [{
    MutableOperandRange getDpsInitsMutable() { return getOutsMutable(); }
  }];
  let extraClassDeclaration = destDeclaration;
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// The whole layer
//===----------------------------------------------------------------------===//

def Moe_FusedExpertsOp : Moe_DestOp<"fused_experts", [AttrSizedOperandSegments]> {
  let summary = "a whole Mixture-of-Experts layer, given its routing";
  let description = [{
    y[t] = sum over j of weight[t,j] * (W2[e] act(W1[e] x[t] + b1[e]) + b2[e]),
    e = map[ids[t,j]], plus the shared expert
    sigma(x[t] . shared_gate) * (S2 act(S1 x[t])) where given (without
    `shared_gate` the factor is 1; its intermediate size may differ).

    Shapes: x `[T, H]`, ids and weights `[T, k]`, w1 `[E, 2I, H]` (`[E, I, H]`
    for an activation without gate), w2 `[E, H, I]`, b1 `[E, 2I]`, b2 `[E, H]`,
    scales and zero points by their `#moe.quant`, w1_global and w2_global `[E]`
    (a factor per expert, e.g. the second level of nvfp4), expert map `[experts
    of all ranks]` to local ids or -1, shared weights `[2S, H]` and `[H, S]`.

    Rounding points: with `act_quant` x is quantised first; the first projection
    stays f32 through the activation, then it is rounded once: quantised by
    `act_quant`, else cast to the element type of x. The second projection
    stays f32 through weight and sum and is cast to the result type.

    All of this holds for the shared expert too: its inputs are rounded or
    quantised by `act_quant` in the same way, its gate reads x unrounded, its
    sum joins in f32.

    `weight_place`: `input` multiplies W1 x before b1 and the activation (legal
    for k = 1), `epilogue` and `combine` multiply the second projection,
    `none` ignores the weights.

    * `fused_c1`: x is `[T, H]`; ids and weights are `[T, k]` of the same shape.
    * `fused_c2`: w1 and w2 have the same number of experts, rank 3.
    * `fused_c3`: columns of w1 (after unpacking) = H = rows of w2.
    * `fused_c4`: rows of w1 = 2I for a gated activation, else I; I = columns of w2.
    * `fused_c5`: a quantised weight has a scale of the extents that its
      `#moe.quant` says, in the element type that it says, and the reverse.
    * `fused_c6`: `gate_up` is given exactly for a gated activation, and a
      `blocks n` arrangement divides I.
    * `fused_c7`: biases, globals and shared weights have the extents above.
    * `fused_c8`: weight_place `input` needs k = 1.
    * `fused_c9`: the granule of `act_quant` along columns divides H and I.
    * `fused_c10`: the result is `[T, H]` and of a float type.

    Example:
    ```mlir
    func.func @qwen3(%x: tensor<?x2048xbf16>, %ids: tensor<?x8xi32>,
                     %tw: tensor<?x8xf32>, %w1: tensor<128x1536x2048xbf16>,
                     %w2: tensor<128x2048x768xbf16>, %out: tensor<?x2048xbf16>)
        -> tensor<?x2048xbf16> {
      %y = moe.fused_experts x(%x : tensor<?x2048xbf16>)
             topk(%ids, %tw : tensor<?x8xi32>, tensor<?x8xf32>)
             w1(%w1 : tensor<128x1536x2048xbf16>)
             w2(%w2 : tensor<128x2048x768xbf16>)
             activation <swiglu> gate_up <halves>
             outs(%out : tensor<?x2048xbf16>) -> tensor<?x2048xbf16>
      return %y : tensor<?x2048xbf16>
    }
    ```
  }];
  let arguments = (ins
    Moe_Data:$x, Moe_Data:$topk_ids, Moe_Data:$topk_weights,
    Moe_Data:$w1, Optional<Moe_Data>:$w1_scale, Optional<Moe_Data>:$w1_zero,
    Optional<Moe_Data>:$w1_global,
    Moe_Data:$w2, Optional<Moe_Data>:$w2_scale, Optional<Moe_Data>:$w2_zero,
    Optional<Moe_Data>:$w2_global,
    Optional<Moe_Data>:$b1, Optional<Moe_Data>:$b2,
    Optional<Moe_Data>:$expert_map,
    Optional<Moe_Data>:$shared_w1, Optional<Moe_Data>:$shared_w1_scale,
    Optional<Moe_Data>:$shared_w2, Optional<Moe_Data>:$shared_w2_scale,
    Optional<Moe_Data>:$shared_gate,
    Variadic<Moe_Data>:$outs,
    Moe_ActivationAttr:$activation,
    OptionalAttr<Moe_GateUpAttr>:$gate_up,
    OptionalAttr<Moe_QuantAttr>:$w1_quant, OptionalAttr<Moe_QuantAttr>:$w2_quant,
    OptionalAttr<Moe_QuantAttr>:$act_quant,
    OptionalAttr<Moe_QuantAttr>:$shared_quant,
    DefaultValuedAttr<Moe_WeightPlaceAttr, "WeightPlace::Epilogue">:$weight_place,
    OptionalAttr<Moe_FormulationAttr>:$formulation);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    `x` `(` $x `:` type($x) `)`
    `topk` `(` $topk_ids `,` $topk_weights `:` type($topk_ids) `,` type($topk_weights) `)`
    `w1` `(` $w1 `:` type($w1)
      (`scale` $w1_scale^ `:` type($w1_scale))? (`zero` $w1_zero^ `:` type($w1_zero))?
      (`global` $w1_global^ `:` type($w1_global))? (`quant` qualified($w1_quant)^)? `)`
    `w2` `(` $w2 `:` type($w2)
      (`scale` $w2_scale^ `:` type($w2_scale))? (`zero` $w2_zero^ `:` type($w2_zero))?
      (`global` $w2_global^ `:` type($w2_global))? (`quant` qualified($w2_quant)^)? `)`
    (`b1` `(` $b1^ `:` type($b1) `)`)? (`b2` `(` $b2^ `:` type($b2) `)`)?
    (`map` `(` $expert_map^ `:` type($expert_map) `)`)?
    (`shared` `(` $shared_w1^ `:` type($shared_w1)
      (`scale` $shared_w1_scale^ `:` type($shared_w1_scale))?
      `,` $shared_w2 `:` type($shared_w2)
      (`scale` $shared_w2_scale^ `:` type($shared_w2_scale))?
      (`gate` $shared_gate^ `:` type($shared_gate))?
      (`quant` qualified($shared_quant)^)? `)`)?
    `activation` $activation (`gate_up` $gate_up^)? (`act_quant` qualified($act_quant)^)?
    (`weight_place` `=` `` $weight_place^)? (`formulation` `=` `` $formulation^)?
    attr-dict `outs` `(` $outs `:` type($outs) `)` (`->` type($results)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Routing
//===----------------------------------------------------------------------===//

def Moe_TopkOp : Moe_DestOp<"topk", [AttrSizedOperandSegments]> {
  let summary = "router: logits to expert ids and weights";
  let description = [{
    s = scores of the logits `[T, E]`: `softmax` over all experts, `sigmoid`, or
    `softmax_selected` (softmax over the chosen logits only). Choice is by
    s + bias (`[E]`, optional); with `groups = g` only experts of the best
    `topk_groups` of g equal groups compete, a group's score being its `max` or
    the sum of its two best (`top2_sum`) biased scores. Ties go to the lowest id.
    Ids are ordered by descending biased score; a NaN ranks behind every number.
    The weight is s without bias, divided by the sum over the chosen if
    `renormalize` and that sum is not 0, times `scale`. With `softmax_selected`
    the choice is by logit + bias and the softmax is over the chosen logits.

    Results: ids `[T, k]` i32, weights `[T, k]` f32.

    * `topk_c1`: 1 <= k <= E, k the second extent of both results.
    * `topk_c2`: groups divides E, 1 <= topk_groups <= groups, and the allowed
      groups hold at least k experts.
    * `topk_c3`: bias is `[E]`.
    * `topk_c4`: `top2_sum` needs groups of at least two experts.

    Example:
    ```mlir
    func.func @router(%l: tensor<?x256xf32>, %b: tensor<256xf32>,
                      %i: tensor<?x8xi32>, %w: tensor<?x8xf32>)
        -> (tensor<?x8xi32>, tensor<?x8xf32>) {
      %ids, %tw = moe.topk logits(%l : tensor<?x256xf32>) bias(%b : tensor<256xf32>)
        scoring = sigmoid groups = 8 of_groups = 4 group_score = top2_sum
        renormalize scale = 2.5
        outs(%i, %w : tensor<?x8xi32>, tensor<?x8xf32>) -> tensor<?x8xi32>, tensor<?x8xf32>
      return %ids, %tw : tensor<?x8xi32>, tensor<?x8xf32>
    }
    ```
  }];
  let arguments = (ins Moe_Data:$logits, Optional<Moe_Data>:$bias,
    Variadic<Moe_Data>:$outs,
    DefaultValuedAttr<Moe_ScoringAttr, "Scoring::Softmax">:$scoring,
    DefaultValuedAttr<I64Attr, "1">:$groups,
    DefaultValuedAttr<I64Attr, "1">:$topk_groups,
    DefaultValuedAttr<Moe_GroupScoreAttr, "GroupScore::Max">:$group_score,
    UnitAttr:$renormalize, DefaultValuedAttr<F64Attr, "1.0">:$scale);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    `logits` `(` $logits `:` type($logits) `)`
    (`bias` `(` $bias^ `:` type($bias) `)`)?
    (`scoring` `=` `` $scoring^)? (`groups` `=` $groups^)?
    (`of_groups` `=` $topk_groups^)?
    (`group_score` `=` `` $group_score^)? (`renormalize` $renormalize^)?
    (`scale` `=` $scale^)?
    attr-dict `outs` `(` $outs `:` type($outs) `)` (`->` type($results)^)?
  }];
}

def Moe_AlignOp : Moe_Op<"align", [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "sort slots by local expert and pad to blocks";
  let description = [{
    Turns ids `[T, k]` (i32, global) into routing. With an expert map (`[global
    experts]` i32) the local expert of id `g` is `map[g]`; without one it is `g`.
    A slot whose id or mapped id is -1 is dropped. Every position of the routing
    has a defined value, see `!moe.routing`.

    `form` says how it is executed. `sorted`: a kernel sorts the slots and lists
    the blocks. `direct`, for few slots: nobody sorts, every slot is a row block
    of its own and kernels look up its expert themselves; the rows of
    `expert_sorted` tensors then stand by slot, which nobody else may see. Without
    it `moe-select-config` chooses, and what it leaves open is sorted.

    * `align_c1`: ids are `[T, k]` i32 and k equals the routing's topk.
    * `align_c2`: the map is a vector of i32.
    * `align_c3`: `direct` is for GEMMs and sums over top-k alone, without rows of
      layout `expert_sorted_padded`; tensors of layout `expert_sorted` lead from one of
      them to the next, through ops of the dialect that work row by row.

    Example:
    ```mlir
    func.func @align(%ids: tensor<?x8xi32>, %map: tensor<256xi32>) {
      %r = moe.align %ids : tensor<?x8xi32> map(%map : tensor<256xi32>)
             -> !moe.routing<experts = 32, topk = 8, block_m = 16>
      return
    }
    ```
  }];
  let arguments = (ins Moe_Data:$ids, Optional<Moe_Data>:$expert_map,
                       OptionalAttr<Moe_AlignFormAttr>:$form);
  let results = (outs Moe_RoutingType:$routing);
  let assemblyFormat = [{
    $ids `:` type($ids) (`map` `(` $expert_map^ `:` type($expert_map) `)`)?
    (`form` `=` `` $form^)? attr-dict `->` type($routing)
  }];
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "Type":$routing, "Value":$ids, "Value":$expertMap),
      [{ build($_builder, $_state, routing, ids, expertMap, ::mlir::moe::AlignFormAttr()); }]>];
  let extraClassDeclaration = [{
    /// Whether kernels look up the experts of slots that nobody has sorted.
    bool isDirect() { return getForm() == AlignForm::Direct; }
    /// Why the form `direct` is not legal; empty if it is.
    std::string whyNotDirect();
  }];
}

def Moe_RouteAllOp : Moe_Op<"route_all", [Pure]> {
  let summary = "routing that sends every token to every expert";
  let description = [{
    Slot `t * E + e` belongs to expert `e`: the routing of a shared expert
    (E = 1) and of the dense formulation.

    * `route_all_c1`: topk equals experts.

    Example:
    ```mlir
    func.func @shared(%tokens: index) {
      %r = moe.route_all %tokens : !moe.routing<experts = 1, topk = 1>
      return
    }
    ```
  }];
  let arguments = (ins Index:$tokens);
  let results = (outs Moe_RoutingType:$routing);
  let assemblyFormat = "$tokens attr-dict `:` type($routing)";
  let hasVerifier = 1;
}

def Moe_NumSlotsOp : Moe_Op<"num_slots", [Pure]> {
  let summary = "rows of a slot tensor in a given layout";
  let description = [{
    `flat_topk` and `expert_sorted`: `T * k`. `expert_sorted_padded`: the
    capacity `T * k + min(T * k, E) * (block_m - 1)`. `token`: `T`.

    Example:
    ```mlir
    func.func @rows(%r: !moe.routing<experts = 8, topk = 2>) -> index {
      %n = moe.num_slots %r layout = expert_sorted : !moe.routing<experts = 8, topk = 2>
      return %n : index
    }
    ```
  }];
  let arguments = (ins Moe_RoutingType:$routing, Moe_RowLayoutAttr:$layout);
  let results = (outs Index:$rows);
  let assemblyFormat = "$routing `layout` `=` `` $layout attr-dict `:` type($routing)";
  let hasFolder = 0;
}

def Moe_DenseWeightsOp : Moe_DestOp<"dense_weights", [AttrSizedOperandSegments]> {
  let summary = "alpha[t, e]: router weights spread over all experts";
  let description = [{
    alpha `[T, E]` f32: the sum of the weights of the slots of token `t` that
    go to local expert `e` (0 if none), times the optional factor `[E]`.

    * `dense_weights_c1`: ids and weights are `[T, k]`.
    * `dense_weights_c2`: the result is `[T, E]` f32 and the factor is `[E]`.

    Example:
    ```mlir
    func.func @alpha(%ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %o: tensor<?x8xf32>) -> tensor<?x8xf32> {
      %a = moe.dense_weights topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
             outs(%o : tensor<?x8xf32>) -> tensor<?x8xf32>
      return %a : tensor<?x8xf32>
    }
    ```
  }];
  let arguments = (ins Moe_Data:$topk_ids, Moe_Data:$topk_weights,
    Optional<Moe_Data>:$expert_map, Optional<Moe_Data>:$factor,
    Variadic<Moe_Data>:$outs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    `topk` `(` $topk_ids `,` $topk_weights `:` type($topk_ids) `,` type($topk_weights) `)`
    (`map` `(` $expert_map^ `:` type($expert_map) `)`)?
    (`factor` `(` $factor^ `:` type($factor) `)`)?
    attr-dict `outs` `(` $outs `:` type($outs) `)` (`->` type($results)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

def Moe_DispatchOp : Moe_DestOp<"dispatch"> {
  let summary = "copy token rows into slot order";
  let description = [{
    Row of slot (t, j) in layout `layout` = row t of the input `[T, C]`.

    * `dispatch_c1`: the layout is not `token`; extents along columns agree.

    Example:
    ```mlir
    func.func @permute(%x: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>,
                       %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
      %y = moe.dispatch %x : tensor<?x64xf32>
             routing(%r : !moe.routing<experts = 8, topk = 2>) layout = expert_sorted
             outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
      return %y : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins Moe_Data:$x, Moe_RoutingType:$routing,
    Moe_RowLayoutAttr:$layout, Variadic<Moe_Data>:$outs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $x `:` type($x) `routing` `(` $routing `:` type($routing) `)`
    `layout` `=` `` $layout
    attr-dict `outs` `(` $outs `:` type($outs) `)` (`->` type($results)^)?
  }];
}

def Moe_CombineOp : Moe_DestOp<"combine", [AttrSizedOperandSegments]> {
  let summary = "sum the slots of every token";
  let description = [{
    y[t] = sum over valid slots j of (weight[t, j] *) d[row(t, j)], in ascending
    j, in f32, plus row t of `add` (`[T, N]`, optional, multiplied by
    sigma(add_gate[t]) where given), rounded once to the result type. A token without valid slot gives 0
    (plus `add`). d has the row layout `layout`. With `keep` no pass moves the
    weights to another op: the layer asked for `weight_place = combine`.

    * `combine_c1`: d is `[rows, N]`, the result `[T, N]`, `add` `[T, N]`.
    * `combine_c2`: weights are `[T, k]` with the routing's k.
    * `combine_c3`: the layout is not `token`.
    * `combine_c4`: `add_gate` is `[T]` and needs `add`.
    * `combine_c5`: `keep` needs weights.

    Example:
    ```mlir
    func.func @sum(%d: tensor<?x64xf32>, %tw: tensor<?x2xf32>,
                   %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
      %y = moe.combine %d : tensor<?x64xf32> weights(%tw : tensor<?x2xf32>)
             routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk
             outs(%o : tensor<?x64xbf16>) -> tensor<?x64xbf16>
      return %y : tensor<?x64xbf16>
    }
    ```
  }];
  let arguments = (ins Moe_Data:$d, Optional<Moe_Data>:$weights,
    Optional<Moe_Data>:$add, Optional<Moe_Data>:$add_gate,
    Moe_RoutingType:$routing, Moe_RowLayoutAttr:$layout, UnitAttr:$keep,
    Variadic<Moe_Data>:$outs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $d `:` type($d) (`weights` `(` $weights^ `:` type($weights) `)`)? (`keep` $keep^)?
    (`add` `(` $add^ `:` type($add) `)`)?
    (`add_gate` `(` $add_gate^ `:` type($add_gate) `)`)?
    `routing` `(` $routing `:` type($routing) `)` `layout` `=` `` $layout
    attr-dict `outs` `(` $outs `:` type($outs) `)` (`->` type($results)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Quantisation
//===----------------------------------------------------------------------===//

def Moe_QuantizeOp : Moe_DestOp<"quantize"> {
  let summary = "dynamic symmetric quantisation of activations";
  let description = [{
    For every granule: scale = max(amax, 2^-100) / largest finite value of the element
    type (448 for f8E4M3FN, 57344 for f8E5M2, 240 and 57344 for the FNUZ twins,
    127 for i8, 6 for f4E2M1FN), stored in the scale type (an f8E8M0FNU scale
    is rounded up to a power of two, any other to nearest even, saturating);
    value = round to nearest even of x / scale (the stored one, in f32),
    saturated to the largest finite value, -127 for negative i8. amax is over
    |x| in f32. A granule of zeros gives zeros, as does a scale that is 0 after
    rounding; a NaN makes its whole granule's scale NaN. A 4-bit result is
    packed as the attribute says.

    * `quantize_c1`: input `[rows, C]`, values `[rows, C / cols per stored]`.
    * `quantize_c2`: the scale extents and types are those of the attribute.
    * `quantize_c3`: no zero point, and a granule of one row.

    Example:
    ```mlir
    #q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
    func.func @quant(%x: tensor<?x256xbf16>, %q: tensor<?x256xf8E4M3FN>, %s: tensor<?x2xf32>)
        -> (tensor<?x256xf8E4M3FN>, tensor<?x2xf32>) {
      %y:2 = moe.quantize %x : tensor<?x256xbf16> quant #q
        outs(%q, %s : tensor<?x256xf8E4M3FN>, tensor<?x2xf32>) -> tensor<?x256xf8E4M3FN>, tensor<?x2xf32>
      return %y#0, %y#1 : tensor<?x256xf8E4M3FN>, tensor<?x2xf32>
    }
    ```
  }];
  let arguments = (ins Moe_Data:$x, Moe_QuantAttr:$quant, Variadic<Moe_Data>:$outs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $x `:` type($x) `quant` qualified($quant)
    attr-dict `outs` `(` $outs `:` type($outs) `)` (`->` type($results)^)?
  }];
}

def Moe_DequantizeOp : Moe_DestOp<"dequantize", [AttrSizedOperandSegments]> {
  let summary = "stored values, scales and zero points to plain values";
  let description = [{
    value = scale * (stored - zero) in f32, rounded once to the result type.
    Input `[..., rows, stored columns]` with leading batch dimensions (experts)
    that all operands share.

    * `dequantize_c1`: operands have the extents and types of the attribute.
    * `dequantize_c2`: a zero operand is given exactly if the attribute says so.

    Example:
    ```mlir
    #w4 = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
    func.func @deq(%w: tensor<4x64x64xi8>, %s: tensor<4x64x1xbf16>, %o: tensor<4x64x128xf32>)
        -> tensor<4x64x128xf32> {
      %y = moe.dequantize %w : tensor<4x64x64xi8> scale(%s : tensor<4x64x1xbf16>) quant #w4
             outs(%o : tensor<4x64x128xf32>) -> tensor<4x64x128xf32>
      return %y : tensor<4x64x128xf32>
    }
    ```
  }];
  let arguments = (ins Moe_Data:$values, Moe_Data:$scale, Optional<Moe_Data>:$zero,
    Moe_QuantAttr:$quant, Variadic<Moe_Data>:$outs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $values `:` type($values) `scale` `(` $scale `:` type($scale) `)`
    (`zero` `(` $zero^ `:` type($zero) `)`)? `quant` qualified($quant)
    attr-dict `outs` `(` $outs `:` type($outs) `)` (`->` type($results)^)?
  }];
}

def Moe_GroupSumOp : Moe_DestOp<"group_sum"> {
  let summary = "sums of every run of columns of a row";
  let description = [{
    s[g, r] = sum of x[r, c] over c in [g * group, (g + 1) * group), in f32: the
    row sums by which a zero point is corrected after the product.

    * `group_sum_c1`: input `[rows, C]`, result `[C / group, rows]` f32, group divides C.

    Example:
    ```mlir
    func.func @sums(%x: tensor<?x256xbf16>, %o: tensor<2x?xf32>) -> tensor<2x?xf32> {
      %s = moe.group_sum %x : tensor<?x256xbf16> group = 128
             outs(%o : tensor<2x?xf32>) -> tensor<2x?xf32>
      return %s : tensor<2x?xf32>
    }
    ```
  }];
  let arguments = (ins Moe_Data:$x, I64Attr:$group, Variadic<Moe_Data>:$outs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $x `:` type($x) `group` `=` $group
    attr-dict `outs` `(` $outs `:` type($outs) `)` (`->` type($results)^)?
  }];
}

def Moe_RepackOp : Moe_DestOp<"repack"> {
  let summary = "load-time change of a weight's storage, values unchanged";
  let description = [{
    `[..., rows, stored columns]` from the packing of `from` to that of `to`.
    Its inverse is the same op with the two exchanged. An f8E4M3FN to
    f8E4M3FNUZ repack maps the bit pattern 0x80 to 0 and NaN (0x7f, 0xff) to NaN
    (0x80) (the caller doubles the scale).

    * `repack_c1`: both sides describe the same number of columns, and extents match.
    * `repack_c2`: element types are equal, or f8E4M3FN and f8E4M3FNUZ.

    Example:
    ```mlir
    #a = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
    #b = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama>
    func.func @repack(%w: tensor<4x64x64xi8>, %o: tensor<4x64x16xi32>) -> tensor<4x64x16xi32> {
      %y = moe.repack %w : tensor<4x64x64xi8> from #a to #b
             outs(%o : tensor<4x64x16xi32>) -> tensor<4x64x16xi32>
      return %y : tensor<4x64x16xi32>
    }
    ```
  }];
  let arguments = (ins Moe_Data:$w, Moe_QuantAttr:$from, Moe_QuantAttr:$to,
                       Variadic<Moe_Data>:$outs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $w `:` type($w) `from` qualified($from) `to` qualified($to)
    attr-dict `outs` `(` $outs `:` type($outs) `)` (`->` type($results)^)?
  }];
  let hasCanonicalizeMethod = 1;
}

//===----------------------------------------------------------------------===//
// Projections
//===----------------------------------------------------------------------===//

def Moe_GroupedGemmOp : Moe_DestOp<"grouped_gemm",
    [AttrSizedOperandSegments, SingleBlock, IsolatedFromAbove]> {
  let summary = "one matrix product per expert, with a scalar epilogue";
  let description = [{
    For every valid slot (t, j) of expert e:
    acc[n] = sum over k of A[row, k] * B[e, n, k] in f32, both operands
    dequantised. `rows = gather`: row = t; `rows = slots`: row = place of the slot in the layout `a_layout`.
    The region maps scalars to the result: its arguments are the accumulators (gate
    and up of one intermediate column if `gate_up` is given, else one), then
    one value per `row`, `col`, `expert` and `elt` operand, in that order, converted to f32:
    * `row`: `[T, k]` indexed by slot, or `[T]` by token;
    * `col`: `[E, N]` indexed by expert and column; with `gate_up` and extent
      2I it gives two arguments (gate, up), taken where the gate and up rows
      of B stand;
    * `expert`: `[E]`;
    * `elt`: `[T * k, N]` in flat slot order.
    Scales: by default both operands are dequantised. A plan (`scales`) may say
    `epilogue` for an operand: then it is read without its scale, which has become an
    operand of the region, and is not given here. With `zero = row_sum` the
    zero point of b is corrected by `sums`: the sums of A's rows over every K
    granule of b, as `moe.group_sum` gives them.

    Closing rule: `quantize q` (values and scales, fresh scales per granule, as in `moe.quantize`),
    `out = token` (sum over the slots of a token, ascending j, then cast), else cast.

    * `ggemm_c1`: A `[rows, K]` and B `[E, N, K]` have the same K after unpacking.
    * `ggemm_c2`: with `gate_up`, N is even, blocks divide N / 2, and the region has two accumulator arguments; without, one.
    * `ggemm_c3`: the granule of `quantize` along columns divides the result's columns.
    * `ggemm_c4`: `out = token` has a `[T, N]` result and no `quantize`.
    * `ggemm_c5`: row operands are `[T, k]` or `[T]` with the routing's k, all of the same index space.
    * `ggemm_c6`: scales and zero points are given as the `#moe.quant` says, with its extents; a scale is absent exactly where the plan says `epilogue`.
    * `ggemm_c7`: E of B, col and expert operands is the routing's.
    * `ggemm_c8`: the region has one f32 argument per value above, yields one f32, and holds only side-effect free arith and math ops.
    * `ggemm_c9`: the result has N (N / 2 with `gate_up`) columns, two results exactly with `quantize`.
    * `ggemm_c10`: a K tile of the config never spans two scale groups: block k divides the K granule, or the granule divides block k and the plan promotes.
    * `ggemm_c11`: `a_layout` is `token` exactly for `rows = gather`.
    * `ggemm_c12`: `sums` is given exactly for a plan with `zero = row_sum`, which needs a zero point of b and a plain a; it is f32 `[K / n, rows]`, n the K granule of b, which divides K.
    * `ggemm_c13`: the plan names a place exactly for quantised operands, `epilogue` only for a scale that is constant along K, and `promote n` only where n divides the K granule or covers K with one scale.

    Example:
    ```mlir
    func.func @gemm1(%x: tensor<?x64xbf16>, %w: tensor<8x128x64xbf16>,
                     %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
      %y = moe.grouped_gemm a(%x : tensor<?x64xbf16>) b(%w : tensor<8x128x64xbf16>)
             routing(%r : !moe.routing<experts = 8, topk = 2>)
             rows = gather a_layout = token out = expert_sorted gate_up <halves>
             outs(%o : tensor<?x64xbf16>) {
        ^bb0(%g: f32, %u: f32):
          %n = arith.negf %g : f32
          %e = math.exp %n : f32
          %one = arith.constant 1.0 : f32
          %d = arith.addf %e, %one : f32
          %s = arith.divf %g, %d : f32
          %v = arith.mulf %s, %u : f32
          moe.yield %v : f32
      } -> tensor<?x64xbf16>
      return %y : tensor<?x64xbf16>
    }
    ```
  }];
  let arguments = (ins
    Moe_Data:$a, Optional<Moe_Data>:$a_scale, Optional<Moe_Data>:$a_sums,
    Moe_Data:$b, Optional<Moe_Data>:$b_scale, Optional<Moe_Data>:$b_zero,
    Moe_RoutingType:$routing,
    Variadic<Moe_Data>:$row_operands, Variadic<Moe_Data>:$col_operands,
    Variadic<Moe_Data>:$expert_operands, Variadic<Moe_Data>:$elt_operands,
    Variadic<Moe_Data>:$outs,
    Moe_RowSourceAttr:$rows, Moe_RowLayoutAttr:$a_layout, Moe_RowLayoutAttr:$out,
    OptionalAttr<Moe_GateUpAttr>:$gate_up,
    OptionalAttr<Moe_QuantAttr>:$a_quant, OptionalAttr<Moe_QuantAttr>:$b_quant,
    OptionalAttr<Moe_QuantAttr>:$quantize,
    OptionalAttr<Moe_ScalePlanAttr>:$scales,
    OptionalAttr<Moe_FormulationAttr>:$formulation,
    OptionalAttr<TypedArrayAttrBase<Moe_ConfigAttr, "ranked configurations">>:$config);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$epilogue);
  let assemblyFormat = [{
    `a` `(` $a `:` type($a) (`scale` $a_scale^ `:` type($a_scale))?
      (`sums` $a_sums^ `:` type($a_sums))? (`quant` qualified($a_quant)^)? `)`
    `b` `(` $b `:` type($b) (`scale` $b_scale^ `:` type($b_scale))?
      (`zero` $b_zero^ `:` type($b_zero))? (`quant` qualified($b_quant)^)? `)`
    `routing` `(` $routing `:` type($routing) `)`
    `rows` `=` `` $rows `a_layout` `=` `` $a_layout `out` `=` `` $out
    (`gate_up` $gate_up^)?
    (`row` `(` $row_operands^ `:` type($row_operands) `)`)?
    (`col` `(` $col_operands^ `:` type($col_operands) `)`)?
    (`expert` `(` $expert_operands^ `:` type($expert_operands) `)`)?
    (`elt` `(` $elt_operands^ `:` type($elt_operands) `)`)?
    (`quantize` qualified($quantize)^)? (`scales` $scales^)?
    (`formulation` `=` `` $formulation^)? (`config` $config^)?
    attr-dict `outs` `(` $outs `:` type($outs) `)` $epilogue (`->` type($results)^)?
  }];
  let extraClassDeclaration = destDeclaration # [{
    /// Reduction size K in values (after unpacking).
    int64_t getReductionSize();
    /// Rows of B per expert: N, or 2 N' with gate_up.
    int64_t getWeightRows();
    /// Columns of the result before packing.
    int64_t getOutCols();
    /// Experts on this rank.
    int64_t getNumExperts() { return getRouting().getType().getExperts(); }
    /// Block arguments of the epilogue that a col operand binds: 2 or 1.
    unsigned getNumColArgs(unsigned i);
    /// First block argument of the epilogue that belongs to the i-th operand of
    /// each kind. Accumulators come first: one, or gate and up with gate_up.
    unsigned getRowArg(unsigned i) { return (getGateUpAttr() ? 2 : 1) + i; }
    unsigned getColArg(unsigned i);
    unsigned getExpertArg(unsigned i) {
      return getColArg(getColOperands().size()) + i;
    }
    unsigned getEltArg(unsigned i) {
      return getExpertArg(getExpertOperands().size()) + i;
    }
    /// First entry of `config`, or null.
    ConfigAttr getChosenConfig();
  }];
  let hasRegionVerifier = 1;
}

def Moe_ActivateOp : Moe_DestOp<"activate",
    [SingleBlock, IsolatedFromAbove]> {
  let summary = "elementwise program between two projections";
  let description = [{
    The epilogue region of `moe.grouped_gemm` as an op of its own: input
    `[rows, 2I]` f32 with `gate_up` (two region arguments) or `[rows, I]` (one),
    result `[rows, I]`, rounded once to the result type.

    * `activate_c1`: columns of the input are 2I with `gate_up`, else I; rows agree.
    * `activate_c2`: the region takes two (one) f32, yields one f32, and holds only side-effect free arith and math ops.

    Example:
    ```mlir
    func.func @relu2(%x: tensor<?x64xf32>, %o: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
      %y = moe.activate %x : tensor<?x64xf32> outs(%o : tensor<?x64xbf16>) {
        ^bb0(%v: f32):
          %z = arith.constant 0.0 : f32
          %m = arith.maximumf %v, %z : f32
          %q = arith.mulf %m, %m : f32
          moe.yield %q : f32
      } -> tensor<?x64xbf16>
      return %y : tensor<?x64xbf16>
    }
    ```
  }];
  let arguments = (ins Moe_Data:$x, OptionalAttr<Moe_GateUpAttr>:$gate_up,
                       Variadic<Moe_Data>:$outs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $x `:` type($x) (`gate_up` $gate_up^)?
    attr-dict `outs` `(` $outs `:` type($outs) `)` $body (`->` type($results)^)?
  }];
  let hasRegionVerifier = 1;
}

def Moe_YieldOp : Moe_Op<"yield", [Pure, Terminator,
    ParentOneOf<["GroupedGemmOp", "ActivateOp"]>]> {
  let summary = "value of an epilogue region";
  let description = [{
    Ends the region of `moe.grouped_gemm` and `moe.activate`.

    Example: see `moe.activate`.
  }];
  let arguments = (ins F32:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

#endif // MOEC_DIALECT_MOE_IR_MOEOPS_TD
