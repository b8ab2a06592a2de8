//===- KernelBuilder.h - One probe kernel under construction ----*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CALIBRATION_KERNELBUILDER_H
#define MOEC_LIB_CALIBRATION_KERNELBUILDER_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"
#include "moec/Support/ArithBuilder.h"

namespace mlir::moe::calibration {

/// What probes need to know of a target.
struct ProbeTarget {
  std::string name;
  bool amd = false;
  /// Lanes of a wave.
  int64_t wave = 32;
  /// Bulk copies, mbarriers and dependent launches; products of warpgroups.
  bool bulk = false, warpgroups = false;
  /// Most shared memory of a block.
  int64_t sharedBytes = 0;
};

/// Makes a kernel; its end is that of the builder's life.
class KernelBuilder : public ArithBuilder {
public:
  /// A kernel at the end of the module. `threads` are those of a block, the
  /// most of them if `atMost`.
  KernelBuilder(ModuleOp module, const ProbeTarget &target, StringRef name,
                ArrayRef<Type> parameters, int64_t threads,
                bool atMost = false);
  ~KernelBuilder();

  /// Takes no more registers than so many blocks of a unit can have.
  void fit(int64_t blocks);

  Value arg(unsigned number) { return func.getArgument(number); }

  //===--- Numbers -----------------------------------------------------------//
  /// i32 to i64, without sign; i64 to its low half.
  Value extend(Value x);
  Value low(Value x);
  /// A hash of an i32.
  Value mix(Value x);
  /// The four words of a piece of 16 bytes from the hash of its number.
  SmallVector<Value> noise(Value number);
  Value pack(ArrayRef<Value> words);
  /// Words of a vector, added without carry.
  Value fold(Value vector);

  //===--- Threads -----------------------------------------------------------//
  /// Number of the thread in its block, of the block, i32; of the thread among
  /// all, i64.
  Value thread();
  Value block();
  Value global();
  /// Joins the threads of a block.
  void barrier();

  //===--- Memory ------------------------------------------------------------//
  /// `bytes` behind a pointer.
  Value at(Value pointer, Value bytes);
  /// The 16 bytes of this number (i64) behind a pointer.
  Value pieceAt(Value pointer, Value number);
  /// 16 bytes of global memory that nobody writes meanwhile, past the
  /// first-level cache where it can be told.
  Value stream(Value pointer);
  Value load(Type type, Value pointer, int64_t alignment);
  void store(Value value, Value pointer, int64_t alignment);
  /// The first byte of the block's shared memory: of the launch, on AMD of the
  /// kernel.
  Value shared(int64_t bytes);

  //===--- Control -----------------------------------------------------------//
  using Body = function_ref<SmallVector<Value>(Value, ValueRange)>;
  /// for (i = from; i < to; i += step), with values that are carried.
  SmallVector<Value> loop(Value from, Value to, Value step, ValueRange start,
                          Body body);
  void when(Value condition, function_ref<void()> body);
  /// Calls `body` for 16-byte pieces thread, thread + threads, ... below
  /// `count`, `unroll` of them at a time, with the values of one piece.
  SmallVector<Value>
  pieces(Value count, Value threads, int64_t unroll, ValueRange start,
         function_ref<SmallVector<Value>(ArrayRef<Value>, ValueRange)> body);

  Type i32() { return b.getI32Type(); }
  Type i64() { return b.getI64Type(); }
  static Type pointer(MLIRContext *context, unsigned space = 1);

  const ProbeTarget &target;
  LLVM::LLVMFuncOp func;
};

// Each adds its kernels to the module.
void addMemoryKernels(ModuleOp module, const ProbeTarget &target);
void addUnitKernels(ModuleOp module, const ProbeTarget &target);
void addBulkKernels(ModuleOp module, const ProbeTarget &target);

/// A kernel that repeats one product of warpgroups.
struct MatrixKernel {
  /// "bf16", "fp8", "int8" or "tf32".
  StringRef type;
  int64_t n = 0;
  /// Whether A stands in registers; bf16 only.
  bool registers = false;

  std::string getName() const;
  int64_t getElementBits() const;
  /// Most warpgroups of a block.
  int64_t getMostGroups() const { return n > 128 ? 2 : 4; }
  /// Operations of a round of one warpgroup: 64 rows by n columns by the 128
  /// bytes of a row.
  double getWork() const { return 2.0 * 64 * n * (1024 / getElementBits()); }
};

/// All that are built.
SmallVector<MatrixKernel> getMatrixKernels();
/// Bytes of the operands in shared memory: four tiles of A, one of B.
constexpr int64_t kMatrixBytes = 65536;
/// Where B is.
constexpr int64_t kMatrixB = 32768;
void addMatrixKernels(ModuleOp module, const ProbeTarget &target);

/// Threads of a block of kernels that stream, blocks of a unit, and of those
/// that copy: as many as a unit of every chip can have at a time.
constexpr int64_t kStreamThreads = 512, kStreamBlocks = 3, kCopyBlocks = 2;
/// Threads of the kernels that are launched for the launch alone.
constexpr int64_t kEmptyThreads = 384;
/// Bytes of shared memory that the probe of it reads.
constexpr int64_t kSharedProbeBytes = 32768;
/// Reads of 16 bytes by a thread in a round of that probe.
constexpr int64_t kSharedProbeReads = 4;
/// Most slots of a ring of bulk copies.
constexpr int64_t kMostSlots = 64;
/// Bytes of barriers behind the ring, a multiple of 128.
constexpr int64_t kBarrierBytes = 8 * kMostSlots;

} // namespace mlir::moe::calibration

#endif // MOEC_LIB_CALIBRATION_KERNELBUILDER_H
