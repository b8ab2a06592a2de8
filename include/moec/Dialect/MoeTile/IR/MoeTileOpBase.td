//===- MoeTileOpBase.td - Common classes of tile operations --- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILEOPBASE_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILEOPBASE_TD

include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moec/Dialect/MoeTile/IR/MoeTileAttrs.td"
include "moec/Dialect/MoeTile/IR/MoeTileDialect.td"
include "moec/Dialect/MoeTile/IR/MoeTileInterfaces.td"
include "moec/Dialect/MoeTile/IR/MoeTileTypes.td"

class MoeTile_Op<string opMnemonic, list<Trait> traits = []> : Op<MoeTile_Dialect, opMnemonic, traits>;

/// Legal in kernels of one form only; `moe_tile.kernel` checks it (kernel_c2).
def MoeTile_SequentialOnly : NativeOpTrait<"SequentialOnly"> { let cppNamespace = "::mlir::moe::tile"; }
def MoeTile_ExplicitOnly : NativeOpTrait<"ExplicitOnly"> { let cppNamespace = "::mlir::moe::tile"; }

/// An operation that reads a tile by `TileAccess`; the common clause is
/// `%mem[%i, %j] dims [..] granule [..] boxes [..] on 1 how(..) width(..)`.
class MoeTile_ReadOp<string opMnemonic, list<Trait> traits = []>
    : MoeTile_Op<opMnemonic, traits # [MoeTile_TileAccess]> {
  dag accessArguments = (ins Arg<AnyMemRef, "global memory", [MemRead]>:$memory,
                             Variadic<MoeTile_Coord>:$indices,
                             OptionalAttr<DenseI64ArrayAttr>:$dims,
                             OptionalAttr<DenseI64ArrayAttr>:$granule,
                             OptionalAttr<DenseI64ArrayAttr>:$boxes,
                             DefaultValuedOptionalAttr<I64Attr, "0">:$box_dim,
                             OptionalAttr<MoeTile_HowAttr>:$how,
                             OptionalAttr<MoeTile_PlaceAttr>:$place,
                             OptionalAttr<MoeTile_WidthAttr>:$width);
  string accessFormat = [{
    $memory `` custom<Coords>($indices, type($indices)) (`dims` $dims^)? (`granule` $granule^)?
    (`boxes` $boxes^)? (`on` $box_dim^)? (`how` `(` custom<Word>($how)^ `)`)? (`place` `(` custom<Word>($place)^ `)`)?
    (`width` `(` custom<Word>($width)^ `)`)?
  }];
  code accessDeclaration = [{
    std::pair<int64_t, int64_t> getTileShape();
    void setAddressWidth(::mlir::moe::tile::Width width) { setWidth(width); }
  }];
  let extraClassDeclaration = accessDeclaration;
}

#endif // MOEC_DIALECT_MOETILE_IR_MOETILEOPBASE_TD
