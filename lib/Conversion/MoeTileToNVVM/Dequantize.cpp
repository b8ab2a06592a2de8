//===- Dequantize.cpp - Products with decoded weights in registers --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Packed weights take the instruction's M side, which may be registers. The
// four lanes of a quad hold the same rows and need neighbouring columns of
// them: columns 2t, 2t+1 and 2t+8, 2t+9 of every sixteen. All four read the
// same 16 bytes (a broadcast) and each takes its own nibbles, so that k keeps
// its order and weights lie as they do on disk.
//
// A nibble v becomes a 16-bit float by its place in a mantissa: 0x4300 | v is
// 128 + v in bf16, 0x6400 | v is 1024 + v in f16. Subtracting that and the zero
// point is exact, and so the product with the scale is rounded once. The four
// bits of an mx float are bf16's but for the exponent's offset, and so are the
// eight of e4m3, whose products with powers of two are exact.
//
// The decoding of 64 columns runs beside the products of the 64 before.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Columns that one batch of products covers: a panel of the activations.
static constexpr int64_t kPanel = 64;
/// Descriptor of a K-major operand with 128-byte swizzle, without its address.
static constexpr uint64_t kDescriptor =
    uint64_t(1) << 16 | uint64_t(64) << 32 | uint64_t(1) << 62;

static VectorType pairOf(Type element) { return VectorType::get(2, element); }

/// A pair of equal constants.
static Value splat(OpBuilder &b, Location loc, Type element, double value) {
  auto type = pairOf(element);
  return arith::ConstantOp::create(
      b, loc,
      DenseElementsAttr::get(type, b.getFloatAttr(element, value).getValue()));
}

/// Both halves of a pair from one value.
static Value twice(OpBuilder &b, Location loc, Value v) {
  Value pair = LLVM::PoisonOp::create(b, loc, pairOf(v.getType()));
  for (int32_t i : {0, 1}) {
    Value at = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(i));
    pair = LLVM::InsertElementOp::create(b, loc, pair, v, at);
  }
  return pair;
}

/// Bytes that are floats.
static bool isFloats8(tile::DequantOp op) {
  return isa<Float8E4M3FNType>(
      cast<tile::BufType>(op.getSource().getType()).getElementType());
}

