//===- TileInterpreter.h - Executes the tile program ------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The first back end of moe_tile: kernels and plans of both forms run on host
// data. Roles run as coroutines under a random schedule; every ring slot is
// poisoned when it is given back.
//
// Rounding: f32 arithmetic rounds after every operation; a matrix product adds
// the k of one slot in f64 and rounds once to the accumulator; math functions
// are computed in f64 and rounded once. Narrower types round once from f64.
// With `wide`, f32 keeps f64 precision and only narrower types round.
//
// An element may be undefined (a fresh workspace, a free slot). Undefined
// values propagate through arithmetic; used as an index, a bound or a condition
// they are an error.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_REFERENCE_TILEINTERPRETER_H
#define MOEC_REFERENCE_TILEINTERPRETER_H

#include "mlir/IR/BuiltinOps.h"
#include <memory>
#include <vector>

namespace mlir::moe::tile {

/// One element or scalar: `f` for float types, `i` (sign-extended; i1 is 0 or
/// 1) for integers and index.
struct HostScalar {
  union {
    double f;
    int64_t i;
  };
  bool undefined = false;

  HostScalar() : i(0) {}
  static HostScalar ofFloat(double value) {
    HostScalar s;
    s.f = value;
    return s;
  }
  static HostScalar ofInt(int64_t value) {
    HostScalar s;
    s.i = value;
    return s;
  }
  static HostScalar ofUndefined() {
    HostScalar s;
    s.undefined = true;
    return s;
  }
};

/// A dense row-major global buffer.
struct HostBuffer {
  Type element;
  SmallVector<int64_t> shape;
  std::vector<HostScalar> data;
};

/// An argument of a kernel or plan: a buffer for a memref; a scalar; for a tile
/// list a buffer of records (4 or 8 columns) or of row blocks (3 or 4 columns,
/// then also `columns` and `blockN`), all of whose rows are entries.
struct TileArgument {
  std::shared_ptr<HostBuffer> buffer;
  HostScalar scalar;
  int64_t columns = 0, blockN = 0;
};

struct TileInterpreterOptions {
  /// Chooses the schedule of the roles and the time of asynchronous copies.
  uint64_t seed = 1;
  /// Blocks of the grid, for explicit kernels; sequential ones run on one.
  unsigned workers = 1;
  /// f32 arithmetic without rounding.
  bool wide = false;
};

/// Runs the kernel or plan `name` of `module`; buffers are changed in place.
/// Every error (a deadlock, a read of an unpublished slot, an argument that
/// does not fit) is emitted as a diagnostic at the operation concerned.
LogicalResult interpretTileProgram(ModuleOp module, StringRef name,
                                   ArrayRef<TileArgument> arguments,
                                   const TileInterpreterOptions &options = {});

} // namespace mlir::moe::tile

#endif // MOEC_REFERENCE_TILEINTERPRETER_H
