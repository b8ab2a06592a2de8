//===- Emulate.cpp - A layer's GPU kernels on an emulated device ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The launches come from the same plan as the manifest's, and are resolved for
// a token count as the run time does: addresses, extents, grids, tensor maps.
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Emulate.h"

#include "moec/Compiler/Compile.h"
#include "moec/Compiler/NvidiaChip.h"
#include "moec/Driver/Jit.h"
#include "moec/Driver/Machine.h"
#include "moec/Emulator/Emulator.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include <chrono>
#include <cstring>

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;
using Kind = ManifestLaunchArgument::Kind;

namespace {
/// Memory of an argument or a slice on the device.
struct DeviceMemory {
  void *data = nullptr;
  uint64_t bytes = 0;
};

/// One run: the tensors of the plan and its launches for a token count.
class EmulatedLayer {
public:
  EmulatedLayer(const PlanInfo &plan, const LayerSpec &spec, int64_t tokens,
                int64_t existing)
      : plan(plan), spec(spec), tokens(tokens), existing(existing) {}

  /// Finds the memory of each argument; outputs get memory of their own.
  Error bind(llvm::ArrayRef<HostTensor> inputs);
  Error makeWorkspace();
  /// All launches that have blocks.
  Expected<std::vector<emu::Launch>> makeLaunches(const RunOptions &options);
  void registerMemory(emu::Emulator &emulator) const;
  Error checkGuards() const;
  Expected<SmallVector<HostTensor>> getOutputs() const;
  uint64_t getWorkspaceBytes() const;

private:
  const HostTensor *findInput(const ManifestArgument &argument, size_t number,
                              llvm::ArrayRef<HostTensor> inputs,
                              size_t &next) const;
  Expected<emu::Argument> makeArgument(const ManifestLaunchArgument &argument);
  Expected<emu::TensorMap> makeMap(const ManifestTensorMap &map) const;

  const PlanInfo &plan;
  const LayerSpec &spec;
  int64_t tokens, existing;
  std::vector<DeviceMemory> arguments, slices;
  /// Of outputs and of slices, in order.
  std::vector<GuardedBuffer> outputs, workspace;
  /// What kernels read the real token count from.
  int64_t deviceTokens = 0;
};
} // namespace

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

static uint64_t countBytes(const ManifestArgument &argument, int64_t tokens) {
  uint64_t bytes = 0;
  for (int32_t dtype = 0; moec_dtype_name(dtype); ++dtype)
    if (argument.dtype == moec_dtype_name(dtype))
      bytes = moec_dtype_size(dtype);
  for (const TokenSize &extent : argument.shape)
    bytes *= extent.at(tokens);
  return bytes;
}

/// By name, else the next of the function's arguments that is no destination,
/// as for artifacts.
const HostTensor *EmulatedLayer::findInput(const ManifestArgument &argument,
                                           size_t number,
                                           llvm::ArrayRef<HostTensor> inputs,
                                           size_t &next) const {
  if (const ArgumentSpec *named = spec.find(argument.name))
    return &inputs[named - spec.arguments.begin()];
  if (spec.arguments.size() == plan.arguments.size())
    return &inputs[number];
  while (next < spec.arguments.size() &&
         spec.arguments[next].role == ArgumentRole::Output)
    ++next;
  return next < inputs.size() ? &inputs[next++] : nullptr;
}

Error EmulatedLayer::bind(llvm::ArrayRef<HostTensor> inputs) {
  size_t next = 0;
  for (auto [number, argument] : llvm::enumerate(plan.arguments)) {
    uint64_t bytes = countBytes(argument, tokens);
    if (argument.output) {
      Expected<GuardedBuffer> buffer = GuardedBuffer::create(bytes);
      if (!buffer)
        return buffer.takeError();
      outputs.push_back(std::move(*buffer));
      outputs.back().poison();
      arguments.push_back({outputs.back().payload(), bytes});
      continue;
    }
    const HostTensor *tensor = findInput(argument, number, inputs, next);
    if (!tensor && argument.optional) {
      arguments.push_back({});
      continue;
    }
    if (!tensor)
      return llvm::createStringError(llvm::formatv(
          "the kernels want argument '{0}', which '{1}' does not have",
          argument.name, spec.name));
    if (tensor->getByteSize() != bytes)
      return llvm::createStringError(
          llvm::formatv("argument '{0}' has {1} bytes, the kernels want {2}",
                        argument.name, tensor->getByteSize(), bytes));
    arguments.push_back({const_cast<uint8_t *>(tensor->getData()), bytes});
  }
  if (outputs.size() != spec.results.size())
    return llvm::createStringError(
        llvm::formatv("the kernels write {0} tensors, '{1}' has {2} results",
                      outputs.size(), spec.name, spec.results.size()));
  return Error::success();
}

