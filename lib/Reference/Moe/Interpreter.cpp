//===- Interpreter.cpp - Execute moe on the host --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Reference/Moe/Interpreter.h"
#include "Executor.h"
#include "moec/Support/Parallel.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

std::optional<ElementType> moe::getStorageType(Type type) {
  if (isa<IndexType>(type))
    return ElementType::I64;
  if (auto integer = dyn_cast<IntegerType>(type)) {
    if (integer.isUnsigned())
      return integer.getWidth() == 4   ? std::optional(ElementType::U4)
             : integer.getWidth() == 8 ? std::optional(ElementType::U8)
                                       : std::nullopt;
    switch (integer.getWidth()) {
    case 4:
      return ElementType::I4;
    case 8:
      return ElementType::I8;
    case 32:
      return ElementType::I32;
    case 64:
      return ElementType::I64;
    default:
      return std::nullopt;
    }
  }
  return llvm::TypeSwitch<Type, std::optional<ElementType>>(type)
      .Case([](Float64Type) { return ElementType::F64; })
      .Case([](Float32Type) { return ElementType::F32; })
      .Case([](BFloat16Type) { return ElementType::BF16; })
      .Case([](Float16Type) { return ElementType::F16; })
      .Case([](Float8E4M3FNType) { return ElementType::F8E4M3FN; })
      .Case([](Float8E5M2Type) { return ElementType::F8E5M2; })
      .Case([](Float8E4M3FNUZType) { return ElementType::F8E4M3FNUZ; })
      .Case([](Float8E5M2FNUZType) { return ElementType::F8E5M2FNUZ; })
      .Case([](Float8E8M0FNUType) { return ElementType::F8E8M0FNU; })
      .Case([](Float4E2M1FNType) { return ElementType::F4E2M1FN; })
      .Default([](Type) { return std::nullopt; });
}

llvm::Error moe::checkExtent(const llvm::Twine &what, const HostTensor &tensor,
                             unsigned dim, int64_t extent) {
  if (tensor.getDim(dim) == extent)
    return llvm::Error::success();
  return llvm::createStringError(
      what + " has extent " + Twine(tensor.getDim(dim)) + " along dimension " +
      Twine(dim) + ", expected " + Twine(extent));
}

