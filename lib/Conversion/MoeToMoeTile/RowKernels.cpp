//===- RowKernels.cpp - Kernels that work row by row ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlanBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::moe;

void moe::parallelRows(KernelBuilder &k, Value rows,
                       function_ref<void(Value)> body) {
  auto op = scf::ParallelOp::create(k.b, k.loc, ValueRange{k.index(0)},
                                    ValueRange{rows}, ValueRange{k.index(1)});
  OpBuilder::InsertionGuard guard(k.b);
  k.b.setInsertionPointToStart(op.getBody());
  body(op.getInductionVars()[0]);
}

Value moe::mapToF32(KernelBuilder &k, Value fragment) {
  auto type = cast<tile::FragType>(fragment.getType());
  if (type.getElementType().isF32())
    return fragment;
  Type f32 =
      tile::FragType::get(type.getRows(), type.getCols(), k.b.getF32Type());
  return tile::MapOp::create(k.b, k.loc, TypeRange{f32}, ValueRange{fragment},
                             [&](OpBuilder &b, Location loc, ValueRange v) {
                               return SmallVector<Value>{
                                   extendToF32(b, loc, v[0])};
                             })
      .getResult(0);
}

//===----------------------------------------------------------------------===//
// Quantisation
//===----------------------------------------------------------------------===//

LogicalResult moe::checkFreshQuant(Operation *op, QuantAttr quant) {
  if (quant.getPacking() != Packing::Plain)
    return op->emitOpError("fresh quantisation to ")
           << quant.getElem() << " with packing "
           << stringifyPacking(quant.getPacking()) << " has no tile form yet";
  if (!isa<Float32Type, BFloat16Type, Float16Type, Float8E8M0FNUType>(
          quant.getScale()))
    return op->emitOpError("fresh quantisation with scales of ")
           << quant.getScale() << " has no tile form yet";
  return success();
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
  double top = getMaxFinite(quant.getElem());
  Type f32 = k.b.getF32Type();
  Type amaxType = tile::FragType::get(rows, cols / group, f32);
  Value amax = tile::RowReduceOp::create(
      k.b, k.loc, amaxType, tile::ReduceKind::AbsMax, fragments, group);
  auto scaleType = tile::FragType::get(rows, cols / group, quant.getScale());
  scale =
      tile::MapOp::create(
          k.b, k.loc, TypeRange{scaleType}, ValueRange{amax},
          [&](OpBuilder &b, Location loc, ValueRange v) {
            auto c = [&](double x) -> Value {
              return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(x));
            };
            Value s = arith::MaximumFOp::create(b, loc, v[0],
                                                c(std::ldexp(1.0, -100)));
            s = arith::DivFOp::create(b, loc, s, c(top));
            if (isa<Float8E8M0FNUType>(quant.getScale())) {
              // Up to a power of two; s is a positive normal number, so its
              // bits are exponent and fraction, and a carry is the next power.
              auto bits = [&](int64_t x) -> Value {
                return arith::ConstantOp::create(b, loc,
                                                 b.getI32IntegerAttr(x));
              };
              Value word = arith::BitcastOp::create(b, loc, b.getI32Type(), s);
              word = arith::AddIOp::create(b, loc, word, bits(0x7fffff));
              word = arith::AndIOp::create(b, loc, word, bits(0x7f800000));
              s = arith::BitcastOp::create(b, loc, b.getF32Type(), word);
            }
            return SmallVector<Value>{
                truncateFromF32(b, loc, s, quant.getScale())};
          })
          .getResult(0);
  // The fragments are one scale group wide (callers see to that), so the scale
  // repeats along the columns by itself.
  for (Value f : fragments) {
    auto type = cast<tile::FragType>(f.getType());
    Type outType = tile::FragType::get(rows, type.getCols(), quant.getElem());
    SmallVector<Value> inputs{f, scale};
    quantised.push_back(
        tile::MapOp::create(
            k.b, k.loc, TypeRange{outType}, inputs,
            [&](OpBuilder &b, Location loc, ValueRange v) {
              auto c = [&](double x) -> Value {
                return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(x));
              };
              Value q = arith::DivFOp::create(b, loc, v[0],
                                              extendToF32(b, loc, v[1]));
              q = arith::MinimumFOp::create(b, loc, q, c(top));
              q = arith::MaximumFOp::create(b, loc, q, c(-top));
              if (quant.getElem().isInteger()) {
                q = math::RoundEvenOp::create(b, loc, q);
                return SmallVector<Value>{
                    arith::FPToSIOp::create(b, loc, quant.getElem(), q)};
              }
              return SmallVector<Value>{
                  truncateFromF32(b, loc, q, quant.getElem())};
            })
            .getResult(0));
  }
}

