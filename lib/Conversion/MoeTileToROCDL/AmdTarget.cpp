//===- AmdTarget.cpp - Row kernels in ROCDL -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmdTarget.h"

#include "moec/Target/AmdKernel.h"

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

/// Lanes of a row, within which DPP moves values.
static constexpr int64_t kRow = 16;

static rows::WaveFacts factsOf(const AmdChip &chip) {
  rows::WaveFacts facts;
  facts.name = "ROCDL";
  facts.wave = chip.waveSize;
  facts.blockThreads = 256;
  facts.sharedBytes = chip.ldsBytes;
  return facts;
}

AmdTarget::AmdTarget(const AmdChip &chip)
    : WaveTarget(factsOf(chip)), chip(chip) {}

static Value word(OpBuilder &b, Location loc, int64_t v) {
  return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(v));
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

Value AmdTarget::thread(OpBuilder &b, Location loc) const {
  return ROCDL::ThreadIdXOp::create(b, loc, b.getI32Type());
}
Value AmdTarget::block(OpBuilder &b, Location loc) const {
  return ROCDL::BlockIdXOp::create(b, loc, b.getI32Type());
}
Value AmdTarget::blocks(OpBuilder &b, Location loc) const {
  return ROCDL::GridDimXOp::create(b, loc, b.getI32Type());
}
void AmdTarget::barrier(OpBuilder &b, Location loc) const {
  amdgpu::LDSBarrierOp::create(b, loc);
}
void AmdTarget::waveFence(OpBuilder &b, Location loc) const {
  // Lanes run in step: no instruction, but an order for the compiler.
  LLVM::FenceOp::create(b, loc, LLVM::AtomicOrdering::acq_rel, "wavefront");
}

//===----------------------------------------------------------------------===//
// Lanes
//===----------------------------------------------------------------------===//

namespace {
/// Controls of DPP.
enum Dpp : uint32_t {
  kSwapNeighbours = 0xB1, ///< quad_perm [1, 0, 3, 2]
  kSwapPairs = 0x4E,      ///< quad_perm [2, 3, 0, 1]
  kRowShiftRight = 0x110, ///< plus how far
  kRowMirror = 0x140,
  kHalfRowMirror = 0x141,
};
} // namespace

/// Lanes without a source get `old`.
static Value moveInRow(OpBuilder &b, Location loc, Value old, Value v,
                       uint32_t control, bool zeroBeyond) {
  return ROCDL::DPPUpdateOp::create(b, loc, v.getType(), old, v, control,
                                    /*rowMask=*/0xF, /*bankMask=*/0xF,
                                    zeroBeyond);
}

static Value readLane(OpBuilder &b, Location loc, Value v, Value lane) {
  return ROCDL::ReadlaneOp::create(b, loc, v.getType(), v, lane);
}

/// `op` on the bits of `v`, for ops on i32 alone.
static Value onBits(OpBuilder &b, Location loc, Value v,
                    function_ref<Value(Value)> op) {
  Type type = v.getType();
  if (type.isInteger(32))
    return op(v);
  Value bits = arith::BitcastOp::create(b, loc, b.getI32Type(), v);
  return arith::BitcastOp::create(b, loc, type, op(bits));
}

Value AmdTarget::uniform(OpBuilder &b, Location loc, Value v) const {
  return ROCDL::ReadfirstlaneOp::create(b, loc, v.getType(), v);
}

Value AmdTarget::broadcast(OpBuilder &b, Location loc, Value v,
                           Value lane) const {
  return readLane(b, loc, v, lane);
}

Value AmdTarget::shuffle(OpBuilder &b, Location loc, Value v,
                         Value lane) const {
  Value bytes = arith::ShLIOp::create(b, loc, lane, word(b, loc, 2));
  return onBits(b, loc, v, [&](Value bits) -> Value {
    return ROCDL::DsBpermuteOp::create(b, loc, b.getI32Type(), bytes, bits);
  });
}

