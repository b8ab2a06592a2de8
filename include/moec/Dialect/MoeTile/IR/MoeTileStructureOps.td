//===- MoeTileStructureOps.td - Kernels, plans, loops ---------- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILESTRUCTUREOPS_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILESTRUCTUREOPS_TD

include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "moec/Dialect/MoeTile/IR/MoeTileOpBase.td"

class MoeTile_FuncOp<string opMnemonic, list<Trait> traits>
    : MoeTile_Op<opMnemonic, traits # [FunctionOpInterface, IsolatedFromAbove]> {
  code functionDeclaration = [{
    /// FunctionOpInterface.
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    /// FunctionOpInterface.
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    /// CallableOpInterface.
    ::mlir::Region *getCallableRegion() { return &getBody(); }
  }];
}

def MoeTile_KernelOp : MoeTile_FuncOp<"kernel", []> {
  let summary = "one launch over a grid";
  let description = [{
    Arguments are memrefs (global memory), scalars and tile lists; there are no
    results. The body may also hold arith, math, scf and memref operations (the
    align and combine kernels are made of them). `form` is `seq` if absent.
    A memref argument may carry `moe_tile.max_sizes = array<i64: 4096, 2048>`,
    upper bounds of its extents.

    Constraints:
    * `kernel_c1`: no results; each argument is a memref, a scalar (index, integer, float) or a tile list;
    * `kernel_c2`: a `seq` kernel has no operation of the explicit form and the other way round;
    * `kernel_c3`: `exec.threads` is the sum of the threads of all roles, if there are roles;
    * `kernel_c4`: on-chip memory is at most the limit of `smem_limit` bytes, if given;
    * `kernel_c5`: at most one `roles`, at the top level of the body;
    * `kernel_c6`: `moe_tile.max_sizes` has one positive bound per dimension, none below a static extent.

    Example:
    ```mlir
    moe_tile.kernel @scale(%x: memref<?x64xf32>, %n: index) attributes {form = #moe_tile.form<seq>} {
      %c0 = arith.constant 0 : index
      %t = moe_tile.load %x[%c0, %c0] : memref<?x64xf32> -> !moe_tile.frag<16x64xf32>
      moe_tile.store %t to %x[%c0, %c0] limit(%n) : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
      moe_tile.return
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs,
                       OptionalAttr<MoeTile_FormAttr>:$form, OptionalAttr<StrAttr>:$target,
                       OptionalAttr<MoeTile_ExecAttr>:$exec, OptionalAttr<I64Attr>:$smem_limit);
  let regions = (region SizedRegion<1>:$body);
  let builders = [OpBuilder<(ins "StringRef":$name, "FunctionType":$type,
                                 CArg<"Form", "Form::Seq">:$form)>];
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = functionDeclaration # [{
    /// The form, `seq` if the attribute is absent.
    Form getKernelForm() { return getForm().value_or(Form::Seq); }
    /// Bytes of all rings and buffers of an explicit kernel, without barriers.
    int64_t getOnChipBytes();
  }];
}

def MoeTile_PlanOp : MoeTile_FuncOp<"plan", []> {
  let summary = "list of the launches of a layer, with its workspace";
  let description = [{
    Host code: sizes by arith, index, affine and `memref.dim`, workspace slices,
    launches. Loops are allowed only when no launch stands in them.

    Constraints:
    * `plan_c1`: no results; each argument is a memref or a scalar;
    * `plan_c2`: a `launch` stands at the top level of the body.

    Example:
    ```mlir
    moe_tile.kernel @k(%x: memref<?x64xf32>) { moe_tile.return }
    moe_tile.plan @layer(%x: memref<?x64xf32>) {
      %c0 = arith.constant 0 : index
      %t = memref.dim %x, %c0 : memref<?x64xf32>
      %w = moe_tile.workspace(%t) : memref<?x64xf32>
      %k0 = moe_tile.launch @k(%x) : (memref<?x64xf32>) -> !moe_tile.token
      %k1 = moe_tile.launch @k(%w) after(%k0) : (memref<?x64xf32>) -> !moe_tile.token
      moe_tile.return
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let builders = [OpBuilder<(ins "StringRef":$name, "FunctionType":$type)>];
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = functionDeclaration;
}

def MoeTile_ReturnOp : MoeTile_Op<"return", [Terminator, ReturnLike, Pure,
    ParentOneOf<["KernelOp", "PlanOp"]>]> {
  let summary = "end of a kernel or plan";
  let assemblyFormat = "attr-dict";
}

def MoeTile_WorkspaceOp : MoeTile_Op<"workspace", [HasParent<"PlanOp">,
    MemoryEffects<[MemAlloc, MemWrite]>]> {
  let summary = "slice of the layer's workspace";
  let description = [{
    A global buffer that lives for one execution of the plan; its contents are
    undefined at first unless `zero` is present, which makes it all zero bytes.

    Constraints: `workspace_c1`: one size per dynamic dimension; `workspace_c2`:
    alignment is a power of two.
  }];
  let arguments = (ins Variadic<Index>:$sizes, OptionalAttr<I64Attr>:$alignment, UnitAttr:$zero);
  let results = (outs AnyMemRef:$memory);
  let assemblyFormat = "`(` $sizes `)` (`align` $alignment^)? (`zero` $zero^)? attr-dict `:` qualified(type($memory))";
  let hasVerifier = 1;
}

def MoeTile_LaunchOp : MoeTile_Op<"launch", [HasParent<"PlanOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>, AttrSizedOperandSegments]> {
  let summary = "launches a kernel once";
  let description = [{
    Runs after the launches in `after`; launches without such an order also run
    in the order written. `pdl`: the kernel may start before the earlier ones
    have ended and waits itself by `moe_tile.await_launch`.

    Constraints:
    * `launch_c1`: the callee is a `moe_tile.kernel` of the same module, or the function that a target conversion made of one;
    * `launch_c2`: argument types equal those of the kernel;
    * `launch_c3`: `pdl` only if the kernel has a `moe_tile.await_launch`.
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyType>:$arguments,
                       Variadic<MoeTile_TokenType>:$after, UnitAttr:$pdl);
  let results = (outs MoeTile_TokenType:$token);
  let assemblyFormat = [{
    $callee `(` $arguments `)` (`after` `(` $after^ `)`)? (`pdl` $pdl^)? attr-dict
    `:` functional-type($arguments, $token)
  }];
}

def MoeTile_AwaitLaunchOp : MoeTile_Op<"await_launch", [ParentOneOf<["KernelOp", "RoleOp"]>]> {
  let summary = "waits for the end of the earlier launches";
  let assemblyFormat = "attr-dict";
}

//===----------------------------------------------------------------------===//
// Tile lists
//===----------------------------------------------------------------------===//

def MoeTile_RecordListOp : MoeTile_Op<"record_list", [Pure]> {
  let summary = "tile list whose entries are stored";
  let description = [{
    Entry i is row i of `table`: expert, row0, rows, n0 (4 columns), or these and
    k0, k1, part, parts (8 columns). The first `count` rows are entries.

    Constraint `record_list_c1`: the table is `memref<?x4xi32>` or `memref<?x8xi32>` (any extent of rows).
  }];
  let arguments = (ins MemRefOf<[I32]>:$table, MoeTile_AnyIndex:$count);
  let results = (outs MoeTile_TilesType:$list);
  let builders = [OpBuilder<(ins "Value":$table, "Value":$count)>];
  let assemblyFormat = [{
    $table `count` `(` custom<IndexOperand>($count, type($count)) `)` attr-dict
    `:` qualified(type($table)) `->` qualified(type($list))
  }];
  let hasVerifier = 1;
}

def MoeTile_BlockListOp : MoeTile_Op<"block_list", [Pure]> {
  let summary = "tile list of row blocks times column blocks";
  let description = [{
    Row b < `count` of `table` is a row block: expert, row0, rows (a fourth column
    says where the block stands in the run of its expert, see `align`; it may
    decide the order in which entries are taken, never what they are). Each has
    ceil(columns / block_n) entries; entry j of block b has n0 = j * block_n.

    Constraints: `block_list_c1`: the table is `memref<?x3xi32>` or
    `memref<?x4xi32>`; `block_list_c2`: columns and block_n are positive.
  }];
  let arguments = (ins MemRefOf<[I32]>:$table, MoeTile_AnyIndex:$count,
                       I64Attr:$columns, I64Attr:$block_n);
  let results = (outs MoeTile_TilesType:$list);
  let builders = [OpBuilder<(ins "Value":$table, "Value":$count, "int64_t":$columns, "int64_t":$blockN)>];
  let assemblyFormat = [{
    $table `count` `(` custom<IndexOperand>($count, type($count)) `)` `columns` $columns `by` $block_n
    attr-dict `:` qualified(type($table)) `->` qualified(type($list))
  }];
  let hasVerifier = 1;
}

def MoeTile_DenseListOp : MoeTile_Op<"dense_list", [Pure]> {
  let summary = "tile list of all tokens for every expert";
  let description = [{
    Every expert has `rows` rows, expert e those from e * rows on, in blocks of
    `block_m`: with B = ceil(rows / block_m) row block b is number b mod B of
    expert b / B, the last of an expert may be short. Each has ceil(columns /
    block_n) entries as in `block_list`. No memory is read: nothing has to be
    sorted before.

    Constraint `dense_list_c1`: experts, block_m, columns and block_n are positive.

    Example:
    ```mlir
    moe_tile.kernel @all(%tokens: index) {
      %l = moe_tile.dense_list rows(%tokens) experts 8 by 64 columns 4096 by 128 : !moe_tile.tiles<blocks>
      moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(expert_major) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
      }
      moe_tile.return
    }
    ```
  }];
  let arguments = (ins MoeTile_AnyIndex:$rows, I64Attr:$experts, I64Attr:$block_m,
                       I64Attr:$columns, I64Attr:$block_n);
  let results = (outs MoeTile_TilesType:$list);
  let builders = [OpBuilder<(ins "Value":$rows, "int64_t":$experts, "int64_t":$blockM,
                                 "int64_t":$columns, "int64_t":$blockN)>];
  let assemblyFormat = [{
    `rows` `(` custom<IndexOperand>($rows, type($rows)) `)` `experts` $experts `by` $block_m
    `columns` $columns `by` $block_n attr-dict `:` qualified(type($list))
  }];
  let hasVerifier = 1;
}

/// What says which slot goes to which expert, and its text.
class MoeTile_SlotOperands {
  dag ids = (ins Arg<MemRefRankOf<[I32], [2]>, "ids", [MemRead]>:$ids,
                 Arg<Optional<MemRefRankOf<[I32], [1]>>, "expert map", [MemRead]>:$expert_map,
                 Arg<Optional<MemRefRankOf<[I32], [1]>>, "token count", [MemRead]>:$device_tokens,
                 I64Attr:$experts);
  string format = [{
    `ids` `(` $ids `:` qualified(type($ids)) `)` (`map` `(` $expert_map^ `:` qualified(type($expert_map)) `)`)?
    (`device_tokens` `(` $device_tokens^ `:` qualified(type($device_tokens)) `)`)? `experts` $experts
  }];
}

def MoeTile_SlotListOp : MoeTile_Op<"slot_list", [AttrSizedOperandSegments]> {
  let summary = "tile list with one row block per slot";
  let description = [{
    The list of few slots, which nobody sorts. Row block s of the
    tokens * topk slots is the row s alone, of the expert that `align` gives slot
    s = t * topk + j from ids[t, j], `expert_map` and `device_tokens`. Columns
    and orders as of `block_list`; every block is a run of its own. A tile of an
    absent slot has expert 0 and no rows: whatever only serves its rows may be
    left out. Two slots of one expert read its weights twice.

    Constraints: `slot_list_c1`: experts, columns and block_n are positive;
    `slot_list_c2`: ids has a static number of columns, device_tokens one element.

    Example: `%l = moe_tile.slot_list ids(%ids : memref<?x8xi32>) experts 128 columns 768 by 64 -> !moe_tile.tiles<blocks>`
  }];
  defvar slots = MoeTile_SlotOperands<>;
  let arguments = !con(slots.ids, (ins I64Attr:$columns, I64Attr:$block_n));
  let results = (outs MoeTile_TilesType:$list);
  let builders = [OpBuilder<(ins "Value":$ids, "Value":$expertMap, "Value":$deviceTokens, "int64_t":$experts,
                                 "int64_t":$columns, "int64_t":$blockN)>];
  let assemblyFormat = slots.format # [{
    `columns` $columns `by` $block_n attr-dict `->` qualified(type($list))
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Slots of one token.
    int64_t getTopk() { return ::llvm::cast<::mlir::MemRefType>(getIds().getType()).getDimSize(1); }
  }];
}

def MoeTile_SlotRowOp : MoeTile_Op<"slot_row", [AttrSizedOperandSegments]> {
  let summary = "the row of a slot of a slot list";
  let description = [{
    One row: the slot itself, or -1 if it is absent (see `slot_list`) or beyond
    the ids.

    Constraint `slot_row_c1`: one row, experts are positive, ids has a static
    number of columns, device_tokens one element.

    Example: `%r = moe_tile.slot_row %s of ids(%ids : memref<?x8xi32>) experts 128 -> !moe_tile.rows<1>`
  }];
  defvar slots = MoeTile_SlotOperands<>;
  let arguments = !con((ins MoeTile_AnyIndex:$slot), slots.ids);
  let results = (outs MoeTile_RowsType:$result);
  let builders = [OpBuilder<(ins "Value":$slot, "Value":$ids, "Value":$expertMap, "Value":$deviceTokens,
                                 "int64_t":$experts)>];
  let assemblyFormat = "custom<IndexOperand>($slot, type($slot)) `of` " # slots.format # " attr-dict `->` qualified(type($result))";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Slots of one token.
    int64_t getTopk() { return ::llvm::cast<::mlir::MemRefType>(getIds().getType()).getDimSize(1); }
  }];
}

