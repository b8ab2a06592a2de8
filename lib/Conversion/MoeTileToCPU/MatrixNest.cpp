//===- MatrixNest.cpp - Matrix products of the CPU lowering ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both operands of a tile product are rows with k innermost, so the natural
// CPU form is a nest of dot products: microRows x microCols accumulators, each
// a vector of partial sums along k, reduced across lanes once per tile. It
// reads weights as they lie in memory (no packing), each weight row once per
// group of token rows, and AVX512-BF16's pair product is the same instruction
// pattern. Operands that the multiplier does not take (fp8, 4-bit, f16) are
// decoded row by row into cache-resident scratch just before.
//
//===----------------------------------------------------------------------===//

#include "Codec.h"
#include "KernelEmitter.h"
#include "TableDecode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Dialect/X86Vector/X86VectorDialect.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {

/// One side of the product as the k_loop describes it.
struct Side {
  tile::LoadOp load;
  tile::DequantOp dequant; ///< may be null
  Type element;            ///< of the load
  /// Read straight from memory; else decoded into `scratch`.
  bool direct = false;
  Scratch scratch;
};

/// A factor of a promotion: one value per row or per run of columns.
struct Factor {
  tile::LoadOp load;
  int64_t extent = 1; ///< distinct values along the tile
};

class MatrixNest {
public:
  MatrixNest(KernelEmitter &e, tile::KLoopOp op)
      : e(e), b(e.b), loc(e.loc), op(op) {}

  TileExprPtr emit();

private:
  LogicalResult analyse();
  FailureOr<Side> analyseSide(Value operand, StringRef name);
  FailureOr<Factor> analyseFactor(Value operand, StringRef name);
  bool decodesToBf16(Side &side);
  Value rowsOfA();
  /// Decodes row `r` of a side (tile coordinate) into scratch row `to`.
  void decodeRow(Side &side, Value r, Value to);
  Value decodeVector(Side &side, Value r, Value row, Value k, int64_t count);
  /// Flat position of the first k of row r.
  void emitStreamed(Value rows, int64_t most);
  bool decodesByTable(Side &side) const;
  Value decodeByTable(Side &side, Value base, Value k);
  Value rowBase(Side &side, Value r, Value scratchRow);
  Value loadOperand(Side &side, Value base, Value k, int64_t mask);
  Value multiply(Value a, Value x, Value acc);
  void emitMicro(Value m, int64_t rows, ArrayRef<Value> columns,
                 ArrayRef<Value> scratchRows, Value outColumn);
  SmallVector<Value> dotRange(ArrayRef<Value> aBases, ArrayRef<Value> bBases,
                              Value from, int64_t count, bool unrolled);
  Value factorAt(Factor &factor, bool isRow, Value at, Value k);
  Value reduceRow(ArrayRef<Value> accs);
  void setK(Value k);

  KernelEmitter &e;
  OpBuilder &b;
  Location loc;
  tile::KLoopOp op;
  tile::MmaOp mma;
  tile::PromoteOp promote;
  Side a, w;
  std::optional<Factor> rowFactor, colFactor;
  int64_t m = 0, n = 0, k = 0, step = 0, stride = 0;
  int64_t boxSize = 0, boxes = 1;
  int64_t groupCols = microCols; ///< columns of a register tile
  /// Rows of B are prefetched while those before them are multiplied.
  bool prefetches = true;
  /// Type that is multiplied: f32 or bf16; values per vector.
  Type compute;
  int64_t lanes = 0;
  Scratch out;
};

/// How many rows of B ahead to prefetch: one column block.
constexpr int64_t prefetchRows = 8;

/// Half of a first-level cache of 32 KiB; the other half is for rows of A.
constexpr int64_t decodedBytes = 16 << 10;

/// While so many bytes of A are multiplied, hardware prefetching of a single
/// stream of B keeps up; up to the second number a prefetch by hand does.
constexpr int64_t streamedBytes = 16 << 10;
constexpr int64_t prefetchedBytes = 24 << 10;

} // namespace

//===----------------------------------------------------------------------===//
// Reading the k_loop
//===----------------------------------------------------------------------===//

/// The value that a block argument of a later region stands for.
static Value traceArgument(tile::KLoopOp op, Value v) {
  while (auto arg = dyn_cast<BlockArgument>(v)) {
    Block *owner = arg.getOwner();
    unsigned i = arg.getArgNumber();
    if (i == 0)
      return v;
    Block *from = nullptr;
    if (owner == &op.getCompute().front())
      from = op.hasTransform() ? &op.getTransform().front()
                               : &op.getLoad().front();
    else if (op.hasTransform() && owner == &op.getTransform().front())
      from = &op.getLoad().front();
    else
      return v;
    if (i - 1 >= from->getTerminator()->getNumOperands())
      return v; // carried
    v = from->getTerminator()->getOperand(i - 1);
  }
  if (auto load = v.getDefiningOp<tile::FragLoadOp>())
    return traceArgument(op, load.getBuffer());
  return v;
}

