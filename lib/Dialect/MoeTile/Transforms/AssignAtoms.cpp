//===- AssignAtoms.cpp - moe-tile-assign-atoms ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmdForm.h"

#include "mlir/AsmParser/AsmParser.h"
#include "moec/Dialect/MoeTile/Transforms/Passes.h"

namespace mlir::moe::tile {
#define GEN_PASS_DEF_MOETILEASSIGNATOMS
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"
} // namespace mlir::moe::tile

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// Instruction and layout
//===----------------------------------------------------------------------===//

/// Rows that one wgmma has on the hardware's M side.
static constexpr int64_t hardwareRows = 64;

/// Largest multiple of 8 up to `limit` that divides `extent`, or 0. Products of
/// integers have 8 and 24 columns or a multiple of 16.
static int64_t widestN(int64_t extent, int64_t limit, bool integers) {
  for (int64_t n = std::min<int64_t>(extent, limit) / 8 * 8; n >= 8; n -= 8)
    if (extent % n == 0 && (!integers || n == 8 || n == 24 || n % 16 == 0))
      return n;
  return 0;
}

/// The instruction that the configuration names or, without one, the widest
/// that one team can use.
static FailureOr<AtomAttr> chooseAtom(const TileGemm &gemm) {
  KernelOp kernel = gemm.kernel;
  int64_t teams = gemm.getTeams();
  bool swap = gemm.isSwapped();
  bool byM = gemm.getDivide() == Divide::M;
  if (gemm.config.getString("compute_split") == "tiles")
    return kernel.emitOpError("teams that take tiles in turn (compute_split = "
                              "\"tiles\") have no explicit form yet");
  int64_t parts = byM ? gemm.rows : gemm.cols;
  if (teams < 1 || parts % teams != 0)
    return kernel.emitOpError() << teams << " compute teams do not divide "
                                << parts << (byM ? " rows" : " columns");
  int64_t m = byM ? gemm.rows / teams : gemm.rows;
  int64_t n = byM ? gemm.cols : gemm.cols / teams;
  int64_t k = 32 / gemm.elementBytes;
  int64_t hardwareM = swap ? n : m, hardwareN = swap ? m : n;
  if (hardwareM % hardwareRows != 0)
    return kernel.emitOpError()
           << (swap ? "the weight rows" : "the token rows")
           << " of one team are the instruction's M and must be a multiple of "
           << hardwareRows << ", got " << hardwareM;
  // A product beside its sum stays narrow enough for both.
  int64_t width = widestN(hardwareN, gemm.promote ? 2 * kPartRegisters : 256,
                          gemm.multipliesIntegers());
  if (hardwareN % 8 != 0 || width == 0)
    return kernel.emitOpError()
           << (swap ? "the token rows" : "the weight rows")
           << " of one team are the instruction's N and must be a multiple of "
              "8, got "
           << hardwareN;
  if (gemm.step % k != 0)
    return kernel.emitOpError("k step ")
           << gemm.step << " is not a multiple of the instruction's " << k;
  StringRef text = gemm.config.getString("atom");
  if (text.empty()) {
    int64_t am = swap ? width : hardwareRows, an = swap ? hardwareRows : width;
    return AtomAttr::get(kernel.getContext(),
                         StringAttr::get(kernel.getContext(), "wgmma"), am, an,
                         k, swap);
  }
  auto atom = dyn_cast_or_null<AtomAttr>(parseAttribute(
      ("#moe_tile.atom<" + text + ">").str(), kernel.getContext()));
  if (!atom)
    return kernel.emitOpError("atom of the configuration does not parse: \"")
           << text << "\"";
  if (atom.getFamily() != "wgmma" || atom.getSwap() != swap ||
      atom.getK() != k || m % atom.getM() != 0 || n % atom.getN() != 0)
    return kernel.emitOpError("atom ")
           << text << " of the configuration does not fit a team's tile of "
           << m << "x" << n << " with k " << k
           << (swap ? ", swapped" : ", not swapped");
  return atom;
}

/// Layout of the whole accumulator: instructions side by side in registers of a
/// team, then the teams.
static DigitsAttr layoutOf(const TileGemm &gemm, AtomAttr atom) {
  int64_t teams = gemm.getTeams();
  bool byM = gemm.getDivide() == Divide::M;
  int64_t m = byM ? gemm.rows / teams : gemm.rows;
  int64_t n = byM ? gemm.cols : gemm.cols / teams;
  DigitsAttr layout =
      getAtomLayout(atom).repeat(m / atom.getM(), n / atom.getN());
  return layout.distribute(Level::Group, byM ? teams : 1, byM ? 1 : teams);
}

