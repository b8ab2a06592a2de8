//===- Emulator.cpp - The interface ---------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Emulator/Emulator.h"
#include "Amd.h"
#include "Decoder.h"
#include "mlir/IR/Diagnostics.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::emu;

namespace mlir::moe::emu {
class EmulatorImpl {
public:
  Program program;
  std::vector<std::unique_ptr<Buffer>> buffers;
  Statistics statistics;

  llvm::Error decode(ModuleOp module, llvm::StringRef chip);
  llvm::Expected<std::unique_ptr<Grid>> makeGrid(const Launch &launch,
                                                 uint32_t number);
  /// The buffer that holds a host address, 1-based, or 0.
  uint32_t findBuffer(const void *host, uint64_t &offset) const;
};
} // namespace mlir::moe::emu

static llvm::Error makeError(const llvm::Twine &text) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), text);
}

static uint64_t sizeOfVariable(Type type) {
  if (auto a = dyn_cast<LLVM::LLVMArrayType>(type))
    return a.getNumElements() * sizeOfVariable(a.getElementType());
  if (auto v = dyn_cast<VectorType>(type))
    return v.getNumElements() * sizeOfVariable(v.getElementType());
  if (type.isIntOrFloat())
    return (type.getIntOrFloatBitWidth() + 7) / 8;
  if (isa<LLVM::LLVMPointerType>(type))
    return 8;
  return 0;
}

/// Notes the names of variables that `op` and what it calls refer to.
static void findUses(Operation *op, llvm::StringSet<> &names) {
  op->walk([&](Operation *inner) {
    if (auto address = dyn_cast<LLVM::AddressOfOp>(inner))
      names.insert(address.getGlobalName());
    auto call = dyn_cast<LLVM::CallOp>(inner);
    if (!call || !call.getCallee() || !names.insert(*call.getCallee()).second)
      return;
    if (auto callee = SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(
            inner, call.getCalleeAttr().getAttr()))
      findUses(callee, names);
  });
}

/// Gives the shared variables that `func` uses their addresses, those of no
/// size (the dynamic ones) behind all others.
static void layOutShared(LLVM::LLVMFuncOp func,
                         ArrayRef<LLVM::GlobalOp> globals, Kernel &kernel,
                         llvm::StringMap<uint64_t> &symbols) {
  llvm::StringSet<> used;
  findUses(func, used);
  bool dynamic = false;
  for (LLVM::GlobalOp global : globals) {
    if (!used.contains(global.getSymName()))
      continue;
    uint64_t bytes = sizeOfVariable(global.getType());
    dynamic |= bytes == 0;
    if (bytes == 0)
      continue;
    kernel.staticShared =
        llvm::alignTo(kernel.staticShared, global.getAlignment().value_or(16));
    symbols[global.getSymName()] = sharedBase + kernel.staticShared;
    kernel.staticShared += bytes;
  }
  uint64_t start = kernel.staticShared;
  if (dynamic)
    start = llvm::alignTo(start, 1024);
  for (LLVM::GlobalOp global : globals)
    if (sizeOfVariable(global.getType()) == 0)
      symbols[global.getSymName()] = sharedBase + start;
}

/// Makes a module-level variable outside shared memory a buffer.
static LogicalResult layOut(LLVM::GlobalOp global, Program &program) {
  uint64_t bytes = sizeOfVariable(global.getType());
  GlobalVariable variable;
  variable.name = global.getSymName().str();
  variable.bytes.resize(bytes);
  variable.initialised = global.getValueOrNull() != nullptr;
  if (auto dense =
          dyn_cast_or_null<DenseElementsAttr>(global.getValueOrNull())) {
    ArrayRef<char> raw = dense.getRawData();
    if (raw.empty())
      return global.emitOpError("has no emulation for this initial value");
    for (uint64_t b = 0; b < bytes; ++b)
      variable.bytes[b] = raw[b % raw.size()];
  } else if (auto i = dyn_cast_or_null<IntegerAttr>(global.getValueOrNull())) {
    uint64_t v = i.getValue().getZExtValue();
    std::memcpy(variable.bytes.data(), &v, std::min<uint64_t>(bytes, 8));
  } else if (auto s = dyn_cast_or_null<StringAttr>(global.getValueOrNull())) {
    std::memcpy(variable.bytes.data(), s.getValue().data(),
                std::min<uint64_t>(bytes, s.getValue().size()));
  } else if (variable.initialised) {
    return global.emitOpError("has no emulation for this initial value");
  }
  program.globals.push_back(std::move(variable));
  return success();
}

/// The chip that the module is for: the one named, else that of the first
/// target attribute; none: NVIDIA's.
static llvm::Error chooseTarget(ModuleOp module, llvm::StringRef chip,
                                Program &program) {
  if (chip.empty())
    chip = findAmdTarget(module);
  bool isAmd = false;
  module.walk(
      [&](LLVM::LLVMFuncOp func) { isAmd |= func->hasAttr("rocdl.kernel"); });
  program.amd = findAmdTraits(chip);
  if (isAmd && !program.amd)
    return makeError(chip.empty() ? "AMD kernels without the name of a chip"
                                  : "chip '" + chip + "' has no emulation: " +
                                        listAmdTraits());
  if (program.amd) {
    program.lanes = program.amd->lanes;
    program.mostShared = program.amd->sharedBytes;
  }
  return llvm::Error::success();
}

