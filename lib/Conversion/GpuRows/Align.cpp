//===- Align.cpp - moe_tile.align for GPUs --------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One cluster counts all slots: every wave owns a run of consecutive slots and
// a row of counters in shared memory, so no atomics are needed and the rank of
// a slot among its expert's is its number in slot order. The blocks of the
// cluster read each other's counts; a scan over the experts gives first rows.
//
// A scatter of many slots needs more blocks than a cluster has. All clusters of
// the grid therefore count everything, each for itself, and share only the
// writing; so do single blocks where the chip has no clusters. Nothing has to
// be zero at the start, no block waits for one that may not be resident, and
// results depend on the input alone.
//
//===----------------------------------------------------------------------===//

#include "PlainKernel.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

/// Slots of a wave whose loads are in flight together, if there are many.
static constexpr int64_t kSlotsInFlight = 128;
/// A word holds an expert above this many bits of a rank.
static constexpr int64_t kRankBits = 20;

namespace {
class AlignEmitter {
public:
  AlignEmitter(PlainKernel &k, tile::AlignOp op, int64_t threads,
               int64_t cluster, int64_t clusters)
      : k(k), op(op), threads(threads), lanes(k.wave()), warps(threads / lanes),
        cluster(cluster), clusters(clusters), experts(op.getExperts()),
        topk(op.getTopk()), blockM(op.getBlockM()), pad(op.getPad()),
        unroll(getBlocks() == 1 ? 1 : kSlotsInFlight / lanes),
        keep(getBlocks() == 1) {}

  void emit();
  int64_t getBlocks() const { return cluster * clusters; }

private:
  void setUp();
  Value expertOf(Value slot, Value present);
  void clearCounters();
  /// The warp's slot of this lane in a round.
  Value slotOf(Value round) {
    return k.add(first, k.add(k.mul(round, k.c32(lanes)), lane));
  }
  /// The lanes that have the same expert as this one.
  Value lanesWith(Value expert);
  /// Counts unroll rounds; each slot's expert and rank in the warp, or -1.
  SmallVector<Value> countRounds(Value round, Value end);
  /// Whether this cluster writes what belongs to the slot.
  Value isMine(Value round, Value slot, Value end);
  void count();
  void addUp();
  void scanExperts(Value count, Value mine);
  void place(Value word, Value slot, Value mine);
  void scatter();
  void writeTable();
  void fillTails();

  /// Sum over the warp's lanes up to this one.
  Value inclusiveScan(Value v) {
    return k.target.inclusiveSum(k.b, k.loc, v, lane);
  }
  /// A set of lanes, a bit each.
  Value mask(int64_t bits) { return lanes == 64 ? k.c64(bits) : k.c32(bits); }
  /// i32 of a number as wide as a set of lanes.
  Value word(Value v) {
    return lanes == 64
               ? arith::TruncIOp::create(k.b, k.loc, k.b.getI32Type(), v)
               : v;
  }
  Value countOf(Value set) {
    return word(LLVM::CtPopOp::create(k.b, k.loc, set.getType(), set));
  }
  /// Counter of an expert in this warp's row.
  Value counter(Value expert) {
    return k.add(k.mul(warp, k.c32(experts)), expert);
  }

  PlainKernel &k;
  tile::AlignOp op;
  int64_t threads, lanes, warps, cluster, clusters, experts, topk, blockM, pad;
  /// Slots of a lane whose loads are in flight together. One block is for few
  /// slots, one for each thread, whose words stay in registers.
  int64_t unroll;
  bool keep;
  SmallVector<Value> firstWords;
  Value thread, warp, lane; ///< of the block
  Value rank, group;        ///< block in the cluster, cluster in the grid
  Value slots, present;     ///< all of them; those of tokens that exist
  Value rounds, first;      ///< slots of a lane; first slot of the warp
  // Shared memory, words:
  Value counters; ///< [warps][experts]
  Value counts;   ///< [experts]: of this block
  Value bases;    ///< [experts]: row of this block's first slot
  Value firstRows, totals, firstBlocks; ///< [experts]
  Value sums;                           ///< [2][warps], rows of 32
  Value allRows, allBlocks;
};
} // namespace

