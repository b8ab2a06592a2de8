//===- GemmKernel.cpp - The kernel of a grouped GEMM ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmKernel.h"
#include "moec/Dialect/Moe/Transforms/DenseForm.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <numeric>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

LogicalResult GemmKernel::decideScales() {
  QuantAttr aq = op.getAQuantAttr(), bq = op.getBQuantAttr();
  ScalePlanAttr given = op.getScalesAttr();
  auto place = [&](QuantAttr quant, ScalePlace wanted) {
    if (!quant)
      return ScalePlace::None;
    if (given)
      return wanted;
    int64_t run = quant.getGranuleCols();
    if (run == QuantAttr::kWhole || run >= k)
      return ScalePlace::Epilogue;
    return run >= 128 ? ScalePlace::Promote : ScalePlace::Operand;
  };
  aPlace = place(aq, given ? given.getA() : ScalePlace::None);
  bPlace = place(bq, given ? given.getB() : ScalePlace::None);
  rowSums = given && given.getZero() == ZeroPlace::RowSum;
  int64_t blockK = op.getChosenConfig().getBlockK();
  step = blockK == 0 ? k : copied ? blockK : std::min(blockK, k);
  for (auto [quant, where, name] :
       {std::tuple{aq, aPlace, "a"}, std::tuple{bq, bPlace, "b"}}) {
    if (where != ScalePlace::Promote)
      continue;
    int64_t run = quant.getGranuleCols();
    if (run == QuantAttr::kWhole)
      continue;
    // A promotion sees one factor per step: the step is the scale group.
    if (blockK != 0 && run % blockK != 0 && blockK % run != 0)
      return op.emitOpError("block k of ")
             << blockK << " spans two scale groups of " << run << " columns of "
             << name;
    step = std::min(step, run);
  }

  if (rowSums && failed(decideRowSums()))
    return failure();
  if (bq && bq.getGranuleRows() != QuantAttr::kWhole &&
      bq.getGranuleRows() > 1) {
    int64_t gr = bq.getGranuleRows();
    if (bPlace == ScalePlace::Epilogue && op.getBScale())
      return op.emitOpError("scales of ")
             << gr << " rows of b have no tile form in the epilogue";
    if (gr % blockN != 0 && blockN % gr != 0)
      return op.emitOpError("block n of ")
             << blockN << " straddles scale blocks of " << gr << " rows of b";
    if (op.getGateUpAttr() && !boxes.empty() && boxes[1] % gr != 0 &&
        gr % (2 * boxes[1]) != 0)
      return op.emitOpError("up rows of b start at ")
             << boxes[1] << ", inside of a scale block of " << gr << " rows";
    if (op.getGateUpAttr() && boxes.empty() && (2 * blockN) % gr != 0 &&
        gr % (2 * blockN) != 0)
      return op.emitOpError("block n of ")
             << blockN << " straddles scale blocks of " << gr << " rows of b";
  }

  auto matrixType = [&](Value v, QuantAttr quant, ScalePlace where,
                        Type other) -> Type {
    Type element = cast<ShapedType>(v.getType()).getElementType();
    if (!quant)
      return element;
    // Scaled on load: f32 keeps value times scale exact. Matrix instructions
    // take the product rounded to the other operand's type.
    if (where == ScalePlace::Operand &&
        (other ? roundsDecoded : scalesInCompute))
      return other ? other : BFloat16Type::get(op.getContext());
    if (where == ScalePlace::Operand)
      return Float32Type::get(op.getContext());
    if (quant.getPacking() == Packing::Plain && isa<FloatType>(quant.getElem()))
      return quant.getElem();
    // Integers and 4-bit floats are exact in bf16 (f16 beside an f16 operand).
    if (other && other.isF16())
      return other;
    return BFloat16Type::get(op.getContext());
  };
  sumType = Float32Type::get(op.getContext());
  if (multipliesBytes()) {
    aMatrix = bMatrix = aq.getElem();
    sumType = IntegerType::get(op.getContext(), 32);
    return success();
  }
  aMatrix = matrixType(op.getA(), aq, aPlace, Type());
  bMatrix = matrixType(op.getB(), bq, bPlace, aMatrix);
  return success();
}