FailureOr<Side> MatrixNest::analyseSide(Value operand, StringRef name) {
  Side side;
  Value v = traceArgument(op, operand);
  if (auto dequant = v.getDefiningOp<tile::DequantOp>()) {
    side.dequant = dequant;
    v = traceArgument(op, dequant.getSource());
  }
  side.load = v.getDefiningOp<tile::LoadOp>();
  if (!side.load) {
    op.emitOpError("the CPU lowering needs operand ")
        << name << " to be a load, optionally dequantised";
    return failure();
  }
  side.element = side.load.getMemory().getType().getElementType();
  auto access = cast<tile::TileAccess>(side.load.getOperation());
  int64_t rank = side.load.getMemory().getType().getRank();
  if (access.getMemoryDim(1) != rank - 1 ||
      access.getGranuleOf(rank - 1) != 1) {
    op.emitOpError("the CPU lowering needs k as the innermost dimension of ")
        << name;
    return failure();
  }
  if (side.load.getBoxes() && side.load.getBoxDim() != 0) {
    op.emitOpError(
        "the CPU lowering takes boxes along rows only, not along the "
        "columns of ")
        << name;
    return failure();
  }
  return side;
}

FailureOr<Factor> MatrixNest::analyseFactor(Value operand, StringRef name) {
  Factor factor;
  factor.load = traceArgument(op, operand).getDefiningOp<tile::LoadOp>();
  if (!factor.load) {
    op.emitOpError("the CPU lowering needs factor ") << name << " to be a load";
    return failure();
  }
  auto [rows, cols] = factor.load.getTileShape();
  factor.extent = name == "row" ? rows : cols;
  return factor;
}

bool MatrixNest::decodesToBf16(Side &side) {
  if (!side.dequant)
    return fitsBf16(side.element);
  if (!side.dequant.getScale() && !side.dequant.getZero())
    return side.dequant.getFormat() != tile::DequantFormat::Plain ||
           fitsBf16(side.element);
  return fitsBf16(tile::getTileElementType(side.dequant.getResult().getType()));
}

LogicalResult MatrixNest::analyse() {
  if (op.getInits().size() != 1)
    return op.emitOpError("the CPU lowering carries one value, got ")
           << op.getInits().size();
  IntegerAttr lower, upper;
  if (!matchPattern(op.getLower(), m_Constant(&lower)) ||
      !matchPattern(op.getUpper(), m_Constant(&upper)) || lower.getInt() != 0)
    return op.emitOpError("the CPU lowering needs a constant reduction range "
                          "from 0");
  k = upper.getInt();
  step = std::min<int64_t>(op.getStep(), k);
  if (step < 128 && step < k)
    return op.emitOpError("the CPU lowering needs a k step of at least 128 or "
                          "all of K, got step ")
           << step << " of " << k;

  Block &computeBlock = op.getCompute().front();
  Value result = computeBlock.getTerminator()->getOperand(0);
  promote = result.getDefiningOp<tile::PromoteOp>();
  Value acc = result;
  if (promote) {
    if (promote.getMain() != op.getComputeCarried()[0])
      return promote.emitOpError("the CPU lowering promotes into the carried "
                                 "value");
    if (promote.getRowSum() || promote.getScalar())
      return promote.emitOpError("the CPU lowering has no row_sum or scalar "
                                 "factor; subtract zero points on load");
    auto read = promote.getPart().getDefiningOp<tile::AccReadOp>();
    if (!read)
      return promote.emitOpError(
          "the CPU lowering promotes what acc_read gives");
    acc = read.getAcc();
  }
  mma = acc.getDefiningOp<tile::MmaOp>();
  if (!mma)
    return op.emitOpError("the CPU lowering folds one mma per step");
  bool fromZero = !mma.getC() || mma.getC().getDefiningOp<tile::AccZeroOp>();
  if (promote ? !fromZero : mma.getC() != op.getComputeCarried()[0])
    return mma.emitOpError(
        "the CPU lowering accumulates into the carried value, "
        "or from zero before a promotion");
  Operation *init = op.getInits()[0].getDefiningOp();
  Attribute initValue;
  bool zeroInit = isa_and_nonnull<tile::AccZeroOp>(init) ||
                  (isa_and_nonnull<tile::FragSplatOp>(init) &&
                   matchPattern(cast<tile::FragSplatOp>(init).getValue(),
                                m_Constant(&initValue)) &&
                   isa<FloatAttr>(initValue) &&
                   cast<FloatAttr>(initValue).getValue().isZero());
  if (!zeroInit)
    return op.emitOpError("the CPU lowering starts products from zero");

  FailureOr<Side> sideA = analyseSide(mma.getA(), "a");
  FailureOr<Side> sideW = analyseSide(mma.getB(), "b");
  if (failed(sideA) || failed(sideW))
    return failure();
  a = *sideA;
  w = *sideW;
  if (a.load.getBoxes())
    return op.emitOpError("the CPU lowering takes boxes on b only");
  if (promote) {
    if (promote.getRow()) {
      auto f = analyseFactor(promote.getRow(), "row");
      if (failed(f))
        return failure();
      rowFactor = *f;
    }
    if (promote.getCol()) {
      auto f = analyseFactor(promote.getCol(), "col");
      if (failed(f))
        return failure();
      colFactor = *f;
    }
  }
  m = tile::getTileShape(mma.getA().getType()).first;
  n = tile::getTileShape(mma.getB().getType()).first;
  if (auto list = w.load.getBoxes())
    boxes = list->size();
  boxSize = n / boxes;
  groupCols = boxSize <= 2 ? boxSize : microCols;
  if (boxSize % groupCols)
    return op.emitOpError("the CPU lowering needs column blocks that are "
                          "multiples of ")
           << microCols << ", got " << boxSize;

  // A decoded vector (up to 16 values) has one scale.
  for (Side *side : {&a, &w})
    if (side->dequant &&
        (side->dequant.getScale() || side->dequant.getZero()) &&
        side->dequant.getScaleGranule().second % 16 != 0 && k % 16 == 0)
      return side->dequant.emitOpError("the CPU lowering needs scale groups of "
                                       "whole 16 columns, got ")
             << side->dequant.getScaleGranule().second;

  // bf16 pairs where both sides are exact in bf16, else f32.
  bool bf16 = e.isa.bf16Dot && decodesToBf16(a) && decodesToBf16(w);
  compute = bf16 ? Type(b.getBF16Type()) : Type(b.getF32Type());
  lanes = e.isa.lanes * (bf16 ? 2 : 1);
  // One cache line more than a row: rows whose size is a power of two would
  // all fall into the same cache sets. For the same reason, and because its
  // rows are scattered, A is always copied; B is read where it lies.
  stride = llvm::alignTo(k, lanes) + 64 * 8 / compute.getIntOrFloatBitWidth();
  a.direct = false;
  w.direct = !w.dequant && w.element == compute;
  return success();
}

