//===- MemRefs.cpp - Memory of the host, views of it, ops of memref ------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

MemView MemView::of(std::shared_ptr<HostBuffer> buffer) {
  MemView view;
  view.sizes.assign(buffer->shape.begin(), buffer->shape.end());
  view.strides.assign(view.sizes.size(), 1);
  for (int64_t i = static_cast<int64_t>(view.sizes.size()) - 2; i >= 0; --i)
    view.strides[i] = view.strides[i + 1] * view.sizes[i + 1];
  view.buffer = std::move(buffer);
  return view;
}

std::optional<int64_t> MemView::locate(ArrayRef<int64_t> indices) const {
  int64_t position = offset;
  for (auto [index, size, stride] : llvm::zip(indices, sizes, strides)) {
    if (index < 0 || index >= size)
      return std::nullopt;
    position += index * stride;
  }
  return position;
}

//===----------------------------------------------------------------------===//
// memref
//===----------------------------------------------------------------------===//

/// More elements than this are a mistake of the program under test.
static constexpr int64_t maxElements = int64_t(1) << 28;

FailureOr<std::shared_ptr<HostBuffer>>
moe::tile::allocate(Operation *op, MemRefType type, ArrayRef<int64_t> sizes,
                    bool zero) {
  auto buffer = std::make_shared<HostBuffer>();
  buffer->element = type.getElementType();
  int64_t count = 1;
  for (int64_t extent : type.getShape()) {
    if (ShapedType::isDynamic(extent)) {
      extent = sizes.front();
      sizes = sizes.drop_front();
    }
    if (extent < 0 || extent > maxElements || (count *= extent) > maxElements) {
      op->emitError("the tile interpreter allocates at most ")
          << maxElements << " elements, an extent is " << extent;
      return failure();
    }
    buffer->shape.push_back(extent);
  }
  bool isFloat = isa<FloatType>(type.getElementType());
  HostScalar fill = !zero     ? HostScalar::ofUndefined()
                    : isFloat ? HostScalar::ofFloat(0)
                              : HostScalar::ofInt(0);
  buffer->data.assign(count, fill);
  return buffer;
}

