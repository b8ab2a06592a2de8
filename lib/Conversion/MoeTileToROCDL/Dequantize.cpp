//===- Dequantize.cpp - Codes of four and eight bits to operands ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights stand packed in LDS. A lane reads the eight codes that belong to a
// piece of 16 bytes of the other operand as one word, and decodes them in its
// registers: integers by conversions of bytes, floats by their bits. Of 8-bit
// floats with a scale, on both sides, these are two words.
//
//===----------------------------------------------------------------------===//

#include "AmdTarget.h"
#include "KernelEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

/// Codes of one word.
static constexpr int64_t kCodes = 8;
static constexpr int64_t kSide = 16;

LogicalResult KernelEmitter::emitDequant(tile::DequantOp op) {
  if (isa<tile::StagedType>(op.getSource().getType()))
    return emitUnpack(op);
  auto source = dyn_cast<tile::BufType>(op.getSource().getType());
  bool known =
      op.getFormat() != tile::DequantFormat::Plain ||
      (source &&
       (source.getElementType().isInteger(8) ||
        isa<Float8E4M3FNType, Float8E5M2Type>(source.getElementType())));
  if (!source || !buffers.count(op.getSource()) || !known ||
      !isa<tile::FragType>(op.getType()) || op.getAt())
    return refuse(op) << "weights of 4 bits, bytes and 8-bit floats are "
                         "decoded from a buf_alloc to registers";
  for (Value factor : {op.getScale(), op.getZero()})
    if (factor && !parts.count(factor))
      return refuse(op) << "scales and zero points stand in registers";
  // The product that takes it decodes piece by piece.
  return success();
}

/// Byte in a buffer of the `bytes` bytes of codes that are piece `piece` of an
/// operand along k.
Value KernelEmitter::packedAddress(int64_t rowBytes, bool weights,
                                   int64_t bytes, int64_t piece) {
  Value &known = packedAddresses[{rowBytes, weights, bytes, piece}];
  if (known)
    return known;
  return known = atEntry([&]() -> Value {
           Value row = laneRow(weights);
           Value number = c32(piece);
           int64_t perChunk = 16 / bytes;
           if (chip.major != 11)
             number = add(number, quotient(lane, kSide));
           Value chunk =
               arith::XOrIOp::create(b, loc, quotient(number, perChunk),
                                     swizzlePattern(row, rowBytes));
           return add(add(mul(row, c32(rowBytes)), mul(chunk, c32(16))),
                      mul(rest(number, perChunk), c32(bytes)));
         });
}

/// Sixteen 8-bit floats, four words, as f16: exactly, but that codes of no
/// number become some.
Value KernelEmitter::widenFloats(Value words, Type element) {
  auto count = cast<VectorType>(words.getType()).getNumElements();
  Type i32 = b.getI32Type(), f16 = b.getF16Type();
  auto pair = VectorType::get({2}, f16);
  bool third = isa<Float8E4M3FNType>(element);
  Value all = LLVM::PoisonOp::create(b, loc, VectorType::get({2 * count}, i32));
  // The exponents' bias of f8E4M3FN is 8 too small.
  Value scale = arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(pair, b.getF16FloatAttr(256.0)));
  auto mask = [&](Value x, uint32_t bits) -> Value {
    return arith::AndIOp::create(b, loc, x, c32(int32_t(bits)));
  };
  auto shl = [&](Value x, int64_t by) -> Value {
    return arith::ShLIOp::create(b, loc, x, c32(by));
  };
  for (int64_t i = 0; i < 2 * count; ++i) {
    Value word = LLVM::ExtractElementOp::create(b, loc, words, c32(i / 2));
    if (i % 2)
      word = arith::ShRUIOp::create(b, loc, word, c32(16));
    // A byte in the upper half of 16 bits each.
    Value bits = arith::OrIOp::create(b, loc, shl(mask(word, 0xFF), 8),
                                      shl(mask(word, 0xFF00), 16));
    if (third) {
      Value size =
          arith::ShRUIOp::create(b, loc, mask(bits, 0x7F007F00), c32(1));
      bits = arith::OrIOp::create(b, loc, mask(bits, 0x80008000), size);
      Value v = LLVM::BitcastOp::create(b, loc, pair, bits);
      v = arith::MulFOp::create(b, loc, v, scale);
      bits = LLVM::BitcastOp::create(b, loc, i32, v);
    }
    all = LLVM::InsertElementOp::create(b, loc, all, bits, c32(i));
  }
  return LLVM::BitcastOp::create(b, loc, VectorType::get({4 * count}, f16),
                                 all);
}

