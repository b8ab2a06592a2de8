//===- Probes.cpp - The runs from which a device file is made -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Calibration/Probes.h"

#include "KernelBuilder.h"
#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"
#include "moec/Target/AmdChip.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::calibration;

ProbeArgument ProbeArgument::of(std::string buffer) {
  ProbeArgument argument;
  argument.kind = Kind::Buffer;
  argument.buffer = std::move(buffer);
  argument.bits = 64;
  return argument;
}
ProbeArgument ProbeArgument::i32(int64_t value) {
  ProbeArgument argument;
  argument.value = value;
  return argument;
}
ProbeArgument ProbeArgument::i64(int64_t value) {
  ProbeArgument argument = i32(value);
  argument.bits = 64;
  return argument;
}
ProbeArgument ProbeArgument::threads() {
  ProbeArgument argument;
  argument.kind = Kind::Threads;
  argument.bits = 64;
  return argument;
}
ProbeArgument ProbeArgument::blocks() {
  ProbeArgument argument;
  argument.kind = Kind::Blocks;
  return argument;
}

//===----------------------------------------------------------------------===//
// Targets
//===----------------------------------------------------------------------===//

static std::optional<ProbeTarget> findTarget(StringRef name) {
  static const ProbeTarget nvidia[] = {
      {"sm_80", false, 32, false, false, 166912},
      {"sm_89", false, 32, false, false, 101376},
      {"sm_90a", false, 32, true, true, 232448},
      {"sm_100a", false, 32, true, false, 232448},
      {"sm_120", false, 32, true, false, 101376},
  };
  for (const ProbeTarget &target : nvidia)
    if (name == target.name)
      return target;
  if (const AmdChip *chip = findAmdChip(name.str()))
    return ProbeTarget{chip->name, true,  chip->waveSize,
                       false,      false, chip->ldsBytes};
  return std::nullopt;
}

bool mlir::moe::hasProbes(StringRef target, std::string &why) {
  if (findTarget(target))
    return true;
  why = target == "cpu"
            ? "the target 'cpu' has no probes: --device host measures this "
              "machine at its first use"
            : ("the target '" + target +
               "' has no probes; those that have are sm_80, sm_89, sm_90a, "
               "sm_100a, sm_120 and the gfx targets")
                  .str();
  return false;
}

//===----------------------------------------------------------------------===//
// The list
//===----------------------------------------------------------------------===//

static constexpr int64_t kKiB = 1024, kMiB = kKiB << 10, kGiB = kMiB << 10;
/// Bytes of the two large buffers: many times any cache.
static constexpr int64_t kLarge = 4 * kGiB;
/// Bytes that runs with rows at random places touch.
static constexpr int64_t kRows = kGiB;
/// A piece of a ring, and the steps of a walk.
static constexpr int64_t kPiece = 16 * kKiB, kSteps = 20000;

namespace {
/// Writes the list of runs and figures.
class Lister {
public:
  Lister(ProbeSet &set, const ProbeTarget &target) : set(set), target(target) {
    slots =
        std::min<int64_t>(12, (target.sharedBytes - kBarrierBytes) / kPiece);
  }
  void list();

private:
  using A = ProbeArgument;
  Probe &add(std::vector<Probe> &runs, StringRef name, StringRef kernel,
             std::vector<A> arguments, int64_t threads, double work);
  /// A run of so many blocks for each unit; of `blocks` in all.
  static Probe &perUnit(Probe &probe, int64_t blocks);
  Probe &rate(StringRef name, StringRef kernel, std::vector<A> arguments,
              double bytes) {
    Probe &probe = perUnit(add(set.probes, name, kernel, std::move(arguments),
                               kStreamThreads, bytes),
                           kStreamBlocks);
    probe.unit = "B/s";
    return probe;
  }
  void listSetup();
  void listLaunches();
  void listMemory();
  Probe &bulk(const Twine &name, int64_t window, int64_t total, int64_t piece,
              int64_t slots, bool random, int64_t blocks);
  void listBulk();
  void listCache();
  void listLatency();
  /// A probe of `groups` warpgroups in each unit.
  void addMatrix(const Twine &name, const MatrixKernel &kernel, int64_t groups,
                 int64_t rounds);
  void listMatrix();
  void listFigures();

  ProbeSet &set;
  const ProbeTarget &target;
  /// Of a full ring.
  int64_t slots;
};
} // namespace

