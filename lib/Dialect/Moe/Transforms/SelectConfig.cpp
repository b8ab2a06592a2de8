//===- SelectConfig.cpp - Choose tile sizes -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/SimpleRule.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/Format.h"
#include <cmath>

namespace mlir::moe {
#define GEN_PASS_DEF_MOESELECTCONFIG
#include "moec/Dialect/Moe/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
struct SelectConfig : public moe::impl::MoeSelectConfigBase<SelectConfig> {
  using Base = moe::impl::MoeSelectConfigBase<SelectConfig>;
  using Base::Base;

  void runOnOperation() override;

private:
  LogicalResult chooseRouting(Value routing, ArrayRef<GroupedGemmOp> gemms,
                              const RuleTarget &rules);
};
} // namespace

/// Bits of one stored value.
static int64_t valueBits(Value v, QuantAttr quant) {
  auto type = cast<ShapedType>(v.getType());
  return type.getElementType().getIntOrFloatBitWidth() /
         (quant ? quant.getColsPerStored() : 1);
}

static int64_t kGranule(QuantAttr quant, int64_t k) {
  return quant && quant.getScaleCols(k) != 1 ? quant.getGranuleCols() : 0;
}

/// Whether the rows of the result are summed over top-k, and whether that sum
/// is rounded to bf16.
static std::pair<bool, bool> describeSum(GroupedGemmOp gemm) {
  auto isBF16 = [](Value v) {
    return cast<ShapedType>(v.getType()).getElementType().isBF16();
  };
  if (gemm.getOut() == RowLayout::Token)
    return {true, isBF16(gemm.getOuts()[0])};
  // Who reads a buffer is not known.
  if (gemm->getNumResults() == 0)
    return {false, false};
  Value result = gemm->getResult(0);
  bool rounds = true;
  for (OpOperand &use : result.getUses()) {
    auto combine = dyn_cast<CombineOp>(use.getOwner());
    if (!combine || combine.getD() != use.get())
      return {false, false};
    rounds &= isBF16(combine.getOuts()[0]);
  }
  return {!result.use_empty(), rounds};
}

static GemmProblem describe(GroupedGemmOp gemm, double rowsPerExpert,
                            double slots) {
  GemmProblem problem;
  problem.n = gemm.getWeightRows();
  problem.k = gemm.getReductionSize();
  problem.aBits = valueBits(gemm.getA(), gemm.getAQuantAttr());
  problem.bBits = valueBits(gemm.getB(), gemm.getBQuantAttr());
  problem.aGranule = kGranule(gemm.getAQuantAttr(), problem.k);
  problem.bGranule = kGranule(gemm.getBQuantAttr(), problem.k);
  if (QuantAttr closing = gemm.getQuantizeAttr())
    problem.outGranule = closing.getGranuleCols() == QuantAttr::kWhole
                             ? gemm.getOutCols()
                             : closing.getGranuleCols();
  // Without a plan the operand is dequantised by whole groups, as by `operand`.
  ScalePlanAttr plan = gemm.getScalesAttr();
  problem.aPromotes = plan && plan.getA() != ScalePlace::Epilogue;
  problem.bPromotes = plan && plan.getB() != ScalePlace::Epilogue;
  if (plan && plan.getB() == ScalePlace::Promote && problem.bBits < 8)
    problem.packedRun = problem.bGranule;
  problem.aScaled = plan && plan.getA() == ScalePlace::Operand;
  // Rows that stand by slot are found through the routing, as tokens are.
  problem.gather = gemm.getRows() == RowSource::Gather ||
                   gemm.getALayout() == RowLayout::FlatTopk;
  problem.rowsPerExpert = rowsPerExpert;
  problem.hitExperts = slots / rowsPerExpert;
  if (GateUpAttr gateUp = gemm.getGateUpAttr()) {
    problem.gateHalves = gateUp.getKind() == GateUpKind::Halves;
    problem.gateRun = problem.gateHalves ? gemm.getOutCols()
                      : gateUp.getKind() == GateUpKind::Blocks
                          ? gateUp.getBlock()
                          : 1;
  }
  std::tie(problem.sumsRows, problem.roundsRows) = describeSum(gemm);
  // Rows for the sum alone may stand in either order.
  problem.scatters = !problem.sumsRows &&
                     gemm.getOut() != RowLayout::ExpertSorted &&
                     gemm.getOut() != RowLayout::ExpertSortedPadded;
  return problem;
}

static RuleConfig readConfig(ConfigAttr attr) {
  RuleConfig config;
  config.blockM = attr.getBlockM();
  config.blockN = attr.getBlockN();
  config.blockK = attr.getBlockK();
  config.stages = attr.getInt("stages");
  return config;
}

static ConfigAttr writeConfig(MLIRContext *context, const RuleConfig &config,
                              bool cpu) {
  Builder b(context);
  SmallVector<NamedAttribute> fields;
  auto add = [&](StringRef name, Attribute value) {
    fields.push_back(b.getNamedAttr(name, value));
  };
  add("block",
      b.getI64ArrayAttr({config.blockM, config.blockN, config.blockK}));
  if (!cpu) {
    add("stages", b.getI64IntegerAttr(config.stages));
    if (config.swap)
      add("swap", b.getBoolAttr(true));
    add("a", b.getStringAttr(config.a));
    add("b", b.getStringAttr(config.b));
    add("store", b.getStringAttr(config.store));
    for (auto [name, value] : {std::pair{"order", config.order},
                               {"claim", config.claim},
                               {"partial", config.partial},
                               {"b_place", config.bPlace},
                               {"a_place", config.aPlace},
                               {"compute_split", config.computeSplit}})
      if (!value.empty())
        add(name, b.getStringAttr(value));
    for (auto [name, value] : {std::pair{"load_regs", config.loadRegs},
                               {"compute_groups", config.computeGroups},
                               {"compute_regs", config.computeRegs}})
      if (value != 0)
        add(name, b.getI64IntegerAttr(value));
  }
  add("source", b.getStringAttr("rule"));
  return ConfigAttr::get(context, b.getDictionaryAttr(fields));
}

