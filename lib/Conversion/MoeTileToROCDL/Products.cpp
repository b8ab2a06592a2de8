//===- Products.cpp - Matrix products by waves ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights are the instruction's first operand and give the rows of its result,
// tokens the columns. A lane reads 16 bytes of a row at a time, all of them of
// one step along k for its instructions: in which order an instruction sums
// does not matter as long as both operands agree.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

/// Bytes that a lane reads from LDS at once.
static constexpr int64_t kPiece = 16;
/// Steps along k of a stage whose order is left to the assembler.
static constexpr int64_t kFreeBlocks = 2;
/// Which part of the registers an operand may fill that is read once.
static constexpr int64_t kHeldShare = 4;
/// Registers of a lane for addresses and the like.
static constexpr int64_t kOtherRegisters = 80;

/// The layout of accumulators; all of a kernel have the same.
tile::DigitsAttr KernelEmitter::accumulatorLayout() {
  if (!accLayout)
    kernel.walk([&](tile::AccReadOp op) {
      accLayout = op.getResult().getType().getLayout();
    });
  return accLayout;
}

const AmdMatrixOp *KernelEmitter::instructionOf(Type element) {
  if (element.isBF16())
    return chip.findMatrixOp(AmdOperand::BF16);
  if (element.isF16())
    return chip.findMatrixOp(AmdOperand::F16);
  if (element.isF32())
    return chip.findMatrixOp(AmdOperand::F32);
  if (element.isInteger(8))
    return chip.findMatrixOp(AmdOperand::I8);
  // Without an instruction 8-bit floats are multiplied as what holds them all.
  if (chip.fp8 == AmdFp8::None && element.getIntOrFloatBitWidth() == 8)
    return chip.findMatrixOp(AmdOperand::F16);
  if (isa<Float8E4M3FNType>(element))
    return chip.findMatrixOp(AmdOperand::F8);
  if (isa<Float8E5M2Type>(element))
    return chip.findMatrixOp(AmdOperand::BF8);
  return nullptr;
}

/// Rows and columns of the kernel's instructions: all products have one atom.
int64_t KernelEmitter::side() {
  if (!sideOfAtom) {
    sideOfAtom = 16;
    kernel.walk([&](tile::MmaOp op) {
      if (std::optional<tile::AtomAttr> atom = op.getAtom())
        sideOfAtom = atom->getM();
    });
  }
  return sideOfAtom;
}

/// Registers of one instruction's result in a lane.
int64_t KernelEmitter::resultRegisters() {
  return side() * side() / chip.waveSize;
}

/// Where the parts of a wave start, beside the wave's own offset: rows of
/// tokens and of weights, in the order of the accumulator's registers.
std::pair<SmallVector<int64_t>, SmallVector<int64_t>>
KernelEmitter::partOffsets() {
  tile::DigitsAttr layout = accumulatorLayout();
  int64_t size = resultRegisters();
  SmallVector<int64_t> tokens, weights;
  for (int64_t r = 0; r < layout.getLevelSize(tile::Level::Reg); r += size) {
    auto [m, n] = layout.map({r});
    if (!llvm::is_contained(tokens, m))
      tokens.push_back(m);
    if (!llvm::is_contained(weights, n))
      weights.push_back(n);
  }
  return {tokens, weights};
}

/// The row of the wave's first part that the lane has in its operands.
Value KernelEmitter::laneRow(bool weights) {
  Value row = rest(lane, side()), left = warp;
  // Lane halves of RDNA3 hold even and odd rows of the result: row 2 i + h is
  // the column 8 h + i.
  if (weights && chip.major == 11)
    row = add(mul(rest(row, 2), c32(8)), quotient(row, 2));
  tile::Dim dim = weights ? tile::Dim::N : tile::Dim::M;
  for (const tile::Digit &digit : accumulatorLayout().getDigits()) {
    if (digit.level != tile::Level::Warp)
      continue;
    if (digit.dim == dim)
      row = add(row, mul(rest(left, digit.extent), c32(digit.stride)));
    left = quotient(left, digit.extent);
  }
  return row;
}