Probe &Lister::add(std::vector<Probe> &runs, StringRef name, StringRef kernel,
                   std::vector<A> arguments, int64_t threads, double work) {
  Probe &probe = runs.emplace_back();
  probe.name = name.str();
  probe.kernel = kernel.str();
  probe.arguments = std::move(arguments);
  probe.threads = threads;
  probe.work = work;
  return probe;
}

Probe &Lister::perUnit(Probe &probe, int64_t blocks) {
  probe.blocks = blocks;
  probe.perUnit = true;
  return probe;
}

void Lister::listSetup() {
  // Values of ordinary size and both signs: sums neither overflow nor vanish.
  struct Noise {
    const char *buffer;
    int64_t bytes;
    uint32_t keep, set;
  };
  SmallVector<Noise> fills = {{"source", kLarge, 0xffffffff, 0},
                              {"target", kLarge, 0xffffffff, 0}};
  if (target.warpgroups) {
    fills.push_back({"operands.bf16", kMatrixBytes, 0x80ff80ff, 0x3f003f00});
    fills.push_back({"operands.fp8", kMatrixBytes, 0x8f8f8f8f, 0x30303030});
    fills.push_back({"operands.int8", kMatrixBytes, 0xffffffff, 0});
    fills.push_back({"operands.tf32", kMatrixBytes, 0x80ffffff, 0x3f000000});
  }
  for (const Noise &fill : fills) {
    set.buffers.push_back({fill.buffer, uint64_t(fill.bytes)});
    perUnit(add(set.setup, fill.buffer, "probe_write",
                {A::of(fill.buffer), A::i64(fill.bytes / 16), A::threads(),
                 A::i32(fill.keep), A::i32(fill.set)},
                kStreamThreads, double(fill.bytes)),
            kStreamBlocks);
  }
  for (int64_t bytes : {4 * kMiB, kGiB}) {
    std::string name = "walk" + std::to_string(bytes / kMiB);
    set.buffers.push_back({name, uint64_t(bytes)});
    perUnit(add(set.setup, name, "probe_walk",
                {A::of(name), A::i64(bytes / 128), A::threads()},
                kStreamThreads, double(bytes)),
            kStreamBlocks);
  }
  set.buffers.push_back({"out", uint64_t(16 * kMiB)});
}

void Lister::listLaunches() {
  Probe &empty = add(set.probes, "launch.empty_pair", "", {}, 0, 1);
  empty.measure = ProbeMeasure::Empty;
  empty.unit = "s";
  auto chain = [&](const Twine &name, bool all, ProbeMeasure measure,
                   int64_t early) {
    std::vector<A> arguments;
    if (target.bulk)
      arguments.push_back(A::i32(early));
    Probe &probe = add(set.probes, (name + (all ? ".all" : ".one")).str(),
                       target.bulk ? "probe_dependent" : "probe_empty",
                       std::move(arguments), kEmptyThreads, 1);
    probe.perUnit = all;
    probe.measure = measure;
    probe.unit = "s";
  };
  for (bool all : {false, true}) {
    chain("launch", all, ProbeMeasure::Chain, 0);
    if (!target.bulk)
      continue;
    chain("launch.dependent_late", all, ProbeMeasure::DependentChain, 0);
    chain("launch.dependent_early", all, ProbeMeasure::DependentChain, 1);
  }
}

void Lister::listMemory() {
  rate("memory.read", "probe_read",
       {A::of("source"), A::i64(kLarge / 16), A::threads(), A::of("out")},
       kLarge);
  rate("memory.copy", "probe_copy",
       {A::of("source"), A::of("target"), A::i64(kLarge / 16), A::threads()},
       2.0 * kLarge)
      .blocks = kCopyBlocks;
  rate("memory.write", "probe_write",
       {A::of("target"), A::i64(kLarge / 16), A::threads(), A::i32(-1),
        A::i32(0)},
       kLarge);
  for (int64_t bytes : {256, 512, 1024, 2048, 4096, 8192, 16384}) {
    std::string size = std::to_string(bytes);
    int64_t shift = llvm::Log2_64(bytes / 16);
    rate("memory.read_rows" + size, "probe_gather",
         {A::of("source"), A::i64(kLarge / bytes), A::i64(shift),
          A::i64(kRows / 16), A::threads(), A::of("out")},
         kRows);
    rate("memory.write_rows" + size, "probe_scatter",
         {A::of("target"), A::i64(kLarge / bytes), A::i64(shift),
          A::i64(kRows / 16), A::threads()},
         kRows);
  }
}