/// Whether the operands are bytes of two's complement whose scales are applied
/// to the sums: matrix units of GPUs add their products exactly, in i32.
bool GemmKernel::multipliesBytes() {
  auto suits = [](QuantAttr quant, ScalePlace place) {
    return quant && quant.getElem().isInteger(8) &&
           quant.getPacking() == Packing::Plain &&
           quant.getZero() == ZeroPoint::None && place == ScalePlace::Epilogue;
  };
  return copied && suits(op.getAQuantAttr(), aPlace) &&
         suits(op.getBQuantAttr(), bPlace);
}

/// One sum of A goes with one zero point of B: the step is its K granule, or
/// there is one zero point along K and the sum is subtracted at the end.
LogicalResult GemmKernel::decideRowSums() {
  QuantAttr quant = op.getBQuantAttr();
  bool perRow = quant.getGranuleRows() == 1 ||
                quant.getScaleRows(op.getWeightRows()) == 1;
  if (quant.getScaleCols(k) == 1 && bPlace == ScalePlace::Epilogue && perRow)
    return success();
  int64_t granule = quant.getScaleCols(k) == 1 ? k : quant.getGranuleCols();
  if (bPlace == ScalePlace::Promote && step == granule)
    return success();
  return op.emitOpError("zero = row_sum needs the scale of b promoted by steps "
                        "of its ")
         << granule << " columns or in the epilogue, got "
         << stringifyScalePlace(bPlace) << " and a step of " << step;
}

/// Narrows the column block to a narrow result. Targets take whole groups of
/// four columns: a tile may be wider than the result, stores leave the rest
/// out. Only two boxes of rows of B must not overlap, so they stay narrower.
void GemmKernel::fitBlockN() {
  GateUpAttr gateUp = op.getGateUpAttr();
  if (blockN <= cols && (cols >= 4 || !gateUp))
    return;
  bool halves = gateUp && gateUp.getKind() == GateUpKind::Halves;
  if (copied && !halves)
    return;
  if (op.getQuantizeAttr() || cols % 4 == 0) {
    blockN = std::min(blockN, cols);
    return;
  }
  if (halves) {
    blockN = cols < 4 ? llvm::PowerOf2Ceil(cols + 1) / 2 : cols / 4 * 4;
    return;
  }
  int64_t run =
      gateUp && gateUp.getKind() == GateUpKind::Blocks ? gateUp.getBlock() : 1;
  blockN = std::min(blockN, int64_t(llvm::alignTo(cols, std::lcm(run, 4))));
}

/// Decides which rows of B are gate and which are up. Narrows or widens block n
/// to whole pieces of gate_up blocks.
LogicalResult GemmKernel::decideGateUp(GateUpAttr gateUp) {
  if (gateUp.getKind() == GateUpKind::Halves) {
    boxes = {0, cols};
    splitBlock = blockN;
    return success();
  }
  int64_t run =
      gateUp.getKind() == GateUpKind::Interleaved ? 1 : gateUp.getBlock();
  if (run > blockN) {
    // Two boxes inside of one pair of pieces, which every tile must end in.
    int64_t block = llvm::alignDown(blockN, 4);
    while (block > 0 && run % block != 0)
      block -= 4;
    if (block <= 0)
      return op.emitOpError("gate_up pieces of ")
             << run << " columns have no block n that is a multiple of 4 and "
             << "divides them, at most " << blockN;
    blockN = block;
    boxes = {0, run};
    splitBlock = blockN;
    return success();
  }
  // Whole pairs of pieces in every tile.
  int64_t unit = std::lcm<int64_t>(run, 4);
  if (blockN < 4)
    unit = run;
  if (unit > std::max<int64_t>(blockN, 256))
    return op.emitOpError("gate_up pieces of ")
           << run << " columns need a block n that is a multiple of " << unit
           << ", at most " << std::max<int64_t>(blockN, 256);
  blockN = std::max<int64_t>(unit, llvm::alignDown(blockN, unit));
  splitBlock = run;
  return success();
}

