//===- Access.cpp - Coordinates of tiles in global memory -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace mlir::moe::tile;

#include "moec/Dialect/MoeTile/IR/MoeTileInterfaces.cpp.inc"

int64_t TileAccess::getRowsPosition() {
  for (auto [i, index] : llvm::enumerate((*this).getIndices()))
    if (isa<RowsType>(index.getType()))
      return i;
  return -1;
}

int64_t TileAccess::getMemoryDim(unsigned tileDim) {
  if (std::optional<ArrayRef<int64_t>> dims = (*this).getDims())
    return (*dims)[tileDim];
  int64_t rank = (*this).getMemory().getType().getRank();
  int64_t rows = getRowsPosition();
  if (rows < 0)
    return rank - (tileDim == 0 ? 2 : 1) < 0 ? -1
                                             : rank - (tileDim == 0 ? 2 : 1);
  if (tileDim == 0)
    return rows;
  int64_t last = rank - 1;
  return last == rows ? last - 1 : last;
}

int64_t TileAccess::getGranuleOf(unsigned memoryDim) {
  std::optional<ArrayRef<int64_t>> granule = (*this).getGranule();
  return granule ? (*granule)[memoryDim] : 1;
}

LogicalResult moe::tile::detail::verifyTileAccess(Operation *op) {
  auto access = cast<TileAccess>(op);
  MemRefType memory = access.getMemory().getType();
  int64_t rank = memory.getRank();
  auto [tileRows, tileCols] = access.getTileShape();
  int64_t extents[2] = {tileRows, tileCols};

  // access_c1
  int64_t numIndices = access.getIndices().size();
  if (rank == 0 || numIndices != rank)
    return op->emitOpError("access_c1: memory of rank ")
           << rank << " needs " << rank << " indices (at least 1), got "
           << numIndices;
  int64_t rowLists = llvm::count_if(access.getIndices(), [](Value index) {
    return isa<RowsType>(index.getType());
  });
  if (rowLists > 1)
    return op->emitOpError("access_c1: at most one index is a row list, got ")
           << rowLists;

  // access_c2
  if (auto dims = access.getDims()) {
    if (dims->size() != 2)
      return op->emitOpError("access_c2: dims has 2 entries, got ")
             << dims->size();
    for (int64_t dim : *dims)
      if (dim < -1 || dim >= rank)
        return op->emitOpError("access_c2: dims entry ")
               << dim << " is no dimension of a memory of rank " << rank;
    if ((*dims)[0] == (*dims)[1] && (*dims)[0] >= 0)
      return op->emitOpError("access_c2: both tile dimensions follow memory "
                             "dimension ")
             << (*dims)[0];
  }
  for (unsigned i : {0u, 1u})
    if (access.getMemoryDim(i) < 0 && extents[i] != 1)
      return op->emitOpError("access_c2: tile dimension ")
             << i << " follows no memory dimension and has extent "
             << extents[i] << ", not 1";

  // access_c3
  if (auto granule = access.getGranule()) {
    if (static_cast<int64_t>(granule->size()) != rank)
      return op->emitOpError("access_c3: granule has ")
             << granule->size() << " entries, the memory " << rank
             << " dimensions";
    for (int64_t g : *granule)
      if (g < 1)
        return op->emitOpError("access_c3: granule must be positive, got ")
               << g;
  }

  // access_c4
  int64_t boxDim = access.getBoxDim();
  auto boxes = access.getBoxes();
  if (boxDim != 0 && boxDim != 1)
    return op->emitOpError("access_c4: boxes are along tile dimension 0 or 1, "
                           "got ")
           << boxDim;
  if (boxes) {
    int64_t count = boxes->size();
    if (count == 0 || extents[boxDim] % count != 0)
      return op->emitOpError("access_c4: ")
             << count << " boxes do not divide an extent of "
             << extents[boxDim];
    int64_t length = extents[boxDim] / count;
    SmallVector<int64_t> sorted(*boxes);
    llvm::sort(sorted);
    if (sorted.front() < 0)
      return op->emitOpError("access_c4: box offset is negative: ")
             << sorted.front();
    for (int64_t i = 1; i < count; ++i)
      if (sorted[i] - sorted[i - 1] < length)
        return op->emitOpError("access_c4: boxes of ")
               << length << " overlap at offsets " << sorted[i - 1] << " and "
               << sorted[i];
  }

  // access_c5
  if (op->getNumResults() == 1 && isTileType(op->getResult(0).getType()) &&
      getTileElementType(op->getResult(0).getType()) != memory.getElementType())
    return op->emitOpError("access_c5: memory of ")
           << memory.getElementType() << ", tile of "
           << getTileElementType(op->getResult(0).getType());
  for (Value operand : op->getOperands())
    if (isTileType(operand.getType()) &&
        getTileElementType(operand.getType()) != memory.getElementType())
      return op->emitOpError("access_c5: memory of ")
             << memory.getElementType() << ", tile of "
             << getTileElementType(operand.getType());

  // access_c6
  int64_t rows = access.getRowsPosition();
  if (rows >= 0) {
    int64_t tileDim = access.getMemoryDim(0) == rows   ? 0
                      : access.getMemoryDim(1) == rows ? 1
                                                       : -1;
    if (tileDim < 0)
      return op->emitOpError("access_c6: no tile dimension follows the row "
                             "list of memory dimension ")
             << rows;
    int64_t count =
        cast<RowsType>(access.getIndices()[rows].getType()).getCount();
    if (count != extents[tileDim])
      return op->emitOpError("access_c6: ")
             << count << " row numbers for a tile extent of "
             << extents[tileDim];
    if (boxes && boxDim == tileDim)
      return op->emitOpError("access_c6: tile dimension ")
             << tileDim << " has a row list and boxes";
  }

  // access_c7
  auto how = op->getAttrOfType<HowAttr>("how");
  if (how && how.getValue() == How::Desc && rows >= 0)
    return op->emitOpError("access_c7: a descriptor cannot follow a row list");
  return success();
}
