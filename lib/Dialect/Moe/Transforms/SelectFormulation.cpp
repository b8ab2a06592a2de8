//===- SelectFormulation.cpp - Which way to compute a layer ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SelectFormulation.h"

#include "GemmUtils.h"

#include "mlir/IR/Remarks.h"
#include "moec/Dialect/Moe/Transforms/PlainSum.h"
#include "llvm/Support/Format.h"

using namespace mlir;
using namespace mlir::moe;

/// Why a form was not looked at where a request decides.
static constexpr StringLiteral kAnother = "another one is asked for";

/// The model's error of a layer whose weights take no time, in latencies of
/// memory: launches that wait for each other differ by as much.
static constexpr double kErrorLatencies = 5;

namespace {
/// A formulation with what is known of it.
struct RatedForm {
  StringRef name;
  Formulation formulation = Formulation::Grouped;
  DenseForm dense;
  /// Empty if it can be built.
  std::string refusal;
  double seconds = 0;
};

class FormulationSelector {
public:
  FormulationSelector(AlignOp align, ArrayRef<GroupedGemmOp> gemms,
                      const Workload &workload, const Device &machine,
                      const RuleTarget &rules, const FixedFields &fixed)
      : align(align), gemms(gemms), workload(workload), machine(machine),
        rules(rules), fixed(fixed) {}
  FailureOr<Value> select(StringRef category);

private:
  void refuseIllegal();
  /// Whether moe-select-config compares the sorted routing with a direct one.
  bool mayBeDirect() {
    return workload.tokens <= 1 && fixed.direct != 0 && rules.hasDescriptors &&
           fixed.reduceBy != "panel" && fixed.reduceBy != "add_f32" &&
           !align.getForm() && align.whyNotDirect().empty();
  }
  /// Why both products cannot be one kernel, with the rule; empty if they can.
  std::string whyNotOneLaunch();
  /// The layer in one form as the model sees it, and the rows of its experts.
  std::pair<LayerProblem, Workload> describe(const RatedForm &form);
  /// Predicts all legal forms and returns the best one, null without any.
  const RatedForm *rate();
  std::string tell(const RatedForm *best);
  InFlightDiagnostic complain();
  /// Notes the formulation of products that stay on their routing.
  Value leave(Formulation formulation);

  AlignOp align;
  ArrayRef<GroupedGemmOp> gemms;
  const Workload &workload;
  const Device &machine;
  const RuleTarget &rules;
  const FixedFields &fixed;
  std::optional<Formulation> given;
  RatedForm forms[5] = {{"grouped", Formulation::Grouped, {}, "", 0},
                        {"gemv", Formulation::Gemv, {}, "", 0},
                        {"dense_rows", Formulation::Dense, {}, "", 0},
                        {"dense_sum", Formulation::Dense, {true, true}, "", 0},
                        {"one_launch", Formulation::OneLaunch, {}, "", 0}};
};
} // namespace

Value FormulationSelector::leave(Formulation formulation) {
  auto attr = FormulationAttr::get(align.getContext(), formulation);
  if (formulation == Formulation::OneLaunch)
    align.setForm(AlignForm::Direct);
  for (GroupedGemmOp gemm : gemms)
    gemm.setFormulationAttr(attr);
  return {};
}

std::string FormulationSelector::whyNotOneLaunch() {
  if (StringRef(rules.name) != "sm_90a")
    return "rule one_launch_target: kernels for " + std::string(rules.name) +
           " hold one product each";
  GroupedGemmOp last = gemms.back();
  if (gemms.size() != 2 || last.getA().getDefiningOp() != gemms.front())
    return "rule one_launch_products: the layer is not two products, of which "
           "the second takes the rows of the first";
  std::string reason = fixed.direct == 0 || align.getForm() == AlignForm::Sorted
                           ? "its form is sorted"
                           : align.whyNotDirect();
  if (!fixed.reduceBy.empty() && fixed.reduceBy != "rows" &&
      fixed.reduceBy != "last")
    return "rule one_launch_sums: rows are summed by the last tile or by a "
           "launch, not by " +
           fixed.reduceBy;
  if (fixed.splitK > 1)
    return "rule one_launch_split: tiles of slots take all of K";
  if (!reason.empty())
    return "rule one_launch_direct: tiles look up the experts of slots that "
           "nobody sorts: " +
           reason;
  return {};
}

