//===- NvidiaCompile.cpp - From a layer to kernels for NVIDIA GPUs --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NvidiaCompile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Threading.h"
#include "mlir/Pass/PassManager.h"
#include "moec/Compiler/NvptxEmitter.h"
#include "moec/Compiler/Ptxas.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Pipelines/NvvmToLLVM.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// To kernels
//===----------------------------------------------------------------------===//

/// The only plan of the module.
static FailureOr<tile::PlanOp> findPlan(ModuleOp module) {
  auto plans = llvm::to_vector(module.getOps<tile::PlanOp>());
  if (plans.size() != 1)
    return emitError(module.getLoc())
           << "a module to compile has one function with moe operations or "
              "one moe_tile.plan, this one has "
           << plans.size();
  return plans[0];
}

bool mlir::moe::hasNvidiaKernels(ModuleOp module) {
  auto plans = llvm::to_vector(module.getOps<tile::PlanOp>());
  return plans.size() == 1 &&
         llvm::all_of(plans[0].getBody().getOps<tile::LaunchOp>(),
                      [&](tile::LaunchOp launch) {
                        Operation *callee =
                            module.lookupSymbol(launch.getCallee());
                        return callee && callee->hasAttr("moe.launch");
                      });
}

static LogicalResult
runPipeline(ModuleOp module, llvm::function_ref<void(OpPassManager &)> add) {
  PassManager passes(module.getContext(), ModuleOp::getOperationName());
  add(passes);
  return passes.run(module);
}

/// Makes the decisions for a token count: grouped GEMMs with ranked lists of
/// configurations.
static LogicalResult decide(ModuleOp module, const NvidiaChip &chip,
                            int64_t tokens) {
  if (hasNvidiaKernels(module))
    return success();
  return emitError(module.getLoc())
         << "target " << chip.name << " is not built yet";
}

/// Makes kernels of a decided module, with the first configuration of each.
static LogicalResult makeKernels(ModuleOp module, const NvidiaChip &chip,
                                 int64_t tokens) {
  return success();
}

/// The name and the launches of a module with kernels, whose plan is erased.
static LogicalResult readKernels(ModuleOp module, const NvidiaChip &chip,
                                 std::string &name, PlanInfo &plan) {
  FailureOr<tile::PlanOp> op = findPlan(module);
  if (failed(op))
    return failure();
  FailureOr<PlanInfo> read = readGpuPlan(*op, chip);
  if (failed(read))
    return failure();
  plan = std::move(*read);
  name = op->getSymName().str();
  op->erase();
  return success();
}

FailureOr<NvidiaKernels> mlir::moe::makeNvidiaKernels(ModuleOp module,
                                                      const NvidiaChip &chip,
                                                      int64_t tokens) {
  NvidiaKernels result;
  result.module = module.clone();
  if (failed(decide(*result.module, chip, tokens)) ||
      failed(makeKernels(*result.module, chip, tokens)) ||
      failed(readKernels(*result.module, chip, result.name, result.plan)))
    return failure();
  return std::move(result);
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

/// One variant on its way. Its lists of configurations get shorter until ptxas
/// is content.
class Variant {
public:
  Variant(const NvidiaChip &chip, const TokenBucket &bucket)
      : bucket(bucket), chip(chip) {}

  LogicalResult decide(ModuleOp source);
  /// Makes kernels with the configurations at hand, and falls back to the next
  /// ones where that fails.
  LogicalResult lower();
  LogicalResult emit();
  LogicalResult assemble(const Ptxas &ptxas, const CubinCache *cache);
  /// Whether to use what assemble has made. If not, drops the configurations
  /// that are to blame; fails, with diagnostics, if there are no others.
  FailureOr<bool> judge(const Ptxas &ptxas);
  /// The manifest's words, without names of files.
  ManifestVariant describe() const;
  void report(llvm::raw_ostream &os) const;

  TokenBucket bucket;
  std::string name;
  PlanInfo plan;
  std::string ptx;
  std::optional<Assembly> assembly;
  /// Warnings, in order.
  std::vector<std::string> warnings;

private:
  /// The GEMMs with configurations, in the order of their kernels.
  SmallVector<GroupedGemmOp> getGemms();
  /// Gives up the first configuration of a GEMM; false if it has no other.
  bool reject(GroupedGemmOp gemm, StringRef reason);
  LogicalResult lowerOnce();

  const NvidiaChip &chip;
  /// The module with all decisions, and the kernels made of it.
  OwningOpRef<ModuleOp> decided, kernels;
  /// Names of kernels of GEMMs, in order.
  std::vector<std::string> gemmKernels;
  /// The configurations that the kernels were made with.
  std::vector<std::string> configs;
  std::vector<ManifestRejection> rejected;
  Times times;
};
} // namespace

static std::string print(Attribute attr) {
  std::string text;
  llvm::raw_string_ostream(text) << attr;
  return text;
}

