//===- PlanEvaluator.cpp - Sizes and memory of a plan ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlanEvaluator.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "moec-c/Runtime.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/CheckedArithmetic.h"
#include "llvm/Support/MathExtras.h"

#include <numeric>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Arithmetic on sizes
//===----------------------------------------------------------------------===//

/// Numbers of the manifest are 64-bit; a size that leaves them is refused.
static std::optional<TokenSize> make(std::optional<int64_t> tokens,
                                     std::optional<int64_t> constant,
                                     std::optional<int64_t> divisor) {
  if (!tokens || !constant || !divisor)
    return std::nullopt;
  int64_t common = std::gcd(std::gcd(*tokens, *constant), *divisor);
  if (*tokens == 0)
    return TokenSize{0, llvm::divideCeilSigned(*constant, *divisor), 1};
  // Exact: a common factor of all three cancels inside of the ceiling.
  return TokenSize{*tokens / common, *constant / common, *divisor / common};
}

std::optional<TokenSize> mlir::moe::add(const TokenSize &a,
                                        const TokenSize &b) {
  // ceil(x / d) + y = ceil((x + d y) / d); two ceilings do not merge.
  if (a.divisor != 1 && b.divisor != 1)
    return std::nullopt;
  const TokenSize &whole = a.divisor == 1 ? a : b;
  const TokenSize &other = a.divisor == 1 ? b : a;
  auto tokens = llvm::checkedMulAdd(whole.tokens, other.divisor, other.tokens);
  auto constant =
      llvm::checkedMulAdd(whole.constant, other.divisor, other.constant);
  return make(tokens, constant, other.divisor);
}

std::optional<TokenSize> mlir::moe::multiply(const TokenSize &a,
                                             const TokenSize &b) {
  if (!a.isConstant() && !b.isConstant())
    return std::nullopt;
  const TokenSize &size = a.isConstant() ? b : a;
  int64_t factor = a.isConstant() ? a.constant : b.constant;
  if (size.divisor != 1 && factor != 1)
    return std::nullopt;
  return make(llvm::checkedMul(size.tokens, factor),
              llvm::checkedMul(size.constant, factor), size.divisor);
}

/// As multiply, but a rounded size becomes its least upper bound of the
/// manifest's form: ceil(x / d) <= (x + d - 1) / d.
static std::optional<TokenSize> multiplyUp(const TokenSize &a,
                                           const TokenSize &b) {
  if (std::optional<TokenSize> exact = multiply(a, b))
    return exact;
  if (!a.isConstant() && !b.isConstant())
    return std::nullopt;
  TokenSize size = a.isConstant() ? b : a;
  int64_t factor = a.isConstant() ? a.constant : b.constant;
  return make(llvm::checkedMul(size.tokens, factor),
              llvm::checkedMul(size.constant + size.divisor - 1, factor),
              size.divisor);
}

std::optional<TokenSize> mlir::moe::ceilDivide(const TokenSize &a,
                                               const TokenSize &b) {
  if (!b.isConstant() || b.constant <= 0)
    return std::nullopt;
  // ceil(ceil(x / d) / e) = ceil(x / (d e)).
  return make(a.tokens, a.constant, llvm::checkedMul(a.divisor, b.constant));
}

