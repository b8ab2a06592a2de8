//===- AmdBackend.cpp - Code for AMD GPUs ---------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmdBackend.h"

#include "CodeCache.h"
#include "moec/Compiler/AmdgcnEmitter.h"
#include "moec/Compiler/Hsaco.h"
#include "moec/Pipelines/MoeToROCDL.h"
#include "moec/Pipelines/RocdlToLLVM.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/Format.h"

#include <chrono>

using namespace mlir;
using namespace mlir::moe;

namespace {
class AmdBackend final : public GpuBackend {
public:
  explicit AmdBackend(const AmdChip &chip)
      : GpuBackend({chip.name, /*features=*/"", chip.ldsBytes, /*cluster=*/1,
                    /*tensorMaps=*/false}),
        amd(chip) {}

  void addSelection(OpPassManager &passes, int64_t tokens) const override {
    MoeToROCDLOptions options;
    buildROCDLSelectPipeline(passes, set(options, tokens));
  }
  void addTile(OpPassManager &passes, int64_t tokens) const override {
    MoeToROCDLOptions options;
    buildROCDLTilePipeline(passes, set(options, tokens));
  }
  void addKernels(OpPassManager &passes, int64_t tokens) const override {
    MoeToROCDLOptions options;
    buildTileToROCDLPipeline(passes, set(options, tokens));
  }
  void addLLVM(OpPassManager &passes) const override {
    RocdlToLLVMOptions options;
    options.chip = amd.name;
    buildRocdlToLLVMPipeline(passes, options);
  }
  StringRef getKernelForm() const override { return "rocdl"; }

  LogicalResult prepare(Location, const CompileOptions &) override {
    return success();
  }
  FailureOr<GpuCode> makeCode(ModuleOp module, ArrayRef<std::string> kernels,
                              const FileCache *cache, FileCache::Warn warn,
                              EmitTimes &times) const override;
  FailureOr<std::string>
  makeLLVMText(ModuleOp module, ArrayRef<std::string> kernels) const override {
    return emitAmdgcnLLVMText(module, amd, kernels);
  }
  FailureOr<std::string>
  makeAssembly(ModuleOp module, ArrayRef<std::string> kernels) const override {
    return emitAmdgcnAssembly(module, amd, kernels);
  }

  std::vector<std::string> getDecisive() const override { return {}; }
  std::string getJudge() const override { return "LLVM " LLVM_VERSION_STRING; }
  StringRef getAssembler() const override { return "lld"; }
  FormNames getForms() const override { return {"", "", "HSACO", ".hsaco"}; }
  StringRef getTableHead() const override {
    return "  accumulators  scalars  scratch bytes  argument bytes  waves/SIMD";
  }

private:
  const MoeToROCDLOptions &set(MoeToROCDLOptions &options,
                               int64_t tokens) const {
    options.chip = amd.name;
    options.tokens = tokens;
    return options;
  }
  FailureOr<GpuCode> describe(ModuleOp module, std::string hsaco,
                              const WavesPerSimd &waves) const;
  int64_t getWaves(ModuleOp module, const HsacoKernel &kernel,
                   const WavesPerSimd &waves) const;

  const AmdChip &amd;
};
} // namespace

//===----------------------------------------------------------------------===//
// Judging
//===----------------------------------------------------------------------===//

/// Waves that a SIMD is to have at a time of a kernel, 0 = any number.
static int64_t getWavesAsked(ModuleOp module, StringRef kernel) {
  Operation *function = module.lookupSymbol(kernel);
  auto asked = function
                   ? function->getAttrOfType<IntegerAttr>("rocdl.waves_per_eu")
                   : IntegerAttr();
  return asked ? asked.getInt() : 0;
}

/// "" if the kernel's code is to be used.
static std::string complain(const HsacoKernel &kernel, int64_t waves,
                            int64_t wavesAsked) {
  auto count = [](int64_t number, StringRef what) {
    return std::to_string(number) + " " + what.str();
  };
  std::string registers = ", with " +
                          count(kernel.vgprs, "vector registers and ") +
                          count(kernel.sgprs, "scalar registers");
  if (kernel.vgprSpills)
    return "spills " + count(kernel.vgprSpills, "vector registers") + registers;
  if (kernel.sgprSpills)
    return "spills " + count(kernel.sgprSpills, "scalar registers") + registers;
  if (kernel.dynamicStack)
    return "has a stack in global memory whose size nobody knows";
  if (kernel.scratch)
    return "needs " + count(kernel.scratch, "bytes") +
           " of scratch in global memory for each lane";
  if (waves < wavesAsked)
    return "leaves room for " + count(waves, "waves of a SIMD, ") +
           count(wavesAsked, "are asked for (waves_per_eu)") + registers;
  return "";
}