LogicalResult GemmKernel::decide() {
  ConfigAttr config = op.getChosenConfig();
  if (!config)
    return op.emitOpError("has no config; run moe-select-config first");
  StringRef partial = config.getString("partial");
  if (partial != "f32" && partial != "bf16")
    return op.emitOpError("partial = ")
           << partial << " is no element type of rows that are summed, use f32 "
           << "or bf16";
  blockM = config.getBlockM();
  blockN = config.getBlockN();
  StringRef how = config.getString("b");
  copied = how == "desc" || how == "vector" || how == "lds_direct";
  decodesInCompute =
      op.getBQuantAttr() && config.getString("b_place") == "compute";
  scalesInCompute =
      op.getAQuantAttr() && config.getString("a_place") == "compute";
  scalesSums = decodesInCompute && config.getString("b_scale") == "sums";
  roundsDecoded =
      decodesInCompute || config.getString("b_place") == "transform";
  cols = op.getOutCols();
  k = op.getReductionSize();
  sumsExperts = op.getOut() == RowLayout::Token &&
                config.getString("reduce_by") == "experts";
  fitBlockN();
  tileRowsOfB = blockN;
  if (GateUpAttr gateUp = op.getGateUpAttr()) {
    if (failed(decideGateUp(gateUp)))
      return failure();
    tileRowsOfB = 2 * blockN;
  }
  if (QuantAttr quant = op.getQuantizeAttr()) {
    if (failed(checkFreshQuant(op, quant)))
      return failure();
    int64_t granule = quant.getGranuleCols() == QuantAttr::kWhole
                          ? cols
                          : quant.getGranuleCols();
    if (granule != blockN)
      return op.emitOpError("block n of ")
             << blockN << " must equal the quantize granule of " << granule
             << " columns";
  }
  if (failed(decideScales()))
    return failure();
  return decideParts();
}

//===----------------------------------------------------------------------===//
// The tile
//===----------------------------------------------------------------------===//

void GemmKernel::beginTile(const RoutingBuffers &routing) {
  OpBuilder &b = kernel->b;
  int64_t topk = op.getRouting().getType().getTopk();
  if (routing.isDirect()) {
    // A tile has one row at most, the slot itself.
    Type list = tile::RowsType::get(b.getContext(), blockM);
    Value token = arith::DivUIOp::create(b, loc, row0, kernel->index(topk));
    flatRows = tile::RowIotaOp::create(b, loc, list, row0, rows);
    tokenRows = tile::RowIotaOp::create(b, loc, list, token, rows);
    aRows = op.getRows() == RowSource::Gather ? tokenRows : flatRows;
    return;
  }
  if (tokens) {
    // Row t of expert e is e T + t, of sorted rows and of their weights.
    Type list = tile::RowsType::get(b.getContext(), blockM);
    Value token = arith::SubIOp::create(
        b, loc, row0, arith::MulIOp::create(b, loc, expert, tokens));
    flatRows = tile::RowIotaOp::create(b, loc, list, row0, rows);
    tokenRows = tile::RowIotaOp::create(b, loc, list, token, rows);
    aRows = op.getRows() == RowSource::Gather ? tokenRows : flatRows;
    return;
  }
  flatRows =
      tile::RowIndexOp::create(b, loc, blockM, routing.slots, row0, rows);
  tokenRows =
      tile::RowIndexOp::create(b, loc, blockM, routing.slots, row0, rows, topk);
  if (op.getRows() == RowSource::Gather)
    aRows = tokenRows;
  else if (op.getALayout() == RowLayout::FlatTopk)
    aRows = flatRows;
  else
    aRows = tile::RowIotaOp::create(
        b, loc, tile::RowsType::get(b.getContext(), blockM), row0, rows);
}

