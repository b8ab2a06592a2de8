//===- Compile.cpp - From a layer to code ---------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Compile.h"

#include "CapVariants.h"
#include "GpuCompile.h"
#include "GpuKernels.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Threading.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "moec/Compiler/CpuIsa.h"
#include "moec/Compiler/ObjectEmitter.h"
#include "moec/Compiler/PlanReader.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "moec/InitAll.h"
#include "moec/Pipelines/MoeToCpu.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Targets and options
//===----------------------------------------------------------------------===//

ArrayRef<StringRef> mlir::moe::getTargetNames() {
  static constexpr StringRef names[] = {
      "cpu",    "sm_80",  "sm_89",   "sm_90a",  "sm_100a", "sm_120",
      "gfx942", "gfx950", "gfx1100", "gfx1151", "gfx1201"};
  return names;
}

bool mlir::moe::isTargetBuilt(StringRef target) {
  static constexpr StringRef names[] = {"cpu", "sm_80", "sm_89", "sm_90a",
                                        "sm_120"};
  return llvm::is_contained(names, target) || target.starts_with("gfx");
}

void mlir::moe::prepareContext(MLIRContext &context) {
  DialectRegistry registry;
  registerAllDialects(registry);
  context.appendDialectRegistry(registry);
  registerEmission(context);
}

namespace {
/// A module of tile kernels and what its plan says.
struct TileLayer {
  OwningOpRef<ModuleOp> kernels;
  PlanInfo plan;
  std::string name;
  std::vector<std::string> configs;
  TokenBucket bucket;
  /// The tile layer of another bucket that this one shares the code of.
  size_t sharesCodeOf = 0;
};

/// One piece of code to be made.
struct Job {
  const CpuIsa *isa;
  PlanInfo plan;
  OwningOpRef<ModuleOp> module;
  EmitTimes times;
  double lower = 0, link = 0;
  CodeObject code;
};

class Compilation {
public:
  Compilation(ModuleOp source, const CompileOptions &options)
      : owner(source.clone()), module(*owner), options(options) {}
  FailureOr<CompiledLayer> run();
  LogicalResult emitForm(StringRef form, llvm::raw_ostream &os);

private:
  LogicalResult runCpu();
  FailureOr<TargetCode> makeCpu();
  std::vector<std::string> getCpuDecisive();
  LogicalResult add(StringRef target, TargetCode code);
  LogicalResult runGpu(GpuBackend &backend);
  LogicalResult tryGpu(GpuBackend &backend);
  LogicalResult checkOptions();
  LogicalResult prepare();
  LogicalResult checkOrder();
  LogicalResult decide(const TokenBucket &bucket, TileLayer &tile);
  FailureOr<OwningOpRef<ModuleOp>> decideCpu(const TokenBucket &bucket);
  LogicalResult makeKernels(TileLayer &tile);
  LogicalResult readTile(TileLayer &tile);
  LogicalResult describe();
  LogicalResult lower(TileLayer &tile, Job &job);
  LogicalResult emit(Job &job);
  void report(ArrayRef<Job> jobs);

  OwningOpRef<ModuleOp> owner;
  /// The layer as CPUs and people see it: all its tokens exist.
  ModuleOp module;
  const CompileOptions &options;
  /// The layer as GPUs see it.
  OwningOpRef<ModuleOp> counted;
  CompiledLayer result;
  /// Whether the target `cpu` is asked for, and the GPUs.
  bool cpu = false;
  std::vector<std::unique_ptr<GpuBackend>> gpus;
  std::vector<const CpuIsa *> isas;
  std::vector<TokenBucket> buckets;
  /// Those of the target `cpu`, of which some may be given up.
  std::vector<TokenBucket> cpuBuckets;
  double front = 0;
};
} // namespace

/// "a, b or c".
template <typename Range> static std::string list(const Range &names) {
  std::string text;
  for (auto [i, name] : llvm::enumerate(names))
    text += (i == 0                  ? ""
             : i + 1 == names.size() ? " or "
                                     : ", ") +
            StringRef(name).str();
  return text;
}

