//===- FragmentOps.cpp - Operations on fragments --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace mlir::moe::tile;

static LogicalResult verifySameTile(Operation *op, StringRef label, Type a,
                                    Type b) {
  if (getTileShape(a) == getTileShape(b) &&
      getTileElementType(a) == getTileElementType(b))
    return success();
  return op->emitOpError() << label << ": " << a << " and " << b
                           << " differ in shape or element type";
}

//===----------------------------------------------------------------------===//
// map
//===----------------------------------------------------------------------===//

void MapOp::build(
    OpBuilder &builder, OperationState &state, TypeRange results,
    ValueRange inputs,
    function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange)>
        bodyBuilder) {
  state.addOperands(inputs);
  state.addTypes(results);
  OpBuilder::InsertionGuard guard(builder);
  Block *body = builder.createBlock(state.addRegion());
  for (Value input : inputs)
    body->addArgument(getTileElementType(input.getType()), state.location);
  SmallVector<Value> values =
      bodyBuilder(builder, state.location, body->getArguments());
  YieldOp::create(builder, state.location, values);
}

LogicalResult MapOp::verify() {
  // map_c2
  if (getNumResults() == 0)
    return emitOpError("map_c2: at least one result");
  auto [rows, cols] = getTileShape(getResultTypes().front());
  for (Type type : getResultTypes())
    if (getTileShape(type) != std::make_pair(rows, cols))
      return emitOpError("map_c2: results of different shapes: ")
             << getResultTypes().front() << " and " << type;
  // map_c1
  for (Type type : getInputs().getTypes()) {
    auto [r, c] = getTileShape(type);
    if ((r != rows && r != 1) || (c != cols && c != 1))
      return emitOpError("map_c1: input ")
             << type << " has neither the extents of " << rows << "x" << cols
             << " nor 1";
  }
  // map_c3
  Block &body = getBody().front();
  if (body.getNumArguments() != getInputs().size())
    return emitOpError("map_c3: ")
           << getInputs().size() << " inputs, the body takes "
           << body.getNumArguments();
  for (auto [input, arg] : llvm::zip(getInputs(), body.getArguments()))
    if (getTileElementType(input.getType()) != arg.getType())
      return emitOpError("map_c3: body argument ")
             << arg.getType() << " for an input of "
             << getTileElementType(input.getType());
  auto yield = dyn_cast<YieldOp>(body.back());
  if (!yield || yield.getNumOperands() != getNumResults())
    return emitOpError("map_c3: body must yield ")
           << getNumResults() << " values";
  for (auto [type, value] : llvm::zip(getResultTypes(), yield.getOperands()))
    if (getTileElementType(type) != value.getType())
      return emitOpError("map_c3: yields ")
             << value.getType() << " for a result of "
             << getTileElementType(type);
  // map_c4
  for (Operation &op : llvm::drop_end(body)) {
    bool scalar =
        llvm::all_of(op.getResultTypes(),
                     [](Type t) { return t.isIntOrIndexOrFloat(); }) &&
        llvm::all_of(op.getOperandTypes(),
                     [](Type t) { return t.isIntOrIndexOrFloat(); });
    if (!scalar || op.getNumRegions() != 0 || !isMemoryEffectFree(&op))
      return op.emitOpError("map_c4: the body of a map is scalar, without "
                            "memory and regions");
  }
  return success();
}

//===----------------------------------------------------------------------===//
// split, join
//===----------------------------------------------------------------------===//

/// The level of the digit that counts multiples of `block` along n, if the
/// layout has a digit boundary there; nothing otherwise.
static std::optional<Digit> digitAt(DigitsAttr layout, int64_t block) {
  for (const Digit &digit : layout.getDigits())
    if (digit.dim == Dim::N && digit.stride != 0 && digit.stride <= block &&
        block < digit.stride * digit.extent)
      return digit;
  return std::nullopt;
}

void SplitOp::build(OpBuilder &builder, OperationState &state, Value source,
                    int64_t block) {
  auto type = cast<FragType>(source.getType());
  auto half =
      FragType::get(type.getRows(), type.getCols() / 2, type.getElementType());
  build(builder, state, half, half, source, block);
}