void AlignEmitter::setUp() {
  thread = k.thread();
  lane = k.laneOf(thread);
  warp = k.waveOf(thread);
  Value block = k.block();
  rank = cluster > 1 ? k.rem(block, k.c32(cluster)) : k.c32(0);
  group = cluster > 1    ? k.div(block, k.c32(cluster))
          : clusters > 1 ? block
                         : k.c32(0);
  Value tokens;
  if (auto argument = dyn_cast<BlockArgument>(op.getTokens())) {
    tokens = k.scalar(argument);
  } else if (auto dim = op.getTokens().getDefiningOp<memref::DimOp>()) {
    tokens = k.extent(dim.getSource(), *dim.getConstantIndex());
  } else {
    IntegerAttr attr;
    matchPattern(op.getTokens(), m_Constant(&attr));
    tokens = k.c32(attr.getInt());
  }
  if (tokens.getType().isInteger(64))
    tokens = arith::TruncIOp::create(k.b, k.loc, k.b.getI32Type(), tokens);
  slots = k.mul(tokens, k.c32(topk));
  present = slots;
  counters = k.shared(warps * experts * 4);
  counts = k.shared(experts * 4);
  bases = k.shared(experts * 4);
  firstRows = k.shared(experts * 4);
  totals = k.shared(experts * 4);
  firstBlocks = k.shared(experts * 4);
  sums = k.shared(2 * 32 * 4);
  // Parameters, in a fixed order.
  for (Value memory : {Value(op.getIds()), Value(op.getExpertMap()),
                       Value(op.getDeviceTokens()), Value(op.getSlots()),
                       Value(op.getPlaces()), Value(op.getValid()),
                       Value(op.getTable()), Value(op.getCount())})
    if (memory)
      k.pointer(memory);
  rounds = k.ceilDiv(slots, cluster * threads);
  first = k.mul(k.add(k.mul(rank, k.c32(warps)), warp),
                k.mul(rounds, k.c32(lanes)));
}

void AlignEmitter::clearCounters() {
  // Shared memory is dealt out by fours of words.
  auto vector = VectorType::get(4, k.b.getI32Type());
  Value zero = arith::ConstantOp::create(
      k.b, k.loc, DenseElementsAttr::get(vector, k.b.getI32IntegerAttr(0)));
  k.loop(thread, k.c32(llvm::divideCeil(warps * experts, 4)), k.c32(threads),
         [&](Value i) { k.store(zero, k.at(counters, i, vector), 16); });
}

Value AlignEmitter::expertOf(Value slot, Value isThere) {
  Value none = k.c32(-1);
  Value expert;
  if (!op.getIds()) {
    expert = k.select(isThere, k.rem(slot, k.c32(topk)), none);
  } else {
    expert = k.choose(
        isThere, [&] { return k.loadWord(k.pointer(op.getIds()), slot); },
        none);
  }
  if (Value map = op.getExpertMap())
    expert = k.choose(
        k.inside(expert, k.extent(map, 0)),
        [&] { return k.loadWord(k.pointer(map), expert); }, none);
  return k.select(k.inside(expert, k.c32(experts)), expert, none);
}

Value AlignEmitter::lanesWith(Value expert) {
  // A ballot for each bit of the number; those without an expert have all bits.
  // Several times as fast as match.any where a warp meets many experts.
  Value lanes;
  for (int64_t bit = 1; bit <= experts; bit *= 2) {
    Value set =
        k.cmp(arith::CmpIPredicate::ne, k.both(expert, k.c32(bit)), k.c32(0));
    Value all = k.target.ballot(k.b, k.loc, set);
    Value like =
        k.select(set, all, arith::XOrIOp::create(k.b, k.loc, all, mask(-1)));
    lanes = lanes ? k.both(lanes, like) : like;
  }
  return lanes;
}

SmallVector<Value> AlignEmitter::countRounds(Value round, Value end) {
  Value none = k.c32(-1);
  Value bit = lanes == 64
                  ? arith::ExtUIOp::create(k.b, k.loc, k.b.getI64Type(), lane)
                  : lane;
  Value below = k.sub(arith::ShLIOp::create(k.b, k.loc, mask(1), bit), mask(1));
  SmallVector<Value> expert, same, words;
  for (int64_t u = 0; u < unroll; ++u) {
    Value slot = slotOf(k.add(round, k.c32(u)));
    expert.push_back(
        expertOf(slot, k.both(k.less(slot, end), k.less(slot, present))));
  }
  for (int64_t u = 0; u < unroll; ++u)
    same.push_back(lanesWith(expert[u]));
  for (int64_t u = 0; u < unroll; ++u) {
    // The lowest lane of those with one expert counts for all of them.
    Value leader = word(LLVM::CountTrailingZerosOp::create(
        k.b, k.loc, same[u].getType(), same[u], /*is_zero_poison=*/true));
    Value isLeader =
        k.both(k.cmp(arith::CmpIPredicate::eq, lane, leader),
               k.cmp(arith::CmpIPredicate::sge, expert[u], k.c32(0)));
    Value before = k.choose(
        isLeader,
        [&] {
          Value at = counter(expert[u]);
          Value old = k.loadWord(counters, at);
          k.storeWord(k.add(old, countOf(same[u])), counters, at);
          return old;
        },
        k.c32(0));
    before = k.target.shuffle(k.b, k.loc, before, leader);
    // Another lane may count for this expert in the next round.
    k.target.waveFence(k.b, k.loc);
    Value number = k.add(before, countOf(k.both(same[u], below)));
    Value found = arith::OrIOp::create(
        k.b, k.loc,
        arith::ShLIOp::create(k.b, k.loc, expert[u], k.c32(kRankBits)), number);
    words.push_back(k.select(k.less(expert[u], k.c32(0)), none, found));
  }
  return words;
}

