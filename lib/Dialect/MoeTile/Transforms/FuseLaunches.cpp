//===- FuseLaunches.cpp - moe-tile-fuse-launches --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two products become one kernel. Its weights have a role and rings of their
// own, which wait for nobody: those of the second product are on their way
// while the first one still multiplies. Rows have another role, which waits for
// the tiles that wrote them.
//
// Counters of arrivals are cleared by a launch before all others. It waits for
// what was launched earlier and lets the next launch begin only then: whoever
// begins later may read arguments of the layer without waiting.
//
//===----------------------------------------------------------------------===//

#include "TileGemm.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/SymbolTable.h"
#include "moec/Dialect/MoeTile/Transforms/Passes.h"

namespace mlir::moe::tile {
#define GEN_PASS_DEF_MOETILEFUSELAUNCHES
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"
} // namespace mlir::moe::tile

using namespace mlir;
using namespace mlir::moe::tile;

/// Threads of the role that fetches rows: eight rows of a swizzle's period.
static constexpr int64_t kRowThreads = 64;
/// On-chip bytes beside rings and buffers: barriers, flags of the last team.
static constexpr int64_t kBarrierBytes = 1024;
/// Bytes of the first product's ring, where the second one has its own: fewer
/// do not keep the memory busy.
static constexpr int64_t kRingBytes = 160 << 10;

namespace {
/// A ring of a product as two: one of its weights, one of its rows. Where the
/// other product has equal slots, the two share a ring.
struct SplitRing {
  Value rings[2];
  /// Numbers of the old ring's buffers.
  SmallVector<unsigned> buffers[2];
};

/// A kernel of one product that becomes a part of another one.
struct Product {
  KernelOp kernel;
  LaunchOp launch;
  RoleOp load, compute;
  ForTilesOp loadTiles, computeTiles;
  SlotListOp list;
  RingAllocOp ring, factorRing;
  /// From its values to those of the fused kernel.
  IRMapping map;
  SplitRing split;

  LogicalResult match();
  /// Bytes of a slot: weights and rows apart.
  int64_t slotBytes() const;
  int64_t slots() { return ring.getRing().getType().getSlots(); }
  /// Steps along k of a tile.
  int64_t steps();
  /// How the buffers of a slot are copied, each by its number: that decides
  /// whose arrivals make a slot full.
  SmallVector<std::optional<How>> howCopied();
  /// The plan's value behind a memory of the kernel, or behind a view of it.
  Value planValue(Value memory) const;
  /// Whether the kernel stores to the plan's `memory`.
  bool writes(Value memory);
};
} // namespace

static Value viewed(Value memory) {
  while (Operation *view = memory.getDefiningOp()) {
    if (!isa<memref::CollapseShapeOp, memref::ExpandShapeOp, memref::CastOp>(
            view))
      break;
    memory = view->getOperand(0);
  }
  return memory;
}

/// Whether a buffer of a ring holds what belongs to the rows.
static bool isOfRows(StringAttr name) {
  return name == "a" || name == "scale_a";
}

Value Product::planValue(Value memory) const {
  auto argument = dyn_cast<BlockArgument>(viewed(memory));
  return argument ? LaunchOp(launch).getArguments()[argument.getArgNumber()]
                  : Value();
}

bool Product::writes(Value memory) {
  bool found = false;
  kernel.walk(
      [&](StoreOp store) { found |= planValue(store.getMemory()) == memory; });
  kernel.walk(
      [&](SumLastOp sum) { found |= planValue(sum.getOut()) == memory; });
  return found;
}

int64_t Product::slotBytes() const {
  int64_t bytes[2] = {0, 0};
  RingType type = RingAllocOp(ring).getRing().getType();
  for (auto [name, buffer] : llvm::zip(type.getNames(), type.getBuffers())) {
    int64_t &sum = bytes[isOfRows(name)];
    auto tile = cast<BufType>(buffer);
    sum = llvm::alignTo(sum, tile.getSwizzle() ? 1024 : 16) +
          tile.getSizeInBytes();
  }
  return llvm::alignTo(bytes[0], 1024) + llvm::alignTo(bytes[1], 1024);
}