LogicalResult GemmKernel::productOf(SmallVectorImpl<Value> &accumulators) {
  OpBuilder &kb = kernel->b;
  Type f32 = kb.getF32Type();
  Type accType = tile::AccType::get(blockM, tileRowsOfB, sumType);
  Type fragType = tile::FragType::get(blockM, tileRowsOfB, f32);
  bool promotes =
      aPlace == ScalePlace::Promote || bPlace == ScalePlace::Promote;
  Value init = promotes ? Value(tile::FragSplatOp::create(kb, loc, fragType,
                                                          kernel->f32(0.0)))
                        : Value(tile::AccZeroOp::create(kb, loc, accType));
  bool decodes = decodesInCompute && isDecoded(/*isA=*/false);
  bool scales = scalesInCompute && aPlace == ScalePlace::Operand;
  // Scales beside weights that are decoded in registers lie as those of the
  // decoding do, rows x granules.
  bool decodedCol = decodes && bPlace == ScalePlace::Promote && !rowSums;
  Value firstColumn = decodedCol ? kernel->index(0) : Value();
  auto loads = [&](OpBuilder &b, Location, Value kAt) {
    if (firstK)
      kAt = arith::AddIOp::create(b, loc, kAt, firstK);
    SmallVector<Value> tiles;
    Value rowsOfA = loadOperand(b, true, kAt);
    tiles.push_back(scales ? rowsOfA : dequantise(b, true, rowsOfA, kAt));
    if (decodes) {
      tiles.push_back(loadOperand(b, false, kAt));
      auto [scale, zero] = loadFactors(b, false, kAt);
      for (Value factor : {scale, zero})
        if (factor)
          tiles.push_back(factor);
      if (decodedCol)
        tiles.push_back(loadFactor(b, false, bScale, kAt));
    } else {
      tiles.push_back(dequantise(b, false, loadOperand(b, false, kAt), kAt));
    }
    if (aPlace == ScalePlace::Promote)
      tiles.push_back(loadRowScale(b, kAt));
    if (bPlace == ScalePlace::Promote && !decodedCol)
      tiles.push_back(loadColScale(b, bScale, op.getBQuantAttr(), kAt));
    if (rowSums && promotes) {
      tiles.push_back(loadRowSums(b, kAt));
      if (bZero)
        tiles.push_back(zerosOfB(b, kAt));
    }
    if (scales)
      tiles.push_back(loadFactors(b, true, kAt).first);
    return tiles;
  };
  auto computes = [&](OpBuilder &b, Location, Value, ValueRange tiles,
                      ValueRange carried) {
    Value acc = promotes ? Value() : carried[0];
    size_t at = 2;
    Value weights = tiles[1];
    Value column;
    if (decodes) {
      Value scale = bPlace == ScalePlace::Operand ? tiles[at++] : Value();
      bool hasZero =
          op.getBQuantAttr().getZero() == ZeroPoint::Operand && !rowSums;
      Value zero = hasZero ? tiles[at++] : Value();
      weights = decode(b, false, weights, scale, zero, /*fragment=*/true);
      if (decodedCol) {
        auto type = cast<tile::BufType>(tiles[at].getType());
        column = tile::FragLoadOp::create(
            b, loc,
            tile::FragType::get(1, type.getRows(), type.getElementType()),
            tiles[at], firstColumn);
        ++at;
      }
    }
    Value tokens = tiles[0];
    if (scales)
      tokens =
          decode(b, true, tokens, tiles.back(), Value(), /*fragment=*/true);
    Value product = tile::MmaOp::create(b, loc, accType, tokens, weights, acc,
                                        tile::AtomAttr());
    if (!promotes)
      return SmallVector<Value>{product};
    Value part = tile::AccReadOp::create(b, loc, product);
    Value row = aPlace == ScalePlace::Promote ? tiles[at++] : Value();
    Value col = decodedCol                      ? column
                : bPlace == ScalePlace::Promote ? tiles[at++]
                                                : Value();
    if (!rowSums)
      return SmallVector<Value>{
          tile::PromoteOp::create(b, loc, part, carried[0], row, col)};
    Value sums = tiles[at++];
    Value zero = bZero ? tiles[at++] : zerosOfB(b, Value());
    return SmallVector<Value>{
        tile::PromoteOp::create(b, loc, carried[0].getType(), part, carried[0],
                                row, col, Value(), sums, zero, FloatAttr())};
  };
  // The columns of one expert after those of the other, in whole steps.
  if (sumsExperts)
    columnsOfExpert = llvm::alignTo(k, step);
  int64_t end = sumsExperts ? op.getNumExperts() * columnsOfExpert : k / parts;
  auto loop =
      tile::KLoopOp::create(kb, loc, kernel->index(0), kernel->index(end), step,
                            ValueRange{init}, loads, computes);
  Value result = loop.getResult(0);
  if (!promotes)
    result = tile::AccReadOp::create(kb, loc, result);
  if (sumType.isInteger())
    result =
        tile::MapOp::create(kb, loc, TypeRange{fragType}, ValueRange{result},
                            [&](OpBuilder &b, Location loc, ValueRange v) {
                              return SmallVector<Value>{
                                  arith::SIToFPOp::create(b, loc, f32, v[0])};
                            })
            .getResult(0);
  if (rowSums && !promotes)
    result = subtractRowSums(result);
  if (op.getGateUpAttr()) {
    auto split = tile::SplitOp::create(kb, loc, result, splitBlock);
    accumulators.assign({split.getFirst(), split.getSecond()});
    if (op.getGateUpAttr().getUpFirst())
      std::swap(accumulators[0], accumulators[1]);
  } else {
    accumulators.assign({result});
  }
  return success();
}

