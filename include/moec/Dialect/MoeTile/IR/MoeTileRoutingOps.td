//===- MoeTileRoutingOps.td - Sorting rows by expert ---------- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILEROUTINGOPS_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILEROUTINGOPS_TD

include "moec/Dialect/MoeTile/IR/MoeTileOpBase.td"

def MoeTile_AlignOp : MoeTile_Op<"align", [MoeTile_SequentialOnly, AttrSizedOperandSegments]> {
  let summary = "sorts the slots of a routing by expert and lists its row blocks";
  let description = [{
    Slot s = t * topk + j, of S = tokens * topk slots, belongs to expert
    ids[t, j] (without ids: to expert j). With `expert_map`, an id inside of the
    map is replaced by the map's value. A slot whose id is outside of
    [0, experts), of the map, or -1 by the map is absent. With
    `device_tokens`, the slots of tokens from device_tokens[0] on are absent too,
    and their ids are not read.

    Rows are numbered expert by expert, within an expert by ascending slot. The
    rows of every expert begin at a multiple of `pad` (default 1). Every element
    of every result is written:
    * slots[r] = slot of row r, S where there is none;
    * places[s] = row of slot s, -1 if absent;
    * valid[s] = s, -1 if absent;
    * table[i] = (expert, first row, rows, place) of row block i: each expert's
      rows are cut in blocks of `block_m`, the last may be shorter; the blocks of
      one expert are adjacent, in ascending order; place is the number of the
      block among its expert's L blocks plus L * 65536, or 0 from L = 65536 on.
      Behind the last: (-1, 0, 0, 0);
    * count[0] = number of blocks.

    Constraints:
    * `align_c1`: experts, topk, block_m and pad are positive, there are at most 2048 experts;
    * `align_c2`: ids has topk columns; without ids topk is at most experts;
    * `align_c3`: the table has four columns, count and device_tokens one element;
    * `align_c4`: it is the only operation of its kernel but for constants, `memref.dim`, `await_launch` and the return.

    Example:
    ```mlir
    moe_tile.kernel @align(%ids: memref<?x8xi32>, %t: index, %slots: memref<?xi32>, %places: memref<?xi32>,
                           %valid: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
      moe_tile.align ids(%ids : memref<?x8xi32>) tokens(%t)
        to(%slots, %places, %valid, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
        experts 128 topk 8 block_m 64
      moe_tile.return
    }
    ```
  }];
  let arguments = (ins Arg<Optional<MemRefRankOf<[I32], [2]>>, "ids", [MemRead]>:$ids,
                       Arg<Optional<MemRefRankOf<[I32], [1]>>, "expert map", [MemRead]>:$expert_map,
                       MoeTile_AnyIndex:$tokens,
                       Arg<Optional<MemRefRankOf<[I32], [1]>>, "token count", [MemRead]>:$device_tokens,
                       Arg<MemRefRankOf<[I32], [1]>, "slot of each row", [MemWrite]>:$slots,
                       Arg<MemRefRankOf<[I32], [1]>, "row of each slot", [MemWrite]>:$places,
                       Arg<MemRefRankOf<[I32], [1]>, "slots that are present", [MemWrite]>:$valid,
                       Arg<MemRefRankOf<[I32], [2]>, "row blocks", [MemWrite]>:$table,
                       Arg<MemRefRankOf<[I32], [1]>, "number of row blocks", [MemWrite]>:$count,
                       I64Attr:$experts, I64Attr:$topk, I64Attr:$block_m,
                       DefaultValuedAttr<I64Attr, "1">:$pad);
  let assemblyFormat = [{
    (`ids` `(` $ids^ `:` qualified(type($ids)) `)`)? (`map` `(` $expert_map^ `:` qualified(type($expert_map)) `)`)?
    `tokens` `(` custom<IndexOperand>($tokens, type($tokens)) `)`
    (`device_tokens` `(` $device_tokens^ `:` qualified(type($device_tokens)) `)`)?
    `to` `(` $slots `,` $places `,` $valid `,` $table `,` $count `:`
    qualified(type($slots)) `,` qualified(type($places)) `,` qualified(type($valid)) `,` qualified(type($table)) `,`
    qualified(type($count)) `)`
    `experts` $experts `topk` $topk `block_m` $block_m (`pad` $pad^)? attr-dict
  }];
  let builders = [OpBuilder<(ins "Value":$ids, "Value":$expertMap, "Value":$tokens, "Value":$deviceTokens,
      "Value":$slots, "Value":$places, "Value":$valid, "Value":$table, "Value":$count,
      "int64_t":$experts, "int64_t":$topk, "int64_t":$blockM, CArg<"int64_t", "1">:$pad)>];
  let hasVerifier = 1;
}