/// Byte in a buffer of the piece with number `piece` along k, of the row that
/// the lane has of the wave's first part.
Value KernelEmitter::laneAddress(int64_t rowBytes, bool weights, int64_t piece,
                                 int64_t perGroup) {
  Value &known = laneAddresses[{rowBytes, weights, piece, perGroup}];
  if (known)
    return known;
  return known = atEntry([&]() -> Value {
           Value row = laneRow(weights);
           // Lanes of one row hold neighbouring pieces, or the same.
           Value number = c32(piece);
           if (chip.major != 11)
             number = add(number, mul(quotient(lane, side()), c32(perGroup)));
           Value swizzled = arith::XOrIOp::create(
               b, loc, number, swizzlePattern(row, rowBytes));
           return add(mul(row, c32(rowBytes)), mul(swizzled, c32(kPiece)));
         });
}

/// Operands of the instructions of one step along k, for a part of the wave.
SmallVector<Value> KernelEmitter::loadOperand(Value buffer, bool weights,
                                              int64_t block, int64_t row,
                                              const AmdMatrixOp &op) {
  auto type = cast<tile::BufType>(buffer.getType());
  Type element = type.getElementType();
  int64_t bytes = element.getIntOrFloatBitWidth() / 8;
  int64_t rowBytes = type.getCols() * bytes;
  int64_t laneBytes = op.valuesPerLane * bytes;
  int64_t groups = op.k / op.valuesPerLane;
  int64_t pieces = std::max<int64_t>(1, laneBytes / kPiece);
  int64_t base = buffers.lookup(buffer) + row * rowBytes;
  bool integers = element.isInteger(8);
  bool widens = bytes == 1 && chip.fp8 == AmdFp8::None && !integers;
  Type word = integers     ? element
              : widens     ? b.getI32Type()
              : bytes == 1 ? b.getI64Type()
                           : element;
  auto pieceType = VectorType::get(
      {kPiece * 8 / int64_t(word.getIntOrFloatBitWidth())}, word);
  SmallVector<Value> read;
  for (int64_t p = 0; p < pieces; ++p) {
    Value at = laneAddress(rowBytes, weights, block * pieces * groups + p);
    if (base)
      at = add(at, c32(base));
    read.push_back(loadLds(pieceType, at, kPiece));
  }
  if (widens)
    return {widenFloats(read[0], element)};
  if (bytes == 1 && !integers) {
    // Eight bytes for each instruction, in the chip's own flavour.
    bool fnuz = chip.fp8 == AmdFp8::Fnuz;
    MLIRContext *context = b.getContext();
    Type flavour =
        isa<Float8E4M3FNType>(element)
            ? (fnuz ? Type(Float8E4M3FNUZType::get(context)) : element)
            : (fnuz ? Type(Float8E5M2FNUZType::get(context)) : element);
    SmallVector<Value> operands;
    for (int32_t i : {0, 1}) {
      Value half = LLVM::ExtractElementOp::create(b, loc, read[0], c32(i));
      half = LLVM::BitcastOp::create(b, loc,
                                     VectorType::get({8}, b.getI8Type()), half);
      operands.push_back(arith::BitcastOp::create(
          b, loc, VectorType::get({8}, flavour), half));
    }
    return operands;
  }
  return splitPieces(read, op, bytes);
}

