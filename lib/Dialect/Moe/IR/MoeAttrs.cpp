//===- MoeAttrs.cpp - Attributes of the moe dialect -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/Moe/IR/MoeDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

#define GET_ATTRDEF_CLASSES
#include "moec/Dialect/Moe/IR/MoeAttrs.cpp.inc"

void MoeDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "moec/Dialect/Moe/IR/MoeAttrs.cpp.inc"
      >();
}

/// Parses a keyword of an enumeration; the message lists the legal words.
template <typename Enum>
static FailureOr<Enum>
parseEnumWord(AsmParser &parser, StringRef what,
              std::optional<Enum> (*symbolize)(StringRef), StringRef words) {
  StringRef word;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseKeyword(&word))
    return failure();
  if (std::optional<Enum> value = symbolize(word))
    return *value;
  parser.emitError(loc) << "unknown " << what << " '" << word << "', expected "
                        << words;
  return failure();
}

//===----------------------------------------------------------------------===//
// Quant
//===----------------------------------------------------------------------===//

double moe::getMaxFinite(Type type) {
  if (isa<Float8E4M3FNType>(type))
    return 448.0;
  if (isa<Float8E5M2Type, Float8E5M2FNUZType>(type))
    return 57344.0;
  if (isa<Float8E4M3FNUZType>(type))
    return 240.0;
  if (isa<Float4E2M1FNType>(type))
    return 6.0;
  if (type.isInteger(8))
    return 127.0;
  return 0.0;
}

int64_t QuantAttr::getColsPerStored() const {
  switch (getPacking()) {
  case Packing::Plain:
    return 1;
  case Packing::LowEven:
  case Packing::Mx:
    return 2;
  case Packing::Exllama:
    return 8;
  }
  llvm_unreachable("covered switch");
}

Type QuantAttr::getStorageType() const {
  switch (getPacking()) {
  case Packing::Plain:
    return getElem();
  case Packing::LowEven:
  case Packing::Mx:
    return IntegerType::get(getContext(), 8);
  case Packing::Exllama:
    return IntegerType::get(getContext(), 32);
  }
  llvm_unreachable("covered switch");
}

static int64_t countGranules(int64_t extent, int64_t granule) {
  if (granule == QuantAttr::kWhole)
    return 1;
  if (ShapedType::isDynamic(extent))
    return granule == 1 ? extent : ShapedType::kDynamic;
  return llvm::divideCeil(extent, granule);
}

int64_t QuantAttr::getScaleRows(int64_t extent) const {
  return countGranules(extent, getGranuleRows());
}

int64_t QuantAttr::getScaleCols(int64_t extent) const {
  return countGranules(extent, getGranuleCols());
}

static ParseResult parseGranule(AsmParser &parser, int64_t &value) {
  if (succeeded(parser.parseOptionalStar())) {
    value = QuantAttr::kWhole;
    return success();
  }
  return parser.parseInteger(value);
}

static void printGranule(AsmPrinter &printer, int64_t value) {
  if (value == QuantAttr::kWhole)
    printer << '*';
  else
    printer << value;
}

