//===- SelectConfig.cpp - Choose tile sizes -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DescribeGemm.h"
#include "SelectFormulation.h"
#include "moec/CostModel/Choose.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "moec/Dialect/Moe/Transforms/PlainSum.h"
#include "moec/Routing/Routing.h"
#include "moec/Target/DeviceFile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/Format.h"

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
  LogicalResult prepare();
  FailureOr<Workload> describeRouting(RoutingType type, int64_t count);
  LogicalResult chooseRouting(Value routing, ArrayRef<GroupedGemmOp> gemms);
  GemmProblem describe(GroupedGemmOp gemm, const Workload &workload);
  /// Whether rows of the product can be summed over top-k in this way, a value
  /// of `reduce_by`, by its own tiles.
  bool canSum(GroupedGemmOp gemm, StringRef by);
  /// Checks that what is asked for of sums is legal for some product.
  LogicalResult checkSums(ArrayRef<GroupedGemmOp> gemms);
  /// Whether the form direct of a routing is to be compared with the sorted
  /// one. Sets it where it is asked for.
  FailureOr<bool> considerDirect(AlignOp align, int64_t count, bool allOpen);
  LogicalResult keep(GroupedGemmOp gemm, const GemmProblem &problem,
                     ConfigAttr present, int64_t blockM);
  void write(GroupedGemmOp gemm, const LayerChoice &choice, size_t number,
             const Workload &workload);
  LogicalResult checkDeterministic(GroupedGemmOp gemm, ConfigAttr present);
  void predictTimes(ArrayRef<GroupedGemmOp> gemms, const Workload &workload);

  const RuleTarget *rules = nullptr;
  Device machine;
  FixedFields fixedFields;
  /// Parts of K that are tried where nothing is asked for.
  int64_t trialSplit = 0;
};
} // namespace

StringRef moe::getSelectionAttrName() { return "moe.select"; }
int64_t moe::getBatchInvariantTokens() { return 256; }
bool moe::isBatchInvariant(ModuleOp module) {
  auto asked = module->getAttrOfType<DictionaryAttr>(getSelectionAttrName());
  return asked && asked.contains("batch_invariant");
}
StringRef moe::getPredictionAttrName() { return "moe.predicted_us"; }
StringRef moe::getFramePredictionAttrName() { return "moe.predicted_frame_us"; }

GemmProblem SelectConfig::describe(GroupedGemmOp gemm,
                                   const Workload &workload) {
  GemmProblem problem = describeGemm(gemm, workload, machine);
  std::string by = fixedFields.reduceBy;
  if (problem.oneLaunch && by.empty())
    by = "last";
  if (canSum(gemm, by))
    problem.sumBy = by;
  // Parts of K are for products whose results are only scaled.
  bool splits =
      !problem.oneLaunch && findPlainSum(gemm) && problem.aBits == 16 &&
      problem.bBits == 16 && gemm.getColOperands().empty() &&
      gemm.getExpertOperands().empty() && gemm.getEltOperands().empty() &&
      gemm.getRouting().getDefiningOp<AlignOp>() &&
      StringRef(rules->name) == "sm_90a";
  problem.splitK = fixedFields.splitK ? fixedFields.splitK
                   : splits           ? trialSplit
                                      : 0;
  return problem;
}

bool SelectConfig::canSum(GroupedGemmOp gemm, StringRef by) {
  auto align = gemm.getRouting().getDefiningOp<AlignOp>();
  if (by.empty() || by == "rows" || !align || !findPlainSum(gemm))
    return false;
  if (by == "last" || by == "owner")
    return align.isDirect();
  return !align.isDirect() && StringRef(rules->name) == "sm_90a" &&
         gemm.getFormulation() != Formulation::Gemv;
}

