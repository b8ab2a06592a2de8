//===- Session.cpp - One layer, ready to be run, checked and timed --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Session.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "moec/Compiler/Compile.h"
#include "moec/Driver/Emulate.h"
#include "moec/Driver/Jit.h"
#include "moec/InitAll.h"
#include "moec/Reference/Moe/Compare.h"
#include "moec/Reference/Moe/Interpreter.h"
#include "moec/Reference/Moe/RandomInputs.h"
#include "moec/Support/TensorIO.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/xxhash.h"
#include <algorithm>
#include <chrono>
#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

namespace {
/// Says on stderr that something starts which may take seconds.
void announce(const Twine &what) {
  llvm::errs() << "moe-run: " << what << "\n";
}

class Stopwatch {
public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         start)
        .count();
  }

private:
  std::chrono::steady_clock::time_point start =
      std::chrono::steady_clock::now();
};
} // namespace

Session::Session(const RunOptions &options) : options(options) {}
Session::~Session() = default;

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

/// The file that holds the layer's IR: the input itself or the artifact's copy;
/// empty if there is none.
static std::string findSource(StringRef path) {
  if (!llvm::sys::fs::is_directory(path))
    return path.str();
  SmallString<256> source(path);
  llvm::sys::path::append(source, "layer.mlir");
  return llvm::sys::fs::exists(source) ? std::string(source) : "";
}

Error Session::readFunction() {
  std::string path = findSource(options.path);
  if (path.empty())
    return Error::success();
  DialectRegistry registry;
  registerAllDialects(registry);
  context = std::make_unique<MLIRContext>(registry);
  std::string message;
  auto file = openInputFile(path, &message);
  if (!file)
    return llvm::createStringError(message);
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(file), llvm::SMLoc());
  SourceMgrDiagnosticHandler handler(sources, context.get());
  module = parseSourceFile<ModuleOp>(sources, context.get());
  if (!module)
    return llvm::createStringError(path + ": no valid module");
  // How many tokens exist is no argument here: --device-tokens says it.
  if (failed(takeDeviceTokens(*module)))
    return llvm::createStringError(path + ": no valid module");

  SmallVector<func::FuncOp> functions;
  for (auto candidate : module->getOps<func::FuncOp>())
    if (!candidate.isDeclaration() &&
        (options.function.empty() || candidate.getName() == options.function))
      functions.push_back(candidate);
  if (functions.empty() && !options.function.empty())
    return llvm::createStringError(path + ": no function '" + options.function +
                                   "' with a body");
  if (functions.size() != 1)
    return llvm::createStringError(
        llvm::formatv("{0}: {1} functions with a body; --function says which "
                      "to run",
                      path, functions.size()));
  function = functions[0];
  Expected<LayerSpec> read = readLayerSpec(function);
  if (!read)
    return read.takeError();
  spec = std::move(*read);
  return Error::success();
}

Error Session::openKernels() {
  Expected<PoolHandle> created = createPool(options.workers);
  if (!created)
    return created.takeError();
  pool = std::move(*created);
  LayerOpener opener;
  if (llvm::sys::fs::is_directory(options.path)) {
    opener = openArtifact(options.path, options.isa);
  } else {
    // What is timed is compiled for its very token count.
    SmallVector<int64_t> tokens;
    for (const RunCase &run : options.cases)
      if (options.bench && run.tokens > 0)
        tokens.push_back(run.tokens);
    Expected<LayerOpener> jit = compileInMemory(function, options.isa, tokens);
    if (!jit)
      return jit.takeError();
    opener = std::move(*jit);
  }
  if (!function) {
    Expected<LayerHandle> layer = opener(nullptr);
    if (!layer)
      return layer.takeError();
    Expected<LayerSpec> read = readLayerSpec(**layer);
    if (!read)
      return read.takeError();
    spec = std::move(*read);
  }
  Expected<LayerRunner> created2 =
      LayerRunner::create(std::move(opener), spec, pool.get());
  if (!created2)
    return created2.takeError();
  runner = std::move(*created2);
  return Error::success();
}

/// The text of an artifact's manifest, empty for anything else.
static std::string readManifest(StringRef path) {
  SmallString<256> file(path);
  llvm::sys::path::append(file, "manifest.json");
  auto text = llvm::MemoryBuffer::getFile(file);
  return text ? (*text)->getBuffer().str() : std::string();
}

Expected<std::unique_ptr<Session>> Session::open(const RunOptions &options) {
  // Its files are opened one by one; if another artifact took the place of this
  // one meanwhile, they are not of one compilation.
  constexpr int mostAttempts = 100;
  for (int attempt = 1;; ++attempt) {
    std::string before = readManifest(options.path);
    Expected<std::unique_ptr<Session>> session = openOnce(options);
    if (attempt == mostAttempts || readManifest(options.path) == before)
      return session;
    if (!session)
      llvm::consumeError(session.takeError());
  }
}

