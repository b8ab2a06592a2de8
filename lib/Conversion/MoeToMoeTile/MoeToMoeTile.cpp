//===- MoeToMoeTile.cpp - moe ops to tile kernels and their plan ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlanBuilder.h"
#include "moec/Conversion/Passes.h"
#include "moec/Dialect/Moe/Transforms/DenseForm.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOETOTILE
#include "moec/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// KernelBuilder
//===----------------------------------------------------------------------===//

KernelBuilder::KernelBuilder(OpBuilder &moduleBuilder, Location loc,
                             StringRef name)
    : b(moduleBuilder.getContext()), loc(loc) {
  kernel = tile::KernelOp::create(moduleBuilder, loc, name,
                                  b.getFunctionType({}, {}));
  if (kernel.getBody().empty())
    kernel.getBody().emplaceBlock();
  Block &body = kernel.getBody().front();
  if (body.empty()) {
    b.setInsertionPointToEnd(&body);
    tile::ReturnOp::create(b, loc);
  }
  b.setInsertionPoint(&body.back());
}

/// `memory` of the kernel in the shape of `reshape`, an op of the plan.
static Value reshapeInKernel(Operation *reshape, Value memory) {
  OpBuilder b(memory.getContext());
  b.setInsertionPointAfterValue(memory);
  Location loc = reshape->getLoc();
  if (auto collapse = dyn_cast<memref::CollapseShapeOp>(reshape))
    return memref::CollapseShapeOp::create(b, loc, memory,
                                           collapse.getReassociationIndices());
  auto expand = cast<memref::ExpandShapeOp>(reshape);
  MemRefType type = expand.getResultType();
  auto groups = expand.getReassociationIndices();
  SmallVector<OpFoldResult> sizes(type.getRank());
  for (auto [from, group] : llvm::enumerate(groups)) {
    int64_t known = 1;
    for (int64_t dim : group)
      if (!type.isDynamicDim(dim))
        known *= type.getDimSize(dim);
    for (int64_t dim : group) {
      sizes[dim] = b.getIndexAttr(type.getDimSize(dim));
      if (!type.isDynamicDim(dim))
        continue;
      Value extent = memref::DimOp::create(b, loc, memory, from);
      if (known > 1)
        extent = arith::DivUIOp::create(
            b, loc, extent, arith::ConstantIndexOp::create(b, loc, known));
      sizes[dim] = extent;
    }
  }
  return memref::ExpandShapeOp::create(b, loc, type.getShape(), memory, groups,
                                       sizes);
}

Value KernelBuilder::use(Value planValue) {
  // A plan passes whole buffers; shapes are changed where they are read.
  if (Operation *reshape = planValue.getDefiningOp();
      isa_and_nonnull<memref::CollapseShapeOp, memref::ExpandShapeOp>(
          reshape)) {
    if (Value made = known.lookup(planValue))
      return made;
    Value made = reshapeInKernel(reshape, use(reshape->getOperand(0)));
    return known[planValue] = made;
  }
  Value &argument = known[planValue];
  if (!argument) {
    argument = kernel.getBody().addArgument(planValue.getType(), loc);
    planOperands.push_back(planValue);
    kernel.setFunctionType(
        b.getFunctionType(kernel.getBody().front().getArgumentTypes(), {}));
  }
  return argument;
}

void KernelBuilder::useClaimCounter(Value planValue) {
  claimCounter = cast<BlockArgument>(use(planValue)).getArgNumber();
}

Value moe::cloneScalarBody(OpBuilder &b, Region &region, ValueRange arguments) {
  IRMapping map;
  map.map(region.getArguments(), arguments);
  for (Operation &op : region.front().without_terminator())
    b.clone(op, map);
  return map.lookupOrDefault(region.front().getTerminator()->getOperand(0));
}

Value moe::extendToF32(OpBuilder &b, Location loc, Value v) {
  Type type = v.getType();
  if (type.isF32())
    return v;
  if (type.isInteger())
    return arith::SIToFPOp::create(b, loc, b.getF32Type(), v);
  if (type.getIntOrFloatBitWidth() > 32)
    return arith::TruncFOp::create(b, loc, b.getF32Type(), v);
  return arith::ExtFOp::create(b, loc, b.getF32Type(), v);
}

