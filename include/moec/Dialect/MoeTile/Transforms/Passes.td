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
