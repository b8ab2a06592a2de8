//===- DecodeAmd.cpp - Operations of rocdl and amdgpu -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Amd.h"
#include "Decoder.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::emu;

//===----------------------------------------------------------------------===//
// Chips
//===----------------------------------------------------------------------===//

static const AmdTraits chips[] = {
    {"gfx942", cdna3, 64, 65536},  {"gfx950", cdna4, 64, 163840},
    {"gfx1100", rdna3, 32, 65536}, {"gfx1101", rdna3, 32, 65536},
    {"gfx1150", rdna3, 32, 65536}, {"gfx1151", rdna3, 32, 65536},
    {"gfx1200", rdna4, 32, 65536}, {"gfx1201", rdna4, 32, 65536},
};

const AmdTraits *emu::findAmdTraits(StringRef name) {
  for (const AmdTraits &chip : chips)
    if (chip.name == name)
      return &chip;
  return nullptr;
}

std::string emu::listAmdTraits() {
  std::string all;
  for (const AmdTraits &chip : chips)
    all += (all.empty() ? "" : ", ") + chip.name.str();
  return all;
}

StringRef emu::findAmdTarget(ModuleOp module) {
  StringRef chip;
  module.walk([&](Operation *op) {
    if (auto name = op->getAttrOfType<StringAttr>("moe.chip"))
      chip = name;
    if (auto targets = op->getAttrOfType<ArrayAttr>("targets"))
      for (Attribute target : targets)
        if (auto rocdl = dyn_cast<ROCDL::ROCDLTargetAttr>(target))
          chip = rocdl.getChip();
    return chip.empty() ? WalkResult::advance() : WalkResult::interrupt();
  });
  return chip;
}

/// The number in attribute `name`, or `otherwise`.
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

//===----------------------------------------------------------------------===//
// Fences, barriers, waits
//===----------------------------------------------------------------------===//

/// The memories that a fence orders: MMRA tags may leave one out.
static uint32_t spacesOf(Operation *op) {
  uint32_t spaces = 0;
  auto add = [&](Attribute attribute) {
    auto tag = dyn_cast<LLVM::MMRATagAttr>(attribute);
    if (!tag || tag.getPrefix() != "amdgpu-synchronize-as")
      return;
    if (tag.getSuffix() == "local")
      spaces |= fenceShared;
    if (tag.getSuffix() == "global")
      spaces |= fenceGlobal;
  };
  Attribute mmra = op->getAttr("llvm.mmra");
  if (auto all = dyn_cast_or_null<ArrayAttr>(mmra))
    for (Attribute attribute : all)
      add(attribute);
  else if (mmra)
    add(mmra);
  return spaces ? spaces : fenceShared | fenceGlobal;
}

static uint32_t fenceFlags(LLVM::FenceOp fence) {
  uint32_t flags = spacesOf(fence);
  StringRef scope = fence.getSyncscope().value_or("");
  scope.consume_back("-one-as");
  if (scope != "wavefront" && scope != "singlethread" && scope != "one-as")
    flags |= fenceGroup;
  if (flags & fenceGroup && scope != "workgroup")
    flags |= fenceAgent;
  if (fence.getOrdering() == LLVM::AtomicOrdering::acquire)
    return flags | fenceAcquire;
  if (fence.getOrdering() == LLVM::AtomicOrdering::release)
    return flags | fenceRelease;
  return flags | fenceAcquire | fenceRelease;
}

void Decoder::emitAmdBarrier(Operation *op, uint32_t spaces) {
  emit(op, execAmdFence).flags = spaces | fenceGroup | fenceRelease;
  emit(op, execAmdBarrier).flags = 3;
  emit(op, execAmdFence).flags = spaces | fenceGroup | fenceAcquire;
}

