//===- Decoder.h - MLIR to instructions -------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_EMULATOR_DECODER_H
#define MOEC_LIB_EMULATOR_DECODER_H

#include "Ops.h"
#include "Scalars.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::moe::emu {

struct AmdMatrixOperands;
struct AmdMatrixRow;

/// Part of a parallel copy.
struct Move {
  Reg dst, src;
  uint32_t bytes;
  bool wide;
  /// First part of a struct: an accumulator in flight moves with it.
  bool isStruct;
};

/// Turns one kernel into instructions. Errors are diagnostics at the operation.
class Decoder {
public:
  Decoder(Program &program, Kernel &kernel,
          const llvm::StringMap<uint64_t> &symbols)
      : program(program), kernel(kernel), symbols(symbols) {}

  LogicalResult decode(LLVM::LLVMFuncOp func);

private:
  //--- Decoder.cpp: values, places, control flow
  std::optional<SmallVector<Scalar>> flatten(Type type);
  /// The elements of a value; empty after an error.
  SmallVector<Scalar> elementsOf(Operation *op, Type type);
  Reg allocate(ArrayRef<Scalar> elements);
  Reg allocateFor(Operation *op, Value value);
  Reg reg(Value value) const { return regs.lookup(value); }
  /// `result` is `at`; other values may share the bytes.
  void alias(Value result, Reg at);
  /// Whether `op` may overwrite `operand`, which nobody else will read.
  bool mayReuse(Operation *op, Value operand) const;
  Reg constant(bool wide, uint64_t value);
  void setConstant(Reg at, Scalar scalar, uint64_t value);
  Instr &emit(Operation *op, Fn fn);
  uint32_t placeOf(Operation *op);
  uint32_t here() const { return kernel.code.size(); }
  void addMoves(SmallVectorImpl<Move> &moves, Reg dst, Reg src, Type type);
  void emitMoves(Operation *op, SmallVector<Move> moves);
  void emitMoves(Operation *op, ValueRange from, ArrayRef<Reg> to);
  uint32_t addExtra(ArrayRef<uint32_t> words);

  LogicalResult decodeRegion(Region &region);
  LogicalResult decodeBlock(mlir::Block &block);
  LogicalResult decodeOp(Operation &op);
  LogicalResult decodeControl(Operation *op, bool &known);
  LogicalResult decodeFor(Operation *op);
  LogicalResult decodeIf(Operation *op);
  LogicalResult decodeWhile(Operation *op);
  LogicalResult decodeCall(LLVM::CallOp op);
  LogicalResult branch(Operation *op, mlir::Block *target, ValueRange operands);
  LogicalResult condBranch(Operation *op, Value cond, mlir::Block *yes,
                           ValueRange yesOperands, mlir::Block *no,
                           ValueRange noOperands);
  LogicalResult switchBranch(Operation *op, Value value,
                             std::optional<DenseIntElementsAttr> values,
                             mlir::Block *defaultTarget,
                             ValueRange defaultOperands,
                             ArrayRef<mlir::Block *> targets,
                             ArrayRef<ValueRange> operands);
  void jumpTo(Operation *op, mlir::Block *target);

  //--- DecodeArith.cpp
  LogicalResult decodeArith(Operation *op, bool &known);
  LogicalResult decodeConstant(Operation *op, Attribute value);
  LogicalResult decodeCast(Operation *op, llvm::StringRef name);
  LogicalResult decodeVector(Operation *op, bool &known);
  LogicalResult decodeMemory(Operation *op, bool &known);
  LogicalResult fillConstant(Operation *op, Reg at, Type type, Attribute value);
  std::optional<uint64_t> sizeOf(Type type);
  uint64_t alignOf(Type type);
  uint32_t memFlags(Type pointer, Scalar element, uint64_t align,
                    LLVM::AtomicOrdering ordering,
                    std::optional<llvm::StringRef> scope);

  //--- DecodeNvvm.cpp
  LogicalResult decodeNvvm(Operation *op, bool &known);
  LogicalResult decodeMatrix(Operation *op, bool &known);
  LogicalResult decodeCopies(Operation *op, bool &known);
  LogicalResult decodeConversions(Operation *op, bool &known);
  LogicalResult decodeMoeNv(Operation *op, bool &known);

  //--- DecodeAmd.cpp, DecodeAmdMatrix.cpp
  LogicalResult decodeAmd(Operation *op, bool &known);
  LogicalResult decodeAmdLanes(Operation *op, llvm::StringRef name,
                               bool &known);
  LogicalResult decodeAmdMemory(Operation *op, llvm::StringRef name,
                                bool &known);
  LogicalResult decodeAmdConversion(Operation *op, llvm::StringRef name,
                                    bool &known);
  LogicalResult decodeAmdMatrix(Operation *op, bool &known);
  LogicalResult emitAmdMatrix(Operation *op, const AmdMatrixRow &row, Value a,
                              Value b, Value c, AmdMatrixOperands operands);
  void emitAmdBarrier(Operation *op, uint32_t spaces);
  /// The i32 in a pointer of space 7.
  Reg bufferOffset(Operation *op, Value pointer);
  /// Emits a branch around what follows unless `predicate`; returns what to
  /// patch, or none.
  std::optional<uint32_t> guard(Operation *op, Value predicate);
  void endGuard(std::optional<uint32_t> guard);
  Reg optional(Value value) const { return value ? reg(value) : noReg; }
  Reg packed(Operation *op, Value value);

  Program &program;
  Kernel &kernel;
  const llvm::StringMap<uint64_t> &symbols;
  DenseMap<Value, Reg> regs;
  /// Registers that several values name.
  DenseSet<Reg> shared;
  DenseMap<std::pair<unsigned, uint64_t>, Reg> constantRegs;
  DenseMap<Operation *, uint32_t> places;
  llvm::StringSet<> usedPlaces;
  DenseMap<mlir::Block *, uint32_t> starts;
  SmallVector<std::pair<uint32_t, mlir::Block *>> jumps;
  DenseSet<std::pair<Value, mlir::Block *>> checkedStructs;
  struct Return {
    SmallVector<Reg> results;
    SmallVector<uint32_t> jumps;
  };
  SmallVector<Return> returns;
  SmallVector<Operation *> callStack;
};

/// Address space of a pointer.
unsigned spaceOf(Type pointer);

} // namespace mlir::moe::emu

#endif // MOEC_LIB_EMULATOR_DECODER_H
