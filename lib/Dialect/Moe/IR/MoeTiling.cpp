//===- MoeTiling.cpp - Tiles of moe ops -----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An iteration domain counts units, not elements: a unit is the least that can
// be computed alone, e.g. the columns of one scale group. Loops that could not
// be cut are left out, so every tile of a domain is legal. All loops are
// parallel: reductions stay inside of the ops.
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/Moe/IR/MoeDialect.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/TilingInterface.h"

#include <numeric>

using namespace mlir;
using namespace mlir::moe;

namespace {
/// How one dimension of an operand follows the domain: whole, or `perUnit`
/// elements for each unit of a loop.
struct DimUse {
  int loop = -1;
  int64_t perUnit = 1;
};
using Access = SmallVector<DimUse>;

/// One loop of `units`, or of the extent of a dimension. Operands whose extents
/// the verifier must know need tiles of a constant number of units.
struct Loop {
  int64_t units = 0;
  bool constant = false;
  Value of;
  unsigned dim = 0;

  OpFoldResult extent(OpBuilder &b, Location loc) const {
    return of ? tensor::getMixedSize(b, loc, of, dim)
              : OpFoldResult(b.getIndexAttr(units));
  }
};

struct Domain {
  SmallVector<Loop> loops;
  /// By operand number; an operand that is not here is used whole.
  DenseMap<unsigned, Access> operands;

  void access(OpOperand &operand, Access uses) {
    operands[operand.getOperandNumber()] = std::move(uses);
  }
  int addLoop(int64_t units, bool constant = false) {
    loops.push_back({units, constant, Value(), 0});
    return loops.size() - 1;
  }
  int addLoop(Value of, unsigned dim) {
    loops.push_back({0, false, of, dim});
    return loops.size() - 1;
  }
};
} // namespace

static constexpr DimUse whole;

static int64_t extent(Value value, unsigned dim) {
  return cast<ShapedType>(value.getType()).getDimSize(dim);
}

/// The operand of `op` that holds `value` at its first place from `first` on.
static OpOperand &operandOf(Operation *op, OperandRange range, unsigned i = 0) {
  return op->getOpOperand(range.getBeginOperandIndex() + i);
}

/// Swaps the two uses for scales that lie group by group.
static Access scaleAccess(QuantAttr quant, DimUse rows, DimUse groups) {
  if (quant.getLayout() == ScaleLayout::GroupMajor)
    std::swap(rows, groups);
  return {rows, groups};
}

//===----------------------------------------------------------------------===//
// Domains
//===----------------------------------------------------------------------===//

/// Rows of B per result column, and the least columns that make whole runs of
/// gate and up rows.
static std::pair<int64_t, int64_t> gateUnit(GateUpAttr gateUp, int64_t cols) {
  if (!gateUp)
    return {1, 1};
  if (gateUp.getKind() == GateUpKind::Interleaved)
    return {2, 1};
  // Halves lie apart: no box of rows holds some columns of both.
  return {2, gateUp.getKind() == GateUpKind::Blocks ? gateUp.getBlock() : cols};
}

static Domain getDomain(ActivateOp op) {
  Domain domain;
  Value out = op.getOuts()[0];
  int rows = domain.addLoop(out, 0);
  int64_t cols = extent(out, 1);
  DimUse from = whole, to = whole;
  GateUpAttr gateUp = op.getGateUpAttr();
  bool cut = gateUp ? gateUp.getKind() != GateUpKind::Halves &&
                          !ShapedType::isDynamic(cols)
                    : true;
  if (cut) {
    auto [factor, unit] = gateUnit(gateUp, cols);
    int loop = unit == 1 ? domain.addLoop(out, 1) : domain.addLoop(cols / unit);
    from = {loop, unit * factor};
    to = {loop, unit};
  }
  domain.access(op.getXMutable(), {{rows, 1}, from});
  domain.access(operandOf(op, op.getOuts()), {{rows, 1}, to});
  return domain;
}

