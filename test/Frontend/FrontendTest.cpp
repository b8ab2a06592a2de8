//===- FrontendTest.cpp - Unit tests of configurations and splits ---------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Frontend/LayerDescription.h"

#include "mlir/IR/Verifier.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

/// The text of the error that `json` gives, empty if it is accepted.
std::string complaint(StringRef json, std::optional<Dtype> dtype = {}) {
  llvm::Expected<LayerDescription> layer = parseHuggingFaceConfig(json, dtype);
  return layer ? "" : llvm::toString(layer.takeError());
}

/// A qwen3_moe configuration with `more` appended to its keys.
std::string qwen3(StringRef more, StringRef experts = "8",
                  StringRef topk = "2") {
  return ("{\"model_type\": \"qwen3_moe\", \"hidden_size\": 256, "
          "\"moe_intermediate_size\": 128, \"num_experts\": " +
          experts + ", \"num_experts_per_tok\": " + topk +
          (more.empty() ? "" : ", ") + more + "}")
      .str();
}

struct Case {
  std::string json;
  const char *expected;
};

class BadConfig : public testing::TestWithParam<Case> {};

TEST_P(BadConfig, GivesOneClearMessage) {
  std::string text = complaint(GetParam().json);
  EXPECT_NE(text.find(GetParam().expected), std::string::npos)
      << GetParam().json << "\n  gives: " << text;
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(
    Text, BadConfig,
    testing::Values(
        Case{"", "config.json: [1:0"}, Case{"{\n  \"a\": 1,\n}", "[3:"},
        Case{"[1, 2]", "must hold one JSON object"},
        Case{"{}", "key 'model_type' is missing"},
        Case{"{\"model_type\": 3}", "'model_type' must be a string"},
        Case{"{\"model_type\": \"llama\"}",
             "unknown model_type 'llama', known are: mixtral qwen2_moe"}));

INSTANTIATE_TEST_SUITE_P(
    Numbers, BadConfig,
    testing::Values(
        Case{qwen3("", "0"), "'num_experts' must be positive, got 0"},
        Case{qwen3("", "-8"), "'num_experts' must be positive, got -8"},
        Case{qwen3("", "\"8\""), "'num_experts' must be an integer"},
        Case{qwen3("", "8.5"), "'num_experts' must be an integer"},
        Case{qwen3("", "8", "9"),
             "top-k must be between 1 and the number of experts 8, got 9"},
        Case{qwen3("", "9999999"),
             "number of experts must be between 1 and 65536, got 9999999"},
        Case{qwen3("\"shared_expert_intermediate_size\": -1"),
             "'shared_expert_intermediate_size' must not be negative, got -1"},
        Case{qwen3("\"norm_topk_prob\": 1"),
             "'norm_topk_prob' must be true or false"}));

INSTANTIATE_TEST_SUITE_P(
    Keys, BadConfig,
    testing::Values(
        Case{"{\"model_type\": \"mixtral\", \"hidden_size\": 64}",
             "key 'num_experts_per_tok' is missing"},
        Case{"{\"model_type\": \"mixtral\", \"hidden_size\": null}",
             "key 'hidden_size' is missing"},
        Case{qwen3("\"num_local_experts\": 16"),
             "'num_experts' is 8 but 'num_local_experts' is 16"},
        Case{qwen3("\"experts_per_token\": 4"),
             "'num_experts_per_tok' is 2 but 'experts_per_token' is 4"},
        Case{qwen3("\"hidden_act\": \"mish\""),
             "'hidden_act' 'mish' is not supported here, known are: silu swish "
             "gelu gelu_pytorch_tanh gelu_new relu"},
        Case{"{\"model_type\": \"gpt_oss\", \"hidden_size\": 64, "
             "\"intermediate_size\": 64, \"num_local_experts\": 4, "
             "\"experts_per_token\": 2, \"hidden_act\": \"gelu\"}",
             "'hidden_act' 'gelu' is not supported here, only silu is"},
        Case{qwen3("\"hidden_act\": 1"), "'hidden_act' must be a string"},
        Case{qwen3("\"torch_dtype\": \"float64\""),
             "'torch_dtype' must be bfloat16, float16 or float32, got "
             "'float64'"}));

std::string deepseek(StringRef type, StringRef more) {
  return ("{\"model_type\": \"" + type +
          "\", \"hidden_size\": 256, \"moe_intermediate_size\": 128, "
          "\"n_routed_experts\": 16, \"num_experts_per_tok\": 4, " +
          more + "}")
      .str();
}

INSTANTIATE_TEST_SUITE_P(
    Router, BadConfig,
    testing::Values(
        Case{deepseek("deepseek_v3", "\"n_group\": 5"),
             "router: 5 groups do not divide 16 experts"},
        Case{deepseek("deepseek_v3", "\"n_group\": 4, \"topk_group\": 5"),
             "router: must choose between 1 and 4 groups, got 5"},
        Case{deepseek("deepseek_v3", "\"n_group\": 8, \"topk_group\": 1"),
             "router: 1 groups of 2 experts cannot give top-k 4"},
        Case{deepseek("deepseek_v3", "\"n_group\": 16, \"topk_group\": 4"),
             "needs groups of at least 2 experts, got 1"},
        Case{deepseek("deepseek_v3", "\"scoring_func\": \"softmax\""),
             "'scoring_func' must be sigmoid, got 'softmax'"},
        Case{deepseek("deepseek_v2", "\"topk_method\": \"noaux_tc\""),
             "'topk_method' must be greedy or group_limited_greedy"},
        Case{deepseek("deepseek_v2", "\"n_shared_experts\": 99999"),
             "'n_shared_experts' must be at most 1024, got 99999"},
        Case{deepseek("glm4_moe", "\"routed_scaling_factor\": \"x\""),
             "'routed_scaling_factor' must be a finite number"}));

std::string quantised(StringRef object) {
  return qwen3(("\"quantization_config\": " + object).str());
}

INSTANTIATE_TEST_SUITE_P(
    Quantisation, BadConfig,
    testing::Values(
        Case{quantised("7"), "'quantization_config' must be an object"},
        Case{quantised("{\"quant_method\": \"bitsandbytes\"}"),
             "quantisation method 'bitsandbytes' has no dtype"},
        Case{quantised("{\"quant_method\": \"fp8\", "
                       "\"weight_block_size\": [64, 128]}"),
             "'weight_block_size' must be [128, 128]"},
        Case{quantised("{\"quant_method\": \"gptq\", \"bits\": 3}"),
             "gptq with 3 bits, groups of 128 and no zero points"}));

Dtype dtypeOf(StringRef object) {
  return llvm::cantFail(parseHuggingFaceConfig(quantised(object))).dtype;
}

TEST(HuggingFace, QuantisationChoosesTheDtype) {
  EXPECT_EQ(dtypeOf("{\"quant_method\": \"fp8\"}"), Dtype::Fp8Tensor);
  EXPECT_EQ(dtypeOf("{\"quant_method\": \"fp8\", \"weight_block_size\": "
                    "[128, 128]}"),
            Dtype::Fp8Block);
  EXPECT_EQ(dtypeOf("{\"quant_method\": \"gptq\", \"bits\": 4, "
                    "\"group_size\": 64, \"sym\": true}"),
            Dtype::W4A16G64);
  EXPECT_EQ(dtypeOf("{\"quant_method\": \"gptq\", \"group_size\": 32}"),
            Dtype::W4A16G32);
  EXPECT_EQ(dtypeOf("{\"quant_method\": \"awq\"}"), Dtype::W4A16G128Zp);
  EXPECT_EQ(dtypeOf("{\"quant_method\": \"awq\", \"zero_point\": false}"),
            Dtype::W4A16G128);
}

TEST(HuggingFace, ADtypeOverridesWhatTheConfigSays) {
  EXPECT_EQ(
      complaint(quantised("{\"quant_method\": \"bitsandbytes\"}"), Dtype::F16),
      "");
  auto layer = llvm::cantFail(parseHuggingFaceConfig(
      qwen3("\"torch_dtype\": \"float32\""), Dtype::F16));
  EXPECT_EQ(layer.dtype, Dtype::F16);
  layer = llvm::cantFail(
      parseHuggingFaceConfig(qwen3("\"torch_dtype\": \"float32\"")));
  EXPECT_EQ(layer.dtype, Dtype::F32);
}

TEST(HuggingFace, ActivationsMapToGatedKinds) {
  for (auto [name, kind] : {std::pair<StringRef, ActivationKind>{
                                "gelu_pytorch_tanh", ActivationKind::GegluTanh},
                            {"gelu", ActivationKind::Geglu},
                            {"relu", ActivationKind::Reglu},
                            {"silu", ActivationKind::Swiglu}}) {
    auto layer = llvm::cantFail(parseHuggingFaceConfig(
        qwen3(("\"hidden_act\": \"" + name + "\"").str())));
    EXPECT_EQ(layer.activation, kind) << name.str();
  }
}

TEST(LayerDescription, ARefusedSplitChangesNothing) {
  LayerDescription layer = llvm::cantFail(getKnownModel("qwen3-30b-a3b"));
  layer.dtype = Dtype::Fp8Block;
  EXPECT_EQ(llvm::toString(layer.applyTensorParallel(4)),
            "dtype fp8-block: the intermediate size 192 (split over 4 ranks) "
            "is not a multiple of the scale group of 128");
  EXPECT_EQ(layer.intermediate, 768);
  EXPECT_EQ(layer.tensorParallel, 1);
  EXPECT_FALSE(bool(layer.applyTensorParallel(2)));
  EXPECT_EQ(layer.intermediate, 384);
  EXPECT_EQ(llvm::toString(layer.applyExpertParallel(-1)),
            "expert parallel ranks must be positive, got -1");
  EXPECT_FALSE(bool(layer.applyExpertParallel(128)));
  EXPECT_EQ(layer.localExperts, 1);
  EXPECT_EQ(layer.experts, 128);
}

/// Every model in every dtype is either refused for its scale groups or builds
/// a module that verifies and round-trips.
TEST(BuildLayer, EveryModelInEveryDtypeVerifies) {
  MLIRContext context;
  int built = 0, refused = 0;
  for (StringRef name : getKnownModels())
    for (const DtypeInfo &info : allDtypes()) {
      LayerDescription layer = llvm::cantFail(getKnownModel(name));
      layer.dtype = info.dtype;
      if (llvm::Error error = layer.verify()) {
        EXPECT_NE(llvm::toString(std::move(error)).find("scale group"),
                  std::string::npos);
        ++refused;
        continue;
      }
      OwningOpRef<ModuleOp> module = buildLayer(&context, layer);
      EXPECT_TRUE(succeeded(mlir::verify(*module)))
          << name.str() << ' ' << info.name.str();
      auto func = module->lookupSymbol<func::FuncOp>("layer");
      EXPECT_EQ(func.getArgAttrOfType<StringAttr>(0, "moe.name"), "x");
      EXPECT_EQ(func.getArgAttrOfType<StringAttr>(func.getNumArguments() - 1,
                                                  "moe.name"),
                "out");
      ++built;
    }
  // Only gpt-oss, whose sizes are not multiples of 128, is refused.
  EXPECT_EQ(refused, 2 * 4);
  EXPECT_EQ(built + refused, int(getKnownModels().size() * allDtypes().size()));
}

TEST(Dtype, NamesRoundTrip) {
  for (const DtypeInfo &info : allDtypes()) {
    EXPECT_EQ(llvm::cantFail(parseDtype(info.name)), info.dtype);
    EXPECT_EQ(getDtypeInfo(info.dtype).name, info.name);
  }
}

TEST(Dtype, IsFoundByItsAttributes) {
  MLIRContext context;
  context.loadDialect<MoeDialect>();
  auto find = [&](Dtype weight, Dtype activation, Dtype hidden, bool factors) {
    return findDtype(getWeightQuant(&context, weight),
                     getActivationQuant(&context, activation),
                     getHiddenType(&context, hidden), factors);
  };
  for (const DtypeInfo &info : allDtypes()) {
    Dtype d = info.dtype;
    EXPECT_EQ(find(d, d, d, hasGlobalScale(d)), d) << info.name.str();
    // With one of the four of another kind it is none of the list.
    EXPECT_EQ(find(d, d, d, !hasGlobalScale(d)), std::nullopt)
        << info.name.str();
    Dtype other = getActivationQuant(&context, d) ? Dtype::BF16 : Dtype::MxFp8;
    EXPECT_EQ(find(d, other, d, hasGlobalScale(d)), std::nullopt)
        << info.name.str();
    if (getWeightQuant(&context, d)) {
      EXPECT_EQ(find(d, d, Dtype::F16, hasGlobalScale(d)), std::nullopt)
          << info.name.str();
    }
  }
  EXPECT_EQ(find(Dtype::Fp8Block, Dtype::Fp8Token, Dtype::BF16, false),
            std::nullopt);
}

/// The granules in the table are those of the attributes.
TEST(Dtype, TableAgreesWithTheAttributes) {
  MLIRContext context;
  context.loadDialect<MoeDialect>();
  auto plain = [](int64_t granule) {
    return granule == QuantAttr::kWhole ? 0 : granule;
  };
  for (const DtypeInfo &info : allDtypes()) {
    QuantAttr weight = getWeightQuant(&context, info.dtype);
    EXPECT_EQ(weight ? plain(weight.getGranuleRows()) : 0, info.granuleRows);
    EXPECT_EQ(weight ? plain(weight.getGranuleCols()) : 0, info.granuleCols);
    QuantAttr act = getActivationQuant(&context, info.dtype);
    EXPECT_EQ(act ? plain(act.getGranuleCols()) : 0, info.actGranule);
  }
}

} // namespace