/// A product with one zero point along K, corrected.
Value GemmKernel::subtractRowSums(Value product) {
  OpBuilder &kb = kernel->b;
  Value zero = kernel->index(0);
  SmallVector<Value> inputs{product, loadRowSums(kb, zero, /*fragment=*/true),
                            zerosOfB(kb, zero, /*fragment=*/true)};
  return tile::MapOp::create(
             kb, loc, TypeRange{product.getType()}, inputs,
             [&](OpBuilder &b, Location loc, ValueRange v) {
               Value z = v[2];
               if (z.getType().isInteger(8))
                 // Zero points of bytes are unsigned.
                 z = arith::UIToFPOp::create(b, loc, b.getF32Type(), z);
               Value moved =
                   arith::MulFOp::create(b, loc, v[1], extendToF32(b, loc, z));
               return SmallVector<Value>{
                   arith::SubFOp::create(b, loc, v[0], moved)};
             })
      .getResult(0);
}

/// What is stored: the result's elements, or those of rows to be summed.
Type GemmKernel::resultElement() {
  if (sumsExperts)
    return cast<MemRefType>(plan.values.lookup(op->getResult(0)).getType())
        .getElementType();
  if (op.getQuantizeAttr() || adds())
    return kernel->b.getF32Type();
  return partialElement(op);
}