/// Pieces of 16 bytes as operands: a part of one, one, or two together.
SmallVector<Value> KernelEmitter::splitPieces(ArrayRef<Value> read,
                                              const AmdMatrixOp &op,
                                              int64_t bytes) {
  int64_t laneBytes = op.valuesPerLane * bytes;
  int32_t perPiece = kPiece / bytes;
  if (laneBytes == kPiece)
    return llvm::to_vector(read);
  auto range = [](int32_t first, int32_t count) {
    return llvm::to_vector(llvm::seq<int32_t>(first, first + count));
  };
  if (laneBytes > kPiece)
    return {LLVM::ShuffleVectorOp::create(b, loc, read[0], read[1],
                                          range(0, 2 * perPiece))};
  SmallVector<Value> operands;
  int32_t count = op.valuesPerLane;
  // One value is no vector.
  for (int32_t i = 0; count == 1 && i < perPiece; ++i)
    operands.push_back(LLVM::ExtractElementOp::create(b, loc, read[0], c32(i)));
  for (int32_t first = 0; count > 1 && first < perPiece; first += count)
    operands.push_back(LLVM::ShuffleVectorOp::create(b, loc, read[0], read[0],
                                                     range(first, count)));
  return operands;
}

LogicalResult KernelEmitter::emitAccZero(tile::AccZeroOp op) {
  tile::DigitsAttr layout = accumulatorLayout();
  if (!layout)
    return refuse(op) << "the ROCDL lowering needs a layout on accumulators";
  int64_t size = resultRegisters();
  auto type = VectorType::get({size}, op.getType().getElementType());
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  parts[op.getResult()] =
      SmallVector<Value>(layout.getLevelSize(tile::Level::Reg) / size, zero);
  return success();
}

//===----------------------------------------------------------------------===//
// Instructions that scale their operands
//===----------------------------------------------------------------------===//

/// The instruction that scales both operands of `op`, if its atom is one.
const AmdMatrixOp *KernelEmitter::scaledInstruction(tile::MmaOp op) {
  std::optional<tile::AtomAttr> atom = op.getAtom();
  return atom ? chip.findScaledOp(atom->getM(), atom->getK()) : nullptr;
}

/// The codes of one step along k that a lane gives to an instruction with
/// scales, and their scale: 32 neighbours of a row.
SmallVector<Value> KernelEmitter::loadScaled(tile::DequantOp op, bool weights,
                                             int64_t block, int64_t part,
                                             int64_t row,
                                             const AmdMatrixOp &instruction) {
  auto source = cast<tile::BufType>(op.getSource().getType());
  int64_t columns = tile::getTileShape(op.getType()).second;
  int64_t rowBytes =
      source.getCols() * source.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t pieces = rowBytes * instruction.valuesPerLane / columns / kPiece;
  int64_t groups = instruction.k / instruction.valuesPerLane;
  int64_t base = buffers.lookup(op.getSource()) + row * rowBytes;
  auto type = VectorType::get({4}, b.getI32Type());
  SmallVector<Value> read;
  for (int64_t p = 0; p < pieces; ++p) {
    Value at =
        laneAddress(rowBytes, weights, block * groups * pieces + p, pieces);
    if (base)
      at = add(at, c32(base));
    read.push_back(loadLds(type, at, kPiece));
  }
  Value codes = read[0];
  if (pieces == 2)
    codes = LLVM::ShuffleVectorOp::create(
        b, loc, read[0], read[1], llvm::to_vector(llvm::seq<int32_t>(0, 8)));
  ArrayRef<Value> scales = parts[op.getScale()];
  Value scale = scales[part * (columns / instruction.k) + block];
  return {codes, arith::ExtUIOp::create(b, loc, b.getI32Type(), scale)};
}

