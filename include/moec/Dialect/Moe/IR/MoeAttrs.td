//===- MoeAttrs.td - Attributes of the moe dialect -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOE_IR_MOEATTRS_TD
#define MOEC_DIALECT_MOE_IR_MOEATTRS_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "moec/Dialect/Moe/IR/MoeDialect.td"

//===----------------------------------------------------------------------===//
// Enumerations
//===----------------------------------------------------------------------===//

class Moe_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}
class Moe_EnumAttr<EnumAttrInfo info, string mnemonic>
    : EnumAttr<Moe_Dialect, info, mnemonic> {
  let assemblyFormat = "`<` $value `>`";
}

def Moe_Packing : Moe_Enum<"Packing", "how sub-byte values share a byte", [
  I32EnumAttrCase<"Plain", 0, "plain">,
  I32EnumAttrCase<"LowEven", 1, "low_even">,
  I32EnumAttrCase<"Exllama", 2, "exllama">,
  I32EnumAttrCase<"Mx", 3, "mx">]>;
def Moe_ScaleLayout : Moe_Enum<"ScaleLayout", "order of a scale tensor", [
  I32EnumAttrCase<"RowMajor", 0, "row_major">,
  I32EnumAttrCase<"GroupMajor", 1, "group_major">]>;
def Moe_ZeroPoint : Moe_Enum<"ZeroPoint", "zero point of a quantised tensor", [
  I32EnumAttrCase<"None", 0, "none">,
  I32EnumAttrCase<"Constant", 1, "constant">,
  I32EnumAttrCase<"Operand", 2, "operand">]>;
def Moe_GateUpKind : Moe_Enum<"GateUpKind", "where gate and up rows stand", [
  I32EnumAttrCase<"Halves", 0, "halves">,
  I32EnumAttrCase<"Interleaved", 1, "interleaved">,
  I32EnumAttrCase<"Blocks", 2, "blocks">]>;
def Moe_ActivationKind : Moe_Enum<"ActivationKind", "activation function", [
  I32EnumAttrCase<"Identity", 0, "identity">,
  I32EnumAttrCase<"Silu", 1, "silu">,
  I32EnumAttrCase<"Gelu", 2, "gelu">,
  I32EnumAttrCase<"GeluTanh", 3, "gelu_tanh">,
  I32EnumAttrCase<"Relu", 4, "relu">,
  I32EnumAttrCase<"Relu2", 5, "relu2">,
  I32EnumAttrCase<"Swiglu", 6, "swiglu">,
  I32EnumAttrCase<"Geglu", 7, "geglu">,
  I32EnumAttrCase<"GegluTanh", 8, "geglu_tanh">,
  I32EnumAttrCase<"Reglu", 9, "reglu">,
  I32EnumAttrCase<"SwigluOai", 10, "swiglu_oai">]>;

def Moe_AlignForm : Moe_Enum<"AlignForm", "how a routing is executed", [
  I32EnumAttrCase<"Sorted", 0, "sorted">,
  I32EnumAttrCase<"Direct", 1, "direct">]>;
def Moe_AlignFormAttr : Moe_EnumAttr<Moe_AlignForm, "align_form"> {
  let assemblyFormat = "$value";
}
def Moe_RowSource : Moe_Enum<"RowSource", "which row of A a slot reads", [
  I32EnumAttrCase<"Gather", 0, "gather">,
  I32EnumAttrCase<"Slots", 1, "slots">]>;
def Moe_RowSourceAttr : Moe_EnumAttr<Moe_RowSource, "rows"> {
  let assemblyFormat = "$value";
}
def Moe_RowLayout : Moe_Enum<"RowLayout", "order of the rows of a slot tensor", [
  I32EnumAttrCase<"FlatTopk", 0, "flat_topk">,
  I32EnumAttrCase<"ExpertSorted", 1, "expert_sorted">,
  I32EnumAttrCase<"ExpertSortedPadded", 2, "expert_sorted_padded">,
  I32EnumAttrCase<"Token", 3, "token">]>;
def Moe_RowLayoutAttr : Moe_EnumAttr<Moe_RowLayout, "row_layout"> {
  let assemblyFormat = "$value";
}
def Moe_Formulation : Moe_Enum<"Formulation", "shape of the computation", [
  I32EnumAttrCase<"Grouped", 0, "grouped">,
  I32EnumAttrCase<"Dense", 1, "dense">,
  I32EnumAttrCase<"Gemv", 2, "gemv">,
  I32EnumAttrCase<"OneLaunch", 3, "one_launch">]>;
