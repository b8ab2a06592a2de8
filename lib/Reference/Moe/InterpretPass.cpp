//===- InterpretPass.cpp - moe-interpret ----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moec/Reference/Moe/Compare.h"
#include "moec/Reference/Moe/Interpreter.h"
#include "moec/Reference/Moe/Passes.h"
#include "moec/Reference/Moe/RandomInputs.h"
#include "moec/Support/TensorIO.h"
#include "llvm/Support/Format.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEINTERPRETPASS
#include "moec/Reference/Moe/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// Prints elements [begin, begin + extent) of nested brackets until `left`
/// elements are printed.
static void printNested(raw_ostream &os, const std::vector<double> &values,
                        ArrayRef<int64_t> shape, int64_t begin, int64_t &left) {
  if (shape.empty()) {
    os << llvm::format("%.6g", values[begin]);
    --left;
    return;
  }
  int64_t stride = 1;
  for (int64_t extent : shape.drop_front())
    stride *= extent;
  os << '[';
  for (int64_t i = 0; i < shape[0] && left > 0; ++i) {
    if (i)
      os << ", ";
    printNested(os, values, shape.drop_front(), begin + i * stride, left);
  }
  os << ']';
}

static void printTensor(raw_ostream &os, const HostTensor &tensor,
                        int64_t limit) {
  std::vector<double> values(tensor.getNumElements());
  convertToDouble(tensor.getType(), tensor.getData(), values.data(),
                  values.size());
  os << tensor.describe() << ": ";
  int64_t left = limit;
  printNested(os, values, tensor.getShape(), 0, left);
  if (tensor.getNumElements() > limit)
    os << " and " << tensor.getNumElements() - limit << " more";
  os << '\n';
}

/// DIR/<function>.<kind><index>.npy
static std::string getFile(StringRef directory, func::FuncOp function,
                           StringRef kind, size_t index) {
  return (directory + "/" + function.getName() + "." + kind + Twine(index) +
          ".npy")
      .str();
}

namespace {
struct MoeInterpretPass : moe::impl::MoeInterpretPassBase<MoeInterpretPass> {
  using Base::Base;

  void runOnOperation() override {
    if (failed(readOptions()) || failed(runAll()))
      signalPassFailure();
  }

private:
  LogicalResult readOptions();
  LogicalResult runAll();
  /// The functions of a list of names, with or without @.
  FailureOr<SmallVector<func::FuncOp>> lookUp(ArrayRef<std::string> names);
  FailureOr<SmallVector<HostTensor>> makeInputs(func::FuncOp function,
                                                int64_t tokenCount);
  FailureOr<SmallVector<HostTensor>> execute(func::FuncOp function,
                                             ArrayRef<HostTensor> arguments);
  /// Writes tensor i to DIR/<function>.<kind>i.npy.
  LogicalResult dumpAll(func::FuncOp function, StringRef kind,
                        ArrayRef<HostTensor> tensors);
  FailureOr<SmallVector<HostTensor>> readArguments(func::FuncOp function,
                                                   StringRef directory);
  /// Runs the others on the arguments of the first.
  LogicalResult compareAll(MutableArrayRef<func::FuncOp> list,
                           int64_t tokenCount);
  /// A negative token count is not mentioned.
  LogicalResult compareResults(func::FuncOp function, ArrayRef<HostTensor> got,
                               ArrayRef<HostTensor> wanted, const Twine &origin,
                               int64_t tokenCount);
  LogicalResult compareWithDump(func::FuncOp function);
  LogicalResult fail(Operation *op, llvm::Error error) {
    return op->emitError() << llvm::toString(std::move(error));
  }

  ReferenceOptions reference;
  RandomOptions random;
};
} // namespace

LogicalResult MoeInterpretPass::readOptions() {
  if (accumulate != "f64" && accumulate != "f32")
    return getOperation().emitError()
           << "moe-interpret: accumulate must be f64 or f32, got '"
           << accumulate << "'";
  reference.accumulate =
      accumulate == "f64" ? Accumulate::F64 : Accumulate::F32;
  reference.threads = threads;
  reference.rows = ArrayRef<int64_t>(rows);
  std::optional<IdStyle> style = parseIdStyle(ids);
  if (!style)
    return getOperation().emitError()
           << "moe-interpret: ids must be mixed, unique, skewed, one or none, "
              "got '"
           << ids << "'";
  random.ids = *style;
  random.seed = seed;
  for (int64_t count : tokens)
    if (count < 0)
      return getOperation().emitError()
             << "moe-interpret: a token count cannot be negative, got "
             << count;
  return success();
}

FailureOr<SmallVector<func::FuncOp>>
MoeInterpretPass::lookUp(ArrayRef<std::string> names) {
  SmallVector<func::FuncOp> list;
  if (names.empty()) {
    getOperation().walk([&](func::FuncOp function) {
      if (!function.isExternal())
        list.push_back(function);
    });
    return list;
  }
  for (StringRef name : names) {
    name.consume_front("@");
    auto function = getOperation().lookupSymbol<func::FuncOp>(name);
    if (!function)
      return getOperation().emitError()
             << "moe-interpret: no function @" << name;
    list.push_back(function);
  }
  return list;
}

FailureOr<SmallVector<HostTensor>>
MoeInterpretPass::readArguments(func::FuncOp function, StringRef directory) {
  SmallVector<HostTensor> read;
  for (auto [index, type] : llvm::enumerate(function.getArgumentTypes())) {
    llvm::Expected<HostTensor> tensor =
        readNpy(getFile(directory, function, "arg", index),
                getStorageType(getElementTypeOrSelf(type)));
    if (!tensor)
      return fail(function, tensor.takeError());
    read.push_back(std::move(*tensor));
  }
  return read;
}

