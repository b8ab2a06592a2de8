//===- ScalarProgram.cpp - Scalar regions on vectors ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScalarProgram.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "moec/Reference/Moe/Interpreter.h"
#include "llvm/ADT/StringSwitch.h"
#include <cmath>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

/// name of the op, instruction, expression of a, b, c.
#define SCALAR_CODES(X)                                                        \
  X("arith.addf", Add, a + b)                                                  \
  X("arith.subf", Sub, a - b)                                                  \
  X("arith.mulf", Mul, a *b)                                                   \
  X("arith.divf", Div, a / b)                                                  \
  X("arith.remf", Rem, std::fmod(a, b))                                        \
  X("arith.negf", Neg, -a)                                                     \
  X("arith.maximumf", Maximum, (a != a || b != b) ? a + b : maxSigned(a, b))   \
  X("arith.minimumf", Minimum,                                                 \
    (a != a || b != b) ? a + b : -maxSigned(-a, -b))                           \
  X("arith.maxnumf", MaxNum, std::fmax(a, b))                                  \
  X("arith.minnumf", MinNum, std::fmin(a, b))                                  \
  X("arith.extf", Ext, a)                                                      \
  X("arith.truncf", Trunc, a)                                                  \
  X("arith.uitofp", FromBool, a)                                               \
  X("arith.select", Select, a != 0 ? b : c)                                    \
  X("arith.andi", And, T(a != 0 && b != 0))                                    \
  X("arith.ori", Or, T(a != 0 || b != 0))                                      \
  X("arith.xori", Xor, T((a != 0) != (b != 0)))                                \
  X("math.absf", Abs, std::fabs(a))                                            \
  X("math.ceil", Ceil, std::ceil(a))                                           \
  X("math.floor", Floor, std::floor(a))                                        \
  X("math.round", Round, std::round(a))                                        \
  X("math.roundeven", RoundEven, std::nearbyint(a))                            \
  X("math.trunc", TruncInt, std::trunc(a))                                     \
  X("math.copysign", CopySign, std::copysign(a, b))                            \
  X("math.sqrt", Sqrt, std::sqrt(a))                                           \
  X("math.cbrt", Cbrt, std::cbrt(a))                                           \
  X("math.rsqrt", Rsqrt, T(1) / std::sqrt(a))                                  \
  X("math.exp", Exp, std::exp(a))                                              \
  X("math.exp2", Exp2, std::exp2(a))                                           \
  X("math.expm1", Expm1, std::expm1(a))                                        \
  X("math.log", Log, std::log(a))                                              \
  X("math.log2", Log2, std::log2(a))                                           \
  X("math.log10", Log10, std::log10(a))                                        \
  X("math.log1p", Log1p, std::log1p(a))                                        \
  X("math.powf", Pow, std::pow(a, b))                                          \
  X("math.fma", Fma, std::fma(a, b, c))                                        \
  X("math.sin", Sin, std::sin(a))                                              \
  X("math.cos", Cos, std::cos(a))                                              \
  X("math.tanh", Tanh, std::tanh(a))                                           \
  X("math.atan", Atan, std::atan(a))                                           \
  X("math.erf", Erf, std::erf(a))                                              \
  X("math.erfc", Erfc, std::erfc(a))                                           \
  X("math.clampf", Clamp, a < b ? b : (a > c ? c : a))

enum class mlir::moe::ScalarCode : uint8_t {
#define CODE(NAME, ENUM, EXPR) ENUM,
  SCALAR_CODES(CODE)
#undef CODE
      Constant,
  Compare,
};

static std::optional<ScalarCode> getCode(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<ScalarCode>>(name)
#define CODE(NAME, ENUM, EXPR) .Case(NAME, ScalarCode::ENUM)
      SCALAR_CODES(CODE)
#undef CODE
          .Default(std::nullopt);
}

