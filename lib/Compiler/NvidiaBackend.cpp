//===- NvidiaBackend.cpp - Code for NVIDIA GPUs ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NvidiaBackend.h"

#include "moec/Compiler/NvptxEmitter.h"
#include "moec/Compiler/Ptxas.h"
#include "moec/Dialect/MoeTile/Transforms/ExplicitTarget.h"
#include "moec/Pipelines/MoeToNVVM.h"
#include "moec/Pipelines/NvvmToLLVM.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
class NvidiaBackend final : public GpuBackend {
public:
  explicit NvidiaBackend(const NvidiaChip &chip)
      : GpuBackend(chip), nvidia(chip) {}

  int64_t getPackedTokens(int64_t tokens) const override {
    // Sums of scaled products beside decoded weights are made by warpgroups.
    const tile::ExplicitTarget *form = tile::findExplicitTarget(nvidia.name);
    return form && form->hopper ? tokens : 0;
  }
  void addSelection(OpPassManager &passes, int64_t tokens) const override {
    MoeToNVVMOptions options;
    buildNVVMSelectPipeline(passes, set(options, tokens));
  }
  void addTile(OpPassManager &passes, int64_t tokens) const override {
    MoeToNVVMOptions options;
    buildNVVMTilePipeline(passes, set(options, tokens));
  }
  void addKernels(OpPassManager &passes, int64_t tokens) const override {
    MoeToNVVMOptions options;
    buildTileToNVVMPipeline(passes, set(options, tokens));
  }
  void addLLVM(OpPassManager &passes) const override {
    buildNvvmToLLVMPipeline(passes);
  }
  StringRef getKernelForm() const override { return "nvvm"; }

  LogicalResult prepare(Location location,
                        const CompileOptions &options) override;
  FailureOr<GpuCode> makeCode(ModuleOp module, ArrayRef<std::string> kernels,
                              const FileCache *cache, FileCache::Warn warn,
                              EmitTimes &times) const override;
  FailureOr<std::string>
  makeLLVMText(ModuleOp module, ArrayRef<std::string> kernels) const override {
    return emitNvptxLLVMText(module, nvidia, kernels);
  }
  FailureOr<std::string>
  makeAssembly(ModuleOp module, ArrayRef<std::string> kernels) const override {
    return emitPtx(module, nvidia, kernels);
  }

  std::vector<std::string> getDecisive() const override {
    return {ptxas ? ptxas->getVersion() : "none",
            llvm::join(Ptxas::getFlags(nvidia), " ")};
  }
  std::string getJudge() const override {
    return "ptxas " + ptxas->getVersion();
  }
  StringRef getAssembler() const override { return "ptxas"; }
  FormNames getForms() const override {
    return {"PTX", ".ptx", "cubin", ".cubin"};
  }
  StringRef getTableHead() const override { return "  barriers     ptxas"; }
  std::string getNoBinaryNote() const override {
    return "note: there is no ptxas, so the artifact holds only PTX for " +
           chip.name.str();
  }

private:
  const MoeToNVVMOptions &set(MoeToNVVMOptions &options, int64_t tokens) const {
    options.chip = chip.name.str();
    options.tokens = tokens;
    return options;
  }

  const NvidiaChip &nvidia;
  /// No value: there is none.
  std::optional<Ptxas> ptxas;
};
} // namespace

LogicalResult NvidiaBackend::prepare(Location location,
                                     const CompileOptions &options) {
  llvm::Expected<std::optional<Ptxas>> found = Ptxas::find(options.ptxas);
  if (!found)
    return emitError(location) << llvm::toString(found.takeError());
  ptxas = std::move(*found);
  if (ptxas)
    ptxas->timeoutSeconds = options.ptxasTimeout;
  return success();
}

FailureOr<GpuCode> NvidiaBackend::makeCode(ModuleOp module,
                                           ArrayRef<std::string> kernels,
                                           const FileCache *cache,
                                           FileCache::Warn warn,
                                           EmitTimes &times) const {
  FailureOr<std::string> ptx = emitPtx(module, nvidia, kernels, &times);
  if (failed(ptx))
    return failure();
  GpuCode code;
  code.text = std::move(*ptx);
  if (!ptxas)
    return code;
  llvm::Expected<Assembly> made =
      cache ? CubinCache(*cache).assemble(*ptxas, code.text, nvidia, warn)
            : ptxas->assemble(code.text, nvidia);
  if (!made)
    return emitError(module.getLoc()) << llvm::toString(made.takeError());
  code.binary = std::move(made->cubin);
  code.assembleSeconds = made->seconds;
  code.cached = made->cached;
  for (const KernelResources &kernel : made->report.kernels) {
    GpuKernelReport &report = code.kernels.emplace_back();
    report.kernel = kernel.kernel;
    report.resources.registers = kernel.registers;
    report.resources.sharedMemory = kernel.sharedMemory;
    report.resources.spills = kernel.spillStores + kernel.spillLoads;
    llvm::raw_string_ostream(report.columns) << llvm::format(
        "  %8lld  %6.3f s", static_cast<long long>(kernel.barriers),
        kernel.seconds);
  }
  for (const KernelComplaint &complaint : made->report.complaints)
    code.complaints.push_back({complaint.kernel, complaint.reason});
  return code;
}

std::unique_ptr<GpuBackend>
mlir::moe::createNvidiaBackend(const NvidiaChip &chip) {
  return std::make_unique<NvidiaBackend>(chip);
}
