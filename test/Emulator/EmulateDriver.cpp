//===- EmulateDriver.cpp - Run the kernels of a test file -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// The module's attributes say what to run:
//   emu.chip = "gfx942", for AMD kernels without one of their own
//   emu.buffers = [{name, type, size, init = "random" | "zero" | "index" |
//   "none",
//                   modulo, low}]
//   emu.launches = [{kernel, grid, block, cluster, smem, args, early,
//   resident}] emu.checks = [{op = "gemm", ...}], see Reference.h
// Arguments are {buffer}, {i32}, {i64}, {f32} or {map, type, dims, strides,
// box, swizzle}. Prints one line per finding and per check; exit status 0 if
// there is nothing to complain about.
//
//===----------------------------------------------------------------------===//

#include "Reference.h"
#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Parser/Parser.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"
#include "moec/Emulator/Emulator.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include <ctime>
#include <random>

using namespace mlir;
using namespace mlir::moe;

static llvm::cl::opt<std::string> input(llvm::cl::Positional,
                                        llvm::cl::init("-"));
static llvm::cl::opt<uint64_t> seed("seed", llvm::cl::desc("schedule"));
static llvm::cl::opt<std::string>
    async("async", llvm::cl::init("late"),
          llvm::cl::desc("late, early or random"));
static llvm::cl::opt<unsigned>
    bench("bench", llvm::cl::desc("repeat and print the speed"));
static llvm::cl::opt<unsigned> maxReports("max-reports", llvm::cl::init(4));
static llvm::cl::opt<bool>
    unchecked("no-shadow", llvm::cl::desc("without the shadow memory"));

static llvm::cl::opt<std::string>
    only("only", llvm::cl::desc("run the launches of this kernel alone"));
static llvm::cl::opt<std::string>
    plan("plan",
         llvm::cl::desc("file whose module attributes say what to run"));

static int64_t number(DictionaryAttr d, StringRef name, int64_t otherwise = 0) {
  auto a = d.getAs<IntegerAttr>(name);
  return a ? a.getInt() : otherwise;
}
static StringRef text(DictionaryAttr d, StringRef name) {
  auto a = d.getAs<StringAttr>(name);
  return a ? a.getValue() : StringRef();
}
static SmallVector<int64_t> numbers(DictionaryAttr d, StringRef name) {
  SmallVector<int64_t> all;
  if (auto a = d.getAs<ArrayAttr>(name))
    for (Attribute e : a)
      all.push_back(cast<IntegerAttr>(e).getInt());
  return all;
}

static TestBuffer makeBuffer(DictionaryAttr d, std::mt19937 &random) {
  TestBuffer buffer;
  buffer.type = *parseElementType(text(d, "type"));
  int64_t size = number(d, "size");
  buffer.bytes.assign(getStorageBytes(buffer.type, size), 0xFF);
  std::normal_distribution<double> normal;
  unsigned bytes = getBitWidth(buffer.type) / 8;
  StringRef init = text(d, "init");
  SmallVector<int64_t> values = numbers(d, "values");
  for (int64_t i = 0; i < size; ++i) {
    uint64_t code = ~0ull;
    if (!values.empty())
      code = values[i % values.size()];
    if (init == "zero")
      code = 0;
    else if (init == "index")
      code = encode(buffer.type, double(number(d, "low") +
                                        i * number(d, "step", 1) %
                                            number(d, "modulo", 1 << 30)));
    else if (init == "random")
      code = encode(buffer.type,
                    isFloatType(buffer.type)
                        ? normal(random)
                        : double(number(d, "low") +
                                 int64_t(random() % number(d, "modulo", 100))));
    std::memcpy(&buffer.bytes[i * bytes], &code, bytes);
  }
  return buffer;
}

static emu::TensorMap makeMap(DictionaryAttr d, TestBuffer &buffer) {
  emu::TensorMap map;
  map.address =
      reinterpret_cast<uint64_t>(buffer.bytes.data()) + number(d, "offset");
  auto dims = numbers(d, "dims"), strides = numbers(d, "strides"),
       box = numbers(d, "box");
  map.rank = dims.size();
  std::copy(dims.begin(), dims.end(), map.dims);
  std::copy(strides.begin(), strides.end(), map.strides);
  std::copy(box.begin(), box.end(), map.box);
  map.type = llvm::StringSwitch<emu::MapType>(text(d, "type"))
                 .Case("bf16", emu::MapType::BF16)
                 .Case("f16", emu::MapType::F16)
                 .Case("f32", emu::MapType::F32)
                 .Case("i32", emu::MapType::I32)
                 .Default(emu::MapType::U8);
  map.swizzle = static_cast<emu::MapSwizzle>(
      llvm::Log2_64(std::max<int64_t>(number(d, "swizzle"), 16)) - 4);
  map.fillNan = number(d, "nan");
  return map;
}