FailureOr<SmallVector<HostTensor>>
MoeInterpretPass::makeInputs(func::FuncOp function, int64_t tokenCount) {
  if (!inputs.empty())
    return readArguments(function, inputs);
  random.tokens = tokenCount;
  llvm::Expected<SmallVector<HostTensor>> made =
      makeRandomInputs(function, random);
  if (!made)
    return fail(function, made.takeError());
  return std::move(*made);
}

FailureOr<SmallVector<HostTensor>>
MoeInterpretPass::execute(func::FuncOp function,
                          ArrayRef<HostTensor> arguments) {
  llvm::Expected<SmallVector<HostTensor>> results =
      interpretFunction(function, arguments, reference);
  if (!results)
    return fail(function, results.takeError());
  ++numExecuted;
  if (failed(dumpAll(function, "arg", arguments)) ||
      failed(dumpAll(function, "res", *results)))
    return failure();
  return std::move(*results);
}

LogicalResult MoeInterpretPass::dumpAll(func::FuncOp function, StringRef kind,
                                        ArrayRef<HostTensor> tensors) {
  if (dump.empty())
    return success();
  for (auto [index, tensor] : llvm::enumerate(tensors))
    if (llvm::Error error =
            writeNpy(getFile(dump, function, kind, index), tensor))
      return fail(function, std::move(error));
  return success();
}

LogicalResult MoeInterpretPass::compareAll(MutableArrayRef<func::FuncOp> list,
                                           int64_t tokenCount) {
  FailureOr<SmallVector<HostTensor>> arguments =
      makeInputs(list[0], tokenCount);
  if (failed(arguments))
    return failure();
  FailureOr<SmallVector<HostTensor>> wanted = execute(list[0], *arguments);
  if (failed(wanted))
    return failure();
  for (func::FuncOp function : llvm::drop_begin(list)) {
    FailureOr<SmallVector<HostTensor>> got = execute(function, *arguments);
    if (failed(got) || failed(compareResults(
                           function, *got, *wanted,
                           "that of @" + list[0].getName().str(), tokenCount)))
      return failure();
  }
  return success();
}

LogicalResult MoeInterpretPass::compareResults(func::FuncOp function,
                                               ArrayRef<HostTensor> got,
                                               ArrayRef<HostTensor> wanted,
                                               const Twine &origin,
                                               int64_t tokenCount) {
  double bound = tolerance < 0 ? 0.0 : tolerance;
  std::string where = origin.str();
  if (tokenCount >= 0)
    where += " with " + std::to_string(tokenCount) + " tokens";
  if (got.size() != wanted.size())
    return function.emitError()
           << "@" << function.getName() << " has " << got.size()
           << " results, expected " << wanted.size();
  for (size_t index = 0; index < got.size(); ++index) {
    llvm::Expected<Difference> difference =
        compareTensors(got[index], wanted[index]);
    if (!difference)
      return fail(function, difference.takeError());
    ++numCompared;
    std::string text = difference->describe(wanted[index].getShape());
    if (!(difference->relErr <= bound))
      return function.emitError()
             << "result " << index << " of @" << function.getName()
             << " differs from " << where << ": " << text << ", tolerance "
             << bound;
    llvm::outs() << "@" << function.getName() << " result " << index
                 << " equals " << where << ": " << text << "\n";
  }
  return success();
}

LogicalResult MoeInterpretPass::compareWithDump(func::FuncOp function) {
  FailureOr<SmallVector<HostTensor>> arguments =
      readArguments(function, expect);
  if (failed(arguments))
    return failure();
  FailureOr<SmallVector<HostTensor>> got = execute(function, *arguments);
  if (failed(got))
    return failure();
  SmallVector<HostTensor> wanted;
  for (auto [index, result] : llvm::enumerate(*got)) {
    llvm::Expected<HostTensor> tensor =
        readNpy(getFile(expect, function, "res", index), result.getType());
    if (!tensor)
      return fail(function, tensor.takeError());
    wanted.push_back(std::move(*tensor));
  }
  return compareResults(function, *got, wanted, "the dump", /*tokenCount=*/-1);
}

LogicalResult MoeInterpretPass::runAll() {
  bool comparing = !compare.empty() || (expect.empty() && tolerance >= 0);
  FailureOr<SmallVector<func::FuncOp>> list =
      lookUp(compare.empty() ? ArrayRef<std::string>(functions)
                             : ArrayRef<std::string>(compare));
  if (failed(list))
    return failure();
  if (comparing && list->size() < 2)
    return getOperation().emitError()
           << "moe-interpret: a comparison needs two functions, got "
           << list->size();
  SmallVector<int64_t> counts(ArrayRef<int64_t>(tokens).begin(),
                              ArrayRef<int64_t>(tokens).end());
  if (counts.empty())
    counts.push_back(4);
  if (counts.size() > 1 && !(inputs.empty() && dump.empty() && expect.empty()))
    return getOperation().emitError()
           << "moe-interpret: inputs, dump and expect take one token count, "
              "got "
           << counts.size();
  for (int64_t count : counts) {
    if (comparing) {
      if (failed(compareAll(*list, count)))
        return failure();
      continue;
    }
    for (func::FuncOp function : *list) {
      if (!expect.empty()) {
        if (failed(compareWithDump(function)))
          return failure();
        continue;
      }
      FailureOr<SmallVector<HostTensor>> arguments =
          makeInputs(function, count);
      if (failed(arguments))
        return failure();
      FailureOr<SmallVector<HostTensor>> results =
          execute(function, *arguments);
      if (failed(results))
        return failure();
      for (auto [index, result] : llvm::enumerate(*results)) {
        llvm::outs() << "@" << function.getName() << " result " << index << " ";
        printTensor(llvm::outs(), result, limit);
      }
    }
  }
  return success();
}
