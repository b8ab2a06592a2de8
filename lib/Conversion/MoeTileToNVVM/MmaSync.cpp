//===- MmaSync.cpp - Matrix products by single warps ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// mma.sync takes its operands from registers, ldmatrix brings them there: a
// matrix is 8 rows of 16 bytes, lane l gives the address of row l % 8 of matrix
// l / 8. The accumulator is a list of f32 in the order of its layout, four per
// instruction.
//
// Rows of a slot are as long as their swizzle, and a warp's part begins at a
// multiple of 8 rows: what is XORed into the number of a 16-byte piece depends
// on the lane alone, and all but the step along k is one offset.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Rows of one matrix of ldmatrix, and bytes of its rows.
static constexpr int64_t kMatrixRows = 8, kMatrixBytes = 16;
/// Accumulators of one instruction in a thread.
static constexpr int64_t kAtomRegisters = 4;
/// Columns of activations that lie side by side where weights are decoded.
static constexpr int64_t kPanel = 64;

static std::optional<NVVM::MMATypes> mmaType(Type element) {
  if (element.isBF16())
    return NVVM::MMATypes::bf16;
  if (element.isF16())
    return NVVM::MMATypes::f16;
  if (element.isInteger(8))
    return NVVM::MMATypes::s8;
  return std::nullopt;
}

static bool isF8(Type element) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(element);
}

bool nvvm::usesWarpgroups(tile::KernelOp kernel) {
  bool groups = true;
  kernel.walk([&](tile::MmaOp op) {
    tile::AtomAttr atom = op.getResult().getType().getAtom();
    if (!atom)
      atom = op.getAtomAttr();
    groups &= !atom || atom.getFamily().getValue() != "mma_sync";
  });
  return groups;
}

/// Operations that came with sm_90 would end in code that an older chip does
/// not take.
LogicalResult KernelEmitter::checkChip() {
  if (hopper)
    return success();
  auto refuse = [&](Operation *op, const Twine &what) {
    op->emitOpError() << what << " needs sm_90, the kernel is for "
                      << *kernel.getTarget();
    return WalkResult::interrupt();
  };
  auto result = kernel.walk([&](Operation *op) -> WalkResult {
    if (auto copy = dyn_cast<tile::CopyOp>(op))
      if (copy.getHow() == tile::How::Desc || copy.getHow() == tile::How::Bulk)
        return refuse(op, "a copy by the copy engine");
    if (auto store = dyn_cast<tile::StoreOp>(op))
      if (store.getHow() == tile::How::Desc ||
          store.getHow() == tile::How::Bulk)
        return refuse(op, "a store by the copy engine");
    if (isa<tile::AwaitLaunchOp>(op))
      return refuse(op, "a launch before the one before has ended");
    if (isa<tile::MmaOp>(op) && warpgroups)
      return refuse(op, "wgmma");
    return WalkResult::advance();
  });
  if (kernel.getExecAttr().getCluster() > 1)
    return kernel.emitOpError("a cluster of ")
           << kernel.getExecAttr().getCluster()
           << " blocks needs sm_90, the kernel is for " << *kernel.getTarget();
  return failure(result.wasInterrupted());
}

/// The layout in which the accumulators of the kernel are read.
static tile::DigitsAttr accumulatorLayout(tile::KernelOp kernel) {
  tile::DigitsAttr layout;
  kernel.walk([&](tile::AccReadOp op) {
    layout = op.getResult().getType().getLayout();
  });
  return layout;
}

/// Where the elements of an accumulator's first register stand, in rows of the
/// instruction's two operands, for each instruction of a warp; empty if the
/// layout is not made of the instruction's.
static SmallVector<std::pair<int64_t, int64_t>>
atomOffsets(tile::DigitsAttr layout, bool swap) {
  using tile::Dim;
  using tile::Level;
  Dim first = swap ? Dim::N : Dim::M, second = swap ? Dim::M : Dim::N;
  SmallVector<tile::Digit> inside;
  for (const tile::Digit &digit : layout.getDigits())
    if (digit.level == Level::Lane ||
        (digit.level == Level::Reg && inside.size() < 2))
      inside.push_back(digit);
  const tile::Digit wanted[] = {{Level::Reg, second, 2, 1},
                                {Level::Reg, first, 2, 8},
                                {Level::Lane, second, 4, 2},
                                {Level::Lane, first, 8, 1}};
  if (ArrayRef(inside) != ArrayRef(wanted))
    return {};
  SmallVector<std::pair<int64_t, int64_t>> offsets;
  for (int64_t r = 0, e = layout.getLevelSize(Level::Reg); r < e;
       r += kAtomRegisters) {
    auto [m, n] = layout.map({r});
    offsets.push_back(swap ? std::pair(n, m) : std::pair(m, n));
  }
  return offsets;
}

