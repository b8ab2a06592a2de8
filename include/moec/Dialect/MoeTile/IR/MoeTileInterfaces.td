//===- MoeTileInterfaces.td - Interfaces of the tile program --- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILEINTERFACES_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILEINTERFACES_TD

include "mlir/IR/OpBase.td"

def MoeTile_TileAccess : OpInterface<"TileAccess"> {
  let cppNamespace = "::mlir::moe::tile";
  let description = [{
    An access of a rows x cols tile to global memory. Element (r, c) of the tile
    stands for one element of `memory`:

    1. Every index is divided by the granule of its memory dimension (rounding
       down; 1 without `granule`). A `rows` index gives row number `rows[r]`.
    2. Memory dimension `dims[0]` advances with r and `dims[1]` with c; -1 means
       that the tile has extent 1 there. Default: the dimension of the `rows`
       index, else the last but one, for r; the last of the other dimensions for c.
       A dimension with a `rows` index does not advance any more.
    3. With `boxes`, tile dimension `box_dim` (default 0) is cut into equal boxes;
       box i starts at its index plus `boxes[i]`, in elements of the memory.

    Outside of the memory's extents, and in rows numbered -1, a read gives zero
    and a write does nothing.
  }];
  let methods = [
    InterfaceMethod<"The global memory.", "::mlir::TypedValue<::mlir::MemRefType>", "getMemory">,
    InterfaceMethod<"One coordinate per memory dimension.", "::mlir::OperandRange", "getIndices">,
    InterfaceMethod<"Explicit `dims`, if any.", "std::optional<::llvm::ArrayRef<int64_t>>", "getDims">,
    InterfaceMethod<"Explicit `granule`, if any.", "std::optional<::llvm::ArrayRef<int64_t>>", "getGranule">,
    InterfaceMethod<"Explicit `boxes`, if any.", "std::optional<::llvm::ArrayRef<int64_t>>", "getBoxes">,
    InterfaceMethod<"Tile dimension cut into boxes.", "int64_t", "getBoxDim">,
    InterfaceMethod<"Rows and columns of the tile.", "std::pair<int64_t, int64_t>", "getTileShape">,
    InterfaceMethod<"Proven address width, if any.", "std::optional<::mlir::moe::tile::Width>", "getWidth">,
    InterfaceMethod<"Sets the address width.", "void", "setAddressWidth", (ins "::mlir::moe::tile::Width":$width)>,
  ];
  let extraClassDeclaration = [{
    /// Position of the `rows` index, or -1.
    int64_t getRowsPosition();
    /// Memory dimension that follows tile dimension `tileDim` (0 = rows, 1 = cols), or -1.
    int64_t getMemoryDim(unsigned tileDim);
    /// Granule of a memory dimension, 1 by default.
    int64_t getGranuleOf(unsigned memoryDim);
  }];
  let verify = [{ return ::mlir::moe::tile::detail::verifyTileAccess($_op); }];
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILEINTERFACES_TD
