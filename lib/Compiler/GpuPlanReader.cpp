//===- GpuPlanReader.cpp - From a plan to launches of a GPU ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/PlanReader.h"

#include "PlanEvaluator.h"
#include "PointerUse.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "moec-c/Runtime.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// Reads one launch by the dictionary of its kernel.
class GpuLaunchReader {
public:
  GpuLaunchReader(PlanEvaluator &plan, tile::LaunchOp launch,
                  const GpuChip &chip)
      : plan(plan), launch(launch), chip(chip) {}
  LogicalResult read();

private:
  InFlightDiagnostic error() {
    return kernel.emitOpError()
           << "'" << kernel.getSymName() << "': moe.launch: ";
  }
  /// An error of the parameter that is being read.
  InFlightDiagnostic parameterError() {
    return error() << "parameter " << number << ": ";
  }
  LogicalResult readSize();
  LogicalResult checkWorkgroup(int64_t threads);
  LogicalResult readGrid(Attribute attr, unsigned dim);
  LogicalResult readExtent(StringRef name, int64_t (&extent)[3]);
  LogicalResult readParameter(DictionaryAttr dict);
  void setAlignment(ManifestLaunchArgument &argument);
  LogicalResult readMap(DictionaryAttr dict, Value memory);
  LogicalResult checkMap(const ManifestTensorMap &map, int64_t elementBytes);
  LogicalResult readNumber(DictionaryAttr dict, const TokenSize &size);
  LogicalResult checkPointer();

  /// An i64 entry, `fallback` without it.
  FailureOr<int64_t> integer(DictionaryAttr dict, StringRef name,
                             std::optional<int64_t> fallback = std::nullopt);
  /// The launch's operand that an entry numbers.
  FailureOr<Value> operand(DictionaryAttr dict, StringRef name);
  /// The extent that `operand` and `dim` name.
  FailureOr<TokenSize> extent(DictionaryAttr dict);
  /// "i32" or "i64", of the argument's type.
  FailureOr<std::string> scalarType(DictionaryAttr dict, StringRef name);

  PlanEvaluator &plan;
  tile::LaunchOp launch;
  const GpuChip &chip;
  LLVM::LLVMFuncOp kernel;
  DictionaryAttr dict;
  ManifestLaunch result;
  ManifestGpuLaunch gpu;
  unsigned number = 0;
};
} // namespace

using Kind = ManifestLaunchArgument::Kind;

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

FailureOr<int64_t> GpuLaunchReader::integer(DictionaryAttr dict, StringRef name,
                                            std::optional<int64_t> fallback) {
  Attribute attr = dict.get(name);
  if (!attr && fallback)
    return *fallback;
  auto value = dyn_cast_or_null<IntegerAttr>(attr);
  if (!value || value.getInt() < 0)
    return error() << dict << " needs an integer '" << name << "' >= 0";
  return value.getInt();
}

FailureOr<Value> GpuLaunchReader::operand(DictionaryAttr dict, StringRef name) {
  FailureOr<int64_t> index = integer(dict, name);
  if (failed(index))
    return failure();
  if (*index >= static_cast<int64_t>(launch.getArguments().size()))
    return error() << dict << " names operand " << *index
                   << " of a launch with " << launch.getArguments().size();
  return launch.getArguments()[*index];
}

FailureOr<TokenSize> GpuLaunchReader::extent(DictionaryAttr dict) {
  FailureOr<Value> memory = operand(dict, "operand");
  FailureOr<int64_t> dim = integer(dict, "dim");
  if (failed(memory) || failed(dim))
    return failure();
  auto type = dyn_cast<MemRefType>(memory->getType());
  if (!type || *dim >= type.getRank())
    return error() << dict << " names a dimension that a value of type "
                   << memory->getType() << " does not have";
  return plan.extent(*memory, *dim, launch);
}