Value moe::truncateFromF32(OpBuilder &b, Location loc, Value v, Type type) {
  if (type.isF32())
    return v;
  if (type.getIntOrFloatBitWidth() > 32)
    return arith::ExtFOp::create(b, loc, type, v);
  return arith::TruncFOp::create(b, loc, type, v);
}

//===----------------------------------------------------------------------===//
// PlanBuilder
//===----------------------------------------------------------------------===//

static MemRefType bufferType(RankedTensorType type) {
  return MemRefType::get(type.getShape(), type.getElementType());
}

/// Whether the rows of the result exist for their sum over top-k alone.
static bool isOnlySummed(GroupedGemmOp op) {
  Type element = cast<ShapedType>(op.getOuts()[0].getType()).getElementType();
  return element.isF32() && !op.getQuantizeAttr() &&
         op.getOuts()[0].getDefiningOp<tensor::EmptyOp>() &&
         !op->getResult(0).use_empty() &&
         llvm::all_of(op->getResult(0).getUses(), [](OpOperand &use) {
           auto combine = dyn_cast<CombineOp>(use.getOwner());
           return combine && combine.getD() == use.get() &&
                  combine.getAdd() != use.get();
         });
}

Type moe::partialElement(GroupedGemmOp op) {
  Type element = cast<ShapedType>(op.getOuts()[0].getType()).getElementType();
  ConfigAttr config = op.getChosenConfig();
  bool rounds = config && config.getString("partial") == "bf16";
  Type rows = rounds ? Type(BFloat16Type::get(op.getContext()))
                     : Type(Float32Type::get(op.getContext()));
  if (op.getOut() == RowLayout::Token)
    return rows;
  return isOnlySummed(op) ? rows : element;
}

bool moe::sortsSummedRows(GroupedGemmOp op) {
  ConfigAttr config = op.getChosenConfig();
  return config && config.getString("store") == "desc" &&
         op.getRouting().getDefiningOp<AlignOp>() &&
         op.getALayout() != RowLayout::ExpertSortedPadded &&
         (op.getOut() == RowLayout::Token ||
          (op.getOut() == RowLayout::FlatTopk && isOnlySummed(op)));
}

bool PlanBuilder::isStatic(Value routing) {
  return options.alignOp && hasStaticRows(routing);
}

bool PlanBuilder::isStatic(DenseWeightsOp weights) {
  return llvm::all_of(weights->getUsers(), [&](Operation *user) {
    if (auto gemm = dyn_cast<GroupedGemmOp>(user))
      return isStatic(gemm.getRouting());
    auto combine = dyn_cast<CombineOp>(user);
    return combine && isStatic(combine.getRouting());
  });
}

/// Whether rows of the result that no expert computes are read nevertheless:
/// as many rows as slots are quantised, those of absent experts too.
static bool leavesRowsToQuantize(GroupedGemmOp op) {
  return op.getOut() != RowLayout::Token &&
         op.getRouting().getDefiningOp<AlignOp>() &&
         llvm::any_of(op->getUsers(),
                      [](Operation *user) { return isa<QuantizeOp>(user); });
}

Value PlanBuilder::buffer(Value tensor, Type element, bool zero) {
  if (Value known = values.lookupOrNull(tensor))
    return known;
  auto empty = tensor.getDefiningOp<tensor::EmptyOp>();
  if (!empty)
    return {};
  SmallVector<Value> sizes;
  for (Value size : empty.getDynamicSizes())
    sizes.push_back(values.lookup(size));
  auto type = cast<RankedTensorType>(tensor.getType());
  Value memory = workspace(
      type.getShape(), element ? element : type.getElementType(), sizes, zero);
  // Not remembered under the empty: two ops that start from one empty write
  // two different tensors.
  return memory;
}

Value PlanBuilder::workspace(ArrayRef<int64_t> shape, Type element,
                             ValueRange sizes, bool zero) {
  return tile::WorkspaceOp::create(b, loc, MemRefType::get(shape, element),
                                   sizes, b.getI64IntegerAttr(64), zero);
}

