//===- DecodeNvvm.cpp - Operations of nvvm and moe_nv ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Decoder.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::emu;

//===----------------------------------------------------------------------===//
// What several decoders need
//===----------------------------------------------------------------------===//

std::optional<uint32_t> Decoder::guard(Operation *op, Value predicate) {
  if (!predicate)
    return std::nullopt;
  emit(op, execBrFalse).a = reg(predicate);
  return here() - 1;
}

void Decoder::endGuard(std::optional<uint32_t> guard) {
  if (guard)
    kernel.code[*guard].imm = here();
}

Reg Decoder::packed(Operation *op, Value value) {
  SmallVector<Scalar> elements = *flatten(value.getType());
  if (elements.size() == 1)
    return reg(value);
  Reg at = allocate(Scalar{Scalar::Int, 32});
  Instr &i = emit(op, execBitcast);
  i.dst = at;
  i.a = reg(value);
  i.count = elements.size();
  i.imm = elements[0].bits << 8 | 32;
  return at;
}

//===----------------------------------------------------------------------===//
// Special registers, barriers and warp-wide operations
//===----------------------------------------------------------------------===//

static std::optional<Sreg> sregOf(StringRef name) {
  if (!name.consume_front("nvvm.read.ptx.sreg."))
    return std::nullopt;
  static const llvm::StringMap<Sreg> names = {
      {"tid.x", Sreg::TidX},
      {"tid.y", Sreg::TidY},
      {"tid.z", Sreg::TidZ},
      {"ntid.x", Sreg::NtidX},
      {"ntid.y", Sreg::NtidY},
      {"ntid.z", Sreg::NtidZ},
      {"ctaid.x", Sreg::CtaidX},
      {"ctaid.y", Sreg::CtaidY},
      {"ctaid.z", Sreg::CtaidZ},
      {"nctaid.x", Sreg::NctaidX},
      {"nctaid.y", Sreg::NctaidY},
      {"nctaid.z", Sreg::NctaidZ},
      {"laneid", Sreg::LaneId},
      {"warpid", Sreg::WarpId},
      {"nwarpid", Sreg::NWarpId},
      {"warpsize", Sreg::WarpSize},
      {"clusterid.x", Sreg::ClusterIdX},
      {"clusterid.y", Sreg::ClusterIdY},
      {"clusterid.z", Sreg::ClusterIdZ},
      {"nclusterid.x", Sreg::NClusterIdX},
      {"nclusterid.y", Sreg::NClusterIdY},
      {"nclusterid.z", Sreg::NClusterIdZ},
      {"cluster.ctaid.x", Sreg::ClusterCtaidX},
      {"cluster.ctaid.y", Sreg::ClusterCtaidY},
      {"cluster.ctaid.z", Sreg::ClusterCtaidZ},
      {"cluster.nctaid.x", Sreg::ClusterNctaidX},
      {"cluster.nctaid.y", Sreg::ClusterNctaidY},
      {"cluster.nctaid.z", Sreg::ClusterNctaidZ},
      {"cluster.ctarank", Sreg::ClusterCtarank},
      {"cluster.nctarank", Sreg::ClusterNctarank},
      {"smid", Sreg::SmId},
      {"nsmid", Sreg::NSmId},
      {"dynamic.smem.size", Sreg::DynamicSmem},
      {"total.smem.size", Sreg::TotalSmem},
      {"lanemask.eq", Sreg::LaneMaskEq},
      {"lanemask.lt", Sreg::LaneMaskLt},
      {"lanemask.le", Sreg::LaneMaskLe},
      {"lanemask.gt", Sreg::LaneMaskGt},
      {"lanemask.ge", Sreg::LaneMaskGe},
      {"clock", Sreg::Clock},
      {"globaltimer", Sreg::GlobalTimer}};
  auto it = names.find(name);
  return it == names.end() ? std::nullopt : std::optional<Sreg>(it->second);
}