LogicalResult KernelEmitter::emitDequant(tile::DequantOp op) {
  auto type = dyn_cast<tile::FragType>(op.getType());
  auto source = dyn_cast<tile::BufType>(op.getSource().getType());
  if (!type || !source)
    return op.emitOpError("the NVVM lowering decodes from a buffer to the "
                          "registers of a product");
  Type element = type.getElementType();
  if (!element.isBF16() && !element.isF16())
    return op.emitOpError("the NVVM lowering decodes to bf16 or f16, got ")
           << element;
  bool mx = op.getFormat() == tile::DequantFormat::Mx;
  bool plain = op.getFormat() == tile::DequantFormat::Plain;
  bool floats = isFloats8(op);
  if (plain && ((!source.getElementType().isInteger(8) && !floats) ||
                op.getZero() || op.getZeroValue()))
    return op.emitOpError("the NVVM lowering decodes low_even, exllama and mx, "
                          "and plain bytes of two's complement or f8E4M3FN "
                          "without zero points, got ")
           << source;
  if (floats && !element.isBF16())
    return op.emitOpError("the NVVM lowering decodes f8E4M3FN to bf16, got ")
           << type;
  if (mx && (!element.isBF16() || op.getZero() || op.getZeroValue()))
    return op.emitOpError("the NVVM lowering decodes mx to bf16, without zero "
                          "points, got ")
           << type;
  if (!mx && !plain && !op.getZero() && !op.getZeroValue())
    return op.emitOpError("the NVVM lowering decodes unsigned codes, which "
                          "have a zero point, not two's complement");
  tile::DigitsAttr layout = type.getLayout();
  if (!layout || layout.getLevelSize(tile::Level::Reg) % (type.getCols() / 2))
    return op.emitOpError("the NVVM lowering needs the layout of a product's "
                          "operand on ")
           << type;
  if (type.getCols() % kPanel)
    return op.emitOpError("the NVVM lowering decodes whole groups of ")
           << kPanel << " columns, got " << type.getCols();
  int64_t rowBytes =
      source.getCols() * source.getElementType().getIntOrFloatBitWidth() / 8;
  if (source.getSwizzle() != rowBytes)
    return op.emitOpError("a packed row of ")
           << rowBytes << " bytes must equal the swizzle of "
           << source.getSwizzle() << " bytes";
  auto [granuleRows, granuleCols] = op.getScaleGranule();
  bool factors = op.getScale() || op.getZero();
  int64_t cols = type.getCols();
  if (factors && (granuleRows != 1 || granuleCols % 16 || !op.getAt() ||
                  (granuleCols % cols != 0 && cols % granuleCols != 0)))
    return op.emitOpError("the NVVM lowering takes factors of one row and of "
                          "16, 32, ... columns that divide the k step or that "
                          "it divides, got ")
           << granuleRows << "x" << granuleCols << " for steps of " << cols;
  if (op.getScale()) {
    Type scale = cast<tile::BufType>(op.getScale().getType()).getElementType();
    if (scale != element && !(floats && isa<Float8E8M0FNUType>(scale)) &&
        !(mx && isa<Float8E8M0FNUType, Float8E4M3FNType>(scale)))
      return op.emitOpError("the NVVM lowering takes scales of the operand's "
                            "type ")
             << element
             << ", beside mx also of 8 bits, f8E8M0FNU or f8E4M3FN, beside "
                "f8E4M3FN also f8E8M0FNU, got "
             << scale;
  }
  if (op.getZero() && !cast<tile::BufType>(op.getZero().getType())
                           .getElementType()
                           .isInteger(8))
    return op.emitOpError("the NVVM lowering takes zero points of 8 bits, got ")
           << op.getZero().getType();
  return success();
}