int64_t Product::steps() {
  int64_t most = 1;
  loadTiles.walk([&](scf::ForOp loop) {
    std::optional<int64_t> end = getConstantIntValue(loop.getUpperBound()),
                           step = getConstantIntValue(loop.getStep());
    if (end && step && *step > 0)
      most = std::max<int64_t>(most, llvm::divideCeil(*end, *step));
  });
  return most;
}

SmallVector<std::optional<How>> Product::howCopied() {
  SmallVector<std::optional<How>> result(
      ring.getRing().getType().getBuffers().size());
  load.walk([&](CopyOp copy) {
    auto acquire = copy.getBuffer().getDefiningOp<AcquireOp>();
    if (acquire.getRing() == ring.getRing())
      result[cast<OpResult>(copy.getBuffer()).getResultNumber()] =
          copy.getHow();
  });
  return result;
}

LogicalResult Product::match() {
  auto refuse = [&](StringRef rule, const Twine &text) {
    return kernel.emitOpError("one_launch: rule ") << rule << ": " << text;
  };
  if (kernel.getKernelForm() != Form::Explicit || !kernel.getExec())
    return refuse("one_launch_form", "it has no roles; run moe-tile-specialize "
                                     "first");
  SmallVector<RoleOp> roles;
  kernel.walk([&](RoleOp role) { roles.push_back(role); });
  if (roles.size() != 2)
    return refuse("one_launch_form",
                  "it has " + Twine(roles.size()) + " roles instead of 2");
  load = roles[0];
  compute = roles[1];
  auto loopOf = [](RoleOp role) -> ForTilesOp {
    auto loops = role.getBody().getOps<ForTilesOp>();
    return llvm::hasSingleElement(loops) ? *loops.begin() : ForTilesOp();
  };
  loadTiles = loopOf(load);
  computeTiles = loopOf(compute);
  if (!loadTiles || !computeTiles)
    return refuse("one_launch_form", "a role has not one loop over tiles");
  list = loadTiles.getList().getDefiningOp<SlotListOp>();
  if (!list || computeTiles.getList() != list.getList())
    return refuse("one_launch_direct",
                  "its tiles are not of slots that nobody has sorted");
  if (load.getRegs() || compute.getRegs())
    return refuse("one_launch_registers",
                  "roles of rows have no registers of their own, but load_regs "
                  "or compute_regs is given");
  for (RingAllocOp alloc : kernel.getBody().getOps<RingAllocOp>()) {
    bool operands = llvm::any_of(alloc.getRing().getType().getNames(),
                                 [](StringAttr name) { return name == "a"; });
    RingAllocOp &place = operands ? ring : factorRing;
    if (place)
      return refuse("one_launch_form", "it has more rings than one of operands "
                                       "and one of factors");
    place = alloc;
  }
  if (!ring)
    return refuse("one_launch_form", "it has no ring of operands");
  bool byCopies = false;
  kernel.walk([&](StoreOp store) {
    byCopies |= store.getHow() == How::Desc || store.getHow() == How::Bulk;
  });
  if (byCopies || !kernel.getBody().getOps<BufAllocOp>().empty())
    return refuse("one_launch_store",
                  "arrivals are counted behind stores by threads from "
                  "registers; use store = \"vector\"");
  return success();
}

//===----------------------------------------------------------------------===//
// Roles
//===----------------------------------------------------------------------===//

namespace {
/// Clones the body of a role with some of what its rings bring.
class RoleCloner {
public:
  /// `weights`, `rows`: which part of the operands' ring there is; factors go
  /// with weights. `begins`: where shared rings stand, by ring.
  RoleCloner(Product &product, OpBuilder &b, bool weights, bool rows,
             const DenseMap<Value, Value> &begins)
      : product(product), b(b), map(product.map), wanted{weights, rows},
        begins(begins) {}
  ForTilesOp clone(Block &body);
  /// Where the rings of operands stand at the end.
  DenseMap<Value, Value> getEnds() const;

private:
  void cloneBlock(Block &block);
  void cloneOp(Operation &op);
  template <typename OpT> void openSlot(OpT op);
  template <typename OpT> void closeSlot(OpT op);
  SmallVector<Value> expand(ValueRange values);
  void bind(ValueRange from, ValueRange to);

  Product &product;
  OpBuilder &b;
  IRMapping map;
  bool wanted[2];
  const DenseMap<Value, Value> &begins;
  /// The cursor of the operands' ring behind the loop.
  Value end;
  /// What stands for a cursor: one for each part.
  DenseMap<Value, SmallVector<Value>> cursors;
  ForTilesOp tiles;
};
} // namespace