LogicalResult Compilation::checkOptions() {
  Location location = module.getLoc();
  if (options.targets.empty())
    return emitError(location) << "no target is given";
  for (const std::string &target : options.targets) {
    if (!llvm::is_contained(getTargetNames(), target))
      return emitError(location) << "unknown target '" << target
                                 << "', expected " << list(getTargetNames());
    std::unique_ptr<GpuBackend> gpu = createGpuBackend(target);
    if (gpu && (isTargetBuilt(target) || hasGpuKernels(module)))
      gpus.push_back(std::move(gpu));
    else if (isTargetBuilt(target))
      cpu = true;
    else if (options.allowMissingTargets)
      result.manifest.missingTargets.push_back(target);
    else
      return emitError(location) << "target " << target << " is not built yet";
  }
  if (!cpu && gpus.empty())
    return emitError(location)
           << "none of the targets is built yet: " << list(options.targets);

  for (const CpuIsa &isa : getCpuIsas())
    if (options.isas.empty() || llvm::is_contained(options.isas, isa.name))
      isas.push_back(&isa);
  for (const std::string &isa : options.isas)
    if (!findCpuIsa(isa))
      return emitError(location)
             << "unknown instruction set '" << isa << "', expected "
             << list(llvm::map_to_vector(
                    getCpuIsas(), [](const CpuIsa &isa) { return isa.name; }));

  if (options.tokens.empty())
    return emitError(location) << "the list of token counts is empty";
  std::vector<int64_t> tokens = options.tokens;
  llvm::sort(tokens);
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  if (tokens.front() < 1)
    return emitError(location)
           << "token count " << tokens.front() << " is not positive";
  int64_t first = 0;
  for (int64_t count : tokens) {
    buckets.push_back({first, count, count});
    first = count + 1;
  }
  // One variant for all: whatever passes decide by the number of tokens is the
  // same for each.
  if (isBatchInvariant(module))
    buckets = {{0, std::nullopt, getBatchInvariantTokens()}};
  buckets.back().last = std::nullopt;
  for (const std::string &warning : options.tiles.getWarnings(tokens))
    addWarning(result.notes, warning);
  return success();
}

//===----------------------------------------------------------------------===//
// The real token count
//===----------------------------------------------------------------------===//

static constexpr StringRef deviceTokensName = "moe.device_tokens";

/// The argument's number, if there is one.
static std::optional<unsigned> findDeviceTokens(func::FuncOp function) {
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (function.getArgAttr(i, deviceTokensName))
      return i;
  return std::nullopt;
}

void mlir::moe::addDeviceTokens(ModuleOp module) {
  OpBuilder builder(module.getContext());
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isDeclaration() || findDeviceTokens(function) ||
        llvm::none_of(function.getOps(), [](Operation &op) {
          return isa_and_nonnull<MoeDialect>(op.getDialect());
        }))
      continue;
    auto attrs = builder.getDictionaryAttr(
        {builder.getNamedAttr(deviceTokensName, builder.getUnitAttr()),
         builder.getNamedAttr("moe.name",
                              builder.getStringAttr("device_tokens"))});
    (void)function.insertArgument(
        function.getNumArguments(),
        RankedTensorType::get({1}, builder.getI32Type()), attrs,
        function.getLoc());
  }
}

FailureOr<bool> mlir::moe::takeDeviceTokens(ModuleOp module) {
  bool found = false;
  for (auto function : module.getOps<func::FuncOp>())
    while (std::optional<unsigned> number = findDeviceTokens(function)) {
      Type type = function.getArgumentTypes()[*number];
      if (found || type != RankedTensorType::get(
                               {1}, Builder(type.getContext()).getI32Type()))
        return function.emitOpError("argument ")
               << *number
               << " with moe.device_tokens must be the only one and "
                  "tensor<1xi32>, got "
               << type;
      if (!function.isDeclaration() &&
          !function.getArgument(*number).use_empty())
        return function.emitOpError("argument ")
               << *number
               << " with moe.device_tokens is for the run time, no operation "
                  "may use it";
      if (failed(function.eraseArgument(*number)))
        return failure();
      found = true;
    }
  return found;
}

