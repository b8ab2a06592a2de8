//===- NvidiaCompile.cpp - From a layer to kernels for NVIDIA GPUs --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NvidiaCompile.h"

#include "NvidiaKernels.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Threading.h"
#include "mlir/Pass/PassManager.h"
#include "moec/Compiler/NvptxEmitter.h"
#include "moec/Compiler/Ptxas.h"
#include "moec/Pipelines/NvvmToLLVM.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace mlir::moe;

static LogicalResult lowerToLLVM(ModuleOp module) {
  PassManager passes(module.getContext(), ModuleOp::getOperationName());
  buildNvvmToLLVMPipeline(passes);
  return passes.run(module);
}

//===----------------------------------------------------------------------===//
// One variant
//===----------------------------------------------------------------------===//

namespace {
/// Where the time of a variant went, in seconds.
struct Times {
  double decide = 0, lower = 0;
  EmitTimes emit;
  double assemble = 0;
};

/// One variant on its way.
class Variant {
public:
  Variant(const NvidiaChip &chip, const TokenBucket &bucket)
      : bucket(bucket), chip(chip) {}

  LogicalResult decide(ModuleOp source);
  LogicalResult lower();
  LogicalResult emit();
  LogicalResult assemble(const Ptxas &ptxas, const CubinCache *cache);
  /// Whether to use what assemble has made. If not, drops the configurations
  /// that are to blame; fails, with diagnostics, if there are no others.
  FailureOr<bool> judge(const Ptxas &ptxas);
  /// What goes into the artifact.
  TargetCode describe() const;
  void reportTimes(llvm::raw_ostream &os) const;

  TokenBucket bucket;
  std::string name;
  PlanInfo plan;
  std::string ptx;
  std::optional<Assembly> assembly;
  /// Warnings, in order.
  std::vector<std::string> warnings;

private:
  ManifestVariant describeVariant() const;
  void printTable(llvm::raw_ostream &os, const ManifestVariant &variant) const;

  const NvidiaChip &chip;
  NvidiaRanking ranking;
  OwningOpRef<ModuleOp> kernels;
  Times times;
};
} // namespace

LogicalResult Variant::decide(ModuleOp source) {
  double start = now();
  LogicalResult done = ranking.decide(source, chip, bucket.tokens);
  times.decide = now() - start;
  return done;
}

LogicalResult Variant::lower() {
  double start = now();
  FailureOr<NvidiaKernels> made = ranking.makeKernels();
  if (failed(made))
    return failure();
  kernels = std::move(made->module);
  plan = std::move(made->plan);
  name = std::move(made->name);
  LogicalResult done = lowerToLLVM(*kernels);
  times.lower += now() - start;
  return done;
}

LogicalResult Variant::emit() {
  FailureOr<std::string> text =
      emitPtx(*kernels, chip, plan.kernels(), &times.emit);
  if (failed(text))
    return failure();
  ptx = std::move(*text);
  return success();
}

LogicalResult Variant::assemble(const Ptxas &ptxas, const CubinCache *cache) {
  double start = now();
  llvm::Expected<Assembly> made =
      cache ? cache->assemble(
                  ptxas, ptx, chip,
                  [&](const Twine &text) { warnings.push_back(text.str()); })
            : ptxas.assemble(ptx, chip);
  times.assemble += now() - start;
  if (!made)
    return emitError(kernels->getLoc()) << llvm::toString(made.takeError());
  assembly = std::move(*made);
  return success();
}

FailureOr<bool> Variant::judge(const Ptxas &ptxas) {
  if (assembly->isContent())
    return true;
  llvm::StringSet<> judged;
  for (const KernelComplaint &complaint : assembly->report.complaints) {
    // Several complaints about one kernel reject one configuration.
    if (!judged.insert(complaint.kernel).second)
      continue;
    std::string reason =
        "ptxas " + ptxas.getVersion() + ": " + complaint.reason;
    if (ranking.reject(complaint.kernel, reason))
      continue;
    Operation *kernel = kernels->lookupSymbol(complaint.kernel);
    InFlightDiagnostic error =
        emitError(kernel ? kernel->getLoc() : kernels->getLoc())
        << "kernel '" << complaint.kernel << "': " << reason;
    for (const ManifestRejection &rejection : ranking.getRejected())
      error.attachNote(kernels->getLoc())
          << "rejected " << rejection.config << ": " << rejection.reason;
    return failure();
  }
  return false;
}

