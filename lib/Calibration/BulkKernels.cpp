//===- BulkKernels.cpp - Rings of bulk copies -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One thread of a block keeps a ring of copies in flight, as the producers of
// products do. Places, slots and phases are counted, never divided: a division
// of 64-bit numbers takes as long as a piece.
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::calibration;

namespace {
/// The ring of a kernel: slots from the first byte on, barriers behind them.
class Ring {
public:
  Ring(KernelBuilder &k, Value piece, Value slots)
      : k(k), piece(piece), slots(slots), base(k.shared(0)),
        barriers(k.at(base, k.mul(piece, slots))) {}

  void init() {
    k.loop(k.c32(0), slots, k.c32(1), {}, [&](Value slot, ValueRange) {
      NVVM::MBarrierInitOp::create(k.b, k.loc, barrierAt(slot), k.c32(1),
                                   Value());
      return SmallVector<Value>();
    });
    NVVM::FenceMbarrierInitOp::create(k.b, k.loc);
  }
  Value slotAt(Value slot) { return k.at(base, k.mul(slot, piece)); }
  Value barrierAt(Value slot) { return k.at(barriers, k.shl(slot, k.c32(3))); }
  /// Starts the copy of a piece into a slot.
  void start(Value from, Value slot) {
    Value barrier = barrierAt(slot);
    NVVM::MBarrierArriveExpectTxOp::create(k.b, k.loc, Type(), barrier, piece,
                                           NVVM::MemScopeKind::CTA,
                                           /*relaxed=*/false, Value());
    Type cluster = KernelBuilder::pointer(k.b.getContext(), 7);
    NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(
        k.b, k.loc,
        LLVM::AddrSpaceCastOp::create(k.b, k.loc, cluster, slotAt(slot)), from,
        barrier, piece, Value(), Value());
  }
  void wait(Value slot, Value parity) {
    NVVM::MBarrierTryWaitParityOp::create(k.b, k.loc, barrierAt(slot), parity,
                                          k.c32(10000000));
  }
  /// The slot after this one, and whether that is the first again.
  std::pair<Value, Value> next(Value slot) {
    Value after = k.add(slot, k.c32(1));
    Value wraps = k.same(after, slots);
    return {k.select(wraps, k.c32(0), after), wraps};
  }

private:
  KernelBuilder &k;
  Value piece, slots, base, barriers;
};
} // namespace

/// probe_bulk_read(source, pieces of the window, pieces, bytes of a piece,
/// slots, blocks, random, out): block b reads pieces b, b + blocks, ..., round
/// the window, or at places that these numbers decide if `random`. `out` gets
/// the first words of a block's pieces, added without carry.
static void addBulkRead(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext());
  Type i32 = t.getI32Type(), i64 = t.getI64Type();
  KernelBuilder k(module, target, "probe_bulk_read",
                  {p, i64, i64, i32, i32, i32, i32, p}, 32);
  Value window = k.arg(1), total = k.arg(2), slots = k.arg(4);
  Value piece = k.extend(k.arg(3)), blocks = k.extend(k.arg(5));
  Value random = k.less(k.c32(0), k.arg(6));
  Ring ring(k, k.arg(3), slots);
  // A step of the window; less than one window.
  Value stride = arith::RemUIOp::create(k.b, k.loc, blocks, window);
  Value block = k.extend(k.block());
  k.when(k.same(k.thread(), k.c32(0)), [&] {
    ring.init();
    auto placeOf = [&](Value number, Value at) {
      Value hashed =
          k.shr(k.mul(k.extend(k.mix(k.low(number))), window), k.c64(32));
      return k.at(k.arg(0), k.mul(k.select(random, hashed, at), piece));
    };
    auto step = [&](Value at) {
      Value next = k.add(at, stride);
      return k.select(k.less(next, window), next, k.sub(next, window));
    };
    // The ring's first round: number, place, slot.
    Value first = arith::RemUIOp::create(k.b, k.loc, block, window);
    SmallVector<Value> carried =
        k.loop(k.c32(0), slots, k.c32(1), {block, first},
               [&](Value slot, ValueRange carried) {
                 k.when(k.less(carried[0], total), [&] {
                   ring.start(placeOf(carried[0], carried[1]), slot);
                 });
                 return SmallVector<Value>{k.add(carried[0], blocks),
                                           step(carried[1])};
               });
    // Then whoever arrives makes room for one more.
    Value sum =
        k.loop(block, total, blocks,
               {carried[0], carried[1], k.c32(0), k.c32(0), k.c32(0)},
               [&](Value, ValueRange carried) {
                 Value slot = carried[2], parity = carried[3];
                 ring.wait(slot, parity);
                 Value word = k.load(i32, ring.slotAt(slot), 4);
                 k.when(k.less(carried[0], total), [&] {
                   ring.start(placeOf(carried[0], carried[1]), slot);
                 });
                 auto [next, wraps] = ring.next(slot);
                 return SmallVector<Value>{
                     k.add(carried[0], blocks), step(carried[1]), next,
                     k.select(wraps, k.bitXor(parity, k.c32(1)), parity),
                     k.bitXor(carried[4], word)};
               })[4];
    k.store(sum, k.at(k.arg(7), k.shl(k.extend(k.block()), k.c64(2))), 4);
  });
}