void FormulationSelector::refuseIllegal() {
  if (rules.kind == RuleTarget::Cpu)
    forms[1].refusal = "a CPU has one form for all numbers of rows";
  else if (!fixed.reduceBy.empty() && fixed.reduceBy != "rows")
    forms[1].refusal = "rule vector_sum: without matrix units rows are summed "
                       "by a launch of its own, reduce_by is " +
                       fixed.reduceBy;
  if (!rules.hasDescriptors || !placesAllRows(machine))
    forms[3].refusal = "rule descriptors: the second product reads its rows by "
                       "the copy engine, which " +
                       std::string(rules.name) + " has not";
  forms[4].refusal = whyNotOneLaunch();
  if (given != Formulation::OneLaunch && workload.tokens > 1 &&
      forms[4].refusal.empty())
    forms[4].refusal = "rule one_launch_tokens: slots of " +
                       std::to_string(workload.tokens) +
                       " tokens may share an expert, whose weights are then "
                       "read for each; it is taken where it is asked for";
  StringRef asked = fixed.formulation;
  for (RatedForm &form : forms) {
    if (form.refusal.empty() && form.formulation == Formulation::Dense)
      form.refusal = whyNotDense(align, form.dense);
    bool other = given && *given != form.formulation;
    other |= asked.starts_with("dense_") && asked != form.name;
    if (other)
      form.refusal = kAnother;
  }
}

std::pair<LayerProblem, Workload>
FormulationSelector::describe(const RatedForm &form) {
  LayerProblem layer;
  for (GroupedGemmOp gemm : gemms)
    layer.gemms.push_back(describeGemm(gemm, workload, machine));
  layer.frame = describeFrame(gemms, layer.gemms);
  for (GemmProblem &problem : layer.gemms)
    problem.vector = form.formulation == Formulation::Gemv;
  if (form.formulation == Formulation::OneLaunch) {
    layer.frame.direct = layer.frame.oneLaunch = true;
    for (auto [gemm, problem] : llvm::zip(gemms, layer.gemms)) {
      describeOneLaunch(problem);
      bool last = fixed.reduceBy.empty() || fixed.reduceBy == "last";
      if (last && findPlainSum(gemm))
        problem.sumBy = "last";
      layer.frame.sumsLast |= problem.sumBy == "last";
    }
    return {layer, splitRows(workload)};
  }
  if (form.formulation != Formulation::Dense)
    return {layer, workload};
  int64_t experts = align.getRouting().getType().getExperts();
  Workload all = workloadOfAll(workload.tokens, experts);
  layer.frame.sorts = false;
  for (size_t i = 0; i < gemms.size(); ++i) {
    GroupedGemmOp gemm = gemms[i];
    GemmProblem &problem = layer.gemms[i];
    if (placesAllRows(machine))
      describeDense(problem, gemm.getRows() == RowSource::Gather,
                    form.dense.sumInProduct && problem.sumsRows, experts, all);
  }
  if (form.dense.sumInProduct)
    layer.frame.combineBytes = 0;
  return {layer, all};
}