//===----------------------------------------------------------------------===//
// What is said of a variant
//===----------------------------------------------------------------------===//

ManifestVariant Variant::describeVariant() const {
  ManifestVariant variant;
  variant.target = chip.name.str();
  variant.firstTokens = bucket.first;
  variant.lastTokens = bucket.last;
  variant.configs = ranking.getConfigs().vec();
  variant.rejected = ranking.getRejected().vec();
  variant.workspaces = plan.workspaces;
  variant.launches = plan.launches;
  if (!assembly)
    return variant;
  variant.resources.emplace();
  for (ManifestLaunch &launch : variant.launches) {
    const KernelResources *kernel = assembly->report.find(launch.kernel);
    if (!kernel)
      continue;
    ManifestResources &own = launch.gpu->resources.emplace();
    own.registers = kernel->registers;
    own.sharedMemory = kernel->sharedMemory + launch.gpu->sharedMemory;
    own.spills = kernel->spillStores + kernel->spillLoads;
    ManifestResources &all = *variant.resources;
    all.registers = std::max(all.registers, own.registers);
    all.sharedMemory = std::max(all.sharedMemory, own.sharedMemory);
    all.spills = std::max(all.spills, own.spills);
  }
  return variant;
}

void Variant::printTable(llvm::raw_ostream &os,
                         const ManifestVariant &variant) const {
  size_t width = 6;
  for (const std::string &kernel : plan.kernels())
    width = std::max(width, kernel.size());
  os << "  " << llvm::left_justify("kernel", width)
     << "  registers  shared bytes  spilled bytes  barriers     ptxas\n";
  llvm::StringSet<> seen;
  for (const ManifestLaunch &launch : variant.launches) {
    const KernelResources *kernel = assembly->report.find(launch.kernel);
    if (!kernel || !seen.insert(launch.kernel).second)
      continue;
    const ManifestResources &own = *launch.gpu->resources;
    os << "  " << llvm::left_justify(launch.kernel, width)
       << llvm::format("  %9lld  %12lld  %13lld  %8lld  %6.3f s\n",
                       static_cast<long long>(own.registers),
                       static_cast<long long>(own.sharedMemory),
                       static_cast<long long>(own.spills),
                       static_cast<long long>(kernel->barriers),
                       kernel->seconds);
  }
  for (const ManifestRejection &rejection : ranking.getRejected())
    os << "  rejected " << rejection.config << ": " << rejection.reason << "\n";
}

TargetCode Variant::describe() const {
  TargetCode code;
  code.layer = name;
  code.arguments = plan.arguments;
  ManifestVariant variant = describeVariant();
  std::string stem = name + "-" + chip.name.str() + "-t" +
                     std::to_string(bucket.tokens) + "-" +
                     llvm::utohexstr(llvm::xxh3_64bits(ptx), true, 16);
  variant.ptx = stem + ".ptx";
  code.files.push_back({variant.ptx, ptx});
  if (assembly) {
    variant.code = stem + ".cubin";
    code.files.push_back({variant.code, assembly->cubin});
    llvm::raw_string_ostream table(code.table);
    printTable(table, variant);
  }
  code.variants.push_back(std::move(variant));
  return code;
}

void Variant::reportTimes(llvm::raw_ostream &os) const {
  os << llvm::format(
      "decide %.3f s, lower %.3f s, translate %.3f s, optimise %.3f "
      "s, generate %.3f s, ",
      times.decide, times.lower, times.emit.translate, times.emit.optimize,
      times.emit.generate);
  if (!assembly) {
    os << llvm::format("PTX %zu bytes\n", ptx.size());
    return;
  }
  os << llvm::format("%s %.3f s, PTX %zu bytes, cubin %zu bytes\n",
                     assembly->cached ? "cache" : "ptxas", times.assemble,
                     ptx.size(), assembly->cubin.size());
}

