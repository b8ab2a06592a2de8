//===- DecodeAmdMatrix.cpp - Matrix operations of rocdl and amdgpu ------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmdMatrix.h"
#include "Decoder.h"
#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::emu;

/// The operand type of elements of type `type` on the chip, if it has it.
static std::optional<AmdType> typeOf(Type type, const AmdTraits &chip,
                                     bool isUnsigned, bool reduced) {
  if (type.isF32())
    return reduced ? AmdType::XF32 : AmdType::F32;
  if (type.isBF16())
    return AmdType::BF16;
  if (type.isF16())
    return AmdType::F16;
  if (type.isInteger(8))
    return isUnsigned ? AmdType::U8 : AmdType::I8;
  if (type.isInteger(4))
    return isUnsigned ? AmdType::U4 : AmdType::I4;
  if (type.isInteger(32))
    return AmdType::I32;
  bool fnuz = chip.family == cdna3;
  if (fnuz ? isa<Float8E4M3FNUZType>(type) : isa<Float8E4M3FNType>(type))
    return AmdType::Fp8;
  if (fnuz ? isa<Float8E5M2FNUZType>(type) : isa<Float8E5M2Type>(type))
    return AmdType::Bf8;
  return std::nullopt;
}

/// The format of a scaled operand of that element type.
static std::optional<AmdType> formatOf(Type type) {
  if (isa<Float8E4M3FNType>(type))
    return AmdType::FormatE4M3;
  if (isa<Float8E5M2Type>(type))
    return AmdType::FormatE5M2;
  if (isa<Float4E2M1FNType>(type))
    return AmdType::FormatE2M1;
  return std::nullopt;
}

/// Signed and unsigned integers share rows.
static AmdType rowType(AmdType type) {
  return type == AmdType::U8   ? AmdType::I8
         : type == AmdType::U4 ? AmdType::I4
                               : type;
}

LogicalResult Decoder::emitAmdMatrix(Operation *op, const AmdMatrixRow &row,
                                     Value a, Value b, Value c,
                                     AmdMatrixOperands o) {
  unsigned lanes = program.lanes;
  auto operand = [&](Value v, AmdType type, Reg &at, uint32_t &bits) {
    SmallVector<Scalar> elements = elementsOf(op, v.getType());
    if (elements.empty())
      return failure();
    at = reg(v);
    bits = elements[0].bits;
    unsigned have = bits * elements.size();
    unsigned want = bitsOf(type) * perLane(row, lanes);
    if (have != want)
      return LogicalResult(op->emitOpError()
                           << "has an operand of " << have
                           << " bits per lane, the operation reads " << want);
    return success();
  };
  if (failed(operand(a, o.typeA, o.a, o.bitsA)) ||
      failed(operand(b, o.typeB, o.b, o.bitsB)))
    return failure();
  Value result = op->getResult(0);
  SmallVector<Scalar> elements = elementsOf(op, c.getType());
  unsigned want = row.n * row.n / lanes;
  if (row.map == LaneMap::WmmaGfx11 && bitsOf(row.d) == 16)
    want *= 2;
  if (elements.size() != want || elements[0].bits != bitsOf(row.d) ||
      c.getType() != result.getType())
    return op->emitOpError()
           << "has an accumulator of type " << c.getType()
           << ", the operation has " << want << " elements of " << bitsOf(row.d)
           << " bits per lane";
  o.c = reg(c);
  if (mayReuse(op, c))
    regs[result] = reg(c);
  else if (allocateFor(op, result) == noReg)
    return failure();
  static_assert(sizeof(o) % 4 == 0);
  uint32_t words[sizeof(o) / 4];
  std::memcpy(words, &o, sizeof(o));
  uint32_t extra = addExtra(words);
  Instr &i = emit(op, execAmdMatrix);
  i.dst = reg(result);
  i.imm = indexOf(row);
  i.extra = extra;
  return success();
}

