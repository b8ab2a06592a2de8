//===- Passes.td - Passes on the tile program -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_TRANSFORMS_PASSES_TD
#define MOEC_DIALECT_MOETILE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def MoeTileVerifySync : Pass<"moe-tile-verify-sync", "::mlir::moe::tile::KernelOp"> {
  let summary = "prove the ring protocol of an explicit kernel";
  let description = [{
    Checks, for programs of the shape that specialisation builds (one nest of
    counted loops per role), and changes nothing:

    * `sync_c1`: one cursor per ring and side, used exactly once at each step,
      never dropped while its loop goes on;
    * `sync_c2`: between acquire and publish every buffer of the slot is the
      target of exactly one copy or deposit and is not read; between wait and
      release none is written; no use of a buffer outside;
    * `sync_c3`: the loop nests around both sides of a ring are equal level by
      level: same tile list, order and claim, and bounds that are equal by SSA
      (up to corresponding induction variables and tiles) or as constant trip
      counts; a loop of constant trip 2 equals two copies;
    * `sync_c4`: no product that reads a slot is in flight at its release;
    * `sync_c5`: every await has a signal, and can make progress: the grid is
      resident, or both stand in loops over one list of order `explicit`;
    * `sync_c6`: every role meets the same block-wide group_sync.

    Limits: ring operations under `scf.if` or `scf.while` are rejected; a slot is
    released in the block in which it is waited for, so a product may not stay in
    flight over a step; that the awaited entry stands earlier in the list is the
    list builder's promise. Sequential kernels pass unseen.
  }];
  let statistics = [
    Statistic<"numRings", "num-rings", "Rings proven">,
    Statistic<"numSlots", "num-slots", "Pairs of acquire and publish or wait and release checked">];
}

def MoeTileProveIndexWidth : Pass<"moe-tile-prove-index-width", "::mlir::moe::tile::KernelOp"> {
  let summary = "prove which addresses fit in 32 bits";
  let description = [{
    For every access to global memory (operations with the interface TileAccess,
    and memref.load and memref.store) bounds the last byte it can touch: extents
    are static or bounded by `moe_tile.max_sizes` of the kernel's argument,
    indices by integer range analysis. Where the byte's offset is at most
    2^31 - 1 the address is `width(i32)`, else `width(i64)`; on memref
    operations the attribute is `moe_tile.width`. A width that is present is
    kept; i32 that cannot be proven is an error.

    It is separate from the lowerings because every one of them needs it, and
    because a wrong width is a silent wrong answer.

    Limits: memory with a layout map is taken as row-major over its bounds; an
    extent without a bound makes its accesses i64.
  }];
  let options = [
    Option<"defaultMax", "default-max", "int64_t", "0", "bound of dynamic extents without moe_tile.max_sizes, in elements; 0 = none">,
    Option<"report", "report", "bool", "false", "a remark per kernel with the number of i32 and i64 addresses">];
  let statistics = [
    Statistic<"numI32", "num-i32", "Addresses of 32 bits">,
    Statistic<"numI64", "num-i64", "Addresses of 64 bits">,
    Statistic<"numUnbounded", "num-unbounded", "Addresses of 64 bits for want of a bound">];
}

def MoeTileAssignAtoms : Pass<"moe-tile-assign-atoms", "::mlir::moe::tile::KernelOp"> {
  let summary = "give every accumulator an instruction and every fragment a layout";
  let description = [{
    For each sequential kernel with a `moe.config` (others pass unseen): sets
    `target` of the kernel, the atom of the product and of its accumulator, and
    the digits of every fragment. The instruction is that of the configuration's
    `atom` or, where it is empty, the widest that a team's part of the tile
    takes; `swap` gives the weights to the hardware's M side. Instructions side
    by side are `reg` digits, teams (`compute_groups`, divided by
    `compute_split`) `group` digits.

    Fragments beside the accumulator (operands of an epilogue) take its layout or
    a slice of it; where two layouts meet, or a split has to choose between
    threads, the pass fails and names the digit. Nothing inserts a relayout.

    Fails also for a tile whose accumulators alone cannot fit the registers. One
    that passes may still spill: only the assembler knows.
  }];
  let dependentDialects = ["::mlir::moe::tile::MoeTileDialect"];
  let options = [Option<"target", "target", "std::string", "\"sm_90a\"", "sm_90a">];
  let statistics = [
    Statistic<"numKernels", "num-kernels", "Kernels with atoms">,
    Statistic<"numFragments", "num-fragments", "Fragments with a layout">];
}

