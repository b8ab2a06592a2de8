//===- ElementKernels.cpp - Kernels without a product ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// activate, dequantize, repack and group_sum where no GEMM has taken them in:
// one row after the other, rows dealt out to the grid.
//
//===----------------------------------------------------------------------===//

#include "PlanBuilder.h"

using namespace mlir;
using namespace mlir::moe;

/// `memory` with all dimensions before the last `keep` as one; as it is, where
/// there are none or one.
static Value joinLeading(KernelBuilder &k, Value memory, int64_t keep) {
  int64_t rank = cast<MemRefType>(memory.getType()).getRank();
  int64_t leading = rank - keep;
  if (leading <= 1)
    return memory;
  SmallVector<ReassociationIndices> groups(1);
  for (int64_t d = 0; d < leading; ++d)
    groups[0].push_back(d);
  for (int64_t d = leading; d < rank; ++d)
    groups.push_back({d});
  OpBuilder::InsertionGuard guard(k.b);
  return memref::CollapseShapeOp::create(k.b, k.loc, memory, groups);
}

static Type elementOf(Value memory) {
  return cast<MemRefType>(memory.getType()).getElementType();
}

static Type rowOf(Value memory, int64_t cols) {
  return tile::FragType::get(1, cols, elementOf(memory));
}

//===----------------------------------------------------------------------===//
// activate
//===----------------------------------------------------------------------===//

LogicalResult PlanBuilder::convertActivate(ActivateOp op) {
  auto inType = cast<RankedTensorType>(op.getX().getType());
  auto outType = cast<RankedTensorType>(op->getResult(0).getType());
  int64_t inCols = inType.getDimSize(1), outCols = outType.getDimSize(1);
  if (ShapedType::isDynamic(inCols) || ShapedType::isDynamic(outCols))
    return op.emitOpError("has a tile form for static columns only");
  KernelBuilder kernel = startKernel("activate");
  Value x = kernel.use(buffer(op.getX()));
  Value out = kernel.use(values.lookup(op->getResult(0)));
  GateUpAttr gateUp = op.getGateUpAttr();
  parallelRows(
      kernel, memref::DimOp::create(kernel.b, loc, x, 0), [&](Value row) {
        OpBuilder &kb = kernel.b;
        Value zero = kernel.index(0);
        Value loaded = tile::LoadOp::create(kb, loc, rowOf(x, inCols), x,
                                            ValueRange{row, zero});
        SmallVector<Value> inputs{loaded};
        if (gateUp) {
          int64_t block = gateUp.getKind() == GateUpKind::Halves ? outCols
                          : gateUp.getKind() == GateUpKind::Interleaved
                              ? 1
                              : gateUp.getBlock();
          auto split = tile::SplitOp::create(kb, loc, loaded, block);
          inputs.assign({split.getFirst(), split.getSecond()});
          if (gateUp.getUpFirst())
            std::swap(inputs[0], inputs[1]);
        }
        Value made = tile::MapOp::create(
                         kb, loc, TypeRange{rowOf(out, outCols)}, inputs,
                         [&](OpBuilder &b, Location loc, ValueRange v) {
                           SmallVector<Value> arguments;
                           for (Value argument : v)
                             arguments.push_back(extendToF32(b, loc, argument));
                           Value r =
                               cloneScalarBody(b, op.getBody(), arguments);
                           return SmallVector<Value>{
                               truncateFromF32(b, loc, r, elementOf(out))};
                         })
                         .getResult(0);
        tile::StoreOp::create(kb, loc, made, out, ValueRange{row, zero});
      });
  launch(kernel);
  return success();
}

//===----------------------------------------------------------------------===//
// dequantize
//===----------------------------------------------------------------------===//

tile::DequantFormat moe::dequantFormat(QuantAttr quant) {
  switch (quant.getPacking()) {
  case Packing::Plain:
    return tile::DequantFormat::Plain;
  case Packing::LowEven:
    return tile::DequantFormat::LowEven;
  case Packing::Exllama:
    return tile::DequantFormat::Exllama;
  case Packing::Mx:
    return tile::DequantFormat::Mx;
  }
  llvm_unreachable("covered switch");
}