static RuleConfig readConfig(ConfigAttr attr) {
  RuleConfig config;
  config.blockM = attr.getBlockM();
  config.blockN = attr.getBlockN();
  config.blockK = attr.getBlockK();
  config.stages = attr.getInt("stages");
  config.swap = attr.getBool("swap");
  for (auto [name, field] :
       {std::pair("a", &config.a), {"b", &config.b}, {"store", &config.store}})
    *field = attr.getString(name).str();
  // Empty where the field is absent, as in what a rule makes.
  for (auto [name, field] : {std::pair("order", &config.order),
                             {"claim", &config.claim},
                             {"partial", &config.partial},
                             {"b_place", &config.bPlace},
                             {"b_scale", &config.bScale},
                             {"a_place", &config.aPlace},
                             {"compute_split", &config.computeSplit},
                             {"atom", &config.atom},
                             {"reduce_by", &config.reduceBy}})
    if (attr.getFields().contains(name))
      *field = attr.getString(name).str();
  for (auto [name, field] : {std::pair("load_regs", &config.loadRegs),
                             {"compute_groups", &config.computeGroups},
                             {"compute_regs", &config.computeRegs},
                             {"warps", &config.warps},
                             {"xcd", &config.xcd},
                             {"split_k", &config.splitK}})
    if (attr.getFields().contains(name))
      *field = attr.getInt(name);
  return config;
}

static ConfigAttr writeConfig(MLIRContext *context, const RuleConfig &config,
                              bool cpu, bool sumsExperts = false) {
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
    if (sumsExperts)
      add("reduce_by", b.getStringAttr("experts"));
    for (auto [name, value] : {std::pair{"order", config.order},
                               {"claim", config.claim},
                               {"partial", config.partial},
                               {"b_place", config.bPlace},
                               {"b_scale", config.bScale},
                               {"a_place", config.aPlace},
                               {"compute_split", config.computeSplit},
                               {"atom", config.atom},
                               {"reduce_by", config.reduceBy}})
      if (!value.empty())
        add(name, b.getStringAttr(value));
    for (auto [name, value] : {std::pair{"load_regs", config.loadRegs},
                               {"compute_groups", config.computeGroups},
                               {"compute_regs", config.computeRegs},
                               {"warps", config.warps},
                               {"xcd", config.xcd},
                               {"split_k", config.splitK}})
      if (value != 0)
        add(name, b.getI64IntegerAttr(value));
    if (config.reduceBy == "add_f32")
      add("deterministic", b.getBoolAttr(false));
  }
  add("source", b.getStringAttr("rule"));
  return ConfigAttr::get(context, b.getDictionaryAttr(fields));
}

//===----------------------------------------------------------------------===//
// Options
//===----------------------------------------------------------------------===//

LogicalResult SelectConfig::prepare() {
  Location loc = getOperation()->getLoc();
  rules = findRuleTarget(target);
  if (!rules)
    return emitError(loc) << "moe-select-config: unknown target '" << target
                          << "', known are " << ruleTargetNames();
  if (tokens < 0)
    return emitError(loc)
           << "moe-select-config: tokens must not be negative, got "
           << int64_t(tokens);
  // What a driver asks for all targets; options of the pass come first.
  bool forAll = false;
  if (auto asked = getOperation()->getAttrOfType<DictionaryAttr>(
          getSelectionAttrName())) {
    auto take = [&](StringRef key, auto &option) {
      auto text = asked.getAs<StringAttr>(key);
      if (!text || !option.empty())
        return false;
      option = text.str();
      return true;
    };
    forAll = take("device", device);
    take("routing", routing);
    take("fix", fix);
    batchInvariant = batchInvariant || asked.contains("batch_invariant");
    deterministic = deterministic || asked.contains("deterministic");
    predict = predict || asked.contains("predict");
    getOperation()->removeAttr(getSelectionAttrName());
  }
  if (forAll) {
    llvm::Expected<Device> found = findDevice(device);
    if (found && found->arch != rules->name)
      device = "";
    llvm::consumeError(found.takeError());
  }
  if (device.empty()) {
    const Device *standard = getDefaultDevice(rules->name);
    if (!standard)
      return emitError(loc) << "moe-select-config: no device is known for "
                            << rules->name << ", name one by its file";
    machine = *standard;
  } else {
    llvm::Expected<Device> found = findDevice(device);
    if (!found)
      return emitError(loc)
             << "moe-select-config: " << llvm::toString(found.takeError());
    machine = std::move(*found);
    if (machine.arch != rules->name)
      return emitError(loc)
             << "moe-select-config: device " << machine.name << " is for "
             << machine.arch << ", the target is " << rules->name;
  }
  fixedFields = FixedFields();
  std::string wrong = parseFixedFields(fix, fixedFields);
  if (!wrong.empty())
    return emitError(loc) << "moe-select-config: fix: " << wrong;
  if (deterministic && fixedFields.reduceBy == "add_f32")
    return emitError(loc)
           << "moe-select-config: rule deterministic: fix: reduce_by=add_f32, "
              "which adds rows in any order, is given, but the same bits on "
              "every run are asked for";
  return success();
}

