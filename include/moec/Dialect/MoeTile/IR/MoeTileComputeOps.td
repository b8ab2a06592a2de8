//===- MoeTileComputeOps.td - Tiles, accumulators, fragments -- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILECOMPUTEOPS_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILECOMPUTEOPS_TD

include "mlir/Interfaces/ControlFlowInterfaces.td"
include "moec/Dialect/MoeTile/IR/MoeTileOpBase.td"

/// Reads the storage of its buffer operands, else pure.
class MoeTile_ReadsBuffers<string opMnemonic, list<Trait> traits = []>
    : MoeTile_Op<opMnemonic, traits # [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]>;

//===----------------------------------------------------------------------===//
// Matrix product
//===----------------------------------------------------------------------===//

def MoeTile_MmaOp : MoeTile_ReadsBuffers<"mma"> {
  let summary = "c + a * b^T over the k of a slot";
  let description = [{
    a is M x K, b is N x K (both with k innermost), c and the result M x N.
    Without c the result starts from zero. It may complete later: buffers of a
    slot stay untouched until an `acc_read` or `mma_wait`. The sum over k is
    taken in unspecified order in at least the accumulator's type.

    Constraints:
    * `mma_c1`: a and b have equal k, and m x n is the accumulator's shape;
    * `mma_c2`: c and the result have the same type;
    * `mma_c3`: element types: both float with float accumulator, or both integer with i32;
    * `mma_c4`: the atom's shape divides the tile, if an atom is present;
    * `mma_c5`: a fragment operand only on a side where the atom's family takes registers.

    Example: `%d = moe_tile.mma %a, %b, %c : !A, !B, !ACC` or, from zero, `moe_tile.mma %a, %b : !A, !B -> !ACC`
  }];
  let arguments = (ins MoeTile_BufOrFrag:$a, MoeTile_BufOrFrag:$b, Optional<MoeTile_AccType>:$c,
                       OptionalAttr<MoeTile_AtomAttr>:$atom);
  let results = (outs MoeTile_AccType:$result);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Extent of the reduction.
    int64_t getK();
  }];
}

def MoeTile_AccZeroOp : MoeTile_Op<"acc_zero", [Pure]> {
  let summary = "accumulator of zeros";
  let results = (outs MoeTile_AccType:$result);
  let assemblyFormat = "attr-dict `:` qualified(type($result))";
}