//===----------------------------------------------------------------------===//
// Fragments
//===----------------------------------------------------------------------===//

namespace {
/// Gives every fragment of a tile the layout that follows from the
/// accumulator's.
class LayoutAssigner {
public:
  LayoutAssigner(const TileGemm &gemm, DigitsAttr layout)
      : gemm(gemm), layout(layout) {}

  LogicalResult run();
  int64_t getNumAssigned() const { return layouts.size(); }

private:
  /// The layout of a tile of the shape of `type` beside one with `full`.
  static DigitsAttr sliceFor(DigitsAttr full, FragType type) {
    if (type.getRows() == 1 && full.getExtent(Dim::M) != 1)
      full = full.slice(Dim::M);
    if (type.getCols() == 1 && full.getExtent(Dim::N) != 1)
      full = full.slice(Dim::N);
    return full;
  }
  LogicalResult assign(Operation *at, Value value, DigitsAttr wanted);
  LogicalResult visit(Operation *op);
  LogicalResult visitSum();
  LogicalResult visitSplit(SplitOp op);
  LogicalResult visitMap(MapOp op);

  const TileGemm &gemm;
  DigitsAttr layout;
  DenseMap<Value, DigitsAttr> layouts;
  bool changed = false;
};
} // namespace

LogicalResult LayoutAssigner::assign(Operation *at, Value value,
                                     DigitsAttr wanted) {
  auto type = cast<FragType>(value.getType());
  if (type.getLayout() && type.getLayout() != wanted)
    return at->emitOpError("fragment has the layout ")
           << type.getLayout() << ", its use needs " << wanted;
  DigitsAttr &known = layouts[value];
  if (known && known != wanted)
    return at->emitOpError("fragment is needed with the layouts ")
           << known << " and " << wanted << ", which would be a relayout";
  changed |= !known;
  known = wanted;
  return success();
}

LogicalResult LayoutAssigner::visitSplit(SplitOp op) {
  FragType source = op.getSource().getType();
  // A row of operands that lie as the weight rows do.
  if (!layouts.contains(op.getSource()) && source.getCols() == gemm.cols)
    if (failed(assign(op, op.getSource(), sliceFor(layout, source))))
      return failure();
  DigitsAttr from = layouts.lookup(op.getSource());
  if (!from)
    return success();
  DigitsAttr half = splitLayout(from, op.getBlock());
  if (!half) {
    static constexpr StringRef names[] = {"reg", "lane", "warp", "group",
                                          "cta"};
    int64_t block = op.getBlock();
    for (const Digit &digit : from.getDigits())
      if (digit.dim == Dim::N && digit.stride != 0 && digit.stride <= block &&
          block < digit.stride * digit.extent && digit.level != Level::Reg)
        return op.emitOpError("split_c2: columns ")
               << block << " apart are held by different "
               << names[static_cast<unsigned>(digit.level)]
               << " indices, not by reg; a tile with twice the weight rows per "
                  "team or an unswapped one has them in registers";
    return op.emitOpError("split in blocks of ")
           << block << " columns does not cut a register digit of " << from;
  }
  if (failed(assign(op, op.getFirst(), half)))
    return failure();
  return assign(op, op.getSecond(), half);
}

LogicalResult LayoutAssigner::visitMap(MapOp op) {
  auto result = cast<FragType>(op.getResult(0).getType());
  auto isFull = [&](Value v) {
    auto type = cast<FragType>(v.getType());
    return type.getRows() == result.getRows() &&
           type.getCols() == result.getCols();
  };
  DigitsAttr full;
  for (Value v : op.getResults())
    if (DigitsAttr known = layouts.lookup(v))
      full = known;
  for (Value v : op.getInputs())
    if (DigitsAttr known = layouts.lookup(v); known && isFull(v))
      full = known;
  if (!full)
    return success();
  for (Value v : op.getResults())
    if (failed(assign(op, v, full)))
      return failure();
  for (Value v : op.getInputs())
    if (failed(assign(op, v, sliceFor(full, cast<FragType>(v.getType())))))
      return failure();
  return success();
}