static Domain getDomain(QuantizeOp op) {
  Domain domain;
  QuantAttr quant = op.getQuant();
  DimUse rows{domain.addLoop(op.getX(), 0), 1};
  int64_t cols = extent(op.getX(), 1), group = quant.getGranuleCols();
  DimUse x = whole, values = whole, scales = whole;
  if (group != QuantAttr::kWhole && !ShapedType::isDynamic(cols) &&
      cols % group == 0 && group % quant.getColsPerStored() == 0) {
    int loop = domain.addLoop(cols / group, true);
    x = {loop, group};
    values = {loop, group / quant.getColsPerStored()};
    scales = {loop, 1};
  }
  domain.access(op.getXMutable(), {rows, x});
  domain.access(operandOf(op, op.getOuts(), 0), {rows, values});
  domain.access(operandOf(op, op.getOuts(), 1),
                scaleAccess(quant, rows, scales));
  return domain;
}

static Domain getDomain(DequantizeOp op) {
  Domain domain;
  QuantAttr quant = op.getQuant();
  unsigned rank = cast<ShapedType>(op.getValues().getType()).getRank();
  Access values, scales;
  for (unsigned dim = 0; dim + 2 < rank; ++dim) {
    int loop = domain.addLoop(op.getValues(), dim);
    values.push_back({loop, 1});
    scales.push_back({loop, 1});
  }
  int64_t rows = extent(op.getValues(), rank - 2);
  int64_t granule = quant.getGranuleRows();
  DimUse row = whole, scaleRow = whole;
  if (granule == 1) {
    int loop = domain.addLoop(op.getValues(), rank - 2);
    row = scaleRow = {loop, 1};
  } else if (granule != QuantAttr::kWhole && !ShapedType::isDynamic(rows) &&
             rows % granule == 0) {
    int loop = domain.addLoop(rows / granule, true);
    row = {loop, granule};
    scaleRow = {loop, 1};
  }
  values.append({row, whole});
  scales.append(scaleAccess(quant, scaleRow, whole));
  domain.access(op.getValuesMutable(), values);
  domain.access(op.getScaleMutable(), scales);
  for (OpOperand &zero : op.getZeroMutable())
    domain.access(zero, scales);
  domain.access(operandOf(op, op.getOuts()), values);
  return domain;
}

/// Columns only: which rows a token sums up is known to the routing alone.
static Domain getDomain(CombineOp op) {
  Domain domain;
  DimUse cols{domain.addLoop(op.getD(), 1), 1};
  domain.access(op.getDMutable(), {whole, cols});
  for (OpOperand &add : op.getAddMutable())
    domain.access(add, {whole, cols});
  domain.access(operandOf(op, op.getOuts()), {whole, cols});
  return domain;
}

/// Columns only, for the same reason. A unit holds whole runs of gate and up
/// rows, whole scale blocks of B and whole groups of the closing quantisation.
static Domain getDomain(GroupedGemmOp op) {
  Domain domain;
  int64_t cols = op.getOutCols();
  auto [factor, unit] = gateUnit(op.getGateUpAttr(), cols);
  QuantAttr bQuant = op.getBQuantAttr(), closing = op.getQuantizeAttr();
  int64_t granule = bQuant ? bQuant.getGranuleRows() : QuantAttr::kWhole;
  if (granule != QuantAttr::kWhole)
    unit = std::lcm(unit, granule / std::gcd(granule, factor));
  int64_t group = closing ? closing.getGranuleCols() : 1;
  int64_t stored = closing ? closing.getColsPerStored() : 1;
  unit = group == QuantAttr::kWhole ? cols : std::lcm(unit, group);
  // What does not fit is one unit.
  if (cols % unit != 0 || unit % stored != 0)
    unit = cols;
  int loop = domain.addLoop(cols / unit, true);
  DimUse weightRows{loop, unit * factor}, outCols{loop, unit};
  // A short last group is whole, too: its unit is all columns.
  auto groups = [&](int64_t run) -> DimUse {
    return unit == cols ? whole : DimUse{loop, outCols.perUnit / run};
  };
  domain.access(op.getBMutable(), {whole, weightRows, whole});
  if (bQuant) {
    DimUse scaleRows = whole;
    if (granule != QuantAttr::kWhole && unit != cols)
      scaleRows = {loop, weightRows.perUnit / granule};
    Access scales = {whole};
    scales.append(scaleAccess(bQuant, scaleRows, whole));
    for (OpOperand &operand : op.getBScaleMutable())
      domain.access(operand, scales);
    for (OpOperand &operand : op.getBZeroMutable())
      domain.access(operand, scales);
  }
  for (unsigned i = 0; i < op.getColOperands().size(); ++i)
    domain.access(operandOf(op, op.getColOperands(), i),
                  {whole, op.getNumColArgs(i) == 2 ? weightRows : outCols});
  for (unsigned i = 0; i < op.getEltOperands().size(); ++i)
    domain.access(operandOf(op, op.getEltOperands(), i), {whole, outCols});
  domain.access(operandOf(op, op.getOuts(), 0),
                {whole, {loop, outCols.perUnit / stored}});
  if (closing)
    domain.access(
        operandOf(op, op.getOuts(), 1),
        scaleAccess(closing, whole,
                    group == QuantAttr::kWhole ? whole : groups(group)));
  return domain;
}

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

