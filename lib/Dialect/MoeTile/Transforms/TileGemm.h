//===- TileGemm.h - The parts of a sequential GEMM kernel -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the passes from the sequential to the explicit form share: one view of a
// GEMM kernel and of what its configuration says.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_DIALECT_MOETILE_TRANSFORMS_TILEGEMM_H
#define MOEC_LIB_DIALECT_MOETILE_TRANSFORMS_TILEGEMM_H

#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"
#include "moec/Dialect/MoeTile/Transforms/ExplicitTarget.h"

namespace mlir::moe::tile {

/// Attribute of a kernel: the configuration that it was built by.
inline constexpr llvm::StringLiteral kConfigAttr("moe.config");

/// A kernel of form `seq` that multiplies: one loop over tiles with one k loop,
/// whose product is of two plain loads, or of one and of packed values that are
/// decoded to registers, as scaled values of the other may be. The k loop
/// carries an accumulator or, if every step's product is scaled into a sum, the
/// fragment of that sum.
struct TileGemm {
  KernelOp kernel;
  moe::ConfigAttr config;
  ForTilesOp tiles;
  KLoopOp loop;
  LoadOp a, b;
  /// Decodes b to registers beside the product, null for plain operands.
  DequantOp dequant;
  /// Its scales and zero points, null where there are none.
  LoadOp scale, zero;
  /// The same for a, scaled in registers beside the product.
  DequantOp dequantA;
  LoadOp scaleA;
  /// Decodes b on its way to on-chip memory, null for others (for AMD GPUs);
  /// its scales and zero points.
  DequantOp unpack;
  LoadOp unpackScale, unpackZero;
  MmaOp mma;
  AccReadOp read;
  /// What adds a step's product to the sum, if any, and the loads of its row
  /// factors (of A) and column factors (of B), which may be missing.
  PromoteOp promote;
  LoadOp aScale, bScale;
  /// The store of the tile, of one fragment.
  StoreOp store;

  /// Extents of the tile, step and extent of the reduction in elements.
  int64_t rows = 0, cols = 0, step = 0, k = 0;
  /// Bytes of an element of a and b.
  int64_t elementBytes = 0;

