//===- MoeTileMemoryOps.td - Global memory -------------------- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILEMEMORYOPS_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILEMEMORYOPS_TD

include "moec/Dialect/MoeTile/IR/MoeTileOpBase.td"

def MoeTile_RowIndexOp : MoeTile_Op<"row_index", [AttrSizedOperandSegments]> {
  let summary = "source row of each of the tile's rows";
  let description = [{
    Row r < M is -1 if r >= limit, if first + r is beyond the memory, or if the
    slot value v = slots[first + r] is negative or >= bound; else it is v / div
    (rounding down).

    Constraints: `row_index_c1`: `slots` has rank 1; `row_index_c2`: div is positive.

    Example: `%idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<128>`
  }];
  let arguments = (ins Arg<MemRefOf<[I32, I64]>, "slots", [MemRead]>:$slots, MoeTile_AnyIndex:$first,
                       Optional<MoeTile_AnyIndex>:$limit, Optional<MoeTile_AnyIndex>:$bound,
                       DefaultValuedAttr<I64Attr, "1">:$div);
  let results = (outs MoeTile_RowsType:$result);
  let builders = [OpBuilder<(ins "int64_t":$count, "Value":$slots, "Value":$first, "Value":$limit,
                                 CArg<"int64_t", "1">:$div, CArg<"Value", "{}">:$bound)>];
  let assemblyFormat = [{
    $slots `[` custom<IndexOperand>($first, type($first)) `]`
    (`limit` `(` custom<OptionalIndexOperand>($limit, type($limit))^ `)`)?
    (`bound` `(` custom<OptionalIndexOperand>($bound, type($bound))^ `)`)?
    (`div` $div^)? attr-dict `:` qualified(type($slots)) `->` qualified(type($result))
  }];
  let hasVerifier = 1;
}

def MoeTile_RowIotaOp : MoeTile_Op<"row_iota", [Pure]> {
  let summary = "consecutive row numbers";
  let description = "Row r < M is first + r, or -1 if r >= limit.";
  let arguments = (ins MoeTile_AnyIndex:$first, Optional<MoeTile_AnyIndex>:$limit);
  let results = (outs MoeTile_RowsType:$result);
  let assemblyFormat = [{
    custom<IndexOperand>($first, type($first))
    (`limit` `(` custom<OptionalIndexOperand>($limit, type($limit))^ `)`)? attr-dict `->` qualified(type($result))
  }];
}

def MoeTile_LoadOp : MoeTile_ReadOp<"load"> {
  let summary = "reads a tile of global memory";
  let description = [{
    See the interface `TileAccess` for coordinates, granules and boxes. Elements
    beyond the memory's extents and rows numbered -1 are zero. `boxes = [0, 256]`
    makes one tile of gate rows and up rows. `place` and `how` are set by passes.
    The result is a buffer, or a fragment (operands of an epilogue).

    Constraints (of every TileAccess):
    * `access_c1`: one index per memory dimension, at most one of them `rows`;
    * `access_c2`: `dims` has two entries, -1 or a memory dimension, not equal; -1 only with extent 1;
    * `access_c3`: `granule` has one positive entry per memory dimension;
    * `access_c4`: the boxes divide the tile dimension evenly and stand apart from each other;
    * `access_c5`: element types of memory and tile agree;
    * `access_c6`: a `rows` index has as many rows as its tile dimension, which is not cut into boxes;
    * `access_c7`: `how(desc)` needs no `rows` index.

    Constraint of load: `load_c1`: a buffer result only in a kernel of form `seq`.

    Examples:
    `%a = moe_tile.load %X[%idx : !moe_tile.rows<128>, %k] : memref<?x2048xbf16> -> !moe_tile.buf<128x64xbf16>`
    `%b = moe_tile.load %W[%e, %n0, %k] boxes [0, 768] : memref<128x1536x2048xbf16> -> !moe_tile.buf<128x64xbf16>`
    `%s = moe_tile.load %S[%e, %n0, %k] dims [2, 1] granule [1, 128, 128] boxes [0, 2] on 1 : memref<256x4x56xf32> -> !moe_tile.buf<1x2xf32>`
  }];
  let arguments = accessArguments;
  let results = (outs MoeTile_BufOrFrag:$result);
  let assemblyFormat = accessFormat # "attr-dict `:` qualified(type($memory)) `->` qualified(type($result))";
  let builders = [OpBuilder<(ins "Type":$result, "Value":$memory, "ValueRange":$indices,
      CArg<"ArrayRef<int64_t>", "{}">:$dims, CArg<"ArrayRef<int64_t>", "{}">:$granule,
      CArg<"ArrayRef<int64_t>", "{}">:$boxes, CArg<"int64_t", "0">:$boxDim)>];
  let hasVerifier = 1;
}