LogicalResult PlanBuilder::convertDequantize(DequantizeOp op) {
  QuantAttr quant = op.getQuant();
  auto type = cast<RankedTensorType>(op.getValues().getType());
  int64_t rank = type.getRank(), stored = type.getDimSize(rank - 1);
  int64_t cols = stored * quant.getColsPerStored();
  KernelBuilder kernel = startKernel("dequantize");
  OpBuilder &kb = kernel.b;
  // Batches (experts) as one dimension, if there are any.
  auto use = [&](Value v) {
    return v ? joinLeading(kernel, kernel.use(buffer(v)), 2) : Value();
  };
  Value source = use(op.getValues()), scales = use(op.getScale());
  Value zeros = use(op.getZero());
  Value out =
      joinLeading(kernel, kernel.use(values.lookup(op->getResult(0))), 2);
  bool batched = rank > 2;
  int64_t rowDim = batched ? 1 : 0;
  Value perBatch = memref::DimOp::create(kb, loc, source, rowDim);
  Value rows = perBatch;
  if (batched)
    rows = arith::MulIOp::create(kb, loc, perBatch,
                                 memref::DimOp::create(kb, loc, source, 0));
  parallelRows(kernel, rows, [&](Value number) {
    Value zero = kernel.index(0), batch, row = number;
    if (batched) {
      batch = arith::DivUIOp::create(kb, loc, number, perBatch);
      row = arith::RemUIOp::create(kb, loc, number, perBatch);
    }
    auto at = [&](Value r, Value c) {
      return batched ? SmallVector<Value>{batch, r, c}
                     : SmallVector<Value>{r, c};
    };
    bool wholeRows = quant.getGranuleRows() == QuantAttr::kWhole;
    bool wholeCols = quant.getGranuleCols() == QuantAttr::kWhole;
    int64_t groups = quant.getScaleCols(cols);
    bool groupMajor = quant.getLayout() == ScaleLayout::GroupMajor;
    auto factor = [&](Value memory) -> Value {
      if (!memory)
        return Value();
      SmallVector<Value> indices = at(wholeRows ? zero : row, zero);
      SmallVector<int64_t> granule(rowDim, 1);
      granule.push_back(wholeRows ? 1 : quant.getGranuleRows());
      granule.push_back(wholeCols ? 1 : quant.getGranuleCols());
      if (groupMajor) {
        std::swap(indices[rowDim], indices[rowDim + 1]);
        std::swap(granule[rowDim], granule[rowDim + 1]);
      }
      return tile::LoadOp::create(
          kb, loc, rowOf(memory, groups), memory, indices,
          {-1, groupMajor ? rowDim : rowDim + 1}, granule);
    };
    Value loaded = tile::LoadOp::create(kb, loc, rowOf(source, stored), source,
                                        at(row, zero));
    Value scale = factor(scales), zeroPoint = factor(zeros);
    std::optional<int64_t> zeroValue;
    if (quant.getZero() == ZeroPoint::Constant)
      zeroValue = quant.getZeroValue();
    Value made = tile::DequantOp::create(
        kb, loc, rowOf(out, cols), loaded, scale, zeroPoint,
        dequantFormat(quant), zeroValue,
        {1, wholeCols ? std::max<int64_t>(cols, 1) : quant.getGranuleCols()});
    tile::StoreOp::create(kb, loc, made, out, at(row, zero));
  });
  launch(kernel);
  return success();
}

//===----------------------------------------------------------------------===//
// group_sum
//===----------------------------------------------------------------------===//

LogicalResult PlanBuilder::convertGroupSum(GroupSumOp op) {
  KernelBuilder kernel = startKernel("group_sum");
  OpBuilder &kb = kernel.b;
  Value x = kernel.use(buffer(op.getX()));
  Value out = kernel.use(values.lookup(op->getResult(0)));
  int64_t group = op.getGroup();
  int64_t cols = cast<MemRefType>(x.getType()).getDimSize(1);
  parallelRows(kernel, memref::DimOp::create(kb, loc, x, 0), [&](Value row) {
    auto loopOp = scf::ForOp::create(
        kb, loc, kernel.index(0), kernel.index(cols / group), kernel.index(1));
    OpBuilder::InsertionGuard guard(kb);
    kb.setInsertionPointToStart(loopOp.getBody());
    Value g = loopOp.getInductionVar();
    Value loaded = tile::LoadOp::create(
        kb, loc, rowOf(x, group), x,
        ValueRange{row,
                   arith::MulIOp::create(kb, loc, g, kernel.index(group))});
    Value sum = tile::RowReduceOp::create(
        kb, loc, tile::FragType::get(1, 1, kb.getF32Type()),
        tile::ReduceKind::Sum, mapToF32(kernel, loaded), group);
    tile::StoreOp::create(kb, loc, sum, out, ValueRange{g, row}, Value(),
                          {-1, -1});
  });
  launch(kernel);
  return success();
}

//===----------------------------------------------------------------------===//
// repack
//===----------------------------------------------------------------------===//

namespace {
/// Integer arithmetic on words inside of the body of a map.
struct Words {
  OpBuilder &b;
  Location loc;

  Value i(int64_t x) {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(x));
  }
  Value wide(Value x) {
    return arith::ExtUIOp::create(b, loc, b.getI32Type(), x);
  }
  /// Nibble `from` of x, as nibble `to`.
  Value nibble(Value x, int64_t from, int64_t to) {
    x = arith::ShRUIOp::create(b, loc, x, i(4 * from));
    x = arith::AndIOp::create(b, loc, x, i(15));
    return arith::ShLIOp::create(b, loc, x, i(4 * to));
  }
  Value either(Value x, Value y) {
    return x ? Value(arith::OrIOp::create(b, loc, x, y)) : y;
  }
};
} // namespace

