//===- PlainKernel.h - Kernels without roles for GPUs -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The lowering of sequential kernels that hold no matrix product: all threads
// of a block do the same. Coordinates are i32, offsets in memory i64.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_GPUROWS_PLAINKERNEL_H
#define MOEC_LIB_CONVERSION_GPUROWS_PLAINKERNEL_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "moec/Conversion/WaveTarget.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"
#include "moec/Support/ArithBuilder.h"

namespace mlir::moe::rows {

/// A function under construction: parameters in the order of their first use.
class PlainKernel : public ArithBuilder {
public:
  /// Begins the function `moduleBuilder` stands before, with the kernel's name.
  PlainKernel(tile::KernelOp kernel, OpBuilder &moduleBuilder,
              const WaveTarget &target);

  //===--- Parameters --------------------------------------------------------//
  /// Address (!llvm.ptr<1>) of a memref argument; a view has its argument's.
  Value pointer(Value memref);
  /// Extent of a memref or of a view of one, i32.
  Value extent(Value memref, int64_t dim);
  /// A scalar argument; index is i32.
  Value scalar(BlockArgument argument);
  /// Number of the kernel argument behind a memref, -1 for other values.
  static int64_t operandNumber(Value memref);

  //===--- Control flow ------------------------------------------------------//
  void when(Value condition, function_ref<void()> body);
  /// `condition ? body() : otherwise`; only the chosen one is evaluated.
  Value choose(Value condition, function_ref<Value()> body, Value otherwise);
  void loop(Value from, Value to, Value step, function_ref<void(Value)> body);

  //===--- Memory ------------------------------------------------------------//
  /// Address of element `index` (i32 or i64) behind `base`.
  Value at(Value base, Value index, Type element);
  Value load(Type type, Value address, unsigned alignment) {
    return LLVM::LoadOp::create(b, loc, type, address, alignment);
  }
  void store(Value v, Value address, unsigned alignment) {
    LLVM::StoreOp::create(b, loc, v, address, alignment);
  }
  /// i32 at `base[index]`.
  Value loadWord(Value base, Value index) {
    return load(b.getI32Type(), at(base, index, b.getI32Type()), 4);
  }
  void storeWord(Value v, Value base, Value index) {
    store(v, at(base, index, b.getI32Type()), 4);
  }
  /// The next `bytes` of dynamic shared memory, 16-byte aligned.
  Value shared(int64_t bytes);

  //===--- Threads -----------------------------------------------------------//
  Value thread() { return target.thread(b, loc); }
  Value block() { return target.block(b, loc); }
  void barrier() { target.barrier(b, loc); }
  /// Lanes of a wave.
  int64_t wave() const { return target.facts.wave; }
  /// The lane and the wave in the block of a thread of that number.
  Value laneOf(Value thread) { return both(thread, c32(wave() - 1)); }
  Value waveOf(Value thread) {
    return target.uniform(
        b, loc,
        arith::ShRUIOp::create(b, loc, thread, c32(llvm::Log2_64(wave()))));
  }
  /// Lets the next launch begin and waits for the end of the earlier ones, if
  /// the kernel is launched early.
  void awaitEarlierLaunches();
  /// The same in the other order: the next launch can rely on what this one
  /// relies on.
  void awaitThenLetNextBegin();
  /// The same for a kernel that runs beside the launch before: at its begin and
  /// at its end.
  void beginBesideEarlierLaunches();
  void endAfterEarlierLaunches();

  //===--- End ---------------------------------------------------------------//
  /// How many blocks: constant, or ceil(extent * mul / div) of dimension `dim`
  /// of kernel argument `operand`, or `persistent` for every multiprocessor.
  struct Grid {
    int64_t blocks = 1, persistent = 0;
    int64_t operand = -1, dim = 0, mul = 1, div = 1;
  };
  /// Ends the function and describes its launch (`moe.launch`).
  void finish(int64_t threads, int64_t cluster, const Grid &grid);

  const WaveTarget &target;
  tile::KernelOp kernel;
  LLVM::LLVMFuncOp func;

private:
  Value parameter(Type type, ArrayRef<NamedAttribute> how);
  NamedAttribute named(StringRef name, int64_t v) {
    return b.getNamedAttr(name, b.getI64IntegerAttr(v));
  }

  SmallVector<Attribute> params;
  DenseMap<std::pair<Value, int64_t>, Value> known; ///< dimension -1: itself
  int64_t sharedBytes = 0;
  bool early = false;
};

/// Converts a kernel by an emitter that is made of its `PlainKernel`; a
/// function that it could not finish is gone.
template <typename Emitter>
FailureOr<LLVM::LLVMFuncOp> convertPlain(tile::KernelOp kernel, OpBuilder &b,
                                         const WaveTarget &target) {
  PlainKernel k(kernel, b, target);
  if (succeeded(Emitter(k).emit()))
    return k.func;
  k.func.erase();
  return failure();
}

/// Whether a kernel is one moe_tile.align.
bool isAlignKernel(tile::KernelOp kernel);
/// Lowers such a kernel, before `b`'s insertion point. Its `exec` gives threads
/// (a multiple of 128, at least the experts) and the blocks of a cluster; fails
/// with a diagnostic otherwise. The kernel stays.
FailureOr<LLVM::LLVMFuncOp> convertAlignKernel(tile::KernelOp kernel,
                                               OpBuilder &b,
                                               const WaveTarget &target);

/// Whether a kernel is one moe_tile.topk.
bool isTopkKernel(tile::KernelOp kernel);
/// Lowers such a kernel, before `b`'s insertion point; fails with a diagnostic
/// for more experts, choices or groups than lanes can hold. The kernel stays.
FailureOr<LLVM::LLVMFuncOp> convertTopkKernel(tile::KernelOp kernel,
                                              OpBuilder &b,
                                              const WaveTarget &target);

/// Whether a kernel is one scf.parallel over scalar code (loads, stores, arith,
/// branches and loops of scalars).
bool isScalarKernel(tile::KernelOp kernel);
/// Lowers such a kernel, one thread for an iteration, before `b`'s insertion
/// point; fails with a diagnostic for another loop than over an extent of an
/// argument. The kernel stays.
FailureOr<LLVM::LLVMFuncOp> convertScalarKernel(tile::KernelOp kernel,
                                                OpBuilder &b,
                                                const WaveTarget &target);

/// Whether a kernel is a product of few rows without matrix units: its
/// configuration says `atom = "fma"`.
bool isVectorKernel(tile::KernelOp kernel);
/// Lowers such a kernel, before `b`'s insertion point; fails with a diagnostic
/// at the op that has no such form. The kernel stays.
FailureOr<LLVM::LLVMFuncOp> convertVectorKernel(tile::KernelOp kernel,
                                                OpBuilder &b,
                                                const WaveTarget &target);

/// Whether a kernel works row by row: maps, loads and stores of one row inside
/// of one scf.parallel (or outside of any loop), no matrix product.
bool isRowKernel(tile::KernelOp kernel);
/// Lowers such a kernel, before `b`'s insertion point; fails with a diagnostic
/// at the op that has no lowering. The kernel stays.
FailureOr<LLVM::LLVMFuncOp>
convertRowKernel(tile::KernelOp kernel, OpBuilder &b, const WaveTarget &target);

} // namespace mlir::moe::rows

#endif // MOEC_LIB_CONVERSION_GPUROWS_PLAINKERNEL_H