static OpFoldResult scaled(OpBuilder &b, Location loc, OpFoldResult value,
                           int64_t by) {
  AffineExpr d0 = b.getAffineDimExpr(0);
  return affine::makeComposedFoldedAffineApply(b, loc, d0 * by, {value});
}

/// Offsets and sizes of an operand's slice for a tile of the domain.
static void getSlice(OpBuilder &b, Location loc, Value operand,
                     ArrayRef<DimUse> uses, ArrayRef<OpFoldResult> offsets,
                     ArrayRef<OpFoldResult> sizes,
                     SmallVectorImpl<OpFoldResult> &sliceOffsets,
                     SmallVectorImpl<OpFoldResult> &sliceSizes) {
  for (auto [dim, use] : llvm::enumerate(uses)) {
    if (use.loop < 0) {
      sliceOffsets.push_back(b.getIndexAttr(0));
      sliceSizes.push_back(tensor::getMixedSize(b, loc, operand, dim));
      continue;
    }
    sliceOffsets.push_back(scaled(b, loc, offsets[use.loop], use.perUnit));
    sliceSizes.push_back(scaled(b, loc, sizes[use.loop], use.perUnit));
  }
}

namespace {
template <typename OpTy>
struct TilingModel : TilingInterface::ExternalModel<TilingModel<OpTy>, OpTy> {
  SmallVector<utils::IteratorType> getLoopIteratorTypes(Operation *op) const {
    return SmallVector<utils::IteratorType>(
        getDomain(cast<OpTy>(op)).loops.size(), utils::IteratorType::parallel);
  }

  SmallVector<Range> getIterationDomain(Operation *op, OpBuilder &b) const {
    SmallVector<Range> ranges;
    for (const Loop &loop : getDomain(cast<OpTy>(op)).loops)
      ranges.push_back(
          {b.getIndexAttr(0), loop.extent(b, op->getLoc()), b.getIndexAttr(1)});
    return ranges;
  }

  FailureOr<TilingResult>
  getTiledImplementation(Operation *op, OpBuilder &b,
                         ArrayRef<OpFoldResult> offsets,
                         ArrayRef<OpFoldResult> sizes) const {
    Location loc = op->getLoc();
    if (op->getNumResults() == 0)
      return op->emitOpError("is tiled on tensors, not on buffers: tile before "
                             "bufferisation");
    Domain domain = getDomain(cast<OpTy>(op));
    for (auto [i, loop] : llvm::enumerate(domain.loops))
      if (loop.constant && !getConstantIntValue(sizes[i]))
        return op->emitOpError("loop ")
               << i << " has " << loop.units
               << " units; a tile size must divide them";
    TilingResult result;
    SmallVector<Value> operands;
    for (OpOperand &operand : op->getOpOperands()) {
      auto uses = domain.operands.find(operand.getOperandNumber());
      if (uses == domain.operands.end()) {
        operands.push_back(operand.get());
        continue;
      }
      SmallVector<OpFoldResult> at, extents;
      getSlice(b, loc, operand.get(), uses->second, offsets, sizes, at,
               extents);
      SmallVector<OpFoldResult> strides(at.size(), b.getIndexAttr(1));
      auto slice = tensor::ExtractSliceOp::create(b, loc, operand.get(), at,
                                                  extents, strides);
      result.generatedSlices.push_back(slice);
      operands.push_back(slice);
    }
    SmallVector<Type> types;
    auto inits = cast<DestinationStyleOpInterface>(op).getDpsInitsMutable();
    for (OpOperand &init : inits)
      types.push_back(operands[init.getOperandNumber()].getType());
    Operation *tiled = mlir::clone(b, op, types, operands);
    result.tiledOps.push_back(tiled);
    llvm::append_range(result.tiledValues, tiled->getResults());
    return result;
  }

