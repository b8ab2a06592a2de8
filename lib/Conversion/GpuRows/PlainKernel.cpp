//===- PlainKernel.cpp - Kernels without roles for GPUs -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlainKernel.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

PlainKernel::PlainKernel(tile::KernelOp kernel, OpBuilder &moduleBuilder,
                         const WaveTarget &target)
    : ArithBuilder(OpBuilder(kernel.getContext()), kernel.getLoc()),
      target(target), kernel(kernel) {
  auto type =
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), {});
  func =
      LLVM::LLVMFuncOp::create(moduleBuilder, loc, kernel.getSymName(), type);
  Block *entry = new Block;
  func.getBody().push_back(entry);
  b.setInsertionPointToStart(entry);
  early = target.startsEarly() &&
          !kernel.getBody().getOps<tile::AwaitLaunchOp>().empty();
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

/// The argument of which `memref` is a view.
static BlockArgument argumentOf(Value memref) {
  while (Operation *op = memref.getDefiningOp()) {
    if (!isa<memref::CollapseShapeOp, memref::ExpandShapeOp, memref::CastOp>(
            op))
      return {};
    memref = op->getOperand(0);
  }
  auto argument = dyn_cast<BlockArgument>(memref);
  return argument && isa<tile::KernelOp>(argument.getOwner()->getParentOp())
             ? argument
             : BlockArgument();
}

int64_t PlainKernel::operandNumber(Value memref) {
  BlockArgument argument = argumentOf(memref);
  return argument ? argument.getArgNumber() : -1;
}

Value PlainKernel::parameter(Type type, ArrayRef<NamedAttribute> how) {
  params.push_back(b.getDictionaryAttr(how));
  return func.getBody().front().addArgument(type, loc);
}

Value PlainKernel::pointer(Value memref) {
  BlockArgument argument = argumentOf(memref);
  Value &value = known[{argument, -1}];
  if (!value)
    value = parameter(LLVM::LLVMPointerType::get(b.getContext(), 1),
                      named("operand", argument.getArgNumber()));
  return value;
}

Value PlainKernel::scalar(BlockArgument argument) {
  Value &value = known[{argument, -1}];
  Type type =
      argument.getType().isIndex() ? b.getI32Type() : argument.getType();
  if (!value)
    value = parameter(type, {named("operand", argument.getArgNumber()),
                             b.getNamedAttr("type", TypeAttr::get(type))});
  return value;
}

Value PlainKernel::extent(Value memref, int64_t dim) {
  auto type = cast<MemRefType>(memref.getType());
  if (!type.isDynamicDim(dim))
    return c32(type.getDimSize(dim));
  BlockArgument argument = argumentOf(memref);
  auto whole = cast<MemRefType>(argument.getType());
  // A view of row-major memory: the same elements in rows of another length.
  int64_t from = whole == type ? dim : 0, inner = 1, wholeInner = 1;
  if (whole != type) {
    for (int64_t i = 1; i < type.getRank(); ++i)
      inner *= type.getDimSize(i);
    for (int64_t i = 1; i < whole.getRank(); ++i)
      wholeInner *= whole.getDimSize(i);
  }
  Value &value = known[{argument, from}];
  if (!value)
    value = parameter(b.getI32Type(),
                      {named("operand", argument.getArgNumber()),
                       named("dim", from),
                       b.getNamedAttr("type", TypeAttr::get(b.getI32Type()))});
  if (wholeInner == inner)
    return value;
  return div(mul(value, c32(wholeInner)), c32(inner));
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

void PlainKernel::when(Value condition, function_ref<void()> body) {
  auto op = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.thenBlock());
  body();
}

Value PlainKernel::choose(Value condition, function_ref<Value()> body,
                          Value otherwise) {
  auto op = scf::IfOp::create(b, loc, otherwise.getType(), condition,
                              /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.thenBlock());
  scf::YieldOp::create(b, loc, body());
  b.setInsertionPointToStart(op.elseBlock());
  scf::YieldOp::create(b, loc, otherwise);
  return op.getResult(0);
}

void PlainKernel::loop(Value from, Value to, Value step,
                       function_ref<void(Value)> body) {
  auto op = scf::ForOp::create(b, loc, from, to, step);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.getBody());
  body(op.getInductionVar());
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value PlainKernel::at(Value base, Value index, Type element) {
  if (index.getType().isInteger(32))
    index = wide(index);
  return LLVM::GEPOp::create(b, loc, base.getType(), element, base,
                             ArrayRef<LLVM::GEPArg>{index});
}

Value PlainKernel::shared(int64_t bytes) {
  Value base = target.sharedMemory(b, loc, func);
  int64_t offset = sharedBytes;
  sharedBytes += llvm::alignTo(bytes, 16);
  return LLVM::GEPOp::create(
      b, loc, base.getType(), b.getI8Type(), base,
      ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
}

//===----------------------------------------------------------------------===//
// The launch
//===----------------------------------------------------------------------===//

void PlainKernel::awaitEarlierLaunches() {
  if (!early)
    return;
  bool holds = kernel->hasAttr("moe_tile.holds_next");
  if (!holds)
    target.letNextLaunchBegin(b, loc);
  target.awaitEarlierLaunches(b, loc);
  if (holds)
    target.letNextLaunchBegin(b, loc);
}

void PlainKernel::awaitThenLetNextBegin() {
  if (!early)
    return;
  target.awaitEarlierLaunches(b, loc);
  target.letNextLaunchBegin(b, loc);
}

void PlainKernel::beginBesideEarlierLaunches() {
  if (early)
    target.letNextLaunchBegin(b, loc);
}

void PlainKernel::endAfterEarlierLaunches() {
  if (early)
    target.awaitEarlierLaunches(b, loc);
}

void PlainKernel::finish(int64_t threads, int64_t cluster, const Grid &grid) {
  LLVM::ReturnOp::create(b, loc, ValueRange());
  func.setFunctionType(LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()),
      SmallVector<Type>(func.getBody().front().getArgumentTypes())));
  Attribute blocks = b.getI64IntegerAttr(grid.blocks);
  if (grid.operand >= 0)
    blocks = b.getDictionaryAttr(
        {named("operand", grid.operand), named("dim", grid.dim),
         named("mul", grid.mul), named("add", 0), named("div", grid.div)});
  if (grid.persistent)
    blocks = b.getDictionaryAttr({named("persistent", grid.persistent)});
  Attribute one = b.getI64IntegerAttr(1);
  int64_t smem = target.finish(func, threads, cluster, sharedBytes);
  SmallVector<NamedAttribute> launch{
      b.getNamedAttr("block", b.getDenseI64ArrayAttr({threads, 1, 1})),
      b.getNamedAttr("cluster", b.getDenseI64ArrayAttr({cluster, 1, 1})),
      named("smem", smem),
      b.getNamedAttr("grid", b.getArrayAttr({blocks, one, one})),
      b.getNamedAttr("params", b.getArrayAttr(params))};
  if (early)
    launch.push_back(b.getNamedAttr("early_start", b.getUnitAttr()));
  func->setAttr("moe.launch", b.getDictionaryAttr(launch));
  func->setAttr(tile::kLoweredKernelAttr, b.getUnitAttr());
}
