//===- VerifySync.cpp - moe-tile-verify-sync ------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/Transforms/Passes.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

namespace mlir::moe::tile {
#define GEN_PASS_DEF_MOETILEVERIFYSYNC
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"
} // namespace mlir::moe::tile

using namespace mlir;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// Loop nests around ring operations
//===----------------------------------------------------------------------===//

namespace {
/// Part of a nest: `count` steps in a row, or a loop with parts in it.
struct NestItem {
  int64_t count = 0;
  Operation *loop = nullptr;
  /// Of a loop with constant bounds, else -1.
  int64_t trips = -1;
  std::vector<NestItem> body;
};
using Nest = std::vector<NestItem>;
} // namespace

/// Constant trip counts up to this one are written out when nests are compared.
static constexpr int64_t maxUnrolledTrips = 64;

static void appendItem(Nest &nest, NestItem item) {
  if (!item.loop && !nest.empty() && !nest.back().loop) {
    nest.back().count += item.count;
    return;
  }
  nest.push_back(std::move(item));
}

static void appendSteps(Nest &nest, int64_t count) {
  if (count == 0)
    return;
  NestItem item;
  item.count = count;
  appendItem(nest, std::move(item));
}

/// Trip count of a loop with constant bounds, else -1.
static int64_t constantTrips(scf::ForOp loop) {
  std::optional<int64_t> lower = getConstantIntValue(loop.getLowerBound());
  std::optional<int64_t> upper = getConstantIntValue(loop.getUpperBound());
  std::optional<int64_t> step = getConstantIntValue(loop.getStep());
  if (!lower || !upper || !step || *step <= 0)
    return -1;
  return *upper <= *lower ? 0 : llvm::divideCeil(*upper - *lower, *step);
}

/// Collects the nest of the operations that `isStep` accepts. Fails at one that
/// stands under anything but counted loops.
static LogicalResult
collectNest(Block &block, function_ref<bool(Operation *)> isStep, Nest &nest) {
  for (Operation &op : block) {
    if (isStep(&op)) {
      appendSteps(nest, 1);
      continue;
    }
    if (op.getNumRegions() == 0)
      continue;
    auto counted = dyn_cast<scf::ForOp>(op);
    if (!counted && !isa<ForTilesOp>(op)) {
      Operation *inside = nullptr;
      op.walk([&](Operation *nested) {
        if (nested != &op && isStep(nested))
          inside = nested;
      });
      if (inside)
        return inside->emitError("sync_c3: stands under ")
               << op.getName() << ", only counted loops are comparable";
      continue;
    }
    NestItem item;
    item.loop = &op;
    if (failed(collectNest(op.getRegion(0).front(), isStep, item.body)))
      return failure();
    if (item.body.empty())
      continue;
    item.trips = counted ? constantTrips(counted) : -1;
    if (item.trips < 0) {
      appendItem(nest, std::move(item));
      continue;
    }
    // Steps only: a product. Loops inside: written out, if not too often.
    if (item.body.size() == 1 && !item.body[0].loop) {
      appendSteps(nest, item.trips * item.body[0].count);
      continue;
    }
    if (item.trips > maxUnrolledTrips) {
      appendItem(nest, std::move(item));
      continue;
    }
    for (int64_t trip = 0; trip < item.trips; ++trip)
      for (NestItem &part : item.body)
        appendItem(nest, part);
  }
  return success();
}

namespace {
/// Decides whether values of two roles are equal at corresponding iterations.
class Equivalence {
public:
  void map(Value a, Value b) { mapped[a] = b; }

  bool equal(Value a, Value b) {
    if (a == b)
      return true;
    auto it = mapped.find(a);
    if (it != mapped.end())
      return it->second == b;
    auto ra = dyn_cast<OpResult>(a), rb = dyn_cast<OpResult>(b);
    if (!ra || !rb || ra.getResultNumber() != rb.getResultNumber())
      return false;
    Operation *oa = ra.getOwner(), *ob = rb.getOwner();
    if (oa->getName() != ob->getName() || oa->getNumRegions() != 0 ||
        oa->getNumOperands() != ob->getNumOperands() ||
        oa->getAttrDictionary() != ob->getAttrDictionary() ||
        oa->getPropertiesAsAttribute() != ob->getPropertiesAsAttribute() ||
        !isMemoryEffectFree(oa))
      return false;
    return llvm::all_of(
        llvm::zip(oa->getOperands(), ob->getOperands()),
        [&](auto pair) { return equal(std::get<0>(pair), std::get<1>(pair)); });
  }

private:
  DenseMap<Value, Value> mapped;
};
} // namespace