Value AlignEmitter::isMine(Value round, Value slot, Value end) {
  Value mine = k.less(slot, end);
  if (clusters > 1)
    mine = k.both(mine, k.cmp(arith::CmpIPredicate::eq,
                              k.rem(round, k.c32(clusters)), group));
  return mine;
}

void AlignEmitter::count() {
  Value end = k.min(slots, k.add(first, k.mul(rounds, k.c32(lanes))));
  Value places = k.pointer(op.getPlaces());
  // The first rounds stay in registers, which is all of few slots.
  if (keep)
    firstWords = countRounds(k.c32(0), end);
  k.loop(k.c32(keep ? unroll : 0), rounds, k.c32(unroll), [&](Value round) {
    SmallVector<Value> words = countRounds(round, end);
    for (int64_t u = 0; u < unroll; ++u) {
      Value r = k.add(round, k.c32(u)), slot = slotOf(r);
      k.when(isMine(r, slot, end),
             [&] { k.storeWord(words[u], places, slot); });
    }
  });
}

void AlignEmitter::addUp() {
  k.barrier();
  Value isExpert = k.less(thread, k.c32(experts));
  // Counters become the ranks at which the warps begin.
  Value ofBlock = k.choose(
      isExpert,
      [&] {
        auto at = [&](int64_t w) { return k.add(k.c32(w * experts), thread); };
        // Some loads in flight together, in few registers.
        Value sum = k.c32(0);
        constexpr int64_t batch = 16;
        for (int64_t from = 0; from < warps; from += batch) {
          int64_t to = std::min(warps, from + batch);
          SmallVector<Value> values;
          for (int64_t w = from; w < to; ++w)
            values.push_back(k.loadWord(counters, at(w)));
          for (int64_t w = from; w < to; ++w) {
            k.storeWord(sum, counters, at(w));
            sum = k.add(sum, values[w - from]);
          }
        }
        if (cluster > 1)
          k.storeWord(sum, counts, thread);
        return sum;
      },
      k.c32(0));
  if (cluster == 1)
    return scanExperts(ofBlock, k.c32(0));

  k.target.clusterArrive(k.b, k.loc);
  k.target.clusterWait(k.b, k.loc);
  Value index = k.min(thread, k.c32(experts - 1));
  Value own = k.at(counts, index, k.b.getI32Type());
  SmallVector<Value> values;
  for (int64_t r = 0; r < cluster; ++r)
    values.push_back(k.load(k.b.getI32Type(),
                            k.target.inCluster(k.b, k.loc, own, k.c32(r)), 4));
  Value total = k.c32(0), mine = k.c32(0);
  for (int64_t r = 0; r < cluster; ++r) {
    total = k.add(total, values[r]);
    mine = k.add(mine, k.select(k.less(k.c32(r), rank), values[r], k.c32(0)));
  }
  // No block may end before the others have read its counts.
  k.target.clusterArrive(k.b, k.loc);
  scanExperts(k.select(isExpert, total, k.c32(0)), mine);
}

