//===- InterpretPass.cpp - moe-tile-interpret -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scalars.h"
#include "moec/Dialect/MoeTile/Transforms/Passes.h"
#include "moec/Reference/TileInterpreter.h"

#include "mlir/Interfaces/FunctionInterfaces.h"
#include <cmath>
#include <random>

namespace mlir::moe::tile {
#define GEN_PASS_DEF_MOETILEINTERPRET
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"
} // namespace mlir::moe::tile

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

static constexpr StringLiteral testAttrName = "moe_tile.test";

//===----------------------------------------------------------------------===//
// Data
//===----------------------------------------------------------------------===//

/// One number of a normal distribution; the library's differs by platform.
static double drawNormal(std::mt19937_64 &random) {
  auto uniform = [&]() { return (random() >> 11) * 0x1.0p-53; };
  double radius = std::sqrt(-2 * std::log(uniform() + 0x1.0p-54));
  return radius * std::cos(6.283185307179586 * uniform());
}

/// Fills a buffer by `init`; fails for an unknown word.
static LogicalResult fill(HostBuffer &buffer, const ScalarType &type,
                          StringRef init, double scale,
                          std::mt19937_64 &random) {
  int64_t count = 0;
  for (HostScalar &cell : buffer.data) {
    if (init == "undefined")
      cell = HostScalar::ofUndefined();
    else if (init == "zero" || init == "iota")
      cell = type.isFloat ? HostScalar::ofFloat(init == "iota" ? count++ : 0)
                          : HostScalar::ofInt(init == "iota" ? count++ : 0);
    else if (init == "normal" && type.isFloat)
      cell =
          HostScalar::ofFloat(roundTo(type, scale * drawNormal(random), false));
    else if (init == "bits" && !type.isFloat)
      cell = HostScalar::ofInt(wrapTo(type, static_cast<int64_t>(random())));
    else
      return failure();
  }
  return success();
}

/// More elements than this are a mistake of the test.
static constexpr int64_t maxElements = int64_t(1) << 28;

/// Copies the elements of a dense attribute.
static LogicalResult fill(HostBuffer &buffer, DenseElementsAttr values) {
  buffer.data.clear();
  if (isa<FloatType>(values.getElementType())) {
    for (const APFloat &value : values.getValues<APFloat>()) {
      APFloat wide = value;
      bool exact;
      wide.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &exact);
      buffer.data.push_back(HostScalar::ofFloat(wide.convertToDouble()));
    }
    return success();
  }
  if (!isa<IntegerType>(values.getElementType()))
    return failure();
  for (const APInt &value : values.getValues<APInt>())
    buffer.data.push_back(HostScalar::ofInt(value.getSExtValue()));
  return success();
}

/// The description of an argument in one case.
static DictionaryAttr describe(FunctionOpInterface function, unsigned index,
                               unsigned testCase) {
  Attribute attr = function.getArgAttr(index, testAttrName);
  if (auto cases = dyn_cast_or_null<ArrayAttr>(attr)) {
    if (cases.empty())
      return {};
    attr = cases[std::min<size_t>(testCase, cases.size() - 1)];
  }
  return dyn_cast_or_null<DictionaryAttr>(attr);
}