def MoeTile_SumLastOp : MoeTile_Op<"sum_last", [AttrSizedOperandSegments]> {
  let summary = "the last tile of a token's columns sums their rows";
  let description = [{
    Stands behind the store of a tile of a slot list whose row `row` is slot
    t * topk + j. Each team of the role adds one to
    counters[t, n0 / by]. Whoever makes it topk * teams sees all rows of the token
    and writes, for the columns c of n0 .. n0 + by that exist,
    out[t, c] = rows[t * topk, c] + ... + rows[t * topk + topk - 1, c], in this
    order, from 0, in f32, rounded to the elements of `out`; absent slots are
    left out. So the result does not depend on who is last. Counters are zero at
    first; an earlier launch or the workspace clears them.

    Constraints:
    * `sum_last_c1`: by, teams and experts are positive, ids has a static number of columns, device_tokens one element;
    * `sum_last_c2`: rows and out are floats of f32, bf16 or f16 of as many columns;
    * `sum_last_c3`: it stands in `for_tiles` over a slot list, last but for the yield.

    Example:
    ```mlir
    moe_tile.sum_last %d[%row, %n0] by 64 to %out counters(%n) ids(%ids : memref<?x8xi32>) experts 128
      : memref<?x2048xf32> to memref<?x2048xbf16>, memref<?x32xi32>
    ```
  }];
  defvar slots = MoeTile_SlotOperands<>;
  let arguments = !con((ins Arg<MemRefRankOf<[AnyFloat], [2]>, "rows", [MemRead]>:$rows,
                            MoeTile_AnyIndex:$row, MoeTile_AnyIndex:$n0,
                            Arg<MemRefRankOf<[AnyFloat], [2]>, "sums", [MemWrite]>:$out,
                            Arg<MemRefRankOf<[I32], [2]>, "arrivals", [MemRead, MemWrite]>:$counters),
                       slots.ids, (ins I64Attr:$by, DefaultValuedAttr<I64Attr, "1">:$teams));
  let builders = [OpBuilder<(ins "Value":$rows, "Value":$row, "Value":$n0, "Value":$out, "Value":$counters,
                                 "Value":$ids, "Value":$expertMap, "Value":$deviceTokens, "int64_t":$experts,
                                 "int64_t":$by)>];
  let assemblyFormat = [{
    $rows `[` custom<IndexOperand>($row, type($row)) `,` custom<IndexOperand>($n0, type($n0)) `]` `by` $by
    `to` $out `counters` `(` $counters `)`
  }] # slots.format # [{
    (`teams` $teams^)? attr-dict `:` qualified(type($rows)) `to` qualified(type($out)) `,` qualified(type($counters))
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Slots of one token.
    int64_t getTopk() { return ::llvm::cast<::mlir::MemRefType>(getIds().getType()).getDimSize(1); }
  }];
}

