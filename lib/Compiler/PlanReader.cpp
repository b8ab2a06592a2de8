//===- PlanReader.cpp - From a plan to launches ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/PlanReader.h"

#include "PlanEvaluator.h"
#include "moec-c/Runtime.h"

using namespace mlir;
using namespace mlir::moe;

/// A launch of a CPU kernel passes its arguments in order.
static LogicalResult readLaunch(PlanEvaluator &plan, tile::LaunchOp op) {
  ManifestLaunch launch;
  launch.kernel = op.getCallee().str();
  for (Value argument : op.getArguments()) {
    using Kind = ManifestLaunchArgument::Kind;
    if (argument.getType().isIndex()) {
      FailureOr<TokenSize> value = plan.size(argument, op);
      if (failed(value))
        return failure();
      launch.args.push_back({Kind::Dim, 0, *value});
      continue;
    }
    auto type = dyn_cast<MemRefType>(argument.getType());
    if (!type)
      return op.emitOpError("passes a value of type ")
             << argument.getType() << ", but kernels take memrefs and indices";
    FailureOr<ManifestLaunchArgument> memory = plan.memory(argument, op);
    if (failed(memory))
      return failure();
    launch.args.push_back(*memory);
    for (int64_t dim = 0; dim < type.getRank(); ++dim) {
      if (!type.isDynamicDim(dim))
        continue;
      FailureOr<TokenSize> value = plan.extent(argument, dim, op);
      if (failed(value))
        return failure();
      launch.args.push_back({Kind::Dim, 0, *value});
    }
  }
  plan.info.launches.push_back(std::move(launch));
  return success();
}

FailureOr<PlanInfo> mlir::moe::readPlan(tile::PlanOp plan) {
  PlanEvaluator evaluator(plan);
  return evaluator.read(
      [&](tile::LaunchOp op) { return readLaunch(evaluator, op); });
}

std::vector<std::string> PlanInfo::kernels() const {
  std::vector<std::string> names;
  for (const ManifestLaunch &launch : launches)
    if (!llvm::is_contained(names, launch.kernel))
      names.push_back(launch.kernel);
  return names;
}

LogicalResult mlir::moe::addScratch(ModuleOp module, PlanInfo &plan) {
  int64_t largest = 0;
  SmallVector<ManifestLaunch *> users;
  for (ManifestLaunch &launch : plan.launches) {
    Operation *function = module.lookupSymbol(launch.kernel);
    auto bytes =
        function ? function->getAttrOfType<IntegerAttr>("moec.scratch_bytes")
                 : IntegerAttr();
    if (!bytes)
      continue;
    if (bytes.getInt() <= 0 || bytes.getInt() % MOEC_WORKSPACE_ALIGN != 0)
      return function->emitOpError("moec.scratch_bytes = ")
             << bytes.getInt() << " is not a positive multiple of "
             << MOEC_WORKSPACE_ALIGN;
    largest = std::max(largest, bytes.getInt());
    users.push_back(&launch);
  }
  if (users.empty())
    return success();
  // Launches follow one another, so they share the slice; a kernel with less
  // need uses the front of each worker's piece or packs its own pieces.
  int64_t number = plan.workspaces.size();
  ManifestWorkspace scratch;
  scratch.name = "scratch";
  scratch.bytes.push_back({0, largest, 1});
  scratch.perWorker = true;
  plan.workspaces.push_back(std::move(scratch));
  for (ManifestLaunch *launch : users)
    launch->args.push_back(
        {ManifestLaunchArgument::Kind::Workspace, number, {}});
  return success();
}
