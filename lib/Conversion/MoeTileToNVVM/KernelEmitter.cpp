//===- KernelEmitter.cpp - Structure of an explicit kernel in NVVM --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/MoeTile/Transforms/ExplicitTarget.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// The first shared memory byte of a tile: the XOR pattern of descriptors
/// repeats after this many bytes.
static constexpr int64_t kTileAlignment = 1024;

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

LLVM::GlobalOp nvvm::getDynamicSharedMemory(Operation *module, Location loc) {
  Block &body = module->getRegion(0).front();
  for (auto global : body.getOps<LLVM::GlobalOp>())
    if (global.getSymName() == "dyn_smem")
      return global;
  OpBuilder b(module->getContext());
  b.setInsertionPointToStart(&body);
  return LLVM::GlobalOp::create(
      b, loc, LLVM::LLVMArrayType::get(b.getI8Type(), 0), /*isConstant=*/false,
      LLVM::Linkage::External, "dyn_smem", Attribute(), kTileAlignment,
      /*addrSpace=*/3);
}

LogicalResult KernelEmitter::placeOnChip() {
  int64_t at = 0;
  for (Operation &op : kernel.getBody().front()) {
    if (auto alloc = dyn_cast<tile::RingAllocOp>(op)) {
      RingPlace ring;
      ring.type = alloc.getRing().getType();
      ring.slots = ring.type.getSlots();
      if (ring.type.getSync() != tile::Sync::Tx)
        return op.emitOpError("the NVVM lowering takes rings with sync = tx");
      for (Type type : ring.type.getBuffers()) {
        auto buffer = cast<tile::BufType>(type);
        ring.slotBytes = llvm::alignTo(
            ring.slotBytes, holdsFactors(buffer) ? 16 : kTileAlignment);
        ring.bufferOffsets.push_back(ring.slotBytes);
        ring.slotBytes += buffer.getSizeInBytes();
      }
      ring.slotBytes = llvm::alignTo(ring.slotBytes, kTileAlignment);
      ring.base = at;
      at += ring.slots * ring.slotBytes;
      rings[alloc.getRing()] = ring;
    } else if (auto alloc = dyn_cast<tile::BufAllocOp>(op)) {
      buffers[alloc.getBuffer()] = at;
      at += llvm::alignTo(alloc.getBuffer().getType().getSizeInBytes(),
                          kTileAlignment);
    }
  }
  for (Operation &op : kernel.getBody().front())
    if (auto alloc = dyn_cast<tile::RingAllocOp>(op)) {
      RingPlace &ring = rings[alloc.getRing()];
      ring.fullBarriers = at;
      ring.emptyBarriers = at + 8 * ring.slots;
      at += 16 * ring.slots;
    }
  kernel.walk([&](tile::RowReduceOp op) {
    auto type = cast<tile::FragType>(op.getInputs()[0].getType());
    auto role = op->getParentOfType<tile::RoleOp>();
    if (!role || !type.getLayout())
      return;
    for (const tile::Digit &digit : type.getLayout().getDigits())
      if (digit.level == tile::Level::Warp && digit.dim == tile::Dim::N &&
          digit.stride != 0 && exchange < 0) {
        exchange = llvm::alignTo(at, 16);
        at = exchange + role.getThreads() / 32 * type.getRows() * 4;
      }
  });
  kernel.walk([&](tile::SumLastOp op) {
    if (auto role = op->getParentOfType<tile::RoleOp>()) {
      lastFlags = llvm::alignTo(at, 16);
      at = lastFlags + role.getCopies() * 4;
    }
  });
  kernel.walk([&](tile::SumArrivedOp op) {
    if (auto role = op->getParentOfType<tile::RoleOp>()) {
      sumFlags = llvm::alignTo(at, 16);
      at = sumFlags + role.getCopies() * rowsOfTeam(op) * 4;
    }
  });
  sharedBytes = at;
  int64_t limit = kernel.getSmemLimit().value_or(232448);
  if (sharedBytes > limit)
    return kernel.emitOpError("needs ")
           << sharedBytes << " bytes of shared memory with its barriers, "
           << "limit is " << limit;
  // Who writes a ring decides what its barriers count.
  kernel.walk([&](tile::PublishOp publish) {
    RingPlace &ring = rings[publish.getRing()];
    for (Operation &op : *publish->getBlock())
      if (auto copy = dyn_cast<tile::CopyOp>(op)) {
        bool threads = copy.getHow() == tile::How::Gather ||
                       copy.getHow() == tile::How::Vector ||
                       copy.getHow() == tile::How::Element;
        (threads ? ring.gathers : ring.descriptors) = true;
        if (threads && !holdsFactors(copy.getBuffer().getType()))
          ring.threadsWriteOperands = true;
      }
  });
  return success();
}