std::pair<Value, Value> KernelEmitter::factorsOf(tile::DequantOp op, Value row,
                                                 int64_t column) {
  auto type = cast<tile::FragType>(op.getType());
  Type element = type.getElementType();
  int64_t granule = op.getScaleGranule().second;
  int64_t step = type.getCols();
  auto read = [&](Value buffer) -> Value {
    auto bufferType = cast<tile::BufType>(buffer.getType());
    Type stored = bufferType.getElementType();
    int64_t count = bufferType.getCols();
    Value at = scalar(op.getAt());
    if (at.getType().isInteger(64))
      at = arith::TruncIOp::create(b, loc, b.getI32Type(), at);
    Value group = arith::DivUIOp::create(b, loc, at, c32(granule));
    if (column / granule)
      group = add(group, c32(column / granule));
    // The last step may go beyond K, to columns that have no factor.
    if (step > granule && count * granule % step != 0)
      group = arith::MinUIOp::create(b, loc, group, c32(count - 1));
    Value index = add(mul(row, c32(count)), group);
    bool power = isa<Float8E8M0FNUType>(stored);
    bool small = isa<Float8E4M3FNType>(stored);
    if (power || small)
      stored = b.getI8Type();
    Type ptr = LLVM::LLVMPointerType::get(b.getContext(), 3);
    Value from = LLVM::GEPOp::create(b, loc, ptr, stored, parts[buffer][0],
                                     ArrayRef<LLVM::GEPArg>{index});
    Value value = LLVM::LoadOp::create(b, loc, stored, from);
    if (!power && !small)
      return value;
    if (small) {
      // Exponent and mantissa at the border of those of bf16 are a number that
      // is 2^-120 times too small, denormals too; the last code is NaN.
      Value x = arith::ExtUIOp::create(b, loc, b.getI32Type(), value);
      Value low = arith::AndIOp::create(b, loc, x, c32(0x7F));
      Value bits = arith::OrIOp::create(
          b, loc, arith::ShLIOp::create(b, loc, low, c32(4)),
          arith::ShLIOp::create(
              b, loc, arith::AndIOp::create(b, loc, x, c32(0x80)), c32(8)));
      bits = arith::SelectOp::create(
          b, loc, cmp(arith::CmpIPredicate::eq, low, c32(0x7F)), c32(0x7FC0),
          bits);
      bits = arith::TruncIOp::create(b, loc, b.getI16Type(), bits);
      Value tiny = LLVM::BitcastOp::create(b, loc, element, bits);
      Value by =
          arith::ConstantOp::create(b, loc, b.getFloatAttr(element, 0x1p120));
      return arith::MulFOp::create(b, loc, tiny, by);
    }
    // 2^(x - 127): the exponent, but for the denormal end and for NaN.
    Value x = arith::ExtUIOp::create(b, loc, b.getI32Type(), value);
    Value bits = arith::ShLIOp::create(b, loc, x, c32(7));
    for (auto [code, to] : {std::pair{0, 0x0040}, {255, 0x7FC0}})
      bits = arith::SelectOp::create(
          b, loc, cmp(arith::CmpIPredicate::eq, x, c32(code)), c32(to), bits);
    bits = arith::TruncIOp::create(b, loc, b.getI16Type(), bits);
    return LLVM::BitcastOp::create(b, loc, element, bits);
  };
  double bias = element.isBF16() ? 128 : 1024;
  Value scale, shift;
  if (op.getScale())
    scale = twice(b, loc, read(op.getScale()));
  // Bytes bring what is subtracted from them; of floats the exponent of four
  // bits is brought to that of bf16.
  if (isFloats8(op))
    shift = splat(b, loc, element, 0x1p120);
  if (op.getFormat() == tile::DequantFormat::Plain)
    return {scale, shift};
  if (op.getFormat() == tile::DequantFormat::Mx) {
    // What brings the exponent of four bits to that of bf16.
    shift = splat(b, loc, element, 0x1p126);
  } else if (op.getZero()) {
    // Exact: integers up to 255 have eight bits.
    Value z =
        arith::ExtSIOp::create(b, loc, b.getI32Type(), read(op.getZero()));
    Value f = arith::SIToFPOp::create(b, loc, b.getF32Type(),
                                      add(z, c32(int64_t(bias))));
    shift =
        twice(b, loc, arith::TruncFOp::create(b, loc, element, f).getResult());
  } else {
    int64_t zero = op.getZeroValue() ? int64_t(*op.getZeroValue()) : 0;
    shift = splat(b, loc, element, bias + double(zero));
  }
  return {scale, shift};
}

/// A constant that the assembler does not know. (x & a) | b is one LOP3, but
/// two if both are constants, of which an instruction takes one.
Value KernelEmitter::inRegister(int64_t constant) {
  Value &known = unknownConstants[constant];
  if (!known) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&func.getBody().front());
    // No grid is so large, which only we know.
    Value other = same(NVVM::GridDimXOp::create(b, loc, b.getI32Type()),
                       c32(std::numeric_limits<int32_t>::max()));
    known = select(other, c32(0), c32(constant));
  }
  return known;
}