static SmallVector<int64_t>
sortedParts(ArrayRef<std::pair<int64_t, int64_t>> offsets, bool first) {
  SmallVector<int64_t> parts;
  for (auto [a, b] : offsets)
    parts.push_back(first ? a : b);
  llvm::sort(parts);
  parts.erase(llvm::unique(parts), parts.end());
  return parts;
}

KernelEmitter::MatrixOperand KernelEmitter::matrixOperand(Value buffer,
                                                          tile::BufType type,
                                                          Value firstRow,
                                                          bool rowsFirst) {
  Value lane = arith::AndIOp::create(b, loc, team.thread, c32(31));
  Value matrix = arith::ShRUIOp::create(b, loc, lane, c32(3));
  Value row = arith::AndIOp::create(b, loc, lane, c32(kMatrixRows - 1));
  Value low = arith::AndIOp::create(b, loc, matrix, c32(1));
  Value high = arith::ShRUIOp::create(b, loc, matrix, c32(1));
  MatrixOperand operand;
  operand.rowBytes = type.getSwizzle();
  operand.upper = rowsFirst ? low : high;
  Value piece = rowsFirst ? high : low;
  Value pattern = swizzlePattern(b, loc, row, type.getSwizzle());
  operand.piece =
      mul(arith::XOrIOp::create(b, loc, piece, pattern), c32(kMatrixBytes));
  operand.base = sharedAt(parts[buffer][0],
                          mul(add(firstRow, row), c32(operand.rowBytes)));
  return operand;
}

SmallVector<Value> KernelEmitter::loadMatrices(const MatrixOperand &operand,
                                               int64_t step, int64_t first,
                                               int64_t second) {
  // The step's two pieces: their number has no bit in common with the lane's.
  Value piece = step ? Value(arith::XOrIOp::create(
                           b, loc, operand.piece, c32(2 * kMatrixBytes * step)))
                     : operand.piece;
  Value at = sharedAt(operand.base, piece);
  int64_t distance = (second - first) * operand.rowBytes;
  Value upper = mul(operand.upper, c32(distance));
  at = sharedAt(sharedAt(at, upper), c32(first * operand.rowBytes));
  Type i32 = b.getI32Type();
  auto type = LLVM::LLVMStructType::getLiteral(b.getContext(),
                                               SmallVector<Type>(4, i32));
  Value loaded = NVVM::LdMatrixOp::create(
      b, loc, type, at, uint32_t(4), NVVM::MMALayout::row,
      NVVM::LdStMatrixShapeAttr::get(b.getContext(), 8, 8),
      NVVM::LdStMatrixEltType::B16);
  SmallVector<Value> registers;
  for (int64_t i = 0; i < 4; ++i)
    registers.push_back(LLVM::ExtractValueOp::create(b, loc, loaded, i));
  return registers;
}