/// Moves reads of one value per row (router weights) before the product of
/// their tile, which hides their latency. Only reads of memory that the kernel
/// does not write.
void KernelEmitter::hoistRowOperands() {
  if (fillsRegisters(kernel))
    return;
  SmallVector<tile::LoadOp> loads;
  kernel.walk([&](tile::LoadOp op) {
    auto type = dyn_cast<tile::FragType>(op.getResult().getType());
    if (type && type.getCols() == 1)
      loads.push_back(op);
  });
  for (tile::LoadOp op : loads) {
    Operation *wait = nullptr;
    for (Operation &other : *op->getBlock())
      if (isa<tile::WaitOp>(other)) {
        wait = &other;
        break;
      }
    bool written = llvm::any_of(op.getMemory().getUsers(), [](Operation *user) {
      return isa<tile::StoreOp>(user);
    });
    if (!wait || written || op->isBeforeInBlock(wait))
      continue;
    if (llvm::all_of(op->getOperands(), [&](Value v) {
          Operation *def = v.getDefiningOp();
          return !def || def->getBlock() != op->getBlock() ||
                 def->isBeforeInBlock(wait);
        }))
      op->moveBefore(wait);
  }
}

void KernelEmitter::initBarriers() {
  Value thread = NVVM::ThreadIdXOp::create(b, loc, b.getI32Type());
  ifThen(cmp(arith::CmpIPredicate::eq, thread, c32(0)), [&] {
    for (Operation &op : kernel.getBody().front()) {
      auto alloc = dyn_cast<tile::RingAllocOp>(op);
      if (!alloc)
        continue;
      const RingPlace &ring = rings[alloc.getRing()];
      int64_t producers = 0, consumers = 0;
      kernel.walk([&](tile::RoleOp role) {
        role.walk([&](Operation *user) {
          if (auto cursor = dyn_cast<tile::CursorOp>(user))
            if (cursor.getRing() == alloc.getRing()) {
              if (cursor.getCursor().getType().getSide() ==
                  tile::Side::Producer)
                producers = role.getThreads();
              else
                // One arrival of each warp.
                consumers += role.getThreads() / 32 * role.getCopies();
            }
        });
      });
      int64_t full =
          (ring.gathers ? producers : 0) + (ring.descriptors ? 1 : 0);
      for (int64_t i = 0; i < ring.slots; ++i) {
        NVVM::MBarrierInitOp::create(b, loc, shared(ring.fullBarriers + 8 * i),
                                     c32(full), Value());
        NVVM::MBarrierInitOp::create(b, loc, shared(ring.emptyBarriers + 8 * i),
                                     c32(consumers), Value());
      }
    }
    // Only the copy engine and other blocks look past the block's barrier.
    if (hopper)
      NVVM::FenceMbarrierInitOp::create(b, loc);
  });
  NVVM::BarrierOp::create(b, loc);
}

//===----------------------------------------------------------------------===//
// Teams
//===----------------------------------------------------------------------===//

