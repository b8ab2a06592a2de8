//===- KernelEmitter.cpp - Structure of an explicit kernel in ROCDL -------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "moec/Target/AmdKernel.h"

#include "moec/Dialect/Moe/IR/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

InFlightDiagnostic KernelEmitter::refuse(Operation *op) {
  return op->emitOpError() << chip.name << ": ";
}

//===----------------------------------------------------------------------===//
// Control flow and scalars
//===----------------------------------------------------------------------===//

/// First entry, end and step of the workgroup in a list of `entries`, as
/// `shareOfDie` has them. Only the last division is one by the number of
/// workgroups, which the compiler does not know.
std::array<Value, 3> KernelEmitter::shareOf(Value entries, int64_t dies) {
  Value block = ROCDL::BlockIdXOp::create(b, loc, b.getI32Type());
  Value blocks = ROCDL::GridDimXOp::create(b, loc, b.getI32Type());
  if (dies == 1)
    return {block, entries, blocks};
  Value die = rest(block, dies), perDie = quotient(blocks, dies);
  Value more = rest(blocks, dies);
  Value whole = arith::DivUIOp::create(b, loc, entries, blocks);
  Value left = sub(entries, mul(whole, blocks));
  auto startOf = [&](Value die) {
    Value before =
        add(mul(die, perDie), arith::MinUIOp::create(b, loc, die, more));
    return add(mul(whole, before),
               arith::DivUIOp::create(b, loc, mul(left, before), blocks));
  };
  Value own = arith::ExtUIOp::create(b, loc, b.getI32Type(),
                                     cmp(arith::CmpIPredicate::ult, die, more));
  return {add(startOf(die), quotient(block, dies)), startOf(add(die, c32(1))),
          add(perDie, own)};
}

Value KernelEmitter::loadRouting(Type type, Value address, unsigned alignment,
                                 bool settled) {
  // A scalar load of what nothing writes while the kernel runs.
  return LLVM::LoadOp::create(b, loc, type, address, alignment,
                              /*isVolatile=*/false, /*isNonTemporal=*/false,
                              /*isInvariant=*/settled);
}

LogicalResult KernelEmitter::emitForTiles(tile::ForTilesOp op) {
  FailureOr<TileList> list = listOf(op);
  if (failed(list))
    return failure();
  int64_t dies = op.getDies().value_or(1);
  if (chip.dies % dies != 0)
    return refuse(op) << "rule dies: tiles are shared by " << dies
                      << " dies (xcd), the chip has " << chip.dies;
  Block &block = op.getBody().front();
  auto ends = [&] { return flatten(block.getTerminator()->getOperands()); };
  auto body = [&](scf::ForOp loop) -> FailureOr<SmallVector<Value>> {
    SmallVector<Value> &coords = tileCoords[op.getTile()];
    coords = coordinates(op, loop.getInductionVar());
    if (!list->slots.ids) {
      if (failed(emitBlock(block)))
        return failure();
      return ends();
    }
    // Tiles of absent slots have no rows, and nothing to do.
    auto exists = scf::IfOp::create(
        b, loc, loop.getResultTypes(),
        cmp(arith::CmpIPredicate::sgt, coords[2], c32(0)), /*withElse=*/true);
    OpBuilder::InsertionGuard guard(b);
    if (loop.getNumResults()) {
      b.setInsertionPointToStart(exists.elseBlock());
      scf::YieldOp::create(b, loc, loop.getRegionIterArgs());
    }
    b.setInsertionPointToStart(exists.thenBlock());
    if (failed(emitBlock(block)))
      return failure();
    if (loop.getNumResults())
      scf::YieldOp::create(b, loc, ends());
    return SmallVector<Value>(exists.getResults());
  };
  auto [first, end, step] =
      shareOf(mul(list->count, c32(list->columnTiles())), dies);
  return emitLoop(first, end, step, ValueRange(op.getCarried()), op.getInits(),
                  op.getResults(), body);
}

/// Waves take roles in the order in which these stand. What a role makes once
/// for all tiles stands at its start, and is known to no other.
LogicalResult KernelEmitter::emitRoles(tile::RolesOp op) {
  Value allThreads = thread, allWaves = warp;
  int64_t total = threads, first = 0;
  Operation *entry = lastAtEntry;
  bool legal = true;
  for (tile::RoleOp role : op.getBody().getOps<tile::RoleOp>()) {
    int64_t size = role.getThreads();
    if (role.getCopies() != 1 || size % chip.waveSize != 0 ||
        first + size > total)
      return refuse(role) << "roles are whole waves of " << chip.waveSize
                          << " threads, " << total << " in all, got " << size
                          << " behind " << first;
    int64_t firstWave = first / chip.waveSize;
    Value mine;
    if (first > 0)
      mine = cmp(arith::CmpIPredicate::uge, allWaves, c32(firstWave));
    if (first + size < total)
      mine = both(mine, cmp(arith::CmpIPredicate::ult, allWaves,
                            c32(firstWave + size / chip.waveSize)));
    ifThen(mine, [&] {
      shares.clear();
      laneAddresses.clear();
      packedAddresses.clear();
      positions.clear();
      places.clear();
      threads = size;
      thread = sub(allThreads, c32(first));
      warp = sub(allWaves, c32(firstWave));
      lastAtEntry = warp.getDefiningOp();
      legal &= succeeded(emitBlock(role.getBody().front()));
    });
    first += size;
  }
  thread = allThreads;
  warp = allWaves;
  threads = total;
  lastAtEntry = entry;
  return success(legal);
}