LogicalResult PlanBuilder::convertQuantize(QuantizeOp op) {
  QuantAttr quant = op.getQuant();
  if (failed(checkFreshQuant(op, quant)))
    return failure();
  KernelBuilder kernel = startKernel("quantize");
  Value x = kernel.use(buffer(op.getX()));
  Value q = kernel.use(values.lookup(op->getResult(0)));
  Value s = kernel.use(values.lookup(op->getResult(1)));
  auto type = cast<MemRefType>(x.getType());
  int64_t cols = type.getDimSize(1);
  int64_t group = quant.getGranuleCols() == QuantAttr::kWhole
                      ? cols
                      : quant.getGranuleCols();
  bool groupMajor = quant.getLayout() == ScaleLayout::GroupMajor;
  parallelRows(
      kernel, memref::DimOp::create(kernel.b, loc, x, 0), [&](Value row) {
        OpBuilder &kb = kernel.b;
        // One scale group at a time: a row of any length is read from cache.
        auto quantiseGroup = [&](Value g, int64_t width) {
          Value c = arith::MulIOp::create(kb, loc, g, kernel.index(group));
          Value loaded = tile::LoadOp::create(
              kb, loc, tile::FragType::get(1, width, type.getElementType()), x,
              ValueRange{row, c});
          SmallVector<Value> quantised;
          Value scale;
          emitFreshQuant(kernel, quant, mapToF32(kernel, loaded), quantised,
                         scale);
          tile::StoreOp::create(kb, loc, quantised, q, ValueRange{row, c});
          tile::StoreOp::create(kb, loc, scale, s,
                                groupMajor ? ValueRange{g, row}
                                           : ValueRange{row, g},
                                Value(), {-1, -1});
        };
        int64_t full = cols / group;
        if (full) {
          auto loopOp = scf::ForOp::create(kb, loc, kernel.index(0),
                                           kernel.index(full), kernel.index(1));
          OpBuilder::InsertionGuard guard(kb);
          kb.setInsertionPointToStart(loopOp.getBody());
          quantiseGroup(loopOp.getInductionVar(), group);
        }
        if (int64_t rest = cols % group)
          quantiseGroup(kernel.index(full), rest);
      });
  launch(kernel);
  return success();
}

//===----------------------------------------------------------------------===//
// Sums and copies of rows
//===----------------------------------------------------------------------===//

LogicalResult PlanBuilder::emitCombine(Value d, Value weights, Value add,
                                       Value addGate,
                                       const RoutingBuffers &routing,
                                       RowLayout layout, int64_t topk,
                                       Value out) {
  KernelBuilder kernel = startKernel("combine");
  d = kernel.use(d);
  // In flat order the row of a slot is the slot itself.
  Value rowsOf = kernel.use(layout == RowLayout::FlatTopk ? routing.valid
                                                          : routing.places);
  weights = weights ? kernel.use(weights) : Value();
  add = add ? kernel.use(add) : Value();
  addGate = addGate ? kernel.use(addGate) : Value();
  out = kernel.use(out);
  auto outType = cast<MemRefType>(out.getType());
  int64_t cols = outType.getDimSize(1);
  auto frag = [&](int64_t c, Value memory) {
    return tile::FragType::get(
        1, c, cast<MemRefType>(memory.getType()).getElementType());
  };
  parallelRows(
      kernel, memref::DimOp::create(kernel.b, loc, out, 0), [&](Value t) {
        OpBuilder &kb = kernel.b;
        Value zero = kernel.index(0);
        Value first = arith::MulIOp::create(kb, loc, t, kernel.index(topk));
        SmallVector<Value> inputs;
        for (int64_t j = 0; j < topk; ++j) {
          Value slot = arith::AddIOp::create(kb, loc, first, kernel.index(j));
          Value row =
              tile::RowIndexOp::create(kb, loc, 1, rowsOf, slot, Value());
          inputs.push_back(tile::LoadOp::create(kb, loc, frag(cols, d), d,
                                                ValueRange{row, zero}));
          if (weights)
            inputs.push_back(
                tile::LoadOp::create(kb, loc, frag(1, weights), weights,
                                     ValueRange{t, kernel.index(j)}, {-1, -1}));
        }
        if (add)
          inputs.push_back(tile::LoadOp::create(kb, loc, frag(cols, add), add,
                                                ValueRange{t, zero}));
        if (addGate)
          inputs.push_back(tile::LoadOp::create(
              kb, loc, frag(1, addGate), addGate, ValueRange{t}, {-1, -1}));
        Value sum =
            tile::MapOp::create(
                kb, loc, TypeRange{frag(cols, out)}, inputs,
                [&](OpBuilder &b, Location loc, ValueRange v) {
                  Value total =
                      arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0.0));
                  size_t at = 0;
                  for (int64_t j = 0; j < topk; ++j) {
                    Value term = extendToF32(b, loc, v[at++]);
                    if (weights) {
                      // An absent row is zero; its weight may be anything, NaN
                      // too.
                      Value w = extendToF32(b, loc, v[at++]);
                      Value product = arith::MulFOp::create(b, loc, term, w);
                      Value isZero = arith::CmpFOp::create(
                          b, loc, arith::CmpFPredicate::OEQ, term,
                          arith::ConstantOp::create(b, loc,
                                                    b.getF32FloatAttr(0.0)));
                      term = arith::SelectOp::create(b, loc, isZero, term,
                                                     product);
                    }
                    total = arith::AddFOp::create(b, loc, total, term);
                  }
                  if (add) {
                    Value x = extendToF32(b, loc, v[at++]);
                    if (addGate) {
                      Value g = extendToF32(b, loc, v[at++]);
                      Value e = math::ExpOp::create(
                          b, loc, arith::NegFOp::create(b, loc, g));
                      Value one = arith::ConstantOp::create(
                          b, loc, b.getF32FloatAttr(1.0));
                      Value s = arith::DivFOp::create(
                          b, loc, one, arith::AddFOp::create(b, loc, e, one));
                      x = arith::MulFOp::create(b, loc, x, s);
                    }
                    total = arith::AddFOp::create(b, loc, total, x);
                  }
                  return SmallVector<Value>{
                      truncateFromF32(b, loc, total, outType.getElementType())};
                })
                .getResult(0);
        tile::StoreOp::create(kb, loc, sum, out, ValueRange{t, zero});
      });
  launch(kernel);
  return success();
}