def MoeTile_AccReadOp : MoeTile_Op<"acc_read", [Pure]> {
  let summary = "waits for an accumulator and makes it readable";
  let description = [{
    Constraints: `acc_read_c1`: shape and element type agree; `acc_read_c2`: the
    accumulator has no other use (it is dead afterwards).
  }];
  let arguments = (ins MoeTile_AccType:$acc);
  let results = (outs MoeTile_FragType:$result);
  let builders = [OpBuilder<(ins "Value":$acc)>];
  let assemblyFormat = "$acc attr-dict `:` qualified(type($acc)) `->` qualified(type($result))";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Scales
//===----------------------------------------------------------------------===//

def MoeTile_DequantOp : MoeTile_ReadsBuffers<"dequant", [AttrSizedOperandSegments]> {
  let summary = "quantised values to the matrix type";
  let description = [{
    result = round((stored - zero) * scale): computed in f32, rounded once to the
    result's element type. Without scale and zero: round(stored).

    `unrounded`: the last rounding is left out. The result is what one product
    takes from registers: that of the codes less their zero points, which the
    element type holds, with a sum for each granule of columns that is scaled in
    f32. For few rows this takes fewer operations than scaling the codes.

    `format`: `plain` one value per element (fp8, i8); `low_even` byte b holds
    column 2b in its low nibble, unsigned; `exllama` each 32-bit word (or four
    bytes, little endian) holds eight columns, from bit 0 up 0,2,4,6,1,3,5,7;
    `mx` as `low_even` with f4E2M1FN values. The zero point is `zero` (a tile of
    the shape of the scales) or the attribute `zero_value`.

    Element (i, j) takes scale (i / g0, j / g1) with `granule = [g0, g1]`;
    default: the extents of the tile divided by those of the scales. With `at`,
    the scales are of more columns than the tile, whose first column is number
    `at`, a multiple of g1 or inside of one granule: (i, j) takes
    (i / g0, (at + j) / g1).

    Constraints:
    * `dequant_c1`: rows agree; columns are those stored times 1, 2 or 8 by format (a last nibble may be dropped);
    * `dequant_c2`: the scales are ceil(tile / granule) in both dimensions (at least that many columns with `at`, which needs a granule); without granule they divide the tile;
    * `dequant_c3`: zero has the shape of the scales, and not together with zero_value;
    * `dequant_c4`: the stored element type suits the format (i8 for low_even and mx, i8 or i32 for exllama);
    * `dequant_c5`: the result is a float type;
    * `dequant_c6`: `unrounded` has scales of single rows and a fragment as result.

    Example: `%d = moe_tile.dequant %q scale(%s : !moe_tile.buf<64x1xbf16>) zero_value 8 format(low_even) : !moe_tile.buf<64x64xi8> -> !moe_tile.buf<64x128xbf16>`
  }];
  let arguments = (ins MoeTile_Decodable:$source, Optional<MoeTile_BufOrFrag>:$scale,
                       Optional<MoeTile_BufOrFrag>:$zero, Optional<MoeTile_AnyIndex>:$at,
                       OptionalAttr<DenseI64ArrayAttr>:$granule, OptionalAttr<I64Attr>:$zero_value,
                       DefaultValuedAttr<MoeTile_DequantFormatAttr, "DequantFormat::Plain">:$format,
                       UnitAttr:$unrounded);
  let results = (outs MoeTile_Decodable:$result);
  let assemblyFormat = [{
    $source (`scale` `(` $scale^ `:` qualified(type($scale)) `)`)? (`zero` `(` $zero^ `:` qualified(type($zero)) `)`)?
    (`at` `(` custom<OptionalIndexOperand>($at, type($at))^ `)`)? (`granule` $granule^)? (`zero_value` $zero_value^)? (`format` `(` custom<Word>($format)^ `)`)? (`unrounded` $unrounded^)? attr-dict
    `:` qualified(type($source)) `->` qualified(type($result))
  }];
  let builders = [OpBuilder<(ins "Type":$result, "Value":$source, "Value":$scale, "Value":$zero,
      "DequantFormat":$format, CArg<"std::optional<int64_t>", "std::nullopt">:$zeroValue,
      CArg<"ArrayRef<int64_t>", "{}">:$granule, CArg<"Value", "{}">:$at,
      CArg<"bool", "false">:$unrounded)>];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Stored columns hold this many values each: 1, 2 or 8.
    int64_t getValuesPerElement();
    /// Rows and columns that share a scale.
    std::pair<int64_t, int64_t> getScaleGranule();
  }];
}

