//===- DecodeArith.cpp - Arithmetic and vectors -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Decoder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::emu;

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

/// The emulator's name of an elementwise operation, or "".
static StringRef elementwiseName(StringRef op) {
  static const llvm::StringMap<const char *> names = {
      // Integers.
      {"arith.addi", "add"},
      {"arith.subi", "sub"},
      {"arith.muli", "mul"},
      {"arith.divui", "udiv"},
      {"arith.divsi", "sdiv"},
      {"arith.remui", "urem"},
      {"arith.remsi", "srem"},
      {"arith.ceildivui", "ceildivu"},
      {"arith.andi", "and"},
      {"arith.ori", "or"},
      {"arith.xori", "xor"},
      {"arith.shli", "shl"},
      {"arith.shrui", "lshr"},
      {"arith.shrsi", "ashr"},
      {"arith.maxsi", "smax"},
      {"arith.minsi", "smin"},
      {"arith.maxui", "umax"},
      {"arith.minui", "umin"},
      {"math.absi", "abs"},
      {"math.ctpop", "ctpop"},
      {"math.ctlz", "ctlz"},
      {"math.cttz", "cttz"},
      {"llvm.add", "add"},
      {"llvm.sub", "sub"},
      {"llvm.mul", "mul"},
      {"llvm.udiv", "udiv"},
      {"llvm.sdiv", "sdiv"},
      {"llvm.urem", "urem"},
      {"llvm.srem", "srem"},
      {"llvm.and", "and"},
      {"llvm.or", "or"},
      {"llvm.xor", "xor"},
      {"llvm.shl", "shl"},
      {"llvm.lshr", "lshr"},
      {"llvm.ashr", "ashr"},
      {"llvm.intr.smax", "smax"},
      {"llvm.intr.smin", "smin"},
      {"llvm.intr.umax", "umax"},
      {"llvm.intr.umin", "umin"},
      {"llvm.intr.abs", "abs"},
      {"llvm.intr.ctpop", "ctpop"},
      {"llvm.intr.ctlz", "ctlz"},
      {"llvm.intr.cttz", "cttz"},
      {"llvm.intr.bswap", "bswap"},
      {"llvm.intr.bitreverse", "bitreverse"},
      {"llvm.intr.fshl", "fshl"},
      {"llvm.intr.fshr", "fshr"},
      {"arith.cmpi", "icmp"},
      {"llvm.icmp", "icmp"},
      {"llvm.freeze", "copy"},
      // Floats.
      {"arith.cmpf", "fcmp"},
      {"llvm.fcmp", "fcmp"},
      {"arith.addf", "fadd"},
      {"arith.subf", "fsub"},
      {"arith.mulf", "fmul"},
      {"arith.divf", "fdiv"},
      {"arith.remf", "frem"},
      {"arith.negf", "fneg"},
      {"arith.maxnumf", "maxnum"},
      {"arith.minnumf", "minnum"},
      {"arith.maximumf", "maximum"},
      {"arith.minimumf", "minimum"},
      {"llvm.fadd", "fadd"},
      {"llvm.fsub", "fsub"},
      {"llvm.fmul", "fmul"},
      {"llvm.fdiv", "fdiv"},
      {"llvm.frem", "frem"},
      {"llvm.fneg", "fneg"},
      {"llvm.intr.maxnum", "maxnum"},
      {"llvm.intr.minnum", "minnum"},
      {"llvm.intr.maximum", "maximum"},
      {"llvm.intr.minimum", "minimum"},
      {"llvm.intr.copysign", "copysign"},
      {"math.copysign", "copysign"},
      {"llvm.intr.pow", "pow"},
      {"math.powf", "pow"},
      {"llvm.intr.fma", "fma"},
      {"llvm.intr.fmuladd", "fma"},
      {"math.fma", "fma"},
      {"llvm.intr.fabs", "fabs"},
      {"math.absf", "fabs"},
      {"llvm.intr.sqrt", "sqrt"},
      {"math.sqrt", "sqrt"},
      {"math.rsqrt", "rsqrt"},
      {"nvvm.rcp.approx.ftz.f", "rcp"},
      {"llvm.intr.exp", "exp"},
      {"math.exp", "exp"},
      {"llvm.intr.exp2", "exp2"},
      {"math.exp2", "exp2"},
      {"math.expm1", "expm1"},
      {"llvm.intr.log", "log"},
      {"math.log", "log"},
      {"llvm.intr.log2", "log2"},
      {"math.log2", "log2"},
      {"math.log1p", "log1p"},
      {"llvm.intr.tanh", "tanh"},
      {"math.tanh", "tanh"},
      {"math.erf", "erf"},
      {"llvm.intr.sin", "sin"},
      {"math.sin", "sin"},
      {"llvm.intr.cos", "cos"},
      {"math.cos", "cos"},
      {"llvm.intr.floor", "floor"},
      {"math.floor", "floor"},
      {"llvm.intr.ceil", "ceil"},
      {"math.ceil", "ceil"},
      {"llvm.intr.trunc", "trunc"},
      {"math.trunc", "trunc"},
      {"llvm.intr.round", "round"},
      {"math.round", "round"},
      {"llvm.intr.roundeven", "roundeven"},
      {"math.roundeven", "roundeven"},
      {"llvm.intr.rint", "rint"},
      {"llvm.intr.nearbyint", "nearbyint"}};
  auto it = names.find(op);
  return it == names.end() ? "" : it->second;
}