Error EmulatedLayer::makeWorkspace() {
  for (const ManifestWorkspace &slice : plan.workspaces) {
    int64_t bytes = 0;
    for (const TokenSize &size : slice.bytes)
      bytes = std::max(bytes, size.at(tokens));
    // A buffer for each: what leaves its slice is found out.
    Expected<GuardedBuffer> buffer = GuardedBuffer::create(bytes + slice.align);
    if (!buffer)
      return buffer.takeError();
    workspace.push_back(std::move(*buffer));
    workspace.back().poison();
    uint8_t *data = workspace.back().payload();
    data += -reinterpret_cast<uintptr_t>(data) & (slice.align - 1);
    if (slice.zero)
      std::memset(data, 0, bytes);
    slices.push_back({data, static_cast<uint64_t>(bytes)});
  }
  return Error::success();
}

void EmulatedLayer::registerMemory(emu::Emulator &emulator) const {
  for (auto [argument, memory] : llvm::zip_equal(plan.arguments, arguments))
    if (memory.bytes)
      emulator.registerBuffer(memory.data, memory.bytes, argument.name,
                              /*initialised=*/!argument.output);
  for (auto [slice, memory] : llvm::zip_equal(plan.workspaces, slices))
    if (memory.bytes)
      emulator.registerBuffer(memory.data, memory.bytes, slice.name,
                              /*initialised=*/slice.zero);
  emulator.registerBuffer(const_cast<int64_t *>(&deviceTokens),
                          sizeof(deviceTokens), "device_tokens");
}

Error EmulatedLayer::checkGuards() const {
  for (const GuardedBuffer &output : outputs)
    if (Error error = output.check("an output"))
      return error;
  for (const GuardedBuffer &slice : workspace)
    if (Error error = slice.check("the workspace"))
      return error;
  return Error::success();
}

Expected<SmallVector<HostTensor>> EmulatedLayer::getOutputs() const {
  SmallVector<HostTensor> results;
  for (auto [spec, output] : llvm::zip_equal(spec.results, outputs)) {
    Expected<HostTensor> copy =
        HostTensor::createUninitialized(spec.type, spec.getShape(tokens));
    if (!copy)
      return copy.takeError();
    if (copy->getByteSize() != output.size())
      return llvm::createStringError(
          llvm::formatv("result '{0}' has {1} bytes, the kernels write {2}",
                        spec.name, copy->getByteSize(), output.size()));
    std::memcpy(copy->getData(), output.payload(), output.size());
    results.push_back(std::move(*copy));
  }
  return results;
}