def MoeTile_ClearOp : MoeTile_Op<"clear", [HasParent<"KernelOp">]> {
  let summary = "zeroes a memory";
  let description = [{
    Once, shared by the workers, behind `await_launch`; nothing else of the kernel
    uses the memory.

    Example: `moe_tile.clear %n : memref<?x32xi32>`
  }];
  let arguments = (ins Arg<MemRefOf<[I32, F32]>, "memory", [MemWrite]>:$memory);
  let assemblyFormat = "$memory attr-dict `:` qualified(type($memory))";
}

def MoeTile_CoordsOp : MoeTile_Op<"coords", [Pure, AllTypesMatch<["expert", "row0", "rows", "n0"]>]> {
  let summary = "expert, first row, valid rows and first column of a tile";
  let description = [{
    Example: `%e, %row0, %rows, %n0 = moe_tile.coords %t : index`. The builders
    use index; narrowing to i32 is the business of `moe-tile-prove-index-width`.
  }];
  let arguments = (ins MoeTile_TileHandleType:$tile);
  let results = (outs MoeTile_AnyIndex:$expert, MoeTile_AnyIndex:$row0,
                      MoeTile_AnyIndex:$rows, MoeTile_AnyIndex:$n0);
  let builders = [OpBuilder<(ins "Value":$tile)>];
  let assemblyFormat = "$tile attr-dict `:` qualified(type($expert))";
}