Value GemmKernel::epilogue(ArrayRef<Value> accumulators) {
  OpBuilder &kb = kernel->b;
  Value zero = kernel->index(0);
  SmallVector<Value> inputs(accumulators);
  auto frag = [&](int64_t r, int64_t c, Value memory) {
    return tile::FragType::get(
        r, c, cast<MemRefType>(memory.getType()).getElementType());
  };
  for (Value v : rowOps) {
    auto type = cast<MemRefType>(v.getType());
    if (type.getRank() == 1) {
      inputs.push_back(tile::LoadOp::create(kb, loc, frag(blockM, 1, v), v,
                                            ValueRange{tokenRows}, {0, -1}));
      continue;
    }
    // [T, k] by flat slot: the same memory as one row of T * k values.
    Value flat = memref::CollapseShapeOp::create(
        kb, loc, v, ArrayRef<ReassociationIndices>{{0, 1}});
    inputs.push_back(tile::LoadOp::create(kb, loc, frag(blockM, 1, v), flat,
                                          ValueRange{flatRows}, {0, -1}));
  }
  GateUpAttr gateUp = op.getGateUpAttr();
  for (auto [i, v] : llvm::enumerate(colOps)) {
    if (op.getNumColArgs(i) == 1) {
      inputs.push_back(tile::LoadOp::create(kb, loc, frag(1, blockN, v), v,
                                            ValueRange{expert, n0}));
      continue;
    }
    // Gate and up values lie as the rows of B do.
    Value both = tile::LoadOp::create(kb, loc, frag(1, tileRowsOfB, v), v,
                                      ValueRange{expert, firstRowOfB(kb)},
                                      {-1, 1}, {}, boxes, /*boxDim=*/1);
    auto split = tile::SplitOp::create(kb, loc, both, splitBlock);
    bool upFirst = gateUp.getUpFirst();
    inputs.push_back(upFirst ? split.getSecond() : split.getFirst());
    inputs.push_back(upFirst ? split.getFirst() : split.getSecond());
  }
  for (Value v : expertOps)
    inputs.push_back(tile::LoadOp::create(kb, loc, frag(1, 1, v), v,
                                          ValueRange{expert}, {-1, -1}));
  for (Value v : eltOps)
    inputs.push_back(tile::LoadOp::create(kb, loc, frag(blockM, blockN, v), v,
                                          ValueRange{flatRows, n0}));
  // Scales that wait for the end are multiplied in before the program.
  size_t scalesAt = inputs.size();
  // Those that a plan has moved are operands of the program already.
  bool rowScale = aPlace == ScalePlace::Epilogue && aScale;
  bool colScale = bPlace == ScalePlace::Epilogue && bScale;
  if (rowScale)
    inputs.push_back(loadRowScale(kb, zero, /*fragment=*/true));
  if (colScale) {
    Value s = loadColScale(kb, bScale, op.getBQuantAttr(), zero,
                           /*fragment=*/true);
    bool perColumn = op.getBQuantAttr().getGranuleRows() == 1;
    if (perColumn && gateUp) {
      auto split = tile::SplitOp::create(kb, loc, s, splitBlock);
      bool upFirst = gateUp.getUpFirst();
      inputs.push_back(upFirst ? split.getSecond() : split.getFirst());
      inputs.push_back(upFirst ? split.getFirst() : split.getSecond());
    } else {
      inputs.push_back(s);
      if (gateUp)
        inputs.push_back(s);
    }
  }
  Type outElement = resultElement();
  Type resultType = tile::FragType::get(blockM, blockN, outElement);
  return tile::MapOp::create(
             kb, loc, TypeRange{resultType}, inputs,
             [&](OpBuilder &b, Location loc, ValueRange v) {
               SmallVector<Value> args;
               for (Value x : v.take_front(op.getEpilogue().getNumArguments()))
                 args.push_back(extendToF32(b, loc, x));
               size_t at = scalesAt;
               Value rs = rowScale ? extendToF32(b, loc, v[at++]) : Value();
               for (size_t i = 0; i < accumulators.size(); ++i) {
                 if (rs)
                   args[i] = arith::MulFOp::create(b, loc, args[i], rs);
                 if (colScale)
                   args[i] = arith::MulFOp::create(
                       b, loc, args[i], extendToF32(b, loc, v[at++]));
               }
               Value r = cloneScalarBody(b, op.getEpilogue(), args);
               return SmallVector<Value>{
                   truncateFromF32(b, loc, r, outElement)};
             })
      .getResult(0);
}

