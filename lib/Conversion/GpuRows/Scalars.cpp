//===- Scalars.cpp - Kernels of scalar code for GPUs ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel that is one parallel loop over scalar code: one thread runs one
// iteration. Index is i32, offsets in memory are i64.
//
//===----------------------------------------------------------------------===//

#include "ScalarEmitter.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

static bool isView(Operation *op) {
  return isa<memref::CollapseShapeOp, memref::ExpandShapeOp>(op);
}

bool rows::isScalarKernel(tile::KernelOp kernel) {
  if (kernel.getKernelForm() != tile::Form::Seq)
    return false;
  bool only = true, writes = false;
  kernel.walk([&](Operation *op) {
    writes |= isa<memref::StoreOp>(op);
    only &= op == kernel || isView(op) ||
            op->getName().getDialectNamespace() == "arith" ||
            isa<memref::DimOp, memref::LoadOp, memref::StoreOp, scf::ParallelOp,
                scf::ReduceOp, scf::ForOp, scf::IfOp, scf::YieldOp,
                tile::ReturnOp, tile::AwaitLaunchOp>(op);
  });
  return only && writes &&
         llvm::hasSingleElement(kernel.getBody().getOps<scf::ParallelOp>());
}

Value ScalarEmitter::address(Value memory, ValueRange indices) {
  Value offset = k.c64(0);
  for (auto [dim, index] : llvm::enumerate(indices)) {
    if (dim)
      offset = k.mul(offset, k.wide(k.extent(memory, dim)));
    offset = k.add(offset, k.wide(values.lookup(index)));
  }
  return k.at(k.pointer(memory), offset,
              cast<MemRefType>(memory.getType()).getElementType());
}

LogicalResult ScalarEmitter::emitFor(scf::ForOp op) {
  auto loop = scf::ForOp::create(b, k.loc, values.lookup(op.getLowerBound()),
                                 values.lookup(op.getUpperBound()),
                                 values.lookup(op.getStep()),
                                 valuesOf(op.getInitArgs()));
  values[op.getInductionVar()] = loop.getInductionVar();
  for (auto [from, to] :
       llvm::zip(op.getRegionIterArgs(), loop.getRegionIterArgs()))
    values[from] = to;
  for (auto [from, to] : llvm::zip(op.getResults(), loop.getResults()))
    values[from] = to;
  OpBuilder::InsertionGuard guard(b);
  Block *body = loop.getBody();
  if (!body->empty() && isa<scf::YieldOp>(body->back()))
    body->back().erase();
  b.setInsertionPointToEnd(body);
  if (failed(emitBlock(*op.getBody())))
    return failure();
  scf::YieldOp::create(b, k.loc,
                       valuesOf(op.getBody()->getTerminator()->getOperands()));
  return success();
}

LogicalResult ScalarEmitter::emitIf(scf::IfOp op) {
  SmallVector<Type> types = llvm::map_to_vector(
      op.getResultTypes(), [&](Type type) { return typeOf(type); });
  bool otherwise = !op.getElseRegion().empty();
  auto made = scf::IfOp::create(b, k.loc, types,
                                values.lookup(op.getCondition()), otherwise);
  for (auto [from, to] : llvm::zip(op.getResults(), made.getResults()))
    values[from] = to;
  OpBuilder::InsertionGuard guard(b);
  for (auto [from, to] : {std::pair(op.thenBlock(), made.thenBlock()),
                          std::pair(op.elseBlock(), made.elseBlock())}) {
    if (!from)
      continue;
    if (!to->empty() && isa<scf::YieldOp>(to->back()))
      to->back().erase();
    b.setInsertionPointToEnd(to);
    if (failed(emitBlock(*from)))
      return failure();
    scf::YieldOp::create(b, k.loc,
                         valuesOf(from->getTerminator()->getOperands()));
  }
  return success();
}