/// Only where nothing remains, for every number of tokens.
static std::optional<TokenSize> divideExactly(const TokenSize &a,
                                              const TokenSize &b) {
  if (!b.isConstant() || b.constant <= 0 || a.divisor != 1 ||
      a.tokens % b.constant != 0 || a.constant % b.constant != 0)
    return std::nullopt;
  return TokenSize{a.tokens / b.constant, a.constant / b.constant, 1};
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// The manifest's name of an element type, "" if there is none.
std::string mlir::moe::getManifestDtype(Type type) {
  if (auto integer = dyn_cast<IntegerType>(type)) {
    if (integer.getWidth() == 1)
      return "bool";
    if (integer.getWidth() == 8 && integer.isUnsigned())
      return "u8";
    if (!integer.isUnsigned() &&
        llvm::is_contained({8u, 16u, 32u, 64u}, integer.getWidth()))
      return "i" + std::to_string(integer.getWidth());
    return "";
  }
  if (isa<Float64Type, Float32Type, Float16Type, BFloat16Type, Float8E4M3FNType,
          Float8E5M2Type, Float8E4M3FNUZType, Float8E5M2FNUZType,
          Float8E8M0FNUType>(type)) {
    std::string name;
    llvm::raw_string_ostream(name) << type;
    return name;
  }
  return "";
}

LogicalResult PlanEvaluator::readArgument(BlockArgument argument) {
  unsigned number = argument.getArgNumber();
  auto refuse = [&](const Twine &why) {
    return plan.emitOpError("argument ") << number << why;
  };
  auto type = dyn_cast<MemRefType>(argument.getType());
  if (!type || !type.getLayout().isIdentity())
    return refuse(" must be a row-major memref");
  ManifestArgument result;
  auto name = plan.getArgAttrOfType<StringAttr>(number, "moe.name");
  result.name = name ? name.str() : "arg" + std::to_string(number);
  auto role = plan.getArgAttrOfType<StringAttr>(number, "moe.role");
  if (role && role.getValue() == "device_tokens") {
    // The run time has a place of its own for it.
    if (type.getShape() != ArrayRef<int64_t>{1} ||
        !type.getElementType().isInteger(32))
      return refuse(" with moe.role = \"device_tokens\" must be memref<1xi32>");
    memories[argument] = {
        ManifestLaunchArgument::Kind::DeviceTokens, 0, {}, "i32", std::nullopt};
    return success();
  }
  if (!role || (role.getValue() != "input" && role.getValue() != "output"))
    return refuse(
        " needs moe.role = \"input\", \"output\" or \"device_tokens\"");
  result.output = role.getValue() == "output";
  result.optional = static_cast<bool>(plan.getArgAttr(number, "moe.optional"));
  if (auto by = plan.getArgAttrOfType<StringAttr>(number, "moe.packed_by"))
    result.packedBy = by.str();
  result.dtype = getManifestDtype(type.getElementType());
  if (result.dtype.empty()) {
    std::string element;
    llvm::raw_string_ostream(element) << type.getElementType();
    return refuse(" has elements of type " + element +
                  ", which no tensor of the run time has");
  }
  if (type.getRank() > MOEC_MAX_RANK)
    return refuse(" has rank " + Twine(type.getRank()) + ", at most " +
                  Twine(MOEC_MAX_RANK) + " is supported");
  for (auto [dim, size] : llvm::enumerate(type.getShape())) {
    if (ShapedType::isDynamic(size) && dim != 0)
      return refuse(" is dynamic in dimension " + Twine(dim) +
                    "; only dimension 0, the tokens, may be");
    result.shape.push_back(ShapedType::isDynamic(size) ? TokenSize{1, 0, 1}
                                                       : TokenSize{0, size, 1});
  }
  memories[argument] = {ManifestLaunchArgument::Kind::Argument,
                        static_cast<int64_t>(info.arguments.size()),
                        {}};
  info.arguments.push_back(std::move(result));
  return success();
}

Value PlanEvaluator::root(Value memory, Operation *user) {
  while (Operation *view = memory.getDefiningOp()) {
    if (!isa<memref::CastOp, memref::ExpandShapeOp, memref::CollapseShapeOp>(
            view))
      break;
    memory = view->getOperand(0);
  }
  if (memories.contains(memory))
    return memory;
  user->emitOpError("uses memory that is neither an argument of the plan nor "
                    "a workspace");
  return {};
}

FailureOr<ManifestLaunchArgument> PlanEvaluator::memory(Value memory,
                                                        Operation *user) {
  Value source = root(memory, user);
  if (!source)
    return failure();
  return memories.find(source)->second;
}

FailureOr<TokenSize>
PlanEvaluator::product(Value memory, ArrayRef<int64_t> dims, Operation *user) {
  TokenSize result{0, 1, 1};
  for (int64_t dim : dims) {
    FailureOr<TokenSize> next = extent(memory, dim, user);
    if (failed(next))
      return failure();
    std::optional<TokenSize> both = multiply(result, *next);
    if (!both)
      return user->emitOpError("joins dimensions to an extent that is not "
                               "linear in the number of tokens");
    result = *both;
  }
  return result;
}

FailureOr<TokenSize> PlanEvaluator::extent(Value memory, int64_t dim,
                                           Operation *user) {
  auto viewType = cast<MemRefType>(memory.getType());
  if (dim >= 0 && dim < viewType.getRank()) {
    if (!viewType.isDynamicDim(dim))
      return TokenSize{0, viewType.getDimSize(dim), 1};
    if (auto collapse = memory.getDefiningOp<memref::CollapseShapeOp>())
      return product(collapse.getSrc(), collapse.getReassociationIndices()[dim],
                     user);
    if (auto expand = memory.getDefiningOp<memref::ExpandShapeOp>())
      return size(expand.getOutputShape()[viewType.getDynamicDimIndex(dim)],
                  user);
    if (auto cast = memory.getDefiningOp<memref::CastOp>())
      return extent(cast.getSource(), dim, user);
  }
  Value source = root(memory, user);
  if (!source)
    return failure();
  auto type = cast<MemRefType>(source.getType());
  if (dim < 0 || dim >= type.getRank())
    return user->emitOpError("dimension ")
           << dim << " of a memref of rank " << type.getRank();
  if (!type.isDynamicDim(dim))
    return TokenSize{0, type.getDimSize(dim), 1};
  if (auto workspace = source.getDefiningOp<tile::WorkspaceOp>())
    return size(workspace.getSizes()[type.getDynamicDimIndex(dim)], user);
  return TokenSize{1, 0, 1};
}

FailureOr<TokenSize> PlanEvaluator::size(Value value, Operation *user) {
  auto known = sizes.find(value);
  if (known != sizes.end())
    return known->second;
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant))) {
    if (constant.isNegative())
      return user->emitOpError("size ")
             << constant.getSExtValue() << " is negative";
    return TokenSize{0, constant.getSExtValue(), 1};
  }
  return user->emitOpError("needs a size of the form ceil((a*T + b) / d) with "
                           "T the number of tokens");
}

