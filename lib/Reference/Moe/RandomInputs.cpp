//===- RandomInputs.cpp - Sensible arguments ------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Reference/Moe/RandomInputs.h"
#include "Matrix.h"
#include "moec/Reference/Moe/Interpreter.h"
#include "moec/Support/Parallel.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"
#include <numeric>

using namespace mlir;
using namespace mlir::moe;

std::optional<IdStyle> moe::parseIdStyle(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<IdStyle>>(name)
      .Case("mixed", IdStyle::Mixed)
      .Case("unique", IdStyle::Unique)
      .Case("skewed", IdStyle::Skewed)
      .Case("one", IdStyle::One)
      .Case("none", IdStyle::None)
      .Default(std::nullopt);
}

//===----------------------------------------------------------------------===//
// Random numbers
//===----------------------------------------------------------------------===//

namespace {
/// SplitMix64 as a counter-based generator: the number at an index needs no
/// state, so that values do not depend on the order of generation.
class Random {
public:
  Random(uint64_t seed, uint64_t stream)
      : key(mix(seed * 0x9e3779b97f4a7c15ull + mix(stream + 1))) {}

  uint64_t getBits(uint64_t index) const {
    return mix(key + index * 0x9e3779b97f4a7c15ull);
  }
  /// In [0, 1).
  double getUniform(uint64_t index) const {
    return static_cast<double>(getBits(index) >> 11) * 0x1p-53;
  }
  uint64_t getBelow(uint64_t index, uint64_t bound) const {
    return getBits(index) % bound;
  }
  /// About N(0, 1): twelve uniform numbers, so that no libm function makes the
  /// values differ between machines.
  double getNormal(uint64_t index) const {
    double sum = -6;
    for (uint64_t i = 0; i < 3; ++i) {
      uint64_t bits = getBits(index * 3 + i);
      for (unsigned part = 0; part < 4; ++part)
        sum +=
            (static_cast<double>(bits >> (16 * part) & 0xffff) + 0.5) * 0x1p-16;
    }
    return sum;
  }

private:
  static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  uint64_t key;
};

/// What an argument is to hold.
struct Contents {
  std::string kind;
  /// Number of experts that ids name, or that a map leads to.
  int64_t experts = 0;
};
} // namespace

//===----------------------------------------------------------------------===//
// Contents from uses
//===----------------------------------------------------------------------===//

static int64_t getExtent(Value value, unsigned dim) {
  return cast<ShapedType>(value.getType()).getDimSize(dim);
}

/// Experts that global ids name, given the map (may be null) or else `local`.
static int64_t getGlobalExperts(Value map, int64_t local) {
  return map && !ShapedType::isDynamic(getExtent(map, 0)) ? getExtent(map, 0)
                                                          : local;
}

static Contents getQuantContents(bool isScale, bool isZero) {
  return {isScale ? "scale" : isZero ? "zero_point" : "codes"};
}

