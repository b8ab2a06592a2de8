//===- HuggingFace.cpp - config.json to a layer description ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each architecture names the same facts by other keys, and leaves some to its
// code (the scoring function, whether weights are normalised). One function per
// family holds both.
//
//===----------------------------------------------------------------------===//

#include "moec/Frontend/LayerDescription.h"

#include <cmath>

using namespace mlir;
using namespace mlir::moe;
namespace json = llvm::json;

namespace {

/// Typed access to one JSON object. The first complaint is kept and every later
/// access gives a default, so that a reader is a plain list of facts.
class Config {
public:
  Config(const json::Object &object, StringRef modelType)
      : object(object), modelType(modelType) {}

  /// Keeps the first complaint, prefixed with the model type.
  void complain(const llvm::Twine &text) {
    if (complaint.empty())
      complaint = ("config.json (" + modelType + "): " + text).str();
  }

  llvm::Error takeError() {
    if (complaint.empty())
      return llvm::Error::success();
    return llvm::createStringError(complaint);
  }

  /// The value of `key`, null if it is absent or JSON's null.
  const json::Value *find(StringRef key) {
    const json::Value *value = object.get(key);
    return value && value->kind() != json::Value::Null ? value : nullptr;
  }

  /// A positive integer under `key`, which must be there.
  int64_t size(StringRef key) {
    if (find(key))
      return size(key, 1);
    complain("key '" + key + "' is missing");
    return 1;
  }

  /// A positive integer, or `fallback` where the key is absent.
  int64_t size(StringRef key, int64_t fallback) {
    std::optional<int64_t> number = integer(key);
    if (!number)
      return fallback;
    if (*number < 1) {
      complain("'" + key + "' must be positive, got " + llvm::Twine(*number));
      return 1;
    }
    return *number;
  }

  /// A count, 0 where the key is absent.
  int64_t count(StringRef key) {
    int64_t number = integer(key).value_or(0);
    if (number < 0)
      complain("'" + key + "' must not be negative, got " +
               llvm::Twine(number));
    return std::max<int64_t>(number, 0);
  }

  /// One fact under two spellings: at least one is there, and they agree.
  int64_t eitherSize(StringRef key, StringRef other) {
    if (!find(other))
      return size(key);
    if (!find(key))
      return size(other);
    int64_t a = size(key), b = size(other);
    if (a != b)
      complain("'" + key + "' is " + llvm::Twine(a) + " but '" + other +
               "' is " + llvm::Twine(b));
    return a;
  }

  double number(StringRef key, double fallback) {
    const json::Value *value = find(key);
    if (!value)
      return fallback;
    std::optional<double> number = value->getAsNumber();
    if (number && std::isfinite(*number))
      return *number;
    complain("'" + key + "' must be a finite number");
    return fallback;
  }

  bool flag(StringRef key, bool fallback) {
    const json::Value *value = find(key);
    if (!value)
      return fallback;
    if (std::optional<bool> flag = value->getAsBoolean())
      return *flag;
    complain("'" + key + "' must be true or false");
    return fallback;
  }

  StringRef text(StringRef key, StringRef fallback) {
    const json::Value *value = find(key);
    if (!value)
      return fallback;
    if (std::optional<StringRef> text = value->getAsString())
      return *text;
    complain("'" + key + "' must be a string");
    return fallback;
  }

private:
  std::optional<int64_t> integer(StringRef key) {
    const json::Value *value = find(key);
    if (!value)
      return std::nullopt;
    if (std::optional<int64_t> number = value->getAsInteger())
      return number;
    complain("'" + key + "' must be an integer");
    return std::nullopt;
  }

  const json::Object &object;
  StringRef modelType;
  std::string complaint;
};

using Reader = void (*)(Config &, LayerDescription &);

} // namespace

//===----------------------------------------------------------------------===//
// Families
//===----------------------------------------------------------------------===//

static void readMixtral(Config &config, LayerDescription &layer) {
  layer.experts = config.size("num_local_experts");
  layer.intermediate = config.size("intermediate_size");
  layer.router.renormalize = true;
}

/// Qwen2-MoE, Qwen3-MoE, Qwen3-Next and 3.5: only some have a shared expert,
/// and where there is one a sigmoid gates it.
static void readQwen(Config &config, LayerDescription &layer) {
  layer.experts = config.eitherSize("num_experts", "num_local_experts");
  layer.intermediate = config.size("moe_intermediate_size");
  layer.sharedIntermediate = config.count("shared_expert_intermediate_size");
  layer.sharedGate = layer.sharedIntermediate != 0;
}

static void readQwen2(Config &config, LayerDescription &layer) {
  readQwen(config, layer);
  layer.router.renormalize = config.flag("norm_topk_prob", false);
}

static void readQwen3(Config &config, LayerDescription &layer) {
  readQwen(config, layer);
  layer.router.renormalize = config.flag("norm_topk_prob", true);
}