void AlignEmitter::scanExperts(Value count, Value mine) {
  Value rows = count;
  if (pad > 1)
    rows = k.mul(k.ceilDiv(count, pad), k.c32(pad));
  Value blocks = k.ceilDiv(count, blockM);
  Value rowScan = inclusiveScan(rows), blockScan = inclusiveScan(blocks);
  k.when(k.cmp(arith::CmpIPredicate::eq, lane, k.c32(lanes - 1)), [&] {
    k.storeWord(rowScan, sums, warp);
    k.storeWord(blockScan, sums, k.add(warp, k.c32(32)));
  });
  k.barrier();
  // Every warp adds up the warps before it by itself.
  auto acrossWarps = [&](int64_t at, Value &before, Value &all) {
    Value v = k.choose(
        k.less(lane, k.c32(warps)),
        [&] { return k.loadWord(sums, k.add(lane, k.c32(at))); }, k.c32(0));
    Value scan = inclusiveScan(v);
    all = k.target.broadcast(k.b, k.loc, scan, k.c32(lanes - 1));
    before = k.target.broadcast(k.b, k.loc, k.sub(scan, v), warp);
  };
  Value rowsBefore, blocksBefore;
  acrossWarps(0, rowsBefore, allRows);
  acrossWarps(32, blocksBefore, allBlocks);
  k.when(k.less(thread, k.c32(experts)), [&] {
    Value row = k.add(rowsBefore, k.sub(rowScan, rows));
    k.storeWord(k.add(row, mine), bases, thread);
    k.storeWord(row, firstRows, thread);
    k.storeWord(count, totals, thread);
    k.storeWord(k.add(blocksBefore, k.sub(blockScan, blocks)), firstBlocks,
                thread);
  });
  k.barrier();
}

void AlignEmitter::place(Value word, Value slot, Value mine) {
  Value none = k.c32(-1);
  Value isThere = k.cmp(arith::CmpIPredicate::sge, word, k.c32(0));
  // Read for absent slots as well, of expert 0: branches cost more.
  Value known = k.select(isThere, word, k.c32(0));
  Value expert = arith::ShRUIOp::create(k.b, k.loc, known, k.c32(kRankBits));
  Value number = k.both(known, k.c32((int64_t(1) << kRankBits) - 1));
  Value row = k.add(
      k.add(k.loadWord(bases, expert), k.loadWord(counters, counter(expert))),
      number);
  k.when(mine, [&] {
    k.storeWord(k.select(isThere, row, none), k.pointer(op.getPlaces()), slot);
    k.storeWord(k.select(isThere, slot, none), k.pointer(op.getValid()), slot);
  });
  k.when(k.both(mine, isThere),
         [&] { k.storeWord(slot, k.pointer(op.getSlots()), row); });
}

void AlignEmitter::scatter() {
  Value end = k.min(slots, k.add(first, k.mul(rounds, k.c32(lanes))));
  Value places = k.pointer(op.getPlaces());
  for (auto [u, word] : llvm::enumerate(firstWords)) {
    Value slot = slotOf(k.c32(int64_t(u)));
    place(word, slot, k.less(slot, end));
  }
  // This cluster's rounds from there on.
  Value from = keep ? k.c32(unroll) : group;
  k.loop(from, rounds, k.c32(clusters * unroll), [&](Value round) {
    SmallVector<Value> slot, mine, word;
    for (int64_t u = 0; u < unroll; ++u) {
      slot.push_back(slotOf(k.add(round, k.c32(u * clusters))));
      mine.push_back(k.less(slot[u], end));
      word.push_back(k.choose(
          mine[u], [&] { return k.loadWord(places, slot[u]); }, k.c32(-1)));
    }
    for (int64_t u = 0; u < unroll; ++u)
      place(word[u], slot[u], mine[u]);
  });
}

void AlignEmitter::writeTable() {
  Value table = k.pointer(op.getTable()), sorted = k.pointer(op.getSlots());
  auto entry = VectorType::get(4, k.b.getI32Type());
  auto write = [&](Value at, std::array<Value, 4> parts) {
    Value v = LLVM::PoisonOp::create(k.b, k.loc, entry);
    for (auto [i, part] : llvm::enumerate(parts))
      v = LLVM::InsertElementOp::create(k.b, k.loc, v, part,
                                        k.c32(static_cast<int64_t>(i)));
    k.store(v, k.at(table, at, entry), 16);
  };
  Value warpOfGrid = k.add(k.mul(k.block(), k.c32(warps)), warp);
  k.loop(warpOfGrid, k.c32(experts), k.c32(warps * getBlocks()), [&](Value e) {
    Value n = k.loadWord(totals, e), row = k.loadWord(firstRows, e);
    Value at = k.loadWord(firstBlocks, e);
    Value length = k.ceilDiv(n, blockM);
    k.loop(lane, length, k.c32(lanes), [&](Value i) {
      Value start = k.mul(i, k.c32(blockM));
      Value place = k.add(i, k.mul(length, k.c32(1 << 16)));
      Value fits = k.less(length, k.c32(1 << 16));
      write(k.add(at, i),
            {e, k.add(row, start), k.min(k.c32(blockM), k.sub(n, start)),
             k.select(fits, place, k.c32(0))});
    });
    if (pad > 1)
      k.loop(k.add(n, lane), k.mul(k.ceilDiv(n, pad), k.c32(pad)), k.c32(lanes),
             [&](Value r) { k.storeWord(slots, sorted, k.add(row, r)); });
  });
  Value threadOfGrid = k.add(k.mul(k.block(), k.c32(threads)), thread);
  Value step = k.c32(threads * getBlocks());
  k.loop(k.add(allBlocks, threadOfGrid), k.extent(op.getTable(), 0), step,
         [&](Value i) { write(i, {k.c32(-1), k.c32(0), k.c32(0), k.c32(0)}); });
  k.loop(k.add(allRows, threadOfGrid), k.extent(op.getSlots(), 0), step,
         [&](Value r) { k.storeWord(slots, sorted, r); });
  k.when(k.cmp(arith::CmpIPredicate::eq, threadOfGrid, k.c32(0)),
         [&] { k.storeWord(allBlocks, k.pointer(op.getCount()), k.c32(0)); });
}

