//===- Models.cpp - Layers of well-known models --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Frontend/LayerDescription.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

/// Families share router, activation and bias; models differ in sizes.
enum class Family {
  Qwen3,
  Qwen2,
  DeepSeekV2,
  DeepSeekV3,
  Glm4,
  Mixtral,
  GptOss,
  Olmoe
};

struct Model {
  llvm::StringLiteral name;
  Family family;
  int64_t experts, topk, hidden, intermediate;
  /// Width of the shared expert, 0 = none.
  int64_t shared;
  int64_t groups, topkGroups;
  double scale;
};

} // namespace

static constexpr Model models[] = {
    {"tiny", Family::Qwen3, 8, 2, 256, 128, 0, 1, 1, 1.0},
    {"qwen3-30b-a3b", Family::Qwen3, 128, 8, 2048, 768, 0, 1, 1, 1.0},
    {"qwen3-235b-a22b", Family::Qwen3, 128, 8, 4096, 1536, 0, 1, 1, 1.0},
    {"qwen3-next-80b-a3b", Family::Qwen3, 512, 10, 2048, 512, 512, 1, 1, 1.0},
    {"qwen3.5-35b-a3b", Family::Qwen3, 256, 8, 2048, 512, 512, 1, 1, 1.0},
    {"qwen1.5-moe-a2.7b", Family::Qwen2, 60, 4, 2048, 1408, 5632, 1, 1, 1.0},
    {"qwen2-57b-a14b", Family::Qwen2, 64, 8, 3584, 2560, 20480, 1, 1, 1.0},
    {"deepseek-v2-lite", Family::DeepSeekV2, 64, 6, 2048, 1408, 2816, 1, 1,
     1.0},
    {"deepseek-v2", Family::DeepSeekV2, 160, 6, 5120, 1536, 3072, 8, 3, 16.0},
    {"deepseek-v3", Family::DeepSeekV3, 256, 8, 7168, 2048, 2048, 8, 4, 2.5},
    {"glm-4.5", Family::Glm4, 160, 8, 5120, 1536, 1536, 1, 1, 2.5},
    {"glm-4.5-air", Family::Glm4, 128, 8, 4096, 1408, 1408, 1, 1, 1.0},
    {"mixtral-8x7b", Family::Mixtral, 8, 2, 4096, 14336, 0, 1, 1, 1.0},
    {"mixtral-8x22b", Family::Mixtral, 8, 2, 6144, 16384, 0, 1, 1, 1.0},
    {"gpt-oss-20b", Family::GptOss, 32, 4, 2880, 2880, 0, 1, 1, 1.0},
    {"gpt-oss-120b", Family::GptOss, 128, 4, 2880, 2880, 0, 1, 1, 1.0},
    {"olmoe-1b-7b", Family::Olmoe, 64, 8, 2048, 1024, 0, 1, 1, 1.0},
};

SmallVector<StringRef> moe::getKnownModels() {
  return llvm::map_to_vector(
      models, [](const Model &model) -> StringRef { return model.name; });
}

static LayerDescription describe(const Model &model) {
  LayerDescription layer;
  layer.name = model.name.str();
  layer.experts = layer.localExperts = model.experts;
  layer.topk = model.topk;
  layer.hidden = model.hidden;
  layer.intermediate = model.intermediate;
  layer.sharedIntermediate = model.shared;
  RouterDescription &router = layer.router;
  router.groups = model.groups;
  router.topkGroups = model.topkGroups;
  router.scale = model.scale;
  switch (model.family) {
  case Family::Qwen3:
    router.renormalize = true;
    layer.sharedGate = model.shared != 0;
    break;
  case Family::Qwen2:
    layer.sharedGate = true;
    break;
  case Family::Mixtral:
    router.renormalize = true;
    break;
  case Family::DeepSeekV3:
  case Family::Glm4:
    router.scoring = Scoring::Sigmoid;
    router.groupScore = GroupScore::Top2Sum;
    router.renormalize = true;
    router.bias = true;
    break;
  case Family::GptOss:
    router.scoring = Scoring::SoftmaxSelected;
    router.bias = false;
    layer.activation = ActivationKind::SwigluOai;
    layer.alpha = 1.702;
    layer.limit = 7.0;
    layer.gateUp = GateUpKind::Interleaved;
    layer.bias = true;
    break;
  case Family::DeepSeekV2:
  case Family::Olmoe:
    break;
  }
  return layer;
}

llvm::Expected<LayerDescription> moe::getKnownModel(StringRef name) {
  for (const Model &model : models)
    if (model.name == name)
      return describe(model);
  return llvm::createStringError(
      "unknown model '" + name.str() +
      "', known are: " + llvm::join(getKnownModels(), " "));
}