/// What the use of an argument says about its contents, if anything.
static std::optional<Contents> getContents(OpOperand &use) {
  Value value = use.get();
  if (auto dest = dyn_cast<DestinationStyleOpInterface>(use.getOwner()))
    if (dest.isDpsInit(&use))
      return Contents{"poison"};
  using Result = std::optional<Contents>;
  return llvm::TypeSwitch<Operation *, Result>(use.getOwner())
      .Case([&](FusedExpertsOp op) -> Result {
        int64_t experts = getExtent(op.getW1(), 0);
        if (value == op.getTopkIds())
          return Contents{"ids", getGlobalExperts(op.getExpertMap(), experts)};
        if (value == op.getExpertMap())
          return Contents{"map", experts};
        if (value == op.getTopkWeights())
          return Contents{"weights"};
        for (Value scale :
             {op.getW1Scale(), op.getW2Scale(), op.getSharedW1Scale(),
              op.getSharedW2Scale(), op.getW1Global(), op.getW2Global()})
          if (value == scale)
            return Contents{"scale"};
        if (value == op.getW1Zero() || value == op.getW2Zero())
          return Contents{"zero_point"};
        if (((value == op.getW1() && op.getW1Quant()) ||
             (value == op.getW2() && op.getW2Quant())) ||
            ((value == op.getSharedW1() || value == op.getSharedW2()) &&
             op.getSharedQuant()))
          return Contents{"codes"};
        if (value == op.getX() || value == op.getB1() || value == op.getB2())
          return Contents{"normal"};
        return Contents{"matrix"};
      })
      .Case([&](AlignOp op) -> Result {
        int64_t experts = op.getRouting().getType().getExperts();
        if (value == op.getIds())
          return Contents{"ids", getGlobalExperts(op.getExpertMap(), experts)};
        return Contents{"map", experts};
      })
      .Case([&](DenseWeightsOp op) -> Result {
        int64_t experts = getExtent(op.getOuts()[0], 1);
        if (value == op.getTopkIds())
          return Contents{"ids", getGlobalExperts(op.getExpertMap(), experts)};
        if (value == op.getExpertMap())
          return Contents{"map", experts};
        return Contents{value == op.getFactor() ? "scale" : "weights"};
      })
      .Case([&](CombineOp op) -> Result {
        return Contents{value == op.getWeights() ? "weights" : "normal"};
      })
      .Case([&](DequantizeOp op) -> Result {
        return getQuantContents(value == op.getScale(), value == op.getZero());
      })
      .Case([&](RepackOp) -> Result { return Contents{"codes"}; })
      .Case([&](RouteAllOp) -> Result { return Contents{"tokens"}; })
      .Case([&](GroupedGemmOp op) -> Result {
        if (value == op.getAScale() || value == op.getBScale())
          return Contents{"scale"};
        if (value == op.getBZero())
          return Contents{"zero_point"};
        if ((value == op.getA() && op.getAQuant()) ||
            (value == op.getB() && op.getBQuant()))
          return Contents{"codes"};
        if (value == op.getB())
          return Contents{"matrix"};
        return Contents{"normal"};
      })
      // A cast tells nothing; look behind it.
      .Case([&](tensor::CastOp op) -> Result {
        for (OpOperand &next : op.getResult().getUses())
          if (Result result = getContents(next))
            return result;
        return std::nullopt;
      })
      .Default([](Operation *) { return std::nullopt; });
}

static Contents getContents(func::FuncOp function, unsigned index) {
  Contents contents;
  for (OpOperand &use : function.getArgument(index).getUses())
    if (std::optional<Contents> found = getContents(use)) {
      contents = *found;
      break;
    }
  if (auto kind = function.getArgAttrOfType<StringAttr>(index, "moe.init"))
    contents.kind = kind.getValue().str();
  if (auto experts =
          function.getArgAttrOfType<IntegerAttr>(index, "moe.experts"))
    contents.experts = experts.getInt();
  if (!contents.kind.empty())
    return contents;
  Type type = getElementTypeOrSelf(function.getArgumentTypes()[index]);
  contents.kind = isa<FloatType>(type)   ? "normal"
                  : isa<IndexType>(type) ? "tokens"
                                         : "codes";
  return contents;
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

static llvm::Error fillIds(HostTensor &tensor, int64_t experts, IdStyle style,
                           const Random &random) {
  if (tensor.getType() != ElementType::I32 || tensor.getRank() != 2)
    return llvm::createStringError("ids are i32 [T, k], not " +
                                   tensor.describe());
  if (experts < 1)
    return llvm::createStringError(
        "the number of experts does not follow from the uses: give the "
        "argument moe.experts");
  int64_t topk = tensor.getDim(1);
  SmallVector<int64_t> order(experts);
  for (int64_t i = 0; i < tensor.getNumElements(); ++i) {
    int64_t id = random.getBelow(2 * i, experts);
    switch (style) {
    case IdStyle::Mixed:
      if (random.getBelow(2 * i + 1, 16) == 0)
        id = -1;
      break;
    case IdStyle::Unique:
      // A Fisher-Yates shuffle, one step per choice.
      if (topk > experts)
        break;
      if (i % topk == 0)
        std::iota(order.begin(), order.end(), 0);
      std::swap(order[i % topk],
                order[i % topk + random.getBelow(2 * i, experts - i % topk)]);
      id = order[i % topk];
      break;
    case IdStyle::Skewed:
      if (random.getBelow(2 * i + 1, 4) != 0)
        id %= llvm::divideCeil(experts, 4);
      else if (experts > 1 && id == experts - 1)
        id = 0;
      break;
    case IdStyle::One:
      id = experts - 1;
      break;
    case IdStyle::None:
      id = -1;
      break;
    }
    tensor.getAs<int32_t>()[i] = id;
  }
  return llvm::Error::success();
}

/// Local ids 0, 1, ... on random global experts, -1 elsewhere.
static void fillMap(HostTensor &tensor, int64_t experts, const Random &random) {
  int64_t global = tensor.getDim(0);
  std::vector<int64_t> order(global);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = 0; i + 1 < global; ++i)
    std::swap(order[i], order[i + random.getBelow(i, global - i)]);
  for (int64_t i = 0; i < global; ++i)
    tensor.getAs<int32_t>()[order[i]] = i < experts ? i : -1;
}

