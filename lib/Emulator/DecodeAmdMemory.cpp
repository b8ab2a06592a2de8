//===- DecodeAmdMemory.cpp - Buffer resources, LDS, narrow floats -------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Amd.h"
#include "Decoder.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::emu;

static int64_t numberOf(Operation *op, StringRef name, int64_t otherwise = 0) {
  auto attribute = dyn_cast_or_null<IntegerAttr>(op->getAttr(name));
  return attribute ? attribute.getValue().getZExtValue() : otherwise;
}

static std::optional<int64_t> constantOf(Value v) {
  APInt value;
  if (matchPattern(v, m_ConstantInt(&value)))
    return value.getSExtValue();
  return std::nullopt;
}

static uint64_t packScalar(Scalar s) { return uint64_t(s.cls) << 8 | s.bits; }

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Reg Decoder::bufferOffset(Operation *op, Value pointer) {
  Scalar i32{Scalar::Int, 32}, i64{Scalar::Int, 64};
  Reg at = allocate(i32);
  Instr &i = emit(op, findConversion("trunc", i64, i32));
  i.dst = at;
  i.a = reg(pointer) + rsrcOffset * 8 * program.lanes;
  i.imm = 0xFFFFFFFF;
  return at;
}

LogicalResult Decoder::decodeAmdMemory(Operation *op, StringRef name,
                                       bool &known) {
  const AmdTraits &chip = *program.amd;
  unsigned wideBytes = 8 * program.lanes;
  auto isFat = [](Value v) {
    auto type = dyn_cast<LLVM::LLVMPointerType>(v.getType());
    return type && type.getAddressSpace() == 7;
  };
  // Access to `type` behind resource `rsrc`.
  auto access = [&](Fn fn, Type type, Reg value, Reg rsrc, Reg offset,
                    Reg scalarOffset, uint64_t align) {
    SmallVector<Scalar> elements = elementsOf(op, type);
    if (elements.empty())
      return failure();
    uint64_t bytes = uint64_t(elements[0].bytes()) * elements.size();
    if (elements[0].bits < 8 || bytes > 16 || !llvm::all_equal(elements))
      return LogicalResult(op->emitOpError("has no emulation for type ")
                           << type);
    Instr &i = emit(op, fn);
    i.dst = value;
    i.a = rsrc;
    i.b = offset;
    i.c = scalarOffset;
    i.count = elements.size();
    i.imm = elements[0].bytes();
    i.flags = (elements[0].wide() ? memWide : 0u) |
              uint32_t(std::min<uint64_t>(align, 4)) << memAlignShift;
    return success();
  };
  auto naturalAlign = [&](Type type) {
    return std::min<uint64_t>(alignOf(type), 4);
  };

  // Pointers of space 7 under ordinary operations.
  if (auto load = dyn_cast<LLVM::LoadOp>(op); load && isFat(load.getAddr())) {
    if (allocateFor(op, load.getResult()) == noReg)
      return failure();
    return access(execBufferLoad, load.getType(), reg(load.getResult()),
                  reg(load.getAddr()), bufferOffset(op, load.getAddr()), noReg,
                  load.getAlignment().value_or(naturalAlign(load.getType())));
  }
  if (auto store = dyn_cast<LLVM::StoreOp>(op);
      store && isFat(store.getAddr())) {
    Type type = store.getValue().getType();
    return access(execBufferStore, type, reg(store.getValue()),
                  reg(store.getAddr()), bufferOffset(op, store.getAddr()),
                  noReg, store.getAlignment().value_or(naturalAlign(type)));
  }
  if (isa<LLVM::AtomicRMWOp, LLVM::AtomicCmpXchgOp>(op) &&
      isFat(op->getOperand(0)))
    return op->emitOpError("has no emulation on buffer pointers");
  if (auto cast = dyn_cast<LLVM::AddrSpaceCastOp>(op);
      cast && (isFat(cast.getResult()) || isFat(cast.getArg()))) {
    if (spaceOf(cast.getArg().getType()) != 8)
      return op->emitOpError("has no emulation");
    if (allocateFor(op, cast.getResult()) == noReg)
      return failure();
    Reg to = reg(cast.getResult()), from = reg(cast.getArg());
    emitMoves(
        op, {{to, from, 3 * wideBytes, true, false},
             {to + 3 * wideBytes, constant(true, 0), wideBytes, true, false}});
    return success();
  }
  if (auto gep = dyn_cast<LLVM::GEPOp>(op); gep && isFat(gep.getBase())) {
    // The resource stays; decodeMemory computes the offset.
    if (allocateFor(op, gep.getResult()) == noReg)
      return failure();
    emitMoves(op, {{reg(gep.getResult()), reg(gep.getBase()), 3 * wideBytes,
                    true, false}});
    known = false;
    return success();
  }

  if (!name.consume_front("rocdl.")) {
    known = false;
    return success();
  }
  auto operand = [&](unsigned n) { return reg(op->getOperand(n)); };
  if (name == "make.buffer.rsrc") {
    if (constantOf(op->getOperand(1)) != 0)
      return op->emitOpError("has no emulation with a stride");
    if (allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    Reg to = reg(op->getResult(0));
    SmallVector<Move> moves{
        {to, operand(0), wideBytes, true, false},
        {to + wideBytes, operand(2), wideBytes, true, false}};
    if (isFat(op->getResult(0)))
      moves.push_back(
          {to + 3 * wideBytes, constant(true, 0), wideBytes, true, false});
    emitMoves(op, moves);
    Instr &i =
        emit(op, findConversion("zext", {Scalar::Int, 32}, {Scalar::Int, 64}));
    i.dst = to + rsrcFlags * wideBytes;
    i.a = operand(3);
    i.imm = 0xFFFFFFFF;
    return success();
  }
  if (name == "raw.ptr.buffer.load") {
    Type type = op->getResult(0).getType();
    if (allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    return access(execBufferLoad, type, reg(op->getResult(0)), operand(0),
                  operand(1), operand(2), naturalAlign(type));
  }
  if (name == "raw.ptr.buffer.store") {
    Type type = op->getOperand(0).getType();
    return access(execBufferStore, type, operand(0), operand(1), operand(2),
                  operand(3), naturalAlign(type));
  }
  if (name.starts_with("raw.ptr.buffer.atomic.")) {
    static const llvm::StringMap<RmwOp> kinds = {{"fadd", RmwOp::FAdd},
                                                 {"fmax", RmwOp::FMax},
                                                 {"smax", RmwOp::Max},
                                                 {"umin", RmwOp::UMin},
                                                 {"cmpswap", RmwOp::Xchg}};
    auto it = kinds.find(name.substr(strlen("raw.ptr.buffer.atomic.")));
    SmallVector<Scalar> elements = elementsOf(op, op->getOperand(0).getType());
    if (elements.empty())
      return failure();
    if (it == kinds.end())
      return op->emitOpError("has no emulation");
    bool swaps = it->second == RmwOp::Xchg;
    unsigned first = swaps ? 2 : 1;
    uint32_t extra = addExtra({operand(0), swaps ? operand(1) : noReg});
    if (swaps && allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    Instr &i = emit(op, execBufferAtomic);
    i.dst = swaps ? reg(op->getResult(0)) : noReg;
    i.a = operand(first);
    i.b = operand(first + 1);
    i.c = operand(first + 2);
    i.count = elements.size();
    i.imm = uint64_t(it->second) | packScalar(elements[0]) << 8;
    i.extra = extra;
    return success();
  }

  // Copies into LDS.
  bool fromBuffer = name == "raw.ptr.buffer.load.lds";
  if (fromBuffer || name == "global.load.lds" || name == "load.to.lds") {
    std::optional<int64_t> size, offset;
    if (fromBuffer) {
      size = constantOf(op->getOperand(2));
      offset = constantOf(op->getOperand(5));
    } else {
      size = numberOf(op, "size");
      offset = numberOf(op, "offset");
    }
    Value source = op->getOperand(0);
    bool isResource = fromBuffer || isFat(source);
    bool hasSize =
        size && (*size == 1 || *size == 2 || *size == 4 ||
                 (chip.family == cdna4 && (*size == 12 || *size == 16)));
    if (!chip.isCdna())
      return op->emitOpError() << "is not an operation of " << chip.name;
    if (!hasSize || !offset)
      return op->emitOpError()
             << "copies " << (size ? std::to_string(*size) : "unknown")
             << " bytes per lane: no operation of " << chip.name;
    Reg laneOffset = noReg, scalarOffset = noReg;
    if (fromBuffer) {
      laneOffset = operand(3);
      scalarOffset = operand(4);
    } else if (isResource) {
      laneOffset = bufferOffset(op, source);
    }
    uint32_t extra = addExtra(laneOffset);
    Instr &i = emit(op, execLoadToShared);
    i.a = reg(source);
    i.b = operand(1);
    i.c = scalarOffset;
    i.imm = *size;
    i.flags = *offset;
    i.extra = extra;
    return success();
  }
  if (name.starts_with("ds.read.tr")) {
    if (chip.family != cdna4)
      return op->emitOpError() << "is not an operation of " << chip.name;
    SmallVector<Scalar> elements = elementsOf(op, op->getResult(0).getType());
    if (elements.empty() || allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    static const llvm::StringMap<unsigned> kinds = {{"ds.read.tr4.b64", 4},
                                                    {"ds.read.tr6.b96", 6},
                                                    {"ds.read.tr8.b64", 8},
                                                    {"ds.read.tr16.b64", 16}};
    auto it = kinds.find(name);
    if (it == kinds.end())
      return op->emitOpError("has no emulation");
    unsigned bits = it->second == 6 ? 96 : 64;
    bool words = elements[0].bits == 32;
    if (elements[0].bits * elements.size() != bits ||
        (!words && elements[0].bits != 16))
      return op->emitOpError("has no emulation for type ")
             << op->getResult(0).getType();
    Reg at = reg(op->getResult(0));
    if (!words)
      at = allocate({Scalar{Scalar::Int, 32}, Scalar{Scalar::Int, 32}});
    Instr &i = emit(op, execReadTransposed);
    i.dst = at;
    i.a = operand(0);
    i.imm = it->second;
    i.count = bits / 32;
    if (!words) {
      Instr &unpack = emit(op, execBitcast);
      unpack.dst = reg(op->getResult(0));
      unpack.a = at;
      unpack.count = 2;
      unpack.imm = 32 << 8 | 16;
    }
    return success();
  }
  known = false;
  return success();
}

//===----------------------------------------------------------------------===//
// Narrow floats
//===----------------------------------------------------------------------===//

LogicalResult Decoder::decodeAmdConversion(Operation *op, StringRef name,
                                           bool &known) {
  const AmdTraits &chip = *program.amd;
  StringRef rest = name;
  if (!rest.consume_front("cvt.")) {
    known = false;
    return success();
  }
  auto lacks = [&]() {
    return op->emitOpError() << "is not an operation of " << chip.name;
  };
  Value result = op->getResult(0);
  auto operand = [&](unsigned n) { return reg(op->getOperand(n)); };
  if (rest == "pkrtz") {
    if (allocateFor(op, result) == noReg)
      return failure();
    Instr &i = emit(op, execPkRtz);
    i.dst = reg(result);
    i.a = operand(0);
    i.b = operand(1);
    return success();
  }
  // cvt.[scalef32.][pk.]TO.FROM
  bool scaled = rest.consume_front("scalef32.");
  bool pair = rest.consume_front("pk.");
  auto [toName, fromName] = rest.split('.');
  auto narrow = [&](StringRef type) -> std::optional<ElementType> {
    if (type == "fp8")
      return chip.fp8();
    if (type == "bf8")
      return chip.bf8();
    if (type == "fp4" && scaled)
      return ElementType::F4E2M1FN;
    return std::nullopt;
  };
  auto wide = [](StringRef type) -> std::optional<Scalar> {
    if (type == "f32")
      return Scalar{Scalar::F32, 32};
    if (type == "f16")
      return Scalar{Scalar::F16, 16};
    if (type == "bf16")
      return Scalar{Scalar::BF16, 16};
    return std::nullopt;
  };
  auto number = [&](StringRef attribute, unsigned step) -> uint32_t {
    return numberOf(op, attribute) * step;
  };
  if (chip.family == rdna3 || (scaled && chip.family != cdna4))
    return lacks();
  if (auto from = narrow(fromName), unused = from; from && wide(toName)) {
    (void)unused;
    // Into half of an old pair, or a whole result.
    bool updates = scaled && !pair && toName == "f16";
    unsigned first = updates ? 1 : 0;
    if (allocateFor(op, result) == noReg)
      return failure();
    Reg to = reg(result);
    if (updates) {
      SmallVector<Move> moves;
      addMoves(moves, to, operand(0), result.getType());
      emitMoves(op, moves);
      to += number("dstLoHiSel", 4 * program.lanes);
    }
    uint32_t at = 0;
    if (op->getAttr("byteSel"))
      at = number("byteSel", 1);
    else if (op->getAttr("wordSel"))
      at = number("wordSel", 2);
    else if (op->getAttr("srcLoHiSel"))
      at = number("srcLoHiSel", 2);
    else
      at = number("srcSelIndex", pair ? 2 : 1);
    if (at * getBitWidth(*from) >= 32)
      return op->emitOpError("selects bytes outside the word");
    Instr &i = emit(op, execAmdUnpack);
    i.dst = to;
    i.a = operand(first);
    i.b = scaled ? operand(first + 1) : noReg;
    i.count = pair ? 2 : 1;
    i.flags = at;
    i.imm = uint64_t(*from) << 16 | packScalar(*wide(toName));
    return success();
  }
  auto to = narrow(toName);
  auto from = wide(fromName);
  if (!to || !from || !pair)
    return op->emitOpError("has no emulation");
  // Without a scale: a, b, old. With one: old, a pair or two values, scale.
  SmallVector<uint32_t> sources;
  Reg old, scale = noReg;
  if (!scaled) {
    sources = {operand(0), operand(1)};
    old = operand(2);
  } else if (op->getNumOperands() == 4) {
    old = operand(0);
    sources = {operand(1), operand(2)};
    scale = operand(3);
  } else {
    old = operand(0);
    sources = {operand(1), operand(1) + 4 * program.lanes};
    scale = operand(2);
  }
  if (allocateFor(op, result) == noReg)
    return failure();
  bool halves = isa<VectorType>(result.getType());
  uint32_t at;
  if (op->getAttr("wordSel"))
    at = number("wordSel", 2);
  else if (halves)
    at = number("dstLoHiSel", 1) | 1 << 8;
  else
    at = number("dstSelIndex", 2);
  uint32_t extra = addExtra(sources);
  Instr &i = emit(op, execAmdPack);
  i.dst = reg(result);
  i.a = old;
  i.b = scale;
  i.flags = at;
  i.imm = uint64_t(*to) << 16 | packScalar(*from);
  i.extra = extra;
  return success();
}
