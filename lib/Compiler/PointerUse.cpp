//===- PointerUse.cpp - What a kernel does with its pointers --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PointerUse.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;

/// Of bulk copies, whatever their size.
static constexpr int64_t bulkGranule = 16;

/// Bytes of a value in memory, as a power of two.
static int64_t naturalAlignment(Type type) {
  int64_t bits = 0;
  if (auto vector = dyn_cast<VectorType>(type)) {
    if (vector.getElementType().isIntOrFloat())
      bits = vector.getNumElements() * vector.getElementTypeBitWidth();
  } else if (type.isIntOrFloat()) {
    bits = type.getIntOrFloatBitWidth();
  } else if (isa<LLVM::LLVMPointerType>(type)) {
    bits = 64;
  }
  return bits < 8 ? 1 : static_cast<int64_t>(llvm::PowerOf2Ceil(bits / 8));
}

/// What an access through `use` asks of its address; 1 if it is none.
static int64_t getAccess(OpOperand &use) {
  Value pointer = use.get();
  return TypeSwitch<Operation *, int64_t>(use.getOwner())
      .Case([&](LLVM::LoadOp op) {
        return static_cast<int64_t>(
            op.getAlignment().value_or(naturalAlignment(op.getType())));
      })
      .Case([&](LLVM::StoreOp op) {
        if (op.getAddr() != pointer)
          return int64_t(1);
        return static_cast<int64_t>(op.getAlignment().value_or(
            naturalAlignment(op.getValue().getType())));
      })
      .Case([&](LLVM::AtomicRMWOp op) {
        return op.getPtr() == pointer ? naturalAlignment(op.getVal().getType())
                                      : 1;
      })
      .Case([&](LLVM::AtomicCmpXchgOp op) {
        return op.getPtr() == pointer ? naturalAlignment(op.getVal().getType())
                                      : 1;
      })
      .Case([&](NVVM::CpAsyncOp op) {
        return op.getSrc() == pointer ? static_cast<int64_t>(op.getSize()) : 1;
      })
      .Case<NVVM::CpAsyncBulkGlobalToSharedClusterOp,
            NVVM::CpAsyncBulkSharedCTAToGlobalOp, nv::BulkReduceAddOp>(
          [&](Operation *) { return bulkGranule; })
      .Case([&](nv::LoadNcOp op) { return naturalAlignment(op.getType()); })
      .Case([&](nv::RedAddOp op) {
        return op.getAddress() == pointer
                   ? naturalAlignment(op.getValue().getType())
                   : 1;
      })
      .Default(int64_t(1));
}

/// Adds the values that point where `use` does.
static void follow(OpOperand &use, SetVector<Value> &pointers) {
  Operation *user = use.getOwner();
  unsigned number = use.getOperandNumber();
  if (isa<LLVM::GEPOp, LLVM::AddrSpaceCastOp, LLVM::BitcastOp, arith::SelectOp,
          LLVM::SelectOp>(user)) {
    if (isa<LLVM::LLVMPointerType>(use.get().getType()))
      pointers.insert(user->getResult(0));
  } else if (auto loop = dyn_cast<scf::ForOp>(user)) {
    if (number >= loop.getNumControlOperands()) {
      unsigned iteration = number - loop.getNumControlOperands();
      pointers.insert(loop.getRegionIterArg(iteration));
      pointers.insert(loop.getResult(iteration));
    }
  } else if (isa<scf::YieldOp>(user)) {
    Operation *parent = user->getParentOp();
    if (number < parent->getNumResults())
      pointers.insert(parent->getResult(number));
    if (auto loop = dyn_cast<scf::ForOp>(parent))
      pointers.insert(loop.getRegionIterArg(number));
  }
}

int64_t mlir::moe::getNeededAlignment(LLVM::LLVMFuncOp kernel,
                                      unsigned number) {
  if (kernel.isExternal())
    return 1;
  int64_t needed = 1;
  SetVector<Value> pointers;
  pointers.insert(kernel.getArgument(number));
  // Grows as it goes.
  for (size_t i = 0; i < pointers.size(); ++i)
    for (OpOperand &use : pointers[i].getUses()) {
      needed = std::max(needed, getAccess(use));
      follow(use, pointers);
    }
  return needed;
}
