//===- KernelEmitter.cpp - Structure of an explicit kernel in NVVM --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/MoeTile/Transforms/ExplicitTarget.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// The first shared memory byte of a tile: the XOR pattern of descriptors
/// repeats after this many bytes.
static constexpr int64_t kTileAlignment = 1024;

//===----------------------------------------------------------------------===//
// Small builders
//===----------------------------------------------------------------------===//

Value KernelEmitter::c32(int64_t value) {
  return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
}
Value KernelEmitter::c64(int64_t value) {
  return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
}
Value KernelEmitter::add(Value x, Value y) {
  return arith::AddIOp::create(b, loc, x, y);
}
Value KernelEmitter::sub(Value x, Value y) {
  return arith::SubIOp::create(b, loc, x, y);
}
Value KernelEmitter::mul(Value x, Value y) {
  return arith::MulIOp::create(b, loc, x, y);
}
Value KernelEmitter::cmp(arith::CmpIPredicate p, Value x, Value y) {
  return arith::CmpIOp::create(b, loc, p, x, y);
}
Value KernelEmitter::both(Value x, Value y) {
  if (!x || !y)
    return x ? x : y;
  return arith::AndIOp::create(b, loc, x, y);
}
Value KernelEmitter::wide(Value x) {
  return arith::ExtSIOp::create(b, loc, b.getI64Type(), x);
}