def MoeTile_KRangeOp : MoeTile_Op<"k_range", [Pure, AllTypesMatch<["k0", "k1", "part", "parts"]>]> {
  let summary = "reduction range of a tile of a split list";
  let description = [{
    `%k0, %k1, %part, %parts = moe_tile.k_range %t : index`; entries of lists
    without these columns give 0, 0, 0, 1.
  }];
  let arguments = (ins MoeTile_TileHandleType:$tile);
  let results = (outs MoeTile_AnyIndex:$k0, MoeTile_AnyIndex:$k1,
                      MoeTile_AnyIndex:$part, MoeTile_AnyIndex:$parts);
  let builders = [OpBuilder<(ins "Value":$tile)>];
  let assemblyFormat = "$tile attr-dict `:` qualified(type($k0))";
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

def MoeTile_ForTilesOp : MoeTile_Op<"for_tiles", [RecursiveMemoryEffects, SingleBlock,
    DeclareOpInterfaceMethods<RegionBranchOpInterface, ["getEntrySuccessorOperands"]>]> {
  let summary = "runs its body for every entry of a tile list";
  let description = [{
    The entries are distributed over the grid; one worker takes its entries in
    list order. `order`: for a `blocks` list `block_major` (all columns of a row
    block, then the next), `n_major` (all row blocks of a column block) or
    `expert_major`; for a `records` list the stored order, which the word only
    describes. `claim`: `stride` = worker w takes w, w + W, ...; `counter` = next
    free entry.

    `dies`: hardware deals workers to that many dies with a cache each in turn,
    worker w to die w mod D. Entries side by side, which read the same weights or
    rows, then go to one die: die d takes a run of the list in proportion to its
    workers, which take every G-th entry of it, G of them on that die. Every entry
    has one worker for every number of workers and entries, and no worker has more
    entries than without (`shareOfDie` in moec/Target/DieShare.h).

    `expert_major` of a `blocks` list: row blocks that follow each other in the
    table and have the same expert form a run; runs are taken in table order,
    and inside of one column block after column block, each with all row blocks
    of the run (so that workers side by side read the same weights). With P
    column blocks, a run of L row blocks from number b on has the entries
    P * b ... P * (b + L) - 1; entry P * b + j is row block b + j mod L and
    column block j / L.

    Constraints:
    * `for_tiles_c1`: a `blocks` list has any order but `explicit`, a `records` list any but `block_major`;
    * `for_tiles_c2`: carried values are cursors or scalars, of the same types as the yielded ones;
    * `for_tiles_c3`: no carried values in a kernel of form `seq` (entries are independent);
    * `for_tiles_c4`: dies are at least two, and share what is not claimed by a counter.

    Example:
    ```mlir
    moe_tile.kernel @k(%list: !moe_tile.tiles<records>) {
      moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
      }
      moe_tile.return
    }
    ```
  }];
  let arguments = (ins MoeTile_TilesType:$list, Variadic<AnyType>:$inits,
                       MoeTile_OrderAttr:$order, OptionalAttr<MoeTile_ClaimAttr>:$claim,
                       OptionalAttr<I64Attr>:$dies);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$body);
  let builders = [OpBuilder<(ins "Value":$list, "Order":$order, CArg<"ValueRange", "{}">:$inits,
      CArg<"llvm::function_ref<void(OpBuilder &, Location, Value, ValueRange)>", "nullptr">:$bodyBuilder)>];
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let skipDefaultBuilders = 1;
  let extraClassDeclaration = [{
    /// The entry of the current iteration.
    Value getTile() { return getBody().getArgument(0); }
    /// The carried values inside of the body.
    Block::BlockArgListType getCarried() { return getBody().getArguments().drop_front(); }
  }];
}

