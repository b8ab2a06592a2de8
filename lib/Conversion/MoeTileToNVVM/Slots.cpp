//===- Slots.cpp - Routings that nobody has sorted ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A tile of a slot list looks up its expert itself. Tiles of absent slots have
// no rows, so that all they do is skipped but for what other tiles wait for:
// their arrival at the sum of their token's rows.
//
// The last of a token's tiles sums: each team releases its stores by a barrier,
// a fence and an addition by one thread; the thread that finds all others there
// acquires theirs by a fence, and tells its team through shared memory.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Scope of everything that crosses blocks.
static constexpr StringLiteral kDevice = "device";

LogicalResult KernelEmitter::emitClear(Operation &op) {
  if (auto absent = dyn_cast<tile::ClearAbsentOp>(op))
    return emitClearAbsent(absent);
  auto it = memories.find(cast<tile::ClearOp>(op).getMemory());
  if (it == memories.end())
    return op.emitOpError("clears memory that is no kernel argument");
  const Memory &memory = it->second;
  Value total = c64(1);
  for (int64_t d = 0; d < memory.type.getRank(); ++d)
    total = mul(total, wide(extent(memory, d)));
  // Teams of a role clear side by side what is a block's.
  int64_t threads = kernel.getExecAttr().getThreads();
  Value thread;
  if (team.role) {
    threads = team.threads * team.role.getCopies();
    thread = team.thread;
    if (team.role.getCopies() > 1)
      thread = add(thread, mul(team.group, c32(team.threads)));
  } else {
    thread = NVVM::ThreadIdXOp::create(b, loc, b.getI32Type());
  }
  Value block = NVVM::BlockIdXOp::create(b, loc, b.getI32Type());
  Value blocks = NVVM::GridDimXOp::create(b, loc, b.getI32Type());
  auto loop =
      scf::ForOp::create(b, loc, wide(add(mul(block, c32(threads)), thread)),
                         total, wide(mul(blocks, c32(threads))));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  LLVM::StoreOp::create(b, loc, c32(0),
                        globalAt(memory, loop.getInductionVar()),
                        /*alignment=*/4);
  return success();
}

LogicalResult KernelEmitter::emitSkipping(tile::ForTilesOp op, Value rows,
                                          ValueRange carried,
                                          SmallVectorImpl<Value> &next) {
  Block &body = op.getBody().front();
  Value thread = team.thread; // which a loop in the branch may make anew
  tile::SumLastOp sum;
  for (Operation &other : body) {
    // Coordinates serve what stands behind the branch, too.
    if (isa<tile::CoordsOp>(other) && failed(emitOp(other)))
      return failure();
    if (auto last = dyn_cast<tile::SumLastOp>(other))
      sum = last;
  }
  auto ifOp = scf::IfOp::create(b, loc, TypeRange(carried),
                                cmp(arith::CmpIPredicate::sgt, rows, c32(0)),
                                /*withElse=*/true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(ifOp.thenBlock());
    for (Operation &other : body.without_terminator()) {
      loc = other.getLoc();
      if (!isa<tile::CoordsOp, tile::SumLastOp>(other) && failed(emitOp(other)))
        return failure();
    }
    SmallVector<Value> ends = flatten(body.getTerminator()->getOperands());
    if (!ends.empty())
      scf::YieldOp::create(b, loc, ends);
    b.setInsertionPointToStart(ifOp.elseBlock());
    if (!ends.empty())
      scf::YieldOp::create(b, loc, carried);
  }
  next.assign(ifOp.getResults().begin(), ifOp.getResults().end());
  team.thread = thread;
  return sum ? emitSumLast(sum) : success();
}