  LogicalResult
  getResultTilePosition(Operation *op, OpBuilder &b, unsigned resultNumber,
                        ArrayRef<OpFoldResult> offsets,
                        ArrayRef<OpFoldResult> sizes,
                        SmallVector<OpFoldResult> &resultOffsets,
                        SmallVector<OpFoldResult> &resultSizes) const {
    Domain domain = getDomain(cast<OpTy>(op));
    OpOperand *init =
        cast<DestinationStyleOpInterface>(op).getDpsInitOperand(resultNumber);
    getSlice(b, op->getLoc(), init->get(),
             domain.operands.at(init->getOperandNumber()), offsets, sizes,
             resultOffsets, resultSizes);
    return success();
  }

  /// A consumer's slice of a result is a tile if it is made of whole units.
  LogicalResult getIterationDomainTileFromResultTile(
      Operation *op, OpBuilder &b, unsigned resultNumber,
      ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes,
      SmallVectorImpl<OpFoldResult> &domainOffsets,
      SmallVectorImpl<OpFoldResult> &domainSizes) const {
    Domain domain = getDomain(cast<OpTy>(op));
    OpOperand *init =
        cast<DestinationStyleOpInterface>(op).getDpsInitOperand(resultNumber);
    domainOffsets.assign(domain.loops.size(), b.getIndexAttr(0));
    domainSizes.clear();
    for (const Loop &loop : domain.loops)
      domainSizes.push_back(loop.extent(b, op->getLoc()));
    for (auto [dim, use] :
         llvm::enumerate(domain.operands.at(init->getOperandNumber()))) {
      if (use.loop < 0)
        continue;
      if (use.perUnit == 1) {
        domainOffsets[use.loop] = offsets[dim];
        domainSizes[use.loop] = sizes[dim];
        continue;
      }
      std::optional<int64_t> at = getConstantIntValue(offsets[dim]),
                             size = getConstantIntValue(sizes[dim]);
      if (!at || !size || *at % use.perUnit != 0 || *size % use.perUnit != 0)
        return failure();
      domainOffsets[use.loop] = b.getIndexAttr(*at / use.perUnit);
      domainSizes[use.loop] = b.getIndexAttr(*size / use.perUnit);
    }
    return success();
  }

  FailureOr<TilingResult>
  generateResultTileValue(Operation *op, OpBuilder &b, unsigned resultNumber,
                          ArrayRef<OpFoldResult> offsets,
                          ArrayRef<OpFoldResult> sizes) const {
    SmallVector<OpFoldResult> domainOffsets, domainSizes;
    if (failed(getIterationDomainTileFromResultTile(
            op, b, resultNumber, offsets, sizes, domainOffsets, domainSizes)))
      return failure();
    FailureOr<TilingResult> result =
        getTiledImplementation(op, b, domainOffsets, domainSizes);
    if (succeeded(result))
      result->tiledValues = {result->tiledValues[resultNumber]};
    return result;
  }
};
} // namespace

void moe::registerMoeTilingModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, MoeDialect *) {
    // Slices are computed by affine maps.
    context->loadDialect<affine::AffineDialect, tensor::TensorDialect>();
    ActivateOp::attachInterface<TilingModel<ActivateOp>>(*context);
    CombineOp::attachInterface<TilingModel<CombineOp>>(*context);
    DequantizeOp::attachInterface<TilingModel<DequantizeOp>>(*context);
    GroupedGemmOp::attachInterface<TilingModel<GroupedGemmOp>>(*context);
    QuantizeOp::attachInterface<TilingModel<QuantizeOp>>(*context);
  });
}