/// The lane's two columns of a word of eight, each in the mantissa of a half.
Value KernelEmitter::decodePair(tile::DequantOp op, Value word) {
  Value quad = arith::AndIOp::create(b, loc, team.thread, c32(3));
  Value bits;
  if (op.getFormat() == tile::DequantFormat::Exllama) {
    // Columns 2t and 2t + 1 are nibbles t and 4 + t.
    bits = arith::ShRUIOp::create(b, loc, word, mul(quad, c32(4)));
  } else {
    // They are the nibbles of byte t: it goes to both halves, shifted by four.
    Value selector = arith::OrIOp::create(b, loc, quad, c32(0x4440));
    Value byte = NVVM::PermuteOp::create(b, loc, b.getI32Type(), word, c32(0),
                                         selector, NVVM::PermuteMode::DEFAULT);
    bits = mul(byte, c32(0x1001));
  }
  if (op.getFormat() == tile::DequantFormat::Mx) {
    // Sign, then two bits of exponent and one of mantissa at the border of
    // those of bf16: a number that is 2^-126 times too small.
    Value magnitude = arith::ShLIOp::create(
        b, loc, arith::AndIOp::create(b, loc, bits, c32(0x00070007)), c32(6));
    Value sign = arith::AndIOp::create(
        b, loc, arith::ShLIOp::create(b, loc, bits, c32(12)),
        c32(int32_t(0x80008000)));
    return arith::OrIOp::create(b, loc, magnitude, sign);
  }
  Type element = cast<tile::FragType>(op.getType()).getElementType();
  int64_t magic = element.isBF16() ? 0x43004300 : 0x64006400;
  return arith::OrIOp::create(
      b, loc, arith::AndIOp::create(b, loc, bits, c32(0x000F000F)),
      inRegister(magic));
}

/// The lane's two columns of 16 bytes' half, two words, as numbers. The lower
/// seven bits of a byte stand in a mantissa; of that number 2^7 is subtracted
/// or, with the sign, 2^8: exact.
Value KernelEmitter::decodeBytes(tile::DequantOp op, Value low, Value high) {
  Type element = cast<tile::FragType>(op.getType()).getElementType();
  Value quad = arith::AndIOp::create(b, loc, team.thread, c32(3));
  // Byte 2t to the lower half, byte 2t + 1 to the upper one.
  Value selector = add(mul(quad, c32(0x0202)), c32(0x0100));
  Value pair = NVVM::PermuteOp::create(b, loc, b.getI32Type(), low, high,
                                       selector, NVVM::PermuteMode::DEFAULT);
  auto masked = [&](Value v, int64_t mask) -> Value {
    return arith::AndIOp::create(b, loc, v, c32(int32_t(mask)));
  };
  if (isFloats8(op)) {
    // Sign, then exponent and mantissa at the border of those of bf16.
    Value low = masked(pair, 0x007F007F);
    Value bits = arith::OrIOp::create(
        b, loc, arith::ShLIOp::create(b, loc, low, c32(4)),
        masked(arith::ShLIOp::create(b, loc, pair, c32(8)), 0x80008000));
    // All ones are NaN: one more is a bit, which spreads over the exponent.
    Value last = masked(add(low, c32(0x00010001)), 0x00800080);
    bits = arith::OrIOp::create(b, loc, bits, mul(last, c32(0xFF)));
    return LLVM::BitcastOp::create(b, loc, pairOf(element), bits);
  }
  int64_t magic = element.isBF16() ? 0x43004300 : 0x64006400;
  auto part = [&](int64_t mask) -> Value {
    Value bits = arith::OrIOp::create(
        b, loc, arith::AndIOp::create(b, loc, pair, c32(mask)),
        inRegister(magic));
    return LLVM::BitcastOp::create(b, loc, pairOf(element), bits);
  };
  return arith::SubFOp::create(b, loc, part(0x007F007F), part(0x00800080));
}

/// The tile's row that is the thread's first (half 0) or second (half 1) one of
/// the team's 64 rows number `atom`.
Value KernelEmitter::decodedRow(tile::DequantOp op, int64_t atom,
                                int64_t half) {
  // Registers of the layout: two columns, two rows, groups of eight columns,
  // then the instructions side by side.
  auto type = cast<tile::FragType>(op.getType());
  int64_t perAtom = type.getCols() / 2;
  Value first = threadPosition(type.getLayout()).first;
  int64_t offset = type.getLayout().map({atom * perAtom + 2 * half}).first;
  return offset ? add(first, c32(offset)) : first;
}

