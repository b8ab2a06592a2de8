//===- Products.cpp - Matrix products by warpgroups -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both operands are read from shared memory, k innermost, 128-byte swizzle. A
// swapped atom gives B (weights) to the instruction's M side. The first step of
// a tile ignores the accumulator: one set to zero in registers would make the
// assembler serialise every instruction.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Descriptor of a K-major operand with 128-byte swizzle, without its address:
/// leading offset 1 (unused), stride of 8 rows = 1024 bytes, swizzle mode 1.
static constexpr uint64_t kDescriptor =
    uint64_t(1) << 16 | uint64_t(64) << 32 | uint64_t(1) << 62;

/// Columns of products that are added after every instruction.
static constexpr int64_t kNarrow = 8;

Value KernelEmitter::matrixDescriptor(Value buffer, tile::BufType type,
                                      Value rowOffset) {
  int64_t rowBytes =
      type.getCols() * type.getElementType().getIntOrFloatBitWidth() / 8;
  Value at =
      rowOffset ? sharedAt(buffer, mul(rowOffset, c32(rowBytes))) : buffer;
  Value address = LLVM::PtrToIntOp::create(b, loc, b.getI64Type(), at);
  Value low = arith::AndIOp::create(b, loc, address, c64(0x3FFFF));
  Value units = arith::ShRUIOp::create(b, loc, low, c64(4));
  return arith::OrIOp::create(b, loc, units, c64(int64_t(kDescriptor)));
}

static std::optional<NVVM::WGMMATypes> wgmmaType(Type element) {
  if (element.isBF16())
    return NVVM::WGMMATypes::bf16;
  if (element.isF16())
    return NVVM::WGMMATypes::f16;
  if (isa<Float8E4M3FNType>(element))
    return NVVM::WGMMATypes::e4m3;
  if (isa<Float8E5M2Type>(element))
    return NVVM::WGMMATypes::e5m2;
  if (element.isInteger(8))
    return NVVM::WGMMATypes::s8;
  return std::nullopt;
}