void MatrixNest::setK(Value value) {
  for (Region *region : {&op.getLoad(), &op.getTransform(), &op.getCompute()})
    if (!region->empty()) {
      Value arg = region->front().getArgument(0);
      Value v = value;
      if (!arg.getType().isIndex())
        v = arith::IndexCastOp::create(b, loc, arg.getType(), v);
      e.bind(arg, v);
    }
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

Value MatrixNest::rowsOfA() {
  auto access = cast<tile::TileAccess>(a.load.getOperation());
  Value upper = e.validRows(access, m);
  int64_t at = access.getRowsPosition();
  if (at >= 0)
    if (RowList *list = e.rowList(a.load.getIndices()[at]))
      if (list->limit)
        upper = e.minimum(upper, list->limit);
  return upper;
}

/// Row number for a `rows` index, moved to row 0 where absent; null otherwise.
static Value presentRow(KernelEmitter &e, tile::LoadOp load, Value r) {
  auto access = cast<tile::TileAccess>(load.getOperation());
  int64_t at = access.getRowsPosition();
  if (at < 0)
    return Value();
  Value row = e.rowNumber(*e.rowList(load.getIndices()[at]), r);
  return arith::MaxSIOp::create(e.b, e.loc, row, e.index(0));
}

Value MatrixNest::rowBase(Side &side, Value r, Value scratchRow) {
  if (!side.direct)
    return e.mul(scratchRow, e.index(stride));
  setK(e.index(0));
  return e.position(cast<tile::TileAccess>(side.load.getOperation()), r,
                    Value(), presentRow(e, side.load, r));
}

/// Whether 32 stored values become a bf16 vector by look-up.
bool MatrixNest::decodesByTable(Side &side) const {
  tile::DequantOp dq = side.dequant;
  if (!compute.isBF16() || (dq && (dq.getScale() || dq.getZero())))
    return false;
  if (dq && dq.getFormat() != tile::DequantFormat::Plain)
    return true;
  return hasFloat8Table(side.element) && !(dq && dq.getZeroValue());
}

Value MatrixNest::decodeByTable(Side &side, Value base, Value k) {
  const Memory &mem = e.memory(side.load.getMemory());
  tile::DequantOp dq = side.dequant;
  auto format = dq ? dq.getFormat() : tile::DequantFormat::Plain;
  if (format == tile::DequantFormat::Plain)
    return decodeFloat8(
        b, loc, e.loadVector(mem.flat, e.add(base, k), tableDecodeCount),
        side.element);
  SmallVector<uint16_t> table = nibbleTable(format == tile::DequantFormat::Mx,
                                            dq.getZeroValue().value_or(0));
  // Stored elements of 32 values: bytes, or words of 8.
  bool words = mem.element.isInteger(32);
  int64_t perElement = words ? 8 : 2;
  Value at =
      e.add(base, arith::DivUIOp::create(b, loc, k, e.index(perElement)));
  Value packed = e.loadVector(mem.flat, at, tableDecodeCount / perElement);
  if (format != tile::DequantFormat::Exllama)
    return decodeNibbles(b, loc, packed, table);
  if (!words)
    packed = vector::BitCastOp::create(
        b, loc, e.vec(tableDecodeCount / 8, b.getI32Type()), packed);
  return decodeExllama(b, loc, packed, table);
}

Value MatrixNest::decodeVector(Side &side, Value r, Value row, Value k,
                               int64_t count) {
  auto access = cast<tile::TileAccess>(side.load.getOperation());
  const Memory &mem = e.memory(side.load.getMemory());
  tile::DequantOp dq = side.dequant;
  auto format = dq ? dq.getFormat() : tile::DequantFormat::Plain;
  setK(e.index(0));
  Value base = e.position(access, r, Value(), row);
  if (count == tableDecodeCount && decodesByTable(side))
    return decodeByTable(side, base, k);
  Type i8 = b.getI8Type(), i32 = b.getI32Type();
  Value value;
  if (format == tile::DequantFormat::Plain) {
    Value stored = e.loadVector(mem.flat, e.add(base, k), count);
    if (!dq && side.element == compute)
      return stored;
    value = toF32(b, loc, stored, side.element, e.isa);
  } else {
    // Four-bit values. k and count are even, whole words for exllama.
    int64_t bytes =
        format == tile::DequantFormat::Exllama && mem.element.isInteger(32) ? 4
                                                                            : 1;
    Value codes;
    if (format == tile::DequantFormat::Exllama) {
      // count / 8 words; shift i of a word holds the pair (2i, 2i + 1) in its
      // nibbles 0 and 4.
      int64_t words = count / 8;
      Value packed;
      Value word = arith::DivUIOp::create(b, loc, k, e.index(8));
      if (bytes == 4) {
        packed = e.loadVector(mem.flat, e.add(base, word), words);
      } else {
        Value at = e.add(base, e.mul(word, e.index(4)));
        Value raw = e.loadVector(mem.flat, at, words * 4);
        packed = vector::BitCastOp::create(b, loc, e.vec(words, i32), raw);
      }
      SmallVector<Value> nibbles;
      for (int64_t j = 0; j < 8; ++j) {
        int64_t nibble = j % 2 ? 4 + j / 2 : j / 2;
        Value s = packed;
        if (nibble)
          s = arith::ShRUIOp::create(
              b, loc, s, splatInt(b, loc, e.vec(words, i32), 4 * nibble));
        nibbles.push_back(arith::AndIOp::create(
            b, loc, s, splatInt(b, loc, e.vec(words, i32), 15)));
      }
      // Interleave 8 vectors: pairs at distance 4, then 2, then 1.
      while (nibbles.size() > 1) {
        SmallVector<Value> next;
        size_t half = nibbles.size() / 2;
        for (size_t j = 0; j < half; ++j)
          next.push_back(vector::InterleaveOp::create(b, loc, nibbles[j],
                                                      nibbles[j + half]));
        nibbles = next;
      }
      codes = nibbles[0];
    } else {
      Value half = arith::DivUIOp::create(b, loc, k, e.index(2));
      Value packed = e.loadVector(mem.flat, e.add(base, half), count / 2);
      VectorType packedType = e.vec(count / 2, i8);
      Value low = arith::AndIOp::create(b, loc, packed,
                                        splatInt(b, loc, packedType, 15));
      Value high = arith::ShRUIOp::create(b, loc, packed,
                                          splatInt(b, loc, packedType, 4));
      Value both = vector::InterleaveOp::create(b, loc, low, high);
      codes = arith::ExtUIOp::create(b, loc, e.vec(count, i32), both);
    }
    VectorType f32Type = e.vec(count, b.getF32Type());
    VectorType codeType = e.vec(count, i32);
    if (format == tile::DequantFormat::Mx) {
      // f4E2M1: 0 0.5 1 1.5 2 3 4 6, by shifting exponent and mantissa into
      // place; the two subnormals (0 and 0.5) are code * 0.5.
      auto c = [&](int64_t v) { return splatInt(b, loc, codeType, v); };
      Value magnitude = arith::AndIOp::create(b, loc, codes, c(7));
      Value sign = arith::ShLIOp::create(
          b, loc, arith::AndIOp::create(b, loc, codes, c(8)), c(28));
      Value normal = arith::AddIOp::create(
          b, loc, arith::ShLIOp::create(b, loc, magnitude, c(22)),
          c(int64_t(126) << 23));
      Value tiny = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult,
                                         magnitude, c(2));
      Value tinyBits = arith::MulIOp::create(b, loc, magnitude, c(0x3f000000));
      Value bits = arith::SelectOp::create(b, loc, tiny, tinyBits, normal);
      bits = arith::OrIOp::create(b, loc, bits, sign);
      value = arith::BitcastOp::create(b, loc, f32Type, bits);
    } else {
      if (dq.getZeroValue() && !dq.getScale())
        codes = arith::SubIOp::create(
            b, loc, codes, splatInt(b, loc, codeType, *dq.getZeroValue()));
      value = arith::SIToFPOp::create(b, loc, f32Type, codes);
    }
  }
  if (dq && (dq.getScale() || dq.getZero())) {
    // All columns of the vector share one scale (checked in analyse).
    VectorType f32Type = e.vec(count, b.getF32Type());
    auto at = [&](Value operand) -> Value {
      auto load = traceArgument(op, operand).getDefiningOp<tile::LoadOp>();
      auto factorAccess = cast<tile::TileAccess>(load.getOperation());
      const Memory &factorMem = e.memory(load.getMemory());
      auto [scaleRows, scaleCols] = load.getTileShape();
      int64_t rowsPer =
          tile::getTileShape(dq.getResult().getType()).first / scaleRows;
      int64_t colsPer = dq.getScaleGranule().second;
      // The scales of a step start at its first k.
      Value inStep = arith::RemUIOp::create(b, loc, k, e.index(step));
      Value sr = arith::DivUIOp::create(b, loc, r, e.index(rowsPer));
      Value sc =
          scaleCols == 1
              ? e.index(0)
              : Value(arith::DivUIOp::create(b, loc, inStep, e.index(colsPer)));
      setK(arith::SubIOp::create(b, loc, k, inStep));
      Value where = e.position(factorAccess, sr, sc, presentRow(e, load, r));
      Value one = e.loadVector(factorMem.flat, where, 1);
      one = toF32(b, loc, one, factorMem.element, e.isa);
      Value s = vector::ExtractOp::create(b, loc, one, 0);
      return vector::BroadcastOp::create(b, loc, f32Type, s);
    };
    if (dq.getZero())
      value = arith::SubFOp::create(b, loc, value, at(dq.getZero()));
    else if (dq.getZeroValue())
      value = arith::SubFOp::create(
          b, loc, value, splat(b, loc, f32Type, double(*dq.getZeroValue())));
    if (dq.getScale())
      value = arith::MulFOp::create(b, loc, value, at(dq.getScale()));
    // Rounded once to the type that the tile program gives the operand.
    Type target = tile::getTileElementType(dq.getResult().getType());
    if (!target.isF32() && target != compute)
      value =
          toF32(b, loc, fromF32(b, loc, value, target, e.isa), target, e.isa);
  }
  return fromF32(b, loc, value, compute, e.isa);
}

