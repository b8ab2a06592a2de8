//===- TileExpr.cpp - Fragments as expressions ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Codec.h"
#include "KernelEmitter.h"
#include "PackedCodes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {

/// A vector of elements that are evaluated alone.
Value oneByOne(KernelEmitter &e, TileExpr &expr, Value m, Value n,
               int64_t count) {
  SmallVector<Value> elements;
  for (int64_t i = 0; i < count; ++i) {
    Value one = expr.eval(e, m, e.add(n, e.index(i)), 1);
    elements.push_back(vector::ExtractOp::create(e.b, e.loc, one, 0));
  }
  return vector::FromElementsOp::create(
      e.b, e.loc, e.vec(count, elements[0].getType()), elements);
}

/// A rectangle of per-worker memory.
struct ScratchExpr : TileExpr {
  explicit ScratchExpr(const Scratch &s)
      : TileExpr(s.rows, s.cols, s.element), scratch(s) {}
  Value eval(KernelEmitter &e, Value m, Value n, int64_t count) override {
    Value at = e.add(e.mul(m, e.index(scratch.cols)), n);
    return e.loadVector(scratch.flat, at, count);
  }
  Scratch scratch;
};

/// A tile of global memory, read where it is used.
struct LoadExpr : TileExpr {
  explicit LoadExpr(tile::LoadOp op)
      : TileExpr(op.getTileShape().first, op.getTileShape().second,
                 tile::getTileElementType(op.getResult().getType())),
        op(op) {}

  Value eval(KernelEmitter &e, Value m, Value n, int64_t count) override {
    auto access = cast<tile::TileAccess>(op.getOperation());
    const Memory &memory = e.memory(op.getMemory());
    Value row;
    int64_t rowsAt = access.getRowsPosition();
    RowList *list = rowsAt < 0 ? nullptr : e.rowList(op.getIndices()[rowsAt]);
    if (list)
      row = e.rowNumber(*list, m);
    auto read = [&]() -> Value {
      int64_t dim = cols == 1 ? -1 : access.getMemoryDim(1);
      bool contiguous =
          count == 1 || (dim == int64_t(memory.extents.size()) - 1 &&
                         access.getGranuleOf(dim) == 1);
      if (contiguous)
        return e.loadVector(memory.flat, e.position(access, m, n, row), count);
      SmallVector<Value> elements;
      for (int64_t i = 0; i < count; ++i)
        elements.push_back(memref::LoadOp::create(
            e.b, e.loc, memory.flat,
            e.position(access, m, e.add(n, e.index(i)), row)));
      return vector::FromElementsOp::create(
          e.b, e.loc, e.vec(count, elements[0].getType()), elements);
    };
    if (!list || !e.mayBeAbsent(*list))
      return read();
    // A row that does not exist reads as zero.
    VectorType type = e.vec(count, storedType(element));
    Value present = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge,
                                          row, e.index(0));
    auto ifOp = scf::IfOp::create(e.b, e.loc, type, present, /*else=*/true);
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(ifOp.thenBlock());
    scf::YieldOp::create(e.b, e.loc, read());
    e.b.setInsertionPointToStart(ifOp.elseBlock());
    Value zero = arith::ConstantOp::create(e.b, e.loc, e.b.getZeroAttr(type));
    scf::YieldOp::create(e.b, e.loc, zero);
    return ifOp.getResult(0);
  }
  tile::LoadOp op;
};

struct SplatExpr : TileExpr {
  SplatExpr(tile::FragType type, Value value)
      : TileExpr(type.getRows(), type.getCols(), type.getElementType()),
        value(value) {}
  Value eval(KernelEmitter &e, Value, Value, int64_t count) override {
    return vector::BroadcastOp::create(e.b, e.loc,
                                       e.vec(count, value.getType()), value);
  }
  Value value;
};

/// One of the two results of a split.
struct SplitExpr : TileExpr {
  SplitExpr(TileExprPtr source, int64_t block, unsigned which)
      : TileExpr(source->rows, source->cols / 2, source->element),
        source(std::move(source)), block(block), which(which) {}

  Value eval(KernelEmitter &e, Value m, Value n, int64_t count) override {
    if (block == cols && (block % count == 0 || source->startsAnywhere()))
      return e.evalAt(*source, m, e.add(n, e.index(which * block)), count);
    if (block % count == 0) {
      // Column n stands in block n / block of the source's pairs of blocks.
      Value blockSize = e.index(block);
      Value pair = arith::DivUIOp::create(e.b, e.loc, n, blockSize);
      Value at =
          e.add(e.add(n, e.mul(pair, blockSize)), e.index(which * block));
      return e.evalAt(*source, m, at, count);
    }
    if (block == 1) {
      Value both = e.evalAt(*source, m, e.mul(n, e.index(2)), 2 * count);
      auto parts = vector::DeinterleaveOp::create(e.b, e.loc, both);
      return parts->getResult(which);
    }
    // Odd block sizes.
    return oneByOne(e, *this, m, n, count);
  }
  bool startsAnywhere() const override { return source->startsAnywhere(); }
  TileExprPtr source;
  int64_t block;
  unsigned which;
};