LogicalResult Decoder::decodeNvvm(Operation *op, bool &known) {
  if (auto sreg = sregOf(op->getName().getStringRef())) {
    if (allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    Instr &i = emit(op, execSreg);
    i.dst = reg(op->getResult(0));
    i.imm = static_cast<uint64_t>(*sreg);
    return success();
  }
  if (op->getNumResults() && op->getName().getDialectNamespace() == "nvvm")
    for (Value result : op->getResults())
      if (allocateFor(op, result) == noReg)
        return failure();
  Reg dst = op->getNumResults() ? reg(op->getResult(0)) : noReg;
  auto space = [&](Value pointer) { return spaceOf(pointer.getType()); };

  if (isa<NVVM::Barrier0Op>(op)) {
    emit(op, execBarrier);
    return success();
  }
  if (auto b = dyn_cast<NVVM::BarrierOp>(op)) {
    Instr &i = emit(op, execBarrier);
    i.a = optional(b.getBarrierId());
    i.b = optional(b.getNumberOfThreads());
    if (b.getReductionOp()) {
      i.c = reg(b.getReductionPredicate());
      i.dst = dst;
      i.imm = 1 + static_cast<unsigned>(*b.getReductionOp());
    }
    return success();
  }
  if (auto b = dyn_cast<NVVM::BarrierArriveOp>(op)) {
    Instr &i = emit(op, execBarrier);
    i.a = optional(b.getBarrierId());
    i.b = reg(b.getNumberOfThreads());
    i.flags = 1;
    return success();
  }
  if (auto b = dyn_cast<NVVM::SyncWarpOp>(op)) {
    emit(op, execSyncWarp).a = reg(b.getMask());
    return success();
  }
  if (isa<NVVM::ClusterArriveOp, NVVM::ClusterArriveRelaxedOp>(op)) {
    emit(op, execClusterArrive).flags = isa<NVVM::ClusterArriveRelaxedOp>(op);
    return success();
  }
  if (isa<NVVM::ClusterWaitOp>(op)) {
    emit(op, execClusterWait);
    return success();
  }
  if (auto e = dyn_cast<NVVM::ElectSyncOp>(op)) {
    Instr &i = emit(op, execElect);
    i.dst = dst;
    i.a = optional(e.getMembermask());
    return success();
  }
  if (auto s = dyn_cast<NVVM::ShflOp>(op)) {
    uint32_t extra = addExtra(reg(s.getMaskAndClamp()));
    Instr &i = emit(op, execShfl);
    i.dst = dst;
    i.a = reg(s.getThreadMask());
    i.b = reg(s.getVal());
    i.c = reg(s.getOffset());
    i.imm = static_cast<unsigned>(s.getKind());
    i.flags = s.getReturnValueAndIsValid().value_or(false);
    i.extra = extra;
    return success();
  }
  if (auto v = dyn_cast<NVVM::VoteSyncOp>(op)) {
    Instr &i = emit(op, execVote);
    i.dst = dst;
    i.a = reg(v.getMask());
    i.b = reg(v.getPred());
    i.imm = static_cast<unsigned>(v.getKind());
    return success();
  }
  if (auto m = dyn_cast<NVVM::MatchSyncOp>(op)) {
    Instr &i = emit(op, execMatch);
    i.dst = dst;
    i.a = reg(m.getThreadMask());
    i.b = reg(m.getVal());
    i.flags = m.getVal().getType().isInteger(64);
    i.imm = static_cast<unsigned>(m.getKind());
    return success();
  }
  if (auto r = dyn_cast<NVVM::ReduxOp>(op)) {
    static const llvm::StringMap<unsigned> kinds = {
        {"add", 0}, {"and", 1},  {"max", 2},  {"min", 3},
        {"or", 4},  {"umax", 5}, {"umin", 6}, {"xor", 7}};
    auto it = kinds.find(stringifyEnum(r.getKind()));
    if (it == kinds.end() || r.getVal().getType().isF32())
      return op->emitOpError("has no emulation for this kind");
    Instr &i = emit(op, execRedux);
    i.dst = dst;
    i.a = reg(r.getVal());
    i.b = reg(r.getMaskAndClamp());
    i.imm = it->second;
    return success();
  }
  if (auto s = dyn_cast<NVVM::SetMaxRegisterOp>(op)) {
    Instr &i = emit(op, execSetMaxRegister);
    i.imm = s.getRegCount();
    i.flags = s.getAction() == NVVM::SetMaxRegisterAction::increase;
    return success();
  }
  if (auto g = dyn_cast<NVVM::GriddepcontrolOp>(op)) {
    emit(op, execGridDependency).imm =
        g.getKind() == NVVM::GridDepActionKind::launch_dependents;
    return success();
  }
  if (auto p = dyn_cast<NVVM::PermuteOp>(op)) {
    if (p.getMode() != NVVM::PermuteMode::DEFAULT || !p.getHi())
      return op->emitOpError("has no emulation but in its default mode");
    Instr &i = emit(op, execPermute);
    i.dst = dst;
    i.a = reg(p.getLo());
    i.b = reg(p.getHi());
    i.c = reg(p.getSelector());
    return success();
  }
  if (auto m = dyn_cast<NVVM::MapaOp>(op)) {
    Instr &i = emit(op, execMapa);
    i.dst = dst;
    i.a = reg(m.getA());
    i.b = reg(m.getB());
    i.flags = space(m.getA()) == 0;
    return success();
  }
  if (isa<NVVM::MembarOp, NVVM::FenceScClusterOp>(op)) {
    emit(op, execFence);
    return success();
  }
  if (isa<NVVM::FenceMbarrierInitOp>(op)) {
    emit(op, execFenceMbarrierInit);
    return success();
  }
  if (auto f = dyn_cast<NVVM::FenceProxyOp>(op)) {
    bool async = f.getKind() == NVVM::ProxyKind::async ||
                 f.getKind() == NVVM::ProxyKind::async_shared;
    emit(op, async ? execFenceProxy : execNop);
    return success();
  }
  if (isa<NVVM::NanosleepOp>(op)) {
    emit(op, execYield);
    return success();
  }
  if (isa<NVVM::PrefetchOp, NVVM::CpAsyncBulkPrefetchOp,
          NVVM::CpAsyncBulkTensorPrefetchOp, NVVM::PMEventOp>(op))
    return success();
  if (isa<NVVM::Exit>(op)) {
    emit(op, execExit);
    return success();
  }

  // mbarriers.
  if (auto b = dyn_cast<NVVM::MBarrierInitOp>(op)) {
    auto end = guard(op, b.getPredicate());
    Instr &i = emit(op, execMbarrierInit);
    i.a = reg(b.getAddr());
    i.b = reg(b.getCount());
    i.flags = space(b.getAddr());
    endGuard(end);
    return success();
  }
  if (auto b = dyn_cast<NVVM::MBarrierInvalOp>(op)) {
    Instr &i = emit(op, execMbarrierInval);
    i.a = reg(b.getAddr());
    i.flags = space(b.getAddr());
    return success();
  }
  auto arrive = [&](Value address, Value count, Value bytes, uint32_t flags) {
    Instr &i = emit(op, execMbarrierArrive);
    i.dst = dst;
    i.a = reg(address);
    i.b = optional(count);
    i.c = optional(bytes);
    i.flags = space(address) | flags;
    return success();
  };
  auto relaxed = [](bool yes) { return yes ? mbarRelaxed : 0u; };
  if (auto b = dyn_cast<NVVM::MBarrierArriveOp>(op))
    return arrive(b.getAddr(), b.getCount(), {}, relaxed(b.getRelaxed()));
  if (auto b = dyn_cast<NVVM::MBarrierArriveDropOp>(op))
    return arrive(b.getAddr(), b.getCount(), {},
                  mbarDrop | relaxed(b.getRelaxed()));
  if (auto b = dyn_cast<NVVM::MBarrierArriveNocompleteOp>(op))
    return arrive(b.getAddr(), b.getCount(), {}, mbarNoComplete);
  if (auto b = dyn_cast<NVVM::MBarrierArriveExpectTxOp>(op)) {
    auto end = guard(op, b.getPredicate());
    (void)arrive(b.getAddr(), {}, b.getTxcount(), relaxed(b.getRelaxed()));
    endGuard(end);
    return success();
  }
  if (auto b = dyn_cast<NVVM::MBarrierArriveDropExpectTxOp>(op))
    return arrive(b.getAddr(), {}, b.getTxcount(),
                  mbarDrop | relaxed(b.getRelaxed()));
  if (auto b = dyn_cast<NVVM::MBarrierExpectTxOp>(op))
    return arrive(b.getAddr(), {}, b.getTxcount(), mbarNoArrive);
  if (auto b = dyn_cast<NVVM::MBarrierCompleteTxOp>(op))
    return arrive(b.getAddr(), {}, b.getTxcount(), mbarTxDone);
  auto wait = [&](Value address, Value phase, uint32_t flags) {
    Instr &i = emit(op, execMbarrierWait);
    i.dst = dst;
    i.a = reg(address);
    i.b = reg(phase);
    i.flags = space(address) | flags |
              (phase.getType().isInteger(64) ? mbarState : 0);
    return success();
  };
  if (auto b = dyn_cast<NVVM::MBarrierTryWaitParityOp>(op))
    return wait(b.getAddr(), b.getPhase(), 0);
  if (auto b = dyn_cast<NVVM::MBarrierTryWaitOp>(op))
    return wait(b.getAddr(), b.getStateOrPhase(), 0);
  if (auto b = dyn_cast<NVVM::MBarrierTestWaitOp>(op))
    return wait(b.getAddr(), b.getStateOrPhase(), mbarTest);
  known = false;
  return success();
}

//===----------------------------------------------------------------------===//
// Conversions between float formats
//===----------------------------------------------------------------------===//

LogicalResult Decoder::decodeConversions(Operation *op, bool &known) {
  StringRef name = op->getName().getStringRef();
  if (!name.consume_front("nvvm.convert.")) {
    known = false;
    return success();
  }
  // "f32x2.to.f8x2": the destination format is an attribute or the type.
  Scalar f8{Scalar::F8E4M3, 8};
  auto narrow = [&](StringRef attribute) {
    auto type = op->getAttrOfType<TypeAttr>(attribute);
    if (type && isa<Float8E5M2Type>(type.getValue()))
      f8 = {Scalar::F8E5M2, 8};
    return type && isa<Float8E4M3FNType, Float8E5M2Type>(type.getValue());
  };
  auto relu = op->getAttrOfType<BoolAttr>("relu");
  if (relu && relu.getValue())
    return op->emitOpError("has no emulation with relu");
  auto pack = [](Scalar s) { return uint64_t(s.cls) << 8 | s.bits; };
  auto convert = [&](Scalar from, Scalar to, Reg a, Reg dst, unsigned count,
                     bool saturate) {
    Instr &i =
        emit(op, saturate ? execSaturate : findConversion("fptrunc", from, to));
    i.a = a;
    i.dst = dst;
    i.count = count;
    i.imm = pack(from) << 16 | pack(to);
  };
  Value result = op->getResult(0);
  if (allocateFor(op, result) == noReg)
    return failure();
  Scalar f32{Scalar::F32, 32}, f16{Scalar::F16, 16}, bf16{Scalar::BF16, 16},
      i8{Scalar::Int, 8};
  if (name == "f32x2.to.f8x2" && narrow("dstTy")) {
    // b is the low half, a the high one.
    bool isVector = isa<VectorType>(result.getType());
    Reg pair = isVector ? reg(result) : allocate({i8, i8});
    // As a vector, element 0 is the low byte.
    convert(f32, f8, reg(op->getOperand(1)), pair, 1, true);
    convert(f32, f8, reg(op->getOperand(0)), pair + 128, 1, true);
    if (!isVector) {
      Instr &i = emit(op, execBitcast);
      i.dst = reg(result);
      i.a = pair;
      i.count = 2;
      i.imm = 8 << 8 | 16;
    }
    return success();
  }
  if (name == "f8x2.to.f16x2" && narrow("srcType")) {
    convert(f8, f16, reg(op->getOperand(0)), reg(result), 2, false);
    return success();
  }
  if (name == "f32x2.to.bf16x2" || name == "f32x2.to.f16x2") {
    if (op->getNumOperands() != 2)
      return op->emitOpError("has no emulation with random bits");
    Scalar to = name == "f32x2.to.bf16x2" ? bf16 : f16;
    convert(f32, to, reg(op->getOperand(1)), reg(result), 1, false);
    convert(f32, to, reg(op->getOperand(0)), reg(result) + 128, 1, false);
    return success();
  }
  return op->emitOpError("has no emulation");
}

//===----------------------------------------------------------------------===//
// moe_nv
//===----------------------------------------------------------------------===//

LogicalResult Decoder::decodeMoeNv(Operation *op, bool &known) {
  auto pack = [](Scalar s) { return uint64_t(s.cls) << 8 | s.bits; };
  if (auto w = dyn_cast<nv::WgmmaWaitOp>(op)) {
    for (auto [result, operand] :
         llvm::zip(w.getResults(), w.getAccumulators())) {
      // The same registers; an accumulator may go on being updated in place.
      regs[result] = reg(operand);
      if (!operand.hasOneUse())
        shared.insert(reg(operand));
    }
    Instr &i = emit(op, execWgmmaWait);
    i.imm = w.getPending();
    i.flags = w.getNumResults() != 0;
    return success();
  }
  if (auto w = dyn_cast<nv::WgmmaRegistersOp>(op)) {
    Value old = w.getAccumulator();
    if (mayReuse(op, old))
      regs[op->getResult(0)] = reg(old);
    else
      allocateFor(op, op->getResult(0));
    emit(op, execWgmmaFence);
    MatType elt = w.getElt().isBF16() ? MatType::BF16 : MatType::F16;
    unsigned n = cast<LLVM::LLVMStructType>(old.getType()).getBody().size() * 2;
    for (unsigned s = 0; s < w.getA().size() / 4; ++s) {
      SmallVector<uint32_t> words;
      for (Value v : w.getA().slice(4 * s, 4))
        words.push_back(reg(v));
      uint32_t extra = addExtra(words);
      Instr &i = emit(op, execWgmma);
      i.dst = reg(op->getResult(0));
      i.a = s ? i.dst : reg(old);
      i.b = words[0];
      i.c = reg(w.getDescriptor());
      i.extra = extra;
      i.imm = packShape(16, unsigned(elt), unsigned(elt),
                        unsigned(MatType::F32), n);
      i.flags = (s || !w.getFromZero() ? wgmmaScaleD : 0) | wgmmaRegisters |
                s << wgmmaStepShift;
    }
    return success();
  }
  if (auto l = dyn_cast<nv::LoadNcOp>(op)) {
    if (allocateFor(op, l.getResult()) == noReg)
      return failure();
    SmallVector<Scalar> elements = *flatten(l.getType());
    Instr &i = emit(op, execLoad);
    i.dst = reg(l.getResult());
    i.a = reg(l.getAddress());
    i.count = elements.size();
    i.imm = 4;
    i.flags = 1 | uint32_t(4 * elements.size()) << memAlignShift;
    return success();
  }
  if (auto r = dyn_cast<nv::RedAddOp>(op)) {
    SmallVector<Scalar> elements = elementsOf(op, r.getValue().getType());
    if (elements.empty())
      return failure();
    Instr &i = emit(op, execRedAdd);
    i.a = reg(r.getAddress());
    i.b = reg(r.getValue());
    i.count = elements.size();
    i.imm = pack(elements[0]);
    return success();
  }
  if (auto r = dyn_cast<nv::BulkReduceAddOp>(op)) {
    SmallVector<Scalar> elements = elementsOf(op, r.getElt());
    if (elements.empty())
      return failure();
    Instr &i = emit(op, execBulkStore);
    i.a = reg(r.getDestination());
    i.b = reg(r.getSource());
    i.c = reg(r.getSize());
    i.imm = pack(elements[0]) + 1;
    return success();
  }
  if (auto w = dyn_cast<nv::WaitParityOp>(op)) {
    Instr &i = emit(op, execMbarrierWait);
    i.a = reg(w.getBarrier());
    i.b = reg(w.getParity());
    i.flags = 3;
    return success();
  }
  if (auto s = dyn_cast<nv::SignalOp>(op)) {
    Instr &i = emit(op, execSignal);
    i.a = reg(s.getCounter());
    i.b = reg(s.getIncrement());
    return success();
  }
  if (auto s = dyn_cast<nv::AwaitOp>(op)) {
    Instr &i = emit(op, execAwait);
    i.a = reg(s.getCounter());
    i.b = reg(s.getTarget());
    return success();
  }
  known = false;
  return success();
}
