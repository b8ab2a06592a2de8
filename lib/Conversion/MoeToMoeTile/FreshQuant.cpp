//===- FreshQuant.cpp - Scales and codes of what a kernel computes --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlanBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;

LogicalResult moe::checkFreshQuant(Operation *op, QuantAttr quant) {
  if (getMaxFinite(quant.getElem()) == 0)
    return op->emitOpError("cannot quantise to ") << quant.getElem();
  if (quant.getZero() != ZeroPoint::None || quant.getGranuleRows() != 1)
    return op->emitOpError("fresh quantisation is symmetric with granules of "
                           "one row, got ")
           << quant;
  return success();
}

namespace {
/// Scalar arithmetic inside of the body of a map.
struct Body {
  OpBuilder &b;
  Location loc;

  Value f(double x) {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(x));
  }
  Value i(int64_t x) {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(x));
  }
  Value bits(Value x) {
    return arith::BitcastOp::create(b, loc, b.getI32Type(), x);
  }
  Value asFloat(Value x) {
    return arith::BitcastOp::create(b, loc, b.getF32Type(), x);
  }
  Value And(Value x, int64_t mask) {
    return arith::AndIOp::create(b, loc, x, i(mask));
  }
  Value add(Value x, int64_t y) {
    return arith::AddIOp::create(b, loc, x, i(y));
  }
  Value less(Value x, double bound) {
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x,
                                 f(bound));
  }
  /// x times `factor`, rounded to the nearest even integer; below 2^22.
  Value round(Value x, double factor) {
    // The last place of 1.5 * 2^23 is one.
    constexpr double magic = 12582912.0;
    Value scaled = arith::MulFOp::create(b, loc, x, f(factor));
    Value sum = arith::AddFOp::create(b, loc, scaled, f(magic));
    return arith::SubIOp::create(b, loc, bits(sum), bits(f(magic)));
  }
  Value select(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
};
} // namespace

/// The scale in f32 of a granule whose greatest magnitude is `amax`, before it
/// is rounded to its type.
static Value freshScale(Body &body, Value amax, QuantAttr quant) {
  OpBuilder &b = body.b;
  Value s = arith::MaximumFOp::create(b, body.loc, amax,
                                      body.f(std::ldexp(1.0, -100)));
  s = arith::DivFOp::create(b, body.loc, s,
                            body.f(getMaxFinite(quant.getElem())));
  if (isa<Float8E8M0FNUType>(quant.getScale()))
    // Up to a power of two; s is a positive normal number, so its bits are
    // exponent and fraction, and a carry is the next power.
    return body.asFloat(body.And(body.add(body.bits(s), 0x7fffff), 0x7f800000));
  if (isa<Float16Type, Float8E4M3FNType>(quant.getScale())) {
    double top = isa<Float16Type>(quant.getScale()) ? 65504.0 : 448.0;
    s = arith::MinimumFOp::create(b, body.loc, s, body.f(top));
  }
  return s;
}

/// x / scale, saturated to the element type.
static Value quotient(Body &body, Value x, Value scale, QuantAttr quant) {
  OpBuilder &b = body.b;
  double top = getMaxFinite(quant.getElem());
  Value q = arith::DivFOp::create(b, body.loc, x, scale);
  q = arith::MinimumFOp::create(b, body.loc, q, body.f(top));
  q = arith::MaximumFOp::create(b, body.loc, q, body.f(-top));
  // Types of few exponent bits round small scales to zero.
  if (!isa<Float16Type, Float8E4M3FNType>(quant.getScale()))
    return q;
  Value none = arith::CmpFOp::create(b, body.loc, arith::CmpFPredicate::OEQ,
                                     scale, body.f(0.0));
  return body.select(none, body.f(0.0), q);
}

/// The f4E2M1FN code of q in [-6, 6], an i32.
static Value encodeFloat4(Body &body, Value q) {
  OpBuilder &b = body.b;
  Value bits = body.bits(q);
  Value magnitude = body.asFloat(body.And(bits, 0x7fffffff));
  // Codes are evenly spaced below 2, from 2 to 4 and from 4 on.
  Value code =
      body.select(body.less(magnitude, 2.0), body.round(magnitude, 2.0),
                  body.select(body.less(magnitude, 4.0),
                              body.add(body.round(magnitude, 1.0), 2),
                              body.add(body.round(magnitude, 0.5), 4)));
  Value sign = arith::ShRUIOp::create(b, body.loc, bits, body.i(28));
  return arith::OrIOp::create(b, body.loc, body.And(code, 7),
                              body.And(sign, 8));
}

