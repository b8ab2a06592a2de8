//===- TileGemm.cpp - The parts of a sequential GEMM kernel ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileGemm.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "moec/Target/AmdChip.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// Targets
//===----------------------------------------------------------------------===//

FailureOr<const ExplicitTarget *> moe::tile::targetOf(const TileGemm &gemm) {
  KernelOp kernel = gemm.kernel;
  std::optional<StringRef> name = kernel.getTarget();
  if (!name)
    return kernel.emitOpError("has no target; run moe-tile-assign-atoms first");
  const ExplicitTarget *target = findExplicitTarget(*name);
  if (!target)
    return kernel.emitOpError("no explicit form for target '") << *name << "'";
  return target;
}

//===----------------------------------------------------------------------===//
// Shape of the kernel
//===----------------------------------------------------------------------===//

int64_t TileGemm::getComputeThreads() const {
  int64_t threads = config.getInt("compute_threads");
  if (threads)
    return threads;
  return isByWarps() ? 32 * warpsThatShare(*this) : 128;
}

int64_t TileGemm::getLoadThreads() const {
  int64_t threads = config.getInt("load_threads");
  if (threads)
    return threads;
  return getTarget() ? getTarget()->loadThreads : 128;
}

/// The product of a k loop that carries an accumulator, of `first` and
/// `second`; `others` ops stand before it.
static LogicalResult
matchProduct(TileGemm &gemm, Value first, Value second, size_t others,
             function_ref<LogicalResult(Operation *, const Twine &)> refuse) {
  Block &compute = gemm.loop.getCompute().front();
  gemm.mma = dyn_cast<MmaOp>(*std::next(compute.begin(), others));
  if (!gemm.mma || compute.getOperations().size() != 2 + others ||
      gemm.mma.getC() != gemm.loop.getComputeCarried()[0] ||
      gemm.mma.getA() != first || gemm.mma.getB() != second)
    return refuse(gemm.loop, "its compute region is more than one product");
  if (!gemm.loop.getInits()[0].getDefiningOp<AccZeroOp>())
    return refuse(gemm.loop, "it does not start from zero");
  Value result = gemm.loop.getResult(0);
  if (result.hasOneUse())
    gemm.read = dyn_cast<AccReadOp>(*result.user_begin());
  if (!gemm.read)
    return refuse(gemm.loop, "its result is not read by one acc_read");
  return success();
}

/// The second operand's decoding in the load region, if there is one.
static LogicalResult
matchUnpacking(TileGemm &gemm,
               function_ref<LogicalResult(Operation *, const Twine &)> refuse) {
  auto unpack = gemm.loop.getLoaded()[1].getDefiningOp<DequantOp>();
  if (!unpack || unpack.getFormat() == DequantFormat::Plain)
    return success();
  gemm.unpack = unpack;
  gemm.b = unpack.getSource().getDefiningOp<LoadOp>();
  auto loadOf = [](Value v) {
    return v ? v.getDefiningOp<LoadOp>() : LoadOp();
  };
  gemm.unpackScale = loadOf(unpack.getScale());
  gemm.unpackZero = loadOf(unpack.getZero());
  size_t factors = (unpack.getScale() ? 1 : 0) + (unpack.getZero() ? 1 : 0);
  if (!gemm.b || unpack.getAt() || gemm.getUnpackFactors().size() != factors ||
      !isa<BufType>(unpack.getType()))
    return refuse(unpack, "weights that are decoded on their way are loaded, "
                          "with factors that are loaded");
  return success();
}

void moe::tile::eraseDead(RoleOp role) {
  SmallVector<Operation *> operations;
  role.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (op != role.getOperation())
      operations.push_back(op);
  });
  for (Operation *op : llvm::reverse(operations))
    if (isOpTriviallyDead(op))
      op->erase();
}