void MatrixNest::decodeRow(Side &side, Value r, Value to) {
  Value row = presentRow(e, side.load, r);
  Value base = e.mul(to, e.index(stride));
  // Vectors must not cross a scale group and hold whole stored words.
  int64_t count = e.isa.lanes * (e.isa.lanes < 16 ? 2 : 1);
  if (side.dequant && side.dequant.getFormat() != tile::DequantFormat::Plain)
    count = std::max<int64_t>(16, count);
  if (decodesByTable(side))
    count = tableDecodeCount;
  int64_t full = k / count * count;
  e.loop(e.index(0), e.index(full), count, [&](Value at) {
    Value v = decodeVector(side, r, row, at, count);
    e.storeVector(v, side.scratch.flat, e.add(base, at));
  });
  int64_t unit = 1;
  if (side.dequant && side.dequant.getFormat() == tile::DequantFormat::Exllama)
    unit = 8;
  else if (side.dequant &&
           side.dequant.getFormat() != tile::DequantFormat::Plain)
    unit = 2;
  if (full < k)
    e.loop(e.index(full), e.index(k / unit * unit), unit, [&](Value at) {
      Value v = decodeVector(side, r, row, at, unit);
      e.storeVector(v, side.scratch.flat, e.add(base, at));
    });
  // Zeros behind the row, so that products need no mask on this side.
  for (int64_t at = k; at < int64_t(llvm::alignTo(k, lanes)); ++at)
    e.storeVector(
        arith::ConstantOp::create(b, loc, b.getZeroAttr(e.vec(1, compute))),
        side.scratch.flat, e.add(base, e.index(at)));
}