LogicalResult PlanBuilder::bindResults(DestinationStyleOpInterface op) {
  for (OpResult result : op->getResults()) {
    Value init = op.getTiedOpOperand(result)->get();
    auto gemm = dyn_cast<GroupedGemmOp>(op.getOperation());
    if (gemm && gemm.getOut() != RowLayout::Token &&
        sumsBy(gemm) == SumBy::Added) {
      // Nobody sees the rows themselves.
      values.map(result, addedRows(gemm, /*zero=*/true));
      continue;
    }
    if (auto empty = init.getDefiningOp<tensor::EmptyOp>();
        empty && gemm && partsOfK(gemm) > 1) {
      // The parts of a row side by side.
      auto type = cast<RankedTensorType>(init.getType());
      SmallVector<int64_t> shape(type.getShape());
      shape.back() *= partsOfK(gemm);
      SmallVector<Value> sizes;
      for (Value size : empty.getDynamicSizes())
        sizes.push_back(values.lookup(size));
      values.map(result, workspace(shape, partialElement(gemm), sizes));
      continue;
    }
    Value memory = buffer(
        init,
        gemm && result.getResultNumber() == 0 ? partialElement(gemm) : Type(),
        gemm && leavesRowsToQuantize(gemm));
    if (!memory)
      return op->emitOpError("result ")
             << result.getResultNumber()
             << " must start from tensor.empty or a function argument";
    values.map(result, memory);
  }
  return success();
}

Value PlanBuilder::tokensOf(Value routing) {
  if (auto align = routing.getDefiningOp<AlignOp>())
    return memref::DimOp::create(b, loc, values.lookup(align.getIds()), 0);
  return values.lookup(routing.getDefiningOp<RouteAllOp>().getTokens());
}

KernelBuilder PlanBuilder::startKernel(StringRef stem) {
  OpBuilder moduleBuilder(func);
  std::string name = (func.getSymName() + "_" + stem).str();
  KernelBuilder kernel(moduleBuilder, loc, name);
  symbols.insert(kernel.kernel); // makes the name unique
  ++kernelCount;
  return kernel;
}

/// Whether a memory of a kernel, or a view of it, is used for anything but
/// reading.
static bool mayWrite(Value memory) {
  return llvm::any_of(memory.getUsers(), [&](Operation *user) {
    if (isa<memref::CollapseShapeOp, memref::ExpandShapeOp>(user))
      return mayWrite(user->getResult(0));
    if (auto sum = dyn_cast<tile::SumLastOp>(user))
      return sum.getOut() == memory || sum.getCounters() == memory;
    if (auto sum = dyn_cast<tile::SumArrivedOp>(user))
      return sum.getOut() == memory || sum.getCounters() == memory;
    if (auto clear = dyn_cast<tile::ClearAbsentOp>(user))
      return clear.getOut() == memory;
    return !isa<tile::LoadOp, tile::RowIndexOp, tile::BlockListOp,
                tile::SlotListOp, tile::SlotRowOp, memref::LoadOp,
                memref::DimOp>(user);
  });
}

void PlanBuilder::markSettled(KernelBuilder &kernel) {
  // Kernels of one row operation let the next launch start before they wait
  // themselves; those with tiles wait first.
  bool waited = false;
  if (lastKernel)
    lastKernel.walk([&](tile::ForTilesOp) { waited = true; });
  if (waited)
    for (auto [i, operand] : llvm::enumerate(kernel.planOperands)) {
      bool written = !isa<MemRefType>(operand.getType());
      for (auto [j, other] : llvm::enumerate(lastOperands))
        written |=
            other == operand && mayWrite(lastKernel.getBody().getArgument(j));
      if (!written)
        kernel.kernel.setArgAttr(i, "moe_tile.settled", b.getUnitAttr());
    }
  lastKernel = kernel.kernel;
  lastOperands = kernel.planOperands;
}

/// Whether the sort can run beside the launch before it: the plan's first one,
/// which shares nothing with it that either writes. That one then lets nothing
/// begin before all that was launched earlier has ended.
bool PlanBuilder::runsBeside(KernelBuilder &kernel) {
  if (launches != 1 || kernel.kernel.getBody().getOps<tile::AlignOp>().empty())
    return false;
  bool tiles = false;
  lastKernel.walk([&](tile::ForTilesOp) { tiles = true; });
  for (auto [i, operand] : llvm::enumerate(kernel.planOperands))
    for (auto [j, other] : llvm::enumerate(lastOperands))
      if (isa<MemRefType>(operand.getType()) && operand == other &&
          (mayWrite(kernel.kernel.getBody().getArgument(i)) ||
           mayWrite(lastKernel.getBody().getArgument(j))))
        return false;
  return !tiles;
}