static std::vector<emu::Launch> makeLaunches(ModuleOp module,
                                             TestBuffers &buffers) {
  std::vector<emu::Launch> launches;
  for (Attribute entry : module->getAttrOfType<ArrayAttr>("emu.launches")) {
    auto d = cast<DictionaryAttr>(entry);
    emu::Launch launch;
    launch.kernel = text(d, "kernel").str();
    if (!only.empty() && only != launch.kernel)
      continue;
    auto shape = [&](StringRef name, std::array<uint32_t, 3> &out) {
      for (auto [i, v] : llvm::enumerate(numbers(d, name)))
        out[i] = v;
    };
    shape("grid", launch.grid);
    shape("block", launch.block);
    shape("cluster", launch.cluster);
    launch.smem = number(d, "smem");
    launch.earlyStart = d.contains("early");
    launch.resident = d.contains("resident");
    for (Attribute a : d.getAs<ArrayAttr>("args")) {
      auto arg = cast<DictionaryAttr>(a);
      auto buffer = [&](StringRef name) -> TestBuffer & {
        return buffers.at(text(arg, name).str());
      };
      if (arg.contains("map"))
        launch.args.push_back(emu::Argument::map(makeMap(arg, buffer("map"))));
      else if (arg.contains("buffer"))
        launch.args.push_back(emu::Argument::pointer(
            buffer("buffer").bytes.data() + number(arg, "offset")));
      else if (arg.contains("i32"))
        launch.args.push_back(
            emu::Argument::value(int32_t(number(arg, "i32"))));
      else if (arg.contains("f32"))
        launch.args.push_back(emu::Argument::value(
            float(arg.getAs<FloatAttr>("f32").getValueAsDouble())));
      else
        launch.args.push_back(emu::Argument::value(number(arg, "i64")));
    }
    launches.push_back(std::move(launch));
  }
  return launches;
}

/// Repeats the launches and prints useful GFLOP/s of all gemm checks together.
static void measure(emu::Emulator &emulator, ArrayRef<emu::Launch> launches,
                    const emu::Options &options, ArrayAttr checks) {
  double flop = 0;
  for (Attribute c : checks)
    flop += 2.0 * number(cast<DictionaryAttr>(c), "m") *
            number(cast<DictionaryAttr>(c), "n") *
            number(cast<DictionaryAttr>(c), "k");
  double best = 1e30;
  for (unsigned r = 0; r < bench; ++r) {
    // Time of the processor: other processes may use the machine too.
    std::clock_t start = std::clock();
    llvm::cantFail(emulator.run(launches, options));
    best = std::min(best, double(std::clock() - start) / CLOCKS_PER_SEC);
  }
  const emu::Statistics &s = emulator.getStatistics();
  llvm::outs() << llvm::format("speed: %.1f ms, %.2f GFLOP/s on one core, ",
                               best * 1e3, flop / best * 1e-9)
               << s.instructions << " warp instructions, " << s.matrixOps
               << " matrix operations, " << s.asyncCopies
               << " asynchronous copies\n";
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  llvm::cl::ParseCommandLineOptions(argc, argv,
                                    "run the kernels of a test file\n");
  DialectRegistry registry;
  registry.insert<amdgpu::AMDGPUDialect, ROCDL::ROCDLDialect,
                  arith::ArithDialect, cf::ControlFlowDialect,
                  LLVM::LLVMDialect, math::MathDialect, NVVM::NVVMDialect,
                  nv::MoeNvDialect, scf::SCFDialect, tile::MoeTileDialect,
                  memref::MemRefDialect, vector::VectorDialect>();
  MLIRContext context(registry);
  OwningOpRef<ModuleOp> module =
      parseSourceFile<ModuleOp>(StringRef(input), ParserConfig(&context));
  if (!module)
    return 1;
  auto chip = (*module)->getAttrOfType<StringAttr>("emu.chip");
  auto emulator =
      emu::Emulator::create(*module, chip ? chip.getValue() : StringRef());
  if (!emulator) {
    llvm::outs() << "error: " << llvm::toString(emulator.takeError()) << "\n";
    return 1;
  }
  if (!plan.empty()) {
    OwningOpRef<ModuleOp> other =
        parseSourceFile<ModuleOp>(StringRef(plan), ParserConfig(&context));
    if (!other)
      return 1;
    (*module)->setDiscardableAttrs((*other)->getDiscardableAttrDictionary());
  }
  // A file without a plan is only decoded.
  if (!(*module)->hasAttr("emu.launches")) {
    for (const std::string &kernel : (*emulator)->getKernels())
      llvm::outs() << "decoded " << kernel << "\n";
    return 0;
  }
  std::mt19937 random(1234);
  TestBuffers buffers;
  for (Attribute entry : (*module)->getAttrOfType<ArrayAttr>("emu.buffers")) {
    auto d = cast<DictionaryAttr>(entry);
    TestBuffer &buffer = buffers[text(d, "name").str()] = makeBuffer(d, random);
    (*emulator)->registerBuffer(buffer.bytes.data(), buffer.bytes.size(),
                                text(d, "name"), text(d, "init") != "none");
  }
  std::vector<emu::Launch> launches = makeLaunches(*module, buffers);
  emu::Options options;
  options.seed = seed;
  options.maxReports = maxReports;
  options.checkShared = !unchecked;
  options.async = async == "early"    ? emu::AsyncMode::Early
                  : async == "random" ? emu::AsyncMode::Random
                                      : emu::AsyncMode::Late;
  auto reports = (*emulator)->run(launches, options);
  if (!reports) {
    llvm::outs() << "error: " << llvm::toString(reports.takeError()) << "\n";
    return 1;
  }
  for (const emu::Report &report : *reports)
    llvm::outs() << report.text << "\n";
  if (!reports->empty())
    return 1;
  bool ok = true;
  auto checks = (*module)->getAttrOfType<ArrayAttr>("emu.checks");
  if (checks)
    for (Attribute check : checks)
      ok &= runCheck(cast<DictionaryAttr>(check), buffers);
  if (bench && checks)
    measure(**emulator, launches, options, checks);
  llvm::outs() << (ok ? "clean\n" : "");
  return !ok;
}