/// What is known of the order of sums in kernels that are given: those that
/// configurations decide are seen there.
LogicalResult Compilation::checkOrder() {
  auto asked = module->getAttrOfType<DictionaryAttr>(getSelectionAttrName());
  bool ordered = asked && asked.contains("deterministic");
  if (ordered && hasGpuKernels(module))
    return emitError(module.getLoc())
           << "rule deterministic: nobody knows in which order kernels that "
              "are given as code add";
  tile::StoreOp adding;
  module.walk([&](tile::StoreOp store) {
    if (store.getMode() == tile::StoreMode::AddF32)
      adding = store;
  });
  if (!adding)
    return success();
  if (ordered)
    return adding.emitError("rule deterministic: mode(add_f32) adds in any "
                            "order, but the same bits on every run are asked "
                            "for");
  result.manifest.ordered = false;
  return success();
}

LogicalResult Compilation::prepare() {
  FailureOr<bool> has = takeDeviceTokens(module);
  if (failed(has) || failed(verify(module)))
    return failure();
  if (failed(checkOrder()))
    return failure();
  counted = module.clone();
  if (*has || options.deviceTokens)
    addDeviceTokens(*counted);
  return success();
}

//===----------------------------------------------------------------------===//
// To tile kernels
//===----------------------------------------------------------------------===//

/// The numbers by which people know a layer.
LogicalResult Compilation::describe() {
  FusedExpertsOp layer;
  module.walk([&](FusedExpertsOp op) { layer = op; });
  if (!layer)
    return success();
  auto extent = [](Value value, unsigned dim) {
    return cast<ShapedType>(value.getType()).getDimSize(dim);
  };
  auto text = [](auto thing) {
    std::string result;
    llvm::raw_string_ostream(result) << thing;
    return result;
  };
  auto &dims = result.manifest.dims;
  dims.emplace_back("E", extent(layer.getW1(), 0));
  dims.emplace_back("k", extent(layer.getTopkIds(), 1));
  dims.emplace_back("H", extent(layer.getX(), 1));
  int64_t rows = extent(layer.getW1(), 1);
  dims.emplace_back("I", layer.getActivation().isGated() ? rows / 2 : rows);
  dims.emplace_back(
      "dtype", text(cast<ShapedType>(layer.getX().getType()).getElementType()));
  dims.emplace_back("activation", text(layer.getActivation()));
  if (layer.getW1Quant())
    dims.emplace_back("w1_quant", text(*layer.getW1Quant()));
  if (layer.getW2Quant())
    dims.emplace_back("w2_quant", text(*layer.getW2Quant()));
  if (layer.getActQuant())
    dims.emplace_back("act_quant", text(*layer.getActQuant()));
  return success();
}

static LogicalResult
runPipeline(ModuleOp module, llvm::function_ref<void(OpPassManager &)> add) {
  PassManager passes(module.getContext(), ModuleOp::getOperationName());
  // A failing pass is told by its own diagnostic.
  add(passes);
  return passes.run(module);
}

LogicalResult Compilation::decide(const TokenBucket &bucket, TileLayer &tile) {
  tile.bucket = bucket;
  tile.kernels = module.clone();
  MoeToCpuOptions select;
  select.tokens = bucket.tokens;
  if (failed(runPipeline(*tile.kernels, [&](OpPassManager &passes) {
        buildFusePipeline(passes);
      })))
    return failure();
  if (failed(
          applyGivenTiles(*tile.kernels, options.tiles, "cpu", bucket.tokens)))
    return failure();
  if (failed(runPipeline(*tile.kernels, [&](OpPassManager &passes) {
        buildSelectPipeline(passes, select);
      })))
    return failure();
  tile.kernels->walk([&](GroupedGemmOp gemm) {
    ConfigAttr config = gemm.getChosenConfig();
    if (!config)
      return;
    std::string text;
    llvm::raw_string_ostream(text) << config;
    if (!llvm::is_contained(tile.configs, text))
      tile.configs.push_back(text);
  });
  return success();
}

