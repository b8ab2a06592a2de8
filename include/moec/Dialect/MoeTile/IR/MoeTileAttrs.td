//===- MoeTileAttrs.td - Attributes of the tile program -------- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILEATTRS_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILEATTRS_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "moec/Dialect/MoeTile/IR/MoeTileDialect.td"

//===----------------------------------------------------------------------===//
// Enumerations
//===----------------------------------------------------------------------===//

class MoeTile_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::mlir::moe::tile";
  let genSpecializedAttr = 0;
}
class MoeTile_EnumAttr<EnumAttrInfo info, string attrMnemonic>
    : EnumAttr<MoeTile_Dialect, info, attrMnemonic> {
  let assemblyFormat = "`<` $value `>`";
}

def MoeTile_Form : MoeTile_Enum<"Form", "form of a kernel", [
  I32EnumAttrCase<"Seq", 0, "seq">, I32EnumAttrCase<"Explicit", 1, "explicit">]>;
def MoeTile_FormAttr : MoeTile_EnumAttr<MoeTile_Form, "form">;

def MoeTile_ListForm : MoeTile_Enum<"ListForm", "what a tile list stores", [
  I32EnumAttrCase<"Records", 0, "records">, I32EnumAttrCase<"Blocks", 1, "blocks">]>;

def MoeTile_Order : MoeTile_Enum<"Order", "order of a tile list", [
  I32EnumAttrCase<"ExpertMajor", 0, "expert_major">,
  I32EnumAttrCase<"BlockMajor", 1, "block_major">,
  I32EnumAttrCase<"NMajor", 2, "n_major">,
  I32EnumAttrCase<"Explicit", 3, "explicit">]>;
def MoeTile_OrderAttr : MoeTile_EnumAttr<MoeTile_Order, "order">;

def MoeTile_Claim : MoeTile_Enum<"Claim", "how workers take entries", [
  I32EnumAttrCase<"Stride", 0, "stride">, I32EnumAttrCase<"Counter", 1, "counter">]>;
def MoeTile_ClaimAttr : MoeTile_EnumAttr<MoeTile_Claim, "claim">;

def MoeTile_How : MoeTile_Enum<"How", "mechanism of a global access", [
  I32EnumAttrCase<"Desc", 0, "desc">, I32EnumAttrCase<"Gather", 1, "gather">,
  I32EnumAttrCase<"Bulk", 2, "bulk">, I32EnumAttrCase<"Vector", 3, "vector">,
  I32EnumAttrCase<"Element", 4, "element">, I32EnumAttrCase<"LdsDirect", 5, "lds_direct">]>;
def MoeTile_HowAttr : MoeTile_EnumAttr<MoeTile_How, "how">;

def MoeTile_Place : MoeTile_Enum<"Place", "where a loaded operand lives", [
  I32EnumAttrCase<"Ring", 0, "ring">, I32EnumAttrCase<"Resident", 1, "resident">,
  I32EnumAttrCase<"Direct", 2, "direct">]>;
def MoeTile_PlaceAttr : MoeTile_EnumAttr<MoeTile_Place, "place">;

def MoeTile_Width : MoeTile_Enum<"Width", "width of an address", [
  I32EnumAttrCase<"I32", 0, "i32">, I32EnumAttrCase<"I64", 1, "i64">]>;
def MoeTile_WidthAttr : MoeTile_EnumAttr<MoeTile_Width, "width">;

def MoeTile_StoreMode : MoeTile_Enum<"StoreMode", "what a store does to memory", [
  I32EnumAttrCase<"Plain", 0, "plain">, I32EnumAttrCase<"Add", 1, "add">,
  I32EnumAttrCase<"AddF32", 2, "add_f32">]>;
def MoeTile_StoreModeAttr : MoeTile_EnumAttr<MoeTile_StoreMode, "store_mode">;

def MoeTile_DequantFormat : MoeTile_Enum<"DequantFormat", "how quantised values are stored", [
  I32EnumAttrCase<"LowEven", 0, "low_even">, I32EnumAttrCase<"Exllama", 1, "exllama">,
  I32EnumAttrCase<"Mx", 2, "mx">, I32EnumAttrCase<"Plain", 3, "plain">]>;
def MoeTile_DequantFormatAttr : MoeTile_EnumAttr<MoeTile_DequantFormat, "dequant_format">;

def MoeTile_ReduceKind : MoeTile_Enum<"ReduceKind", "row reduction", [
  I32EnumAttrCase<"AbsMax", 0, "absmax">, I32EnumAttrCase<"Max", 1, "max">,
  I32EnumAttrCase<"Sum", 2, "sum">]>;
def MoeTile_ReduceKindAttr : MoeTile_EnumAttr<MoeTile_ReduceKind, "reduce">;

def MoeTile_Sync : MoeTile_Enum<"Sync", "how the two sides of a ring meet", [
  I32EnumAttrCase<"Tx", 0, "tx">, I32EnumAttrCase<"Group", 1, "group">,
  I32EnumAttrCase<"Lockstep", 2, "lockstep">, I32EnumAttrCase<"None", 3, "none">]>;