Expected<std::unique_ptr<Session>>
Session::openOnce(const RunOptions &options) {
  if (!llvm::sys::fs::exists(options.path))
    return llvm::createStringError(options.path +
                                   ": no such file or directory");
  std::unique_ptr<Session> session(new Session(options));
  if (Error error = session->readFunction())
    return std::move(error);
  bool needsSource = options.check || options.mode != RunMode::Kernels;
  if (needsSource && !session->function)
    return llvm::createStringError(
        options.path + ": holds no layer.mlir, without which there is no "
                       "reference to run or to check against and nothing to "
                       "compile");
  if (options.mode == RunMode::Kernels)
    if (Error error = session->openKernels())
      return std::move(error);
  if (options.mode == RunMode::Emulate) {
    Expected<std::string> target =
        chooseEmulatedTarget(options, readManifest(options.path));
    if (!target)
      return target.takeError();
    session->target = std::move(*target);
  }
  for (const auto &file : options.inputs.files)
    if (!session->spec.find(file.first()))
      return llvm::createStringError(
          "option '--input': '" + session->spec.name + "' has no argument '" +
          file.first() + "'");
  return session;
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

Error Session::makeInputs(const RunCase &run) {
  int64_t tokens = run.tokens;
  // Functions of single ops: what an argument holds follows from its uses.
  if (function && spec.experts == 0) {
    RandomOptions random;
    random.seed = options.inputs.seed;
    random.tokens = tokens;
    Expected<SmallVector<HostTensor>> made = makeRandomInputs(function, random);
    if (!made)
      return made.takeError();
    inputs = std::move(*made);
  }
  inputs.resize(spec.arguments.size());
  uint64_t bytes = 0;
  for (const ArgumentSpec &argument : spec.arguments) {
    uint64_t count = 1;
    for (int64_t extent : argument.getShape(tokens))
      count *= extent;
    bytes += getStorageBytes(argument.type, count);
  }
  bool stored = !options.inputs.checkpoint.empty();
  if (!hasStaticInputs && bytes > (uint64_t(256) << 20))
    announce(llvm::formatv("{0} {1:F2} GB of weights",
                           stored ? "reading" : "making", bytes * 1e-9));
  std::map<std::string, HostTensor> weights;
  if (stored && !hasStaticInputs) {
    Expected<std::map<std::string, HostTensor>> read =
        readCheckpointInputs(spec, options.inputs);
    if (!read)
      return read.takeError();
    weights = std::move(*read);
  }
  for (auto [argument, tensor] : llvm::zip_equal(spec.arguments, inputs)) {
    if (!argument.isDynamic() && hasStaticInputs)
      continue;
    if (auto found = weights.find(argument.name); found != weights.end()) {
      tensor = std::move(found->second);
      continue;
    }
    if (function && spec.experts == 0 &&
        !options.inputs.files.contains(argument.name))
      continue;
    Expected<HostTensor> made =
        makeArgument(spec, argument, run, options.inputs);
    if (!made)
      return made.takeError();
    tensor = std::move(*made);
  }
  return checkInputs(spec, inputs);
}

Error Session::saveInputs() const {
  SmallVector<NamedTensor> named;
  for (auto [argument, tensor] : llvm::zip_equal(spec.arguments, inputs))
    if (argument.role != ArgumentRole::Output)
      named.push_back({argument.name, &tensor});
  return writeSafetensors(options.saveInputs, named);
}

//===----------------------------------------------------------------------===//
// Reference
//===----------------------------------------------------------------------===//

Expected<SmallVector<HostTensor>> Session::interpret(ArrayRef<int64_t> rows,
                                                     bool wide) {
  ReferenceOptions reference;
  reference.accumulate = wide ? Accumulate::F64 : Accumulate::F32;
  reference.threads = options.workers;
  reference.rows = rows;
  return interpretFunction(function, inputs, reference);
}

/// `wanted` rows of `tokens`, first and last among them, evenly spread.
static SmallVector<int64_t> chooseRows(int64_t tokens, int64_t wanted) {
  SmallVector<int64_t> rows;
  for (int64_t i = 0; i < wanted; ++i)
    rows.push_back(wanted == 1 ? 0 : i * (tokens - 1) / (wanted - 1));
  return rows;
}

static Expected<HostTensor> gatherRows(const HostTensor &tensor,
                                       ArrayRef<int64_t> rows) {
  SmallVector<int64_t> shape(tensor.getShape());
  shape[0] = static_cast<int64_t>(rows.size());
  Expected<HostTensor> result =
      HostTensor::createUninitialized(tensor.getType(), shape);
  if (!result)
    return result.takeError();
  uint64_t rowBytes = result->getByteSize() / rows.size();
  for (auto [i, row] : llvm::enumerate(rows))
    std::memcpy(result->getData() + i * rowBytes,
                tensor.getData() + row * rowBytes, rowBytes);
  return result;
}

static int64_t countNonFinite(const HostTensor &tensor) {
  std::vector<float> values = tensor.toFloats();
  return llvm::count_if(values, [](float v) { return !std::isfinite(v); });
}

/// Adds the comparison of one result to `check`.
static Error compareResult(const HostTensor &actual, const HostTensor &expected,
                           StringRef name, bool mustBeFinite,
                           CheckResult &check) {
  Expected<Difference> difference = compareTensors(actual, expected);
  if (!difference)
    return difference.takeError();
  bool passed = difference->relErr <= check.tolerance;
  std::string detail = difference->describe(expected.getShape());
  if (int64_t count = mustBeFinite ? countNonFinite(expected) : 0) {
    passed = false;
    detail +=
        llvm::formatv(", {0} values of the reference are not finite", count);
  }
  if (!(difference->relErr <= check.relErr))
    check.relErr = difference->relErr;
  if (!passed)
    check.detail +=
        (check.detail.empty() ? "" : "; ") + name.str() + ": " + detail;
  check.passed &= passed;
  return Error::success();
}

Expected<CheckResult> Session::check(const SmallVector<HostTensor> &outputs,
                                     int64_t tokens) {
  CheckResult check;
  check.passed = true;
  check.tolerance = options.tolerance >= 0
                        ? options.tolerance
                        : getTolerance(spec.dtype).value_or(1e-2);
  SmallVector<int64_t> rows;
  bool some = spec.isFusedLayer && tokens > 16 && options.checkRows > 0 &&
              options.checkRows < tokens;
  if (some)
    rows = chooseRows(tokens, options.checkRows);
  check.rows = some ? options.checkRows : tokens;
  if (tokens > 0 && countFlops(spec, inputs) / tokens * check.rows > 5e9)
    announce(llvm::formatv("reference of {0} rows", check.rows));
  Stopwatch watch;
  Expected<SmallVector<HostTensor>> expected = interpret(rows, /*wide=*/true);
  if (!expected)
    return expected.takeError();
  check.seconds = watch.seconds();
  if (expected->size() != outputs.size())
    return llvm::createStringError(
        llvm::formatv("the reference has {0} results, the run {1}",
                      expected->size(), outputs.size()));
  for (auto [i, output] : llvm::enumerate(outputs)) {
    HostTensor some;
    const HostTensor *actual = &output;
    if (!rows.empty()) {
      Expected<HostTensor> gathered = gatherRows(output, rows);
      if (!gathered)
        return gathered.takeError();
      some = std::move(*gathered);
      actual = &some;
    }
    if (Error error =
            compareResult(*actual, (*expected)[i], spec.results[i].name,
                          spec.isFusedLayer, check))
      return std::move(error);
  }
  return check;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

/// A hash of every input that is small enough to be hashed in passing.
static SmallVector<uint64_t> hashInputs(ArrayRef<HostTensor> inputs) {
  SmallVector<uint64_t> hashes;
  for (const HostTensor &tensor : inputs)
    hashes.push_back(tensor.getByteSize() > (uint64_t(64) << 20)
                         ? 0
                         : llvm::xxh3_64bits(ArrayRef<uint8_t>(
                               tensor.getData(), tensor.getByteSize())));
  return hashes;
}

Error Session::checkUnchanged(ArrayRef<uint64_t> before) const {
  SmallVector<uint64_t> after = hashInputs(inputs);
  for (auto [argument, a, b] : llvm::zip_equal(spec.arguments, before, after))
    if (a != b)
      return llvm::createStringError("the run wrote to its input '" +
                                     argument.name + "'");
  return Error::success();
}

Expected<SmallVector<HostTensor>> Session::runKernels(CaseResult &result) {
  if (Error error =
          runner->prepare(inputs, result.tokens, /*repack=*/!hasStaticInputs))
    return std::move(error);
  result.variant = runner->getVariantName();
  result.workspaceBytes = runner->getWorkspaceBytes();
  result.workers = moec_pool_workers(pool.get());
  SmallVector<uint64_t> before = hashInputs(inputs);
  Expected<double> seconds = runner->run();
  if (!seconds)
    return seconds.takeError();
  result.seconds = *seconds;
  if (Error error = runner->checkGuards())
    return std::move(error);
  if (Error error = checkUnchanged(before))
    return std::move(error);
  return runner->getOutputs();
}

Expected<SmallVector<HostTensor>> Session::runEmulated(CaseResult &result) {
  result.variant = target + " emulated";
  SmallVector<uint64_t> before = hashInputs(inputs);
  Expected<EmulatedRun> run =
      emulate(function, spec, inputs, result.tokens, target, options);
  if (!run)
    return run.takeError();
  result.seconds = run->seconds;
  result.workspaceBytes = run->workspaceBytes;
  for (const std::string &finding : run->findings)
    llvm::errs() << finding << "\n";
  if (!run->findings.empty())
    return llvm::createStringError(llvm::formatv(
        "the emulated device found {0} fault{1} in the kernels",
        run->findings.size(), run->findings.size() > 1 ? "s" : ""));
  if (Error error = checkUnchanged(before))
    return std::move(error);
  return std::move(run->outputs);
}

/// Sets rows of expert ids from `first` on to no expert.
static void clearRows(HostTensor &ids, int64_t first) {
  first = std::min(first, ids.getDim(0));
  if (ids.getDim(0) == 0)
    return;
  size_t row = ids.getByteSize() / ids.getDim(0);
  // All bits set are -1 in every signed integer.
  std::memset(ids.getData() + first * row, 0xff, (ids.getDim(0) - first) * row);
}

static double median(std::vector<double> &values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2,
                   values.end());
  return values[values.size() / 2];
}

Expected<BenchResult> Session::measure() {
  if (!readBuffer) {
    Expected<ReadBuffer> buffer =
        ReadBuffer::create(ReadBuffer::getDefaultBytes());
    if (!buffer)
      return buffer.takeError();
    readBuffer = std::move(*buffer);
    readBandwidth = readBuffer->measureBandwidth(pool.get());
  }
  BenchResult bench;
  bench.weightBytes = countTouchedWeightBytes(spec, inputs);
  bench.flops = countFlops(spec, inputs);
  for (bool cold : {true, false}) {
    std::vector<double> times;
    double total = 0;
    // About a second, at least five runs, fewer only if one takes seconds.
    auto enough = [&](int64_t done) {
      if (options.repetitions > 0)
        return done >= options.repetitions;
      return done >= 200 || (done >= 5 && total > 1) ||
             (done >= 3 && total > 10);
    };
    while (!enough(static_cast<int64_t>(times.size()))) {
      // A busy machine reads slower: the floor is its best in the same time.
      if (cold)
        readBandwidth =
            std::max(readBandwidth,
                     readBuffer->measureBandwidth(pool.get(), /*passes=*/1));
      Expected<double> seconds = runner->run();
      if (!seconds)
        return seconds.takeError();
      times.push_back(*seconds);
      total += *seconds;
    }
    bench.repetitions = static_cast<int64_t>(times.size());
    if (cold)
      bench.best = *llvm::min_element(times);
    (cold ? bench.cold : bench.warm) = median(times);
  }
  bench.readBandwidth = readBandwidth;
  return bench;
}

//===----------------------------------------------------------------------===//
// One token count
//===----------------------------------------------------------------------===//

Expected<CaseResult> Session::run(const RunCase &run) {
  CaseResult result;
  result.tokens = run.tokens;
  result.routing = run.idsFile.empty()
                       ? getRoutingArchetypeName(options.inputs.routing).str()
                       : run.idsFile;
  if (Error error = makeInputs(run))
    return std::move(error);
  if (!options.saveInputs.empty())
    if (Error error = saveInputs())
      return std::move(error);
  std::vector<int64_t> rows = countExpertRows(spec, inputs);
  result.activeExperts =
      static_cast<int64_t>(rows.size()) - llvm::count(rows, 0);

  Expected<SmallVector<HostTensor>> outputs = SmallVector<HostTensor>();
  if (options.mode == RunMode::Reference) {
    result.variant = "reference";
    Stopwatch watch;
    // Checked against itself in f64, f32 shows what rounding alone does.
    outputs = interpret({}, /*wide=*/!options.check);
    result.seconds = watch.seconds();
  } else if (options.mode == RunMode::Emulate) {
    outputs = runEmulated(result);
    // For the reference, a token that does not exist goes to no expert.
    if (options.deviceTokens >= 0)
      for (auto [argument, tensor] : llvm::zip_equal(spec.arguments, inputs))
        if (argument.role == ArgumentRole::TopkIds)
          clearRows(tensor, options.deviceTokens);
  } else {
    outputs = runKernels(result);
  }
  if (!outputs)
    return outputs.takeError();
  hasStaticInputs = true;
  if (!options.output.empty() && !outputs->empty())
    if (Error error = writeNpy(options.output, outputs->front()))
      return std::move(error);
  if (options.check) {
    Expected<CheckResult> checked = check(*outputs, run.tokens);
    if (!checked)
      return checked.takeError();
    result.check = std::move(*checked);
  }
  if (options.bench) {
    Expected<BenchResult> measured = measure();
    if (!measured)
      return measured.takeError();
    result.bench = *measured;
  }
  result.peakMemoryBytes = getPeakMemoryBytes();
  return result;
}
