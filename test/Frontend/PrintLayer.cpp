//===- PrintLayer.cpp - Test driver of the front end ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   PrintLayer (CONFIG.json | --model NAME) [--dtype D] [--tp N] [--ep N]
//
// Prints the description as a comment, then the verified module.
//
//===----------------------------------------------------------------------===//

#include "moec/Frontend/LayerDescription.h"

#include "mlir/IR/Verifier.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/WithColor.h"

using namespace mlir;
using namespace mlir::moe;
namespace cl = llvm::cl;

static cl::opt<std::string> path(cl::Positional);
static cl::opt<std::string> model("model");
static cl::opt<std::string> dtypeName("dtype");
static cl::opt<int64_t> tensorParallel("tp", cl::init(1));
static cl::opt<int64_t> expertParallel("ep", cl::init(1));
static cl::opt<bool> listModels("list-models");

static llvm::Expected<LayerDescription> load() {
  std::optional<Dtype> dtype;
  if (!dtypeName.empty()) {
    llvm::Expected<Dtype> parsed = parseDtype(dtypeName);
    if (!parsed)
      return parsed.takeError();
    dtype = *parsed;
  }
  if (model.empty()) {
    auto file = llvm::MemoryBuffer::getFileOrSTDIN(path);
    if (!file)
      return llvm::createStringError(file.getError(), "cannot open the file");
    return parseHuggingFaceConfig((*file)->getBuffer(), dtype);
  }
  llvm::Expected<LayerDescription> layer = getKnownModel(model);
  if (layer && dtype)
    layer->dtype = *dtype;
  return layer;
}

static llvm::Error run() {
  llvm::Expected<LayerDescription> layer = load();
  if (!layer)
    return layer.takeError();
  if (llvm::Error error = layer->applyTensorParallel(tensorParallel))
    return error;
  if (llvm::Error error = layer->applyExpertParallel(expertParallel))
    return error;
  const RouterDescription &router = layer->router;
  llvm::outs() << "// " << layer->name << " E " << layer->experts << " k "
               << layer->topk << " H " << layer->hidden << " I "
               << layer->intermediate << " shared " << layer->sharedIntermediate
               << (layer->sharedGate ? " gated" : "") << " dtype "
               << getDtypeInfo(layer->dtype).name << "\n// router "
               << stringifyScoring(router.scoring) << " groups "
               << router.groups << " of " << router.topkGroups << ' '
               << stringifyGroupScore(router.groupScore)
               << (router.renormalize ? " renormalize" : "")
               << (router.bias ? " bias" : "") << " scale " << router.scale
               << '\n';
  MLIRContext context;
  OwningOpRef<ModuleOp> module = buildLayer(&context, *layer);
  if (failed(mlir::verify(*module)))
    return llvm::createStringError("the module does not verify");
  module->print(llvm::outs());
  return llvm::Error::success();
}

int main(int argc, char **argv) {
  cl::ParseCommandLineOptions(argc, argv);
  if (listModels) {
    for (StringRef name : getKnownModels())
      llvm::outs() << name << '\n';
    return 0;
  }
  if (llvm::Error error = run()) {
    llvm::WithColor::error(llvm::errs(), "PrintLayer")
        << llvm::toString(std::move(error)) << '\n';
    return 1;
  }
  return 0;
}