Value MatrixNest::loadOperand(Side &side, Value base, Value at, int64_t mask) {
  Value flat =
      side.direct ? e.memory(side.load.getMemory()).flat : side.scratch.flat;
  Value where = e.add(base, at);
  if (!mask || !side.direct)
    return e.loadVector(flat, where, lanes);
  // The row's tail: elements beyond k belong to others.
  VectorType type = e.vec(lanes, compute);
  Value bits = vector::ConstantMaskOp::create(
      b, loc, e.vec(lanes, b.getI1Type()), ArrayRef<int64_t>{mask});
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  return vector::MaskedLoadOp::create(b, loc, type, flat, ValueRange{where},
                                      bits, zero);
}

//===----------------------------------------------------------------------===//
// The register tile
//===----------------------------------------------------------------------===//

Value MatrixNest::multiply(Value x, Value y, Value acc) {
  if (compute.isBF16())
    return x86vector::DotBF16Op::create(b, loc, acc.getType(), acc, x, y);
  if (e.isa.fma)
    return vector::FMAOp::create(b, loc, x, y, acc);
  return arith::AddFOp::create(b, loc, arith::MulFOp::create(b, loc, x, y),
                               acc);
}

/// Partial dot products over k in [from, from + count), from zero.
SmallVector<Value> MatrixNest::dotRange(ArrayRef<Value> aBases,
                                        ArrayRef<Value> bBases, Value from,
                                        int64_t count, bool unrolled) {
  VectorType accType = e.vec(e.isa.lanes, b.getF32Type());
  Value zero = splat(b, loc, accType, 0.0);
  SmallVector<Value> accs(aBases.size() * bBases.size(), zero);
  auto body = [&](Value at, ArrayRef<Value> in, int64_t mask) {
    SmallVector<Value> next(in);
    SmallVector<Value> ws;
    for (auto [j, base] : llvm::enumerate(bBases)) {
      ws.push_back(loadOperand(w, base, at, mask));
      if (w.direct && prefetches && !mask) {
        // The rows of the next column block, line by line: hardware follows a
        // row, not the step to the next ones.
        Value line = e.add(bBases[0], e.mul(at, e.index(bBases.size())));
        Value ahead = e.add(line, e.index(prefetchRows * k + j * lanes));
        memref::PrefetchOp::create(b, loc, e.memory(w.load.getMemory()).flat,
                                   ValueRange{ahead}, /*isWrite=*/false,
                                   /*localityHint=*/2, /*isDataCache=*/true);
      }
    }
    for (size_t i = 0; i < aBases.size(); ++i) {
      Value av = loadOperand(a, aBases[i], at, mask);
      for (size_t j = 0; j < ws.size(); ++j)
        next[i * ws.size() + j] = multiply(av, ws[j], next[i * ws.size() + j]);
    }
    return next;
  };
  int64_t vectors = count / lanes;
  if (unrolled) {
    for (int64_t v = 0; v < vectors; ++v)
      accs = body(e.add(from, e.index(v * lanes)), accs, 0);
  } else if (vectors) {
    int64_t unroll = accs.size() <= 12 && vectors % 2 == 0 ? 2 : 1;
    auto forOp =
        scf::ForOp::create(b, loc, from, e.add(from, e.index(vectors * lanes)),
                           e.index(unroll * lanes), accs);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(forOp.getBody());
    SmallVector<Value> inner(forOp.getRegionIterArgs());
    for (int64_t u = 0; u < unroll; ++u)
      inner =
          body(e.add(forOp.getInductionVar(), e.index(u * lanes)), inner, 0);
    scf::YieldOp::create(b, loc, inner);
    accs.assign(forOp.getResults().begin(), forOp.getResults().end());
  }
  if (int64_t tail = count % lanes)
    accs = body(e.add(from, e.index(vectors * lanes)), accs, tail);
  return accs;
}