/// What the DeepSeek and GLM families share: n_shared_experts experts of the
/// routed width side by side, a scaled router, groups.
static void readRouted(Config &config, LayerDescription &layer) {
  layer.experts = config.size("n_routed_experts");
  layer.intermediate = config.size("moe_intermediate_size");
  int64_t shared = config.count("n_shared_experts");
  if (shared > 1024)
    config.complain("'n_shared_experts' must be at most 1024, got " +
                    llvm::Twine(shared));
  else if (layer.intermediate <= (int64_t(1) << 40))
    layer.sharedIntermediate = shared * layer.intermediate;
  layer.router.scale = config.number("routed_scaling_factor", 1.0);
  layer.router.groups = config.size("n_group", 1);
  layer.router.topkGroups = config.size("topk_group", 1);
}

static void readDeepSeekV2(Config &config, LayerDescription &layer) {
  readRouted(config, layer);
  layer.router.renormalize = config.flag("norm_topk_prob", false);
  StringRef scoring = config.text("scoring_func", "softmax");
  if (scoring != "softmax")
    config.complain("'scoring_func' must be softmax, got '" + scoring + "'");
  StringRef method = config.text("topk_method", "greedy");
  if (method == "greedy")
    layer.router.groups = layer.router.topkGroups = 1;
  else if (method != "group_limited_greedy")
    config.complain("'topk_method' must be greedy or group_limited_greedy, "
                    "got '" +
                    method + "'");
}

/// Sigmoid scores, a learned bias in the choice, groups by their two best.
static void readSigmoid(Config &config, LayerDescription &layer) {
  readRouted(config, layer);
  layer.router.renormalize = config.flag("norm_topk_prob", true);
  layer.router.scoring = Scoring::Sigmoid;
  layer.router.groupScore = GroupScore::Top2Sum;
  layer.router.bias = true;
  StringRef scoring = config.text("scoring_func", "sigmoid");
  if (scoring != "sigmoid")
    config.complain("'scoring_func' must be sigmoid, got '" + scoring + "'");
}

static void readGptOss(Config &config, LayerDescription &layer) {
  layer.experts = config.eitherSize("num_local_experts", "num_experts");
  layer.intermediate = config.size("intermediate_size");
  layer.activation = ActivationKind::SwigluOai;
  layer.alpha = 1.702;
  layer.limit = config.number("swiglu_limit", 7.0);
  if (layer.limit <= 0)
    config.complain("'swiglu_limit' must be positive");
  layer.gateUp = GateUpKind::Interleaved;
  layer.bias = true;
  layer.router.scoring = Scoring::SoftmaxSelected;
}

static void readOlmoe(Config &config, LayerDescription &layer) {
  layer.experts = config.size("num_experts");
  layer.intermediate = config.size("intermediate_size");
  layer.router.renormalize = config.flag("norm_topk_prob", false);
}

static constexpr std::pair<llvm::StringLiteral, Reader> families[] = {
    {"mixtral", readMixtral},        {"qwen2_moe", readQwen2},
    {"qwen3_moe", readQwen3},        {"qwen3_vl_moe", readQwen3},
    {"qwen3_next", readQwen3},       {"qwen3_5_moe", readQwen3},
    {"deepseek_v2", readDeepSeekV2}, {"deepseek_v3", readSigmoid},
    {"deepseek_v32", readSigmoid},   {"gpt_oss", readGptOss},
    {"glm4_moe", readSigmoid},       {"olmoe", readOlmoe},
};