/// Random codes of the element type, none of them NaN or infinite.
static void fillCodes(HostTensor &tensor, const Random &random) {
  ElementType type = tensor.getType();
  unsigned bits = getBitWidth(type);
  if (bits < 8 || !isFloatType(type)) {
    for (uint64_t i = 0; i < tensor.getByteSize(); ++i)
      tensor.getData()[i] = random.getBits(i) >> 17;
    return;
  }
  for (int64_t i = 0; i < tensor.getNumElements(); ++i) {
    uint64_t code = 0;
    for (unsigned attempt = 0; attempt < 8; ++attempt) {
      code = random.getBits(8 * i + attempt) >> (64 - bits);
      if (std::isfinite(decode(type, code)))
        break;
      code = 0;
    }
    std::memcpy(tensor.getData() + i * (bits / 8), &code, bits / 8);
  }
}

using RowFiller =
    std::function<void(int64_t begin, llvm::MutableArrayRef<double> values)>;

/// Makes the values of elements [begin, begin + size), which are whole rows.
/// Null for an unknown kind.
static RowFiller getRowFiller(llvm::StringRef kind, const HostTensor &tensor,
                              const RandomOptions &options,
                              const Random &random) {
  int64_t cols = tensor.getRank() ? tensor.getShape().back() : 1;
  using Values = llvm::MutableArrayRef<double>;
  if (kind == "weights")
    return [=](int64_t begin, Values values) {
      for (size_t row = 0; row < values.size(); row += cols) {
        double sum = 0;
        for (int64_t i = 0; i < cols; ++i)
          sum += values[row + i] = 0.05 + random.getUniform(begin + row + i);
        for (int64_t i = 0; i < cols; ++i)
          values[row + i] /= sum;
      }
    };
  if (kind == "normal" || kind == "matrix") {
    double factor = kind == "matrix" ? 1 / std::sqrt(double(cols)) : 1;
    return [=](int64_t begin, Values values) {
      for (auto [i, value] : llvm::enumerate(values))
        value = random.getNormal(begin + i) * factor;
    };
  }
  if (kind == "scale") {
    // Powers of two survive every scale type; the others get a mantissa.
    bool isPower = tensor.getType() == ElementType::F8E8M0FNU;
    return [=](int64_t begin, Values values) {
      for (auto [i, value] : llvm::enumerate(values))
        value = std::ldexp(
            isPower ? 1 : 1 + random.getUniform(2 * (begin + i) + 1),
            -4 + static_cast<int>(random.getBelow(2 * (begin + i), 4)));
    };
  }
  if (kind == "zero_point")
    return [=](int64_t begin, Values values) {
      for (auto [i, value] : llvm::enumerate(values))
        value = random.getBelow(begin + i, 16);
    };
  if (kind == "iota")
    return [](int64_t begin, Values values) {
      std::iota(values.begin(), values.end(), begin);
    };
  if (kind == "one" || kind == "tokens") {
    double content = kind == "one" ? 1 : options.tokens;
    return [=](int64_t, Values values) { llvm::fill(values, content); };
  }
  return nullptr;
}