Value KernelEmitter::multiplyScaled(const AmdMatrixOp &op, tile::MmaOp product,
                                    ArrayRef<Value> weights,
                                    ArrayRef<Value> tokens, Value sum) {
  // Codes of the instruction's formats.
  auto format = [&](Value operand) {
    auto decoded = operand.getDefiningOp<tile::DequantOp>();
    Type stored = tile::getTileElementType(decoded.getSource().getType());
    return c32(decoded.getFormat() == tile::DequantFormat::Mx ? 4
               : isa<Float8E5M2Type>(stored)                  ? 1
                                                              : 0);
  };
  // The scale stands in the lowest byte of its register.
  Value first = c32(0);
  SmallVector<Value> operands{weights[0],
                              tokens[0],
                              sum,
                              format(product.getB()),
                              format(product.getA()),
                              first,
                              weights[1],
                              first,
                              tokens[1]};
  if (op.m == 32)
    return ROCDL::mfma_scale_f32_32x32x64_f8f6f4::create(b, loc, sum.getType(),
                                                         operands);
  return ROCDL::mfma_scale_f32_16x16x128_f8f6f4::create(b, loc, sum.getType(),
                                                        operands);
}

Value KernelEmitter::multiply(const AmdMatrixOp &op, Value weights,
                              Value tokens, Value sum) {
  uint32_t m = op.m, n = op.n, k = op.k;
  if (chip.major == 9)
    return amdgpu::MFMAOp::create(b, loc, sum.getType(), m, n, k,
                                  /*blocks=*/1u, weights, tokens, sum);
  return amdgpu::WMMAOp::create(b, loc, sum.getType(), m, n, k, weights, tokens,
                                sum);
}