llvm::Error EmulatorImpl::decode(ModuleOp module, llvm::StringRef chip) {
  if (llvm::Error error = chooseTarget(module, chip, program))
    return error;
  std::string text;
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &d) {
    if (d.getSeverity() == DiagnosticSeverity::Error && text.empty()) {
      llvm::raw_string_ostream os(text);
      d.getLocation().print(os);
      os << ": " << d.str();
    }
    return success();
  });
  llvm::StringMap<uint64_t> symbols;
  std::vector<LLVM::GlobalOp> shared;
  WalkResult walk = module.walk([&](LLVM::GlobalOp global) {
    if (global.getAddrSpace() == 3)
      shared.push_back(global);
    else if (failed(layOut(global, program)))
      return WalkResult::interrupt();
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return makeError(text);
  for (GlobalVariable &variable : program.globals) {
    auto buffer = std::make_unique<Buffer>();
    buffer->name = variable.name;
    buffer->host = variable.bytes.data();
    buffer->bytes = variable.bytes.size();
    if (!variable.initialised)
      buffer->written.resize((buffer->bytes + 7) / 8);
    buffers.push_back(std::move(buffer));
    variable.buffer = buffers.size();
    symbols[variable.name] = globalAddress(variable.buffer, 0);
  }
  walk = module.walk([&](LLVM::LLVMFuncOp func) {
    if (!func->hasAttr(program.amd ? "rocdl.kernel" : "nvvm.kernel"))
      return WalkResult::advance();
    program.kernels.emplace_back();
    layOutShared(func, shared, program.kernels.back(), symbols);
    Decoder decoder(program, program.kernels.back(), symbols);
    return failed(decoder.decode(func)) ? WalkResult::interrupt()
                                        : WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return makeError(text.empty() ? "a kernel could not be decoded" : text);
  return llvm::Error::success();
}

uint32_t EmulatorImpl::findBuffer(const void *host, uint64_t &offset) const {
  auto *at = static_cast<const uint8_t *>(host);
  for (size_t b = 0; b < buffers.size(); ++b)
    if (at >= buffers[b]->host && at < buffers[b]->host + buffers[b]->bytes) {
      offset = at - buffers[b]->host;
      return b + 1;
    }
  // One past the end is a pointer too, and an empty buffer has no more.
  for (size_t b = 0; b < buffers.size(); ++b)
    if (at == buffers[b]->host + buffers[b]->bytes) {
      offset = buffers[b]->bytes;
      return b + 1;
    }
  return 0;
}

llvm::Expected<std::unique_ptr<Grid>>
EmulatorImpl::makeGrid(const Launch &launch, uint32_t number) {
  const Kernel *kernel = nullptr;
  for (const Kernel &k : program.kernels)
    if (k.name == launch.kernel)
      kernel = &k;
  if (!kernel)
    return makeError("no kernel named '" + launch.kernel + "' in the module");
  auto fail = [&](const llvm::Twine &text) {
    return makeError("kernel '" + launch.kernel + "': " + text);
  };
  auto triple = [](const uint32_t *v) {
    return std::to_string(v[0]) + "x" + std::to_string(v[1]) + "x" +
           std::to_string(v[2]);
  };
  auto grid = std::make_unique<Grid>();
  grid->launch = &launch;
  grid->kernel = kernel;
  grid->number = number;
  grid->clusterShape = launch.cluster;
  for (unsigned d = 0; d < 3; ++d) {
    if (kernel->required[d] && kernel->required[d] != launch.block[d])
      return fail(
          "launched with " + triple(launch.block.data()) + " threads, " +
          (program.amd ? "rocdl.reqd_work_group_size" : "nvvm.reqntid") +
          " says " + triple(kernel->required));
    if (kernel->cluster[d])
      grid->clusterShape[d] = kernel->cluster[d];
    if (!launch.grid[d] || !launch.block[d] || !grid->clusterShape[d] ||
        launch.grid[d] % grid->clusterShape[d])
      return fail("grid " + triple(launch.grid.data()) +
                  " is no multiple of cluster " +
                  triple(grid->clusterShape.data()));
  }
  uint64_t threads =
      uint64_t(launch.block[0]) * launch.block[1] * launch.block[2];
  if (threads > kernel->mostThreads)
    return fail(std::to_string(threads) + " threads in a block, " +
                std::to_string(kernel->mostThreads) + " at most");
  const auto &shape = grid->clusterShape;
  if (uint64_t(shape[0]) * shape[1] * shape[2] > 16)
    return fail("cluster " + triple(shape.data()) + " of more than 16 blocks");
  uint64_t fixed = launch.smem ? llvm::alignTo(kernel->staticShared, 1024)
                               : kernel->staticShared;
  if (fixed + launch.smem > program.mostShared)
    return fail(std::to_string(fixed + launch.smem) +
                " bytes of shared memory, " +
                std::to_string(program.mostShared) + " at most");
  if (launch.args.size() != kernel->parameters.size())
    return fail(std::to_string(launch.args.size()) + " arguments for " +
                std::to_string(kernel->parameters.size()) + " parameters");
  for (size_t a = 0; a < launch.args.size(); ++a) {
    const Argument &arg = launch.args[a];
    const Parameter &p = kernel->parameters[a];
    if (arg.bytes.size() != p.bytes)
      return fail("argument " + std::to_string(a) + " has " +
                  std::to_string(arg.bytes.size()) + " bytes, the parameter " +
                  std::to_string(p.bytes));
    auto toHandle = [&](const void *host, uint64_t &handle) {
      uint64_t offset;
      uint32_t buffer = findBuffer(host, offset);
      handle = buffer ? globalAddress(buffer, offset) : 0;
      return buffer != 0;
    };
    if (p.byValue) {
      size_t at = llvm::alignTo(grid->parameters.size(), 64);
      grid->parameters.resize(at + arg.bytes.size());
      std::memcpy(&grid->parameters[at], arg.bytes.data(), arg.bytes.size());
      grid->values.push_back(tagged(paramTag, at));
      TensorMap map;
      if (arg.bytes.size() != sizeof(map))
        continue;
      std::memcpy(&map, arg.bytes.data(), sizeof(map));
      if (map.magic != TensorMap::magicValue)
        continue;
      if (std::string wrong = checkTensorMap(map); !wrong.empty())
        return fail("tensor map of argument " + std::to_string(a) + ": " +
                    wrong);
      if (!toHandle(reinterpret_cast<const void *>(map.address), map.address))
        return fail("tensor map of argument " + std::to_string(a) +
                    " points into no registered buffer");
      std::memcpy(&grid->parameters[at], &map, sizeof(map));
      continue;
    }
    uint64_t value = 0;
    std::memcpy(&value, arg.bytes.data(), arg.bytes.size());
    if (arg.isPointer && value &&
        !toHandle(reinterpret_cast<const void *>(value), value))
      return fail("argument " + std::to_string(a) +
                  " points into no registered buffer");
    grid->values.push_back(value);
  }
  grid->blocksTotal = launch.grid[0] * launch.grid[1] * launch.grid[2];
  return grid;
}

Argument Argument::pointer(const void *host) {
  Argument a = value(reinterpret_cast<uint64_t>(host));
  a.isPointer = true;
  return a;
}

Argument Argument::map(const TensorMap &map) {
  Argument a;
  a.bytes.resize(sizeof(map));
  std::memcpy(a.bytes.data(), &map, sizeof(map));
  return a;
}

Emulator::Emulator(std::unique_ptr<EmulatorImpl> impl)
    : impl(std::move(impl)) {}
Emulator::~Emulator() = default;

llvm::Expected<std::unique_ptr<Emulator>>
Emulator::create(ModuleOp module, llvm::StringRef chip) {
  auto impl = std::make_unique<EmulatorImpl>();
  if (llvm::Error error = impl->decode(module, chip))
    return std::move(error);
  return std::unique_ptr<Emulator>(new Emulator(std::move(impl)));
}

void Emulator::registerBuffer(void *host, uint64_t bytes, llvm::StringRef name,
                              bool initialised) {
  Buffer *buffer = nullptr;
  for (auto &b : impl->buffers)
    if (b->host == host)
      buffer = b.get();
  if (!buffer) {
    impl->buffers.push_back(std::make_unique<Buffer>());
    buffer = impl->buffers.back().get();
  }
  *buffer = Buffer();
  buffer->name = name.str();
  buffer->host = static_cast<uint8_t *>(host);
  buffer->bytes = bytes;
  if (!initialised)
    buffer->written.resize((bytes + 7) / 8);
}

llvm::Expected<std::vector<Report>>
Emulator::run(llvm::ArrayRef<Launch> launches, const Options &options) {
  std::vector<std::unique_ptr<Grid>> queue;
  for (const Launch &launch : launches) {
    auto grid = impl->makeGrid(launch, queue.size() + 1);
    if (!grid)
      return grid.takeError();
    queue.push_back(std::move(*grid));
  }
  // Writers of an earlier run are all ordered before this one.
  for (auto &buffer : impl->buffers)
    buffer->writers.clear();
  Machine machine(impl->program, options, impl->buffers);
  machine.run(std::move(queue));
  impl->statistics = machine.statistics;
  return std::move(machine.reports);
}

const Statistics &Emulator::getStatistics() const { return impl->statistics; }

std::vector<std::string> Emulator::getKernels() const {
  std::vector<std::string> names;
  for (const Kernel &kernel : impl->program.kernels)
    names.push_back(kernel.name);
  return names;
}