/// Reads by bulk copies; `blocks` 0: one for each unit.
Probe &Lister::bulk(const Twine &name, int64_t window, int64_t total,
                    int64_t piece, int64_t slots, bool random, int64_t blocks) {
  Probe &probe = add(set.probes, name.str(), "probe_bulk_read",
                     {A::of("source"), A::i64(window / piece),
                      A::i64(total / piece), A::i32(piece), A::i32(slots),
                      A::blocks(), A::i32(random), A::of("out")},
                     32, double(total));
  if (blocks)
    probe.blocks = blocks;
  else
    perUnit(probe, 1);
  probe.sharedBytes = piece * slots + kBarrierBytes;
  probe.unit = "B/s";
  return probe;
}

void Lister::listBulk() {
  // Busy units.
  for (int64_t blocks : {1, 2, 4, 8, 16, 24, 32, 48, 66, 99})
    bulk("bulk.read.units" + Twine(blocks), kLarge,
         std::min(kLarge, blocks * 64 * kMiB), kPiece, slots, false, blocks);
  bulk("bulk.read.all", kLarge, kLarge, kPiece, slots, false, 0);
  // Bytes under way in each unit.
  for (int64_t count : {1, 2, 3, 4, 6, 8, 10, 12})
    if (count <= slots)
      bulk("bulk.read.flight" + Twine(count * kPiece / kKiB) + "k", kLarge,
           kLarge, kPiece, count, false, 0);
  for (int64_t bytes : {256, 512, 2048, 16384})
    bulk("bulk.read_rows" + Twine(bytes), kLarge, kRows, bytes,
         std::min(kMostSlots, slots * kPiece / bytes), true, 0);
  Probe &copy =
      perUnit(add(set.probes, "bulk.copy", "probe_bulk_copy",
                  {A::of("source"), A::of("target"), A::i64(kLarge / kPiece),
                   A::i32(kPiece), A::i32(slots), A::blocks()},
                  32, 2.0 * kLarge),
              1);
  copy.sharedBytes = kPiece * slots + kBarrierBytes;
  copy.unit = "B/s";
}

void Lister::listCache() {
  // By threads, rows of a window that the cache holds.
  constexpr int64_t window = 16 * kMiB, row = 16 * kKiB;
  rate("cache.read", "probe_gather",
       {A::of("source"), A::i64(window / row), A::i64(llvm::Log2_64(row / 16)),
        A::i64(2 * kGiB / 16), A::threads(), A::of("out")},
       2.0 * kGiB);
  if (!target.bulk)
    return;
  for (int64_t size : {2, 8, 16, 24, 32, 40, 48, 64})
    bulk("cache.bulk.mb" + Twine(size), size * kMiB, 8 * kGiB, kPiece, slots,
         false, 0);
  for (int64_t blocks : {1, 8, 33, 66})
    bulk("cache.bulk.units" + Twine(blocks), window, blocks * 64 * kMiB, kPiece,
         slots, false, blocks);
}

void Lister::listLatency() {
  for (int64_t size : {4, 1024}) {
    std::string buffer = "walk" + std::to_string(size);
    Probe &probe =
        add(set.probes, "latency.mb" + std::to_string(size), "probe_chase",
            {A::of(buffer), A::i32(kSteps), A::of("out")}, target.wave,
            double(kSteps));
    probe.measure = ProbeMeasure::Time;
    probe.unit = "s";
  }
  constexpr int64_t rounds = 20000;
  Probe &shared = add(set.probes, "shared.read", "probe_shared",
                      {A::i32(rounds), A::of("out")}, kStreamThreads,
                      double(rounds * kSharedProbeReads * 16 * kStreamThreads));
  perUnit(shared, 2);
  shared.workPerBlock = true;
  shared.sharedBytes = target.amd ? 0 : kSharedProbeBytes;
  shared.unit = "B/s";
}

void Lister::addMatrix(const Twine &name, const MatrixKernel &kernel,
                       int64_t groups, int64_t rounds) {
  Probe &probe = perUnit(add(set.probes, name.str(), kernel.getName(),
                             {A::of(("operands." + kernel.type).str()),
                              A::i32(rounds), A::of("out")},
                             128 * groups, kernel.getWork() * rounds * groups),
                         1);
  probe.workPerBlock = true;
  probe.sharedBytes = kMatrixBytes;
  probe.unit = "1/s";
}