LogicalResult KernelEmitter::emitRole(tile::RoleOp role, int64_t firstThread,
                                      int64_t firstId, Value thread,
                                      Value warp) {
  team = Team();
  team.role = role;
  team.firstId = firstId;
  team.threads = role.getThreads();
  // All threads start with an equal share of the registers.
  int64_t share = 65536 / kernel.getExecAttr().getThreads();
  if (role.getRegs() && !hopper)
    return role.emitOpError("registers by role need sm_90, the kernel is for ")
           << *kernel.getTarget();
  if (std::optional<int64_t> regs = role.getRegs())
    NVVM::SetMaxRegisterOp::create(b, loc, uint32_t(*regs),
                                   *regs <= share
                                       ? NVVM::SetMaxRegisterAction::decrease
                                       : NVVM::SetMaxRegisterAction::increase);
  Value inRole = sub(thread, c32(firstThread));
  Value warpInRole = sub(warp, c32(firstThread / 32));
  int64_t warps = team.threads / 32;
  if (role.getCopies() == 1) {
    team.thread = inRole;
    team.warp = warpInRole;
    team.group = c32(0);
  } else {
    team.thread = arith::RemUIOp::create(b, loc, inRole, c32(team.threads));
    team.warp = arith::RemUIOp::create(b, loc, warpInRole, c32(warps));
    team.group = arith::DivUIOp::create(b, loc, warpInRole, c32(warps));
  }
  // A role that only starts copies by descriptor is one thread.
  bool starts = false, all = false;
  role.walk([&](Operation *op) {
    if (auto copy = dyn_cast<tile::CopyOp>(op))
      (copy.getHow() == tile::How::Gather ||
               copy.getHow() == tile::How::Vector ||
               copy.getHow() == tile::How::Element
           ? all
           : starts) = true;
    else if (isa<tile::MmaOp, tile::StoreOp, tile::LoadOp, tile::WaitOp,
                 tile::FetchOp, tile::DepositOp>(op))
      all = true;
  });
  team.single = starts && !all;
  bool copies = false;
  role.walk([&](tile::CopyOp) { copies = true; });
  if (early && !copies) {
    awaitLaunch();
    for (Operation *op : clears)
      if (failed(emitClear(*op)))
        return failure();
    clears.clear();
  }
  LogicalResult result = success();
  ifThen(team.single ? cmp(arith::CmpIPredicate::eq, team.thread, c32(0))
                     : Value(),
         [&] { result = emitBlock(role.getBody().front()); });
  return result;
}

