//===- Upstream.cpp - arith, math, tensor and linalg ops ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"

#include "ScalarProgram.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Operands and shapes
//===----------------------------------------------------------------------===//

/// Creates a tensor of the element type of `type` with run-time `shape`.
static llvm::Expected<HostTensor> createFor(Type type,
                                            llvm::ArrayRef<int64_t> shape) {
  std::optional<ElementType> storage =
      getStorageType(getElementTypeOrSelf(type));
  if (!storage) {
    std::string text;
    llvm::raw_string_ostream(text) << type;
    return llvm::createStringError("type " + text + " has no storage here");
  }
  return createPoisoned(*storage, shape);
}

static std::vector<double> loadDoubles(const HostTensor &tensor) {
  std::vector<double> all(tensor.getNumElements());
  convertToDouble(tensor.getType(), tensor.getData(), all.data(), all.size());
  return all;
}

static void storeDoubles(const std::vector<double> &values,
                         HostTensor &tensor) {
  convertFromDouble(tensor.getType(), values.data(), tensor.getData(),
                    values.size());
}

static SmallVector<int64_t> getStrides(llvm::ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * shape[i];
  return strides;
}

/// Calls `visit` with every index below `extents`, last dimension fastest.
static void
forEachIndex(llvm::ArrayRef<int64_t> extents,
             llvm::function_ref<void(llvm::ArrayRef<int64_t>)> visit) {
  SmallVector<int64_t> index(extents.size(), 0);
  if (llvm::is_contained(extents, 0))
    return;
  while (true) {
    visit(index);
    size_t dim = extents.size();
    while (dim > 0 && ++index[dim - 1] == extents[dim - 1])
      index[--dim] = 0;
    if (dim == 0)
      return;
  }
}

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

llvm::Error Executor::runConstant(Operation *op, Attribute attribute) {
  Value result = op->getResult(0);
  if (auto value = dyn_cast<FloatAttr>(attribute)) {
    bind(result, RefValue::ofNumber(value.getValueAsDouble()));
    return llvm::Error::success();
  }
  if (auto value = dyn_cast<IntegerAttr>(attribute)) {
    bind(result, RefValue::ofInteger(value.getType().isInteger(1)
                                         ? value.getValue().getZExtValue()
                                         : value.getValue().getSExtValue()));
    return llvm::Error::success();
  }
  auto dense = dyn_cast<DenseElementsAttr>(attribute);
  if (!dense)
    return llvm::createStringError(
        "only scalar and dense constants are known here");
  llvm::Expected<HostTensor> tensor =
      createFor(dense.getType(), dense.getType().getShape());
  if (!tensor)
    return tensor.takeError();
  std::vector<double> values;
  values.reserve(dense.getNumElements());
  if (isa<FloatType>(dense.getElementType())) {
    for (APFloat value : dense.getValues<APFloat>()) {
      bool lost;
      value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
      values.push_back(value.convertToDouble());
    }
  } else {
    bool isUnsigned = dense.getElementType().isUnsignedInteger();
    for (const APInt &value : dense.getValues<APInt>())
      values.push_back(isUnsigned ? double(value.getZExtValue())
                                  : double(value.getSExtValue()));
  }
  storeDoubles(values, *tensor);
  bind(result, RefValue::ofTensor(std::move(*tensor)));
  return llvm::Error::success();
}

/// Two's complement of `value` in the width of `type`; an i1 is 0 or 1.
static int64_t wrapTo(Type type, int64_t value) {
  if (type.isInteger(1))
    return value & 1;
  return type.isInteger() && type.getIntOrFloatBitWidth() < 64
             ? llvm::SignExtend64(value, type.getIntOrFloatBitWidth())
             : value;
}

/// What a signed reading of an integer operand gives: a true i1 is -1.
static int64_t readSigned(Value operand, int64_t value) {
  return operand.getType().isInteger(1) ? -value : value;
}

static bool compareIntegers(arith::CmpIOp op, int64_t a, int64_t b) {
  // Both are extended alike, which keeps the unsigned order.
  uint64_t ua = a, ub = b;
  int64_t sa = readSigned(op.getLhs(), a), sb = readSigned(op.getLhs(), b);
  switch (op.getPredicate()) {
  case arith::CmpIPredicate::eq:
    return a == b;
  case arith::CmpIPredicate::ne:
    return a != b;
  case arith::CmpIPredicate::slt:
    return sa < sb;
  case arith::CmpIPredicate::sle:
    return sa <= sb;
  case arith::CmpIPredicate::sgt:
    return sa > sb;
  case arith::CmpIPredicate::sge:
    return sa >= sb;
  case arith::CmpIPredicate::ult:
    return ua < ub;
  case arith::CmpIPredicate::ule:
    return ua <= ub;
  case arith::CmpIPredicate::ugt:
    return ua > ub;
  case arith::CmpIPredicate::uge:
    return ua >= ub;
  }
  llvm_unreachable("covered switch");
}