LogicalResult Variant::decide(ModuleOp source) {
  double start = now();
  decided = source.clone();
  LogicalResult done = ::decide(*decided, chip, bucket.tokens);
  times.decide = now() - start;
  return done;
}

SmallVector<GroupedGemmOp> Variant::getGemms() {
  SmallVector<GroupedGemmOp> gemms;
  decided->walk([&](GroupedGemmOp gemm) {
    if (gemm.getChosenConfig())
      gemms.push_back(gemm);
  });
  return gemms;
}

bool Variant::reject(GroupedGemmOp gemm, StringRef reason) {
  ArrayAttr list = gemm.getConfigAttr();
  rejected.push_back({print(list[0]), reason.str()});
  if (list.size() < 2)
    return false;
  gemm.setConfigAttr(
      ArrayAttr::get(gemm.getContext(), list.getValue().drop_front()));
  return true;
}

LogicalResult Variant::lowerOnce() {
  configs.clear();
  for (GroupedGemmOp gemm : getGemms())
    if (std::string text = print(gemm.getChosenConfig());
        !llvm::is_contained(configs, text))
      configs.push_back(text);
  kernels = decided->clone();
  if (failed(makeKernels(*kernels, chip, bucket.tokens)) ||
      failed(readKernels(*kernels, chip, name, plan)))
    return failure();
  gemmKernels.clear();
  for (const std::string &kernel : plan.kernels())
    if (kernels->lookupSymbol(kernel)->hasAttr("moe.config"))
      gemmKernels.push_back(kernel);
  return runPipeline(
      *kernels, [](OpPassManager &passes) { buildNvvmToLLVMPipeline(passes); });
}

LogicalResult Variant::lower() {
  double start = now();
  LogicalResult done = failure();
  while (true) {
    SmallVector<GroupedGemmOp> gemms = getGemms();
    // The one that is said to be at fault, else the first that has a choice.
    auto hasChoice = [](GroupedGemmOp gemm) {
      return gemm.getConfigAttr().size() > 1;
    };
    if (llvm::none_of(gemms, hasChoice)) {
      done = lowerOnce();
      break;
    }
    std::string reason;
    Location fault = UnknownLoc::get(decided->getContext());
    {
      ScopedDiagnosticHandler handler(
          decided->getContext(), [&](Diagnostic &diagnostic) {
            if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
              return failure();
            if (reason.empty()) {
              reason = diagnostic.str();
              fault = diagnostic.getLocation();
            }
            return success();
          });
      done = lowerOnce();
    }
    if (succeeded(done))
      break;
    auto blamed = llvm::find_if(gemms, [&](GroupedGemmOp gemm) {
      return gemm.getLoc() == fault && hasChoice(gemm);
    });
    if (blamed == gemms.end())
      blamed = llvm::find_if(gemms, hasChoice);
    reject(*blamed, reason);
  }
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
  SmallVector<GroupedGemmOp> gemms = getGemms();
  llvm::SmallDenseSet<size_t> given;
  for (const KernelComplaint &complaint : assembly->report.complaints) {
    std::string reason =
        "ptxas " + ptxas.getVersion() + ": " + complaint.reason;
    size_t number =
        llvm::find(gemmKernels, complaint.kernel) - gemmKernels.begin();
    if (number < gemms.size() && gemms.size() == gemmKernels.size()) {
      // Several complaints about one kernel reject one configuration.
      if (!given.insert(number).second || reject(gemms[number], reason))
        continue;
    }
    Operation *kernel = kernels->lookupSymbol(complaint.kernel);
    InFlightDiagnostic error =
        emitError(kernel ? kernel->getLoc() : kernels->getLoc())
        << "kernel '" << complaint.kernel << "': " << reason;
    for (const ManifestRejection &rejection : rejected)
      error.attachNote(decided->getLoc())
          << "rejected " << rejection.config << ": " << rejection.reason;
    return failure();
  }
  return false;
}

//===----------------------------------------------------------------------===//
// What is said of a variant
//===----------------------------------------------------------------------===//

