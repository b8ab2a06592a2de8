//===- GpuCompile.cpp - From a layer to kernels for GPUs ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GpuCompile.h"

#include "CapVariants.h"
#include "GpuKernels.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Threading.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace mlir::moe;

static LogicalResult lowerToLLVM(ModuleOp module, const GpuBackend &backend) {
  PassManager passes(module.getContext(), ModuleOp::getOperationName());
  backend.addLLVM(passes);
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
  /// Of all rounds.
  double assemble = 0;
};

/// One variant on its way.
class Variant {
public:
  Variant(const GpuBackend &backend, const TokenBucket &bucket)
      : bucket(bucket), backend(backend) {}

  LogicalResult decide(ModuleOp source, const GivenTiles &tiles);
  LogicalResult lower();
  LogicalResult emit(const FileCache *cache);
  /// Whether to use what emit has made. If not, drops the configurations that
  /// are to blame; fails, with diagnostics, if there are no others.
  FailureOr<bool> judge();
  /// What goes into the artifact.
  TargetCode describe() const;
  void reportTimes(llvm::raw_ostream &os) const;

  TokenBucket bucket;
  std::string name;
  PlanInfo plan;
  GpuCode code;
  /// Warnings, in order.
  std::vector<std::string> warnings;

private:
  ManifestVariant describeVariant() const;
  void printTable(llvm::raw_ostream &os, const ManifestVariant &variant) const;

  const GpuBackend &backend;
  GpuRanking ranking;
  OwningOpRef<ModuleOp> kernels;
  Times times;
};
} // namespace

LogicalResult Variant::decide(ModuleOp source, const GivenTiles &tiles) {
  double start = now();
  LogicalResult done = ranking.decide(source, backend, bucket.tokens, tiles);
  times.decide = now() - start;
  return done;
}

LogicalResult Variant::lower() {
  double start = now();
  FailureOr<GpuKernels> made = ranking.makeKernels();
  if (failed(made))
    return failure();
  kernels = std::move(made->module);
  plan = std::move(made->plan);
  name = std::move(made->name);
  LogicalResult done = lowerToLLVM(*kernels, backend);
  times.lower += now() - start;
  return done;
}

LogicalResult Variant::emit(const FileCache *cache) {
  auto warn = [&](const Twine &text) { warnings.push_back(text.str()); };
  FailureOr<GpuCode> made =
      backend.makeCode(*kernels, plan.kernels(), cache, warn, times.emit);
  if (failed(made))
    return failure();
  code = std::move(*made);
  times.assemble += code.assembleSeconds;
  return success();
}

