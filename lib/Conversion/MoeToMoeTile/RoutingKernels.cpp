//===- RoutingKernels.cpp - Kernels of align and dense weights ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScalarBody.h"

using namespace mlir;
using namespace mlir::moe;

/// Local expert of a global id, -1 for an id outside of [0, experts) or of the
/// map.
static Value localExpert(ScalarBody &k, Value id, Value map, int64_t experts) {
  OpBuilder &b = k.b;
  Location loc = k.loc;
  Value minusOne = k.i32(-1);
  auto inRange = [&](Value v, Value bound) -> Value {
    // Unsigned: negative numbers are beyond every bound.
    return k.cmp(arith::CmpIPredicate::ult, v, bound);
  };
  if (map) {
    Value extent = k.toI32(memref::DimOp::create(b, loc, map, 0));
    auto ifOp = scf::IfOp::create(b, loc, b.getI32Type(), inRange(id, extent),
                                  /*else=*/true);
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(ifOp.thenBlock());
      scf::YieldOp::create(b, loc, k.load(map, k.toIndex(id)));
      b.setInsertionPointToStart(ifOp.elseBlock());
      scf::YieldOp::create(b, loc, minusOne);
    }
    id = ifOp.getResult(0);
  }
  return arith::SelectOp::create(b, loc, inRange(id, k.i32(experts)), id,
                                 minusOne);
}

void moe::emitAlignKernel(KernelBuilder &kernel, Value planIds, Value planMap,
                          Value planTokens, RoutingType type, bool padded,
                          int64_t blockM, const RoutingBuffers &plan,
                          Value planCounts) {
  Value ids = planIds ? kernel.use(planIds) : Value();
  Value map = planMap ? kernel.use(planMap) : Value();
  Value tokens = kernel.use(planTokens);
  Value slots = kernel.use(plan.slots), places = kernel.use(plan.places);
  Value valid = kernel.use(plan.valid), table = kernel.use(plan.table);
  Value count = kernel.use(plan.count), counts = kernel.use(planCounts);
  OpBuilder &b = kernel.b;
  Location loc = kernel.loc;
  ScalarBody k{b, loc};
  int64_t topk = type.getTopk(), experts = type.getExperts();
  Value zero = k.i32(0), one = k.i32(1), minusOne = k.i32(-1);
  Value total = arith::MulIOp::create(b, loc, tokens, k.index(topk));

  // Every position gets a value: pads name the slot behind the last.
  Value pad = k.toI32(total);
  k.loop(memref::DimOp::create(b, loc, slots, 0),
         [&](Value i) { k.store(pad, slots, i); });
  k.loop(memref::DimOp::create(b, loc, table, 0), [&](Value i) {
    k.store(minusOne, table, {i, k.index(0)});
    for (int64_t c = 1; c < 4; ++c)
      k.store(zero, table, {i, k.index(c)});
  });
  k.loop(k.index(experts), [&](Value e) { k.store(zero, counts, e); });

  // Count, remembering each slot's expert where its place will stand.
  k.loop(tokens, [&](Value t) {
    k.loop(k.index(topk), [&](Value j) {
      Value slot = k.add(arith::MulIOp::create(b, loc, t, k.index(topk)), j);
      Value expert =
          ids ? localExpert(k, k.load(ids, {t, j}), map, experts) : k.toI32(j);
      k.store(expert, places, slot);
      Value present = k.cmp(arith::CmpIPredicate::sge, expert, zero);
      k.store(arith::SelectOp::create(b, loc, present, k.toI32(slot), minusOne),
              valid, slot);
      k.when(present, [&] {
        Value at = k.toIndex(expert);
        k.store(k.add(k.load(counts, at), one), counts, at);
      });
    });
  });

  // Offsets and the block table; counts become first rows.
  auto loopOp =
      scf::ForOp::create(b, loc, k.index(0), k.index(experts), k.index(1),
                         ValueRange{k.index(0), k.index(0)});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loopOp.getBody());
    Value e = loopOp.getInductionVar();
    Value row = loopOp.getRegionIterArg(0), used = loopOp.getRegionIterArg(1);
    Value n = k.toIndex(k.load(counts, e));
    k.store(k.toI32(row), counts, e);
    Value blocks = arith::CeilDivSIOp::create(b, loc, n, k.index(blockM));
    k.loop(blocks, [&](Value i) {
      Value first = arith::MulIOp::create(b, loc, i, k.index(blockM));
      Value rows = arith::MinSIOp::create(
          b, loc, k.index(blockM), arith::SubIOp::create(b, loc, n, first));
      Value entry = k.add(used, i);
      k.store(k.toI32(e), table, {entry, k.index(0)});
      k.store(k.toI32(k.add(row, first)), table, {entry, k.index(1)});
      k.store(k.toI32(rows), table, {entry, k.index(2)});
      // Where the block stands among its expert's, if 16 bits can say it.
      Value length = arith::ShLIOp::create(b, loc, k.toI32(blocks), k.i32(16));
      Value place = arith::OrIOp::create(b, loc, k.toI32(i), length);
      Value fits = k.cmp(arith::CmpIPredicate::slt, blocks, k.index(1 << 16));
      k.store(arith::SelectOp::create(b, loc, fits, place, zero), table,
              {entry, k.index(3)});
    });
    Value taken = n;
    if (padded) {
      Value unit = k.index(type.getBlockM());
      taken = arith::MulIOp::create(
          b, loc, arith::CeilDivSIOp::create(b, loc, n, unit), unit);
    }
    scf::YieldOp::create(b, loc,
                         ValueRange{k.add(row, taken), k.add(used, blocks)});
  }
  k.store(k.toI32(loopOp.getResult(1)), count, k.index(0));

  // Places in ascending slot order.
  k.loop(total, [&](Value slot) {
    Value expert = k.load(places, slot);
    k.when(k.cmp(arith::CmpIPredicate::sge, expert, zero), [&] {
      Value at = k.toIndex(expert);
      Value place = k.load(counts, at);
      k.store(k.add(place, one), counts, at);
      k.store(place, places, slot);
      k.store(k.toI32(slot), slots, k.toIndex(place));
    });
  });
}