ManifestVariant Variant::describe() const {
  ManifestVariant variant;
  variant.target = chip.name.str();
  variant.firstTokens = bucket.first;
  variant.lastTokens = bucket.last;
  variant.configs = configs;
  variant.rejected = rejected;
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

void Variant::report(llvm::raw_ostream &os) const {
  os << llvm::format(
      "%s t%lld: decide %.3f s, lower %.3f s, translate %.3f s, optimise %.3f "
      "s, generate %.3f s, ",
      chip.name.str().c_str(), static_cast<long long>(bucket.tokens),
      times.decide, times.lower, times.emit.translate, times.emit.optimize,
      times.emit.generate);
  if (!assembly) {
    os << llvm::format("PTX %zu bytes\n", ptx.size());
    return;
  }
  os << llvm::format("%s %.3f s, PTX %zu bytes, cubin %zu bytes\n",
                     assembly->cached ? "cache" : "ptxas", times.assemble,
                     ptx.size(), assembly->cubin.size());
  size_t width = 6;
  for (const std::string &kernel : plan.kernels())
    width = std::max(width, kernel.size());
  os << "  " << llvm::left_justify("kernel", width)
     << "  registers  shared bytes  spilled bytes  barriers     ptxas\n";
  llvm::StringSet<> seen;
  ManifestVariant variant = describe();
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
  for (const ManifestRejection &rejection : rejected)
    os << "  rejected " << rejection.config << ": " << rejection.reason << "\n";
}

//===----------------------------------------------------------------------===//
// All variants
//===----------------------------------------------------------------------===//

/// The assembler and its cache, as the options say.
static LogicalResult findAssembler(Location location,
                                   const CompileOptions &options,
                                   std::optional<Ptxas> &ptxas,
                                   std::optional<CubinCache> &cache) {
  llvm::Expected<std::optional<Ptxas>> found = Ptxas::find(options.ptxas);
  if (!found)
    return emitError(location) << llvm::toString(found.takeError());
  ptxas = std::move(*found);
  if (ptxas)
    ptxas->timeoutSeconds = options.ptxasTimeout;
  std::string directory = CubinCache::getDefaultDirectory();
  if (options.cache && !directory.empty())
    cache.emplace(directory);
  return success();
}

/// Two variants with the same text do the same, whatever their ranges.
static std::string fingerprint(const Variant &variant) {
  Manifest manifest;
  manifest.variants.push_back(variant.describe());
  manifest.variants.back().firstTokens = 0;
  manifest.variants.back().lastTokens = std::nullopt;
  return printManifest(manifest) + variant.ptx;
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

FailureOr<NvidiaLayer>
mlir::moe::compileNvidia(ModuleOp module, const CompileOptions &options,
                         const NvidiaChip &chip, ArrayRef<TokenBucket> buckets,
                         std::vector<std::string> &notes) {
  std::optional<Ptxas> ptxas;
  std::optional<CubinCache> cache;
  if (failed(findAssembler(module.getLoc(), options, ptxas, cache)))
    return failure();
  std::vector<Variant> variants;
  // Kernels that are given fit all token counts.
  bool given = hasNvidiaKernels(module);
  for (const TokenBucket &bucket : buckets) {
    if (given && !variants.empty()) {
      variants.back().bucket.last = bucket.last;
      continue;
    }
    variants.emplace_back(chip, bucket);
    if (failed(variants.back().decide(module)))
      return failure();
  }
  if (failed(makeCode(module.getContext(), variants, ptxas, cache)))
    return failure();

  NvidiaLayer layer;
  layer.name = variants.front().name;
  layer.arguments = variants.front().plan.arguments;
  std::string former;
  for (const Variant &variant : variants) {
    for (const std::string &warning : variant.warnings)
      notes.push_back("warning: " + warning);
    std::string text = fingerprint(variant);
    if (text == former) {
      layer.variants.back().lastTokens = variant.bucket.last;
      continue;
    }
    former = std::move(text);
    ManifestVariant described = variant.describe();
    std::string stem =
        variant.name + "-" + chip.name.str() + "-t" +
        std::to_string(variant.bucket.tokens) + "-" +
        llvm::utohexstr(llvm::xxh3_64bits(variant.ptx), true, 16);
    described.ptx = stem + ".ptx";
    layer.files.push_back({described.ptx, variant.ptx});
    if (variant.assembly) {
      described.code = stem + ".cubin";
      layer.files.push_back({described.code, variant.assembly->cubin});
    }
    layer.variants.push_back(std::move(described));
    if (options.verbose)
      variant.report(*options.verbose);
  }
  if (!ptxas)
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
  OwningOpRef<ModuleOp> kernels = module.clone();
  if (failed(decide(*kernels, chip, bucket.tokens)))
    return failure();
  if (form == "moe") {
    os << *kernels << "\n";
    return success();
  }
  if (form == "nvvm") {
    if (failed(makeKernels(*kernels, chip, bucket.tokens)))
      return failure();
    os << *kernels << "\n";
    return success();
  }
  if (form == "ptx" || form == "asm" || form == "cubin") {
    std::vector<std::string> notes;
    FailureOr<NvidiaLayer> layer =
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
  std::string name;
  PlanInfo plan;
  if (failed(makeKernels(*kernels, chip, bucket.tokens)) ||
      failed(readKernels(*kernels, chip, name, plan)) ||
      failed(runPipeline(*kernels, [](OpPassManager &passes) {
        buildNvvmToLLVMPipeline(passes);
      })))
    return failure();
  if (form == "llvm") {
    os << *kernels << "\n";
    return success();
  }
  FailureOr<std::string> text =
      emitNvptxLLVMText(*kernels, chip, plan.kernels());
  if (failed(text))
    return failure();
  os << *text;
  return success();
}