LogicalResult SelectConfig::checkSums(ArrayRef<GroupedGemmOp> gemms) {
  const std::string &by = fixedFields.reduceBy;
  // Where slots are sorted, reduce_by=last asks for nothing.
  if (by.empty() || by == "rows" || by == "last")
    return success();
  bool summed = false;
  for (GroupedGemmOp gemm : gemms) {
    if (canSum(gemm, by))
      return success();
    summed |= bool(findPlainSum(gemm));
  }
  GroupedGemmOp last = gemms.back();
  return last.emitError("moe-select-config: fix: reduce_by=")
         << by << " is not legal: rule "
         << (!summed ? "plain_sum: no product has rows that are only summed "
                       "over top-k, into an argument of the function"
             : by == "owner"
                 ? "owner_direct: it needs slots that nobody sorts, "
                   "align=direct"
                 : "tile_sums: it needs sm_90a, sorted slots and products of "
                   "matrix units");
}

FailureOr<Workload> SelectConfig::describeRouting(RoutingType type,
                                                  int64_t count) {
  int64_t experts = type.getExperts(), topk = type.getTopk();
  if (routing.empty())
    return assumeWorkload(count, topk, experts);
  auto fail = [&](const Twine &text) {
    return emitError(getOperation()->getLoc())
           << "moe-select-config: routing '" << routing << "': " << text;
  };
  llvm::Expected<TopkIds> ids = [&]() -> llvm::Expected<TopkIds> {
    if (auto archetype = parseRoutingArchetype(routing))
      return sampleRouting(*archetype, count, experts, topk, /*seed=*/0);
    if (StringRef(routing).ends_with(".npy"))
      return readTopkIds(routing, experts);
    return llvm::createStringError("neither an archetype nor a .npy file");
  }();
  if (!ids)
    return fail(llvm::toString(ids.takeError()));
  if (ids->topk != topk)
    return fail("ids of top-" + Twine(ids->topk) + " for a layer of top-" +
                Twine(topk));
  // Recorded ids of another number of tokens stand for the same popularity.
  std::vector<int64_t> rows = countTokensPerExpert(*ids, experts);
  std::string error;
  Workload workload =
      workloadOf(scaleRows(rows, count * topk), count, topk, routing, error);
  if (!error.empty())
    return fail(error);
  return workload;
}

//===----------------------------------------------------------------------===//
// Choice
//===----------------------------------------------------------------------===//

LogicalResult SelectConfig::checkDeterministic(GroupedGemmOp gemm,
                                               ConfigAttr present) {
  if (!deterministic)
    return success();
  auto refuse = [&](const Twine &text) {
    return gemm.emitError("moe-select-config: rule deterministic: ")
           << text << " is given, but the same bits on every run are asked for";
  };
  if (present.getString("reduce_by") == "add_f32")
    return refuse("reduce_by = \"add_f32\", which adds rows in any order,");
  if (!present.getBool("deterministic"))
    return refuse("deterministic = false");
  return success();
}

LogicalResult SelectConfig::keep(GroupedGemmOp gemm, const GemmProblem &problem,
                                 ConfigAttr present, int64_t blockM) {
  RuleConfig config = readConfig(present);
  if (config.blockM < 1 || blockM % config.blockM)
    return gemm.emitError("moe-select-config: rule shared_block_m: block m ")
           << config.blockM << " does not divide block_m " << blockM
           << " of the routing";
  RuleVerdict verdict = checkConfig(*rules, problem, config);
  if (!verdict.ok())
    return gemm.emitError("moe-select-config: rule ")
           << verdict.rule << ": " << verdict.text;
  if (failed(checkDeterministic(gemm, present)))
    return failure();
  ++numKept;
  return success();
}