Value MatrixNest::factorAt(Factor &factor, bool isRow, Value at, Value kAt) {
  setK(kAt);
  auto access = cast<tile::TileAccess>(factor.load.getOperation());
  const Memory &mem = e.memory(factor.load.getMemory());
  Value row = presentRow(e, factor.load, at);
  if (factor.extent == 1)
    at = e.index(0);
  Value where = isRow ? e.position(access, at, Value(), row)
                      : e.position(access, Value(), at, row);
  Value one = e.loadVector(mem.flat, where, 1);
  one = toF32(b, loc, one, mem.element, e.isa);
  return vector::ExtractOp::create(b, loc, one, 0);
}

/// Vector of the lane sums of several accumulators. Halves of pairs are added
/// until one vector holds all sums: fewer shuffles than one by one.
Value MatrixNest::reduceRow(ArrayRef<Value> accs) {
  SmallVector<Value> level(accs);
  int64_t count = e.isa.lanes, segments = 1;
  while (level.size() > 1) {
    int64_t length = count / segments;
    SmallVector<int64_t> low, high;
    for (int64_t source = 0; source < 2; ++source)
      for (int64_t s = 0; s < segments; ++s)
        for (int64_t l = 0; l < length / 2; ++l) {
          low.push_back(source * count + s * length + l);
          high.push_back(source * count + s * length + length / 2 + l);
        }
    SmallVector<Value> next;
    for (size_t i = 0; i < level.size(); i += 2) {
      Value x = vector::ShuffleOp::create(b, loc, level[i], level[i + 1], low);
      Value y = vector::ShuffleOp::create(b, loc, level[i], level[i + 1], high);
      next.push_back(arith::AddFOp::create(b, loc, x, y));
    }
    level = next;
    segments *= 2;
  }
  Value v = level[0];
  for (int64_t length = count / segments; length > 1; length /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t s = 0; s < segments; ++s)
      for (int64_t l = 0; l < length / 2; ++l) {
        low.push_back(s * length + l);
        high.push_back(s * length + length / 2 + l);
      }
    Value x = vector::ShuffleOp::create(b, loc, v, v, low);
    Value y = vector::ShuffleOp::create(b, loc, v, v, high);
    v = arith::AddFOp::create(b, loc, x, y);
  }
  return v;
}

