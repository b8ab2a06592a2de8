//===- MoeTypes.td - Types of the moe dialect -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOE_IR_MOETYPES_TD
#define MOEC_DIALECT_MOE_IR_MOETYPES_TD

include "mlir/IR/AttrTypeBase.td"
include "moec/Dialect/Moe/IR/MoeDialect.td"

def Moe_RoutingType : TypeDef<Moe_Dialect, "Routing"> {
  let mnemonic = "routing";
  let summary = "which slot goes to which local expert, and in which order";
  let description = [{
    The result of `moe.align`. One value carries the sorted slots, the offsets
    of the experts, the block table and the padded total, so that two GEMMs
    share an alignment by def-use. `experts` is the number of experts on this
    rank, `topk` the number of slots per token, `block_m` the row count to which
    every expert's slots are padded in the layout `expert_sorted_padded`.

    With `c[e]` the number of slots of expert `e`, in ascending flat index:
    * `expert_sorted`: expert `e` owns rows `off[e] .. off[e] + c[e]`,
      `off[e] = c[0] + ... + c[e-1]`;
    * `expert_sorted_padded`: the same with every `c[e]` rounded up to a
      multiple of `block_m`; pads, and all positions behind the last expert's,
      hold the value `T * k`;
    * the block table names the expert of every `block_m` rows, -1 behind the
      last used block, `ceil(capacity / block_m)` entries in all;
    * capacity in slots: `T * k + min(T * k, experts) * (block_m - 1)`.

    Example: `!moe.routing<experts = 128, topk = 8, block_m = 64>`
  }];
  let parameters = (ins "int64_t":$experts, "int64_t":$topk,
                        DefaultValuedParameter<"int64_t", "1">:$blockM);
  let assemblyFormat = [{
    `<` `experts` `=` $experts `,` `topk` `=` $topk
    (`,` `block_m` `=` $blockM^)? `>`
  }];
  let genVerifyDecl = 1;
}

#endif // MOEC_DIALECT_MOE_IR_MOETYPES_TD
