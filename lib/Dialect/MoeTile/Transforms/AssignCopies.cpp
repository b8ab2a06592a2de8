//===- AssignCopies.cpp - moe-tile-assign-copies --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmdForm.h"

#include "moec/Dialect/MoeTile/Transforms/Passes.h"

#include <numeric>

namespace mlir::moe::tile {
#define GEN_PASS_DEF_MOETILEASSIGNCOPIES
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"
} // namespace mlir::moe::tile

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// Legality
//===----------------------------------------------------------------------===//

/// Every pitch of a descriptor, and every run of an asynchronous copy.
static constexpr int64_t pitchBytes = 16;
/// Elements of a descriptor's box in one dimension.
static constexpr int64_t maxBox = 256;

/// Static strides of all dimensions but an outermost one; pitches must be
/// multiples of 16 bytes.
static LogicalResult checkPitches(LoadOp load, StringRef how) {
  MemRefType memory = load.getMemory().getType();
  SmallVector<int64_t> strides;
  int64_t offset;
  int64_t bytes = memory.getElementTypeBitWidth() / 8;
  if (failed(memory.getStridesAndOffset(strides, offset)) ||
      strides.back() != 1)
    return load.emitOpError("how(")
           << how << ") needs contiguous columns, the memory is " << memory;
  for (auto [dim, stride] : llvm::enumerate(ArrayRef(strides).drop_back())) {
    if (ShapedType::isDynamic(stride))
      return load.emitOpError("how(")
             << how << ") needs static pitches, dimension " << dim << " of "
             << memory << " has none";
    if (stride * bytes % pitchBytes != 0)
      return load.emitOpError("how(")
             << how << ") needs pitches that are multiples of " << pitchBytes
             << " bytes, dimension " << dim << " of " << memory << " has "
             << stride * bytes;
  }
  return success();
}

static LogicalResult checkDescriptor(LoadOp load) {
  if (failed(checkPitches(load, "desc")))
    return failure();
  int64_t rank = load.getMemory().getType().getRank();
  if (rank > 5)
    return load.emitOpError("how(desc) has at most 5 dimensions, got ") << rank;
  int64_t parts = load.getBoxes() ? load.getBoxes()->size() : 1;
  int64_t box = load.getTileShape().first / parts;
  if (box > maxBox)
    return load.emitOpError("how(desc) has boxes of at most ")
           << maxBox << " rows, got " << box;
  return success();
}

//===----------------------------------------------------------------------===//
// Choice
//===----------------------------------------------------------------------===//

/// Reads consecutive rows by their first one. Rows at and beyond the limit are
/// then read too: they give rows of the product that nothing stores.
static void readByFirstRow(LoadOp load, RowIotaOp iota) {
  for (OpOperand &operand : load.getIndicesMutable())
    if (operand.get() == iota.getResult())
      operand.set(iota.getFirst());
}

/// Chooses the mechanism of one operand of the product; `wanted` is the field
/// of the configuration.
static LogicalResult assignOperand(LoadOp load, StringRef wanted,
                                   const ExplicitTarget &target) {
  int64_t at = cast<TileAccess>(load.getOperation()).getRowsPosition();
  Value rows = at < 0 ? Value() : Value(load.getIndices()[at]);
  auto iota = rows ? rows.getDefiningOp<RowIotaOp>() : RowIotaOp();
  std::optional<How> how = load.getHow();
  if (!how) {
    if (wanted == "desc")
      how = How::Desc;
    else if (wanted == "gather")
      how = How::Gather;
    else if (wanted == "vector" && !target.hopper)
      how = rows ? How::Gather : How::Vector;
    else if (wanted == "direct" && target.hopper)
      how = rows && !iota ? How::Gather : How::Desc;
    else if (wanted == "direct")
      how = rows ? How::Gather : How::Vector;
    else
      return load.emitOpError("the configuration wants \"")
             << wanted << "\", rings are filled by desc or gather";
  }
  if (*how == How::Desc && !target.hopper)
    return load.emitOpError("how(desc) needs the copy engine, ")
           << target.name << " has none; use gather or vector";
  if (*how == How::Desc) {
    if (rows && !iota)
      return load.emitOpError("how(desc) reads consecutive rows, these are "
                              "gathered by a row list");
    if (iota)
      readByFirstRow(load, iota);
    if (failed(checkDescriptor(load)))
      return failure();
  } else if (*how == How::Gather) {
    if (!rows)
      return load.emitOpError("how(gather) needs a row list");
    if (failed(checkPitches(load, "gather")))
      return failure();
  } else if (*how == How::Vector && !target.hopper) {
    if (rows)
      return load.emitOpError("how(vector) reads consecutive rows, these are "
                              "of a row list");
    if (failed(checkPitches(load, "vector")))
      return failure();
  } else {
    return load.emitOpError("how(")
           << stringifyHow(*how) << ") does not fill rings";
  }
  load.setHow(*how);
  return success();
}