/// Waves of a kernel that a SIMD has at a time. The back end knows of static
/// LDS only, the launch may add some.
int64_t AmdBackend::getWaves(ModuleOp module, const HsacoKernel &kernel,
                             const WavesPerSimd &waves) const {
  auto known = waves.find(kernel.name);
  int64_t count = known == waves.end() ? 0 : known->second;
  Operation *function = module.lookupSymbol(kernel.name);
  auto launch = function ? function->getAttrOfType<DictionaryAttr>("moe.launch")
                         : DictionaryAttr();
  auto dynamic = launch ? launch.getAs<IntegerAttr>("smem") : IntegerAttr();
  if (!dynamic || dynamic.getInt() <= 0 || kernel.wave <= 0)
    return count;
  constexpr int64_t simds = 4;
  int64_t blocks = amd.ldsPerUnit / (kernel.lds + dynamic.getInt());
  int64_t wavesOfBlock = (kernel.maxThreads + kernel.wave - 1) / kernel.wave;
  return std::min(count, (blocks * wavesOfBlock + simds - 1) / simds);
}

FailureOr<GpuCode> AmdBackend::describe(ModuleOp module, std::string hsaco,
                                        const WavesPerSimd &waves) const {
  llvm::Expected<std::vector<HsacoKernel>> kernels = readHsaco(hsaco);
  if (!kernels)
    return emitError(module.getLoc()) << llvm::toString(kernels.takeError());
  GpuCode code;
  code.binary = std::move(hsaco);
  for (const HsacoKernel &kernel : *kernels) {
    GpuKernelReport &report = code.kernels.emplace_back();
    report.kernel = kernel.name;
    report.resources.registers = kernel.vgprs;
    report.resources.sharedMemory = kernel.lds;
    report.resources.spills = 4 * (kernel.vgprSpills + kernel.sgprSpills);
    ManifestAmdResources &more = report.resources.amd.emplace();
    more.accumulators = kernel.agprs;
    more.scalars = kernel.sgprs;
    more.scratch = kernel.scratch;
    more.arguments = kernel.kernargBytes;
    more.wave = kernel.wave;
    more.wavesPerSimd = getWaves(module, kernel, waves);
    llvm::raw_string_ostream(report.columns)
        << llvm::format("  %12lld  %7lld  %13lld  %14lld  %10lld",
                        static_cast<long long>(more.accumulators),
                        static_cast<long long>(more.scalars),
                        static_cast<long long>(more.scratch),
                        static_cast<long long>(more.arguments),
                        static_cast<long long>(more.wavesPerSimd));
    if (std::string reason = complain(kernel, more.wavesPerSimd,
                                      getWavesAsked(module, kernel.name));
        !reason.empty())
      code.complaints.push_back({kernel.name, reason});
  }
  return code;
}

//===----------------------------------------------------------------------===//
// Making, or finding what was made
//===----------------------------------------------------------------------===//

static constexpr StringRef cacheKind = "hsaco";

/// What LLVM sees, this LLVM and what it is told beside.
static std::string getKey(ModuleOp module, const AmdChip &chip,
                          ArrayRef<std::string> kernels) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module.print(os, OpPrintingFlags().printGenericOpForm());
  return FileCache::hash(
      {getCompilerId(), chip.name, text, llvm::join(kernels, " ")});
}

/// "KERNEL WAVES" in lines, an empty line, the code.
static std::string printEntry(const std::string &hsaco,
                              const WavesPerSimd &waves) {
  std::string text;
  for (const auto &[kernel, count] : waves)
    text += kernel + " " + std::to_string(count) + "\n";
  return text + "\n" + hsaco;
}

static bool parseEntry(StringRef text, std::string &hsaco,
                       WavesPerSimd &waves) {
  while (!text.consume_front("\n")) {
    auto [line, rest] = text.split('\n');
    auto [kernel, count] = line.rsplit(' ');
    int64_t number;
    if (count.getAsInteger(10, number))
      return false;
    waves[kernel.str()] = number;
    text = rest;
  }
  hsaco = text.str();
  return true;
}

FailureOr<GpuCode> AmdBackend::makeCode(ModuleOp module,
                                        ArrayRef<std::string> kernels,
                                        const FileCache *cache,
                                        FileCache::Warn warn,
                                        EmitTimes &times) const {
  using Clock = std::chrono::steady_clock;
  auto start = Clock::now();
  auto finish = [&](FailureOr<GpuCode> code) {
    if (succeeded(code))
      code->assembleSeconds =
          std::chrono::duration<double>(Clock::now() - start).count();
    return code;
  };
  std::string hsaco, key;
  WavesPerSimd waves;
  // Without an id nobody knows whether it was this compiler.
  if (cache && !getCompilerId().empty()) {
    key = getKey(module, amd, kernels);
    std::optional<std::string> known = cache->load(key, cacheKind, warn);
    if (known && parseEntry(*known, hsaco, waves)) {
      FailureOr<GpuCode> code = describe(module, std::move(hsaco), waves);
      if (succeeded(code))
        code->cached = true;
      return finish(std::move(code));
    }
    waves.clear();
  }
  FailureOr<std::string> object =
      emitAmdgcnObject(module, amd, kernels, &times, &waves);
  if (failed(object))
    return failure();
  start = Clock::now();
  FailureOr<std::string> linked = linkHsaco(module.getLoc(), *object);
  if (failed(linked))
    return failure();
  if (!key.empty())
    cache->store(key, cacheKind, printEntry(*linked, waves), warn);
  return finish(describe(module, std::move(*linked), waves));
}

std::unique_ptr<GpuBackend> mlir::moe::createAmdBackend(const AmdChip &chip) {
  return std::make_unique<AmdBackend>(chip);
}