//===----------------------------------------------------------------------===//
// All variants
//===----------------------------------------------------------------------===//

void mlir::moe::addWarning(std::vector<std::string> &notes, const Twine &text) {
  std::string note = ("warning: " + text).str();
  if (!llvm::is_contained(notes, note))
    notes.push_back(std::move(note));
}

std::optional<FileCache> mlir::moe::findCache(const CompileOptions &options,
                                              std::vector<std::string> &notes) {
  if (!options.cache)
    return std::nullopt;
  return FileCache::getDefault(
      [&](const Twine &text) { addWarning(notes, text); });
}

/// The assembler, as the options say; no value: there is none.
static FailureOr<std::optional<Ptxas>>
findAssembler(Location location, const CompileOptions &options) {
  llvm::Expected<std::optional<Ptxas>> found = Ptxas::find(options.ptxas);
  if (!found)
    return emitError(location) << llvm::toString(found.takeError());
  if (*found)
    (*found)->timeoutSeconds = options.ptxasTimeout;
  return std::move(*found);
}

/// Two variants with the same text do the same, whatever their ranges.
static std::string fingerprint(const TargetCode &code) {
  Manifest manifest;
  manifest.variants = code.variants;
  for (ManifestVariant &variant : manifest.variants) {
    variant.firstTokens = 0;
    variant.lastTokens = std::nullopt;
    variant.code = variant.ptx = "";
  }
  return printManifest(manifest) + code.files.front().bytes;
}

/// Makes the code of all variants. Each round lowers in this thread, since pass
/// managers share the context, and emits and assembles in parallel.
static LogicalResult makeCode(MLIRContext *context,
                              std::vector<Variant> &variants,
                              const std::optional<Ptxas> &ptxas,
                              const std::optional<CubinCache> &cache) {
  SmallVector<Variant *> pending;
  for (Variant &variant : variants)
    pending.push_back(&variant);
  while (!pending.empty()) {
    for (Variant *variant : pending)
      if (failed(variant->lower()))
        return failure();
    if (failed(failableParallelForEach(context, pending, [&](Variant *variant) {
          if (failed(variant->emit()))
            return failure();
          return ptxas ? variant->assemble(*ptxas, cache ? &*cache : nullptr)
                       : success();
        })))
      return failure();
    SmallVector<Variant *> again;
    for (Variant *variant : pending) {
      FailureOr<bool> good = ptxas ? variant->judge(*ptxas) : true;
      if (failed(good))
        return failure();
      if (!*good)
        again.push_back(variant);
    }
    pending = std::move(again);
  }
  return success();
}

/// What decides the code for one range beside the module and the compiler.
static std::vector<std::string> getDecisive(const NvidiaChip &chip,
                                            const TokenBucket &bucket,
                                            const std::optional<Ptxas> &ptxas) {
  return {chip.name.str(), std::to_string(bucket.tokens),
          ptxas ? ptxas->getVersion() : "none",
          llvm::join(Ptxas::getFlags(chip), " ")};
}

