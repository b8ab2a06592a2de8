//===- CapVariants.cpp - Few variants for many token counts ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CapVariants.h"

#include "mlir/IR/Remarks.h"
#include "mlir/Pass/PassManager.h"
#include "moec/CostModel/Choose.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::moe;

FailureOr<LayerTimes> mlir::moe::predictLayer(ModuleOp decided,
                                              Attribute selection,
                                              StringRef target,
                                              int64_t tokens) {
  OwningOpRef<ModuleOp> module = decided.clone();
  if (selection)
    (*module)->setAttr(getSelectionAttrName(), selection);
  MoeSelectConfigOptions options;
  options.target = target.str();
  options.tokens = tokens;
  options.predict = true;
  PassManager passes(module->getContext(), ModuleOp::getOperationName());
  passes.addPass(createMoeSelectConfig(options));
  if (failed(passes.run(*module)))
    return failure();
  LayerTimes times;
  module->walk([&](GroupedGemmOp gemm) {
    if (auto frame =
            gemm->getAttrOfType<FloatAttr>(getFramePredictionAttrName()))
      times.frameUs += frame.getValueAsDouble();
    auto own = gemm->getAttrOfType<DenseF64ArrayAttr>(getPredictionAttrName());
    if (!own || own.empty())
      return;
    times.productUs.push_back(own[0]);
    times.us += own[0];
    llvm::raw_string_ostream(times.configs.emplace_back())
        << gemm.getChosenConfig();
  });
  times.us += times.frameUs;
  return times;
}

LogicalResult mlir::moe::printPredictions(ModuleOp source, StringRef target,
                                          ArrayRef<TokenBucket> buckets,
                                          DecideLayer decide,
                                          llvm::raw_ostream &os) {
  Attribute selection = source->getAttr(getSelectionAttrName());
  llvm::json::Array list;
  for (const TokenBucket &bucket : buckets) {
    FailureOr<OwningOpRef<ModuleOp>> decided = decide(bucket);
    if (failed(decided))
      return failure();
    FailureOr<LayerTimes> times =
        predictLayer(**decided, selection, target, bucket.tokens);
    if (failed(times))
      return failure();
    llvm::json::Array products;
    for (auto [us, config] : llvm::zip_equal(times->productUs, times->configs))
      products.push_back(llvm::json::Object{{"us", us}, {"config", config}});
    list.push_back(llvm::json::Object{{"tokens", bucket.tokens},
                                      {"us", times->us},
                                      {"frame_us", times->frameUs},
                                      {"products", std::move(products)}});
  }
  os << llvm::formatv("{0:1}", llvm::json::Value(std::move(list))) << "\n";
  return success();
}

namespace {
/// Decisions that differ from all others, and the buckets that they were made
/// for.
struct Column {
  OwningOpRef<ModuleOp> decided;
  std::string text;
  SmallVector<size_t> owners;
};
} // namespace

static std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream(text) << module;
  return text;
}

/// "up to 16 tokens", "65 tokens and more".
static std::string describeRange(const TokenBucket &bucket) {
  if (!bucket.last)
    return llvm::formatv("{0} tokens and more", bucket.first).str();
  if (bucket.first <= 1)
    return llvm::formatv("up to {0} tokens", *bucket.last).str();
  return llvm::formatv("{0} to {1} tokens", bucket.first, *bucket.last).str();
}

/// Says which decisions went, and what takes their place at what cost.
static void explain(ModuleOp source, StringRef target,
                    ArrayRef<TokenBucket> buckets, ArrayRef<Column> columns,
                    ArrayRef<std::vector<double>> seconds,
                    ArrayRef<size_t> chosen, ArrayRef<size_t> own,
                    int64_t cap) {
  std::string text = llvm::formatv("{0}: {1} of {2} variants are kept", target,
                                   cap, columns.size());
  double worst = 1;
  for (auto [i, bucket] : llvm::enumerate(buckets)) {
    double former = seconds[i][own[i]], now = seconds[i][chosen[i]];
    worst = std::max(worst, now / former);
    if (chosen[i] == own[i])
      continue;
    text += llvm::formatv(
        "; {0}: the variant for {1} tokens is dropped, that for {2} takes its "
        "place, predicted {3:F1} us instead of {4:F1} ({5}{6:F1} %)",
        describeRange(bucket), bucket.tokens,
        buckets[columns[chosen[i]].owners.back()].tokens, now * 1e6,
        former * 1e6, now < former ? "" : "+", (now / former - 1) * 100);
  }
  text += llvm::formatv("; the largest predicted loss is {0:F1} %",
                        (worst - 1) * 100);
  remark::passed(
      source.getLoc(),
      remark::RemarkOpts::name("max-variants").category("moe-compile"))
      << remark::reason("{0}", text);
}

FailureOr<std::vector<TokenBucket>>
mlir::moe::capBuckets(ModuleOp source, StringRef target,
                      ArrayRef<TokenBucket> buckets, int64_t cap,
                      DecideLayer decide) {
  if (cap == 0 || buckets.size() <= size_t(cap))
    return buckets.vec();
  std::vector<Column> columns;
  for (auto [i, bucket] : llvm::enumerate(buckets)) {
    FailureOr<OwningOpRef<ModuleOp>> decided = decide(bucket);
    if (failed(decided))
      return failure();
    std::string text = print(**decided);
    auto same = llvm::find_if(
        columns, [&](const Column &column) { return column.text == text; });
    if (same == columns.end())
      columns.push_back({std::move(*decided), std::move(text), {i}});
    else
      same->owners.push_back(i);
  }
  Attribute selection = source->getAttr(getSelectionAttrName());
  std::vector<std::vector<double>> seconds;
  for (const TokenBucket &bucket : buckets) {
    std::vector<double> &line = seconds.emplace_back();
    for (const Column &column : columns) {
      FailureOr<LayerTimes> times =
          predictLayer(*column.decided, selection, target, bucket.tokens);
      if (failed(times))
        return failure();
      line.push_back(times->us * 1e-6);
    }
  }
  std::vector<size_t> own(buckets.size());
  for (auto [number, column] : llvm::enumerate(columns))
    for (size_t bucket : column.owners)
      own[bucket] = number;
  std::vector<size_t> chosen = own;
  if (columns.size() > size_t(cap)) {
    chosen = capVariants(seconds, size_t(cap), /*baseline=*/own.back());
    // What was decided may know more than the prediction says, e.g. what was
    // measured: it stays where it is there anyway.
    // Places that no prediction asks for go to such decisions, too: those of
    // few tokens first, which differ most from the last.
    llvm::SetVector<size_t> kept(chosen.begin(), chosen.end());
    for (size_t column : own)
      if (kept.size() + !kept.contains(own.back()) < size_t(cap))
        kept.insert(column);
    if (kept.size() < size_t(cap))
      kept.insert(own.back());
    for (auto [number, column] : llvm::zip_equal(chosen, own))
      if (kept.contains(column))
        number = column;
    explain(source, target, buckets, columns, seconds, chosen, own, cap);
  }
  std::vector<TokenBucket> result;
  for (auto [i, bucket] : llvm::enumerate(buckets)) {
    // The kernels around the products fit the largest count best.
    int64_t tokens = buckets[columns[chosen[i]].owners.back()].tokens;
    if (!result.empty() && result.back().tokens == tokens)
      result.back().last = bucket.last;
    else
      result.push_back({bucket.first, bucket.last, tokens});
  }
  return result;
}