void KernelEmitter::ifThen(Value condition, function_ref<void()> body) {
  if (!condition)
    return body();
  auto ifOp = scf::IfOp::create(b, loc, condition, /*else=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(ifOp.thenBlock());
  body();
}

Type KernelEmitter::scalarType(Type type) {
  return type.isIndex() ? b.getI32Type() : type;
}

SmallVector<Value> KernelEmitter::flatten(ValueRange values) {
  SmallVector<Value> flat;
  for (Value v : values)
    llvm::append_range(flat, parts.find(v)->second);
  return flat;
}

void KernelEmitter::bindFlat(ValueRange values, ValueRange flat) {
  // The lists of the values have the lengths of what they were made from.
  for (Value v : values) {
    size_t count = parts.find(v)->second.size();
    parts[v] = llvm::to_vector(flat.take_front(count));
    flat = flat.drop_front(count);
  }
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

Value KernelEmitter::addParameter(Type type, DictionaryAttr how) {
  params.push_back(how);
  return func.getBody().front().addArgument(type, loc);
}

LogicalResult KernelEmitter::addArguments() {
  Type global = LLVM::LLVMPointerType::get(b.getContext(), 1);
  for (BlockArgument arg : kernel.getBody().getArguments()) {
    unsigned number = arg.getArgNumber();
    NamedAttribute operand =
        b.getNamedAttr("operand", b.getI64IntegerAttr(number));
    if (auto type = dyn_cast<MemRefType>(arg.getType())) {
      if (!type.getLayout().isIdentity())
        return kernel.emitOpError()
               << "argument " << number
               << ": the NVVM lowering takes row-major memory only, got "
               << type;
      Memory memory;
      memory.type = type;
      memory.operand = number;
      memory.pointer = addParameter(global, b.getDictionaryAttr({operand}));
      memories[arg] = memory;
      continue;
    }
    if (!isa<IndexType, IntegerType, FloatType>(arg.getType()))
      return kernel.emitOpError()
             << "argument " << number
             << ": the NVVM lowering takes memrefs and scalars, got "
             << arg.getType();
    Type type = scalarType(arg.getType());
    parts[arg] = {addParameter(
        type, b.getDictionaryAttr(
                  {operand, b.getNamedAttr("type", TypeAttr::get(type))}))};
  }
  return success();
}

Value KernelEmitter::dimension(BlockArgument memory, int64_t dim) {
  Value &known = dimensions[{memory, dim}];
  if (!known)
    known = addParameter(
        b.getI32Type(),
        b.getDictionaryAttr(
            {b.getNamedAttr("operand",
                            b.getI64IntegerAttr(memory.getArgNumber())),
             b.getNamedAttr("dim", b.getI64IntegerAttr(dim)),
             b.getNamedAttr("type", TypeAttr::get(b.getI32Type()))}));
  return known;
}

Value KernelEmitter::extent(const Memory &memory, int64_t dim) {
  if (!memory.type.isDynamicDim(dim))
    return c32(memory.type.getDimSize(dim));
  BlockArgument arg = kernel.getBody().getArgument(memory.operand);
  auto original = cast<MemRefType>(arg.getType());
  if (memory.whole)
    return dimension(arg, dim);
  // A view that collapses dimensions: the product of what it covers. Only the
  // first extent of a row-major memory can be dynamic there.
  int64_t inner = 1;
  for (int64_t i = 1; i < memory.type.getRank(); ++i)
    inner *= memory.type.getDimSize(i);
  int64_t originalInner = 1;
  for (int64_t i = 1; i < original.getRank(); ++i)
    originalInner *= original.getDimSize(i);
  return mul(dimension(arg, 0), c32(originalInner / inner));
}

LogicalResult KernelEmitter::emitView(Operation &op) {
  auto type = cast<MemRefType>(op.getResult(0).getType());
  auto it = memories.find(op.getOperand(0));
  if (it == memories.end())
    return op.emitOpError("is a view of memory that is no kernel argument");
  Memory memory = it->second;
  auto dynamicInner = [](MemRefType t) {
    return llvm::any_of(t.getShape().drop_front(t.getRank() ? 1 : 0),
                        ShapedType::isDynamic);
  };
  if (dynamicInner(type) || dynamicInner(memory.type) ||
      !type.getLayout().isIdentity())
    return op.emitOpError("the NVVM lowering takes views of row-major memory "
                          "whose first extent alone is dynamic");
  memory.type = type;
  memory.whole = false;
  memories[op.getResult(0)] = memory;
  return success();
}

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
      (copy.getHow() == tile::How::Gather || copy.getHow() == tile::How::Vector
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
    for (tile::ClearOp op : clears)
      if (failed(emitClear(op)))
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

LogicalResult KernelEmitter::emitScalar(Operation &op) {
  SmallVector<Value> operands;
  for (Value operand : op.getOperands()) {
    if (!known(operand))
      return op.emitOpError("has an operand without lowering to NVVM");
    operands.push_back(scalar(operand));
  }
  SmallVector<Type> types;
  for (Type type : op.getResultTypes()) {
    if (!isa<IndexType, IntegerType, FloatType>(type))
      return op.emitOpError("has no lowering to NVVM");
    types.push_back(scalarType(type));
  }
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    TypedAttr value = constant.getValue();
    if (constant.getType().isIndex()) {
      int64_t number = cast<IntegerAttr>(value).getInt();
      if (!llvm::isInt<32>(number))
        return op.emitOpError("coordinates have 32 bits, got ") << number;
      value = b.getI32IntegerAttr(number);
    }
    parts[op.getResult(0)] = {arith::ConstantOp::create(b, loc, value)};
    return success();
  }
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp>(op)) {
    // One of both sides was an index and is i32 now.
    Value v = operands[0];
    unsigned from = v.getType().getIntOrFloatBitWidth();
    unsigned to = types[0].getIntOrFloatBitWidth();
    if (from > to)
      v = arith::TruncIOp::create(b, loc, types[0], v);
    else if (from < to && isa<arith::IndexCastUIOp>(op))
      v = arith::ExtUIOp::create(b, loc, types[0], v);
    else if (from < to)
      v = arith::ExtSIOp::create(b, loc, types[0], v);
    parts[op.getResult(0)] = {v};
    return success();
  }
  OperationState state(loc, op.getName(), operands, types, op.getAttrs());
  Operation *clone = b.create(state);
  for (auto [from, to] : llvm::zip(op.getResults(), clone->getResults()))
    parts[from] = {to};
  return success();
}

/// The slot that a step of a product's loop releases while the product itself
/// is still under way: one whose body is wait, mma, mma_wait 0, release, behind
/// a first step of the same form. Null if the loop is another one.
static tile::ReleaseOp laggingRelease(scf::ForOp op) {
  tile::ReleaseOp release;
  unsigned waits = 0, products = 0, others = 0;
  for (Operation &inner : op.getBody()->without_terminator()) {
    if (isa<tile::WaitOp>(inner))
      ++waits;
    else if (isa<tile::MmaOp>(inner))
      ++products;
    else if (auto r = dyn_cast<tile::ReleaseOp>(inner))
      release = release ? tile::ReleaseOp() : r;
    else if (!isa<tile::MmaWaitOp>(inner))
      ++others;
  }
  if (!release || waits != 1 || products != 1 || others ||
      release.getRing().getType().getSlots() < 3)
    return {};
  // With large tiles the products of the other team fill the gap, and a late
  // release costs more than it brings (1 % of the time, measured).
  if (!usesWarpgroups(op->getParentOfType<tile::KernelOp>()))
    return {};
  for (tile::MmaOp product : op.getBody()->getOps<tile::MmaOp>())
    if (product.getResult().getType().getNumElements() > 64 * 128)
      return {};
  for (Value init : op.getInitArgs())
    if (auto first = init.getDefiningOp<tile::ReleaseOp>())
      if (first.getRing() == release.getRing() &&
          isa_and_nonnull<tile::MmaWaitOp>(first->getPrevNode()) &&
          isa_and_nonnull<tile::MmaOp>(first->getPrevNode()->getPrevNode()))
        return release;
  return {};
}

LogicalResult KernelEmitter::emitFor(scf::ForOp op) {
  tile::ReleaseOp lagging = laggingRelease(op);
  SmallVector<Value> inits = flatten(op.getInitArgs());
  auto loop = scf::ForOp::create(b, loc, scalar(op.getLowerBound()),
                                 scalar(op.getUpperBound()),
                                 scalar(op.getStep()), inits);
  // Copies: an insertion moves what the map holds.
  for (auto [from, to] : llvm::zip(op.getRegionIterArgs(), op.getInitArgs()))
    parts[from] = parts.lookup(to);
  for (auto [from, to] : llvm::zip(op.getResults(), op.getInitArgs()))
    parts[from] = parts.lookup(to);
  bindFlat(op.getRegionIterArgs(), ValueRange(loop.getRegionIterArgs()));
  parts[op.getInductionVar()] = {loop.getInductionVar()};
  {
    OpBuilder::InsertionGuard guard(b);
    Block *body = loop.getBody();
    if (!body->empty() && isa<scf::YieldOp>(body->back()))
      body->back().erase();
    b.setInsertionPointToEnd(body);
    if (firstTile)
      copiedEarly = both(firstTile, cmp(arith::CmpIPredicate::slt,
                                        loop.getInductionVar(), earlyEnd));
    if (failed(emitBlock(*op.getBody())))
      return failure();
    copiedEarly = Value();
    scf::YieldOp::create(b, loc,
                         flatten(op.getBody()->getTerminator()->getOperands()));
  }
  bindFlat(op.getResults(), loop.getResults());
  if (!op.getOps<tile::PromoteOp>().empty() && fillsRegisters(kernel))
    refreshThread();
  if (lagging) {
    // The product of the last step is done: its slot is free as well.
    NVVM::WgmmaWaitGroupSyncOp::create(b, loc, uint64_t(0));
    for (auto [yielded, result] : llvm::zip(
             op.getBody()->getTerminator()->getOperands(), op.getResults()))
      if (yielded == lagging.getNext())
        giveBack(rings[lagging.getRing()],
                 before(rings[lagging.getRing()], parts[result][0]));
  }
  return success();
}

int64_t KernelEmitter::releaseLag(tile::ReleaseOp op) {
  if (auto loop = dyn_cast<scf::ForOp>(op->getParentOp()))
    return laggingRelease(loop) == op ? 1 : 0;
  for (Operation *user : op.getNext().getUsers())
    if (auto loop = dyn_cast<scf::ForOp>(user))
      if (laggingRelease(loop))
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
  auto asI32 = [&](Value v) -> Value {
    if (!v)
      return v;
    Value s = scalar(v);
    if (s.getType().isInteger(64))
      return arith::TruncIOp::create(b, loc, b.getI32Type(), s);
    return s;
  };
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
      .Case([&](tile::BlockListOp op) {
        TileList list;
        list.table = op.getTable();
        list.count = asI32(op.getCount());
        list.columns = op.getColumns();
        list.blockN = op.getBlockN();
        tileLists[op.getList()] = list;
        return success();
      })
      .Case([&](tile::DenseListOp op) {
        TileList list;
        list.rows = asI32(op.getRows());
        list.blockM = op.getBlockM();
        list.blocks = arith::DivUIOp::create(
            b, loc, add(list.rows, c32(list.blockM - 1)), c32(list.blockM));
        list.count = mul(list.blocks, c32(op.getExperts()));
        list.columns = op.getColumns();
        list.blockN = op.getBlockN();
        tileLists[op.getList()] = list;
        return success();
      })
      .Case([&](tile::SlotListOp op) -> LogicalResult {
        TileList list;
        list.slots = SlotSource::of(op);
        if (!knowsSlots(list.slots))
          return op.emitOpError("reads ids that are no kernel argument");
        list.count = slotCount(list.slots);
        list.columns = op.getColumns();
        list.blockN = op.getBlockN();
        tileLists[op.getList()] = list;
        return success();
      })
      .Case([&](tile::ClearOp op) -> LogicalResult {
        if (!early)
          return emitClear(op);
        clears.push_back(op);
        return success();
      })
      .Case([&](tile::SumLastOp op) { return emitSumLast(op); })
      .Case([&](tile::CoordsOp op) {
        ArrayRef<Value> coords = tileCoords[op.getTile()];
        for (auto [result, coord] : llvm::zip(op.getResults(), coords)) {
          Value v = coord;
          if (result.getType().isInteger(64))
            v = wide(v);
          parts[result] = {v};
        }
        return success();
      })
      .Case([&](tile::RowIndexOp op) {
        rowLists[op.getResult()] = {op.getSlots(), asI32(op.getFirst()),
                                    asI32(op.getLimit()), asI32(op.getBound()),
                                    int64_t(op.getDiv())};
        prepareStores(op.getResult());
        return prepareGathers(op.getResult());
      })
      .Case([&](tile::RowIotaOp op) {
        rowLists[op.getResult()] = {Value(), asI32(op.getFirst()),
                                    asI32(op.getLimit()), Value(), 1};
        return prepareGathers(op.getResult());
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
      .Case([&](tile::LoadOp op) { return emitLoad(op); })
      .Case([&](tile::MapOp op) { return emitMap(op); })
      .Case([&](tile::SplitOp op) { return emitSplit(op); })
      .Case([&](tile::FragSplatOp op) { return emitSplat(op); })
      .Case([&](tile::DepositOp op) { return emitDeposit(op); })
      .Case([&](tile::StoreOp op) { return emitStore(op); })
      .Case<memref::CollapseShapeOp, memref::ExpandShapeOp>(
          [&](auto op) { return emitView(*op); })
      .Case([&](memref::DimOp op) -> LogicalResult {
        auto it = memories.find(op.getSource());
        std::optional<int64_t> dim = op.getConstantIndex();
        if (it == memories.end() || !dim)
          return op.emitOpError("asks for an extent that is no argument's");
        parts[op.getResult()] = {extent(it->second, *dim)};
        return success();
      })
      .Case([&](memref::LoadOp op) -> LogicalResult {
        auto it = memories.find(op.getMemRef());
        if (it == memories.end())
          return op.emitOpError("reads memory that is no kernel argument");
        Value at = c64(0);
        for (auto [d, index] : llvm::enumerate(op.getIndices())) {
          if (d)
            at = mul(at, wide(extent(it->second, d)));
          at = add(at, wide(asI32(index)));
        }
        parts[op.getResult()] = {LLVM::LoadOp::create(
            b, loc, op.getResult().getType(), globalAt(it->second, at),
            /*alignment=*/0, /*isVolatile=*/early)};
        return success();
      })
      .Default([&](Operation *op) -> LogicalResult {
        StringRef dialect = op->getName().getDialectNamespace();
        if ((dialect == "arith" || dialect == "math") &&
            op->getNumRegions() == 0)
          return emitScalar(*op);
        return op->emitOpError("has no lowering to NVVM");
      });
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
  kernel.walk([&](Operation *op) {
    if (auto list = dyn_cast<tile::BlockListOp>(op))
      tileColumns = std::max<int64_t>(tileColumns, list.getBlockN());
    if (auto list = dyn_cast<tile::SlotListOp>(op))
      tileColumns = std::max<int64_t>(tileColumns, list.getBlockN());
  });
  kernel.walk([&](tile::DenseListOp list) {
    tileColumns = std::max<int64_t>(tileColumns, list.getBlockN());
  });
  if (sharedBytes)
    sharedGlobal = getDynamicSharedMemory(func->getParentOp(), loc);
  if (!rings.empty())
    initBarriers();
  if (failed(emitBlock(kernel.getBody().front())))
    return failure();
  b.setInsertionPointToEnd(entry);
  loc = kernel.getLoc();
  LLVM::ReturnOp::create(b, loc, ValueRange());

  SmallVector<Type> types(entry->getArgumentTypes());
  func.setFunctionType(LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), types));
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