static StringRef castName(StringRef op) {
  static const llvm::StringMap<const char *> names = {
      {"arith.extui", "zext"},        {"arith.extsi", "sext"},
      {"arith.trunci", "trunc"},      {"arith.index_cast", "sext"},
      {"arith.index_castui", "zext"}, {"arith.extf", "fpext"},
      {"arith.truncf", "fptrunc"},    {"arith.sitofp", "sitofp"},
      {"arith.uitofp", "uitofp"},     {"arith.fptosi", "fptosi"},
      {"arith.fptoui", "fptoui"},     {"llvm.zext", "zext"},
      {"llvm.sext", "sext"},          {"llvm.trunc", "trunc"},
      {"llvm.fpext", "fpext"},        {"llvm.fptrunc", "fptrunc"},
      {"llvm.sitofp", "sitofp"},      {"llvm.uitofp", "uitofp"},
      {"llvm.fptosi", "fptosi"},      {"llvm.fptoui", "fptoui"},
      {"llvm.ptrtoint", "trunc"},     {"llvm.inttoptr", "zext"},
      {"arith.bitcast", "bitcast"},   {"llvm.bitcast", "bitcast"},
      {"vector.bitcast", "bitcast"},  {"vector.shape_cast", "bitcast"}};
  auto it = names.find(op);
  return it == names.end() ? "" : it->second;
}