def MoeTile_KLoopOp : MoeTile_Op<"k_loop", [RecursiveMemoryEffects, MoeTile_SequentialOnly,
    AllTypesMatch<["lower", "upper"]>]> {
  let summary = "reduction loop, born with its cut";
  let description = [{
    For k = lower, lower + step, ... below upper, in this order: `load` makes the
    tiles of one step, `transform` (optional) rewrites them, `compute` folds them
    into the carried values, which start as `init`. k counts elements. The last
    step may be short: its loads read zero beyond the memory's extents.

    Constraints:
    * `k_loop_c1`: step is positive;
    * `k_loop_c2`: every region begins with k, of the type of the bounds; `transform` and `compute` go on with what the region before yields;
    * `k_loop_c3`: carried values are `acc` or `frag`; init, last arguments of `compute`, its yield and the results agree;
    * `k_loop_c4`: a load whose k coordinate has granule g: step divides g and the tile has one granule, or g divides step and the tile has step / g;
    * `k_loop_c5`: `load` holds only loads, prefetches, dequantisation and address arithmetic;
    * `k_loop_c6`: `load` yields buffers, row lists or scalars.

    Example:
    ```mlir
    moe_tile.kernel @gemm(%A: memref<?x256xf32>, %B: memref<128x256xf32>, %D: memref<?x128xf32>) {
      %c0 = arith.constant 0 : index
      %c256 = arith.constant 256 : index
      %z = moe_tile.acc_zero : !moe_tile.acc<16x128xf32>
      %acc = moe_tile.k_loop %c0 to %c256 step 64 init(%z : !moe_tile.acc<16x128xf32>)
        load(%k: index) {
          %a = moe_tile.load %A[%c0, %k] : memref<?x256xf32> -> !moe_tile.buf<16x64xf32>
          %b = moe_tile.load %B[%c0, %k] : memref<128x256xf32> -> !moe_tile.buf<128x64xf32>
          moe_tile.yield %a, %b : !moe_tile.buf<16x64xf32>, !moe_tile.buf<128x64xf32>
        } compute(%k: index, %a: !moe_tile.buf<16x64xf32>, %b: !moe_tile.buf<128x64xf32>, %c: !moe_tile.acc<16x128xf32>) {
          %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf32>, !moe_tile.buf<128x64xf32>, !moe_tile.acc<16x128xf32>
          moe_tile.yield %d : !moe_tile.acc<16x128xf32>
        }
      %f = moe_tile.acc_read %acc : !moe_tile.acc<16x128xf32> -> !moe_tile.frag<16x128xf32>
      moe_tile.store %f to %D[%c0, %c0] : !moe_tile.frag<16x128xf32> to memref<?x128xf32>
      moe_tile.return
    }
    ```
  }];
  let arguments = (ins MoeTile_AnyIndex:$lower, MoeTile_AnyIndex:$upper, I64Attr:$step,
                       Variadic<MoeTile_Carried>:$inits, OptionalAttr<I64Attr>:$stages);
  let results = (outs Variadic<MoeTile_Carried>:$results);
  let regions = (region SizedRegion<1>:$load, MaxSizedRegion<1>:$transform, SizedRegion<1>:$compute);
  let builders = [
    OpBuilder<(ins "Value":$lower, "Value":$upper, "int64_t":$step, "ValueRange":$inits,
      "llvm::function_ref<SmallVector<Value>(OpBuilder &, Location, Value)>":$loadBuilder,
      "llvm::function_ref<SmallVector<Value>(OpBuilder &, Location, Value, ValueRange, ValueRange)>":$computeBuilder,
      CArg<"llvm::function_ref<SmallVector<Value>(OpBuilder &, Location, Value, ValueRange)>", "nullptr">:$transformBuilder)>];
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let skipDefaultBuilders = 1;
  let extraClassDeclaration = [{
    /// Whether there is a transform region.
    bool hasTransform() { return !getTransform().empty(); }
    /// What the load region yields.
    OperandRange getLoaded() { return getLoad().front().getTerminator()->getOperands(); }
    /// What the compute region is given: the tiles of the step.
    Block::BlockArgListType getComputeTiles() {
      return getCompute().getArguments().drop_front().drop_back(getInits().size());
    }
    /// The carried values inside of the compute region.
    Block::BlockArgListType getComputeCarried() {
      return getCompute().getArguments().take_back(getInits().size());
    }
  }];
}

def MoeTile_YieldOp : MoeTile_Op<"yield", [Terminator, ReturnLike, Pure,
    ParentOneOf<["ForTilesOp", "KLoopOp", "MapOp"]>]> {
  let summary = "values of a region";
  let arguments = (ins Variadic<AnyType>:$results);
  let assemblyFormat = "attr-dict ($results^ `:` qualified(type($results)))?";
  let builders = [OpBuilder<(ins), [{ build($_builder, $_state, ValueRange()); }]>];
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILESTRUCTUREOPS_TD