/// Mean rows of an expert that is hit by at least one of `slots` slots which
/// fall on `experts` experts uniformly.
static double meanRows(double slots, double experts) {
  double hit = experts * (1.0 - std::pow(1.0 - 1.0 / experts, slots));
  return slots / std::max(hit, 1.0);
}

LogicalResult SelectConfig::chooseRouting(Value routing,
                                          ArrayRef<GroupedGemmOp> gemms,
                                          const RuleTarget &rules) {
  auto type = cast<RoutingType>(routing.getType());
  int64_t count = tokens;
  if (auto align = routing.getDefiningOp<AlignOp>(); align && count == 0) {
    int64_t extent = cast<ShapedType>(align.getIds().getType()).getDimSize(0);
    count = ShapedType::isDynamic(extent) ? 0 : extent;
  }
  if (count == 0)
    count = 1024;
  double rows = meanRows(double(count) * type.getTopk(), type.getExperts());

  // What is present decides: first the routing, then any configured GEMM.
  int64_t blockM = type.getBlockM() != 1 ? type.getBlockM() : 0;
  for (GroupedGemmOp gemm : gemms)
    if (ConfigAttr config = gemm.getChosenConfig(); config && blockM == 0)
      blockM = config.getBlockM();
  bool given = blockM != 0;
  if (!given) {
    blockM = pickBlockM(rules, rows);
    bool packed = !gemms.empty();
    for (GroupedGemmOp gemm : gemms)
      packed &= usesHopperPackedRule(
          rules, describe(gemm, rows, double(count) * type.getTopk()));
    if (packed)
      blockM = pickPackedBlockM(rows);
    // Without swap the tokens take the side of 64 rows.
    for (GroupedGemmOp gemm : gemms) {
      GemmProblem problem =
          describe(gemm, rows, double(count) * type.getTopk());
      if (usesHopperRule(rules, problem) && !canSwapWeights(problem))
        blockM = std::max<int64_t>(blockM, 64);
      // Tiles of whole granules leave no room for two slots of more rows.
      if (usesAmpereRule(rules, problem) && problem.outGranule)
        blockM = std::min<int64_t>(blockM, 64);
    }
  }

  for (GroupedGemmOp gemm : gemms) {
    GemmProblem problem = describe(gemm, rows, double(count) * type.getTopk());
    if (ConfigAttr present = gemm.getChosenConfig()) {
      RuleConfig config = readConfig(present);
      if (config.blockM < 1 || blockM % config.blockM)
        return gemm.emitError(
                   "moe-select-config: rule shared_block_m: block m ")
               << config.blockM << " does not divide block_m " << blockM
               << " of the routing";
      RuleVerdict verdict = checkConfig(rules, problem, config);
      if (!verdict.ok())
        return gemm.emitError("moe-select-config: rule ")
               << verdict.rule << ": " << verdict.text;
      ++numKept;
      continue;
    }
    std::vector<RuleVerdict> rejected;
    std::vector<RuleConfig> ranked = rankConfigs(
        rules, problem, blockM, std::max(1u, unsigned(limit)), rejected);
    numRejected += rejected.size();
    for (const RuleVerdict &verdict : rejected)
      remark::analysis(
          gemm.getLoc(),
          remark::RemarkOpts::name(verdict.rule).category(getArgument()))
          << remark::reason("{0}", verdict.text);
    if (ranked.empty())
      return gemm.emitError("moe-select-config: no candidate is legal on ")
             << rules.name << ", the last was refused by rule "
             << rejected.back().rule << ": " << rejected.back().text;
    SmallVector<Attribute> list;
    for (const RuleConfig &config : ranked)
      list.push_back(
          writeConfig(&getContext(), config, rules.kind == RuleTarget::Cpu));
    gemm.setConfigAttr(ArrayAttr::get(&getContext(), list));
    std::string text;
    llvm::raw_string_ostream(text)
        << list.front() << " is the first legal candidate for "
        << llvm::format("%.1f", rows) << " mean rows per expert";
    remark::passed(gemm.getLoc(),
                   remark::RemarkOpts::name("config").category(getArgument()))
        << remark::reason("{0}", text);
    ++numChosen;
  }
  if (routing.getDefiningOp() && type.getBlockM() != blockM)
    routing.setType(RoutingType::get(&getContext(), type.getExperts(),
                                     type.getTopk(), blockM));
  return success();
}

void SelectConfig::runOnOperation() {
  Location loc = getOperation()->getLoc();
  const RuleTarget *rules = findRuleTarget(target);
  if (!rules) {
    emitError(loc) << "moe-select-config: unknown target '" << target
                   << "', known are " << ruleTargetNames();
    return signalPassFailure();
  }
  if (tokens < 0) {
    emitError(loc) << "moe-select-config: tokens must not be negative, got "
                   << int64_t(tokens);
    return signalPassFailure();
  }
  llvm::MapVector<Value, SmallVector<GroupedGemmOp>> byRouting;
  getOperation()->walk([&](GroupedGemmOp gemm) {
    byRouting[gemm.getRouting()].push_back(gemm);
  });
  for (auto &[routing, gemms] : byRouting)
    if (failed(chooseRouting(routing, gemms, *rules)))
      return signalPassFailure();
}