/// The result before wrapping; nothing where it is undefined behaviour or the
/// operation is unknown here.
static std::optional<int64_t> foldIntegers(Operation *op, int64_t a, int64_t b,
                                           int64_t c) {
  // Of the smallest number and -1, the quotient is no 64-bit number.
  auto divides = [&] { return b != 0 && (b != -1 || a != INT64_MIN); };
  uint64_t ua = a, ub = b;
  llvm::StringRef name = op->getName().getStringRef();
  if (name == "arith.addi")
    return static_cast<int64_t>(ua + ub);
  if (name == "arith.subi")
    return static_cast<int64_t>(ua - ub);
  if (name == "arith.muli")
    return static_cast<int64_t>(ua * ub);
  if (name == "arith.divsi" || name == "arith.divui")
    return divides() ? std::optional(a / b) : std::nullopt;
  if (name == "arith.remsi" || name == "arith.remui")
    return divides() ? std::optional(a % b) : std::nullopt;
  if (name == "arith.ceildivsi" || name == "arith.ceildivui")
    return divides() ? std::optional(llvm::divideCeilSigned(a, b))
                     : std::nullopt;
  if (name == "arith.floordivsi")
    return divides() ? std::optional(llvm::divideFloorSigned(a, b))
                     : std::nullopt;
  if (name == "arith.maxsi" || name == "arith.maxui")
    return std::max(a, b);
  if (name == "arith.minsi" || name == "arith.minui")
    return std::min(a, b);
  if (name == "arith.andi")
    return a & b;
  if (name == "arith.ori")
    return a | b;
  if (name == "arith.xori")
    return a ^ b;
  if (name == "arith.shli")
    return b >= 0 && b < 63 ? std::optional(static_cast<int64_t>(ua << ub))
                            : std::nullopt;
  if (name == "arith.select")
    return a ? b : c;
  if (name == "arith.index_cast" || name == "arith.extsi")
    return readSigned(op->getOperand(0), a);
  if (name == "arith.index_castui" || name == "arith.extui" ||
      name == "arith.trunci")
    return a;
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    return compareIntegers(compare, a, b);
  return std::nullopt;
}

llvm::Error Executor::runIntegers(Operation *op) {
  int64_t sources[3] = {0, 0, 0};
  for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
    sources[i] = get(operand).integer;
    // Only extents, which are not negative, are read as unsigned.
    if (sources[i] < 0 && op->getName().getStringRef().ends_with("ui"))
      return llvm::createStringError("unsigned operation on " +
                                     Twine(sources[i]));
  }
  std::optional<int64_t> value =
      foldIntegers(op, sources[0], sources[1], sources[2]);
  if (!value)
    return llvm::createStringError("the reference cannot execute it on " +
                                   Twine(sources[0]) + " and " +
                                   Twine(sources[1]));
  bind(op->getResult(0),
       RefValue::ofInteger(wrapTo(op->getResult(0).getType(), *value)));
  return llvm::Error::success();
}