Attribute QuantAttr::parse(AsmParser &parser, Type) {
  Type elem, scale;
  int64_t rows = 0, cols = 0, zeroValue = 0;
  ZeroPoint zero = ZeroPoint::None;
  Packing packing = Packing::Plain;
  ScaleLayout layout = ScaleLayout::RowMajor;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseType(elem) || parser.parseComma() ||
      parser.parseKeyword("granule") || parser.parseEqual() ||
      parser.parseLSquare() || parseGranule(parser, rows) ||
      parser.parseComma() || parseGranule(parser, cols) ||
      parser.parseRSquare() || parser.parseComma() ||
      parser.parseKeyword("scale") || parser.parseEqual() ||
      parser.parseType(scale))
    return {};
  while (succeeded(parser.parseOptionalComma())) {
    StringRef key;
    SMLoc keyLoc = parser.getCurrentLocation();
    if (parser.parseKeyword(&key) || parser.parseEqual())
      return {};
    if (key == "zero") {
      OptionalParseResult number = parser.parseOptionalInteger(zeroValue);
      if (number.has_value()) {
        if (failed(*number))
          return {};
        zero = ZeroPoint::Constant;
        continue;
      }
      auto word =
          parseEnumWord<ZeroPoint>(parser, "zero point", symbolizeZeroPoint,
                                   "none, operand, or an integer");
      if (failed(word))
        return {};
      zero = *word;
    } else if (key == "packing") {
      auto word = parseEnumWord<Packing>(parser, "packing", symbolizePacking,
                                         "plain, low_even, exllama or mx");
      if (failed(word))
        return {};
      packing = *word;
    } else if (key == "layout") {
      auto word = parseEnumWord<ScaleLayout>(
          parser, "layout", symbolizeScaleLayout, "row_major or group_major");
      if (failed(word))
        return {};
      layout = *word;
    } else {
      parser.emitError(keyLoc)
          << "unknown field '" << key << "', expected zero, packing or layout";
      return {};
    }
  }
  if (parser.parseGreater())
    return {};
  return QuantAttr::getChecked([&] { return parser.emitError(loc); },
                               parser.getContext(), elem, rows, cols, scale,
                               zero, zeroValue, packing, layout);
}

void QuantAttr::print(AsmPrinter &printer) const {
  printer << '<' << getElem() << ", granule = [";
  printGranule(printer, getGranuleRows());
  printer << ", ";
  printGranule(printer, getGranuleCols());
  printer << "], scale = " << getScale();
  if (getZero() == ZeroPoint::Constant)
    printer << ", zero = " << getZeroValue();
  else if (getZero() == ZeroPoint::Operand)
    printer << ", zero = operand";
  if (getPacking() != Packing::Plain)
    printer << ", packing = " << stringifyPacking(getPacking());
  if (getLayout() != ScaleLayout::RowMajor)
    printer << ", layout = " << stringifyScaleLayout(getLayout());
  printer << '>';
}

LogicalResult QuantAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                Type elem, int64_t rows, int64_t cols,
                                Type scale, ZeroPoint zero, int64_t zeroValue,
                                Packing packing, ScaleLayout layout) {
  auto badGranule = [](int64_t g) { return g != kWhole && g < 1; };
  if (badGranule(rows) || badGranule(cols))
    return emitError() << "granule extents must be positive or *, got [" << rows
                       << ", " << cols << "]";
  bool isInt4 = elem.isInteger(4), isFp4 = isa<Float4E2M1FNType>(elem);
  bool isFp8 = isa<Float8E4M3FNType, Float8E5M2Type, Float8E4M3FNUZType,
                   Float8E5M2FNUZType>(elem);
  if (!isInt4 && !isFp4 && !isFp8 && !elem.isInteger(8))
    return emitError() << "element type must be i4, i8, f4E2M1FN or an 8-bit "
                          "float, got "
                       << elem;
  if (!isa<Float32Type, BFloat16Type, Float16Type, Float8E8M0FNUType,
           Float8E4M3FNType>(scale))
    return emitError() << "scale type must be f32, bf16, f16, f8E8M0FNU or "
                          "f8E4M3FN, got "
                       << scale;
  if (packing == Packing::Mx && !isFp4)
    return emitError() << "packing mx holds f4E2M1FN, got " << elem;
  if ((packing == Packing::LowEven || packing == Packing::Exllama) && !isInt4)
    return emitError() << "packing " << stringifyPacking(packing)
                       << " holds i4, got " << elem;
  if (packing == Packing::Plain && (isInt4 || isFp4))
    return emitError() << "4-bit element type " << elem
                       << " needs a packing (low_even, exllama or mx)";
  if (zero != ZeroPoint::None && !isInt4 && !elem.isInteger(8))
    return emitError() << "zero points need an integer element type, got "
                       << elem;
  if (zero == ZeroPoint::Constant &&
      (zeroValue < 0 || zeroValue > (isInt4 ? 15 : 255)))
    return emitError() << "zero point " << zeroValue << " is outside [0, "
                       << (isInt4 ? 15 : 255) << "]";
  int64_t unit = packing == Packing::Exllama ? 8
                 : packing == Packing::Plain ? 1
                                             : 2;
  if (cols != kWhole && cols % unit != 0)
    return emitError() << "granule of " << cols
                       << " columns is not a multiple of the " << unit
                       << " columns of one stored element";
  return success();
}