void SelectConfig::write(GroupedGemmOp gemm, const LayerChoice &choice,
                         size_t number, const Workload &workload) {
  const LayerCandidate &best = choice.best();
  numRejected += best.rejected[number].size();
  for (const RuleVerdict &verdict : best.rejected[number])
    remark::analysis(
        gemm.getLoc(),
        remark::RemarkOpts::name(verdict.rule).category(getArgument()))
        << remark::reason("{0}", verdict.text);
  SmallVector<Attribute> list;
  bool sums = describeGemm(gemm, workload, machine).sumsExperts;
  for (const RatedConfig &rated :
       ArrayRef(best.gemms[number]).take_front(std::max(1u, unsigned(limit))))
    list.push_back(writeConfig(&getContext(), rated.config,
                               rules->kind == RuleTarget::Cpu, sums));
  gemm.setConfigAttr(ArrayAttr::get(&getContext(), list));
  ++numChosen;

  std::string text;
  llvm::raw_string_ostream os(text);
  os << list.front() << " for "
     << llvm::format("%.1f", workload.getRowsPerExpert())
     << " mean rows per expert (" << workload.tokens << " tokens, "
     << workload.text << ") on " << machine.name << ": " << choice.reason
     << "; predicted "
     << describePrediction(best.gemms[number].front().prediction);
  remark::passed(gemm.getLoc(),
                 remark::RemarkOpts::name("config").category(getArgument()))
      << remark::reason("{0}", text);
  for (const RatedConfig &rated :
       ArrayRef(best.gemms[number]).drop_front().take_front(11)) {
    std::string other;
    llvm::raw_string_ostream(other)
        << writeConfig(&getContext(), rated.config,
                       rules->kind == RuleTarget::Cpu)
        << " predicted " << describePrediction(rated.prediction);
    remark::analysis(
        gemm.getLoc(),
        remark::RemarkOpts::name("candidate").category(getArgument()))
        << remark::reason("{0}", other);
  }
}

/// Writes what the model says of all configurations, chosen or given.
void SelectConfig::predictTimes(ArrayRef<GroupedGemmOp> gemms,
                                const Workload &workload) {
  Builder b(&getContext());
  std::vector<GemmProblem> problems;
  for (GroupedGemmOp gemm : gemms) {
    problems.push_back(describe(gemm, workload));
    SmallVector<double> times;
    for (Attribute config : gemm.getConfigAttr())
      times.push_back(predictConfig(machine, *rules, problems.back(),
                                    readConfig(cast<ConfigAttr>(config)),
                                    workload)
                          .seconds *
                      1e6);
    gemm->setAttr(getPredictionAttrName(), b.getDenseF64ArrayAttr(times));
  }
  LayerFrame frame = describeFrame(gemms, problems);
  // Rows of two bytes wait for the sum, if there are any.
  for (GroupedGemmOp gemm : gemms)
    if (frame.combineBytes > 0 &&
        gemm.getChosenConfig().getString("partial") == "bf16")
      frame.combineBytes = 2;
  GroupedGemmOp first = gemms.front();
  first->setAttr(
      getFramePredictionAttrName(),
      b.getF64FloatAttr(
          predictFrame(machine, frame, workload.tokens, workload.topk).seconds *
          1e6));
}