LogicalResult GemmKernel::build() {
  if (failed(decide()))
    return failure();
  bool aPadded = op.getALayout() == RowLayout::ExpertSortedPadded;
  bool outPadded = op.getOut() == RowLayout::ExpertSortedPadded;
  bool aSorted = op.getALayout() == RowLayout::ExpertSorted;
  bool outSorted = op.getOut() == RowLayout::ExpertSorted;
  if ((aPadded && outSorted) || (aSorted && outPadded))
    return op.emitOpError("mixes expert_sorted and expert_sorted_padded rows");
  bool all = plan.isStatic(op.getRouting());
  if (sumsExperts && !(all && canSumExperts(op)))
    return op.emitOpError("reduce_by = experts needs rows of all tokens for "
                          "every expert, sorted by expert, on a GPU, and "
                          "nothing behind the product that differs between "
                          "experts");
  RoutingBuffers routing;
  if (!all)
    routing = plan.routingFor(op.getRouting(), aPadded || outPadded, blockM);

  bool toTokens = op.getOut() == RowLayout::Token;
  sumBy = plan.sumsBy(op);
  int64_t topk = op.getRouting().getType().getTopk();
  if (failed(checkSums(routing)))
    return failure();
  Value out = plan.values.lookup(op->getResult(0)), flat;
  if (adds()) {
    flat = plan.addedRows(op, /*zero=*/true);
  } else if (sumsExperts || !toTokens) {
    flat = out;
  } else {
    Value slots = arith::MulIOp::create(
        plan.b, loc, plan.tokensOf(op.getRouting()), plan.index(topk));
    flat = plan.workspace({ShapedType::kDynamic, parts * cols},
                          partialElement(op), slots);
  }
  ConfigAttr config = op.getChosenConfig();
  int64_t dies = config.getInt("xcd");
  bool counts = config.getString("claim") == "counter";
  if (dies > 1 && counts && config.getFields().contains("claim"))
    return op.emitOpError("xcd = ")
           << dies << " gives every die tiles of its own, which claim = "
           << "\"counter\" does not know, use \"stride\"";
  counts &= dies <= 1;
  Value counter;
  bindSums(out);
  if (counts)
    counter = plan.workspace({1}, plan.b.getI64Type(), {}, /*zero=*/true);

  // Rows stand by expert, or by slot where nobody sorts.
  bool sorts = all || sortsSummedRows(op) || routing.isDirect() ||
               !(toTokens || op.getOut() == RowLayout::FlatTopk);
  bool sumsPlaced = sumBy == SumBy::Arrived || sumBy == SumBy::Added;

  KernelBuilder builder = plan.startKernel("gemm");
  builder.kernel->setAttr("moe.config", op.getChosenConfig());
  if (op.getFormulation() == Formulation::OneLaunch)
    builder.kernel->setAttr("moe_tile.one_launch", plan.b.getUnitAttr());
  kernel = &builder;
  auto use = [&](Value v) { return v ? builder.use(plan.buffer(v)) : Value(); };
  a = use(op.getA());
  aScale = use(op.getAScale());
  b = use(op.getB());
  bScale = use(op.getBScale());
  aSums = use(op.getASums());
  bZero = use(op.getBZero());
  for (auto [from, to] : {std::pair<OperandRange, SmallVector<Value> *>{
                              op.getRowOperands(), &rowOps},
                          {op.getColOperands(), &colOps},
                          {op.getExpertOperands(), &expertOps},
                          {op.getEltOperands(), &eltOps}})
    for (Value v : from)
      to->push_back(use(v));
  RoutingBuffers inside;
  if (all)
    tokens = builder.use(plan.tokensOf(op.getRouting()));
  else
    for (auto [from, to] :
         {std::pair{routing.slots, &inside.slots},
          {sumsPlaced && sorts ? routing.places : Value(), &inside.places},
          {sumsPlaced && !sorts ? routing.valid : Value(), &inside.valid},
          {routing.table, &inside.table},
          {routing.count, &inside.count},
          {routing.ids, &inside.ids},
          {routing.expertMap, &inside.expertMap},
          {routing.deviceTokens, &inside.deviceTokens}})
      if (from)
        *to = builder.use(from);
  if (counts)
    builder.useClaimCounter(counter);
  Value outMemory = builder.use(flat);
  Value outScale = op.getQuantizeAttr()
                       ? builder.use(plan.values.lookup(op->getResult(1)))
                       : Value();

  OpBuilder &kb = builder.b;
  if (failed(clearCounters(builder)))
    return failure();
  if (sumsPlaced)
    tile::ClearAbsentOp::create(kb, loc, builder.use(sums),
                                sorts ? inside.places : inside.valid, topk);
  Value list = listTiles(inside);
  std::optional<tile::Order> order =
      tile::symbolizeOrder(op.getChosenConfig().getString("order"));
  if (!order || *order == tile::Order::Explicit)
    return op.emitOpError("order = ")
           << op.getChosenConfig().getString("order")
           << " is none of a list of row blocks, use block_major, n_major or "
              "expert_major";
  auto loop = tile::ForTilesOp::create(kb, loc, list, *order);
  loop.setClaim(counts ? tile::Claim::Counter : tile::Claim::Stride);
  if (dies > 1)
    loop.setDies(dies);
  {
    OpBuilder::InsertionGuard guard(kb);
    Block &body = loop.getBody().front();
    if (body.empty()) {
      kb.setInsertionPointToEnd(&body);
      tile::YieldOp::create(kb, loc);
    }
    kb.setInsertionPoint(&body.back());
    auto coords = tile::CoordsOp::create(kb, loc, loop.getTile());
    expert = coords.getExpert();
    row0 = coords.getRow0();
    rows = coords.getRows();
    n0 = coords.getN0();
    beginPart();
    beginTile(inside);
    SmallVector<Value> accumulators;
    if (failed(productOf(accumulators)))
      return failure();
    Value result = epilogue(accumulators);

    SmallVector<Value> stored{result};
    Value scale;
    if (QuantAttr quant = op.getQuantizeAttr()) {
      stored.clear();
      emitFreshQuant(builder, quant, ValueRange{result}, stored, scale);
    }
    Value where = row0, column = storedColumn;
    if (adds())
      where = tokenRows;
    else if (!sorts)
      where = flatRows;
    Value limit = isa<tile::RowsType>(where.getType()) ? Value() : rows;
    QuantAttr closing = op.getQuantizeAttr();
    if (closing && closing.getColsPerStored() > 1)
      column = arith::DivUIOp::create(
          kb, loc, n0, builder.index(closing.getColsPerStored()));
    tile::StoreOp::create(
        kb, loc, stored, outMemory, ValueRange{where, column}, limit, {}, {},
        adds() ? tile::StoreMode::AddF32 : tile::StoreMode::Plain);
    if (scale) {
      QuantAttr quant = op.getQuantizeAttr();
      bool whole = quant.getGranuleCols() == QuantAttr::kWhole;
      int64_t granule = whole ? 1 : quant.getGranuleCols();
      Value group = whole ? builder.index(0) : n0;
      if (quant.getLayout() == ScaleLayout::GroupMajor)
        tile::StoreOp::create(kb, loc, scale, outScale,
                              ValueRange{group, where}, limit, {1, -1},
                              {granule, 1});
      else
        tile::StoreOp::create(kb, loc, scale, outScale,
                              ValueRange{where, group}, limit, {0, -1},
                              {1, granule});
    }
    emitSums(inside, outMemory, sorts);
  }
  plan.launch(builder);
  if (sumBy == SumBy::AddedThenCast)
    return plan.emitCast(flat, out);
  if (toTokens && sumBy == SumBy::Launch)
    return plan.emitCombine(flat, Value(), Value(), Value(), op.getRouting(),
                            sortsSummedRows(op) ? RowLayout::ExpertSorted
                                                : RowLayout::FlatTopk,
                            routing, out, parts);
  return success();
}

LogicalResult PlanBuilder::convertGemm(GroupedGemmOp op) {
  return GemmKernel(*this, op).build();
}