LogicalResult SplitOp::verify() {
  FragType type = getSource().getType();
  int64_t block = getBlock(), cols = type.getCols();
  // split_c1
  if (block < 1 || cols % (2 * block) != 0)
    return emitOpError("split_c1: blocks of ")
           << block << " do not cut " << cols << " columns into two";
  for (FragType half : {getFirst().getType(), getSecond().getType()})
    if (half.getRows() != type.getRows() || half.getCols() != cols / 2 ||
        half.getElementType() != type.getElementType())
      return emitOpError("split_c1: half of ") << type << " is not " << half;
  // split_c2
  if (!type.getLayout())
    return success();
  std::optional<Digit> digit = digitAt(type.getLayout(), block);
  if (digit && digit->level != Level::Reg) {
    static constexpr StringRef names[] = {"reg", "lane", "warp", "group",
                                          "cta"};
    return emitOpError("split_c2: columns ")
           << block << " apart are held by different "
           << names[static_cast<unsigned>(digit->level)]
           << " indices, not by reg; boxes of the load can rearrange them";
  }
  return success();
}

LogicalResult JoinOp::verify() {
  // join_c1
  FragType a = getFirst().getType(), b = getSecond().getType(), r = getType();
  int64_t block = getBlock();
  if (a != b || r.getRows() != a.getRows() || r.getCols() != 2 * a.getCols() ||
      r.getElementType() != a.getElementType() || block < 1 ||
      a.getCols() % block != 0)
    return emitOpError("join_c1: ") << a << " and " << b << " in blocks of "
                                    << block << " do not give " << r;
  return success();
}

//===----------------------------------------------------------------------===//
// The rest
//===----------------------------------------------------------------------===//

void RowReduceOp::build(OpBuilder &builder, OperationState &state,
                        ReduceKind kind, ValueRange inputs, int64_t group) {
  int64_t cols = 0;
  for (Value input : inputs)
    cols += cast<FragType>(input.getType()).getCols();
  auto type = cast<FragType>(inputs.front().getType());
  build(builder, state,
        FragType::get(type.getRows(), cols / group, type.getElementType()),
        kind, inputs, group);
}

LogicalResult RowReduceOp::verify() {
  // row_reduce_c1
  if (getInputs().empty())
    return emitOpError("row_reduce_c1: at least one input");
  FragType result = getType();
  int64_t cols = 0;
  for (Type input : getInputs().getTypes()) {
    auto type = cast<FragType>(input);
    if (type.getRows() != result.getRows() ||
        type.getElementType() != result.getElementType())
      return emitOpError("row_reduce_c1: input ")
             << type << " and result " << result
             << " differ in rows or element type";
    cols += type.getCols();
  }
  // row_reduce_c2
  int64_t group = getGroup();
  if (group < 1 || cols % group != 0 || result.getCols() != cols / group)
    return emitOpError("row_reduce_c2: groups of ")
           << group << " of " << cols << " columns do not give "
           << result.getCols();
  return success();
}

LogicalResult RelayoutOp::verify() {
  // relayout_c1
  return verifySameTile(*this, "relayout_c1", getSource().getType(), getType());
}

void FragLoadOp::build(OpBuilder &builder, OperationState &state,
                       Value buffer) {
  auto type = cast<BufType>(buffer.getType());
  build(builder, state,
        FragType::get(type.getRows(), type.getCols(), type.getElementType()),
        buffer, Value());
}

LogicalResult FragLoadOp::verify() {
  // frag_load_c1
  if (!getAt())
    return verifySameTile(*this, "frag_load_c1", getBuffer().getType(),
                          getType());
  BufType buffer = getBuffer().getType();
  FragType type = getType();
  if (type.getRows() != 1 || type.getCols() != buffer.getRows() ||
      type.getElementType() != buffer.getElementType())
    return emitOpError("frag_load_c1: a column of ")
           << buffer << " is one row of " << buffer.getRows() << " values, not "
           << type;
  return success();
}

void FragLoadOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  Operation *def = getBuffer().getDefiningOp();
  if (isa_and_nonnull<BufAllocOp, AcquireOp, WaitOp>(def))
    effects.emplace_back(MemoryEffects::Read::get(), &getBufferMutable());
}

LogicalResult FragSplatOp::verify() {
  // frag_splat_c1
  if (getValue().getType() != getType().getElementType())
    return emitOpError("frag_splat_c1: ")
           << getValue().getType() << " for " << getType();
  return success();
}