/// The inverse of a split, one element at a time where blocks are cut.
struct JoinExpr : TileExpr {
  JoinExpr(TileExprPtr first, TileExprPtr second, int64_t block)
      : TileExpr(first->rows, first->cols * 2, first->element),
        first(std::move(first)), second(std::move(second)), block(block) {}

  Value eval(KernelEmitter &e, Value m, Value n, int64_t count) override {
    if (block == 1 && count % 2 == 0) {
      Value half = arith::DivUIOp::create(e.b, e.loc, n, e.index(2));
      return vector::InterleaveOp::create(
          e.b, e.loc, e.evalAt(*first, m, half, count / 2),
          e.evalAt(*second, m, half, count / 2));
    }
    if (count > 1 && block % count != 0)
      return oneByOne(e, *this, m, n, count);
    Value blockSize = e.index(block), pairSize = e.index(2 * block);
    Value pair = arith::DivUIOp::create(e.b, e.loc, n, pairSize);
    Value inPair = arith::RemUIOp::create(e.b, e.loc, n, pairSize);
    Value inBlock = arith::RemUIOp::create(e.b, e.loc, inPair, blockSize);
    Value at = e.add(e.mul(pair, blockSize), inBlock);
    Value isFirst = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult,
                                          inPair, blockSize);
    Value x = e.evalAt(*first, m, at, count);
    Value y = e.evalAt(*second, m, at, count);
    return arith::SelectOp::create(e.b, e.loc, isFirst, x, y);
  }
  bool startsAnywhere() const override { return false; }
  TileExprPtr first, second;
  int64_t block;
};

/// Stored codes as values: packed ones in groups that fill stored elements,
/// one scale for a vector.
struct DequantExpr : TileExpr {
  DequantExpr(tile::DequantOp op, TileExprPtr source, TileExprPtr scale,
              TileExprPtr zero)
      : TileExpr(
            cast<tile::FragType>(op.getResult().getType()).getRows(),
            cast<tile::FragType>(op.getResult().getType()).getCols(),
            cast<tile::FragType>(op.getResult().getType()).getElementType()),
        op(op), source(std::move(source)), scale(std::move(scale)),
        zero(std::move(zero)) {}

  Value eval(KernelEmitter &e, Value m, Value n, int64_t count) override {
    int64_t per = op.getValuesPerElement();
    // exllama in four bytes.
    bool bytes = per == 8 && source->element.isInteger(8);
    auto [granuleRows, granuleCols] = op.getScaleGranule();
    bool oneScale =
        (!scale && !zero) || granuleCols % count == 0 || granuleCols >= cols;
    if (count > 1 && (count % per != 0 || !oneScale))
      return oneByOne(e, *this, m, n, count);
    bool isUnsigned = zero || op.getZeroValue();
    Value value;
    if (per == 1) {
      value = codesToF32(e.b, e.loc, e.evalAt(*source, m, n, count),
                         source->element, isUnsigned, e.isa);
    } else {
      Value at = arith::DivUIOp::create(e.b, e.loc, n, e.index(per));
      int64_t stored = std::max<int64_t>(1, count / per);
      if (bytes) {
        at = e.mul(at, e.index(4));
        stored *= 4;
      }
      Value packed = e.evalAt(*source, m, at, stored);
      Value codes = unpackCodes(e.b, e.loc, packed, op.getFormat());
      if (count == 1)
        codes = pickCode(e, codes,
                         arith::RemUIOp::create(e.b, e.loc, n, e.index(per)));
      value = nibblesToF32(e.b, e.loc, codes, op.getFormat(), isUnsigned);
    }
    VectorType f32 = e.vec(count, e.b.getF32Type());
    // The factor's one value for this vector.
    auto factor = [&](TileExprPtr &expr, bool isZero) -> Value {
      Value row = arith::DivUIOp::create(e.b, e.loc, m, e.index(granuleRows));
      Value col = arith::DivUIOp::create(e.b, e.loc, n, e.index(granuleCols));
      Value one = e.evalAt(*expr, row, col, 1);
      one = codesToF32(e.b, e.loc, one, expr->element, isZero, e.isa);
      return vector::BroadcastOp::create(
          e.b, e.loc, f32, vector::ExtractOp::create(e.b, e.loc, one, 0));
    };
    if (zero)
      value = arith::SubFOp::create(e.b, e.loc, value, factor(zero, true));
    else if (auto constant = op.getZeroValue(); constant && *constant)
      value = arith::SubFOp::create(e.b, e.loc, value,
                                    splat(e.b, e.loc, f32, double(*constant)));
    if (scale)
      value = arith::MulFOp::create(e.b, e.loc, value, factor(scale, false));
    return fromF32(e.b, e.loc, value, element, e.isa);
  }
  bool startsAnywhere() const override { return false; }

