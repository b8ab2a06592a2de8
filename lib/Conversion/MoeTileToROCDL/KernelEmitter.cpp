//===- KernelEmitter.cpp - Structure of an explicit kernel in ROCDL -------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

/// Row blocks of one expert that share a sweep over the columns.
static constexpr int64_t kRunBlocks = 16;

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
Value KernelEmitter::quotient(Value x, int64_t divisor) {
  return divisor == 1 ? x : arith::DivUIOp::create(b, loc, x, c32(divisor));
}
Value KernelEmitter::rest(Value x, int64_t divisor) {
  return arith::RemUIOp::create(b, loc, x, c32(divisor));
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

/// The one part of an integer, in 32 bits; null stays null.
Value KernelEmitter::asI32(Value v) {
  if (!v)
    return v;
  Value s = scalar(v);
  if (s.getType().isInteger(64))
    return arith::TruncIOp::create(b, loc, b.getI32Type(), s);
  return s;
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

InFlightDiagnostic KernelEmitter::refuse(Operation *op) {
  return op->emitOpError() << chip.name << ": ";
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
        return refuse(kernel)
               << "argument " << number
               << ": the ROCDL lowering takes row-major memory only, got "
               << type;
      Memory memory;
      memory.type = type;
      memory.operand = number;
      memory.pointer = addParameter(global, b.getDictionaryAttr({operand}));
      memories[arg] = memory;
      continue;
    }
    if (!isa<IndexType, IntegerType, FloatType>(arg.getType()))
      return refuse(kernel)
             << "argument " << number
             << ": the ROCDL lowering takes memrefs and scalars, got "
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
    return refuse(&op) << "is a view of memory that is no kernel argument";
  Memory memory = it->second;
  auto dynamicInner = [](MemRefType t) {
    return llvm::any_of(t.getShape().drop_front(t.getRank() ? 1 : 0),
                        ShapedType::isDynamic);
  };
  if (dynamicInner(type) || dynamicInner(memory.type) ||
      !type.getLayout().isIdentity())
    return refuse(&op) << "the ROCDL lowering takes views of row-major memory "
                          "whose first extent alone is dynamic";
  memory.type = type;
  memory.whole = false;
  memories[op.getResult(0)] = memory;
  return success();
}

LogicalResult KernelEmitter::emitMemRefLoad(memref::LoadOp op) {
  auto it = memories.find(op.getMemRef());
  if (it == memories.end())
    return refuse(op) << "reads memory that is no kernel argument";
  Value at = c64(0);
  for (auto [d, index] : llvm::enumerate(op.getIndices())) {
    if (d)
      at = mul(at, wide(extent(it->second, d)));
    at = add(at, wide(asI32(index)));
  }
  parts[op.getResult()] = {LLVM::LoadOp::create(
      b, loc, op.getResult().getType(), globalAt(it->second, at))};
  return success();
}

//===----------------------------------------------------------------------===//
// Control flow and scalars
//===----------------------------------------------------------------------===//

LogicalResult KernelEmitter::emitScalar(Operation &op) {
  SmallVector<Value> operands;
  for (Value operand : op.getOperands()) {
    if (!known(operand))
      return refuse(&op) << "has an operand without lowering to ROCDL";
    operands.push_back(scalar(operand));
  }
  SmallVector<Type> types;
  for (Type type : op.getResultTypes()) {
    if (!isa<IndexType, IntegerType, FloatType>(type))
      return refuse(&op) << "has no lowering to ROCDL";
    types.push_back(scalarType(type));
  }
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    TypedAttr value = constant.getValue();
    if (constant.getType().isIndex()) {
      int64_t number = cast<IntegerAttr>(value).getInt();
      if (!llvm::isInt<32>(number))
        return refuse(&op) << "coordinates have 32 bits, got " << number;
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

LogicalResult KernelEmitter::emitFor(scf::ForOp op) {
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
    if (failed(emitBlock(*op.getBody())))
      return failure();
    scf::YieldOp::create(b, loc,
                         flatten(op.getBody()->getTerminator()->getOperands()));
  }
  bindFlat(op.getResults(), loop.getResults());
  return success();
}

Value KernelEmitter::expertOf(tile::SlotListOp slots, Value slot,
                              Value &present) {
  // Nothing writes these while the kernel runs: scalar loads.
  auto load = [&](Value memory, Value at) -> Value {
    return LLVM::LoadOp::create(b, loc, b.getI32Type(),
                                globalAt(memories[memory], wide(at)),
                                /*alignment=*/4, /*isVolatile=*/false,
                                /*isNonTemporal=*/false, /*isInvariant=*/true);
  };
  Value expert = load(slots.getIds(), slot);
  if (Value map = slots.getExpertMap()) {
    Value inside =
        cmp(arith::CmpIPredicate::ult, expert, extent(memories[map], 0));
    // No branch: what is read for an id outside of the map is forgotten.
    Value at = arith::SelectOp::create(b, loc, inside, expert, c32(0));
    expert = arith::SelectOp::create(b, loc, inside, load(map, at), c32(-1));
  }
  present =
      cmp(arith::CmpIPredicate::ult, expert, c32(int64_t(slots.getExperts())));
  if (Value count = slots.getDeviceTokens())
    present = both(present,
                   cmp(arith::CmpIPredicate::slt,
                       quotient(slot, slots.getTopk()), load(count, c32(0))));
  return arith::SelectOp::create(b, loc, present, expert, c32(0));
}

/// Expert, first row, rows and first column of an entry of the list.
SmallVector<Value> KernelEmitter::coordinates(tile::ForTilesOp op,
                                              Value entry) {
  const TileList &list = tileLists[op.getList()];
  int64_t columns = llvm::divideCeil(list.columns, list.blockN);
  Value block, column;
  auto over = [&](Value x, Value y) -> Value {
    return arith::DivUIOp::create(b, loc, x, y);
  };
  auto modulo = [&](Value x, Value y) -> Value {
    return arith::RemUIOp::create(b, loc, x, y);
  };
  if (list.slots) {
    // One row each, and no run is longer than one block.
    bool nMajor = op.getOrder() == tile::Order::NMajor;
    block = nMajor ? modulo(entry, list.count) : quotient(entry, columns);
    column = nMajor ? over(entry, list.count) : rest(entry, columns);
    Value present, expert = expertOf(list.slots, block, present);
    return {expert, block,
            arith::ExtUIOp::create(b, loc, b.getI32Type(), present),
            mul(column, c32(list.blockN))};
  }
  auto recordOf = [&](Value number) -> Value {
    const Memory &table = memories[list.table];
    int64_t width = table.type.getDimSize(1);
    // Nothing writes the table while the kernel runs: a scalar load.
    return LLVM::LoadOp::create(b, loc, VectorType::get({4}, b.getI32Type()),
                                globalAt(table, mul(wide(number), c64(width))),
                                /*alignment=*/16, /*isVolatile=*/false,
                                /*isNonTemporal=*/false, /*isInvariant=*/true);
  };
  auto field = [&](Value record, int64_t i) -> Value {
    return LLVM::ExtractElementOp::create(b, loc, record, c32(i));
  };
  if (op.getOrder() == tile::Order::NMajor) {
    column = over(entry, list.count);
    block = modulo(entry, list.count);
  } else {
    block = quotient(entry, columns);
    column = columns == 1 ? c32(0) : rest(entry, columns);
  }
  if (op.getOrder() == tile::Order::ExpertMajor) {
    Value length, index;
    if (list.table) {
      // The table's last column says where a block stands in the run of its
      // expert, index | length << 16; 0 = unknown, then it is a run by itself.
      Value run = field(recordOf(block), 3);
      length = arith::MaxUIOp::create(
          b, loc, arith::ShRUIOp::create(b, loc, run, c32(16)), c32(1));
      index = arith::AndIOp::create(b, loc, run, c32(0xFFFF));
    } else {
      length = list.blocks;
      index = modulo(block, list.blocks);
    }
    // Long runs in pieces, whose rows and the weights of one wave fit into the
    // second-level cache.
    Value inPiece = rest(index, kRunBlocks);
    length = arith::MinUIOp::create(b, loc, c32(kRunBlocks),
                                    add(sub(length, index), inPiece));
    Value first = sub(block, inPiece);
    Value local = sub(entry, mul(first, c32(columns)));
    column = over(local, length);
    block = add(first, modulo(local, length));
  }
  if (!list.table) {
    Value expert = over(block, list.blocks);
    Value row = mul(modulo(block, list.blocks), c32(list.blockM));
    return {expert, add(mul(expert, list.rows), row),
            arith::MinSIOp::create(
                b, loc, arith::SubIOp::create(b, loc, list.rows, row),
                c32(list.blockM)),
            mul(column, c32(list.blockN))};
  }
  Value record = recordOf(block);
  return {field(record, 0), field(record, 1), field(record, 2),
          mul(column, c32(list.blockN))};
}

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

LogicalResult KernelEmitter::emitForTiles(tile::ForTilesOp op) {
  auto it = tileLists.find(op.getList());
  if (it == tileLists.end())
    return refuse(op) << "the ROCDL lowering takes lists of row blocks";
  if (op.getClaim() == tile::Claim::Counter)
    return refuse(op) << "the ROCDL lowering takes claim(stride)";
  const TileList &list = it->second;
  if (list.table && (!memories.count(list.table) ||
                     memories[list.table].type.getDimSize(1) != 4))
    return refuse(op) << "the ROCDL lowering takes a table argument of four "
                         "columns";
  if (op.getOrder() == tile::Order::Explicit)
    return refuse(op) << "a list of row blocks has no explicit order";
  int64_t dies = op.getDies().value_or(1);
  if (chip.dies % dies != 0)
    return refuse(op) << "rule dies: tiles are shared by " << dies
                      << " dies (xcd), the chip has " << chip.dies;
  int64_t columns = llvm::divideCeil(list.columns, list.blockN);
  SmallVector<Value> inits = flatten(op.getInits());
  auto [first, end, step] = shareOf(mul(list.count, c32(columns)), dies);
  auto loop = scf::ForOp::create(b, loc, first, end, step, inits);
  for (auto [from, to] : llvm::zip(op.getCarried(), op.getInits()))
    parts[from] = parts.lookup(to);
  for (auto [from, to] : llvm::zip(op.getResults(), op.getInits()))
    parts[from] = parts.lookup(to);
  bindFlat(ValueRange(op.getCarried()), ValueRange(loop.getRegionIterArgs()));
  {
    OpBuilder::InsertionGuard guard(b);
    Block *body = loop.getBody();
    if (!body->empty() && isa<scf::YieldOp>(body->back()))
      body->back().erase();
    b.setInsertionPointToEnd(body);
    tileCoords[op.getTile()] = coordinates(op, loop.getInductionVar());
    scf::IfOp exists;
    if (list.slots) {
      // Tiles of absent slots have no rows, and nothing to do.
      exists = scf::IfOp::create(
          b, loc, loop.getResultTypes(),
          cmp(arith::CmpIPredicate::sgt, tileCoords[op.getTile()][2], c32(0)),
          /*withElse=*/true);
      if (loop.getNumResults()) {
        b.setInsertionPointToStart(exists.elseBlock());
        scf::YieldOp::create(b, loc, loop.getRegionIterArgs());
      }
      b.setInsertionPointToStart(exists.thenBlock());
    }
    if (failed(emitBlock(op.getBody().front())))
      return failure();
    SmallVector<Value> ends =
        flatten(op.getBody().front().getTerminator()->getOperands());
    if (exists) {
      if (!ends.empty())
        scf::YieldOp::create(b, loc, ends);
      b.setInsertionPointAfter(exists);
      ends.assign(exists.getResults().begin(), exists.getResults().end());
    }
    scf::YieldOp::create(b, loc, ends);
  }
  bindFlat(op.getResults(), loop.getResults());
  return success();
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

LogicalResult KernelEmitter::emitBlock(Block &block) {
  for (Operation &op : block) {
    loc = op.getLoc();
    if (!op.hasTrait<OpTrait::IsTerminator>() && failed(emitOp(op)))
      return failure();
  }
  return success();
}

LogicalResult KernelEmitter::emitOp(Operation &op) {
  return TypeSwitch<Operation *, LogicalResult>(&op)
      .Case([&](scf::ForOp op) { return emitFor(op); })
      .Case([&](tile::ForTilesOp op) { return emitForTiles(op); })
      .Case([&](tile::RolesOp op) { return emitRoles(op); })
      .Case<tile::BufAllocOp, tile::MmaWaitOp, tile::AwaitLaunchOp>(
          [&](auto) { return success(); })
      .Case([&](tile::BlockListOp op) {
        TileList list;
        list.table = op.getTable();
        list.count = asI32(op.getCount());
        list.columns = op.getColumns();
        list.blockN = op.getBlockN();
        tileLists[op.getList()] = list;
        return success();
      })
      .Case([&](tile::SlotListOp op) -> LogicalResult {
        for (Value memory : {Value(op.getIds()), Value(op.getExpertMap()),
                             Value(op.getDeviceTokens())})
          if (memory && !memories.count(memory))
            return refuse(op) << "reads ids that are no kernel argument";
        TileList list;
        list.slots = op;
        list.count = mul(extent(memories[op.getIds()], 0), c32(op.getTopk()));
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
      .Case([&](tile::CoordsOp op) {
        ArrayRef<Value> coords = tileCoords[op.getTile()];
        for (auto [result, coord] : llvm::zip(op.getResults(), coords))
          parts[result] = {result.getType().isInteger(64) ? wide(coord)
                                                          : Value(coord)};
        return success();
      })
      .Case([&](tile::RowIndexOp op) {
        rowLists[op.getResult()] = {op.getSlots(), asI32(op.getFirst()),
                                    asI32(op.getLimit()), asI32(op.getBound()),
                                    int64_t(op.getDiv())};
        return success();
      })
      .Case([&](tile::RowIotaOp op) {
        rowLists[op.getResult()] = {Value(), asI32(op.getFirst()),
                                    asI32(op.getLimit()), Value(), 1};
        return success();
      })
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
      .Case([&](tile::LoadOp op) { return emitLoad(op); })
      .Case([&](tile::MapOp op) { return emitMap(op); })
      .Case([&](tile::SplitOp op) { return emitSplit(op); })
      .Case([&](tile::FragSplatOp op) { return emitSplat(op); })
      .Case([&](tile::StoreOp op) { return emitStore(op); })
      .Case<memref::CollapseShapeOp, memref::ExpandShapeOp>(
          [&](auto op) { return emitView(*op); })
      .Case([&](memref::DimOp op) -> LogicalResult {
        auto it = memories.find(op.getSource());
        std::optional<int64_t> dim = op.getConstantIndex();
        if (it == memories.end() || !dim)
          return refuse(op) << "asks for an extent that is no argument's";
        parts[op.getResult()] = {extent(it->second, *dim)};
        return success();
      })
      .Case([&](memref::LoadOp op) { return emitMemRefLoad(op); })
      .Default([&](Operation *op) -> LogicalResult {
        StringRef dialect = op->getName().getDialectNamespace();
        if ((dialect == "arith" || dialect == "math") &&
            op->getNumRegions() == 0)
          return emitScalar(*op);
        return refuse(op) << "has no lowering to ROCDL";
      });
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
  func->setAttr("rocdl.kernel", b.getUnitAttr());
  func->setAttr("rocdl.reqd_work_group_size",
                b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  func->setAttr(
      "rocdl.flat_work_group_size",
      b.getStringAttr(std::to_string(threads) + "," + std::to_string(threads)));
  func->setAttr("moe.chip", b.getStringAttr(chip.name));
  func->setAttr("moe.wave", b.getI64IntegerAttr(chip.waveSize));
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
  kernel.walk([&](Operation *op) {
    if (auto list = dyn_cast<tile::BlockListOp>(op))
      tileColumns = std::max<int64_t>(tileColumns, list.getBlockN());
    if (auto list = dyn_cast<tile::SlotListOp>(op))
      tileColumns = std::max<int64_t>(tileColumns, list.getBlockN());
  });
  kernel.walk([&](tile::DenseListOp list) {
    tileColumns = std::max<int64_t>(tileColumns, list.getBlockN());
  });
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
  b.setInsertionPointToEnd(entry);
  loc = kernel.getLoc();
  LLVM::ReturnOp::create(b, loc, ValueRange());
  SmallVector<Type> types(entry->getArgumentTypes());
  func.setFunctionType(LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), types));
  return setLaunch();
}