LogicalResult Decoder::decodeAmdMatrix(Operation *op, bool &known) {
  const AmdTraits &chip = *program.amd;
  AmdMatrixOperands o{};
  o.scaleA = o.scaleB = noReg;
  auto flag = [&](StringRef name) {
    Attribute attribute = op->getAttr(name);
    if (auto b = dyn_cast_or_null<IntegerAttr>(attribute))
      return !b.getValue().isZero();
    return attribute != nullptr;
  };
  auto constant = [](Value v) -> std::optional<int64_t> {
    APInt value;
    if (matchPattern(v, m_ConstantInt(&value)))
      return value.getSExtValue();
    return std::nullopt;
  };
  auto lacks = [&]() {
    return op->emitOpError() << "is not an operation of " << chip.name;
  };

  // The operation by its shape and types.
  auto find = [&](StringRef prefix, unsigned n, unsigned k, AmdType a,
                  AmdType b, AmdType d) -> const AmdMatrixRow * {
    for (unsigned r = 0; r < countAmdMatrices(); ++r) {
      const AmdMatrixRow &row = getAmdMatrix(r);
      if (StringRef(row.name).starts_with(prefix) && row.n == n && row.k == k &&
          row.a == rowType(a) && row.b == rowType(b) && row.d == d &&
          row.families & chip.family)
        return &row;
    }
    return nullptr;
  };
  auto byTypes = [&](auto m, StringRef prefix, bool unsignedA, bool unsignedB,
                     bool reduced) -> LogicalResult {
    auto element = [](Value v) { return getElementTypeOrSelf(v.getType()); };
    auto a = typeOf(element(m.getSourceA()), chip, unsignedA, reduced);
    auto b = typeOf(element(m.getSourceB()), chip, unsignedB, reduced);
    auto d = typeOf(element(m.getDestC()), chip, false, false);
    const AmdMatrixRow *row = nullptr;
    if (a && b && d && m.getM() == m.getN())
      row = find(prefix, m.getN(), m.getK(), *a, *b, *d);
    if (!row)
      return op->emitOpError()
             << m.getM() << "x" << m.getN() << "x" << m.getK() << " of "
             << m.getSourceA().getType() << " and " << m.getSourceB().getType()
             << " has no emulation on " << chip.name;
    o.typeA = *a;
    o.typeB = *b;
    return emitAmdMatrix(op, *row, m.getSourceA(), m.getSourceB(), m.getDestC(),
                         o);
  };
  if (auto m = dyn_cast<amdgpu::MFMAOp>(op)) {
    if (m.getBlocks() != 1 || m.getCbsz() || m.getAbid() ||
        m.getBlgp() != amdgpu::MFMAPermB::none)
      return op->emitOpError("has no emulation with blocks or permutations");
    return byTypes(m, "mfma.", false, false, m.getReducePrecision());
  }
  if (auto m = dyn_cast<amdgpu::WMMAOp>(op)) {
    o.upper = m.getSubwordOffset();
    o.clamp = m.getClamp();
    return byTypes(m, "wmma.", m.getUnsignedA(), m.getUnsignedB(), false);
  }
  if (auto m = dyn_cast<amdgpu::ScaledMFMAOp>(op)) {
    auto a = formatOf(getElementTypeOrSelf(m.getSourceA().getType()));
    auto b = formatOf(getElementTypeOrSelf(m.getSourceB().getType()));
    const AmdMatrixRow *row =
        find("mfma.scale.", m.getN(), m.getK(), AmdType::Format,
             AmdType::Format, AmdType::F32);
    if (!row)
      return lacks();
    if (!a || !b)
      return op->emitOpError("has no emulation for these types");
    o.typeA = *a;
    o.typeB = *b;
    // Each scale of a vector has a register of its own.
    auto scale = [&](Value v, unsigned pick) -> Reg {
      unsigned at = isa<VectorType>(v.getType()) ? pick : 0;
      return reg(v) + at * 4 * program.lanes;
    };
    o.scaleA = scale(m.getScalesA(), m.getScalesIdxA());
    o.scaleB = scale(m.getScalesB(), m.getScalesIdxB());
    return emitAmdMatrix(op, *row, m.getSourceA(), m.getSourceB(), m.getDestC(),
                         o);
  }

  StringRef name = op->getName().getStringRef();
  if (!name.consume_front("rocdl.")) {
    known = false;
    return success();
  }
  const AmdMatrixRow *row = findAmdMatrix(name, chip.family);
  if (!row) {
    known = false;
    return success();
  }
  if (!(row->families & chip.family))
    return lacks();
  o.typeA = row->a;
  o.typeB = row->b;
  if (row->a == AmdType::Format) {
    // a, b, c, formats of a and b, then byte and register of each scale.
    auto formatA = constant(op->getOperand(3)),
         formatB = constant(op->getOperand(4)),
         pickA = constant(op->getOperand(5)),
         pickB = constant(op->getOperand(7));
    if (!formatA || !formatB || !pickA || !pickB || *formatA < 0 ||
        *formatA > 4 || *formatB < 0 || *formatB > 4 || *pickA < 0 ||
        *pickA > 3 || *pickB < 0 || *pickB > 3)
      return op->emitOpError(
          "needs constant formats in [0, 4] and scale bytes in [0, 3]");
    auto format = [](int64_t code) {
      return static_cast<AmdType>(int64_t(AmdType::FormatE4M3) + code);
    };
    o.typeA = format(*formatA);
    o.typeB = format(*formatB);
    o.pickA = *pickA;
    o.pickB = *pickB;
    // LLVM takes two zeros for "without scales".
    if (constant(op->getOperand(6)) != 0 || constant(op->getOperand(8)) != 0) {
      o.scaleA = reg(op->getOperand(6));
      o.scaleB = reg(op->getOperand(8));
    }
  } else if (name.starts_with("mfma.")) {
    for (Value v : op->getOperands().drop_front(3))
      if (constant(v) != 0)
        return op->emitOpError("has no emulation with permutations");
  } else {
    auto unsignedOf = [](AmdType type) {
      return type == AmdType::I8   ? AmdType::U8
             : type == AmdType::I4 ? AmdType::U4
                                   : type;
    };
    if (!flag("signA"))
      o.typeA = unsignedOf(o.typeA);
    if (!flag("signB"))
      o.typeB = unsignedOf(o.typeB);
    o.clamp = flag("clamp");
    o.upper = flag("opsel");
  }
  return emitAmdMatrix(op, *row, op->getOperand(0), op->getOperand(1),
                       op->getOperand(2), o);
}