/// Factors are a few bytes: those of the rows follow them by number, others are
/// copied one by one.
static LogicalResult assignFactor(LoadOp load) {
  if (!load)
    return success();
  bool byRow = cast<TileAccess>(load.getOperation()).getRowsPosition() >= 0;
  How how = byRow ? How::Gather : How::Element;
  if (load.getHow() && *load.getHow() != how)
    return load.emitOpError("how(")
           << stringifyHow(*load.getHow()) << ") does not copy factors, how("
           << stringifyHow(how) << ") does";
  load.setHow(how);
  return success();
}

/// Factors of a tile's weight rows: a run of memory per box, copied once for
/// all of K.
static LogicalResult assignFactors(LoadOp load, const ExplicitTarget &target) {
  MemRefType memory = load.getMemory().getType();
  auto access = cast<TileAccess>(load.getOperation());
  if (memory.getRank() != 3 || !memory.getLayout().isIdentity() ||
      ShapedType::isDynamic(memory.getDimSize(2)) ||
      ShapedType::isDynamic(memory.getDimSize(1)) ||
      access.getMemoryDim(0) != 1 || access.getRowsPosition() >= 0 ||
      access.getGranuleOf(1) != 1)
    return load.emitOpError(
               "one copy for all of K reads factors of weight rows from "
               "memory of experts x rows x granules, one row "
               "each, got ")
           << memory;
  int64_t bytes = memory.getElementTypeBitWidth() / 8;
  int64_t pitch = memory.getDimSize(2) * bytes;
  int64_t parts = load.getBoxes() ? load.getBoxes()->size() : 1;
  int64_t rows = load.getTileShape().first / parts;
  // Runs start and end at multiples of this many rows.
  int64_t unit = std::gcd(rows, memory.getDimSize(1));
  for (int64_t box : load.getBoxes().value_or(ArrayRef<int64_t>()))
    unit = std::gcd(unit, box);
  if (unit * pitch % pitchBytes != 0)
    return load.emitOpError("one copy for all of K brings runs of whole ")
           << pitchBytes << " bytes, " << unit << " rows of " << memory
           << " have " << unit * pitch;
  load.setHow(target.hopper ? How::Bulk : How::Vector);
  load.setPlace(Place::Resident);
  return success();
}

namespace {
struct AssignCopiesPass
    : public mlir::moe::tile::impl::MoeTileAssignCopiesBase<AssignCopiesPass> {
  void runOnOperation() override {
    if (failed(run()))
      signalPassFailure();
  }

  LogicalResult run() {
    auto matched = matchTileGemm(getOperation());
    if (failed(matched))
      return failure();
    if (!*matched)
      return success();
    TileGemm &gemm = **matched;
    if (const AmdChip *chip = amdChipOf(gemm.kernel))
      return assignAmdCopies(gemm, *chip);
    FailureOr<const ExplicitTarget *> chip = targetOf(gemm);
    if (failed(chip) ||
        failed(assignOperand(gemm.a, gemm.config.getString("a"), **chip)) ||
        failed(assignOperand(gemm.b, gemm.config.getString("b"), **chip)) ||
        failed(assignFactor(gemm.aScale)) || failed(assignFactor(gemm.bScale)))
      return failure();
    for (LoadOp load : gemm.getFactors())
      if (failed(assignFactors(load, **chip)))
        return failure();
    for (LoadOp load : {gemm.a, gemm.b})
      ++(*load.getHow() == How::Desc ? numDesc : numGather);
    // Operands and results of the epilogue go through registers.
    for (Operation &op : gemm.tiles.getBody().front()) {
      auto access = dyn_cast<TileAccess>(&op);
      if (!access || op.hasAttr("how"))
        continue;
      auto [rows, cols] = access.getTileShape();
      How how = rows == 1 || cols == 1 ? How::Element : How::Vector;
      if (auto load = dyn_cast<LoadOp>(op))
        load.setHow(how);
      else if (auto store = dyn_cast<StoreOp>(op))
        store.setHow(how);
      ++numVector;
    }
    return success();
  }
};
} // namespace
