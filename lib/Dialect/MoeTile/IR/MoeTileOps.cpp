//===- MoeTileOps.cpp - Generated code of the tile operations -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// Custom directives of the assembly formats
//===----------------------------------------------------------------------===//

/// An operand, with its type unless that is index: `%i` or `%i : i32`.
static ParseResult parseIndexOperand(OpAsmParser &parser,
                                     OpAsmParser::UnresolvedOperand &operand,
                                     Type &type) {
  if (parser.parseOperand(operand))
    return failure();
  if (succeeded(parser.parseOptionalColon()))
    return parser.parseType(type);
  type = parser.getBuilder().getIndexType();
  return success();
}

static void printIndexOperand(OpAsmPrinter &printer, Operation *, Value operand,
                              Type type) {
  printer << operand;
  if (!type.isIndex())
    printer << " : " << type;
}

static ParseResult parseOptionalIndexOperand(
    OpAsmParser &parser, std::optional<OpAsmParser::UnresolvedOperand> &operand,
    Type &type) {
  operand.emplace();
  return parseIndexOperand(parser, *operand, type);
}

static void printOptionalIndexOperand(OpAsmPrinter &printer, Operation *op,
                                      Value operand, Type type) {
  if (operand)
    printIndexOperand(printer, op, operand, type);
}

/// Coordinates: `[%idx : !moe_tile.rows<128>, %k]`.
static ParseResult
parseCoords(OpAsmParser &parser,
            SmallVectorImpl<OpAsmParser::UnresolvedOperand> &operands,
            SmallVectorImpl<Type> &types) {
  return parser.parseCommaSeparatedList(
      OpAsmParser::Delimiter::Square, [&]() -> ParseResult {
        return parseIndexOperand(parser, operands.emplace_back(),
                                 types.emplace_back());
      });
}

static void printCoords(OpAsmPrinter &printer, Operation *op,
                        OperandRange operands, TypeRange types) {
  printer << "[";
  llvm::interleaveComma(llvm::zip(operands, types), printer, [&](auto pair) {
    printIndexOperand(printer, op, std::get<0>(pair), std::get<1>(pair));
  });
  printer << "]";
}

/// Three types, written once if all are equal: `!F` or `!P, !M -> !R`.
static ParseResult parseTypesIfDifferent(OpAsmParser &parser, Type &a, Type &b,
                                         Type &c) {
  if (parser.parseType(a))
    return failure();
  b = c = a;
  if (failed(parser.parseOptionalComma()))
    return success();
  return failure(parser.parseType(b) || parser.parseArrow() ||
                 parser.parseType(c));
}

static void printTypesIfDifferent(OpAsmPrinter &printer, Operation *, Type a,
                                  Type b, Type c) {
  printer << a;
  if (a != b || a != c)
    printer << ", " << b << " -> " << c;
}

/// An enumeration attribute as a bare word.
template <typename AttrT>
static ParseResult parseWord(OpAsmParser &parser, AttrT &attr) {
  using EnumT = decltype(std::declval<AttrT>().getValue());
  StringRef word;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseKeyword(&word))
    return failure();
  std::optional<EnumT> value = symbolizeEnum<EnumT>(word);
  if (!value)
    return parser.emitError(loc, "'")
           << word << "' is no " << AttrT::getMnemonic();
  attr = AttrT::get(parser.getContext(), *value);
  return success();
}

template <typename AttrT>
static void printWord(OpAsmPrinter &printer, Operation *, AttrT attr) {
  printer << stringifyEnum(attr.getValue());
}

#define GET_OP_CLASSES
#include "moec/Dialect/MoeTile/IR/MoeTileOps.cpp.inc"
