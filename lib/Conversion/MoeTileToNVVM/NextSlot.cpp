//===- NextSlot.cpp - Waiting beside a product for the next slot ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A team that scales every product into a sum has nothing under way while it
// adds, so what stands between the last addition and the next product is lost:
// the barrier of the slot, the fence behind it, the reads of factors. They move
// behind the start of the step's last product, one step ahead. The last step
// waits for its own slot again, which is full: no branch, behind which the
// assembler would put additions. The tile program stays the same: a wait may
// stand anywhere before the first use of its slot and behind the wait before
// it, and nothing of the slot is used before its barrier has been passed.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

std::optional<NextSlot> KernelEmitter::findNextSlot(scf::ForOp loop) {
  // Narrower tiles wait for the cache, one team alone for memory: they give a
  // slot back sooner if they do not wait for the next one first (128 x 128
  // products: 4 % slower with that wait).
  if (!warpgroups || !hopper || trim || !team.role ||
      team.role.getCopies() < 2 || !fillsRegisters(kernel))
    return std::nullopt;
  NextSlot next;
  tile::MmaOp product;
  tile::ReleaseOp release;
  tile::PromoteOp sum;
  for (Operation &op : loop.getBody()->without_terminator()) {
    if (auto wait = dyn_cast<tile::WaitOp>(op); wait && !next.wait)
      next.wait = wait;
    else if (auto load = dyn_cast<tile::FragLoadOp>(op);
             load && !load.getAt() && !product &&
             load.getBuffer().getDefiningOp() == next.wait)
      next.factors.push_back(load);
    else if (auto mma = dyn_cast<tile::MmaOp>(op); mma && !product)
      product = mma;
    else if (auto give = dyn_cast<tile::ReleaseOp>(op); give && !release)
      release = give;
    else if (auto promote = dyn_cast<tile::PromoteOp>(op); promote && !sum)
      sum = promote;
    else if (!isa<tile::AccReadOp>(op))
      return std::nullopt;
  }
  if (!next.wait || !product || !release || !sum ||
      promotionOf(product) != sum || !release->isBeforeInBlock(sum) ||
      release.getRing() != next.wait.getRing() ||
      release.getCursor() != next.wait.getCursor() ||
      !llvm::is_contained(loop.getRegionIterArgs(), next.wait.getCursor()))
    return std::nullopt;
  for (Value operand : {product.getA(), product.getB()})
    if (operand.getDefiningOp() != next.wait)
      return std::nullopt;
  return next;
}

FailureOr<SmallVector<Value>> KernelEmitter::readSlot(NextSlot &next) {
  const RingPlace &ring = rings[next.wait.getRing()];
  SmallVector<Value> cursor = parts[next.wait.getCursor()];
  waitForSlot(ring, cursor);
  SmallVector<Value> buffers = slotBuffers(ring, cursor[0]);
  for (auto [result, buffer] : llvm::zip(next.wait.getBuffers(), buffers))
    parts[result] = {buffer, cursor[0]};
  SmallVector<Value> values;
  SmallVector<unsigned> places;
  DenseMap<Value, unsigned> known;
  for (tile::FragLoadOp load : next.factors) {
    if (failed(emitFragLoad(load)))
      return failure();
    for (Value v : parts[load.getResult()]) {
      auto [it, added] = known.try_emplace(v, values.size());
      if (added)
        values.push_back(v);
      places.push_back(it->second);
    }
  }
  if (next.places.empty())
    next.places = places;
  return values;
}

void KernelEmitter::bindFactors(const NextSlot &next, ValueRange values) {
  ArrayRef<unsigned> places = next.places;
  for (tile::FragLoadOp load : next.factors) {
    SmallVector<Value> &registers = parts[load.getResult()];
    for (Value &v : registers) {
      v = values[places.front()];
      places = places.drop_front();
    }
  }
}

LogicalResult KernelEmitter::readNextSlot() {
  if (!nextSlot)
    return success();
  NextSlot &next = *nextSlot;
  const RingPlace &ring = rings[next.wait.getRing()];
  SmallVector<std::pair<Value, SmallVector<Value>>> current;
  auto keep = [&](Value v) { current.push_back({v, parts[v]}); };
  keep(next.wait.getCursor());
  for (Value buffer : next.wait.getBuffers())
    keep(buffer);
  for (tile::FragLoadOp load : next.factors)
    keep(load.getResult());
  SmallVector<Value> cursor = parts[next.wait.getCursor()];
  SmallVector<Value> following = advance(ring, cursor);
  for (auto [at, now] : llvm::zip(following, cursor))
    at = arith::SelectOp::create(b, loc, next.more, at, now);
  parts[next.wait.getCursor()] = following;
  Value more = std::exchange(next.more, Value());
  FailureOr<SmallVector<Value>> values = readSlot(next);
  next.more = more;
  if (failed(values))
    return failure();
  next.ahead = *values;
  for (auto &[v, registers] : current)
    parts[v] = registers;
  return success();
}