void KernelEmitter::multiplyWarp(Type firstType, Type secondType,
                                 ArrayRef<Value> first, ArrayRef<Value> second,
                                 MutableArrayRef<Value> sum) {
  bool integers = firstType.isInteger(8);
  Type sumType = integers ? Type(b.getI32Type()) : Type(b.getF32Type());
  auto type = LLVM::LLVMStructType::getLiteral(
      b.getContext(), SmallVector<Type>(kAtomRegisters, sumType));
  if (isF8(firstType)) {
    Value product = nv::MmaF8Op::create(b, loc, type, first, second,
                                        ValueRange(sum), firstType, secondType);
    for (int64_t i = 0; i < kAtomRegisters; ++i)
      sum[i] = LLVM::ExtractValueOp::create(b, loc, product, i);
    return;
  }
  // Pairs of f16 have a type of their own here, those of bf16 have not.
  auto pairs = [&](Type element, ArrayRef<Value> words) {
    SmallVector<Value> values(words);
    if (element.isF16())
      for (Value &v : values)
        v = LLVM::BitcastOp::create(b, loc, VectorType::get(2, element), v);
    return values;
  };
  Value product = NVVM::MmaOp::create(
      b, loc, type, pairs(firstType, first), pairs(secondType, second),
      ValueRange(sum), ArrayRef<int64_t>{16, 8, integers ? 32 : 16},
      std::nullopt,
      integers ? std::optional(NVVM::MMAIntOverflow::wrapped) : std::nullopt,
      std::array<NVVM::MMATypes, 2>{*mmaType(firstType), *mmaType(secondType)},
      std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row,
                                     NVVM::MMALayout::col});
  for (int64_t i = 0; i < kAtomRegisters; ++i)
    sum[i] = LLVM::ExtractValueOp::create(b, loc, product, i);
}

void KernelEmitter::addPart(tile::PromoteOp op, OpenSum &sum, size_t at,
                            ArrayRef<Value> part) {
  for (auto [i, v] : llvm::enumerate(part)) {
    Value row = op.getRow() ? parts[op.getRow()][at + i] : Value();
    Value col = op.getCol() ? parts[op.getCol()][at + i] : Value();
    Value &old = sum.registers[at + i];
    if (!row && !col) {
      old = arith::AddFOp::create(b, loc, v, old);
      continue;
    }
    Value factor = row && col ? Value(arith::MulFOp::create(b, loc, row, col))
                   : row      ? row
                              : col;
    old = math::FmaOp::create(b, loc, v, factor, old);
  }
}