FailureOr<std::string> GpuLaunchReader::scalarType(DictionaryAttr dict,
                                                   StringRef name) {
  auto attr = dict.getAs<TypeAttr>(name);
  Type type = attr ? attr.getValue() : Type();
  if (!type || (!type.isInteger(32) && !type.isInteger(64)))
    return parameterError() << "needs " << name << " = i32 or i64, is " << dict;
  return std::string(type.isInteger(32) ? "i32" : "i64");
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

LogicalResult GpuLaunchReader::readExtent(StringRef name,
                                          int64_t (&extent)[3]) {
  auto values = dict.getAs<DenseI64ArrayAttr>(name);
  if (!values || values.size() != 3)
    return error() << "needs " << name << " = array<i64: x, y, z>";
  for (int i = 0; i < 3; ++i) {
    extent[i] = values[i];
    if (extent[i] < 1)
      return error() << name << " has an extent of " << extent[i];
  }
  return success();
}

LogicalResult GpuLaunchReader::readGrid(Attribute attr, unsigned dim) {
  ManifestGrid &grid = gpu.grid[dim];
  if (auto number = dyn_cast<IntegerAttr>(attr)) {
    if (number.getInt() < 1 || number.getInt() > INT32_MAX)
      return error() << "the grid has an extent of " << number.getInt();
    grid.size = {0, number.getInt(), 1};
    return success();
  }
  auto entry = dyn_cast<DictionaryAttr>(attr);
  if (!entry)
    return error() << "the grid has an entry " << attr
                   << ", which is no integer and no dictionary";
  if (entry.contains("persistent")) {
    FailureOr<int64_t> blocks = integer(entry, "persistent");
    if (failed(blocks))
      return failure();
    if (*blocks < 1 || *blocks > 32)
      return error() << "persistent = " << *blocks << " is not in [1, 32]";
    for (unsigned other = 0; other < dim; ++other)
      if (gpu.grid[other].persistent)
        return error() << "only one dimension of the grid can be persistent";
    grid.persistent = *blocks;
    return success();
  }
  FailureOr<TokenSize> size = extent(entry);
  FailureOr<int64_t> mul = integer(entry, "mul", 1);
  FailureOr<int64_t> add = integer(entry, "add", 0);
  FailureOr<int64_t> div = integer(entry, "div", 1);
  if (failed(size) || failed(mul) || failed(add) || failed(div))
    return failure();
  std::optional<TokenSize> blocks = multiply(*size, {0, *mul, 1});
  if (blocks)
    blocks = moe::add(*blocks, {0, *add, 1});
  if (blocks)
    blocks = ceilDivide(*blocks, {0, *div, 1});
  if (!blocks)
    return error() << "the grid's " << entry
                   << " gives no size of the form ceil((a*T + b) / d)";
  grid.size = *blocks;
  return success();
}

/// Everything but the parameters.
LogicalResult GpuLaunchReader::readSize() {
  if (failed(readExtent("block", gpu.block)) ||
      (dict.contains("cluster") && failed(readExtent("cluster", gpu.cluster))))
    return failure();
  int64_t threads = gpu.block[0] * gpu.block[1] * gpu.block[2];
  if (threads > 1024 || gpu.block[2] > 64)
    return error() << "a block of " << gpu.block[0] << " x " << gpu.block[1]
                   << " x " << gpu.block[2]
                   << " threads; at most 1024 are possible, 64 in z";
  int64_t blocks = gpu.cluster[0] * gpu.cluster[1] * gpu.cluster[2];
  if (blocks > chip.cluster)
    return error() << "a cluster of " << blocks << " blocks; " << chip.name
                   << " takes at most " << chip.cluster;
  FailureOr<int64_t> bytes = integer(dict, "smem", 0);
  if (failed(bytes))
    return failure();
  if (*bytes > chip.sharedMemory)
    return error() << *bytes << " bytes of dynamic shared memory; a block on "
                   << chip.name << " has at most " << chip.sharedMemory;
  gpu.sharedMemory = *bytes;
  auto grid = dict.getAs<ArrayAttr>("grid");
  if (!grid || grid.size() != 3)
    return error() << "needs a grid of three entries";
  for (auto [dim, entry] : llvm::enumerate(grid))
    if (failed(readGrid(entry, dim)))
      return failure();
  gpu.resident = dict.contains("resident");
  gpu.earlyStart = dict.contains("early_start") || launch.getPdl();
  // What the code says of itself must be what it is launched with.
  if (auto required = kernel->getAttrOfType<DenseI32ArrayAttr>(
          NVVM::NVVMDialect::getReqntidAttrName()))
    for (auto [dim, count] : llvm::enumerate(required.asArrayRef()))
      if (dim < 3 && count != gpu.block[dim])
        return error() << "a block of " << gpu.block[dim]
                       << " threads in dimension " << dim
                       << ", but nvvm.reqntid says " << count;
  if (auto required = kernel->getAttrOfType<DenseI32ArrayAttr>(
          NVVM::NVVMDialect::getClusterDimAttrName()))
    for (auto [dim, count] : llvm::enumerate(required.asArrayRef()))
      if (dim < 3 && count != gpu.cluster[dim])
        return error() << "a cluster of " << gpu.cluster[dim]
                       << " blocks in dimension " << dim
                       << ", but nvvm.cluster_dim says " << count;
  return checkWorkgroup(threads);
}

/// What an AMD kernel says of its blocks must be how it is launched.
LogicalResult GpuLaunchReader::checkWorkgroup(int64_t threads) {
  if (auto required = kernel->getAttrOfType<DenseI32ArrayAttr>(
          ROCDL::ROCDLDialect::ReqdWorkGroupSizeAttrHelper::getNameStr()))
    for (auto [dim, count] : llvm::enumerate(required.asArrayRef()))
      if (dim < 3 && count != gpu.block[dim])
        return error() << "a block of " << gpu.block[dim]
                       << " threads in dimension " << dim
                       << ", but rocdl.reqd_work_group_size says " << count;
  if (auto flat = kernel->getAttrOfType<StringAttr>(
          ROCDL::ROCDLDialect::FlatWorkGroupSizeAttrHelper::getNameStr())) {
    auto [least, most] = flat.getValue().split(',');
    int64_t low = 0, high = 0;
    if (least.trim().getAsInteger(10, low) ||
        most.trim().getAsInteger(10, high) || threads < low || threads > high)
      return error() << "a block of " << threads
                     << " threads, but rocdl.flat_work_group_size says "
                     << flat;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

LogicalResult GpuLaunchReader::checkPointer() {
  if (isa<LLVM::LLVMPointerType>(kernel.getArgumentTypes()[number]))
    return success();
  return parameterError() << "is a pointer, but the function takes "
                          << kernel.getArgumentTypes()[number];
}

LogicalResult GpuLaunchReader::readNumber(DictionaryAttr dict,
                                          const TokenSize &size) {
  FailureOr<std::string> type = scalarType(dict, "type");
  if (failed(type))
    return failure();
  Type expected = kernel.getArgumentTypes()[number];
  if (!expected.isInteger(*type == "i32" ? 32 : 64))
    return parameterError()
           << "is an " << *type << ", but the function takes " << expected;
  if (size.isConstant() && *type == "i32" && size.constant > INT32_MAX)
    return parameterError() << size.constant << " does not fit an i32";
  result.args.push_back({Kind::Dim, 0, size, *type, std::nullopt});
  return success();
}

/// The rules of the copy engine that do not depend on addresses.
LogicalResult GpuLaunchReader::checkMap(const ManifestTensorMap &map,
                                        int64_t elementBytes) {
  auto refuse = [&] { return parameterError() << "tensor map: "; };
  if (!chip.tensorMaps)
    return refuse() << chip.name << " has no tensor maps";
  if (map.dims.empty() || map.dims.size() > 5)
    return refuse() << "rank " << map.dims.size() << " is not in [1, 5]";
  if (map.box.size() != map.dims.size())
    return refuse() << "the box has " << map.box.size()
                    << " dimensions, the memory " << map.dims.size();
  for (int64_t extent : map.box)
    if (extent < 1 || extent > 256)
      return refuse() << "an extent of the box is " << extent
                      << ", not in [1, 256]";
  int64_t inner = map.box[0] * elementBytes;
  if (inner % 16)
    return refuse() << "the box is " << inner
                    << " bytes wide, which is no multiple of 16";
  if (!llvm::is_contained({0, 32, 64, 128}, map.swizzle))
    return refuse() << "swizzle " << map.swizzle << " is none of 32, 64, 128";
  if (!llvm::is_contained({0, 64, 128, 256}, map.l2))
    return refuse() << "l2 " << map.l2 << " is none of 64, 128, 256";
  if (map.swizzle && inner > map.swizzle)
    return refuse() << "the box is " << inner
                    << " bytes wide, the swizzle only " << map.swizzle;
  for (const TokenSize &stride : map.strides)
    if (stride.divisor != 1 || stride.tokens % 16 || stride.constant % 16)
      return refuse() << "a stride of "
                      << (stride.isConstant() ? std::to_string(stride.constant)
                                              : std::string("T-dependent"))
                      << " bytes is no multiple of 16";
  for (const TokenSize &dim : map.dims)
    if (dim.isConstant() && dim.constant > (int64_t(1) << 32))
      return refuse() << "a dimension of " << dim.constant << " exceeds 2^32";
  for (const TokenSize &stride : map.strides)
    if (stride.isConstant() && stride.constant >= (int64_t(1) << 40))
      return refuse() << "a stride of " << stride.constant
                      << " bytes exceeds 2^40";
  return success();
}

LogicalResult GpuLaunchReader::readMap(DictionaryAttr dict, Value memory) {
  auto type = dyn_cast<MemRefType>(memory.getType());
  if (!type || !type.getLayout().isIdentity())
    return parameterError()
           << "tensor map: of a value of type " << memory.getType()
           << ", which is no row-major memref";
  FailureOr<ManifestLaunchArgument> whole = plan.memory(memory, launch);
  if (failed(whole))
    return failure();
  if (whole->kind == Kind::DeviceTokens)
    return parameterError() << "tensor map: of the token count";
  ManifestTensorMap map;
  map.ofWorkspace = whole->kind == Kind::Workspace;
  map.index = whole->index;
  map.dtype = getManifestDtype(type.getElementType());
  if (auto dtype = dict.getAs<StringAttr>("dtype"))
    map.dtype = dtype.str();
  int64_t bytes = 0;
  for (int32_t dtype = 0; moec_dtype_name(dtype); ++dtype)
    if (map.dtype == moec_dtype_name(dtype))
      bytes = moec_dtype_size(dtype);
  if (!bytes)
    return parameterError()
           << "tensor map: no element type '" << map.dtype << "' of " << type;
  if (bytes * 8 != type.getElementTypeBitWidth())
    return parameterError() << "tensor map: elements of " << type << " have "
                            << type.getElementTypeBitWidth()
                            << " bits, not those of " << map.dtype;
  std::optional<TokenSize> stride = TokenSize{0, bytes, 1};
  for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
    FailureOr<TokenSize> size = plan.extent(memory, dim, launch);
    if (failed(size))
      return failure();
    map.dims.push_back(*size);
    stride = multiply(*stride, *size);
    if (!stride)
      return parameterError() << "tensor map: a stride of " << type
                              << " is not linear in the number of tokens";
    if (dim != 0)
      map.strides.push_back(*stride);
  }
  auto box = dict.getAs<DenseI64ArrayAttr>("box");
  if (!box)
    return parameterError() << "tensor map: needs box = array<i64: ...>";
  map.box.assign(box.asArrayRef().begin(), box.asArrayRef().end());
  // A box of more dimensions sees the memory with extents of 1 in front.
  while (map.dims.size() < map.box.size() && map.dims.size() < 5) {
    map.dims.push_back(TokenSize{0, 1, 1});
    map.strides.push_back(*stride);
  }
  FailureOr<int64_t> swizzle = integer(dict, "swizzle", 0);
  FailureOr<int64_t> l2 = integer(dict, "l2", 0);
  if (failed(swizzle) || failed(l2))
    return failure();
  map.swizzle = *swizzle;
  map.l2 = *l2;
  if (failed(checkMap(map, bytes)) || failed(checkPointer()))
    return failure();
  // By value, and not copied to the stack, where the copy engine cannot read.
  if (!kernel.getArgAttr(number, LLVM::LLVMDialect::getByValAttrName()) ||
      !kernel.getArgAttr(number, NVVM::NVVMDialect::getGridConstantAttrName()))
    return parameterError() << "tensor map: the function's argument needs "
                               "llvm.byval and nvvm.grid_constant";
  result.args.push_back({Kind::TensorMap, 0, {}, "", std::move(map)});
  return success();
}

/// Slices are aligned well; of the caller's tensors only their elements are.
void GpuLaunchReader::setAlignment(ManifestLaunchArgument &argument) {
  if (argument.kind != Kind::Argument)
    return;
  int64_t needed = getNeededAlignment(kernel, number), element = 1;
  const std::string &dtype = plan.info.arguments[argument.index].dtype;
  for (int32_t known = 0; moec_dtype_name(known); ++known)
    if (dtype == moec_dtype_name(known))
      element = moec_dtype_size(known);
  if (needed > element)
    argument.align = needed;
}

LogicalResult GpuLaunchReader::readParameter(DictionaryAttr dict) {
  if (dict.contains("map")) {
    FailureOr<Value> memory = operand(dict, "map");
    return failed(memory) ? failure() : readMap(dict, *memory);
  }
  if (dict.contains("const")) {
    FailureOr<int64_t> value = integer(dict, "const");
    return failed(value) ? failure() : readNumber(dict, {0, *value, 1});
  }
  if (dict.contains("device_tokens")) {
    FailureOr<std::string> type = scalarType(dict, "device_tokens");
    if (failed(type) || failed(checkPointer()))
      return failure();
    result.args.push_back({Kind::DeviceTokens, 0, {}, *type, std::nullopt});
    return success();
  }
  if (dict.contains("zeroed")) {
    FailureOr<int64_t> bytes = integer(dict, "zeroed");
    if (failed(bytes) || failed(checkPointer()))
      return failure();
    ManifestWorkspace slice;
    slice.name = result.kernel + "_zero" + std::to_string(number);
    slice.bytes.push_back({0, *bytes, 1});
    slice.zero = true;
    result.args.push_back(
        {Kind::Workspace, static_cast<int64_t>(plan.info.workspaces.size())});
    plan.info.workspaces.push_back(std::move(slice));
    return success();
  }
  if (!dict.contains("operand"))
    return parameterError() << dict
                            << " has none of operand, map, const, "
                               "device_tokens and zeroed";
  if (dict.contains("dim")) {
    FailureOr<TokenSize> size = extent(dict);
    return failed(size) ? failure() : readNumber(dict, *size);
  }
  FailureOr<Value> value = operand(dict, "operand");
  if (failed(value))
    return failure();
  if (value->getType().isIndex()) {
    FailureOr<TokenSize> size = plan.size(*value, launch);
    return failed(size) ? failure() : readNumber(dict, *size);
  }
  if (!isa<MemRefType>(value->getType()))
    return parameterError() << "passes a value of type " << value->getType()
                            << ", but kernels take memrefs and indices";
  FailureOr<ManifestLaunchArgument> memory = plan.memory(*value, launch);
  if (failed(memory) || failed(checkPointer()))
    return failure();
  result.args.push_back(*memory);
  setAlignment(result.args.back());
  return success();
}

LogicalResult GpuLaunchReader::read() {
  auto module = launch->getParentOfType<ModuleOp>();
  kernel = module.lookupSymbol<LLVM::LLVMFuncOp>(launch.getCallee());
  if (!kernel)
    return launch.emitOpError() << "of '" << launch.getCallee()
                                << "', which was not lowered to an llvm.func";
  dict = kernel->getAttrOfType<DictionaryAttr>("moe.launch");
  if (!dict)
    return kernel.emitOpError() << "'" << kernel.getSymName()
                                << "' is launched but has no moe.launch";
  result.kernel = kernel.getSymName().str();
  if (failed(readSize()))
    return failure();
  auto params = dict.getAs<ArrayAttr>("params");
  if (!params || params.size() != kernel.getNumArguments())
    return error() << (params ? params.size() : 0)
                   << " params for a function of " << kernel.getNumArguments()
                   << " arguments";
  for (Attribute attr : params) {
    auto entry = dyn_cast<DictionaryAttr>(attr);
    if (!entry)
      return parameterError() << attr << " is no dictionary";
    if (failed(readParameter(entry)))
      return failure();
    ++number;
  }
  result.gpu = gpu;
  plan.info.launches.push_back(std::move(result));
  return success();
}

FailureOr<PlanInfo> mlir::moe::readGpuPlan(tile::PlanOp plan,
                                           const GpuChip &chip) {
  PlanEvaluator evaluator(plan);
  return evaluator.read([&](tile::LaunchOp op) {
    return GpuLaunchReader(evaluator, op, chip).read();
  });
}
