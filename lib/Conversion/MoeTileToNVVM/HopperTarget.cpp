//===- HopperTarget.cpp - Row kernels in NVVM -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HopperTarget.h"
#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

static rows::WaveFacts hopperFacts(bool clusters, int64_t sharedBytes) {
  rows::WaveFacts facts;
  facts.name = "NVVM";
  facts.cluster = clusters ? 8 : 1;
  facts.sharedBytes = sharedBytes;
  facts.writers = 128;
  return facts;
}

HopperTarget::HopperTarget(bool clusters, int64_t sharedBytes, bool floats8)
    : WaveTarget(hopperFacts(clusters, sharedBytes)), floats8(floats8) {}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

Value HopperTarget::thread(OpBuilder &b, Location loc) const {
  return NVVM::ThreadIdXOp::create(b, loc, b.getI32Type());
}
Value HopperTarget::block(OpBuilder &b, Location loc) const {
  return NVVM::BlockIdXOp::create(b, loc, b.getI32Type());
}
Value HopperTarget::blocks(OpBuilder &b, Location loc) const {
  return NVVM::GridDimXOp::create(b, loc, b.getI32Type());
}
void HopperTarget::barrier(OpBuilder &b, Location loc) const {
  NVVM::BarrierOp::create(b, loc);
}
void HopperTarget::waveFence(OpBuilder &b, Location loc) const {
  NVVM::SyncWarpOp::create(b, loc, word(b, loc, -1));
}

//===----------------------------------------------------------------------===//
// Lanes
//===----------------------------------------------------------------------===//

static Value exchange(OpBuilder &b, Location loc, NVVM::ShflKind kind, Value v,
                      Value lane, int64_t clamp = 31) {
  auto c = [&](int64_t v) -> Value {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(v));
  };
  return NVVM::ShflOp::create(b, loc, v.getType(), c(-1), v, lane, c(clamp),
                              kind, UnitAttr());
}

Value HopperTarget::uniform(OpBuilder &b, Location loc, Value v) const {
  return exchange(b, loc, NVVM::ShflKind::idx, v, word(b, loc, 0));
}
Value HopperTarget::broadcast(OpBuilder &b, Location loc, Value v,
                              Value lane) const {
  return exchange(b, loc, NVVM::ShflKind::idx, v, lane);
}
Value HopperTarget::shuffle(OpBuilder &b, Location loc, Value v,
                            Value lane) const {
  return exchange(b, loc, NVVM::ShflKind::idx, v, lane);
}

Value HopperTarget::combine(OpBuilder &b, Location loc, Value v, int64_t lanes,
                            function_ref<Value(Value, Value)> f) const {
  for (int64_t d = lanes / 2; d; d /= 2)
    v = f(v, exchange(b, loc, NVVM::ShflKind::bfly, v, word(b, loc, d)));
  return v;
}

static Value reduce(OpBuilder &b, Location loc, NVVM::ReduxKind kind, Value v) {
  Value all = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(-1));
  return NVVM::ReduxOp::create(b, loc, v.getType(), v, kind, all);
}
Value HopperTarget::largest(OpBuilder &b, Location loc, Value v) const {
  return reduce(b, loc, NVVM::ReduxKind::MAX, v);
}
Value HopperTarget::smallest(OpBuilder &b, Location loc, Value v) const {
  return reduce(b, loc, NVVM::ReduxKind::MIN, v);
}

Value HopperTarget::inclusiveSum(OpBuilder &b, Location loc, Value v,
                                 Value lane) const {
  for (int64_t d = 1; d < 32; d *= 2) {
    Value other =
        exchange(b, loc, NVVM::ShflKind::up, v, word(b, loc, d), /*clamp=*/0);
    Value isThere = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge,
                                          lane, word(b, loc, d));
    Value sum = arith::AddIOp::create(b, loc, v, other);
    v = arith::SelectOp::create(b, loc, isThere, sum, v);
  }
  return v;
}

Value HopperTarget::ballot(OpBuilder &b, Location loc, Value condition) const {
  return NVVM::VoteSyncOp::create(b, loc, b.getI32Type(), word(b, loc, -1),
                                  condition, NVVM::VoteSyncKind::ballot);
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

Value HopperTarget::sharedMemory(OpBuilder &b, Location loc,
                                 LLVM::LLVMFuncOp func) const {
  LLVM::GlobalOp global = getDynamicSharedMemory(func->getParentOp(), loc);
  return LLVM::AddressOfOp::create(b, loc, global);
}

void HopperTarget::clusterArrive(OpBuilder &b, Location loc) const {
  NVVM::ClusterArriveOp::create(b, loc, b.getUnitAttr());
}
void HopperTarget::clusterWait(OpBuilder &b, Location loc) const {
  NVVM::ClusterWaitOp::create(b, loc, b.getUnitAttr());
}
Value HopperTarget::inCluster(OpBuilder &b, Location loc, Value pointer,
                              Value rank) const {
  Type remote = LLVM::LLVMPointerType::get(b.getContext(), 7);
  return NVVM::MapaOp::create(b, loc, remote, pointer, rank);
}

//===----------------------------------------------------------------------===//
// The launch
//===----------------------------------------------------------------------===//

void HopperTarget::letNextLaunchBegin(OpBuilder &b, Location loc) const {
  NVVM::GriddepcontrolOp::create(b, loc,
                                 NVVM::GridDepActionKind::launch_dependents);
}

void HopperTarget::awaitEarlierLaunches(OpBuilder &b, Location loc) const {
  NVVM::GriddepcontrolOp::create(b, loc, NVVM::GridDepActionKind::wait);
}

int64_t HopperTarget::finish(LLVM::LLVMFuncOp func, int64_t threads,
                             int64_t cluster, int64_t sharedBytes) const {
  Builder b(func.getContext());
  func->setAttr("nvvm.kernel", b.getUnitAttr());
  func->setAttr("nvvm.reqntid",
                b.getDenseI32ArrayAttr({static_cast<int32_t>(threads)}));
  if (cluster > 1)
    func->setAttr(
        "nvvm.cluster_dim",
        b.getDenseI32ArrayAttr({static_cast<int32_t>(cluster), 1, 1}));
  return sharedBytes;
}