/// What is said of the block rows that all products share.
static std::string describeLayers(const LayerChoice &choice) {
  std::string text;
  llvm::raw_string_ostream os(text);
  for (const LayerCandidate &candidate : choice.candidates) {
    os << (text.empty() ? "" : "; ") << "block m " << candidate.blockM << ": ";
    if (!candidate.legal()) {
      const RuleVerdict &verdict =
          candidate.rejected[candidate.illegalGemm].back();
      os << "refused by rule " << verdict.rule << ": " << verdict.text;
      continue;
    }
    os << llvm::format("%.1f us (launches %.1f, sort %.1f, quantise %.1f, "
                       "combine %.1f",
                       candidate.seconds * 1e6, candidate.frame.launches * 1e6,
                       candidate.frame.sort * 1e6,
                       candidate.frame.quantise * 1e6,
                       candidate.frame.combine * 1e6);
    if (candidate.frame.handOver > 0)
      os << llvm::format(", hand-over %.1f", candidate.frame.handOver * 1e6);
    for (const auto &rated : candidate.gemms)
      os << llvm::format(", product %.1f",
                         rated.front().prediction.seconds * 1e6);
    os << ")";
  }
  return text;
}

/// Tokens up to which the form direct is compared with the sorted one. The
/// experts of one token differ. From two tokens on a slot may share its expert
/// with another one, whose weights are then read twice: that costs more than
/// the sort for all but the smallest experts, and the mean over assumed
/// workloads does not show it.
static constexpr int64_t kDirectTokens = 1;

/// Share of the time that another way to sum must save to be chosen: the
/// model's error for whole layers, as for products (docs/cost-model.md).
static constexpr double kSumMargin = 0.09;

FailureOr<bool> SelectConfig::considerDirect(AlignOp align, int64_t count,
                                             bool allOpen) {
  if (!align || align.getForm())
    return false;
  std::string reason = align.whyNotDirect();
  if (fixedFields.direct == 1) {
    if (!reason.empty())
      return align.emitError("moe-select-config: fix: align=direct is not "
                             "legal: ")
             << reason;
    align.setForm(AlignForm::Direct);
    return false;
  }
  // What is asked for takes sorted rows.
  bool sortedSums =
      fixedFields.reduceBy == "panel" || fixedFields.reduceBy == "add_f32";
  return fixedFields.direct != 0 && !sortedSums && allOpen &&
         count <= kDirectTokens && rules->hasDescriptors && reason.empty();
}