SmallVector<Value> RoleCloner::expand(ValueRange values) {
  SmallVector<Value> result;
  for (Value v : values) {
    if (isa<CursorType>(v.getType()))
      llvm::append_range(result, cursors.lookup(v));
    else
      result.push_back(map.lookupOrDefault(v));
  }
  return result;
}

void RoleCloner::bind(ValueRange from, ValueRange to) {
  for (Value v : from) {
    if (!isa<CursorType>(v.getType())) {
      map.map(v, to.front());
      to = to.drop_front();
      continue;
    }
    // As many as what it begins with.
    size_t count = cursors.lookup(v).size();
    cursors[v] = llvm::to_vector(to.take_front(count));
    to = to.drop_front(count);
  }
}

template <typename OpT> void RoleCloner::openSlot(OpT op) {
  SmallVector<Value> at = cursors.lookup(op.getCursor());
  Location loc = op.getLoc();
  if (op.getRing() != product.ring.getRing()) {
    if (at.empty())
      return;
    auto made = OpT::create(b, loc, op.getBuffers().getTypes(),
                            map.lookup(op.getRing()), at[0]);
    map.map(op.getBuffers(), made.getBuffers());
    return;
  }
  size_t next = 0;
  for (int part : {0, 1}) {
    if (!wanted[part])
      continue;
    SmallVector<Type> types;
    for (unsigned number : product.split.buffers[part])
      types.push_back(op.getBuffers()[number].getType());
    auto made =
        OpT::create(b, loc, types, product.split.rings[part], at[next++]);
    for (auto [number, buffer] :
         llvm::zip(product.split.buffers[part], made.getBuffers()))
      map.map(op.getBuffers()[number], buffer);
  }
}

template <typename OpT> void RoleCloner::closeSlot(OpT op) {
  SmallVector<Value> at = cursors.lookup(op.getCursor()), ends;
  bool operands = op.getRing() == product.ring.getRing();
  size_t next = 0;
  for (int part : {0, 1}) {
    if (next >= at.size() || (operands && !wanted[part]))
      continue;
    Value ring =
        operands ? product.split.rings[part] : map.lookup(op.getRing());
    ends.push_back(
        OpT::create(b, op.getLoc(), at[next].getType(), ring, at[next]));
    ++next;
  }
  cursors[op.getNext()] = ends;
}