//===----------------------------------------------------------------------===//
// GateUp
//===----------------------------------------------------------------------===//

int64_t GateUpAttr::getGateRow(int64_t i, int64_t size) const {
  int64_t gateAt = getUpFirst() ? 1 : 0;
  switch (getKind()) {
  case GateUpKind::Halves:
    return gateAt * size + i;
  case GateUpKind::Interleaved:
    return 2 * i + gateAt;
  case GateUpKind::Blocks:
    return (i / getBlock() * 2 + gateAt) * getBlock() + i % getBlock();
  }
  llvm_unreachable("covered switch");
}

int64_t GateUpAttr::getUpRow(int64_t i, int64_t size) const {
  return GateUpAttr::get(getContext(), getKind(), getBlock(), !getUpFirst())
      .getGateRow(i, size);
}

Attribute GateUpAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  int64_t block = 0;
  bool upFirst = false;
  if (parser.parseLess())
    return {};
  auto kind =
      parseEnumWord<GateUpKind>(parser, "arrangement", symbolizeGateUpKind,
                                "halves, interleaved or blocks N");
  if (failed(kind) ||
      (*kind == GateUpKind::Blocks && parser.parseInteger(block)))
    return {};
  if (succeeded(parser.parseOptionalComma())) {
    if (parser.parseKeyword("up_first"))
      return {};
    upFirst = true;
  }
  if (parser.parseGreater())
    return {};
  return GateUpAttr::getChecked([&] { return parser.emitError(loc); },
                                parser.getContext(), *kind, block, upFirst);
}

void GateUpAttr::print(AsmPrinter &printer) const {
  printer << '<' << stringifyGateUpKind(getKind());
  if (getKind() == GateUpKind::Blocks)
    printer << ' ' << getBlock();
  if (getUpFirst())
    printer << ", up_first";
  printer << '>';
}

LogicalResult GateUpAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 GateUpKind kind, int64_t block, bool) {
  if (kind == GateUpKind::Blocks && block < 1)
    return emitError() << "blocks needs a positive size, got " << block;
  return success();
}

//===----------------------------------------------------------------------===//
// Activation
//===----------------------------------------------------------------------===//

Attribute ActivationAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess())
    return {};
  auto kind = parseEnumWord<ActivationKind>(
      parser, "activation", symbolizeActivationKind,
      "identity, silu, gelu, gelu_tanh, relu, relu2, swiglu, geglu, "
      "geglu_tanh, reglu or swiglu_oai");
  if (failed(kind))
    return {};
  ActivationAttr defaults = ActivationAttr::get(parser.getContext(), *kind);
  double alpha = defaults.getAlpha(), limit = defaults.getLimit();
  while (succeeded(parser.parseOptionalComma())) {
    StringRef key;
    SMLoc keyLoc = parser.getCurrentLocation();
    if (parser.parseKeyword(&key) || parser.parseEqual())
      return {};
    if (key != "alpha" && key != "limit") {
      parser.emitError(keyLoc)
          << "unknown field '" << key << "', expected alpha or limit";
      return {};
    }
    if (parser.parseFloat(key == "alpha" ? alpha : limit))
      return {};
  }
  if (parser.parseGreater())
    return {};
  return ActivationAttr::getChecked([&] { return parser.emitError(loc); },
                                    parser.getContext(), *kind, APFloat(alpha),
                                    APFloat(limit));
}