LogicalResult KernelEmitter::emitSumLast(tile::SumLastOp op) {
  if (!team.role || team.single)
    return op.emitOpError("stands outside of the roles that store, which has "
                          "no lowering to NVVM");
  SlotSource source = SlotSource::of(op);
  for (Value memory : {op.getRows(), op.getOut(), op.getCounters()})
    if (!memories.count(memory))
      return op.emitOpError("works on memory that is no kernel argument");
  if (!knowsSlots(source))
    return op.emitOpError("reads ids that are no kernel argument");
  bool byCopies = false;
  op->getParentOfType<tile::ForTilesOp>().walk([&](tile::StoreOp store) {
    byCopies |=
        store.getHow() == tile::How::Desc || store.getHow() == tile::How::Bulk;
  });
  if (byCopies)
    return op.emitOpError("sums rows that the copy engine stores; use store = "
                          "\"vector\" or \"staged\"");
  int64_t topk = source.topk;
  Value row = scalar(op.getRow()), n0 = scalar(op.getN0());
  Value token = arith::DivUIOp::create(b, loc, row, c32(topk));
  Value firstSlot = mul(token, c32(topk));
  // What is there of the token's slots, while the stores are under way.
  SmallVector<Value> present(topk);
  Value any, some;
  for (int64_t j = 0; j < topk; ++j) {
    expertOf(source, add(firstSlot, c32(j)), present[j]);
    any =
        any ? Value(arith::OrIOp::create(b, loc, any, present[j])) : present[j];
  }
  for (int64_t j = topk - 1; j >= 0; --j)
    some =
        some ? Value(arith::SelectOp::create(b, loc, present[j], c32(j), some))
             : c32(j);

  // Arrive.
  Value told = sharedAt(shared(lastFlags), mul(team.group, c32(4)));
  teamBarrier();
  ifThen(firstThread(), [&] {
    const Memory &counters = memories[op.getCounters()];
    Value column = arith::DivUIOp::create(b, loc, n0, c32(int64_t(op.getBy())));
    Value at = add(mul(wide(token), wide(extent(counters, 1))), wide(column));
    LLVM::FenceOp::create(b, loc, LLVM::AtomicOrdering::release, kDevice);
    Value before = LLVM::AtomicRMWOp::create(
        b, loc, LLVM::AtomicBinOp::add, globalAt(counters, at), c32(1),
        LLVM::AtomicOrdering::monotonic, kDevice);
    LLVM::FenceOp::create(b, loc, LLVM::AtomicOrdering::acquire, kDevice);
    Value all = c32(topk * int64_t(op.getTeams()) - 1);
    Value last = arith::ExtUIOp::create(
        b, loc, b.getI32Type(), cmp(arith::CmpIPredicate::eq, before, all));
    LLVM::StoreOp::create(b, loc, last, told, /*alignment=*/4);
  });
  teamBarrier();
  Value last = LLVM::LoadOp::create(b, loc, b.getI32Type(), told,
                                    /*alignment=*/4);

  // Sum.
  const Memory &rows = memories[op.getRows()], &out = memories[op.getOut()];
  Type element = rows.type.getElementType(),
       outElement = out.type.getElementType(), f32 = b.getF32Type();
  Value columns = extent(rows, 1);
  Value end = add(n0, c32(op.getBy()));
  end = arith::MinSIOp::create(b, loc, end, columns);
  ifThen(cmp(arith::CmpIPredicate::ne, last, c32(0)), [&] {
    auto loop = scf::ForOp::create(b, loc, add(n0, team.thread), end,
                                   c32(team.threads));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value column = wide(loop.getInductionVar());
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0.0));
    auto ifOp = scf::IfOp::create(b, loc, TypeRange(f32), any, true);
    b.setInsertionPointToStart(ifOp.thenBlock());
    // All loads are under way before the first addition: an absent row is read
    // as another one and forgotten.
    SmallVector<Value> terms;
    for (int64_t j = 0; j < topk; ++j) {
      Value chosen = arith::SelectOp::create(b, loc, present[j], c32(j), some);
      Value at = add(mul(wide(add(firstSlot, chosen)), wide(columns)), column);
      terms.push_back(
          LLVM::LoadOp::create(b, loc, element, globalAt(rows, at)));
    }
    Value total = zero;
    for (auto [term, there] : llvm::zip_equal(terms, present)) {
      Value wideTerm = term;
      if (!element.isF32())
        wideTerm = arith::ExtFOp::create(b, loc, f32, term);
      total = arith::AddFOp::create(
          b, loc, total,
          arith::SelectOp::create(b, loc, there, wideTerm, zero));
    }
    scf::YieldOp::create(b, loc, total);
    b.setInsertionPointToStart(ifOp.elseBlock());
    scf::YieldOp::create(b, loc, zero);
    b.setInsertionPointAfter(ifOp);
    Value rounded = ifOp.getResult(0);
    if (!outElement.isF32())
      rounded = arith::TruncFOp::create(b, loc, outElement, rounded);
    Value at = add(mul(wide(token), wide(columns)), column);
    LLVM::StoreOp::create(b, loc, rounded, globalAt(out, at));
  });
  return success();
}