/// What differs first between two nests, empty if nothing does.
static std::string compareNests(const Nest &a, const Nest &b,
                                Equivalence &values) {
  for (auto [x, y] : llvm::zip(a, b)) {
    if (!x.loop && !y.loop) {
      if (x.count != y.count)
        return llvm::formatv("{0} steps against {1}", x.count, y.count);
      continue;
    }
    if (!x.loop || !y.loop)
      return "a loop against single steps";
    auto tilesX = dyn_cast<ForTilesOp>(x.loop);
    auto tilesY = dyn_cast<ForTilesOp>(y.loop);
    if (!tilesX != !tilesY)
      return "a loop over tiles against another loop";
    if (tilesX) {
      if (!values.equal(tilesX.getList(), tilesY.getList()))
        return "loops over different tile lists";
      if (tilesX.getOrder() != tilesY.getOrder())
        return llvm::formatv("tile order {0} against {1}",
                             stringifyOrder(tilesX.getOrder()),
                             stringifyOrder(tilesY.getOrder()));
      if (tilesX.getClaim().value_or(Claim::Stride) !=
          tilesY.getClaim().value_or(Claim::Stride))
        return "tiles claimed in different ways";
      if (tilesX.getDies().value_or(1) != tilesY.getDies().value_or(1))
        return llvm::formatv("tiles of {0} dies against {1}",
                             int64_t(tilesX.getDies().value_or(1)),
                             int64_t(tilesY.getDies().value_or(1)));
      values.map(tilesX.getTile(), tilesY.getTile());
    } else {
      auto forX = cast<scf::ForOp>(x.loop), forY = cast<scf::ForOp>(y.loop);
      bool sameTrips = x.trips >= 0 && x.trips == y.trips;
      bool sameBounds =
          values.equal(forX.getLowerBound(), forY.getLowerBound()) &&
          values.equal(forX.getUpperBound(), forY.getUpperBound()) &&
          values.equal(forX.getStep(), forY.getStep());
      if (!sameTrips && !sameBounds)
        return "loops whose trip counts are not provably equal";
      if (sameBounds)
        values.map(forX.getInductionVar(), forY.getInductionVar());
    }
    std::string inner = compareNests(x.body, y.body, values);
    if (!inner.empty())
      return inner;
  }
  if (a.size() == b.size())
    return "";
  const NestItem &extra = a.size() > b.size() ? a[b.size()] : b[a.size()];
  return extra.loop ? "one more loop"
                    : llvm::formatv("{0} more steps", extra.count).str();
}

//===----------------------------------------------------------------------===//
// Slots
//===----------------------------------------------------------------------===//

/// The operation that ends the slot that `begin` opened: same cursor.
static Operation *endOfSlot(Operation *begin) {
  for (Operation *user : begin->getOperand(1).getUsers())
    if (isa<PublishOp, ReleaseOp>(user) &&
        user->getOperand(0) == begin->getOperand(0))
      return user;
  return nullptr;
}

/// sync_c2: the slot's buffers are used between begin and end only; a producer
/// writes each exactly once, a consumer never.
static LogicalResult verifySlot(Operation *begin, Operation *end,
                                bool producer) {
  StringRef endName = producer ? "publish" : "release";
  if (begin->getBlock() != end->getBlock() || !begin->isBeforeInBlock(end))
    return end->emitError("sync_c2: ")
           << endName << " must follow in the block of its "
           << begin->getName();
  for (auto [index, buffer] : llvm::enumerate(begin->getResults())) {
    unsigned writes = 0;
    for (OpOperand &use : buffer.getUses()) {
      Operation *user = use.getOwner();
      Operation *inBlock = begin->getBlock()->findAncestorOpInBlock(*user);
      if (!inBlock || !inBlock->isBeforeInBlock(end))
        return user->emitError("sync_c2: uses buffer ")
               << index << " after its " << endName;
      bool write = false;
      if (auto copy = dyn_cast<CopyOp>(user))
        write = copy.getBuffer() == buffer;
      if (auto deposit = dyn_cast<DepositOp>(user))
        write = deposit.getBuffer() == buffer;
      if (producer && !write)
        return user->emitError("sync_c2: reads buffer ")
               << index << " before it has been published";
      if (!producer && write)
        return user->emitError("sync_c2: writes buffer ")
               << index << " between wait and release";
      // A write under a branch or loop happens an unknown number of times.
      if (write && user->getBlock() != begin->getBlock())
        return user->emitError("sync_c2: fills buffer ")
               << index << " under " << user->getParentOp()->getName();
      writes += write;
    }
    if (producer && writes != 1)
      return begin->emitError("sync_c2: buffer ")
             << index << " is filled " << writes
             << " times before publish, not once";
  }
  return success();
}

