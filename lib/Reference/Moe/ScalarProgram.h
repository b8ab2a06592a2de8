//===- ScalarProgram.h - Scalar regions on vectors --------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// A region of scalar arith and math ops, compiled once to a list of
// instructions and run over many elements at a time.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_REFERENCE_MOE_SCALARPROGRAM_H
#define MOEC_LIB_REFERENCE_MOE_SCALARPROGRAM_H

#include "mlir/IR/Block.h"
#include "moec/Support/ElementType.h"
#include "llvm/Support/Error.h"
#include <vector>

namespace mlir::moe {

enum class ScalarCode : uint8_t;

/// Straight-line program on floats and truth values. Ops of type f32 and f64
/// compute in the type that `run` is given; results of narrower types are
/// rounded to them.
class ScalarProgram {
public:
  /// Elements that one call of run may take.
  static constexpr int64_t kMaxElements = 256;

  /// Compiles a block of one terminator with one operand. Fails, naming the
  /// op, for ops other than float arith and math, cmpf, select and logic on i1.
  static llvm::Expected<ScalarProgram> compile(Block &block);
  /// A program of the single op `op`; its arguments are the op's operands.
  static llvm::Expected<ScalarProgram> compileOp(Operation *op);

  unsigned getNumArgs() const { return numArgs; }

  /// Computes `count` elements of the result from the elements of every
  /// argument. `scratch` is reused between calls of one thread.
  template <typename T>
  void run(llvm::ArrayRef<const T *> args, T *out, int64_t count,
           std::vector<T> &scratch) const;

private:
  struct Instruction {
    ScalarCode code;
    unsigned sources[3];
    double constant;
    unsigned predicate;
    std::optional<ElementType> roundTo;
  };
  llvm::Error append(Operation *op, llvm::DenseMap<Value, unsigned> &registers);

  unsigned numArgs = 0;
  /// Instruction i writes register numArgs + i.
  std::vector<Instruction> instructions;
  unsigned result = 0;
};

} // namespace mlir::moe

#endif // MOEC_LIB_REFERENCE_MOE_SCALARPROGRAM_H