/// A factor in f32 of what is stored as `stored`: powers of two are exponents
/// alone, 8-bit floats are converted.
Value KernelEmitter::factorValue(Value v, Type stored) {
  Type f32 = b.getF32Type();
  if (isa<FloatType>(v.getType()))
    return v.getType() == f32 ? v
                              : Value(arith::ExtFOp::create(b, loc, f32, v));
  if (isa<Float8E4M3FNType>(stored))
    return AmdTarget(chip).extendSmallFloat(b, loc, v, stored);
  Value bits = arith::ExtUIOp::create(b, loc, b.getI32Type(), v);
  bits = arith::ShLIOp::create(b, loc, bits, c32(23));
  return arith::BitcastOp::create(b, loc, f32, bits);
}

/// The eight values of a word, f32. `scale` and `shift` (minus zero point times
/// scale) may be null.
SmallVector<Value> KernelEmitter::decodeWord(tile::DequantOp op, Value word,
                                             Value scale, Value shift) {
  Type f32 = b.getF32Type();
  auto shr = [&](Value x, int64_t bits) -> Value {
    return bits ? Value(arith::ShRUIOp::create(b, loc, x, c32(bits))) : x;
  };
  auto mask = [&](Value x, int64_t bits) -> Value {
    return arith::AndIOp::create(b, loc, x, c32(int32_t(bits)));
  };
  auto constant = [&](double v) -> Value {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(v)));
  };
  SmallVector<Value> values;
  if (op.getFormat() == tile::DequantFormat::Mx) {
    // Exponent and fraction stand at their place, the exponent's bias is 126
    // too small; 0.5 is a number without leading bit, as in f32.
    Value bias = constant(0x1p126);
    for (int64_t i = 0; i < kCodes; ++i) {
      Value code = shr(word, 4 * i);
      Value magnitude = arith::ShLIOp::create(b, loc, mask(code, 7), c32(22));
      Value sign = arith::ShLIOp::create(b, loc, mask(code, 8), c32(28));
      Value v = arith::BitcastOp::create(
          b, loc, f32, arith::OrIOp::create(b, loc, magnitude, sign));
      v = arith::MulFOp::create(b, loc, v, bias);
      values.push_back(scale ? Value(arith::MulFOp::create(b, loc, v, scale))
                             : v);
    }
    return values;
  }
  Value nibbles[2] = {mask(word, 0x0F0F0F0F), mask(shr(word, 4), 0x0F0F0F0F)};
  // From bit 0 up the words of exllama hold columns 0, 2, 4, 6, 1, 3, 5, 7.
  bool exllama = op.getFormat() == tile::DequantFormat::Exllama;
  for (int64_t i = 0; i < kCodes; ++i) {
    int64_t n = exllama ? i / 2 + i % 2 * (kCodes / 2) : i;
    Value byte = mask(shr(nibbles[n % 2], n / 2 * 8), 0xFF);
    Value v = arith::UIToFPOp::create(b, loc, f32, byte);
    values.push_back(applyFactors(v, scale, shift));
  }
  return values;
}

/// A code times `scale` plus `shift`, which may both be null.
Value KernelEmitter::applyFactors(Value v, Value scale, Value shift) {
  if (scale && shift)
    return math::FmaOp::create(b, loc, v, scale, shift);
  if (scale)
    return arith::MulFOp::create(b, loc, v, scale);
  return shift ? Value(arith::AddFOp::create(b, loc, v, shift)) : v;
}

/// Eight bytes, two words, f32. With a zero point (`isUnsigned`) they are
/// unsigned, else two's complement: as unsigned ones with the sign's bit the
/// other way round, which are larger by 128.
SmallVector<Value> KernelEmitter::decodeBytes(Value words, bool isUnsigned,
                                              Value scale, Value shift) {
  Type f32 = b.getF32Type();
  Value bias = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(-128));
  SmallVector<Value> values;
  for (int64_t i = 0; i < kCodes; ++i) {
    Value word = LLVM::ExtractElementOp::create(b, loc, words, c32(i / 4));
    if (!isUnsigned)
      word = arith::XOrIOp::create(b, loc, word, c32(int32_t(0x80808080)));
    Value byte = arith::AndIOp::create(
        b, loc, arith::ShRUIOp::create(b, loc, word, c32(i % 4 * 8)),
        c32(0xFF));
    Value v = arith::UIToFPOp::create(b, loc, f32, byte);
    if (!isUnsigned)
      v = arith::AddFOp::create(b, loc, v, bias);
    values.push_back(applyFactors(v, scale, shift));
  }
  return values;
}

