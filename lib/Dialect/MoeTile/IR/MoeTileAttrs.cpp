//===- MoeTileAttrs.cpp - Attributes of the tile program ------------------===//
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

using EmitError = function_ref<InFlightDiagnostic()>;

//===----------------------------------------------------------------------===//
// atom
//===----------------------------------------------------------------------===//

namespace {
/// Shapes of one instruction family; 0 as n means any multiple of 8 up to 256.
/// k is what one instruction covers for 2-, 1- and 4-byte elements.
struct AtomRow {
  StringRef family;
  int64_t m, n, k;
};
} // namespace

static constexpr int64_t anyN = 0;
static const AtomRow atomTable[] = {
    {"wgmma", 64, anyN, 16},    {"wgmma", 64, anyN, 32},
    {"wgmma", 64, anyN, 8},     {"mma_sync", 16, 8, 8},
    {"mma_sync", 16, 8, 16},    {"mma_sync", 16, 8, 32},
    {"mfma", 16, 16, 4},        {"mfma", 16, 16, 16},
    {"mfma", 16, 16, 32},       {"mfma", 16, 16, 64},
    {"mfma", 16, 16, 128},      {"mfma", 32, 32, 2},
    {"mfma", 32, 32, 8},        {"mfma", 32, 32, 16},
    {"mfma", 32, 32, 64},       {"wmma", 16, 16, 16},
    {"wmma_gfx12", 16, 16, 16}, {"tcgen05", 128, anyN, 8},
    {"tcgen05", 128, anyN, 16}, {"tcgen05", 128, anyN, 32}};

Attribute AtomAttr::parse(AsmParser &parser, Type) {
  StringRef family;
  SmallVector<int64_t> shape;
  bool swap = false;
  if (parser.parseLess() || parser.parseKeyword(&family))
    return {};
  // The text of the keyword may not outlive the next token.
  StringAttr name = StringAttr::get(parser.getContext(), family);
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseDimensionList(shape, /*allowDynamic=*/false,
                                /*withTrailingX=*/false))
    return {};
  if (shape.size() != 3) {
    parser.emitError(loc, "an atom is m x n x k, got ")
        << shape.size() << " extents";
    return {};
  }
  if (succeeded(parser.parseOptionalComma())) {
    if (parser.parseKeyword("swap"))
      return {};
    swap = true;
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<AtomAttr>(parser.getContext(), name, shape[0],
                                     shape[1], shape[2], swap);
}

void AtomAttr::print(AsmPrinter &printer) const {
  printer << "<" << getFamily().getValue() << " " << getM() << "x" << getN()
          << "x" << getK();
  if (getSwap())
    printer << ", swap";
  printer << ">";
}

LogicalResult AtomAttr::verify(EmitError emitError, StringAttr family,
                               int64_t m, int64_t n, int64_t k, bool swap) {
  // atom_c1
  // The table is in hardware order; logical m and n are exchanged by swap.
  int64_t hwM = swap ? n : m, hwN = swap ? m : n;
  bool known = family.getValue() == "cpu";
  for (const AtomRow &row : atomTable) {
    if (row.family != family.getValue() || row.m != hwM || row.k != k)
      continue;
    known |=
        row.n == anyN ? hwN >= 8 && hwN <= 256 && hwN % 8 == 0 : row.n == hwN;
  }
  if (known)
    return success();
  return emitError() << "atom_c1: no instruction " << family.getValue() << " "
                     << hwM << "x" << hwN << "x" << k
                     << " (hardware m x n x k)";
}

bool moe::tile::familyTakesRegisters(StringRef family, unsigned side,
                                     bool swap) {
  if (family == "tcgen05")
    return false;
  // Only the hardware's first operand of wgmma may be registers.
  if (family == "wgmma")
    return side == (swap ? 1u : 0u);
  return true;
}

//===----------------------------------------------------------------------===//
// exec
//===----------------------------------------------------------------------===//

Attribute ExecAttr::parse(AsmParser &parser, Type) {
  int64_t threads, cluster = 1;
  Grid grid = Grid::Persistent;
  bool resident = false;
  if (parser.parseLess() || parser.parseKeyword("threads") ||
      parser.parseEqual() || parser.parseInteger(threads))
    return {};
  while (succeeded(parser.parseOptionalComma())) {
    StringRef word;
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseKeyword(&word))
      return {};
    if (word == "resident") {
      resident = true;
      continue;
    }
    if (word == "cluster") {
      if (parser.parseEqual() || parser.parseInteger(cluster))
        return {};
      continue;
    }
    if (word == "grid") {
      StringRef kind;
      if (parser.parseEqual() || parser.parseKeyword(&kind))
        return {};
      std::optional<Grid> parsed = symbolizeGrid(kind);
      if (!parsed) {
        parser.emitError(loc, "grid must be persistent or tiles");
        return {};
      }
      grid = *parsed;
      continue;
    }
    parser.emitError(loc, "expected cluster, grid or resident");
    return {};
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<ExecAttr>(parser.getContext(), threads, cluster,
                                     grid, resident);
}

void ExecAttr::print(AsmPrinter &printer) const {
  printer << "<threads = " << getThreads() << ", cluster = " << getCluster()
          << ", grid = " << stringifyGrid(getGrid());
  if (getResident())
    printer << ", resident";
  printer << ">";
}

LogicalResult ExecAttr::verify(EmitError emitError, int64_t threads,
                               int64_t cluster, Grid, bool) {
  // exec_c1
  if (threads < 1 || threads > 1024)
    return emitError() << "exec_c1: threads must be in 1..1024, got "
                       << threads;
  if (cluster < 1 || cluster > 16)
    return emitError() << "exec_c1: cluster must be in 1..16, got " << cluster;
  return success();
}