FailureOr<OwningOpRef<ModuleOp>>
Compilation::decideCpu(const TokenBucket &bucket) {
  TileLayer tile;
  if (failed(decide(bucket, tile)))
    return failure();
  return std::move(tile.kernels);
}

LogicalResult Compilation::makeKernels(TileLayer &tile) {
  return runPipeline(*tile.kernels,
                     [](OpPassManager &passes) { buildTilePipeline(passes); });
}

LogicalResult Compilation::readTile(TileLayer &tile) {
  auto plans = llvm::to_vector(tile.kernels->getOps<tile::PlanOp>());
  if (plans.size() != 1)
    return emitError(module.getLoc())
           << "a module to compile has one function with moe operations or "
              "one moe_tile.plan, this one has "
           << plans.size();
  FailureOr<PlanInfo> plan = readPlan(plans[0]);
  if (failed(plan))
    return failure();
  tile.plan = std::move(*plan);
  tile.name = plans[0].getSymName().str();
  plans[0].erase();
  return success();
}

//===----------------------------------------------------------------------===//
// To code
//===----------------------------------------------------------------------===//

LogicalResult Compilation::lower(TileLayer &tile, Job &job) {
  double start = now();
  job.module = tile.kernels->clone();
  job.plan = tile.plan;
  MoeToCpuOptions back;
  back.isa = job.isa->name.str();
  if (failed(runPipeline(*job.module,
                         [&](OpPassManager &passes) {
                           buildTileToCpuPipeline(passes, back);
                         })) ||
      failed(addScratch(*job.module, job.plan)))
    return failure();
  job.lower = now() - start;
  return success();
}

LogicalResult Compilation::emit(Job &job) {
  job.code.isa = job.isa->name.str();
  job.code.kernels = job.plan.kernels();
  FailureOr<std::string> object =
      emitObject(*job.module, *job.isa, job.code.kernels, &job.times);
  if (failed(object))
    return failure();
  job.code.object = std::move(*object);
  if (!options.link)
    return success();
  double start = now();
  FailureOr<std::string> shared =
      linkSharedObject(job.module->getLoc(), job.code.object);
  if (failed(shared))
    return failure();
  job.code.sharedObject = std::move(*shared);
  job.link = now() - start;
  return success();
}

FailureOr<TargetCode> Compilation::makeCpu() {
  // Ranges whose kernels came out equal share the code.
  double start = now();
  std::vector<TileLayer> tiles;
  std::vector<std::string> texts;
  std::vector<size_t> unique;
  for (const TokenBucket &bucket : cpuBuckets) {
    TileLayer tile;
    if (failed(decide(bucket, tile)) || failed(makeKernels(tile)) ||
        failed(readTile(tile)))
      return failure();
    std::string text;
    llvm::raw_string_ostream(text) << *tile.kernels;
    if (!tiles.empty() && text == texts[tiles.back().sharesCodeOf]) {
      tiles.back().bucket.last = bucket.last;
      continue;
    }
    tile.sharesCodeOf = llvm::find(texts, text) - texts.begin();
    if (tile.sharesCodeOf == texts.size()) {
      texts.push_back(std::move(text));
      unique.push_back(tiles.size());
    }
    tiles.push_back(std::move(tile));
  }
  front = now() - start;

  std::vector<Job> jobs(unique.size() * isas.size());
  for (auto [i, job] : llvm::enumerate(jobs)) {
    job.isa = isas[i % isas.size()];
    if (failed(lower(tiles[unique[i / isas.size()]], job)))
      return failure();
  }
  if (failed(failableParallelForEach(module.getContext(), jobs,
                                     [&](Job &job) { return emit(job); })))
    return failure();

  TargetCode code;
  code.layer = tiles.front().name;
  code.arguments = tiles.front().plan.arguments;
  for (auto [i, job] : llvm::enumerate(jobs)) {
    const TileLayer &tile = tiles[unique[i / isas.size()]];
    // The hash keeps a reader that has opened the manifest of one artifact from
    // loading the code of another one that took its place.
    job.code.name =
        tile.name + "-" + job.code.isa + "-t" +
        std::to_string(tile.bucket.tokens) + "-" +
        llvm::utohexstr(llvm::xxh3_64bits(job.code.object), true, 16) + ".so";
  }
  for (const TileLayer &tile : tiles)
    for (size_t i = 0; i < isas.size(); ++i) {
      const Job &job = jobs[tile.sharesCodeOf * isas.size() + i];
      ManifestVariant variant;
      variant.target = "cpu";
      variant.isa = job.code.isa;
      variant.firstTokens = tile.bucket.first;
      variant.lastTokens = tile.bucket.last;
      variant.code = job.code.name;
      variant.configs = tile.configs;
      variant.workspaces = job.plan.workspaces;
      variant.launches = job.plan.launches;
      code.variants.push_back(std::move(variant));
    }
  if (options.verbose)
    report(jobs);
  for (Job &job : jobs)
    code.objects.push_back(std::move(job.code));
  return std::move(code);
}

