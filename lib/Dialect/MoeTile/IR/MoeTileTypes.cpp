//===- MoeTileTypes.cpp - Types of the tile program -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe::tile;

using EmitError = function_ref<InFlightDiagnostic()>;

//===----------------------------------------------------------------------===//
// Common parts
//===----------------------------------------------------------------------===//

bool moe::tile::isTileType(Type type) {
  return isa<BufType, AccType, FragType, StagedType>(type);
}

std::pair<int64_t, int64_t> moe::tile::getTileShape(Type type) {
  return TypeSwitch<Type, std::pair<int64_t, int64_t>>(type)
      .Case<BufType, AccType, FragType, StagedType>(
          [](auto t) { return std::make_pair(t.getRows(), t.getCols()); })
      .Default([](Type) { return std::make_pair<int64_t, int64_t>(0, 0); });
}

Type moe::tile::getTileElementType(Type type) {
  return TypeSwitch<Type, Type>(type)
      .Case<BufType, AccType, FragType, StagedType>(
          [](auto t) { return t.getElementType(); })
      .Default([](Type) { return Type(); });
}

/// Parses `128x64xbf16`.
static ParseResult parseTile(AsmParser &parser, int64_t &rows, int64_t &cols,
                             Type &element) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<int64_t> shape;
  if (parser.parseDimensionList(shape, /*allowDynamic=*/false,
                                /*withTrailingX=*/true) ||
      parser.parseType(element))
    return failure();
  if (shape.size() != 2)
    return parser.emitError(loc, "a tile has rows and columns, got ")
           << shape.size() << " extents";
  rows = shape[0];
  cols = shape[1];
  return success();
}

static void printTile(AsmPrinter &printer, int64_t rows, int64_t cols,
                      Type element) {
  printer << rows << "x" << cols << "x" << element;
}

static LogicalResult verifyTile(EmitError emitError, StringRef label,
                                int64_t rows, int64_t cols, Type element) {
  if (rows <= 0 || cols <= 0)
    return emitError() << label << ": extents must be positive, got " << rows
                       << "x" << cols;
  if (!element.isIntOrFloat())
    return emitError() << label << ": element type must be integer or float, "
                       << "got " << element;
  return success();
}

//===----------------------------------------------------------------------===//
// buf
//===----------------------------------------------------------------------===//

Type BufType::parse(AsmParser &parser) {
  int64_t rows, cols, swizzle = 0, pad = 0;
  Type element;
  if (parser.parseLess() || parseTile(parser, rows, cols, element))
    return {};
  while (succeeded(parser.parseOptionalComma())) {
    StringRef word;
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseKeyword(&word) || parser.parseEqual())
      return {};
    int64_t &value = word == "swizzle" ? swizzle : pad;
    if (word != "swizzle" && word != "pad") {
      parser.emitError(loc, "expected 'swizzle' or 'pad'");
      return {};
    }
    if (parser.parseInteger(value))
      return {};
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<BufType>(parser.getContext(), rows, cols, element,
                                    swizzle, pad);
}

void BufType::print(AsmPrinter &printer) const {
  printer << "<";
  printTile(printer, getRows(), getCols(), getElementType());
  if (getSwizzle())
    printer << ", swizzle = " << getSwizzle();
  if (getPad())
    printer << ", pad = " << getPad();
  printer << ">";
}

LogicalResult BufType::verify(EmitError emitError, int64_t rows, int64_t cols,
                              Type element, int64_t swizzle, int64_t pad) {
  if (failed(verifyTile(emitError, "buf_c1", rows, cols, element)))
    return failure();
  // buf_c1
  if (element.getIntOrFloatBitWidth() % 8 != 0)
    return emitError() << "buf_c1: element type must have whole bytes, got "
                       << element;
  // buf_c2
  if (swizzle != 0 && swizzle != 32 && swizzle != 64 && swizzle != 128)
    return emitError() << "buf_c2: swizzle must be 32, 64 or 128 bytes, got "
                       << swizzle;
  if (pad < 0 || (pad != 0 && swizzle != 0))
    return emitError() << "buf_c2: pad must be positive and without swizzle, "
                       << "got pad " << pad << " and swizzle " << swizzle;
  return success();
}

int64_t BufType::getSizeInBytes() const {
  int64_t row = getCols() * (getElementType().getIntOrFloatBitWidth() / 8);
  return getRows() * (row + getPad());
}

//===----------------------------------------------------------------------===//
// acc, frag, staged
//===----------------------------------------------------------------------===//

Type AccType::parse(AsmParser &parser) {
  int64_t rows, cols;
  Type element;
  AtomAttr atom;
  if (parser.parseLess() || parseTile(parser, rows, cols, element))
    return {};
  if (succeeded(parser.parseOptionalComma()) && parser.parseAttribute(atom))
    return {};
  if (parser.parseGreater())
    return {};
  return parser.getChecked<AccType>(parser.getContext(), rows, cols, element,
                                    atom);
}

void AccType::print(AsmPrinter &printer) const {
  printer << "<";
  printTile(printer, getRows(), getCols(), getElementType());
  if (getAtom())
    printer << ", " << getAtom();
  printer << ">";
}

