//===- Sums.cpp - Sums over top-k by the tiles of a product ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every thread that counts a row releases the stores of its team by the barrier
// before and a fence; one that completes a token's count acquires those of all
// others by a fence, and tells its team through shared memory, behind a second
// barrier. So nobody waits for another block: the sum is made by whoever comes
// last, in the order of the slots.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Scope of everything that crosses blocks.
static constexpr StringLiteral kDevice = "device";
static constexpr int64_t kWarp = 32;

int64_t KernelEmitter::rowsOfTeam(tile::SumArrivedOp op) {
  int64_t rows = cast<tile::RowsType>(op.getSlots().getType()).getCount();
  auto role = op->getParentOfType<tile::RoleOp>();
  bool byRows =
      role && role.getCopies() > 1 && role.getDivide() == tile::Divide::M;
  return byRows ? rows / role.getCopies() : rows;
}

Value KernelEmitter::isPlaced(Value places, Value slot) {
  return cmp(arith::CmpIPredicate::sge, loadWord(places, slot), c32(0));
}

SmallVector<Value> KernelEmitter::loadColumns(const Memory &memory, Value at,
                                              int64_t count) {
  Type element = memory.type.getElementType(), f32 = b.getF32Type(),
       i32 = b.getI32Type();
  auto widen = [&](Value v) -> Value {
    return v.getType().isF32() ? v
                               : Value(arith::ExtFOp::create(b, loc, f32, v));
  };
  if (count == 1)
    return {widen(LLVM::LoadOp::create(b, loc, element, globalAt(memory, at)))};
  // Sixteen bytes; bf16 is the upper half of f32.
  Value words = LLVM::LoadOp::create(b, loc, VectorType::get({4}, i32),
                                     globalAt(memory, at), /*alignment=*/16);
  auto as = [&](Type type, Value v) -> Value {
    return LLVM::BitcastOp::create(b, loc, type, v);
  };
  SmallVector<Value> values;
  for (int64_t i = 0; i < 4; ++i) {
    Value word = LLVM::ExtractElementOp::create(b, loc, words, c32(i));
    if (element.isF32()) {
      values.push_back(as(f32, word));
      continue;
    }
    Value upper = arith::ShRUIOp::create(b, loc, word, c32(16));
    if (element.isBF16()) {
      values.push_back(as(f32, arith::ShLIOp::create(b, loc, word, c32(16))));
      values.push_back(
          as(f32, arith::AndIOp::create(b, loc, word, c32(~int64_t(0xFFFF)))));
      continue;
    }
    for (Value half : {word, upper})
      values.push_back(widen(
          as(element, arith::TruncIOp::create(b, loc, b.getI16Type(), half))));
  }
  return values;
}

void KernelEmitter::storeColumns(const Memory &memory, Value at,
                                 ArrayRef<Value> values) {
  Type element = memory.type.getElementType(), i32 = b.getI32Type();
  int64_t perWord = element.isF32() ? 1 : 2;
  auto round = [&](Value v) -> Value {
    return element.isF32() ? v
                           : Value(arith::TruncFOp::create(b, loc, element, v));
  };
  if (values.size() == 1) {
    LLVM::StoreOp::create(b, loc, round(values[0]), globalAt(memory, at));
    return;
  }
  SmallVector<Value> words;
  for (size_t i = 0; i < values.size(); i += perWord) {
    if (perWord == 1) {
      words.push_back(LLVM::BitcastOp::create(b, loc, i32, values[i]));
      continue;
    }
    Value halves[2];
    for (size_t j : {0, 1})
      halves[j] =
          arith::ExtUIOp::create(b, loc, i32,
                                 LLVM::BitcastOp::create(b, loc, b.getI16Type(),
                                                         round(values[i + j])));
    words.push_back(arith::OrIOp::create(
        b, loc, halves[0], arith::ShLIOp::create(b, loc, halves[1], c32(16))));
  }
  size_t step = std::min<size_t>(words.size(), 4);
  for (size_t first = 0; first < words.size(); first += step) {
    auto type = VectorType::get({int64_t(step)}, i32);
    Value v = LLVM::PoisonOp::create(b, loc, type);
    for (size_t i = 0; i < step; ++i)
      v = LLVM::InsertElementOp::create(b, loc, v, words[first + i], c32(i));
    Value to = add(wide(c32(first * perWord)), at);
    LLVM::StoreOp::create(b, loc, v, globalAt(memory, to),
                          /*alignment=*/4 * step);
  }
}

/// Columns that a thread handles at a time: 16 bytes of `rows`, if all rows and
/// column blocks consist of whole ones.
static int64_t columnsAtOnce(MemRefType rows, int64_t by) {
  int64_t size = rows.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t count = 16 / size, columns = rows.getDimSize(1);
  bool whole = !ShapedType::isDynamic(columns) && columns % count == 0 &&
               by % count == 0;
  return whole ? count : 1;
}