def MoeTile_PromoteOp : MoeTile_ReadsBuffers<"promote", [AttrSizedOperandSegments]> {
  let summary = "scales a partial result into the main one";
  let description = [{
    result[m, n] = main[m, n] + (part[m, n] - row_sum[m] * zero[n]) * s, where
    s = ((row[m] * col[n]) * scalar) * factor in f32 with absent factors left out,
    in this order; the last step is one fused multiply-add. `row` and `row_sum` are
    tiles of one column, `col` and `zero` of one row; an extent smaller than the
    tile's is repeated in equal runs (a col of two values: gate, up).

    Constraints:
    * `promote_c1`: part, main and result agree in shape; float elements;
    * `promote_c2`: row and row_sum are R x 1 with R dividing m, col and zero 1 x C with C dividing n;
    * `promote_c3`: row_sum and zero come together.

    Example: `%m1 = moe_tile.promote %p, %m0 row(%sa : !SA) col(%sb : !SB) factor 4.0 : !F`
  }];
  let arguments = (ins MoeTile_FragType:$part, MoeTile_FragType:$main,
                       Optional<MoeTile_BufOrFrag>:$row, Optional<MoeTile_BufOrFrag>:$col,
                       Optional<AnyFloat>:$scalar, Optional<MoeTile_BufOrFrag>:$row_sum,
                       Optional<MoeTile_BufOrFrag>:$zero, OptionalAttr<F64Attr>:$factor);
  let results = (outs MoeTile_FragType:$result);
  let assemblyFormat = [{
    $part `,` $main (`row` `(` $row^ `:` qualified(type($row)) `)`)? (`col` `(` $col^ `:` qualified(type($col)) `)`)?
    (`scalar` `(` $scalar^ `:` qualified(type($scalar)) `)`)? (`row_sum` `(` $row_sum^ `:` qualified(type($row_sum)) `)`)?
    (`zero` `(` $zero^ `:` qualified(type($zero)) `)`)? (`factor` $factor^)? attr-dict `:`
    custom<TypesIfDifferent>(type($part), type($main), type($result))
  }];
  let builders = [OpBuilder<(ins "Value":$part, "Value":$main, "Value":$row, "Value":$col,
      CArg<"Value", "{}">:$scalar, CArg<"std::optional<double>", "std::nullopt">:$factor)>];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Fragments
//===----------------------------------------------------------------------===//

def MoeTile_MapOp : MoeTile_Op<"map", [RecursiveMemoryEffects, SingleBlock]> {
  let summary = "scalar program over the elements of fragments";
  let description = [{
    For each element of the result tiles, once: the body, with the elements of
    the inputs at the same place. An input with one row or one column is
    repeated. Values from above (scalars) may be used in the body.

    Constraints:
    * `map_c1`: every input has the results' extent or 1 in each dimension;
    * `map_c2`: the results have one shape; without inputs it is taken from them;
    * `map_c3`: block arguments and yielded values are the element types of inputs and results;
    * `map_c4`: the body has only operations without memory effects and regions on scalars (arith, math).

    Example:
    ```mlir
    moe_tile.kernel @k(%x: memref<16x64xf32>, %s: f32) {
      %c0 = arith.constant 0 : index
      %f = moe_tile.load %x[%c0, %c0] : memref<16x64xf32> -> !moe_tile.frag<16x64xf32>
      %g = moe_tile.map ins(%f : !moe_tile.frag<16x64xf32>) -> !moe_tile.frag<16x64xf32> {
      ^bb0(%v: f32):
        %w = arith.mulf %v, %s : f32
        moe_tile.yield %w : f32
      }
      moe_tile.store %g to %x[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<16x64xf32>
      moe_tile.return
    }
    ```
  }];
  let arguments = (ins Variadic<MoeTile_FragType>:$inputs);
  let results = (outs Variadic<MoeTile_FragType>:$results);
  let regions = (region SizedRegion<1>:$body);
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "TypeRange":$results, "ValueRange":$inputs,
      "llvm::function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange)>":$bodyBuilder)>];
  let assemblyFormat = [{
    (`ins` `(` $inputs^ `:` qualified(type($inputs)) `)`)? `->` qualified(type($results)) attr-dict-with-keyword $body
  }];
  let hasVerifier = 1;
}

def MoeTile_SplitOp : MoeTile_Op<"split", [Pure]> {
  let summary = "cuts a fragment into two along n";
  let description = [{
    Columns are taken in blocks of `block`: the first block goes to the first
    result, the second to the second, and so on. block = n / 2 cuts into halves,
    block = 1 into even and odd columns.

    Constraints: `split_c1`: 2 * block divides n; both results have n / 2 columns;
    `split_c2`: with a layout, the digit that chooses between the results is a
    `reg` digit (otherwise the message names its level; the boxes of the load can
    rearrange the columns).

    Example: `%g, %u = moe_tile.split %f block 64 : !F -> !H, !H`
  }];
  let arguments = (ins MoeTile_FragType:$source, I64Attr:$block);
  let results = (outs MoeTile_FragType:$first, MoeTile_FragType:$second);
  let builders = [OpBuilder<(ins "Value":$source, "int64_t":$block)>];
  let assemblyFormat = "$source `block` $block attr-dict `:` qualified(type($source)) `->` qualified(type($first)) `,` qualified(type($second))";
  let hasVerifier = 1;
}