def MoeTile_PrefetchOp : MoeTile_ReadOp<"prefetch"> {
  let summary = "brings a tile nearer; no effect on results";
  let description = "`shape` are the rows and columns of the tile.";
  let arguments = !con(accessArguments, (ins DenseI64ArrayAttr:$shape,
      DefaultValuedAttr<MoeTile_CacheLevelAttr, "CacheLevel::L2">:$to));
  let assemblyFormat = accessFormat # "`shape` $shape (`to` `(` custom<Word>($to)^ `)`)? attr-dict `:` qualified(type($memory))";
  let hasVerifier = 1;
}

def MoeTile_StoreOp : MoeTile_Op<"store", [AttrSizedOperandSegments,
    MoeTile_TileAccess, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "writes a tile to global memory";
  let description = [{
    Several values stand side by side along n and form one tile. Rows >= limit,
    rows numbered -1 and elements beyond the memory's extents are not written.
    `mode`: `plain`; `add` adds to memory, element by element and atomically;
    `add_f32` the same, declared to be a reduction over workers in any order.

    Constraints: those of TileAccess (see `load`), and
    * `store_c1`: all values have equal rows and equal element type, and all are fragments or all buffers;
    * `store_c2`: `add` and `add_f32` need f32 memory (f64 is allowed for `add`);
    * `store_c3`: `how(desc)` only with mode plain and without limit.

    Example: `moe_tile.store %q0, %q1 to %Y[%row0, %n0] limit(%rows) : !H, !H to memref<?x256xbf16>`
  }];
  let arguments = (ins Variadic<MoeTile_BufOrFrag>:$values, AnyMemRef:$memory,
                       Variadic<MoeTile_Coord>:$indices, Optional<MoeTile_AnyIndex>:$limit,
                       OptionalAttr<DenseI64ArrayAttr>:$dims, OptionalAttr<DenseI64ArrayAttr>:$granule,
                       OptionalAttr<MoeTile_HowAttr>:$how,
                       DefaultValuedAttr<MoeTile_StoreModeAttr, "StoreMode::Plain">:$mode,
                       OptionalAttr<MoeTile_WidthAttr>:$width);
  let assemblyFormat = [{
    $values `to` $memory `` custom<Coords>($indices, type($indices))
    (`limit` `(` custom<OptionalIndexOperand>($limit, type($limit))^ `)`)?
    (`dims` $dims^)? (`granule` $granule^)? (`how` `(` custom<Word>($how)^ `)`)? (`mode` `(` custom<Word>($mode)^ `)`)?
    (`width` `(` custom<Word>($width)^ `)`)? attr-dict `:` qualified(type($values)) `to` qualified(type($memory))
  }];
  let builders = [OpBuilder<(ins "ValueRange":$values, "Value":$memory, "ValueRange":$indices,
      CArg<"Value", "{}">:$limit, CArg<"ArrayRef<int64_t>", "{}">:$dims,
      CArg<"ArrayRef<int64_t>", "{}">:$granule, CArg<"StoreMode", "StoreMode::Plain">:$mode)>];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    std::pair<int64_t, int64_t> getTileShape();
    std::optional<::llvm::ArrayRef<int64_t>> getBoxes() { return std::nullopt; }
    int64_t getBoxDim() { return 0; }
    void setAddressWidth(::mlir::moe::tile::Width width) { setWidth(width); }
  }];
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILEMEMORYOPS_TD