void MatrixNest::emitMicro(Value mAt, int64_t rows, ArrayRef<Value> columns,
                           ArrayRef<Value> scratchRows, Value outColumn) {
  SmallVector<Value> mRows, aBases, bBases;
  for (int64_t i = 0; i < rows; ++i) {
    mRows.push_back(e.add(mAt, e.index(i)));
    aBases.push_back(rowBase(a, mRows.back(), mRows.back()));
  }
  for (auto [column, scratchRow] : llvm::zip(columns, scratchRows))
    bBases.push_back(rowBase(w, column, scratchRow));

  SmallVector<Value> accs;
  if (!promote) {
    accs = dotRange(aBases, bBases, e.index(0), k, /*unrolled=*/false);
  } else {
    VectorType accType = e.vec(e.isa.lanes, b.getF32Type());
    int64_t total = rows * int64_t(columns.size());
    accs.assign(total, splat(b, loc, accType, 0.0));
    // One scale group: partial sums, scaled into the main ones.
    auto group = [&](Value from, int64_t count, ArrayRef<Value> main) {
      SmallVector<Value> parts =
          dotRange(aBases, bBases, from, count, count / lanes <= 8);
      SmallVector<Value> rowScale, colScale, next(main);
      if (rowFactor)
        for (Value r : mRows)
          rowScale.push_back(factorAt(*rowFactor, true, r, from));
      if (colFactor) {
        int64_t run = n / colFactor->extent;
        for (size_t j = 0; j < columns.size(); ++j) {
          // Columns of one run share their scale.
          if (j && run % int64_t(columns.size()) == 0) {
            colScale.push_back(colScale[0]);
            continue;
          }
          Value at = run == 1 ? columns[j]
                              : Value(arith::DivUIOp::create(b, loc, columns[j],
                                                             e.index(run)));
          colScale.push_back(factorAt(*colFactor, false, at, from));
        }
      }
      for (int64_t i = 0; i < rows; ++i)
        for (size_t j = 0; j < columns.size(); ++j) {
          Value s;
          if (rowFactor)
            s = rowScale[i];
          if (colFactor)
            s = s ? Value(arith::MulFOp::create(b, loc, s, colScale[j]))
                  : colScale[j];
          if (auto factor = promote.getFactorAttr()) {
            Value f = arith::ConstantOp::create(
                b, loc, b.getF32FloatAttr(factor.getValueAsDouble()));
            s = s ? Value(arith::MulFOp::create(b, loc, s, f)) : f;
          }
          size_t at = i * columns.size() + j;
          if (!s) {
            next[at] = arith::AddFOp::create(b, loc, next[at], parts[at]);
            continue;
          }
          Value sv = vector::BroadcastOp::create(b, loc, accType, s);
          if (e.isa.fma)
            next[at] = vector::FMAOp::create(b, loc, parts[at], sv, next[at]);
          else
            next[at] = arith::AddFOp::create(
                b, loc, arith::MulFOp::create(b, loc, parts[at], sv), next[at]);
        }
      return next;
    };
    int64_t full = k / step * step;
    if (full) {
      auto forOp = scf::ForOp::create(b, loc, e.index(0), e.index(full),
                                      e.index(step), accs);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(forOp.getBody());
      SmallVector<Value> inner(forOp.getRegionIterArgs());
      inner = group(forOp.getInductionVar(), step, inner);
      scf::YieldOp::create(b, loc, inner);
      accs.assign(forOp.getResults().begin(), forOp.getResults().end());
    }
    if (full < k)
      accs = group(e.index(full), k - full, accs);
  }
  for (int64_t i = 0; i < rows; ++i) {
    Value sums = reduceRow(
        ArrayRef<Value>(accs).slice(i * columns.size(), columns.size()));
    e.storeVector(sums, out.flat,
                  e.add(e.mul(mRows[i], e.index(n)), outColumn));
  }
}

//===----------------------------------------------------------------------===//
// The nest
//===----------------------------------------------------------------------===//

/// At most `most` rows of A, by one row of B after the other: the fastest way
/// to read B once, as a single stream.
void MatrixNest::emitStreamed(Value rows, int64_t most) {
  SmallVector<int64_t> cases;
  for (int64_t r = 1; r <= most; ++r)
    cases.push_back(r);
  auto choice = scf::IndexSwitchOp::create(b, loc, TypeRange{}, rows, cases,
                                           cases.size());
  OpBuilder::InsertionGuard guard(b);
  for (auto [count, region] : llvm::zip(cases, choice.getCaseRegions())) {
    b.setInsertionPointToStart(&region.emplaceBlock());
    prefetches =
        count * k * compute.getIntOrFloatBitWidth() / 8 > streamedBytes;
    e.loop(e.index(0), e.index(n), 1, [&, count = count](Value j) {
      emitMicro(e.index(0), count, {j}, {j}, j);
    });
    scf::YieldOp::create(b, loc);
  }
  prefetches = true;
  b.setInsertionPointToStart(&choice.getDefaultRegion().emplaceBlock());
  scf::YieldOp::create(b, loc);
}

