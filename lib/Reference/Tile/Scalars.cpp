//===- Scalars.cpp - Scalar operations on host values ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scalars.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/StringSwitch.h"
#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

enum class ScalarOp::Code : uint8_t {
  Constant,
  Select,
  AddI,
  SubI,
  MulI,
  DivSI,
  DivUI,
  RemSI,
  RemUI,
  CeilDivSI,
  CeilDivUI,
  FloorDivSI,
  AndI,
  OrI,
  XOrI,
  ShLI,
  ShRSI,
  ShRUI,
  MaxSI,
  MinSI,
  MaxUI,
  MinUI,
  CmpI,
  ExtUI,
  CastI,
  SIToFP,
  UIToFP,
  FPToSI,
  FPToUI,
  AddF,
  SubF,
  MulF,
  DivF,
  RemF,
  NegF,
  MaximumF,
  MinimumF,
  MaxNumF,
  MinNumF,
  CmpF,
  CastF,
  Bitcast,
  AbsI,
  AbsF,
  Exp,
  Exp2,
  ExpM1,
  Log,
  Log2,
  Log10,
  Log1p,
  Sqrt,
  Rsqrt,
  Tanh,
  Erf,
  Sin,
  Cos,
  Floor,
  Ceil,
  Trunc,
  Round,
  RoundEven,
  PowF,
  Fma,
  CopySign
};

std::optional<ScalarType> ScalarType::of(Type type) {
  ScalarType result;
  if (type.isIndex())
    return result;
  if (auto integer = dyn_cast<IntegerType>(type)) {
    result.width = integer.getWidth();
    if (result.width > 64)
      return std::nullopt;
    return result;
  }
  if (!isa<FloatType>(type))
    return std::nullopt;
  std::string name;
  llvm::raw_string_ostream(name) << type;
  std::optional<ElementType> element = parseElementType(name);
  if (!element)
    return std::nullopt;
  result.isFloat = true;
  result.width = getBitWidth(*element);
  result.element = *element;
  return result;
}

double moe::tile::roundTo(const ScalarType &type, double value, bool wide) {
  switch (type.element) {
  case ElementType::F64:
    return value;
  case ElementType::F32:
    return wide ? value : static_cast<float>(value);
  default:
    return decode(type.element, encode(type.element, value));
  }
}

int64_t moe::tile::wrapTo(const ScalarType &type, int64_t value) {
  if (type.width == 64)
    return value;
  if (type.width == 1)
    return value & 1;
  unsigned shift = 64 - type.width;
  return static_cast<int64_t>(static_cast<uint64_t>(value) << shift) >> shift;
}

