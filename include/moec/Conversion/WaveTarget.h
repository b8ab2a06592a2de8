//===- WaveTarget.h - What row kernels ask of a GPU -------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels without matrix products (align, top-k, rows) are the same on every
// GPU but for some ops: numbers of threads, exchanges between the lanes of a
// wave, barriers, floats of eight bits. This interface is that difference; a
// target implements it and calls convertPlainKernels.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_CONVERSION_WAVETARGET_H
#define MOEC_CONVERSION_WAVETARGET_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::moe::rows {

/// Numbers of a target.
struct WaveFacts {
  /// As diagnostics call it.
  StringRef name;
  /// Lanes of a wave (a warp), 32 or 64.
  int64_t wave = 32;
  /// Threads of a block whose threads share nothing.
  int64_t blockThreads = 128;
  /// Bytes of shared memory that a block can have.
  int64_t sharedBytes = 232448;
  /// Blocks that can read each other's shared memory, 1 = each is alone.
  int64_t cluster = 1;
  /// Blocks that share the writing of a long list of slots. Each cluster of
  /// them counts the whole list.
  int64_t writers = 16;
};

/// The ops of a target. Every function makes ops at the insertion point. Ops
/// that exchange values are reached by all lanes of a wave together.
class WaveTarget {
public:
  explicit WaveTarget(const WaveFacts &facts) : facts(facts) {}
  virtual ~WaveTarget();

  const WaveFacts facts;

  //===--- Threads -----------------------------------------------------------//
  /// Number of the thread in its block, and of the block, i32.
  virtual Value thread(OpBuilder &b, Location loc) const = 0;
  virtual Value block(OpBuilder &b, Location loc) const = 0;
  /// How many blocks the launch has.
  virtual Value blocks(OpBuilder &b, Location loc) const = 0;
  /// Joins all threads of a block; orders their accesses to shared memory.
  virtual void barrier(OpBuilder &b, Location loc) const = 0;
  /// Orders the accesses to shared memory of the lanes of a wave.
  virtual void waveFence(OpBuilder &b, Location loc) const = 0;

  //===--- Lanes -------------------------------------------------------------//
  // Values are i32 or f32.

  /// `v`, which all lanes have in common, in a form in which this is known.
  virtual Value uniform(OpBuilder &b, Location loc, Value v) const = 0;
  /// `v` of lane `lane`, which is the same number in all lanes.
  virtual Value broadcast(OpBuilder &b, Location loc, Value v,
                          Value lane) const = 0;
  /// `v` of lane `lane`, which every lane chooses for itself.
  virtual Value shuffle(OpBuilder &b, Location loc, Value v,
                        Value lane) const = 0;
  /// Combines `v` of `lanes` neighbours (a power of two up to the wave) by a
  /// commutative and associative function; each of them gets the result.
  virtual Value combine(OpBuilder &b, Location loc, Value v, int64_t lanes,
                        function_ref<Value(Value, Value)> f) const = 0;
  /// Largest or smallest signed `v` (i32) of the wave.
  virtual Value largest(OpBuilder &b, Location loc, Value v) const = 0;
  virtual Value smallest(OpBuilder &b, Location loc, Value v) const = 0;
  /// Sum of `v` (i32) of all lanes up to this one, whose number is `lane`.
  virtual Value inclusiveSum(OpBuilder &b, Location loc, Value v,
                             Value lane) const = 0;
  /// A bit for each lane: whether `condition` holds there. An integer of as
  /// many bits as the wave has lanes.
  virtual Value ballot(OpBuilder &b, Location loc, Value condition) const = 0;

  //===--- Shared memory -----------------------------------------------------//
  /// Start of the block's shared memory, !llvm.ptr<3>, aligned to 16 bytes. Its
  /// size is known at the end.
  virtual Value sharedMemory(OpBuilder &b, Location loc,
                             LLVM::LLVMFuncOp func) const = 0;
  // Only asked of a target with clusters.

  /// Joins the blocks of a cluster: the arrival, and the wait for all others'.
  virtual void clusterArrive(OpBuilder &b, Location loc) const {}
  virtual void clusterWait(OpBuilder &b, Location loc) const {}
  /// The place that corresponds to `pointer` in block `rank` of the cluster.
  virtual Value inCluster(OpBuilder &b, Location loc, Value pointer,
                          Value rank) const {
    return pointer;
  }

  //===--- Numbers -----------------------------------------------------------//
  /// f32, or a vector of them, to bytes of an eight-bit float, saturating; to
  /// f8E8M0FNU only positive powers of two.
  virtual Value truncateToSmallFloat(OpBuilder &b, Location loc, Value v,
                                     Type type) const = 0;
  /// Bytes of eight-bit floats of `type` to f32.
  virtual Value extendSmallFloat(OpBuilder &b, Location loc, Value v,
                                 Type type) const = 0;

  //===--- The launch --------------------------------------------------------//
  /// Whether a launch can begin before the end of the one before it.
  virtual bool startsEarly() const { return false; }
  /// Lets the next launch begin, as soon as all blocks have come so far, and
  /// waits for the end of the earlier ones; only asked of a target that starts
  /// early.
  virtual void letNextLaunchBegin(OpBuilder &b, Location loc) const {}
  virtual void awaitEarlierLaunches(OpBuilder &b, Location loc) const {}
  /// Makes a function a kernel for blocks of `threads` in clusters of `cluster`
  /// blocks, with `sharedBytes` of shared memory. Returns how many bytes of it
  /// a launch has to ask for.
  virtual int64_t finish(LLVM::LLVMFuncOp func, int64_t threads,
                         int64_t cluster, int64_t sharedBytes) const = 0;
};

/// Whether a type is an eight-bit float, which is i8 on GPUs.
bool isSmallFloat(Type type);
/// The type in registers and memory: i8 of eight-bit floats.
Type storageOf(Type type);
/// Powers of two between f32 and the bytes of f8E8M0FNU, in integers.
Value truncateToPower(OpBuilder &b, Location loc, Value v);
Value extendPower(OpBuilder &b, Location loc, Value v);

/// Replaces every kernel of `module` that is one moe_tile.align, one
/// moe_tile.topk, works row by row, is a loop over scalar code or a product
/// without matrix units, by a function
/// for `target`; `converted` is how many. Other kernels stay. Fails with a
/// diagnostic at the first op without a lowering.
LogicalResult convertPlainKernels(ModuleOp module, const WaveTarget &target,
                                  int64_t &converted);

} // namespace mlir::moe::rows

#endif // MOEC_CONVERSION_WAVETARGET_H