TileExprPtr MatrixNest::emit() {
  if (failed(analyse()))
    return nullptr;
  if (!compute.isF32() && !compute.isBF16())
    return nullptr;
  out = e.allocate(m, n, b.getF32Type());
  Value rows = rowsOfA();
  e.currentRows = rows;
  if (!a.direct) {
    a.scratch = e.allocate(m, stride, compute);
    e.loop(e.index(0), rows, 1, [&](Value r) { decodeRow(a, r, r); });
  }
  int64_t columnBlock = boxSize % 8 == 0 ? 8 : groupCols;
  // Decoded rows stay in the first-level cache until they are multiplied.
  if (!w.direct &&
      columnBlock * stride * compute.getIntOrFloatBitWidth() / 8 > decodedBytes)
    columnBlock = groupCols;
  if (!w.direct)
    w.scratch = e.allocate(columnBlock, stride, compute);

  int64_t microRows = promote ? e.isa.promoteRows : e.isa.microRows;
  int64_t rowBytes = k * compute.getIntOrFloatBitWidth() / 8;
  int64_t streamedRows = w.direct && !promote
                             ? std::min(microRows, prefetchedBytes / rowBytes)
                             : 0;
  std::optional<OpBuilder::InsertionGuard> guard;
  if (streamedRows > 0) {
    Value few = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, rows,
                                      e.index(streamedRows));
    auto ifOp = scf::IfOp::create(b, loc, few, /*withElseRegion=*/true);
    guard.emplace(b);
    b.setInsertionPointToStart(ifOp.thenBlock());
    emitStreamed(rows, streamedRows);
    b.setInsertionPointToStart(ifOp.elseBlock());
  }
  for (int64_t box = 0; box < boxes; ++box) {
    e.loop(
        e.index(box * boxSize), e.index((box + 1) * boxSize), columnBlock,
        [&](Value j) {
          if (!w.direct)
            e.loop(e.index(0), e.index(columnBlock), 1,
                   [&](Value jj) { decodeRow(w, e.add(j, jj), jj); });
          // All column groups of the block for the token rows [mAt, mAt +
          // count).
          auto rowGroup = [&](Value mAt, int64_t count) {
            // A loop even if it runs twice only: code size is compile time.
            e.loop(e.index(0), e.index(columnBlock), groupCols, [&](Value jj) {
              SmallVector<Value> columns, scratchRows;
              for (int64_t c = 0; c < groupCols; ++c) {
                scratchRows.push_back(e.add(jj, e.index(c)));
                columns.push_back(e.add(j, scratchRows.back()));
              }
              emitMicro(mAt, count, columns, scratchRows, columns[0]);
            });
          };
          Value rest = arith::RemUIOp::create(b, loc, rows, e.index(microRows));
          Value full = arith::SubIOp::create(b, loc, rows, rest);
          e.loop(e.index(0), full, microRows,
                 [&](Value mAt) { rowGroup(mAt, microRows); });
          if (microRows == 1)
            return;
          SmallVector<int64_t> cases;
          for (int64_t r = 1; r < microRows; ++r)
            cases.push_back(r);
          auto choice = scf::IndexSwitchOp::create(b, loc, TypeRange{}, rest,
                                                   cases, cases.size());
          OpBuilder::InsertionGuard guard(b);
          for (auto [i, region] : llvm::enumerate(choice.getCaseRegions())) {
            b.setInsertionPointToStart(&region.emplaceBlock());
            rowGroup(full, cases[i]);
            scf::YieldOp::create(b, loc);
          }
          b.setInsertionPointToStart(&choice.getDefaultRegion().emplaceBlock());
          scf::YieldOp::create(b, loc);
        });
  }
  guard.reset();
  // Rows that the list leaves out read as zero.
  auto access = cast<tile::TileAccess>(a.load.getOperation());
  int64_t at = access.getRowsPosition();
  RowList *list = at < 0 ? nullptr : e.rowList(a.load.getIndices()[at]);
  if (list && list->slots) {
    Value zero = splat(b, loc, e.vec(1, b.getF32Type()), 0.0);
    e.loop(e.index(0), rows, 1, [&](Value r) {
      Value absent = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                           e.rowNumber(*list, r), e.index(0));
      auto ifOp = scf::IfOp::create(b, loc, absent, /*else=*/false);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(ifOp.thenBlock());
      e.loop(e.index(0), e.index(n), 1, [&](Value c) {
        e.storeVector(zero, out.flat, e.add(e.mul(r, e.index(n)), c));
      });
    });
  }
  return makeScratchExpr(out);
}

TileExprPtr cpu::emitMatrixNest(KernelEmitter &e, tile::KLoopOp op) {
  return MatrixNest(e, op).emit();
}
