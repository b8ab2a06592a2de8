//===- MoeTile.h - The moe_tile dialect -------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Dialect, types, attributes and operations of the tile program; the meaning of
// each stands in the TableGen description.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILE_H
#define MOEC_DIALECT_MOETILE_IR_MOETILE_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "moec/Dialect/MoeTile/IR/MoeTileDialect.h.inc"
#include "moec/Dialect/MoeTile/IR/MoeTileEnums.h.inc"

namespace mlir::moe::tile {

/// Hardware index levels of a layout, in order.
enum class Level : uint8_t { Reg, Lane, Warp, Group, Cta };
inline constexpr unsigned numLevels = 5;

/// Logical dimensions of a fragment: m = token row, n = output column.
enum class Dim : uint8_t { M, N };

/// One mixed-radix digit: `extent` values, each adding `stride` to `dim`;
/// stride 0 replicates.
struct Digit {
  Level level;
  Dim dim;
  int64_t extent;
  int64_t stride;
  bool operator==(const Digit &o) const {
    return level == o.level && dim == o.dim && extent == o.extent &&
           stride == o.stride;
  }
};
inline llvm::hash_code hash_value(const Digit &d) {
  return llvm::hash_combine(static_cast<unsigned>(d.level),
                            static_cast<unsigned>(d.dim), d.extent, d.stride);
}

/// Marks operations of the sequential form.
template <typename ConcreteType>
class SequentialOnly : public OpTrait::TraitBase<ConcreteType, SequentialOnly> {
};

/// Marks operations of the explicit form.
template <typename ConcreteType>
class ExplicitOnly : public OpTrait::TraitBase<ConcreteType, ExplicitOnly> {};

/// Whether a matrix instruction family takes operand A (side 0) or B (side 1)
/// in logical coordinates from registers.
bool familyTakesRegisters(StringRef family, unsigned side, bool swap);

namespace detail {
/// The constraints access_c1 .. access_c7 of TileAccess.
LogicalResult verifyTileAccess(Operation *op);
} // namespace detail
} // namespace mlir::moe::tile

#define GET_ATTRDEF_CLASSES
#include "moec/Dialect/MoeTile/IR/MoeTileAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "moec/Dialect/MoeTile/IR/MoeTileTypes.h.inc"

#include "moec/Dialect/MoeTile/IR/MoeTileInterfaces.h.inc"

#define GET_OP_CLASSES
#include "moec/Dialect/MoeTile/IR/MoeTileOps.h.inc"

namespace mlir::moe::tile {

/// Rows and columns of a buf, acc, frag or staged type.
std::pair<int64_t, int64_t> getTileShape(Type type);

/// Element type of a buf, acc, frag or staged type.
Type getTileElementType(Type type);

/// Marks a function that a target conversion made of a kernel: a launch in the
/// plan may name it, with the arguments of the kernel that it was.
inline constexpr llvm::StringLiteral kLoweredKernelAttr("moe_tile.lowered");

/// Accumulator layout of one instruction (over lanes, and warps of wgmma and
/// tcgen05), in logical coordinates; the lane maps of NVIDIA's families are
/// those of the PTX manual, AMD's were executed. `wmma` is that of gfx11.
DigitsAttr getAtomLayout(AtomAttr atom);

/// Whether the type is a buf, acc, frag or staged type.
bool isTileType(Type type);

/// Layout of either result of a `split` in blocks of `block` columns; null if
/// the digit that chooses between the results is not one of `reg`, or if
/// `block` does not cut a digit evenly.
DigitsAttr splitLayout(DigitsAttr layout, int64_t block);

} // namespace mlir::moe::tile

#endif // MOEC_DIALECT_MOETILE_IR_MOETILE_H
