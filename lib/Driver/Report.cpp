//===- Report.cpp - What a run tells --------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Report.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using llvm::formatv;
using llvm::json::Object;
using JsonValue = llvm::json::Value;

static double perSecond(double amount, double seconds) {
  return seconds > 0 ? amount / seconds : 0;
}

static void printBench(llvm::raw_ostream &os, const CaseResult &result) {
  const BenchResult &bench = *result.bench;
  double rate = perSecond(static_cast<double>(bench.weightBytes), bench.cold);
  os << formatv("  bench cold_ms={0:F4} warm_ms={1:F4} repetitions={2} "
                "tokens/s={3:F1} GFLOP/s={4:F1} best_ms={5:F4}\n",
                bench.cold * 1e3, bench.warm * 1e3, bench.repetitions,
                perSecond(static_cast<double>(result.tokens), bench.cold),
                perSecond(bench.flops, bench.cold) * 1e-9, bench.best * 1e3);
  os << formatv("  bench weights_MB={0:F2} GB/s={1:F2} read_GB/s={2:F2} "
                "of_read_bandwidth={3:F1}%\n",
                static_cast<double>(bench.weightBytes) * 1e-6, rate * 1e-9,
                bench.readBandwidth * 1e-9,
                100 * perSecond(rate, bench.readBandwidth));
}

void mlir::moe::printCase(llvm::raw_ostream &os, const LayerSpec &spec,
                          const RunOptions &options, const CaseResult &result) {
  os << formatv("{0} dtype={1} T={2}", spec.name, spec.dtype, result.tokens);
  if (spec.experts > 0)
    os << formatv(" E={0} k={1} H={2} I={3} routing={4} seed={5} active={6}",
                  spec.experts, spec.topk, spec.hidden, spec.inner,
                  result.routing, options.inputs.seed, result.activeExperts);
  os << "\n";
  os << formatv("  run variant={0} workers={1} time_ms={2:F4} "
                "workspace_MB={3:F2} peak_MB={4:F1}\n",
                result.variant, result.workers, result.seconds * 1e3,
                static_cast<double>(result.workspaceBytes) * 1e-6,
                static_cast<double>(result.peakMemoryBytes) * 1e-6);
  if (result.check) {
    const CheckResult &check = *result.check;
    os << formatv("  check rel_err={0} tolerance={1} rows={2} "
                  "reference_s={3:F2} {4}\n",
                  formatv("{0:e2}", check.relErr),
                  formatv("{0:e1}", check.tolerance), check.rows, check.seconds,
                  check.passed ? "ok" : "FAILED");
    if (!check.passed)
      os << "  check " << check.detail << "\n";
  }
  if (result.bench)
    printBench(os, result);
  os.flush();
}

/// JSON has no infinity and no NaN.
static JsonValue number(double value) {
  return std::isfinite(value) ? JsonValue(value) : JsonValue(nullptr);
}

JsonValue mlir::moe::caseToJson(const CaseResult &result) {
  Object object{
      {"tokens", result.tokens},
      {"routing", result.routing},
      {"variant", result.variant},
      {"workers", result.workers},
      {"active_experts", result.activeExperts},
      {"run_seconds", result.seconds},
      {"workspace_bytes", static_cast<int64_t>(result.workspaceBytes)},
      {"peak_memory_bytes", static_cast<int64_t>(result.peakMemoryBytes)}};
  if (const auto &check = result.check)
    object["check"] = Object{{"rel_err", number(check->relErr)},
                             {"tolerance", check->tolerance},
                             {"rows", check->rows},
                             {"passed", check->passed},
                             {"detail", check->detail},
                             {"reference_seconds", check->seconds}};
  if (const auto &bench = result.bench) {
    double rate =
        perSecond(static_cast<double>(bench->weightBytes), bench->cold);
    object["bench"] =
        Object{{"cold_seconds", bench->cold},
               {"warm_seconds", bench->warm},
               {"best_seconds", bench->best},
               {"repetitions", bench->repetitions},
               {"weight_bytes", static_cast<int64_t>(bench->weightBytes)},
               {"flops", bench->flops},
               {"tokens_per_second",
                perSecond(static_cast<double>(result.tokens), bench->cold)},
               {"bytes_per_second", rate},
               {"read_bandwidth", bench->readBandwidth},
               {"of_read_bandwidth", perSecond(rate, bench->readBandwidth)},
               {"flops_per_second", perSecond(bench->flops, bench->cold)}};
  }
  return object;
}

JsonValue mlir::moe::reportToJson(const LayerSpec &spec,
                                  const RunOptions &options,
                                  ArrayRef<CaseResult> cases) {
  llvm::json::Array list;
  for (const CaseResult &result : cases)
    list.push_back(caseToJson(result));
  return Object{
      {"moec", moec_version()},
      {"llvm", LLVM_VERSION_STRING},
      {"machine", Object{{"processor", getProcessorName()},
                         {"isa", moec_cpu_isa()},
                         {"last_level_cache_bytes",
                          static_cast<int64_t>(getLastLevelCacheBytes())}}},
      {"layer", Object{{"name", spec.name},
                       {"dtype", spec.dtype},
                       {"E", spec.experts},
                       {"k", spec.topk},
                       {"H", spec.hidden},
                       {"I", spec.inner}}},
      {"seed", static_cast<int64_t>(options.inputs.seed)},
      {"cases", std::move(list)}};
}
