//===- MutationTest.cpp - Configurations with one mistake each ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every sample config.json, cut anywhere, without any of its keys, with any of
// them of another type or size: it is refused with one line, or it describes a
// layer whose module verifies.
//
//===----------------------------------------------------------------------===//

#include "moec/Frontend/LayerDescription.h"

#include "mlir/IR/Verifier.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::moe;
namespace json = llvm::json;

namespace {

class Mutation : public testing::TestWithParam<const char *> {
protected:
  Mutation() {
    llvm::SmallString<128> path(MOEC_FRONTEND_INPUTS);
    llvm::sys::path::append(path, GetParam());
    auto buffer = llvm::MemoryBuffer::getFile(path);
    EXPECT_TRUE(bool(buffer)) << path.c_str();
    if (buffer)
      text = (*buffer)->getBuffer().str();
    context.disableMultithreading();
  }

  /// True if it is accepted; whatever it is, it must be one of the two above.
  bool accepts(StringRef config) {
    llvm::Expected<LayerDescription> layer = parseHuggingFaceConfig(config);
    if (!layer) {
      std::string message = llvm::toString(layer.takeError());
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      EXPECT_TRUE(StringRef(message).starts_with("config.json")) << message;
      return false;
    }
    if (llvm::Error error = layer->verify()) {
      EXPECT_FALSE(llvm::toString(std::move(error)).empty());
      return false;
    }
    OwningOpRef<ModuleOp> module = buildLayer(&context, *layer);
    EXPECT_TRUE(succeeded(mlir::verify(*module))) << config.str();
    return true;
  }

  bool accepts(json::Object config) {
    return accepts(llvm::formatv("{0}", json::Value(std::move(config))).str());
  }

  json::Object parse() const {
    llvm::Expected<json::Value> value = json::parse(text);
    EXPECT_TRUE(bool(value));
    return value ? *value->getAsObject() : json::Object();
  }

  std::string text;
  MLIRContext context;
};

const char *const samples[] = {"deepseek-v2-lite.json",
                               "deepseek-v2.json",
                               "deepseek-v3.json",
                               "glm-4.5-air.json",
                               "gpt-oss-20b.json",
                               "mixtral.json",
                               "olmoe.json",
                               "qwen2-moe.json",
                               "qwen3-moe.json",
                               "qwen3-next.json",
                               "qwen3.5-moe-fp8.json"};

/// The list above is that of the folder.
TEST(MutationSamples, AreAll) {
  std::error_code error;
  size_t files = 0;
  for (llvm::sys::fs::directory_iterator i(MOEC_FRONTEND_INPUTS, error), end;
       i != end && !error; i.increment(error))
    files += llvm::sys::path::extension(i->path()) == ".json";
  EXPECT_EQ(files, std::size(samples));
}

TEST_P(Mutation, CutAnywhere) {
  ASSERT_TRUE(accepts(text));
  StringRef whole = StringRef(text).rtrim();
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(accepts(whole.take_front(length))) << length;
}

TEST_P(Mutation, OneBitOfAByteFlipped) {
  // Most of them are no JSON, the others have another key or another number.
  size_t accepted = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] ^= 1 << (i % 7);
    accepted += accepts(other);
  }
  EXPECT_LT(accepted, text.size());
}

TEST_P(Mutation, WithoutAKey) {
  json::Object whole = parse();
  size_t needed = 0;
  for (const auto &field : whole) {
    json::Object less = whole;
    less.erase(field.first);
    bool accepted = accepts(less);
    StringRef key = field.first;
    // What has no meaning for the layer may be left out.
    if (key == "architectures")
      EXPECT_TRUE(accepted);
    needed += !accepted;
  }
  EXPECT_GE(needed, 1u);
}

TEST_P(Mutation, WithAKeyOfAnotherKind) {
  const json::Value values[] = {nullptr,
                                true,
                                false,
                                0,
                                1,
                                -1,
                                3,
                                0.5,
                                -1e300,
                                1e300,
                                int64_t(1) << 31,
                                int64_t(1) << 40,
                                std::numeric_limits<int64_t>::max(),
                                std::numeric_limits<int64_t>::min(),
                                "",
                                "128",
                                "float32",
                                json::Array(),
                                json::Array{128, 128},
                                json::Array{nullptr},
                                json::Object(),
                                json::Object{{"quant_method", "fp8"}}};
  json::Object whole = parse();
  for (const auto &field : whole)
    for (const json::Value &value : values) {
      json::Object other = whole;
      other[field.first] = value;
      bool accepted = accepts(other);
      if (StringRef(field.first) == "hidden_size" &&
          (!value.getAsInteger() || *value.getAsInteger() < 1))
        EXPECT_FALSE(accepted) << llvm::formatv("{0}", value).str();
    }
}

/// The same one level down.
TEST_P(Mutation, OfTheQuantisation) {
  json::Object whole = parse();
  const json::Object *quantisation = whole.getObject("quantization_config");
  if (!quantisation)
    GTEST_SKIP() << "not quantised";
  const json::Value values[] = {nullptr,
                                true,
                                -1,
                                4,
                                8,
                                1e300,
                                "fp8",
                                "",
                                json::Array{128, 128},
                                json::Array{-128, 128},
                                json::Array{128},
                                json::Object()};
  for (const auto &field : *quantisation)
    for (const json::Value &value : values) {
      json::Object inner = *quantisation, other = whole;
      inner[field.first] = value;
      other["quantization_config"] = json::Value(std::move(inner));
      accepts(other);
    }
  json::Object without = *quantisation, other = whole;
  without.erase("quant_method");
  other["quantization_config"] = json::Value(std::move(without));
  EXPECT_FALSE(accepts(other));
}

INSTANTIATE_TEST_SUITE_P(Samples, Mutation, testing::ValuesIn(samples),
                         [](const testing::TestParamInfo<const char *> &info) {
                           std::string name = info.param;
                           llvm::erase_if(
                               name, [](char c) { return !llvm::isAlnum(c); });
                           return name;
                         });

} // namespace