FailureOr<bool> Variant::judge() {
  if (code.complaints.empty())
    return true;
  llvm::StringSet<> judged;
  for (const GpuComplaint &complaint : code.complaints) {
    // Several complaints about one kernel reject one configuration.
    if (!judged.insert(complaint.kernel).second)
      continue;
    std::string reason = backend.getJudge() + ": " + complaint.reason;
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
  variant.target = backend.getChip().name.str();
  variant.firstTokens = bucket.first;
  variant.lastTokens = bucket.last;
  variant.configs = ranking.getConfigs().vec();
  variant.rejected = ranking.getRejected().vec();
  variant.workspaces = plan.workspaces;
  variant.launches = plan.launches;
  if (code.binary.empty())
    return variant;
  variant.resources.emplace();
  for (ManifestLaunch &launch : variant.launches) {
    const GpuKernelReport *kernel = code.find(launch.kernel);
    if (!kernel)
      continue;
    ManifestResources &own = launch.gpu->resources.emplace();
    own = kernel->resources;
    own.sharedMemory += launch.gpu->sharedMemory;
    variant.resources->include(own);
  }
  return variant;
}

void Variant::printTable(llvm::raw_ostream &os,
                         const ManifestVariant &variant) const {
  size_t width = 6;
  for (const std::string &kernel : plan.kernels())
    width = std::max(width, kernel.size());
  os << "  " << llvm::left_justify("kernel", width)
     << "  registers  shared bytes  spilled bytes" << backend.getTableHead()
     << "\n";
  llvm::StringSet<> seen;
  for (const ManifestLaunch &launch : variant.launches) {
    const GpuKernelReport *kernel = code.find(launch.kernel);
    if (!kernel || !seen.insert(launch.kernel).second)
      continue;
    const ManifestResources &own = *launch.gpu->resources;
    os << "  " << llvm::left_justify(launch.kernel, width)
       << llvm::format("  %9lld  %12lld  %13lld",
                       static_cast<long long>(own.registers),
                       static_cast<long long>(own.sharedMemory),
                       static_cast<long long>(own.spills))
       << kernel->columns << "\n";
  }
  for (const ManifestRejection &rejection : ranking.getRejected())
    os << "  rejected " << rejection.config << ": " << rejection.reason << "\n";
}

TargetCode Variant::describe() const {
  TargetCode result;
  result.layer = name;
  result.arguments = plan.arguments;
  ManifestVariant variant = describeVariant();
  GpuBackend::FormNames forms = backend.getForms();
  StringRef decisive = code.text.empty() ? code.binary : code.text;
  std::string stem = name + "-" + variant.target + "-t" +
                     std::to_string(bucket.tokens) + "-" +
                     llvm::utohexstr(llvm::xxh3_64bits(decisive), true, 16);
  if (!code.text.empty()) {
    variant.ptx = stem + forms.textSuffix.str();
    result.files.push_back({variant.ptx, code.text});
  }
  if (!code.binary.empty()) {
    variant.code = stem + forms.binarySuffix.str();
    result.files.push_back({variant.code, code.binary});
    llvm::raw_string_ostream table(result.table);
    printTable(table, variant);
  }
  result.variants.push_back(std::move(variant));
  return result;
}

void Variant::reportTimes(llvm::raw_ostream &os) const {
  os << llvm::format(
      "decide %.3f s, lower %.3f s, translate %.3f s, optimise %.3f "
      "s, generate %.3f s",
      times.decide, times.lower, times.emit.translate, times.emit.optimize,
      times.emit.generate);
  GpuBackend::FormNames forms = backend.getForms();
  if (!code.binary.empty())
    os << ", " << (code.cached ? "cache" : backend.getAssembler())
       << llvm::format(" %.3f s", times.assemble);
  if (!code.text.empty())
    os << ", " << forms.text << " " << code.text.size() << " bytes";
  if (!code.binary.empty())
    os << ", " << forms.binary << " " << code.binary.size() << " bytes";
  os << "\n";
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
/// managers share the context, and makes code in parallel.
static LogicalResult makeCode(MLIRContext *context,
                              std::vector<Variant> &variants,
                              const std::optional<FileCache> &cache) {
  SmallVector<Variant *> pending;
  for (Variant &variant : variants)
    pending.push_back(&variant);
  while (!pending.empty()) {
    for (Variant *variant : pending)
      if (failed(variant->lower()))
        return failure();
    if (failed(failableParallelForEach(context, pending, [&](Variant *variant) {
          return variant->emit(cache ? &*cache : nullptr);
        })))
      return failure();
    SmallVector<Variant *> again;
    for (Variant *variant : pending) {
      FailureOr<bool> good = variant->judge();
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
static std::vector<std::string> getDecisive(const GpuBackend &backend,
                                            const TokenBucket &bucket,
                                            const GivenTiles &tiles) {
  std::vector<std::string> what = {backend.getChip().name.str(),
                                   std::to_string(bucket.tokens),
                                   tiles.describe()};
  llvm::append_range(what, backend.getDecisive());
  return what;
}

FailureOr<TargetCode> mlir::moe::compileGpu(ModuleOp module,
                                            const CompileOptions &options,
                                            GpuBackend &backend,
                                            ArrayRef<TokenBucket> buckets,
                                            std::vector<std::string> &notes) {
  if (failed(backend.prepare(module.getLoc(), options)))
    return failure();
  auto warn = [&](const Twine &text) { addWarning(notes, text); };
  std::optional<FileCache> files = findCache(options, notes);
  CodeCache cache(module, options.cacheVariants ? files : std::nullopt);

  SmallVector<TokenBucket> ranges(buckets);
  // Kernels that are given fit all token counts.
  if (hasGpuKernels(module)) {
    ranges.front().last = ranges.back().last;
    ranges.resize(1, ranges.front());
  }
  FailureOr<std::vector<TokenBucket>> capped = capBuckets(
      module, backend.getChip().name, ranges, options.maxVariants,
      [&](const TokenBucket &bucket) {
        return decideGpu(module, backend, bucket.tokens, options.tiles);
      });
  if (failed(capped))
    return failure();
  ranges.assign(capped->begin(), capped->end());
  std::vector<std::optional<TargetCode>> codes;
  std::vector<Variant> missing;
  for (const TokenBucket &bucket : ranges) {
    double start = now();
    std::vector<std::string> what = getDecisive(backend, bucket, options.tiles);
    codes.push_back(
        cache.load(SmallVector<StringRef>(what.begin(), what.end()), warn));
    // Two ranges may have the same variant.
    bool known = llvm::any_of(missing, [&](const Variant &variant) {
      return variant.bucket.tokens == bucket.tokens;
    });
    if (!codes.back() && !known)
      missing.emplace_back(backend, bucket);
    else if (known)
      continue;
    else if (options.verbose)
      *options.verbose << backend.getChip().name << " t" << bucket.tokens
                       << llvm::format(": all from the cache %.3f s\n",
                                       now() - start)
                       << codes.back()->table;
  }

  SilenceObserver observer(module.getContext());
  for (Variant &variant : missing)
    if (failed(variant.decide(module, options.tiles)))
      return failure();
  if (failed(makeCode(module.getContext(), missing, files)))
    return failure();
  const Variant *made = missing.data();
  for (auto [bucket, code] : llvm::zip_equal(ranges, codes)) {
    if (code)
      continue;
    auto twin = llvm::find_if(ranges, [&](const TokenBucket &other) {
      return other.tokens == bucket.tokens;
    });
    if (code = codes[twin - ranges.begin()]; code)
      continue;
    for (const std::string &warning : made->warnings)
      warn(warning);
    code = made->describe();
    if (options.verbose) {
      *options.verbose << backend.getChip().name << " t" << bucket.tokens
                       << ": ";
      made->reportTimes(*options.verbose);
      *options.verbose << code->table;
    }
    ++made;
    std::vector<std::string> what = getDecisive(backend, bucket, options.tiles);
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
  if (layer.variants.front().code.empty())
    notes.push_back(backend.getNoBinaryNote());
  return std::move(layer);
}

LogicalResult mlir::moe::emitGpuForm(ModuleOp module,
                                     const CompileOptions &options,
                                     GpuBackend &backend,
                                     const TokenBucket &bucket, StringRef form,
                                     llvm::raw_ostream &os) {
  GpuBackend::FormNames forms = backend.getForms();
  StringRef text = forms.textSuffix.drop_front(!forms.textSuffix.empty());
  StringRef binary = forms.binarySuffix.drop_front();
  if (form == "asm" && !text.empty())
    form = text;
  if (form == text || form == binary) {
    std::vector<std::string> notes;
    FailureOr<TargetCode> layer =
        compileGpu(module, options, backend, bucket, notes);
    if (failed(layer))
      return failure();
    for (const ArtifactFile &file : layer->files)
      if (StringRef(file.name).ends_with(("." + form).str())) {
        os << file.bytes;
        return success();
      }
    return emitError(module.getLoc())
           << "--emit " << form << " needs " << backend.getAssembler()
           << ", and there is none";
  }
  GpuRanking ranking;
  if (failed(ranking.decide(module, backend, bucket.tokens, options.tiles)))
    return failure();
  if (form == "moe") {
    ranking.print(os);
    return success();
  }
  if (form == "tile")
    return ranking.printTile(os);
  if (form == backend.getKernelForm())
    return ranking.printKernels(os);
  if (form != "llvm" && form != "llvm-ir" && form != "asm")
    return emitError(module.getLoc())
           << "--emit " << form << " is not for the target "
           << backend.getChip().name;
  FailureOr<GpuKernels> kernels = ranking.makeKernels();
  if (failed(kernels) || failed(lowerToLLVM(*kernels->module, backend)))
    return failure();
  if (form == "llvm") {
    os << *kernels->module << "\n";
    return success();
  }
  std::vector<std::string> names = kernels->plan.kernels();
  FailureOr<std::string> written =
      form == "asm" ? backend.makeAssembly(*kernels->module, names)
                    : backend.makeLLVMText(*kernels->module, names);
  if (failed(written))
    return failure();
  os << *written;
  return success();
}
