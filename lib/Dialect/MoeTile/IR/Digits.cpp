//===- Digits.cpp - Mixed-radix fragment layouts --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using namespace mlir::moe::tile;

static constexpr StringRef levelNames[numLevels] = {"reg", "lane", "warp",
                                                    "group", "cta"};

//===----------------------------------------------------------------------===//
// Assembly
//===----------------------------------------------------------------------===//

/// Parses `n * 4 by 2`: a digit of extent 4 that adds 2 to n.
static ParseResult parseDigit(AsmParser &parser, Level level,
                              SmallVectorImpl<Digit> &digits) {
  StringRef dim;
  SMLoc loc = parser.getCurrentLocation();
  Digit digit{level, Dim::M, 0, 0};
  if (parser.parseKeyword(&dim))
    return failure();
  if (dim != "m" && dim != "n")
    return parser.emitError(loc, "a digit belongs to m or n, got '")
           << dim << "'";
  digit.dim = dim == "m" ? Dim::M : Dim::N;
  if (parser.parseStar() || parser.parseInteger(digit.extent) ||
      parser.parseKeyword("by") || parser.parseInteger(digit.stride))
    return failure();
  digits.push_back(digit);
  return success();
}

Attribute DigitsAttr::parse(AsmParser &parser, Type) {
  SmallVector<Digit> digits;
  auto parseLevel = [&]() -> ParseResult {
    StringRef word;
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseKeyword(&word))
      return failure();
    const auto *it = llvm::find(levelNames, word);
    int index = it - std::begin(levelNames);
    if (index == static_cast<int>(numLevels))
      return parser.emitError(loc, "unknown level '")
             << word << "', expected reg, lane, warp, group or cta";
    return failure(
        parser.parseEqual() ||
        parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() {
          return parseDigit(parser, static_cast<Level>(index), digits);
        }));
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::LessGreater,
                                     parseLevel))
    return {};
  return parser.getChecked<DigitsAttr>(parser.getContext(),
                                       ArrayRef<Digit>(digits));
}

void DigitsAttr::print(AsmPrinter &printer) const {
  printer << "<";
  bool first = true;
  for (unsigned level = 0; level < numLevels; ++level) {
    SmallVector<Digit> own;
    for (const Digit &digit : getDigits())
      if (digit.level == static_cast<Level>(level))
        own.push_back(digit);
    if (own.empty())
      continue;
    printer << (first ? "" : ", ") << levelNames[level] << " = [";
    llvm::interleaveComma(own, printer, [&](const Digit &d) {
      printer << (d.dim == Dim::M ? "m" : "n") << " * " << d.extent << " by "
              << d.stride;
    });
    printer << "]";
    first = false;
  }
  printer << ">";
}