/// sync_c4: no product that reads the slot is in flight at its release.
static LogicalResult verifyProducts(Operation *begin, Operation *end) {
  SmallVector<std::pair<MmaOp, bool>> inFlight; // product, reads the slot
  auto readsSlot = [&](MmaOp mma) {
    return llvm::any_of(begin->getResults(), [&](Value buffer) {
      return mma.getA() == buffer || mma.getB() == buffer;
    });
  };
  for (Operation *op = begin->getNextNode(); op && op != end;
       op = op->getNextNode()) {
    if (auto mma = dyn_cast<MmaOp>(op))
      inFlight.push_back({mma, readsSlot(mma)});
    if (auto wait = dyn_cast<MmaWaitOp>(op)) {
      size_t pending = wait.getPending();
      if (inFlight.size() > pending)
        inFlight.erase(inFlight.begin(), inFlight.end() - pending);
    }
    if (auto read = dyn_cast<AccReadOp>(op)) {
      // Products complete in order: all up to the one that is read.
      auto *it = llvm::find_if(inFlight, [&](auto &entry) {
        return entry.first.getResult() == read.getAcc();
      });
      if (it != inFlight.end())
        inFlight.erase(inFlight.begin(), it + 1);
    }
  }
  for (auto &[mma, reads] : inFlight)
    if (reads)
      return end->emitError("sync_c4: releases a slot that an mma in flight "
                            "reads")
                 .attachNote(mma.getLoc())
             << "this one; an acc_read or mma_wait must come before";
  return success();
}

//===----------------------------------------------------------------------===//
// Cursors
//===----------------------------------------------------------------------===//