void PlanBuilder::launch(KernelBuilder &kernel) {
  // Argument attributes need the final number of arguments.
  if (kernel.claimCounter)
    kernel.kernel.setArgAttr(*kernel.claimCounter, "moe_tile.claim_counter",
                             b.getUnitAttr());
  Block &body = kernel.kernel.getBody().front();
  bool pdl = options.pdl;
  if (pdl) {
    OpBuilder first(b.getContext());
    first.setInsertionPointToStart(&body);
    if (runsBeside(kernel)) {
      first.setInsertionPoint(body.getTerminator());
      lastKernel->setAttr("moe_tile.holds_next", b.getUnitAttr());
    }
    tile::AwaitLaunchOp::create(first, loc);
    markSettled(kernel);
    ++launches;
  }
  tile::LaunchOp::create(b, loc, tile::TokenType::get(b.getContext()),
                         kernel.kernel.getSymName(), kernel.planOperands,
                         ValueRange{}, pdl);
}

const RoutingBuffers &PlanBuilder::routingFor(Value routing, bool padded,
                                              int64_t blockM) {
  auto &known = routings[routing];
  for (auto &[knownPadded, knownBlock, buffers] : known)
    if (knownPadded == padded && (knownBlock == blockM || blockM == 0))
      return buffers;
  if (blockM == 0)
    blockM = 64;
  if (auto align = routing.getDefiningOp<AlignOp>();
      align && align.isDirect()) {
    RoutingBuffers buffers;
    buffers.ids = values.lookup(align.getIds());
    if (align.getExpertMap())
      buffers.expertMap = values.lookup(align.getExpertMap());
    buffers.deviceTokens = deviceTokens;
    known.push_back({padded, blockM, buffers});
    return std::get<2>(known.back());
  }
  auto type = cast<RoutingType>(routing.getType());
  Value tokens = tokensOf(routing);
  Value slots = arith::MulIOp::create(b, loc, tokens, index(type.getTopk()));
  // Whole blocks of every expert but for one row: T k / block_m + E entries.
  int64_t pad = padded ? type.getBlockM() : 1;
  Value capacity = arith::AddIOp::create(b, loc, slots,
                                         index(type.getExperts() * (pad - 1)));
  Value blocks = arith::CeilDivSIOp::create(
      b, loc,
      arith::AddIOp::create(b, loc, slots, index(type.getExperts() * blockM)),
      index(blockM));
  Type i32 = b.getI32Type();
  constexpr int64_t any = ShapedType::kDynamic;
  RoutingBuffers buffers;
  buffers.slots = workspace({any}, i32, capacity);
  buffers.places = workspace({any}, i32, slots);
  buffers.valid = workspace({any}, i32, slots);
  buffers.table = workspace({any, 4}, i32, blocks);
  buffers.count = workspace({1}, i32, {});
  Value counts;
  if (!options.alignOp)
    counts = workspace({type.getExperts()}, i32, {});
  KernelBuilder kernel = startKernel("align");
  Value ids, map;
  if (auto align = routing.getDefiningOp<AlignOp>()) {
    ids = values.lookup(align.getIds());
    if (align.getExpertMap())
      map = values.lookup(align.getExpertMap());
  }
  if (options.alignOp)
    emitAlignOp(kernel, ids, map, tokens, deviceTokens, type, padded, blockM,
                buffers, options.tokens);
  else
    emitAlignKernel(kernel, ids, map, tokens, type, padded, blockM, buffers,
                    counts);
  launch(kernel);
  known.push_back({padded, blockM, buffers});
  return std::get<2>(known.back());
}

LogicalResult PlanBuilder::convertReshape(Operation &op) {
  Value source = buffer(op.getOperand(0));
  if (!source)
    return op.emitOpError("changes the shape of a tensor without a buffer");
  auto type = cast<RankedTensorType>(op.getResult(0).getType());
  Value memory;
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    memory = memref::CollapseShapeOp::create(
        b, loc, source, collapse.getReassociationIndices());
  } else {
    auto expand = cast<tensor::ExpandShapeOp>(op);
    SmallVector<OpFoldResult> sizes;
    for (OpFoldResult size : expand.getMixedOutputShape()) {
      auto value = dyn_cast<Value>(size);
      sizes.push_back(value ? OpFoldResult(values.lookup(value)) : size);
    }
    memory =
        memref::ExpandShapeOp::create(b, loc, type.getShape(), source,
                                      expand.getReassociationIndices(), sizes);
  }
  values.map(op.getResult(0), memory);
  return success();
}