static llvm::Error fill(HostTensor &tensor, const Contents &contents,
                        const RandomOptions &options, const Random &random) {
  llvm::StringRef kind = contents.kind;
  int64_t count = tensor.getNumElements();
  int64_t cols = tensor.getRank() ? tensor.getShape().back() : 1;
  if (kind == "ids")
    return fillIds(tensor, contents.experts, options.ids, random);
  if (kind == "map") {
    if (tensor.getType() != ElementType::I32 || tensor.getRank() != 1)
      return llvm::createStringError("a map is i32 [experts], not " +
                                     tensor.describe());
    fillMap(tensor, contents.experts, random);
    return llvm::Error::success();
  }
  if (kind == "codes") {
    fillCodes(tensor, random);
    return llvm::Error::success();
  }
  if (kind == "poison") {
    llvm::Expected<HostTensor> poisoned =
        createPoisoned(tensor.getType(), tensor.getShape());
    if (!poisoned)
      return poisoned.takeError();
    tensor = std::move(*poisoned);
    return llvm::Error::success();
  }
  if (kind == "zero")
    return llvm::Error::success();
  auto fillRows = getRowFiller(kind, tensor, options, random);
  if (!fillRows)
    return llvm::createStringError("unknown contents '" + kind + "'");
  // Whole rows, and whole bytes of packed elements, per call.
  int64_t grain = llvm::alignTo(1024, std::max<int64_t>(2 * cols, 2));
  parallelFor(count, grain, 0, [&](uint64_t begin, uint64_t end) {
    std::vector<double> values;
    for (uint64_t at = begin; at < end; at += grain) {
      values.resize(std::min<uint64_t>(grain, end - at));
      fillRows(at, values);
      convertFromDouble(tensor.getType(), values.data(),
                        tensor.getData() + byteOffset(tensor, at),
                        values.size(), Overflow::Saturate);
    }
  });
  return llvm::Error::success();
}

llvm::Expected<llvm::SmallVector<HostTensor>>
moe::makeRandomInputs(func::FuncOp function, const RandomOptions &options) {
  llvm::SmallVector<HostTensor> inputs;
  for (unsigned index = 0; index < function.getNumArguments(); ++index) {
    Type type = function.getArgumentTypes()[index];
    auto fail = [&](llvm::Error error) {
      return llvm::createStringError("@" + function.getName() + ": argument " +
                                     Twine(index) + ": " +
                                     llvm::toString(std::move(error)));
    };
    auto tensorType = dyn_cast<RankedTensorType>(type);
    if (!tensorType && !type.isIntOrIndexOrFloat())
      return fail(llvm::createStringError("is neither a tensor nor a scalar"));
    std::optional<ElementType> storage =
        getStorageType(getElementTypeOrSelf(type));
    if (!storage)
      return fail(llvm::createStringError("its type has no storage"));
    SmallVector<int64_t> shape;
    if (tensorType)
      for (int64_t extent : tensorType.getShape())
        shape.push_back(ShapedType::isDynamic(extent) ? options.tokens
                                                      : extent);
    llvm::Expected<HostTensor> tensor = HostTensor::create(*storage, shape);
    if (!tensor)
      return fail(tensor.takeError());
    if (llvm::Error error = fill(*tensor, getContents(function, index), options,
                                 Random(options.seed, index)))
      return fail(std::move(error));
    inputs.push_back(std::move(*tensor));
  }
  return std::move(inputs);
}