void Lister::listMatrix() {
  // About two milliseconds each.
  auto roundsOf = [](const MatrixKernel &kernel) {
    return 65536 / std::max<int64_t>(kernel.n / 32, 1);
  };
  for (const MatrixKernel &kernel : getMatrixKernels())
    for (int64_t groups : {1, 2, 4})
      if (groups <= kernel.getMostGroups())
        addMatrix(Twine("matrix.") + kernel.type + ".n" + Twine(kernel.n) +
                      "." + (kernel.registers ? "registers" : "shared") +
                      ".groups" + Twine(groups),
                  kernel, groups, roundsOf(kernel));
  // Long enough for the power limit, which whole layers feel.
  for (const MatrixKernel &kernel : getMatrixKernels())
    if (kernel.n == 256 && !kernel.registers)
      addMatrix(Twine("matrix.") + kernel.type + ".sustained", kernel, 2,
                50 * roundsOf(kernel));
}

void Lister::listFigures() {
  using K = ProbeFigure::Kind;
  auto figure = [&](StringRef key, K kind, std::vector<std::string> from) {
    set.figures.push_back({key.str(), kind, std::move(from)});
  };
  // What a driver says goes by one name for both.
  for (StringRef key : {"compute_units", "clock_hz", "shared_bytes",
                        "shared_bytes_per_unit", "registers_per_unit"})
    figure(key, K::Driver, {key.str()});
  figure("lanes", K::Like, {});
  figure("l2_bytes", K::Driver, {"l2_bytes"});
  figure("memory_bytes", K::Driver, {"memory_bytes"});
  std::vector<std::string> read = {"memory.read"}, copy = {"memory.copy"},
                           cache = {"cache.read"};
  if (target.bulk) {
    read.push_back("bulk.read.all");
    copy.push_back("bulk.copy");
    cache.push_back("cache.bulk.mb16");
  }
  figure("read_rate", K::Max, std::move(read));
  figure("copy_rate", K::Max, std::move(copy));
  figure("write_rate", K::Max, {"memory.write"});
  figure("gather_rate", K::Mean,
         {"memory.read_rows2048", "memory.read_rows16384"});
  // Loops of products ask for less than a loop that only reads, and what was
  // fitted to products goes with the latency of the device they ran on.
  if (target.bulk)
    figure("unit_read_rate", K::Relative, {"bulk.read.units1"});
  else
    figure("unit_read_rate", K::Like, {});
  // Products share what they read: their rate is above that of any probe.
  figure("l2_rate", K::Relative, std::move(cache));
  figure("shared_bytes_per_clock", K::PerUnitAndClock, {"shared.read"});
  for (auto [key, type] : {std::pair("flops32", "tf32"),
                           {"flops16", "bf16"},
                           {"flops8", "fp8"},
                           {"flops4", ""}})
    if (target.warpgroups && *type)
      figure(key, K::Relative, {"matrix." + std::string(type) + ".sustained"});
    else
      figure(key, K::Like, {});
  figure("launch_seconds", K::Max, {"launch.one", "launch.all"});
  if (target.bulk)
    figure("dependent_launch_seconds", K::Max,
           {"launch.dependent_late.all", "launch.dependent_early.all"});
  else
    figure("dependent_launch_seconds", K::Like, {});
  figure("latency_seconds", K::Relative, {"latency.mb1024"});
}

void Lister::list() {
  listSetup();
  listLaunches();
  listMemory();
  if (target.bulk)
    listBulk();
  listCache();
  listLatency();
  if (target.warpgroups)
    listMatrix();
  listFigures();
}

FailureOr<ProbeSet> mlir::moe::buildProbes(MLIRContext *context,
                                           StringRef name) {
  Location loc = UnknownLoc::get(context);
  std::string why;
  if (!hasProbes(name, why))
    return emitError(loc) << why;
  context->loadDialect<amdgpu::AMDGPUDialect, arith::ArithDialect,
                       LLVM::LLVMDialect, nv::MoeNvDialect, NVVM::NVVMDialect,
                       ROCDL::ROCDLDialect, scf::SCFDialect>();
  ProbeTarget target = *findTarget(name);
  ProbeSet set;
  set.target = name.str();
  set.module = ModuleOp::create(loc);
  addMemoryKernels(*set.module, target);
  addUnitKernels(*set.module, target);
  if (target.bulk)
    addBulkKernels(*set.module, target);
  if (target.warpgroups)
    addMatrixKernels(*set.module, target);
  for (auto kernel : set.module->getOps<LLVM::LLVMFuncOp>())
    set.kernels.push_back(kernel.getSymName().str());
  Lister(set, target).list();
  return std::move(set);
}
