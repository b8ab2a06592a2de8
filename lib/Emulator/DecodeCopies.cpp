//===- DecodeCopies.cpp - Copies and matrix operations --------------------===//
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
// Copies
//===----------------------------------------------------------------------===//

LogicalResult Decoder::decodeCopies(Operation *op, bool &known) {
  auto space = [&](Value pointer) { return spaceOf(pointer.getType()); };
  if (auto c = dyn_cast<NVVM::CpAsyncOp>(op)) {
    Instr &i = emit(op, execCpAsync);
    i.a = reg(c.getDst());
    i.b = reg(c.getSrc());
    i.c = optional(c.getCpSize());
    i.imm = c.getSize();
    return success();
  }
  if (isa<NVVM::CpAsyncCommitGroupOp>(op)) {
    emit(op, execCpAsyncCommit);
    return success();
  }
  if (auto c = dyn_cast<NVVM::CpAsyncWaitGroupOp>(op)) {
    emit(op, execCpAsyncWait).imm = c.getN();
    return success();
  }
  if (auto c = dyn_cast<NVVM::CpAsyncMBarrierArriveOp>(op)) {
    Instr &i = emit(op, execCpAsyncArrive);
    i.a = reg(c.getAddr());
    i.flags = c.getNoinc();
    return success();
  }
  if (auto c = dyn_cast<NVVM::CpAsyncBulkGlobalToSharedClusterOp>(op)) {
    uint32_t extra =
        addExtra({reg(c.getSize()), optional(c.getMulticastMask())});
    Instr &i = emit(op, execBulkLoad);
    i.a = reg(c.getDstMem());
    i.b = reg(c.getSrcMem());
    i.c = reg(c.getMbar());
    i.flags = space(c.getDstMem());
    i.extra = extra;
    return success();
  }
  if (auto c = dyn_cast<NVVM::CpAsyncBulkSharedCTAToSharedClusterOp>(op)) {
    uint32_t extra = addExtra(reg(c.getSize()));
    Instr &i = emit(op, execBulkToCluster);
    i.a = reg(c.getDstMem());
    i.b = reg(c.getSrcMem());
    i.c = reg(c.getMbar());
    i.extra = extra;
    return success();
  }
  if (auto c = dyn_cast<NVVM::CpAsyncBulkSharedCTAToGlobalOp>(op)) {
    if (c.getByteMask())
      return op->emitOpError("has no emulation with byte_mask");
    Instr &i = emit(op, execBulkStore);
    i.a = reg(c.getDstMem());
    i.b = reg(c.getSrcMem());
    i.c = reg(c.getSize());
    return success();
  }
  auto coordinates = [&](ValueRange values, Value multicast) {
    SmallVector<uint32_t> words;
    for (Value v : values)
      words.push_back(reg(v));
    words.push_back(optional(multicast));
    return addExtra(words);
  };
  if (auto c = dyn_cast<NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp>(op)) {
    if (c.getMode() != NVVM::TMALoadMode::TILE || !c.getIm2colOffsets().empty())
      return op->emitOpError("has no emulation except in tile mode");
    auto end = guard(op, c.getPredicate());
    uint32_t extra = coordinates(c.getCoordinates(), c.getMulticastMask());
    Instr &i = emit(op, execTmaLoad);
    i.a = reg(c.getDstMem());
    i.b = reg(c.getTmaDescriptor());
    i.c = reg(c.getMbar());
    i.flags = space(c.getDstMem());
    i.count = c.getCoordinates().size();
    i.extra = extra;
    endGuard(end);
    return success();
  }
  if (auto c = dyn_cast<NVVM::CpAsyncBulkTensorSharedCTAToGlobalOp>(op)) {
    if (c.getMode() != NVVM::TMAStoreMode::TILE)
      return op->emitOpError("has no emulation except in tile mode");
    auto end = guard(op, c.getPredicate());
    uint32_t extra = coordinates(c.getCoordinates(), {});
    Instr &i = emit(op, execTmaStore);
    i.a = reg(c.getTmaDescriptor());
    i.b = reg(c.getSrcMem());
    i.count = c.getCoordinates().size();
    i.extra = extra;
    endGuard(end);
    return success();
  }
  if (auto c = dyn_cast<NVVM::CpAsyncBulkTensorReduceOp>(op)) {
    if (c.getMode() != NVVM::TMAStoreMode::TILE ||
        c.getRedKind() != NVVM::TMAReduxKind::ADD)
      return op->emitOpError("has no emulation except for add in tile mode");
    uint32_t extra = coordinates(c.getCoordinates(), {});
    Instr &i = emit(op, execTmaStore);
    i.a = reg(c.getTmaDescriptor());
    i.b = reg(c.getSrcMem());
    i.count = c.getCoordinates().size();
    i.extra = extra;
    i.imm = 1;
    return success();
  }
  if (isa<NVVM::CpAsyncBulkCommitGroupOp>(op)) {
    emit(op, execBulkCommit);
    return success();
  }
  if (auto c = dyn_cast<NVVM::CpAsyncBulkWaitGroupOp>(op)) {
    Instr &i = emit(op, execBulkWait);
    i.imm = c.getGroup();
    i.flags = c.getRead().value_or(false);
    return success();
  }
  known = false;
  return success();
}