/// What decides the code for CPUs beside the module and the compiler.
std::vector<std::string> Compilation::getCpuDecisive() {
  std::vector<std::string> what = {"cpu", options.link ? "linked" : "object",
                                   options.tiles.describe()};
  for (const CpuIsa *isa : isas)
    what.push_back(isa->name.str());
  for (const TokenBucket &bucket : cpuBuckets)
    what.push_back(std::to_string(bucket.first) + ":" +
                   std::to_string(bucket.tokens));
  return what;
}

/// Adds what was made for a target to the result.
LogicalResult Compilation::add(StringRef target, TargetCode code) {
  // One set of arguments stands in the manifest.
  if (result.manifest.variants.empty()) {
    result.manifest.layer = std::move(code.layer);
    result.manifest.arguments = std::move(code.arguments);
  } else if (result.manifest.arguments != code.arguments) {
    return emitError(module.getLoc())
           << "the plan for " << target
           << " takes other arguments than the one for "
           << result.manifest.variants.front().target;
  }
  llvm::append_range(result.manifest.variants, std::move(code.variants));
  llvm::append_range(result.code, std::move(code.objects));
  for (ArtifactFile &file : code.files)
    if (llvm::none_of(result.files, [&](const ArtifactFile &other) {
          return other.name == file.name;
        }))
      result.files.push_back(std::move(file));
  return success();
}

LogicalResult Compilation::runCpu() {
  double start = now();
  FailureOr<std::vector<TokenBucket>> capped =
      capBuckets(module, "cpu", buckets, options.maxVariants,
                 [&](const TokenBucket &bucket) { return decideCpu(bucket); });
  if (failed(capped))
    return failure();
  cpuBuckets = std::move(*capped);
  auto warn = [&](const Twine &text) { addWarning(result.notes, text); };
  std::optional<FileCache> files;
  if (options.cacheVariants)
    files = findCache(options, result.notes);
  CodeCache cache(module, std::move(files));
  std::vector<std::string> texts = getCpuDecisive();
  SmallVector<StringRef> what(texts.begin(), texts.end());
  if (std::optional<TargetCode> known = cache.load(what, warn)) {
    if (options.verbose)
      *options.verbose << llvm::format("cpu: all from the cache %.3f s\n",
                                       now() - start);
    return add("cpu", std::move(*known));
  }
  SilenceObserver observer(module.getContext());
  FailureOr<TargetCode> made = makeCpu();
  if (failed(made))
    return failure();
  if (observer.isSilent())
    cache.store(what, *made, warn);
  return add("cpu", std::move(*made));
}

LogicalResult Compilation::runGpu(GpuBackend &backend) {
  FailureOr<TargetCode> code =
      compileGpu(*counted, options, backend, buckets, result.notes);
  return failed(code) ? failure()
                      : add(backend.getChip().name, std::move(*code));
}