FailureOr<TargetCode>
mlir::moe::compileNvidia(ModuleOp module, const CompileOptions &options,
                         const NvidiaChip &chip, ArrayRef<TokenBucket> buckets,
                         std::vector<std::string> &notes) {
  FailureOr<std::optional<Ptxas>> ptxas =
      findAssembler(module.getLoc(), options);
  if (failed(ptxas))
    return failure();
  auto warn = [&](const Twine &text) { addWarning(notes, text); };
  std::optional<FileCache> files = findCache(options, notes);
  CodeCache cache(module, options.cacheVariants ? files : std::nullopt);
  std::optional<CubinCache> cubins;
  if (files)
    cubins.emplace(*files);

  SmallVector<TokenBucket> ranges(buckets);
  // Kernels that are given fit all token counts.
  if (hasNvidiaKernels(module)) {
    ranges.front().last = ranges.back().last;
    ranges.resize(1, ranges.front());
  }
  std::vector<std::optional<TargetCode>> codes;
  std::vector<Variant> missing;
  for (const TokenBucket &bucket : ranges) {
    double start = now();
    std::vector<std::string> what = getDecisive(chip, bucket, *ptxas);
    codes.push_back(
        cache.load(SmallVector<StringRef>(what.begin(), what.end()), warn));
    if (!codes.back())
      missing.emplace_back(chip, bucket);
    else if (options.verbose)
      *options.verbose << chip.name << " t" << bucket.tokens
                       << llvm::format(": all from the cache %.3f s\n",
                                       now() - start)
                       << codes.back()->table;
  }

  SilenceObserver observer(module.getContext());
  for (Variant &variant : missing)
    if (failed(variant.decide(module)))
      return failure();
  if (failed(makeCode(module.getContext(), missing, *ptxas, cubins)))
    return failure();
  const Variant *made = missing.data();
  for (auto [bucket, code] : llvm::zip_equal(ranges, codes)) {
    if (code)
      continue;
    for (const std::string &warning : made->warnings)
      warn(warning);
    code = made->describe();
    if (options.verbose) {
      *options.verbose << chip.name << " t" << bucket.tokens << ": ";
      made->reportTimes(*options.verbose);
      *options.verbose << code->table;
    }
    ++made;
    std::vector<std::string> what = getDecisive(chip, bucket, *ptxas);
    if (observer.isSilent())
      cache.store(SmallVector<StringRef>(what.begin(), what.end()), *code,
                  warn);
  }

  TargetCode layer;
  std::string former;
  for (auto [bucket, code] : llvm::zip_equal(ranges, codes)) {
    std::string text = fingerprint(*code);
    if (text == former) {
      layer.variants.back().lastTokens = bucket.last;
      continue;
    }
    former = std::move(text);
    if (layer.layer.empty()) {
      layer.layer = std::move(code->layer);
      layer.arguments = std::move(code->arguments);
    }
    layer.variants.push_back(std::move(code->variants.front()));
    layer.variants.back().firstTokens = bucket.first;
    layer.variants.back().lastTokens = bucket.last;
    llvm::move(code->files, std::back_inserter(layer.files));
  }
  if (!*ptxas)
    notes.push_back("note: there is no ptxas, so the artifact holds only PTX "
                    "for " +
                    chip.name.str());
  return std::move(layer);
}

LogicalResult mlir::moe::emitNvidiaForm(ModuleOp module,
                                        const CompileOptions &options,
                                        const NvidiaChip &chip,
                                        const TokenBucket &bucket,
                                        StringRef form, llvm::raw_ostream &os) {
  if (form == "ptx" || form == "asm" || form == "cubin") {
    std::vector<std::string> notes;
    FailureOr<TargetCode> layer =
        compileNvidia(module, options, chip, bucket, notes);
    if (failed(layer))
      return failure();
    StringRef suffix = form == "cubin" ? ".cubin" : ".ptx";
    for (const ArtifactFile &file : layer->files)
      if (StringRef(file.name).ends_with(suffix)) {
        os << file.bytes;
        return success();
      }
    return emitError(module.getLoc())
           << "--emit cubin needs ptxas, and there is none";
  }
  NvidiaRanking ranking;
  if (failed(ranking.decide(module, chip, bucket.tokens)))
    return failure();
  if (form == "moe") {
    ranking.print(os);
    return success();
  }
  if (form == "tile")
    return ranking.printTile(os);
  if (form == "nvvm")
    return ranking.printNvvm(os);
  FailureOr<NvidiaKernels> kernels = ranking.makeKernels();
  if (failed(kernels) || failed(lowerToLLVM(*kernels->module)))
    return failure();
  if (form == "llvm") {
    os << *kernels->module << "\n";
    return success();
  }
  FailureOr<std::string> text =
      emitNvptxLLVMText(*kernels->module, chip, kernels->plan.kernels());
  if (failed(text))
    return failure();
  os << *text;
  return success();
}