  /// What is known of the kernel's target, null before it has one.
  const ExplicitTarget *getTarget() const {
    std::optional<StringRef> name = KernelOp(kernel).getTarget();
    return name ? findExplicitTarget(*name) : nullptr;
  }
  /// Warps multiply each for themselves, not warpgroups.
  bool isByWarps() const {
    return getTarget() && getTarget()->atom == "mma_sync";
  }
  /// Bytes of two's complement whose products are added in i32.
  bool multipliesIntegers() const {
    return MmaOp(mma).getType().getElementType().isInteger(32);
  }
  /// The scales of decoded weights are multiplied into sums of products.
  bool scalesSums() const {
    return dequant && DequantOp(dequant).getUnrounded();
  }
  bool isSwapped() const { return config.getBool("swap"); }
  /// Teams of the compute role, threads of one, and of the load role.
  int64_t getTeams() const { return config.getInt("compute_groups"); }
  int64_t getComputeThreads() const;
  int64_t getLoadThreads() const;
  int64_t getThreads() const {
    return getLoadThreads() + getTeams() * getComputeThreads();
  }
  /// Scales and zero points of b that are loaded once per tile.
  SmallVector<LoadOp, 2> getFactors() const {
    SmallVector<LoadOp, 2> factors;
    for (LoadOp load : {scale, zero})
      if (load)
        factors.push_back(load);
    return factors;
  }
  /// The same of weights that are decoded on their way to on-chip memory.
  SmallVector<LoadOp, 2> getUnpackFactors() const {
    SmallVector<LoadOp, 2> factors;
    for (LoadOp load : {unpackScale, unpackZero})
      if (load)
        factors.push_back(load);
    return factors;
  }
  /// b as the product takes it from on-chip memory.
  Value getStoredB() const {
    return unpack ? Value(DequantOp(unpack).getResult())
                  : Value(LoadOp(b).getResult());
  }
  /// How several teams share a tile: by m or by n.
  Divide getDivide() const {
    return config.getString("compute_split") == "n" ? Divide::N : Divide::M;
  }
  /// The result leaves by whole rows that are copied asynchronously.
  bool isBulk() const { return config.getString("store") == "bulk"; }
  /// The result leaves by pieces of a tile that the copy engine writes.
  bool isDescribed() const { return config.getString("store") == "desc"; }
  bool isStaged() const {
    return isBulk() || isDescribed() || config.getString("store") == "staged";
  }
};

/// The GEMM of a kernel. A kernel that is no business of the passes (without
/// `moe.config`, or explicit already) gives nothing; one that has a
/// configuration, but not the shape above, an error.
FailureOr<std::optional<TileGemm>> matchTileGemm(KernelOp kernel);

/// Erases what nobody uses of the operations in a role, last first.
void eraseDead(RoleOp role);

/// Loads of the k loop in the order of a slot's buffers: A, B, then scales.
SmallVector<LoadOp> slotLoads(const TileGemm &gemm);

/// Fills in what a k loop has that scales every product: `mma`, `read`,
/// `promote`, `aScale`, `bScale`. Fails, with a diagnostic, if the compute
/// region is another one. `a` and `b` are known.
LogicalResult matchPromotion(TileGemm &gemm);

/// Layouts of the factors beside a fragment of `full`: registers in the same
/// order, each holding the factor of the element in that register. Null if a
/// column factor changes inside of a digit.
DigitsAttr rowFactorLayout(DigitsAttr full, FragType factor);
DigitsAttr colFactorLayout(DigitsAttr full, FragType factor);

/// Registers of a thread that hold products before they are added to a sum: a
/// part of the tile at a time, so that sum and parts fit.
inline constexpr int64_t kPartRegisters = 64;

/// The instruction of one warp for the product, and the layout of the whole
/// accumulator: the warps of a team form the grid that reads least and keeps
/// gate and up columns in one thread. Fail, with the numbers, if there is none.
FailureOr<AtomAttr> chooseMmaSyncAtom(const TileGemm &gemm);
FailureOr<DigitsAttr> mmaSyncLayout(const TileGemm &gemm, AtomAttr atom);

/// Warps of a team if the configuration names none: as many as its target wants
/// or, of a tile too small for that, half, a quarter, ... of them.
int64_t warpsThatShare(const TileGemm &gemm);

/// The target of a kernel that an earlier pass has set, or an error.
FailureOr<const ExplicitTarget *> targetOf(const TileGemm &gemm);

/// The staging buffers through which a staged store goes: their type and
/// number; none for a direct store. A bulk store has one for the whole result,
/// whose rows are padded so that threads write it without bank conflicts.
/// Fails, with the numbers, for a tile that does not split into pieces of 128
/// bytes.
struct Staging {
  BufType type;
  int64_t count = 0, pieces = 0;
  int64_t getSizeInBytes() const {
    return count ? count * type.getSizeInBytes() : 0;
  }
};
FailureOr<Staging> stagingOf(const TileGemm &gemm);

/// Layouts of a product with decoded weights: of the accumulator, and of the
/// weights, rows x k.
struct DecodedLayouts {
  DigitsAttr accumulator, weights;
};
FailureOr<DecodedLayouts> decodedLayouts(const TileGemm &gemm, AtomAttr atom);

/// Slots of the ring that brings the factors of a tile.
inline constexpr int64_t kFactorSlots = 2;

/// The buffer that holds the factors of `load` for all of K: as many rows as a
/// step's, one column per granule.
BufType factorBuffer(LoadOp load);

} // namespace mlir::moe::tile

#endif // MOEC_LIB_DIALECT_MOETILE_TRANSFORMS_TILEGEMM_H