def Moe_FormulationAttr : Moe_EnumAttr<Moe_Formulation, "formulation"> {
  let assemblyFormat = "$value";
}
def Moe_WeightPlace : Moe_Enum<"WeightPlace", "where the router weight is applied", [
  I32EnumAttrCase<"None", 0, "none">,
  I32EnumAttrCase<"Input", 1, "input">,
  I32EnumAttrCase<"Epilogue", 2, "epilogue">,
  I32EnumAttrCase<"Combine", 3, "combine">]>;
def Moe_WeightPlaceAttr : Moe_EnumAttr<Moe_WeightPlace, "weight_place"> {
  let assemblyFormat = "$value";
}
def Moe_Scoring : Moe_Enum<"Scoring", "from router logits to scores", [
  I32EnumAttrCase<"Softmax", 0, "softmax">,
  I32EnumAttrCase<"Sigmoid", 1, "sigmoid">,
  I32EnumAttrCase<"SoftmaxSelected", 2, "softmax_selected">]>;
def Moe_ScoringAttr : Moe_EnumAttr<Moe_Scoring, "scoring"> {
  let assemblyFormat = "$value";
}
def Moe_GroupScore : Moe_Enum<"GroupScore", "score of an expert group", [
  I32EnumAttrCase<"Max", 0, "max">,
  I32EnumAttrCase<"Top2Sum", 1, "top2_sum">]>;
def Moe_GroupScoreAttr : Moe_EnumAttr<Moe_GroupScore, "group_score"> {
  let assemblyFormat = "$value";
}
def Moe_ScalePlace : Moe_Enum<"ScalePlace", "where a scale is multiplied in", [
  I32EnumAttrCase<"None", 0, "none">,
  I32EnumAttrCase<"Epilogue", 1, "epilogue">,
  I32EnumAttrCase<"Promote", 2, "promote">,
  I32EnumAttrCase<"Operand", 3, "operand">]>;
def Moe_ZeroPlace : Moe_Enum<"ZeroPlace", "where a zero point is subtracted", [
  I32EnumAttrCase<"None", 0, "none">,
  I32EnumAttrCase<"Element", 1, "element">,
  I32EnumAttrCase<"RowSum", 2, "row_sum">]>;

//===----------------------------------------------------------------------===//
// Quantisation
//===----------------------------------------------------------------------===//

def Moe_QuantAttr : AttrDef<Moe_Dialect, "Quant"> {
  let mnemonic = "quant";
  let summary = "one description of every quantised tensor";
  let description = [{
    `value = scale * (stored - zero)`, element by element.

    `granule = [r, c]` says how many rows and columns share a scale; `*` is the
    whole extent: tensor `[*, *]`, token or channel `[1, *]`, `[1, 128]`,
    block `[128, 128]`, group `[1, 128]`, mx `[1, 32]`. The columns run along
    the reduction. A last granule may be short: the scale extent is the ceiling
    of extent / granule.

    `zero`: `none`, an integer constant, or `operand` (a tensor of the shape of
    the scales, a byte of it unsigned). Integer codes with a zero point are
    unsigned (i4: 0 to 15, i8: 0 to 255), without one two's complement. `packing`: `low_even` = byte `b` holds column `2b` in its low
    nibble; `exllama` = a little-endian i32 holds eight columns, from bit 0 up
    0,2,4,6,1,3,5,7; `mx` = `low_even` of f4E2M1FN with f8E8M0FNU scales.
    `layout`: `row_major` scales `[rows][groups]`, `group_major`
    `[groups][rows]`.

    Example: `#moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>`
  }];
  let parameters = (ins "Type":$elem, "int64_t":$granuleRows,
                        "int64_t":$granuleCols, "Type":$scale,
                        "ZeroPoint":$zero, "int64_t":$zeroValue,
                        "Packing":$packing, "ScaleLayout":$layout);
  let builders = [
    AttrBuilderWithInferredContext<(ins "Type":$elem, "int64_t":$rows,
                                        "int64_t":$cols, "Type":$scale), [{
      return $_get(elem.getContext(), elem, rows, cols, scale, ZeroPoint::None,
                   0, Packing::Plain, ScaleLayout::RowMajor);
    }]>];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Whole-extent marker of a granule dimension, printed `*`.
    static constexpr int64_t kWhole = ShapedType::kDynamic;
    /// Columns held by one stored element (2 for packed 4-bit bytes, 8 for
    /// `exllama` words, else 1).
    int64_t getColsPerStored() const;
    /// Type of one stored element: i8 for `low_even` and `mx`, i32 for
    /// `exllama`, else the element type.
    Type getStorageType() const;
    /// Number of scales along `extent` rows (columns); kDynamic stays dynamic.
    int64_t getScaleRows(int64_t extent) const;
    int64_t getScaleCols(int64_t extent) const;
  }];
}

//===----------------------------------------------------------------------===//
// Gate/up arrangement and activation
//===----------------------------------------------------------------------===//