LogicalResult PlanBuilder::convertCombine(CombineOp op) {
  bool padded = op.getLayout() == RowLayout::ExpertSortedPadded;
  const RoutingBuffers &routing = routingFor(op.getRouting(), padded, 0);
  auto lookup = [&](Value v) { return v ? buffer(v) : Value(); };
  RowLayout layout = op.getLayout();
  if (auto gemm = op.getD().getDefiningOp<GroupedGemmOp>())
    if (layout == RowLayout::FlatTopk && sortsSummedRows(gemm))
      layout = RowLayout::ExpertSorted;
  return emitCombine(buffer(op.getD()), lookup(op.getWeights()),
                     lookup(op.getAdd()), lookup(op.getAddGate()), routing,
                     layout, op.getRouting().getType().getTopk(),
                     values.lookup(op->getResult(0)));
}

LogicalResult PlanBuilder::convertDispatch(DispatchOp op) {
  bool padded = op.getLayout() == RowLayout::ExpertSortedPadded;
  const RoutingBuffers &routing = routingFor(op.getRouting(), padded, 0);
  KernelBuilder kernel = startKernel("dispatch");
  Value x = kernel.use(buffer(op.getX()));
  Value rowsOf = kernel.use(
      op.getLayout() == RowLayout::FlatTopk ? routing.valid : routing.places);
  Value out = kernel.use(values.lookup(op->getResult(0)));
  auto type = cast<MemRefType>(x.getType());
  int64_t topk = op.getRouting().getType().getTopk();
  parallelRows(
      kernel, memref::DimOp::create(kernel.b, loc, rowsOf, 0), [&](Value slot) {
        OpBuilder &kb = kernel.b;
        Value zero = kernel.index(0);
        Value token = arith::DivUIOp::create(kb, loc, slot, kernel.index(topk));
        Value row = tile::RowIndexOp::create(kb, loc, 1, rowsOf, slot, Value());
        Value v = tile::LoadOp::create(
            kb, loc,
            tile::FragType::get(1, type.getDimSize(1), type.getElementType()),
            x, ValueRange{token, zero});
        tile::StoreOp::create(kb, loc, v, out, ValueRange{row, zero});
      });
  launch(kernel);
  return success();
}

//===----------------------------------------------------------------------===//
// Vectors of one value
//===----------------------------------------------------------------------===//

LogicalResult PlanBuilder::convertSplat(tensor::SplatOp op) {
  auto extract = op.getInput().getDefiningOp<tensor::ExtractOp>();
  Value source = extract ? buffer(extract.getTensor()) : Value();
  auto type = op.getAggregate().getType();
  if (!source || type.getRank() != 1 || !type.hasStaticShape())
    return op.emitOpError(
        "has no tile form but for a value of a tensor along a static vector");
  KernelBuilder kernel = startKernel("splat");
  Value from = kernel.use(source);
  Value made = workspace(type.getShape(), type.getElementType(), {});
  Value to = kernel.use(made);
  SmallVector<Value> indices;
  for (Value index : extract.getIndices()) {
    Value v = values.lookup(index);
    Attribute constant;
    if (!matchPattern(v, m_Constant(&constant)))
      return extract.emitOpError("needs constant indices to become a kernel");
    indices.push_back(kernel.index(cast<IntegerAttr>(constant).getInt()));
  }
  OpBuilder &kb = kernel.b;
  Value one = tile::LoadOp::create(
      kb, loc, tile::FragType::get(1, 1, type.getElementType()), from, indices,
      {-1, -1});
  Value all =
      tile::MapOp::create(kb, loc,
                          TypeRange{tile::FragType::get(1, type.getDimSize(0),
                                                        type.getElementType())},
                          ValueRange{one},
                          [](OpBuilder &, Location, ValueRange v) {
                            return SmallVector<Value>{v[0]};
                          })
          .getResult(0);
  tile::StoreOp::create(kb, loc, all, to, ValueRange{kernel.index(0)});
  values.map(op.getResult(), made);
  launch(kernel);
  return success();
}