/// Columns that 16 bytes of a row hold.
static int64_t columnsOfChunk(tile::DequantOp op) {
  return op.getFormat() == tile::DequantFormat::Plain ? 16 : 32;
}

/// The packed words of a panel's 64 columns: of both rows vectors of four
/// words, 32 columns each, or 16 of bytes.
SmallVector<Value> KernelEmitter::loadPacked(tile::DequantOp op, int64_t atom,
                                             int64_t panel) {
  int64_t rowBytes = cast<tile::BufType>(op.getSource().getType()).getSwizzle();
  // XOR pattern of 16-byte pieces: the address bits from 7 on.
  int64_t period = rowBytes / 16;
  auto words = VectorType::get(4, b.getI32Type());
  SmallVector<Value> loaded;
  for (int64_t half = 0; half < 2; ++half) {
    Value row = decodedRow(op, atom, half);
    Value base = sharedAt(parts[op.getSource()][0], mul(row, c32(rowBytes)));
    Value pattern =
        mul(arith::AndIOp::create(
                b, loc, arith::DivUIOp::create(b, loc, row, c32(8 / period)),
                c32(period - 1)),
            c32(16));
    int64_t chunks = kPanel / columnsOfChunk(op);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      Value at = arith::XOrIOp::create(b, loc, pattern,
                                       c32((chunks * panel + chunk) * 16));
      loaded.push_back(LLVM::LoadOp::create(b, loc, words, sharedAt(base, at),
                                            /*alignment=*/16));
    }
  }
  return loaded;
}

/// Registers of A for the 64 columns of a panel and the team's 64 rows number
/// `atom`, in the order of moe_nv.wgmma_registers.
SmallVector<Value> KernelEmitter::decodeRows(tile::DequantOp op, int64_t atom,
                                             int64_t panel,
                                             ArrayRef<Value> packed,
                                             FactorCache &known) {
  Type element = cast<tile::FragType>(op.getType()).getElementType();
  int64_t granule = op.getScaleGranule().second;
  bool bytes = op.getFormat() == tile::DequantFormat::Plain;
  int64_t perChunk = columnsOfChunk(op), chunks = kPanel / perChunk;
  SmallVector<Value> registers(16);
  for (int64_t half = 0; half < 2; ++half)
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
      // Words of eight columns, or pairs of words.
      for (int64_t w = 0; w < perChunk / 8; ++w) {
        auto word = [&](int64_t i) -> Value {
          return LLVM::ExtractElementOp::create(
              b, loc, packed[chunks * half + chunk], c32(i));
        };
        // 16 columns are one instruction's worth.
        int64_t step = chunk * (perChunk / 16) + w / 2;
        int64_t column = panel * kPanel + step * 16;
        auto &[scale, shift] = known[{atom, half, column / granule}];
        if (!shift && !scale)
          std::tie(scale, shift) =
              factorsOf(op, decodedRow(op, atom, half), column);
        Value pair;
        if (bytes)
          pair = decodeBytes(op, word(2 * w), word(2 * w + 1));
        else
          pair = LLVM::BitcastOp::create(b, loc, pairOf(element),
                                         decodePair(op, word(w)));
        if (op.getFormat() == tile::DequantFormat::Mx || isFloats8(op))
          pair = arith::MulFOp::create(b, loc, pair, shift);
        else if (!bytes)
          pair = arith::SubFOp::create(b, loc, pair, shift);
        if (scale && !op.getUnrounded())
          pair = arith::MulFOp::create(b, loc, pair, scale);
        registers[4 * step + half + 2 * (w % 2)] =
            LLVM::BitcastOp::create(b, loc, b.getI32Type(), pair);
      }
  return registers;
}