Value AmdTarget::combine(OpBuilder &b, Location loc, Value v, int64_t lanes,
                         function_ref<Value(Value, Value)> f) const {
  // Before a step of distance d every group of d lanes holds one value, so a
  // mirror is as good as a butterfly.
  const uint32_t controls[] = {kSwapNeighbours, kSwapPairs, kHalfRowMirror,
                               kRowMirror};
  for (int64_t d = 1, step = 0; d < std::min(lanes, kRow); d *= 2, ++step)
    v = f(v, moveInRow(b, loc, v, v, controls[step], /*zeroBeyond=*/true));
  if (lanes <= kRow)
    return v;
  if (lanes < facts.wave) // 32 of 64
    return f(v, onBits(b, loc, v, [&](Value bits) -> Value {
               Value other = word(b, loc, kRow << 10 | 0x1F);
               return ROCDL::DsSwizzleOp::create(b, loc, b.getI32Type(), bits,
                                                 other);
             }));
  SmallVector<Value> rowResults;
  for (int64_t lane = 0; lane < lanes; lane += kRow)
    rowResults.push_back(readLane(b, loc, v, word(b, loc, lane)));
  for (; rowResults.size() > 1; rowResults.resize(rowResults.size() / 2))
    for (size_t i = 0, half = rowResults.size() / 2; i < half; ++i)
      rowResults[i] = f(rowResults[i], rowResults[i + half]);
  return rowResults[0];
}

Value AmdTarget::largest(OpBuilder &b, Location loc, Value v) const {
  return combine(b, loc, v, facts.wave, [&](Value x, Value y) -> Value {
    return arith::MaxSIOp::create(b, loc, x, y);
  });
}
Value AmdTarget::smallest(OpBuilder &b, Location loc, Value v) const {
  return combine(b, loc, v, facts.wave, [&](Value x, Value y) -> Value {
    return arith::MinSIOp::create(b, loc, x, y);
  });
}

Value AmdTarget::inclusiveSum(OpBuilder &b, Location loc, Value v,
                              Value lane) const {
  Value zero = word(b, loc, 0);
  for (int64_t d = 1; d < kRow; d *= 2)
    v = arith::AddIOp::create(
        b, loc, v,
        moveInRow(b, loc, zero, v, kRowShiftRight + d, /*zeroBeyond=*/false));
  // What the rows before have.
  Value before = zero, sum;
  for (int64_t first = kRow; first < facts.wave; first += kRow) {
    Value row = readLane(b, loc, v, word(b, loc, first - 1));
    sum = sum ? arith::AddIOp::create(b, loc, sum, row).getResult() : row;
    Value isBehind = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge,
                                           lane, word(b, loc, first));
    before = arith::SelectOp::create(b, loc, isBehind, sum, before);
  }
  return arith::AddIOp::create(b, loc, v, before);
}

Value AmdTarget::ballot(OpBuilder &b, Location loc, Value condition) const {
  return ROCDL::BallotOp::create(b, loc, b.getIntegerType(facts.wave),
                                 condition);
}

//===----------------------------------------------------------------------===//
// Shared memory and the launch
//===----------------------------------------------------------------------===//

/// The kernel's LDS; null if it has none.
static LLVM::GlobalOp findLds(LLVM::LLVMFuncOp func) {
  auto module = func->getParentOfType<ModuleOp>();
  return module.lookupSymbol<LLVM::GlobalOp>(
      ("lds_" + func.getSymName()).str());
}

Value AmdTarget::sharedMemory(OpBuilder &b, Location loc,
                              LLVM::LLVMFuncOp func) const {
  LLVM::GlobalOp lds = findLds(func);
  if (!lds) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(func);
    // The number of bytes is known at the end.
    lds = LLVM::GlobalOp::create(
        b, loc, LLVM::LLVMArrayType::get(b.getI8Type(), 1),
        /*isConstant=*/false, LLVM::Linkage::Internal,
        ("lds_" + func.getSymName()).str(), Attribute(), /*alignment=*/16,
        /*addrSpace=*/3);
  }
  return LLVM::AddressOfOp::create(b, loc, lds);
}

int64_t AmdTarget::finish(LLVM::LLVMFuncOp func, int64_t threads, int64_t,
                          int64_t sharedBytes) const {
  Builder b(func.getContext());
  if (LLVM::GlobalOp lds = findLds(func))
    lds.setGlobalType(LLVM::LLVMArrayType::get(b.getI8Type(), sharedBytes));
  markAmdKernel(func, chip.name, chip.waveSize, threads);
  return 0;
}
