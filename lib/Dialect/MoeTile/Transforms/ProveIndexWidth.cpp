//===- ProveIndexWidth.cpp - moe-tile-prove-index-width -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/Transforms/Passes.h"

#include "mlir/Analysis/DataFlow/ConstantPropagationAnalysis.h"
#include "mlir/Analysis/DataFlow/DeadCodeAnalysis.h"
#include "mlir/Analysis/DataFlow/IntegerRangeAnalysis.h"
#include "mlir/Analysis/DataFlowFramework.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::moe::tile {
#define GEN_PASS_DEF_MOETILEPROVEINDEXWIDTH
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"
} // namespace mlir::moe::tile

using namespace mlir;
using namespace mlir::moe::tile;

/// Attribute of memref.load and memref.store, which have no clause for it.
static constexpr StringLiteral widthAttrName = "moe_tile.width";

namespace {
/// One access: per memory dimension the index value (null for a row list), the
/// granule, and how far the tile reaches beyond the index.
struct Reach {
  Operation *op;
  Value memory;
  SmallVector<Value> indices;
  SmallVector<int64_t> granules, beyond;
};
} // namespace

static Reach reachOf(TileAccess access) {
  Reach reach{access, access.getMemory(), {}, {}, {}};
  auto [rows, cols] = access.getTileShape();
  int64_t extents[2] = {rows, cols};
  auto boxes = access.getBoxes();
  for (auto [dim, index] : llvm::enumerate(access.getIndices())) {
    bool isRows = isa<RowsType>(index.getType());
    reach.indices.push_back(isRows ? Value() : index);
    reach.granules.push_back(access.getGranuleOf(dim));
    int64_t beyond = 0;
    for (unsigned tileDim : {0u, 1u}) {
      if (access.getMemoryDim(tileDim) != static_cast<int64_t>(dim) || isRows)
        continue;
      beyond = extents[tileDim] - 1;
      if (boxes && access.getBoxDim() == tileDim)
        beyond = *llvm::max_element(*boxes) +
                 extents[tileDim] / static_cast<int64_t>(boxes->size()) - 1;
    }
    reach.beyond.push_back(beyond);
  }
  return reach;
}

/// Upper bounds of a memory's extents; -1 where nothing is known.
static SmallVector<int64_t> boundsOf(KernelOp kernel, Value memory,
                                     int64_t defaultMax) {
  while (auto cast = memory.getDefiningOp<memref::CastOp>())
    memory = cast.getSource();
  auto type = cast<MemRefType>(memory.getType());
  SmallVector<int64_t> bounds(type.getShape());
  DenseI64ArrayAttr sizes;
  if (auto argument = dyn_cast<BlockArgument>(memory))
    if (argument.getOwner() == &kernel.getBody().front())
      sizes = kernel.getArgAttrOfType<DenseI64ArrayAttr>(
          argument.getArgNumber(), "moe_tile.max_sizes");
  for (auto [i, bound] : llvm::enumerate(bounds))
    if (ShapedType::isDynamic(bound))
      bound = sizes ? sizes[i] : defaultMax > 0 ? defaultMax : -1;
  return bounds;
}

/// Largest value of an index by range analysis, -1 if unknown or negative.
static int64_t largestIndex(DataFlowSolver &solver, Value index) {
  const auto *lattice =
      solver.lookupState<dataflow::IntegerValueRangeLattice>(index);
  if (!lattice || lattice->getValue().isUninitialized())
    return -1;
  const ConstantIntRanges &range = lattice->getValue().getValue();
  // A range that may be negative bounds nothing: such elements do not exist.
  if (range.smin().isNegative())
    return -1;
  return range.smax().getSExtValue();
}