/// What the k loop carries has the layout of its products.
LogicalResult LayoutAssigner::visitSum() {
  KLoopOp loop = gemm.loop;
  AccReadOp read = gemm.read;
  PromoteOp promote = gemm.promote;
  for (Value v :
       {loop.getInits()[0], Value(loop.getComputeCarried()[0]),
        loop.getResult(0), Value(read.getResult()), Value(promote.getResult())})
    if (failed(assign(loop, v, layout)))
      return failure();
  return success();
}

LogicalResult LayoutAssigner::visit(Operation *op) {
  if (auto read = dyn_cast<AccReadOp>(op))
    return assign(op, read.getResult(), layout);
  if (auto split = dyn_cast<SplitOp>(op))
    return visitSplit(split);
  if (auto map = dyn_cast<MapOp>(op))
    return visitMap(map);
  if (auto reduce = dyn_cast<RowReduceOp>(op)) {
    DigitsAttr from = layouts.lookup(reduce.getInputs()[0]);
    if (!from)
      return success();
    if (reduce.getType().getCols() != 1)
      return op->emitOpError("only a reduction to one column has a layout");
    return assign(op, reduce.getResult(), from.slice(Dim::N));
  }
  if (isa<JoinOp, PromoteOp, RelayoutOp, FragLoadOp>(op))
    return op->emitOpError("has no rule for the layout of its result");
  return success();
}

