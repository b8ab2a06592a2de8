//===- Runner.cpp - Control flow, scalars, tile lists ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "moec/Target/DieShare.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

SmallVector<HostValue> Runner::getAll(ValueRange range) {
  SmallVector<HostValue> result;
  for (Value value : range)
    result.push_back(values[value]);
  return result;
}

FailureOr<int64_t> Runner::getIndex(Operation *op, Value value) {
  HostScalar scalar = get<HostScalar>(value);
  if (scalar.undefined)
    return op->emitError("uses an undefined value as an index, bound or "
                         "condition");
  return scalar.i;
}

FailureOr<SmallVector<int64_t>> Runner::getIndices(Operation *op,
                                                   ValueRange range) {
  SmallVector<int64_t> result;
  for (Value value : range) {
    FailureOr<int64_t> index = getIndex(op, value);
    if (failed(index))
      return failure();
    result.push_back(*index);
  }
  return result;
}

void Runner::bind(Block &block, ArrayRef<HostValue> arguments) {
  for (auto [argument, value] : llvm::zip(block.getArguments(), arguments))
    values[argument] = value;
}

const std::optional<ScalarOp> &Runner::decode(Operation *op) {
  auto [it, inserted] = machine.decoded.try_emplace(op);
  if (inserted)
    it->second = ScalarOp::decode(op);
  return it->second;
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

LogicalResult Runner::runBlock(Block &block) {
  for (Operation &op : block) {
    if (op.hasTrait<OpTrait::IsTerminator>()) {
      ValueRange operands = op.getOperands();
      yielded = getAll(operands);
      return success();
    }
    if (failed(runOp(op)))
      return failure();
  }
  yielded.clear();
  return success();
}

LogicalResult Runner::runOp(Operation &op) {
  bool known = false;
  StringRef dialect = op.getName().getDialectNamespace();
  if (dialect == "moe_tile") {
    if (auto loop = dyn_cast<ForTilesOp>(op))
      return runForTiles(loop);
    if (auto loop = dyn_cast<KLoopOp>(op))
      return runKLoop(loop);
    if (auto launch = dyn_cast<LaunchOp>(op))
      return runLaunch(launch);
    for (auto part :
         {&Runner::runCompute, &Runner::runMemory, &Runner::runSlots,
          &Runner::runExplicit, &Runner::runGrid}) {
      if (failed((this->*part)(op, known)))
        return failure();
      if (known)
        return success();
    }
    return op.emitError("the tile interpreter does not know this operation");
  }
  if (const std::optional<ScalarOp> &scalar = decode(&op)) {
    SmallVector<HostScalar, 4> operands;
    for (Value operand : op.getOperands())
      operands.push_back(get<HostScalar>(operand));
    std::optional<HostScalar> result =
        scalar->evaluate(operands, machine.options.wide);
    if (!result)
      return op.emitError("division by zero or overflow of a division");
    set(op.getResult(0), *result);
    return success();
  }
  if (failed(runScf(op, known)))
    return failure();
  if (!known && failed(runMemref(op, known)))
    return failure();
  if (!known)
    return op.emitError("the tile interpreter does not know this operation");
  return success();
}

LogicalResult Runner::runScf(Operation &op, bool &known) {
  known = true;
  if (auto loop = dyn_cast<scf::ForOp>(op)) {
    FailureOr<SmallVector<int64_t>> bounds = getIndices(
        &op, {loop.getLowerBound(), loop.getUpperBound(), loop.getStep()});
    if (failed(bounds))
      return failure();
    if ((*bounds)[2] <= 0)
      return op.emitError("step is not positive: ") << (*bounds)[2];
    SmallVector<HostValue> carried = getAll(loop.getInitArgs());
    for (int64_t i = (*bounds)[0]; i < (*bounds)[1]; i += (*bounds)[2]) {
      set(loop.getInductionVar(), HostScalar::ofInt(i));
      for (auto [argument, value] :
           llvm::zip(loop.getRegionIterArgs(), carried))
        set(argument, value);
      if (failed(runBlock(*loop.getBody())))
        return failure();
      carried = yielded;
    }
    for (auto [result, value] : llvm::zip(loop.getResults(), carried))
      set(result, value);
    return success();
  }
  if (auto loop = dyn_cast<scf::ParallelOp>(op)) {
    if (loop.getNumReductions() != 0 || loop.getNumLoops() != 1)
      return op.emitError("the tile interpreter runs parallel loops of one "
                          "dimension without reductions");
    FailureOr<SmallVector<int64_t>> bounds =
        getIndices(&op, {loop.getLowerBound()[0], loop.getUpperBound()[0],
                         loop.getStep()[0]});
    if (failed(bounds))
      return failure();
    if ((*bounds)[2] <= 0)
      return op.emitError("step is not positive: ") << (*bounds)[2];
    for (int64_t i = (*bounds)[0]; i < (*bounds)[1]; i += (*bounds)[2]) {
      set(loop.getInductionVars()[0], HostScalar::ofInt(i));
      if (failed(runBlock(*loop.getBody())))
        return failure();
    }
    return success();
  }
  if (auto branch = dyn_cast<scf::IfOp>(op)) {
    FailureOr<int64_t> condition = getIndex(&op, branch.getCondition());
    if (failed(condition))
      return failure();
    Region &region =
        *condition ? branch.getThenRegion() : branch.getElseRegion();
    yielded.clear();
    if (!region.empty() && failed(runBlock(region.front())))
      return failure();
    for (auto [result, value] : llvm::zip(branch.getResults(), yielded))
      set(result, value);
    return success();
  }
  if (auto loop = dyn_cast<scf::WhileOp>(op)) {
    SmallVector<HostValue> carried = getAll(loop.getInits());
    while (true) {
      bind(*loop.getBeforeBody(), carried);
      if (failed(runBlock(*loop.getBeforeBody())))
        return failure();
      FailureOr<int64_t> condition =
          getIndex(&op, loop.getConditionOp().getCondition());
      if (failed(condition))
        return failure();
      // The first operand of scf.condition is the condition itself.
      carried.assign(yielded.begin() + 1, yielded.end());
      if (!*condition)
        break;
      bind(*loop.getAfterBody(), carried);
      if (failed(runBlock(*loop.getAfterBody())))
        return failure();
      carried = yielded;
    }
    for (auto [result, value] : llvm::zip(loop.getResults(), carried))
      set(result, value);
    return success();
  }
  known = false;
  return success();
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

FailureOr<TileRecord> Runner::getRecord(ForTilesOp op, const TileList &list,
                                        int64_t entry) {
  int64_t row = entry, n0 = 0;
  if (list.blockN != 0) {
    int64_t perRow = llvm::divideCeil(list.columns, list.blockN);
    bool nMajor = op.getOrder() == Order::NMajor;
    row = nMajor ? entry % list.count : entry / perRow;
    n0 = (nMajor ? entry / list.count : entry % perRow) * list.blockN;
    if (op.getOrder() == Order::ExpertMajor) {
      // The run of row blocks with the expert of block entry / perRow.
      auto expertOf = [&](int64_t block) -> int64_t {
        if (list.blockM)
          return block / llvm::divideCeil(list.rows, list.blockM);
        return list.table.buffer->data[*list.table.locate({block, 0})].i;
      };
      int64_t first = row, end = row + 1;
      while (first > 0 && expertOf(first - 1) == expertOf(row))
        --first;
      while (end < list.count && expertOf(end) == expertOf(row))
        ++end;
      int64_t inside = entry - first * perRow;
      row = first + inside % (end - first);
      n0 = inside / (end - first) * list.blockN;
    }
  }
  if (list.blockM) {
    int64_t blocks = llvm::divideCeil(list.rows, list.blockM);
    int64_t first = row % blocks * list.blockM;
    TileRecord record;
    record.expert = row / blocks;
    record.row0 = record.expert * list.rows + first;
    record.rows = std::min(list.blockM, list.rows - first);
    record.n0 = n0;
    return record;
  }
  SmallVector<int64_t, 8> cells;
  for (int64_t column = 0; column < list.table.sizes[1]; ++column) {
    HostScalar cell =
        list.table.buffer->data[*list.table.locate({row, column})];
    // The fourth column of a row block is not read.
    if (cell.undefined && !(list.blockN != 0 && column == 3))
      return op.emitError("column ")
             << column << " of entry " << row << " of the list is undefined";
    cells.push_back(cell.i);
  }
  TileRecord record;
  record.expert = cells[0];
  record.row0 = cells[1];
  record.rows = cells[2];
  record.n0 = list.blockN != 0 ? n0 : cells[3];
  if (list.blockN == 0 && cells.size() == 8) {
    record.k0 = cells[4];
    record.k1 = cells[5];
    record.part = cells[6];
    record.parts = cells[7];
  }
  return record;
}

LogicalResult Runner::runForTiles(ForTilesOp op) {
  TileList list = get<TileList>(op.getList());
  int64_t total = list.count;
  if (list.blockN != 0)
    total *= llvm::divideCeil(list.columns, list.blockN);
  SmallVector<HostValue> carried = getAll(op.getInits());
  bool counter = op.getClaim() && *op.getClaim() == Claim::Counter;
  EntryShare share = shareOfDie(worker.index, machine.numWorkers,
                                op.getDies().value_or(1), total);
  for (int64_t turn = 0;; ++turn) {
    int64_t entry = share.first + turn * share.step, end = share.end;
    if (counter) {
      // The first role to need the worker's next entry takes it for all.
      if (turn == static_cast<int64_t>(worker.claims.size()))
        worker.claims.push_back(machine.nextEntry++);
      entry = worker.claims[turn];
      end = total;
    }
    if (entry >= end)
      break;
    FailureOr<TileRecord> record = getRecord(op, list, entry);
    if (failed(record))
      return failure();
    set(op.getTile(), *record);
    for (auto [argument, value] : llvm::zip(op.getCarried(), carried))
      set(argument, value);
    if (failed(runBlock(op.getBody().front())))
      return failure();
    carried = yielded;
  }
  for (auto [result, value] : llvm::zip(op.getResults(), carried))
    set(result, value);
  return success();
}

LogicalResult Runner::runKLoop(KLoopOp op) {
  FailureOr<SmallVector<int64_t>> bounds =
      getIndices(op, {op.getLower(), op.getUpper()});
  if (failed(bounds))
    return failure();
  SmallVector<HostValue> carried = getAll(op.getInits());
  for (int64_t k = (*bounds)[0]; k < (*bounds)[1];
       k += static_cast<int64_t>(op.getStep())) {
    HostValue position = HostScalar::ofInt(k);
    bind(op.getLoad().front(), {position});
    if (failed(runBlock(op.getLoad().front())))
      return failure();
    if (op.hasTransform()) {
      SmallVector<HostValue> arguments{position};
      llvm::append_range(arguments, yielded);
      bind(op.getTransform().front(), arguments);
      if (failed(runBlock(op.getTransform().front())))
        return failure();
    }
    SmallVector<HostValue> arguments{position};
    llvm::append_range(arguments, yielded);
    llvm::append_range(arguments, carried);
    bind(op.getCompute().front(), arguments);
    if (failed(runBlock(op.getCompute().front())))
      return failure();
    carried = yielded;
  }
  for (auto [result, value] : llvm::zip(op.getResults(), carried))
    set(result, value);
  return success();
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

LogicalResult Runner::runLaunch(LaunchOp op) {
  auto kernel =
      SymbolTable::lookupNearestSymbolFrom<KernelOp>(op, op.getCalleeAttr());
  if (!kernel)
    return op.emitError("no kernel ") << op.getCalleeAttr();
  if (failed(runKernel(machine, kernel, getAll(op.getArguments()))))
    return failure();
  set(op.getToken(), std::monostate());
  return success();
}

/// Refuses element types that have no host representation.
static LogicalResult checkElementTypes(KernelOp kernel) {
  WalkResult result = kernel.walk([&](Operation *op) {
    for (Type type : op->getResultTypes()) {
      SmallVector<Type> tiles{type};
      if (auto ring = dyn_cast<RingType>(type))
        tiles.assign(ring.getBuffers().begin(), ring.getBuffers().end());
      for (Type tile : tiles)
        if (isTileType(tile) && !ScalarType::of(getTileElementType(tile))) {
          op->emitError("the tile interpreter has no elements of type ")
              << getTileElementType(tile);
          return WalkResult::interrupt();
        }
    }
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult moe::tile::runKernel(Machine &machine, KernelOp kernel,
                                   ArrayRef<HostValue> arguments) {
  if (failed(checkElementTypes(kernel)))
    return failure();
  machine.nextEntry = 0;
  bool isExplicit = kernel.getKernelForm() == Form::Explicit;
  machine.numWorkers = isExplicit ? std::max(1u, machine.options.workers) : 1;
  if (!isExplicit) {
    Worker worker;
    Runner runner(machine, worker);
    runner.bind(kernel.getBody().front(), arguments);
    return runner.runBlock(kernel.getBody().front());
  }
  Scheduler scheduler(machine.options.seed);
  machine.scheduler = &scheduler;
  std::deque<Worker> workers;
  std::deque<Runner> runners;
  // A roles operation must stand last but for the return: what is before it is
  // uniform and done once by the worker, what is in it by its own tasks.
  auto roles = kernel.getBody().front().getOps<RolesOp>();
  SmallVector<RoleOp> teams;
  if (!roles.empty())
    llvm::append_range(teams, (*roles.begin()).getBody().getOps<RoleOp>());
  for (unsigned index = 0; index < machine.numWorkers; ++index) {
    Worker &worker = workers.emplace_back();
    worker.index = index;
    worker.numRoles = std::max<size_t>(1, teams.size());
    Runner &base = runners.emplace_back(machine, worker);
    base.bind(kernel.getBody().front(), arguments);
    std::string suffix = machine.numWorkers > 1
                             ? " of worker " + std::to_string(index)
                             : std::string();
    if (teams.empty()) {
      scheduler.add("the kernel" + suffix, [&base, kernel]() mutable {
        return base.runBlock(kernel.getBody().front());
      });
      continue;
    }
    if (failed(base.runBlock(kernel.getBody().front())))
      return failure();
    for (RoleOp team : teams) {
      if (team.getDivide() && *team.getDivide() == Divide::Tiles &&
          team.getCopies() > 1)
        return team.emitError("the tile interpreter does not run teams that "
                              "take tiles in turn");
      Runner &runner = runners.emplace_back(machine, worker);
      runner.values = base.values;
      scheduler.add(("@" + team.getSymName() + suffix).str(),
                    [&runner, team]() mutable {
                      return runner.runBlock(team.getBody().front());
                    });
    }
  }
  LogicalResult result = scheduler.run(kernel);
  machine.scheduler = nullptr;
  if (failed(result))
    return failure();
  for (Worker &worker : workers)
    for (std::shared_ptr<Ring> &ring : worker.rings)
      if (ring->published != ring->released)
        return kernel.emitError("a ring ends with ")
               << ring->published << " steps published and " << ring->released
               << " released";
  return success();
}

//===----------------------------------------------------------------------===//
// Entry
//===----------------------------------------------------------------------===//

/// The value of an argument, or an error if it does not fit the type.
static FailureOr<HostValue> convertArgument(Operation *op, unsigned index,
                                            Type type,
                                            const TileArgument &argument) {
  auto error = [&]() {
    return op->emitError("argument ") << index << " of type " << type << ": ";
  };
  if (auto tiles = dyn_cast<TilesType>(type)) {
    bool blocks = tiles.getForm() == ListForm::Blocks;
    if (!argument.buffer || argument.buffer->shape.size() != 2 ||
        blocks != (argument.blockN > 0))
      return error() << "needs a table of two dimensions"
                     << (blocks ? " and a column block" : "");
    int64_t columns = argument.buffer->shape[1];
    if (blocks ? columns != 3 && columns != 4 : columns != 4 && columns != 8)
      return error() << "table of " << columns << " columns";
    TileList list;
    list.table = MemView::of(argument.buffer);
    list.count = argument.buffer->shape[0];
    list.columns = argument.columns;
    list.blockN = argument.blockN;
    return HostValue(list);
  }
  auto memory = dyn_cast<MemRefType>(type);
  if (!memory)
    return HostValue(argument.scalar);
  if (!argument.buffer)
    return error() << "needs a buffer";
  if (argument.buffer->element != memory.getElementType())
    return error() << "buffer of " << argument.buffer->element;
  if (static_cast<int64_t>(argument.buffer->shape.size()) != memory.getRank())
    return error() << "buffer of rank " << argument.buffer->shape.size();
  int64_t count = 1;
  for (auto [have, want] :
       llvm::zip(argument.buffer->shape, memory.getShape())) {
    if (!ShapedType::isDynamic(want) && have != want)
      return error() << "extent " << have << " instead of " << want;
    count *= have;
  }
  if (static_cast<int64_t>(argument.buffer->data.size()) != count)
    return error() << argument.buffer->data.size() << " elements instead of "
                   << count;
  return HostValue(MemView::of(argument.buffer));
}

LogicalResult
moe::tile::interpretTileProgram(ModuleOp module, StringRef name,
                                ArrayRef<TileArgument> arguments,
                                const TileInterpreterOptions &options) {
  Operation *symbol = SymbolTable::lookupSymbolIn(module, name);
  auto function = dyn_cast_or_null<FunctionOpInterface>(symbol);
  if (!function || !isa<KernelOp, PlanOp>(symbol))
    return module.emitError("no kernel or plan '") << name << "'";
  if (function.getNumArguments() != arguments.size())
    return symbol->emitError("takes ")
           << function.getNumArguments() << " arguments, got "
           << arguments.size();
  if (options.workers < 1 || options.workers > 256)
    return symbol->emitError("workers must be in 1..256, got ")
           << options.workers;
  SmallVector<HostValue> values;
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
    FailureOr<HostValue> value = convertArgument(symbol, i, type, arguments[i]);
    if (failed(value))
      return failure();
    values.push_back(*value);
  }
  Machine machine;
  machine.module = module;
  machine.options = options;
  if (auto kernel = dyn_cast<KernelOp>(symbol))
    return runKernel(machine, kernel, values);
  Worker worker;
  Runner runner(machine, worker);
  runner.bind(function.getFunctionBody().front(), values);
  return runner.runBlock(function.getFunctionBody().front());
}
