//===- LayerDescription.h - A MoE layer before it is IR ----*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a model's configuration says about its MoE layers: shapes, activation,
// router, shared expert. A description comes from a Hugging Face config.json or
// from the table of known models, is split over ranks, and becomes a module
// with one `moe.fused_experts`.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_FRONTEND_LAYERDESCRIPTION_H
#define MOEC_FRONTEND_LAYERDESCRIPTION_H

#include "moec/Frontend/Dtype.h"

namespace mlir::moe {

/// How a model chooses experts; the attributes of `moe.topk`.
struct RouterDescription {
  Scoring scoring = Scoring::Softmax;
  int64_t groups = 1;
  int64_t topkGroups = 1;
  GroupScore groupScore = GroupScore::Max;
  bool renormalize = false;
  /// A learned bias per expert takes part in the choice.
  bool bias = false;
  double scale = 1.0;
};

/// One layer. Sizes are in elements; `intermediate` and `sharedIntermediate`
/// are those of one rank once the layer is split.
struct LayerDescription {
  /// Model type or name in the table; for people only.
  std::string name;
  /// Experts of all ranks, and those of one rank.
  int64_t experts = 0;
  int64_t localExperts = 0;
  int64_t topk = 0;
  int64_t hidden = 0;
  int64_t intermediate = 0;
  ActivationKind activation = ActivationKind::Swiglu;
  /// Factor in the sigmoid and clamp of swiglu_oai; clamp of others, 0 = none.
  double alpha = 1.0;
  double limit = 0.0;
  GateUpKind gateUp = GateUpKind::Halves;
  /// b1 and b2 are given. When tensor-parallel ranks add their results, b2 is
  /// zero on all but one.
  bool bias = false;
  /// Width of the shared expert, 0 = none, and whether a sigmoid gates it.
  int64_t sharedIntermediate = 0;
  bool sharedGate = false;
  RouterDescription router;
  Dtype dtype = Dtype::BF16;
  int64_t tensorParallel = 1;
  int64_t expertParallel = 1;

  /// Success if the sizes are positive, agree with one another and with the
  /// dtype's scale groups; else one error that names the rule and the numbers.
  llvm::Error verify() const;

  /// Splits every expert's intermediate size over `ranks`; each rank gives a
  /// partial sum. Refuses a shard that cuts a scale group; the description is
  /// unchanged then.
  llvm::Error applyTensorParallel(int64_t ranks);

  /// Gives every rank experts / `ranks` experts; ids stay global and an expert
  /// map tells which are local. The shared expert is split over the ranks too,
  /// so that the sum over all ranks holds it once.
  llvm::Error applyExpertParallel(int64_t ranks);
};

/// Reads the text of a `config.json`. `dtype` overrides what its
/// `quantization_config` and `torch_dtype` say. Errors are one line: the JSON
/// position, an unknown model type (with the list of known ones), a missing
/// key, a value of the wrong kind or sign, two keys that contradict.
llvm::Expected<LayerDescription>
parseHuggingFaceConfig(StringRef json,
                       std::optional<Dtype> dtype = std::nullopt);

/// Names for `getKnownModel`, in the order of the table.
llvm::SmallVector<StringRef> getKnownModels();

/// A well-known model's layer by name, in bf16; an error that lists the names
/// if there is none.
llvm::Expected<LayerDescription> getKnownModel(StringRef name);

/// A module with `func.func @layer`: arguments x, topk_ids, topk_weights, the
/// weights and last the destination, each named by an argument attribute
/// `moe.name`, tokens dynamic, one `moe.fused_experts`, its result returned.
/// Needs a description that verifies; loads the dialects it uses.
OwningOpRef<ModuleOp> buildLayer(MLIRContext *context,
                                 const LayerDescription &layer);

} // namespace mlir::moe

#endif // MOEC_FRONTEND_LAYERDESCRIPTION_H