def MoeTileAssignCopies : Pass<"moe-tile-assign-copies", "::mlir::moe::tile::KernelOp"> {
  let summary = "choose how each tile of global memory is read and written";
  let description = [{
    Sets `how` on the loads and stores of a kernel with a `moe.config`, obeying
    its fields `a` and `b` (`direct` leaves the choice here). Operands of the
    product: `desc` where rows are consecutive, `gather` where they come from a
    row list. A load of consecutive rows by descriptor reads all rows of its
    tile, also those beyond the limit, whose products nothing stores.

    Fails, with the numbers, where a mechanism is not legal: pitches are static
    and multiples of 16 bytes, boxes have at most 256 rows. That base addresses
    are multiples of 16 bytes is checked by the run time.
  }];
  let statistics = [
    Statistic<"numDesc", "num-desc", "Operands read by descriptor">,
    Statistic<"numGather", "num-gather", "Operands gathered by rows">,
    Statistic<"numVector", "num-vector", "Accesses through registers">];
}

def MoeTileFormRings : Pass<"moe-tile-form-rings", "::mlir::moe::tile::KernelOp"> {
  let summary = "size the ring of operands and choose swizzles";
  let description = [{
    Sets `stages` of the k loop (by the configuration), the swizzle of the loaded
    tiles (the bytes of a row: 128, 64 or 32) and `smem_limit` of the kernel.
    Fails, with the numbers, if slots, staging buffers of the store and barriers
    do not fit.
  }];
  let statistics = [
    Statistic<"numRings", "num-rings", "Rings formed">,
    Statistic<"numBytes", "num-bytes", "Bytes of rings and staging buffers">];
}