LogicalResult PlanBuilder::convert(Operation &op) {
  loc = op.getLoc();
  if (isa<tensor::EmptyOp, AlignOp, RouteAllOp>(op))
    return success(); // made where they are used
  if (auto dim = dyn_cast<tensor::DimOp>(op)) {
    Value memory = buffer(dim.getSource());
    if (!memory)
      return op.emitOpError("takes the extent of a tensor without a buffer");
    values.map(
        dim.getResult(),
        memref::DimOp::create(b, loc, memory, values.lookup(dim.getIndex()))
            .getResult());
    return success();
  }
  if (auto numSlots = dyn_cast<NumSlotsOp>(op)) {
    RoutingType type = numSlots.getRouting().getType();
    Value tokens = tokensOf(numSlots.getRouting());
    Value rows = tokens;
    if (numSlots.getLayout() != RowLayout::Token)
      rows = arith::MulIOp::create(b, loc, tokens, index(type.getTopk()));
    // An upper bound that is affine in T: every expert may need pads.
    if (numSlots.getLayout() == RowLayout::ExpertSortedPadded)
      rows = arith::AddIOp::create(
          b, loc, rows, index(type.getExperts() * (type.getBlockM() - 1)));
    values.map(numSlots.getResult(), rows);
    return success();
  }
  if (isa_and_nonnull<arith::ArithDialect>(op.getDialect()) &&
      llvm::all_of(op.getResultTypes(),
                   [](Type t) { return !isa<ShapedType>(t); })) {
    b.clone(op, values);
    return success();
  }
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
    return convertReshape(op);
  if (isa<tensor::ExtractOp>(op) &&
      llvm::all_of(op.getUsers(),
                   [](Operation *user) { return isa<tensor::SplatOp>(user); }))
    return success(); // read where it is spread
  if (auto splat = dyn_cast<tensor::SplatOp>(op))
    return convertSplat(splat);
  if (auto quantize = dyn_cast<QuantizeOp>(op);
      quantize && isRounding(quantize))
    return success(); // made where it is read
  if (auto dest = dyn_cast<DestinationStyleOpInterface>(op))
    if (op.getNumResults() > 0 &&
        isa_and_nonnull<MoeDialect>(op.getDialect()) &&
        failed(bindResults(dest)))
      return failure();
  if (auto quantize = dyn_cast<QuantizeOp>(op))
    return convertQuantize(quantize);
  if (auto activate = dyn_cast<ActivateOp>(op))
    return convertActivate(activate);
  if (auto dequantize = dyn_cast<DequantizeOp>(op))
    if (auto from = dequantize.getValues().getDefiningOp<QuantizeOp>();
        from && isRounding(from))
      return convertRounding(from, dequantize);
  if (auto dequantize = dyn_cast<DequantizeOp>(op))
    return convertDequantize(dequantize);
  if (auto repack = dyn_cast<RepackOp>(op))
    return convertRepack(repack);
  if (auto sum = dyn_cast<GroupSumOp>(op))
    return convertGroupSum(sum);
  if (auto combine = dyn_cast<CombineOp>(op))
    return convertCombine(combine);
  if (auto dispatch = dyn_cast<DispatchOp>(op))
    return convertDispatch(dispatch);
  if (auto dense = dyn_cast<DenseWeightsOp>(op))
    return convertDenseWeights(dense);
  if (auto topk = dyn_cast<TopkOp>(op))
    return convertTopk(topk);
  if (auto gemm = dyn_cast<GroupedGemmOp>(op))
    return convertGemm(gemm);
  return op.emitOpError("has no tile form");
}