/// The larger one, +0 above -0.
template <typename T> static inline T maxSigned(T a, T b) {
  if (a == b)
    return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

template <typename T>
static inline bool compareFloats(arith::CmpFPredicate predicate, T a, T b) {
  bool unordered = a != a || b != b;
  switch (predicate) {
  case arith::CmpFPredicate::AlwaysFalse:
    return false;
  case arith::CmpFPredicate::AlwaysTrue:
    return true;
  case arith::CmpFPredicate::OEQ:
    return a == b;
  case arith::CmpFPredicate::OGT:
    return a > b;
  case arith::CmpFPredicate::OGE:
    return a >= b;
  case arith::CmpFPredicate::OLT:
    return a < b;
  case arith::CmpFPredicate::OLE:
    return a <= b;
  case arith::CmpFPredicate::ONE:
    return !unordered && a != b;
  case arith::CmpFPredicate::ORD:
    return !unordered;
  case arith::CmpFPredicate::UEQ:
    return unordered || a == b;
  case arith::CmpFPredicate::UGT:
    return unordered || a > b;
  case arith::CmpFPredicate::UGE:
    return unordered || a >= b;
  case arith::CmpFPredicate::ULT:
    return unordered || a < b;
  case arith::CmpFPredicate::ULE:
    return unordered || a <= b;
  case arith::CmpFPredicate::UNE:
    return unordered || a != b;
  case arith::CmpFPredicate::UNO:
    return unordered;
  }
  llvm_unreachable("covered switch");
}

//===----------------------------------------------------------------------===//
// Compilation
//===----------------------------------------------------------------------===//

llvm::Error ScalarProgram::append(Operation *op,
                                  llvm::DenseMap<Value, unsigned> &registers) {
  llvm::StringRef name = op->getName().getStringRef();
  auto unsupported = [&](const llvm::Twine &why) {
    return llvm::createStringError("the reference cannot execute " + name +
                                   ": " + why);
  };
  if (op->getNumResults() != 1 || op->getNumRegions() != 0)
    return unsupported("it is no scalar operation");
  Type type = getElementTypeOrSelf(op->getResult(0).getType());
  bool isBool = type.isInteger(1);
  if (!isBool && !isa<FloatType>(type))
    return unsupported("only floats and i1 are computed in scalar regions");

  Instruction next = {ScalarCode::Constant, {0, 0, 0}, 0, 0, std::nullopt};
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    if (auto value = dyn_cast<FloatAttr>(constant.getValue()))
      next.constant = value.getValueAsDouble();
    else if (auto flag = dyn_cast<IntegerAttr>(constant.getValue()))
      next.constant = flag.getValue().getBoolValue();
    else
      return unsupported("only scalar constants are known here");
  } else if (auto compare = dyn_cast<arith::CmpFOp>(op)) {
    next.code = ScalarCode::Compare;
    next.predicate = static_cast<unsigned>(compare.getPredicate());
  } else if (std::optional<ScalarCode> code = getCode(name)) {
    next.code = *code;
  } else {
    return unsupported("it is not in the list of scalar operations");
  }
  for (auto [index, operand] : llvm::enumerate(op->getOperands())) {
    Type from = getElementTypeOrSelf(operand.getType());
    if (!isa<FloatType>(from) && !from.isInteger(1))
      return unsupported("only floats and i1 are computed in scalar regions");
    auto found = registers.find(operand);
    if (found == registers.end())
      return unsupported("an operand comes from outside the region");
    next.sources[index] = found->second;
  }
  if (!isBool && type.getIntOrFloatBitWidth() < 32) {
    next.roundTo = getStorageType(type);
    if (!next.roundTo)
      return unsupported("its result type has no storage type");
  }
  registers[op->getResult(0)] = numArgs + instructions.size();
  instructions.push_back(next);
  return llvm::Error::success();
}

llvm::Expected<ScalarProgram> ScalarProgram::compile(Block &block) {
  ScalarProgram program;
  program.numArgs = block.getNumArguments();
  llvm::DenseMap<Value, unsigned> registers;
  for (BlockArgument arg : block.getArguments())
    registers[arg] = arg.getArgNumber();
  for (Operation &op : block.without_terminator())
    if (llvm::Error error = program.append(&op, registers))
      return std::move(error);
  Operation *terminator = block.getTerminator();
  if (terminator->getNumOperands() != 1 ||
      !registers.contains(terminator->getOperand(0)))
    return llvm::createStringError(
        "a scalar region yields one value computed in it");
  program.result = registers[terminator->getOperand(0)];
  return program;
}

llvm::Expected<ScalarProgram> ScalarProgram::compileOp(Operation *op) {
  ScalarProgram program;
  program.numArgs = op->getNumOperands();
  llvm::DenseMap<Value, unsigned> registers;
  // An operand that occurs twice takes the register of its last occurrence;
  // both hold the same values.
  for (auto [index, operand] : llvm::enumerate(op->getOperands()))
    registers[operand] = index;
  if (llvm::Error error = program.append(op, registers))
    return std::move(error);
  program.result = program.numArgs;
  return program;
}

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

template <typename T>
void ScalarProgram::run(llvm::ArrayRef<const T *> args, T *out, int64_t count,
                        std::vector<T> &scratch) const {
  scratch.resize(instructions.size() * kMaxElements);
  auto source = [&](unsigned reg) -> const T * {
    return reg < numArgs ? args[reg] : &scratch[(reg - numArgs) * kMaxElements];
  };
  for (auto [index, step] : llvm::enumerate(instructions)) {
    T *to = &scratch[index * kMaxElements];
    // An unused source is register 0, which exists: at worst `to` itself.
    const T *pa = source(step.sources[0]);
    const T *pb = source(step.sources[1]);
    const T *pc = source(step.sources[2]);
    switch (step.code) {
#define CODE(NAME, ENUM, EXPR)                                                 \
  case ScalarCode::ENUM:                                                       \
    for (int64_t i = 0; i < count; ++i) {                                      \
      [[maybe_unused]] const T a = pa[i], b = pb[i], c = pc[i];                \
      to[i] = EXPR;                                                            \
    }                                                                          \
    break;
      SCALAR_CODES(CODE)
#undef CODE
    case ScalarCode::Constant:
      std::fill_n(to, count, static_cast<T>(step.constant));
      break;
    case ScalarCode::Compare: {
      auto predicate = static_cast<arith::CmpFPredicate>(step.predicate);
      for (int64_t i = 0; i < count; ++i)
        to[i] = compareFloats(predicate, pa[i], pb[i]);
      break;
    }
    }
    if (step.roundTo)
      for (int64_t i = 0; i < count; ++i)
        to[i] =
            static_cast<T>(decode(*step.roundTo, encode(*step.roundTo, to[i])));
  }
  std::copy_n(source(result), count, out);
}

template void ScalarProgram::run(llvm::ArrayRef<const float *>, float *,
                                 int64_t, std::vector<float> &) const;
template void ScalarProgram::run(llvm::ArrayRef<const double *>, double *,
                                 int64_t, std::vector<double> &) const;