LogicalResult PlanEvaluator::readIndex(Operation &op) {
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    FailureOr<TokenSize> number = size(dim.getIndex(), &op);
    if (failed(number))
      return failure();
    if (!number->isConstant())
      return op.emitOpError("needs a constant dimension number");
    FailureOr<TokenSize> result =
        extent(dim.getSource(), number->constant, &op);
    if (failed(result))
      return failure();
    sizes[dim] = *result;
    return success();
  }
  if (op.getNumOperands() == 1 && op.getNumResults() == 1 &&
      isa<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtSIOp,
          arith::ExtUIOp>(op)) {
    FailureOr<TokenSize> result = size(op.getOperand(0), &op);
    if (succeeded(result))
      sizes[op.getResult(0)] = *result;
    return result;
  }
  if (op.getNumOperands() != 2 || op.getNumResults() != 1)
    return op.emitOpError("is not allowed in a plan that becomes an artifact");
  FailureOr<TokenSize> a = size(op.getOperand(0), &op);
  if (failed(a))
    return failure();
  FailureOr<TokenSize> b = size(op.getOperand(1), &op);
  if (failed(b))
    return failure();
  std::optional<TokenSize> result;
  if (isa<arith::AddIOp>(op))
    result = add(*a, *b);
  else if (isa<arith::MulIOp>(op))
    result = multiply(*a, *b);
  else if (isa<arith::CeilDivSIOp, arith::CeilDivUIOp>(op))
    result = ceilDivide(*a, *b);
  else if (isa<arith::DivSIOp, arith::DivUIOp>(op))
    result = divideExactly(*a, *b);
  else
    return op.emitOpError("is not allowed in a plan that becomes an artifact");
  if (!result)
    return op.emitOpError(
        "gives a size that is not of the form ceil((a*T + b) / d) with T the "
        "number of tokens and 64-bit a, b and d");
  sizes[op.getResult(0)] = *result;
  return success();
}

LogicalResult PlanEvaluator::readWorkspace(tile::WorkspaceOp op) {
  auto type = dyn_cast<MemRefType>(op.getMemory().getType());
  if (!type || !type.getLayout().isIdentity())
    return op.emitOpError("must be a row-major memref");
  Type element = type.getElementType();
  if (!element.isIntOrFloat())
    return op.emitOpError("has elements of unknown size");
  memories[op.getMemory()] = {ManifestLaunchArgument::Kind::Workspace,
                              static_cast<int64_t>(info.workspaces.size()),
                              {}};
  std::optional<TokenSize> bytes =
      TokenSize{0,
                static_cast<int64_t>(
                    llvm::divideCeil(element.getIntOrFloatBitWidth(), 8u)),
                1};
  // Rounded factors last: a bound of a bound is larger than need be.
  SmallVector<TokenSize> extents;
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    FailureOr<TokenSize> next = extent(op.getMemory(), dim, op);
    if (failed(next))
      return failure();
    extents.push_back(*next);
  }
  llvm::sort(extents, [](const TokenSize &a, const TokenSize &b) {
    return a.divisor < b.divisor;
  });
  for (const TokenSize &next : extents) {
    bytes = multiplyUp(*bytes, next);
    if (!bytes)
      return op.emitOpError("has a size in bytes that is not linear in the "
                            "number of tokens or does not fit 64 bits");
  }
  ManifestWorkspace workspace;
  workspace.name = "ws" + std::to_string(info.workspaces.size());
  workspace.bytes.push_back(*bytes);
  workspace.zero = op.getZero();
  workspace.align = op.getAlignment().value_or(MOEC_WORKSPACE_ALIGN);
  if (workspace.align > 4096)
    return op.emitOpError("alignment ") << workspace.align << " is above 4096";
  info.workspaces.push_back(std::move(workspace));
  return success();
}

FailureOr<PlanInfo> PlanEvaluator::read(
    llvm::function_ref<LogicalResult(tile::LaunchOp)> readLaunch) {
  for (BlockArgument argument : plan.getBody().getArguments())
    if (failed(readArgument(argument)))
      return failure();
  for (Operation &op : plan.getBody().front().without_terminator()) {
    LogicalResult done =
        TypeSwitch<Operation *, LogicalResult>(&op)
            .Case([&](tile::WorkspaceOp op) { return readWorkspace(op); })
            .Case([&](tile::LaunchOp op) { return readLaunch(op); })
            .Case<memref::CastOp, memref::ExpandShapeOp,
                  memref::CollapseShapeOp>([](auto) { return success(); })
            .Default([&](Operation *op) -> LogicalResult {
              return op->hasTrait<OpTrait::ConstantLike>() ? success()
                                                           : readIndex(*op);
            });
    if (failed(done))
      return failure();
  }
  if (info.launches.empty())
    return plan.emitOpError("launches nothing");
  return std::move(info);
}
