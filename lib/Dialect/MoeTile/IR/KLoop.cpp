//===- KLoop.cpp - The reduction loop -------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// Building
//===----------------------------------------------------------------------===//

void KLoopOp::build(
    OpBuilder &builder, OperationState &state, Value lower, Value upper,
    int64_t step, ValueRange inits,
    function_ref<SmallVector<Value>(OpBuilder &, Location, Value)> loadBuilder,
    function_ref<SmallVector<Value>(OpBuilder &, Location, Value, ValueRange,
                                    ValueRange)>
        computeBuilder,
    function_ref<SmallVector<Value>(OpBuilder &, Location, Value, ValueRange)>
        transformBuilder) {
  Location loc = state.location;
  state.addOperands({lower, upper});
  state.addOperands(inits);
  state.addAttribute(getStepAttrName(state.name),
                     builder.getI64IntegerAttr(step));
  state.addTypes(inits.getTypes());
  OpBuilder::InsertionGuard guard(builder);
  Region *load = state.addRegion(), *transform = state.addRegion(),
         *compute = state.addRegion();

  Block *block = builder.createBlock(load, {}, {lower.getType()}, {loc});
  SmallVector<Value> tiles = loadBuilder(builder, loc, block->getArgument(0));
  YieldOp::create(builder, loc, tiles);

  auto beginWith = [&](Region *region, ValueRange carried) {
    Block *created = builder.createBlock(region, {}, {lower.getType()}, {loc});
    for (Value tile : tiles)
      created->addArgument(tile.getType(), loc);
    for (Value value : carried)
      created->addArgument(value.getType(), loc);
    return created;
  };
  if (transformBuilder) {
    block = beginWith(transform, {});
    tiles = transformBuilder(builder, loc, block->getArgument(0),
                             block->getArguments().drop_front());
    YieldOp::create(builder, loc, tiles);
  }
  block = beginWith(compute, inits);
  SmallVector<Value> next =
      computeBuilder(builder, loc, block->getArgument(0),
                     block->getArguments().drop_front().drop_back(inits.size()),
                     block->getArguments().take_back(inits.size()));
  YieldOp::create(builder, loc, next);
}

//===----------------------------------------------------------------------===//
// Assembly
//===----------------------------------------------------------------------===//

static ParseResult parsePart(OpAsmParser &parser, Region &region) {
  SmallVector<OpAsmParser::Argument> arguments;
  return failure(parser.parseArgumentList(arguments,
                                          OpAsmParser::Delimiter::Paren,
                                          /*allowType=*/true) ||
                 parser.parseRegion(region, arguments));
}

static void printPart(OpAsmPrinter &printer, Region &region) {
  printer << "(";
  llvm::interleaveComma(region.getArguments(), printer, [&](BlockArgument arg) {
    printer << arg << ": " << arg.getType();
  });
  printer << ") ";
  printer.printRegion(region, /*printEntryBlockArgs=*/false);
}

ParseResult KLoopOp::parse(OpAsmParser &parser, OperationState &state) {
  OpAsmParser::UnresolvedOperand lower, upper;
  SmallVector<OpAsmParser::UnresolvedOperand> inits;
  SmallVector<Type> types;
  Type bound = parser.getBuilder().getIndexType();
  IntegerAttr step;
  Type i64 = parser.getBuilder().getI64Type();
  if (parser.parseOperand(lower) || parser.parseKeyword("to") ||
      parser.parseOperand(upper) || parser.parseKeyword("step") ||
      parser.parseAttribute(step, i64, getStepAttrName(state.name),
                            state.attributes))
    return failure();
  if (succeeded(parser.parseOptionalColon()) && parser.parseType(bound))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("init"))) {
    auto parseInit = [&]() -> ParseResult {
      return failure(parser.parseOperand(inits.emplace_back()) ||
                     parser.parseColonType(types.emplace_back()));
    };
    if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren,
                                       parseInit))
      return failure();
  }
  if (parser.parseOptionalAttrDictWithKeyword(state.attributes) ||
      parser.resolveOperand(lower, bound, state.operands) ||
      parser.resolveOperand(upper, bound, state.operands) ||
      parser.resolveOperands(inits, types, parser.getNameLoc(), state.operands))
    return failure();
  state.addTypes(types);
  Region *load = state.addRegion(), *transform = state.addRegion(),
         *compute = state.addRegion();
  if (parser.parseKeyword("load") || parsePart(parser, *load))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("transform")) &&
      parsePart(parser, *transform))
    return failure();
  return failure(parser.parseKeyword("compute") || parsePart(parser, *compute));
}

