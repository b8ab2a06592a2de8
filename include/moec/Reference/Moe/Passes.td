//===- Passes.td - Passes that execute moe -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_REFERENCE_MOE_PASSES_TD
#define MOEC_REFERENCE_MOE_PASSES_TD

include "mlir/Pass/PassBase.td"

def MoeInterpretPass : Pass<"moe-interpret", "::mlir::ModuleOp"> {
  let summary = "Execute functions of moe ops with the reference interpreter";
  let description = [{
    Runs functions on seeded random arguments and prints their results to
    standard output (`-o /dev/null` drops the IR), or checks that functions
    give equal results. It is separate from every lowering, so that a rewrite
    can be tested by what it computes: keep the function before the rewrite
    under another name, apply the rewrite, compare.

    * `functions`: names of the functions to run; default: all with a body.
    * `compare=f,g,...`: every function is run on the arguments made for the
      first, and each result must have `rel_err` (Frobenius) <= `tolerance`
      against the result of the first; NaN must stand at the same places. Fails
      otherwise, naming result, error and place. The same happens to
      `functions` if a tolerance is given.

    Arguments are made from `seed` and the argument's number: what they hold
    follows from their uses (expert ids, router weights, codes, scales, ...)
    or from an argument attribute `moe.init`, see RandomInputs.h. Dynamic
    extents become the token count. With `inputs=DIR` argument `i` of `f` is
    read from `DIR/f.argI.npy` instead; `dump=DIR` writes arguments and
    results to `DIR/f.argI.npy` and `DIR/f.resI.npy`, and `expect=DIR` reads the
    arguments from there and compares the results with those written, so that
    passes between the two are checked by execution. These three take one token
    count.

    Limits: functions of one block, on tensors and scalars, without calls.

    Example:
    ```
    moe-opt in.mlir --moe-interpret="compare=before,after seed=3 tokens=0,1,7 tolerance=1e-6" -o /dev/null
    moe-opt in.mlir --moe-interpret="dump=/tmp/d" --moe-decompose-layer --moe-interpret="expect=/tmp/d tolerance=1e-6"
    ```
  }];
  let options = [
    ListOption<"functions", "functions", "std::string",
               "functions to run (default: all that have a body)">,
    ListOption<"compare", "compare", "std::string",
               "functions that must give equal results">,
    Option<"seed", "seed", "uint64_t", "0", "seed of the random arguments">,
    ListOption<"tokens", "tokens", "int64_t",
               "token counts to run with (default: 4)">,
    Option<"ids", "ids", "std::string", "\"mixed\"",
           "how expert ids are drawn: mixed, unique, skewed, one or none">,
    Option<"tolerance", "tolerance", "double", "-1.0",
           "largest rel_err of a comparison (default: 0)">,
    Option<"accumulate", "accumulate", "std::string", "\"f64\"",
           "type of sums and epilogues: f64 or f32">,
    Option<"threads", "threads", "unsigned", "0",
           "threads; 0: as many as the hardware has">,
    ListOption<"rows", "rows", "int64_t",
               "token rows to compute (default: all)">,
    Option<"limit", "limit", "int64_t", "64",
           "elements printed per result, the rest is counted">,
    Option<"inputs", "inputs", "std::string", "\"\"",
           "directory of .npy files to read arguments from">,
    Option<"dump", "dump", "std::string", "\"\"",
           "directory to which arguments and results are written">,
    Option<"expect", "expect", "std::string", "\"\"",
           "directory of an earlier dump to compare with">,
  ];
  let statistics = [
    Statistic<"numExecuted", "num-executed", "functions executed">,
    Statistic<"numCompared", "num-compared", "results compared">,
  ];
}

#endif // MOEC_REFERENCE_MOE_PASSES_TD