void ActivationAttr::print(AsmPrinter &printer) const {
  ActivationAttr defaults = ActivationAttr::get(getContext(), getKind());
  printer << '<' << stringifyActivationKind(getKind());
  auto field = [&](StringRef name, double value, double standard) {
    if (value != standard)
      printer << ", " << name << " = " << APFloat(value);
  };
  field("alpha", getAlpha(), defaults.getAlpha());
  field("limit", getLimit(), defaults.getLimit());
  printer << '>';
}

LogicalResult
ActivationAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                       ActivationKind kind, APFloat alphaValue,
                       APFloat limitValue) {
  double alpha = alphaValue.convertToDouble();
  double limit = limitValue.convertToDouble();
  if (!(limit >= 0) || !std::isfinite(limit) || !std::isfinite(alpha))
    return emitError() << "activation needs a finite alpha and limit >= 0, got "
                       << std::to_string(alpha) << " and "
                       << std::to_string(limit);
  if (alpha != 1.0 && kind != ActivationKind::SwigluOai)
    return emitError() << "alpha belongs to swiglu_oai, activation "
                       << stringifyActivationKind(kind) << " got alpha "
                       << std::to_string(alpha);
  if (limit != 0 && kind < ActivationKind::Swiglu)
    return emitError() << "limit clamps gate and up; activation "
                       << stringifyActivationKind(kind) << " has no gate";
  return success();
}

//===----------------------------------------------------------------------===//
// ScalePlan
//===----------------------------------------------------------------------===//

Attribute ScalePlanAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  ScalePlace place[2] = {ScalePlace::None, ScalePlace::None};
  int64_t run[2] = {0, 0};
  ZeroPlace zero = ZeroPlace::None;
  if (parser.parseLess())
    return {};
  for (int i = 0; i < 2; ++i) {
    if ((i && parser.parseComma()) || parser.parseKeyword(i ? "b" : "a") ||
        parser.parseEqual())
      return {};
    auto word =
        parseEnumWord<ScalePlace>(parser, "place", symbolizeScalePlace,
                                  "none, epilogue, promote N or operand");
    if (failed(word) ||
        (*word == ScalePlace::Promote && parser.parseInteger(run[i])))
      return {};
    place[i] = *word;
  }
  if (succeeded(parser.parseOptionalComma())) {
    if (parser.parseKeyword("zero") || parser.parseEqual())
      return {};
    auto word = parseEnumWord<ZeroPlace>(
        parser, "zero place", symbolizeZeroPlace, "none, element or row_sum");
    if (failed(word))
      return {};
    zero = *word;
  }
  if (parser.parseGreater())
    return {};
  return ScalePlanAttr::getChecked([&] { return parser.emitError(loc); },
                                   parser.getContext(), place[0], run[0],
                                   place[1], run[1], zero);
}

void ScalePlanAttr::print(AsmPrinter &printer) const {
  auto side = [&](StringRef name, ScalePlace place, int64_t run) {
    printer << name << " = " << stringifyScalePlace(place);
    if (place == ScalePlace::Promote)
      printer << ' ' << run;
  };
  printer << '<';
  side("a", getA(), getARun());
  printer << ", ";
  side("b", getB(), getBRun());
  if (getZero() != ZeroPlace::None)
    printer << ", zero = " << stringifyZeroPlace(getZero());
  printer << '>';
}

LogicalResult
ScalePlanAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                      ScalePlace a, int64_t aRun, ScalePlace b, int64_t bRun,
                      ZeroPlace) {
  if ((a == ScalePlace::Promote && aRun < 1) ||
      (b == ScalePlace::Promote && bRun < 1))
    return emitError() << "promote needs a positive run of columns, got a "
                       << aRun << " and b " << bRun;
  if (a == ScalePlace::Promote && b == ScalePlace::Promote &&
      std::max(aRun, bRun) % std::min(aRun, bRun) != 0)
    return emitError() << "promotion runs must divide each other, got a "
                       << aRun << " and b " << bRun;
  return success();
}