def MoeTileSpecialize : Pass<"moe-tile-specialize", "::mlir::moe::tile::KernelOp"> {
  let summary = "turn a sequential GEMM kernel into roles around a ring";
  let description = [{
    A load role that fills the ring and a compute role that empties it, each with
    its own loop over the tiles; what does not depend on the tile stands above
    them. The first k step is peeled: it starts from zero. Tiles are dealt out by
    `claim(stride)`: a counter, by which a CPU balances its cores, would have to
    be broadcast to both roles.

    Store `staged`: the result goes in pieces of 128 bytes per row through two
    buffers in turn, each written with whole rows. Store `bulk`: the whole result
    goes to one buffer whose rows are then copied while the next tile is
    computed. Store `vector`: fragments are
    stored as they lie in registers.

    Needs what `moe-tile-assign-atoms`, `moe-tile-assign-copies` and
    `moe-tile-form-rings` set. Kernels without `moe.config` pass unseen.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect",
                           "::mlir::moe::tile::MoeTileDialect"];
  let statistics = [Statistic<"numKernels", "num-kernels", "Kernels specialised">];
}

def MoeTileFuseLaunches : Pass<"moe-tile-fuse-launches", "ModuleOp"> {
  let summary = "two products of a plan in one kernel";
  let description = [{
    Joins the two kernels with the attribute `moe_tile.one_launch` that a plan
    launches one after the other: explicit kernels with roles `load` and
    `compute`, whose tiles are of a slot list. The kernel has three roles, each
    with the loops of both products:

    * `weights` fetches what is multiplied by, into rings of its own. It waits
      for no tile and, if it reads only arguments of the layer, for no launch;
    * `rows` fetches the rows. Those of the second product it awaits, slot by
      slot: each team of the first one signals every tile behind its stores;
    * `compute` multiplies.

    The grid is resident. Rings share what on-chip memory there is: the second
    one holds a whole tile if it can. A kernel before all others clears the
    counters, also those of `sum_last`, and lets the next launch begin only when
    what was launched before it has ended.

    Fails where it cannot, with the rule and the numbers: `one_launch_products`,
    `_form`, `_direct`, `_teams`, `_registers`, `_store`, `_weights`, `_rows`, `_cluster`,
    `_rings`. Plans without the attribute pass unseen.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::moe::tile::MoeTileDialect"];
  let statistics = [Statistic<"numFused", "num-fused", "Pairs of products that became one kernel">];
}

def MoeTilePipeline : Pass<"moe-tile-pipeline", "::mlir::moe::tile::KernelOp"> {
  let summary = "turn a sequential GEMM kernel into one team that stages operands in registers";
  let description = [{
    For targets without asynchronous copies. All threads fetch the operands of the
    next k step to registers, multiply the step that stands in on-chip memory, and
    deposit what was fetched. With one stage two barriers stand around the
    deposit; with two stages, which take turns, one barrier is behind it. The last
    step has nothing to fetch and stands behind the loop. Scales of a step are
    read to the registers that use them. Packed weights that the load region
    decodes (`b_place = "transform"`) are decoded before their deposit, each
    once; those that the compute region decodes, beside every product.

    With `load_threads` the kernel has two roles in step: one fetches, decodes and
    deposits, the other multiplies. Both meet one block-wide barrier for each step
    of a tile, which is deposited in one of two stages while the step before is
    multiplied in the other, across tiles too; after an odd number of steps one
    barrier more.

    Needs what `moe-tile-assign-atoms`, `moe-tile-assign-copies` and
    `moe-tile-form-rings` set. Kernels without `moe.config` pass unseen.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect",
                           "::mlir::moe::tile::MoeTileDialect"];
  let statistics = [Statistic<"numKernels", "num-kernels", "Kernels pipelined">];
}

def MoeTileInterpret : Pass<"moe-tile-interpret", "ModuleOp"> {
  let summary = "run kernels or plans on generated data and compare them";
  let description = [{
    Executes every function of `functions` by the tile interpreter, each on its
    own copy of the same data, and fails unless all memref arguments end up as
    the first function left them. Explicit kernels run once per schedule. The
    module is not changed.

    The data are described on the arguments of the first function by
    `moe_tile.test`, a dictionary, or an array of them (one per case; a single
    one serves all cases):
    * `shape = array<i64: ...>`: extents where the type has dynamic ones;
    * `init = "normal" | "bits" | "undefined" | "zero" | "iota"`: normal numbers
      times `scale` (default 1) rounded to the element type; random bits
      (integers); nothing written; zeros; 0, 1, 2 ...;
    * `values = dense<...>`: the elements themselves (integers or floats);
    * `value = 3`: of a scalar argument;
    * `columns`, `block_n`: of a tile list of form blocks.

    Limits: memory is 16 bytes per element; plans start with the same rules as
    kernels, their workspaces are undefined at first.
  }];
  let options = [
    ListOption<"functions", "functions", "std::string", "kernels or plans; the first is the reference">,
    Option<"schedules", "schedules", "unsigned", "5", "random schedules of each explicit kernel">,
    Option<"seed", "seed", "uint64_t", "1", "seed of the data and of the first schedule">,
    Option<"workers", "workers", "unsigned", "1", "blocks of the grid of explicit kernels">,
    Option<"tolerance", "tolerance", "double", "0.0", "largest difference relative to the largest element; 0 = equal bits">,
    Option<"wide", "wide", "bool", "false", "f32 arithmetic without rounding">,
    Option<"print", "print", "bool", "false", "print the memref arguments of the first function at the end">];
  let statistics = [
    Statistic<"numRuns", "num-runs", "Executions">,
    Statistic<"numElements", "num-elements", "Elements compared">];
}

#endif // MOEC_DIALECT_MOETILE_TRANSFORMS_PASSES_TD