void RoleCloner::cloneOp(Operation &op) {
  if (auto cursor = dyn_cast<CursorOp>(op)) {
    SmallVector<Value> made;
    bool operands = cursor.getRing() == product.ring.getRing();
    auto make = [&](Value ring) {
      Value at = begins.lookup(ring);
      if (!at)
        at = CursorOp::create(b, op.getLoc(), cursor.getCursor().getType(),
                              ring);
      made.push_back(at);
    };
    for (int part : {0, 1})
      if (operands && wanted[part])
        make(product.split.rings[part]);
    if (!operands && wanted[0])
      make(map.lookup(cursor.getRing()));
    cursors[cursor.getCursor()] = made;
    return;
  }
  if (auto slot = dyn_cast<AcquireOp>(op))
    return openSlot(slot);
  if (auto slot = dyn_cast<WaitOp>(op))
    return openSlot(slot);
  if (auto slot = dyn_cast<PublishOp>(op))
    return closeSlot(slot);
  if (auto slot = dyn_cast<ReleaseOp>(op))
    return closeSlot(slot);
  if (auto copy = dyn_cast<CopyOp>(op); copy && !map.contains(copy.getBuffer()))
    return;
  auto follow = [&](ValueRange inits, ValueRange arguments,
                    ValueRange results) {
    size_t i = 0;
    for (Value init : inits) {
      if (isa<CursorType>(init.getType())) {
        SmallVector<Value> parts = cursors.lookup(init);
        cursors[arguments[i]] = parts;
        cursors[results[i]] = parts;
      }
      ++i;
    }
  };
  if (auto loop = dyn_cast<scf::ForOp>(op)) {
    auto made = scf::ForOp::create(
        b, op.getLoc(), map.lookupOrDefault(loop.getLowerBound()),
        map.lookupOrDefault(loop.getUpperBound()),
        map.lookupOrDefault(loop.getStep()), expand(loop.getInitArgs()));
    follow(loop.getInitArgs(), loop.getRegionIterArgs(), loop.getResults());
    map.map(loop.getInductionVar(), made.getInductionVar());
    bind(loop.getRegionIterArgs(), made.getRegionIterArgs());
    OpBuilder::InsertionGuard guard(b);
    Block *body = made.getBody();
    if (!body->empty() && isa<scf::YieldOp>(body->back()))
      body->back().erase();
    b.setInsertionPointToEnd(body);
    cloneBlock(*loop.getBody());
    scf::YieldOp::create(
        b, op.getLoc(), expand(loop.getBody()->getTerminator()->getOperands()));
    bind(loop.getResults(), made.getResults());
    return;
  }
  if (auto loop = dyn_cast<ForTilesOp>(op)) {
    SmallVector<Value> inits = expand(loop.getInits());
    follow(loop.getInits(), loop.getCarried(), loop.getResults());
    tiles = ForTilesOp::create(
        b, op.getLoc(), map.lookup(loop.getList()), loop.getOrder(), inits,
        [&](OpBuilder &nested, Location loc, Value tile, ValueRange carried) {
          map.map(loop.getTile(), tile);
          bind(loop.getCarried(), carried);
          OpBuilder::InsertionGuard guard(b);
          b.setInsertionPointToEnd(nested.getInsertionBlock());
          Block &body = loop.getBody().front();
          cloneBlock(body);
          YieldOp::create(b, loc, expand(body.getTerminator()->getOperands()));
        });
    if (loop.getClaim())
      tiles.setClaim(*loop.getClaim());
    bind(loop.getResults(), tiles.getResults());
    for (auto [init, result] : llvm::zip(loop.getInits(), loop.getResults()))
      if (auto cursor = init.getDefiningOp<CursorOp>())
        if (cursor.getRing() == product.ring.getRing())
          end = result;
    return;
  }
  b.clone(op, map);
}

void RoleCloner::cloneBlock(Block &block) {
  for (Operation &op : block)
    if (!op.hasTrait<OpTrait::IsTerminator>())
      cloneOp(op);
}

DenseMap<Value, Value> RoleCloner::getEnds() const {
  DenseMap<Value, Value> ends;
  size_t next = 0;
  for (int part : {0, 1})
    if (wanted[part])
      ends[product.split.rings[part]] = cursors.lookup(end)[next++];
  return ends;
}

ForTilesOp RoleCloner::clone(Block &body) {
  cloneBlock(body);
  return tiles;
}

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

namespace {
class Fuser {
public:
  Fuser(Product &first, Product &second, SymbolTable &symbols)
      : products{&first, &second}, symbols(symbols),
        plan(first.launch->getParentOfType<PlanOp>()),
        loc(first.kernel.getLoc()), b(first.kernel.getContext()),
        at(first.kernel.getContext()), pdl(first.launch.getPdl()) {}
  LogicalResult run();

private:
  LogicalResult check();
  LogicalResult sizeRings();
  Value use(Value planValue);
  void makeCounters();
  void splitRing(Product &product, int64_t slots);
  RoleOp addRole(Block &roles, StringRef name, RoleOp like, int64_t threads);
  void buildBody();
  bool readsArgumentsOnly();
  bool readsRowsInCompute();
  void makeClear();

  Product *products[2];
  SymbolTable &symbols;
  PlanOp plan;
  Location loc;
  /// In the fused kernel, and in the plan.
  OpBuilder b, at;
  /// Launches begin before the ones before have ended.
  bool pdl;
  KernelOp kernel;
  SmallVector<Value> operands;
  DenseMap<Value, Value> arguments;
  int64_t slots[2] = {0, 0};
  /// Both products have slots of the same types, and one ring.
  bool shared = false;
  /// The plan's memories that begin with zeros.
  Value counters;
  SmallVector<Value> cleared;
};
} // namespace

Value Fuser::use(Value planValue) {
  Value &known = arguments[planValue];
  if (!known) {
    operands.push_back(planValue);
    known = kernel.getBody().front().addArgument(planValue.getType(), loc);
  }
  return known;
}