std::optional<ScalarOp> ScalarOp::decode(Operation *op) {
  using C = Code;
  if (op->getNumResults() != 1)
    return std::nullopt;
  std::optional<ScalarType> result = ScalarType::of(op->getResult(0).getType());
  if (!result)
    return std::nullopt;
  ScalarOp decoded;
  decoded.result = *result;
  decoded.source = *result;
  if (op->getNumOperands() != 0) {
    std::optional<ScalarType> source =
        ScalarType::of(op->getOperand(op->getNumOperands() - 1).getType());
    if (!source)
      return std::nullopt;
    decoded.source = *source;
  }
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    decoded.code = C::Constant;
    if (auto attr = dyn_cast<FloatAttr>(constant.getValue()))
      decoded.constant = HostScalar::ofFloat(attr.getValueAsDouble());
    else if (auto attr = dyn_cast<IntegerAttr>(constant.getValue()))
      decoded.constant = HostScalar::ofInt(
          wrapTo(*result, result->width == 1 ? attr.getValue().getZExtValue()
                                             : attr.getValue().getSExtValue()));
    else
      return std::nullopt;
    return decoded;
  }
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    decoded.predicate = static_cast<uint64_t>(compare.getPredicate());
  if (auto compare = dyn_cast<arith::CmpFOp>(op))
    decoded.predicate = static_cast<uint64_t>(compare.getPredicate());
  std::optional<C> code =
      llvm::StringSwitch<std::optional<C>>(op->getName().getStringRef())
          .Case("arith.select", C::Select)
          .Case("arith.addi", C::AddI)
          .Case("arith.subi", C::SubI)
          .Case("arith.muli", C::MulI)
          .Case("arith.divsi", C::DivSI)
          .Case("arith.divui", C::DivUI)
          .Case("arith.remsi", C::RemSI)
          .Case("arith.remui", C::RemUI)
          .Case("arith.ceildivsi", C::CeilDivSI)
          .Case("arith.ceildivui", C::CeilDivUI)
          .Case("arith.floordivsi", C::FloorDivSI)
          .Case("arith.andi", C::AndI)
          .Case("arith.ori", C::OrI)
          .Case("arith.xori", C::XOrI)
          .Case("arith.shli", C::ShLI)
          .Case("arith.shrsi", C::ShRSI)
          .Case("arith.shrui", C::ShRUI)
          .Case("arith.maxsi", C::MaxSI)
          .Case("arith.minsi", C::MinSI)
          .Case("arith.maxui", C::MaxUI)
          .Case("arith.minui", C::MinUI)
          .Case("arith.cmpi", C::CmpI)
          .Cases({"arith.extui", "arith.index_castui"}, C::ExtUI)
          .Cases({"arith.extsi", "arith.trunci", "arith.index_cast"}, C::CastI)
          .Case("arith.sitofp", C::SIToFP)
          .Case("arith.uitofp", C::UIToFP)
          .Case("arith.fptosi", C::FPToSI)
          .Case("arith.fptoui", C::FPToUI)
          .Case("arith.addf", C::AddF)
          .Case("arith.subf", C::SubF)
          .Case("arith.mulf", C::MulF)
          .Case("arith.divf", C::DivF)
          .Case("arith.remf", C::RemF)
          .Case("arith.negf", C::NegF)
          .Case("arith.maximumf", C::MaximumF)
          .Case("arith.minimumf", C::MinimumF)
          .Case("arith.maxnumf", C::MaxNumF)
          .Case("arith.minnumf", C::MinNumF)
          .Case("arith.cmpf", C::CmpF)
          .Cases({"arith.extf", "arith.truncf"}, C::CastF)
          .Case("arith.bitcast", C::Bitcast)
          .Case("math.absi", C::AbsI)
          .Case("math.absf", C::AbsF)
          .Case("math.exp", C::Exp)
          .Case("math.exp2", C::Exp2)
          .Case("math.expm1", C::ExpM1)
          .Case("math.log", C::Log)
          .Case("math.log2", C::Log2)
          .Case("math.log10", C::Log10)
          .Case("math.log1p", C::Log1p)
          .Case("math.sqrt", C::Sqrt)
          .Case("math.rsqrt", C::Rsqrt)
          .Case("math.tanh", C::Tanh)
          .Case("math.erf", C::Erf)
          .Case("math.sin", C::Sin)
          .Case("math.cos", C::Cos)
          .Case("math.floor", C::Floor)
          .Case("math.ceil", C::Ceil)
          .Case("math.trunc", C::Trunc)
          .Case("math.round", C::Round)
          .Case("math.roundeven", C::RoundEven)
          .Case("math.powf", C::PowF)
          .Case("math.fma", C::Fma)
          .Case("math.copysign", C::CopySign)
          .Default(std::nullopt);
  if (!code)
    return std::nullopt;
  decoded.code = *code;
  return decoded;
}

static uint64_t asUnsigned(const ScalarType &type, int64_t value) {
  return type.width == 64
             ? static_cast<uint64_t>(value)
             : static_cast<uint64_t>(value) & ((uint64_t(1) << type.width) - 1);
}

static bool compareInt(const ScalarType &type, arith::CmpIPredicate predicate,
                       int64_t a, int64_t b) {
  using P = arith::CmpIPredicate;
  // A true i1 is -1 when read as signed.
  if (type.width == 1 && predicate >= P::slt && predicate <= P::sge) {
    a = -a;
    b = -b;
  }
  uint64_t ua = asUnsigned(type, a), ub = asUnsigned(type, b);
  switch (predicate) {
  case P::eq:
    return a == b;
  case P::ne:
    return a != b;
  case P::slt:
    return a < b;
  case P::sle:
    return a <= b;
  case P::sgt:
    return a > b;
  case P::sge:
    return a >= b;
  case P::ult:
    return ua < ub;
  case P::ule:
    return ua <= ub;
  case P::ugt:
    return ua > ub;
  case P::uge:
    return ua >= ub;
  }
  return false;
}