/// Float ops on scalars and, element by element, on tensors.
llvm::Error Executor::runElementwise(Operation *op) {
  llvm::Expected<ScalarProgram> program = ScalarProgram::compileOp(op);
  if (!program)
    return program.takeError();
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  llvm::ArrayRef<int64_t> shape;
  int64_t count = 1;
  bool anyTensor = false;
  std::vector<std::vector<double>> sources;
  for (Value operand : op->getOperands()) {
    const HostTensor *tensor = getTensor(operand);
    if (tensor) {
      // The condition of a select between tensors may be a scalar.
      if (anyTensor && tensor->getNumElements() != count)
        return llvm::createStringError("operands have different extents");
      anyTensor = true;
      shape = tensor->getShape();
      count = tensor->getNumElements();
      sources.push_back(loadDoubles(*tensor));
      continue;
    }
    bool isFloat = isa<FloatType>(operand.getType());
    sources.push_back(
        {isFloat ? get(operand).number : double(get(operand).integer)});
  }
  std::vector<double> result(count), scratch;
  for (int64_t begin = 0; begin < count; begin += ScalarProgram::kMaxElements) {
    SmallVector<const double *> args;
    std::vector<std::vector<double>> spread;
    int64_t n = std::min(ScalarProgram::kMaxElements, count - begin);
    for (std::vector<double> &source : sources) {
      if (static_cast<int64_t>(source.size()) == count) {
        args.push_back(&source[begin]);
        continue;
      }
      spread.emplace_back(n, source[0]);
      args.push_back(spread.back().data());
    }
    program->run<double>(args, &result[begin], n, scratch);
  }
  if (!type) {
    RefValue value = RefValue::ofNumber(result[0]);
    value.integer = op->getResult(0).getType().isInteger(1) && result[0] != 0;
    if (op->getResult(0).getType().isF32() && !inDouble())
      value.number = static_cast<float>(value.number);
    bind(op->getResult(0), value);
    return llvm::Error::success();
  }
  llvm::Expected<HostTensor> out = createFor(type, shape);
  if (!out)
    return out.takeError();
  storeDoubles(result, *out);
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

llvm::Error Executor::runTensorOp(Operation *op) {
  auto resolve = [&](OpFoldResult value) -> int64_t {
    if (auto attribute = dyn_cast<Attribute>(value))
      return cast<IntegerAttr>(attribute).getInt();
    return get(cast<Value>(value)).integer;
  };
  auto resolveAll = [&](llvm::ArrayRef<OpFoldResult> values) {
    return SmallVector<int64_t>(llvm::map_range(values, resolve));
  };
  auto setTensor = [&](llvm::Expected<HostTensor> tensor) -> llvm::Error {
    if (!tensor)
      return tensor.takeError();
    bind(op->getResult(0), RefValue::ofTensor(std::move(*tensor)));
    return llvm::Error::success();
  };
  auto reshape = [&](const HostTensor &source,
                     llvm::ArrayRef<int64_t> shape) -> llvm::Error {
    llvm::Expected<HostTensor> copy = source.clone();
    if (!copy)
      return copy.takeError();
    if (llvm::Error error = copy->reinterpret(copy->getType(), shape))
      return error;
    return setTensor(std::move(copy));
  };
  /// Elements outside [0, extent) of a slice.
  auto checkSlice = [](llvm::ArrayRef<int64_t> shape,
                       llvm::ArrayRef<int64_t> offsets,
                       llvm::ArrayRef<int64_t> sizes,
                       llvm::ArrayRef<int64_t> strides) -> llvm::Error {
    for (size_t i = 0; i < shape.size(); ++i) {
      int64_t last = offsets[i] + (sizes[i] - 1) * strides[i];
      if (sizes[i] < 0 ||
          (sizes[i] > 0 && (std::min(offsets[i], last) < 0 ||
                            std::max(offsets[i], last) >= shape[i])))
        return llvm::createStringError(
            "slice of offsets " + formatShape(offsets) + ", sizes " +
            formatShape(sizes) + " leaves the tensor " + formatShape(shape));
    }
    return llvm::Error::success();
  };
  // Source index of a slice element.
  auto flatten =
      [](llvm::ArrayRef<int64_t> index, llvm::ArrayRef<int64_t> offsets,
         llvm::ArrayRef<int64_t> strides, llvm::ArrayRef<int64_t> outer) {
        int64_t flat = 0;
        for (size_t i = 0; i < index.size(); ++i)
          flat += (offsets[i] + index[i] * strides[i]) * outer[i];
        return flat;
      };

  return llvm::TypeSwitch<Operation *, llvm::Error>(op)
      .Case([&](tensor::EmptyOp empty) -> llvm::Error {
        SmallVector<int64_t> shape = resolveAll(empty.getMixedSizes());
        for (int64_t extent : shape)
          if (extent < 0)
            return llvm::createStringError("negative extent in " +
                                           formatShape(shape));
        return setTensor(createFor(empty.getType(), shape));
      })
      .Case([&](tensor::DimOp dim) -> llvm::Error {
        int64_t index = get(dim.getIndex()).integer;
        const HostTensor &tensor = *getTensor(dim.getSource());
        if (index < 0 || index >= tensor.getRank())
          return llvm::createStringError("dimension " + Twine(index) + " of " +
                                         tensor.describe());
        bind(dim, RefValue::ofInteger(tensor.getDim(index)));
        return llvm::Error::success();
      })
      .Case([&](tensor::CastOp cast) -> llvm::Error {
        const RefValue &source = get(cast.getSource());
        auto type = dyn_cast<RankedTensorType>(cast.getType());
        for (auto [want, got] :
             llvm::zip(type ? type.getShape() : source.tensor->getShape(),
                       source.tensor->getShape()))
          if (!ShapedType::isDynamic(want) && want != got)
            return llvm::createStringError(source.tensor->describe() +
                                           " does not have the static shape " +
                                           formatShape(type.getShape()));
        bind(cast, source);
        return llvm::Error::success();
      })
      .Case([&](tensor::SplatOp splat) -> llvm::Error {
        auto type = splat.getType();
        SmallVector<int64_t> shape(type.getShape());
        unsigned next = 0;
        for (int64_t &extent : shape)
          if (ShapedType::isDynamic(extent))
            extent = get(splat.getDynamicSizes()[next++]).integer;
        llvm::Expected<HostTensor> tensor = createFor(type, shape);
        if (!tensor)
          return tensor.takeError();
        bool isFloat = isa<FloatType>(type.getElementType());
        storeDoubles(std::vector<double>(tensor->getNumElements(),
                                         isFloat
                                             ? get(splat.getInput()).number
                                             : get(splat.getInput()).integer),
                     *tensor);
        return setTensor(std::move(tensor));
      })
      .Case([&](tensor::FromElementsOp from) -> llvm::Error {
        llvm::Expected<HostTensor> tensor =
            createFor(from.getType(), from.getType().getShape());
        if (!tensor)
          return tensor.takeError();
        std::vector<double> values;
        for (Value element : from.getElements())
          values.push_back(isa<FloatType>(element.getType())
                               ? get(element).number
                               : double(get(element).integer));
        storeDoubles(values, *tensor);
        return setTensor(std::move(tensor));
      })
      .Case([&](tensor::ExtractOp extract) -> llvm::Error {
        const HostTensor &tensor = *getTensor(extract.getTensor());
        SmallVector<int64_t> strides = getStrides(tensor.getShape());
        int64_t flat = 0;
        for (auto [i, value] : llvm::enumerate(extract.getIndices())) {
          int64_t index = get(value).integer;
          if (index < 0 || index >= tensor.getDim(i))
            return llvm::createStringError("index " + Twine(index) +
                                           " along dimension " + Twine(i) +
                                           " of " + tensor.describe());
          flat += index * strides[i];
        }
        double number = loadDoubles(tensor)[flat];
        RefValue value = RefValue::ofNumber(number);
        if (!isa<FloatType>(extract.getType()))
          value.integer = static_cast<int64_t>(number);
        bind(extract, value);
        return llvm::Error::success();
      })
      .Case([&](tensor::ExtractSliceOp slice) -> llvm::Error {
        const HostTensor &source = *getTensor(slice.getSource());
        auto offsets = resolveAll(slice.getMixedOffsets());
        auto sizes = resolveAll(slice.getMixedSizes());
        auto strides = resolveAll(slice.getMixedStrides());
        if (llvm::Error error =
                checkSlice(source.getShape(), offsets, sizes, strides))
          return error;
        SmallVector<int64_t> shape;
        llvm::SmallBitVector dropped = slice.getDroppedDims();
        for (auto [i, size] : llvm::enumerate(sizes))
          if (!dropped.test(i))
            shape.push_back(size);
        llvm::Expected<HostTensor> out = createFor(slice.getType(), shape);
        if (!out)
          return out.takeError();
        std::vector<double> from = loadDoubles(source), to;
        SmallVector<int64_t> outer = getStrides(source.getShape());
        forEachIndex(sizes, [&](llvm::ArrayRef<int64_t> index) {
          to.push_back(from[flatten(index, offsets, strides, outer)]);
        });
        storeDoubles(to, *out);
        return setTensor(std::move(out));
      })
      .Case([&](tensor::InsertSliceOp slice) -> llvm::Error {
        const HostTensor &dest = *getTensor(slice.getDest());
        auto offsets = resolveAll(slice.getMixedOffsets());
        auto sizes = resolveAll(slice.getMixedSizes());
        auto strides = resolveAll(slice.getMixedStrides());
        if (llvm::Error error =
                checkSlice(dest.getShape(), offsets, sizes, strides))
          return error;
        std::vector<double> from = loadDoubles(*getTensor(slice.getSource()));
        std::vector<double> to = loadDoubles(dest);
        SmallVector<int64_t> outer = getStrides(dest.getShape());
        size_t next = 0;
        forEachIndex(sizes, [&](llvm::ArrayRef<int64_t> index) {
          to[flatten(index, offsets, strides, outer)] = from[next++];
        });
        llvm::Expected<HostTensor> out = createLike(dest);
        if (!out)
          return out.takeError();
        storeDoubles(to, *out);
        return setTensor(std::move(out));
      })
      .Case([&](tensor::ExpandShapeOp expand) {
        return reshape(*getTensor(expand.getSrc()),
                       resolveAll(expand.getMixedOutputShape()));
      })
      .Case([&](tensor::CollapseShapeOp collapse) {
        const HostTensor &source = *getTensor(collapse.getSrc());
        SmallVector<int64_t> shape;
        for (const ReassociationIndices &group :
             collapse.getReassociationIndices()) {
          shape.push_back(1);
          for (int64_t dim : group)
            shape.back() *= source.getDim(dim);
        }
        return reshape(source, shape);
      })
      .Default([&](Operation *) {
        return llvm::createStringError("the reference cannot execute it");
      });
}

//===----------------------------------------------------------------------===//
// linalg
//===----------------------------------------------------------------------===//

/// `linalg.generic`, `linalg.fill` and any other op with one result whose body
/// is scalar arithmetic, point by point in loop order.
llvm::Error Executor::runGeneric(Operation *op) {
  auto linalgOp = cast<linalg::LinalgOp>(op);
  if (linalgOp.getNumDpsInits() != 1)
    return llvm::createStringError("only one result is supported");
  llvm::Expected<ScalarProgram> program =
      ScalarProgram::compile(*linalgOp.getBlock());
  if (!program)
    return program.takeError();
  const HostTensor &init = *getTensor(linalgOp.getDpsInits()[0]);
  SmallVector<AffineMap> maps = linalgOp.getIndexingMapsArray();
  SmallVector<int64_t> extents(linalgOp.getNumLoops(), -1);
  std::vector<std::vector<double>> data;
  SmallVector<SmallVector<int64_t>> strides;
  for (auto [operand, map] : llvm::zip(op->getOperands(), maps)) {
    const HostTensor *tensor = getTensor(operand);
    if (!tensor) {
      data.push_back({isa<FloatType>(operand.getType())
                          ? get(operand).number
                          : double(get(operand).integer)});
      strides.push_back({});
      continue;
    }
    data.push_back(loadDoubles(*tensor));
    strides.push_back(getStrides(tensor->getShape()));
    for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
      auto loop = dyn_cast<AffineDimExpr>(expr);
      if (!loop)
        continue;
      int64_t &extent = extents[loop.getPosition()];
      if (extent >= 0 && extent != tensor->getDim(dim))
        return llvm::createStringError("loop " + Twine(loop.getPosition()) +
                                       " has extents " + Twine(extent) +
                                       " and " + Twine(tensor->getDim(dim)));
      extent = tensor->getDim(dim);
    }
  }
  if (llvm::is_contained(extents, -1))
    return llvm::createStringError("a loop has no extent");
  std::vector<double> scratch, values(data.size());
  forEachIndex(extents, [&](llvm::ArrayRef<int64_t> index) {
    SmallVector<const double *> args;
    double *target = nullptr;
    for (size_t i = 0; i < data.size(); ++i) {
      int64_t flat = 0;
      if (!strides[i].empty())
        for (auto [dim, position] : llvm::enumerate(maps[i].compose(index)))
          flat += position * strides[i][dim];
      target = &data[i][flat];
      args.push_back(target);
    }
    // The init is the last operand.
    double result;
    program->run<double>(args, &result, 1, scratch);
    *target = result;
  });
  llvm::Expected<HostTensor> out = createLike(init);
  if (!out)
    return out.takeError();
  storeDoubles(data.back(), *out);
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

llvm::Error Executor::runUpstream(Operation *op) {
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    return runConstant(op, constant.getValue());
  if (isa<linalg::LinalgOp>(op))
    return runGeneric(op);
  Dialect *dialect = op->getDialect();
  if (!dialect || op->getNumResults() != 1)
    return llvm::createStringError("the reference cannot execute it");
  llvm::StringRef space = dialect->getNamespace();
  if (space == "tensor")
    return runTensorOp(op);
  if (space != "arith" && space != "math")
    return llvm::createStringError("the reference cannot execute it");
  Type type = op->getResult(0).getType();
  if (op->getName().getStringRef() == "arith.sitofp" &&
      !isa<ShapedType>(type)) {
    Value operand = op->getOperand(0);
    int64_t integer = readSigned(operand, get(operand).integer);
    bind(op->getResult(0), RefValue::ofNumber(double(integer)));
    return llvm::Error::success();
  }
  bool integers = type.isIntOrIndex() && !isa<arith::CmpFOp>(op);
  return integers ? runIntegers(op) : runElementwise(op);
}