LogicalResult Fuser::check() {
  auto refuse = [&](StringRef rule, const Twine &text) {
    return products[1]->kernel.emitOpError("one_launch: rule ")
           << rule << ": " << text;
  };
  RoleOp first = products[0]->compute, second = products[1]->compute;
  if (first.getThreads() != second.getThreads() ||
      first.getCopies() != second.getCopies())
    return refuse("one_launch_teams", "it has " + Twine(second.getCopies()) +
                                          " teams of " +
                                          Twine(second.getThreads()) +
                                          " threads, the product "
                                          "before has " +
                                          Twine(first.getCopies()) + " of " +
                                          Twine(first.getThreads()));
  for (Product *product : products) {
    ExecAttr exec = *product->kernel.getExec();
    if (exec.getCluster() != 1)
      return refuse("one_launch_cluster",
                    "blocks stand in clusters of " + Twine(exec.getCluster()));
  }
  if (products[0]->planValue(products[0]->list.getIds()) !=
      products[1]->planValue(products[1]->list.getIds()))
    return refuse("one_launch_direct", "its slots are those of other ids");
  // Weights do not wait, rows wait for themselves alone.
  bool waits = false, boxes = false;
  products[1]->load.walk([&](CopyOp copy) {
    auto acquire = copy.getBuffer().getDefiningOp<AcquireOp>();
    unsigned number = cast<OpResult>(copy.getBuffer()).getResultNumber();
    bool rows = acquire.getRing() == products[1]->ring.getRing() &&
                isOfRows(acquire.getRing().getType().getNames()[number]);
    bool written =
        products[0]->writes(products[1]->planValue(copy.getMemory()));
    waits |= !rows && written;
    boxes |= rows && written && copy.getHow() == How::Desc;
  });
  if (boxes)
    return refuse("one_launch_rows", "a box of rows holds some that are still "
                                     "being written; use a = \"gather\"");
  if (waits)
    return refuse("one_launch_weights",
                  "it multiplies by what the product before has written");
  return success();
}

LogicalResult Fuser::sizeRings() {
  int64_t limit = 0, rest = kBarrierBytes, slot[2];
  for (int i : {0, 1}) {
    Product &product = *products[i];
    int64_t own = product.kernel.getSmemLimit().value_or(232448);
    limit = limit ? std::min(limit, own) : own;
    slot[i] = product.slotBytes();
    if (product.factorRing) {
      RingType type = product.factorRing.getRing().getType();
      int64_t bytes = 0;
      for (Type buffer : type.getBuffers())
        bytes =
            llvm::alignTo(bytes, 16) + cast<BufType>(buffer).getSizeInBytes();
      rest += type.getSlots() * llvm::alignTo(bytes, 1024);
    }
    product.kernel.walk([&](RowReduceOp op) {
      rest += product.compute.getThreads() / 32 * product.compute.getCopies() *
              cast<FragType>(op.getInputs()[0].getType()).getRows() * 4;
    });
  }
  int64_t bytes = limit - rest;
  auto slotsOf = [&](int i) -> RingType {
    return products[i]->ring.getRing().getType();
  };
  shared = slotsOf(0).getNames() == slotsOf(1).getNames() &&
           slotsOf(0).getBuffers() == slotsOf(1).getBuffers() &&
           products[0]->howCopied() == products[1]->howCopied();
  if (shared) {
    slots[0] = slots[1] = std::min(
        std::max(products[0]->slots(), products[1]->slots()), bytes / slot[0]);
  } else {
    // The first ring has what keeps the memory busy, the second one at least
    // three slots, up to a whole tile; the first what is left.
    int64_t first = std::min<int64_t>(products[0]->slots(),
                                      llvm::divideCeil(kRingBytes, slot[0]));
    int64_t fit = (bytes - first * slot[0]) / slot[1];
    slots[1] = std::min({products[1]->slots(),
                         std::max<int64_t>(3, products[1]->steps()),
                         std::max<int64_t>(3, fit)});
    slots[0] =
        std::min(products[0]->slots(), (bytes - slots[1] * slot[1]) / slot[0]);
  }
  if (slots[0] < 2 || slots[1] < 2)
    return products[1]->kernel.emitOpError(
               "one_launch: rule one_launch_rings: ")
           << "slots of " << slot[0] << " and " << slot[1] << " bytes, "
           << bytes << " bytes hold " << std::max<int64_t>(0, slots[0])
           << " and " << std::max<int64_t>(0, slots[1])
           << " of them, 2 of each are needed";
  return success();
}