def MoeTile_TopkOp : MoeTile_Op<"topk", [MoeTile_SequentialOnly]> {
  let summary = "experts and weights of every token from router logits";
  let description = [{
    For each row t of the logits `[T, E]`: scores s by `scoring`: the softmax of
    the row, the sigmoid of each logit, or the logits themselves
    (`softmax_selected`). The k experts with the largest c = s + bias are chosen,
    largest first; ties go to the lowest expert, a NaN ranks behind every number.
    With several `groups` of E / groups neighbours only the best `topk_groups`
    of them compete; a group's score is its largest c, or the sum of its two
    largest (`top2_sum`).

    ids[t, j] = the j-th choice; weights[t, j] = its s (`softmax_selected`: the
    softmax over the chosen s), times `scale`; with `renormalize` divided by the
    sum of the k of them, unless that is 0. All in f32, sums in any order.

    Constraints:
    * `topk_c1`: E and k are static, k is the extent of ids and of weights, 1 <= k <= E;
    * `topk_c2`: groups divides E, 1 <= topk_groups <= groups, the chosen groups hold k experts;
    * `topk_c3`: bias has E elements; `top2_sum` needs groups of two experts or more;
    * `topk_c4`: it is the only operation of its kernel but for constants, `await_launch` and the return.

    Example:
    ```mlir
    moe_tile.kernel @topk(%l: memref<?x256xf32>, %b: memref<256xf32>, %ids: memref<?x8xi32>, %w: memref<?x8xf32>) {
      moe_tile.topk logits(%l : memref<?x256xf32>) bias(%b : memref<256xf32>)
        to(%ids, %w : memref<?x8xi32>, memref<?x8xf32>)
        scoring(sigmoid) groups 8 of 4 top2_sum renormalize scale 2.5
      moe_tile.return
    }
    ```
  }];
  let arguments = (ins Arg<MemRefRankOf<[AnyFloat], [2]>, "logits", [MemRead]>:$logits,
                       Arg<Optional<MemRefRankOf<[AnyFloat], [1]>>, "bias", [MemRead]>:$bias,
                       Arg<MemRefRankOf<[I32], [2]>, "chosen experts", [MemWrite]>:$ids,
                       Arg<MemRefRankOf<[F32], [2]>, "their weights", [MemWrite]>:$weights,
                       DefaultValuedAttr<MoeTile_ScoringAttr, "Scoring::Softmax">:$scoring,
                       DefaultValuedAttr<I64Attr, "1">:$groups, DefaultValuedAttr<I64Attr, "1">:$topk_groups,
                       UnitAttr:$top2_sum, UnitAttr:$renormalize, DefaultValuedAttr<F64Attr, "1.0">:$scale);
  let assemblyFormat = [{
    `logits` `(` $logits `:` qualified(type($logits)) `)` (`bias` `(` $bias^ `:` qualified(type($bias)) `)`)?
    `to` `(` $ids `,` $weights `:` qualified(type($ids)) `,` qualified(type($weights)) `)`
    (`scoring` `(` custom<Word>($scoring)^ `)`)? (`groups` $groups^ `of` $topk_groups)? (`top2_sum` $top2_sum^)?
    (`renormalize` $renormalize^)? (`scale` $scale^)? attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Number of experts of a row of logits.
    int64_t getExperts() { return ::llvm::cast<::mlir::MemRefType>(getLogits().getType()).getDimSize(1); }
    /// Number of experts chosen for each token.
    int64_t getK() { return ::llvm::cast<::mlir::MemRefType>(getIds().getType()).getDimSize(1); }
  }];
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILEROUTINGOPS_TD