void KernelEmitter::sumToken(tile::SumArrivedOp op, Value token, Value lane,
                             int64_t lanes) {
  const Memory &rows = memories[op.getRows()], &out = memories[op.getOut()];
  int64_t topk = op.getTopk(), count = columnsAtOnce(rows.type, op.getBy());
  Value columns = extent(rows, 1), n0 = scalar(op.getN0());
  Value end = arith::MinSIOp::create(b, loc, add(n0, c32(op.getBy())), columns);
  Value firstSlot = mul(token, c32(topk));
  // An absent row is read as another one and forgotten; one is there.
  SmallVector<Value> places, present;
  Value some;
  if (!op.getAdded()) {
    for (int64_t j = 0; j < topk; ++j) {
      places.push_back(loadWord(op.getPlaces(), add(firstSlot, c32(j))));
      present.push_back(cmp(arith::CmpIPredicate::sge, places[j], c32(0)));
      some = some ? Value(arith::MaxSIOp::create(b, loc, some, places[j]))
                  : places[j];
    }
  }
  auto loop = scf::ForOp::create(b, loc, add(n0, mul(lane, c32(count))), end,
                                 c32(lanes * count));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value column = wide(loop.getInductionVar());
  Value to = add(mul(wide(token), wide(columns)), column);
  if (op.getAdded())
    return storeColumns(out, to, loadColumns(rows, to, count));
  // All loads are under way before the first addition.
  SmallVector<SmallVector<Value>> terms;
  for (int64_t j = 0; j < topk; ++j) {
    Value row = arith::SelectOp::create(b, loc, present[j], places[j], some);
    Value at = add(mul(wide(row), wide(columns)), column);
    terms.push_back(loadColumns(rows, at, count));
  }
  Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0.0));
  SmallVector<Value> total(count, zero);
  for (int64_t j = 0; j < topk; ++j)
    for (int64_t i = 0; i < count; ++i)
      total[i] = arith::AddFOp::create(
          b, loc, total[i],
          arith::SelectOp::create(b, loc, present[j], terms[j][i], zero));
  storeColumns(out, to, total);
}

LogicalResult KernelEmitter::emitSumArrived(tile::SumArrivedOp op) {
  if (!team.role || team.single)
    return op.emitOpError("stands outside of the roles that store, which has "
                          "no lowering to NVVM");
  for (Value memory :
       {op.getRows(), op.getOut(), op.getCounters(), op.getPlaces()})
    if (!memories.count(memory))
      return op.emitOpError("works on memory that is no kernel argument");
  auto list = rowLists.find(op.getSlots());
  if (list == rowLists.end() || !list->second.slots ||
      list->second.divisor != 1)
    return op.emitOpError("takes the slots of the tile's rows");
  bool byCopies = false;
  op->getParentOfType<tile::ForTilesOp>().walk([&](tile::StoreOp store) {
    byCopies |=
        store.getHow() == tile::How::Desc || store.getHow() == tile::How::Bulk;
  });
  if (byCopies)
    return op.emitOpError("sums rows that the copy engine stores; use store = "
                          "\"vector\" or \"staged\"");
  int64_t share = rowsOfTeam(op), topk = op.getTopk(), teams = op.getTeams();
  int64_t all = cast<tile::RowsType>(op.getSlots().getType()).getCount();
  int64_t counting = share == all ? team.role.getCopies() : 1;
  if (teams != counting)
    return op.emitOpError("a row is stored by ")
           << counting << " teams, the count is of " << teams;
  const Memory &counters = memories[op.getCounters()];
  Value n0 = scalar(op.getN0());
  Value column = arith::DivUIOp::create(b, loc, n0, c32(op.getBy()));
  Value firstRow = share == all ? c32(0) : mul(team.group, c32(share));
  Value flags = sharedAt(shared(sumFlags), mul(team.group, c32(4 * share)));

  // What is counted, looked up while the stores are under way.
  struct Row {
    Value number, active, there, token, want;
  };
  SmallVector<Row> counted;
  for (int64_t from = 0; from < share; from += team.threads) {
    Row row;
    row.number = from ? add(team.thread, c32(from)) : team.thread;
    if (share - from < team.threads)
      row.active = cmp(arith::CmpIPredicate::ult, row.number, c32(share));
    // A thread without a row looks at the tile's first one.
    Value m = row.number;
    if (row.active)
      m = arith::SelectOp::create(b, loc, row.active, m, c32(0));
    row.there = row.active;
    Value slot = rowNumber(list->second, add(firstRow, m), row.there);
    slot = arith::TruncIOp::create(b, loc, b.getI32Type(), slot);
    row.token = arith::DivUIOp::create(b, loc, slot, c32(topk));
    row.want = c32(0);
    for (int64_t j = 0; j < topk; ++j)
      row.want =
          add(row.want, arith::ExtUIOp::create(
                            b, loc, b.getI32Type(),
                            isPlaced(op.getPlaces(),
                                     add(mul(row.token, c32(topk)), c32(j)))));
    row.want = sub(mul(row.want, c32(teams)), c32(1));
    counted.push_back(row);
  }

  // Arrive.
  teamBarrier();
  for (const Row &row : counted) {
    auto ifOp = scf::IfOp::create(b, loc, TypeRange(b.getI32Type()), row.there,
                                  /*withElse=*/true);
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(ifOp.thenBlock());
      Value at =
          add(mul(wide(row.token), wide(extent(counters, 1))), wide(column));
      LLVM::FenceOp::create(b, loc, LLVM::AtomicOrdering::release, kDevice);
      Value before = LLVM::AtomicRMWOp::create(
          b, loc, LLVM::AtomicBinOp::add, globalAt(counters, at), c32(1),
          LLVM::AtomicOrdering::monotonic, kDevice);
      LLVM::FenceOp::create(b, loc, LLVM::AtomicOrdering::acquire, kDevice);
      Value last = arith::SelectOp::create(
          b, loc, cmp(arith::CmpIPredicate::eq, before, row.want), row.token,
          c32(-1));
      scf::YieldOp::create(b, loc, last);
      b.setInsertionPointToStart(ifOp.elseBlock());
      scf::YieldOp::create(b, loc, c32(-1));
    }
    ifThen(row.active, [&] {
      LLVM::StoreOp::create(b, loc, ifOp.getResult(0),
                            sharedAt(flags, mul(row.number, c32(4))),
                            /*alignment=*/4);
    });
  }
  teamBarrier();

  // Sum.
  int64_t count = columnsAtOnce(memories[op.getRows()].type, op.getBy());
  int64_t lanes = 1;
  while (lanes < kWarp && lanes * count < int64_t(op.getBy()))
    lanes *= 2;
  Value first = arith::DivUIOp::create(b, loc, team.thread, c32(lanes));
  Value lane = arith::RemUIOp::create(b, loc, team.thread, c32(lanes));
  auto loop =
      scf::ForOp::create(b, loc, first, c32(share), c32(team.threads / lanes));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value token = LLVM::LoadOp::create(
      b, loc, b.getI32Type(),
      sharedAt(flags, mul(loop.getInductionVar(), c32(4))), /*alignment=*/4);
  ifThen(cmp(arith::CmpIPredicate::sge, token, c32(0)),
         [&] { sumToken(op, token, lane, lanes); });
  return success();
}