LogicalResult KernelEmitter::emitRoles(tile::RolesOp roles) {
  Value thread = NVVM::ThreadIdXOp::create(b, loc, b.getI32Type());
  // The same in all lanes, and known to be: branches on it are uniform.
  Value warp =
      NVVM::ShflOp::create(b, loc, b.getI32Type(), c32(-1),
                           arith::ShRUIOp::create(b, loc, thread, c32(5)),
                           c32(0), c32(31), NVVM::ShflKind::idx, UnitAttr());
  SmallVector<tile::RoleOp> list(
      roles.getBody().front().getOps<tile::RoleOp>());
  // A block gets an equal share for each thread at its launch, whole groups of
  // eight. Who asks for more than is given back waits for ever.
  int64_t threads = kernel.getExecAttr().getThreads(), wanted = 0;
  int64_t given = threads * (65536 / threads / 8 * 8);
  for (tile::RoleOp role : list)
    wanted += role.getThreads() * role.getCopies() *
              role.getRegs().value_or(65536 / threads / 8 * 8);
  if (wanted > given)
    return roles.emitOpError("roles ask for ")
           << wanted << " registers, a block of " << threads
           << " threads is given " << given;
  OpBuilder::InsertionGuard guard(b);
  int64_t first = 0, id = 1;
  for (auto [i, role] : llvm::enumerate(list)) {
    int64_t threads = role.getThreads() * role.getCopies();
    if (i + 1 == list.size())
      return emitRole(role, first, id, thread, warp);
    auto ifOp = scf::IfOp::create(
        b, loc,
        cmp(arith::CmpIPredicate::ult, warp, c32((first + threads) / 32)),
        /*else=*/true);
    b.setInsertionPointToStart(ifOp.thenBlock());
    if (failed(emitRole(role, first, id, thread, warp)))
      return failure();
    b.setInsertionPointToStart(ifOp.elseBlock());
    first += threads;
    id += role.getCopies();
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Control flow and scalars
//===----------------------------------------------------------------------===//

/// The slots that a step of a product's loop releases while the product itself
/// is still under way: one whose body is waits, mma, mma_wait 0, a release for
/// each wait, behind a first step of the same form. Empty if the loop is
/// another one.
static SmallVector<tile::ReleaseOp, 2> laggingReleases(scf::ForOp op) {
  SmallVector<tile::ReleaseOp, 2> releases;
  unsigned waits = 0, products = 0, others = 0;
  for (Operation &inner : op.getBody()->without_terminator()) {
    if (isa<tile::WaitOp>(inner))
      ++waits;
    else if (isa<tile::MmaOp>(inner))
      ++products;
    else if (auto release = dyn_cast<tile::ReleaseOp>(inner))
      releases.push_back(release);
    else if (!isa<tile::MmaWaitOp>(inner))
      ++others;
  }
  if (!waits || waits != releases.size() || products != 1 || others)
    return {};
  // With large tiles the products of the other team fill the gap, and a late
  // release costs more than it brings (1 % of the time, measured).
  if (!usesWarpgroups(op->getParentOfType<tile::KernelOp>()))
    return {};
  for (tile::MmaOp product : op.getBody()->getOps<tile::MmaOp>())
    if (product.getResult().getType().getNumElements() > 64 * 128)
      return {};
  for (tile::ReleaseOp release : releases) {
    if (release.getRing().getType().getSlots() < 3)
      return {};
    bool begins = false;
    for (Value init : op.getInitArgs()) {
      auto first = init.getDefiningOp<tile::ReleaseOp>();
      if (!first || first.getRing() != release.getRing())
        continue;
      Operation *before = first->getPrevNode();
      while (isa_and_nonnull<tile::ReleaseOp>(before))
        before = before->getPrevNode();
      begins |= isa_and_nonnull<tile::MmaWaitOp>(before) &&
                isa_and_nonnull<tile::MmaOp>(before->getPrevNode());
    }
    if (!begins)
      return {};
  }
  return releases;
}

LogicalResult KernelEmitter::emitFor(scf::ForOp op) {
  SmallVector<tile::ReleaseOp, 2> lagging = laggingReleases(op);
  std::optional<NextSlot> ahead = findNextSlot(op);
  SmallVector<Value> factors;
  if (ahead) {
    for (auto [from, to] : llvm::zip(op.getRegionIterArgs(), op.getInitArgs()))
      parts[from] = parts.lookup(to);
    FailureOr<SmallVector<Value>> first = readSlot(*ahead);
    if (failed(first))
      return failure();
    factors = *first;
  }
  auto body = [&](scf::ForOp loop) -> FailureOr<SmallVector<Value>> {
    parts[op.getInductionVar()] = {loop.getInductionVar()};
    if (firstTile)
      copiedEarly = both(firstTile, less(loop.getInductionVar(), earlyEnd));
    std::swap(nextSlot, ahead);
    if (nextSlot) {
      nextSlot->more = less(add(loop.getInductionVar(), loop.getStep()),
                            loop.getUpperBound());
      bindFactors(
          *nextSlot,
          ValueRange(loop.getRegionIterArgs()).take_back(factors.size()));
    }
    if (failed(emitBlock(*op.getBody())))
      return failure();
    copiedEarly = Value();
    SmallVector<Value> yielded =
        flatten(op.getBody()->getTerminator()->getOperands());
    if (nextSlot)
      llvm::append_range(yielded, nextSlot->ahead);
    std::swap(nextSlot, ahead);
    return yielded;
  };
  if (failed(emitLoop(scalar(op.getLowerBound()), scalar(op.getUpperBound()),
                      scalar(op.getStep()), op.getRegionIterArgs(),
                      op.getInitArgs(), op.getResults(), body, factors)))
    return failure();
  if (!op.getOps<tile::PromoteOp>().empty() && fillsRegisters(kernel))
    refreshThread();
  // The product of the last step is done: its slots are free as well.
  if (!lagging.empty())
    NVVM::WgmmaWaitGroupSyncOp::create(b, loc, uint64_t(0));
  for (tile::ReleaseOp release : lagging)
    for (auto [yielded, result] : llvm::zip(
             op.getBody()->getTerminator()->getOperands(), op.getResults()))
      if (yielded == release.getNext())
        giveBack(rings[release.getRing()],
                 before(rings[release.getRing()], parts[result][0]));
  return success();
}

int64_t KernelEmitter::releaseLag(tile::ReleaseOp op) {
  if (auto loop = dyn_cast<scf::ForOp>(op->getParentOp()))
    return llvm::is_contained(laggingReleases(loop), op) ? 1 : 0;
  for (Operation *user : op.getNext().getUsers())
    if (auto loop = dyn_cast<scf::ForOp>(user))
      if (!laggingReleases(loop).empty())
        return 2;
  return 0;
}

LogicalResult KernelEmitter::emitBlock(Block &block) {
  for (Operation &op : block) {
    loc = op.getLoc();
    if (op.hasTrait<OpTrait::IsTerminator>())
      continue;
    if (trim && !trim->now) {
      FailureOr<bool> done = emitTrimmed(op);
      if (failed(done))
        return failure();
      if (*done)
        break;
    }
    if (failed(emitOp(op)))
      return failure();
  }
  return success();
}

LogicalResult KernelEmitter::emitOp(Operation &op) {
  return TypeSwitch<Operation *, LogicalResult>(&op)
      .Case([&](scf::ForOp op) { return emitFor(op); })
      .Case([&](scf::IfOp op) -> LogicalResult {
        if (op.getNumResults() || !op.getElseRegion().empty())
          return op.emitOpError("the NVVM lowering takes scf.if without "
                                "results and without else");
        LogicalResult result = success();
        ifThen(scalar(op.getCondition()),
               [&] { result = emitBlock(*op.thenBlock()); });
        return result;
      })
      .Case([&](tile::ForTilesOp op) { return emitForTiles(op); })
      .Case([&](tile::RolesOp op) { return emitRoles(op); })
      .Case<tile::RingAllocOp, tile::BufAllocOp>(
          [&](auto) { return success(); })
      .Case([&](tile::CursorOp op) {
        // The producer's first pass over the ring finds every slot free.
        bool producer =
            op.getCursor().getType().getSide() == tile::Side::Producer;
        parts[op.getCursor()] = {c32(0), c32(producer ? 1 : 0)};
        return success();
      })
      .Case<tile::ClearOp, tile::ClearAbsentOp>([&](auto op) -> LogicalResult {
        if (!early)
          return emitClear(*op);
        clears.push_back(op);
        return success();
      })
      .Case([&](tile::SumArrivedOp op) { return emitSumArrived(op); })
      .Case([&](tile::SumLastOp op) { return emitSumLast(op); })
      .Case([&](tile::RowIndexOp rows) {
        if (failed(emitCommon(op)))
          return failure();
        prepareStores(rows.getResult());
        return prepareGathers(rows.getResult());
      })
      .Case([&](tile::RowIotaOp rows) {
        return failed(emitCommon(op)) ? failure()
                                      : prepareGathers(rows.getResult());
      })
      .Case([&](tile::AwaitLaunchOp) {
        if (!early) // else in the roles
          awaitLaunch();
        return success();
      })
      .Case([&](tile::AcquireOp op) { return emitAcquire(op); })
      .Case([&](tile::PublishOp op) { return emitPublish(op); })
      .Case([&](tile::WaitOp op) { return emitWait(op); })
      .Case([&](tile::ReleaseOp op) { return emitRelease(op); })
      .Case([&](tile::GroupSyncOp op) { return emitGroupSync(op); })
      .Case([&](tile::StoreWaitOp op) { return emitStoreWait(op); })
      .Case([&](tile::MmaWaitOp op) {
        if (!warpgroups) // Products of a warp are done when they return.
          return success();
        int64_t pending = op.getPending();
        if (auto release = dyn_cast_or_null<tile::ReleaseOp>(op->getNextNode()))
          if (int64_t lag = releaseLag(release)) {
            if (lag == 2)
              return success(); // The loop behind waits for this product.
            pending = 1;
          }
        NVVM::WgmmaWaitGroupSyncOp::create(b, loc, uint64_t(pending));
        return success();
      })
      .Case([&](tile::SignalOp op) {
        return emitSignal(op, asI32(op.getIndex()));
      })
      .Case([&](tile::AwaitOp op) {
        return emitAwait(op, asI32(op.getIndex()), scalar(op.getValue()));
      })
      .Case([&](tile::CopyOp op) { return emitCopy(op); })
      .Case([&](tile::MmaOp op) { return emitMma(op); })
      .Case([&](tile::DequantOp op) { return emitDequant(op); })
      .Case([&](tile::AccReadOp op) { return emitAccRead(op); })
      .Case([&](tile::FragLoadOp op) { return emitFragLoad(op); })
      .Case([&](tile::PromoteOp op) { return emitPromote(op); })
      .Case([&](tile::RowReduceOp op) { return emitRowReduce(op); })
      .Case([&](tile::DepositOp op) { return emitDeposit(op); })
      .Case([&](tile::StoreOp op) { return emitStore(op); })
      .Default([&](Operation *op) { return emitCommon(*op); });
}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

void KernelEmitter::setLaunch() {
  tile::ExecAttr exec = kernel.getExecAttr();
  auto list = [&](int64_t x) { return b.getDenseI64ArrayAttr({x, 1, 1}); };
  Attribute one = b.getI64IntegerAttr(1);
  Attribute blocks =
      b.getDictionaryAttr(b.getNamedAttr("persistent", b.getI64IntegerAttr(1)));
  SmallVector<NamedAttribute> launch{
      b.getNamedAttr("block", list(exec.getThreads())),
      b.getNamedAttr("cluster", list(exec.getCluster())),
      b.getNamedAttr("smem", b.getI64IntegerAttr(sharedBytes)),
      b.getNamedAttr("grid", b.getArrayAttr({blocks, one, one})),
      b.getNamedAttr("params", b.getArrayAttr(params))};
  if (exec.getResident())
    launch.push_back(b.getNamedAttr("resident", b.getUnitAttr()));
  if (pdl)
    launch.push_back(b.getNamedAttr("early_start", b.getUnitAttr()));
  func->setAttr("moe.launch", b.getDictionaryAttr(launch));
  func->setAttr("nvvm.kernel", b.getUnitAttr());
  func->setAttr("nvvm.reqntid",
                b.getDenseI32ArrayAttr({int32_t(exec.getThreads())}));
  func->setAttr("nvvm.minctasm", b.getI32IntegerAttr(1));
  if (exec.getCluster() > 1)
    func->setAttr("nvvm.cluster_dim",
                  b.getDenseI32ArrayAttr({int32_t(exec.getCluster()), 1, 1}));
}

LogicalResult KernelEmitter::emit() {
  if (!kernel.getExecAttr())
    return kernel.emitOpError("has no exec, which the NVVM lowering needs");
  if (std::optional<StringRef> target = kernel.getTarget())
    if (const tile::ExplicitTarget *chip = tile::findExplicitTarget(*target))
      hopper = chip->hopper;
  warpgroups = usesWarpgroups(kernel);
  if (failed(checkChip()))
    return failure();
  Block *entry = new Block;
  func.getBody().push_back(entry);
  b.setInsertionPointToStart(entry);
  if (failed(addArguments()) || failed(placeOnChip()))
    return failure();
  hoistRowOperands();
  findTrim();
  findEarly();
  findTileColumns();
  if (sharedBytes)
    sharedGlobal = getDynamicSharedMemory(func->getParentOp(), loc);
  if (!rings.empty())
    initBarriers();
  if (failed(emitBlock(kernel.getBody().front())))
    return failure();
  finishFunction();
  Type map = LLVM::LLVMArrayType::get(b.getI8Type(), 128);
  for (const MapKey &key : tensorMaps) {
    unsigned i = cast<BlockArgument>(key.pointer).getArgNumber();
    func.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(),
                    TypeAttr::get(map));
    func.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                    b.getI64IntegerAttr(64));
    func.setArgAttr(i, "nvvm.grid_constant", b.getUnitAttr());
  }
  setLaunch();
  return success();
}