llvm::Expected<HostTensor> moe::createLike(const HostTensor &init) {
  if (isPackedType(init.getType()))
    return llvm::createStringError(
        "a result of 4-bit elements needs a quant with a packing, got " +
        init.describe());
  return createPoisoned(init.getType(), init.getShape());
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

llvm::Error Executor::execute(Operation *op) {
  for (Value operand : op->getOperands())
    if (isa<MemRefType>(operand.getType()))
      return llvm::createStringError(op->getName().getStringRef() +
                                     ": the reference executes tensors, not "
                                     "buffers");
  llvm::Error error =
      llvm::TypeSwitch<Operation *, llvm::Error>(op)
          .Case<TopkOp, AlignOp, RouteAllOp, NumSlotsOp, DenseWeightsOp,
                DispatchOp, CombineOp, QuantizeOp, DequantizeOp, GroupSumOp,
                RepackOp, GroupedGemmOp, ActivateOp, FusedExpertsOp, scf::ForOp,
                affine::AffineApplyOp, affine::AffineMinOp,
                affine::AffineMaxOp>(
              [&](auto concrete) { return run(concrete); })
          .Default([&](Operation *other) { return runUpstream(other); });
  if (!error)
    return llvm::Error::success();
  return llvm::createStringError(op->getName().getStringRef() + ": " +
                                 llvm::toString(std::move(error)));
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// Whether `given` can stand for `wanted`: signs of integers do not matter.
static bool sameStorage(ElementType given, ElementType wanted) {
  return given == wanted || (!isFloatType(given) && !isFloatType(wanted) &&
                             getBitWidth(given) == getBitWidth(wanted));
}

static llvm::Error checkInput(unsigned index, Type type,
                              const HostTensor &input) {
  auto mismatch = [&] {
    std::string text;
    llvm::raw_string_ostream(text) << type;
    return llvm::createStringError("argument " + Twine(index) + " of type " +
                                   text + " got " + input.describe());
  };
  auto tensorType = dyn_cast<RankedTensorType>(type);
  std::optional<ElementType> wanted =
      getStorageType(tensorType ? tensorType.getElementType() : type);
  if (!wanted || !sameStorage(input.getType(), *wanted))
    return mismatch();
  llvm::ArrayRef<int64_t> shape =
      tensorType ? tensorType.getShape() : llvm::ArrayRef<int64_t>();
  if (static_cast<int64_t>(shape.size()) != input.getRank())
    return mismatch();
  for (auto [want, got] : llvm::zip(shape, input.getShape()))
    if (!ShapedType::isDynamic(want) && want != got)
      return mismatch();
  return llvm::Error::success();
}

/// Rows `rows` of `tensor` along its first dimension.
static llvm::Expected<HostTensor> takeRows(const HostTensor &tensor,
                                           llvm::ArrayRef<int64_t> rows) {
  SmallVector<int64_t> shape(tensor.getShape());
  int64_t rowElements =
      tensor.getDim(0) ? tensor.getNumElements() / tensor.getDim(0) : 0;
  if (isPackedType(tensor.getType()) && rowElements % 2)
    return llvm::createStringError("rows of " + tensor.describe() +
                                   " do not start at a byte");
  shape[0] = rows.size();
  llvm::Expected<HostTensor> cut =
      HostTensor::createUninitialized(tensor.getType(), shape);
  if (!cut)
    return cut;
  uint64_t bytes = byteOffset(tensor, rowElements);
  for (auto [index, row] : llvm::enumerate(rows))
    std::memcpy(cut->getData() + index * bytes, tensor.getData() + row * bytes,
                bytes);
  return cut;
}

/// Binds the arguments, cut to options.rows where their first extent is
/// dynamic.
static llvm::Error bindInputs(func::FuncOp function,
                              llvm::ArrayRef<HostTensor> inputs,
                              const ReferenceOptions &options,
                              Executor &executor) {
  std::optional<int64_t> tokens;
  for (auto [index, pair] :
       llvm::enumerate(llvm::zip(function.getArguments(), inputs))) {
    auto &[arg, input] = pair;
    auto type = dyn_cast<RankedTensorType>(arg.getType());
    if (!type) {
      double number;
      convertToDouble(input.getType(), input.getData(), &number, 1);
      RefValue scalar = RefValue::ofNumber(number);
      scalar.integer = input.getType() == ElementType::I64
                           ? input.getAs<int64_t>()[0]
                           : static_cast<int64_t>(number);
      if (!options.rows.empty() && !isa<FloatType>(arg.getType()))
        return llvm::createStringError(
            "rows cannot be chosen in a function with integer argument " +
            Twine(index) + ", which may be a token count");
      executor.bind(arg, scalar);
      continue;
    }
    if (options.rows.empty() || type.getRank() == 0 || !type.isDynamicDim(0)) {
      // The caller keeps the input alive; no copy is made.
      RefValue value;
      value.tensor = std::shared_ptr<const HostTensor>(
          std::shared_ptr<const HostTensor>(), &input);
      executor.bind(arg, std::move(value));
      continue;
    }
    if (tokens && *tokens != input.getDim(0))
      return llvm::createStringError(
          "rows cannot be chosen: argument " + Twine(index) + " has " +
          Twine(input.getDim(0)) + " rows, an earlier one " + Twine(*tokens));
    tokens = input.getDim(0);
    for (int64_t row : options.rows)
      if (row < 0 || row >= *tokens)
        return llvm::createStringError(
            "row " + Twine(row) + " is outside [0, " + Twine(*tokens) + ")");
    llvm::Expected<HostTensor> cut = takeRows(input, options.rows);
    if (!cut)
      return cut.takeError();
    executor.bind(arg, RefValue::ofTensor(std::move(*cut)));
  }
  if (!options.rows.empty() && !tokens)
    return llvm::createStringError(
        "rows cannot be chosen: no argument has a dynamic first extent");
  return llvm::Error::success();
}

static llvm::Error appendTable(llvm::ArrayRef<int32_t> table,
                               SmallVectorImpl<HostTensor> &results) {
  llvm::Expected<HostTensor> tensor = HostTensor::createUninitialized(
      ElementType::I32, {static_cast<int64_t>(table.size())});
  if (!tensor)
    return tensor.takeError();
  llvm::copy(table, tensor->getAs<int32_t>().begin());
  results.push_back(std::move(*tensor));
  return llvm::Error::success();
}

static llvm::Error appendResult(Type type, const RefValue &value,
                                SmallVectorImpl<HostTensor> &results) {
  if (value.routing) {
    const RoutingTable &table = *value.routing;
    for (llvm::ArrayRef<int32_t> part :
         {llvm::ArrayRef(table.sortedSlots), llvm::ArrayRef(table.paddedSlots),
          llvm::ArrayRef(table.blockExperts), llvm::ArrayRef(table.offsets),
          llvm::ArrayRef(table.paddedOffsets),
          llvm::ArrayRef(table.slotExpert)})
      if (llvm::Error error = appendTable(part, results))
        return error;
    return llvm::Error::success();
  }
  if (value.tensor) {
    llvm::Expected<HostTensor> copy = value.tensor->clone();
    if (!copy)
      return copy.takeError();
    results.push_back(std::move(*copy));
    return llvm::Error::success();
  }
  std::optional<ElementType> storage = getStorageType(type);
  if (type.isInteger(1))
    storage = ElementType::I8;
  if (!storage)
    return llvm::createStringError("a result has no storage type");
  llvm::Expected<HostTensor> scalar = HostTensor::create(*storage, {});
  if (!scalar)
    return scalar.takeError();
  if (isa<FloatType>(type))
    convertFromDouble(*storage, &value.number, scalar->getData(), 1);
  else
    std::memcpy(scalar->getData(), &value.integer, scalar->getByteSize());
  results.push_back(std::move(*scalar));
  return llvm::Error::success();
}

llvm::Expected<llvm::SmallVector<HostTensor>>
moe::interpretFunction(func::FuncOp function, llvm::ArrayRef<HostTensor> inputs,
                       const ReferenceOptions &options) {
  auto fail = [&](llvm::Error error) {
    return llvm::createStringError("@" + function.getName() + ": " +
                                   llvm::toString(std::move(error)));
  };
  if (function.isExternal() || !function.getBody().hasOneBlock())
    return fail(llvm::createStringError(
        "the reference executes functions of one block"));
  if (inputs.size() != function.getNumArguments())
    return fail(
        llvm::createStringError("takes " + Twine(function.getNumArguments()) +
                                " arguments, got " + Twine(inputs.size())));
  for (auto [index, input] : llvm::enumerate(inputs))
    if (llvm::Error error =
            checkInput(index, function.getArgumentTypes()[index], input))
      return fail(std::move(error));

  Executor executor(options);
  if (llvm::Error error = bindInputs(function, inputs, options, executor))
    return fail(std::move(error));
  Block &body = function.getBody().front();
  for (Operation &op : body.without_terminator())
    if (llvm::Error error = executor.execute(&op))
      return fail(std::move(error));
  llvm::SmallVector<HostTensor> results;
  for (Value value : body.getTerminator()->getOperands())
    if (llvm::Error error =
            appendResult(value.getType(), executor.get(value), results))
      return fail(std::move(error));
  return std::move(results);
}