/// Values of f32 as eight of the operand's type. `exact`: they need no
/// rounding.
Value KernelEmitter::packOperand(ArrayRef<Value> values, Type element,
                                 bool exact) {
  Type i32 = b.getI32Type();
  auto words = VectorType::get({kCodes / 2}, i32);
  Value all = LLVM::PoisonOp::create(b, loc, words);
  for (int64_t i = 0; i < kCodes / 2; ++i) {
    Value word;
    if (element.isBF16() && (exact || !chip.convertsBf16)) {
      // The upper halves. Before, half of the last place is added, less one
      // unless that place is odd: ties go to even. No code is NaN.
      Value halves[2];
      for (int64_t k : {0, 1}) {
        Value bits = arith::BitcastOp::create(b, loc, i32, values[2 * i + k]);
        if (!exact) {
          Value upper = arith::ShRUIOp::create(b, loc, bits, c32(16));
          Value odd = arith::AndIOp::create(b, loc, upper, c32(1));
          bits = add(bits, add(odd, c32(0x7FFF)));
        }
        halves[k] = bits;
      }
      word = arith::OrIOp::create(
          b, loc, arith::ShRUIOp::create(b, loc, halves[0], c32(16)),
          arith::AndIOp::create(b, loc, halves[1], c32(int32_t(0xFFFF0000))));
    } else {
      auto pair = VectorType::get({2}, b.getF32Type());
      Value v = LLVM::PoisonOp::create(b, loc, pair);
      for (int64_t k : {0, 1})
        v = LLVM::InsertElementOp::create(b, loc, v, values[2 * i + k], c32(k));
      v = arith::TruncFOp::create(b, loc, VectorType::get({2}, element), v);
      word = LLVM::BitcastOp::create(b, loc, i32, v);
    }
    all = LLVM::InsertElementOp::create(b, loc, all, word, c32(i));
  }
  return LLVM::BitcastOp::create(b, loc, VectorType::get({kCodes}, element),
                                 all);
}

/// Eight 8-bit floats, two words, as f32 times `scale`, which may be null.
/// Codes of no number become some, and on chips with the other bias all values
/// are half as large.
SmallVector<Value> KernelEmitter::decodeFloats(Value words, Type element,
                                               Value scale) {
  Type f32 = b.getF32Type();
  SmallVector<Value> values;
  if (chip.fp8 == AmdFp8::None) {
    Value halves = widenFloats(words, element);
    for (int64_t i = 0; i < kCodes; ++i) {
      Value half = LLVM::ExtractElementOp::create(b, loc, halves, c32(i));
      values.push_back(arith::ExtFOp::create(b, loc, f32, half));
    }
  } else {
    auto pair = VectorType::get({2}, f32);
    for (int64_t i = 0; i < kCodes / 2; ++i) {
      Value word = LLVM::ExtractElementOp::create(b, loc, words, c32(i / 2));
      bool upper = i % 2 != 0;
      Value both =
          isa<Float8E4M3FNType>(element)
              ? ROCDL::CvtPkF32Fp8Op::create(b, loc, Type(pair), word, upper)
                    .getRes()
              : ROCDL::CvtPkF32Bf8Op::create(b, loc, Type(pair), word, upper)
                    .getRes();
      for (int64_t k : {0, 1})
        values.push_back(LLVM::ExtractElementOp::create(b, loc, both, c32(k)));
    }
  }
  if (scale)
    for (Value &v : values)
      v = arith::MulFOp::create(b, loc, v, scale);
  return values;
}

KernelEmitter::Decoding KernelEmitter::decodingOf(tile::DequantOp op,
                                                  Value scale, Value zero) {
  Decoding how;
  Type scaleType, zeroType;
  if (scale)
    scaleType = tile::getTileElementType(op.getScale().getType());
  if (zero)
    zeroType = tile::getTileElementType(op.getZero().getType());
  // Codes and powers of two need no rounding, nor do four bits of a float times
  // the four of an 8-bit scale. Differences of bytes have eight bits.
  bool power = !scale || isa<Float8E8M0FNUType>(scaleType) ||
               (op.getFormat() == tile::DequantFormat::Mx &&
                isa<Float8E4M3FNType>(scaleType));
  how.exact = power && (!zero || (!scale && zeroType.isInteger(8)));
  if (scale)
    how.scale = factorValue(scale, scaleType);
  if (zero) {
    // Zero points of bytes are unsigned.
    zero = zero.getType().isInteger(8)
               ? Value(arith::UIToFPOp::create(b, loc, b.getF32Type(), zero))
               : factorValue(zero, zeroType);
  } else if (std::optional<uint64_t> value = op.getZeroValue()) {
    zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(*value)));
  }
  if (zero) {
    how.shift = arith::NegFOp::create(b, loc, zero);
    if (how.scale)
      how.shift = arith::MulFOp::create(b, loc, how.shift, how.scale);
  }
  return how;
}