LogicalResult Decoder::decodeAmd(Operation *op, bool &known) {
  const AmdTraits &chip = *program.amd;
  if (auto fence = dyn_cast<LLVM::FenceOp>(op)) {
    emit(op, execAmdFence).flags = fenceFlags(fence);
    return success();
  }
  StringRef name = op->getName().getStringRef();
  if (name == "amdgpu.lds_barrier") {
    emitAmdBarrier(op, fenceShared);
    return success();
  }
  if (name == "amdgpu.memory_counter_wait") {
    if (op->getAttr("load"))
      emit(op, execAmdWait).imm = numberOf(op, "load");
    return success();
  }
  if (name == "amdgpu.sched_barrier")
    return success();
  bool here = true;
  if (failed(decodeAmdMemory(op, name, here)))
    return failure();
  if (here)
    return success();
  if (!name.consume_front("rocdl.")) {
    known = false;
    return success();
  }
  for (auto part : {&Decoder::decodeAmdLanes, &Decoder::decodeAmdConversion}) {
    here = true;
    if (failed((this->*part)(op, name, here)))
      return failure();
    if (here)
      return success();
  }

  // Hints of the scheduler.
  static const llvm::StringSet<> hints = {
      "s.setprio", "sched.barrier", "iglp.opt",        "sched.group.barrier",
      "s.nop",     "s.wait.expcnt", "s.wait.storecnt", "s.wait.dscnt"};
  if (hints.contains(name))
    return success();
  if (name == "s.sleep") {
    emit(op, execYield);
    return success();
  }
  if (name == "s.waitcnt") {
    if (chip.family == rdna4)
      return op->emitOpError() << "is not an operation of " << chip.name;
    unsigned bits = numberOf(op, "bitfield");
    unsigned loads = chip.family == rdna3 ? bits >> 10 & 63
                                          : (bits & 15) | (bits >> 10 & 48);
    unsigned most = 63;
    if (loads < most)
      emit(op, execAmdWait).imm = loads;
    return success();
  }
  if (name == "s.wait.loadcnt") {
    emit(op, execAmdWait).imm = numberOf(op, "count");
    return success();
  }
  if (name == "barrier") {
    emitAmdBarrier(op, fenceShared | fenceGlobal);
    return success();
  }
  if (name == "s.barrier") {
    emit(op, execAmdBarrier).flags = 3;
    return success();
  }
  if (name == "s.barrier.signal" || name == "s.barrier.wait") {
    if (chip.family != rdna4)
      return op->emitOpError() << "is not an operation of " << chip.name;
    auto id = op->getAttrOfType<IntegerAttr>("id");
    if (id.getValue().getSExtValue() != -1)
      return op->emitOpError("has no emulation for barriers other than -1");
    emit(op, execAmdBarrier).flags = name == "s.barrier.signal" ? 1 : 2;
    return success();
  }
  // Arithmetic under names of its own.
  static const llvm::StringMap<const char *> arithmetic = {
      {"fmed3", "fmed3"}, {"rcp", "rcp"},   {"exp2", "exp2"},
      {"log", "log2"},    {"sqrt", "sqrt"}, {"tanh", "tanh"}};
  if (auto it = arithmetic.find(name); it != arithmetic.end()) {
    SmallVector<Scalar> elements = elementsOf(op, op->getResult(0).getType());
    if (elements.empty() || allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    Fn fn = findElementwise(it->second, elements[0], elements[0]);
    if (!fn)
      return op->emitOpError("has no emulation for type ")
             << op->getResult(0).getType();
    Instr &i = emit(op, fn);
    i.dst = reg(op->getResult(0));
    i.a = reg(op->getOperand(0));
    if (op->getNumOperands() == 3) {
      i.b = reg(op->getOperand(1));
      i.c = reg(op->getOperand(2));
    }
    i.count = elements.size();
    return success();
  }
  known = false;
  return success();
}

//===----------------------------------------------------------------------===//
// Identity, and the other lanes
//===----------------------------------------------------------------------===//

LogicalResult Decoder::decodeAmdLanes(Operation *op, StringRef name,
                                      bool &known) {
  const AmdTraits &chip = *program.amd;
  static const llvm::StringMap<Sreg> ids = {
      {"workitem.id.x", Sreg::TidX},    {"workitem.id.y", Sreg::TidY},
      {"workitem.id.z", Sreg::TidZ},    {"workgroup.id.x", Sreg::CtaidX},
      {"workgroup.id.y", Sreg::CtaidY}, {"workgroup.id.z", Sreg::CtaidZ},
      {"workgroup.dim.x", Sreg::NtidX}, {"workgroup.dim.y", Sreg::NtidY},
      {"workgroup.dim.z", Sreg::NtidZ}, {"grid.dim.x", Sreg::NctaidX},
      {"grid.dim.y", Sreg::NctaidY},    {"grid.dim.z", Sreg::NctaidZ},
      {"wavefrontsize", Sreg::WarpSize}};
  auto result = [&]() -> Reg { return allocateFor(op, op->getResult(0)); };
  auto operand = [&](unsigned n) { return reg(op->getOperand(n)); };
  // 32-bit words per lane of a value.
  auto words = [&](Value v) -> unsigned {
    unsigned count = 0;
    SmallVector<Scalar> elements = elementsOf(op, v.getType());
    for (Scalar s : elements)
      count += s.regBytes(1) / 4;
    return count;
  };
  // The words of a wide value lie side by side, those of a lane together.
  auto isNarrow = [&](Value v) {
    SmallVector<Scalar> elements = elementsOf(op, v.getType());
    return !elements.empty() &&
           llvm::none_of(elements, [](Scalar s) { return s.wide(); });
  };

  if (auto it = ids.find(name); it != ids.end()) {
    if (result() == noReg)
      return failure();
    Reg dst = reg(op->getResult(0));
    bool wide = op->getResult(0).getType().isInteger(64);
    Scalar i32{Scalar::Int, 32}, i64{Scalar::Int, 64};
    Reg at = wide ? allocate(i32) : dst;
    Instr &i = emit(op, execSreg);
    i.dst = at;
    i.imm = static_cast<uint64_t>(it->second);
    if (!wide)
      return success();
    Instr &extend = emit(op, findConversion("zext", i32, i64));
    extend.dst = dst;
    extend.a = at;
    extend.imm = 0xFFFFFFFF;
    return success();
  }
  if (name == "mbcnt.lo" || name == "mbcnt.hi") {
    if (result() == noReg)
      return failure();
    Instr &i = emit(op, execMbcnt);
    i.dst = reg(op->getResult(0));
    i.a = operand(0);
    i.b = operand(1);
    i.imm = name == "mbcnt.hi" ? 32 : 0;
    return success();
  }
  if (name == "ds_bpermute") {
    if (result() == noReg)
      return failure();
    Instr &i = emit(op, execBpermute);
    i.dst = reg(op->getResult(0));
    i.a = operand(0);
    i.b = operand(1);
    return success();
  }
  if (name == "ds_swizzle") {
    auto pattern = constantOf(op->getOperand(1));
    if (!pattern || *pattern < 0 || *pattern >= 0xC000)
      return op->emitOpError("has no emulation for this pattern");
    if (result() == noReg)
      return failure();
    Instr &i = emit(op, execDsSwizzle);
    i.dst = reg(op->getResult(0));
    i.a = operand(0);
    i.imm = *pattern;
    return success();
  }
  if (name == "readlane" || name == "readfirstlane") {
    if (!isNarrow(op->getOperand(0)))
      return op->emitOpError("has no emulation for type ")
             << op->getOperand(0).getType();
    if (result() == noReg)
      return failure();
    Instr &i = emit(op, execReadLane);
    i.dst = reg(op->getResult(0));
    i.a = operand(0);
    i.b = name == "readlane" ? operand(1) : noReg;
    i.count = words(op->getOperand(0));
    return success();
  }
  if (name == "ballot") {
    bool wide = op->getResult(0).getType().isInteger(64);
    if (!wide && chip.lanes == 64)
      return op->emitOpError()
             << "of 64 lanes into " << op->getResult(0).getType();
    if (result() == noReg)
      return failure();
    Instr &i = emit(op, execBallot);
    i.dst = reg(op->getResult(0));
    i.a = operand(0);
    i.flags = wide;
    return success();
  }
  if (name == "update.dpp") {
    unsigned control = numberOf(op, "dppCtrl");
    bool cdna = chip.isCdna();
    bool has =
        control < 0x100 ||
        (control > 0x100 && control < 0x130 && control % 16) ||
        control == 0x140 || control == 0x141 ||
        (control >= 0x150 && control < 0x160) ||
        (!cdna && control >= 0x160 && control < 0x170) ||
        (cdna && (control == 0x130 || control == 0x134 || control == 0x138 ||
                  control == 0x13C || control == 0x142 || control == 0x143));
    if (!has || !isNarrow(op->getOperand(1)))
      return op->emitOpError()
             << "has no emulation for control " << control << " of "
             << op->getOperand(1).getType() << " on " << chip.name;
    if (result() == noReg)
      return failure();
    Instr &i = emit(op, execDpp);
    i.dst = reg(op->getResult(0));
    i.a = operand(0);
    i.b = operand(1);
    i.imm = control;
    i.flags = (numberOf(op, "rowMask") & 15) |
              (numberOf(op, "bankMask") & 15) << 4 |
              uint32_t(numberOf(op, "boundCtrl") & 1) << 8;
    i.count = words(op->getOperand(1));
    return success();
  }
  if (name == "permlanex16") {
    if (chip.isCdna())
      return op->emitOpError() << "is not an operation of " << chip.name;
    if (!isNarrow(op->getOperand(1)))
      return op->emitOpError("has no emulation for type ")
             << op->getOperand(1).getType();
    if (result() == noReg)
      return failure();
    Instr &i = emit(op, execPermLaneX16);
    i.dst = reg(op->getResult(0));
    i.a = operand(1);
    i.b = operand(2);
    i.c = operand(3);
    i.count = words(op->getOperand(1));
    return success();
  }
  if (name == "permlane16.swap" || name == "permlane32.swap") {
    if (chip.family != cdna4)
      return op->emitOpError() << "is not an operation of " << chip.name;
    if (result() == noReg)
      return failure();
    Instr &i = emit(op, execPermLaneSwap);
    i.dst = reg(op->getResult(0));
    i.a = operand(0);
    i.b = operand(1);
    i.imm = name == "permlane16.swap" ? 16 : 32;
    return success();
  }
  known = false;
  return success();
}