LogicalResult SelectConfig::chooseRouting(Value routing,
                                          ArrayRef<GroupedGemmOp> gemms) {
  auto type = cast<RoutingType>(routing.getType());
  int64_t count = tokens;
  if (auto align = routing.getDefiningOp<AlignOp>(); align && count == 0) {
    int64_t extent = cast<ShapedType>(align.getIds().getType()).getDimSize(0);
    count = ShapedType::isDynamic(extent) ? 0 : extent;
  }
  if (count == 0)
    count = 1024;
  if (batchInvariant)
    count = getBatchInvariantTokens();
  FailureOr<Workload> workload = describeRouting(type, count);
  if (failed(workload))
    return failure();
  if (routing.getDefiningOp<RouteAllOp>())
    workload = workloadOfAll(count, type.getExperts());
  if (auto align = routing.getDefiningOp<AlignOp>()) {
    FailureOr<Value> all = selectFormulation(
        align, gemms, *workload, machine, *rules, fixedFields, getArgument());
    if (failed(all))
      return failure();
    if (*all) {
      SmallVector<GroupedGemmOp> dense;
      getOperation()->walk([&](GroupedGemmOp gemm) {
        if (gemm.getRouting() == *all)
          dense.push_back(gemm);
      });
      return chooseRouting(*all, dense);
    }
  }

  trialSplit = 0;
  // What is present decides: first the routing, then any configured GEMM.
  ChoiceOptions options;
  options.fixed = fixedFields;
  options.givenBlockM = type.getBlockM() != 1 ? type.getBlockM() : 0;
  SmallVector<GroupedGemmOp> open;
  for (GroupedGemmOp gemm : gemms) {
    ConfigAttr present = gemm.getChosenConfig();
    if (present && options.givenBlockM == 0)
      options.givenBlockM = present.getBlockM();
    if (!present)
      open.push_back(gemm);
  }
  int64_t blockM = options.givenBlockM;
  LayerChoice choice;
  auto chooseOpen = [&] {
    LayerProblem layer;
    for (GroupedGemmOp gemm : open)
      layer.gemms.push_back(describe(gemm, *workload));
    layer.frame = describeFrame(open, layer.gemms);
    return chooseLayer(machine, *rules, layer, *workload, options);
  };
  // Parts of K where they are predicted to save more than the model may err.
  // Sums by tiles were slower than a launch that sums in all layers measured.
  auto leavesIdle = [&](const LayerChoice &best, int64_t parts) {
    for (auto [number, gemm] : llvm::enumerate(open))
      if (describe(gemm, *workload).sumsRows)
        return best.best().gemms[number].front().prediction.tiles *
                   double(parts) <=
               machine.figures.computeUnits;
    return false;
  };
  auto trySums = [&](LayerChoice &best) {
    int64_t kept = 0;
    for (int64_t parts : {2, 4}) {
      if (fixedFields.splitK || StringRef(rules->name) != "sm_90a" ||
          !best.legal() || !leavesIdle(best, parts))
        continue;
      trialSplit = parts;
      LayerChoice other = chooseOpen();
      if (other.legal() &&
          other.best().seconds * (1 + kSumMargin) < best.best().seconds) {
        best = other;
        kept = parts;
      }
    }
    trialSplit = kept;
  };
  auto align = routing.getDefiningOp<AlignOp>();
  FailureOr<bool> mayBeDirect =
      considerDirect(align, count, open.size() == gemms.size());
  if (failed(mayBeDirect))
    return failure();
  LayerChoice sorted;
  if (*mayBeDirect) {
    // Both forms, each with what suits it; a tie is settled by fewer launches.
    sorted = chooseOpen();
    align.setForm(AlignForm::Direct);
  }
  Workload listed = *workload;
  if (align && align.isDirect())
    *workload = splitRows(*workload);
  if (failed(checkSums(gemms)))
    return failure();
  if (!open.empty()) {
    choice = chooseOpen();
    trySums(choice);
    if (*mayBeDirect && sorted.legal() &&
        (!choice.legal() || sorted.best().seconds < choice.best().seconds)) {
      align.removeFormAttr();
      *workload = listed;
      choice = sorted;
    }
    if (!choice.legal()) {
      const LayerCandidate &last = choice.candidates.back();
      size_t number = last.illegalGemm;
      RuleVerdict verdict = last.rejected[number].back();
      // What is asked for itself says more than the last of other shapes.
      if (fixedFields.splitK > 1)
        for (const LayerCandidate &candidate : choice.candidates)
          for (const auto &rejected : candidate.rejected)
            for (const RuleVerdict &other : rejected)
              if (other.rule == "split_k")
                verdict = other;
      return open[number].emitError(
                 "moe-select-config: no candidate is legal on ")
             << rules->name << ", the last was refused by rule " << verdict.rule
             << ": " << verdict.text;
    }
    blockM = choice.best().blockM;
  }
  for (GroupedGemmOp gemm : gemms)
    if (ConfigAttr present = gemm.getChosenConfig())
      if (failed(keep(gemm, describe(gemm, *workload), present, blockM)))
        return failure();
  for (auto [number, gemm] : llvm::enumerate(open))
    write(gemm, choice, number, *workload);
  if (predict)
    predictTimes(gemms, *workload);
  if (choice.candidates.size() > 1)
    remark::analysis(open.front().getLoc(),
                     remark::RemarkOpts::name("layer").category(getArgument()))
        << remark::reason("{0}", describeLayers(choice));
  if (routing.getDefiningOp() && type.getBlockM() != blockM)
    routing.setType(RoutingType::get(&getContext(), type.getExperts(),
                                     type.getTopk(), blockM));
  return success();
}

void SelectConfig::runOnOperation() {
  if (failed(prepare()))
    return signalPassFailure();
  llvm::MapVector<Value, SmallVector<GroupedGemmOp>> byRouting;
  getOperation()->walk([&](GroupedGemmOp gemm) {
    byRouting[gemm.getRouting()].push_back(gemm);
  });
  for (auto &[routing, gemms] : byRouting)
    if (failed(chooseRouting(routing, gemms)))
      return signalPassFailure();
}