static FailureOr<TileArgument> makeArgument(FunctionOpInterface function,
                                            unsigned index, unsigned testCase,
                                            std::mt19937_64 &random) {
  Type type = function.getArgumentTypes()[index];
  DictionaryAttr test = describe(function, index, testCase);
  auto error = [&]() {
    return function->emitError("argument ") << index << ": ";
  };
  if (!test)
    return error() << "needs a dictionary " << testAttrName;
  TileArgument argument;
  if (!isa<MemRefType, TilesType>(type)) {
    if (auto value = test.getAs<IntegerAttr>("value"))
      argument.scalar = HostScalar::ofInt(value.getInt());
    else if (auto value = test.getAs<FloatAttr>("value"))
      argument.scalar = HostScalar::ofFloat(value.getValueAsDouble());
    else
      return error() << "needs a value";
    return argument;
  }
  argument.buffer = std::make_shared<HostBuffer>();
  HostBuffer &buffer = *argument.buffer;
  if (auto memory = dyn_cast<MemRefType>(type)) {
    buffer.element = memory.getElementType();
    buffer.shape.assign(memory.getShape().begin(), memory.getShape().end());
  } else {
    buffer.element = IntegerType::get(type.getContext(), 32);
    if (auto columns = test.getAs<IntegerAttr>("columns"))
      argument.columns = columns.getInt();
    if (auto blockN = test.getAs<IntegerAttr>("block_n"))
      argument.blockN = blockN.getInt();
  }
  if (auto shape = test.getAs<DenseI64ArrayAttr>("shape"))
    buffer.shape.assign(shape.asArrayRef().begin(), shape.asArrayRef().end());
  auto values = test.getAs<DenseElementsAttr>("values");
  if (values && !values.isSplat())
    buffer.shape.assign(values.getType().getShape().begin(),
                        values.getType().getShape().end());
  int64_t count = 1;
  for (auto [dimension, extent] : llvm::enumerate(buffer.shape)) {
    if (ShapedType::isDynamic(extent))
      return error() << "needs a shape";
    if (extent < 0 || extent > maxElements)
      return error() << "extent " << extent << " of dimension " << dimension
                     << " is not in [0, " << maxElements << "]";
    count *= extent;
    if (count > maxElements)
      return error() << "has more than " << maxElements << " elements";
  }
  std::optional<ScalarType> scalar = ScalarType::of(buffer.element);
  if (!scalar)
    return error() << "no data of type " << buffer.element;
  buffer.data.resize(count);
  if (values) {
    if (isa<FloatType>(values.getElementType()) != scalar->isFloat ||
        failed(fill(buffer, values)))
      return error() << "values of " << values.getElementType() << " for "
                     << buffer.element;
    if (values.isSplat())
      buffer.data.assign(count, buffer.data.front());
    return argument;
  }
  auto init = test.getAs<StringAttr>("init");
  double scale = 1;
  if (auto attr = test.getAs<FloatAttr>("scale"))
    scale = attr.getValueAsDouble();
  if (!init || failed(fill(buffer, *scalar, init.getValue(), scale, random)))
    return error() << "init must be normal (floats), bits (integers), "
                      "undefined, zero or iota";
  return argument;
}

/// A deep copy, so that no run sees what another one wrote.
static SmallVector<TileArgument> copyOf(ArrayRef<TileArgument> arguments) {
  SmallVector<TileArgument> result(arguments);
  for (TileArgument &argument : result)
    if (argument.buffer)
      argument.buffer = std::make_shared<HostBuffer>(*argument.buffer);
  return result;
}

//===----------------------------------------------------------------------===//
// Comparison
//===----------------------------------------------------------------------===//

/// Index of the first element that differs, nothing if none does.
static std::optional<int64_t> firstDifference(const HostBuffer &expected,
                                              const HostBuffer &actual,
                                              bool isFloat, double tolerance) {
  double largest = 0;
  if (isFloat)
    for (const HostScalar &cell : expected.data)
      if (!cell.undefined && std::isfinite(cell.f))
        largest = std::max(largest, std::fabs(cell.f));
  for (auto [i, pair] :
       llvm::enumerate(llvm::zip(expected.data, actual.data))) {
    auto [a, b] = pair;
    if (a.undefined != b.undefined)
      return i;
    if (a.undefined || a.i == b.i)
      continue;
    if (isFloat && ((std::isnan(a.f) && std::isnan(b.f)) ||
                    std::fabs(a.f - b.f) <= tolerance * largest))
      continue;
    return i;
  }
  return std::nullopt;
}

static void print(raw_ostream &os, const HostScalar &cell, bool isFloat) {
  if (cell.undefined)
    os << "undefined";
  else if (isFloat)
    os << llvm::format("%g", cell.f);
  else
    os << cell.i;
}