//===----------------------------------------------------------------------===//
// Matrix operations
//===----------------------------------------------------------------------===//

static std::optional<MatType> matTypeOf(StringRef name) {
  static const llvm::StringMap<MatType> names = {
      {"bf16", MatType::BF16}, {"f16", MatType::F16},   {"tf32", MatType::TF32},
      {"e4m3", MatType::E4M3}, {"e5m2", MatType::E5M2}, {"s8", MatType::S8},
      {"u8", MatType::U8},     {"f32", MatType::F32},   {"s32", MatType::S32}};
  auto it = names.find(name);
  return it == names.end() ? std::nullopt : std::optional<MatType>(it->second);
}

static unsigned bitsOf(MatType type) {
  switch (type) {
  case MatType::BF16:
  case MatType::F16:
    return 16;
  case MatType::TF32:
  case MatType::F32:
  case MatType::S32:
    return 32;
  default:
    return 8;
  }
}

LogicalResult Decoder::decodeMatrix(Operation *op, bool &known) {
  if (auto w = dyn_cast<NVVM::WgmmaMmaAsyncOp>(op)) {
    auto a = matTypeOf(stringifyEnum(w.getTypeA()));
    auto b = matTypeOf(stringifyEnum(w.getTypeB()));
    auto d = matTypeOf(stringifyEnum(w.getTypeD()));
    unsigned n = w.getShape().getN(), k = w.getShape().getK();
    if (!a || !b || !d)
      return op->emitOpError("has no emulation for these types");
    if (w.getShape().getM() != 64 || n % 8 || n > 256 || k * bitsOf(*a) != 256)
      return op->emitOpError() << "shape m64n" << n << "k" << k
                               << " does not fit the operand types";
    SmallVector<Scalar> elements = elementsOf(op, w.getInouts().getType());
    if (elements.size() != (*d == MatType::F16 ? n / 4 : n / 2))
      return op->emitOpError() << "has " << elements.size()
                               << " accumulator registers for n = " << n;
    Value old = w.getInouts();
    if (mayReuse(op, old))
      regs[op->getResult(0)] = reg(old);
    else
      allocateFor(op, op->getResult(0));
    Instr &i = emit(op, execWgmma);
    i.dst = reg(op->getResult(0));
    i.a = reg(old);
    i.b = reg(w.getDescriptorA());
    i.c = reg(w.getDescriptorB());
    i.imm = packShape(k, unsigned(*a), unsigned(*b), unsigned(*d), n);
    i.flags = (w.getScaleD() == NVVM::WGMMAScaleOut::one ? wgmmaScaleD : 0) |
              (w.getScaleA() == NVVM::WGMMAScaleIn::neg ? wgmmaNegA : 0) |
              (w.getScaleB() == NVVM::WGMMAScaleIn::neg ? wgmmaNegB : 0) |
              (w.getLayoutA() == NVVM::MMALayout::col ? wgmmaTransA : 0) |
              (w.getLayoutB() == NVVM::MMALayout::row ? wgmmaTransB : 0);
    return success();
  }
  if (isa<NVVM::WgmmaFenceAlignedOp>(op)) {
    emit(op, execWgmmaFence);
    return success();
  }
  if (isa<NVVM::WgmmaGroupSyncAlignedOp>(op)) {
    emit(op, execWgmmaCommit);
    return success();
  }
  if (auto w = dyn_cast<NVVM::WgmmaWaitGroupSyncOp>(op)) {
    emit(op, execWgmmaWait).imm = w.getGroup();
    return success();
  }
  auto isB16 = [](auto o) {
    return o.getEltType() == NVVM::LdStMatrixEltType::B16 &&
           o.getShape().getM() == 8 && o.getShape().getN() == 8;
  };
  if (auto l = dyn_cast<NVVM::LdMatrixOp>(op)) {
    if (!isB16(l))
      return op->emitOpError("has no emulation except for 8x8 matrices of b16");
    if (allocateFor(op, op->getResult(0)) == noReg)
      return failure();
    Instr &i = emit(op, execLdMatrix);
    i.dst = reg(op->getResult(0));
    i.a = reg(l.getPtr());
    i.count = l.getNum();
    i.flags = l.getLayout() == NVVM::MMALayout::col;
    return success();
  }
  if (auto s = dyn_cast<NVVM::StMatrixOp>(op)) {
    if (!isB16(s))
      return op->emitOpError("has no emulation except for 8x8 matrices of b16");
    SmallVector<uint32_t> words;
    for (Value v : s.getSources())
      words.push_back(reg(v));
    uint32_t extra = addExtra(words);
    Instr &i = emit(op, execStMatrix);
    i.a = reg(s.getPtr());
    i.count = words.size();
    i.flags = s.getLayout() == NVVM::MMALayout::col;
    i.extra = extra;
    return success();
  }
  if (auto m = dyn_cast<nv::MmaF8Op>(op)) {
    auto typeOf = [](Type element) {
      return isa<Float8E5M2Type>(element) ? MatType::E5M2 : MatType::E4M3;
    };
    SmallVector<uint32_t> words;
    for (Value v : op->getOperands())
      words.push_back(reg(v));
    if (allocateFor(op, m.getResult()) == noReg)
      return failure();
    uint32_t extra = addExtra(words);
    Instr &i = emit(op, execMma);
    i.dst = reg(m.getResult());
    i.extra = extra;
    i.imm = packShape(32, unsigned(typeOf(m.getAType())),
                      unsigned(typeOf(m.getBType())), unsigned(MatType::F32));
    return success();
  }
  if (auto m = dyn_cast<NVVM::MmaOp>(op)) {
    auto typeOf = [&](std::optional<NVVM::MMATypes> attr, Value operand) {
      if (attr)
        return matTypeOf(stringifyEnum(*attr));
      if (getElementTypeOrSelf(operand.getType()).isF16())
        return std::optional<MatType>(MatType::F16);
      return std::optional<MatType>();
    };
    auto a = typeOf(m.getMultiplicandAPtxType(), m.getOperandA()[0]);
    auto b = typeOf(m.getMultiplicandBPtxType(), m.getOperandB()[0]);
    auto body = cast<LLVM::LLVMStructType>(m.getType()).getBody();
    std::optional<MatType> d;
    if (body[0].isF32())
      d = MatType::F32;
    else if (body[0].isInteger(32))
      d = MatType::S32;
    else if (getElementTypeOrSelf(body[0]).isF16())
      d = MatType::F16;
    unsigned k = m.getShape().getK();
    unsigned perRegister = a ? 32 / bitsOf(*a) : 1;
    if (!a || !b || !d || m.getShape().getM() != 16 ||
        m.getShape().getN() != 8 || m.getLayoutA() != NVVM::MMALayout::row ||
        m.getLayoutB() != NVVM::MMALayout::col || bitsOf(*a) != bitsOf(*b) ||
        k % (4 * perRegister) || k > 64 ||
        m.getOperandA().size() != k / (4 * perRegister) * 2 ||
        m.getOperandB().size() != k / (4 * perRegister))
      return op->emitOpError("has no emulation for this shape or these types");
    SmallVector<uint32_t> words;
    for (Value v : op->getOperands())
      words.push_back(packed(op, v));
    bool halves = *d == MatType::F16;
    Reg out;
    if (halves) {
      out = allocate({Scalar{Scalar::Int, 32}, Scalar{Scalar::Int, 32}});
    } else {
      if (allocateFor(op, m.getResult()) == noReg)
        return failure();
      out = reg(m.getResult());
    }
    uint32_t extra = addExtra(words);
    Instr &i = emit(op, execMma);
    i.dst = out;
    i.extra = extra;
    i.imm = packShape(k, unsigned(*a), unsigned(*b), unsigned(*d));
    if (halves) {
      if (allocateFor(op, m.getResult()) == noReg)
        return failure();
      Instr &unpack = emit(op, execBitcast);
      unpack.dst = reg(m.getResult());
      unpack.a = out;
      unpack.count = 2;
      unpack.imm = 32 << 8 | 16;
    }
    return success();
  }
  known = false;
  return success();
}
