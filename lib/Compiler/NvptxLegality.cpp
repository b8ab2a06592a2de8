//===- NvptxLegality.cpp - What the NVPTX back end can take ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The back end has no library to call: for an intrinsic without an instruction
// it ends the process. What is listed here was seen to be selected, for all
// types but those named in isSelected; anything else is refused.
//
//===----------------------------------------------------------------------===//

#include "NvptxLegality.h"
#include "moec/Compiler/NvptxEmitter.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/Module.h"

using namespace mlir;
using namespace mlir::moe;

/// Whether the intrinsic of this name, without "llvm." and types, is one that
/// the back end can select.
static bool isKnownIntrinsic(StringRef name) {
  static const llvm::StringSet<> names = {
      // f16, bf16, f32, f64
      "fabs", "sqrt", "floor", "ceil", "trunc", "rint", "nearbyint", "round",
      "roundeven", "exp2", "minnum", "maxnum", "minimum", "maximum",
      "minimumnum", "maximumnum", "copysign", "fma", "fmuladd", "is.fpclass",
      "fptosi.sat", "fptoui.sat",
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
  return name.starts_with("nvvm.") || names.contains(name);
}

static const char *const advice =
    "; on NVIDIA GPUs it must be computed from operations that have an "
    "instruction";

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

/// `name`: without "llvm." and types.
static LogicalResult checkIntrinsic(Operation *op, StringRef name) {
  if (!isKnownIntrinsic(name))
    return op->emitOpError() << "needs the function '" << name
                             << "', for which there is no code" << advice;
  bool isDouble = llvm::any_of(op->getResultTypes(), [](Type type) {
    return getElementTypeOrSelf(type).isF64();
  });
  if (name == "exp2" && isDouble)
    return op->emitOpError()
           << "needs the function 'exp2' of f64, for which there is no code"
           << advice;
  return success();
}

/// Orders above `monotonic` are dropped by the back end without a word.
static LogicalResult checkOrder(Operation *op, LLVM::AtomicOrdering order) {
  if (order == LLVM::AtomicOrdering::not_atomic ||
      order == LLVM::AtomicOrdering::unordered ||
      order == LLVM::AtomicOrdering::monotonic)
    return success();
  return op->emitOpError()
         << "has the order '" << LLVM::stringifyAtomicOrdering(order)
         << "', which the NVPTX back end does not keep; use 'monotonic' "
            "and fences";
}

static LogicalResult checkCall(LLVM::CallOp op) {
  std::optional<StringRef> callee = op.getCallee();
  if (!callee)
    return op.emitOpError("is indirect, which kernels may not be");
  auto function = SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(
      op, op.getCalleeAttr().getAttr());
  if (function && !function.isExternal())
    return success();
  StringRef name = *callee;
  if (name.consume_front("llvm."))
    return checkIntrinsic(op, name.substr(0, name.rfind('.')));
  return op.emitOpError() << "calls '" << name
                          << "', which is not defined in the module" << advice;
}

static LogicalResult checkOperation(Operation *op) {
  if (auto call = dyn_cast<LLVM::CallOp>(op))
    return checkCall(call);
  if (auto atomic = dyn_cast<LLVM::AtomicRMWOp>(op))
    return checkOrder(op, atomic.getOrdering());
  if (auto call = dyn_cast<LLVM::CallIntrinsicOp>(op)) {
    StringRef name = call.getIntrin();
    name.consume_front("llvm.");
    if (name.starts_with("nvvm."))
      return success();
    llvm::Intrinsic::ID id =
        llvm::Intrinsic::lookupIntrinsicID(call.getIntrin());
    if (id != llvm::Intrinsic::not_intrinsic)
      name = llvm::Intrinsic::getBaseName(id).drop_front(strlen("llvm."));
    return checkIntrinsic(op, name);
  }
  StringRef name = op->getName().stripDialect();
  if (isa_and_nonnull<LLVM::LLVMDialect>(op->getDialect())) {
    return name.consume_front("intr.") ? checkIntrinsic(op, name) : success();
  }
  if (isa_and_nonnull<NVVM::NVVMDialect>(op->getDialect()) || isa<ModuleOp>(op))
    return success();
  return op->emitOpError("is not lowered to the LLVM or NVVM dialect");
}

LogicalResult mlir::moe::checkNvptxLegal(ModuleOp module) {
  // All of them are named, not only the first.
  bool legal = true;
  module.walk([&](Operation *op) { legal &= succeeded(checkOperation(op)); });
  return success(legal);
}

//===----------------------------------------------------------------------===//
// LLVM IR
//===----------------------------------------------------------------------===//

LogicalResult mlir::moe::checkNvptxLegal(Location location,
                                         const llvm::Module &module) {
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
             << "', which is not defined" << advice;
    StringRef name = llvm::Intrinsic::getBaseName(function.getIntrinsicID());
    name.consume_front("llvm.");
    bool isDouble = name == "exp2" &&
                    function.getReturnType()->getScalarType()->isDoubleTy();
    if (!isKnownIntrinsic(name) || isDouble)
      return emitError(location)
             << inWhat(function) << "needs the function '" << name
             << "', for which there is no code" << advice;
  }
  return success();
}