LogicalResult KernelEmitter::emitMma(tile::MmaOp op) {
  tile::AtomAttr atom = op.getResult().getType().getAtom();
  if (!atom)
    atom = op.getAtomAttr();
  if (atom && atom.getFamily().getValue() == "mma_sync")
    return emitMmaSync(op, atom);
  if (!atom || atom.getFamily().getValue() != "wgmma")
    return op.emitOpError("the NVVM lowering takes products with a wgmma or "
                          "mma_sync atom");
  if (auto weights = op.getB().getDefiningOp<tile::DequantOp>())
    return emitRegisterMma(op, weights);
  auto aType = dyn_cast<tile::BufType>(op.getA().getType());
  auto bType = dyn_cast<tile::BufType>(op.getB().getType());
  if (!aType || !bType)
    return op.emitOpError("the NVVM lowering takes operands in shared memory");
  Type element = aType.getElementType(), other = bType.getElementType();
  std::optional<NVVM::WGMMATypes> kindA = wgmmaType(element);
  std::optional<NVVM::WGMMATypes> kindB = wgmmaType(other);
  int64_t width = element.getIntOrFloatBitWidth();
  Type sumType = op.getResult().getType().getElementType();
  bool integers = element.isInteger(8);
  if (!kindA || !kindB || integers != sumType.isInteger(32) ||
      (width == 16 || integers
           ? element != other
           : !isa<FloatType>(other) || other.getIntOrFloatBitWidth() != 8))
    return op.emitOpError("wgmma takes two bf16, two f16 or two 8-bit float "
                          "operands with sums in f32, or two i8 with sums in "
                          "i32 here, got ")
           << element << " and " << other << " in " << sumType;
  for (tile::BufType type : {aType, bType})
    if (type.getSwizzle() != 128 || type.getCols() * width != 128 * 8)
      return op.emitOpError(
                 "wgmma operands have rows of 128 bytes with swizzle "
                 "128, got ")
             << type;
  int64_t m = op.getResult().getType().getRows();
  int64_t n = op.getResult().getType().getCols();
  int64_t copies = team.role ? team.role.getCopies() : 1;
  bool byN = team.role && team.role.getDivide() == tile::Divide::N;
  int64_t teamM = byN ? m : m / copies, teamN = byN ? n / copies : n;
  int64_t repeatM = teamM / atom.getM(), repeatN = teamN / atom.getN();
  if (repeatM * atom.getM() != teamM || repeatN * atom.getN() != teamN)
    return op.emitOpError("a team's tile of ")
           << teamM << "x" << teamN << " is not whole atoms of " << atom.getM()
           << "x" << atom.getN();
  bool swap = atom.getSwap();
  int64_t hardM = swap ? atom.getN() : atom.getM();
  int64_t hardN = swap ? atom.getM() : atom.getN();
  if (trim && trim->now)
    hardN = trim->now;
  if (hardM != 64)
    return op.emitOpError("wgmma has 64 rows, the atom has ") << hardM;

  Type accType = LLVM::LLVMStructType::getLiteral(
      b.getContext(), SmallVector<Type>(hardN / 2, sumType));
  int64_t hardK = 256 / width;
  auto shape = NVVM::MMAShapeAttr::get(b.getContext(), 64, hardN, hardK);
  int64_t steps = aType.getCols() / hardK;

  // Row offset of the team's part, then of its atoms.
  auto descriptors = [&](Value operand, tile::BufType type, bool divided,
                         int64_t share, int64_t repeat, int64_t rows) {
    SmallVector<Value> list;
    for (int64_t i = 0; i < repeat; ++i) {
      Value offset;
      if (divided && copies > 1)
        offset = mul(team.group, c32(share));
      if (i)
        offset = offset ? add(offset, c32(i * rows)) : c32(i * rows);
      list.push_back(matrixDescriptor(parts[operand][0], type, offset));
    }
    return list;
  };
  SmallVector<Value> aDesc =
      descriptors(op.getA(), aType, !byN, teamM, repeatM, atom.getM());
  SmallVector<Value> bDesc =
      descriptors(op.getB(), bType, byN, teamN, repeatN, atom.getN());
  SmallVector<Value> acc;
  if (op.getC())
    acc = parts[op.getC()];
  // The matrix unit adds products of 8-bit floats with some 13 bits below the
  // largest, so that hidden values round to other codes now and then. What is
  // summed in f32 after every instruction does so a third as often, and narrow
  // tiles, which wait for their weights, have registers and time for it. Not a
  // few rows of a wider tile: a row's sum is the same beside any others.
  tile::PromoteOp promotion = promotionOf(op);
  int64_t slices =
      promotion && width == 8 && !integers && !trim && hardN <= kNarrow ? steps
                                                                        : 1;
  // A slice of the atom that is number `atom` in the registers of the tile, in
  // the registers of `into` if it is given.
  auto issue = [&](size_t atom, int64_t slice, Value into) -> Value {
    int64_t j = int64_t(atom) / repeatM, i = int64_t(atom) % repeatM;
    bool fromZero = acc.empty();
    Value d = into       ? into
              : fromZero ? Value(LLVM::UndefOp::create(b, loc, accType))
                         : acc[atom];
    int64_t begin = slice * (steps / slices);
    for (int64_t s = begin; s < begin + steps / slices; ++s) {
      Value first = swap ? bDesc[j] : aDesc[i];
      Value second = swap ? aDesc[i] : bDesc[j];
      // A step is 32 bytes, two units of a descriptor.
      if (s) {
        first = add(first, c64(2 * s));
        second = add(second, c64(2 * s));
      }
      d = NVVM::WgmmaMmaAsyncOp::create(
              b, loc, accType, d, first, second, shape, swap ? *kindB : *kindA,
              swap ? *kindA : *kindB,
              integers ? NVVM::WGMMATypes::s32 : NVVM::WGMMATypes::f32,
              fromZero && s == begin ? NVVM::WGMMAScaleOut::zero
                                     : NVVM::WGMMAScaleOut::one,
              NVVM::WGMMAScaleIn::one, NVVM::WGMMAScaleIn::one,
              NVVM::MMALayout::row, NVVM::MMALayout::col,
              NVVM::MMAIntOverflowAttr())
              .getResult();
    }
    return d;
  };
  if (promotion)
    return beginSum(promotion, repeatM * repeatN, hardN / 2, slices, issue);
  NVVM::WgmmaFenceAlignedOp::create(b, loc);
  SmallVector<Value> result;
  for (int64_t atom = 0; atom < repeatM * repeatN; ++atom)
    result.push_back(issue(atom, /*slice=*/0, Value()));
  NVVM::WgmmaGroupSyncAlignedOp::create(b, loc);
  parts[op.getResult()] = result;
  return success();
}

LogicalResult KernelEmitter::emitAccRead(tile::AccReadOp op) {
  // A product for a sum has been waited for in parts.
  if (auto mma = op.getAcc().getDefiningOp<tile::MmaOp>())
    if (promotionOf(mma))
      return success();
  SmallVector<Value> acc = parts[op.getAcc()];
  tile::DigitsAttr layout = op.getResult().getType().getLayout();
  if (!layout)
    return op.emitOpError("the NVVM lowering needs a layout on ")
           << op.getResult().getType();
  if (!warpgroups) {
    if (int64_t(acc.size()) != layout.getLevelSize(tile::Level::Reg))
      return op.emitOpError("the layout has ")
             << layout.getLevelSize(tile::Level::Reg)
             << " registers, the accumulator " << acc.size();
    parts[op.getResult()] = acc;
    return success();
  }
  // The wait takes and gives the registers, so that no read moves above it.
  auto wait = nv::WgmmaWaitOp::create(b, loc, /*pending=*/0, ValueRange(acc));
  SmallVector<Value> values;
  for (Value v : wait.getResults()) {
    int64_t count = cast<LLVM::LLVMStructType>(v.getType()).getBody().size();
    for (int64_t i = 0; i < count; ++i)
      values.push_back(LLVM::ExtractValueOp::create(b, loc, v, i));
    // What was not computed is never stored.
    if (trim && trim->now)
      values.append(
          trim->rows / 2 - count,
          arith::ConstantOp::create(
              b, loc,
              b.getZeroAttr(op.getResult().getType().getElementType())));
  }
  if (int64_t(values.size()) != layout.getLevelSize(tile::Level::Reg))
    return op.emitOpError("the layout has ")
           << layout.getLevelSize(tile::Level::Reg)
           << " registers, the accumulator " << values.size();
  parts[op.getResult()] = values;
  return success();
}
