//===- StructureOps.cpp - Kernels, plans, lists, loops --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/FunctionImplementation.h"

using namespace mlir;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// kernel and plan
//===----------------------------------------------------------------------===//

static Type buildFunctionType(Builder &builder, ArrayRef<Type> arguments,
                              ArrayRef<Type> results,
                              function_interface_impl::VariadicFlag,
                              std::string &) {
  return builder.getFunctionType(arguments, results);
}

template <typename OpTy>
static ParseResult parseFunction(OpAsmParser &parser, OperationState &state) {
  return function_interface_impl::parseFunctionOp(
      parser, state, /*allowVariadic=*/false,
      OpTy::getFunctionTypeAttrName(state.name), buildFunctionType,
      OpTy::getArgAttrsAttrName(state.name),
      OpTy::getResAttrsAttrName(state.name));
}

template <typename OpTy>
static void printFunction(OpAsmPrinter &printer, OpTy op) {
  function_interface_impl::printFunctionOp(
      printer, op, /*isVariadic=*/false, op.getFunctionTypeAttrName(),
      op.getArgAttrsAttrName(), op.getResAttrsAttrName());
}

template <typename OpTy>
static void buildFunction(OpBuilder &builder, OperationState &state,
                          StringRef name, FunctionType type) {
  OpBuilder::InsertionGuard guard(builder);
  state.addAttribute(SymbolTable::getSymbolAttrName(),
                     builder.getStringAttr(name));
  state.addAttribute(OpTy::getFunctionTypeAttrName(state.name),
                     TypeAttr::get(type));
  Block *entry = builder.createBlock(state.addRegion());
  for (Type input : type.getInputs())
    entry->addArgument(input, state.location);
}

/// Checks the signature of a kernel or plan.
static LogicalResult verifySignature(FunctionOpInterface op, StringRef label,
                                     bool tilesAllowed) {
  if (op.getNumResults() != 0)
    return op->emitOpError()
           << label << ": no results allowed, got " << op.getNumResults();
  for (auto [i, type] : llvm::enumerate(op.getArgumentTypes())) {
    if (isa<MemRefType>(type) || type.isIntOrIndexOrFloat() ||
        (tilesAllowed && isa<TilesType>(type)))
      continue;
    return op->emitOpError()
           << label << ": argument " << i << " must be a memref"
           << (tilesAllowed ? ", a scalar or a tile list" : " or a scalar")
           << ", got " << type;
  }
  return success();
}

void KernelOp::build(OpBuilder &builder, OperationState &state, StringRef name,
                     FunctionType type, Form form) {
  buildFunction<KernelOp>(builder, state, name, type);
  state.addAttribute(getFormAttrName(state.name),
                     FormAttr::get(builder.getContext(), form));
}

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &state) {
  return parseFunction<KernelOp>(parser, state);
}

void KernelOp::print(OpAsmPrinter &printer) { printFunction(printer, *this); }

int64_t KernelOp::getOnChipBytes() {
  int64_t bytes = 0;
  walk([&](Operation *op) {
    if (auto ring = dyn_cast<RingAllocOp>(op))
      bytes += ring.getType().getSizeInBytes();
    if (auto buffer = dyn_cast<BufAllocOp>(op))
      bytes += buffer.getType().getSizeInBytes();
  });
  return bytes;
}

/// kernel_c6
static LogicalResult verifyMaxSizes(KernelOp op) {
  for (auto [i, type] : llvm::enumerate(op.getArgumentTypes())) {
    Attribute attr = op.getArgAttr(i, "moe_tile.max_sizes");
    if (!attr)
      continue;
    auto sizes = dyn_cast<DenseI64ArrayAttr>(attr);
    auto memory = dyn_cast<MemRefType>(type);
    if (!sizes || !memory || sizes.size() != memory.getRank())
      return op.emitOpError("kernel_c6: moe_tile.max_sizes of argument ")
             << i << " must be an i64 array with one bound per dimension";
    for (auto [bound, extent] :
         llvm::zip(sizes.asArrayRef(), memory.getShape()))
      if (bound < 1 || (!ShapedType::isDynamic(extent) && bound < extent))
        return op.emitOpError("kernel_c6: bound ")
               << bound << " of argument " << i
               << " is not positive or is below the static extent";
  }
  return success();
}

