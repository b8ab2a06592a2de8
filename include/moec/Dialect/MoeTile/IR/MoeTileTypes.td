//===- MoeTileTypes.td - Types of the tile program ------------ -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILETYPES_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILETYPES_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/CommonTypeConstraints.td"
include "moec/Dialect/MoeTile/IR/MoeTileDialect.td"
include "moec/Dialect/MoeTile/IR/MoeTileAttrs.td"

class MoeTile_Type<string name, string typeMnemonic> : TypeDef<MoeTile_Dialect, name> {
  let mnemonic = typeMnemonic;
}

/// Accessors common to the types that are a rows x cols tile.
class MoeTile_TileType<string name, string typeMnemonic> : MoeTile_Type<name, typeMnemonic> {
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  code tileAccessors = [{
    /// Number of elements of the whole tile.
    int64_t getNumElements() const { return getRows() * getCols(); }
  }];
  let extraClassDeclaration = tileAccessors;
}

def MoeTile_BufType : MoeTile_TileType<"Buf", "buf"> {
  let summary = "on-chip tile";
  let description = [{
    `!moe_tile.buf<128x64xbf16>`, with a layout once a pass has chosen one:
    `!moe_tile.buf<128x64xbf16, swizzle = 128>` (bytes of the XOR period) or
    `pad = 16` (bytes after each row).

    A value in the sequential form, storage in the explicit form.
    Constraints: `buf_c1` extents and element type are positive and of whole
    bytes; `buf_c2` swizzle is 32, 64 or 128, and not together with pad.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$cols, "Type":$elementType,
                        DefaultValuedParameter<"int64_t", "0">:$swizzle,
                        DefaultValuedParameter<"int64_t", "0">:$pad);
  let builders = [
    TypeBuilderWithInferredContext<(ins "int64_t":$rows, "int64_t":$cols, "Type":$elementType), [{
      return $_get(elementType.getContext(), rows, cols, elementType, 0, 0);
    }]>];
  let extraClassDeclaration = tileAccessors # [{
    /// Bytes in on-chip memory, padding included.
    int64_t getSizeInBytes() const;
  }];
}

def MoeTile_AccType : MoeTile_TileType<"Acc", "acc"> {
  let summary = "accumulator that may be in flight";
  let description = [{
    `!moe_tile.acc<128x128xf32>`, with an atom once one is assigned. Only `mma`,
    `acc_read` and loops take it. Constraint `acc_c1`: element type f32, f64 or i32.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$cols, "Type":$elementType,
                        OptionalParameter<"AtomAttr">:$atom);
  let builders = [
    TypeBuilderWithInferredContext<(ins "int64_t":$rows, "int64_t":$cols, "Type":$elementType), [{
      return $_get(elementType.getContext(), rows, cols, elementType, AtomAttr());
    }]>];
}

def MoeTile_FragType : MoeTile_TileType<"Frag", "frag"> {
  let summary = "readable registers of the whole team";
  let description = [{
    `!moe_tile.frag<128x128xf32>`; always the logical shape of the whole tile.
    `128x1` and `1x128` are the row and column slices that `map` and `promote`
    repeat along the missing dimension. A layout is a `#moe_tile.digits`.
    Constraint `frag_c1`: the digits of a layout cover the shape, or one digit
    list of extent 1 in a dimension of extent 1.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$cols, "Type":$elementType,
                        OptionalParameter<"DigitsAttr">:$layout);
  let builders = [
    TypeBuilderWithInferredContext<(ins "int64_t":$rows, "int64_t":$cols, "Type":$elementType), [{
      return $_get(elementType.getContext(), rows, cols, elementType, DigitsAttr());
    }]>];
}

def MoeTile_StagedType : MoeTile_TileType<"Staged", "staged"> {
  let summary = "global data on its way through registers";
  let description = [{
    Between `fetch` and `deposit`: `!moe_tile.staged<128x64xbf16>`.
    Constraint `staged_c1`: extents are positive, elements integer or float.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$cols, "Type":$elementType);
  let builders = [
    TypeBuilderWithInferredContext<(ins "int64_t":$rows, "int64_t":$cols, "Type":$elementType), [{
      return $_get(elementType.getContext(), rows, cols, elementType);
    }]>];
}

def MoeTile_RowsType : MoeTile_Type<"Rows", "rows"> {
  let summary = "row numbers of a tile's rows, -1 = no row";
  let parameters = (ins "int64_t":$count);
  let assemblyFormat = "`<` $count `>`";
}

def MoeTile_TilesType : MoeTile_Type<"Tiles", "tiles"> {
  let summary = "list of output tiles";
  let description = [{
    `!moe_tile.tiles<records>`: every entry is stored. `!moe_tile.tiles<blocks>`:
    a table of row blocks is stored, the columns are arithmetic.
  }];
  let parameters = (ins EnumParameter<MoeTile_ListForm>:$form);
  let assemblyFormat = "`<` $form `>`";
}

def MoeTile_TileHandleType : MoeTile_Type<"TileHandle", "tile"> {
  let summary = "one entry of a tile list";
}

def MoeTile_TokenType : MoeTile_Type<"Token", "token"> {
  let summary = "completion of a launch";
}

def MoeTile_RingType : MoeTile_Type<"Ring", "ring"> {
  let summary = "slots of several buffers that fill and drain together";
  let description = [{
    `!moe_tile.ring<6 x (a: !moe_tile.buf<..>, b: !moe_tile.buf<..>), sync = tx>`.
    `sync`: `tx` = barriers that count bytes, `group` = groups of asynchronous
    copies, `lockstep` = both roles meet at each step, `none` = one thread.
    Constraint `ring_c1`: at least one slot and one buffer, names unique.
  }];
  let parameters = (ins "int64_t":$slots, ArrayRefParameter<"StringAttr">:$names,
                        ArrayRefParameter<"Type">:$buffers, EnumParameter<MoeTile_Sync>:$sync);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Bytes of all slots together.
    int64_t getSizeInBytes() const;
  }];
}

def MoeTile_CursorType : MoeTile_Type<"Cursor", "cursor"> {
  let summary = "position in a ring, used exactly once";
  let parameters = (ins EnumParameter<MoeTile_Side>:$side);
  let assemblyFormat = "`<` $side `>`";
}

def MoeTile_AnyIndex : AnyTypeOf<[Index, I32, I64]>;
def MoeTile_Coord : AnyTypeOf<[Index, I32, I64, MoeTile_RowsType]>;
def MoeTile_BufOrFrag : AnyTypeOf<[MoeTile_BufType, MoeTile_FragType]>;
def MoeTile_Decodable : AnyTypeOf<[MoeTile_BufType, MoeTile_FragType, MoeTile_StagedType]>;
def MoeTile_Carried : AnyTypeOf<[MoeTile_AccType, MoeTile_FragType]>;

#endif // MOEC_DIALECT_MOETILE_IR_MOETILETYPES_TD