static void print(raw_ostream &os, unsigned index, const HostBuffer &buffer,
                  bool isFloat) {
  os << "argument " << index << " = [";
  llvm::interleaveComma(buffer.data, os, [&](const HostScalar &cell) {
    print(os, cell, isFloat);
  });
  os << "]\n";
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {
struct InterpretPass
    : public moe::tile::impl::MoeTileInterpretBase<InterpretPass> {
  using MoeTileInterpretBase::MoeTileInterpretBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<FunctionOpInterface> list;
    for (const std::string &name : functions) {
      auto function = dyn_cast_or_null<FunctionOpInterface>(
          SymbolTable::lookupSymbolIn(module, name));
      if (!function || !isa<KernelOp, PlanOp>(*function)) {
        module.emitError("no kernel or plan '") << name << "'";
        return signalPassFailure();
      }
      list.push_back(function);
    }
    if (list.empty()) {
      module.emitError("moe-tile-interpret needs functions=NAME,...");
      return signalPassFailure();
    }
    unsigned cases = 1;
    for (unsigned i = 0; i < list[0].getNumArguments(); ++i)
      if (auto array =
              dyn_cast_or_null<ArrayAttr>(list[0].getArgAttr(i, testAttrName)))
        cases = std::max<unsigned>(cases, array.size());
    for (unsigned testCase = 0; testCase < cases; ++testCase)
      if (failed(runCase(module, list, testCase)))
        return signalPassFailure();
    markAllAnalysesPreserved();
  }

  LogicalResult runCase(ModuleOp module,
                        MutableArrayRef<FunctionOpInterface> list,
                        unsigned testCase) {
    std::mt19937_64 random(seed + 1000003 * testCase);
    SmallVector<TileArgument> data;
    for (unsigned i = 0; i < list[0].getNumArguments(); ++i) {
      FailureOr<TileArgument> argument =
          makeArgument(list[0], i, testCase, random);
      if (failed(argument))
        return failure();
      data.push_back(*argument);
    }
    SmallVector<TileArgument> expected;
    for (FunctionOpInterface function : list) {
      auto kernel = dyn_cast<KernelOp>(*function);
      bool several = !kernel || kernel.getKernelForm() == Form::Explicit;
      for (unsigned run = 0; run < (several ? schedules : 1u); ++run) {
        SmallVector<TileArgument> own = copyOf(data);
        TileInterpreterOptions options;
        options.seed = seed + run;
        options.workers = workers;
        options.wide = wide;
        if (failed(
                interpretTileProgram(module, function.getName(), own, options)))
          return failure();
        ++numRuns;
        if (expected.empty())
          expected = std::move(own);
        else if (failed(compare(list[0], function, expected, own, testCase,
                                options.seed)))
          return failure();
      }
    }
    if (this->print)
      for (auto [i, argument] : llvm::enumerate(expected))
        if (isa<MemRefType>(list[0].getArgumentTypes()[i]))
          ::print(llvm::outs(), i, *argument.buffer,
                  isa<FloatType>(argument.buffer->element));
    return success();
  }

  LogicalResult compare(FunctionOpInterface reference,
                        FunctionOpInterface function,
                        ArrayRef<TileArgument> expected,
                        ArrayRef<TileArgument> actual, unsigned testCase,
                        uint64_t usedSeed) {
    for (auto [i, type] : llvm::enumerate(reference.getArgumentTypes())) {
      if (!isa<MemRefType>(type))
        continue;
      const HostBuffer &a = *expected[i].buffer, &b = *actual[i].buffer;
      bool isFloat = isa<FloatType>(a.element);
      std::optional<int64_t> at = firstDifference(a, b, isFloat, tolerance);
      numElements += a.data.size();
      if (!at)
        continue;
      std::string text;
      llvm::raw_string_ostream os(text);
      os << "element " << *at << " of argument " << i << " is ";
      ::print(os, b.data[*at], isFloat);
      os << ", '" << reference.getName() << "' gives ";
      ::print(os, a.data[*at], isFloat);
      os << " (case " << testCase << ", seed " << usedSeed << ")";
      return function->emitError(text);
    }
    return success();
  }
};
} // namespace
