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
// Sums and copies of rows
//===----------------------------------------------------------------------===//

LogicalResult PlanBuilder::emitCombine(Value d, Value weights, Value add,
                                       Value addGate, Value routing,
                                       RowLayout layout,
                                       const RoutingBuffers &buffers, Value out,
                                       int64_t parts) {
  auto routingType = cast<RoutingType>(routing.getType());
  int64_t topk = routingType.getTopk(), experts = routingType.getExperts();
  bool all = isStatic(routing);
  KernelBuilder kernel = startKernel("combine");
  d = kernel.use(d);
  // In flat order the row of a slot is the slot itself, as in every order of
  // slots that nobody sorts.
  auto use = [&](Value v) { return v ? kernel.use(v) : Value(); };
  Value rowsOf;
  if (!all)
    rowsOf =
        use(layout == RowLayout::FlatTopk ? buffers.valid : buffers.places);
  Value ids = use(buffers.ids), map = use(buffers.expertMap);
  Value deviceTokens = use(buffers.deviceTokens);
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
        Value tokens, flat;
        if (all)
          tokens = memref::DimOp::create(kb, loc, out, 0);
        if (all && weights)
          flat = memref::CollapseShapeOp::create(
              kb, loc, weights, ArrayRef<ReassociationIndices>{{0, 1}});
        SmallVector<Value> inputs;
        for (int64_t j = 0; j < topk; ++j) {
          Value slot = arith::AddIOp::create(kb, loc, first, kernel.index(j));
          Value row;
          if (all)
            row = arith::AddIOp::create(
                kb, loc,
                arith::MulIOp::create(kb, loc, tokens, kernel.index(j)), t);
          else if (ids)
            row = tile::SlotRowOp::create(kb, loc, slot, ids, map, deviceTokens,
                                          experts);
          else
            row = tile::RowIndexOp::create(kb, loc, 1, rowsOf, slot, Value());
          for (int64_t part = 0; part < parts; ++part)
            inputs.push_back(tile::LoadOp::create(
                kb, loc, frag(cols, d), d,
                ValueRange{row, part ? kernel.index(part * cols) : zero}));
          if (flat)
            inputs.push_back(tile::LoadOp::create(
                kb, loc, frag(1, weights), flat, ValueRange{row}, {-1, -1}));
          else if (weights)
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
                  for (int64_t j = 0; j < topk * parts; ++j) {
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
  if (auto gemm = op.getD().getDefiningOp<GroupedGemmOp>();
      gemm && isSummedByTiles(gemm))
    return success(); // made where the rows are
  bool padded = op.getLayout() == RowLayout::ExpertSortedPadded;
  RoutingBuffers routing;
  if (!isStatic(op.getRouting()))
    routing = routingFor(op.getRouting(), padded, 0);
  auto lookup = [&](Value v) { return v ? buffer(v) : Value(); };
  RowLayout layout = op.getLayout();
  int64_t parts = 1;
  if (auto gemm = op.getD().getDefiningOp<GroupedGemmOp>())
    parts = partsOfK(gemm);
  if (auto gemm = op.getD().getDefiningOp<GroupedGemmOp>())
    if (layout == RowLayout::FlatTopk && sortsSummedRows(gemm))
      layout = RowLayout::ExpertSorted;
  return emitCombine(buffer(op.getD()), lookup(op.getWeights()),
                     lookup(op.getAdd()), lookup(op.getAddGate()),
                     op.getRouting(), layout, routing,
                     values.lookup(op->getResult(0)), parts);
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

LogicalResult PlanBuilder::emitCast(Value from, Value out) {
  KernelBuilder kernel = startKernel("cast");
  from = kernel.use(from);
  out = kernel.use(out);
  auto type = cast<MemRefType>(out.getType());
  int64_t cols = type.getDimSize(1);
  parallelRows(
      kernel, memref::DimOp::create(kernel.b, loc, out, 0), [&](Value row) {
        OpBuilder &kb = kernel.b;
        Value zero = kernel.index(0);
        Value loaded = tile::LoadOp::create(
            kb, loc, tile::FragType::get(1, cols, kb.getF32Type()), from,
            ValueRange{row, zero});
        Type rounded = tile::FragType::get(1, cols, type.getElementType());
        Value made =
            tile::MapOp::create(kb, loc, TypeRange{rounded}, ValueRange{loaded},
                                [&](OpBuilder &b, Location loc, ValueRange v) {
                                  return SmallVector<Value>{truncateFromF32(
                                      b, loc, v[0], type.getElementType())};
                                })
                .getResult(0);
        tile::StoreOp::create(kb, loc, made, out, ValueRange{row, zero});
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