FailureOr<std::optional<TileGemm>> moe::tile::matchTileGemm(KernelOp kernel) {
  TileGemm gemm;
  gemm.kernel = kernel;
  gemm.config = kernel->getAttrOfType<moe::ConfigAttr>(kConfigAttr);
  // Products without matrix units keep the sequential form.
  if (!gemm.config || kernel.getKernelForm() != Form::Seq ||
      gemm.config.getString("atom") == "fma")
    return std::optional<TileGemm>();
  auto refuse = [&](Operation *at, const Twine &why) -> LogicalResult {
    return at->emitOpError("has no explicit form: ") << why;
  };

  SmallVector<ForTilesOp> loops;
  SmallVector<KLoopOp> products;
  kernel.walk([&](Operation *op) {
    if (auto loop = dyn_cast<ForTilesOp>(op))
      loops.push_back(loop);
    if (auto product = dyn_cast<KLoopOp>(op))
      products.push_back(product);
  });
  if (loops.size() != 1 || products.size() != 1)
    return refuse(kernel,
                  "it has " + Twine(loops.size()) + " loops over tiles and " +
                      Twine(products.size()) + " k loops, not one of each");
  gemm.tiles = loops[0];
  gemm.loop = products[0];
  if (gemm.tiles->getParentOp() != kernel ||
      gemm.loop->getParentOp() != gemm.tiles)
    return refuse(gemm.loop, "it stands in another loop or branch");
  size_t loaded = gemm.loop.getLoaded().size();
  Block &compute = gemm.loop.getCompute().front();
  size_t others = 0, factors = 0;
  for (DequantOp op : compute.getOps<DequantOp>()) {
    (op.getSource() == gemm.loop.getComputeTiles()[0] ? gemm.dequantA
                                                      : gemm.dequant) = op;
    factors += (op.getScale() ? 1 : 0) + (op.getZero() ? 1 : 0);
    ++others;
  }
  bool promotes = gemm.loop.getInits().size() == 1 &&
                  isa<FragType>(gemm.loop.getInits()[0].getType());
  if (gemm.loop.hasTransform() || gemm.loop.getInits().size() != 1 ||
      (!promotes && (!isa<AccType>(gemm.loop.getInits()[0].getType()) ||
                     loaded != 2 + factors)))
    return refuse(gemm.loop, "only a product of two loads that carries an "
                             "accumulator, or a sum of scaled products, has "
                             "one, no packed values");
  gemm.a = gemm.loop.getLoaded()[0].getDefiningOp<LoadOp>();
  gemm.b = gemm.loop.getLoaded()[1].getDefiningOp<LoadOp>();
  const AmdChip *chip = findAmdChip(kernel.getTarget().value_or("").str());
  if (chip && !promotes && failed(matchUnpacking(gemm, refuse)))
    return failure();
  for (Value loaded : gemm.loop.getLoaded().take_front(2))
    if (auto decoded = loaded.getDefiningOp<DequantOp>();
        decoded && chip && decoded != gemm.unpack)
      return decoded.emitOpError()
             << chip->name << ": rule decoding: values of "
             << getTileElementType(decoded.getSource().getType())
             << " are decoded on load; registers decode values of 4 bits, i8, "
                "f8E4M3FN and f8E5M2";
  if (!gemm.a || !gemm.b)
    return refuse(gemm.loop, "operands are decoded between load and product");
  auto tiles = gemm.loop.getComputeTiles();
  // What the load region yields for an argument of the compute region.
  auto loadOf = [&](Value v) -> LoadOp {
    for (auto [i, tile] : llvm::enumerate(tiles))
      if (v && tile == v)
        return gemm.loop.getLoaded()[i].getDefiningOp<LoadOp>();
    return LoadOp();
  };
  bool amd = chip;
  if (gemm.dequantA) {
    gemm.scaleA = loadOf(gemm.dequantA.getScale());
    if (!amd || promotes || !gemm.dequant || !gemm.scaleA ||
        gemm.dequantA.getZero() || gemm.dequantA.getAt() ||
        !isa<FragType>(gemm.dequantA.getType()))
      return refuse(gemm.dequantA,
                    "the first operand is scaled in registers on AMD GPUs, "
                    "beside a second one that is, by scales that are loaded");
  }
  if (gemm.dequant) {
    gemm.scale = loadOf(gemm.dequant.getScale());
    gemm.zero = loadOf(gemm.dequant.getZero());
    if (gemm.dequant.getSource() != tiles[1] || gemm.dequant.getAt() ||
        gemm.getFactors().size() + (gemm.scaleA ? 1 : 0) != factors ||
        !isa<FragType>(gemm.dequant.getType()))
      return refuse(gemm.dequant,
                    "only the second operand is decoded, to registers, with "
                    "factors that are loaded");
  }
  Value second = gemm.dequant ? Value(gemm.dequant.getResult()) : tiles[1];
  Value first = gemm.dequantA ? Value(gemm.dequantA.getResult()) : tiles[0];
  if (promotes) {
    if (failed(matchPromotion(gemm)))
      return failure();
  } else if (failed(matchProduct(gemm, first, second, others, refuse))) {
    return failure();
  }

  AccType acc = gemm.mma.getType();
  for (StoreOp store : gemm.tiles.getBody().getOps<StoreOp>()) {
    if (store.getTileShape().first != acc.getRows() ||
        store.getTileShape().second == 1)
      continue;
    if (gemm.store || store.getValues().size() != 1 ||
        !isa<FragType>(store.getValues()[0].getType()))
      return refuse(store, "one store of one fragment is expected");
    gemm.store = store;
  }
  if (!gemm.store)
    return refuse(gemm.tiles, "it stores no tile");

  std::optional<int64_t> lower = getConstantIntValue(gemm.loop.getLower());
  std::optional<int64_t> upper = getConstantIntValue(gemm.loop.getUpper());
  if (!lower || !upper || *lower != 0 || *upper <= 0)
    return refuse(gemm.loop, "its bounds are not the constants 0 and K > 0");
  gemm.rows = acc.getRows();
  gemm.cols = acc.getCols();
  gemm.step = gemm.loop.getStep();
  gemm.k = *upper;
  Type elementA = getTileElementType(gemm.mma.getA().getType());
  Type elementB = getTileElementType(gemm.mma.getB().getType());
  gemm.elementBytes = elementA.getIntOrFloatBitWidth() / 8;
  bool halves = (elementA.isBF16() || elementA.isF16()) && elementA == elementB;
  bool bytes = isa<Float8E4M3FNType, Float8E5M2Type>(elementA) &&
               isa<Float8E4M3FNType, Float8E5M2Type>(elementB);
  bool singles = amd && elementA.isF32() && elementB.isF32();
  bool floats = (halves || bytes || singles) && acc.getElementType().isF32();
  bool integers = elementA.isInteger(8) && elementB.isInteger(8) &&
                  acc.getElementType().isInteger(32);
  if (!chip && elementA.isF32() && elementB.isF32())
    return refuse(gemm.mma,
                  "rule matrix_operand: no matrix instruction multiplies f32 "
                  "by f32 but as tf32, with 10 of its 23 digits; use bf16 or "
                  "f16, or a target that has one: cpu, gfx942, gfx950");
  if (!floats && !integers)
    return chip ? LogicalResult(gemm.mma.emitOpError()
                                << chip->name
                                << ": rule matrix_operand: products of "
                                << elementA << " by " << elementB
                                << " have no form on AMD GPUs")
                : refuse(gemm.mma,
                         "no matrix instruction multiplies these types");
  if (gemm.dequant && (!halves || (!amd && !gemm.isSwapped())))
    return refuse(gemm.dequant, "weights in registers are 16-bit values of the "
                                "instruction's first operand, which swap makes "
                                "them");
  return std::optional<TileGemm>(gemm);
}