void KLoopOp::print(OpAsmPrinter &printer) {
  printer << " " << getLower() << " to " << getUpper() << " step " << getStep();
  if (!getLower().getType().isIndex())
    printer << " : " << getLower().getType();
  if (!getInits().empty()) {
    printer << " init(";
    llvm::interleaveComma(getInits(), printer, [&](Value init) {
      printer << init << " : " << init.getType();
    });
    printer << ")";
  }
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(),
                                           {getStepAttrName()});
  printer.increaseIndent();
  printer.printNewline();
  printer << "load";
  printPart(printer, getLoad());
  if (hasTransform()) {
    printer << " transform";
    printPart(printer, getTransform());
  }
  printer << " compute";
  printPart(printer, getCompute());
  printer.decreaseIndent();
}

//===----------------------------------------------------------------------===//
// Verification
//===----------------------------------------------------------------------===//

/// k_loop_c4 for one load of the load region.
static LogicalResult verifyGranules(KLoopOp loop, TileAccess access) {
  int64_t step = loop.getStep();
  Value k = loop.getLoad().getArgument(0);
  auto [rows, cols] = access.getTileShape();
  int64_t extents[2] = {rows, cols};
  for (auto [dim, index] : llvm::enumerate(access.getIndices())) {
    int64_t granule = access.getGranuleOf(dim);
    if (index != k || granule == 1)
      continue;
    int64_t extent =
        access.getMemoryDim(0) == static_cast<int64_t>(dim)   ? extents[0]
        : access.getMemoryDim(1) == static_cast<int64_t>(dim) ? extents[1]
                                                              : 1;
    if (granule % step == 0 && extent == 1)
      continue;
    if (step % granule == 0 && extent == step / granule)
      continue;
    if (granule % step != 0 && step % granule != 0)
      return access->emitOpError("k_loop_c4: a k step of ")
             << step << " spans groups of " << granule;
    return access->emitOpError("k_loop_c4: a k step of ")
           << step << " over groups of " << granule << " has "
           << std::max<int64_t>(1, step / granule) << " of them, the tile "
           << extent;
  }
  return success();
}

/// Checks that a region begins with k and the given types.
static LogicalResult verifyArguments(KLoopOp loop, StringRef name,
                                     Region &region, TypeRange tiles,
                                     TypeRange carried) {
  SmallVector<Type> expected{loop.getLower().getType()};
  llvm::append_range(expected, tiles);
  llvm::append_range(expected, carried);
  if (TypeRange(expected) != TypeRange(region.getArgumentTypes()))
    return loop.emitOpError("k_loop_c2: ")
           << name << " takes (" << region.getArgumentTypes() << "), expected ("
           << expected << ")";
  if (region.front().empty() || !isa<YieldOp>(region.front().back()))
    return loop.emitOpError("k_loop_c2: ") << name << " must end in "
                                           << "moe_tile.yield";
  return success();
}

LogicalResult KLoopOp::verify() {
  // k_loop_c1
  if (static_cast<int64_t>(getStep()) < 1)
    return emitOpError("k_loop_c1: step must be positive, got ")
           << static_cast<int64_t>(getStep());
  // k_loop_c2
  if (failed(verifyArguments(*this, "load", getLoad(), {}, {})))
    return failure();
  TypeRange tiles = getLoaded().getTypes();
  if (hasTransform()) {
    if (failed(verifyArguments(*this, "transform", getTransform(), tiles, {})))
      return failure();
    tiles = getTransform().front().getTerminator()->getOperandTypes();
  }
  if (failed(verifyArguments(*this, "compute", getCompute(), tiles,
                             getInits().getTypes())))
    return failure();
  // k_loop_c3
  TypeRange carried = getInits().getTypes();
  TypeRange next = getCompute().front().getTerminator()->getOperandTypes();
  if (carried != next || carried != TypeRange(getResultTypes()))
    return emitOpError("k_loop_c3: types of init (")
           << carried << "), yield of compute (" << next << ") and results ("
           << getResultTypes() << ") differ";
  // k_loop_c6
  for (Type type : getLoaded().getTypes())
    if (!isa<BufType, RowsType>(type) && !type.isIntOrIndexOrFloat())
      return emitOpError("k_loop_c6: load yields buffers, row lists or "
                         "scalars, got ")
             << type;
  for (Operation &op : getLoad().front()) {
    // k_loop_c5
    bool address = isMemoryEffectFree(&op) && op.getNumRegions() == 0 &&
                   !isa<AccZeroOp, AccReadOp, MapOp, PromoteOp>(op);
    bool memory = isa<LoadOp, PrefetchOp, DequantOp, RowIndexOp>(op);
    // Reading an index (an expert's offset) is address arithmetic as well.
    if (!address && !memory && !isa<memref::LoadOp>(op))
      return op.emitOpError("k_loop_c5: not allowed in a load region");
    // k_loop_c4
    if (auto access = dyn_cast<TileAccess>(op))
      if (failed(verifyGranules(*this, access)))
        return failure();
  }
  return success();
}