LogicalResult KernelEmitter::emitClearAbsent(tile::ClearAbsentOp op) {
  for (Value memory : {op.getOut(), op.getPlaces()})
    if (!memories.count(memory))
      return op.emitOpError("works on memory that is no kernel argument");
  const Memory &out = memories[op.getOut()];
  // A warp looks at a token.
  Value thread = team.role
                     ? team.thread
                     : Value(NVVM::ThreadIdXOp::create(b, loc, b.getI32Type()));
  int64_t threads =
      team.role ? team.threads : kernel.getExecAttr().getThreads();
  int64_t copies = team.role ? team.role.getCopies() : 1;
  int64_t warps = threads / kWarp * copies;
  Value warp = arith::ShRUIOp::create(b, loc, thread, c32(5));
  if (copies > 1)
    warp = add(warp, mul(team.group, c32(threads / kWarp)));
  Value lane = arith::AndIOp::create(b, loc, thread, c32(kWarp - 1));
  Value block = NVVM::BlockIdXOp::create(b, loc, b.getI32Type());
  Value blocks = NVVM::GridDimXOp::create(b, loc, b.getI32Type());
  int64_t topk = op.getTopk(), count = columnsAtOnce(out.type, 16);
  auto tokens = scf::ForOp::create(b, loc, add(mul(block, c32(warps)), warp),
                                   extent(out, 0), mul(blocks, c32(warps)));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(tokens.getBody());
  Value token = tokens.getInductionVar(), any;
  for (int64_t j = 0; j < topk; ++j) {
    Value there = isPlaced(op.getPlaces(), add(mul(token, c32(topk)), c32(j)));
    any = any ? Value(arith::OrIOp::create(b, loc, any, there)) : there;
  }
  Value none = arith::XOrIOp::create(
      b, loc, any, arith::ConstantOp::create(b, loc, b.getBoolAttr(true)));
  ifThen(none, [&] {
    Value columns = extent(out, 1);
    auto loop = scf::ForOp::create(b, loc, mul(lane, c32(count)), columns,
                                   c32(kWarp * count));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0.0));
    storeColumns(
        out, add(mul(wide(token), wide(columns)), wide(loop.getInductionVar())),
        SmallVector<Value>(count, zero));
  });
  return success();
}