LogicalResult AccType::verify(EmitError emitError, int64_t rows, int64_t cols,
                              Type element, AtomAttr) {
  if (failed(verifyTile(emitError, "acc_c1", rows, cols, element)))
    return failure();
  // acc_c1
  if (!element.isF32() && !element.isF64() && !element.isInteger(32))
    return emitError() << "acc_c1: accumulators are f32, f64 or i32, got "
                       << element;
  return success();
}

Type FragType::parse(AsmParser &parser) {
  int64_t rows, cols;
  Type element;
  DigitsAttr layout;
  if (parser.parseLess() || parseTile(parser, rows, cols, element))
    return {};
  if (succeeded(parser.parseOptionalComma()) && parser.parseAttribute(layout))
    return {};
  if (parser.parseGreater())
    return {};
  return parser.getChecked<FragType>(parser.getContext(), rows, cols, element,
                                     layout);
}

void FragType::print(AsmPrinter &printer) const {
  printer << "<";
  printTile(printer, getRows(), getCols(), getElementType());
  if (getLayout())
    printer << ", " << getLayout();
  printer << ">";
}

LogicalResult FragType::verify(EmitError emitError, int64_t rows, int64_t cols,
                               Type element, DigitsAttr layout) {
  if (failed(verifyTile(emitError, "frag_c1", rows, cols, element)))
    return failure();
  if (!layout)
    return success();
  // frag_c1
  int64_t m = layout.getExtent(Dim::M), n = layout.getExtent(Dim::N);
  if (m != rows || n != cols)
    return emitError() << "frag_c1: the layout covers " << m << "x" << n
                       << ", the fragment has " << rows << "x" << cols;
  return success();
}

Type StagedType::parse(AsmParser &parser) {
  int64_t rows, cols;
  Type element;
  if (parser.parseLess() || parseTile(parser, rows, cols, element) ||
      parser.parseGreater())
    return {};
  return parser.getChecked<StagedType>(parser.getContext(), rows, cols,
                                       element);
}

void StagedType::print(AsmPrinter &printer) const {
  printer << "<";
  printTile(printer, getRows(), getCols(), getElementType());
  printer << ">";
}

LogicalResult StagedType::verify(EmitError emitError, int64_t rows,
                                 int64_t cols, Type element) {
  // staged_c1
  return verifyTile(emitError, "staged_c1", rows, cols, element);
}

//===----------------------------------------------------------------------===//
// ring
//===----------------------------------------------------------------------===//

Type RingType::parse(AsmParser &parser) {
  int64_t slots;
  SmallVector<StringAttr> names;
  SmallVector<Type> buffers;
  auto parseMember = [&]() -> ParseResult {
    StringRef name;
    Type type;
    if (parser.parseKeyword(&name) || parser.parseColon() ||
        parser.parseType(type))
      return failure();
    names.push_back(StringAttr::get(parser.getContext(), name));
    buffers.push_back(type);
    return success();
  };
  StringRef word;
  if (parser.parseLess() || parser.parseInteger(slots) ||
      parser.parseKeyword("x") ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Paren,
                                     parseMember) ||
      parser.parseComma() || parser.parseKeyword("sync") || parser.parseEqual())
    return {};
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseKeyword(&word) || parser.parseGreater())
    return {};
  std::optional<Sync> sync = symbolizeSync(word);
  if (!sync) {
    parser.emitError(loc, "sync must be tx, group, lockstep or none, got '")
        << word << "'";
    return {};
  }
  return parser.getChecked<RingType>(parser.getContext(), slots,
                                     ArrayRef<StringAttr>(names),
                                     ArrayRef<Type>(buffers), *sync);
}

void RingType::print(AsmPrinter &printer) const {
  printer << "<" << getSlots() << " x (";
  llvm::interleaveComma(llvm::zip(getNames(), getBuffers()), printer,
                        [&](auto member) {
                          printer << std::get<0>(member).getValue() << ": "
                                  << std::get<1>(member);
                        });
  printer << "), sync = " << stringifySync(getSync()) << ">";
}

LogicalResult RingType::verify(EmitError emitError, int64_t slots,
                               ArrayRef<StringAttr> names,
                               ArrayRef<Type> buffers, Sync) {
  // ring_c1
  if (slots < 1 || buffers.empty())
    return emitError() << "ring_c1: a ring has at least one slot and one "
                       << "buffer, got " << slots << " slots and "
                       << buffers.size() << " buffers";
  llvm::SmallDenseSet<StringAttr> seen;
  for (auto [name, type] : llvm::zip(names, buffers)) {
    if (!isa<BufType>(type))
      return emitError() << "ring_c1: '" << name.getValue()
                         << "' must be a buf, got " << type;
    if (!seen.insert(name).second)
      return emitError() << "ring_c1: two buffers named '" << name.getValue()
                         << "'";
  }
  return success();
}

int64_t RingType::getSizeInBytes() const {
  int64_t bytes = 0;
  for (Type type : getBuffers())
    bytes += cast<BufType>(type).getSizeInBytes();
  return bytes * getSlots();
}