LogicalResult KernelEmitter::emitRegisterMma(tile::MmaOp op,
                                             tile::DequantOp weights) {
  tile::AtomAttr atom = op.getResult().getType().getAtom();
  if (!atom)
    atom = op.getAtomAttr();
  if (!atom || atom.getFamily().getValue() != "wgmma" || !atom.getSwap())
    return op.emitOpError("the NVVM lowering takes weights in registers with a "
                          "swapped wgmma atom");
  if (weights.getUnrounded())
    return weights.emitOpError("the NVVM lowering scales sums of products by "
                               "warps, not of wgmma, where a promotion does");
  auto aType = dyn_cast<tile::BufType>(op.getA().getType());
  Type element = cast<tile::FragType>(weights.getType()).getElementType();
  if (!aType || aType.getElementType() != element ||
      aType.getSwizzle() != 128 || aType.getCols() % kPanel)
    return op.emitOpError("wgmma takes activations of ")
           << element << " in panels of 64 columns with swizzle 128, got "
           << op.getA().getType();
  int64_t copies = team.role ? team.role.getCopies() : 1;
  if (copies > 1 && team.role.getDivide() != tile::Divide::N)
    return op.emitOpError("teams that decode weights share a tile by n");
  int64_t m = aType.getRows();
  int64_t share = cast<tile::FragType>(weights.getType()).getRows() / copies;
  int64_t repeatN = share / 64, repeatM = m / atom.getM();
  if (atom.getN() != 64 || repeatN * 64 != share || repeatM * atom.getM() != m)
    return op.emitOpError("a team's tile of ")
           << m << "x" << share << " is not whole atoms of " << atom.getM()
           << "x" << atom.getN();
  int64_t tokens = trim && trim->now ? trim->now : atom.getM();
  Type accType = LLVM::LLVMStructType::getLiteral(
      b.getContext(), SmallVector<Type>(tokens / 2, b.getF32Type()));
  SmallVector<Value> acc;
  bool fromZero = !op.getC();
  if (fromZero)
    acc.assign(repeatN * repeatM, LLVM::UndefOp::create(b, loc, accType));
  else
    acc = parts[op.getC()];
  int64_t panels = aType.getCols() / kPanel;
  FactorCache known;
  SmallVector<Value> packed = loadPacked(weights, 0, 0);
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t j = 0; j < repeatN; ++j) {
      SmallVector<Value> registers = decodeRows(weights, j, p, packed, known);
      // The next words are on their way while these are multiplied.
      bool last = p + 1 == panels && j + 1 == repeatN;
      if (!last)
        packed = loadPacked(weights, (j + 1) % repeatN,
                            p + (j + 1 == repeatN ? 1 : 0));
      for (int64_t i = 0; i < repeatM; ++i) {
        Value at =
            sharedAt(parts[op.getA()][0], c32((p * m + i * atom.getM()) * 128));
        Value address = LLVM::PtrToIntOp::create(b, loc, b.getI64Type(), at);
        Value units = arith::ShRUIOp::create(
            b, loc, arith::AndIOp::create(b, loc, address, c64(0x3FFFF)),
            c64(4));
        Value descriptor =
            arith::OrIOp::create(b, loc, units, c64(int64_t(kDescriptor)));
        Value &sum = acc[j * repeatM + i];
        sum = nv::WgmmaRegistersOp::create(b, loc, accType, sum, registers,
                                           descriptor, element,
                                           fromZero && p == 0);
      }
      NVVM::WgmmaGroupSyncAlignedOp::create(b, loc);
      // Registers of the batch before are free again.
      if (!last)
        NVVM::WgmmaWaitGroupSyncOp::create(b, loc, uint64_t(1));
    }
  tile::PromoteOp promotion = promotionOf(op);
  if (!promotion) {
    parts[op.getResult()] = acc;
    return success();
  }
  OpenSum sum;
  if (failed(openSum(promotion, acc.size(), tokens / 2, sum)))
    return failure();
  auto wait = nv::WgmmaWaitOp::create(b, loc, /*pending=*/0, ValueRange(acc));
  sum.products = llvm::to_vector(ValueRange(wait.getResults()));
  sums[promotion] = std::move(sum);
  return success();
}