const RatedForm *FormulationSelector::rate() {
  ChoiceOptions options;
  options.fixed = fixed;
  const RatedForm *best = nullptr;
  for (RatedForm &form : forms) {
    if (!form.refusal.empty())
      continue;
    auto [layer, rows] = describe(form);
    LayerChoice choice = chooseLayer(machine, rules, layer, rows, options);
    if (!choice.legal()) {
      const LayerCandidate &last = choice.candidates.back();
      const RuleVerdict &verdict = last.rejected[last.illegalGemm].back();
      form.refusal = "rule " + verdict.rule + ": " + verdict.text;
      continue;
    }
    form.seconds = choice.best().seconds;
    bool onRouting = form.formulation == Formulation::Grouped ||
                     form.formulation == Formulation::Gemv;
    if (onRouting && mayBeDirect()) {
      // Which of both forms the routing has is decided behind this.
      layer.frame.direct = true;
      for (GemmProblem &problem : layer.gemms)
        problem.gather = problem.scatters = false;
      LayerChoice direct =
          chooseLayer(machine, rules, layer, splitRows(rows), options);
      if (direct.legal())
        form.seconds = std::min(form.seconds, direct.best().seconds);
    }
    // The grouped one is left only for more than the model's error, which
    // products by lanes have not for one token on sm_90a: both are measured
    // there, in the same launches.
    double error = 0;
    bool measured = form.formulation == Formulation::Gemv &&
                    workload.tokens == 1 && StringRef(rules.name) == "sm_90a";
    if (best && best->formulation == Formulation::Grouped && !measured) {
      for (const GemmProblem &problem : layer.gemms)
        error = std::max(error, findKernelTraits(rules, problem).margin *
                                    form.seconds);
      error = std::max(error, kErrorLatencies * machine.figures.latencySeconds);
    }
    if (!best || form.seconds + error < best->seconds)
      best = &form;
  }
  return best;
}

std::string FormulationSelector::tell(const RatedForm *best) {
  std::string text;
  llvm::raw_string_ostream os(text);
  for (const RatedForm &form : forms) {
    os << (text.empty() ? "" : "; ") << form.name << ": ";
    if (!form.refusal.empty()) {
      os << "refused: " << form.refusal;
      continue;
    }
    os << llvm::format("%.1f us", form.seconds * 1e6);
    if (&form == best)
      os << ", chosen";
    else if (form.seconds < best->seconds)
      os << ", less by no more than the model's error";
    else
      os << llvm::format(", %.1f us more",
                         (form.seconds - best->seconds) * 1e6);
  }
  return text;
}

InFlightDiagnostic FormulationSelector::complain() {
  const RatedForm *wanted = nullptr;
  for (const RatedForm &form : forms)
    if (form.name == fixed.formulation || (!wanted && form.refusal != kAnother))
      wanted = &form;
  return align.emitError("moe-select-config: formulation ")
         << wanted->name << " is not legal: " << wanted->refusal;
}

FailureOr<Value> FormulationSelector::select(StringRef category) {
  bool configured = align.getRouting().getType().getBlockM() != 1;
  for (GroupedGemmOp gemm : gemms) {
    if (auto present = gemm.getFormulation())
      given = *present;
    configured |= bool(gemm.getChosenConfig());
  }
  StringRef asked = fixed.formulation;
  if (!given && !asked.empty())
    given = asked == "grouped"      ? Formulation::Grouped
            : asked == "gemv"       ? Formulation::Gemv
            : asked == "one_launch" ? Formulation::OneLaunch
                                    : Formulation::Dense;
  // Elsewhere moe-choose-formulation has decided.
  if (!given && (configured || !placesAllRows(machine)))
    return Value();
  if (given == Formulation::Grouped)
    return leave(*given);
  refuseIllegal();
  const RatedForm *best = rate();
  if (!best && given)
    return complain();
  remark::analysis(align.getLoc(),
                   remark::RemarkOpts::name("formulation").category(category))
      << remark::reason("{0}", tell(best));
  if (!best || best->formulation != Formulation::Dense)
    return leave(best ? best->formulation : Formulation::Grouped);
  IRRewriter rewriter(align.getContext());
  Operation *root = align->getParentOp();
  Value routing = makeDense(align, best->dense, rewriter);
  eraseDeadInits(root, rewriter);
  return routing;
}

FailureOr<Value>
mlir::moe::selectFormulation(AlignOp align, ArrayRef<GroupedGemmOp> gemms,
                             const Workload &workload, const Device &machine,
                             const RuleTarget &rules, const FixedFields &fixed,
                             StringRef category) {
  return FormulationSelector(align, gemms, workload, machine, rules, fixed)
      .select(category);
}