/// Four fragments: columns 0, 1, 2 and 3 of every four.
static SmallVector<Value> splitInFour(KernelBuilder &k, Value source) {
  auto both = tile::SplitOp::create(k.b, k.loc, source, /*block=*/1);
  auto even = tile::SplitOp::create(k.b, k.loc, both.getFirst(), 1);
  auto odd = tile::SplitOp::create(k.b, k.loc, both.getSecond(), 1);
  return {even.getFirst(), odd.getFirst(), even.getSecond(), odd.getSecond()};
}

static Value joinTwo(KernelBuilder &k, Value first, Value second) {
  auto type = cast<tile::FragType>(first.getType());
  Type both = tile::FragType::get(type.getRows(), 2 * type.getCols(),
                                  type.getElementType());
  return tile::JoinOp::create(k.b, k.loc, both, first, second, /*block=*/1);
}

/// Words of exllama from bytes of low_even: word column i stands in nibble i /
/// 2 if i is even, else in nibble 4 + i / 2.
static Value wordsFromBytes(KernelBuilder &k, Value bytes) {
  auto type = cast<tile::FragType>(bytes.getType());
  Type words = tile::FragType::get(1, type.getCols() / 4, k.b.getI32Type());
  return tile::MapOp::create(
             k.b, k.loc, TypeRange{words}, splitInFour(k, bytes),
             [&](OpBuilder &b, Location loc, ValueRange v) {
               Words w{b, loc};
               Value word;
               for (int64_t pair = 0; pair < 4; ++pair) {
                 Value byte = w.wide(v[pair]);
                 word = w.either(word, w.nibble(byte, 0, pair));
                 word = w.either(word, w.nibble(byte, 1, 4 + pair));
               }
               return SmallVector<Value>{word};
             })
      .getResult(0);
}

static Value bytesFromWords(KernelBuilder &k, Value words) {
  auto type = cast<tile::FragType>(words.getType());
  Type bytes = tile::FragType::get(1, type.getCols(), k.b.getI8Type());
  auto map = tile::MapOp::create(
      k.b, k.loc, TypeRange{bytes, bytes, bytes, bytes}, ValueRange{words},
      [&](OpBuilder &b, Location loc, ValueRange v) {
        Words w{b, loc};
        SmallVector<Value> made;
        for (int64_t pair = 0; pair < 4; ++pair)
          made.push_back(arith::TruncIOp::create(
              b, loc, b.getI8Type(),
              w.either(w.nibble(v[0], pair, 0), w.nibble(v[0], 4 + pair, 1))));
        return made;
      });
  return joinTwo(k, joinTwo(k, map.getResult(0), map.getResult(2)),
                 joinTwo(k, map.getResult(1), map.getResult(3)));
}

/// f8E4M3FNUZ codes of half the value: no minus zero, one NaN.
static Value toFnuz(KernelBuilder &k, Value source, Type element) {
  auto type = cast<tile::FragType>(source.getType());
  Type out = tile::FragType::get(1, type.getCols(), element);
  return tile::MapOp::create(
             k.b, k.loc, TypeRange{out}, ValueRange{source},
             [&](OpBuilder &b, Location loc, ValueRange v) {
               Type i8 = b.getI8Type();
               auto c = [&](int64_t x) -> Value {
                 return arith::ConstantOp::create(b, loc,
                                                  b.getIntegerAttr(i8, x));
               };
               auto same = [&](Value x, Value y) -> Value {
                 return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                              x, y);
               };
               Value code = arith::BitcastOp::create(b, loc, i8, v[0]);
               Value magnitude = arith::AndIOp::create(b, loc, code, c(0x7f));
               Value made = arith::SelectOp::create(
                   b, loc, same(magnitude, c(0x7f)), c(-128), code);
               made = arith::SelectOp::create(b, loc, same(code, c(-128)), c(0),
                                              made);
               return SmallVector<Value>{
                   arith::BitcastOp::create(b, loc, element, made)};
             })
      .getResult(0);
}

LogicalResult PlanBuilder::convertRepack(RepackOp op) {
  QuantAttr from = op.getFrom(), to = op.getTo();
  auto type = cast<RankedTensorType>(op.getW().getType());
  auto outType = cast<RankedTensorType>(op->getResult(0).getType());
  int64_t stored = type.getDimSize(type.getRank() - 1);
  KernelBuilder kernel = startKernel("repack");
  OpBuilder &kb = kernel.b;
  Value w = joinLeading(kernel, kernel.use(buffer(op.getW())), 1);
  Value out =
      joinLeading(kernel, kernel.use(values.lookup(op->getResult(0))), 1);
  parallelRows(kernel, memref::DimOp::create(kb, loc, w, 0), [&](Value row) {
    Value zero = kernel.index(0);
    Value made = tile::LoadOp::create(kb, loc, rowOf(w, stored), w,
                                      ValueRange{row, zero});
    bool words = from.getPacking() == Packing::Exllama;
    if (words != (to.getPacking() == Packing::Exllama))
      made =
          words ? bytesFromWords(kernel, made) : wordsFromBytes(kernel, made);
    else if (from.getElem() != to.getElem())
      made = toFnuz(kernel, made, outType.getElementType());
    tile::StoreOp::create(kb, loc, made, out, ValueRange{row, zero});
  });
  launch(kernel);
  return success();
}