void moe::emitAlignOp(KernelBuilder &kernel, Value ids, Value map, Value tokens,
                      Value deviceTokens, RoutingType type, bool padded,
                      int64_t blockM, const RoutingBuffers &plan,
                      int64_t shapeTokens) {
  auto use = [&](Value v) { return v ? kernel.use(v) : Value(); };
  ids = use(ids);
  map = use(map);
  tokens = use(tokens);
  deviceTokens = use(deviceTokens);
  Value slots = use(plan.slots), places = use(plan.places);
  Value valid = use(plan.valid), table = use(plan.table);
  Value count = use(plan.count);
  int64_t experts = type.getExperts(), topk = type.getTopk();
  tile::AlignOp::create(kernel.b, kernel.loc, ids, map, tokens, deviceTokens,
                        slots, places, valid, table, count, experts, topk,
                        blockM, padded ? type.getBlockM() : 1);
  // One block counts a few slots sooner than a cluster has met; in a cluster
  // small blocks meet sooner (measured on an H100: 8 slots take 2.5 us by one
  // block of 512 threads and 3.4 by a cluster, 512 slots 3.9 us either way,
  // 8192 take 17 us by one block of 1024 threads, 8 by eight of them and 5.5 by
  // eight of 256; from 32768 on large blocks are not slower).
  constexpr int64_t fewSlots = 512, manySlots = 32768, cluster = 8;
  bool few = shapeTokens > 0 && shapeTokens * topk <= fewSlots;
  bool many = shapeTokens == 0 || shapeTokens * topk >= manySlots;
  int64_t threads = many ? 1024 : 256;
  // A slot for each thread.
  if (few)
    threads = llvm::alignTo(std::max<int64_t>(shapeTokens * topk, 1), 128);
  // One thread for each expert.
  threads = std::max<int64_t>(
      threads, llvm::alignTo(std::min<int64_t>(experts, 1024), 128));
  kernel.kernel.setExecAttr(tile::ExecAttr::get(
      kernel.b.getContext(), threads, few ? 1 : cluster,
      few ? tile::Grid::Tiles : tile::Grid::Persistent, /*resident=*/false));
}

