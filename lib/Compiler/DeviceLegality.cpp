//===- DeviceLegality.cpp - What a back end without a library takes -------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceLegality.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Intrinsics.h"

using namespace mlir;
using namespace mlir::moe;

/// What every GPU's back end was seen to select for all types; `name` is
/// without "llvm." and types. Anything else is for the rules to know.
static bool isCommonIntrinsic(StringRef name) {
  static const llvm::StringSet<> names = {
      // f16, bf16, f32, f64
      "fabs", "sqrt", "floor", "ceil", "trunc", "rint", "nearbyint", "round",
      "roundeven", "minnum", "maxnum", "minimum", "maximum", "minimumnum",
      "maximumnum", "copysign", "fma", "fmuladd", "is.fpclass", "fptosi.sat",
      "fptoui.sat",
      // integers
      "abs", "smin", "smax", "umin", "umax", "ctpop", "ctlz", "cttz", "bswap",
      "bitreverse", "fshl", "fshr", "sadd.sat", "uadd.sat", "ssub.sat",
      "usub.sat", "sshl.sat", "ushl.sat", "sadd.with.overflow",
      "uadd.with.overflow", "ssub.with.overflow", "usub.with.overflow",
      "smul.with.overflow", "umul.with.overflow", "scmp", "ucmp",
      // reductions of vectors, which are expanded
      "vector.reduce.add", "vector.reduce.mul", "vector.reduce.and",
      "vector.reduce.or", "vector.reduce.xor", "vector.reduce.smin",
      "vector.reduce.smax", "vector.reduce.umin", "vector.reduce.umax",
      "vector.reduce.fadd", "vector.reduce.fmul", "vector.reduce.fmin",
      "vector.reduce.fmax", "vector.reduce.fminimum", "vector.reduce.fmaximum",
      // memory, which becomes loops
      "memcpy", "memmove", "memset", "memcpy.inline", "memset.inline",
      // what leaves no code
      "assume", "expect", "expect.with.probability", "lifetime.start",
      "lifetime.end", "invariant.start", "invariant.end",
      "launder.invariant.group", "strip.invariant.group", "ptrmask",
      "is.constant", "experimental.noalias.scope.decl", "dbg.declare",
      "dbg.value", "dbg.label", "dbg.assign", "donothing", "sideeffect",
      "ptr.annotation", "var.annotation", "annotation", "trap", "debugtrap",
      "ubsantrap"};
  return names.contains(name);
}

static bool isKnown(const DeviceRules &rules, StringRef name, bool isDouble) {
  return name.starts_with(rules.intrinsics) || isCommonIntrinsic(name) ||
         rules.isKnown(name, isDouble);
}

/// The end of a message about the function that an operation needs.
static std::string explain(const DeviceRules &rules, StringRef name,
                           bool isDouble) {
  // Where only the wider type is at fault, it is said.
  bool typed = isDouble && isKnown(rules, name, /*isDouble=*/false);
  return ("needs the function '" + name + (typed ? "' of f64" : "'") +
          ", for which there is no code; " + rules.where +
          " it must be computed from operations that have an instruction")
      .str();
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

static LogicalResult checkIntrinsic(Operation *op, StringRef name,
                                    const DeviceRules &rules) {
  bool isDouble = llvm::any_of(op->getResultTypes(), [](Type type) {
    return getElementTypeOrSelf(type).isF64();
  });
  if (isKnown(rules, name, isDouble))
    return success();
  return op->emitOpError(explain(rules, name, isDouble));
}

static LogicalResult checkCall(LLVM::CallOp op, const DeviceRules &rules) {
  std::optional<StringRef> callee = op.getCallee();
  if (!callee)
    return op.emitOpError("is indirect, which kernels may not be");
  auto function = SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(
      op, op.getCalleeAttr().getAttr());
  if (function && !function.isExternal())
    return success();
  StringRef name = *callee;
  if (name.consume_front("llvm."))
    return checkIntrinsic(op, name.substr(0, name.rfind('.')), rules);
  return op.emitOpError() << "calls '" << name
                          << "', which is not defined in the module; "
                          << rules.where
                          << " it must be computed from operations that have "
                             "an instruction";
}

static LogicalResult checkOperation(Operation *op, const DeviceRules &rules) {
  if (auto call = dyn_cast<LLVM::CallOp>(op))
    return checkCall(call, rules);
  if (auto call = dyn_cast<LLVM::CallIntrinsicOp>(op)) {
    StringRef name = call.getIntrin();
    name.consume_front("llvm.");
    if (name.starts_with(rules.intrinsics))
      return rules.check(op);
    llvm::Intrinsic::ID id =
        llvm::Intrinsic::lookupIntrinsicID(call.getIntrin());
    if (id != llvm::Intrinsic::not_intrinsic)
      name = llvm::Intrinsic::getBaseName(id).drop_front(strlen("llvm."));
    return checkIntrinsic(op, name, rules);
  }
  StringRef name = op->getName().stripDialect();
  if (isa_and_nonnull<LLVM::LLVMDialect>(op->getDialect()) &&
      name.consume_front("intr.") && failed(checkIntrinsic(op, name, rules)))
    return failure();
  if (!isa_and_nonnull<LLVM::LLVMDialect>(op->getDialect()) &&
      !isa<ModuleOp>(op) &&
      op->getName().getDialectNamespace() != rules.dialect)
    return op->emitOpError("is not lowered to the LLVM or ")
           << rules.dialectTitle << " dialect";
  return rules.check(op);
}

LogicalResult mlir::moe::checkDeviceLegal(ModuleOp module,
                                          const DeviceRules &rules) {
  bool legal = true;
  module.walk(
      [&](Operation *op) { legal &= succeeded(checkOperation(op, rules)); });
  return success(legal);
}

LogicalResult mlir::moe::checkDeviceKernels(ModuleOp module,
                                            ArrayRef<std::string> kernels,
                                            StringRef attribute) {
  for (const std::string &name : kernels) {
    auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(name);
    if (!function || function.isExternal())
      return emitError(module.getLoc())
             << "kernel '" << name << "' is launched but not defined";
    if (!function->hasAttr(attribute))
      return function.emitOpError()
             << "'" << name << "' is launched but has no " << attribute;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// LLVM IR
//===----------------------------------------------------------------------===//

LogicalResult mlir::moe::checkDeviceLegal(Location location,
                                          const llvm::Module &module,
                                          const DeviceRules &rules) {
  auto inWhat = [](const llvm::Function &callee) -> std::string {
    for (const llvm::User *user : callee.users())
      if (auto *call = dyn_cast<llvm::Instruction>(user))
        return "kernel '" + call->getFunction()->getName().str() + "' ";
    return "the module ";
  };
  for (const llvm::Function &function : module) {
    if (!function.isDeclaration() || function.use_empty())
      continue;
    if (!function.isIntrinsic())
      return emitError(location)
             << inWhat(function) << "needs '" << function.getName()
             << "', which is not defined; " << rules.where
             << " it must be computed from operations that have an "
                "instruction";
    StringRef name = llvm::Intrinsic::getBaseName(function.getIntrinsicID());
    name.consume_front("llvm.");
    bool isDouble = function.getReturnType()->getScalarType()->isDoubleTy();
    if (!isKnown(rules, name, isDouble))
      return emitError(location)
             << inWhat(function) << explain(rules, name, isDouble);
  }
  return success();
}

void mlir::moe::demoteHiddenKernels(llvm::Module &module) {
  for (llvm::Function &function : module)
    if (function.hasInternalLinkage())
      function.setCallingConv(llvm::CallingConv::C);
}