  /// Element `at` of a vector, as a vector of one.
  static Value pickCode(KernelEmitter &e, Value codes, Value at) {
    Value one = vector::ExtractOp::create(e.b, e.loc, codes, at);
    return vector::BroadcastOp::create(e.b, e.loc, e.vec(1, one.getType()),
                                       one);
  }

  tile::DequantOp op;
  TileExprPtr source, scale, zero;
};

/// One result of a map: its scalar body, cloned on vectors.
struct MapExpr : TileExpr {
  MapExpr(tile::MapOp op, unsigned result, ArrayRef<TileExprPtr> inputs)
      : TileExpr(cast<tile::FragType>(op.getResult(result).getType()).getRows(),
                 cast<tile::FragType>(op.getResult(result).getType()).getCols(),
                 cast<tile::FragType>(op.getResult(result).getType())
                     .getElementType()),
        op(op), result(result), inputs(inputs) {}

  Value eval(KernelEmitter &e, Value m, Value n, int64_t count) override {
    Block &body = op.getBody().front();
    IRMapping values;
    for (auto [arg, input] : llvm::zip(body.getArguments(), inputs))
      values.map(arg, e.evalAt(*input, m, n, count));
    Value wanted = body.getTerminator()->getOperand(result);
    return evalScalar(e, wanted, values, count);
  }

  /// Vector of a value of the body; only what the result needs is cloned.
  Value evalScalar(KernelEmitter &e, Value v, IRMapping &values,
                   int64_t count) {
    if (Value done = values.lookupOrNull(v))
      return done;
    Operation *def = v.getDefiningOp();
    if (!def || def->getBlock() != &op.getBody().front()) {
      // From above the map: the same for all elements.
      Value broadcast = vector::BroadcastOp::create(
          e.b, e.loc, e.vec(count, storedType(v.getType())), e.scalar(v));
      values.map(v, broadcast);
      return broadcast;
    }
    Attribute constant;
    if (matchPattern(def, m_Constant(&constant))) {
      VectorType type = e.vec(count, v.getType());
      Value c = arith::ConstantOp::create(
          e.b, e.loc, DenseElementsAttr::get(type, constant));
      values.map(v, c);
      return c;
    }
    SmallVector<Value> operands;
    for (Value operand : def->getOperands())
      operands.push_back(evalScalar(e, operand, values, count));
    Value out;
    if (auto trunc = dyn_cast<arith::TruncFOp>(def)) {
      Value wide =
          toF32(e.b, e.loc, operands[0], trunc.getIn().getType(), e.isa);
      out = fromF32(e.b, e.loc, wide, v.getType(), e.isa);
    } else if (auto ext = dyn_cast<arith::ExtFOp>(def)) {
      out = toF32(e.b, e.loc, operands[0], ext.getIn().getType(), e.isa);
      if (v.getType().isF64())
        out = arith::ExtFOp::create(e.b, e.loc, e.vec(count, v.getType()), out);
    } else if (llvm::isa<arith::BitcastOp>(def) &&
               storedType(v.getType()) != v.getType()) {
      out = operands[0]; // bits of a small float are what is stored
    } else {
      OperationState state(e.loc, def->getName());
      state.addOperands(operands);
      state.addTypes(e.vec(count, storedType(v.getType())));
      state.addAttributes(def->getAttrs());
      out = e.b.create(state)->getResult(0);
    }
    values.map(v, out);
    return out;
  }

  bool startsAnywhere() const override {
    return llvm::all_of(inputs, [](const TileExprPtr &input) {
      return input->startsAnywhere();
    });
  }

  tile::MapOp op;
  unsigned result;
  SmallVector<TileExprPtr> inputs;
};

} // namespace

TileExprPtr cpu::makeScratchExpr(const Scratch &scratch) {
  return std::make_shared<ScratchExpr>(scratch);
}
TileExprPtr cpu::makeLoadExpr(tile::LoadOp op) {
  return std::make_shared<LoadExpr>(op);
}
TileExprPtr cpu::makeSplatExpr(tile::FragType type, Value scalar) {
  return std::make_shared<SplatExpr>(type, scalar);
}
TileExprPtr cpu::makeSplitExpr(TileExprPtr source, int64_t block,
                               unsigned which) {
  return std::make_shared<SplitExpr>(std::move(source), block, which);
}
TileExprPtr cpu::makeJoinExpr(TileExprPtr first, TileExprPtr second,
                              int64_t block) {
  return std::make_shared<JoinExpr>(std::move(first), std::move(second), block);
}
TileExprPtr cpu::makeDequantExpr(tile::DequantOp op, TileExprPtr source,
                                 TileExprPtr scale, TileExprPtr zero) {
  return std::make_shared<DequantExpr>(op, std::move(source), std::move(scale),
                                       std::move(zero));
}
TileExprPtr cpu::makeMapExpr(tile::MapOp op, unsigned result,
                             ArrayRef<TileExprPtr> inputs) {
  return std::make_shared<MapExpr>(op, result, inputs);
}