LogicalResult PlanBuilder::convertDenseWeights(DenseWeightsOp op) {
  KernelBuilder kernel = startKernel("dense_weights");
  Value ids = kernel.use(values.lookup(op.getTopkIds()));
  Value weights = kernel.use(values.lookup(op.getTopkWeights()));
  Value map = op.getExpertMap() ? kernel.use(values.lookup(op.getExpertMap()))
                                : Value();
  Value factor =
      op.getFactor() ? kernel.use(values.lookup(op.getFactor())) : Value();
  Value out = kernel.use(values.lookup(op->getResult(0)));
  ScalarBody k{kernel.b, kernel.loc};
  OpBuilder &b = kernel.b;
  auto outType = cast<MemRefType>(out.getType());
  auto idsType = cast<MemRefType>(ids.getType());
  Value experts = k.index(outType.getDimSize(1));
  Value zero = kernel.f32(0.0);
  if (options.alignOp) {
    // A thread for every weight: each looks through the token's choices.
    bool byExpert = isStatic(op);
    Value flat = memref::CollapseShapeOp::create(
        b, loc, out, ArrayRef<ReassociationIndices>{{0, 1}});
    Value tokens = memref::DimOp::create(b, loc, ids, 0);
    parallelRows(kernel, memref::DimOp::create(b, loc, flat, 0), [&](Value at) {
      Value run = byExpert ? tokens : experts;
      Value major = arith::DivUIOp::create(b, loc, at, run);
      Value minor = arith::RemUIOp::create(b, loc, at, run);
      Value t = byExpert ? minor : major, e = byExpert ? major : minor;
      auto sum =
          scf::ForOp::create(b, loc, k.index(0), k.index(idsType.getDimSize(1)),
                             k.index(1), ValueRange{zero});
      {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(sum.getBody());
        Value j = sum.getInductionVar();
        Value expert =
            localExpert(k, k.load(ids, {t, j}), map, outType.getDimSize(1));
        Value w = extendToF32(b, loc, k.load(weights, {t, j}));
        if (factor)
          w = arith::MulFOp::create(b, loc, w,
                                    extendToF32(b, loc, k.load(factor, e)));
        Value added = arith::AddFOp::create(b, loc, sum.getRegionIterArg(0), w);
        Value chosen = k.cmp(arith::CmpIPredicate::eq, expert, k.toI32(e));
        scf::YieldOp::create(
            b, loc,
            ValueRange{arith::SelectOp::create(b, loc, chosen, added,
                                               sum.getRegionIterArg(0))});
      }
      k.store(sum.getResult(0), flat, at);
    });
    launch(kernel);
    return success();
  }
  k.loop(memref::DimOp::create(b, loc, out, 0), [&](Value t) {
    k.loop(experts, [&](Value e) { k.store(zero, out, {t, e}); });
    k.loop(k.index(idsType.getDimSize(1)), [&](Value j) {
      Value expert =
          localExpert(k, k.load(ids, {t, j}), map, outType.getDimSize(1));
      k.when(k.cmp(arith::CmpIPredicate::sge, expert, k.i32(0)), [&] {
        Value at = k.toIndex(expert);
        Value w = extendToF32(b, loc, k.load(weights, {t, j}));
        if (factor)
          w = arith::MulFOp::create(b, loc, w,
                                    extendToF32(b, loc, k.load(factor, at)));
        k.store(arith::AddFOp::create(b, loc, k.load(out, {t, at}), w), out,
                {t, at});
      });
    });
  });
  launch(kernel);
  return success();
}
