//===- ComputeOps.cpp - Loads, stores, products, fragments ----------------===//
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

/// A storage buffer is read; a buffer value (sequential form) is not memory.
static void addBufferReads(
    Operation *op,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<BufType>(operand.get().getType()))
      continue;
    Operation *def = operand.get().getDefiningOp();
    if (isa_and_nonnull<BufAllocOp, AcquireOp, WaitOp>(def))
      effects.emplace_back(MemoryEffects::Read::get(), &operand);
  }
}

static DenseI64ArrayAttr arrayOrNull(OpBuilder &builder,
                                     ArrayRef<int64_t> values) {
  return values.empty() ? DenseI64ArrayAttr()
                        : builder.getDenseI64ArrayAttr(values);
}

//===----------------------------------------------------------------------===//
// Global memory
//===----------------------------------------------------------------------===//

void RowIndexOp::build(OpBuilder &builder, OperationState &state, int64_t count,
                       Value slots, Value first, Value limit, int64_t div,
                       Value bound) {
  build(builder, state, RowsType::get(builder.getContext(), count), slots,
        first, limit, bound, div);
}

LogicalResult RowIndexOp::verify() {
  // row_index_c1
  int64_t rank = cast<MemRefType>(getSlots().getType()).getRank();
  if (rank != 1)
    return emitOpError("row_index_c1: slots have rank 1, got ") << rank;
  // row_index_c2
  if (static_cast<int64_t>(getDiv()) < 1)
    return emitOpError("row_index_c2: div must be positive, got ")
           << static_cast<int64_t>(getDiv());
  return success();
}

void LoadOp::build(OpBuilder &builder, OperationState &state, Type result,
                   Value memory, ValueRange indices, ArrayRef<int64_t> dims,
                   ArrayRef<int64_t> granule, ArrayRef<int64_t> boxes,
                   int64_t boxDim) {
  build(builder, state, result, memory, indices, arrayOrNull(builder, dims),
        arrayOrNull(builder, granule), arrayOrNull(builder, boxes),
        boxDim ? builder.getI64IntegerAttr(boxDim) : IntegerAttr(), HowAttr(),
        PlaceAttr(), WidthAttr());
}

std::pair<int64_t, int64_t> LoadOp::getTileShape() {
  return moe::tile::getTileShape(getType());
}

LogicalResult LoadOp::verify() {
  // load_c1
  auto kernel = (*this)->getParentOfType<KernelOp>();
  if (isa<BufType>(getType()) && kernel &&
      kernel.getKernelForm() == Form::Explicit)
    return emitOpError("load_c1: a buffer is filled by copy or fetch in the "
                       "explicit form");
  return success();
}

std::pair<int64_t, int64_t> PrefetchOp::getTileShape() {
  ArrayRef<int64_t> shape = getShape();
  return shape.size() == 2 ? std::make_pair(shape[0], shape[1])
                           : std::make_pair<int64_t, int64_t>(0, 0);
}

LogicalResult PrefetchOp::verify() {
  if (getShape().size() != 2 || getShape()[0] < 1 || getShape()[1] < 1)
    return emitOpError("shape is a positive number of rows and columns");
  return success();
}

void StoreOp::build(OpBuilder &builder, OperationState &state,
                    ValueRange values, Value memory, ValueRange indices,
                    Value limit, ArrayRef<int64_t> dims,
                    ArrayRef<int64_t> granule, StoreMode mode) {
  build(builder, state, values, memory, indices, limit,
        arrayOrNull(builder, dims), arrayOrNull(builder, granule), HowAttr(),
        mode, WidthAttr());
}

std::pair<int64_t, int64_t> StoreOp::getTileShape() {
  int64_t rows = 0, cols = 0;
  for (Value value : getValues()) {
    auto shape = moe::tile::getTileShape(value.getType());
    rows = shape.first;
    cols += shape.second;
  }
  return {rows, cols};
}