void Fuser::splitRing(Product &product, int64_t count) {
  RingType type = product.ring.getRing().getType();
  SmallVector<StringAttr> names[2];
  SmallVector<Type> types[2];
  for (unsigned i = 0; i < type.getBuffers().size(); ++i) {
    int part = isOfRows(type.getNames()[i]);
    names[part].push_back(type.getNames()[i]);
    types[part].push_back(type.getBuffers()[i]);
    product.split.buffers[part].push_back(i);
  }
  bool second = &product == products[1];
  for (int part : {0, 1})
    product.split.rings[part] =
        second && shared ? products[0]->split.rings[part]
                         : Value(RingAllocOp::create(
                               b, loc,
                               RingType::get(b.getContext(), count, names[part],
                                             types[part], type.getSync())));
}

/// Arrivals at the rows of the first product, one counter each.
void Fuser::makeCounters() {
  at.setInsertionPoint(products[0]->launch);
  Value ids = products[0]->planValue(products[0]->list.getIds());
  Value tokens = memref::DimOp::create(at, loc, ids, 0);
  Value topk =
      arith::ConstantIndexOp::create(at, loc, products[0]->list.getTopk());
  Value count = arith::MulIOp::create(at, loc, tokens, topk);
  counters = WorkspaceOp::create(
      at, loc, MemRefType::get({ShapedType::kDynamic}, at.getI32Type()),
      ValueRange{count}, at.getI64IntegerAttr(64), /*zero=*/UnitAttr());
  cleared.push_back(counters);
}

/// Whether the role of weights reads only arguments of the layer, which no
/// launch of it writes.
bool Fuser::readsArgumentsOnly() {
  for (Product *product : products) {
    auto settled = [&](Value memory) {
      return !memory ||
             isa_and_nonnull<BlockArgument>(product->planValue(memory));
    };
    SlotListOp list = product->list;
    if (!settled(list.getIds()) || !settled(list.getExpertMap()) ||
        !settled(list.getDeviceTokens()))
      return false;
    bool only = true;
    product->load.walk([&](CopyOp copy) {
      auto acquire = copy.getBuffer().getDefiningOp<AcquireOp>();
      unsigned number = cast<OpResult>(copy.getBuffer()).getResultNumber();
      if (acquire.getRing() != product->ring.getRing() ||
          !isOfRows(acquire.getRing().getType().getNames()[number]))
        only &= settled(copy.getMemory());
    });
    if (!only)
      return false;
  }
  return true;
}

bool Fuser::readsRowsInCompute() {
  bool reads = false;
  products[1]->compute.walk([&](LoadOp load) {
    reads |= products[0]->writes(products[1]->planValue(load.getMemory()));
  });
  return reads;
}

RoleOp Fuser::addRole(Block &roles, StringRef name, RoleOp like,
                      int64_t threads) {
  OpBuilder end = OpBuilder::atBlockEnd(&roles);
  bool team = like == products[0]->compute;
  auto role = RoleOp::create(
      end, loc, end.getStringAttr(name), end.getI64IntegerAttr(threads),
      end.getI64IntegerAttr(team ? like.getCopies() : 1),
      team ? like.getDivideAttr() : DivideAttr(), IntegerAttr());
  role.getBody().emplaceBlock();
  return role;
}

