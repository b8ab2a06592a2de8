//===- MoeTileExplicitOps.td - Rings, roles, grid hand-over --- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILEEXPLICITOPS_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILEEXPLICITOPS_TD

include "mlir/IR/SymbolInterfaces.td"
include "moec/Dialect/MoeTile/IR/MoeTileOpBase.td"

class MoeTile_ExplicitOp<string opMnemonic, list<Trait> traits = []>
    : MoeTile_Op<opMnemonic, traits # [MoeTile_ExplicitOnly]>;

//===----------------------------------------------------------------------===//
// On-chip memory and teams
//===----------------------------------------------------------------------===//

def MoeTile_RingAllocOp : MoeTile_ExplicitOp<"ring_alloc"> {
  let summary = "static ring of slots";
  let description = "Constraint `ring_alloc_c1`: at the top level of a kernel's body.";
  let results = (outs MoeTile_RingType:$ring);
  let assemblyFormat = "attr-dict `:` qualified(type($ring))";
  let hasVerifier = 1;
}

def MoeTile_BufAllocOp : MoeTile_ExplicitOp<"buf_alloc"> {
  let summary = "static on-chip buffer";
  let description = "Constraint `buf_alloc_c1`: at the top level of a kernel's body, or in a role.";
  let results = (outs MoeTile_BufType:$buffer);
  let assemblyFormat = "attr-dict `:` qualified(type($buffer))";
  let hasVerifier = 1;
}