def MoeTile_Side : MoeTile_Enum<"Side", "side of a ring", [
  I32EnumAttrCase<"Producer", 0, "producer">, I32EnumAttrCase<"Consumer", 1, "consumer">]>;
def MoeTile_Scope : MoeTile_Enum<"Scope", "threads of a group_sync", [
  I32EnumAttrCase<"Team", 0, "team">, I32EnumAttrCase<"Block", 1, "block">]>;
def MoeTile_ScopeAttr : MoeTile_EnumAttr<MoeTile_Scope, "scope">;
def MoeTile_Divide : MoeTile_Enum<"Divide", "how a repeated team divides work", [
  I32EnumAttrCase<"M", 0, "m">, I32EnumAttrCase<"N", 1, "n">, I32EnumAttrCase<"Tiles", 2, "tiles">]>;
def MoeTile_DivideAttr : MoeTile_EnumAttr<MoeTile_Divide, "divide">;
def MoeTile_Grid : MoeTile_Enum<"Grid", "launch grid", [
  I32EnumAttrCase<"Persistent", 0, "persistent">, I32EnumAttrCase<"Tiles", 1, "tiles">]>;
def MoeTile_Scoring : MoeTile_Enum<"Scoring", "scores from router logits", [
  I32EnumAttrCase<"Softmax", 0, "softmax">, I32EnumAttrCase<"Sigmoid", 1, "sigmoid">,
  I32EnumAttrCase<"SoftmaxSelected", 2, "softmax_selected">]>;
def MoeTile_ScoringAttr : MoeTile_EnumAttr<MoeTile_Scoring, "scoring">;
def MoeTile_CacheLevel : MoeTile_Enum<"CacheLevel", "target of a prefetch", [
  I32EnumAttrCase<"L1", 0, "l1">, I32EnumAttrCase<"L2", 1, "l2">]>;
def MoeTile_CacheLevelAttr : MoeTile_EnumAttr<MoeTile_CacheLevel, "cache">;

//===----------------------------------------------------------------------===//
// Structured attributes
//===----------------------------------------------------------------------===//

def MoeTile_AtomAttr : AttrDef<MoeTile_Dialect, "Atom"> {
  let mnemonic = "atom";
  let summary = "matrix instruction of an mma";
  let description = [{
    `#moe_tile.atom<wgmma 64x128x32>`: family and m x n x k of one instruction
    in logical coordinates; `swap` gives the n operand (B) to the hardware's M
    side. Constraint `atom_c1`: a known family with a shape of its table.
  }];
  let parameters = (ins "StringAttr":$family, "int64_t":$m, "int64_t":$n, "int64_t":$k,
                        DefaultValuedParameter<"bool", "false">:$swap);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def MoeTile_DigitsAttr : AttrDef<MoeTile_Dialect, "Digits"> {
  let mnemonic = "digits";
  let summary = "layout of a fragment: mixed-radix digits of each hardware index";
  let description = [{
    `#moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 16 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16]>`:
    every level's index is read as digits, least significant first; `n * 4 by 2` is
    a digit of extent 4 that adds 2 to n per step, `n * 4 by 0` one that changes
    nothing (the value is replicated). Levels in order: reg, lane, warp, group, cta.

    Constraint `digits_c1`: per dimension, sorted by stride and without the
    replicated ones, each stride equals the product of the smaller extents, so
    that the map is a bijection from the other digits to the tile.
  }];
  let parameters = (ins ArrayRefParameter<"Digit">:$digits);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Extent of dimension m (Dim::M) or n: the product of its digits' extents.
    int64_t getExtent(Dim dim) const;
    /// Number of values of one level's index (replicated digits included).
    int64_t getLevelSize(Level level) const;
    /// Logical coordinates of an element given one index per level, in level order.
    std::pair<int64_t, int64_t> map(ArrayRef<int64_t> levelIndices) const;
    /// The layout of the slice that has extent 1 in `dim`: its digits become @0.
    DigitsAttr slice(Dim dim) const;
    /// The layout of the swapped tile: m and n exchanged.
    DigitsAttr swapped() const;
    /// This layout repeated `m` x `n` times in registers, behind its own digits.
    DigitsAttr repeat(int64_t m, int64_t n) const;
    /// This layout placed `m` x `n` times along `level` (warps, groups or ctas).
    DigitsAttr distribute(Level level, int64_t m, int64_t n) const;
  }];
}

def MoeTile_ExecAttr : AttrDef<MoeTile_Dialect, "Exec"> {
  let mnemonic = "exec";
  let summary = "launch shape of a kernel";
  let description = [{
    `#moe_tile.exec<threads = 384, cluster = 1, grid = persistent, resident>`:
    threads of a block, blocks of a cluster, grid, and whether the whole grid is
    on the device at once (then any `await` is legal).
    Constraint `exec_c1`: 1..1024 threads, 1..16 blocks in a cluster.
  }];
  let parameters = (ins "int64_t":$threads, DefaultValuedParameter<"int64_t", "1">:$cluster,
                        DefaultValuedParameter<"Grid", "Grid::Persistent">:$grid,
                        DefaultValuedParameter<"bool", "false">:$resident);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILEATTRS_TD