void Fuser::buildBody() {
  Block &body = kernel.getBody().front();
  b.setInsertionPointToEnd(&body);
  for (int i : {0, 1}) {
    Product &product = *products[i];
    for (auto [argument, operand] :
         llvm::zip(product.kernel.getBody().getArguments(),
                   product.launch.getArguments()))
      product.map.map(argument, use(operand));
    for (Operation &op : product.kernel.getBody().front()) {
      if (auto clear = dyn_cast<ClearOp>(op)) {
        cleared.push_back(product.planValue(clear.getMemory()));
        continue;
      }
      if (&op == product.ring)
        splitRing(product, slots[i]);
      else if (!isa<AwaitLaunchOp, RolesOp, ReturnOp>(op))
        b.clone(op, product.map);
    }
  }
  RoleOp compute = products[0]->compute;
  SlotListOp list = products[0]->list;
  int64_t tiles = llvm::divideCeil(list.getColumns(), list.getBlockN());
  Value all = arith::ConstantOp::create(
      b, loc, b.getI32IntegerAttr(tiles * compute.getCopies()));
  Value arrivals = use(counters);
  bool early = readsArgumentsOnly(), late = readsRowsInCompute();

  auto roles = RolesOp::create(b, loc);
  Block &block = roles.getBody().emplaceBlock();
  ReturnOp::create(b, loc);
  RoleOp made[3] = {addRole(block, "weights", products[0]->load,
                            std::max(products[0]->load.getThreads(),
                                     products[1]->load.getThreads())),
                    addRole(block, "compute", compute, compute.getThreads()),
                    addRole(block, "rows", products[0]->load, kRowThreads)};
  auto rowOf = [&](ForTilesOp loop) -> Value {
    b.setInsertionPointToStart(&loop.getBody().front());
    return CoordsOp::create(b, loc, loop.getTile()).getRow0();
  };
  for (auto [number, role] : llvm::enumerate(made)) {
    Block &inside = role.getBody().front();
    b.setInsertionPointToEnd(&inside);
    bool weights = number != 2, rows = number != 0;
    DenseMap<Value, Value> begins;
    if (pdl && (rows || !early))
      AwaitLaunchOp::create(b, loc);
    for (int i : {0, 1}) {
      b.setInsertionPointToEnd(&inside);
      Product &product = *products[i];
      RoleOp from = number == 1 ? product.compute : product.load;
      RoleCloner cloner(product, b, weights, rows, begins);
      ForTilesOp loop = cloner.clone(from.getBody().front());
      if (i == 0)
        begins = cloner.getEnds();
      if (number == 1 && i == 0) {
        Value row = rowOf(loop);
        b.setInsertionPoint(loop.getBody().front().getTerminator());
        SignalOp::create(b, loc, arrivals, row);
      }
      if (i == 1 && (number == 2 || (number == 1 && late))) {
        Value row = rowOf(loop);
        AwaitOp::create(b, loc, arrivals, row, all);
      }
    }
    eraseDead(role);
  }
}

/// The launch that clears, before all others.
void Fuser::makeClear() {
  // What the sizes are made of stands before all launches.
  LaunchOp before = *plan.getBody().getOps<LaunchOp>().begin();
  std::function<void(Value)> hoist = [&](Value v) {
    Operation *op = v.getDefiningOp();
    if (!op || op->isBeforeInBlock(before))
      return;
    for (Value operand : op->getOperands())
      hoist(operand);
    op->moveBefore(before);
  };
  for (Value memory : cleared)
    hoist(memory);
  Value ids = products[0]->planValue(products[0]->list.getIds());
  hoist(ids);

  OpBuilder builder(products[0]->kernel);
  SmallVector<Value> passed{ids};
  llvm::append_range(passed, cleared);
  auto clear = KernelOp::create(
      builder, loc, (plan.getSymName() + "_clear").str(),
      builder.getFunctionType(TypeRange(ValueRange(passed)), {}), Form::Seq);
  symbols.insert(clear);
  if (clear.getBody().empty()) {
    Block &entry = clear.getBody().emplaceBlock();
    for (Value v : passed)
      entry.addArgument(v.getType(), loc);
  }
  Block &entry = clear.getBody().front();
  entry.clear();
  // Nothing begins before all that was launched earlier has ended.
  clear->setAttr("moe_tile.holds_next", builder.getUnitAttr());
  if (std::optional<StringRef> target = products[0]->kernel.getTarget())
    clear.setTarget(*target);
  builder.setInsertionPointToStart(&entry);
  auto index = [&](int64_t v) -> Value {
    return arith::ConstantIndexOp::create(builder, loc, v);
  };
  int64_t topk = products[0]->list.getTopk();
  if (pdl)
    AwaitLaunchOp::create(builder, loc);
  Value c0 = index(0), c1 = index(1), slots = index(topk);
  Value zero =
      arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(0));
  Value tokens = memref::DimOp::create(builder, loc, entry.getArgument(0), c0);
  SmallVector<Value> ends;
  for (Value memory : ValueRange(cleared).drop_front())
    ends.push_back(index(cast<MemRefType>(memory.getType()).getDimSize(1)));
  scf::ParallelOp::create(
      builder, loc, c0, tokens, c1,
      [&](OpBuilder &nested, Location loc, ValueRange ivs) {
        Value first = arith::MulIOp::create(nested, loc, ivs[0], slots);
        scf::ForOp::create(
            nested, loc, c0, slots, c1, ValueRange(),
            [&](OpBuilder &in, Location loc, Value i, ValueRange) {
              Value place = arith::AddIOp::create(in, loc, first, i);
              memref::StoreOp::create(in, loc, zero, entry.getArgument(1),
                                      place);
              scf::YieldOp::create(in, loc);
            });
        for (auto [i, end] : llvm::enumerate(ends))
          scf::ForOp::create(
              nested, loc, c0, end, c1, ValueRange(),
              [&, i = i](OpBuilder &in, Location loc, Value c, ValueRange) {
                memref::StoreOp::create(in, loc, zero, entry.getArgument(2 + i),
                                        ValueRange{ivs[0], c});
                scf::YieldOp::create(in, loc);
              });
      });
  ReturnOp::create(builder, loc);
  at.setInsertionPoint(before);
  LaunchOp::create(at, loc, TokenType::get(at.getContext()), clear.getSymName(),
                   passed, ValueRange{}, pdl);
}