def Moe_GateUpAttr : AttrDef<Moe_Dialect, "GateUp"> {
  let mnemonic = "gate_up";
  let summary = "arrangement of gate and up rows in a first projection";
  let description = [{
    `halves`: gate rows `[0, I)`, up rows `[I, 2I)`. `interleaved`: gate row
    `i` at `2i`, up row at `2i + 1`. `blocks n`: alternating runs of `n` gate
    and `n` up rows. `up_first` exchanges the two everywhere.

    Example: `#moe.gate_up<blocks 64, up_first>`
  }];
  let parameters = (ins "GateUpKind":$kind, "int64_t":$block, "bool":$upFirst);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Row of w1 that holds the gate (up) row of intermediate column `i`, for
    /// an intermediate size `size`.
    int64_t getGateRow(int64_t i, int64_t size) const;
    int64_t getUpRow(int64_t i, int64_t size) const;
  }];
}

def Moe_ActivationAttr : AttrDef<Moe_Dialect, "Activation"> {
  let mnemonic = "activation";
  let summary = "activation between the two projections";
  let description = [{
    Gated (two inputs, gate `g` and up `u`): `swiglu` = silu(g) u, `geglu`
    (erf), `geglu_tanh`, `reglu`, `swiglu_oai` = (u + 1) g sigma(alpha g) with
    g = min(g, limit), u = clamp(u, -limit, limit). Not gated: `silu`, `gelu`,
    `gelu_tanh`, `relu`, `relu2` = max(x, 0)^2, `identity`.

    `limit` (0 = none) also clamps g from above and u on both sides for the
    other gated kinds. `swiglu_oai` defaults to alpha 1.702 and limit 7; alpha
    belongs to it alone.

    Example: `#moe.activation<swiglu_oai, alpha = 1.702, limit = 7.0>`
  }];
  let parameters = (ins "ActivationKind":$kind,
                        APFloatParameter<"factor of the sigmoid's argument">:$alphaValue,
                        APFloatParameter<"clamp, 0 = none">:$limitValue);
  let builders = [AttrBuilder<(ins "ActivationKind":$kind), [{
    bool oai = kind == ActivationKind::SwigluOai;
    return $_get($_ctxt, kind, APFloat(oai ? 1.702 : 1.0), APFloat(oai ? 7.0 : 0.0));
  }]>];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    double getAlpha() const { return getAlphaValue().convertToDouble(); }
    double getLimit() const { return getLimitValue().convertToDouble(); }
    /// True for the kinds that take a gate and an up value.
    bool isGated() const { return getKind() >= ActivationKind::Swiglu; }
  }];
}

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

def Moe_ScalePlanAttr : AttrDef<Moe_Dialect, "ScalePlan"> {
  let mnemonic = "scale_plan";
  let summary = "where the scales and zero points of a GEMM are applied";
  let description = [{
    Written by `moe-fold-scales`, obeyed by all later passes. Per operand:
    `none`, `epilogue` (constant along K), `promote n` (constant over every run
    of `n` columns of K; the partial accumulator of a run is scaled and added to
    the main one), `operand` (dequantised on load). `zero`: `none`, `element`
    (subtracted on load), `row_sum` (`zero * scale * sum(A)` subtracted per run).

    Example: `#moe.scale_plan<a = promote 128, b = promote 128, zero = none>`
  }];
  let parameters = (ins "ScalePlace":$a, "int64_t":$aRun, "ScalePlace":$b,
                        "int64_t":$bRun, "ZeroPlace":$zero);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Moe_ConfigAttr : AttrDef<Moe_Dialect, "Config"> {
  let mnemonic = "config";
  let summary = "tile sizes and mapping of one kernel";
  let description = [{
    Named fields; a field that is absent has its default. The table of fields,
    with units and defaults, is `configFields()`; unknown names and ill-typed
    values are rejected. An op carries a ranked list of configurations, the
    driver takes the first one that assembles.

    Example: `#moe.config<block = [64, 128, 128], stages = 6, a = "gather", source = "rule">`
  }];
  let parameters = (ins "DictionaryAttr":$fields);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Value of an integer field, its default where absent.
    int64_t getInt(StringRef name) const;
    /// Value of an integer-list field, its default where absent.
    SmallVector<int64_t> getInts(StringRef name) const;
    /// Value of a string field, its default where absent.
    StringRef getString(StringRef name) const;
    /// Value of a boolean field, its default where absent.
    bool getBool(StringRef name) const;
    int64_t getBlockM() const { return getInts("block")[0]; }
    int64_t getBlockN() const { return getInts("block")[1]; }
    int64_t getBlockK() const { return getInts("block")[2]; }
  }];
}

#endif // MOEC_DIALECT_MOE_IR_MOEATTRS_TD