LogicalResult DigitsAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 ArrayRef<Digit> digits) {
  // digits_c1
  Level level = Level::Reg;
  for (const Digit &digit : digits) {
    if (digit.extent < 1 || digit.stride < 0)
      return emitError() << "digits_c1: extent must be positive and stride not "
                         << "negative, got " << digit.extent << " by "
                         << digit.stride;
    if (digit.level < level)
      return emitError() << "digits_c1: levels stand in the order reg, lane, "
                         << "warp, group, cta, got "
                         << levelNames[static_cast<int>(digit.level)]
                         << " behind " << levelNames[static_cast<int>(level)];
    level = digit.level;
  }
  for (Dim dim : {Dim::M, Dim::N}) {
    SmallVector<std::pair<int64_t, int64_t>> own; // stride, extent
    for (const Digit &digit : digits)
      if (digit.dim == dim && digit.stride != 0 && digit.extent != 1)
        own.push_back({digit.stride, digit.extent});
    llvm::sort(own);
    int64_t covered = 1;
    for (auto [stride, extent] : own) {
      if (stride != covered)
        return emitError() << "digits_c1: not a bijection in "
                           << (dim == Dim::M ? "m" : "n") << ": a digit of "
                           << "extent " << extent << " has stride " << stride
                           << ", the smaller ones cover " << covered;
      covered *= extent;
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Functions of a layout
//===----------------------------------------------------------------------===//

int64_t DigitsAttr::getExtent(Dim dim) const {
  int64_t extent = 1;
  for (const Digit &digit : getDigits())
    if (digit.dim == dim && digit.stride != 0)
      extent *= digit.extent;
  return extent;
}

int64_t DigitsAttr::getLevelSize(Level level) const {
  int64_t size = 1;
  for (const Digit &digit : getDigits())
    if (digit.level == level)
      size *= digit.extent;
  return size;
}

std::pair<int64_t, int64_t>
DigitsAttr::map(ArrayRef<int64_t> levelIndices) const {
  int64_t coords[2] = {0, 0};
  int64_t rest[numLevels] = {};
  for (unsigned i = 0; i < numLevels && i < levelIndices.size(); ++i)
    rest[i] = levelIndices[i];
  for (const Digit &digit : getDigits()) {
    int64_t &index = rest[static_cast<unsigned>(digit.level)];
    coords[static_cast<unsigned>(digit.dim)] +=
        (index % digit.extent) * digit.stride;
    index /= digit.extent;
  }
  return {coords[0], coords[1]};
}

DigitsAttr DigitsAttr::slice(Dim dim) const {
  SmallVector<Digit> digits(getDigits());
  for (Digit &digit : digits)
    if (digit.dim == dim)
      digit.stride = 0;
  return get(getContext(), digits);
}

DigitsAttr DigitsAttr::swapped() const {
  SmallVector<Digit> digits(getDigits());
  for (Digit &digit : digits)
    digit.dim = digit.dim == Dim::M ? Dim::N : Dim::M;
  return get(getContext(), digits);
}

DigitsAttr DigitsAttr::repeat(int64_t m, int64_t n) const {
  return distribute(Level::Reg, m, n);
}

DigitsAttr DigitsAttr::distribute(Level level, int64_t m, int64_t n) const {
  SmallVector<Digit> digits(getDigits());
  // New digits stand behind the level's own: they are its most significant.
  auto *position = llvm::find_if(
      digits, [&](const Digit &digit) { return digit.level > level; });
  SmallVector<Digit> added;
  if (m > 1)
    added.push_back({level, Dim::M, m, getExtent(Dim::M)});
  if (n > 1)
    added.push_back({level, Dim::N, n, getExtent(Dim::N)});
  digits.insert(position, added.begin(), added.end());
  return get(getContext(), digits);
}

//===----------------------------------------------------------------------===//
// Atoms
//===----------------------------------------------------------------------===//

DigitsAttr moe::tile::getAtomLayout(AtomAttr atom) {
  StringRef family = atom.getFamily().getValue();
  // The hardware's rows and columns; swap exchanges them at the end.
  int64_t m = atom.getSwap() ? atom.getN() : atom.getM();
  int64_t n = atom.getSwap() ? atom.getM() : atom.getN();
  constexpr Level reg = Level::Reg, lane = Level::Lane, warp = Level::Warp;
  constexpr Dim M = Dim::M, N = Dim::N;
  SmallVector<Digit> digits;
  if (family == "wgmma")
    digits = {{reg, N, 2, 1},  {reg, M, 2, 8},  {reg, N, n / 8, 8},
              {lane, N, 4, 2}, {lane, M, 8, 1}, {warp, M, 4, 16}};
  else if (family == "mma_sync")
    digits = {{reg, N, 2, 1}, {reg, M, 2, 8}, {lane, N, 4, 2}, {lane, M, 8, 1}};
  else if (family == "mfma" && m == 16)
    digits = {{reg, M, 4, 1}, {lane, N, 16, 1}, {lane, M, 4, 4}};
  else if (family == "mfma")
    digits = {
        {reg, M, 4, 1}, {reg, M, 4, 8}, {lane, N, 32, 1}, {lane, M, 2, 4}};
  else if (family == "wmma")
    digits = {{reg, M, 8, 2}, {lane, N, 16, 1}, {lane, M, 2, 1}};
  else if (family == "wmma_gfx12")
    digits = {{reg, M, 8, 1}, {lane, N, 16, 1}, {lane, M, 2, 8}};
  else if (family == "tcgen05")
    digits = {{reg, N, n, 1}, {lane, M, 32, 1}, {warp, M, 4, 32}};
  else
    digits = {{reg, N, n, 1}, {reg, M, m, 1}};
  DigitsAttr layout = DigitsAttr::get(atom.getContext(), digits);
  return atom.getSwap() ? layout.swapped() : layout;
}

//===----------------------------------------------------------------------===//
// Split
//===----------------------------------------------------------------------===//

DigitsAttr moe::tile::splitLayout(DigitsAttr layout, int64_t block) {
  SmallVector<Digit> digits;
  bool found = false;
  for (Digit digit : layout.getDigits()) {
    int64_t reach = digit.stride * digit.extent;
    if (digit.dim != Dim::N || digit.stride == 0 || reach <= block) {
      digits.push_back(digit);
      continue;
    }
    if (digit.stride > block) {
      // Columns beyond the chosen half move together.
      digit.stride /= 2;
      digits.push_back(digit);
      continue;
    }
    // The digit steps over the border: its factor of two goes away.
    int64_t below = block / digit.stride;
    if (digit.level != Level::Reg || block % digit.stride != 0 ||
        digit.extent % (2 * below) != 0)
      return {};
    found = true;
    digit.extent /= 2;
    digits.push_back(digit);
  }
  // Replicated columns (a slice) have nothing to choose from.
  bool replicated = layout.getExtent(Dim::N) == 1;
  return found || replicated ? DigitsAttr::get(layout.getContext(), digits)
                             : DigitsAttr();
}