uint64_t EmulatedLayer::getWorkspaceBytes() const {
  uint64_t bytes = 0;
  for (const DeviceMemory &slice : slices)
    bytes += slice.bytes;
  return bytes;
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

/// As what the driver takes an element type of a tensor map.
static emu::MapType getMapType(StringRef dtype) {
  if (dtype == "bf16")
    return emu::MapType::BF16;
  if (dtype == "f16")
    return emu::MapType::F16;
  if (dtype == "f32")
    return emu::MapType::F32;
  if (dtype == "f64")
    return emu::MapType::F64;
  if (dtype == "i16")
    return emu::MapType::U16;
  if (dtype == "i32")
    return emu::MapType::I32;
  if (dtype == "i64")
    return emu::MapType::I64;
  return emu::MapType::U8;
}

Expected<emu::TensorMap>
EmulatedLayer::makeMap(const ManifestTensorMap &map) const {
  emu::TensorMap result;
  const DeviceMemory &memory =
      (map.ofWorkspace ? slices : arguments)[map.index];
  result.address = reinterpret_cast<uintptr_t>(memory.data);
  result.rank = static_cast<uint8_t>(map.dims.size());
  for (auto [i, dim] : llvm::enumerate(map.dims))
    result.dims[i] = dim.at(tokens);
  for (auto [i, stride] : llvm::enumerate(map.strides))
    result.strides[i] = stride.at(tokens);
  for (auto [i, extent] : llvm::enumerate(map.box))
    result.box[i] = static_cast<uint16_t>(extent);
  result.type = getMapType(map.dtype);
  result.swizzle = map.swizzle == 0    ? emu::MapSwizzle::None
                   : map.swizzle == 32 ? emu::MapSwizzle::B32
                   : map.swizzle == 64 ? emu::MapSwizzle::B64
                                       : emu::MapSwizzle::B128;
  result.l2 = static_cast<uint8_t>(map.l2 / 64);
  if (std::string why = emu::checkTensorMap(result); !why.empty())
    return llvm::createStringError("tensor map: " + why);
  return result;
}

Expected<emu::Argument>
EmulatedLayer::makeArgument(const ManifestLaunchArgument &argument) {
  switch (argument.kind) {
  case Kind::Argument:
  case Kind::Workspace: {
    const DeviceMemory &memory =
        (argument.kind == Kind::Workspace ? slices : arguments)[argument.index];
    return memory.bytes ? emu::Argument::pointer(memory.data)
                        : emu::Argument::value<uint64_t>(0);
  }
  case Kind::Dim: {
    int64_t value = argument.dim.at(tokens);
    if (argument.type == "i64")
      return emu::Argument::value<int64_t>(value);
    if (value > INT32_MAX)
      return llvm::createStringError(
          llvm::formatv("an extent of {0} does not fit an i32", value));
    return emu::Argument::value<int32_t>(static_cast<int32_t>(value));
  }
  case Kind::DeviceTokens:
    if (existing < 0)
      return emu::Argument::value<uint64_t>(0);
    deviceTokens = existing;
    return emu::Argument::pointer(&deviceTokens);
  case Kind::TensorMap: {
    // That of a tensor without elements is never encoded.
    if (!(argument.map->ofWorkspace ? slices : arguments)[argument.map->index]
             .bytes) {
      emu::Argument empty;
      empty.bytes.resize(sizeof(emu::TensorMap));
      return empty;
    }
    Expected<emu::TensorMap> map = makeMap(*argument.map);
    if (!map)
      return map.takeError();
    return emu::Argument::map(*map);
  }
  }
  llvm_unreachable("covered switch");
}

Expected<std::vector<emu::Launch>>
EmulatedLayer::makeLaunches(const RunOptions &options) {
  std::vector<emu::Launch> launches;
  for (const ManifestLaunch &planned : plan.launches) {
    const ManifestGpuLaunch &gpu = *planned.gpu;
    emu::Launch launch;
    launch.kernel = planned.kernel;
    launch.smem = static_cast<uint32_t>(gpu.sharedMemory);
    launch.resident = gpu.resident;
    launch.earlyStart = gpu.earlyStart;
    bool empty = false;
    for (int i = 0; i < 3; ++i) {
      launch.block[i] = static_cast<uint32_t>(gpu.block[i]);
      launch.cluster[i] = static_cast<uint32_t>(gpu.cluster[i]);
      int64_t blocks = gpu.grid[i].persistent
                           ? gpu.grid[i].persistent * options.multiprocessors
                           : gpu.grid[i].size.at(tokens);
      if (gpu.grid[i].persistent)
        blocks = llvm::alignTo(blocks, gpu.cluster[i]);
      launch.grid[i] = static_cast<uint32_t>(blocks);
      empty |= blocks == 0;
    }
    if (empty)
      continue;
    for (auto [number, argument] : llvm::enumerate(planned.args)) {
      Expected<emu::Argument> made = makeArgument(argument);
      if (!made)
        return llvm::createStringError(
            llvm::formatv("kernel '{0}', argument {1}: {2}", planned.kernel,
                          number, llvm::toString(made.takeError())));
      launch.args.push_back(std::move(*made));
    }
    launches.push_back(std::move(launch));
  }
  return launches;
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

/// The GPUs that a manifest has code for, each once.
static SmallVector<std::string> findGpus(StringRef manifest) {
  SmallVector<std::string> gpus;
  Expected<llvm::json::Value> parsed = llvm::json::parse(manifest);
  if (!parsed) {
    // Who opens the artifact's code says what is wrong with it.
    llvm::consumeError(parsed.takeError());
    return gpus;
  }
  const llvm::json::Object *top = parsed->getAsObject();
  const llvm::json::Array *variants = top ? top->getArray("variants") : nullptr;
  if (!variants)
    return gpus;
  for (const llvm::json::Value &variant : *variants) {
    const llvm::json::Object *fields = variant.getAsObject();
    std::optional<StringRef> target =
        fields ? fields->getString("target") : std::nullopt;
    if (target && *target != "cpu" && !llvm::is_contained(gpus, *target))
      gpus.push_back(target->str());
  }
  return gpus;
}

Expected<std::string> mlir::moe::chooseEmulatedTarget(const RunOptions &options,
                                                      StringRef manifest) {
  constexpr StringRef usual = "sm_90a";
  std::string target = options.target;
  if (target.empty()) {
    SmallVector<std::string> gpus = findGpus(manifest);
    bool isUsual = gpus.empty() || llvm::is_contained(gpus, usual);
    if (!isUsual && gpus.size() > 1)
      return llvm::createStringError("--emulate: " + options.path +
                                     " has code for " + llvm::join(gpus, ", ") +
                                     "; --target says which one to emulate");
    target = isUsual ? usual.str() : gpus.front();
  }
  SmallVector<StringRef> targets;
  for (StringRef name : getTargetNames())
    if (name != "cpu" && isTargetBuilt(name))
      targets.push_back(name);
  if (!llvm::is_contained(targets, target))
    return llvm::createStringError("--emulate: target '" + target +
                                   "' cannot be emulated; " +
                                   llvm::join(targets, ", ") + " can");
  return target;
}

Expected<EmulatedRun> mlir::moe::emulate(func::FuncOp function,
                                         const LayerSpec &spec,
                                         llvm::ArrayRef<HostTensor> inputs,
                                         int64_t tokens, StringRef target,
                                         const RunOptions &options) {
  prepareContext(*function.getContext());
  OwningOpRef<ModuleOp> source = isolate(function);
  if (options.deviceTokens >= 0)
    addDeviceTokens(*source);
  FailureOr<GpuKernels> kernels =
      makeGpuKernels(*source, target, std::max<int64_t>(tokens, 1));
  if (failed(kernels))
    return llvm::createStringError("'" + function.getName() +
                                   "' does not compile for " + target);
  EmulatedLayer layer(kernels->plan, spec, tokens, options.deviceTokens);
  if (Error error = layer.bind(inputs))
    return std::move(error);
  if (Error error = layer.makeWorkspace())
    return std::move(error);
  Expected<std::unique_ptr<emu::Emulator>> emulator = emu::Emulator::create(
      *kernels->module, findNvidiaChip(target) ? "" : target.str());
  if (!emulator)
    return emulator.takeError();
  layer.registerMemory(**emulator);
  Expected<std::vector<emu::Launch>> launches = layer.makeLaunches(options);
  if (!launches)
    return launches.takeError();
  emu::Options how;
  how.seed = options.scheduleSeed;
  how.async =
      options.scheduleSeed == 0 ? emu::AsyncMode::Late : emu::AsyncMode::Random;
  auto start = std::chrono::steady_clock::now();
  Expected<std::vector<emu::Report>> reports = (*emulator)->run(*launches, how);
  if (!reports)
    return reports.takeError();
  EmulatedRun result;
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  for (const emu::Report &report : *reports)
    result.findings.push_back(report.text);
  if (Error error = layer.checkGuards())
    return std::move(error);
  Expected<SmallVector<HostTensor>> outputs = layer.getOutputs();
  if (!outputs)
    return outputs.takeError();
  result.outputs = std::move(*outputs);
  result.workspaceBytes = layer.getWorkspaceBytes();
  result.instructions = (*emulator)->getStatistics().instructions;
  return std::move(result);
}