LogicalResult
KernelEmitter::emitProduct(tile::MmaOp op, ArrayRef<Value> acc, bool byParts,
                           function_ref<void(size_t, Value)> use) {
  auto decodedA = op.getA().getDefiningOp<tile::DequantOp>();
  auto decoded = op.getB().getDefiningOp<tile::DequantOp>();
  Value bufferA = decodedA ? decodedA.getSource() : op.getA();
  Value bufferB = decoded ? decoded.getSource() : op.getB();
  auto aType = dyn_cast<tile::BufType>(bufferA.getType());
  auto bType = dyn_cast<tile::BufType>(bufferB.getType());
  if (!aType || !bType || !accumulatorLayout() || !buffers.count(bufferA) ||
      !buffers.count(bufferB))
    return refuse(op) << "the ROCDL lowering takes operands in buf_alloc and a "
                         "layout on the result";
  Type element = tile::getTileElementType(op.getA().getType());
  const AmdMatrixOp *scaled = scaledInstruction(op);
  if (scaled && (!decodedA || !decoded))
    return refuse(op) << "an instruction that scales takes decoded operands";
  const AmdMatrixOp *instruction = scaled ? scaled : instructionOf(element);
  Type other = tile::getTileElementType(op.getB().getType());
  // 8-bit floats of both kinds are multiplied by each other.
  auto isFloat8 = [](Type type) {
    return isa<Float8E4M3FNType, Float8E5M2Type>(type);
  };
  if (!instruction ||
      (element != other && !(isFloat8(element) && isFloat8(other))))
    return refuse(op) << "rule matrix_operand: no matrix instruction for "
                      << element << " by " << other;
  int64_t bytes = scaled ? 1 : element.getIntOrFloatBitWidth() / 8;
  for (tile::BufType type : {aType, bType})
    if (type.getSwizzle() !=
        type.getCols() * type.getElementType().getIntOrFloatBitWidth() / 8)
      return refuse(op) << "operands stand with the swizzle of their row, got "
                        << type;
  int64_t laneBytes = std::max(kPiece, instruction->valuesPerLane * bytes);
  int64_t blockBytes =
      laneBytes * (instruction->k / instruction->valuesPerLane);
  int64_t rowBytes = op.getK() * bytes;
  if (rowBytes % blockBytes != 0)
    return refuse(op) << "rule k_step: a row of " << rowBytes
                      << " bytes is not whole steps of " << blockBytes;
  SmallVector<int64_t> tokens, weights;
  std::tie(tokens, weights) = partOffsets();
  int64_t blocks = rowBytes / blockBytes;
  using Operands = SmallVector<SmallVector<Value>>;
  auto readAll = [&](Value buffer, bool ofWeights, int64_t block,
                     ArrayRef<int64_t> offsets) {
    Operands list;
    for (int64_t row : offsets) {
      ArrayRef<int64_t> all = ofWeights ? weights : tokens;
      int64_t part = llvm::find(all, row) - all.begin();
      auto dequant = buffer.getDefiningOp<tile::DequantOp>();
      list.push_back(
          scaled    ? loadScaled(dequant, ofWeights, block, part, row, *scaled)
          : dequant ? decodeOperand(dequant, ofWeights, block, part, row,
                                    *instruction)
                    : loadOperand(buffer, ofWeights, block, row, *instruction));
    }
    return list;
  };
  if (byParts) {
    // One part of the result after the other, so that few wait to be scaled.
    // The operand that all of them share is read once, if it fits the
    // registers: tokens, or else weights.
    int64_t values =
        instruction->valuesPerLane *
        std::max<int64_t>(1, kPiece / (instruction->valuesPerLane * bytes));
    bool widens = isFloat8(element) && chip.fp8 == AmdFp8::None;
    auto fits = [&](size_t count) {
      int64_t registers =
          int64_t(count) * blocks * values * (widens ? 2 : bytes) / 4;
      return registers <= chip.maxVgprs / kHeldShare;
    };
    bool byTokens = !fits(tokens.size()) && fits(weights.size());
    bool holds = byTokens || fits(tokens.size());
    const SmallVector<int64_t> &outer = byTokens ? tokens : weights;
    const SmallVector<int64_t> &inner = byTokens ? weights : tokens;
    Value ofOuter = byTokens ? op.getA() : op.getB();
    Value ofInner = byTokens ? op.getB() : op.getA();
    SmallVector<Operands> held;
    for (int64_t block = 0; holds && block < blocks; ++block)
      held.push_back(readAll(ofInner, byTokens, block, inner));
    for (size_t o = 0; o < outer.size(); ++o) {
      auto numberOf = [&](size_t i) {
        return byTokens ? o + i * tokens.size() : i + o * tokens.size();
      };
      SmallVector<Value> sums;
      for (size_t i = 0; i < inner.size(); ++i)
        sums.push_back(acc[numberOf(i)]);
      for (int64_t block = 0; block < blocks; ++block) {
        Operands own = readAll(ofOuter, !byTokens, block, outer[o]);
        Operands other =
            holds ? held[block] : readAll(ofInner, byTokens, block, inner);
        for (size_t s = 0; s < own[0].size(); ++s)
          for (size_t i = 0; i < inner.size(); ++i)
            sums[i] = multiply(*instruction, (byTokens ? other[i] : own[0])[s],
                               (byTokens ? own[0] : other[i])[s], sums[i]);
        if (!holds || widens)
          ROCDL::SchedBarrier::create(b, loc, 0);
      }
      for (auto [i, sum] : llvm::enumerate(sums))
        use(numberOf(i), sum);
    }
    return success();
  }
  // Scales of the sums, of each register of the accumulator one for each
  // granule of columns.
  SmallVector<Value> sumScales;
  int64_t perGranule = 0;
  if (decoded && decoded.getUnrounded()) {
    for (Value v : parts[decoded.getScale()])
      sumScales.push_back(factorValue(
          v, tile::getTileElementType(decoded.getScale().getType())));
    int64_t granules =
        cast<tile::FragType>(decoded.getScale().getType()).getCols();
    perGranule = blocks / granules;
  }
  SmallVector<Value> sums(acc), products(sums);
  auto startProducts = [&] {
    for (Value &product : products)
      product =
          arith::ConstantOp::create(b, loc, b.getZeroAttr(product.getType()));
  };
  auto scaleProducts = [&](int64_t granule) {
    int64_t granules = blocks / perGranule, size = resultRegisters();
    for (size_t i = 0; i < sums.size(); ++i)
      for (int64_t r = 0; r < size; ++r) {
        Value at = c32(r);
        Value scale = sumScales[(int64_t(i) * size + r) * granules + granule];
        Value product = LLVM::ExtractElementOp::create(b, loc, products[i], at);
        Value sum = LLVM::ExtractElementOp::create(b, loc, sums[i], at);
        sum = math::FmaOp::create(b, loc, product, scale, sum);
        sums[i] = LLVM::InsertElementOp::create(b, loc, sums[i], sum, at);
      }
  };
  // While one step is multiplied the next one is read, if the registers suffice
  // beside sums and what is fetched, and no more.
  int64_t operands =
      (tokens.size() + weights.size()) * (laneBytes / 4 + (scaled ? 1 : 0));
  int64_t fetched =
      copyScope ? 0
                : (aType.getRows() + bType.getRows()) * rowBytes / 4 / threads;
  int64_t registers = tokens.size() * weights.size() * resultRegisters() *
                          (perGranule ? 2 : 1) +
                      fetched + 2 * operands + kOtherRegisters;
  bool ahead = registers <= chip.maxVgprs;
  struct Step {
    Operands rows, columns;
  };
  auto read = [&](int64_t block) {
    return Step{readAll(op.getB(), true, block, weights),
                readAll(op.getA(), false, block, tokens)};
  };
  Step now, next = read(0);
  for (int64_t block = 0; block < blocks; ++block) {
    now = std::move(next);
    if (perGranule && block % perGranule == 0)
      startProducts();
    if (ahead && block + 1 < blocks)
      next = read(block + 1);
    for (size_t s = 0, e = scaled ? 1 : now.rows[0].size(); s < e; ++s)
      for (size_t j = 0; j < weights.size(); ++j)
        for (size_t i = 0; i < tokens.size(); ++i) {
          Value &sum = (perGranule ? products : sums)[i + j * tokens.size()];
          if (scaled)
            sum = multiplyScaled(*scaled, op, now.rows[j], now.columns[i], sum);
          else
            sum =
                multiply(*instruction, now.rows[j][s], now.columns[i][s], sum);
        }
    if (perGranule && (block + 1) % perGranule == 0)
      scaleProducts(block / perGranule);
    if (blocks > kFreeBlocks && block + 1 < blocks)
      ROCDL::SchedBarrier::create(b, loc, 0);
    if (!ahead && block + 1 < blocks)
      next = read(block + 1);
  }
  for (auto [i, sum] : llvm::enumerate(sums))
    use(i, sum);
  return success();
}