/// Bytes of two codes each, the first in the low nibble, of quotients in f32.
static Value packFloat4(KernelBuilder &k, Value quotients) {
  auto type = cast<tile::FragType>(quotients.getType());
  auto split = tile::SplitOp::create(k.b, k.loc, quotients, /*block=*/1);
  Type bytes =
      tile::FragType::get(type.getRows(), type.getCols() / 2, k.b.getI8Type());
  return tile::MapOp::create(
             k.b, k.loc, TypeRange{bytes},
             ValueRange{split.getFirst(), split.getSecond()},
             [&](OpBuilder &b, Location loc, ValueRange v) {
               Body body{b, loc};
               Value high = arith::ShLIOp::create(
                   b, loc, encodeFloat4(body, v[1]), body.i(4));
               Value both =
                   arith::OrIOp::create(b, loc, encodeFloat4(body, v[0]), high);
               return SmallVector<Value>{
                   arith::TruncIOp::create(b, loc, b.getI8Type(), both)};
             })
      .getResult(0);
}

void moe::emitFreshQuant(KernelBuilder &k, QuantAttr quant,
                         ValueRange fragments,
                         SmallVectorImpl<Value> &quantised, Value &scale) {
  int64_t rows = 0, cols = 0;
  for (Value f : fragments) {
    rows = cast<tile::FragType>(f.getType()).getRows();
    cols += cast<tile::FragType>(f.getType()).getCols();
  }
  // The last group of a row may be short.
  int64_t group = quant.getGranuleCols() == QuantAttr::kWhole
                      ? cols
                      : std::min(cols, quant.getGranuleCols());
  Type f32 = k.b.getF32Type();
  Type amaxType = tile::FragType::get(rows, cols / group, f32);
  Value amax = tile::RowReduceOp::create(
      k.b, k.loc, amaxType, tile::ReduceKind::AbsMax, fragments, group);
  auto scaleType = tile::FragType::get(rows, cols / group, quant.getScale());
  scale = tile::MapOp::create(
              k.b, k.loc, TypeRange{scaleType}, ValueRange{amax},
              [&](OpBuilder &b, Location loc, ValueRange v) {
                Body body{b, loc};
                return SmallVector<Value>{truncateFromF32(
                    b, loc, freshScale(body, v[0], quant), quant.getScale())};
              })
              .getResult(0);
  // The fragments are one scale group wide (callers see to that), so the scale
  // repeats along the columns by itself.
  bool packs = quant.getPacking() == Packing::Mx;
  Type element = packs ? f32 : quant.getElem();
  for (Value f : fragments) {
    auto type = cast<tile::FragType>(f.getType());
    Type outType = tile::FragType::get(rows, type.getCols(), element);
    SmallVector<Value> inputs{f, scale};
    Value made =
        tile::MapOp::create(
            k.b, k.loc, TypeRange{outType}, inputs,
            [&](OpBuilder &b, Location loc, ValueRange v) {
              Body body{b, loc};
              Value q = quotient(body, v[0], extendToF32(b, loc, v[1]), quant);
              if (element.isInteger()) {
                q = math::RoundEvenOp::create(b, loc, q);
                return SmallVector<Value>{
                    arith::FPToSIOp::create(b, loc, element, q)};
              }
              return SmallVector<Value>{truncateFromF32(b, loc, q, element)};
            })
            .getResult(0);
    quantised.push_back(packs ? packFloat4(k, made) : made);
  }
}

/// Calls `body` for every scale group of every row of `x`, with the row, the
/// group's number, its first column and its width.
static void forGroups(
    KernelBuilder &kernel, Value x, int64_t group,
    function_ref<void(Value row, Value number, Value first, int64_t width)>
        body) {
  OpBuilder &b = kernel.b;
  Location loc = kernel.loc;
  int64_t cols = cast<MemRefType>(x.getType()).getDimSize(1);
  parallelRows(kernel, memref::DimOp::create(b, loc, x, 0), [&](Value row) {
    // One scale group at a time: a row of any length is read from cache.
    auto one = [&](Value number, int64_t width) {
      Value first = arith::MulIOp::create(b, loc, number, kernel.index(group));
      body(row, number, first, width);
    };
    int64_t full = group ? cols / group : 0;
    if (full) {
      auto loopOp = scf::ForOp::create(b, loc, kernel.index(0),
                                       kernel.index(full), kernel.index(1));
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(loopOp.getBody());
      one(loopOp.getInductionVar(), group);
    }
    if (int64_t rest = group ? cols % group : 0)
      one(kernel.index(full), rest);
  });
}