LogicalResult ScalarEmitter::emitOp(Operation *op) {
  k.loc = op->getLoc();
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](scf::ForOp op) { return emitFor(op); })
      .Case([&](scf::IfOp op) { return emitIf(op); })
      .Case<memref::CollapseShapeOp, memref::ExpandShapeOp>(
          [&](auto) { return success(); })
      .Case([&](memref::DimOp op) -> LogicalResult {
        std::optional<int64_t> dim = op.getConstantIndex();
        if (!dim || PlainKernel::operandNumber(op.getSource()) < 0)
          return op.emitOpError("asks for an extent that is no argument's");
        values[op.getResult()] = k.extent(op.getSource(), *dim);
        return success();
      })
      .Case([&](memref::LoadOp op) {
        Value from = address(op.getMemRef(), op.getIndices());
        values[op.getResult()] =
            k.load(op.getType(), from, sizeOf(op.getMemRef()));
        return success();
      })
      .Case([&](memref::StoreOp op) {
        Value to = address(op.getMemRef(), op.getIndices());
        k.store(values.lookup(op.getValue()), to, sizeOf(op.getMemRef()));
        return success();
      })
      .Case([&](arith::ConstantOp op) {
        values[op.getResult()] =
            op.getType().isIndex()
                ? k.c32(cast<IntegerAttr>(op.getValue()).getInt())
                : Value(arith::ConstantOp::create(b, k.loc, op.getValue()));
        return success();
      })
      .Case<arith::IndexCastOp, arith::IndexCastUIOp>(
          [&](auto op) -> LogicalResult {
            // One of both sides was an index and is i32 now.
            Value v = values.lookup(op.getIn());
            if (v.getType() != typeOf(op.getType()))
              return op.emitOpError("casts between an index and other than 32 "
                                    "bits, which has no lowering");
            values[op.getResult()] = v;
            return success();
          })
      .Default([&](Operation *op) -> LogicalResult {
        SmallVector<Type> types = llvm::map_to_vector(
            op->getResultTypes(), [&](Type type) { return typeOf(type); });
        OperationState state(k.loc, op->getName(), valuesOf(op->getOperands()),
                             types, op->getAttrs());
        Operation *made = b.create(state);
        for (auto [from, to] : llvm::zip(op->getResults(), made->getResults()))
          values[from] = to;
        return success();
      });
}

LogicalResult ScalarEmitter::emitBlock(Block &block) {
  for (Operation &op : block.without_terminator())
    if (failed(emitOp(&op)))
      return failure();
  return success();
}

namespace {
/// The kernel that is one loop.
class ScalarLoop : ScalarEmitter {
public:
  explicit ScalarLoop(PlainKernel &k) : ScalarEmitter(k) {}
  LogicalResult emit();
};
} // namespace

LogicalResult ScalarLoop::emit() {
  Block &body = k.kernel.getBody().front();
  scf::ParallelOp loop = *body.getOps<scf::ParallelOp>().begin();
  auto dim = loop.getUpperBound()[0].getDefiningOp<memref::DimOp>();
  if (loop.getNumLoops() != 1 || loop.getNumReductions() != 0 ||
      !matchPattern(loop.getLowerBound()[0], m_Zero()) ||
      !matchPattern(loop.getStep()[0], m_One()) || !dim ||
      dim.getConstantIndex() != 0)
    return loop.emitOpError("a kernel of scalar code is a loop from 0 by 1 to "
                            "the first extent of an argument or of its view");
  // Pointers first, in the order of the kernel's arguments.
  for (BlockArgument argument : body.getArguments()) {
    if (isa<MemRefType>(argument.getType()))
      k.pointer(argument);
    else
      values[argument] = k.scalar(argument);
  }
  Value thread =
      k.add(k.mul(k.block(), k.c32(k.target.facts.blockThreads)), k.thread());
  k.awaitEarlierLaunches();
  for (Operation &op : body)
    if (!isa<scf::ParallelOp, tile::AwaitLaunchOp, tile::ReturnOp>(op) &&
        failed(emitOp(&op)))
      return failure();
  values[loop.getInductionVars()[0]] = thread;
  LogicalResult result = success();
  k.when(k.less(thread, k.extent(dim.getSource(), 0)),
         [&] { result = emitBlock(*loop.getBody()); });
  if (failed(result))
    return failure();

  // As many threads as the loop has iterations: elements of the argument per
  // element of the view's first dimension.
  auto view = cast<MemRefType>(dim.getSource().getType());
  int64_t number = PlainKernel::operandNumber(dim.getSource());
  auto whole = cast<MemRefType>(body.getArgument(number).getType());
  auto inner = [](MemRefType type) {
    int64_t count = 1;
    for (int64_t extent : type.getShape().drop_front())
      count *= extent;
    return count;
  };
  PlainKernel::Grid grid;
  int64_t threads = k.target.facts.blockThreads;
  if (view.isDynamicDim(0)) {
    grid.operand = number;
    grid.mul = inner(whole);
    grid.div = threads * inner(view);
  } else {
    grid.blocks = llvm::divideCeil(view.getDimSize(0), threads);
  }
  k.finish(threads, /*cluster=*/1, grid);
  return success();
}

FailureOr<LLVM::LLVMFuncOp>
rows::convertScalarKernel(tile::KernelOp kernel, OpBuilder &b,
                          const WaveTarget &target) {
  return convertPlain<ScalarLoop>(kernel, b, target);
}