LogicalResult Fuser::run() {
  if (failed(check()) || failed(sizeRings()))
    return failure();
  KernelOp first = products[0]->kernel;
  OpBuilder module(first);
  kernel =
      KernelOp::create(module, loc, (plan.getSymName() + "_products").str(),
                       module.getFunctionType({}, {}), Form::Explicit);
  symbols.insert(kernel);
  if (kernel.getBody().empty())
    kernel.getBody().emplaceBlock();
  kernel.getBody().front().clear();
  makeCounters();
  buildBody();
  SmallVector<Type> types(kernel.getBody().front().getArgumentTypes());
  kernel.setFunctionType(module.getFunctionType(types, {}));
  int64_t threads = 0, limit = INT64_MAX;
  kernel.walk(
      [&](RoleOp role) { threads += role.getThreads() * role.getCopies(); });
  for (Product *product : products)
    limit = std::min<int64_t>(limit,
                              product->kernel.getSmemLimit().value_or(232448));
  kernel.setSmemLimit(limit);
  if (first.getTarget())
    kernel.setTarget(*first.getTarget());
  if (Attribute config = first->getAttr(kConfigAttr))
    kernel->setAttr(kConfigAttr, config);
  kernel.setExecAttr(ExecAttr::get(b.getContext(), threads, /*cluster=*/1,
                                   Grid::Persistent, /*resident=*/true));
  at.setInsertionPoint(products[1]->launch);
  LaunchOp::create(at, loc, TokenType::get(at.getContext()),
                   kernel.getSymName(), operands, ValueRange{}, pdl);
  makeClear();
  for (Product *product : products) {
    product->launch.erase();
    symbols.erase(product->kernel);
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {
struct FuseLaunchesPass
    : public mlir::moe::tile::impl::MoeTileFuseLaunchesBase<FuseLaunchesPass> {
  void runOnOperation() override {
    SymbolTable symbols(getOperation());
    for (PlanOp plan : getOperation().getOps<PlanOp>())
      if (failed(fuse(plan, symbols)))
        return signalPassFailure();
  }

  LogicalResult fuse(PlanOp plan, SymbolTable &symbols) {
    SmallVector<LaunchOp> launches(plan.getBody().getOps<LaunchOp>());
    SmallVector<Product, 2> found;
    size_t last = 0;
    for (auto [i, launch] : llvm::enumerate(launches)) {
      auto kernel = symbols.lookup<KernelOp>(launch.getCallee());
      if (!kernel || !kernel->hasAttr("moe_tile.one_launch"))
        continue;
      if (!found.empty() && last + 1 != i)
        return kernel.emitOpError("one_launch: rule one_launch_products: a "
                                  "launch stands between the products");
      last = i;
      Product product;
      product.kernel = kernel;
      product.launch = launch;
      if (failed(product.match()))
        return failure();
      found.push_back(std::move(product));
    }
    if (found.empty())
      return success();
    if (found.size() != 2)
      return found.front().kernel.emitOpError("one_launch: rule "
                                              "one_launch_products: ")
             << found.size() << " products, 2 are needed";
    ++numFused;
    return Fuser(found[0], found[1], symbols).run();
  }
};
} // namespace
