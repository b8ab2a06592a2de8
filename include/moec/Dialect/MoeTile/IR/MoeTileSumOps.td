//===- MoeTileSumOps.td - Sums over top-k by tiles ------------ -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILESUMOPS_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILESUMOPS_TD

include "moec/Dialect/MoeTile/IR/MoeTileOpBase.td"

def MoeTile_SumArrivedOp : MoeTile_Op<"sum_arrived"> {
  let summary = "sums the rows of the tokens whose last tile this is";
  let description = [{
    Stands behind the store of a tile of a sorted routing, whose rows are those
    of `slots`, slot t * topk + j or none. A slot is present if its `places` is
    not negative. For every slot of the tile that is there, each of `teams` teams
    adds one to counters[t, n0 / by]. Whoever makes it teams * (present slots of
    the token) sees all rows of the token in these columns and writes, for the
    columns c of n0 .. n0 + by that exist,
    out[t, c] = rows[places[t * topk], c] + ... + rows[places[t * topk + topk - 1], c],
    in this order, from 0, in f32, rounded to the elements of `out`; absent slots
    are left out. So the result depends neither on who is last nor on the order
    of the tiles, and nobody waits. Counters are zero at first; an earlier launch
    or the workspace clears them. Tokens without any slot are `clear_absent`'s.

    `added`: the stores of the tiles have added their rows to rows[t, c] already,
    of f32 and zero at first; out[t, c] is that number, rounded.

    Constraints:
    * `sum_arrived_c1`: by, topk and teams are positive;
    * `sum_arrived_c2`: rows and out are floats of f32, bf16 or f16 of as many columns; f32 if added;
    * `sum_arrived_c3`: it stands in `for_tiles` over a list of row blocks, last but for the yield.

    Example:
    ```mlir
    moe_tile.sum_arrived %d[%slots, %n0] by 64 to %out counters(%n) places(%p) topk 8
      : !moe_tile.rows<128>, memref<?x2048xbf16> to memref<?x2048xbf16>, memref<?x32xi32>, memref<?xi32>
    ```
  }];
  let arguments = (ins Arg<MemRefRankOf<[AnyFloat], [2]>, "rows", [MemRead]>:$rows,
                       MoeTile_RowsType:$slots, MoeTile_AnyIndex:$n0,
                       Arg<MemRefRankOf<[AnyFloat], [2]>, "sums", [MemWrite]>:$out,
                       Arg<MemRefRankOf<[I32], [2]>, "arrivals", [MemRead, MemWrite]>:$counters,
                       Arg<MemRefRankOf<[I32], [1]>, "row of each slot", [MemRead]>:$places,
                       I64Attr:$by, I64Attr:$topk, DefaultValuedAttr<I64Attr, "1">:$teams,
                       UnitAttr:$added);
  let assemblyFormat = [{
    $rows `[` $slots `,` custom<IndexOperand>($n0, type($n0)) `]` `by` $by
    `to` $out `counters` `(` $counters `)` `places` `(` $places `)` `topk` $topk (`teams` $teams^)? (`added` $added^)?
    attr-dict `:` qualified(type($slots)) `,` qualified(type($rows)) `to` qualified(type($out)) `,`
    qualified(type($counters)) `,` qualified(type($places))
  }];
  let hasVerifier = 1;
}

def MoeTile_ClearAbsentOp : MoeTile_Op<"clear_absent", [HasParent<"KernelOp">]> {
  let summary = "zeroes the rows of tokens without any slot";
  let description = [{
    Row t of `out` becomes zero if places[t * topk] ... places[t * topk + topk - 1]
    are all negative. Once, behind `await_launch`; nothing else of the kernel
    writes these rows.

    Constraint `clear_absent_c1`: topk is positive, out has elements of f32, bf16 or f16.

    Example: `moe_tile.clear_absent %out places(%p) topk 8 : memref<?x2048xbf16>, memref<?xi32>`
  }];
  let arguments = (ins Arg<MemRefRankOf<[AnyFloat], [2]>, "sums", [MemWrite]>:$out,
                       Arg<MemRefRankOf<[I32], [1]>, "row of each slot", [MemRead]>:$places,
                       I64Attr:$topk);
  let assemblyFormat = [{
    $out `places` `(` $places `)` `topk` $topk attr-dict `:` qualified(type($out)) `,` qualified(type($places))
  }];
  let hasVerifier = 1;
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILESUMOPS_TD