LogicalResult KernelEmitter::multiplyParts(tile::MmaOp op,
                                           tile::DigitsAttr layout, bool swap) {
  auto aType = cast<tile::BufType>(op.getA().getType());
  auto bType = cast<tile::BufType>(op.getB().getType());
  SmallVector<std::pair<int64_t, int64_t>> offsets = atomOffsets(layout, swap);
  if (offsets.empty())
    return op.emitOpError("mma_sync needs its accumulator to be read in a "
                          "layout of its instructions, got ")
           << layout;
  SmallVector<int64_t> firstRows = sortedParts(offsets, /*first=*/true);
  SmallVector<int64_t> secondRows = sortedParts(offsets, /*first=*/false);

  auto [m, n] = warpPosition(layout);
  MatrixOperand first =
      swap ? matrixOperand(op.getB(), bType, n, /*rowsFirst=*/true)
           : matrixOperand(op.getA(), aType, m, /*rowsFirst=*/true);
  MatrixOperand second =
      swap ? matrixOperand(op.getA(), aType, m, /*rowsFirst=*/false)
           : matrixOperand(op.getB(), bType, n, /*rowsFirst=*/false);
  Type firstType = (swap ? bType : aType).getElementType();
  Type secondType = (swap ? aType : bType).getElementType();
  int64_t steps = aType.getSwizzle() / (2 * kMatrixBytes);
  Value zero = arith::ConstantOp::create(
      b, loc, b.getZeroAttr(op.getResult().getType().getElementType()));
  if (tile::PromoteOp promote = promotionOf(op)) {
    if (promote.getScalar() || promote.getRowSum() || promote.getFactor())
      return op.emitOpError(
          "the NVVM lowering scales by rows and columns only");
    for (Value factor : {promote.getRow(), promote.getCol()})
      if (factor && (!isa<tile::FragType>(factor.getType()) || !known(factor)))
        return op.emitOpError("the NVVM lowering takes factors in fragments "
                              "that are read before the product");
    // Two columns of instructions at a time, each added as soon as it is
    // complete, so that the product never stands beside the sum as a whole.
    OpenSum sum;
    sum.registers = parts[promote.getMain()];
    if (sum.registers.size() != offsets.size() * kAtomRegisters)
      return op.emitOpError("the sum has ")
             << sum.registers.size() << " registers, its products "
             << offsets.size() * kAtomRegisters;
    for (size_t pair = 0; pair < secondRows.size(); pair += 2) {
      bool two = pair + 1 < secondRows.size();
      int64_t row = secondRows[pair], next = two ? secondRows[pair + 1] : row;
      std::map<size_t, SmallVector<Value>> products;
      for (auto [i, offset] : llvm::enumerate(offsets))
        if (offset.second == row || offset.second == next)
          products[i].assign(kAtomRegisters, zero);
      // Rows of the first operand are read again for each pair: there are no
      // registers to keep them in.
      for (int64_t s = 0; s < steps; ++s) {
        SmallVector<Value> both = loadMatrices(second, s, row, next);
        std::map<int64_t, SmallVector<Value>> a;
        for (int64_t at : firstRows)
          a[at] = loadMatrices(first, s, at, at + kMatrixRows);
        for (auto &[i, product] : products)
          multiplyWarp(
              firstType, secondType, a[offsets[i].first],
              ArrayRef(both).slice(offsets[i].second == row ? 0 : 2, 2),
              product);
      }
      for (auto &[i, product] : products)
        addPart(promote, sum, i * kAtomRegisters, product);
    }
    sums[promote] = std::move(sum);
    return success();
  }
  SmallVector<Value> sum;
  if (op.getC())
    sum = parts[op.getC()];
  else
    sum.assign(offsets.size() * kAtomRegisters, zero);
  for (int64_t s = 0; s < steps; ++s) {
    std::map<int64_t, SmallVector<Value>> a, other;
    for (int64_t row : firstRows)
      a[row] = loadMatrices(first, s, row, row + kMatrixRows);
    for (size_t i = 0; i < secondRows.size(); i += 2) {
      // Two groups of 8 rows at once; a last one alone is read twice.
      bool two = i + 1 < secondRows.size();
      int64_t row = secondRows[i], next = two ? secondRows[i + 1] : row;
      SmallVector<Value> both = loadMatrices(second, s, row, next);
      other[row] = {both[0], both[1]};
      if (two)
        other[next] = {both[2], both[3]};
    }
    for (auto [i, offset] : llvm::enumerate(offsets))
      multiplyWarp(
          firstType, secondType, a[offset.first], other[offset.second],
          MutableArrayRef(sum).slice(i * kAtomRegisters, kAtomRegisters));
  }
  parts[op.getResult()] = sum;
  return success();
}

LogicalResult KernelEmitter::emitMmaSync(tile::MmaOp op, tile::AtomAttr atom) {
  if (auto weights = op.getB().getDefiningOp<tile::DequantOp>())
    return emitPackedMmaSync(op, weights);
  auto aType = dyn_cast<tile::BufType>(op.getA().getType());
  auto bType = dyn_cast<tile::BufType>(op.getB().getType());
  if (!aType || !bType)
    return op.emitOpError("mma_sync takes operands in shared memory");
  Type element = aType.getElementType();
  Type sumType = op.getResult().getType().getElementType();
  bool equal = mmaType(element) && element == bType.getElementType();
  bool floats = isF8(element) && isF8(bType.getElementType());
  if ((!equal && !floats) || element.isInteger(8) != sumType.isInteger(32))
    return op.emitOpError("mma_sync takes two bf16, two f16 or two 8-bit float "
                          "operands with sums in f32, or two i8 with sums in "
                          "i32 here, got ")
           << element << " and " << bType.getElementType() << " in " << sumType;
  int64_t size = element.getIntOrFloatBitWidth() / 8;
  for (tile::BufType type : {aType, bType})
    if (type.getSwizzle() != type.getCols() * size)
      return op.emitOpError(
                 "mma_sync takes rows as long as their swizzle, got ")
             << type;
  tile::DigitsAttr layout = accumulatorLayout(kernel);
  if (!layout)
    return op.emitOpError("mma_sync needs its accumulator to be read in a "
                          "layout, it is not");
  return multiplyParts(op, layout, atom.getSwap());
}