/// As runGpu, but a layer that cannot be built for the chip is listed as
/// missing, with the reason as a note. There must be something else to run.
LogicalResult Compilation::tryGpu(GpuBackend &backend) {
  std::string reason;
  LogicalResult done = failure();
  {
    ScopedDiagnosticHandler handler(
        module.getContext(), [&](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
            return failure();
          if (reason.empty())
            reason = diagnostic.str();
          return success();
        });
    done = runGpu(backend);
  }
  if (succeeded(done))
    return success();
  if (result.manifest.variants.empty())
    return emitError(module.getLoc()) << reason;
  std::string name = backend.getChip().name.str();
  result.manifest.missingTargets.push_back(name);
  result.notes.push_back("note: not built for " + name + ": " + reason);
  return success();
}

FailureOr<CompiledLayer> Compilation::run() {
  if (failed(checkOptions()) || failed(prepare()) || failed(describe()))
    return failure();
  llvm::raw_string_ostream(result.source) << module << "\n";
  if (cpu && failed(runCpu()))
    return failure();
  for (const std::unique_ptr<GpuBackend> &gpu : gpus)
    if (failed(options.allowMissingTargets ? tryGpu(*gpu) : runGpu(*gpu)))
      return failure();
  return std::move(result);
}

LogicalResult Compilation::emitForm(StringRef form, llvm::raw_ostream &os) {
  TileLayer tile;
  if (failed(checkOptions()) || failed(prepare()))
    return failure();
  bool forGpu = !gpus.empty() && options.targets.front() != "cpu";
  if (form == "prediction")
    return printPredictions(
        module, options.targets.front(), buckets,
        [&](const TokenBucket &bucket) {
          return forGpu ? decideGpu(*counted, *gpus.front(), bucket.tokens,
                                    options.tiles)
                        : decideCpu(bucket);
        },
        os);
  if (forGpu)
    return emitGpuForm(*counted, options, *gpus.front(), buckets.front(), form,
                       os);
  if (llvm::is_contained({"nvvm", "ptx", "cubin", "rocdl", "hsaco"}, form))
    return emitError(module.getLoc())
           << "--emit " << form << " is for "
           << (llvm::is_contained({"rocdl", "hsaco"}, form) ? "AMD" : "NVIDIA")
           << " GPUs, the target is " << options.targets.front();
  if (failed(decide(buckets.front(), tile)))
    return failure();
  if (form != "moe" && failed(makeKernels(tile)))
    return failure();
  if (form == "moe" || form == "tile") {
    os << *tile.kernels << "\n";
    return success();
  }
  Job job;
  job.isa = isas.front();
  if (failed(readTile(tile)) || failed(lower(tile, job)))
    return failure();
  if (form == "llvm") {
    os << *job.module << "\n";
    return success();
  }
  FailureOr<std::string> text =
      form == "asm" ? emitAssembly(*job.module, *job.isa, job.plan.kernels())
                    : emitLLVMText(*job.module, *job.isa, job.plan.kernels());
  if (failed(text))
    return failure();
  os << *text;
  return success();
}

void Compilation::report(ArrayRef<Job> jobs) {
  llvm::raw_ostream &os = *options.verbose;
  os << llvm::format("to tile kernels: %.3f s\n", front);
  for (const Job &job : jobs)
    os << llvm::format(
        "%s: lower %.3f s, translate %.3f s, optimise %.3f s, generate %.3f "
        "s, link %.3f s, object %zu bytes, shared object %zu bytes\n",
        job.code.name.c_str(), job.lower, job.times.translate,
        job.times.optimize, job.times.generate, job.link,
        job.code.object.size(), job.code.sharedObject.size());
}

FailureOr<CompiledLayer>
mlir::moe::compileLayer(ModuleOp module, const CompileOptions &options) {
  return Compilation(module, options).run();
}

LogicalResult mlir::moe::emitForm(ModuleOp module,
                                  const CompileOptions &options, StringRef form,
                                  llvm::raw_ostream &os) {
  return Compilation(module, options).emitForm(form, os);
}

FailureOr<std::unique_ptr<JitLayer>>
mlir::moe::openInProcess(Location location, const CompiledLayer &layer,
                         const moec_open_options *options) {
  SmallVector<JitInput> inputs;
  for (const CodeObject &code : layer.code)
    inputs.push_back({code.name, code.object, code.kernels});
  return JitLayer::open(location, printManifest(layer.manifest), inputs,
                        options);
}