/// Weights on their way to LDS.
LogicalResult KernelEmitter::emitUnpack(tile::DequantOp op) {
  auto source = cast<tile::StagedType>(op.getSource().getType());
  if (op.getFormat() == tile::DequantFormat::Plain || op.getAt() ||
      !isa<tile::StagedType>(op.getType()) || !parts.count(op.getSource()))
    return refuse(op) << "fetched weights of 4 bits are decoded, got "
                      << source;
  ArrayRef<Value> pieces = parts[op.getSource()];
  for (Value factor : {op.getScale(), op.getZero()})
    if (factor &&
        (!parts.count(factor) || parts[factor].size() != pieces.size()))
      return refuse(op) << "each piece has its scale and zero point in a "
                           "register, "
                        << pieces.size() << " of them";
  // The deposit decodes piece by piece.
  return success();
}

/// The four pieces of 16 bytes that piece `i` of fetched weights becomes.
SmallVector<Value> KernelEmitter::unpackPiece(tile::DequantOp op, int64_t i) {
  auto result = cast<tile::StagedType>(op.getType());
  Value piece = parts[op.getSource()][i];
  auto factor = [&](Value v) { return v ? parts[v][i] : Value(); };
  Decoding how = decodingOf(op, factor(op.getScale()), factor(op.getZero()));
  SmallVector<Value> values;
  for (int64_t w = 0; w < 4; ++w) {
    Value word = LLVM::ExtractElementOp::create(b, loc, piece, c32(w));
    values.push_back(packOperand(decodeWord(op, word, how.scale, how.shift),
                                 result.getElementType(), how.exact));
  }
  return values;
}

/// Operands of the instructions of one step along k, for part `part` of the
/// wave, whose first row is `row`.
SmallVector<Value>
KernelEmitter::decodeOperand(tile::DequantOp op, bool weights, int64_t block,
                             int64_t part, int64_t row,
                             const AmdMatrixOp &instruction) {
  auto source = cast<tile::BufType>(op.getSource().getType());
  auto result = cast<tile::FragType>(op.getType());
  Type element = result.getElementType();
  bool plain = op.getFormat() == tile::DequantFormat::Plain;
  bool integers = source.getElementType().isInteger(8);
  int64_t rowBytes =
      source.getCols() * source.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t pieces = std::max<int64_t>(1, instruction.valuesPerLane / kCodes);
  int64_t groups = instruction.k / instruction.valuesPerLane;
  int64_t base = buffers.lookup(op.getSource()) + row * rowBytes;
  SmallVector<Value> read;
  for (int64_t p = 0; p < pieces; ++p) {
    int64_t piece = block * pieces * groups + p;
    auto factor = [&](Value v) -> Value {
      if (!v)
        return v;
      // Lanes have those of their own columns alone where one step of the
      // instruction has several.
      int64_t columns = cast<tile::FragType>(v.getType()).getCols();
      int64_t granule = result.getCols() / columns;
      int64_t step = pieces * groups * kCodes;
      int64_t dealt = std::clamp<int64_t>(step / granule, 1, groups);
      int64_t column = dealt > 1 ? block : piece * kCodes / granule;
      return parts[v][part * (columns / dealt) + column];
    };
    // The sums of unrounded values are scaled.
    Value scale = op.getUnrounded() ? Value() : factor(op.getScale());
    Value zero = factor(op.getZero());
    Decoding how = decodingOf(op, scale, zero);
    Value at = packedAddress(rowBytes, weights, plain ? 8 : 4, piece);
    if (base)
      at = add(at, c32(base));
    if (plain) {
      Value words = loadLds(VectorType::get({2}, b.getI32Type()), at, 8);
      if (integers) {
        bool isUnsigned = zero || op.getZeroValue();
        read.push_back(
            packOperand(decodeBytes(words, isUnsigned, how.scale, how.shift),
                        element, how.exact));
        continue;
      }
      read.push_back(
          packOperand(decodeFloats(words, source.getElementType(), how.scale),
                      element, how.exact));
      continue;
    }
    Value word = loadLds(b.getI32Type(), at, 4);
    read.push_back(packOperand(decodeWord(op, word, how.scale, how.shift),
                               element, how.exact));
  }
  return splitPieces(read, instruction, /*bytes=*/2);
}