LogicalResult KernelEmitter::emitPackedMmaSync(tile::MmaOp op,
                                               tile::DequantOp weights) {
  tile::AtomAttr atom = op.getResult().getType().getAtom();
  if (!atom)
    atom = op.getAtomAttr();
  auto aType = dyn_cast<tile::BufType>(op.getA().getType());
  auto weightsType = cast<tile::FragType>(weights.getType());
  Type element = weightsType.getElementType();
  int64_t rowBytes = kPanel * 2;
  if (!atom.getSwap() || !aType || aType.getElementType() != element ||
      aType.getSwizzle() != rowBytes || aType.getCols() % kPanel)
    return op.emitOpError("mma_sync multiplies decoded weights, swapped, with "
                          "activations of ")
           << element << " in panels of " << kPanel
           << " columns with swizzle 128, got " << op.getA().getType();
  int64_t copies = team.role ? team.role.getCopies() : 1;
  if (copies > 1 && team.role.getDivide() != tile::Divide::N)
    return op.emitOpError("teams that decode weights share a tile by n");
  int64_t tokens = aType.getRows();
  int64_t unit = team.threads / 32 * 16;
  int64_t share = weightsType.getRows() / copies;
  int64_t units = share / unit, groups = tokens / kMatrixRows;
  if (units * unit != share || groups * kMatrixRows != tokens)
    return op.emitOpError("a team's tile of ")
           << tokens << "x" << share << " is not whole parts of " << kMatrixRows
           << "x" << unit;
  SmallVector<Value> sum;
  if (op.getC())
    sum = parts[op.getC()];
  else
    sum.assign(units * groups * kAtomRegisters,
               arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)));
  MatrixOperand activations =
      matrixOperand(op.getA(), aType, c32(0), /*rowsFirst=*/false);
  int64_t panels = aType.getCols() / kPanel;
  FactorCache known;
  // Of unrounded weights products of one granule of columns are added apart,
  // then scaled into the sum.
  bool scales = weights.getUnrounded();
  int64_t granule = weights.getScaleGranule().second;
  SmallVector<Value> products;
  if (scales)
    products.assign(sum.size(),
                    arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)));
  auto scaleProducts = [&](int64_t unit, int64_t column) {
    for (int64_t half = 0; half < 2; ++half) {
      Value scale = known[{unit, half, column / granule}].first;
      scale = LLVM::ExtractElementOp::create(b, loc, scale, c32(0));
      scale = arith::ExtFOp::create(b, loc, b.getF32Type(), scale);
      for (int64_t i = 0; i < groups; ++i)
        for (int64_t r = 0; r < kAtomRegisters / 2; ++r) {
          int64_t at = (unit * groups + i) * kAtomRegisters + half * 2 + r;
          sum[at] = math::FmaOp::create(b, loc, products[at], scale, sum[at]);
          products[at] =
              arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
        }
    }
  };
  SmallVector<Value> packed = loadPacked(weights, 0, 0);
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t j = 0; j < units; ++j) {
      SmallVector<Value> registers = decodeRows(weights, j, p, packed, known);
      // The next words are on their way while these are multiplied.
      if (p + 1 != panels || j + 1 != units)
        packed =
            loadPacked(weights, (j + 1) % units, p + (j + 1 == units ? 1 : 0));
      for (int64_t s = 0; s < kPanel / 16; ++s) {
        for (int64_t i = 0; i < groups; i += 2) {
          bool two = i + 1 < groups;
          int64_t row = p * tokens + i * kMatrixRows;
          SmallVector<Value> both =
              loadMatrices(activations, s, row, two ? row + kMatrixRows : row);
          for (int64_t half = 0; half < (two ? 2 : 1); ++half)
            multiplyWarp(element, element, ArrayRef(registers).slice(4 * s, 4),
                         ArrayRef(both).slice(2 * half, 2),
                         MutableArrayRef(scales ? products : sum)
                             .slice((j * groups + i + half) * kAtomRegisters,
                                    kAtomRegisters));
        }
        int64_t column = p * kPanel + s * 16, end = column + 16;
        if (scales && (end % granule == 0 || end == panels * kPanel))
          scaleProducts(j, column);
      }
    }
  parts[op.getResult()] = sum;
  return success();
}