/// Columns of one scale group of rows of `cols` columns.
static int64_t groupColumns(QuantAttr quant, int64_t cols) {
  return quant.getGranuleCols() == QuantAttr::kWhole ? cols
                                                     : quant.getGranuleCols();
}

/// The part of a row of `x` from column `first` on, in f32.
static Value loadPart(KernelBuilder &kernel, Value x, Value row, Value first,
                      int64_t width) {
  auto type = cast<MemRefType>(x.getType());
  Value loaded =
      tile::LoadOp::create(kernel.b, kernel.loc,
                           tile::FragType::get(1, width, type.getElementType()),
                           x, ValueRange{row, first});
  return mapToF32(kernel, loaded);
}

LogicalResult PlanBuilder::convertQuantize(QuantizeOp op) {
  QuantAttr quant = op.getQuant();
  if (failed(checkFreshQuant(op, quant)))
    return failure();
  KernelBuilder kernel = startKernel("quantize");
  Value x = kernel.use(buffer(op.getX()));
  Value q = kernel.use(values.lookup(op->getResult(0)));
  Value s = kernel.use(values.lookup(op->getResult(1)));
  int64_t group =
      groupColumns(quant, cast<MemRefType>(x.getType()).getDimSize(1));
  int64_t perStored = quant.getColsPerStored();
  bool groupMajor = quant.getLayout() == ScaleLayout::GroupMajor;
  forGroups(kernel, x, group, [&](Value row, Value g, Value c, int64_t width) {
    OpBuilder &kb = kernel.b;
    Value at =
        arith::MulIOp::create(kb, loc, g, kernel.index(group / perStored));
    SmallVector<Value> quantised;
    Value scale;
    emitFreshQuant(kernel, quant, loadPart(kernel, x, row, c, width), quantised,
                   scale);
    tile::StoreOp::create(kb, loc, quantised, q, ValueRange{row, at});
    tile::StoreOp::create(kb, loc, scale, s,
                          groupMajor ? ValueRange{g, row} : ValueRange{row, g},
                          Value(), {-1, -1});
  });
  launch(kernel);
  return success();
}

bool moe::isRounding(QuantizeOp op) {
  return op->getNumResults() == 2 && !op->use_empty() &&
         op.getQuant().getPacking() == Packing::Plain &&
         llvm::all_of(op->getUsers(), [&](Operation *user) {
           auto reader = dyn_cast<DequantizeOp>(user);
           return reader && reader->getNumResults() == 1 &&
                  reader.getValues() == op->getResult(0) &&
                  reader.getScale() == op->getResult(1) &&
                  reader.getQuant() == op.getQuant();
         });
}

LogicalResult PlanBuilder::convertRounding(QuantizeOp from, DequantizeOp to) {
  QuantAttr quant = from.getQuant();
  if (failed(checkFreshQuant(from, quant)))
    return failure();
  KernelBuilder kernel = startKernel("round");
  Value x = kernel.use(buffer(from.getX()));
  Value out = kernel.use(values.lookup(to->getResult(0)));
  int64_t group =
      groupColumns(quant, cast<MemRefType>(x.getType()).getDimSize(1));
  Type element = cast<MemRefType>(out.getType()).getElementType();
  forGroups(kernel, x, group, [&](Value row, Value, Value c, int64_t width) {
    OpBuilder &kb = kernel.b;
    SmallVector<Value> quantised;
    Value scale;
    emitFreshQuant(kernel, quant, loadPart(kernel, x, row, c, width), quantised,
                   scale);
    SmallVector<Value> inputs{quantised[0], scale};
    Value made =
        tile::MapOp::create(
            kb, loc, TypeRange{tile::FragType::get(1, width, element)}, inputs,
            [&](OpBuilder &b, Location loc, ValueRange v) {
              Value value = arith::MulFOp::create(
                  b, loc, extendToF32(b, loc, v[0]), extendToF32(b, loc, v[1]));
              return SmallVector<Value>{
                  truncateFromF32(b, loc, value, element)};
            })
            .getResult(0);
    tile::StoreOp::create(kb, loc, made, out, ValueRange{row, c});
  });
  launch(kernel);
  return success();
}