/// Last byte that the access can touch, counted from the memory's beginning;
/// nothing if it has no bound. Saturates.
static std::optional<int64_t>
lastByte(const Reach &reach, ArrayRef<int64_t> bounds, DataFlowSolver &solver) {
  auto type = cast<MemRefType>(reach.memory.getType());
  int64_t bytes = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  auto saturatingMul = [](int64_t a, int64_t b) {
    return static_cast<int64_t>(std::min<uint64_t>(
        llvm::SaturatingMultiply<uint64_t>(a, b), INT64_MAX));
  };
  auto saturatingAdd = [](int64_t a, int64_t b) {
    return static_cast<int64_t>(
        std::min<uint64_t>(llvm::SaturatingAdd<uint64_t>(a, b), INT64_MAX));
  };
  int64_t offset = 0, stride = 1;
  for (int64_t dim = static_cast<int64_t>(bounds.size()) - 1; dim >= 0; --dim) {
    // What lies beyond the extents is not touched.
    int64_t largest = bounds[dim] < 0 ? -1 : bounds[dim] - 1;
    if (Value index = reach.indices[dim]) {
      int64_t value = largestIndex(solver, index);
      if (value >= 0) {
        int64_t touched =
            saturatingAdd(value / reach.granules[dim], reach.beyond[dim]);
        largest = largest < 0 ? touched : std::min(largest, touched);
      }
    }
    if (largest < 0)
      return std::nullopt;
    offset = saturatingAdd(offset, saturatingMul(largest, stride));
    if (dim > 0) {
      // The extent of an inner dimension is the next one's stride.
      if (bounds[dim] < 0)
        return std::nullopt;
      stride = saturatingMul(stride, bounds[dim]);
    }
  }
  return saturatingAdd(saturatingMul(offset, bytes), bytes - 1);
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {
struct ProveIndexWidthPass
    : public mlir::moe::tile::impl::MoeTileProveIndexWidthBase<
          ProveIndexWidthPass> {
  using MoeTileProveIndexWidthBase::MoeTileProveIndexWidthBase;

  void runOnOperation() override {
    KernelOp kernel = getOperation();
    DataFlowSolver solver;
    solver.load<dataflow::DeadCodeAnalysis>();
    solver.load<dataflow::SparseConstantPropagation>();
    solver.load<dataflow::IntegerRangeAnalysis>();
    if (failed(solver.initializeAndRun(kernel))) {
      kernel.emitError("integer range analysis failed");
      return signalPassFailure();
    }
    int64_t narrow = 0, wide = 0;
    WalkResult result = kernel.walk([&](Operation *op) {
      Reach reach{op, Value(), {}, {}, {}};
      if (auto access = dyn_cast<TileAccess>(op)) {
        reach = reachOf(access);
      } else if (isa<memref::LoadOp, memref::StoreOp>(op)) {
        unsigned first = isa<memref::StoreOp>(op) ? 1 : 0;
        reach.memory = op->getOperand(first);
        reach.indices.assign(op->operand_begin() + first + 1,
                             op->operand_end());
        reach.granules.assign(reach.indices.size(), 1);
        reach.beyond.assign(reach.indices.size(), 0);
      } else {
        return WalkResult::advance();
      }
      std::optional<int64_t> last =
          lastByte(reach, boundsOf(kernel, reach.memory, defaultMax), solver);
      bool fits = last && *last <= INT32_MAX;
      if (!last)
        ++numUnbounded;
      return setWidth(op, fits, last, narrow, wide);
    });
    if (result.wasInterrupted())
      return signalPassFailure();
    numI32 += narrow;
    numI64 += wide;
    if (report)
      kernel.emitRemark() << narrow << " addresses are i32, " << wide
                          << " are i64";
  }

  /// Sets the width, or checks the one that is there.
  static WalkResult setWidth(Operation *op, bool fits,
                             std::optional<int64_t> last, int64_t &narrow,
                             int64_t &wide) {
    auto access = dyn_cast<TileAccess>(op);
    std::optional<Width> present;
    if (access)
      present = access.getWidth();
    else if (auto attr = op->getAttrOfType<WidthAttr>(widthAttrName))
      present = attr.getValue();
    if (present && *present == Width::I32 && !fits) {
      InFlightDiagnostic error = op->emitError("address width i32 is given, ");
      if (last)
        error << "but byte " << *last << " may be touched";
      else
        error << "but an extent has no bound (moe_tile.max_sizes)";
      return WalkResult::interrupt();
    }
    Width width = present ? *present : fits ? Width::I32 : Width::I64;
    ++(width == Width::I32 ? narrow : wide);
    if (access)
      access.setAddressWidth(width);
    else
      op->setAttr(widthAttrName, WidthAttr::get(op->getContext(), width));
    return WalkResult::advance();
  }
};
} // namespace
