//===- AmdForm.h - Tiles of AMD GPUs -------------------------- -*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the passes to the explicit form decide for AMD chips. One team of waves
// computes a tile; operands travel through registers to LDS. Limits and
// instructions come from the chip's description.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_DIALECT_MOETILE_TRANSFORMS_AMDFORM_H
#define MOEC_LIB_DIALECT_MOETILE_TRANSFORMS_AMDFORM_H

#include "TileGemm.h"
#include "moec/Target/AmdChip.h"

namespace mlir::moe::tile {

/// The chip that an earlier pass has set as target, or null.
const AmdChip *amdChipOf(KernelOp kernel);

/// Instruction of a product and layout of the whole accumulator, from which the
/// number of threads follows.
struct AmdTile {
  AtomAttr atom;
  DigitsAttr layout;
  /// Threads of the workgroup.
  int64_t getThreads(const AmdChip &chip) const {
    return layout.getLevelSize(Level::Warp) * chip.waveSize;
  }
};

/// Chooses the instruction and how waves share the tile. Weights take the
/// instruction's rows: a lane then has neighbouring columns of one token row.
/// Fails, naming chip and rule, if the chip cannot.
FailureOr<AmdTile> chooseAmdTile(const TileGemm &gemm, const AmdChip &chip);

/// Layout of the factors of decoded weights (or, without `weights`, of scaled
/// tokens), rows x `columns`: each lane has those of the rows that it gives to
/// its instructions; of an instruction that takes scales one column, that of
/// its values. From the layout of the accumulator.
DigitsAttr decodedFactorLayout(const TileGemm &gemm, int64_t columns,
                               bool weights);

/// Layout of the scales of weights that are decoded unrounded, rows x
/// `columns`: each lane has those of the sums that it holds, registers in the
/// order of the accumulator's, of each all columns.
DigitsAttr sumFactorLayout(const TileGemm &gemm, int64_t columns);

/// Threads of the role that brings operands, 0 = all threads do.
int64_t amdLoadThreads(const TileGemm &gemm);

/// Layout of the factors of weights that `threads` threads decode on their way
/// to LDS, rows x `columns`: each thread has those of its pieces of 16 bytes.
/// Fails, naming chip and rule, where a piece has several factors or threads
/// have no piece.
FailureOr<DigitsAttr> unpackFactorLayout(const TileGemm &gemm,
                                         const AmdChip &chip, int64_t columns,
                                         int64_t threads);

/// Operands are read by vectors into registers or, where the configuration says
/// "lds_direct", copied straight to LDS; scales go to registers. Fails where
/// pitches are not whole vectors of 16 bytes, or for what such copies cannot.
LogicalResult assignAmdCopies(const TileGemm &gemm, const AmdChip &chip);

/// Types of the buffers of one stage, in the order of the k loop's operands.
/// Sets the number of stages and the limit of LDS; fails if they do not fit.
LogicalResult formAmdBuffers(TileGemm &gemm, const AmdChip &chip);

} // namespace mlir::moe::tile

#endif // MOEC_LIB_DIALECT_MOETILE_TRANSFORMS_AMDFORM_H