/// The promotion that a product is made for alone, or null.
static tile::PromoteOp promotionOf(tile::MmaOp op) {
  if (op.getC() || !op.getResult().hasOneUse())
    return {};
  auto read = dyn_cast<tile::AccReadOp>(*op.getResult().user_begin());
  if (!read || !read.getResult().hasOneUse())
    return {};
  auto sum = dyn_cast<tile::PromoteOp>(*read.getResult().user_begin());
  return sum && sum.getPart() == read.getResult() &&
                 sum->getBlock() == op->getBlock()
             ? sum
             : tile::PromoteOp();
}

LogicalResult KernelEmitter::emitMma(tile::MmaOp op) {
  // A product for a sum is made where it is added.
  if (promotionOf(op))
    return success();
  SmallVector<Value> acc, sums;
  if (op.getC()) {
    acc = parts[op.getC()];
  } else {
    if (!accumulatorLayout())
      return refuse(op) << "the ROCDL lowering needs a layout on accumulators";
    auto type = VectorType::get({resultRegisters()},
                                op.getResult().getType().getElementType());
    auto [tokens, weights] = partOffsets();
    acc.assign(tokens.size() * weights.size(),
               arith::ConstantOp::create(b, loc, b.getZeroAttr(type)));
  }
  if (failed(emitProduct(op, acc, /*byParts=*/false,
                         [&](size_t, Value sum) { sums.push_back(sum); })))
    return failure();
  parts[op.getResult()] = sums;
  return success();
}