LogicalResult Decoder::decodeArith(Operation *op, bool &known) {
  StringRef full = op->getName().getStringRef();
  if (StringRef cast = castName(full); !cast.empty())
    return decodeCast(op, cast);
  if (StringRef name = elementwiseName(full); !name.empty()) {
    SmallVector<Scalar> in = elementsOf(op, op->getOperand(0).getType());
    if (in.empty() || allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    Fn fn = findElementwise(name, in[0], in[0]);
    if (!fn || !llvm::all_equal(in))
      return op->emitOpError("has no emulation for type ")
             << op->getOperand(0).getType();
    Instr &i = emit(op, fn);
    i.dst = reg(op->getResult(0));
    i.a = reg(op->getOperand(0));
    if (op->getNumOperands() > 1)
      i.b = reg(op->getOperand(1));
    if (op->getNumOperands() > 2)
      i.c = reg(op->getOperand(2));
    i.count = in.size();
    if (name == "icmp" || name == "fcmp")
      i.imm = cast<IntegerAttr>(op->getAttr("predicate")).getInt();
    return success();
  }
  if (auto c = dyn_cast<arith::ConstantOp>(op))
    return decodeConstant(op, c.getValue());
  if (auto c = dyn_cast<LLVM::ConstantOp>(op))
    return decodeConstant(op, c.getValue());
  if (isa<LLVM::UndefOp, LLVM::PoisonOp, LLVM::ZeroOp, ub::PoisonOp>(op))
    return success(allocateFor(op, op->getResult(0)) != noReg);
  if (isa<arith::SelectOp, LLVM::SelectOp>(op)) {
    SmallVector<Scalar> elements = elementsOf(op, op->getOperand(1).getType());
    if (elements.empty() || allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    if (!llvm::all_of(elements,
                      [&](Scalar s) { return s.wide() == elements[0].wide(); }))
      return op->emitOpError("has no emulation for mixed widths");
    Instr &i = emit(op, elements[0].wide() ? execSelect64 : execSelect32);
    i.dst = reg(op->getResult(0));
    i.a = reg(op->getOperand(0));
    i.b = reg(op->getOperand(1));
    i.c = reg(op->getOperand(2));
    i.count = elements.size();
    i.flags = isa<VectorType>(op->getOperand(0).getType());
    return success();
  }
  if (isa<LLVM::AssumeOp, LLVM::LifetimeStartOp, LLVM::LifetimeEndOp,
          LLVM::Prefetch>(op))
    return success();
  known = false;
  return success();
}

LogicalResult Decoder::fillConstant(Operation *op, Reg at, Type type,
                                    Attribute value) {
  auto elements = flatten(type);
  if (!elements)
    return failure();
  auto bits = [](Attribute a) -> std::optional<uint64_t> {
    if (auto i = dyn_cast<IntegerAttr>(a))
      return i.getValue().getZExtValue();
    if (auto f = dyn_cast<FloatAttr>(a))
      return f.getValue().bitcastToAPInt().getZExtValue();
    return std::nullopt;
  };
  if (auto v = bits(value)) {
    setConstant(at, (*elements)[0], *v);
    return success();
  }
  if (auto dense = dyn_cast<DenseElementsAttr>(value)) {
    for (auto [i, a] : llvm::enumerate(dense.getValues<Attribute>())) {
      auto v = bits(a);
      if (!v || i >= elements->size())
        return failure();
      setConstant(at, (*elements)[i], *v);
      at += (*elements)[i].regBytes(program.lanes);
    }
    return success();
  }
  return success(isa<LLVM::ZeroAttr, LLVM::UndefAttr>(value));
}

LogicalResult Decoder::decodeConstant(Operation *op, Attribute value) {
  Type type = op->getResult(0).getType();
  // Equal scalars share a register.
  if (isa<IntegerAttr, FloatAttr>(value)) {
    SmallVector<Scalar> elements = elementsOf(op, type);
    if (elements.empty())
      return failure();
    if (elements.size() == 1) {
      uint64_t bits = isa<IntegerAttr>(value)
                          ? cast<IntegerAttr>(value).getValue().getZExtValue()
                          : cast<FloatAttr>(value)
                                .getValue()
                                .bitcastToAPInt()
                                .getZExtValue();
      alias(op->getResult(0), constant(elements[0].wide(), bits));
      return success();
    }
  }
  if (allocateFor(op, op->getResult(0)) == noReg)
    return failure();
  shared.insert(reg(op->getResult(0)));
  if (failed(fillConstant(op, reg(op->getResult(0)), type, value)))
    return op->emitOpError("has no emulation for the value ") << value;
  return success();
}

LogicalResult Decoder::decodeCast(Operation *op, StringRef name) {
  SmallVector<Scalar> in = elementsOf(op, op->getOperand(0).getType());
  SmallVector<Scalar> out = elementsOf(op, op->getResult(0).getType());
  if (in.empty() || out.empty())
    return failure();
  Reg from = reg(op->getOperand(0));
  if (name == "bitcast") {
    if (in.size() == out.size() && in[0].bits == out[0].bits) {
      alias(op->getResult(0), from);
      return success();
    }
    allocateFor(op, op->getResult(0));
    Instr &i = emit(op, execBitcast);
    i.dst = reg(op->getResult(0));
    i.a = from;
    i.count = in.size();
    i.imm = in[0].bits << 8 | out[0].bits;
    return success();
  }
  if ((name == "zext" || name == "trunc" || name == "sext") &&
      in[0].bits == out[0].bits) {
    alias(op->getResult(0), from);
    return success();
  }
  if (name == "sext" && out[0].bits < in[0].bits)
    name = "trunc";
  if (name == "zext" && out[0].bits < in[0].bits)
    name = "trunc";
  Fn fn = findConversion(name, in[0], out[0]);
  if (!fn)
    return op->emitOpError("has no emulation");
  allocateFor(op, op->getResult(0));
  Instr &i = emit(op, fn);
  i.dst = reg(op->getResult(0));
  i.a = from;
  i.count = in.size();
  auto ones = [](unsigned bits) {
    return bits == 64 ? ~0ull : (1ull << bits) - 1;
  };
  auto pack = [](Scalar s) { return uint64_t(s.cls) << 8 | s.bits; };
  if (name == "zext" || name == "trunc") {
    i.imm = ones(std::min(in[0].bits, out[0].bits));
  } else if (name == "sext") {
    i.imm = in[0].bits;
    i.flags = out[0].bits;
  } else {
    i.imm = pack(in[0]) << 16 | pack(out[0]);
    i.flags = name == "sitofp" || name == "fptosi";
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Aggregates and vectors
//===----------------------------------------------------------------------===//

LogicalResult Decoder::decodeVector(Operation *op, bool &known) {
  // Offset of a position in a flattened aggregate.
  auto offsetOf = [&](Type type, ArrayRef<int64_t> position, Type &inner) {
    uint32_t offset = 0;
    inner = type;
    auto bytes = [&](Type t) {
      uint32_t sum = 0;
      SmallVector<Scalar> elements = *flatten(t);
      for (Scalar s : elements)
        sum += s.regBytes(program.lanes);
      return sum;
    };
    for (int64_t p : position) {
      if (auto s = dyn_cast<LLVM::LLVMStructType>(inner)) {
        for (int64_t f = 0; f < p; ++f)
          offset += bytes(s.getBody()[f]);
        inner = s.getBody()[p];
      } else if (auto a = dyn_cast<LLVM::LLVMArrayType>(inner)) {
        inner = a.getElementType();
        offset += p * bytes(inner);
      } else {
        auto v = cast<VectorType>(inner);
        inner = v.getRank() > 1
                    ? Type(VectorType::get(v.getShape().drop_front(),
                                           v.getElementType()))
                    : v.getElementType();
        offset += p * bytes(inner);
      }
    }
    return offset;
  };
  // `result` = `aggregate` with `value` at `offset`.
  auto insert = [&](Value aggregate, Value value, uint32_t offset) {
    Value result = op->getResult(0);
    SmallVector<Move> moves;
    if (mayReuse(op, aggregate)) {
      regs[result] = reg(aggregate);
    } else {
      if (allocateFor(op, result) == noReg)
        return failure();
      addMoves(moves, reg(result), reg(aggregate), result.getType());
      emitMoves(op, moves);
      moves.clear();
    }
    addMoves(moves, reg(result) + offset, reg(value), value.getType());
    emitMoves(op, moves);
    return success();
  };
  auto constantIndex = [](Value v) -> std::optional<int64_t> {
    APInt value;
    if (matchPattern(v, m_ConstantInt(&value)))
      return value.getZExtValue();
    return std::nullopt;
  };

  if (auto e = dyn_cast<LLVM::ExtractValueOp>(op)) {
    Value from = e.getContainer();
    if (elementsOf(op, from.getType()).empty())
      return failure();
    auto type = dyn_cast<LLVM::LLVMStructType>(from.getType());
    if (type && type.getBody().size() > 1 && llvm::all_equal(type.getBody()) &&
        (type.getBody()[0].isF32() || type.getBody()[0].isInteger(32)) &&
        checkedStructs.insert({from, op->getBlock()}).second)
      emit(op, execCheckAccumulator).a = reg(from);
    Type inner;
    uint32_t offset = offsetOf(from.getType(), e.getPosition(), inner);
    shared.insert(reg(from));
    alias(op->getResult(0), reg(from) + offset);
    return success();
  }
  if (auto e = dyn_cast<LLVM::InsertValueOp>(op)) {
    if (elementsOf(op, e.getContainer().getType()).empty())
      return failure();
    Type inner;
    return insert(e.getContainer(), e.getValue(),
                  offsetOf(e.getContainer().getType(), e.getPosition(), inner));
  }
  if (auto e = dyn_cast<vector::ExtractOp>(op)) {
    if (e.hasDynamicPosition())
      return op->emitOpError("has no emulation for dynamic positions");
    Type inner;
    uint32_t offset =
        offsetOf(e.getSource().getType(), e.getStaticPosition(), inner);
    shared.insert(reg(e.getSource()));
    alias(op->getResult(0), reg(e.getSource()) + offset);
    return success();
  }
  if (auto e = dyn_cast<vector::InsertOp>(op)) {
    if (e.hasDynamicPosition())
      return op->emitOpError("has no emulation for dynamic positions");
    Type inner;
    return insert(
        e.getDest(), e.getValueToStore(),
        offsetOf(e.getDest().getType(), e.getStaticPosition(), inner));
  }
  if (auto e = dyn_cast<LLVM::ExtractElementOp>(op)) {
    Value from = e.getVector();
    SmallVector<Scalar> elements = elementsOf(op, from.getType());
    if (elements.empty())
      return failure();
    if (auto at = constantIndex(e.getPosition())) {
      if (*at >= int64_t(elements.size()))
        return op->emitOpError()
               << "position " << *at << " is outside " << from.getType();
      shared.insert(reg(from));
      alias(op->getResult(0),
            reg(from) + *at * elements[0].regBytes(program.lanes));
      return success();
    }
    if (allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    Instr &i = emit(op, execExtractDynamic);
    i.dst = reg(op->getResult(0));
    i.a = reg(from);
    i.b = reg(e.getPosition());
    i.count = elements.size();
    i.flags = elements[0].wide();
    i.imm = (*flatten(e.getPosition().getType()))[0].wide();
    return success();
  }
  if (auto e = dyn_cast<LLVM::InsertElementOp>(op)) {
    SmallVector<Scalar> elements = elementsOf(op, e.getVector().getType());
    if (elements.empty())
      return failure();
    if (auto at = constantIndex(e.getPosition())) {
      if (*at >= int64_t(elements.size()))
        return op->emitOpError() << "position " << *at << " is outside "
                                 << e.getVector().getType();
      return insert(e.getVector(), e.getValue(),
                    *at * elements[0].regBytes(program.lanes));
    }
    if (allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    SmallVector<Move> moves;
    addMoves(moves, reg(op->getResult(0)), reg(e.getVector()),
             e.getVector().getType());
    emitMoves(op, moves);
    Instr &i = emit(op, execInsertDynamic);
    i.dst = reg(op->getResult(0));
    i.b = reg(e.getPosition());
    i.c = reg(e.getValue());
    i.count = elements.size();
    i.flags = elements[0].wide();
    i.imm = (*flatten(e.getPosition().getType()))[0].wide();
    return success();
  }
  // Whatever only arranges elements: pick element `pick(i)` of the operands.
  auto arrange = [&](ArrayRef<Reg> sources) {
    Value result = op->getResult(0);
    SmallVector<Scalar> elements = elementsOf(op, result.getType());
    if (elements.empty() || allocateFor(op, result) == noReg)
      return failure();
    SmallVector<Move> moves;
    Reg to = reg(result);
    for (size_t i = 0; i < elements.size(); ++i) {
      if (sources[i] != noReg)
        moves.push_back({to, sources[i], elements[i].regBytes(program.lanes),
                         elements[i].wide(), false});
      to += elements[i].regBytes(program.lanes);
    }
    emitMoves(op, moves);
    return success();
  };
  auto shuffle = [&](Value a, Value b, ArrayRef<int64_t> mask) {
    SmallVector<Scalar> elements = elementsOf(op, a.getType());
    int64_t n = elements.size();
    SmallVector<Reg> sources;
    for (int64_t m : mask)
      sources.push_back(m < 0 ? noReg
                              : (m < n ? reg(a) : reg(b)) +
                                    uint32_t(m % n) *
                                        elements[0].regBytes(program.lanes));
    return arrange(sources);
  };
  if (auto e = dyn_cast<LLVM::ShuffleVectorOp>(op)) {
    SmallVector<int64_t> mask(e.getMask().begin(), e.getMask().end());
    return shuffle(e.getV1(), e.getV2(), mask);
  }
  if (auto e = dyn_cast<vector::ShuffleOp>(op))
    return shuffle(e.getV1(), e.getV2(), e.getMask());
  if (auto e = dyn_cast<vector::FromElementsOp>(op)) {
    SmallVector<Reg> sources;
    for (Value v : e.getElements())
      sources.push_back(reg(v));
    return arrange(sources);
  }
  if (auto e = dyn_cast<vector::ToElementsOp>(op)) {
    SmallVector<Scalar> elements = elementsOf(op, e.getSource().getType());
    shared.insert(reg(e.getSource()));
    Reg at = reg(e.getSource());
    for (auto [i, result] : llvm::enumerate(op->getResults())) {
      alias(result, at);
      at += elements[i].regBytes(program.lanes);
    }
    return success();
  }
  if (auto e = dyn_cast<vector::BroadcastOp>(op)) {
    SmallVector<Scalar> to = elementsOf(op, e.getType());
    SmallVector<Scalar> from = elementsOf(op, e.getSource().getType());
    if (to.empty() || from.empty())
      return failure();
    SmallVector<Reg> sources;
    for (size_t i = 0; i < to.size(); ++i)
      sources.push_back(reg(e.getSource()) +
                        i % from.size() * from[0].regBytes(program.lanes));
    return arrange(sources);
  }
  if (auto e = dyn_cast<vector::ExtractStridedSliceOp>(op)) {
    auto type = e.getSourceVectorType();
    if (type.getRank() != 1)
      return op->emitOpError("has no emulation beyond one dimension");
    SmallVector<Scalar> elements = elementsOf(op, type);
    int64_t first = cast<IntegerAttr>(e.getOffsets()[0]).getInt();
    shared.insert(reg(e.getSource()));
    alias(op->getResult(0),
          reg(e.getSource()) + first * elements[0].regBytes(program.lanes));
    return success();
  }
  known = false;
  return success();
}