LogicalResult Runner::runMemref(Operation &op, bool &known) {
  known = true;
  if (auto load = dyn_cast<memref::LoadOp>(op)) {
    FailureOr<SmallVector<int64_t>> indices =
        getIndices(&op, load.getIndices());
    if (failed(indices))
      return failure();
    MemView view = get<MemView>(load.getMemRef());
    std::optional<int64_t> position = view.locate(*indices);
    if (!position)
      return op.emitError("index out of bounds");
    set(load.getResult(), view.buffer->data[*position]);
    return success();
  }
  if (auto store = dyn_cast<memref::StoreOp>(op)) {
    FailureOr<SmallVector<int64_t>> indices =
        getIndices(&op, store.getIndices());
    if (failed(indices))
      return failure();
    MemView view = get<MemView>(store.getMemRef());
    std::optional<int64_t> position = view.locate(*indices);
    if (!position)
      return op.emitError("index out of bounds");
    view.buffer->data[*position] = get<HostScalar>(store.getValue());
    return success();
  }
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    FailureOr<int64_t> index = getIndex(&op, dim.getIndex());
    if (failed(index))
      return failure();
    MemView view = get<MemView>(dim.getSource());
    if (*index < 0 || *index >= static_cast<int64_t>(view.sizes.size()))
      return op.emitError("no dimension ") << *index;
    set(dim.getResult(), HostScalar::ofInt(view.sizes[*index]));
    return success();
  }
  if (isa<memref::AllocOp>(op)) {
    FailureOr<SmallVector<int64_t>> sizes = getIndices(&op, op.getOperands());
    if (failed(sizes))
      return failure();
    auto type = cast<MemRefType>(op.getResult(0).getType());
    auto buffer = allocate(&op, type, *sizes, /*zero=*/false);
    if (failed(buffer))
      return failure();
    set(op.getResult(0), MemView::of(*buffer));
    return success();
  }
  if (isa<memref::DeallocOp>(op))
    return success();
  if (auto cast = dyn_cast<memref::CastOp>(op)) {
    set(cast.getResult(), values[cast.getSource()]);
    return success();
  }
  if (auto collapse = dyn_cast<memref::CollapseShapeOp>(op)) {
    MemView source = get<MemView>(collapse.getSrc());
    MemView view{source.buffer, source.offset, {}, {}};
    for (const auto &group : collapse.getReassociationIndices()) {
      int64_t size = 1;
      for (int64_t dim : group)
        size *= source.sizes[dim];
      view.sizes.push_back(size);
      view.strides.push_back(source.strides[group.back()]);
    }
    set(collapse.getResult(), view);
    return success();
  }
  if (auto expand = dyn_cast<memref::ExpandShapeOp>(op)) {
    MemView source = get<MemView>(expand.getSrc());
    MemView view{source.buffer, source.offset, {}, {}};
    auto type = cast<MemRefType>(expand.getType());
    FailureOr<SmallVector<int64_t>> dynamic =
        getIndices(&op, expand.getOutputShape());
    if (failed(dynamic))
      return failure();
    for (auto [dim, size] : llvm::enumerate(type.getShape()))
      view.sizes.push_back(ShapedType::isDynamic(size)
                               ? (*dynamic)[type.getDynamicDimIndex(dim)]
                               : size);
    view.strides.resize(view.sizes.size());
    for (auto [from, group] :
         llvm::enumerate(expand.getReassociationIndices())) {
      int64_t stride = source.strides[from], count = 1;
      for (int64_t dim : llvm::reverse(group)) {
        view.strides[dim] = stride;
        stride *= view.sizes[dim];
        count *= view.sizes[dim];
      }
      if (count != source.sizes[from])
        return op.emitOpError("expands ")
               << source.sizes[from] << " elements to " << count;
    }
    set(expand.getResult(), view);
    return success();
  }
  if (auto subview = dyn_cast<memref::SubViewOp>(op)) {
    MemView source = get<MemView>(subview.getSource());
    MemView view;
    view.buffer = source.buffer;
    view.offset = source.offset;
    llvm::SmallBitVector dropped = subview.getDroppedDims();
    auto offsets = subview.getMixedOffsets(), sizes = subview.getMixedSizes(),
         strides = subview.getMixedStrides();
    for (unsigned i = 0, e = offsets.size(); i != e; ++i) {
      int64_t part[3];
      OpFoldResult folded[3] = {offsets[i], sizes[i], strides[i]};
      for (unsigned j = 0; j < 3; ++j) {
        if (auto attr = dyn_cast<Attribute>(folded[j])) {
          part[j] = cast<IntegerAttr>(attr).getInt();
          continue;
        }
        FailureOr<int64_t> index = getIndex(&op, cast<Value>(folded[j]));
        if (failed(index))
          return failure();
        part[j] = *index;
      }
      if (part[0] < 0 || part[1] < 0 ||
          part[0] + (part[1] - 1) * part[2] >= source.sizes[i])
        return op.emitError("subview out of bounds in dimension ") << i;
      view.offset += part[0] * source.strides[i];
      if (dropped.test(i))
        continue;
      view.sizes.push_back(part[1]);
      view.strides.push_back(part[2] * source.strides[i]);
    }
    set(subview.getResult(), view);
    return success();
  }
  if (auto rmw = dyn_cast<memref::AtomicRMWOp>(op)) {
    FailureOr<SmallVector<int64_t>> indices = getIndices(&op, rmw.getIndices());
    if (failed(indices))
      return failure();
    MemView view = get<MemView>(rmw.getMemref());
    std::optional<int64_t> position = view.locate(*indices);
    std::optional<ScalarType> type = ScalarType::of(rmw.getValue().getType());
    if (!position || !type)
      return op.emitError("index out of bounds");
    HostScalar &cell = view.buffer->data[*position];
    HostScalar old = cell, value = get<HostScalar>(rmw.getValue());
    if (old.undefined || value.undefined)
      cell = HostScalar::ofUndefined();
    else if (rmw.getKind() == arith::AtomicRMWKind::addi)
      cell.i = wrapTo(*type, old.i + value.i);
    else if (rmw.getKind() == arith::AtomicRMWKind::addf)
      cell.f = roundTo(*type, old.f + value.f, machine.options.wide);
    else if (rmw.getKind() == arith::AtomicRMWKind::assign)
      cell = value;
    else
      return op.emitError("the tile interpreter knows addi, addf and assign");
    set(rmw.getResult(), old);
    return success();
  }
  known = false;
  return success();
}