/// What a product of two operands has to be multiplied by: floats of 8 bits
/// with the other bias are half as large. All products of a kernel are of the
/// same types.
double KernelEmitter::lostFactor() {
  double factor = 1;
  if (chip.fp8 != AmdFp8::Fnuz)
    return factor;
  kernel.walk([&](tile::MmaOp op) {
    factor = 1;
    for (Value operand : {op.getA(), op.getB()}) {
      if (auto decoded = operand.getDefiningOp<tile::DequantOp>())
        operand = decoded.getSource();
      if (isa<Float8E4M3FNType, Float8E5M2Type>(
              tile::getTileElementType(operand.getType())))
        factor *= 2;
    }
  });
  return factor;
}

LogicalResult KernelEmitter::emitAccRead(tile::AccReadOp op) {
  if (auto product = op.getAcc().getDefiningOp<tile::MmaOp>())
    if (promotionOf(product))
      return success();
  tile::DigitsAttr layout = op.getResult().getType().getLayout();
  SmallVector<Value> values;
  Value lost;
  if (double factor = lostFactor(); factor != 1)
    lost = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(factor)));
  for (Value v : parts[op.getAcc()])
    for (int64_t i = 0; i < resultRegisters(); ++i) {
      Value x = LLVM::ExtractElementOp::create(b, loc, v, c32(i));
      if (lost)
        x = arith::MulFOp::create(b, loc, x, lost);
      values.push_back(x);
    }
  if (!layout ||
      int64_t(values.size()) != layout.getLevelSize(tile::Level::Reg))
    return refuse(op) << "the layout does not have the accumulator's "
                      << values.size() << " registers";
  parts[op.getResult()] = values;
  return success();
}

LogicalResult KernelEmitter::emitPromote(tile::PromoteOp op) {
  if (op.getRowSum() || op.getScalar() || op.getFactor())
    return refuse(op) << "row and column factors have a lowering";
  auto read = op.getPart().getDefiningOp<tile::AccReadOp>();
  auto product =
      read ? read.getAcc().getDefiningOp<tile::MmaOp>() : tile::MmaOp();
  if (!product || promotionOf(product) != op)
    return refuse(op) << "a product is added to one sum in its own block";
  SmallVector<Value> sum = parts[op.getMain()];
  SmallVector<Value> rows, columns;
  for (auto [factor, list] :
       {std::pair{op.getRow(), &rows}, {op.getCol(), &columns}}) {
    if (!factor)
      continue;
    if (!known(factor) || parts[factor].size() != sum.size())
      return refuse(op) << "factors stand in registers beside the product";
    *list = parts[factor];
  }
  DenseMap<std::pair<Value, Value>, Value> products;
  Value lost;
  if (double factor = lostFactor(); factor != 1)
    lost = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(factor)));
  auto scaleOf = [&](size_t i) {
    Value row = rows.empty() ? Value() : rows[i];
    Value column = columns.empty() ? Value() : columns[i];
    Value &scale = products[{row, column}];
    if (scale)
      return scale;
    for (Value v : {row, column, lost})
      if (v)
        scale = scale ? Value(arith::MulFOp::create(b, loc, scale, v)) : v;
    return scale;
  };
  int64_t size = resultRegisters();
  auto type = VectorType::get({size}, b.getF32Type());
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  SmallVector<Value> start(sum.size() / size, zero);
  auto addPart = [&](size_t number, Value part) {
    for (int64_t r = 0; r < size; ++r) {
      size_t i = number * size + r;
      Value x = LLVM::ExtractElementOp::create(b, loc, part, c32(r));
      Value scale = scaleOf(i);
      sum[i] = scale ? Value(math::FmaOp::create(b, loc, x, scale, sum[i]))
                     : Value(arith::AddFOp::create(b, loc, x, sum[i]));
    }
  };
  if (failed(emitProduct(product, start, /*byParts=*/true, addPart)))
    return failure();
  parts[op.getResult()] = sum;
  return success();
}