LogicalResult StoreOp::verify() {
  // store_c1
  if (getValues().empty())
    return emitOpError("store_c1: at least one value");
  Type first = getValues().front().getType();
  for (Type type : getValues().getTypes())
    if (getTileElementType(type) != getTileElementType(first) ||
        moe::tile::getTileShape(type).first !=
            moe::tile::getTileShape(first).first ||
        isa<BufType>(type) != isa<BufType>(first))
      return emitOpError("store_c1: values side by side differ: ")
             << first << " and " << type;
  // store_c2
  Type element = getMemory().getType().getElementType();
  if (getMode() != StoreMode::Plain && !element.isF32() &&
      !(element.isF64() && getMode() == StoreMode::Add))
    return emitOpError("store_c2: ")
           << stringifyStoreMode(getMode()) << " to memory of " << element;
  // store_c3
  if (getHow() && *getHow() == How::Desc &&
      (getLimit() || getMode() != StoreMode::Plain))
    return emitOpError("store_c3: a descriptor store has no limit and mode "
                       "plain");
  return success();
}

void StoreOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  addBufferReads(*this, effects);
  if (getMode() != StoreMode::Plain)
    effects.emplace_back(MemoryEffects::Read::get(), &getMemoryMutable());
  effects.emplace_back(MemoryEffects::Write::get(), &getMemoryMutable());
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

int64_t MmaOp::getK() {
  return moe::tile::getTileShape(getA().getType()).second;
}

ParseResult MmaOp::parse(OpAsmParser &parser, OperationState &state) {
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  SmallVector<Type> types;
  Type result;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseOperandList(operands))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("atom"))) {
    AtomAttr atom;
    if (parser.parseLParen() ||
        parser.parseAttribute(atom, getAtomAttrName(state.name),
                              state.attributes) ||
        parser.parseRParen())
      return failure();
  }
  if (parser.parseOptionalAttrDict(state.attributes) ||
      parser.parseColonTypeList(types))
    return failure();
  if (succeeded(parser.parseOptionalArrow())) {
    if (parser.parseType(result))
      return failure();
  } else if (types.size() == 3) {
    result = types.back();
  } else {
    return parser.emitError(loc, "expected '->' and the accumulator's type");
  }
  if (operands.size() < 2 || operands.size() > 3)
    return parser.emitError(loc, "mma takes 2 or 3 operands, got ")
           << operands.size();
  state.addTypes(result);
  return parser.resolveOperands(operands, types, loc, state.operands);
}

void MmaOp::print(OpAsmPrinter &printer) {
  printer << " " << getOperands();
  if (getAtom())
    printer << " atom(" << *getAtom() << ")";
  printer.printOptionalAttrDict((*this)->getAttrs(), {getAtomAttrName()});
  printer << " : " << getOperandTypes();
  if (!getC() || getC().getType() != getType())
    printer << " -> " << getType();
}

LogicalResult MmaOp::verify() {
  auto [m, ka] = moe::tile::getTileShape(getA().getType());
  auto [n, kb] = moe::tile::getTileShape(getB().getType());
  AccType acc = getType();
  // mma_c1
  if (ka != kb)
    return emitOpError("mma_c1: a has k = ") << ka << ", b has k = " << kb;
  if (m != acc.getRows() || n != acc.getCols())
    return emitOpError("mma_c1: a and b give ")
           << m << "x" << n << ", the accumulator has " << acc.getRows() << "x"
           << acc.getCols();
  // mma_c2
  if (getC() && getC().getType() != acc)
    return emitOpError("mma_c2: accumulator of type ")
           << getC().getType() << ", result " << acc;
  // mma_c3
  Type ea = getTileElementType(getA().getType());
  Type eb = getTileElementType(getB().getType());
  bool floats = isa<FloatType>(ea) && isa<FloatType>(eb) &&
                isa<FloatType>(acc.getElementType());
  bool ints = isa<IntegerType>(ea) && isa<IntegerType>(eb) &&
              acc.getElementType().isInteger(32);
  if (!floats && !ints)
    return emitOpError("mma_c3: no product of ")
           << ea << " and " << eb << " in " << acc.getElementType();
  std::optional<AtomAttr> atom = getAtom();
  if (!atom)
    return success();
  // mma_c4
  if (m % atom->getM() != 0 || n % atom->getN() != 0 || ka % atom->getK() != 0)
    return emitOpError("mma_c4: atom ")
           << atom->getM() << "x" << atom->getN() << "x" << atom->getK()
           << " does not divide the tile " << m << "x" << n << "x" << ka;
  // mma_c5
  Value sides[2] = {getA(), getB()};
  for (unsigned side : {0u, 1u})
    if (isa<FragType>(sides[side].getType()) &&
        !familyTakesRegisters(atom->getFamily(), side, atom->getSwap()))
      return emitOpError("mma_c5: ")
             << atom->getFamily().getValue() << " takes operand "
             << (side == 0 ? "a" : "b") << " from on-chip memory only";
  return success();
}

void MmaOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  addBufferReads(*this, effects);
}

void AccReadOp::build(OpBuilder &builder, OperationState &state, Value acc) {
  auto type = cast<AccType>(acc.getType());
  build(builder, state,
        FragType::get(type.getRows(), type.getCols(), type.getElementType()),
        acc);
}

/// Checks that two tile types agree in shape and element type.
static LogicalResult verifySameTile(Operation *op, StringRef label, Type a,
                                    Type b) {
  if (moe::tile::getTileShape(a) == moe::tile::getTileShape(b) &&
      getTileElementType(a) == getTileElementType(b))
    return success();
  return op->emitOpError() << label << ": " << a << " and " << b
                           << " differ in shape or element type";
}

LogicalResult AccReadOp::verify() {
  // acc_read_c1
  if (failed(
          verifySameTile(*this, "acc_read_c1", getAcc().getType(), getType())))
    return failure();
  // acc_read_c2
  if (!getAcc().hasOneUse())
    return emitOpError("acc_read_c2: the accumulator has ")
           << std::distance(getAcc().use_begin(), getAcc().use_end())
           << " uses, it is dead after the first";
  return success();
}

//===----------------------------------------------------------------------===//
// Scales
//===----------------------------------------------------------------------===//

void DequantOp::build(OpBuilder &builder, OperationState &state, Type result,
                      Value source, Value scale, Value zero,
                      DequantFormat format, std::optional<int64_t> zeroValue,
                      ArrayRef<int64_t> granule, Value at, bool unrounded) {
  build(builder, state, result, source, scale, zero, at,
        arrayOrNull(builder, granule),
        zeroValue ? builder.getI64IntegerAttr(*zeroValue) : IntegerAttr(),
        format, unrounded);
}

int64_t DequantOp::getValuesPerElement() {
  switch (getFormat()) {
  case DequantFormat::Plain:
    return 1;
  case DequantFormat::LowEven:
  case DequantFormat::Mx:
    return 2;
  case DequantFormat::Exllama:
    return getTileElementType(getSource().getType()).isInteger(32) ? 8 : 2;
  }
  return 1;
}

std::pair<int64_t, int64_t> DequantOp::getScaleGranule() {
  if (std::optional<ArrayRef<int64_t>> granule = getGranule())
    return {(*granule)[0], (*granule)[1]};
  Value scale = getScale() ? getScale() : getZero();
  auto [rows, cols] = moe::tile::getTileShape(getType());
  if (!scale)
    return {rows, cols};
  auto [scaleRows, scaleCols] = moe::tile::getTileShape(scale.getType());
  return {rows / scaleRows, cols / scaleCols};
}