void AlignEmitter::emit() {
  setUp();
  clearCounters();
  // The plan says by the place of the wait whether anything here is made by the
  // launch before.
  bool beside = false;
  for (Operation *at = op->getNextNode(); at; at = at->getNextNode())
    beside |= isa<tile::AwaitLaunchOp>(at);
  if (beside)
    k.beginBesideEarlierLaunches();
  else
    k.awaitEarlierLaunches();
  if (Value real = op.getDeviceTokens()) {
    // Without a count, which is a null pointer, all tokens exist.
    Value all = k.div(slots, k.c32(topk)), count = k.pointer(real);
    Value address =
        LLVM::PtrToIntOp::create(k.b, k.loc, k.b.getI64Type(), count);
    Value n = k.choose(
        k.cmp(arith::CmpIPredicate::ne, address, k.c64(0)),
        [&] { return k.loadWord(count, k.c32(0)); }, all);
    n = arith::MaxSIOp::create(k.b, k.loc, n, k.c32(0));
    present = k.mul(k.min(n, all), k.c32(topk));
  }
  k.barrier();
  count();
  addUp();
  scatter();
  writeTable();
  if (cluster > 1)
    k.target.clusterWait(k.b, k.loc);
  if (beside)
    k.endAfterEarlierLaunches();
}

bool rows::isAlignKernel(tile::KernelOp kernel) {
  return !kernel.getBody().getOps<tile::AlignOp>().empty();
}

FailureOr<LLVM::LLVMFuncOp> rows::convertAlignKernel(tile::KernelOp kernel,
                                                     OpBuilder &b,
                                                     const WaveTarget &target) {
  tile::AlignOp op = *kernel.getBody().getOps<tile::AlignOp>().begin();
  int64_t threads = 1024, cluster = 8;
  if (tile::ExecAttr exec = kernel.getExecAttr()) {
    threads = exec.getThreads();
    cluster = exec.getCluster();
  }
  int64_t experts = op.getExperts();
  if (threads % 128 != 0 || threads < experts)
    return op.emitOpError("takes a multiple of 128 threads, at least one per "
                          "expert: exec has ")
           << threads << " threads, there are " << experts << " experts";
  if (cluster > 8)
    return op.emitOpError("takes clusters of at most 8 blocks, exec has ")
           << cluster;
  for (Value memory : op->getOperands())
    if (auto type = dyn_cast<MemRefType>(memory.getType()))
      if (!type.getLayout().isIdentity())
        return op.emitOpError("takes row-major memory on GPUs, got ") << type;
  const WaveFacts &facts = target.facts;
  int64_t clusters =
      cluster > 1 ? std::max<int64_t>(1, facts.writers / cluster) : 1;
  if (facts.cluster == 1 && cluster > 1) {
    clusters = facts.writers;
    cluster = 1;
  }
  // Counters of each warp take most of the memory.
  auto sharedBytes = [&] {
    return (threads / facts.wave + 5) * llvm::alignTo(experts * 4, 16) + 256;
  };
  while (sharedBytes() > facts.sharedBytes && threads % 256 == 0 &&
         threads / 2 >= experts)
    threads /= 2;
  if (sharedBytes() > facts.sharedBytes)
    return op.emitOpError("needs ")
           << sharedBytes() << " bytes of shared memory for " << experts
           << " experts and " << threads << " threads, the chip has "
           << facts.sharedBytes;
  PlainKernel k(kernel, b, target);
  AlignEmitter emitter(k, op, threads, cluster, clusters);
  emitter.emit();
  PlainKernel::Grid grid;
  grid.blocks = emitter.getBlocks();
  k.finish(threads, cluster, grid);
  return k.func;
}