static bool compareFloat(arith::CmpFPredicate predicate, double a, double b) {
  using P = arith::CmpFPredicate;
  bool unordered = std::isnan(a) || std::isnan(b);
  switch (predicate) {
  case P::AlwaysFalse:
    return false;
  case P::OEQ:
    return !unordered && a == b;
  case P::OGT:
    return !unordered && a > b;
  case P::OGE:
    return !unordered && a >= b;
  case P::OLT:
    return !unordered && a < b;
  case P::OLE:
    return !unordered && a <= b;
  case P::ONE:
    return !unordered && a != b;
  case P::ORD:
    return !unordered;
  case P::UEQ:
    return unordered || a == b;
  case P::UGT:
    return unordered || a > b;
  case P::UGE:
    return unordered || a >= b;
  case P::ULT:
    return unordered || a < b;
  case P::ULE:
    return unordered || a <= b;
  case P::UNE:
    return unordered || a != b;
  case P::UNO:
    return unordered;
  case P::AlwaysTrue:
    return true;
  }
  return false;
}

/// Integer arithmetic; nothing where the result is undefined behaviour.
static std::optional<int64_t>
evaluateInt(ScalarOp::Code code, const ScalarType &type, int64_t a, int64_t b) {
  using C = ScalarOp::Code;
  uint64_t ua = asUnsigned(type, a), ub = asUnsigned(type, b);
  bool dividesSigned = code == C::DivSI || code == C::RemSI ||
                       code == C::CeilDivSI || code == C::FloorDivSI;
  bool divides = dividesSigned || code == C::DivUI || code == C::RemUI ||
                 code == C::CeilDivUI;
  if ((divides && b == 0) ||
      (dividesSigned && a == llvm::minIntN(type.width) && b == -1))
    return std::nullopt;
  switch (code) {
  case C::AddI:
    return static_cast<int64_t>(ua + ub);
  case C::SubI:
    return static_cast<int64_t>(ua - ub);
  case C::MulI:
    return static_cast<int64_t>(ua * ub);
  case C::DivSI:
    return a / b;
  case C::DivUI:
    return static_cast<int64_t>(ua / ub);
  case C::RemSI:
    return a % b;
  case C::RemUI:
    return static_cast<int64_t>(ua % ub);
  case C::CeilDivSI:
    return a / b + (a % b != 0 && (a < 0) == (b < 0));
  case C::CeilDivUI:
    return static_cast<int64_t>(ua / ub + (ua % ub != 0));
  case C::FloorDivSI:
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
  case C::AndI:
    return a & b;
  case C::OrI:
    return a | b;
  case C::XOrI:
    return a ^ b;
  case C::ShLI:
    return ub >= type.width ? 0 : static_cast<int64_t>(ua << ub);
  case C::ShRSI:
    return a >> std::min<uint64_t>(ub, 63);
  case C::ShRUI:
    return ub >= type.width ? 0 : static_cast<int64_t>(ua >> ub);
  case C::MaxSI:
    return std::max(a, b);
  case C::MinSI:
    return std::min(a, b);
  case C::MaxUI:
    return ua > ub ? a : b;
  case C::MinUI:
    return ua < ub ? a : b;
  case C::AbsI:
    // The least number has no negation and stays what it is.
    return a < 0 ? static_cast<int64_t>(0 - static_cast<uint64_t>(a)) : a;
  default:
    return std::nullopt;
  }
}