static Reader findFamily(StringRef modelType) {
  // The text part of a multi-modal model has a type of its own.
  modelType.consume_back("_text");
  for (auto [name, reader] : families)
    if (name == modelType)
      return reader;
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Facts that all families share
//===----------------------------------------------------------------------===//

static void readActivation(Config &config, LayerDescription &layer) {
  StringRef name = config.text("hidden_act", "silu");
  // swiglu_oai is part of the architecture; its hidden_act says silu.
  if (layer.activation == ActivationKind::SwigluOai && name == "silu")
    return;
  std::optional<ActivationKind> kind =
      llvm::StringSwitch<std::optional<ActivationKind>>(name)
          .Cases({"silu", "swish"}, ActivationKind::Swiglu)
          .Case("gelu", ActivationKind::Geglu)
          .Cases({"gelu_pytorch_tanh", "gelu_new"}, ActivationKind::GegluTanh)
          .Case("relu", ActivationKind::Reglu)
          .Default(std::nullopt);
  bool oai = layer.activation == ActivationKind::SwigluOai;
  if (!kind || oai)
    config.complain("'hidden_act' '" + name + "' is not supported here, " +
                    (oai ? "only silu is"
                         : "known are: silu swish gelu gelu_pytorch_tanh "
                           "gelu_new relu"));
  else
    layer.activation = *kind;
}

/// The dtype of an unquantised checkpoint.
static Dtype readPlainDtype(Config &config) {
  StringRef key = config.find("dtype") ? "dtype" : "torch_dtype";
  StringRef name = config.text(key, "bfloat16");
  if (name == "float32")
    return Dtype::F32;
  if (name == "float16")
    return Dtype::F16;
  if (name != "bfloat16")
    config.complain("'" + key +
                    "' must be bfloat16, float16 or float32, got '" + name +
                    "'");
  return Dtype::BF16;
}

/// The dtype of a `quantization_config`; complains where no dtype matches.
static Dtype readQuantisation(Config &config, const json::Object &object) {
  Config quant(object, "quantization_config");
  StringRef method = quant.text("quant_method", "");
  if (method == "mxfp4")
    return Dtype::MxFp4;
  if (method == "fp8") {
    const json::Value *block = quant.find("weight_block_size");
    if (!block)
      return Dtype::Fp8Tensor;
    const json::Array *sizes = block->getAsArray();
    if (sizes && sizes->size() == 2 && (*sizes)[0].getAsInteger() == 128 &&
        (*sizes)[1].getAsInteger() == 128)
      return Dtype::Fp8Block;
    config.complain("'weight_block_size' must be [128, 128]; choose a dtype "
                    "explicitly");
  } else if (method == "gptq" || method == "awq") {
    int64_t bits = quant.size("bits", 4), group = quant.size("group_size", 128);
    bool zeroPoints = method == "awq" ? quant.flag("zero_point", true)
                                      : !quant.flag("sym", true);
    if (bits == 4 && zeroPoints && group == 128)
      return Dtype::W4A16G128Zp;
    if (bits == 4 && !zeroPoints && group == 128)
      return Dtype::W4A16G128;
    if (bits == 4 && !zeroPoints && group == 64)
      return Dtype::W4A16G64;
    if (bits == 4 && !zeroPoints && group == 32)
      return Dtype::W4A16G32;
    config.complain(method + " with " + llvm::Twine(bits) +
                    " bits, groups of " + llvm::Twine(group) +
                    (zeroPoints ? " and" : " and no") +
                    " zero points has no dtype; choose one explicitly");
  } else {
    config.complain("quantisation method '" + method +
                    "' has no dtype; choose one explicitly");
  }
  return Dtype::BF16;
}

static Dtype readDtype(Config &config) {
  const json::Value *quant = config.find("quantization_config");
  if (!quant)
    return readPlainDtype(config);
  if (const json::Object *object = quant->getAsObject())
    return readQuantisation(config, *object);
  config.complain("'quantization_config' must be an object");
  return Dtype::BF16;
}

//===----------------------------------------------------------------------===//
// Entry
//===----------------------------------------------------------------------===//

llvm::Expected<LayerDescription>
moe::parseHuggingFaceConfig(StringRef text, std::optional<Dtype> dtype) {
  llvm::Expected<json::Value> root = json::parse(text);
  if (!root)
    return llvm::createStringError("config.json: " +
                                   llvm::toString(root.takeError()));
  const json::Object *object = root->getAsObject();
  if (!object)
    return llvm::createStringError("config.json: must hold one JSON object");
  // A multi-modal model keeps its language model in text_config, the
  // quantisation stays outside.
  const json::Object *whole = object;
  if (const json::Object *inner = object->getObject("text_config"))
    object = inner;

  std::optional<StringRef> modelType = object->getString("model_type");
  if (!modelType)
    modelType = whole->getString("model_type");
  if (!modelType)
    return llvm::createStringError(
        object->get("model_type") ? "config.json: 'model_type' must be a string"
                                  : "config.json: key 'model_type' is missing");
  Reader reader = findFamily(*modelType);
  if (!reader) {
    std::string names;
    for (auto [name, unused] : families)
      names += (names.empty() ? "" : " ") + name.str();
    return llvm::createStringError("config.json: unknown model_type '" +
                                   modelType->str() + "', known are: " + names);
  }

  LayerDescription layer;
  Config config(*object, *modelType);
  layer.name = modelType->str();
  layer.hidden = config.size("hidden_size");
  // gpt-oss has two spellings of top-k.
  layer.topk = config.eitherSize("num_experts_per_tok", "experts_per_token");
  reader(config, layer);
  layer.localExperts = layer.experts;
  readActivation(config, layer);
  if (dtype) {
    layer.dtype = *dtype;
  } else if (object != whole && whole->get("quantization_config")) {
    Config outer(*whole, *modelType);
    layer.dtype = readDtype(outer);
    if (llvm::Error error = outer.takeError())
      return error;
  } else {
    layer.dtype = readDtype(config);
  }
  if (llvm::Error error = config.takeError())
    return error;
  if (llvm::Error error = layer.verify())
    return llvm::createStringError("config.json (" + *modelType +
                                   "): " + llvm::toString(std::move(error)));
  return layer;
}