def MoeTile_RolesOp : MoeTile_ExplicitOp<"roles", [SingleBlock, NoTerminator, HasParent<"KernelOp">]> {
  let summary = "teams that run at the same time";
  let description = [{
    Constraints: `roles_c1`: holds only roles, at least one; `roles_c2`: names are
    unique; `roles_c3`: the sum of threads * regs is at most 65536.
  }];
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

def MoeTile_RoleOp : MoeTile_ExplicitOp<"role", [SingleBlock, NoTerminator, HasParent<"RolesOp">]> {
  let summary = "the program of one team";
  let description = [{
    `threads` per copy, `copies` of the team that divide each tile's work by m or
    n, or take tiles in turn; `regs` registers per thread.

    Constraints: `role_c1`: threads is positive and a multiple of 32, copies are
    positive; `role_c2`: regs is a multiple of 8 in 24..256; `role_c3`: more than
    one copy needs `divide`.

    Example: `moe_tile.role @compute threads(128) copies(2) divide(m) regs(232) { ... }`
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$threads, DefaultValuedAttr<I64Attr, "1">:$copies,
                       OptionalAttr<MoeTile_DivideAttr>:$divide, OptionalAttr<I64Attr>:$regs);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `threads` `(` $threads `)` (`copies` `(` $copies^ `)`)? (`divide` `(` custom<Word>($divide)^ `)`)?
    (`regs` `(` $regs^ `)`)? attr-dict-with-keyword $body
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

def MoeTile_CursorOp : MoeTile_ExplicitOp<"cursor"> {
  let summary = "start position of one side of a ring";
  let description = [{
    Slot 0. Constraint `cursor_c1` (of every cursor value): used exactly once,
    except that `acquire` and the `publish` of the same slot share it, and so do
    `wait` and `release`.
  }];
  let arguments = (ins MoeTile_RingType:$ring);
  let results = (outs MoeTile_CursorType:$cursor);
  let assemblyFormat = "$ring attr-dict `:` qualified(type($ring)) `->` qualified(type($cursor))";
  let hasVerifier = 1;
}

class MoeTile_SlotOp<string opMnemonic> : MoeTile_ExplicitOp<opMnemonic> {
  let arguments = (ins MoeTile_RingType:$ring, MoeTile_CursorType:$cursor);
  let results = (outs Variadic<MoeTile_BufType>:$buffers);
  let assemblyFormat = "$ring `[` $cursor `]` attr-dict `:` qualified(type($ring)) `,` qualified(type($cursor)) `->` qualified(type($buffers))";
  let hasVerifier = 1;
}
class MoeTile_AdvanceOp<string opMnemonic> : MoeTile_ExplicitOp<opMnemonic, [AllTypesMatch<["cursor", "next"]>]> {
  let arguments = (ins MoeTile_RingType:$ring, MoeTile_CursorType:$cursor);
  let results = (outs MoeTile_CursorType:$next);
  let assemblyFormat = "$ring `[` $cursor `]` attr-dict `:` qualified(type($ring)) `,` qualified(type($cursor))";
  let hasVerifier = 1;
}

def MoeTile_AcquireOp : MoeTile_SlotOp<"acquire"> {
  let summary = "waits until the slot is free";
  let description = "Constraints: `slot_c1` (of acquire and wait): one result per buffer of the ring, of its type; `slot_c2` (of all four): producer cursor for acquire and publish, consumer cursor for wait and release.";
}
def MoeTile_PublishOp : MoeTile_AdvanceOp<"publish"> {
  let summary = "the slot is full once all copies since acquire are done";
}
def MoeTile_WaitOp : MoeTile_SlotOp<"wait"> {
  let summary = "waits until the slot is full";
}
def MoeTile_ReleaseOp : MoeTile_AdvanceOp<"release"> {
  let summary = "gives the slot back";
}

//===----------------------------------------------------------------------===//
// Movement
//===----------------------------------------------------------------------===//

def MoeTile_CopyOp : MoeTile_ReadOp<"copy", [MoeTile_ExplicitOnly]> {
  let summary = "asynchronous copy of a tile to a buffer";
  let description = [{
    Complete when its slot has been published and waited for, or outside of a
    ring (`lds_direct`) behind `copy_wait` and `group_sync`; in between the
    buffer is undefined. Coordinates as in `load`.

    Constraints: those of TileAccess, and `copy_c1`: `gather` needs elements of at
    least 4 bytes per run (tile columns * element bytes); `copy_c2`: with a
    swizzle the tile's row is a multiple of 16 bytes.

    Example: `moe_tile.copy %W[%e, %n, %k] boxes [0, 256] how(desc) to %b : memref<256x512x7168xf8E4M3FN>, !B`
  }];
  let arguments = !con(accessArguments, (ins Arg<MoeTile_BufType, "target", [MemWrite]>:$buffer));
  let assemblyFormat = accessFormat # "`to` $buffer attr-dict `:` qualified(type($memory)) `,` qualified(type($buffer))";
  let hasVerifier = 1;
}

def MoeTile_CopyWaitOp : MoeTile_ExplicitOp<"copy_wait"> {
  let summary = "waits until copies of the team to buffers outside of rings have arrived";
  let description = [{
    Each thread waits for its own; all see them behind the next `group_sync`.
    Example: `moe_tile.copy_wait`
  }];
  let assemblyFormat = "attr-dict";
}

def MoeTile_FetchOp : MoeTile_ReadOp<"fetch", [MoeTile_ExplicitOnly]> {
  let summary = "global memory to staging registers";
  let description = "Coordinates as in `load`; constraints those of TileAccess.";
  let results = (outs MoeTile_StagedType:$result);
  let arguments = accessArguments;
  let assemblyFormat = accessFormat # "attr-dict `:` qualified(type($memory)) `->` qualified(type($result))";
}

def MoeTile_DepositOp : MoeTile_ExplicitOp<"deposit"> {
  let summary = "staged data or fragments to a buffer";
  let description = [{
    Several values stand side by side along n. Visible to the team or block after
    the next `group_sync`.

    Constraint `deposit_c1`: rows and element types agree, the columns add up.
  }];
  let arguments = (ins Variadic<AnyTypeOf<[MoeTile_FragType, MoeTile_StagedType]>>:$values,
                       Arg<MoeTile_BufType, "target", [MemWrite]>:$buffer);
  let assemblyFormat = "$values `to` $buffer attr-dict `:` qualified(type($values)) `to` qualified(type($buffer))";
  let hasVerifier = 1;
}

def MoeTile_GroupSyncOp : MoeTile_ExplicitOp<"group_sync"> {
  let summary = "orders on-chip accesses of a team or of the block";
  let description = [{
    `proxy`: also towards copies by descriptor. In roles, `block` is met by every role.
    Example: `moe_tile.group_sync team proxy`
  }];
  let arguments = (ins MoeTile_ScopeAttr:$scope, UnitAttr:$proxy);
  let assemblyFormat = "custom<Word>($scope) (`proxy` $proxy^)? attr-dict";
}

def MoeTile_MmaWaitOp : MoeTile_ExplicitOp<"mma_wait"> {
  let summary = "waits until at most `pending` mma are in flight";
  let arguments = (ins I64Attr:$pending);
  let assemblyFormat = "$pending attr-dict";
}

def MoeTile_StoreWaitOp : MoeTile_ExplicitOp<"store_wait"> {
  let summary = "waits until asynchronous stores of the team have read their buffers";
  let description = [{
    A store of a buffer with `how(bulk)` reads the buffer some time later. After
    this op the whole team may write the buffers again. `complete`: the stores
    have written memory, too (before the end of a role).
    Example: `moe_tile.store_wait` or `moe_tile.store_wait complete`
  }];
  let arguments = (ins UnitAttr:$complete);
  let assemblyFormat = "(`complete` $complete^)? attr-dict";
}

//===----------------------------------------------------------------------===//
// Across the grid
//===----------------------------------------------------------------------===//

def MoeTile_SignalOp : MoeTile_ExplicitOp<"signal"> {
  let summary = "adds one to a counter after all earlier writes of the team";
  let description = "Constraint `signal_c1`: the counters are a memref of rank 1 of i32.";
  let arguments = (ins MemRefRankOf<[I32], [1]>:$counters, MoeTile_AnyIndex:$index);
  let assemblyFormat = "$counters `[` custom<IndexOperand>($index, type($index)) `]` attr-dict `:` qualified(type($counters))";
}

def MoeTile_AwaitOp : MoeTile_ExplicitOp<"await"> {
  let summary = "waits until a counter has reached a value";
  let description = [{
    Writes before the counted signals are visible afterwards. Progress rule: the
    awaited entry stands earlier in the same list, or the grid is resident.
  }];
  let arguments = (ins MemRefRankOf<[I32], [1]>:$counters, MoeTile_AnyIndex:$index, I32:$value);
  let assemblyFormat = [{
    $counters `[` custom<IndexOperand>($index, type($index)) `]` `ge` $value attr-dict `:` qualified(type($counters))
  }];
}

def MoeTile_PartialPutOp : MoeTile_ExplicitOp<"partial_put"> {
  let summary = "stores a partial sum";
  let description = "Constraint `partial_c1` (of put and take): the workspace is `memref<?xMxNxT>` of the fragment's shape.";
  let arguments = (ins MoeTile_FragType:$value, Arg<MemRefRankOf<[AnyFloat], [3]>, "", [MemWrite]>:$workspace,
                       MoeTile_AnyIndex:$index);
  let assemblyFormat = "$value `to` $workspace `[` custom<IndexOperand>($index, type($index)) `]` attr-dict `:` qualified(type($value)) `,` qualified(type($workspace))";
  let hasVerifier = 1;
}

def MoeTile_PartialTakeOp : MoeTile_ExplicitOp<"partial_take"> {
  let summary = "sum of stored partial sums, in order";
  let description = "Adds workspace[index], workspace[index + 1], ... `parts` of them, in this order.";
  let arguments = (ins Arg<MemRefRankOf<[AnyFloat], [3]>, "", [MemRead]>:$workspace, MoeTile_AnyIndex:$index,
                       MoeTile_AnyIndex:$parts);
  let results = (outs MoeTile_FragType:$result);
  let assemblyFormat = [{
    $workspace `[` custom<IndexOperand>($index, type($index)) `]` `parts` `(` custom<IndexOperand>($parts, type($parts)) `)`
    attr-dict `:` qualified(type($workspace)) `->` qualified(type($result))
  }];
  let hasVerifier = 1;
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILEEXPLICITOPS_TD