LogicalResult KernelOp::verify() {
  // kernel_c1
  if (failed(verifySignature(*this, "kernel_c1", /*tilesAllowed=*/true)) ||
      failed(verifyMaxSizes(*this)))
    return failure();
  // kernel_c2
  bool isExplicit = getKernelForm() == Form::Explicit;
  int64_t roleThreads = 0, numRoles = 0, numTeams = 0;
  WalkResult result = walk([&](Operation *op) {
    if (op->hasTrait<SequentialOnly>() && isExplicit) {
      op->emitOpError("kernel_c2: belongs to the sequential form, the kernel "
                      "is explicit");
      return WalkResult::interrupt();
    }
    if (op->hasTrait<ExplicitOnly>() && !isExplicit) {
      op->emitOpError("kernel_c2: belongs to the explicit form, the kernel is "
                      "sequential");
      return WalkResult::interrupt();
    }
    if (auto role = dyn_cast<RoleOp>(op))
      roleThreads += static_cast<int64_t>(role.getThreads()) *
                     static_cast<int64_t>(role.getCopies());
    if (isa<RolesOp>(op)) {
      ++numRoles;
      numTeams += op->getParentOp() == getOperation();
    }
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  // kernel_c5
  if (numRoles > 1 || numTeams != numRoles)
    return emitOpError("kernel_c5: at most one roles, at the top level, got ")
           << numRoles;
  // kernel_c3
  if (numRoles && getExec() && getExec()->getThreads() != roleThreads)
    return emitOpError("kernel_c3: exec has ")
           << getExec()->getThreads() << " threads, the roles " << roleThreads;
  // kernel_c4
  if (auto limit = getSmemLimit())
    if (int64_t bytes = getOnChipBytes(); bytes > static_cast<int64_t>(*limit))
      return emitOpError("kernel_c4: ")
             << bytes << " bytes of on-chip memory, the limit is " << *limit;
  return success();
}

void PlanOp::build(OpBuilder &builder, OperationState &state, StringRef name,
                   FunctionType type) {
  buildFunction<PlanOp>(builder, state, name, type);
}

ParseResult PlanOp::parse(OpAsmParser &parser, OperationState &state) {
  return parseFunction<PlanOp>(parser, state);
}

void PlanOp::print(OpAsmPrinter &printer) { printFunction(printer, *this); }

LogicalResult PlanOp::verify() {
  // plan_c1 (plan_c2 is the parent constraint of launch)
  return verifySignature(*this, "plan_c1", /*tilesAllowed=*/false);
}

LogicalResult WorkspaceOp::verify() {
  // workspace_c1
  auto type = cast<MemRefType>(getMemory().getType());
  if (getSizes().size() != static_cast<size_t>(type.getNumDynamicDims()))
    return emitOpError("workspace_c1: ")
           << getSizes().size() << " sizes for " << type.getNumDynamicDims()
           << " dynamic dimensions";
  // workspace_c2
  if (auto alignment = getAlignment())
    if (!llvm::isPowerOf2_64(*alignment))
      return emitOpError("workspace_c2: alignment must be a power of two, got ")
             << *alignment;
  return success();
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  // launch_c1
  auto kernel =
      symbols.lookupNearestSymbolFrom<KernelOp>(*this, getCalleeAttr());
  if (!kernel) {
    // A target conversion turns kernels into functions; the plan stays.
    Operation *lowered =
        symbols.lookupNearestSymbolFrom(*this, getCalleeAttr());
    if (lowered && lowered->hasAttr(kLoweredKernelAttr))
      return success();
    return emitOpError("launch_c1: no kernel ") << getCalleeAttr();
  }
  // launch_c2
  if (getArguments().getTypes() != TypeRange(kernel.getArgumentTypes()))
    return emitOpError("launch_c2: arguments (")
           << getArguments().getTypes() << ") for a kernel of "
           << kernel.getFunctionType();
  // launch_c3
  if (getPdl()) {
    bool waits = false;
    kernel.walk([&](AwaitLaunchOp) { waits = true; });
    if (!waits)
      return emitOpError("launch_c3: pdl, but ")
             << getCalleeAttr() << " has no moe_tile.await_launch";
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Tile lists
//===----------------------------------------------------------------------===//

void RecordListOp::build(OpBuilder &builder, OperationState &state, Value table,
                         Value count) {
  build(builder, state, TilesType::get(builder.getContext(), ListForm::Records),
        table, count);
}

LogicalResult RecordListOp::verify() {
  // record_list_c1
  auto type = cast<MemRefType>(getTable().getType());
  if (type.getRank() != 2 ||
      (type.getDimSize(1) != 4 && type.getDimSize(1) != 8))
    return emitOpError("record_list_c1: records are memref<?x4xi32> or "
                       "memref<?x8xi32>, got ")
           << type;
  if (getType().getForm() != ListForm::Records)
    return emitOpError("record_list_c1: gives a list of records");
  return success();
}

void BlockListOp::build(OpBuilder &builder, OperationState &state, Value table,
                        Value count, int64_t columns, int64_t blockN) {
  build(builder, state, TilesType::get(builder.getContext(), ListForm::Blocks),
        table, count, columns, blockN);
}

LogicalResult BlockListOp::verify() {
  // block_list_c1
  auto type = cast<MemRefType>(getTable().getType());
  if (type.getRank() != 2 ||
      (type.getDimSize(1) != 3 && type.getDimSize(1) != 4))
    return emitOpError("block_list_c1: row blocks are memref<?x3xi32> or "
                       "memref<?x4xi32>, got ")
           << type;
  if (getType().getForm() != ListForm::Blocks)
    return emitOpError("block_list_c1: gives a list of blocks");
  // block_list_c2
  int64_t columns = getColumns(), blockN = getBlockN();
  if (columns < 1 || blockN < 1)
    return emitOpError("block_list_c2: columns and block must be positive, "
                       "got ")
           << columns << " by " << blockN;
  return success();
}

void DenseListOp::build(OpBuilder &builder, OperationState &state, Value rows,
                        int64_t experts, int64_t blockM, int64_t columns,
                        int64_t blockN) {
  build(builder, state, TilesType::get(builder.getContext(), ListForm::Blocks),
        rows, experts, blockM, columns, blockN);
}

LogicalResult DenseListOp::verify() {
  // dense_list_c1
  int64_t experts = getExperts(), blockM = getBlockM();
  int64_t columns = getColumns(), blockN = getBlockN();
  if (experts < 1 || blockM < 1 || columns < 1 || blockN < 1)
    return emitOpError("dense_list_c1: experts, columns and blocks must be "
                       "positive, got ")
           << experts << " by " << blockM << ", " << columns << " by "
           << blockN;
  if (getType().getForm() != ListForm::Blocks)
    return emitOpError("dense_list_c1: gives a list of blocks");
  return success();
}

void CoordsOp::build(OpBuilder &builder, OperationState &state, Value tile) {
  Type index = builder.getIndexType();
  build(builder, state, index, index, index, index, tile);
}

void KRangeOp::build(OpBuilder &builder, OperationState &state, Value tile) {
  Type index = builder.getIndexType();
  build(builder, state, index, index, index, index, tile);
}

//===----------------------------------------------------------------------===//
// for_tiles
//===----------------------------------------------------------------------===//

void ForTilesOp::build(
    OpBuilder &builder, OperationState &state, Value list, Order order,
    ValueRange inits,
    function_ref<void(OpBuilder &, Location, Value, ValueRange)> bodyBuilder) {
  state.addOperands(list);
  state.addOperands(inits);
  state.addAttribute(getOrderAttrName(state.name),
                     OrderAttr::get(builder.getContext(), order));
  state.addTypes(inits.getTypes());
  OpBuilder::InsertionGuard guard(builder);
  Block *body = builder.createBlock(state.addRegion());
  body->addArgument(TileHandleType::get(builder.getContext()), state.location);
  for (Value init : inits)
    body->addArgument(init.getType(), state.location);
  if (bodyBuilder)
    bodyBuilder(builder, state.location, body->getArgument(0),
                body->getArguments().drop_front());
  if (inits.empty() &&
      (body->empty() || !body->back().hasTrait<OpTrait::IsTerminator>()))
    YieldOp::create(builder, state.location);
}

/// Adds the terminator of a region that yields nothing and was written without.
static void ensureYield(Region &region, Builder &builder, Location loc) {
  Block &block = region.front();
  if (!block.empty() && block.back().hasTrait<OpTrait::IsTerminator>())
    return;
  OpBuilder nested(builder.getContext());
  nested.setInsertionPointToEnd(&block);
  YieldOp::create(nested, loc);
}

/// Parses `(%a = %init : type, ...)`, or without the names.
static ParseResult
parseInits(OpAsmParser &parser, bool named,
           SmallVectorImpl<OpAsmParser::Argument> &arguments,
           SmallVectorImpl<OpAsmParser::UnresolvedOperand> &operands,
           SmallVectorImpl<Type> &types) {
  return parser.parseCommaSeparatedList(
      OpAsmParser::Delimiter::Paren, [&]() -> ParseResult {
        if (named && (parser.parseArgument(arguments.emplace_back()) ||
                      parser.parseEqual()))
          return failure();
        if (parser.parseOperand(operands.emplace_back()) ||
            parser.parseColonType(types.emplace_back()))
          return failure();
        if (named)
          arguments.back().type = types.back();
        return success();
      });
}

template <typename Attr, typename Enum>
static ParseResult
parseEnumClause(OpAsmParser &parser, OperationState &state, StringAttr name,
                std::optional<Enum> (*symbolize)(StringRef)) {
  StringRef word;
  SMLoc loc;
  if (parser.parseLParen() || parser.getCurrentLocation(&loc) ||
      parser.parseKeyword(&word))
    return failure();
  std::optional<Enum> value = symbolize(word);
  if (!value)
    return parser.emitError(loc, "unknown ") << name << " '" << word << "'";
  state.addAttribute(name, Attr::get(parser.getContext(), *value));
  return parser.parseRParen();
}

ParseResult ForTilesOp::parse(OpAsmParser &parser, OperationState &state) {
  SmallVector<OpAsmParser::Argument> arguments(1);
  OpAsmParser::UnresolvedOperand list;
  SmallVector<OpAsmParser::UnresolvedOperand> inits;
  SmallVector<Type> types;
  Type listType;
  if (parser.parseArgument(arguments[0]) || parser.parseKeyword("in") ||
      parser.parseOperand(list) || parser.parseColonType(listType) ||
      parser.parseKeyword("order") ||
      parseEnumClause<OrderAttr>(parser, state, getOrderAttrName(state.name),
                                 symbolizeOrder))
    return failure();
  arguments[0].type = TileHandleType::get(parser.getContext());
  if (succeeded(parser.parseOptionalKeyword("claim")) &&
      parseEnumClause<ClaimAttr>(parser, state, getClaimAttrName(state.name),
                                 symbolizeClaim))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("dies"))) {
    IntegerAttr dies;
    if (parser.parseLParen() ||
        parser.parseAttribute(dies, parser.getBuilder().getI64Type(),
                              getDiesAttrName(state.name).strref(),
                              state.attributes) ||
        parser.parseRParen())
      return failure();
  }
  if (succeeded(parser.parseOptionalKeyword("iter")) &&
      parseInits(parser, /*named=*/true, arguments, inits, types))
    return failure();
  if (parser.parseOptionalAttrDictWithKeyword(state.attributes) ||
      parser.resolveOperand(list, listType, state.operands) ||
      parser.resolveOperands(inits, types, parser.getNameLoc(), state.operands))
    return failure();
  state.addTypes(types);
  Region *body = state.addRegion();
  if (parser.parseRegion(*body, arguments))
    return failure();
  if (types.empty())
    ensureYield(*body, parser.getBuilder(), state.location);
  return success();
}

void ForTilesOp::print(OpAsmPrinter &printer) {
  printer << " " << getTile() << " in " << getList() << " : "
          << getList().getType() << " order(" << stringifyOrder(getOrder())
          << ")";
  if (getClaim())
    printer << " claim(" << stringifyClaim(*getClaim()) << ")";
  if (getDies())
    printer << " dies(" << int64_t(*getDies()) << ")";
  if (!getInits().empty()) {
    printer << " iter(";
    llvm::interleaveComma(
        llvm::zip(getCarried(), getInits()), printer, [&](auto pair) {
          printer << std::get<0>(pair) << " = " << std::get<1>(pair) << " : "
                  << std::get<1>(pair).getType();
        });
    printer << ")";
  }
  printer.printOptionalAttrDictWithKeyword(
      (*this)->getAttrs(),
      {getOrderAttrName(), getClaimAttrName(), getDiesAttrName()});
  printer << " ";
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false,
                      /*printBlockTerminators=*/!getInits().empty());
}

LogicalResult ForTilesOp::verify() {
  // for_tiles_c1
  ListForm form = getList().getType().getForm();
  bool legal = form == ListForm::Blocks ? getOrder() != Order::Explicit
                                        : getOrder() != Order::BlockMajor;
  if (!legal)
    return emitOpError("for_tiles_c1: a list of ")
           << stringifyListForm(form) << " has no order "
           << stringifyOrder(getOrder());
  // for_tiles_c2
  auto yield = dyn_cast<YieldOp>(getBody().front().back());
  if (!yield)
    return emitOpError("for_tiles_c2: body must end in moe_tile.yield");
  if (getBody().getNumArguments() != getInits().size() + 1 ||
      !isa<TileHandleType>(getBody().getArgument(0).getType()))
    return emitOpError("for_tiles_c2: body has the tile and ")
           << getInits().size() << " carried arguments, got "
           << getBody().getNumArguments();
  TypeRange types = getInits().getTypes();
  if (types != TypeRange(getResultTypes()) ||
      types != TypeRange(getCarried()) ||
      types != TypeRange(yield.getOperandTypes()))
    return emitOpError("for_tiles_c2: types of init (")
           << types << "), yield (" << yield.getOperandTypes()
           << ") and results (" << getResultTypes() << ") differ";
  for (Type type : types)
    if (!isa<CursorType>(type) && !type.isIntOrIndexOrFloat())
      return emitOpError("for_tiles_c2: carries cursors and scalars only, got ")
             << type;
  // for_tiles_c3
  auto kernel = (*this)->getParentOfType<KernelOp>();
  if (!types.empty() && kernel && kernel.getKernelForm() == Form::Seq)
    return emitOpError("for_tiles_c3: carries ")
           << types.size() << " values in the sequential form";
  // for_tiles_c4
  if (getDies() && int64_t(*getDies()) < 2)
    return emitOpError("for_tiles_c4: entries are shared by two dies or more, "
                       "got ")
           << int64_t(*getDies());
  if (getDies() && getClaim() == Claim::Counter)
    return emitOpError("for_tiles_c4: dies have entries of their own, which a "
                       "counter does not know");
  return success();
}

OperandRange ForTilesOp::getEntrySuccessorOperands(RegionSuccessor) {
  return getInits();
}

void ForTilesOp::getSuccessorRegions(
    RegionBranchPoint, SmallVectorImpl<RegionSuccessor> &regions) {
  regions.push_back(RegionSuccessor(&getBody(), getCarried()));
  regions.push_back(RegionSuccessor(getOperation(), getResults()));
}