/// Float arithmetic in f64; the caller rounds.
static double evaluateFloat(ScalarOp::Code code, double a, double b, double c) {
  using C = ScalarOp::Code;
  double nan = std::nan("");
  switch (code) {
  case C::AddF:
    return a + b;
  case C::SubF:
    return a - b;
  case C::MulF:
    return a * b;
  case C::DivF:
    return a / b;
  case C::RemF:
    return std::fmod(a, b);
  case C::NegF:
    return -a;
  case C::MaximumF:
    return std::isnan(a) || std::isnan(b) ? nan : std::max(a, b);
  case C::MinimumF:
    return std::isnan(a) || std::isnan(b) ? nan : std::min(a, b);
  case C::MaxNumF:
    return std::fmax(a, b);
  case C::MinNumF:
    return std::fmin(a, b);
  case C::AbsF:
    return std::fabs(a);
  case C::Exp:
    return std::exp(a);
  case C::Exp2:
    return std::exp2(a);
  case C::ExpM1:
    return std::expm1(a);
  case C::Log:
    return std::log(a);
  case C::Log2:
    return std::log2(a);
  case C::Log10:
    return std::log10(a);
  case C::Log1p:
    return std::log1p(a);
  case C::Sqrt:
    return std::sqrt(a);
  case C::Rsqrt:
    return 1.0 / std::sqrt(a);
  case C::Tanh:
    return std::tanh(a);
  case C::Erf:
    return std::erf(a);
  case C::Sin:
    return std::sin(a);
  case C::Cos:
    return std::cos(a);
  case C::Floor:
    return std::floor(a);
  case C::Ceil:
    return std::ceil(a);
  case C::Trunc:
    return std::trunc(a);
  case C::Round:
    return std::round(a);
  case C::RoundEven:
    return std::nearbyint(a);
  case C::PowF:
    return std::pow(a, b);
  case C::Fma:
    return std::fma(a, b, c);
  case C::CopySign:
    return std::copysign(a, b);
  default:
    return a;
  }
}

/// Same bits under another type of the same width.
static HostScalar bitcast(const ScalarType &from, const ScalarType &to,
                          HostScalar value) {
  uint64_t bits =
      from.isFloat ? encode(from.element, value.f) : asUnsigned(from, value.i);
  return to.isFloat ? HostScalar::ofFloat(decode(to.element, bits))
                    : HostScalar::ofInt(wrapTo(to, static_cast<int64_t>(bits)));
}

std::optional<HostScalar> ScalarOp::evaluate(ArrayRef<HostScalar> operands,
                                             bool wide) const {
  using C = Code;
  if (code == C::Constant)
    return constant;
  if (code == C::Select) {
    if (operands[0].undefined)
      return HostScalar::ofUndefined();
    return operands[0].i ? operands[1] : operands[2];
  }
  for (const HostScalar &operand : operands)
    if (operand.undefined)
      return HostScalar::ofUndefined();
  HostScalar a = operands[0];
  HostScalar b = operands.size() > 1 ? operands[1] : HostScalar();
  HostScalar c = operands.size() > 2 ? operands[2] : HostScalar();
  switch (code) {
  case C::CmpI:
    return HostScalar::ofInt(compareInt(
        source, static_cast<arith::CmpIPredicate>(predicate), a.i, b.i));
  case C::CmpF:
    return HostScalar::ofInt(
        compareFloat(static_cast<arith::CmpFPredicate>(predicate), a.f, b.f));
  case C::ExtUI:
    return HostScalar::ofInt(
        wrapTo(result, static_cast<int64_t>(asUnsigned(source, a.i))));
  case C::CastI:
    return HostScalar::ofInt(wrapTo(result, source.width == 1 ? -a.i : a.i));
  case C::SIToFP:
    return HostScalar::ofFloat(
        roundTo(result, source.width == 1 ? -a.i : a.i, wide));
  case C::UIToFP:
    return HostScalar::ofFloat(
        roundTo(result, static_cast<double>(asUnsigned(source, a.i)), wide));
  case C::FPToSI:
  case C::FPToUI:
    if (!(std::fabs(a.f) < 9.2e18))
      return HostScalar::ofUndefined();
    return HostScalar::ofInt(wrapTo(result, static_cast<int64_t>(a.f)));
  case C::CastF:
    return HostScalar::ofFloat(roundTo(result, a.f, wide));
  case C::Bitcast:
    return bitcast(source, result, a);
  default:
    break;
  }
  if (result.isFloat) {
    // By way of f64 the sum would be rounded twice.
    if (code == C::Fma && !wide && result.element == ElementType::F32)
      return HostScalar::ofFloat(std::fma(static_cast<float>(a.f),
                                          static_cast<float>(b.f),
                                          static_cast<float>(c.f)));
    return HostScalar::ofFloat(
        roundTo(result, evaluateFloat(code, a.f, b.f, c.f), wide));
  }
  std::optional<int64_t> value = evaluateInt(code, result, a.i, b.i);
  if (!value)
    return std::nullopt;
  return HostScalar::ofInt(wrapTo(result, *value));
}