LogicalResult LayoutAssigner::run() {
  ForTilesOp tiles = gemm.tiles;
  Block &body = tiles.getBody().front();
  if (gemm.promote && failed(visitSum()))
    return failure();
  do {
    changed = false;
    for (Operation &op : body)
      if (failed(visit(&op)))
        return failure();
  } while (changed);
  for (Operation &op : body)
    for (Value v : op.getResults())
      if (isa<FragType>(v.getType()) && !layouts.contains(v) && !v.use_empty())
        return op.emitOpError("the layout of its result does not follow from "
                              "the accumulator's");
  for (auto [value, digits] : layouts) {
    auto type = cast<FragType>(value.getType());
    value.setType(FragType::get(type.getContext(), type.getRows(),
                                type.getCols(), type.getElementType(), digits));
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

/// Every accumulator of the kernel is of the product.
static void assignAccumulators(const TileGemm &gemm, AtomAttr atom) {
  AccType old = TileGemm(gemm).mma.getType();
  auto type = AccType::get(old.getContext(), old.getRows(), old.getCols(),
                           old.getElementType(), atom);
  TileGemm(gemm).mma.setAtomAttr(atom);
  KernelOp kernel = gemm.kernel;
  kernel.walk([&](Operation *op) {
    for (Value v : op->getResults())
      if (isa<AccType>(v.getType()))
        v.setType(type);
    for (Region &region : op->getRegions())
      for (BlockArgument v : region.getArguments())
        if (isa<AccType>(v.getType()))
          v.setType(type);
  });
}

/// Registers that accumulators alone need; what is beyond the limit can never
/// be assembled (what is below it may still spill).
static LogicalResult checkRegisters(const TileGemm &gemm,
                                    const ExplicitTarget &target) {
  KernelOp kernel = gemm.kernel;
  int64_t threads = gemm.getTeams() * gemm.getComputeThreads();
  int64_t need = gemm.rows * gemm.cols / threads;
  if (gemm.promote)
    need += std::min(need, kPartRegisters);
  int64_t regs = gemm.config.getInt("compute_regs");
  int64_t limit = regs ? regs
                       : std::min(target.threadRegisters,
                                  target.registers / gemm.getThreads());
  // Addresses, loop counters and the like.
  constexpr int64_t overhead = 24;
  if (need + overhead <= limit)
    return success();
  return kernel.emitOpError("a tile of ")
         << gemm.rows << "x" << gemm.cols << " needs " << need
         << " accumulator registers and about " << overhead
         << " more in each of " << threads << " threads, which have " << limit;
}

/// What the configuration asks for and the chip does not have.
static LogicalResult checkChip(const TileGemm &gemm,
                               const ExplicitTarget &chip) {
  KernelOp kernel = gemm.kernel;
  if (gemm.elementBytes == 1 && !gemm.multipliesIntegers() && !chip.floats8)
    return kernel.emitOpError("no matrix instruction of ")
           << chip.name
           << " multiplies 8-bit floats; sm_89 and sm_90a have one";
  if (chip.hopper)
    return success();
  for (StringRef field : {"load_regs", "compute_regs"})
    if (gemm.config.getInt(field) != 0)
      return kernel.emitOpError()
             << field << " of the configuration: " << chip.name
             << " gives all threads of a block the same registers";
  if (gemm.isBulk() || gemm.isDescribed())
    return kernel.emitOpError("store = \"")
           << gemm.config.getString("store") << "\" needs the copy engine, "
           << chip.name << " has none; use \"staged\" or \"vector\"";
  return success();
}

namespace {
struct AssignAtomsPass
    : public mlir::moe::tile::impl::MoeTileAssignAtomsBase<AssignAtomsPass> {
  using MoeTileAssignAtomsBase::MoeTileAssignAtomsBase;

  void runOnOperation() override {
    if (failed(run()))
      signalPassFailure();
  }

  LogicalResult assignAmd(TileGemm &gemm, const AmdChip &chip) {
    FailureOr<AmdTile> tile = chooseAmdTile(gemm, chip);
    if (failed(tile))
      return failure();
    gemm.kernel.setTarget(StringRef(chip.name));
    assignAccumulators(gemm, tile->atom);
    LayoutAssigner assigner(gemm, tile->layout);
    if (failed(assigner.run()))
      return failure();
    ++numKernels;
    numFragments += assigner.getNumAssigned();
    return success();
  }

  LogicalResult run() {
    KernelOp kernel = getOperation();
    const AmdChip *chip = findAmdChip(target);
    // The shape of a kernel depends on the target.
    if (chip && !kernel.getTarget() && kernel->hasAttr(kConfigAttr))
      kernel.setTarget(StringRef(target));
    auto matched = matchTileGemm(kernel);
    if (failed(matched))
      return failure();
    if (!*matched)
      return success();
    TileGemm &gemm = **matched;
    if (chip)
      return assignAmd(gemm, *chip);
    const ExplicitTarget *description = findExplicitTarget(target);
    if (!description)
      return kernel.emitOpError("moe-tile-assign-atoms: no explicit form for "
                                "target '")
             << target << "'";
    if (kernel.getTarget() && *kernel.getTarget() != target)
      return kernel.emitOpError("moe-tile-assign-atoms: target is '")
             << target << "', the kernel's is '" << *kernel.getTarget() << "'";
    kernel.setTarget(StringRef(target));
    if (failed(checkChip(gemm, *description)))
      return failure();
    if (!gemm.isByWarps() && gemm.getComputeThreads() != 128)
      return kernel.emitOpError("a team that runs wgmma has 128 threads, the "
                                "configuration says ")
             << gemm.getComputeThreads();
    if (failed(checkRegisters(gemm, *description)))
      return failure();
    AtomAttr atom = gemm.mma.getAtomAttr();
    if (!atom) {
      FailureOr<AtomAttr> chosen =
          gemm.isByWarps() ? chooseMmaSyncAtom(gemm) : chooseAtom(gemm);
      if (failed(chosen))
        return failure();
      atom = *chosen;
    }
    DigitsAttr layout;
    if (!gemm.dequant) {
      FailureOr<DigitsAttr> chosen =
          gemm.isByWarps() ? mmaSyncLayout(gemm, atom)
                           : FailureOr<DigitsAttr>(layoutOf(gemm, atom));
      if (failed(chosen))
        return failure();
      layout = *chosen;
    }
    if (gemm.dequant) {
      FailureOr<DecodedLayouts> layouts = decodedLayouts(gemm, atom);
      if (failed(layouts))
        return failure();
      layout = layouts->accumulator;
      auto type = cast<FragType>(gemm.dequant.getType());
      gemm.dequant.getResult().setType(
          FragType::get(type.getContext(), type.getRows(), type.getCols(),
                        type.getElementType(), layouts->weights));
    }
    // Columns that share a factor are whole registers of a thread.
    if (gemm.promote && gemm.promote.getCol()) {
      auto [rows, cols] = getTileShape(gemm.promote.getCol().getType());
      auto factor =
          FragType::get(kernel.getContext(), rows, cols,
                        Float32Type::get(kernel.getContext()), DigitsAttr());
      if (!colFactorLayout(layout, factor))
        return kernel.emitOpError("factors of ")
               << gemm.cols / cols << " columns each end inside of a part of "
               << atom;
    }
    assignAccumulators(gemm, atom);
    LayoutAssigner assigner(gemm, layout);
    if (failed(assigner.run()))
      return failure();
    ++numKernels;
    numFragments += assigner.getNumAssigned();
    return success();
  }
};
} // namespace