/// sync_c1: a cursor that is a block argument or a loop's result is used once
/// (with the opening and closing of one slot counting as one use) and is not
/// dropped while the loop goes on.
static LogicalResult verifyCursor(Value cursor, bool mayEnd) {
  unsigned opened = 0, closed = 0, passed = 0;
  for (Operation *user : cursor.getUsers()) {
    if (isa<AcquireOp, WaitOp>(user))
      ++opened;
    else if (isa<PublishOp, ReleaseOp>(user))
      ++closed;
    else
      ++passed;
  }
  bool linear = (opened == 1 && closed == 1 && passed == 0) ||
                (opened == 0 && closed == 0 && passed == 1) ||
                (mayEnd && opened + closed + passed == 0);
  if (linear)
    return success();
  Operation *at = cursor.getDefiningOp();
  if (!at)
    at = cast<BlockArgument>(cursor).getOwner()->getParentOp();
  return at->emitError("sync_c1: a cursor is used once, got ")
         << opened << " openings, " << closed << " closings and " << passed
         << " other uses";
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {
struct VerifySyncPass
    : public mlir::moe::tile::impl::MoeTileVerifySyncBase<VerifySyncPass> {
  void runOnOperation() override {
    KernelOp kernel = getOperation();
    markAllAnalysesPreserved();
    if (kernel.getKernelForm() != Form::Explicit)
      return;
    if (failed(verify(kernel)))
      signalPassFailure();
  }

  LogicalResult verify(KernelOp kernel) {
    if (failed(verifyCursors(kernel)) || failed(verifySlots(kernel)))
      return failure();
    for (RingAllocOp ring : kernel.getBody().front().getOps<RingAllocOp>()) {
      if (failed(verifyRing(kernel, ring)))
        return failure();
      ++numRings;
    }
    if (failed(verifyBlockSyncs(kernel)))
      return failure();
    return verifyAwaits(kernel);
  }

  LogicalResult verifyCursors(KernelOp kernel) {
    WalkResult result = kernel.walk([&](Operation *op) {
      for (Value value : op->getResults()) {
        // What a role's outermost loop leaves over ends the cursor's life.
        bool mayEnd = isa<RoleOp, KernelOp>(op->getParentOp());
        if (isa<CursorType>(value.getType()) &&
            failed(verifyCursor(value, mayEnd)))
          return WalkResult::interrupt();
      }
      for (Region &region : op->getRegions())
        for (BlockArgument argument : region.getArguments())
          if (isa<CursorType>(argument.getType()) &&
              failed(verifyCursor(argument, /*mayEnd=*/false)))
            return WalkResult::interrupt();
      return WalkResult::advance();
    });
    return failure(result.wasInterrupted());
  }

  LogicalResult verifySlots(KernelOp kernel) {
    WalkResult result = kernel.walk([&](Operation *op) {
      if (!isa<AcquireOp, WaitOp>(op))
        return WalkResult::advance();
      bool producer = isa<AcquireOp>(op);
      Operation *end = endOfSlot(op);
      if (!end) {
        op->emitError("sync_c2: has no ")
            << (producer ? "publish" : "release") << " of the same ring";
        return WalkResult::interrupt();
      }
      if (failed(verifySlot(op, end, producer)) ||
          (!producer && failed(verifyProducts(op, end))))
        return WalkResult::interrupt();
      ++numSlots;
      return WalkResult::advance();
    });
    return failure(result.wasInterrupted());
  }

  /// The region of each team: the roles, or the whole kernel.
  static SmallVector<Block *> teamsOf(KernelOp kernel) {
    SmallVector<Block *> teams;
    kernel.walk([&](RoleOp role) { teams.push_back(&role.getBody().front()); });
    if (teams.empty())
      teams.push_back(&kernel.getBody().front());
    return teams;
  }

  LogicalResult verifyRing(KernelOp kernel, RingAllocOp ring) {
    // sync_c1: one cursor of each side.
    SmallVector<Operation *> cursors[2];
    for (Operation *user : ring->getUsers())
      if (auto cursor = dyn_cast<CursorOp>(user))
        cursors[cursor.getCursor().getType().getSide() == Side::Consumer]
            .push_back(user);
    for (unsigned side : {0u, 1u})
      if (cursors[side].size() != 1)
        return ring.emitError("sync_c1: a ring has one ")
               << (side == 0 ? "producer" : "consumer") << " cursor, got "
               << cursors[side].size();
    // sync_c3: both sides step equally often.
    Nest nests[2];
    for (Block *team : teamsOf(kernel))
      for (unsigned side : {0u, 1u})
        if (failed(collectNest(
                *team,
                [&](Operation *op) {
                  return (side == 0 ? isa<AcquireOp>(op) : isa<WaitOp>(op)) &&
                         op->getOperand(0) == ring.getRing();
                },
                nests[side])))
          return failure();
    Equivalence values;
    std::string difference = compareNests(nests[0], nests[1], values);
    if (!difference.empty())
      return ring.emitError("sync_c3: producer and consumer differ: ")
             << difference;
    return success();
  }

  /// sync_c6: every role meets the same block-wide group_sync.
  LogicalResult verifyBlockSyncs(KernelOp kernel) {
    SmallVector<Block *> teams = teamsOf(kernel);
    std::optional<Nest> first;
    for (Block *team : teams) {
      Nest nest;
      auto isSync = [](Operation *op) {
        auto sync = dyn_cast<GroupSyncOp>(op);
        return sync && sync.getScope() == Scope::Block;
      };
      if (teams.size() == 1)
        break;
      if (failed(collectNest(*team, isSync, nest)))
        return failure();
      if (!first) {
        first = std::move(nest);
        continue;
      }
      Equivalence values;
      std::string difference = compareNests(*first, nest, values);
      if (!difference.empty())
        return team->getParentOp()->emitError(
                   "sync_c6: block-wide group_sync differs between roles: ")
               << difference;
    }
    return success();
  }

  /// sync_c5: what is awaited is signalled, and by something that can run.
  LogicalResult verifyAwaits(KernelOp kernel) {
    WalkResult result = kernel.walk([&](AwaitOp await) {
      SmallVector<SignalOp> signals;
      kernel.walk([&](SignalOp signal) {
        if (signal.getCounters() == await.getCounters())
          signals.push_back(signal);
      });
      if (signals.empty()) {
        await.emitError("sync_c5: nothing signals these counters");
        return WalkResult::interrupt();
      }
      if (kernel.getExec() && kernel.getExec()->getResident())
        return WalkResult::advance();
      auto loop = await->getParentOfType<ForTilesOp>();
      bool ordered = loop && loop.getOrder() == Order::Explicit &&
                     llvm::all_of(signals, [&](SignalOp signal) {
                       auto other = signal->getParentOfType<ForTilesOp>();
                       return other && other.getOrder() == Order::Explicit &&
                              other.getList() == loop.getList();
                     });
      if (!ordered) {
        await.emitError("sync_c5: progress needs a resident grid, or signal "
                        "and await in loops over one list of order explicit");
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    return failure(result.wasInterrupted());
  }
};
} // namespace