/// probe_bulk_copy(source, destination, pieces, bytes of a piece, slots,
/// blocks): block b copies pieces b, b + blocks, ... through its ring. At least
/// two slots.
static void addBulkCopy(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext());
  Type i32 = t.getI32Type(), i64 = t.getI64Type();
  KernelBuilder k(module, target, "probe_bulk_copy", {p, p, i64, i32, i32, i32},
                  32);
  Value total = k.arg(2), slots = k.arg(4);
  Value piece = k.extend(k.arg(3)), blocks = k.extend(k.arg(5));
  Ring ring(k, k.arg(3), slots);
  Value block = k.extend(k.block());
  k.when(k.same(k.thread(), k.c32(0)), [&] {
    ring.init();
    auto start = [&](Value number, Value slot) {
      k.when(k.less(number, total),
             [&] { ring.start(k.at(k.arg(0), k.mul(number, piece)), slot); });
    };
    // One slot less: a slot's store is given the time of one more piece before
    // the slot is filled again.
    Value ahead = k.loop(k.c32(0), k.sub(slots, k.c32(1)), k.c32(1), block,
                         [&](Value slot, ValueRange carried) {
                           start(carried[0], slot);
                           return SmallVector<Value>{k.add(carried[0], blocks)};
                         })[0];
    k.loop(block, total, blocks,
           {ahead, k.sub(slots, k.c32(1)), k.c32(0), k.c32(0)},
           [&](Value number, ValueRange carried) {
             Value slot = carried[2], parity = carried[3];
             ring.wait(slot, parity);
             NVVM::CpAsyncBulkSharedCTAToGlobalOp::create(
                 k.b, k.loc, k.at(k.arg(1), k.mul(number, piece)),
                 ring.slotAt(slot), k.arg(3), Value(), Value());
             NVVM::CpAsyncBulkCommitGroupOp::create(k.b, k.loc);
             NVVM::CpAsyncBulkWaitGroupOp::create(k.b, k.loc, uint32_t(1),
                                                  k.b.getUnitAttr());
             start(carried[0], carried[1]);
             auto [next, wraps] = ring.next(slot);
             return SmallVector<Value>{
                 k.add(carried[0], blocks), slot, next,
                 k.select(wraps, k.bitXor(parity, k.c32(1)), parity)};
           });
    NVVM::CpAsyncBulkWaitGroupOp::create(k.b, k.loc, uint32_t(0), UnitAttr());
  });
}

void calibration::addBulkKernels(ModuleOp module, const ProbeTarget &target) {
  addBulkRead(module, target);
  addBulkCopy(module, target);
}