LogicalResult DequantOp::verify() {
  auto [rows, cols] = moe::tile::getTileShape(getType());
  auto [srcRows, srcCols] = moe::tile::getTileShape(getSource().getType());
  // dequant_c4
  Type stored = getTileElementType(getSource().getType());
  DequantFormat format = getFormat();
  bool suits = format == DequantFormat::Plain || (stored.isInteger(8)) ||
               (format == DequantFormat::Exllama && stored.isInteger(32));
  if (!suits)
    return emitOpError("dequant_c4: format ")
           << stringifyDequantFormat(format) << " does not store " << stored;
  // dequant_c5
  if (!isa<FloatType>(getTileElementType(getType())))
    return emitOpError("dequant_c5: result must be float, got ")
           << getTileElementType(getType());
  // dequant_c1
  int64_t per = getValuesPerElement();
  int64_t most = srcCols * per;
  int64_t least = per == 1 ? most : most - per + 1;
  if (rows != srcRows || cols > most || cols < least)
    return emitOpError("dequant_c1: ")
           << srcRows << "x" << srcCols << " elements of " << per
           << " values do not give " << rows << "x" << cols;
  // dequant_c2
  if (auto granule = getGranule())
    if (granule->size() != 2 || (*granule)[0] < 1 || (*granule)[1] < 1)
      return emitOpError("dequant_c2: granule is two positive extents");
  if (Value scale = getScale() ? getScale() : getZero()) {
    auto [sr, sc] = moe::tile::getTileShape(scale.getType());
    if (!getGranule() && (rows % sr != 0 || cols % sc != 0))
      return emitOpError("dequant_c2: scales ")
             << sr << "x" << sc << " do not divide the tile " << rows << "x"
             << cols;
    auto [gr, gc] = getScaleGranule();
    int64_t needRows = llvm::divideCeil(rows, gr);
    int64_t needCols = llvm::divideCeil(cols, gc);
    if (getAt() && !getGranule())
      return emitOpError("dequant_c2: scales of more columns than the tile "
                         "need a granule");
    if (sr != needRows || (getAt() ? sc < needCols : sc != needCols))
      return emitOpError("dequant_c2: a tile of ")
             << rows << "x" << cols << " with granule " << gr << "x" << gc
             << " needs " << needRows << "x" << needCols << " scales, got "
             << sr << "x" << sc;
  }
  // dequant_c3
  if (getZero() && getZeroValue())
    return emitOpError("dequant_c3: both zero and zero_value ")
           << *getZeroValue();
  if (getZero() && getScale() &&
      moe::tile::getTileShape(getZero().getType()) !=
          moe::tile::getTileShape(getScale().getType()))
    return emitOpError("dequant_c3: zero points ")
           << getZero().getType() << " for scales " << getScale().getType();
  // dequant_c6
  if (getUnrounded() && (!getScale() || getScaleGranule().first != 1 ||
                         !isa<FragType>(getType())))
    return emitOpError("dequant_c6: unrounded values are a fragment with "
                       "scales of single rows, got ")
           << getType();
  return success();
}

void DequantOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  addBufferReads(*this, effects);
}

void PromoteOp::build(OpBuilder &builder, OperationState &state, Value part,
                      Value main, Value row, Value col, Value scalar,
                      std::optional<double> factor) {
  build(builder, state, main.getType(), part, main, row, col, scalar, Value(),
        Value(), factor ? builder.getF64FloatAttr(*factor) : FloatAttr());
}

LogicalResult PromoteOp::verify() {
  auto shape = moe::tile::getTileShape(getType());
  // promote_c1
  for (Type type : {getPart().getType(), getMain().getType(), getType()})
    if (moe::tile::getTileShape(type) != shape ||
        !isa<FloatType>(getTileElementType(type)))
      return emitOpError("promote_c1: part, main and result must be float "
                         "tiles of one shape, got ")
             << type << " and " << getType();
  // promote_c2
  for (Value value : {getRow(), getRowSum()}) {
    if (!value)
      continue;
    auto [rows, cols] = moe::tile::getTileShape(value.getType());
    if (cols != 1 || shape.first % rows != 0)
      return emitOpError("promote_c2: row factors ")
             << rows << "x" << cols << " for " << shape.first << " rows";
  }
  for (Value value : {getCol(), getZero()}) {
    if (!value)
      continue;
    auto [rows, cols] = moe::tile::getTileShape(value.getType());
    if (rows != 1 || shape.second % cols != 0)
      return emitOpError("promote_c2: column factors ")
             << rows << "x" << cols << " for " << shape.second << " columns";
  }
  // promote_c3
  if (!getRowSum() != !getZero())
    return emitOpError("promote_c3: row_sum and zero come together");
  return success();
}

void PromoteOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  addBufferReads(*this, effects);
}