LogicalResult KernelEmitter::emitOp(Operation &op) {
  return TypeSwitch<Operation *, LogicalResult>(&op)
      .Case([&](scf::ForOp op) {
        return emitLoop(op,
                        [&](scf::ForOp) { return emitBlock(*op.getBody()); });
      })
      .Case([&](tile::ForTilesOp op) { return emitForTiles(op); })
      .Case([&](tile::RolesOp op) { return emitRoles(op); })
      .Case<tile::BufAllocOp, tile::MmaWaitOp, tile::AwaitLaunchOp>(
          [&](auto) { return success(); })
      .Case([&](tile::FetchOp op) { return emitFetch(op); })
      .Case([&](tile::DepositOp op) { return depositStaged(op); })
      .Case([&](tile::CopyOp op) { return emitCopy(op); })
      .Case([&](tile::CopyWaitOp op) { return emitCopyWait(op); })
      .Case([&](tile::GroupSyncOp op) { return emitGroupSync(op); })
      .Case([&](tile::MmaOp op) { return emitMma(op); })
      .Case([&](tile::DequantOp op) { return emitDequant(op); })
      .Case([&](tile::AccZeroOp op) { return emitAccZero(op); })
      .Case([&](tile::AccReadOp op) { return emitAccRead(op); })
      .Case([&](tile::PromoteOp op) { return emitPromote(op); })
      .Case([&](tile::RowReduceOp op) { return emitRowReduce(op); })
      .Case([&](tile::StoreOp op) { return emitStore(op); })
      .Default([&](Operation *op) { return emitCommon(*op); });
}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

LogicalResult KernelEmitter::setLaunch() {
  auto list = [&](int64_t x) { return b.getDenseI64ArrayAttr({x, 1, 1}); };
  Attribute one = b.getI64IntegerAttr(1);
  // Blocks that LDS lets stand next to each other; more than two of them would
  // not find the registers.
  int64_t resident = std::clamp<int64_t>(
      chip.ldsPerUnit / std::max<int64_t>(ldsBytes, 1), 1, 2);
  Attribute blocks = b.getDictionaryAttr(
      b.getNamedAttr("persistent", b.getI64IntegerAttr(resident)));
  func->setAttr("moe.launch",
                b.getDictionaryAttr({
                    b.getNamedAttr("block", list(threads)),
                    b.getNamedAttr("cluster", list(1)),
                    b.getNamedAttr("smem", b.getI64IntegerAttr(0)),
                    b.getNamedAttr("grid", b.getArrayAttr({blocks, one, one})),
                    b.getNamedAttr("params", b.getArrayAttr(params)),
                }));
  markAmdKernel(func, chip.name, chip.waveSize, threads);
  auto config = kernel->getAttrOfType<ConfigAttr>("moe.config");
  int64_t waves = config ? config.getInt("waves_per_eu") : 0;
  if (waves == 0)
    return success();
  if (waves > chip.maxWaves)
    return refuse(kernel) << "rule waves_per_eu: a SIMD has at most "
                          << chip.maxWaves
                          << " waves at a time, the configuration asks for "
                          << waves;
  // As many registers as leave room for so many waves, and no more.
  func->setAttr("rocdl.waves_per_eu", b.getI32IntegerAttr(waves));
  return success();
}

LogicalResult KernelEmitter::emit() {
  threads = kernel.getExecAttr().getThreads();
  Block *entry = new Block;
  func.getBody().push_back(entry);
  b.setInsertionPointToStart(entry);
  if (failed(addArguments()) || failed(placeOnChip()))
    return failure();
  findTileColumns();
  thread = ROCDL::ThreadIdXOp::create(b, loc, b.getI32Type());
  lane = rest(thread, chip.waveSize);
  // The same in all lanes, and known to be.
  warp = ROCDL::ReadfirstlaneOp::create(b, loc, b.getI32Type(),
                                        quotient(thread, chip.waveSize));
  if (ldsGlobal)
    ldsBase = LLVM::AddressOfOp::create(b, loc, ldsGlobal);
  lastAtEntry = &entry->back();
  if (failed(emitBlock(kernel.getBody().front())))
    return failure();
  finishFunction();
  return setLaunch();
}