LogicalResult PlanBuilder::build() {
  if (!func.getBody().hasOneBlock())
    return func.emitOpError("must have one block to become a plan");
  Block &body = func.getBody().front();
  SmallVector<Type> types;
  for (BlockArgument arg : body.getArguments()) {
    auto tensor = dyn_cast<RankedTensorType>(arg.getType());
    if (!tensor)
      return func.emitOpError("argument ")
             << arg.getArgNumber() << " must be a ranked tensor, got "
             << arg.getType();
    types.push_back(bufferType(tensor));
  }
  b.setInsertionPoint(func);
  plan = tile::PlanOp::create(b, loc, func.getSymName(),
                              b.getFunctionType(types, {}));
  if (plan.getBody().empty()) {
    Block &entry = plan.getBody().emplaceBlock();
    for (Type type : types)
      entry.addArgument(type, loc);
  }
  Block &entry = plan.getBody().front();
  if (entry.empty()) {
    b.setInsertionPointToEnd(&entry);
    tile::ReturnOp::create(b, loc);
  }
  b.setInsertionPoint(&entry.back());
  for (auto [from, to] : llvm::zip(body.getArguments(), entry.getArguments()))
    values.map(from, to);
  for (unsigned i = 0; i < body.getNumArguments(); ++i) {
    if (!func.getArgAttr(i, "moe.device_tokens"))
      continue;
    auto type = cast<MemRefType>(types[i]);
    if (deviceTokens || type.getRank() != 1 || type.getDimSize(0) != 1 ||
        !type.getElementType().isInteger(32))
      return func.emitOpError("argument ")
             << i << " with moe.device_tokens must be the only one and "
             << "tensor<1xi32>, got " << body.getArgument(i).getType();
    if (!options.alignOp)
      return func.emitOpError("moe.device_tokens needs moe-to-tile with "
                              "routing = op");
    deviceTokens = entry.getArgument(i);
  }

  for (Operation &op : body.without_terminator())
    if (failed(convert(op)))
      return failure();

  // What the function returns must stand in its destinations.
  SmallVector<bool> isOutput(body.getNumArguments(), false);
  for (auto [i, v] : llvm::enumerate(body.getTerminator()->getOperands())) {
    Value whole = values.lookupOrNull(v);
    while (Operation *view = whole ? whole.getDefiningOp() : nullptr)
      whole = isa<memref::CollapseShapeOp, memref::ExpandShapeOp>(view)
                  ? view->getOperand(0)
                  : Value();
    auto memory = dyn_cast_or_null<BlockArgument>(whole);
    if (!memory)
      return func.emitOpError("result ")
             << i << " must be written into a destination argument (`outs`)";
    isOutput[memory.getArgNumber()] = true;
  }
  for (unsigned i = 0; i < body.getNumArguments(); ++i) {
    auto name = func.getArgAttrOfType<StringAttr>(i, "moe.name");
    plan.setArgAttr(i, "moe.name",
                    name ? name : b.getStringAttr("arg" + Twine(i)));
    StringRef role = isOutput[i] ? "output" : "input";
    if (func.getArgAttr(i, "moe.device_tokens"))
      role = "device_tokens";
    plan.setArgAttr(i, "moe.role", b.getStringAttr(role));
  }
  if (auto attrs = func->getDiscardableAttrDictionary())
    for (NamedAttribute attr : attrs)
      if (attr.getName().getValue().starts_with("moe."))
        plan->setDiscardableAttr(attr.getName(), attr.getValue());
  return success();
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct MoeToTilePass : moe::impl::MoeToTileBase<MoeToTilePass> {
  using MoeToTileBase::MoeToTileBase;

  void runOnOperation() override {
    if (routing != "loops" && routing != "op") {
      getOperation().emitError("moe-to-tile: routing is loops or op, got '")
          << routing << "'";
      return signalPassFailure();
    }
    PlanOptions options;
    options.alignOp = routing == "op";
    options.tokens = tokens;
    options.pdl = pdl;
    options.tileSums = tileSums;
    SymbolTable symbols(getOperation());
    for (auto func :
         llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>())) {
      if (func.isDeclaration())
        continue;
      bool hasMoe = false;
      func.walk([&](Operation *op) {
        hasMoe |= isa_and_nonnull<MoeDialect>(op->getDialect());
      });
      if (!hasMoe)
        continue;
      PlanBuilder builder(func, symbols, options);
      if (failed(builder.build()))
        return signalPassFailure();
      numKernels += builder.getNumKernels();
      ++numPlans;
      func.erase();
    }
  }
};
} // namespace