def MoeTile_JoinOp : MoeTile_Op<"join", [Pure]> {
  let summary = "inverse of split";
  let description = [{
    Constraint `join_c1`: two inputs of equal type, a result of twice the columns,
    block divides the columns of one input.
  }];
  let arguments = (ins MoeTile_FragType:$first, MoeTile_FragType:$second, I64Attr:$block);
  let results = (outs MoeTile_FragType:$result);
  let assemblyFormat = "$first `,` $second `block` $block attr-dict `:` qualified(type($first)) `,` qualified(type($second)) `->` qualified(type($result))";
  let hasVerifier = 1;
}

def MoeTile_RowReduceOp : MoeTile_Op<"row_reduce", [Pure]> {
  let summary = "reduces along n in groups";
  let description = [{
    The inputs stand side by side along n; every `group` columns give one result
    column: `absmax`, `max` or `sum` (in f32, order unspecified).

    Constraints: `row_reduce_c1`: inputs have equal rows and element type;
    `row_reduce_c2`: group divides all columns together, and the result has
    columns / group columns.

    Example: `%v = moe_tile.row_reduce absmax %s0, %s1 group 128 : !H, !H -> !R`
  }];
  let arguments = (ins MoeTile_ReduceKindAttr:$kind, Variadic<MoeTile_FragType>:$inputs, I64Attr:$group);
  let results = (outs MoeTile_FragType:$result);
  let builders = [OpBuilder<(ins "ReduceKind":$kind, "ValueRange":$inputs, "int64_t":$group)>];
  let assemblyFormat = "custom<Word>($kind) $inputs `group` $group attr-dict `:` qualified(type($inputs)) `->` qualified(type($result))";
  let hasVerifier = 1;
}

def MoeTile_RelayoutOp : MoeTile_Op<"relayout", [Pure]> {
  let summary = "changes the layout of a fragment";
  let description = "Constraint `relayout_c1`: shapes and element types agree.";
  let arguments = (ins MoeTile_FragType:$source);
  let results = (outs MoeTile_FragType:$result);
  let assemblyFormat = "$source attr-dict `:` qualified(type($source)) `->` qualified(type($result))";
  let hasVerifier = 1;
}

def MoeTile_FragLoadOp : MoeTile_ReadsBuffers<"frag_load"> {
  let summary = "buffer to fragment";
  let description = [{
    With `at`, one column of the buffer, standing as a row: the factors of
    weight rows at one granule of K, of a buffer that has those of all of K.

    * `frag_load_c1`: shapes and element types agree; with `at` the fragment is
      one row of as many columns as the buffer has rows.
  }];
  let arguments = (ins MoeTile_BufType:$buffer, Optional<Index>:$at);
  let results = (outs MoeTile_FragType:$result);
  let builders = [OpBuilder<(ins "Value":$buffer)>];
  let assemblyFormat = [{
    $buffer (`at` $at^)? attr-dict `:` qualified(type($buffer)) `->`
    qualified(type($result))
  }];
  let hasVerifier = 1;
}

def MoeTile_FragSplatOp : MoeTile_Op<"frag_splat", [Pure]> {
  let summary = "fragment with one value everywhere";
  let description = "Constraint `frag_splat_c1`: the scalar has the element type.";
  let arguments = (ins AnyTypeOf<[AnyFloat, AnySignlessInteger]>:$value);
  let results = (outs MoeTile_FragType:$result);
  let assemblyFormat = "$value attr-dict `:` qualified(type($value)) `->` qualified(type($result))";
  let hasVerifier = 1;
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILECOMPUTEOPS_TD