BufType moe::tile::factorBuffer(LoadOp load) {
  auto step = cast<BufType>(load.getType());
  return BufType::get(step.getRows(), load.getMemory().getType().getShape()[2],
                      step.getElementType());
}

//===----------------------------------------------------------------------===//
// Staging
//===----------------------------------------------------------------------===//

FailureOr<Staging> moe::tile::stagingOf(const TileGemm &gemm) {
  Staging staging;
  if (!gemm.isStaged())
    return staging;
  StoreOp store = gemm.store;
  auto type = cast<FragType>(store.getValues()[0].getType());
  int64_t bytes = type.getElementType().getIntOrFloatBitWidth() / 8;
  if (gemm.isBulk()) {
    if (type.getCols() * bytes % 32 != 0)
      return store.emitOpError("a bulk store takes rows of whole pairs of 16 "
                               "bytes; the tile's have ")
             << type.getCols() * bytes << ", use store = \"vector\"";
    staging.pieces = staging.count = 1;
    staging.type = BufType::get(type.getContext(), type.getRows(),
                                type.getCols(), type.getElementType(), 0, 16);
    return staging;
  }
  if (gemm.isDescribed() &&
      cast<TileAccess>(store.getOperation()).getRowsPosition() >= 0)
    return store.emitOpError("store = \"desc\" writes rows that lie side by "
                             "side, this one scatters them by a row list; use "
                             "store = \"staged\"");
  // One piece is a row of the swizzle, 128 bytes.
  int64_t cols = std::min<int64_t>(type.getCols(), 128 / bytes);
  staging.pieces = type.getCols() / cols;
  if (type.getCols() % cols != 0 || !llvm::isPowerOf2_64(staging.pieces) ||
      (cols * bytes != 128 && cols * bytes != 64 && cols * bytes != 32))
    return store.emitOpError("a staged store goes in pieces of ")
           << 128 / bytes << " columns, 1, 2, 4, ... of them; the tile has "
           << type.getCols() << " columns, use store = \"vector\"";
  // Two, so that a piece is deposited while the one before is being written.
  staging.count = std::min<int64_t>(staging.pieces, 2);
  staging.type = BufType::get(type.getContext(), type.getRows(), cols,
                              type.getElementType(), cols * bytes, 0);
  return staging;
}
